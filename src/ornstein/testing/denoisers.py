"""Checks of denoisers and kernels."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from ..beliefs import Belief
from ..denoisers.base import Condition, Denoiser, Guided
from ..keys import Keys
from ..sampling.kernels import Kernel, SamplerState
from ..spaces import Space
from ..states import State, Time, batch_size, concatenate, leaves, map_state, take
from .claims import Claim, near, same, shapes, verify


def check_denoiser(
    denoiser: Denoiser,
    n: int = 3,
    condition: Condition | None = None,
    tolerance: float = 1e-5,
    t: float = 0.6,
) -> int:
    """Checks a denoiser on n states drawn from the prior; the values of `condition` have n samples.

    Args:
        tolerance: of the comparisons: the largest deviation allowed, in the unit of what is compared.
        t: time at which the claims are checked.
    """
    return verify(denoiser, denoiser_claims(denoiser, n, condition or {}, tolerance, t))


def check_kernel(
    kernel: Kernel,
    denoiser: Denoiser,
    n: int = 3,
    condition: Condition | None = None,
    tolerance: float = 1e-5,
    t: float = 0.6,
    s: float = 0.4,
) -> int:
    """Checks one move from time t to s of n states drawn from the prior.

    Args:
        kernel: the kernel to check, (state, s, denoiser, condition, keys) → state.
        denoiser: the model, (x_t, t, condition) → belief.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        tolerance: of the comparisons: the largest deviation allowed, in the unit of what is compared.
    """
    return verify(kernel, _kernel_claims(kernel, denoiser, n, condition or {}, tolerance, t, s))


def denoiser_claims(denoiser: Denoiser, n: int, condition: Condition, tolerance: float, t: float) -> Iterator[Claim]:
    """What must hold of a denoiser, claim by claim.

    Args:
        n: number of samples.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        tolerance: of the comparisons: the largest deviation allowed, in the unit of what is compared.
        t: time at which the claims are checked.
    """
    yield "space is a Space", isinstance(denoiser.space, Space)
    keys, space = Keys.of(0, n, denoiser.device), denoiser.space.with_mask(condition.get("mask"))
    x_t = space.prior(keys)
    before, belief = map_state(torch.clone, x_t), denoiser(x_t, t, condition)
    yield "a call returns a Belief", isinstance(belief, Belief)
    yield "a call leaves x_t as it is", same(x_t, before)
    yield "the belief's mean is finite", all(bool(x.isfinite().all()) for x in leaves(belief.mean))
    yield "the belief has one mean a sample", batch_size(belief.mean) == n
    moved = space.step(x_t, belief, t, t / 2).sample(keys)
    yield "the space can step with the belief", shapes(moved) == shapes(x_t)
    yield "the same call gives the same belief", same(denoiser(x_t, t, condition).mean, belief.mean)
    for name, time in (("a 0-d tensor", torch.tensor(t)), ("a time a sample", torch.full((n,), t))):
        found = denoiser(x_t, time.double(), condition)
        yield f"a number and {name} agree", near(found.mean, belief.mean, tolerance)
    alone = [denoiser(take(x_t, slice(i, i + 1)), t, take(condition, slice(i, i + 1))).mean for i in range(n)]
    yield (
        "a belief does not depend on the rest of the batch",
        near(concatenate(alone), belief.mean, tolerance),
    )
    if not condition:
        yield "no condition and an empty one agree", same(denoiser(x_t, t).mean, belief.mean)


@dataclass(frozen=True, repr=False)
class _Counted(Guided):
    """Notes the time of every call."""

    seen: list[Time]

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        self.seen.append(t)
        return self.denoiser(x_t, t, condition)


def _kernel_claims(
    kernel: Kernel, denoiser: Denoiser, n: int, condition: Condition, tolerance: float, t: float, s: float
) -> Iterator[Claim]:
    keys, counted = Keys.of(0, n, denoiser.device), _Counted(denoiser, [])
    space = denoiser.space.with_mask(condition.get("mask"))
    start = SamplerState(space.prior(keys), t, space)
    before, after = map_state(torch.clone, start.x), kernel(start, s, counted, condition, keys)
    yield "a move leads to s or stays at t", after.t in (s, t)
    yield "a move leaves the walk it is given as it is", same(start.x, before)
    yield "a move keeps shapes and types", shapes(after.x) == shapes(before)
    yield "nfe counts network evaluations", bool(after.nfe == len(counted.seen) * denoiser.calls)
    yield "the states stay finite", all(bool(x.isfinite().all()) for x in leaves(after.x))
    yield "a move is a function of its keys", same(kernel(start, s, denoiser, condition, keys).x, after.x)
    alone = [_moved(kernel, denoiser, start.x, t, s, condition, keys, i) for i in range(n)]
    yield "a move does not depend on the rest of the batch", near(concatenate(alone), after.x, tolerance)
    times = (torch.full((n,), time, dtype=torch.float64) for time in (t, s))
    timed = SamplerState(start.x, next(times), space)
    found = kernel(timed, next(times), denoiser, condition, keys)
    yield "a number and a time a sample agree", near(found.x, after.x, tolerance)


def _moved(
    kernel: Kernel, denoiser: Denoiser, x: Any, t: float, s: float, condition: Condition, keys: Keys, i: int
) -> Any:
    """Sample i moved in a batch of its own."""
    one = slice(i, i + 1)
    given = take(condition, one)
    space = denoiser.space.with_mask(given.get("mask"))
    return kernel(SamplerState(take(x, one), t, space), s, denoiser, given, keys[one]).x
