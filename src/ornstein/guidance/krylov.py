"""Linear systems and determinants by products alone, batched over samples.

S x = b        conjugate gradients (Hestenes & Stiefel 1952), preconditioned by a positive P ≈ S⁻¹, which in the
               flexible form (Golub & Ye 1999) may change from iteration to iteration
log det S      = tr log S ≈ the mean over probes z of zᵀ (log S) z, each from a few Lanczos steps (Ubaru, Chen & Saad
               2017)
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..covariances import matrix_of
from ..errors import InputError
from ..keys import Keys
from ..states import left, per_sample_sum

Product = Callable[[Tensor], Tensor]
"""A linear map of a batch, sample by sample."""

EVERY = 4
"""Iterations between two looks at the residual on an accelerator, each of which waits for all that was asked of it."""


@dataclass(frozen=True)
class Solution:
    """What conjugate gradients found.

    Attributes:
        x: the iterate with the smallest residual.
        last: the last iterate, whose error in the norm of the system is the smallest.
        residual: |right − system(x)| / |right|, a sample.
        capped: the samples that were still on their way when the iterations ran out, or their preconditioner failed.
        iterations: taken, by the slowest sample.
        turned: what the preconditioner makes of the last residual.
    """

    x: Float[Tensor, "batch ..."]
    last: Float[Tensor, "batch ..."]
    residual: Float[Tensor, " batch"]
    capped: Bool[Tensor, " batch"]
    iterations: int
    turned: Float[Tensor, "batch ..."]


def _dot(a: Float[Tensor, "batch ..."], b: Float[Tensor, "batch ..."]) -> Float[Tensor, " batch"]:
    return per_sample_sum(a * b)


@dataclass(frozen=True)
class Geometry:
    """What is long and what is small, where that is not |residual| / |right|.

    Attributes:
        inner: a · b, in which the system and its preconditioner are self-adjoint.
        power: of a residual and what the preconditioner makes of it, the squared size of what is left.
        whole: the squared size that the tolerance is relative to, a sample.
    """

    inner: Callable[[Tensor, Tensor], Tensor]
    power: Callable[[Tensor, Tensor], Tensor]
    whole: Float[Tensor, " batch"]


def conjugate_gradients(
    system: Product,
    right: Float[Tensor, "batch ..."],
    tolerance: float = 1e-6,
    iterations: int = 100,
    preconditioner: Product | None = None,
    every: int | None = None,
    geometry: Geometry | None = None,
) -> Solution:
    """Solves system(x) = right for symmetric positive definite systems, each sample to its own relative tolerance.

    A sample whose residual has shrunk by `tolerance`, or in which a direction of negative curvature shows up, stays as
    it is; the iterate with the smallest residual counts. (The covariance of a network need not be positive, nor quite
    symmetric.) The residual is that of the system itself, |right − system(x)|, whatever the preconditioner.

    Args:
        system: S, applied sample by sample.
        right: b.
        tolerance: of the residual, relative to |b|.
        iterations: the largest number of iterations.
        preconditioner: an approximate inverse of the system, positive; None = as it is. InputError if it shows not to
            be positive, or gives another shape.
        every: iterations between two looks at whether all are done; None = 1 on a CPU and `EVERY` on an accelerator,
            which must not wait for the host. Iterations after the last sample is done change nothing.
        geometry: another inner product and another measure of what is left; None = those of the numbers themselves. In
            it a preconditioner that shows not to be positive ends the solve of that sample, as negative curvature does.
    """
    inner = geometry.inner if geometry else _dot
    size = geometry.power if geometry else lambda residual, turned: per_sample_sum(residual**2)
    every = every or (1 if right.device.type == "cpu" else EVERY)
    x, residual = torch.zeros_like(right), right
    turned = direction = _turned(preconditioner, residual)
    power = size(residual, turned)
    whole = geometry.whole if geometry else power
    enough = tolerance**2 * whole
    best, least = x, power
    going = power > enough
    drive = inner(residual, turned)
    wrong = going & ~(drive > 0)
    taken = 0
    while taken < iterations and (taken % every or (going & ~wrong).any()):
        taken += 1
        image = system(direction)
        curvature = inner(direction, image)
        going = going & (curvature > 0) & ~wrong
        length = left(torch.where(going, drive / torch.where(going, curvature, 1.0), 0.0), x)
        before, x, residual = residual, x + length * direction, residual - length * image
        turned = _turned(preconditioner, residual)
        power = size(residual, turned)
        better = power < least
        best, least = torch.where(left(better, x), x, best), torch.where(better, power, least)
        going = going & (power > enough)
        change, past = inner(residual - before, turned), drive
        drive = inner(residual, turned)
        wrong = wrong | (going & ~(drive > 0))
        share = torch.where(going, change / torch.where(going, past, 1.0), 0.0)
        direction = turned + left(share, x) * direction
    if preconditioner is not None and geometry is None and wrong.any():
        raise InputError(
            f"the preconditioner is not positive: r · P r is {drive[wrong][0].item():.3g} for a residual r, expected a "
            "symmetric positive definite map"
        )
    shrunk = least / whole.clamp(min=torch.finfo(whole.dtype).tiny)
    return Solution(best, x, shrunk.sqrt(), going | wrong, taken, turned)


def _turned(preconditioner: Product | None, residual: Tensor) -> Tensor:
    if preconditioner is None:
        return residual
    found = preconditioner(residual)
    if not isinstance(found, Tensor) or found.shape != residual.shape:
        got = tuple(found.shape[1:]) if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise InputError(f"the preconditioner gives {got}, expected {tuple(residual.shape[1:])}, as it is given")
    return found.to(residual)


# Determinants -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Determinant:
    """A log-determinant, or an estimate of one.

    Attributes:
        log_det: nats, a sample (or one for all).
        error: its standard error, from the probes and from the last quarter of the Lanczos steps; the probes are the
            same for all samples, so that much of the error is, too.
    """

    log_det: Float[Tensor, "#batch"]
    error: Float[Tensor, "#batch"]

    def __add__(self, other: "Determinant") -> "Determinant":
        """Of a product of two systems."""
        return Determinant(self.log_det + other.log_det, (self.error**2 + other.error**2).sqrt())


def log_determinant(
    system: Product,
    probes: Float[Tensor, "probes #batch ..."],
    like: Float[Tensor, "batch ..."],
    steps: int,
    metric: Product | None = None,
) -> Determinant:
    """log det of a system that is symmetric and positive in a metric, by stochastic Lanczos quadrature.

    tr log M is m times the mean of uᵀ B (log M) u over directions u that are uniform in the metric B. The variance
    is at most 2/probes times the sum of the squared eigenvalues of log M about their mean, which the same Lanczos steps
    estimate: small where M is near to a multiple of the identity.

    Args:
        system: M, with B M symmetric.
        probes: as `signs`, or of the covariance B⁻¹.
        like: what M acts on, whose batch counts.
        steps: of Lanczos, a product with M each.
        metric: B; None = the identity.
    """
    numbers = like[0].numel()
    found = [_quadrature(system, z.expand_as(like), min(steps, numbers), metric) for z in probes]
    first, second, early = (torch.stack(part).mean(0) for part in zip(*found, strict=True))
    scatter = 2 / len(probes) * numbers * (second - first**2).clamp(min=0)
    return Determinant(numbers * first, (scatter + (numbers * (first - early)) ** 2).sqrt())


def formed_log_determinant(system: Product, like: Float[Tensor, "batch ..."]) -> Determinant:
    """log det of a positive system by all its columns, a product each.

    Args:
        system: applied sample by sample.
        like: what it acts on.
    """
    return known(torch.linalg.slogdet(matrix_of(system, like).double()).logabsdet)


def known(log_det: Float[Tensor, "#batch"]) -> Determinant:
    """One that is no estimate."""
    return Determinant(log_det, torch.zeros_like(log_det))


def signs(like: Float[Tensor, "batch ..."], number: int, stream: str = "signs") -> Float[Tensor, "number 1 ..."]:
    """So many vectors of random signs, the same for every sample and at every call.

    Args:
        like: whose shape of one sample, precision and device count.
        number: how many vectors.
        stream: vectors of other names are independent.
    """
    coins = Keys.of(0, number).fold(stream).uniform(*like.shape[1:])
    return torch.where(coins < 0.5, -1.0, 1.0).to(like)[:, None]


def _quadrature(
    system: Product, start: Float[Tensor, "batch ..."], steps: int, metric: Product | None
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """uᵀ B (log M) u and uᵀ B (log M)² u for u along the start, by Gauss's quadrature on its Krylov space; the first
    again by three quarters of the steps.
    """
    shown = metric or (lambda v: v)
    vectors = start.new_zeros(steps, *start.shape)
    duals = vectors if metric is None else torch.zeros_like(vectors)
    diagonal, beside, image, size = [], [], start, torch.zeros(())
    for k in range(steps):
        dual = shown(image)
        length = per_sample_sum(image.double() * dual).clamp(min=0).sqrt()
        length = torch.where(length <= 1e-6 * size.to(length), 0.0, length)  # the Krylov space is complete
        scale = left(torch.where(length > 0, 1 / length, 0.0), image).to(image)
        vectors[k], duals[k] = image * scale, dual * scale
        image = system(vectors[k])
        size = per_sample_sum(duals[k].double() * image)
        for _ in range(2):  # from all of them, twice: Lanczos vectors lose their orthogonality
            along = torch.einsum("kbi,bi->kb", duals[: k + 1].flatten(2), image.flatten(1))
            image = image - torch.einsum("kb,kb...->b...", along, vectors[: k + 1])
        diagonal.append(size)
        beside.append(length)
    early = _gauss(diagonal[: (3 * steps + 3) // 4], beside[1:])
    return *_gauss(diagonal, beside[1:]), early[0]


def spectrum(matrices: Float[Tensor, "batch m m"]) -> tuple[Float[Tensor, "batch m"], Float[Tensor, "batch m m"]]:
    """Eigenvalues and eigenvectors of symmetric matrices; NaN for one that is not finite, at which LAPACK gives up.

    So a sample that has diverged is told at the end, and those beside it are drawn.
    """
    finite = matrices.isfinite().flatten(1).all(1)[:, None]
    values, axes = torch.linalg.eigh(torch.where(finite[..., None], matrices, 0.0))
    return torch.where(finite, values, torch.nan), axes


def _gauss(diagonal: list[Tensor], beside: list[Tensor]) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """The first element of the logarithm of a tridiagonal matrix, and of its square; of what is not positive, that of
    a billionth.
    """
    band = torch.diag_embed(torch.stack(diagonal, 1))
    if len(diagonal) > 1:
        sides = torch.stack(beside[: len(diagonal) - 1], 1)
        band = band + torch.diag_embed(sides, 1) + torch.diag_embed(sides, -1)
    values, axes = spectrum(band)
    logs, weights = values.clamp(min=1e-9).log(), axes[:, 0] ** 2
    return (weights * logs).sum(1), (weights * logs**2).sum(1)
