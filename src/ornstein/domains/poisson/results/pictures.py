"""Unknowns and solutions as a person wants to see them: truth, mean, standard deviation, samples and sensors."""

import numpy as np
from torch import Tensor

from ....report import ensembles, quick
from ....tasks.figures import Figure
from ....tasks.samples import Samples
from ..asked.sensors import Sensors
from ..asked.truths import TRUTH
from .solutions import Solved, shared_of

SHOWN = 3
"""Samples beside mean and spread."""
SHADES = 3.0
"""Standard deviations of the data from their mean to the last colour, of fields on their way."""
_TITLES = {
    "source": "source ρ",
    "initial": "initial field",
    "log_coefficient": "log a, a the coefficient",
    "solution": "solution φ",
}


def figures(samples: Samples, found: Solved) -> dict[str, Figure]:
    """Of the unknown and of the solution, by name.

    Args:
        samples: that were drawn.
        found: they, with their solutions.
    """
    grid, unknown, shared = found.problem.equation.grid, found.problem.equation.unknown, shared_of(samples.condition)
    sensors = {"solution": "solution_sensors", "source": "source_sensors", "initial": "source_sensors"}
    fields = {
        unknown: (found.unknown, grid.coordinates),
        "solution": (found.whole, grid.whole_coordinates),
    }
    return {
        name: _figure(
            name, field, at, shared.get(f"{TRUTH}{name}"), shared.get(sensors.get(name, "coefficient_sensors"))
        )
        for name, (field, at) in fields.items()
    }


def frame(samples: Samples) -> Figure:
    """A few of the model's fields on their way, in milliseconds: those of a plane, of a box the middle one.

    Args:
        samples: as they stand.
    """
    assert samples.origin is not None
    metadata, x = samples.origin.metadata, samples.x.detach().cpu()[:, 0].numpy()
    limits = (metadata["mean"] - SHADES * metadata["std"], metadata["mean"] + SHADES * metadata["std"])
    what = "Solutions on their way" if metadata["learns"] == "solutions" else "Sources on their way"
    if x.ndim == 2:
        return quick.lines(x, limits, what)
    return quick.fields(x if x.ndim == 3 else x[:, x.shape[1] // 2], limits, what, upward=True)


def _figure(name: str, field: Tensor, at: tuple[Tensor, ...], truth: Tensor | None, readings: Tensor | None) -> Figure:
    members, axes = field.numpy(), [one.numpy() for one in at]
    members = members[:1] if (members == members[:1]).all() else members  # what is known has no spread
    known = None if truth is None or len(members) < 2 else truth.numpy()
    seen = None if readings is None else Sensors.of_table(readings)
    if len(axes) == 1:
        points = None if readings is None else readings.numpy()
        return ensembles.lines(axes[0], known, members, _TITLES[name], SHOWN, points=points)
    what, dots = _TITLES[name], None if seen is None else seen.points.numpy()[:, :2]
    if len(axes) == 3:  # the middle one of the planes
        k = len(axes[0]) // 2
        members, known = members[:, k], None if known is None else known[k]
        what, dots, axes = f"{what}, plane z = {axes[0][k]:.3g}", None, axes[1:]
    return ensembles.stamps(known, members, what, SHOWN, upward=True, points=dots, extent=_extent(axes))


def _extent(axes: list[np.ndarray]) -> tuple[float, float, float, float]:
    """Where the cells of the outermost nodes end: left, right, bottom, top."""
    ends = []
    for at in reversed(axes):
        half = (at[-1] - at[0]) / max(len(at) - 1, 1) / 2 or 0.5
        ends += [float(at[0] - half), float(at[-1] + half)]
    left, right, bottom, top = ends
    return left, right, bottom, top
