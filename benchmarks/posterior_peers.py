"""azula's samplers of linear inverse problems as installed from PyPI, in the configurations that did best in tuning.

Tried on tuning problems: MMPS under DDIM, DDPM and second-order Adams–Bashforth steps; DPS with ζ from 1 to 100; TDS
with four twists; each with the variance-exploding schedule in its default range and in one that fits the data, and with
the cosine schedule; 200 to 400 steps. deepinv cannot be compared here: it does not import without torchvision.
"""

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from posterior_worlds import F64, Method, Outcome, Problem

STEPS = 200
Made = Callable[[Problem, Any, dict[str, Any]], Any]
"""(problem, denoiser, options of every sampler) -> a sampler."""


def methods() -> Iterator[Method]:
    """All configurations."""
    for schedule in ("exploding", "cosine"):
        yield _method(f"MMPS, {schedule}", schedule, _moment_matching)
        yield _method(f"TDS, {schedule}", schedule, _twisted)
    for zeta in (10.0, 30.0, 100.0):
        yield _method(f"DPS, ζ = {zeta:g}", "cosine", partial(_posterior, zeta=zeta))


def _method(name: str, schedule: str, make: Made) -> Method:
    return Method("azula", name, partial(_run, schedule, make))


def _run(schedule: str, make: Made, problem: Problem, n: int, seed: int) -> Outcome:
    """n samples from pure noise; every call of the denoiser is counted."""
    denoiser = _counted(schedule, problem)
    sampler = make(problem, denoiser, {"steps": STEPS, "silent": True, "dtype": F64})
    x = sampler(sampler.init((n, problem.d), dtype=F64))
    return Outcome(x, denoiser.calls)


def _counted(schedule: str, problem: Problem) -> Any:
    module, noise = import_module("azula.denoise"), import_module("azula.noise")

    class Exact(module.Denoiser):
        def __init__(self) -> None:
            super().__init__()
            self.schedule = noise.CosineSchedule() if schedule == "cosine" else noise.VESchedule(0.02, 500.0)
            self.calls = 0

        def forward(self, x_t: Tensor, t: Tensor, **_: Any) -> Any:
            self.calls += 1
            return module.DiracPosterior(mean=problem.denoise(x_t, *self.schedule(t)))

    return Exact()


def _moment_matching(problem: Problem, denoiser: Any, options: dict[str, Any]) -> Any:
    """As many iterations of conjugate gradients as there are measurements: they solve exactly."""
    noise = import_module("azula.linalg.covariance").IsotropicCovariance(torch.tensor(problem.std**2, dtype=F64))
    guidance, see = import_module("azula.guidance"), lambda x: x @ problem.matrix.T
    guided = guidance.MMPSDenoiser(denoiser, problem.y, see, noise, solver="cg", iterations=len(problem.y))
    return import_module("azula.sample").DDPMSampler(guided, **options)


def _posterior(problem: Problem, denoiser: Any, options: dict[str, Any], zeta: float) -> Any:
    """DPS divides by the norm of the residuals of the whole batch, so that its ζ has to grow with √n."""
    see = lambda x: x @ problem.matrix.T  # noqa: E731
    return import_module("azula.guidance").DPSSampler(denoiser, problem.y, see, zeta=zeta, **options)


def _twisted(problem: Problem, denoiser: Any, options: dict[str, Any]) -> Any:
    """n particles with the twist N(y; A x̂, σ² + (σ_t/α_t)² A Aᵀ), the best of those tried."""
    own, seen = problem.std**2 * torch.eye(len(problem.y), dtype=F64), problem.matrix @ problem.matrix.T

    def twist(x: Tensor, sigma: Tensor) -> Tensor:
        law = torch.distributions.MultivariateNormal(problem.y, own + sigma**2 * seen)
        return law.log_prob(x @ problem.matrix.T)

    return import_module("azula.guidance").TDSSampler(denoiser, twist, **options)
