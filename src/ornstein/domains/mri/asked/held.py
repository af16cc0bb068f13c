"""Lines that are measured but held out: samples that are right predict them."""

import torch
from jaxtyping import Bool
from torch import Tensor

from ....keys import Keys
from ..trajectories.masks import middle_of, whole_lines

MIDDLE = 24
"""Lines of the middle that are never held out, of which coil maps, phase and brightness are made."""


def held_out(mask: Bool[Tensor, "h w"], share: float, seed: int, number: int) -> Bool[Tensor, "h w"]:
    """Some of what was measured, never of the middle: lines, where the mask is of lines, else points.

    Args:
        mask: what was measured, centred.
        share: of it that is held out, at least one line; 0 = nothing.
        seed, number: of the scan and of the slice, of which the choice is a function.
    """
    axis, outer = whole_lines(mask), mask & ~_middle(mask)
    places = (outer if axis is None else outer.any(1 - axis)).flatten().nonzero()[:, 0]
    total = int(mask.sum() if axis is None else mask.any(1 - axis).sum())
    count = min(max(1, round(share * total)) if share else 0, len(places) // 2)
    order = Keys.of(seed, range(number, number + 1)).fold("held out").uniform(len(places))[0].argsort()
    found = torch.zeros(mask.numel() if axis is None else mask.shape[axis], dtype=torch.bool)
    found[places[order[:count]]] = True
    if axis is None:
        return found.reshape(mask.shape)
    return mask & (found[:, None] if axis == 0 else found)


def _middle(mask: Bool[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """What is measured without a gap about the middle, at most so many lines or points."""
    found = torch.zeros_like(mask)
    sides = []
    for side, n in zip(middle_of(mask), mask.shape, strict=True):
        sides.append(slice(max(side.start, n // 2 - MIDDLE // 2), min(side.stop, n // 2 + MIDDLE // 2)))
    axis = whole_lines(mask)
    if axis is not None:
        sides[1 - axis] = slice(None)
    found[sides[0], sides[1]] = True
    return found
