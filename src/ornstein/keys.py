"""Random numbers as a pure function of (seed, sample, stream, element).

A sample carries a 64-bit key; `fold` derives the key of a sub-stream (a solver step, a part of a product space).
Element j of a stream is SplitMix64's output j from that key (Steele, Lea & Flood 2014, with Stafford's 13th mixer):

    z = key + (j + 1) γ,    γ = 0x9E3779B97F4A7C15
    z = (z ⊕ z≫30) · 0xBF58476D1CE4E5B9,   z = (z ⊕ z≫27) · 0x94D049BB133111EB,   z ⊕ z≫31

Nothing is stored and nothing advances, so sample i of seed s is the same in any batch, on any number of workers, after
any resume, on CPU and GPU; and because it is tensor arithmetic, a loop that uses it can be compiled whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from zlib import crc32

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def _signed(value: int) -> int:
    """The 64-bit pattern of value as the signed integer that torch's int64 holds."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


_GAMMA = _signed(0x9E3779B97F4A7C15)
_MIX_1 = _signed(0xBF58476D1CE4E5B9)
_MIX_2 = _signed(0x94D049BB133111EB)


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Logical right shift: int64 shifts drag the sign along, so mask it off."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _mix(z: Tensor) -> Tensor:
    z = (z ^ _shifted(z, 30)) * _MIX_1
    z = (z ^ _shifted(z, 27)) * _MIX_2
    return z ^ _shifted(z, 31)


@lru_cache(maxsize=64)
def _counters(count: int, device: torch.device) -> Tensor:
    return torch.arange(1, count + 1, device=device) * _GAMMA


@dataclass(frozen=True)
class Keys:
    """One 64-bit key a sample.

    Attributes:
        key: the keys, int64.
    """

    key: Int64[Tensor, " batch"]

    @classmethod
    def of(cls, seed: int, samples: int | range | Sequence[int], device: torch.device | str = "cpu") -> "Keys":
        """The keys of the samples numbered `samples` (an int n stands for range(n)) under `seed`."""
        samples = range(samples) if isinstance(samples, int) else samples
        index = torch.tensor(list(samples), dtype=torch.int64, device=device)
        root = _mix(torch.tensor(_signed(seed), device=device) + _GAMMA)
        return cls(_mix(root ^ _mix(index * _GAMMA + _MIX_1)))

    def fold(self, stream: int | str) -> "Keys":
        """Keys of an independent stream, named by a step number or a word."""
        number = crc32(stream.encode()) + (1 << 40) if isinstance(stream, str) else stream
        return Keys(_mix((self.key ^ _MIX_2) + _signed((number + 1) * _MIX_1)))

    def bits(self, *shape: int) -> Int64[Tensor, "batch ..."]:
        """Uniform 64-bit integers of shape (batch, *shape)."""
        counters = _counters(prod(shape), self.key.device)
        return _mix(self.key[:, None] + counters).reshape(len(self), *shape)

    def uniform(self, *shape: int) -> Float[Tensor, "batch ..."]:
        """Uniform numbers in the open interval (0, 1), float64, shape (batch, *shape)."""
        return (_shifted(self.bits(*shape), 12).double() + 0.5) * 2.0**-52

    def normal(self, *shape: int) -> Float[Tensor, "batch ..."]:
        """Standard normal numbers, float64, shape (batch, *shape)."""
        return torch.special.ndtri(self.uniform(*shape))

    def __len__(self) -> int:
        return len(self.key)

    def __getitem__(self, index: slice | Tensor) -> "Keys":
        return Keys(self.key[index])
