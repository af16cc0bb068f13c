"""Positions that no record of a batch has are cut off before the batch goes to the device.

Lengths are rounded up, so that batches come in few shapes, for which graphs can be compiled. Random numbers and losses
are those of the whole length: element j of a stream is the same whatever comes after it.
"""

from typing import Any

import torch
from torch import Tensor

from ..denoisers.base import Condition
from ..states import State, leaves, map_state

ROUND = 4
"""Lengths are multiples of it, or the whole length."""


def cut(x0: State, condition: Condition) -> tuple[Any, dict[str, Tensor]]:
    """States (batch, positions, ...) and their "mask" (batch, positions), as far as a record of the batch reaches.

    Other conditions stay as they are, and so does everything where there is no such mask, or it is not of all parts.

    Args:
        x0: clean states, (batch, positions, ...), or a dictionary of them.
        condition: what each sample is given, name → (batch, ...).
    """
    mask = condition.get("mask")
    if mask is None or mask.ndim != 2 or any(x.ndim < 2 or x.shape[1] != mask.shape[1] for x in leaves(x0)):
        return x0, dict(condition)
    reached = int((mask.any(0) * torch.arange(1, mask.shape[1] + 1)).max())
    n = min(max(1, -(-reached // ROUND)) * ROUND, mask.shape[1])
    return map_state(lambda x: x[:, :n].contiguous(), x0), {**condition, "mask": mask[:, :n].contiguous()}
