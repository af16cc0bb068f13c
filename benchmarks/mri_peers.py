"""Reconstructions that need no learning, each from the same k-space and maps of coils, for benchmarks/mri.py.

    zero-filled               Aᴴ y
    L1-wavelet, sigpy         min ½‖A x − y‖² + λ‖W x‖₁    L1WaveletRecon, db4, 100 iterations of FISTA
    TV, sigpy                 min ½‖A x − y‖² + λ‖∇x‖₁     TotalVariationRecon, 100 primal-dual iterations
    L1-wavelet, shifted       the same, the image shifted at random in each iteration (cycle spinning, as BART does)
    TV, converged             the same, isotropic, FISTA with restarts and the dual field kept between iterations

sigpy's are as they come. Its TV is far from its minimum after 100 iterations, even after 1000, so that the last two
solve the problems themselves. λ is for a slice of maximum 1; each was chosen by the mean PSNR of two validation slices
alone (`benchmarks/mri.py --tune` prints the grid), for either acceleration.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import torch
from benchmarks.mri_data import Measured
from jaxtyping import Complex
from torch import Tensor

from ornstein.domains.mri.sense import Sense

Image = Complex[Tensor, "h w"]
Method = Callable[[Measured, float], Image]
"""(what was measured, λ) → image."""
GRID = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
ITERATIONS = 100
INNER = 10
"""Steps of TV's own dual problem in each iteration."""


def zero_filled(of: Measured, weight: float = 0.0) -> Image:
    """Of the frequencies that were measured, the others 0; combined by the maps."""
    operator = sense(of)
    return _complex(operator.adjoint(operator.measured(of.kspace)[None]))


def sense(of: Measured) -> Sense:
    return Sense(of.maps, of.mask)


def _complex(x: Tensor) -> Image:
    return torch.complex(x[0, 0], x[0, 1])


def _pair(x: Image) -> Tensor:
    return torch.stack([x.real, x.imag])[None]


# sigpy's ----------------------------------------------------------------------------------------------


def sigpy_wavelet(of: Measured, weight: float) -> Image:
    """A has a norm of 1 at most, so that steps of 1 are right."""
    return _sigpy("L1WaveletRecon", of, weight, alpha=1.0)


def sigpy_variation(of: Measured, weight: float) -> Image:
    """From the zero-filled image, which is ahead of 0, where it would start."""
    return _sigpy("TotalVariationRecon", of, weight, x=zero_filled(of).numpy())


def _sigpy(name: str, of: Measured, weight: float, **options: Any) -> Image:
    import sigpy.mri.app as apps  # pyright: ignore[reportMissingImports]

    kspace, maps = of.kspace.numpy(), of.maps.numpy()
    found = getattr(apps, name)(kspace, maps, weight, max_iter=ITERATIONS, show_pbar=False, **options).run()
    return torch.from_numpy(np.asarray(found))


# The same problems, solved ----------------------------------------------------------------------------

Proximal = Callable[[Image, float], Image]


def fista(of: Measured, weight: float, proximal: Proximal, iterations: int = ITERATIONS) -> Image:
    """argmin ½‖A x − y‖² + λ R(x) by accelerated proximal steps of 1 with restarts (O'Donoghue & Candès 2015)."""
    operator, start = sense(of), zero_filled(of)
    x = ahead = start
    speed = 1.0
    for _ in range(iterations):
        new = proximal(ahead - _complex(operator.normal(_pair(ahead))) + start, weight)
        if float(((ahead - new) * (new - x).conj()).real.sum()) > 0:
            speed = 1.0
        faster = (1 + (1 + 4 * speed**2) ** 0.5) / 2
        ahead = new + (speed - 1) / faster * (new - x)
        x, speed = new, faster
    return x


def variation(of: Measured, weight: float) -> Image:
    """Isotropic total variation of the complex image."""
    return fista(of, weight, Variation())


class Variation:
    """argmin_x ½‖x − v‖² + λ Σ |∇x| by accelerated steps of its dual (Beck & Teboulle 2009), from where it last was."""

    def __init__(self) -> None:
        self.dual: Tensor | None = None

    def __call__(self, v: Image, weight: float) -> Image:
        dual = torch.zeros(2, *v.shape, dtype=v.dtype) if self.dual is None else self.dual
        ahead, speed = dual, 1.0
        for _ in range(INNER):
            new = ahead + _gradient(v - weight * _divergence(ahead)) / (8 * weight)
            new = new / new.abs().square().sum(0).sqrt().clamp(min=1)
            faster = (1 + (1 + 4 * speed**2) ** 0.5) / 2
            ahead = new + (speed - 1) / faster * (new - dual)
            dual, speed = new, faster
        self.dual = dual
        return v - weight * _divergence(dual)


def _gradient(x: Image) -> Tensor:
    return torch.stack([x.roll(-1, axis) - x for axis in (0, 1)])


def _divergence(u: Tensor) -> Image:
    """The adjoint of the gradient."""
    return sum((u[axis].roll(1, axis) - u[axis] for axis in (0, 1)), torch.zeros_like(u[0]))


def wavelet(of: Measured, weight: float) -> Image:
    """Orthogonal wavelets (db4) of the image, shifted at random in each iteration."""
    return fista(of, weight, Shifted())


class Shifted:
    """Soft thresholds of the wavelets of a shifted image."""

    def __init__(self, name: str = "db4", levels: int = 5) -> None:
        self.options, self.levels = {"wavelet": name, "mode": "periodization"}, levels
        self.numbers = np.random.default_rng(0)

    def __call__(self, v: Image, weight: float) -> Image:
        pywt = import_module("pywt")
        shift = tuple(self.numbers.integers(0, 2**self.levels, 2).tolist())
        parts = pywt.wavedec2(np.roll(v.numpy(), shift, (0, 1)), level=self.levels, **self.options)
        values, slices = pywt.coeffs_to_array(parts)
        values = values * (1 - weight / np.maximum(np.abs(values), 1e-12)).clip(min=0)
        back = pywt.waverec2(pywt.array_to_coeffs(values, slices, output_format="wavedec2"), **self.options)
        return torch.from_numpy(np.roll(back, (-shift[0], -shift[1]), (0, 1)).astype(np.complex64))


METHODS: dict[str, Method] = {
    "zero-filled": zero_filled,
    "L1-wavelet, sigpy": sigpy_wavelet,
    "TV, sigpy": sigpy_variation,
    "L1-wavelet, shifted": wavelet,
    "TV, converged": variation,
}
TUNED: dict[str, dict[int, float]] = {
    "L1-wavelet, sigpy": {4: 4e-3, 8: 4e-3},
    "TV, sigpy": {4: 1.6e-2, 8: 1.6e-2},
    "L1-wavelet, shifted": {4: 4e-3, 8: 2e-3},
    "TV, converged": {4: 4e-3, 8: 2e-3},
}
"""λ by acceleration: see `benchmarks/mri.py --tune`."""
