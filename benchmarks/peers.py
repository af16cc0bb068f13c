"""Other libraries' solvers as installed from PyPI, each in as many configurations as make sense.

None of them is a dependency of the package: `make bench-env` installs them beside it.
"""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import distribution
from importlib.util import module_from_spec, spec_from_file_location
from itertools import product
from math import exp, log, pi, tan
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worlds import FAR, Denoise

LEAST = (0.002, 0.01, 0.03)
TRAINED = 1200  # diffusers' training steps; every number of evaluations used here divides it


@dataclass(frozen=True)
class Solver:
    """One configuration of one library.

    Attributes:
        run: (denoise, x at σ = 80, steps) -> x at the data.
        calls: network evaluations a step.
        spared: evaluations that a run needs less than steps × calls.
        stochastic: whether it adds fresh noise.
    """

    library: str
    name: str
    run: Callable[[Denoise, Tensor, int], Tensor]
    calls: int = 1
    spared: int = 0
    stochastic: bool = False

    def steps(self, nfe: int) -> int:
        """As many steps as `nfe` evaluations allow."""
        return (nfe + self.spared) // self.calls


def solvers() -> list[Solver]:
    """All configurations of all libraries."""
    return [*azula(), *diffusers(), *k_diffusion()]


# azula ----------------------------------------------------------------------------------------------------------------


def azula() -> Iterator[Solver]:
    """Its multistep samplers on each of its noise schedules, which are also its time grids, and on a ρ = 7 grid."""
    multistep = [(name, order) for name in ("zAB", "vAB", "zEAB", "xEAB", "REAB") for order in (2, 3)]
    for schedule in azula_schedules():
        yield Solver("azula", f"DDIM {schedule}", partial(_azula, "DDIMSampler", schedule))
        yield Solver("azula", f"Heun {schedule}", partial(_azula, "HeunSampler", schedule), calls=2)
        yield Solver("azula", f"DDPM {schedule}", partial(_azula, "DDPMSampler", schedule), stochastic=True)
        half = partial(_azula, "DDIMSampler", schedule, eta=0.25)  # its η is our η²
        yield Solver("azula", f"DDIM η²=0.25 {schedule}", half, stochastic=True)
        for name, order in multistep:
            run = partial(_azula, f"{name}Sampler", schedule, order=order)
            yield Solver("azula", f"{name}{order} {schedule}", run)


def azula_sampler(sampler: str, schedule: str, denoise: Denoise, steps: int, **options: Any) -> Any:
    """A sampler of azula around a denoiser."""
    module, denoisers = importlib.import_module("azula.sample"), importlib.import_module("azula.denoise")

    class Exact(denoisers.Denoiser):
        def __init__(self) -> None:
            super().__init__()
            self.schedule = azula_schedules()[schedule]

        def forward(self, x_t: Tensor, t: Tensor, **_: Any) -> Any:
            alpha, sigma = self.schedule(t)
            return denoisers.DiracPosterior(mean=denoise(x_t / alpha, sigma / alpha))

    options = {"steps": steps, "silent": True, "dtype": torch.float64, **options}
    return getattr(module, sampler)(Exact(), **options)


@cache
def azula_schedules() -> dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]]:
    """azula's noise schedules, each from σ/α = 80."""
    noise = importlib.import_module("azula.noise")
    preserving = (FAR**2 + 1) ** -0.5
    return {
        "cosine": noise.CosineSchedule(alpha_min=preserving),
        "VP": noise.VPSchedule(alpha_min=preserving),
        "rectified": noise.RectifiedSchedule(alpha_min=1 / FAR),
        "decay": noise.DecaySchedule(alpha_min=1 / FAR),
        "cosine 0.01": noise.CosineSchedule(alpha_min=preserving, sigma_min=0.01),
        "rectified 0.01": noise.RectifiedSchedule(alpha_min=1 / FAR, sigma_min=0.01),
        **{f"VE {least}": noise.VESchedule(sigma_min=least, sigma_max=FAR) for least in LEAST[1:]},
        **{f"ρ=7 {least}": partial(_karras_schedule, least) for least in LEAST},
    }


def _karras_schedule(least: float, t: Tensor, rho: float = 7.0) -> tuple[Tensor, Tensor]:
    low, high = least ** (1 / rho), FAR ** (1 / rho)
    return torch.ones_like(t), (low + t * (high - low)) ** rho


