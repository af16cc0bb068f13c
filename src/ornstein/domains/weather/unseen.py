"""Where nothing was ever known of the truth, such as the sea of an analysis of soil: nothing is drawn there, either."""

import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ...errors import InputError
from ...files import Within, require

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
    return {"packed": b64encode(zlib.compress(np.packbits(mask).tobytes())).decode("ascii"), "shape": list(mask.shape)}


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
    size = prod(said["shape"])
    try:
        data = zlib.decompressobj().decompress(b64decode(said["packed"], validate=True), -(-size // 8) + 1)
        return np.unpackbits(np.frombuffer(data, np.uint8), count=size).astype(bool).reshape(said["shape"])
    except (ValueError, zlib.error) as error:
        raise InputError(f"{where}: no mask ({error}), expected one of the shape {said['shape']}") from None
