"""Pictures on the disk: a PNG of each sample, named by number and what it shows, and figures of all of them."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...denoisers.base import Condition
from ...errors import InputError
from ...files import MB, Within, require
from ...report import pictures, walls
from ...states import State
from ...tasks.figures import Figure
from ...tasks.native.blocks import BlockStore
from ...tasks.samples import MANIFEST, Samples, native
from . import data
from .pixels import read

GRID = 1000
"""Pictures in the grid, at most: more of them nobody sees at a glance."""
_HELD = 64 * MB  # of states whose mean and spread are taken at once
_NUMBER = re.compile(r"\d+")
_LABEL = re.compile(r"^\d+-(\d+)\.png$")


class PictureStore(BlockStore):
    """Pictures as they are drawn. Of a finished folder the names of its files are in memory, 100 bytes a sample."""

    def write(self, samples: Samples) -> None:
        for block in self.drawn():
            for name, pixels in zip(_names(block), walls.to_bytes(block.x), strict=True):
                (self.folder / name).write_bytes(pictures.png(pixels))
        first = self.some(samples, range(samples.first, samples.first + min(GRID, len(samples))))
        several = len(samples) > 1 and samples.settings.get("observation")
        spread = self._spread(samples) if several else None
        for name, figure in _figures(len(samples), first.x, spread, samples.trajectory).items():
            (self.folder / name).write_bytes(figure.image)

    def _spread(self, samples: Samples) -> tuple[Tensor, Tensor]:
        if samples.x.numel() * samples.x.element_size() <= _HELD:
            x, _ = self.read(self.numbers)
            return _mean_and_std(torch.as_tensor(x))
        total = square = torch.zeros(samples.x.shape[1:], dtype=torch.float64)
        for block in self.drawn():
            total, square = total + block.x.double().sum(0), square + block.x.double().square().sum(0)
        mean = total / len(samples)
        return mean.float(), (square / len(samples) - mean.square()).clamp(min=0).sqrt().float()

    def load(self, numbers: range) -> tuple[State, Condition]:
        chosen = slice(numbers.start - self.numbers.start, numbers.stop - self.numbers.start)
        paths = [native(self.folder, self._finished, name) for name in self._names[chosen]]
        data.require_shape(data.from_bytes(read(paths[:1]))[0], self.origin.metadata["shape"], paths[0])
        condition = {} if self._labels is None else {"label": self._labels[chosen].clone()}
        return data.from_bytes(read(paths)), condition

    @property
    def _finished(self) -> Mapping[str, Any]:
        """The manifest of the folder, which is there."""
        assert self.manifest is not None
        return self.manifest

    @cached_property
    def _names(self) -> list[str]:
        """Of the pictures, in the order of their numbers."""
        names, where = [name for name in self._finished["files"] if name[:1].isdecimal()], self.folder / MANIFEST
        if not names:
            raise InputError(f"{where}: field files names no picture, 00000.png and so on")
        if len(names) != len(self.numbers):
            raise InputError(f"{where}: n is {len(self.numbers)}, but its files hold {len(names)} samples")
        return sorted(names, key=_in_order)

    @cached_property
    def _labels(self) -> Tensor | None:
        said, names, where = (self._finished.get("each") or {}).get("labels"), self._names, self.folder / MANIFEST
        labels = said or [int(_LABEL.findall(name)[0][:9]) for name in names if _LABEL.search(name)]
        require(labels, [Within(int, 0, max(0, self.origin.metadata["classes"] - 1))], f"{where}: labels")
        if len(labels) not in (0, len(names)):
            raise InputError(f"{where}: names {len(labels)} labels, expected one for each of {len(names)}")
        return torch.tensor(labels) if labels else None


def _in_order(name: str) -> tuple[int, str]:
    """By number: the sixth digit of 100000 comes after all that have five."""
    found = _NUMBER.match(name)
    return len(found[0]) if found else 0, name


def figures(samples: Samples) -> list[Figure]:
    """All or the first; mean and spread of several measured ones; the way there.

    Args:
        samples: of a model of this domain.
    """
    several = len(samples) > 1 and samples.settings.get("observation")
    spread = _mean_and_std(samples.x) if several else None
    return [*_figures(len(samples), samples.x[:GRID], spread, samples.trajectory).values()]


def _figures(
    n: int, first: Tensor, spread: tuple[Tensor, Tensor] | None, trajectory: Sequence[State]
) -> dict[str, Figure]:
    """By the names of their files."""
    counted = f"{n} sample{'s' if n > 1 else ''}"
    told = counted if len(first) == n else f"the first {GRID} of {counted}"
    found = {"grid.png": walls.wall(first, walls.columns_of(len(first)), told)}
    if spread is not None:
        found["mean-and-std.png"] = walls.summary(*spread, n)
    way = walls.trajectory(trajectory) if trajectory else []
    return {**found, **dict(zip(("trajectory.gif", "trajectory.png"), way, strict=False))}


def _mean_and_std(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean(0), x.std(0, correction=0)


def _names(samples: Samples) -> list[str]:
    kinds = [_slug(prompt) for prompt in samples.each.get("prompts", ())]
    label = samples.condition.get("label")
    if not kinds and label is not None:
        kinds = [str(value) for value in label.tolist()]
    return [
        f"{number:05d}{f'-{kind}' if kind else ''}.png"
        for number, kind in enumerate(kinds or [""] * len(samples), samples.first)
    ]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40]
