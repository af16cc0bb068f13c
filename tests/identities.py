"""Identities of records by the textbook, and what a split must keep apart."""

from collections.abc import Sequence
from typing import Any

GAP = 20


def common_length(a: Sequence[Any], b: Sequence[Any]) -> int:
    """The longest common subsequence, by the textbook's recursion."""
    row = [0] * (len(b) + 1)
    for x in a:
        diagonal = 0
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], diagonal + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


def identity(a: Sequence[Any], b: Sequence[Any], gap: Any, ragged: bool) -> float:
    if ragged:
        return common_length(a, b) / max(len(a), len(b))
    columns = [(x, y) for x, y in zip(a, b, strict=True) if (x, y) != (gap, gap)]
    return sum(x == y for x, y in columns) / len(columns)


def assert_apart(
    train: Sequence[Any], held_out: Sequence[Any], threshold: float, gap: Any = GAP, ragged: bool = False
) -> None:
    """No held-out record is as similar as the threshold to a training record."""
    closest = max(identity(a, b, gap, ragged) for a in train for b in held_out)
    assert closest < threshold, f"identity {closest:.3f}"
