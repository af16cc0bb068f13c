"""Draws that say how likely they were, which is what makes them correctable.

Two ways to draw from a diffusion model with a weight that is exact for the *discrete* map:

    flow    x₀ = F(x₁), deterministic:  log q(x₀) = log N(x₁) − log |det ∂F/∂x₁|                    (likelihood.py)
    chain   x₁ → … → x₀, ancestral:     log q = log N(x₁) + Σ log p(x_s | x_t) − log q(x_t | x_s)

The chain's is the density of the whole path over the noising of its end: given x₀, exp(−log q) is 1/q(x₀) on average,
so weights with it are exact too, in any dimension and without a derivative; what the path adds is variance, which
more steps reduce. Its moves are as wide as the belief is unsure, τ² + b² c_t, with c_t the mean squared error of the
belief on pilot draws (Bao et al. 2022, Analytic-DPM): so even the last one has a density.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log, pi
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..denoisers.base import Condition, Denoiser
from ..denoisers.composition import within
from ..errors import InputError
from ..events import Event, Stream, part, streamed
from ..guidance.factors import Factored
from ..keys import Keys
from ..sampling import grids
from ..sampling.flows import draw_with_log_prob, flow_grid
from ..sampling.sampler import Sampler
from ..spaces import Euclidean, Gaussian, Transition
from ..spaces.steps import step_coefficients
from ..states import per_sample_sum, take

Way = Literal["auto", "flow", "chain"]
FLOW_REACH = 32
"""The most degrees of freedom for which the determinant is worth its gradients."""
TOGETHER = 128
"""Draws that walk together: larger batches of particles no longer fit the cache."""
PILOTS = 256
"""The draws that the widths of the chain's moves are learnt from."""
NEIGHBOURS = 10
"""The points that a kernel about one of them reaches."""


@dataclass(frozen=True)
class Draws:
    """Proposals.

    Attributes:
        log_q: their log-density, nats.
        nfe: network evaluations a sample, gradients counted as one, pilots shared out.
        way: how they were drawn.
        grid: the times they walked.
    """

    x: Float[Tensor, "n ..."]
    log_q: Float[Tensor, " n"]
    nfe: int
    way: str
    grid: tuple[float, ...]


@streamed
def draw(
    denoiser: Denoiser, keys: Keys, way: Way = "auto", steps: int | None = None, condition: Condition | None = None
) -> Stream[Draws]:
    """Draws with their log-density, one a key; InputError where the space has none.

    Args:
        way: auto takes the flow up to 32 degrees of freedom, and the chain beyond or where factors guide, whose updates
            have no derivative.
        steps: 20 of the flow, one call and d gradients each; 200 of the chain, one call each.
        denoiser: the model, (x_t, t, condition) → belief.
        keys: random keys, one a sample; they decide everything random.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
    """
    space = denoiser.space
    if not isinstance(space, Euclidean) or (condition and "mask" in condition):
        raise InputError(f"draws with a density are of whole continuous data, not of {type(space).__name__}")
    if denoiser.latent(keys[:1]):
        raise InputError("each draw of a mixture has the density of its component alone: propose from one denoiser")
    rank = int(space.freedom(torch.zeros(1, *space.shape)).sum().round())
    guided = any(isinstance(inner, Factored) for inner in (denoiser, *within(denoiser)))
    if way == "chain" or (way == "auto" and (guided or rank > FLOW_REACH)):
        return (yield from chain.events(denoiser, space, keys, steps or 200, condition or {}))
    x, log_q = yield from draw_with_log_prob.events(denoiser, keys, steps or 20, condition)
    grid = flow_grid(steps or 20, space)
    return Draws(x, log_q, (steps or 20) * (1 + rank) * denoiser.calls, "flow", grid)


