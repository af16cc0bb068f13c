"""Samples of one kind put one after the other."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from ...states import concatenate
from ..samples import Samples


def joined(parts: Sequence[Samples], replace_seconds: float | None = None) -> Samples:
    """Samples of one kind one after the other, each part with the numbers that follow those of the part before."""
    if len(parts) == 1 and replace_seconds is None:
        return parts[0]
    sizes = [len(one) for one in parts]
    whole: Any = replace(
        parts[0],
        x=concatenate([one.x for one in parts]),
        condition={name: torch.cat([one.condition[name] for one in parts]) for name in parts[0].condition},
        each={name: [value for one in parts for value in one.each[name]] for name in parts[0].each},
        trajectory=[concatenate(frames) for frames in zip(*(one.trajectory for one in parts), strict=True)],
        nfe=_over([one.nfe for one in parts], sizes),
        gradients=_over([one.gradients for one in parts], sizes),
        notes=tuple(dict.fromkeys(note for one in parts for note in one.notes)),
        seconds=sum(one.seconds for one in parts) if replace_seconds is None else replace_seconds,
    )
    return whole


def _over(means: Sequence[float], sizes: Sequence[int]) -> float:
    """The mean over parts of these sizes."""
    mean = sum(mean * size for mean, size in zip(means, sizes, strict=True)) / sum(sizes)
    return int(mean) if float(mean).is_integer() else round(mean, 2)
