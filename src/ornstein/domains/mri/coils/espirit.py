"""Coil maps from the middle of k-space (ESPIRiT: Uecker et al. 2014).

Every window of the middle, k × k places of all coils, is a vector y. Coils that see one image through smooth maps make
these lie close to a subspace, on which W projects: that of the covariance's eigenvectors of singular values above a
threshold. With P_cc'(δ) = Σ W_(c,t)(c',t') over t − t' = δ,

    G_cc'(r) = k⁻² Σ_δ P_cc'(δ) exp(2πi δ·r)

is a coils × coils matrix a pixel, Hermitian, of eigenvalues between 0 and 1, and G s = s for the maps s. Where more
than one eigenvalue is close to 1, the image is folded on itself, and one set of maps is not enough; where none is,
there is no signal, or the maps are not smooth enough.

P is a trigonometric polynomial of few terms: no kernel is ever as large as the image, and rows are done in blocks. The
maps' phase, which ESPIRiT leaves open, is that of the low-resolution images of the coils, so that the image that goes
with them has almost none. It has no singular points where there is signal, which that of a coil has where the coil is
blind.
"""

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ....errors import InputError
from ....guidance.operators import Fourier
from ....values import is_number, require_whole

WIDEST = 48
"""Places of the middle that are used along an axis: more cost time, and add little to maps that are smooth."""
BLOCK = 1 << 22
"""Numbers of G in memory at once."""
EDGE = 1.05
"""By which the largest singular value of noise may exceed √2 σ (√n + √m), that of n × m independent numbers
(Marchenko & Pastur 1967): windows overlap."""
SIGNAL = 0.25
"""The share of the largest low-resolution magnitude above which there is signal."""


class Maps(NamedTuple):
    """Coil maps, and how sure they are.

    Attributes:
        maps: Σ |s|² = 1, or 0 where the largest eigenvalue is below `crop`.
        eigenvalues: the largest two of each pixel.
        notes: what is odd about them, in words.
    """

    maps: Complex[Tensor, "coils h w"]
    eigenvalues: Float[Tensor, "2 h w"]
    notes: list[str]


def espirit(
    calibration: Complex[Tensor, "coils rows columns"],
    shape: tuple[int, int],
    kernel: int = 6,
    threshold: float = 0.02,
    crop: float = 0.8,
) -> Complex[Tensor, "coils h w"]:
    """The coil maps, Σ |s|² = 1 or 0; see `estimated`.

    Args:
        calibration, shape, kernel, threshold, crop: see `estimated`.
    """
    return estimated(calibration, shape, kernel, threshold, crop).maps