@streamed
def chain(
    denoiser: Denoiser, space: Euclidean, keys: Keys, steps: int, condition: Condition, least: float = 0.01
) -> Stream[Draws]:
    """Ancestral draws with the density of their paths.

    Args:
        least: the last noise level, in units of the data's spread: the data must look smooth at that scale.
        denoiser: the model, (x_t, t, condition) → belief.
        space: the kind of data and its noise.
        keys: random keys, one a sample; they decide everything random.
        steps: of the solver, or of the chain.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
    """
    grid = grids.log_snr(steps, space, least)
    doubt, calls = _doubts(denoiser, space, grid, keys[:PILOTS], take(condition, slice(PILOTS)))
    parts = [slice(first, first + TOGETHER) for first in range(0, len(keys), TOGETHER)]
    walked, total = [], steps * len(parts)
    for k, chosen in enumerate(parts):
        state = _walked(denoiser, space, keys[chosen], grid, doubt, take(condition, chosen))
        walked.append((yield from part(state, k * steps, steps, total)))
    x, log_q = (torch.cat(found) for found in zip(*walked, strict=True))
    return Draws(x, log_q, (steps + -(-calls // len(keys))) * denoiser.calls, "chain", tuple(grid))


def _walked(
    denoiser: Denoiser,
    space: Euclidean,
    keys: Keys,
    grid: Sequence[float],
    doubt: Sequence[float],
    condition: Condition,
) -> Stream[tuple[Tensor, Tensor]]:
    """Ends of paths, and the log-density of each path over the noising of its end."""
    x = space.prior(keys.fold("prior"))
    log_q = Gaussian(torch.zeros_like(x), space.schedule.sigma(1.0).item(), space).log_prob(x)
    for k, (t, s) in enumerate(pairwise(grid)):
        with torch.no_grad():
            keep, weight, std = step_coefficients(space.schedule, t, s, 1.0)
            mean = space.project(keep * x + weight * denoiser(x, t, condition).mean)
            move = Gaussian(mean, float(std**2 + weight**2 * doubt[k]) ** 0.5, space)
            y = move.sample(keys.fold("steps").fold(k))
            log_q = log_q + move.log_prob(y) - space.noising(y, t, s).log_prob(x)
            x = y
        yield Event(k + 1, len(grid) - 1, "proposing", x)
    return x, log_q


def _doubts(
    denoiser: Denoiser, space: Euclidean, grid: Sequence[float], keys: Keys, condition: Condition
) -> tuple[list[float], int]:
    """The mean variance of x₀ given x_t, a degree of freedom, at each time but the last; how many calls that took."""
    coarse = (*grid[:: max(1, len(grid) // 50)][:-1], 0.0)
    with torch.no_grad():
        x0 = Sampler(coarse, (grids.SOLVER,)).run(denoiser, keys, condition)
        rank, found = per_sample_sum(space.freedom(x0)).mean(), []
        for k, t in enumerate(grid[:-1]):
            noisy = space.noise(x0, t, keys.fold("pilot").fold(k))
            error = per_sample_sum((denoiser(noisy, t, condition).mean - space.project(x0)).square())
            found.append(float(error.mean() / rank))
    return found, len(keys) * (len(coarse) + len(grid) - 2)


@dataclass(frozen=True)
class Kernels(Transition):
    """A normal distribution of one width about every one of some points, all equally likely.

    Attributes:
        width: standard deviation in each degree of freedom.
    """

    points: Float[Tensor, "m ..."]
    width: float
    space: Euclidean

    @classmethod
    def of(cls, points: Float[Tensor, "m ..."], space: Euclidean) -> "Kernels":
        """As wide as the way from a point to the tenth nearest, typically, by degree of freedom: no gaps in between.

        InputError unless most points differ.
        """
        rank, flat = float(space.freedom(points[:1]).sum()), points.flatten(1)
        ways = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
        near = ways.kthvalue(min(NEIGHBOURS + 1, len(points)), 1).values.median()  # the first is the point itself
        if not near > 0:
            raise InputError(f"most of {len(points)} points are the same as others, expected different ones")
        return cls(points, float(near) / rank**0.5, space)

    def sample(self, keys: Keys) -> Tensor:
        index = (keys.fold("centre").uniform() * len(self.points)).long()
        z = keys.fold("around").normal(*self.points.shape[1:]).to(self.points)
        return self.points[index] + self.space.project(self.width * z)

    def log_prob(self, x: Any) -> Float[Tensor, " batch"]:
        a, b = x.double().flatten(1), self.points.double().flatten(1)
        square = a.square().sum(1)[:, None] - 2 * a @ b.T + b.square().sum(1)  # has a gradient where they meet
        rank = float(self.space.freedom(self.points[:1]).sum())
        volume = rank * (log(self.width) + 0.5 * log(2 * pi)) + log(len(b))
        return (-0.5 * square / self.width**2).logsumexp(1) - volume


def wide(space: Euclidean, width: float, device: torch.device | str = "cpu") -> Gaussian:
    """A normal distribution about 0 with that standard deviation.

    Args:
        space: the kind of data and its noise.
        width: standard deviation about 0, in the unit of x.
        device: where the tensors are.
    """
    return Gaussian(torch.zeros(1, *space.shape, dtype=torch.float64, device=device), width, space)
