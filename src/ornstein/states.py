"""What a sampler moves: one tensor, or a dictionary of named states (a molecule: positions and atoms).

The first axis of every tensor is the batch. Times, masks and weights have fewer axes than the data and line up with it
from the left: `left(t, x)` gives a per-sample t of shape (batch,), or a per-position one of shape (batch, positions),
the trailing axes that broadcasting against x needs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .errors import InputError

State = Tensor | Mapping[str, Any]
Time = float | Tensor
Times = Time | Mapping[str, Time]
"""A time for all of a state, or of each of its parts."""


def as_time(t: Time, like: Tensor) -> Tensor:
    """t as a float64 tensor on the device of `like`."""
    return torch.as_tensor(t, dtype=torch.float64, device=like.device)


def left(t: Time, like: Tensor) -> Tensor:
    """t with trailing axes of length 1 appended until it broadcasts against `like`; floats become 0-d float64.

    InputError if it does not broadcast.
    """
    t = t if isinstance(t, Tensor) else as_time(t, like)
    if t.ndim > like.ndim or not all(1 in (m, n) or m == n for m, n in zip(t.shape, like.shape, strict=False)):
        raise InputError(f"a time or mask of shape {tuple(t.shape)} does not fit data of shape {tuple(like.shape)}")
    return t.reshape(t.shape + (1,) * (like.ndim - t.ndim)) if t.ndim else t


def map_state(function: Callable[..., Any], *states: Any) -> Any:
    """function applied tensor by tensor over states of one structure."""
    if isinstance(states[0], Mapping):
        return {name: map_state(function, *(state[name] for state in states)) for name in states[0]}
    return function(*states)


def leaves(state: State) -> list[Tensor]:
    """The tensors of a state, in the order of its names."""
    if isinstance(state, Mapping):
        return [leaf for part in state.values() for leaf in leaves(part)]
    return [state]


def byte_count(*states: State) -> int:
    """The bytes of all numbers of some states."""
    return sum(leaf.numel() * leaf.element_size() for state in states for leaf in leaves(state))


def batch_size(state: State) -> int:
    """The length of the first axis, which all tensors of a state share."""
    sizes = {len(leaf) for leaf in leaves(state)}
    if len(sizes) != 1:
        raise InputError(f"the tensors of a state must share one batch size, these have {sorted(sizes)}")
    return sizes.pop()


def take(state: State, index: Any) -> Any:
    """The samples `index` (a slice or integer tensor over the batch) of a state."""
    return map_state(lambda leaf: leaf[index], state)


def chunks_of(n: int, size: int) -> list[slice]:
    """Which of n samples are in each chunk of `size` of them, the last one smaller."""
    return [slice(first, min(first + size, n)) for first in range(0, n, size)]


def concatenate(states: Sequence[State]) -> Any:
    """States of one structure joined along the batch; a single one is as it is."""
    if len(states) == 1:
        return states[0]
    return map_state(lambda *parts: _joined(parts), *states)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Along the batch. Shapes alone are joined here: PyTorch does it by its compiler, whose import takes seconds."""
    alike = {(part.device.type, part.dtype, part.shape[1:]) for part in parts}
    if len(alike) == 1 and parts[0].is_meta:
        return parts[0].new_empty((sum(map(len, parts)), *parts[0].shape[1:]))
    return torch.cat(tuple(parts))


def to_device(state: State, device: torch.device | str) -> Any:
    """The state with every tensor on `device`."""
    return map_state(lambda leaf: leaf.to(device), state)


def cast(state: State, dtype: torch.dtype) -> Any:
    """The state with its real numbers in this precision; categories stay as they are."""
    return map_state(lambda leaf: leaf.to(dtype) if leaf.is_floating_point() else leaf, state)


def per_sample_sum(x: Tensor) -> Tensor:
    """(batch, ...) summed over everything but the batch."""
    return x.flatten(1).sum(1) if x.ndim > 1 else x
