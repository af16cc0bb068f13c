"""A problem to try a model on: a source that no training saw, and sensors of it and of its solution, as files.

    python -m ornstein.domains.poisson.examples discs FOLDER            (or … FOLDER 128 128, for another grid)
    ornstein sample poisson/discs --solution-sensors FOLDER/solution.csv --truth FOLDER/truth.npz

truth.npz holds `source` and `solution`, of Poisson's equation on the unit interval, square or cube with φ = 0 on the
border. source.csv and solution.csv are readings of each at 3 % of the unknowns, drawn at random, with noise of a
thousandth of the field's root mean square.
"""

import sys
from collections.abc import Sequence
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from ...disk import arrays
from ...keys import Keys
from . import sources
from .asked.sensors import Sensors, write_sensors
from .data import SHAPE
from .equations import Boundary, Elliptic, Grid

SHARE, NOISE = 0.03, 1e-3
"""Of the unknowns that have a sensor; of the field's root mean square."""
TRUTH, SENSORS = "truth.npz", {"source": "source.csv", "solution": "solution.csv"}
"""The files, of the truth and by what is read."""


def write(name: str, folder: Path, shape: Sequence[int] = SHAPE, number: int = 0) -> Path:
    """Writes the files of a problem and returns their folder, which is made.

    Args:
        name: of the law of the source, "gaussian" or "discs".
        folder: for the files.
        shape: of the grid.
        number: of the problem.

    InputError for another law, or another number of axes.
    """
    keys = Keys.of(0, range(number, number + 1)).fold("poisson: examples")
    source = sources.draw(name, keys, shape)[:, 0].double()
    grid = Grid(tuple(shape), Boundary.of("dirichlet", len(shape)))
    fields = {"source": source[0], "solution": Elliptic(grid).solution(source)[0]}
    folder.mkdir(parents=True, exist_ok=True)
    arrays.write(folder / TRUTH, {key: field.numpy() for key, field in fields.items()})
    for key, field in fields.items():
        _write_sensors(folder / SENSORS[key], field, grid, keys.fold(key))
    return folder


def _write_sensors(path: Path, field: Tensor, grid: Grid, keys: Keys) -> None:
    count = max(1, round(SHARE * prod(grid.shape)))
    where = keys.fold("where").bits(prod(grid.shape))[0].argsort()[:count].sort().values
    std = NOISE * float(field.square().mean().sqrt())
    values = field.flatten()[where] + std * keys.fold("noise").normal(count)[0]
    places = torch.unravel_index(where, grid.shape)
    points = torch.stack([at[place] for at, place in zip(grid.coordinates, places, strict=True)][::-1], 1)
    write_sensors(path, Sensors(points, values, std))


if __name__ == "__main__":
    print(write(sys.argv[1], Path(sys.argv[2]), [int(n) for n in sys.argv[3:]] or SHAPE))
