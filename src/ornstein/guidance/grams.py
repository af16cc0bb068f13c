"""(A Aᵀ)⁺ of an operator, by what is cheapest: the equations that a projection onto A x = b leads to, in float64.

    A Aᵀ = U diag(λ) Uᵀ      rows that do not overlap, shift-invariant ones: U is found by trying waves (`Basis`)
    A Aᵀ = V diag(λ) Vᵀ      a few rows: an eigendecomposition
    otherwise                conjugate gradients

Rows are divided by their lengths, |a_i|, so that all of them count in the units of the data. Where λ = 0 rows depend on
one another, and (A Aᵀ)⁺ is 0.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from ..spectral.transforms import AXES, PIXELS, Basis, Separable
from .krylov import conjugate_gradients
from .operators import Operator

FORMED = 1024
"""The largest number of rows of which A Aᵀ is formed."""
_NOTHING = 1e-12
"""Eigenvalues below this share of the largest one are 0."""
_PROBES = 64
_CHUNK = 2**23
"""As many numbers of events at a time."""


@dataclass(frozen=True, eq=False)
class Gram:
    """The lengths of the rows of A, and the pseudo-inverse of A Aᵀ for rows of length 1.

    Attributes:
        lengths: of the rows, float64, (1 or batch, *seen); 1 for rows of zeros.
        inverse: of the normalised system, sample by sample: of a right side, and the size of what in it is round-off.
    """

    lengths: Float[Tensor, "#batch ..."]
    inverse: Callable[[Tensor, float], Tensor]


def gram(operator: Operator, like: Float[Tensor, "batch ..."], shared: bool) -> Gram:
    """Of the operator, for events like these.

    Args:
        like: events, whose shape, device and number count.
        shared: whether the operator is the same for all samples.
    """
    like = torch.zeros_like(like[:1] if shared else like, dtype=torch.float64)
    seen = tuple(operator(like).shape[1:])

    def system(y: Tensor) -> Tensor:
        return operator(operator.adjoint(y))

    if shared and (found := _in_waves(system, seen, like)) is not None:
        return found
    if shared and prod(seen) <= FORMED:
        return _formed(system, seen, like)
    return _iterated(operator, system, seen, like)


# Rows that waves make independent ----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _InWaves:
    basis: Basis
    gain: Float[Tensor, "1 ..."]

    def __call__(self, y: Tensor, noise: float = 0.0) -> Tensor:
        return self.basis.inverse(self.gain * self.basis.forward(y))


def _in_waves(system: Callable[[Tensor], Tensor], seen: tuple[int, ...], like: Tensor) -> Gram | None:
    """By the first basis in which A Aᵀ is diagonal; None where it is so in none that is tried."""
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (1, *seen), generator=generator).to(like) * 2 - 1
    other = torch.randn(1, *seen, generator=generator).to(like)
    image = system(other)
    for basis in _bases(seen):
        values = basis.forward(system(basis.inverse(signs))) * signs
        if (basis.inverse(values * basis.forward(other)) - image).norm() <= 1e-12 * image.norm():
            waves = [place for place, word in enumerate(basis.axes, start=-len(basis.axes)) if word != "pixels"]
            squares = values.mean(waves, keepdim=True).expand_as(values) if waves else values
            lengths = torch.where(squares > _NOTHING * squares.max(), squares, 1.0).sqrt()
            return Gram(lengths, _InWaves(basis, _reciprocal(values) * lengths**2))
    return None


def _bases(seen: tuple[int, ...]) -> Iterator[Separable]:
    """The values themselves, then waves along up to three axes."""
    yield PIXELS
    long = [1 < side <= 4096 for side in seen]
    if 0 < sum(long) <= 3:
        kinds = [AXES if wavy else ("pixels",) for wavy in long]
        yield from (Separable(words) for words in product(*kinds) if set(words) != {"pixels"})


# A few rows ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Formed:
    matrix: Float[Tensor, "m m"]

    def __call__(self, y: Tensor, noise: float = 0.0) -> Tensor:
        return (y.flatten(1) @ self.matrix).reshape(y.shape)


def _formed(system: Callable[[Tensor], Tensor], seen: tuple[int, ...], like: Tensor) -> Gram:
    m = prod(seen)
    units = torch.eye(m).to(like).reshape(m, *seen)
    most = max(1, _CHUNK // max(like[0].numel(), m))
    whole = torch.cat([system(some).flatten(1) for some in units.split(most)])
    whole = (whole + whole.T) / 2
    squares = whole.diagonal()
    lengths = torch.where(squares > 0, squares, 1.0).sqrt()
    values, axes = torch.linalg.eigh(whole / lengths / lengths[:, None])
    return Gram(lengths.reshape(1, *seen), _Formed(axes * _reciprocal(values) @ axes.T))


def _reciprocal(values: Tensor) -> Tensor:
    """1/λ, 0 where λ is 0 to round-off."""
    there = values > _NOTHING * values.max()
    return torch.where(there, 1 / torch.where(there, values, 1.0), 0.0)


# Many, or each sample's own ----------------------------------------------------------------------------


def _iterated(operator: Operator, system: Callable[[Tensor], Tensor], seen: tuple[int, ...], like: Tensor) -> Gram:
    """The lengths from random signs, exact where a row has one element."""
    generator, squares = torch.Generator().manual_seed(1), torch.zeros(len(like), *seen).to(like)
    for _ in range(_PROBES):
        signs = torch.randint(0, 2, like.shape[1:], generator=generator).to(like) * 2 - 1
        squares = squares + operator(signs.expand(like.shape)) ** 2 / _PROBES
    lengths = torch.where(squares > 0, squares, 1.0).sqrt()

    def inverse(y: Tensor, noise: float = 0.0) -> Tensor:
        own = lengths if len(lengths) == len(y) else lengths[:1]
        size = y.detach().flatten(1).norm(dim=1)
        least = float(size.where(size > 0, torch.inf).min())
        tolerance = min(max(1e-10, noise * prod(seen) ** 0.5 / least), 0.1)  # what is round-off has no solution
        return conjugate_gradients(lambda u: system(u / own) / own, y, tolerance, 40 * int(prod(seen) ** 0.5) + 400).x

    return Gram(lengths, inverse)