def _azula(sampler: str, schedule: str, denoise: Denoise, x: Tensor, steps: int, **options: Any) -> Tensor:
    made = azula_sampler(sampler, schedule, denoise, steps, **options)
    return made(x * made.denoiser.schedule(made.timesteps[0])[1] / FAR)


# k-diffusion ----------------------------------------------------------------------------------------------------------


def k_diffusion() -> Iterator[Solver]:
    """Its samplers on its grids from σ = 80 down to a few smallest noise levels."""
    grids: list[tuple[str, float, dict[str, float]]] = [
        *((name, least, {}) for name, least in product(("karras", "exponential"), LEAST)),
        ("polyexponential", 0.01, {"rho": 0.7}),
    ]
    one_call: dict[str, dict[str, Any]] = {
        "euler": {},
        "lms": {},
        "dpmpp_2m": {},
        "dpmpp_2m_sde": {"eta": 0.0},
        "dpmpp_3m_sde": {"eta": 0.0},
    }
    two_calls: dict[str, dict[str, Any]] = {"heun": {}, "dpm_2": {}, "dpmpp_2s_ancestral": {"eta": 0.0}}
    stochastic = {"euler_ancestral": 1, "dpmpp_2m_sde": 1, "dpmpp_3m_sde": 1, "dpmpp_2s_ancestral": 2, "dpmpp_sde": 2}
    for name, least, options in grids:
        grid = f"{name} {least}"
        sigmas = partial(_k_sigmas, name, least, **options)
        for sampler, extra in one_call.items():
            yield Solver("k-diffusion", f"{_k_name(sampler, extra)} {grid}", partial(_k, sampler, sigmas, extra))
        for sampler, extra in two_calls.items():
            run = partial(_k, sampler, sigmas, extra)
            yield Solver("k-diffusion", f"{_k_name(sampler, extra)} {grid}", run, calls=2, spared=1)
        for sampler, calls in stochastic.items():
            run = partial(_k, sampler, sigmas, {})
            yield Solver("k-diffusion", f"{sampler} {grid}", run, calls, spared=calls - 1, stochastic=True)


def _k_name(sampler: str, options: dict[str, Any]) -> str:
    return f"{sampler} η=0" if options else sampler


def _k_sigmas(name: str, least: float, steps: int, **options: float) -> Tensor:
    return getattr(k_sampling(), f"get_sigmas_{name}")(steps, least, FAR, **options).double()


def _k(
    sampler: str, sigmas: Callable[..., Tensor], options: dict[str, Any], denoise: Denoise, x: Tensor, steps: int
) -> Tensor:
    return getattr(k_sampling(), f"sample_{sampler}")(denoise, x, sigmas(steps=steps), disable=True, **options)


@cache
def k_sampling() -> Any:
    """k_diffusion/sampling.py by itself: the package's own import wants torchvision and CLIP."""
    package, utils = ModuleType("k_diffusion"), ModuleType("k_diffusion.utils")
    utils.append_dims = lambda x, dims: x[(...,) + (None,) * (dims - x.ndim)]  # pyright: ignore[reportAttributeAccessIssue]
    package.utils = utils  # pyright: ignore[reportAttributeAccessIssue]
    path = distribution("k-diffusion").locate_file("k_diffusion/sampling.py")
    spec = spec_from_file_location("k_diffusion.sampling", str(path))
    assert spec is not None
    assert spec.loader is not None
    sys.modules |= {"k_diffusion": package, "k_diffusion.utils": utils}
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# diffusers ------------------------------------------------------------------------------------------------------------

Spacing = tuple[str, dict[str, Any]]


def diffusers() -> Iterator[Solver]:
    """Its schedulers on each of their spacings of noise levels."""
    yield from _diffusers_preserving()
    yield from _diffusers_exploding()
    yield from _diffusers_discrete()


