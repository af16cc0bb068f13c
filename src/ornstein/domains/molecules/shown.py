"""Molecules as a person wants to see them: a few, spread over all that were drawn."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from ...tasks.figures import Figure, Interactive
from ...tasks.samples import Samples
from .chemistry import figures
from .drawn import molecules_of, placed

SHOWN, FEW = 12, 4
"""Molecules in a picture, and on their way."""


def pictures(shown: Samples, few: Samples, of: int) -> Sequence[Figure | Interactive]:
    """A wall of them, turning ones, ones to turn; the trajectory of a few.

    Args:
        shown: at most SHOWN of all.
        few: at most FEW of all.
        of: how many there are.
    """
    frames = len(few.trajectory)
    steps = torch.linspace(0, frames - 1, min(frames, 40)).round().long().tolist()
    way = [placed(replace(few, x=few.trajectory[k])) for k in steps]
    return [*figures.gallery(molecules_of(shown), of), *(figures.emergence(way) if way else [])]
