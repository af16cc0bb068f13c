"""Random numbers as a pure function of (seed, sample, stream, element).

A sample carries a 64-bit key; `fold` derives the key of a sub-stream (a solver step, a part of a product space).
Element j of a stream is SplitMix64's output j from that key (Steele, Lea & Flood 2014, with Stafford's 13th mixer):

    z = key + (j + 1) γ,    γ = 0x9E3779B97F4A7C15
    z = (z ⊕ z≫30) · 0xBF58476D1CE4E5B9,   z = (z ⊕ z≫27) · 0x94D049BB133111EB,   z ⊕ z≫31

Nothing is stored and nothing advances, so sample i of seed s is the same in any batch, on any number of workers, after
any resume, on CPU and GPU; and because it is tensor arithmetic, a loop that uses it can be compiled whole.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, ParamSpec, TypeVar
from zlib import crc32

import torch
from jaxtyping import Float, Int64
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def _signed(value: int) -> int:
    """The 64-bit pattern of value as the signed integer that torch's int64 holds."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


_GAMMA = _signed(0x9E3779B97F4A7C15)
_MIX_1 = _signed(0xBF58476D1CE4E5B9)
_MIX_2 = _signed(0x94D049BB133111EB)


def constant(function: Callable[P, R]) -> Callable[P, R]:
    """Marks a function whose result torch.compile may take for a constant.

    `torch.compiler.assume_constant_result` sets the same mark, but imports the compiler to do so: a second and more.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


@constant
def _number(stream: int | str) -> int:
    """Words and step numbers must not meet: words start at 2⁴⁰."""
    return crc32(stream.encode()) + (1 << 40) if isinstance(stream, str) else stream


def _folded(key: Tensor, number: int | Tensor) -> Tensor:
    step = (number + 1) * _MIX_1
    return _mix((key ^ _MIX_2) + (_signed(step) if isinstance(step, int) else step))


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Logical right shift: int64 shifts drag the sign along, so mask it off."""
    return (z >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _mix(z: Tensor) -> Tensor:
    z = _shifted(z, 30).bitwise_xor_(z).mul_(_MIX_1)
    z = _shifted(z, 27).bitwise_xor_(z).mul_(_MIX_2)
    return _shifted(z, 31).bitwise_xor_(z)


@dataclass(frozen=True)
class Keys:
    """One 64-bit key a sample, and the names of the sub-streams folded into it, which are mixed in when needed.

    Attributes:
        root: the keys, int64.
        path: the sub-stream, outermost name first.
    """

    root: Int64[Tensor, " batch"]
    path: tuple[int | str, ...] = ()

    @classmethod
    def of(cls, seed: int, samples: int | range | Sequence[int], device: torch.device | str = "cpu") -> "Keys":
        """The keys of the samples numbered `samples` (an int n stands for range(n)) under `seed`.

        Args:
            device: where the tensors are.
        """
        samples = range(samples) if isinstance(samples, int) else samples
        index = torch.tensor(list(samples), dtype=torch.int64, device=device)
        root = _mix(torch.tensor(_signed(seed), device=device) + _GAMMA)
        return cls(_mix(root ^ _mix(index * _GAMMA + _MIX_1)))

    @property
    def key(self) -> Int64[Tensor, " batch"]:
        """The keys of the sub-stream."""
        key = self.root
        for name in self.path:
            key = _folded(key, _number(name))
        return key

    def fold(self, stream: int | str) -> "Keys":
        """Keys of an independent stream, named by a step number or a word."""
        return Keys(self.root, (*self.path, stream))

    def streams(self, count: int) -> list["Keys"]:
        """fold(0), …, fold(count − 1), which make their normal numbers together: faster for many small draws."""
        shared: dict[Any, Any] = {}
        return [
            Together(self.root, (*self.path, k), base=self, index=k, count=count, shared=shared) for k in range(count)
        ]

    def bits(self, *shape: int) -> Int64[Tensor, "batch ..."]:
        """Uniform 64-bit integers of shape (batch, *shape)."""
        counters = torch.arange(1, prod(shape) + 1, device=self.root.device) * _GAMMA
        return _mix(self.key[:, None] + counters).reshape(len(self), *shape)

    def uniform(self, *shape: int) -> Float[Tensor, "batch ..."]:
        """Uniform numbers in the open interval (0, 1), float64, shape (batch, *shape)."""
        return _shifted(self.bits(*shape), 12).double().add_(0.5).mul_(2.0**-52)

    def normal(self, *shape: int) -> Float[Tensor, "batch ..."]:
        """Standard normal numbers, float64, shape (batch, *shape)."""
        return torch.special.ndtri(self.uniform(*shape))

    def to(self, device: torch.device | str) -> "Keys":
        """The keys on another device, where they give the same numbers."""
        return Keys(self.root.to(device), self.path)

    def __len__(self) -> int:
        return len(self.root)

    def __getitem__(self, index: slice | Tensor) -> "Keys":
        return Keys(self.root[index], self.path)


_BLOCK = 1 << 15  # numbers made together at most: small tensors cost their calls, large ones their memory


@dataclass(frozen=True)
class Together(Keys):
    """One of `count` streams of a base; draws normal numbers for a block of its neighbours too, and shares them."""

    base: Keys = field(kw_only=True)
    index: int = field(kw_only=True)
    count: int = field(kw_only=True)
    shared: dict[Any, Any] = field(kw_only=True)

    def fold(self, stream: int | str) -> "Together":
        return replace(self, path=(*self.path, stream))

    def normal(self, *shape: int) -> Float[Tensor, "batch ..."]:
        size = max(1, _BLOCK // max(1, len(self) * prod(shape)))
        block, place = divmod(self.index, size)
        inner = self.path[len(self.base.path) + 1 :]
        number, numbers = self.shared.get((inner, shape), (None, None))
        if number != block or numbers is None:
            numbers = self._block(range(block * size, min((block + 1) * size, self.count)), inner, shape)
            self.shared[inner, shape] = block, numbers
        return numbers[place]

    def _block(self, streams: range, inner: tuple[int | str, ...], shape: tuple[int, ...]) -> Tensor:
        numbers = torch.tensor(list(streams), device=self.root.device)
        roots = _folded(self.base.key, numbers[:, None])
        together = Keys(roots.flatten(), inner).normal(*shape)
        return together.reshape(len(streams), len(self), *shape)
