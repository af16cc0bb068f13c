"""Data are checked before they are used: small sets as a whole before a training, large ones as they are read."""

import torch
from jaxtyping import Int64
from torch import Tensor

from ..denoisers.base import Condition
from ..errors import InputError, RecordError
from ..spaces import Space
from ..states import State, leaves
from .datasets import Dataset

SMALL, SMALL_NUMBERS = 100_000, 1 << 30
"""Sets of up to so many records, of so many numbers together, are checked whole before anything is written."""

_AT_ONCE, _NUMBERS_AT_ONCE = 4096, 1 << 24


def check_ahead(space: Space, data: Dataset, where: str) -> None:
    """Every record of a small set (see SMALL), or the first up to a few thousand, must be clean data of the space.

    No more than 64 MB of them are in memory at once, or one record. The other batches are checked as they are read
    (`read`). InputError names the first record that is not as it must be, or says that there is none.

    Args:
        where: what is checked, in words, for the error.
    """
    if not len(data):
        raise InputError(f"{where}: no records, expected one at least")
    x0, condition = read(space, data, torch.zeros(1, dtype=torch.int64), where)
    size = max(1, sum(leaf.numel() for leaf in (*leaves(x0), *condition.values())))
    many = max(1, min(_AT_ONCE, _NUMBERS_AT_ONCE // size))
    end = len(data) if len(data) <= SMALL and len(data) * size <= SMALL_NUMBERS else many
    for first in range(0, end, many):
        read(space, data, torch.arange(first, min(first + many, end)), where)


def read(space: Space, data: Dataset, records: Int64[Tensor, " batch"], where: str) -> tuple[State, Condition]:
    """The records with these numbers, read once and checked; InputError names the number of a bad one.

    Args:
        space: the kind of data and its noise.
        data: the data set.
        where: what is checked, in words, for the error.
    """
    x0, condition = data.batch(records)
    try:
        space.with_mask(condition.get("mask")).check(x0, where)
    except RecordError as error:
        raise RecordError(error.where, int(records[error.record]), error.what) from None
    for name, value in condition.items():
        infinite = value.isinf().nonzero()
        if len(infinite):
            record, *element = infinite[0].tolist()
            raise RecordError(where, int(records[record]), f"condition {name!r} is infinite at {tuple(element)}")
    return x0, condition
