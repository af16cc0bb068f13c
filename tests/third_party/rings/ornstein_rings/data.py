"""The data: points with radii N(radius, spread²), drawn here, or the rows "x,y" of a user's CSV file."""

import csv
from math import isfinite
from pathlib import Path

import torch
from torch import Tensor

from ornstein import InputError, Keys
from ornstein.training.datasets import Arrays


def ring(n: int, radius: float, spread: float, seed: int) -> Tensor:
    """n points, (n, 2)."""
    keys = Keys.of(seed, n)
    angle, r = 2 * torch.pi * keys.uniform(), radius + spread * keys.fold("radius").normal()
    return (r[:, None] * torch.stack([angle.cos(), angle.sin()], 1)).float()


def read_csv(path: Path) -> Tensor:
    """The points of a file, (n, 2); InputError naming file, line and field."""
    try:
        with path.open(newline="") as file:
            rows = [_row(row, f"{path}: line {number}") for number, row in enumerate(csv.reader(file), 1)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file of points ({error})") from None
    return torch.tensor(rows).reshape(-1, 2)


def _row(row: list[str], where: str) -> list[float]:
    try:
        x, y = map(float, row)
    except ValueError:
        raise InputError(f"{where} is {','.join(row)[:40]!r}, expected two numbers x,y") from None
    if not (isfinite(x) and isfinite(y)):
        raise InputError(f"{where} is {','.join(row)[:40]!r}, expected finite numbers")
    return [x, y]


def split(x: Tensor, source: str) -> tuple[Arrays, Arrays]:
    """All points but every eighth to learn from, and those to validate on."""
    if len(x) < 8:
        raise InputError(f"{source}: {len(x)} points, expected 8 at least")
    held_out = torch.arange(len(x)) % 8 == 7
    metadata = {"source": source, "std": x.std().item(), "radius": x.norm(dim=1).mean().item()}
    return Arrays(x[~held_out], {}, metadata), Arrays(x[held_out], {}, metadata)
