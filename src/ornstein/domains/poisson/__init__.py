"""Fields and their sources under an equation, from what is known of both; and learned solvers of one.

of every domain     data, network, factors, metrics, task
what is learned     sources: their laws; prior: p(ρ); pairs, surrogate: p(φ | ρ); kriging: exact answers
what is asked       flags, requests: the equation; told: what is known; given, sensors, truths: files of the user's
what is drawn       solutions, refined; drawn, exported, pictures: files and figures; problems: for manifests
to look at          examples: problems with their truth; chapters: of the tour
equations/          grids, boundaries, equations, direct solvers
"""

from .equations import Boundary, Darcy, Elliptic, Equation, Grid, Heat, Problem, Refined, Side, refine
from .factors import bounds, known, solution_sensors, source_sensors, total
from .sensors import Sensors
from .solutions import Solved, solved

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
