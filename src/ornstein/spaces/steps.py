"""The coefficients of a Gaussian step, planned once as plain floats.

With the signal-to-noise ratio as clock, ℓ = log α/σ, the probability flow under beliefs x̂(ℓ) is solved by

    x_s = (σ_s/σ_t) x_t + (α_s − α_t σ_s/σ_t) M,      M = ∫ x̂ e^ℓ dℓ / ∫ e^ℓ dℓ   over [ℓ_t, ℓ_s],

so a step of any order is DDIM (Song et al. 2021) on an averaged belief M. M is the exact average of the polynomial
through the beliefs at hand: exponential Adams–Bashforth, and its corrector when the belief at s is among them (UniPC,
Zhao et al. 2023). The polynomial is in z = asinh r, 1/r = α c/σ + 1/40, c the spread of the data, in which beliefs
change evenly: ℓ itself stretches to infinity at both ends, where beliefs stand still. With fresh noise η the weight is
e^{(1 + η²)ℓ}.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..keys import constant
from ..schedules import Schedule
from ..states import Time

P = ParamSpec("P")
R = TypeVar("R")
_NODES, _WEIGHTS = (torch.from_numpy(array) for array in np.polynomial.legendre.leggauss(48))
_NEAR = 1 / 40  # noise of many times the data's spread is almost pure: z stays finite
_STILL = 0.02  # of a step: what is less far apart is one place, between which the other parts of a product have moved
_REACH = 40.0  # e^{-40}: what lies further back has no weight in float64


def _planned(function: Callable[P, R]) -> Callable[P, R]:
    """Computes a plan once for its arguments; torch.compile takes it for a constant."""
    remembered = lru_cache(maxsize=65536)(function)

    @constant
    @wraps(function)
    def plan(*arguments: P.args, **named: P.kwargs) -> R:
        return remembered(*arguments, **named)

    return plan


def _step(schedule: Schedule, eta: float, t: Tensor, s: Tensor) -> list[Tensor]:
    """(a, b, τ) of x_s = a x_t + b x̂ + τ z with τ² = η² σ_s² (1 − α_t² σ_s² / α_s² σ_t²)."""
    alpha_t, sigma_t = schedule.alpha(t), schedule.sigma(t)
    alpha_s, sigma_s = schedule.alpha(s), schedule.sigma(s)
    still = (sigma_t == 0) | (t == s)  # nothing to remove, or nowhere to go
    sigma_t = torch.where(sigma_t == 0, 1.0, sigma_t)
    remaining = alpha_t / torch.where(alpha_s == 0, 1.0, alpha_s)
    tau_squared = eta**2 * sigma_s**2 * (1 - (remaining * sigma_s / sigma_t) ** 2).clamp(min=0)
    # without fresh noise no root of 0, which has no derivative
    kept, tau = ((sigma_s**2 - tau_squared).clamp(min=0).sqrt(), tau_squared.sqrt()) if eta else (sigma_s, 0 * sigma_s)
    keep = kept / sigma_t
    moved = keep, alpha_s - keep * alpha_t, tau
    return [torch.where(still, float(k == 0), value) for k, value in enumerate(moved)]


def _average(schedule: Schedule, scale: float, eta: float, *times: Tensor) -> list[Tensor]:
    """The weight in M of the belief at each of times[:-2], for the step from times[-2] to times[-1]."""
    *nodes, t, s = ((schedule.log_snr(time) / 2)[..., None] for time in times)
    settled = s.isinf()  # a step into the data: its belief is the latest, not extrapolated
    s, power = torch.where(settled, 0.0, s), 1 + eta**2
    start = torch.maximum(t, s - _REACH / power)
    at = start + (s - start) * (_NODES.to(s.device) + 1) / 2
    measure = _WEIGHTS.to(s.device) * (power * (at - s)).exp()
    measure = measure / measure.sum(-1, keepdim=True)
    z, *places = (torch.asinh(1 / (ell.clamp(min=-15.0).exp() * scale + _NEAR)) for ell in (at, *nodes))
    places, counts = _told_apart(places, _STILL * (z[..., -1] - z[..., 0]).abs()[..., None])
    weights = [(_lagrange(z, places, counts, j) * measure).sum(-1) for j in range(len(nodes))]
    return [torch.where(settled[..., 0], float(j == len(nodes) - 1), weight) for j, weight in enumerate(weights)]


def _told_apart(places: Sequence[Tensor], near: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """The places of the nodes, and whether each counts: of those at one place, where time stood still, the last does.

    Those that do not count are put beside all others, so that no difference is 0.
    """
    *whole, near = torch.broadcast_tensors(*places, near)
    counts = [torch.ones_like(near, dtype=torch.bool) for _ in whole]
    for j, place in enumerate(whole):
        for later in whole[j + 1 :]:
            counts[j] &= (place - later).abs() > near
    return [torch.where(one, place, -1.0 - j) for j, (one, place) in enumerate(zip(counts, whole, strict=True))], counts


def _lagrange(z: Tensor, places: Sequence[Tensor], counts: Sequence[Tensor], j: int) -> Tensor:
    """The polynomial that is 1 at places[j] and 0 at the others, of those that count."""
    value = torch.ones_like(z)
    for k, place in enumerate(places):
        if k != j:
            value = torch.where(counts[k], value * (z - place) / (places[j] - place), value)
    return torch.where(counts[j], value, 0.0)


@_planned
def levels(schedule: Schedule, t: float) -> tuple[float, float]:
    """α(t) and σ(t) as floats."""
    return schedule.alpha(t).item(), schedule.sigma(t).item()


@_planned
def _step_floats(schedule: Schedule, eta: float, t: float, s: float) -> tuple[float, ...]:
    return tuple(value.item() for value in _step(schedule, eta, *torch.tensor([t, s], dtype=torch.float64)))


@_planned
def _average_floats(schedule: Schedule, scale: float, eta: float, *times: float) -> tuple[float, ...]:
    values = _average(schedule, scale, eta, *torch.tensor(times, dtype=torch.float64))
    return tuple(value.item() for value in values)


def step_coefficients(schedule: Schedule, t: Time, s: Time, eta: float) -> Sequence[Time]:
    """(a, b, τ) of x_s = a x_t + b x̂ + τ z; plain floats, planned once, where the times are; else tensors.

    Args:
        schedule: α(t) and σ(t) of the noise.
        t: time to step from, 0 = data, 1 = noise.
        s: the time to go to, at most t.
        eta: share of fresh noise in a step: 0 = deterministic, 1 = ancestral.
    """
    if isinstance(t, Tensor) or isinstance(s, Tensor):
        keep, weight, tau = _step(schedule, eta, *_tensors(t, s))
        return keep, weight, tau if eta else 0.0
    return _step_floats(schedule, eta, t, s)


def average_weights(
    schedule: Schedule, scale: float, eta: float, nodes: Sequence[Time], t: Time, s: Time
) -> Sequence[Time]:
    """The weights, which sum to 1, of the beliefs at `nodes` in the averaged belief of the step from t to s.

    scale: the spread c of the data.

    Args:
        schedule: α(t) and σ(t) of the noise.
        eta: share of fresh noise in a step: 0 = deterministic, 1 = ancestral.
    """
    if isinstance(t, Tensor) or isinstance(s, Tensor) or isinstance(nodes[0], Tensor):
        return _average(schedule, scale, eta, *_tensors(*nodes, t, s))
    return _average_floats(schedule, scale, eta, *nodes, t, s)  # pyright: ignore[reportArgumentType]


def _tensors(*times: Time) -> list[Tensor]:
    tensors = [torch.as_tensor(time, dtype=torch.float64) for time in times]
    return list(torch.broadcast_tensors(*tensors))
