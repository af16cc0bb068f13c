"""How likely an ancestral chain was, in every space: the density of its path over the noising of its end.

    log q(x₁ → … → x₀) = log p(x₁) + Σ log p(x_s | x_t) − log r(x_t | x_s)

p are the moves of the model, r those of the noise. Given x₀, q is an average over the paths that the noise takes up
from it: E_r exp(log q) = q(x₀), the probability with which the chain ends at x₀. So weights p(x₀)/q are exact,

    drawn    down the chain, x_s ~ p(x_s | x_t):           E p(x₀)/q = 1
    given    up with the noise, x_t ~ r(x_t | x_s):        E q = q(x₀), of points that the chain has not drawn

in any dimension, without a derivative, and without the model being right. What the path adds is variance, which more
steps reduce: of categories that of letters which one step reveals together.

Moves of numbers are as wide as the belief is unsure, τ² + b² c_t, with c_t the mean squared error of the belief on
pilot draws (Bao et al. 2022, Analytic-DPM): so even the last one has a density. Those of categories are draws from the
belief by Bayes' rule (categorical.py), and the parts of a product move side by side.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief
from ..denoisers.base import Condition, Denoiser
from ..errors import InputError
from ..events import Event, Stream, part, streamed
from ..keys import Keys
from ..sampling import grids
from ..sampling.kernels import SamplerState, look
from ..sampling.sampler import Sampler
from ..spaces import Euclidean, Gaussian, Independent, Product, Space, Transition
from ..spaces.steps import step_coefficients
from ..states import State, batch_size, cast, concatenate, per_sample_sum, take

TOGETHER = 128
"""Draws that walk together: larger batches of particles no longer fit the cache."""
PILOTS = 256
"""The draws that the widths of the chain's moves are learnt from."""
STEPS = 200


@dataclass(frozen=True)
class Chain:
    """An ancestral chain whose moves have a density.

    Attributes:
        denoiser: the model, (x_t, t, condition) → belief.
        grid: the times, noise first.
        doubt: at each time but the last, the variance of a number of x₀ given x_t; a dictionary for a product, in
            which categories have none.
        pilots: network evaluations that the doubts have taken, of all pilots together.
    """

    denoiser: Denoiser
    grid: tuple[float, ...]
    doubt: tuple[Any, ...]
    pilots: int = 0

    @property
    def steps(self) -> int:
        return len(self.grid) - 1

    def move(self, k: int, space: Space, x: State, belief: Belief) -> Transition:
        """p(x_s | x_t) of the step number k.

        Args:
            space: the denoiser's, bound to this batch.
            x: x_t.
            belief: about x₀ there.
        """
        return _move(space, x, belief, self.grid[k], self.grid[k + 1], self.doubt[k])


def chain_of(
    denoiser: Denoiser, keys: Keys, steps: int | None = None, condition: Condition | None = None, least: float = 0.01
) -> Chain:
    """A chain of this denoiser; InputError for a mixture, each draw of which has its component's density alone.

    Args:
        keys: of the pilots, at most 256 of them.
        steps: 200 if not given.
        condition: what each pilot is given.
        least: the last noise of numbers, in units of their spread: the data must look smooth at that scale.
        denoiser: the model, (x_t, t, condition) → belief.
    """
    if denoiser.latent(keys[:1]):
        raise InputError("each draw of a mixture has the density of its component alone: propose from one denoiser")
    space, steps = denoiser.space, steps or STEPS
    if not _continuous(space):
        return Chain(denoiser, grids.uniform(steps), (None,) * steps)
    grid, pilots = tuple(grids.log_snr(steps, space, least)), keys[:PILOTS]
    return _learnt(denoiser, grid, pilots, take(condition or {}, slice(PILOTS)))


@streamed
def draw_paths(
    chain: Chain, keys: Keys, condition: Condition | None = None
) -> Stream[tuple[Any, Float[Tensor, " batch"], int]]:
    """Ends of paths, the log q of each path in nats, and the network evaluations a sample, pilots not counted.

    Args:
        keys: one a path.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
    """
    return (yield from _in_parts(chain, keys, condition, lambda chosen: _drawn(chain, keys[chosen])))


@streamed
def path_log_density(
    chain: Chain, x0: State, keys: Keys, condition: Condition | None = None
) -> Stream[Float[Tensor, " batch"]]:
    """log q in nats of one path to each of the given ends, which is noised up step by step along the chain's grid.

    exp(log q) is q(x₀) on average over the keys. −∞ where the chain cannot have come along that path.

    Args:
        x0: clean states, (batch, ...): a tensor of the space's shape for each sample, or a dictionary of them for a
            product.
        keys: one an end.
        condition: what each end is given, name → (batch, ...); a missing name means that nothing is said.
    """
    if batch_size(x0) != len(keys):
        raise InputError(f"{batch_size(x0)} states were given with {len(keys)} keys, expected one each")
    given = _in_parts(chain, keys, condition, lambda chosen: _noised_up(chain, take(x0, chosen), keys[chosen]))
    _, log_q, _ = yield from given
    return log_q


_Walk = Callable[[Condition, Space], Stream[tuple[Any, Tensor, Any]]]


