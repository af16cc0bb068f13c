"""Fields and their sources under an equation, from what is known of both; and learned solvers of one."""

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
