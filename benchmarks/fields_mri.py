"""One posterior sample of a complex field seen through coils, beside azula's MMPS: time, memory, distance to the truth.

    make bench-env && .bench-env/bin/python benchmarks/fields_mri.py [--side 256] [--steps 50]

A complex field of two independent parts with a variance ∝ k⁻³ a mode is seen by 8 coils at a random quarter of its
frequencies. The network, a U-Net of 5 M parameters, is the same for both; its last layer is 0, and the preconditioning
by the field's spectrum around it makes the belief the exact one, so that the posterior is known: mean m and covariance
C. Of a right sample x − m has the covariance C, hence

    whole   |x − m|² / tr C                1, up to the scatter of one sample
    seen    |A(x − m)|² / tr A C Aᵀ        1, likewise: how well the measured part is kept

`plain` knows no spectrum: its linear solves are preconditioned as if the data were white. Every run has a process of
its own, `--threads` threads, and one sample; `CPU` is the time of its process, which others on the machine disturb
less than the time on the clock, and `memory` is how far its peak rises above where it stood before the run.
"""

import argparse
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from multiprocessing import get_context
from typing import Any

import torch
from torch import Tensor

from ornstein.beliefs import Belief
from ornstein.denoisers.base import Condition, Denoiser, Traits
from ornstein.guidance.krylov import conjugate_gradients
from ornstein.guidance.measurements import Measurement
from ornstein.guidance.operators import LinearFunction
from ornstein.keys import Keys
from ornstein.networks import UNet, UNetConfig
from ornstein.schedules import Cosine
from ornstein.spaces import Euclidean
from ornstein.spectral.roots import Spectral, power_law
from ornstein.spectral.transforms import periodic
from ornstein.states import State, Time
from ornstein.tasks.drawing import sample

COILS, SHARE, STD = 8, 0.25, 0.05
NETWORK = UNetConfig(channels=32, multipliers=(1, 2, 3, 4), blocks=2, attention=(), patch=2)
PROBES = 4


@dataclass(frozen=True)
class Problem:
    """A field, how it is seen, and what was seen."""

    cov: Spectral
    coils: Tensor
    mask: Tensor
    y: Tensor

    @property
    def operator(self) -> LinearFunction:
        return LinearFunction(self.see, self.back)

    def see(self, x: Tensor) -> Tensor:
        """(batch, 2, n, n) → (batch, coils, n, n, 2), frequencies that were not seen 0."""
        pairs = x.movedim(1, -1).contiguous()
        waves = torch.fft.fft2(torch.view_as_complex(pairs)[:, None] * self.coils.to(_complex(x)), norm="ortho")
        return torch.view_as_real(waves * self.mask)

    def back(self, y: Tensor) -> Tensor:
        waves = torch.fft.ifft2(torch.view_as_complex(y.contiguous()) * self.mask, norm="ortho")
        return torch.view_as_real((waves * self.coils.to(_complex(y)).conj()).sum(1)).movedim(-1, 1)


def _complex(x: Tensor) -> torch.dtype:
    return torch.complex128 if x.dtype == torch.float64 else torch.complex64


@cache
def problem(side: int) -> Problem:
    """The same for every run."""
    cov = power_law((2, side, side), 3, periodic(), std=0.5**0.5)
    at = torch.linspace(-1, 1, side, dtype=torch.float64)
    angle = torch.arange(COILS, dtype=torch.float64) * (2 * torch.pi / COILS)
    away = (at[:, None] - angle.sin()[:, None, None]) ** 2 + (at[None] - angle.cos()[:, None, None]) ** 2
    coils = torch.polar((-away).exp(), angle[:, None, None] + at[:, None] * at[None])
    coils = coils / coils.abs().square().sum(0).sqrt()
    near = torch.fft.fftfreq(side).abs() < 0.04
    mask = (Keys.of(1, 1).uniform(side, side)[0] < SHARE) | (near[:, None] & near[None])
    seen = Problem(cov, coils, mask, torch.empty(0))
    truth = cov.root(Keys.of(2, 1).normal(2, side, side))
    noise = STD * Keys.of(3, 1).normal(COILS, side, side, 2) * mask[..., None]
    return replace(seen, y=(seen.see(truth) + noise)[0])


# The truth --------------------------------------------------------------------------------------------


def explained(of: Problem, residual: Tensor) -> Tensor:
    """(C⁻¹ + Aᵀ A/σ²)⁻¹ Aᵀ r/σ² of the field itself, to seven digits: preconditioned as if A were a filter."""
    share = of.mask.double().mean() + torch.zeros_like(of.cov.variance)
    near = Spectral(of.cov.basis, 1 / (1 / of.cov.variance + share / STD**2))

    def system(x: Tensor) -> Tensor:
        return of.cov.solve(x) + of.back(of.see(x)) / STD**2

    return conjugate_gradients(system, of.back(residual) / STD**2, 1e-7, 2000, preconditioner=near).x


@cache
def truth(side: int) -> tuple[Tensor, float, float]:
    """m, and tr C and tr A C Aᵀ by exact draws of the posterior (a draw of the field and its noise, corrected)."""
    of = problem(side)
    mean, whole, seen = explained(of, of.y[None]), 0.0, 0.0
    for k in range(PROBES):
        field = of.cov.root(Keys.of(10 + k, 1).normal(2, side, side))
        noise = STD * Keys.of(30 + k, 1).normal(COILS, side, side, 2) * of.mask[..., None]
        off = field - explained(of, of.see(field) + noise)
        whole, seen = whole + float(off.square().sum()) / PROBES, seen + float(of.see(off).square().sum()) / PROBES
    return mean, whole, seen


