"""Approximate inverses of S = 1 + A C Aᵀ, where C costs gradients of a network, from a covariance G that costs none.

G is what C would be if the data were Gaussian (`Euclidean.gaussian_cov`). B = 1 + A G Aᵀ is solved by the first way
that there is:

    Scaled     B is diagonal, as where A and G are diagonal in one basis
    Factored   A and G are the same for all samples and A gives up to `FORMED` numbers: B = L Lᵀ, formed once a solve
    Inner      conjugate gradients of many products with B for each product with C, to a low precision (Golub & Ye 1999)

On 32² fields of spectrum k⁻³ and of an amplitude that varies with the place, solves to 10⁻⁴ took, without and with it,
131 and 43 products with C (500 sensors), 137 and 6 (a blur), 172 and 18 (an image by 8 coils and a quarter of its
frequencies), and with a white G that knows nothing but the variance 132, 8 and 28. Dividing by an estimate of B's
diagonal made all of them slower; those to a tenth cost the least in all, where a product with C is worth 25 of B.
Where `Inner` is the way and no values are asked for, the solve is one in the space of states: see within_states.py.

Determinants: log det S = log det B + log det B⁻¹S, of which the second is small; see krylov.log_determinant.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariances import Rooted
from ..keys import Keys
from .krylov import Determinant, conjugate_gradients, known, log_determinant, signs
from .operators import Operator

FORMED = 1536
"""The largest number of measured values for which B is formed."""


class Preconditioner(ABC):
    """A system B ≈ S of which everything is cheap, sample by sample."""

    @abstractmethod
    def __call__(self, r: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """B⁻¹ r, more or less."""

    @abstractmethod
    def system(self, u: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """B u."""

    @abstractmethod
    def probes(self, number: int) -> Float[Tensor, "probes #batch ..."]:
        """Random vectors of the covariance B⁻¹, the same at every call: see `krylov.log_determinant`."""

    @abstractmethod
    def determinant(self) -> Determinant:
        """log det B."""

    def exactly(self, r: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """B⁻¹ r."""
        return self(r)


@dataclass(frozen=True)
class Scaled(Preconditioner):
    """A diagonal.

    Attributes:
        diagonal: of B, (batch, *measured).
    """

    diagonal: Float[Tensor, "batch ..."]

    def __call__(self, r: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return r / self.diagonal

    def system(self, u: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return u * self.diagonal

    def probes(self, number: int) -> Float[Tensor, "probes #batch ..."]:
        return signs(self.diagonal, number) * self.diagonal.rsqrt()

    def determinant(self) -> Determinant:
        return known(self.diagonal.double().log().flatten(1).sum(1))


@dataclass(frozen=True)
class Factored(Preconditioner):
    """A matrix that is the same for all samples.

    Attributes:
        root: its Cholesky root, float64.
        like: what it acts on.
    """

    root: Float[Tensor, "m m"]
    like: Float[Tensor, "batch ..."]

    def __call__(self, r: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return torch.cholesky_solve(self._columns(r), self.root).T.reshape(r.shape).to(r)

    def system(self, u: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return (self.root @ (self.root.T @ self._columns(u))).T.reshape(u.shape).to(u)

    def probes(self, number: int) -> Float[Tensor, "probes #batch ..."]:
        z = signs(self.like, number)
        turned = torch.linalg.solve_triangular(self.root.T, self._columns(z[:, 0]), upper=True)
        return turned.T.reshape(z.shape).to(z)

    def determinant(self) -> Determinant:
        return known(2 * self.root.diagonal().log().sum()[None])

    def _columns(self, x: Tensor) -> Tensor:
        return x.flatten(1).to(self.root).T


@dataclass(frozen=True)
class Inner(Preconditioner):
    """B by its products alone.

    Attributes:
        white: A, in units of the noise.
        cov: G.
        event: states, whose shape, precision and device count.
        like: what A gives of them, likewise.
        tolerance: of the solves, relative; those of `exactly` are to a thousandth.
        iterations: at most, of each solve.
    """

    white: Operator
    cov: Rooted
    event: Float[Tensor, "batch ..."]
    like: Float[Tensor, "batch ..."]
    tolerance: float = 0.1
    iterations: int = 100

    def __call__(self, r: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return conjugate_gradients(self.system, r, self.tolerance, self.iterations).last

    def system(self, u: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return u + self.white(self.cov(self.white.adjoint(u)))

    def exactly(self, r: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return conjugate_gradients(self.system, r, 1e-3, 10 * self.iterations).last

    def probes(self, number: int) -> Float[Tensor, "probes #batch ..."]:
        """B⁻¹ (ε + A L ε'), with G = L Lᵀ."""
        pairs = zip(signs(self.like, number), signs(self.event, number, "fields"), strict=True)
        return torch.stack([self.exactly(e + self.white(self.cov.root(f.expand_as(self.event)))) for e, f in pairs])

    def determinant(self) -> Determinant:
        return log_determinant(self.system, signs(self.like, 32), self.like, 60)


def gaussian(
    white: Operator, cov: Rooted, event: Float[Tensor, "batch ..."], like: Float[Tensor, "batch ..."]
) -> Preconditioner:
    """B = 1 + A G Aᵀ, solved by what is cheap.

    Args:
        white: A, in units of the noise.
        cov: G.
        event: states, whose shape, precision and device count.
        like: what A gives of them, likewise.
    """
    if (scaled := diagonal(white, cov, like)) is not None:
        return scaled
    if cov.batch == 1 and prod(like.shape[1:]) <= FORMED and shared(white, event):
        return Factored(torch.linalg.cholesky(formed(white, cov, like)), like)
    return Inner(white, cov, event, like)


def diagonal(white: Operator, cov: Rooted, like: Float[Tensor, "batch ..."]) -> Scaled | None:
    """B, if it is nothing but its diagonal: z ∘ B z for signs z (Bekas, Kokiopoulou & Saad 2007).

    Args:
        white: A, in units of the noise.
        cov: G.
        like: what A gives of states, whose shape, precision and device count.
    """

    def system(u: Tensor) -> Tensor:
        return u + white(cov(white.adjoint(u)))

    (z,) = signs(like, 1)
    found = z * system(z.expand_as(like))
    probe = Keys.of(0, 1).fold("diagonal").normal(*like.shape[1:]).to(like).expand_as(like)
    image = system(probe)
    off = (image - found * probe).abs() > 1e-4 * image.abs().amax()
    return None if (off | (found <= 0)).any() else Scaled(found)


# Formed for all samples at once -----------------------------------------------------------------------


def shared(white: Operator, event: Float[Tensor, "batch ..."]) -> bool:
    """Whether an operator sees the same of every sample, found by showing it one state in each place.

    Args:
        white: A.
        event: states, whose shape, precision and device count.
    """
    if len(event) == 1:
        return True
    probe = Keys.of(0, 1).fold("shared").normal(*event.shape[1:]).to(event)
    seen = white(probe.expand_as(event)).flatten(1)
    return bool(((seen - seen[:1]).abs() <= 1e-5 * seen.abs().amax()).all())


def columns(like: Float[Tensor, "batch ..."], function: Callable[[Tensor], Tensor]) -> Float[Tensor, "m ..."]:
    """What a map that is the same for all samples makes of every unit vector, as many at once as there are samples.

    Args:
        like: what it acts on, whose shape, precision and device count.
        function: the map.
    """
    batch, m = len(like), prod(like.shape[1:])
    found = []
    for start in range(0, m, batch):
        many = min(batch, m - start)
        units = like.new_zeros(batch, m)
        units[range(many), range(start, start + many)] = 1.0
        found.append(function(units.reshape(like.shape))[:many])
    return torch.cat(found)


def formed(white: Operator, cov: Rooted, like: Float[Tensor, "batch ..."]) -> Float[Tensor, "m m"]:
    """1 + A C Aᵀ in float64, of what is the same for all samples.

    Args:
        white: A, in units of the noise.
        cov: C.
        like: what A gives, whose shape, precision and device count.
    """
    rows = columns(like, lambda u: white(cov(white.adjoint(u))).flatten(1)).double()
    return torch.eye(len(rows)).to(rows) + (rows + rows.T) / 2
