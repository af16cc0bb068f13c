"""The noise of k-space: how large it is and how it is shared among coils, from the data; and whitening.

    Ψ = E[n nᴴ]/2, n the noise of all coils at one place; σ² = tr Ψ/coils is the variance of a real part

from, in this order of trust,

    a noise scan          its own covariance
    the readout's rim     an oversampled readout images what lies beside the object: nothing
    the middle            the windows of ESPIRiT (see espirit.py) lie in a subspace, noise does not

For the last, directions v in which the windows have the least energy are found in the inner part of the middle and
their energy is measured in its outer part, |vᴴ y|²/2 → σ². Eigenvalues of the part in which v was found are too small
(Marchenko & Pastur 1967; of windows that overlap, by an amount that no formula gives). In the outer part the noise is
another, so that there is nothing to correct, and what of the signal is left in v is small, since the signal is. On
brain slices, 8 coils, σ from 0.002 to 0.05 of the maximum, a middle of 10 or 20 lines: the mean of the estimate is
within 0.1 % of σ, its standard deviation 0.2 to 0.4 %, and of 2 coils within 1 %.
"""

from math import sqrt
from typing import NamedTuple

import torch
from jaxtyping import Complex
from torch import Tensor

from ....errors import InputError
from ....guidance.operators import Fourier
from ....values import require_positive
from .espirit import windows

KERNEL = 6
"""The side of windows, at most."""
LEAST = 0.25
"""The share of directions, those of least energy, in which the noise is measured."""
WIDE = 60
"""Places that the middle must have along one axis: in narrower ones the outer part still holds so much of the signal
that it adds to the noise (brain slices, σ = 0.002: 5 % of 48 × 48, 18 % of 40 × 40, 80 % of 32 × 32)."""
LEAK = 0.1
"""By which the rim's noise may differ from its inside to its outside before that is named."""


class Noise(NamedTuple):
    """What is known of the noise.

    Attributes:
        covariance: Ψ, Hermitian, in the units of k-space squared; in double precision, which holds the
            square of a number in any unit.
        error: standard error of σ, as a share of it.
        note: where it is from, with its size and error.
    """

    covariance: Complex[Tensor, "coils coils"]
    error: float
    note: str

    @property
    def std(self) -> float:
        """σ."""
        return sqrt(float(self.covariance.diagonal().real.mean()))


def stated(std: float, coils: int) -> Noise:
    """Noise of a known size, the same in all coils.

    Args:
        std: σ, of a real part, in the units of k-space.
        coils: their number.
    """
    require_positive("σ of k-space", std)
    note = f"σ = {std:.4g}, as stated, taken to be the same in all coils"
    return Noise(std**2 * torch.eye(coils, dtype=torch.complex128), 0.0, note)


def of_scan(noise: Complex[Tensor, "coils samples"]) -> Noise:
    """From a noise scan, measured as k-space was (other bandwidths scale it by their square root).

    InputError where samples are fewer than coils, or 0.

    Args:
        noise: without signal.
    """
    coils, samples = noise.shape
    if samples <= coils:
        raise InputError(f"a noise scan of {samples} samples of {coils} coils, expected more samples than coils")
    return _noise(noise, "from a noise scan")