# The network ------------------------------------------------------------------------------------------


def network() -> UNet:
    torch.manual_seed(0)
    return UNet(NETWORK, 2).requires_grad_(False).eval()


class Exact(Denoiser):
    """The network within the preconditioning by the spectrum; `space` may pretend to know less."""

    def __init__(self, side: int, plain: bool) -> None:
        self.network, self.known = network(), Euclidean((2, side, side), Cosine(), problem(side).cov)
        space = replace(self.known, data_std=0.5**0.5) if plain else self.known
        self.traits = Traits(space)

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        assert isinstance(x_t, Tensor)
        when = torch.as_tensor(t, dtype=torch.float32).expand(len(x_t))
        return self.known.belief(self.network(self.known.inputs(x_t, t), when, {}), x_t, t)


# The runs ---------------------------------------------------------------------------------------------


def ours(side: int, steps: int, seed: int, plain: bool = False, **settings: Any) -> tuple[Tensor, str]:
    of = problem(side)
    guided = Exact(side, plain) & Measurement(of.y.float(), of.operator, STD, **settings)
    found = sample(guided, 1, steps=steps, seed=seed)
    return found.x, f"{found.nfe:g} + {found.gradients:g}"


def azula(side: int, steps: int, seed: int, iterations: int, sampler: str, solver: str) -> tuple[Tensor, str]:
    """Their guidance, sampler and cosine schedule on the same belief."""
    module, guidance = import_module("azula.denoise"), import_module("azula.guidance")
    covariance, of, inner = import_module("azula.linalg.covariance"), problem(side), Exact(side, False)
    schedule, ours = import_module("azula.noise").CosineSchedule(), inner.known.schedule

    class Wrapped(module.Denoiser):
        calls = 0

        def __init__(self) -> None:
            super().__init__()
            self.schedule = schedule

        def forward(self, x_t: Tensor, t: Tensor, **_: Any) -> Any:
            Wrapped.calls += 1
            alpha, sigma = (level.double() for level in schedule(t))
            same = ours.time(2 * (alpha / sigma).log())  # the time at which our schedule has as much noise
            x = (ours.alpha(same) / alpha).float() * x_t.reshape(-1, 2, side, side)
            return module.DiracPosterior(mean=inner(x, float(same)).mean.flatten(1))

    def see(x: Tensor) -> Tensor:
        return of.see(x.reshape(-1, 2, side, side)).flatten(1)

    torch.manual_seed(seed)
    noise = covariance.IsotropicCovariance(torch.tensor(STD**2))
    guided = guidance.MMPSDenoiser(
        Wrapped(), of.y.float().flatten()[None], see, noise, solver=solver, iterations=iterations
    )
    draw = getattr(import_module("azula.sample"), sampler)(guided, steps=steps, silent=True)
    x = draw(draw.init((1, 2 * side * side)))
    return x.reshape(1, 2, side, side), f"{Wrapped.calls} + {Wrapped.calls * (iterations + 1)}"


RUNS: dict[str, tuple[Any, dict[str, Any]]] = {
    "ornstein": (ours, {}),
    "ornstein, tolerance 0.01": (ours, {"tolerance": 1e-2}),
    "ornstein, tolerance 0.05": (ours, {"tolerance": 5e-2}),
    "ornstein, tolerance 0.2": (ours, {"tolerance": 0.2}),
    "ornstein, plain": (ours, {"plain": True}),
    "azula MMPS, as it comes (GMRES, 1)": (azula, {"iterations": 1, "sampler": "DDPMSampler", "solver": "gmres"}),
    "azula MMPS, GMRES, 3": (azula, {"iterations": 3, "sampler": "DDPMSampler", "solver": "gmres"}),
    "azula MMPS, CG, 5": (azula, {"iterations": 5, "sampler": "DDPMSampler", "solver": "cg"}),
    "azula MMPS, CG, 30": (azula, {"iterations": 30, "sampler": "DDPMSampler", "solver": "cg"}),
    "azula MMPS, DDIM, GMRES, 3": (azula, {"iterations": 3, "sampler": "DDIMSampler", "solver": "gmres"}),
}


def run(name: str, side: int, steps: int, seed: int, threads: int) -> tuple[Tensor, str, float, float, float]:
    """The sample, calls and gradients, seconds on the clock and of the process, and MB that its memory rose by."""
    torch.set_num_threads(threads)
    function, options = RUNS[name]
    problem(side)
    before, begun, spent = _peak(), time.perf_counter(), time.process_time()
    x, cost = function(side, steps, seed, **options)
    return x, cost, time.perf_counter() - begun, time.process_time() - spent, _peak() - before


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("side", 256), ("steps", 50), ("seed", 0), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", nargs="*", default=list(RUNS), choices=list(RUNS), help="these runs")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    mean, whole, seen = truth(options.side)
    of, parameters = problem(options.side), sum(weight.numel() for weight in network().parameters())
    print(f"2 × {options.side}², {COILS} coils, {options.steps} steps, a U-Net of {parameters:,} parameters")
    print("| run | calls + gradients | seconds | CPU | memory, MB | whole | seen |\n|---|---|---|---|---|---|---|")
    for name in options.only:
        with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
            job = fresh.submit(run, name, options.side, options.steps, options.seed, options.threads)
            x, cost, seconds, spent, memory = job.result()
        off = x.double() - mean
        ratios = float(off.square().sum()) / whole, float(of.see(off).square().sum()) / seen
        print(
            f"| {name} | {cost} | {seconds:.0f} | {spent:.0f} | {memory:.0f} | {ratios[0]:.3f} | {ratios[1]:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