def _diffusers_preserving() -> Iterator[Solver]:
    """DPM-Solver++, UniPC and DEIS."""
    trained = [
        ("trailing cosine", {"betas": "cosine", "timestep_spacing": "trailing"}),
        ("linspace cosine", {"betas": "cosine", "timestep_spacing": "linspace"}),
        ("trailing linear", {"betas": "linear", "timestep_spacing": "trailing"}),
    ]
    by_sigma = [
        (f"{name} {least}", {"betas": least, f"use_{name}_sigmas": True})
        for name, least in product(("karras", "exponential"), LEAST)
    ]
    flow = [(f"flow shift {shift}", {"use_flow_sigmas": True, "flow_shift": shift}) for shift in (0.25, 0.5, 1, 2)]
    lu, beta = (
        ("lu 0.01", {"betas": 0.01, "use_lu_lambdas": True}),
        ("beta 0.01", {"betas": 0.01, "use_beta_sigmas": 1}),
    )
    spacings: list[Spacing] = [*trained, *by_sigma, beta]
    for (name, options), order in product([*spacings, *flow, lu], (2, 3)):
        yield _scheduler(f"DPM++{order}M {name}", "DPMSolverMultistep", {"solver_order": order, **options})
    for name, options in [*by_sigma, *flow]:
        yield _scheduler(f"DPM++2M heun {name}", "DPMSolverMultistep", {"solver_type": "heun", **options})
    for name, options in [by_sigma[1], by_sigma[4]]:
        ended = {"solver_order": 3, "euler_at_final": True, "lower_order_final": False, **options}
        yield _scheduler(f"DPM++3M Euler at the end {name}", "DPMSolverMultistep", ended)
    for (name, options), order in product([*spacings, *flow], (2, 3)):
        yield _scheduler(f"UniPC{order} {name}", "UniPCMultistep", {"solver_order": order, **options})
    for (name, options), order in product([*trained, *by_sigma[:2], *by_sigma[3:5]], (2, 3)):
        yield _scheduler(f"DEIS{order} {name}", "DEISMultistep", {"solver_order": order, **options})
    for (name, options), order in product(spacings[:-1], (1, 2)):
        settings = {"solver_order": order, "algorithm_type": "sde-dpmsolver++", **options}
        yield _scheduler(f"SDE-DPM++{order} {name}", "DPMSolverMultistep", settings, stochastic=True)


def _scheduler(name: str, kind: str, options: dict[str, Any], stochastic: bool = False) -> Solver:
    return Solver("diffusers", name, partial(_preserving, kind, options), stochastic=stochastic)


def _diffusers_exploding() -> Iterator[Solver]:
    """The schedulers whose states have α = 1: Euler, Heun, LMS, and those in the formulation of EDM."""
    for name, least in product(("karras", "exponential"), LEAST):
        grid, sigmas = f"{name} {least}", {"betas": least, f"use_{name}_sigmas": True}
        yield Solver("diffusers", f"Euler {grid}", partial(_exploding, "EulerDiscrete", sigmas))
        yield Solver("diffusers", f"LMS {grid}", partial(_exploding, "LMSDiscrete", sigmas))
        yield Solver("diffusers", f"Heun {grid}", partial(_exploding, "HeunDiscrete", sigmas), calls=2, spared=1)
        for order in (2, 3):
            edm = {"sigma_schedule": name, "sigma_min": least, "solver_order": order}
            yield Solver("diffusers", f"EDM DPM++{order}M {grid}", partial(_edm, "EDMDPMSolverMultistep", edm))
        edm = {"sigma_schedule": name, "sigma_min": least}
        yield Solver("diffusers", f"EDM Euler {grid}", partial(_edm, "EDMEuler", edm))
        run = partial(_edm, "EDMDPMSolverMultistep", edm | {"algorithm_type": "sde-dpmsolver++"})
        yield Solver("diffusers", f"EDM SDE-DPM++2 {grid}", run, stochastic=True)
    for betas in ("cosine", "linear"):
        run = partial(_exploding, "EulerAncestralDiscrete", {"betas": betas})
        yield Solver("diffusers", f"Euler ancestral {betas}", run, stochastic=True)


def _diffusers_discrete() -> Iterator[Solver]:
    """DDIM and DDPM."""
    for betas in ("cosine", "linear"):
        options = {"betas": betas, "timestep_spacing": "trailing"}
        yield Solver("diffusers", f"DDIM trailing {betas}", partial(_discrete, "DDIM", options, {}))
        for eta in (0.5, 1.0):
            run = partial(_discrete, "DDIM", options, {"eta": eta})
            yield Solver("diffusers", f"DDIM η={eta:g} trailing {betas}", run, stochastic=True)
        yield Solver("diffusers", f"DDPM trailing {betas}", partial(_discrete, "DDPM", options, {}), stochastic=True)


