"""Orders of revealing: exact one token a step, as good as their theory at several, and mended by a second look."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations
from math import sqrt
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ornstein.beliefs import Probs
from ornstein.denoisers.base import Condition, Denoiser, Guided, Traits
from ornstein.denoisers.oracles import coupled, enumerated
from ornstein.errors import InputError
from ornstein.guidance.classifiers import ClassifierGuidance
from ornstein.guidance.measurements import Fixed
from ornstein.keys import Keys
from ornstein.sampling.grids import uniform
from ornstein.sampling.kernels import Kernel, Predictor, Restart, SamplerState
from ornstein.sampling.sampler import Sampler
from ornstein.sampling.unmasking import FirstHitting, InformedCorrector, Remask, TemperatureTopP, Unmask, entropy
from ornstein.spaces import Autoregressive, Categorical
from ornstein.states import State, Time
from worlds import assert_close, assert_frequencies, double, line, rejected

PAIRS, LENGTH = 49, 98
HAIRPIN = coupled(PAIRS, torch.eye(4, dtype=torch.float64).flip(0) / 4)
SPACE = Categorical.masked((4,), 3)
TABLE = Keys.of(11, 1).normal(3, 3, 3, 3)[0].flatten().softmax(0).reshape(3, 3, 3, 3)
WORLD = enumerated(SPACE, TABLE)
N = 4000

KERNELS: dict[str, tuple[Kernel, ...]] = {
    "predictor": (Predictor(),),
    "first-hitting": (FirstHitting(),),
    "random": (Unmask("random"),),
    "confidence": (Unmask("confidence"),),
    "margin": (Unmask("margin"),),
    "entropy": (Unmask("entropy"),),
    "bounded": (Unmask(bound=0.3),),
    "mode": (Unmask("margin", drawn="mode"),),
    "remask": (Remask(cap=0.3),),
    "renoise": (Predictor(), Restart()),
    "corrector": (Unmask("random"), InformedCorrector(fit=0.5, since=0.6)),
}
every_kernel = pytest.mark.parametrize("kernels", KERNELS.values(), ids=KERNELS)


def ended(world: Denoiser, grid: Any, *kernels: Kernel, n: int = N, seed: int = 0, **options: Any) -> SamplerState:
    return Sampler(grid, kernels).end(world, Keys.of(seed, n), **options)


def drawn(world: Denoiser, steps: int, *kernels: Kernel, **options: Any) -> Tensor:
    return ended(world, uniform(steps), *kernels, **options).x


def most_calls(state: SamplerState) -> int:
    return int(torch.as_tensor(state.nfe).max())


# A hairpin: the order decides --------------------------------------------------------------------------


def valid(x: Tensor) -> float:
    """The share of hairpins all of whose letters pair."""
    return (x + x.flip(1) == 3).all(1).double().mean().item()


def assert_share(found: float, expected: float, n: int) -> None:
    assert abs(found - expected) < 4 * sqrt(expected * (1 - expected) / n), f"{found:.3f}, not {expected:.3f}"


def ancestral(steps: int) -> float:
    """Of T steps: the letters of a pair come in the same one with probability 1/T, and then match by chance."""
    return (1 - 0.75 / steps) ** PAIRS


@pytest.mark.parametrize("steps", [32, 128])
def test_ancestral_hairpins_are_as_valid_as_theory_says(steps: int) -> None:
    found = valid(drawn(HAIRPIN, steps, Predictor(), n=500, seed=1))
    assert_share(found, ancestral(steps), 500)
    rejected(assert_share, found, ancestral(2 * steps), 500)


def test_a_bound_of_no_loss_makes_valid_hairpins_in_half_the_calls() -> None:
    state = ended(HAIRPIN, uniform(LENGTH), Unmask("entropy", bound=0.0), n=200)
    assert valid(state.x) >= 0.999
    assert most_calls(state) <= 52


def test_as_many_calls_by_confidence_leave_pairs_that_do_not_match() -> None:
    state = ended(HAIRPIN, uniform(PAIRS), Unmask("confidence"), n=200)
    assert valid(state.x) < 0.9
    assert most_calls(state) <= PAIRS


def test_a_second_look_mends_hairpins() -> None:
    grid = (*uniform(16), *[0.0] * 9)
    hasty = ended(HAIRPIN, uniform(16), Unmask("random"), n=200)
    state = ended(HAIRPIN, grid, Unmask("random"), InformedCorrector(), n=400)
    assert valid(hasty.x) < 0.3
    assert valid(state.x) >= 0.99
    assert most_calls(state) <= 34


def test_first_hitting_is_always_valid_in_a_call_a_letter() -> None:
    state = ended(HAIRPIN, (1.0, 0.0), FirstHitting(), n=50)
    assert valid(state.x) == 1
    assert most_calls(state) == LENGTH


# A table: exact is exact -------------------------------------------------------------------------------

EXACT: dict[str, tuple[int, Kernel]] = {
    "first-hitting": (1, FirstHitting()),
    "first-hitting in parts": (5, FirstHitting()),
    "bounded": (4, Unmask("entropy", bound=0.0)),
    "random": (4, Unmask("random")),
    "confidence": (4, Unmask("confidence")),
    "margin": (4, Unmask("margin")),
    "remask": (100, Remask()),
    "ancestral": (100, Predictor()),
}
every_exact = pytest.mark.parametrize(("steps", "kernel"), EXACT.values(), ids=EXACT)


@every_exact
def test_the_table_comes_out(steps: int, kernel: Kernel) -> None:
    assert_frequencies(drawn(WORLD, steps, kernel), TABLE)


@pytest.mark.parametrize(("steps", "order"), [(1, "random"), (2, "confidence"), (2, "random")])
def test_several_letters_a_step_lose_what_they_say_of_one_another(steps: int, order: Any) -> None:
    rejected(assert_frequencies, drawn(WORLD, steps, Unmask(order)), TABLE)


def test_two_short_steps_of_remasking_are_not_exact() -> None:
    rejected(assert_frequencies, drawn(WORLD, 2, Remask()), TABLE)


def test_a_loose_bound_reveals_all_at_once() -> None:
    state = ended(WORLD, uniform(4), Unmask(bound=100.0))
    assert most_calls(state) == 1
    rejected(assert_frequencies, state.x, TABLE)


def test_the_mode_is_the_likeliest_letter_of_every_step() -> None:
    x = drawn(WORLD, 4, Unmask("confidence", drawn="mode"), n=64)
    assert (x == x[:1]).all()
    state = SPACE.prior(Keys.of(0, 1))
    for _ in range(4):
        probs = WORLD(state, 0.5).mean.masked_fill(state[..., None] < 3, -1.0)
        place, letter = divmod(int(probs.argmax()), 4)
        state[0, place] = letter
    assert state[0].equal(x[0])


# Guided --------------------------------------------------------------------------------------------------

KNOWN = Fixed(torch.tensor([0, 2, 0, 0]), torch.tensor([False, True, False, False]))
GIVEN = TABLE[:, 2] / TABLE[:, 2].sum()


def free(x: Tensor) -> Tensor:
    assert (x[:, 1] == 2).all()
    return x[:, [0, 2, 3]]


@every_exact
def test_what_is_known_conditions_the_rest(steps: int, kernel: Kernel) -> None:
    assert_frequencies(free(drawn(WORLD & KNOWN, steps, kernel)), GIVEN)


def test_the_test_of_conditions_rejects_the_table_and_haste() -> None:
    rejected(assert_frequencies, drawn(WORLD, 4, Unmask("random"))[:, [0, 2, 3]], GIVEN)
    rejected(assert_frequencies, free(drawn(WORLD & KNOWN, 1, Unmask("random"))), GIVEN)


WISH = double([[1.0, 0.0, -0.5], [0.0, 0.8, 0.0], [-0.7, 0.0, 0.4], [0.0, 0.0, 0.9]])


def wished(code: Tensor) -> Tensor:
    """Linear in the one-hot code, so that every belief is tilted exactly."""
    return (code[..., :3].double() * WISH).sum((1, 2))


def tilted(table: Tensor) -> Tensor:
    """table · exp wish, the law that is wished for."""
    for place in range(4):
        table = table * WISH[place].exp().reshape([3 if axis == place else 1 for axis in range(4)])
    return table / table.sum()


def one_at_a_time() -> Tensor:
    """The law of one tilted letter a step, in all orders alike: Π_k p(x_o(k) | x_o(<k)) e^{w(x_o(k))}/Z_k."""
    total = torch.zeros_like(TABLE)
    for order in permutations(range(4)):
        law = torch.ones_like(TABLE)
        for k, place in enumerate(order):
            later = order[k + 1 :]
            shape = [3 if axis == place else 1 for axis in range(4)]
            weight = (TABLE.sum(later, keepdim=True) if later else TABLE) * WISH[place].exp().reshape(shape)
            law = law * weight / weight.sum(place, keepdim=True)
        total += law / 24
    return total


ONE_AT_A_TIME = {"first-hitting": (1, FirstHitting()), "random": (4, Unmask("random"))}


@pytest.mark.parametrize(("steps", "kernel"), ONE_AT_A_TIME.values(), ids=ONE_AT_A_TIME)
def test_letters_are_tilted_one_at_a_time(steps: int, kernel: Kernel) -> None:
    x = drawn(WORLD & ClassifierGuidance(wished), steps, kernel)
    assert_frequencies(x, one_at_a_time())
    rejected(assert_frequencies, x, TABLE)


@pytest.mark.parametrize(("steps", "kernel"), EXACT.values(), ids=EXACT)
def test_a_tilt_of_independent_letters_is_exact(steps: int, kernel: Kernel) -> None:
    alone = torch.einsum("a,b,c,d->abcd", *(TABLE.sum([a for a in range(4) if a != place]) for place in range(4)))
    x = drawn(enumerated(SPACE, alone) & ClassifierGuidance(wished), steps, kernel)
    assert_frequencies(x, tilted(alone))
    rejected(assert_frequencies, x, alone)


# The second look -----------------------------------------------------------------------------------------


def rarest(table: Tensor) -> float:
    """The smallest probability of a letter given all others; given fewer of them it is an average of such."""
    return min((table / table.sum(place, keepdim=True)).min().item() for place in range(table.ndim))


def second_look(x: Tensor, rounds: int, **options: Any) -> Tensor:
    grid = (1e-9, *[0.0] * rounds)
    return ended(WORLD, grid, InformedCorrector(**options), n=len(x), seed=1, start=x).x


def test_what_fits_stays_bit_for_bit() -> None:
    x = WORLD.draw(Keys.of(2, N))
    assert second_look(x, 5, fit=0.99 * rarest(TABLE)).equal(x)
    assert not second_look(x, 5, fit=0.2).equal(x)


def test_one_letter_redrawn_at_a_time_keeps_the_law() -> None:
    x = WORLD.draw(Keys.of(2, N))
    after = second_look(x, 30, share=0.02, fit=1.0)
    assert (after != x).any(1).double().mean() > 0.5
    assert_frequencies(after, TABLE)


def test_all_letters_redrawn_at_once_do_not() -> None:
    rejected(assert_frequencies, second_look(WORLD.draw(Keys.of(2, N)), 1, share=1.0, fit=1.0), TABLE)


@pytest.mark.parametrize("fit", [0.03, 0.1])
def test_a_round_moves_no_more_than_the_mass_of_what_is_rare(fit: float) -> None:
    """Given the rest, each of the two or fewer letters below `fit` has less probability than that."""

    def assert_few(x: Tensor, after: Tensor) -> None:
        most = (x != after).any(1).double().mean().item()
        assert most <= 4 * 0.5 * 2 * fit

    x = WORLD.draw(Keys.of(2, N))
    assert_few(x, second_look(x, 1, fit=fit))
    rejected(assert_few, x, second_look(x, 1, fit=1.0))


def test_it_waits_for_its_time() -> None:
    waiting, early = InformedCorrector(fit=1.0), InformedCorrector(fit=1.0, since=0.5)
    state = SamplerState(WORLD.draw(Keys.of(3, 8)), 0.5, SPACE)
    assert waiting(state, 0.5, WORLD, {}, Keys.of(4, 8)) is state
    assert not early(state, 0.5, WORLD, {}, Keys.of(4, 8)).x.equal(state.x)


def test_under_hybrid_noise_it_looks_again_too() -> None:
    world = enumerated(Categorical.hybrid((4,), 3, 0.2), TABLE)
    x = world.draw(Keys.of(2, 64))
    state = SamplerState(x, 0.0, world.space)
    after = InformedCorrector(share=0.5, fit=1.0)(state, 0.0, world, {}, Keys.of(4, 64))
    assert (after.x < 3).all()
    assert not after.x.equal(x)


# Spared calls, batches, masks --------------------------------------------------------------------------


@dataclass(frozen=True)
class Punctual(Guided):
    """The same denoiser, which is not said to be timeless."""

    def changed(self, traits: Traits) -> Traits:
        return replace(traits, time_independent=False)

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Any:
        return self.denoiser(x_t, t, condition)


def test_samples_that_stay_cost_no_call() -> None:
    world = coupled(6, torch.eye(4, dtype=torch.float64).flip(0) / 4)
    spared, full = (ended(w, uniform(512), Predictor(), n=16) for w in (world, Punctual(world)))
    assert spared.x.equal(full.x)
    assert full.nfe == 512
    assert most_calls(spared) <= 12 + 1


@every_kernel
def test_spared_calls_change_nothing(kernels: tuple[Kernel, ...]) -> None:
    for guided in (WORLD, WORLD & KNOWN, WORLD & ClassifierGuidance(wished)):
        spared, full = (ended(world, uniform(12), *kernels, n=32) for world in (guided, Punctual(guided)))
        assert spared.x.equal(full.x)
        assert (torch.as_tensor(spared.nfe) <= torch.as_tensor(full.nfe)).all()


@every_kernel
def test_samples_do_not_depend_on_their_batch(kernels: tuple[Kernel, ...]) -> None:
    for world in (WORLD, WORLD & KNOWN):
        whole = ended(world, uniform(6), *kernels, n=12)
        for part in (range(1), range(1, 7), range(7, 12)):
            alone = Sampler(uniform(6), kernels).end(world, Keys.of(0, part))
            assert alone.x.equal(whole.x[part.start : part.stop])
            calls = torch.as_tensor(whole.nfe).expand(12)[part.start : part.stop]
            assert torch.as_tensor(alone.nfe).expand(len(part)).equal(calls)


FREE = Traits(SPACE, time_independent=True)


@dataclass(frozen=True)
class Flat(Denoiser):
    """Everything is possible, everywhere."""

    traits: Traits

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Probs:
        assert isinstance(x_t, Tensor)
        return SPACE.belief(torch.zeros(*x_t.shape, 3, dtype=torch.float64), x_t, 0.5)


@every_kernel
@pytest.mark.parametrize("time_independent", [True, False])
def test_positions_that_do_not_exist_are_untouched(kernels: tuple[Kernel, ...], time_independent: bool) -> None:
    mask = torch.arange(4) < torch.arange(40)[:, None] % 4 + 1
    start = torch.where(mask, 3, 0)
    x = ended(
        Flat(replace(FREE, time_independent=time_independent)),
        uniform(7),
        *kernels,
        n=40,
        condition={"mask": mask},
        start=start,
    ).x
    assert x[~mask].equal(start[~mask])
    assert (x[mask] < 3).all()


def test_short_samples_are_revealed_as_evenly_as_long_ones() -> None:
    """Of m positions floor(t m) are hidden at time t."""
    lengths = torch.arange(40) % 4 + 1
    mask = torch.arange(4) < lengths[:, None]
    sampler = Sampler(uniform(6), (Unmask("random"),))
    for state in sampler.steps(Flat(FREE), Keys.of(0, 40), {"mask": mask}):
        hidden = SPACE.with_mask(mask).hidden(state.x).sum(1)
        assert hidden.equal((lengths * state.t + 1e-9).floor().long())


def test_shares_of_masks_follow_the_schedule() -> None:
    """First hitting and remasking hide each letter with probability 1 − α at any time."""
    for kernel in (FirstHitting(), Remask(cap=0.3), Predictor()):
        for state in Sampler((1.0, 0.7, 0.6, 0.25), (kernel,)).steps(Flat(FREE), Keys.of(0, N)):
            hidden, t = SPACE.hidden(state.x).double().mean().item(), float(state.t)
            assert_share(hidden, t, 4 * N)
            rejected(assert_share, hidden, t + 0.05, 4 * N)


# Sharpened -----------------------------------------------------------------------------------------------

logits = st.lists(st.floats(-6, 6), min_size=2, max_size=6).map(double)


@given(logits)
def test_by_default_nothing_is_sharper(values: Tensor) -> None:
    assert_close(TemperatureTopP().log_probs(values), values.log_softmax(-1), 1e-12)


@given(logits, st.floats(0.2, 3))
def test_a_temperature_is_a_power(values: Tensor, temperature: float) -> None:
    powers = values.softmax(-1) ** (1 / temperature)
    assert_close(TemperatureTopP(temperature).log_probs(values).softmax(-1), powers / powers.sum(), 1e-9)


@given(st.permutations(range(5)))
def test_the_limit_of_cold_is_the_mode(order: list[int]) -> None:
    values = double(order)
    assert_close(
        TemperatureTopP(1e-3).log_probs(values).exp(), torch.nn.functional.one_hot(values.argmax(), 5).double()
    )


def assert_smallest(kept: Tensor, probs: Tensor, top_p: float) -> None:
    """The set has the mass, no set of fewer has, and none that is left out is likelier than one that is in."""
    mass = probs[kept].sum().item()
    assert mass >= top_p - 1e-9
    assert mass - probs[kept].min().item() < top_p + 1e-9
    assert not (~kept).any() or probs[~kept].max() <= probs[kept].min()


@given(logits, st.floats(0.05, 0.999))
def test_top_p_keeps_the_smallest_set(values: Tensor, top_p: float) -> None:
    found, probs = TemperatureTopP(top_p=top_p).log_probs(values), values.softmax(-1)
    kept = found > -torch.inf
    assert_smallest(kept, probs, top_p)
    assert_close(found.softmax(-1)[kept], probs[kept] / probs[kept].sum(), 1e-9)


def test_the_test_of_sets_rejects_one_too_few_and_one_too_many() -> None:
    probs = double([0.5, 0.3, 0.15, 0.05])
    assert_smallest(torch.tensor([True, True, False, False]), probs, 0.7)
    rejected(assert_smallest, torch.tensor([True, False, False, False]), probs, 0.7)
    rejected(assert_smallest, torch.tensor([True, True, True, False]), probs, 0.7)
    rejected(assert_smallest, torch.tensor([True, False, True, True]), probs, 0.7)


def test_sharpened_beliefs_are_float64_and_go_inside_of_factors() -> None:
    assert TemperatureTopP(0.5).log_probs(torch.zeros(3)).dtype == torch.float64
    guided: Any = WORLD & KNOWN & TemperatureTopP(0.5)
    assert guided.time_independent
    assert (drawn(guided, 4, Unmask("random"), n=50)[:, 1] == 2).all()


def test_cold_samples_take_the_mode_of_every_step() -> None:
    cold = drawn(WORLD & TemperatureTopP(1e-6), 4, Unmask("confidence"), n=8)
    assert cold.equal(drawn(WORLD, 4, Unmask("confidence", drawn="mode"), n=8))


# Errors --------------------------------------------------------------------------------------------------

REVEALING = (Unmask(), FirstHitting(), Remask())
OTHERS: dict[str, Categorical] = {
    "uniform": Categorical.uniform((4,), 3),
    "hybrid": Categorical.hybrid((4,), 3),
    "ordered": Autoregressive.of(4, 3),
}


@pytest.mark.parametrize("space", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("kernel", REVEALING, ids=lambda kernel: type(kernel).__name__)
def test_orders_are_for_masks(space: Categorical, kernel: Kernel) -> None:
    with pytest.raises(InputError, match="only where noise does nothing but mask them"):
        drawn(Flat(Traits(space)), 4, kernel, n=2)


@pytest.mark.parametrize("kind", ["uniform", "ordered"])
def test_second_looks_are_for_noise_that_masks(kind: str) -> None:
    with pytest.raises(InputError, match="for noise that masks"):
        InformedCorrector()(
            SamplerState(torch.zeros(2, 4).long(), 0.0, OTHERS[kind]), 0.0, Flat(FREE), {}, Keys.of(0, 2)
        )


def test_only_categories_are_sharpened() -> None:
    with pytest.raises(InputError, match="for categories"):
        _ = line() & TemperatureTopP(0.5)


IMPOSSIBLE: dict[str, tuple[Callable[[], Any], str]] = {
    "negative bound": (partial(Unmask, bound=-1.0), "at least 0 nats"),
    "bound of an order": (partial(Unmask, "random", bound=1.0), "in order of entropy, not 1.0 by random"),
    "share": (partial(InformedCorrector, share=0.0), r"in \(0, 1\], not 0.0"),
    "fit": (partial(InformedCorrector, fit=1.5), r"in \(0, 1\], not 0.5 and 1.5"),
    "temperature": (partial(TemperatureTopP, 0.0), "temperature is above 0"),
    "top_p": (partial(TemperatureTopP, top_p=1.2), r"top_p in \(0, 1\]"),
}


@pytest.mark.parametrize(("make", "message"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_parts_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@given(logits)
def test_entropy_is_between_certainty_and_ignorance(values: Tensor) -> None:
    found = entropy(values.softmax(-1))
    assert -1e-12 <= found <= torch.tensor(float(len(values))).log() + 1e-6
    assert entropy(double([1.0, 0.0])) == 0
