"""Posterior samples of our prior for benchmarks/mri.py, and two other libraries' samplers with the same prior.

    ours              a scan in an .npz, as a user would have it: phase, brightness and lines held out by the package,
                      guided by the factor of k-space; the reconstruction is the magnitude of the samples' mean
    azula's MMPS      moment matching with the network's Jacobian (Rozet et al. 2024), DDPM steps, CG
    deepinv's DiffPIR plug-and-play (Zhu et al. 2023); its images are between 0 and 1: ours become x/4 + 1/2

The peers get the same slice: maps with phase and brightness, k-space in units of its noise, no lines held out, and the
same number of samples, whose mean is judged as ours is.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from benchmarks.mri_data import Measured
from jaxtyping import Float
from torch import Tensor

from ornstein.denoisers.base import Denoiser
from ornstein.domains.mri.asked.flags import MriRequest
from ornstein.domains.mri.asked.prepared import Slice, Volume
from ornstein.domains.mri.asked.requests import DEFAULTS
from ornstein.domains.mri.factors import kspace
from ornstein.domains.mri.metrics import magnitude
from ornstein.domains.mri.results.held_out import Agreement, agreement
from ornstein.domains.mri.scans.opened import open_scan
from ornstein.domains.mri.sense import Sense
from ornstein.spaces import Euclidean
from ornstein.tasks.drawing import sample


@dataclass(frozen=True)
class Effort:
    """How many samples, and how they are drawn.

    Attributes:
        each: samples of a slice; 19 have central intervals of exactly 90 %.
        steps: of the sampler.
        hold_out: share of the measured lines that judge our samples.
        seed: of the samples.
    """

    each: int = 8
    steps: int = 16
    hold_out: float = 0.03
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Posterior:
    """Samples of one slice.

    Attributes:
        members: magnitudes, in units of the slice.
        mean: magnitude of their complex mean.
        scale: the brightness that states were multiplied by to have it.
        seconds: of CPU, of all samples.
        agreement: with k-space; None where it is not asked.
    """

    members: Float[np.ndarray, "members h w"]
    mean: Float[np.ndarray, "h w"]
    scale: float
    seconds: float
    agreement: Agreement | None = None


def ready(of: Measured, hold_out: float = 0.0) -> Slice:
    """The slice as a model is told of it: σ as in a file, phase, brightness and ESPIRiT's maps as the package has them.

    Args:
        of: what was measured.
        hold_out: see `Effort`.
    """
    parts: dict[str, Any] = {"kspace": of.kspace[None].numpy(), "mask": of.mask.numpy(), "sigma": np.array(of.sigma)}
    if of.kind == "true":
        parts["maps"] = of.maps.numpy()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "scan.npz"
        np.savez(path, **parts)
        return Volume(MriRequest(kspace=path, hold_out=hold_out), open_scan(path), range(1))[0]


def ours(model: Denoiser, of: Measured, effort: Effort) -> Posterior:
    """Our samples."""
    one = ready(of, effort.hold_out)
    begun = time.process_time()
    x = sample(model & kspace(one), effort.each, **{**DEFAULTS, "steps": effort.steps}, seed=effort.seed).x
    seconds = time.process_time() - begun
    mean = magnitude(x.mean(0)) * one.scale
    return Posterior(magnitude(x) * one.scale, mean, one.scale, seconds, agreement(one, x))


# Others with the same prior ---------------------------------------------------------------------------


def others(
    draw: Callable[[Denoiser, Slice, Effort], Tensor], model: Denoiser, of: Measured, effort: Effort
) -> Posterior:
    """The samples of another library."""
    one = ready(of)
    begun = time.process_time()
    x = draw(model, one, effort)
    return Posterior(magnitude(x) * one.scale, magnitude(x.mean(0)) * one.scale, one.scale, time.process_time() - begun)


def _scaled(one: Slice) -> tuple[Sense, Tensor]:
    """The operator and what was measured, in units of the noise."""
    operator = Sense((one.maps / one.std).to(torch.complex64), one.mask)
    return operator, operator.measured((one.kspace / one.std).to(torch.complex64))


def _denoised(model: Denoiser, x: Tensor, noise: float) -> Tensor:
    """E[state | state + noise]."""
    schedule = _space(model).schedule
    t = schedule.time(-2 * torch.tensor(noise, dtype=torch.float64).log())
    return model(schedule.alpha(t).to(x.dtype) * x, float(t)).mean


def _space(model: Denoiser) -> Euclidean:
    assert isinstance(model.traits.space, Euclidean)
    return model.traits.space


def azula(model: Denoiser, one: Slice, effort: Effort, iterations: int = 3) -> Tensor:
    """MMPS, all samples in one batch."""
    module, guidance = import_module("azula.denoise"), import_module("azula.guidance")
    covariance, sampling = import_module("azula.linalg.covariance"), import_module("azula.sample")
    schedule, (operator, y) = import_module("azula.noise").CosineSchedule(), _scaled(one)
    shape = (2, *one.mask.shape)

    class Wrapped(module.Denoiser):
        def __init__(self) -> None:
            super().__init__()
            self.schedule = schedule

        def forward(self, x_t: Tensor, t: Tensor, **_: Any) -> Any:
            alpha, sigma = (level.double() for level in schedule(t))
            x = (x_t / alpha.float()).reshape(-1, *shape)
            return module.DiracPosterior(mean=_denoised(model, x, float(sigma / alpha)).flatten(1))

    def see(x: Tensor) -> Tensor:
        return torch.view_as_real(operator(x.reshape(-1, *shape))).flatten(1)

    torch.manual_seed(effort.seed)
    noise, seen = covariance.IsotropicCovariance(torch.tensor(1.0)), torch.view_as_real(y).flatten()[None]
    guided = guidance.MMPSDenoiser(Wrapped(), seen, see, noise, solver="cg", iterations=iterations)
    draw = sampling.DDPMSampler(guided, steps=effort.steps, silent=True)
    return draw(draw.init((effort.each, shape[0] * shape[1] * shape[2]))).reshape(-1, *shape)


WIDE, SHIFT = 4.0, 0.5
"""Of DiffPIR's images: u = x / WIDE + SHIFT is between 0 and 1."""