def estimated(
    calibration: Complex[Tensor, "coils rows columns"],
    shape: tuple[int, int],
    kernel: int = 6,
    threshold: float = 0.02,
    crop: float = 0.8,
    noise: float = 0.0,
) -> Maps:
    """Coil maps and their eigenvalues.

    InputError for a middle of k-space that is smaller than a kernel, or 0.

    Args:
        calibration: the middle of k-space without a gap, centred in it or one place off.
        shape: of the image.
        kernel: its side, in places of k-space; a smaller one is taken where the middle is too narrow.
        threshold: of the singular values of the windows, relative to the largest.
        crop: the eigenvalue below which maps are 0.
        noise: σ of its real part, in the units of the calibration: singular values that noise alone has are below the
            threshold, however low that is. 0: not known.
    """
    _require_settings(calibration, shape, kernel, threshold, crop)
    used = _inner(calibration, WIDEST)
    sides = tuple(min(kernel, (n + 1) // 2) for n in used.shape[1:])
    correlations = _correlations(used, (sides[0], sides[1]), threshold, noise)
    values, vectors = _eigen(correlations, shape, sides[0] * sides[1])
    seen = low_images(calibration, shape)
    reference = (vectors.conj() * seen).sum(0)
    phase = torch.where(reference.abs() > 0, reference / reference.abs().clamp(min=1e-30), 1.0)
    maps = torch.where(values[0] >= crop, vectors * phase, 0.0)
    return Maps(maps, values, _notes(values, seen, crop))


def low_images(
    calibration: Complex[Tensor, "coils rows columns"], shape: tuple[int, int]
) -> Complex[Tensor, "coils h w"]:
    """The images of the coils that the middle of k-space alone gives, under a Hann window.

    Args:
        calibration: the middle of k-space.
        shape: of the image.
    """
    for axis in (1, 2):
        window = torch.hann_window(calibration.shape[axis] + 2, periodic=False)[1:-1].to(calibration.device)
        calibration = calibration * (window[:, None] if axis == 1 else window)
    return _as_image(calibration, shape)


# Windows of k-space -----------------------------------------------------------------------------------


def windows(calibration: Complex[Tensor, "coils rows columns"], sides: tuple[int, int]) -> Complex[Tensor, "n m"]:
    """Every window of the middle of k-space, all coils of one in a row.

    Args:
        calibration: the middle.
        sides: of a window.
    """
    several = calibration.unfold(1, sides[0], 1).unfold(2, sides[1], 1)  # coils, i, j, sides
    return several.permute(1, 2, 0, 3, 4).flatten(2).flatten(0, 1)


def _correlations(
    calibration: Tensor, sides: tuple[int, int], threshold: float, noise: float
) -> Complex[Tensor, "c c dy dx"]:
    """P, on differences from −(k − 1) to k − 1."""
    a = windows(calibration, sides)
    values, vectors = torch.linalg.eigh(a.T @ a.conj())  # y is a column here: covariance y yᴴ
    edge = 2 * (EDGE * noise * (len(a) ** 0.5 + a.shape[1] ** 0.5)) ** 2
    kept = vectors[:, values > max(threshold**2 * float(values[-1]), edge)]
    coils, (h, w) = len(calibration), sides
    projector = (kept @ kept.mH).reshape(coils, h, w, coils, h, w)
    p = projector.new_zeros(coils, coils, 2 * h - 1, 2 * w - 1)
    for i in range(h):
        for j in range(w):  # t = (i, j) − t' for all t'
            p[:, :, i : i + h, j : j + w] += projector[:, i, j].flip(-2, -1)
    return p


def _eigen(
    correlations: Tensor, shape: tuple[int, int], normal: int
) -> tuple[Float[Tensor, "2 h w"], Complex[Tensor, "coils h w"]]:
    """The two largest eigenvalues of G in each pixel, and the eigenvector of the first."""
    coils = len(correlations)
    along_rows, along_columns = (
        _waves(n, (size - 1) // 2, correlations) for n, size in zip(shape, correlations.shape[2:], strict=True)
    )
    half = correlations @ along_columns.T / normal  # c, c, dy, w
    values, vectors = [], []
    for rows in along_rows.split(max(BLOCK // (coils**2 * shape[1]), 1)):
        g = torch.einsum("abdw,hd->hwab", half, rows)
        found = torch.linalg.eigh((g + g.mH) / 2)
        values.append(found.eigenvalues[..., -2:] if coils > 1 else found.eigenvalues.expand(*g.shape[:2], 2) * _ONE)
        vectors.append(found.eigenvectors[..., -1])
    return torch.cat(values).flip(-1).permute(2, 0, 1), torch.cat(vectors).permute(2, 0, 1)


_ONE = torch.tensor([0.0, 1.0])
"""The second eigenvalue of one coil is 0."""


def _waves(n: int, reach: int, like: Tensor) -> Complex[Tensor, "n d"]:
    """exp(2πi δ r/n) at the places r of a centred image, for δ from −reach to reach."""
    places, delta = torch.arange(n).double() - n // 2, torch.arange(-reach, reach + 1)
    return torch.polar(torch.ones(()).double(), 2 * torch.pi * places[:, None] * delta / n).to(like)


# What is around it ------------------------------------------------------------------------------------


def _inner(calibration: Tensor, widest: int) -> Tensor:
    """The middle of the middle."""
    for axis in (1, 2):
        n = calibration.shape[axis]
        calibration = calibration.narrow(axis, n // 2 - min(n, widest) // 2, min(n, widest))
    return calibration


def _as_image(calibration: Tensor, shape: tuple[int, int]) -> Tensor:
    """The images of k-space that is 0 outside of its middle."""
    whole = calibration.new_zeros(len(calibration), *shape)
    top, left = (n // 2 - m // 2 for n, m in zip(shape, calibration.shape[1:], strict=True))
    whole[:, top : top + calibration.shape[1], left : left + calibration.shape[2]] = calibration
    return Fourier(complex=True, centered=True).adjoint(whole)


def _notes(values: Tensor, seen: Tensor, crop: float) -> list[str]:
    """What the eigenvalues say where there is signal."""
    magnitude = seen.abs().square().sum(0).sqrt()
    inside = magnitude > SIGNAL * magnitude.max()
    blind, folded = (float((test & inside).sum() / inside.sum()) for test in (values[0] < crop, values[1] >= crop))
    notes = []
    if blind > 0.01:
        notes.append(
            f"coil maps: no map fits the middle of k-space in {blind:.0%} of the pixels with signal (largest "
            f"eigenvalue below {crop:g}); nothing is seen there"
        )
    if folded > 0.01:
        notes.append(
            f"coil maps: {folded:.0%} of the pixels with signal need more than one set of maps (second eigenvalue "
            f"{crop:g} or more), as where the object is larger than the field of view; one set is used"
        )
    return notes


def _require_settings(calibration: Tensor, shape: tuple[int, int], kernel: int, threshold: float, crop: float) -> None:
    require_whole("espirit: kernel", kernel, 2)
    for name, value in (("threshold", threshold), ("crop", crop)):
        if not is_number(value) or not 0 <= value < 1:
            raise InputError(f"espirit: {name} is {value!r}, expected a number from 0 to below 1")
    rows, columns = calibration.shape[1:]
    if min(rows, columns) < 4 or rows > shape[0] or columns > shape[1]:
        raise InputError(
            f"espirit: the middle of k-space that is measured without a gap has {rows} × {columns} places, expected 4 "
            f"× 4 or more, and no more than the image, {shape}; coil maps can be given instead"
        )
    if not bool(calibration.isfinite().all()) or not bool(calibration.abs().max() > 0):
        raise InputError("espirit: the middle of k-space is 0, or not finite: there is no signal to see coils by")
