"""What makes samples the same bit for bit: the model, the request with the files it names, seed, settings, versions.

A drawing that was cut off goes on only if all of it is the same. Numbers that no JSON holds stand there by SHA-256.
"""

import json
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from hashlib import sha256 as sha256_of
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...config import to_dict
from ...denoisers.base import Denoiser
from ...errors import InputError
from ...files import plain
from ..samples import versions
from ..task import Request
from .inputs import Inputs


def identity(
    denoiser: Denoiser,
    asked: Any,
    request: Request,
    settings: Mapping[str, Any],
    device: str | None = None,
    threads: int | None = None,
    inputs: Inputs | None = None,
) -> dict[str, Any]:
    """What the same samples need, in JSON values: name → value.

    Args:
        denoiser: the model, (x_t, t, condition) → belief, with its guides.
        asked: the user's request, a frozen dataclass of the domain.
        request: what it led to.
        settings: seed, number of samples and how they are drawn.
        device: on which they are drawn, "cpu" or "cuda"; that of the denoiser if not given.
        threads: of the arithmetic of a process, on which the last digit may depend where it is done on a CPU; those of
            this process if not given.
        inputs: the files that the request names, as they were when it was first read; as they are now if not given.
    """
    device = device or denoiser.device.type
    assert denoiser.origin is not None
    origin = denoiser.origin
    found = {
        "model": f"{origin.domain}/{origin.name}",
        "weights": origin.weights,
        "model's config": _digest(origin.config),
        "model's facts": _digest(origin.metadata),
        **plain(to_dict(asked)),
        **{f"file {path}": content for path, content in (inputs or Inputs(asked)).digests.items()},
        **{f"condition {name!r}": _digest(value) for name, value in request.condition.items()},
        "what was read of the request": _digest([request.record, request.each, request.start, request.strength]),
        "guides": _digest([list(denoiser.provenance), list(_tensors(request.guides))]),
        **plain(dict(settings)),
        "device": device,
        "threads": (threads or torch.get_num_threads()) if device == "cpu" else None,
        **{name: version for name, version in versions().items() if name != "python"},
    }
    return {name: value for name, value in found.items() if value is not None}


def digest_of(drawn: Mapping[str, Any]) -> str:
    """The SHA-256 of an identity, the same before it was written to a manifest and after it is read there."""
    return sha256_of(json.dumps(plain(drawn), sort_keys=True).encode()).hexdigest()


def require_same(found: Mapping[str, Any], asked: Mapping[str, Any], where: object) -> None:
    """InputError that says what differs between what was drawn and what is asked for now.

    Args:
        found: the identity of what was drawn.
        asked: that of what is asked for.
        where: the first stands, for the error.
    """
    for name in dict.fromkeys([*asked, *found]):
        before, now = found.get(name), asked.get(name)
        if before != now and name == "threads" and before is not None and now is not None:
            raise InputError(f"{where}: drawn with {before} threads a process, asked for are {now}: --threads {before}")
        if before != now:
            raise InputError(
                f"{where}: drawn with {name} = {reprlib.repr(before)}, asked for is {reprlib.repr(now)}; only the same "
                "request, model, seed, settings and versions draw the rest"
            )


def _digest(value: Any) -> str:
    """The SHA-256 of JSON values and tensors."""
    found = sha256_of()
    for piece in _pieces(value):
        found.update(piece)
    return found.hexdigest()


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, Tensor) and value.layout is not torch.strided:
        entries = value.detach().to_sparse_coo().coalesce()
        yield from _pieces([list(value.shape), entries.indices(), entries.values()])
    elif isinstance(value, Tensor | np.ndarray):
        array = value.detach().cpu() if isinstance(value, Tensor) else torch.from_numpy(np.ascontiguousarray(value))
        yield f"{array.dtype}{tuple(array.shape)}".encode()
        laid_out = torch.empty_like(array, memory_format=torch.contiguous_format).copy_(array)  # of a stride of 0, too
        yield laid_out.flatten().view(torch.uint8).numpy().tobytes() if array.numel() else b""
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield f"{name!r}:".encode()
            yield from _pieces(inner)
    elif isinstance(value, list | tuple):
        yield f"[{len(value)}]".encode()
        for inner in value:
            yield from _pieces(inner)
    else:
        yield repr(plain(value)).encode()


_DEEP = 8


def _tensors(value: Any, deep: int = _DEEP) -> Iterator[Tensor]:
    """The tensors that guides hold, such as what was measured and the weights of a network that judges."""
    if not deep or isinstance(value, str | bytes):
        return
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, np.ndarray) and value.dtype.kind in "fiubc":
        yield torch.from_numpy(np.ascontiguousarray(value))
    elif isinstance(value, nn.Module):
        yield from value.state_dict().values()
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _tensors(inner, deep - 1)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _tensors(inner, deep - 1)
    elif is_dataclass(value) and not isinstance(value, type):
        for part in fields(value):
            yield from _tensors(getattr(value, part.name, None), deep - 1)