def diffpir(model: Denoiser, one: Slice, effort: Effort, weight: float = 7.0, zeta: float = 0.3) -> Tensor:
    """DiffPIR, sample by sample in one batch."""
    deepinv = deepinv_module()
    operator, y = _scaled(one)
    shape = (effort.each, 2, *one.mask.shape)
    seen = y + operator(torch.full(shape[1:], WIDE * SHIFT)[None])[0]

    def see(u: Tensor, **_: Any) -> Tensor:
        return torch.view_as_real(operator(WIDE * u)).flatten(1)

    def back(v: Tensor, **_: Any) -> Tensor:
        return WIDE * operator.adjoint(torch.view_as_complex(v.reshape(len(v), *y.shape, 2).contiguous()))

    def denoised(u: Tensor, noise: Any, **_: Any) -> Tensor:
        return _denoised(model, WIDE * (u - SHIFT), WIDE * float(noise)) / WIDE + SHIFT

    physics = deepinv.physics.LinearPhysics(
        A=see, A_adjoint=back, noise_model=deepinv.physics.GaussianNoise(1.0), max_iter=15, tol=1e-3, solver="CG"
    )
    fidelity = deepinv.optim.data_fidelity.L2()
    sampler = deepinv.sampling.DiffPIR(denoised, fidelity, sigma=1.0, max_iter=effort.steps, zeta=zeta, lambda_=weight)
    torch.manual_seed(effort.seed)
    every = torch.view_as_real(seen).flatten()[None].expand(effort.each, -1).contiguous()
    with torch.no_grad():  # where it starts from otherwise, Aᴴ y, is an image for operators of norm 1 alone
        return WIDE * (sampler(every, physics, x_init=torch.full(shape, SHIFT)) - SHIFT)


def deepinv_module() -> Any:
    """deepinv, which imports torchvision, whose operators may be compiled for another torch: their names are enough."""
    try:
        return import_module("deepinv")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        deepinv_module.kept = library  # type: ignore[attr-defined]
        return import_module("deepinv")
