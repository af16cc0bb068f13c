"""Energies at every noise level: E(x, t) = −log p(x_t) up to a constant that depends on t alone.

A denoiser gives the slope of log p(x_t), the score (α x̂ − x_t)/σ², times Σ⁻¹ where the noise has a covariance Σ. An
arbitrary network's score is no gradient, so two states have no unique difference in energy; `energy_difference`
integrates it along a line, and says by the circulation round triangles how far it is from a gradient.

An `EnergyDenoiser` is one by construction. With v = α² σ_d² + σ² the variance of x_t and F(x_t/√v, t) the network

    E(x, t) = ½ ‖x/√v − (α σ_d/√v) F‖² = ‖x‖²/2v + α ρ,      ρ = −(σ_d/v) x·F + (α σ_d²/2v) ‖F‖²

whose Tweedie mean x̂ = (x − σ² ∇E)/α is, without dividing by α,

    x̂ = (α σ_d²/v) x − σ² ∇ρ

so F = 0 is the Gaussian of the data's spread (cf. Salimans & Ho 2021, Du et al. 2023). Training differentiates ∇ρ once
more; a call costs about twice that of the plain network.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Normal
from ..errors import InputError
from ..keys import Keys
from ..spaces import Euclidean
from ..spaces.base import require_shape
from ..states import State, Time, as_time, left, per_sample_sum
from .base import Condition, Denoiser, NeuralDenoiser, carry


@dataclass(frozen=True, repr=False)
class EnergyDenoiser(NeuralDenoiser):
    """A network whose score is the gradient of an energy; for continuous data, one time a sample."""

    def __post_init__(self) -> None:
        if not isinstance(self.space, Euclidean):
            raise InputError(f"energies are of continuous data, not of {type(self.space).__name__}")
        if self.space.noise_cov is not None or not isinstance(self.space.data_std, float | int):
            raise InputError("energies are of data with one data_std under white noise")
        super().__post_init__()
        carry(self, replace(self.traits, calls=2))  # the network and its gradient

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Normal:
        assert isinstance(x_t, Tensor)
        graph = torch.is_grad_enabled() and self._learning(x_t, t)
        with torch.enable_grad():
            x = x_t if x_t.requires_grad else x_t.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self._residual(x, t, condition).sum(), x, create_graph=graph)
        alpha, sigma, variance = self._levels(x_t, t)
        spread = _bound(self, condition).scale
        mean = (alpha * spread**2 / variance).to(x_t) * x_t - (sigma**2).to(x_t) * slope
        return Normal(_bound(self, condition).project(mean))

    def log_density(self, x_t: State, t: Time, condition: Condition | None = None) -> Float[Tensor, " batch"]:
        """−E(x_t, t).

        Args:
            condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        """
        assert isinstance(x_t, Tensor)
        alpha, _, variance = self._levels(x_t, t)
        x = _bound(self, condition).project(x_t)
        quadratic = per_sample_sum(x.double() ** 2 / variance) / 2
        return -quadratic - alpha.flatten() * self._residual(x_t, t, condition).double()

    def _residual(self, x_t: Tensor, t: Time, condition: Condition | None) -> Float[Tensor, " batch"]:
        """ρ."""
        space = _bound(self, condition)
        alpha, _, variance = (level.flatten() for level in self._levels(x_t, t))
        x, output = space.project(x_t), space.project(require_shape(self.output(x_t, t, condition), x_t.shape))
        linear, square = per_sample_sum(x * output), per_sample_sum(output**2)
        return (alpha * space.scale**2 / 2 / variance).to(x) * square - (space.scale / variance).to(x) * linear

    def _levels(self, x_t: Tensor, t: Time) -> tuple[Tensor, Tensor, Tensor]:
        """α, σ and v, float64, that broadcast against x_t."""
        alpha, sigma = _levels(_bound(self), x_t, t)
        return alpha, sigma, alpha**2 * _bound(self).scale ** 2 + sigma**2

    def _learning(self, x_t: Tensor, t: Time) -> bool:
        """Whether anybody may ask for the gradient of the belief."""
        asked = x_t.requires_grad or (isinstance(t, Tensor) and t.requires_grad)
        return asked or any(weight.requires_grad for weight in self.network.parameters())


def score(
    denoiser: Denoiser, x_t: Float[Tensor, "batch ..."], t: Time, condition: Condition | None = None
) -> Float[Tensor, "batch ..."]:
    """∇ log p(x_t) = Σ⁻¹ (α x̂ − x_t)/σ², within the degrees of freedom of continuous data; InputError at t = 0.

    Σ is the covariance of the noise at σ = 1: 1 where that is white.

    Args:
        denoiser: the model, (x_t, t, condition) → belief.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
    """
    space = _bound(denoiser, condition)
    alpha, sigma = (level.to(x_t) for level in _levels(space, x_t, t))
    if not bool((sigma > 0).all()):
        raise InputError("without noise (t = 0) the score of a denoiser is 0/0: expected times above 0")
    slope = space.project(alpha * denoiser(x_t, t, condition).mean - x_t) / sigma**2
    return slope if space.noise_cov is None else space.noise_cov.solve(slope)


def energy_difference(
    denoiser: Denoiser,
    a: Float[Tensor, "batch ..."],
    b: Float[Tensor, "batch ..."],
    t: Time,
    nodes: int = 32,
    detours: int = 4,
    keys: Keys | None = None,
    condition: Condition | None = None,
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """E(b, t) − E(a, t) = −∫ score · dx along the line from a to b, and its error; (1 + 2 detours) nodes calls.

    The error is the root-mean-square circulation of the score round triangles a → c → b → a: 0, to quadrature, where
    the score is a gradient. The detours c lie half the line's length off its middle, in random directions.

    Args:
        a, b: states at time t, (batch, ...).
        t: time of the noise level, 0 = data, 1 = noise: a number, or one a sample.
        nodes: Gauss–Legendre points a line.
        detours: triangles by which the error is found.
        keys: of the detours; those of a fixed seed if not given.
        denoiser: the model, (x_t, t, condition) → belief.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
    """
    if a.shape != b.shape:
        raise InputError(f"a has the shape {tuple(a.shape)} and b {tuple(b.shape)}, expected one shape")
    keys = keys or Keys.of(2_000_003, len(a), a.device)
    straight = _line_integral(denoiser, a, b, t, nodes, condition)
    circulations = []
    for k in range(detours):
        c = _detour(_bound(denoiser, condition), a, b, keys.fold(k))
        there, back = (_line_integral(denoiser, *ends, t, nodes, condition) for ends in ((a, c), (c, b)))
        circulations.append(there + back - straight)
    error = torch.stack(circulations).square().mean(0).sqrt() if circulations else torch.full_like(straight, torch.nan)
    return -straight, error


def _line_integral(
    denoiser: Denoiser, a: Tensor, b: Tensor, t: Time, nodes: int, condition: Condition | None
) -> Float[Tensor, " batch"]:
    """∫ score · dx from a to b, all nodes in one call."""
    places, weights = (torch.from_numpy(array).to(a.device) for array in np.polynomial.legendre.leggauss(nodes))
    share = rearrange((places + 1) / 2, "n -> n" + " 1" * a.ndim).to(a)
    x = (a + share * (b - a)).flatten(0, 1)
    many = _repeated(condition, nodes), repeat(t, "b -> (n b)", n=nodes) if isinstance(t, Tensor) and t.ndim else t
    slope = score(denoiser, x, many[1], many[0]).reshape(nodes, *a.shape)
    along = torch.stack([per_sample_sum((b - a) * at).double() for at in slope])
    return (weights[:, None] / 2 * along).sum(0)


def _detour(space: Euclidean, a: Tensor, b: Tensor, keys: Keys) -> Tensor:
    """A point half the distance of a and b off their middle."""
    off = space.root(keys.normal(*a.shape[1:]).to(a))
    length = (per_sample_sum((b - a) ** 2) / per_sample_sum(off**2)).sqrt() / 2
    return (a + b) / 2 + left(length, off) * off


def _repeated(condition: Condition | None, nodes: int) -> dict[str, Any]:
    return {name: value.repeat(nodes, *[1] * (value.ndim - 1)) for name, value in (condition or {}).items()}


def _levels(space: Euclidean, x: Tensor, t: Time) -> tuple[Tensor, Tensor]:
    """α and σ, float64, that broadcast against x; InputError for a time a position, which no one energy belongs to."""
    time = as_time(t, x)
    if time.ndim > 1:
        raise InputError(f"energies take one time a sample; got times of shape {tuple(time.shape)}")
    return left(space.schedule.alpha(time), x), left(space.schedule.sigma(time), x)


def _bound(denoiser: Denoiser, condition: Condition | None = None) -> Euclidean:
    """Its space, bound to the condition's mask; InputError unless it is of continuous data."""
    space = denoiser.space.with_mask((condition or {}).get("mask"))
    if not isinstance(space, Euclidean):
        raise InputError(f"scores are of continuous data, not of {type(space).__name__}")
    return space
