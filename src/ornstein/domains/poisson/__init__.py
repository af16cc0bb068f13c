"""Fields and their sources under an equation, from what is known of both; and learned solvers of one.

of every domain     data, network, factors, metrics, task
learned/            prior: p(ρ); pairs, surrogate: p(φ | ρ)
asked/              flags, requests: the equation; told: what is known; given, sensors, truths: files of the user's;
                    problems: all of it in words, for manifests
results/            solutions, refined; drawn, exported, pictures: files and figures
equations/          grids, boundaries, equations, direct solvers
beside these        sources: laws of sources; kriging: exact answers; examples: problems with their truth; chapters
"""

from .asked.sensors import Sensors
from .equations import Boundary, Darcy, Elliptic, Equation, Grid, Heat, Problem, Refined, Side, refine
from .factors import bounds, known, solution_sensors, source_sensors, total
from .results.solutions import Solved, solved

__all__ = [
    "Boundary",
    "Darcy",
    "Elliptic",
    "Equation",
    "Grid",
    "Heat",
    "Problem",
    "Refined",
    "Sensors",
    "Side",
    "Solved",
    "bounds",
    "known",
    "refine",
    "solution_sensors",
    "solved",
    "source_sensors",
    "total",
]