def of_rim(lines: Complex[Tensor, "coils lines w"], readout: int) -> Noise:
    """From what an oversampled readout images beside the object: the middle half of the rim on either side.

    The receiver's filter weakens the outermost columns, and the object may reach into the innermost.

    Args:
        lines: measured lines of centred k-space, of one slice or several, each whole.
        readout: columns that are left without oversampling.
    """
    rim = (lines.shape[2] - readout) // 2
    if rim < 8:
        raise InputError(f"a readout of {lines.shape[2]}, {readout} without oversampling: no rim to measure noise in")
    columns = Fourier(-1, complex=True, centered=True).adjoint(lines.to(torch.complex128))
    outer, inner = (_both(columns, rim // 4 + k * (rim // 4), rim // 4) for k in (0, 1))
    found = _noise(torch.cat([outer, inner], 1), "from the rim of the oversampled readout")
    unlike = float(inner.abs().square().mean() / outer.abs().square().mean()) ** 0.5 - 1
    if abs(unlike) < LEAK:
        return found
    more = f"; beside the image it is {abs(unlike):.0%} {'larger' if unlike > 0 else 'smaller'} than further out"
    return found._replace(note=found.note + more)


def of_middle(calibration: Complex[Tensor, "coils rows columns"]) -> Noise:
    """From the middle of k-space, for noise that is white and the same in all coils.

    InputError for one coil, whose windows have no directions without signal, and for a middle that is too small.

    Args:
        calibration: the middle of k-space without a gap, as much as there is of it.
    """
    if len(calibration) < 2:
        raise InputError("the noise of one coil cannot be told from its image: give σ, or a noise scan")
    if calibration.shape[1] > calibration.shape[2]:
        calibration = calibration.mT
    rows, columns = calibration.shape[1:]
    kernel = min(KERNEL, (rows + 1) // 2)
    if kernel < 3 or columns < WIDE:
        raise InputError(
            f"the middle of k-space that is measured without a gap has {rows} × {columns} places, expected 5 × "
            f"{WIDE} or more to tell the noise from the image: give σ, or a noise scan"
        )
    rim = columns // 3
    inner, outer = calibration[:, :, rim : columns - rim], (calibration[:, :, :rim], calibration[:, :, -rim:])
    return _quiet(_least(inner, kernel), [part for one in outer for part in _parts(one, kernel)], len(calibration))


def whitener(covariance: Complex[Tensor, "coils coils"]) -> Complex[Tensor, "coils coils"]:
    """W with W Ψ Wᴴ = 1: W y, and maps W s, have noise of σ = 1 that is the same and independent in all coils.

    InputError for a covariance that is not positive.

    Args:
        covariance: Ψ.
    """
    root, failed = torch.linalg.cholesky_ex(covariance.to(torch.complex128))
    if bool(failed):
        raise InputError("the covariance of the noise is not positive: a coil has no noise, or two have the same")
    one = torch.eye(len(root), dtype=root.dtype, device=root.device)
    return torch.linalg.solve_triangular(root, one, upper=False).to(covariance.dtype)


def mixed(
    matrix: Complex[Tensor, "rows coils"], fields: Complex[Tensor, "*batch coils h w"]
) -> Complex[Tensor, "*batch rows h w"]:
    """Coils, or their maps, mixed by a matrix: whitening, compression.

    Args:
        matrix: of a whitener, or of compressed coils.
        fields: of all coils.
    """
    return torch.einsum("rc,...chw->...rhw", matrix.to(fields), fields)


# Its parts --------------------------------------------------------------------------------------------


def _noise(samples: Complex[Tensor, "coils samples"], origin: str) -> Noise:
    """The covariance of samples that are nothing but noise."""
    samples = samples.to(torch.complex128)
    if not bool(samples.isfinite().all()) or not bool(samples.abs().sum(1).min() > 0):
        raise InputError(f"noise {origin}: a coil has none, or numbers that are not finite")
    covariance = samples @ samples.mH / (2 * samples.shape[1])
    error = 1 / sqrt(4 * samples.numel())
    return _named(covariance, error, origin)


def _named(covariance: Tensor, error: float, origin: str) -> Noise:
    noise = Noise(covariance, error, "")
    return noise._replace(note=f"σ = {noise.std:.4g} ± {error:.1%}, {origin}")


def _both(columns: Tensor, start: int, number: int) -> Complex[Tensor, "coils samples"]:
    """Columns from either side."""
    end = columns.shape[2] - start
    return torch.cat([columns[:, :, start : start + number], columns[:, :, end - number : end]], 2).flatten(1)


def _least(inner: Tensor, kernel: int) -> Complex[Tensor, "m n"]:
    """The directions of windows in which there is the least energy."""
    a = windows(inner.to(torch.complex128), (kernel, kernel))
    vectors = torch.linalg.eigh(a.T @ a.conj()).eigenvectors
    return vectors[:, : max(int(LEAST * len(vectors)), 1)]


def _parts(outer: Tensor, kernel: int) -> list[Tensor]:
    """Pieces of about twice a window's width, to tell the error from their scatter."""
    return list(outer.tensor_split(max(outer.shape[2] // (2 * kernel), 1), 2))


def _quiet(directions: Tensor, parts: list[Tensor], coils: int) -> Noise:
    """σ from the energy of the windows of each part in these directions."""
    kernel = round(sqrt(len(directions) / coils))
    energies, numbers = [], []
    for part in parts:
        a = windows(part.to(directions), (kernel, kernel))
        energies.append(float((a @ directions.conj()).abs().square().sum()) / (2 * directions.shape[1]))
        numbers.append(len(a))
    energy, number = torch.tensor(energies).double(), torch.tensor(numbers).double()
    variance = float(energy.sum() / number.sum())
    scatter = float(((energy - variance * number) ** 2).sum().sqrt() / number.sum()) / variance
    covariance = variance * torch.eye(coils, dtype=torch.complex128)
    return _named(covariance, scatter / 2, "from the middle of k-space, taken to be the same in all coils")
