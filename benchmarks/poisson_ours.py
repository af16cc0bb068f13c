"""Posteriors of sources for benchmarks/poisson.py: ours, kriging, the best linear estimator.

Kriging is exact for Gaussian sources; of others the best linear estimator is the same line with the moments of draws.
Sensors stand at the same random points in all cases, with noise of 0.1 % of the size of what they measure. A case has
39 samples, between whose second smallest and second largest a right sample lies with 36/40; their mean is 1.3 % further
from the truth than that of the law.
"""

from dataclasses import dataclass, replace
from statistics import fmean
from time import process_time
from typing import Any

import torch
from benchmarks.poisson_cases import TEST, Row, covered, drawn, equation, laplacian, whole
from torch import Tensor

from ornstein.denoisers.base import Denoiser
from ornstein.denoisers.fields import gaussian_field
from ornstein.domains.poisson import sources
from ornstein.domains.poisson.equations import Problem
from ornstein.domains.poisson.factors import solution_sensors, source_sensors
from ornstein.domains.poisson.kriging import Linear, kriging
from ornstein.domains.poisson.learned.prior import DEFAULTS
from ornstein.guidance.measurements import Measurement
from ornstein.keys import Keys
from ornstein.tasks.drawing import sample

NOISE, MEMBERS, SIGMAS = 1e-3, 39, 1.6449
"""Noise beside the size of the field, samples a case, and half a Gaussian's central 90 % in standard deviations."""
LAW, INTERVALS = 8192, 64
"""Draws that the best linear estimator is made of, and up to which side the intervals of kriging are computed."""


@dataclass(frozen=True)
class Cases:
    """Fields of one kind, and what sensors read of each.

    Attributes:
        rho, phi: (n, side, side), float64.
        factor: the sensors of the first case.
        readings: of each, (n, 1, sensors).
    """

    rho: Tensor
    phi: Tensor
    factor: Measurement
    readings: Tensor

    @classmethod
    def of(cls, kind: str, n: int, side: int, sensors: int, what: str) -> "Cases":
        """n cases with sensors of "source" or "solution"."""
        rho, phi = drawn(kind, n, side, TEST)
        points = Keys.of(7, 1).uniform(sensors, 2)[0].double()
        std = NOISE * float(drawn(kind, 64, side, TEST + 1)[what == "solution"].square().mean().sqrt())
        make = source_sensors if what == "source" else solution_sensors
        factor = make(Problem(equation(side)), (points, torch.zeros(sensors), std))
        exact = _read(factor, rho)
        noise = torch.as_tensor(factor.std) * Keys.of(TEST, n).fold("noise").normal(sensors)[:, None].double()
        return cls(rho, phi, replace(factor, y=(exact + noise)[0]), exact + noise)

    def row(self, block: str, method: str, kind: str, rho: Tensor, **more: Any) -> Row:
        """A row of estimates of the sources, whose solutions are theirs."""
        phi = equation(rho.shape[-1]).solution(rho)
        return Row(
            block, method, kind, _relative(phi, self.phi), error_source=_relative(rho, self.rho), boundary=0.0,
            residual=_relative(laplacian(whole(phi)), rho), **more,
        )  # fmt: skip


def gaussian(cases: Cases, block: str) -> Row:
    """Kriging: the exact posterior of Gaussian sources; its intervals up to 64², where they take seconds."""
    side = cases.rho.shape[-1]
    cov, problem = sources.gaussian_spectrum((1, side, side)), Problem(equation(side))
    field = gaussian_field(cov)
    started = process_time()
    field.posterior(cases.factor)
    taken = 1e3 * (process_time() - started)
    every, prior = replace(cases.factor, y=cases.readings), field.prior(len(cases.readings))
    means = every.update(prior, prior.mean, 0.0, field.field)[1].mean[:, 0]  # one solve for all of them
    held: dict[str, Any] = {}
    if side <= INTERVALS:
        known, phi = kriging(problem, cov, [cases.factor]), equation(side).solution(means)
        held["coverage"] = _near(phi, cases.phi, known.solution_std)
        held["coverage_source"] = _near(means, cases.rho, known.source_std)
    return cases.row(block, "kriging (exact)", "gaussian", means, one=taken, **held)


def _near(mean: Tensor, truth: Tensor, std: Tensor) -> float:
    """How often the truth lies in a Gaussian's central 90 %."""
    return float(((mean - truth).abs() < SIGMAS * std).double().mean())


def linear(cases: Cases, kind: str, block: str) -> Row:
    """The best estimator that is linear in what was measured, from draws of the law."""
    side = cases.rho.shape[-1]
    draws = sources.draw(kind, Keys.of(TEST + 2, LAW), (side, side))
    best = Linear.of(draws, cases.factor)
    return cases.row(block, "best linear estimator", kind, best(cases.readings[:, 0])[:, 0])


def ours(model: Denoiser, learnt: str, cases: Cases, kind: str, block: str, steps: int) -> Row:
    """Means and intervals of samples; the first case alone, for its time, and the others together."""
    first, one = _samples(model, cases, slice(0, 1), steps)
    rest, together = _samples(model, cases, slice(1, None), steps)
    rho = torch.cat([first, rest])
    phi = equation(rho.shape[-1]).solution(rho)
    held = {"coverage": _held(phi, cases.phi), "coverage_source": _held(rho, cases.rho)}
    taken = {"one": one, "batched": together / max(1, len(rho) - 1)}
    return cases.row(block, f"ours, {steps} steps", kind, rho.mean(1), learnt=learnt, **held, **taken)


def _samples(model: Denoiser, cases: Cases, which: slice, steps: int) -> tuple[Tensor, float]:
    """Sources (cases, members, side, side) float64, and the milliseconds they took."""
    readings = cases.readings[which]
    factor = replace(cases.factor, y=readings.repeat_interleave(MEMBERS, 0))
    started = process_time()
    found = sample(model & factor, len(factor.y), **{**DEFAULTS, "steps": steps}, seed=3) if len(readings) else None
    taken = 1e3 * (process_time() - started)
    shape = (len(readings), MEMBERS, *cases.rho.shape[1:])
    return torch.empty(shape).double() if found is None else found.x.double().reshape(shape), taken


def _held(members: Tensor, truth: Tensor) -> float:
    """How often the truth lies in the central 90 % of its members, the mean over the cases."""
    return fmean(covered(*case) for case in zip(members, truth, strict=True))


def _read(factor: Measurement, rho: Tensor) -> Tensor:
    """What sensors without noise read of sources, (n, 1, sensors)."""
    operator: Any = factor.operator
    return operator(rho[:, None])


def _relative(found: Tensor, truth: Tensor) -> float:
    return float(((found - truth).flatten(1).norm(dim=1) / truth.flatten(1).norm(dim=1)).mean())
