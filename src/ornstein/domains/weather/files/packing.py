"""Arrays in JSON: compressed, as text."""

import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from ....errors import InputError


def packed(values: np.ndarray, dtype: str) -> dict[str, Any]:
    """An array as a record, {"packed": text, "shape": [n, …]}.

    Args:
        values: of any shape.
        dtype: of NumPy, in which its numbers are kept, such as "<f2"; "bool": eight in a byte.
    """
    data = np.packbits(values) if dtype == "bool" else np.ascontiguousarray(values, dtype=dtype)
    text = b64encode(zlib.compress(data.tobytes(), 6)).decode("ascii")
    return {"packed": text, "shape": list(values.shape)}


def unpacked(record: Mapping[str, Any], dtype: str, where: object, what: str) -> np.ndarray:
    """The array that `packed` was given; no more is decompressed than its shape says.

    InputError for anything else.

    Args:
        record: of it.
        dtype: in which its numbers were kept.
        where: the record stands.
        what: it is, for the error.
    """
    count = prod(record["shape"])
    size = -(-count // 8) if dtype == "bool" else count * np.dtype(dtype).itemsize
    try:
        data = zlib.decompressobj().decompress(b64decode(record["packed"], validate=True), size + 1)
        flat = np.frombuffer(data, np.uint8 if dtype == "bool" else dtype)
        if len(data) != size:
            raise ValueError(f"{len(data)} bytes of {size}")
        flat = np.unpackbits(flat, count=count).astype(bool) if dtype == "bool" else flat
        return flat.reshape(record["shape"])
    except (ValueError, zlib.error) as error:
        raise InputError(f"{where}: no {what} ({error}), expected one of the shape {list(record['shape'])}") from None
