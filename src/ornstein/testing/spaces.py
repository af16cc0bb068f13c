"""Checks of schedules and spaces."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..keys import Keys
from ..schedules import Schedule
from ..spaces import Mask, Space
from ..states import State, Time, batch_size, concatenate, leaves, left, map_state, take
from .claims import Claim, near, same, shapes, verify


def check_schedule(schedule: Schedule) -> int:
    """Checks that a schedule leads from clean data at t = 0 to noise at t = 1."""
    return verify(schedule, _schedule_claims(schedule))


def check_space(
    space: Space,
    x0: State,
    mask: Mask | None = None,
    positions: tuple[int, ...] | None = None,
    tolerance: float = 1e-5,
) -> int:
    """Checks a space on a batch of clean data.

    Args:
        x0: at least two different samples; zero where the mask says that nothing exists.
        mask: which positions of x0 exist, if the space is to be checked on unequal sizes.
        positions: the shape of times per position, if the space takes them.
        tolerance: of floating-point comparisons, absolute and relative.
    """
    return verify(space, _SpaceClaims(space, x0, mask, positions, tolerance))


# Schedules --------------------------------------------------------------------------------------------


def _schedule_claims(schedule: Schedule) -> Iterator[Claim]:
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    levels = alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    yield "levels are float64 and of the shape of t", all(shapes(a) == shapes(t) for a in levels)
    yield "α and σ are finite and not negative", all(bool((a.isfinite() & (a >= 0)).all()) for a in levels)
    yield "data is clean at t = 0: α(0) = 1 and σ(0) = 0", alpha[0].item() == 1 and sigma[0].item() == 0
    yield "noise outweighs the data at t = 1: σ(1) > 5 α(1)", bool(sigma[-1] > 5 * alpha[-1])
    yield "α never grows", bool((alpha.diff() <= 0).all())
    yield "the log signal-to-noise ratio falls", bool((schedule.log_snr(t)[:-1].diff() < 0).all())
    yield "a number and a tensor of times agree", near(schedule.sigma(0.37), sigma[37], 1e-12)
    found = schedule.time(schedule.log_snr(t[5:-5]))
    yield "time inverts the log signal-to-noise ratio", near(found, t[5:-5], 1e-9)


# Spaces -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _SpaceClaims:
    """The claims about a space, in groups; iterating runs through all of them."""

    whole: Space
    x0: Any
    mask: Mask | None
    positions: tuple[int, ...] | None
    tolerance: float

    def __iter__(self) -> Iterator[Claim]:
        yield from self.inputs()
        yield from self.purity()
        yield from self.samples()
        yield from self.ends()
        yield from self.times()
        yield from self.densities()
        yield from self.losses()
        if self.positions is not None:
            yield from self.times_per_position(self.positions)
        if self.mask is not None:
            yield from self.masked(self.mask)

    @property
    def n(self) -> int:
        return batch_size(self.x0)

    @property
    def keys(self) -> Keys:
        return Keys.of(0, self.n)

    @property
    def space(self) -> Space:
        return self.whole.with_mask(self.mask)

    def near(self, a: Any, b: Any) -> bool:
        return near(a, b, self.tolerance)

    def noisy(self, t: Time) -> Any:
        return self.space.noise(self.x0, t, self.keys.fold("noise"))

    def stepped(self, x_t: Any, t: Time, s: Time, eta: float = 1.0) -> Any:
        return self.space.step(x_t, self.space.point_mass(self.x0), t, s, eta).sample(self.keys.fold("step"))

    def inputs(self) -> Iterator[Claim]:
        yield "check accepts the data", not _refused(self.space, self.x0)
        yield "check refuses a wrong shape", _refused(self.space, map_state(lambda x: x[..., None], self.x0))
        for k in range(len(leaves(self.x0))):
            claim = f"check refuses NaN, or a category out of range, in tensor {k}"
            yield claim, _refused(self.space, _spoiled(self.x0, k))

    def ends(self) -> Iterator[Claim]:
        yield "noise at t = 0 returns x0", self.near(self.noisy(0.0), self.x0)
        for eta in (0.0, 1.0):
            claim = f"a step to 0 under certainty about x0 returns x0 (eta {eta:g})"
            yield claim, self.near(self.stepped(self.noisy(0.7), 0.7, 0.0, eta), self.x0)
        yield "a step from t to t stays", self.near(self.stepped(self.noisy(0.5), 0.5, 0.5), self.noisy(0.5))

    def purity(self) -> Iterator[Claim]:
        prior = self.space.prior(self.keys)
        yield "the prior has the shape of the data", shapes(prior) == shapes(self.x0)
        yield "the prior is a function of its keys", same(prior, self.space.prior(self.keys))
        yield "noise is a function of its keys", same(self.noisy(0.5), self.noisy(0.5))
        crowd = _alike(self.x0, 64)
        noisy = self.whole.with_mask(_alike(self.mask, 64)).noise(crowd, 0.5, Keys.of(1, 64))
        yield "noise differs from key to key", not same(noisy, _alike(noisy, 64))
        before = map_state(torch.clone, self.x0)
        self.stepped(self.noisy(0.5), 0.5, 0.2)
        yield "noise and step leave their arguments as they are", same(self.x0, before)

    def samples(self) -> Iterator[Claim]:
        x_t = self.noisy(0.6)
        whole = (self.space.prior(self.keys), x_t, self.stepped(x_t, 0.6, 0.3))
        alone = zip(*(self._alone(i, x_t) for i in range(self.n)), strict=True)
        for name, one, parts in zip(("prior", "noise", "step"), whole, alone, strict=True):
            yield f"{name} does not depend on the rest of the batch", self.near(one, concatenate(parts))

    def _alone(self, i: int, x_t: Any) -> tuple[Any, Any, Any]:
        """Prior, noise and step of sample i in a batch of its own."""
        space = self.whole.with_mask(None if self.mask is None else self.mask[i : i + 1])
        x0, x_t, keys = take(self.x0, slice(i, i + 1)), take(x_t, slice(i, i + 1)), self.keys[i : i + 1]
        move = space.step(x_t, space.point_mass(x0), 0.6, 0.3)
        return space.prior(keys), space.noise(x0, 0.6, keys.fold("noise")), move.sample(keys.fold("step"))

    def times(self) -> Iterator[Claim]:
        times = torch.full((self.n,), 0.6, dtype=torch.float64)
        yield from self._agree("a number and a time a sample", times)
        spread = torch.linspace(0.2, 0.8, self.n, dtype=torch.float64)
        mixed = self.noisy(spread)
        parts = [take(self.noisy(t), slice(i, i + 1)) for i, t in enumerate(spread.tolist())]
        yield "each sample is noised to its own time", self.near(mixed, concatenate(parts))

    def times_per_position(self, positions: tuple[int, ...]) -> Iterator[Claim]:
        times = torch.full((self.n, *positions), 0.6, dtype=torch.float64)
        yield from self._agree("a number and a time a position", times)

    def _agree(self, what: str, t: Tensor) -> Iterator[Claim]:
        x_t, belief = self.noisy(0.6), self.space.point_mass(self.x0)
        yield f"{what} agree in noise", self.near(self.noisy(t), x_t)
        yield f"{what} agree in step", self.near(self.stepped(x_t, t, t / 2), self.stepped(x_t, 0.6, 0.3))
        losses = [self.space.loss(belief, self.x0, x_t, time) for time in (t, 0.6)]
        yield f"{what} agree in loss", self.near(*losses)

    def densities(self) -> Iterator[Claim]:
        n = 256
        space, x0 = self.whole.with_mask(_alike(self.mask, n)), _alike(self.x0, n)
        x_t = space.noise(x0, 0.6, Keys.of(2, n))
        beliefs = (space.point_mass(x) for x in (x0, _alike(self._others(), n)))
        move, other = (space.step(x_t, belief, 0.6, 0.3) for belief in beliefs)
        own = move.log_prob(move.sample(Keys.of(3, n)))
        yield "log_prob has the shape (batch,)", own.shape == (n,)
        yield "log_prob is finite at the transition's own samples", bool(own.isfinite().all())
        strange = move.log_prob(other.sample(Keys.of(3, n)))
        yield "a transition's own samples are likelier than another's", bool(own.mean() >= strange.mean())

    def losses(self) -> Iterator[Claim]:
        x_t = self.noisy(0.4)
        beliefs = (self.space.point_mass(x) for x in (self.x0, self._others()))
        true, false = (self.space.loss(belief, self.x0, x_t, 0.4) for belief in beliefs)
        yield "loss has the shape (batch,)", true.shape == (self.n,)
        yield "loss is finite under certainty about x0", bool(true.isfinite().all())
        yield "loss is smallest for the true belief", bool((true <= false).all() and (true < false).any())

    def _others(self) -> Any:
        """Other clean data of the same sizes: each record's neighbour, cut to the positions that exist."""
        return self.space.noise(map_state(lambda x: x.roll(1, 0), self.x0), 0.0, self.keys)

    def masked(self, mask: Mask) -> Iterator[Claim]:
        x_t, prior = self.noisy(0.6), self.space.prior(self.keys)
        changed = _astray(self.x0, mask)
        belief, nothing = self.space.point_mass(self.x0), map_state(torch.zeros_like, self.x0)
        for name, state in (("the prior", prior), ("noise", x_t), ("a step", self.stepped(x_t, 0.6, 0.3))):
            yield f"{name} leaves masked positions at 0", same(_outside(state, mask), nothing)
        losses = [self.space.loss(belief, x, x_t, 0.6) for x in (self.x0, changed)]
        yield "masked positions do not count in the loss", self.near(*losses)
        move = self.space.step(x_t, self.space.point_mass(changed), 0.6, 0.3)
        sample = move.sample(self.keys.fold("step"))
        yield "a belief about masked positions moves nothing", self.near(sample, self.stepped(x_t, 0.6, 0.3))
        densities = [move.log_prob(x) for x in (sample, _astray(sample, mask))]
        yield "masked positions do not count in log_prob", self.near(*densities)


# States to compare with ------------------------------------------------------------------------------


def _alike(state: Any, n: int) -> Any:
    """The first sample n times; None stays None."""
    return None if state is None else take(state, torch.zeros(n, dtype=torch.int64))


def _outside(state: State, mask: Mask) -> Any:
    """The state with zeros where positions exist."""
    return map_state(lambda x: torch.where(left(mask, x), torch.zeros_like(x), x), state)


def _astray(state: State, mask: Mask) -> Any:
    """The state with other values where nothing exists."""
    return map_state(lambda x: torch.where(left(mask, x), x, 1 - x.clamp(max=1)), state)


def _spoiled(state: State, which: int) -> Any:
    """A copy with NaN or −1 as the first element of one of its tensors."""
    copy = map_state(torch.clone, state)
    leaf = leaves(copy)[which]
    leaf.view(-1)[0] = torch.nan if leaf.is_floating_point() else -1
    return copy


def _refused(space: Space, x0: State) -> bool:
    try:
        space.check(x0)
    except InputError:
        return True
    return False