def diffusers_scheduler(kind: str, options: dict[str, Any]) -> Any:
    """A scheduler; "betas" names the noise levels of the supposed training: "cosine", "linear" or the least."""
    options, extra = dict(options), {}
    betas = options.pop("betas", None)
    if betas is not None:
        extra = {"num_train_timesteps": TRAINED, "trained_betas": _betas(betas), "prediction_type": "sample"}
    elif options.get("use_flow_sigmas"):  # the largest σ/α is shift · (training steps − 1)
        extra = {"num_train_timesteps": int(FAR / options["flow_shift"]) + 1, "prediction_type": "sample"}
    if kind in ("DDIM", "DDPM"):
        extra |= {"clip_sample": False}
    quiet = importlib.import_module("diffusers.utils.logging")
    quiet.set_verbosity_error()
    return getattr(importlib.import_module("diffusers"), f"{kind}Scheduler")(**extra, **options)


@cache
def _betas(kind: str | float) -> Any:
    """The betas of TRAINED noise levels up to σ/α = 80."""
    if isinstance(kind, float):
        ratios = [exp(log(kind) + k / (TRAINED - 1) * (log(FAR) - log(kind))) for k in range(TRAINED)]
        kept = [1 / (1 + ratio**2) for ratio in ratios]
    elif kind == "cosine":
        end = 2 / pi * torch.tensor(FAR, dtype=torch.float64).atan().item()
        kept = [1 / (1 + tan(pi / 2 * end * k / TRAINED) ** 2) for k in range(1, TRAINED + 1)]
    else:  # log α² = −(β₁ t² + β₀ t), stretched to end at 80
        raw = [-(9.95 * (k / TRAINED) ** 2 + 0.1 * k / TRAINED) for k in range(1, TRAINED + 1)]
        kept = [exp(value * -log(1 + FAR**2) / raw[-1]) for value in raw]
    return [1 - after / before for before, after in zip([1.0, *kept[:-1]], kept, strict=True)]


def _ready(kind: str, options: dict[str, Any], steps: int) -> Any:
    scheduler = diffusers_scheduler(kind, options)
    if kind == "UniPCMultistep" and options.get("use_flow_sigmas"):
        high = FAR / options["flow_shift"]
        high = high / (1 + high)
        scheduler.set_timesteps(sigmas=np.linspace(high, 0, steps + 1)[:-1])
    else:
        scheduler.set_timesteps(steps)
    with contextlib.suppress(AttributeError):
        scheduler.set_begin_index(0)
    return scheduler


def _preserving(kind: str, options: dict[str, Any], denoise: Denoise, x: Tensor, steps: int) -> Tensor:
    scheduler = _ready(kind, options, steps)
    levels = [scheduler._sigma_to_alpha_sigma_t(sigma.double()) for sigma in scheduler.sigmas[:-1]]
    x = x * levels[0][0]
    for (alpha, sigma), t in zip(levels, scheduler.timesteps, strict=True):
        x = scheduler.step(denoise(x / alpha, sigma / alpha), t, x).prev_sample
    return x


def _exploding(kind: str, options: dict[str, Any], denoise: Denoise, x: Tensor, steps: int) -> Tensor:
    scheduler = _ready(kind, {**options}, steps)
    scheduler.register_to_config(prediction_type="epsilon")
    scheduler.is_scale_input_called = True
    for sigma, t in zip(scheduler.sigmas[:-1].double(), scheduler.timesteps, strict=True):
        x = scheduler.step((x - denoise(x, sigma)) / sigma, t, x).prev_sample
    return x


def _edm(kind: str, options: dict[str, Any], denoise: Denoise, x: Tensor, steps: int) -> Tensor:
    scheduler = _ready(kind, {"sigma_data": 1.0, "sigma_max": FAR, **options}, steps)
    scheduler.is_scale_input_called = True
    for sigma, t in zip(scheduler.sigmas[:-1].double(), scheduler.timesteps, strict=True):
        skip, out = 1 / (sigma**2 + 1), sigma / (sigma**2 + 1) ** 0.5
        x = scheduler.step((denoise(x, sigma) - skip * x) / out, t, x).prev_sample
    return x


def _discrete(
    kind: str, options: dict[str, Any], extra: dict[str, Any], denoise: Denoise, x: Tensor, steps: int
) -> Tensor:
    scheduler = _ready(kind, options, steps)
    levels = [(kept**0.5, (1 - kept) ** 0.5) for kept in scheduler.alphas_cumprod[scheduler.timesteps].double()]
    x = x * levels[0][0]
    for (alpha, sigma), t in zip(levels, scheduler.timesteps, strict=True):
        x = scheduler.step(denoise(x / alpha, sigma / alpha), t, x, **extra).prev_sample
    return x
