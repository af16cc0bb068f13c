"""Autoregression as noise: one letter a step is the table itself, and a look at clean data is its exact likelihood."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ornstein.beliefs import Probs
from ornstein.denoisers.base import Denoiser, NeuralDenoiser, Traits
from ornstein.denoisers.oracles import enumerated
from ornstein.guidance.measurements import Fixed
from ornstein.keys import Keys
from ornstein.sampling.grids import uniform
from ornstein.sampling.kernels import Predictor
from ornstein.sampling.sampler import Sampler
from ornstein.spaces import Autoregressive, Categorical
from ornstein.testing import check_space
from ornstein.testing.spaces import _SpaceClaims
from ornstein.training.feeding import Batch
from ornstein.training.trainer import losses
from worlds import assert_close, assert_frequencies, rejected

LENGTH, SIZE, N = 4, 3, 4000
TABLE = Keys.of(12, 1).normal(SIZE**LENGTH)[0].softmax(0).reshape((SIZE,) * LENGTH)
LETTERS = torch.tensor(list(product(range(SIZE), repeat=LENGTH)))
every_start = pytest.mark.parametrize("start", [0, 1, LENGTH // 2])


class Conditionals(nn.Module):
    """p(x_k | what comes earlier in the order) of a table, whatever stands later; masks are summed over."""

    def __init__(self, table: Tensor, start: int, time_independent: bool = False) -> None:
        super().__init__()
        self.weights = nn.Parameter(table.flatten().log())
        self.order, self.time_independent = (torch.arange(LENGTH) + start) % LENGTH, time_independent

    def forward(self, x: Tensor, t: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
        fits = (x[:, None] == LETTERS) | (x[:, None] == SIZE)  # (batch, sequences, positions)
        before = torch.nn.functional.pad(fits[..., self.order].cumprod(-1)[..., :-1], (1, 0), value=1)
        before = before[..., self.order.argsort()].double()
        clean = torch.nn.functional.one_hot(LETTERS, SIZE).double()
        return torch.einsum("bsk,s,skv->bkv", before, self.weights.exp(), clean).log()


def causal(start: int = 0, table: Tensor = TABLE, time_independent: bool = False) -> NeuralDenoiser:
    return NeuralDenoiser(Conditionals(table, start, time_independent), Traits(Autoregressive.of(LENGTH, SIZE, start)))


@torch.no_grad()
def drawn(denoiser: Denoiser, steps: int = LENGTH, n: int = N) -> Tensor:
    return Sampler(uniform(steps), (Predictor(),)).run(denoiser, Keys.of(0, n))


# The space -----------------------------------------------------------------------------------------------

X0 = torch.tensor([[0, 1, 2, 1], [2, 0, 1, 0], [1, 2, 0, 0]])
MASK = torch.tensor([[True] * 4, [True, True, True, False], [True, True, False, False]])
CERTAIN = "noise differs from key to key"


@every_start
@pytest.mark.parametrize("mask", [None, MASK], ids=["equal", "unequal"])
def test_it_is_a_space_but_for_noise_that_is_certain(start: int, mask: Tensor | None) -> None:
    """What is hidden is a function of time alone, so one claim about noise cannot hold; all others do."""
    space = Autoregressive.of(LENGTH, SIZE, start)
    claims = list(_SpaceClaims(space, X0, mask, (LENGTH,), 1e-5))
    assert [claim for claim, holds in claims if not holds] == [CERTAIN]
    with pytest.raises(AssertionError, match=CERTAIN):
        check_space(space, X0, mask)


@every_start
def test_tokens_are_hidden_from_the_end_of_the_order(start: int) -> None:
    space = Autoregressive.of(LENGTH, SIZE, start)
    order = (torch.arange(LENGTH) + start) % LENGTH
    assert space.rank[order].equal(torch.arange(LENGTH))
    for k in range(LENGTH + 1):
        x_t = space.noise(X0, 1 - k / LENGTH, Keys.of(0, 3))
        assert x_t[:, order[:k]].equal(X0[:, order[:k]])
        assert (x_t[:, order[k:]] == SIZE).all()
        assert (space.prior(Keys.of(0, 3)) == SIZE).all()


@every_start
def test_a_step_reveals_the_next_of_the_order(start: int) -> None:
    space, order = Autoregressive.of(LENGTH, SIZE, start), (torch.arange(LENGTH) + start) % LENGTH
    for k in range(LENGTH):
        t, s = 1 - k / LENGTH, 1 - (k + 1) / LENGTH
        x_t = space.noise(X0, t, Keys.of(0, 3))
        belief = space.belief(torch.zeros(3, LENGTH, SIZE), x_t, t)
        x_s = space.step(x_t, belief, t, s).sample(Keys.of(1, 3))
        assert (x_s != x_t).nonzero()[:, 1].tolist() == [order[k].item()] * 3
        assert (x_s[:, order[k]] < SIZE).all()


# Sampling ------------------------------------------------------------------------------------------------


@every_start
@pytest.mark.parametrize("time_independent", [False, True], ids=["timed", "time_independent"])
def test_the_table_comes_out_in_any_order(start: int, time_independent: bool) -> None:
    assert_frequencies(drawn(causal(start, time_independent=time_independent)), TABLE)


@every_start
def test_two_letters_a_step_lose_what_they_say_of_one_another(start: int) -> None:
    rejected(assert_frequencies, drawn(causal(start), LENGTH // 2), TABLE)


def test_a_network_that_looks_back_along_another_order_is_rejected() -> None:
    wrong = causal(0).having(space=Autoregressive.of(LENGTH, SIZE, 2))
    rejected(assert_frequencies, drawn(wrong), TABLE)


def test_steps_without_news_change_nothing_and_cost_no_call() -> None:
    few, many = (
        Sampler(uniform(steps), (Predictor(),)).end(causal(time_independent=True), Keys.of(0, 64)) for steps in (4, 40)
    )
    assert torch.as_tensor(many.nfe).max() <= LENGTH + 1
    assert_close(torch.as_tensor(few.nfe).max(), torch.tensor(LENGTH))
    assert (many.x < SIZE).all()


def test_samples_do_not_depend_on_their_batch() -> None:
    whole = drawn(causal(1), n=8)
    alone = Sampler(uniform(LENGTH), (Predictor(),)).run(causal(1), Keys.of(0, range(3, 5)))
    assert alone.equal(whole[3:5])


# What is known -------------------------------------------------------------------------------------------


def fixed(*positions: int) -> Fixed:
    where = torch.zeros(LENGTH, dtype=torch.bool)
    where[list(positions)] = True
    return Fixed(torch.tensor([0, 2, 1, 2]), where)


KNOWN = {
    "a beginning": (0, (0, 1), TABLE[0, 2]),
    "an end, which comes first": (2, (2, 3), TABLE[:, :, 1, 2]),
    "a middle and what follows": (1, (1, 2, 3), TABLE[:, 2, 1, 2]),
}


def rest(x: Tensor, positions: tuple[int, ...]) -> Tensor:
    assert (x[:, positions] == torch.tensor([0, 2, 1, 2])[list(positions)]).all()
    return x[:, [place for place in range(LENGTH) if place not in positions]]


@pytest.mark.parametrize(("start", "positions", "law"), KNOWN.values(), ids=KNOWN)
def test_what_is_known_first_conditions_the_rest(start: int, positions: tuple[int, ...], law: Tensor) -> None:
    found = rest(drawn(causal(start) & fixed(*positions)), positions)
    assert_frequencies(found, law / law.sum())


def test_an_end_that_is_known_last_holds_but_comes_too_late_for_the_rest() -> None:
    law = TABLE[:, :, 1, 2]
    found = rest(drawn(causal(0) & fixed(2, 3)), (2, 3))
    rejected(assert_frequencies, found, law / law.sum())
    assert_frequencies(found, TABLE.sum((2, 3)))


# Teaching ------------------------------------------------------------------------------------------------


@every_start
def test_the_teacher_leaves_every_position_free(start: int) -> None:
    space = Autoregressive.of(LENGTH, SIZE, start)
    shown = space.corrupt(X0, torch.tensor([0.1, 0.5, 0.9]), Keys.of(0, 3))
    assert space.inputs(shown, 0.5).equal(X0)
    belief = space.belief(torch.zeros(3, LENGTH, SIZE), shown, 0.5)
    assert_close(belief.mean, torch.tensor([1 / 3] * 3 + [0.0]).expand(3, LENGTH, 4), 1e-6)


def test_masks_and_tokens_reach_the_network_as_they_are() -> None:
    space, x_t = Autoregressive.of(LENGTH, SIZE), torch.tensor([[0, 2, SIZE, SIZE]])
    assert space.inputs(x_t, 0.5).equal(x_t)
    belief = space.belief(torch.zeros(1, LENGTH, SIZE), x_t, 0.5)
    assert_close(belief.mean[0, :2].double(), torch.eye(4, dtype=torch.float64)[[0, 2]])
    assert (belief.mean[..., SIZE] == 0).all()


def batch(x0: Tensor) -> Batch:
    t = torch.linspace(0.1, 1, len(x0))
    return Batch(x0, {}, t, t, torch.ones(len(x0)), Keys.of(0, len(x0)), torch.arange(len(x0)))


def nats(x0: Tensor, table: Tensor = TABLE) -> Tensor:
    return -table[tuple(x0.T)].log()


@every_start
def test_the_loss_is_the_exact_likelihood(start: int) -> None:
    """At every time, for every sequence: the chain rule."""
    assert_close(LENGTH * losses(causal(start), batch(LETTERS)), nats(LETTERS), 1e-6)


def test_the_test_of_the_likelihood_rejects_beliefs_that_look_ahead() -> None:
    bidirectional = enumerated(Categorical.masked((LENGTH,), SIZE), TABLE)
    space = Autoregressive.of(LENGTH, SIZE)

    def assert_likelihood(belief: Probs) -> None:
        found = LENGTH * space.loss(belief, LETTERS, space.corrupt(LETTERS, 0.5, Keys.of(0, 81)), 0.5)
        assert_close(found, nats(LETTERS), 1e-6)

    ahead: list[Any] = []
    for place in range(LENGTH):
        hidden = LETTERS.clone()
        hidden[:, place] = SIZE
        belief: Any = bidirectional(hidden, 0.5)
        ahead.append(belief.logits[:, place])
    rejected(assert_likelihood, Probs(torch.stack(ahead, 1)))
    assert_likelihood(causal()(space.corrupt(LETTERS, 0.5, Keys.of(0, 81)), 0.5))  # pyright: ignore[reportArgumentType]


def test_the_mean_loss_of_the_data_is_their_entropy_and_cannot_be_less() -> None:
    weights = TABLE.flatten()
    truth = (weights * losses(causal(), batch(LETTERS))).sum()
    assert_close(LENGTH * truth, -(weights * weights.log()).sum(), 1e-6)
    for seed in range(5):
        other = (TABLE.log() + 0.2 * Keys.of(seed, 1).normal(*TABLE.shape)[0]).flatten().softmax(0)
        assert (weights * losses(causal(table=other.reshape(TABLE.shape)), batch(LETTERS))).sum() > truth


def test_positions_that_do_not_exist_are_not_learned() -> None:
    space, belief = Autoregressive.of(LENGTH, SIZE), causal()(X0 + SIZE + 1, 0.5)
    each = space.loss(belief, X0, X0 + SIZE + 1, 0.5)
    masked = space.with_mask(MASK).loss(belief, X0, X0 + SIZE + 1, 0.5)
    assert_close(masked[0], each[0])
    log_probs = belief.log_probs.gather(-1, X0[..., None]).squeeze(-1)  # pyright: ignore[reportAttributeAccessIssue]
    assert_close(masked[2], -log_probs[2, :2].mean())
