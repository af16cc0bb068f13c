"""Groups of points of a field that share what is fitted."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Num

from ..errors import InputError
from .ensembles import real


@dataclass(frozen=True, eq=False)
class Groups:
    """Which group each point belongs to.

    Attributes:
        labels: 0 … count − 1, of the flat field.
        count: of groups.
        shape: of the field.
        by: how the user called them.
    """

    labels: Int[np.ndarray, " points"]
    count: int
    shape: tuple[int, ...]
    by: str

    def sums(self, values: Num[np.ndarray, "cases points"], points: slice) -> Float[np.ndarray, " groups"]:
        """Over cases and over these points of each group."""
        return np.bincount(self.labels[points], values.sum(0), self.count)

    def of_points(self, values: Num[np.ndarray, " groups"]) -> Num[np.ndarray, "*field"]:
        """What each point has of its group's."""
        return values[self.labels].reshape(self.shape)

    def each(self) -> Iterator[tuple[int, Int[np.ndarray, " members"]]]:
        """The points of each group."""
        order = np.argsort(self.labels, kind="stable")
        ends = np.cumsum(np.bincount(self.labels, minlength=self.count))
        yield from enumerate(np.split(order, ends[:-1]))


def grouping(by: Any, shape: tuple[int, ...]) -> Groups:
    """Groups of a field's points.

    Args:
        by: "all" points together, every "element" alone, or whole numbers ≥ 0, one an element of the field or 1 along
            an axis: points of one number are a group.
        shape: of the field.

    InputError for anything else.
    """
    size = prod(shape)
    if isinstance(by, str):
        if by not in ("all", "element"):
            raise InputError(f"by: {by!r}, expected 'all', 'element' or an array of whole numbers")
        labels = np.zeros(size, np.int64) if by == "all" else np.arange(size)
        return Groups(labels, int(labels.max()) + 1, shape, by)
    found = real(by, "by")
    if found.dtype.kind not in "iu" or (found.size and found.min() < 0):
        raise InputError(f"by: numbers of type {found.dtype}, expected whole numbers ≥ 0, one a group")
    if found.ndim != len(shape) or any(n not in (1, m) for n, m in zip(found.shape, shape, strict=True)):
        raise InputError(f"by: shape {found.shape}, expected that of the field, {shape}, or 1 along an axis")
    labels = np.unique(np.broadcast_to(found, shape).ravel(), return_inverse=True)[1]
    return Groups(labels, int(labels.max()) + 1, shape, "group")
