"""Covariances of fields with their roots and determinants: diagonal in a basis, less what a few numbers explain.

    Spectral      C = U diag(v) Uᵀ,            L = U diag(√v) Uᵀ,         log det C = Σ log v
    Downdated     C = L₀ (1 − Q diag(λ) Qᵀ) L₀ᵀ,  L = L₀ (1 − Q diag(1 − √(1 − λ)) Qᵀ),  log det C₀ + Σ log (1 − λ)

L₀ is the root of the covariance C₀ before m numbers were seen, Q has m orthonormal fields as columns, and λ ∈ [0, 1] is
the share of the variance along each of them that was explained. Where λ = 1 nothing is left to draw; a density counts a
width of a millionth there. Batch axes of length 1 stand for all samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from ..covariances import Rooted
from ..errors import InputError
from ..states import Time, left
from ..values import Numbers, as_constants, is_number, require_positive
from .transforms import PIXELS, Basis, Separable, require_basis

_ALL = 1 - 1e-12
"""A larger share is all of it; in densities what is certain still has a width, of a millionth."""


@dataclass(frozen=True, eq=False, repr=False)
class Spectral(Rooted):
    """A covariance that is diagonal in an orthonormal basis.

    Attributes:
        basis: U.
        variance: of each coefficient, in squared units of x, (1 or batch, *event), positive.
    """

    basis: Basis
    variance: Float[Tensor, "#batch ..."]

    @classmethod
    def of(cls, variance: Numbers, basis: Basis = PIXELS) -> "Spectral":
        """The same for all samples.

        Args:
            variance: of each coefficient, of the shape of one event.
            basis: in which it is diagonal.

        InputError unless the variances are positive and finite, and the basis fits their shape.
        """
        require_basis(basis)
        variances = as_constants(variance, "spectrum").double()
        basis.require_fit(variances.shape)
        made = cls(basis, variances[None])
        made.require_positive("spectrum")
        return made

    def require_positive(self, what: str) -> None:
        """InputError, naming `what` it is, unless every variance is positive and finite."""
        if self._wrong is not None:
            _, *place = self._wrong
            value = self.variance[self._wrong].item()
            raise InputError(f"{what}: element {tuple(place)} is {value}, expected a positive finite variance")

    @cached_property
    def _wrong(self) -> tuple[int, ...] | None:
        """Where the first variance is that cannot be one."""
        wrong = (~(self.variance > 0) | ~self.variance.isfinite()).nonzero()
        return tuple(wrong[0].tolist()) if len(wrong) else None

    def __repr__(self) -> str:
        return f"Spectral({self.basis}, {' × '.join(map(str, self.shape))})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one event."""
        return tuple(self.variance.shape[1:])

    @property
    def batch(self) -> int:
        return len(self.variance)

    @property
    def log_det(self) -> Float[Tensor, " #batch"]:
        return self.variance.double().log().flatten(1).sum(1)

    def __call__(self, v: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self._scaled(self.variance, v)

    def root(self, z: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self._scaled(self.variance.sqrt(), z)

    def root_transposed(self, v: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self.root(v)

    def whiten(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self._scaled(self.variance.rsqrt(), x)

    def solve(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """C⁻¹ x."""
        return self._scaled(self.variance.reciprocal(), x)

    def less(self, gain: Float[Tensor, "#batch m ..."], precision: Float[Tensor, "#batch m m"]) -> "Downdated":
        return Downdated.of(self, gain, precision)

    def power(self, exponent: float) -> "Spectral":
        """C to a power: ½ is the root as a covariance, −1 the inverse."""
        return replace(self, variance=self.variance**exponent)

    def __add__(self, other: "Spectral | float | Tensor") -> "Spectral":
        """The sum with another of the same basis, or with white noise of that variance."""
        if isinstance(other, Spectral):
            self.require_same_basis(other)
            other = other.variance
        return replace(self, variance=self.variance + other)

    def __mul__(self, factor: Time) -> "Spectral":
        """The multiple; factor: a number, or one a sample."""
        return replace(self, variance=left(factor, self.variance).to(self.variance) * self.variance)

    __rmul__ = __mul__

    def require_same_basis(self, other: "Spectral") -> None:
        """InputError unless both are diagonal in one basis and of one shape."""
        if not self.basis.same(other.basis) or self.shape != other.shape:
            raise InputError(
                f"covariances that are diagonal in {self.basis} over {self.shape} and in {other.basis} over "
                f"{other.shape} cannot be added: expected one basis"
            )

    def same(self, other: object) -> bool:
        """Whether it is the same covariance."""
        if not isinstance(other, Spectral) or not self.basis.same(other.basis) or self.shape != other.shape:
            return False
        return bool(torch.allclose(self.variance.double(), other.variance.double(), rtol=1e-6, atol=0))

    def _scaled(self, factor: Tensor, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor) or not x.is_floating_point():
            found = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise InputError(f"a spectrum acts on real floating-point fields, found {found}")
        if tuple(x.shape[1:]) != self.shape:
            raise InputError(f"a spectrum over events of shape {self.shape} does not fit {tuple(x.shape[1:])}")
        return self.basis.inverse(factor.to(x) * self.basis.forward(x))


@dataclass(frozen=True, eq=False, repr=False)
class Downdated(Rooted):
    """A covariance less what m numbers explain of it, or with as many directions more.

    Attributes:
        before: the covariance C₀ = L₀ L₀ᵀ.
        directions: Q, orthonormal over the flattened event, (1 or batch, m, *event).
        explained: λ, the share of the variance along each that is explained, at most 1, (1 or batch, m); below 0
            where variance was added.
    """

    before: Rooted
    directions: Float[Tensor, "#batch m ..."]
    explained: Float[Tensor, "#batch m"]

    @classmethod
    def of(
        cls, before: Rooted, gain: Float[Tensor, "#batch m ..."], precision: Float[Tensor, "#batch m m"]
    ) -> "Downdated":
        """C₀ − G S⁻¹ Gᵀ.

        Args:
            before: C₀.
            gain: G, a field for each number seen.
            precision: S⁻¹.
        """
        root, failed = torch.linalg.cholesky_ex(precision.double())
        if failed.any():
            values, axes = torch.linalg.eigh(precision.double())
            root = axes * values.clamp(min=0).sqrt()[..., None, :]
        fields = gain.flatten(2).double()
        scaled = torch.einsum("bmn,bmd->bnd", root.expand(len(fields), -1, -1), fields).reshape(gain.shape)
        return cls.of_white(before, _each(before.whiten, scaled, before.batch))

    @classmethod
    def of_white(cls, before: Rooted, fields: Float[Tensor, "#batch m ..."]) -> "Downdated":
        """L₀ (1 − F Fᵀ) L₀ᵀ, whatever the fields F are.

        Args:
            fields: F, float64.
        """
        flat = fields.flatten(2)
        shares, axes = torch.linalg.eigh(flat @ flat.mT)
        shares = shares.clamp(min=0)
        along = axes.mT @ flat * shares.clamp(min=1e-14).rsqrt()[..., None]
        return cls(before, along.reshape(fields.shape), torch.where(shares > _ALL, 1.0, shares))

    @classmethod
    def within(cls, before: Rooted, rows: Float[Tensor, "1 m ..."]) -> "Downdated":
        """C₀ given A x₀ without any doubt: L₀ (1 − Q Qᵀ) L₀ᵀ, where Q spans L₀ᵀ Aᵀ.

        Args:
            before: C₀.
            rows: of A, each a field, float64; they need not be independent.
        """
        across = _orthonormal(_each(before.root_transposed, rows.expand(before.batch, *rows.shape[1:]), before.batch))
        return cls(before, across, (across.flatten(2).square().sum(2) > 0.5).to(across))

    @classmethod
    def raised(cls, before: Rooted, fields: Float[Tensor, "#batch m ..."]) -> "Downdated":
        """C₀ + Σ_k f_k f_kᵀ: its shares are negative.

        Args:
            before: C₀.
            fields: f_k, in the unit of x.
        """
        white = _each(before.whiten, fields.double(), before.batch)
        return cls.signed(before, white, white.new_full(white.shape[:2], -1.0))

    @classmethod
    def signed(
        cls, before: Rooted, fields: Float[Tensor, "#batch m ..."], shares: Float[Tensor, "#batch m"]
    ) -> "Downdated":
        """L₀ (1 − F diag(shares) Fᵀ) L₀ᵀ, whatever the signs of the shares.

        Args:
            fields: F, float64.
            shares: of the variance along each field that is taken away; below 0 where some is added.
        """
        flat = fields.flatten(2)
        squares, axes = torch.linalg.eigh(flat @ flat.mT)
        lengths = squares.clamp(min=1e-14).sqrt()
        spanned = axes.mT @ flat / lengths[..., None]
        seen = axes * lengths[..., None, :]
        explained, turned = torch.linalg.eigh(seen.mT @ (shares[..., None] * seen))
        along = (turned.mT @ spanned).reshape(fields.shape)
        return cls(before, along, torch.where(explained > _ALL, 1.0, explained))

    def __repr__(self) -> str:
        return f"Downdated({self.before}, {self.explained.shape[1]} numbers)"

    @property
    def batch(self) -> int:
        return max(self.before.batch, len(self.directions))

    @property
    def log_det(self) -> Float[Tensor, " #batch"]:
        return self.before.log_det + (-self.explained.double().clamp(max=_ALL)).log1p().sum(1)

    def __call__(self, v: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self.before.root(self._shrunk(self.before.root_transposed(v), self.explained))

    def root(self, z: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self.before.root(self._shrunk(z, 1 - (1 - self.explained).sqrt()))

    def root_transposed(self, v: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self._shrunk(self.before.root_transposed(v), 1 - (1 - self.explained).sqrt())

    def whiten(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return self._shrunk(self.before.whiten(x), 1 - (1 - self.explained.clamp(max=_ALL)).rsqrt())

    def less(self, gain: Float[Tensor, "#batch m ..."], precision: Float[Tensor, "#batch m m"]) -> "Downdated":
        return Downdated.of(self, gain, precision)

    def _shrunk(self, x: Tensor, shares: Tensor) -> Tensor:
        """(1 − Q diag(shares) Qᵀ) x."""
        directions, flat = self.directions.flatten(2), x.flatten(1).to(self.directions)
        batch = len(flat)
        along = torch.einsum("bmd,bd->bm", directions.expand(batch, -1, -1), flat) * shares
        off = torch.einsum("bm,bmd->bd", along, directions.expand(batch, -1, -1))
        return (flat - off).reshape(x.shape).to(x)


def widens(cov: Rooted, noise: Spectral | None) -> bool:
    """Whether the sum of a covariance and noise has a root: see `widened`.

    Args:
        cov: of x₀.
        noise: its spectrum; None = white.
    """
    while isinstance(cov, Downdated):
        cov = cov.before
    return isinstance(cov, Spectral) and (noise is None or cov.basis.same(noise.basis))


def widened(cov: Rooted, noise: Spectral | None, std: Time, weight: Time) -> Rooted | None:
    """std² Σ + weight² cov with its root; None where no common basis is known.

    Args:
        cov: of x₀.
        noise: Σ; None = white.
        std: of the noise, a number or one a sample.
        weight: of x₀ in the sum, likewise.
    """
    if isinstance(cov, Downdated):
        total = widened(cov.before, noise, std, weight)
        if total is None:
            return None
        signed = bool((cov.explained < 0).any())
        shares = torch.ones_like(cov.explained) if signed else cov.explained.sqrt()
        fields = _each(cov.before.root, cov.directions * _beside(shares, cov.directions), cov.before.batch)
        white = _each(total.whiten, left(_number(weight), fields) * fields, total.batch)
        return Downdated.signed(total, white, cov.explained) if signed else Downdated.of_white(total, white)
    if not isinstance(cov, Spectral) or not widens(cov, noise):
        return None
    scaled, variance = cov * _number(weight) ** 2, _number(std) ** 2
    return scaled + (noise * variance if noise is not None else left(variance, scaled.variance))


def _number(value: Time) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def power_law(
    shape: Sequence[int], exponent: float, basis: Separable, outer: float = 0.0, std: float = 1.0
) -> Spectral:
    """The covariance of a random field whose modes have a variance ∝ (k² + outer²)^(−exponent / 2), a mode.

    Args:
        shape: of one event.
        exponent: such as 3 for a mean square of k⁻³ a mode.
        basis: of the waves.
        outer: the frequency, in cycles a grid step, below which the spectrum is flat; 0 = one cycle over the longest
            side.
        std: of one value of the field, its root mean square.

    InputError for a basis without frequencies, and for settings of which no spectrum can be made.
    """
    if not isinstance(basis, Separable):
        raise InputError(f"power_law: basis is a {type(basis).__name__}, expected waves: Separable, or periodic(axes)")
    if not is_number(exponent):
        raise InputError(f"power_law: exponent is {exponent!r}, expected a finite number")
    if not is_number(outer) or outer < 0:
        raise InputError(f"power_law: outer is {outer!r}, expected a frequency, or 0")
    require_positive("power_law: std", std)
    k = basis.frequencies(shape)
    least = outer or 1 / max([*list(shape)[-len(basis.axes) :], 1])
    power = (k**2 + least**2) ** (-exponent / 2)
    return Spectral.of(std**2 * power / power.mean(), basis)


def estimated(fields: Numbers, basis: Basis, floor: float = 1e-6) -> Spectral:
    """The covariance of data about their mean, if it is diagonal in the basis.

    Args:
        fields: records of clean data, (records, ...).
        basis: in which it is taken to be diagonal.
        floor: the least variance of a mode, as a share of the mean over all: modes that the data lack keep so much.

    InputError for fewer than two records, for records that do not differ, and for what the basis does not fit.
    """
    require_basis(basis)
    if not is_number(floor) or not 0 < floor < 1:
        raise InputError(f"estimated: floor is {floor!r}, expected a share of the mean variance, in (0, 1)")
    records = as_constants(fields, "estimated: fields").double()
    if not records.ndim or len(records) < 2:
        raise InputError(f"estimated: fields have the shape {tuple(records.shape)}, expected at least 2 records")
    basis.require_fit(records.shape[1:])
    power = basis.forward(records - records.mean(0)).square().sum(0) / (len(records) - 1)
    if not power.any():
        raise InputError(f"estimated: all {len(records)} fields are the same, expected some that differ")
    return Spectral.of(power.clamp(min=floor * float(power.mean())), basis)


def _each(
    function: Callable[[Tensor], Tensor], fields: Float[Tensor, "#batch m ..."], batch: int
) -> Float[Tensor, "#batch m ..."]:
    """A map of events applied to m fields of each sample.

    Args:
        function: the map, of so many samples.
        batch: 1 if it is the same for all samples, whose fields are then one batch.
    """
    if batch > 1:
        return torch.stack([function(field.expand(batch, *field.shape[1:])) for field in fields.unbind(1)], 1)
    return function(fields.flatten(0, 1)).reshape(fields.shape)


def _orthonormal(fields: Float[Tensor, "#batch m ..."]) -> Float[Tensor, "#batch m ..."]:
    """As many orthonormal fields as there are independent ones, over the same space, the rest 0.

    What is orthogonal only up to the squared condition of the fields after one pass is so to round-off after two.
    """
    flat = fields.flatten(2)
    for _ in range(2):
        size, axes = torch.linalg.eigh(flat @ flat.mT)
        least = 1e-13 * size[:, -1:].clamp(min=1e-300)
        flat = axes.mT @ flat * torch.where(size > least, size.clamp(min=1e-300).rsqrt(), 0.0)[..., None]
    return flat.reshape(fields.shape)


def _beside(values: Float[Tensor, "#batch m"], fields: Float[Tensor, "#batch m ..."]) -> Tensor:
    return values.reshape(*values.shape, *[1] * (fields.ndim - 2))
