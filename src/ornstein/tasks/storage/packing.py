"""Some samples as one file, exactly as they were drawn, of whatever domain: for those that are still being drawn.

A safetensors file: the tensors of the states, the conditions and the trajectory by name ("x/positions",
"condition/label", "trajectory/0"), complex ones as pairs of real numbers, and the record in its header. States whose
numbers are somewhere else stand there by shape and type alone (torch's device "meta").
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError
from ...files import Within, plain
from ...states import State, batch_size, map_state
from ...training import checkpoints
from ..samples import Samples, of_record
from .records import RECORD, require_one_each

_KIND = "samples"
_SIZES = [Within(int, 0, 2**40)]
_SCHEMA = {
    "record": RECORD,
    "names": [str],
    "complex": [str],
    "elsewhere": {str: {"shape": _SIZES, "dtype": str}},
}


def without_numbers(samples: Samples) -> Samples:
    """The samples with the shapes and types of their states, but no numbers; without conditions."""
    return replace(samples, x=map_state(lambda leaf: leaf.to("meta"), samples.x), condition={})


def pack(path: Path, samples: Samples, more: Mapping[str, Any] | None = None) -> None:
    """Writes samples into one file, which is whole or absent.

    Args:
        path: of the file.
        samples: to be written.
        more: JSON values to be kept with them.
    """
    tensors = dict(_named({"x": samples.x, "condition": samples.condition, "trajectory": _numbered(samples)}))
    here = {name: leaf for name, leaf in tensors.items() if not leaf.is_meta}
    meta = {
        **(more or {}),
        "record": plain({**samples.record(), "model": None}),
        "names": list(tensors),
        "complex": [name for name, leaf in here.items() if leaf.is_complex()],
        "elsewhere": {name: _shaped(leaf) for name, leaf in tensors.items() if leaf.is_meta},
    }
    real = {name: torch.view_as_real(leaf) if leaf.is_complex() else leaf for name, leaf in here.items()}
    apart = {name: leaf.clone(memory_format=torch.contiguous_format) for name, leaf in real.items()}
    checkpoints.save(path, _KIND, apart, meta)


def unpack(path: Path) -> Samples:
    """The samples of a file that `pack` wrote, but for their model; InputError if it is not such a file, or damaged.

    Args:
        path: of the file.
    """
    return unpack_with(path)[0]


def unpack_with(path: Path) -> tuple[Samples, dict[str, Any]]:
    """The samples of a file, and what else was kept with them; see `unpack`.

    Args:
        path: of the file.
    """
    tensors, meta = checkpoints.load(path, _KIND, _SCHEMA)
    require_one_each(meta["record"], path)
    whole = {name: _tensor(name, tensors, meta, path) for name in meta["names"]}
    nested: dict[str, Any] = {"condition": {}, "trajectory": {}}
    for name, leaf in whole.items():
        _place(nested, name, leaf, path)
    if "x" not in nested:
        raise InputError(f"{path}: has no tensor 'x'")
    states = [nested["x"], *nested["condition"].values(), *nested["trajectory"].values()]
    if any(batch_size(state) != meta["record"]["n"] for state in states):
        raise InputError(f"{path}: its tensors are not of {meta['record']['n']} samples, as its record says")
    found = of_record(meta["record"], nested["x"], nested["condition"], path)
    return replace(found, trajectory=list(nested["trajectory"].values())), meta


def counted(path: Path) -> int:
    """How many samples are in a file that `pack` wrote, whose tensors are not read; errors as of `unpack`.

    Args:
        path: of the file.
    """
    return checkpoints.load_meta(path, _KIND, _SCHEMA)["record"]["n"]


def _numbered(samples: Samples) -> dict[str, State]:
    return {str(k): frame for k, frame in enumerate(samples.trajectory)}


def _named(state: State, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors with the path to each."""
    if isinstance(state, Mapping):
        for name, inner in state.items():
            yield from _named(inner, f"{prefix}/{name}" if prefix else name)
    else:
        yield prefix, state


def _place(nested: dict[str, Any], name: str, leaf: Tensor, path: Path) -> None:
    """Puts a tensor where its path leads."""
    *outer, last = name.split("/")
    for part in outer:
        nested = nested.setdefault(part, {})
        if not isinstance(nested, dict):
            raise InputError(f"{path}: tensor {name!r} lies within another tensor")
    nested[last] = leaf


def _shaped(leaf: Tensor) -> dict[str, Any]:
    return {"shape": list(leaf.shape), "dtype": str(leaf.dtype).removeprefix("torch.")}


def _tensor(name: str, tensors: Mapping[str, Tensor], meta: Mapping[str, Any], path: Path) -> Tensor:
    if name in meta["elsewhere"]:
        said = meta["elsewhere"][name]
        dtype = getattr(torch, said["dtype"], None)
        if not isinstance(dtype, torch.dtype):
            raise InputError(f"{path}: tensor {name!r} is of the type {said['dtype']!r}, which torch does not know")
        return torch.empty(said["shape"], dtype=dtype, device="meta")
    if name not in tensors:
        raise InputError(f"{path}: has no tensor {name!r}, which it names")
    found = tensors[name]
    if name not in meta["complex"]:
        return found
    if found.shape[-1:] != (2,) or not found.is_floating_point():
        raise InputError(f"{path}: tensor {name!r} has shape {tuple(found.shape)}, expected pairs of real numbers")
    return torch.view_as_complex(found)
