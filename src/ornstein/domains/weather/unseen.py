"""Where nothing was ever known of the truth, such as the sea of an analysis of soil: nothing is drawn there, either."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ...files import Within, require
from .files.packing import packed, unpacked

SCHEMA: Any = {"packed": str, "shape": [Within(int, 1, 2**31)]}
"""Of a record."""


def unseen(truths: Iterable[Float[np.ndarray, "n v s *grid"]]) -> Bool[np.ndarray, "v *grid"]:
    """Of each variable the points where it is missing at all times and steps.

    Args:
        truths: some records at a time, NaN where they are missing.
    """
    found: Any = True
    for one in truths:
        found = found & np.isnan(one).all((0, 2))
    return np.asarray(found)


def record(mask: Bool[np.ndarray, "v *grid"]) -> dict[str, Any] | None:
    """A mask in JSON values; None of one that is nowhere true."""
    if not mask.any():
        return None
    return packed(mask, "bool")


def from_record(
    said: Mapping[str, Any] | None, where: object = "metadata: unseen"
) -> Bool[np.ndarray, "v *grid"] | None:
    """What `record` was made of; InputError if it is not of its form.

    Args:
        said: such a record.
        where: it stands.
    """
    if said is None:
        return None
    require(said, SCHEMA, where)
    return unpacked(said, "bool", where, "mask")
