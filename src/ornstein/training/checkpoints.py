"""Checkpoints: one safetensors file each, with its JSON in the file's own header, so that the two cannot part.

There is no pickle anywhere: a file that is not safetensors is refused before it is interpreted.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from ..errors import InputError
from ..files import parse_json, require, write_atomic
from .rounding import expanded
from .sharding import divided

_KEY = "ornstein"


def save(path: Path, kind: str, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Atomically writes tensors with `meta` (JSON values) as a checkpoint of a `kind`: "model", "training", "data".

    Args:
        path: of the file.
    """
    header = {_KEY: json.dumps({"kind": kind, **meta})}
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(path, lambda temporary: temporary.write_bytes(to_bytes(contiguous, header)))


def load(path: Path, kind: str, schema: Mapping[str, Any] | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and JSON of a checkpoint; InputError if it is absent, truncated, a pickle or of another kind.

    Tensors that were rounded to 8 bits (rounding.py) are float32 again.

    schema: what the JSON must hold beside its kind; see `files.require`.

    Args:
        path: of the file.
    """
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dictionary
        header = file.metadata() or {}
    meta = _meta(header, path, kind, schema)
    return expanded(tensors, path), meta


def load_meta(path: Path, kind: str, schema: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The JSON of a checkpoint alone; see `load`."""
    with _opened(path) as file:
        header = file.metadata() or {}
    return _meta(header, path, kind, schema)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A safetensors file; InputError if it is none."""
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    with path.open("rb") as file:
        start = file.read(9)
    header = start[8:] == b"{"  # after its length, whose bytes may be those of a pickle's mark
    if not header and start[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise InputError(f"{path}: this is a pickle, which can run code when read; expected a safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise InputError(f"{path}: truncated or not a safetensors file ({error})") from None


def _meta(header: Mapping[str, str], path: Path, kind: str, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """The JSON of a header; InputError if it is not of this kind."""
    if _KEY not in header:
        raise InputError(f"{path}: a safetensors file, but not written by ornstein")
    meta = require(parse_json(header[_KEY], path, "what ornstein writes of a checkpoint"), {"kind": str}, path)
    if meta["kind"] != kind:
        raise InputError(f"{path}: a {meta['kind']} checkpoint, expected a {kind} checkpoint")
    return require(meta, schema or {}, path)


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], path: Path, partly: bool = False) -> list[str]:
    """Copies tensors into a module; InputError naming the first that is missing, surplus, misshapen or not finite.

    Returns the names of the module's tensors that stay as they are.

    Args:
        path: of the file.
        partly: the module may have tensors that the file does not; one in common is needed.
    """
    expected = module.state_dict()
    missing = [name for name in expected if name not in tensors] if partly else []
    found = {name: tensor(tensors, name, like, path) for name, like in expected.items() if name not in missing}
    surplus = sorted(set(tensors) - set(expected))
    if surplus:
        raise InputError(f"{path}: has a tensor {surplus[0]!r} that this network does not")
    if expected and not found:
        raise InputError(f"{path}: has none of the tensors of this network")
    module.load_state_dict(found, strict=not partly)
    return missing


def tensor(tensors: Mapping[str, Tensor], name: str, like: Tensor, path: Path) -> Tensor:
    """The tensor of that name in the precision of `like`, and in parts where `like` is.

    InputError if it is not there, has another shape, is complex or whole where `like` is not, or has a NaN, or ±∞ where
    `like` has none.

    Args:
        tensors: name → tensor.
        path: of the file.
    """
    if name not in tensors:
        raise InputError(f"{path}: has no tensor {name!r}, expected shape {tuple(like.shape)}")
    found = tensors[name]
    if found.shape != like.shape:
        raise InputError(f"{path}: tensor {name!r} has shape {tuple(found.shape)}, expected {tuple(like.shape)}")
    if (found.is_complex(), found.is_floating_point()) != (like.is_complex(), like.is_floating_point()):
        raise InputError(f"{path}: tensor {name!r} is {found.dtype}, expected {like.dtype}")
    found = found.to(like.dtype)
    wrong = ~found.isfinite() if like.isfinite().all() else found.isnan()
    if wrong.any():
        place = tuple(wrong.nonzero()[0].tolist())
        raise InputError(f"{path}: tensor {name!r} is {found[place].item()} at {place}, expected finite numbers")
    return divided(found, like)


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under `prefix/`."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that stand under `prefix/`, without it."""
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
