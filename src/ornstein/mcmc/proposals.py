"""Draws that say how likely they were, which is what makes them correctable.

Two ways to draw from a diffusion model with a weight that is exact for the *discrete* map:

    flow    x₀ = F(x₁), deterministic:  log q(x₀) = log N(x₁) − log |det ∂F/∂x₁|                    (likelihood.py)
    chain   x₁ → … → x₀, ancestral:     log q = log N(x₁) + Σ log p(x_s | x_t) − log q(x_t | x_s)

The chain's is the density of the whole path over the noising of its end, in any space (paths.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
from ..sampling.flows import flow_grid, states_with_log_prob
from ..sampling.likelihood import log_ratio
from ..spaces import Categorical, Euclidean, Gaussian, Independent, Product, Space, Stationary, Transition
from ..states import State, batch_size, left, map_state, take
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
        ratio: (points, their log p, log p, keys) → a stream of log p/q at points that are not draws, one key a point;
            log p maps other points to nats. Of a chain it is that of one path to each point, of which exp(−·) is right
            on average.
    """

    x: Float[Tensor, "n ..."] | Any
    log_q: Float[Tensor, " n"]
    nfe: int
    way: str
    grid: tuple[float, ...]
    ratio: Callable[[Any, Tensor, Callable[[Any], Tensor], Keys], Stream[Tensor]]


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
    if not isinstance(space, Euclidean) or "mask" in given:
        if way == "flow":
            raise InputError(f"a flow has a density for whole continuous data, not for {type(space).__name__}")
        return (yield from _of_chain(denoiser, keys, steps, given))
    rank = int(space.freedom(torch.zeros(1, *space.shape)).sum().round())
    guided = any(isinstance(inner, Factored) for inner in (denoiser, *within(denoiser)))
    if way == "chain" or (way == "auto" and (guided or rank > FLOW_REACH)):
        return (yield from _of_chain(denoiser, keys, steps, given))
    x, log_q = yield from states_with_log_prob(denoiser, keys, steps or 20, condition)
    grid = flow_grid(steps or 20, space)
    ratio = partial(_of_flow, denoiser, steps or 20, given)
    return Draws(x, log_q, (steps or 20) * (1 + rank) * denoiser.calls, "flow", grid, ratio)


def _of_flow(
    denoiser: Denoiser,
    steps: int,
    condition: Condition,
    x: Tensor,
    here: Tensor,
    log_p: Callable[[Any], Tensor],
    keys: Keys,
) -> Stream[Tensor]:
    """log p/q of the flow's q, all points under the condition of the first draw."""
    x = x.to(torch.get_default_dtype())
    return (yield from log_ratio.events(denoiser, x, here, log_p, keys, steps, _shared(condition, len(x))))


def _shared(condition: Condition, n: int) -> Condition:
    """What the first sample is given, for n."""
    return {name: value[:1].expand(n, *value.shape[1:]) for name, value in condition.items()}


