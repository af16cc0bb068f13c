"""Draws that say how likely they were, which is what makes them correctable.

Two ways to draw from a diffusion model with a weight that is exact for the *discrete* map:

    flow    x₀ = F(x₁), deterministic:  log q(x₀) = log N(x₁) − log |det ∂F/∂x₁|                    (likelihood.py)
    chain   x₁ → … → x₀, ancestral:     log q = log N(x₁) + Σ log p(x_s | x_t) − log q(x_t | x_s)

The chain's is the density of the whole path over the noising of its end, in any space (paths.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log, pi
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..denoisers.base import Condition, Denoiser
from ..denoisers.composition import within
from ..errors import InputError
from ..events import Stream, streamed
from ..guidance.factors import Factored
from ..keys import Keys
from ..sampling.flows import draw_with_log_prob, flow_grid
from ..spaces import Euclidean, Gaussian, Transition
from ..states import State
from .paths import chain_of, draw_paths, path_log_density

Way = Literal["auto", "flow", "chain"]
FLOW_REACH = 32
"""The most degrees of freedom for which the determinant is worth its gradients."""
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
        at: log q of points that may be anybody's, (points, keys) → a stream of (m,), one key a point. Of a chain it is
            that of one path to each, whose exp is q on average. None where q cannot be asked for.
    """

    x: Float[Tensor, "n ..."] | Any
    log_q: Float[Tensor, " n"]
    nfe: int
    way: str
    grid: tuple[float, ...]
    at: Callable[[Any, Keys], Stream[Tensor]] | None = None


@streamed
def draw(
    denoiser: Denoiser, keys: Keys, way: Way = "auto", steps: int | None = None, condition: Condition | None = None
) -> Stream[Draws]:
    """Draws with their log-density, one a key; InputError where the space has none.

    Args:
        way: auto takes the flow up to 32 degrees of freedom, and the chain beyond, for categories and products, under a
            mask, or where factors guide, whose updates have no derivative.
        steps: 20 of the flow, one call and d gradients each; 200 of the chain, one call each.
        denoiser: the model, (x_t, t, condition) → belief.
        keys: random keys, one a sample; they decide everything random.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
    """
    space, given = denoiser.space, condition or {}
    whole = isinstance(space, Euclidean) and "mask" not in given
    rank = int(space.freedom(torch.zeros(1, *space.shape)).sum().round()) if whole else 0
    guided = any(isinstance(inner, Factored) for inner in (denoiser, *within(denoiser)))
    if way == "flow" and not whole:
        raise InputError(f"a flow has a density for whole continuous data, not for {type(space).__name__}")
    if way == "chain" or (way == "auto" and (guided or not whole or rank > FLOW_REACH)):
        return (yield from _of_chain(denoiser, keys, steps, given))
    x, log_q = yield from draw_with_log_prob.events(denoiser, keys, steps or 20, condition)
    grid = flow_grid(steps or 20, space)
    return Draws(x, log_q, (steps or 20) * (1 + rank) * denoiser.calls, "flow", grid)


def _of_chain(denoiser: Denoiser, keys: Keys, steps: int | None, condition: Condition) -> Stream[Draws]:
    """Ancestral draws with the density of their paths, and that of paths to points of others, given as the first is."""
    chain = chain_of(denoiser, keys, steps, condition)
    x, log_q, calls = yield from draw_paths.events(chain, keys, condition)

    def at(points: State, keys: Keys) -> Stream[Tensor]:
        given = {name: value[:1].expand(len(keys), *value.shape[1:]) for name, value in condition.items()}
        return path_log_density.events(chain, points, keys, given)

    return Draws(x, log_q, calls + -(-chain.pilots // len(keys)), "chain", chain.grid, at)


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
