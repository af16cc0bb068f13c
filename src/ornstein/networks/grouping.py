"""Molecules of like size go through a network together, so that less is computed of what does not exist.

n atoms cost n (1 + n / PAIRS), as their pairs do; each group costs GROUP atoms more. Both were measured on CPUs.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional as F

_PAIRS = 22.0  # atoms whose pairs cost as much as they themselves
_GROUP = 120.0


def alike(mask: Bool[Tensor, "batch n"], training: bool) -> list[tuple[Tensor | slice, int]]:
    """Molecules that go through the layers together, and up to which atom: what none of them has costs nothing.

    On a CPU, groups of like size, where they save more than they cost. A GPU, which would wait for the sizes, takes all
    at once, in training as long as they come (batches are cut when they are read), and so does a compiled network.

    Args:
        mask: the atoms that exist, (batch, n).
        training: whether the network is being trained.
    """
    everyone: Tensor | slice = slice(None)
    if torch.compiler.is_compiling() or (mask.is_cuda and training):
        return [(everyone, mask.shape[1])]
    ends = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).amax(1).clamp(min=1)
    if mask.is_cuda:
        return [(everyone, int(ends.max()))]
    ends, order = ends.sort(stable=True)
    parts = _split(ends.double(), 0, len(ends))
    if len(parts) == 1:
        return [(everyone, int(ends[-1]))]
    return [(order[first:last], int(ends[last - 1])) for first, last in parts]


def _split(ends: Tensor, first: int, last: int) -> list[tuple[int, int]]:
    """Where groups of molecules that are ordered by size begin and end, halved as long as that saves work."""
    work = ends * (1 + ends / _PAIRS)
    count = torch.arange(1, last - first, dtype=work.dtype)
    if not len(count):
        return [(first, last)]
    apart = count * work[first : last - 1] + (last - first - count) * work[last - 1] + _GROUP
    least, at = apart.min(0)
    if least >= (last - first) * work[last - 1]:
        return [(first, last)]
    middle = first + 1 + int(at)
    return _split(ends, first, middle) + _split(ends, middle, last)


def together(parts: Sequence[Tensor], rows: Sequence[Tensor | slice], length: int) -> Tensor:
    """The molecules of all groups in their old order, padded to one length.

    Args:
        parts: of each group, (molecules, atoms, features).
        rows: which molecules of the batch they are; a slice where one group is all.
        length: atoms of what is returned.
    """
    padded = [F.pad(part, (0, 0, 0, length - part.shape[1])) for part in parts]
    if len(padded) == 1:
        return padded[0]
    return torch.cat(padded).index_select(0, torch.cat([row for row in rows if isinstance(row, Tensor)]).argsort())