def _of_chain(denoiser: Denoiser, keys: Keys, steps: int | None, condition: Condition) -> Stream[Draws]:
    """Ancestral draws with the density of their paths, and that of paths to points of others, given as the first is."""
    chain = chain_of(denoiser, keys, steps, condition)
    x, log_q, calls = yield from draw_paths.events(chain, keys, condition)

    def ratio(points: State, here: Tensor, log_p: Callable[[Any], Tensor], keys: Keys) -> Stream[Tensor]:
        log_q = yield from path_log_density.events(chain, points, keys, _shared(condition, len(keys)))
        return here - log_q

    return Draws(x, log_q, calls + -(-chain.pilots // len(keys)), "chain", chain.grid, ratio)


# Bases of annealing ------------------------------------------------------------------------------------


def wide(space: Space, width: float | None = None, device: torch.device | str = "cpu") -> Transition:
    """Wide noise that knows nothing: a normal distribution about 0, all letters alike, and both side by side.

    Args:
        space: the kind of data and its noise; positions under its mask alone have letters.
        width: standard deviation about 0, in the unit of x; 1.5 times the spread of the data if not given.
        device: where the tensors are.
    """
    if isinstance(space, Product):
        return Independent({name: wide(part, width, device) for name, part in space.parts.items()})
    if isinstance(space, Categorical):
        even = torch.full((space.size,), 1 / space.size, dtype=torch.float64, device=device)
        return Stationary(even, space.shape, space.mask)
    if not isinstance(space, Euclidean):
        raise InputError(f"no wide noise is known of {type(space).__name__}")
    width = 1.5 * space.scale if width is None else width
    return Gaussian(torch.zeros(1, *space.shape, dtype=torch.float64, device=device), width, space)


@dataclass(frozen=True)
class Kernels(Transition):
    """A kernel about every one of some points, all equally likely: normal for numbers, letters kept or redrawn.

    Attributes:
        points: the centres.
        width: of numbers the standard deviation in each degree of freedom, of categories the probability with which a
            letter is drawn anew from all alike; a dictionary for a product, whose parts move side by side.
    """

    points: Float[Tensor, "m ..."] | Any
    width: Any
    space: Space

    @classmethod
    def of(cls, points: Float[Tensor, "m ..."] | Any, space: Space) -> "Kernels":
        """As wide as the way from a point to the tenth nearest, typically: no gaps in between.

        InputError unless most points differ in their numbers.
        """
        return cls(points, _reach(space, points), space)

    @property
    def parts(self) -> dict[str, "Kernels"]:
        """Of each part of a product, by itself."""
        space: Any = self.space
        return {name: Kernels(self.points[name], self.width[name], part) for name, part in space.parts.items()}

    def sample(self, keys: Keys) -> Any:
        index = (keys.fold("centre").uniform() * batch_size(self.points)).long()
        return _about(self.space, take(self.points, index), self.width, keys.fold("around"))

    def log_prob(self, x: Any) -> Float[Tensor, " batch"]:
        return _log_kernels(self.space, x, self.points, self.width).logsumexp(1) - log(batch_size(self.points))


@dataclass(frozen=True)
class Defended(Transition):
    """One distribution, or another in a share of the draws: what the first lacks at its edges has that share at least.

    Attributes:
        first, other: of the same space.
        share: of the other, in (0, 1).
    """

    first: Transition
    other: Transition
    share: float

    def sample(self, keys: Keys) -> Any:
        chosen = keys.fold("which").uniform() < self.share
        one, two = self.first.sample(keys.fold("first")), self.other.sample(keys.fold("other"))
        return map_state(lambda a, b: torch.where(left(chosen, a), b.to(a), a), one, two)

    def log_prob(self, x: Any) -> Float[Tensor, " batch"]:
        return torch.logaddexp(self.first.log_prob(x) + log(1 - self.share), self.other.log_prob(x) + log(self.share))


def _reach(space: Space, points: Any) -> Any:
    if isinstance(space, Product):
        return {name: _reach(part, points[name]) for name, part in space.parts.items()}
    flat, m = points.flatten(1), len(points)
    if isinstance(space, Categorical):
        changed = flat.shape[1] - _alike(flat, flat, space.size)
        near = changed.kthvalue(min(NEIGHBOURS + 1, m), 1).values.median().clamp(min=1.0)
        return min(1.0, float(near) / flat.shape[1] * space.size / (space.size - 1))
    assert isinstance(space, Euclidean), "kernels are about numbers and categories"
    ways = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    near = ways.kthvalue(min(NEIGHBOURS + 1, m), 1).values.median()  # the first is the point itself
    if not near > 0:
        raise InputError(f"most of {m} points are the same as others, expected different ones")
    return float(near) / float(space.freedom(points[:1]).sum()) ** 0.5


def _about(space: Space, centres: Any, width: Any, keys: Keys) -> Any:
    """One draw of the kernel about each centre."""
    if isinstance(space, Product):
        return {name: _about(part, centres[name], width[name], keys.fold(name)) for name, part in space.parts.items()}
    if isinstance(space, Categorical):
        drawn = wide(space, device=centres.device).sample(keys.fold("letter"))
        return torch.where(keys.fold("redrawn").uniform(*centres.shape[1:]) < width, drawn, centres)
    assert isinstance(space, Euclidean), "kernels are about numbers and categories"
    return centres + space.project(width * keys.normal(*centres.shape[1:]).to(centres))


def _log_kernels(space: Space, x: Any, points: Any, width: Any) -> Float[Tensor, "n m"]:
    """The log-density of each kernel at each x."""
    if isinstance(space, Product):
        parts = space.parts.items()
        each = [_log_kernels(part, x[name], points[name], width[name]) for name, part in parts]
        return torch.stack(each).sum(0)
    if isinstance(space, Categorical):
        exists = space.existing(x[:1]).flatten()
        own, its = x.flatten(1)[:, exists], points.flatten(1)[:, exists]
        same, new = _alike(own, its, space.size), width / space.size
        return same * log(1 - width + new) + (own.shape[1] - same) * log(new)
    assert isinstance(space, Euclidean), "kernels are about numbers and categories"
    a, b = x.double().flatten(1), points.double().flatten(1)
    square = a.square().sum(1)[:, None] - 2 * a @ b.T + b.square().sum(1)  # has a gradient where they meet
    rank = float(space.freedom(points[:1]).sum())
    return -0.5 * square / width**2 - rank * (log(width) + 0.5 * log(2 * pi))


def _alike(a: Tensor, b: Tensor, size: int) -> Float[Tensor, "n m"]:
    """At how many positions each row of one has the letter of each row of the other."""
    one, other = (torch.nn.functional.one_hot(x, size).flatten(1).to(torch.float32) for x in (a, b))
    return (one @ other.T).round().double()