def _in_parts(
    chain: Chain, keys: Keys, condition: Condition | None, walk: Callable[[slice], _Walk]
) -> Stream[tuple[Any, Tensor, int]]:
    """What a walk of each part of the samples found, joined, and its calls a sample."""
    parts = [slice(first, first + TOGETHER) for first in range(0, len(keys), TOGETHER)]
    walked, total = [], chain.steps * len(parts)
    for k, chosen in enumerate(parts):
        given = take(condition or {}, chosen)
        stream = walk(chosen)(given, chain.denoiser.space.with_mask(given.get("mask")))
        walked.append((yield from part(stream, k * chain.steps, chain.steps, total)))
    ends, log_q, calls = zip(*walked, strict=True)
    each = [
        torch.as_tensor(spent, dtype=torch.float64).expand(len(own)) for spent, own in zip(calls, log_q, strict=True)
    ]
    return concatenate(ends), torch.cat(log_q), ceil(torch.cat(each).mean().item())


def _drawn(chain: Chain, keys: Keys) -> _Walk:
    def walk(condition: Condition, space: Space) -> Stream[tuple[Any, Tensor, Any]]:
        x = space.prior(keys.fold("prior"))
        log_q, state = space.prior_law(keys.root.device).log_prob(x), SamplerState(x, chain.grid[0], space)
        for k, (t, s) in enumerate(pairwise(chain.grid)):
            with torch.no_grad():
                state = _seen(state, x, t, chain.denoiser, condition)
                move = chain.move(k, space, x, state.belief)
                y = move.sample(keys.fold("steps").fold(k))
                log_q = log_q + move.log_prob(y) - space.noising(y, t, s).log_prob(x)
                x = y
            yield Event(k + 1, chain.steps, "proposing", x)
        return x, log_q, state.nfe

    return walk


def _noised_up(chain: Chain, x0: State, keys: Keys) -> _Walk:
    def walk(condition: Condition, space: Space) -> Stream[tuple[Any, Tensor, Any]]:
        x = cast(x0, torch.get_default_dtype())
        log_q, state = torch.zeros(len(keys), dtype=torch.float64, device=keys.root.device), SamplerState(x, 0.0, space)
        for k in reversed(range(chain.steps)):
            with torch.no_grad():
                t, s = chain.grid[k : k + 2]
                noise = space.noising(x, t, s)
                y = noise.sample(keys.fold("steps").fold(k))
                state = _seen(state, y, t, chain.denoiser, condition)
                log_q = log_q + chain.move(k, space, y, state.belief).log_prob(x) - noise.log_prob(y)
                x = y
            yield Event(chain.steps - k, chain.steps, "noising up", x)
        return x, log_q + space.prior_law(keys.root.device).log_prob(x), state.nfe

    return walk


def _seen(state: SamplerState, x: Any, t: float, denoiser: Denoiser, condition: Condition) -> SamplerState:
    """The state with the belief at x, which costs nothing where a look at another time is as good."""
    state = replace(state, x=x, t=t)
    belief, calls = look(state, denoiser, condition)
    return replace(state, past=((t, belief),), before=x, nfe=state.nfe + calls)


def _move(space: Space, x: Any, belief: Any, t: float, s: float, doubt: Any) -> Transition:
    if isinstance(space, Product):
        parts = space.parts.items()
        return Independent({name: _move(part, x[name], belief[name], t, s, doubt[name]) for name, part in parts})
    if not isinstance(space, Euclidean):
        return space.step(x, belief, t, s)
    keep, weight, std = step_coefficients(space.schedule, t, s, 1.0)
    mean = space.project(keep * x + weight * belief.mean)
    return Gaussian(mean, float(std**2 + weight**2 * doubt) ** 0.5, space)


def _learnt(denoiser: Denoiser, grid: tuple[float, ...], keys: Keys, condition: Condition) -> Chain:
    """A chain of which the widths are learnt from draws of the deterministic flow, or of what is nearest to it."""
    coarse, space = (*grid[:: max(1, len(grid) // 50)][:-1], 0.0), denoiser.space.with_mask(condition.get("mask"))
    with torch.no_grad():
        x0 = Sampler(coarse, (grids.SOLVER,)).run(denoiser, keys, condition)
        found = []
        for k, t in enumerate(grid[:-1]):
            noisy = space.noise(x0, t, keys.fold("pilot").fold(k))
            found.append(_doubt(space, denoiser(noisy, t, condition), x0))
    return Chain(denoiser, grid, tuple(found), len(keys) * (len(coarse) + len(grid) - 2) * denoiser.calls)


def _doubt(space: Space, belief: Any, x0: Any) -> Any:
    """The mean squared error of a belief about a number of x₀; None of categories."""
    if isinstance(space, Product):
        return {name: _doubt(part, belief[name], x0[name]) for name, part in space.parts.items()}
    if not isinstance(space, Euclidean):
        return None
    rank = per_sample_sum(space.freedom(x0)).mean()
    return float(per_sample_sum((belief.mean - space.project(x0)).square()).mean() / rank)


def _continuous(space: Space) -> bool:
    """Whether there are numbers among the parts of the space."""
    if isinstance(space, Product):
        return any(_continuous(part) for part in space.parts.values())
    return isinstance(space, Euclidean)
