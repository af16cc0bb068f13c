"""What the header of a model's weights says of it; no tensor is read."""

from pathlib import Path
from typing import Any

from ...errors import InputError
from ...files import SMALL, parse_json, require

_TENSOR = {"dtype": str, "shape": [int], "data_offsets": [int, int]}
_SAID = {"kind": str, "domain": str, "name": str, "config": dict, "facts": dict}


def header_of(path: Path, name: str = "") -> dict[str, Any]:
    """What the header of a model's weights says of it; no tensor is read.

    InputError if the file is no safetensors file, its tensors lie outside of it, or it is not a model of ornstein's.

    Args:
        path: of the file.
        name: for the error, if not the path.
    """
    where = name or str(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(SMALL, size - 8):
            raise InputError(f"{where}: not a safetensors file, or a truncated one (a header of {length} bytes)")
        text = file.read(length)
    try:
        header = require(parse_json(text.decode("utf-8"), where, "the header of a safetensors file"), dict, where)
    except UnicodeDecodeError:
        raise InputError(f"{where}: not a safetensors file (its header is not UTF-8 text)") from None
    said = require(header.pop("__metadata__", {}), {str: str}, f"{where}: metadata")
    for tensor, value in header.items():
        begin, end = require(value, _TENSOR, f"{where}: tensor {tensor[:80]!r}")["data_offsets"]
        if not 0 <= begin <= end <= size - 8 - length:
            raise InputError(f"{where}: tensor {tensor[:80]!r} lies outside of the file: truncated, or damaged")
    if "ornstein" not in said:
        raise InputError(f"{where}: a safetensors file, but not written by ornstein")
    meta = require(parse_json(said["ornstein"], where, "what ornstein writes of a checkpoint"), _SAID, where)
    if meta["kind"] != "model":
        raise InputError(f"{where}: a {meta['kind']} checkpoint, expected a model checkpoint")
    return meta
