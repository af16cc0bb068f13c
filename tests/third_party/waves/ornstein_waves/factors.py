"""What can be known of a field: gauges at points, and that a forecast has the right means."""

import csv
from collections.abc import Sequence
from math import isfinite
from pathlib import Path

import torch

from ornstein import Constraint, InputError, Measurement, constraints, operators

from .data import NAMES


def gauges(path: Path, shape: Sequence[int]) -> Measurement:
    """Readings of a CSV file, a line "height or flow,y,x,value,std" each, y and x in cells.

    Args:
        path: of the file.
        shape: of one field, (channels, y, x).
    """
    with path.open(newline="") as file:
        rows = [_row(row, shape, f"{path}: line {number}") for number, row in enumerate(csv.reader(file), 1)]
    if not rows:
        raise InputError(f"{path}: is empty, expected a line for each reading")
    places, values, stds = zip(*rows, strict=True)
    flat = torch.tensor([(c * shape[1] + y) * shape[2] + x for c, y, x in places])
    pick = torch.zeros(len(flat), shape[0] * shape[1] * shape[2])
    pick[torch.arange(len(flat)), flat] = 1.0
    return Measurement(torch.tensor(values), operators.Matrix(pick, tuple(shape)), torch.tensor(stds))


def _row(row: list[str], shape: Sequence[int], where: str) -> tuple[tuple[int, int, int], float, float]:
    try:
        name, y, x, value, std = row[0], int(row[1]), int(row[2]), float(row[3]), float(row[4])
    except (ValueError, IndexError):
        raise InputError(f"{where} is {','.join(row)[:60]!r}, expected name,y,x,value,std") from None
    if name not in NAMES or not (0 <= y < shape[1] and 0 <= x < shape[2] and isfinite(value) and std > 0):
        raise InputError(f"{where} is {','.join(row)[:60]!r}, expected {' or '.join(NAMES)} at a cell, finite, std > 0")
    return (NAMES.index(name), y, x), value, std


def conserved(means: str, shape: Sequence[int]) -> Constraint:
    """The mean of each channel is what the condition of that name says.

    Args:
        means: a condition (samples, channels).
        shape: of one field, (channels, y, x).
    """
    return constraints.mean(means, shape)
