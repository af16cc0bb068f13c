"""A guided run keeps the graph of one step, and says how many gradients it took and which solves ended at their cap."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nets import Net
from ornstein.beliefs import Normal, Probs
from ornstein.covariances import Dense
from ornstein.denoisers.base import Condition, Denoiser, Guided, NeuralDenoiser, Traits
from ornstein.denoisers.tweedie import with_covariance
from ornstein.effort import Effort
from ornstein.guidance.classifiers import NoisyClassifierGuidance
from ornstein.guidance.factors import Energy, Factor, Reward
from ornstein.guidance.interval import Interval
from ornstein.guidance.measurements import Fixed, Measurement
from ornstein.guidance.operators import Matrix
from ornstein.keys import Keys
from ornstein.sampling.grids import uniform
from ornstein.sampling.kernels import Heun, Kernel, Predictor, Restart, SamplerState
from ornstein.sampling.particles import Particles
from ornstein.sampling.sampler import Sampler
from ornstein.spaces import Euclidean
from ornstein.states import State, Time
from worlds import double, rejected, sequences, single

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("guided_memory")


# Memory -----------------------------------------------------------------------------------------------


def assert_one_graph(memory: Any, kernel: Kernel) -> None:
    """A run of four steps keeps no more alive than 1.3 times the graph of one, and a plain one keeps nothing."""
    model = memory.pictures(8, 4)
    step, weights = memory.one_step(model, 2), list(model.network.parameters())
    assert step > 10_000
    found = memory.run(weights, memory.seen(model, iterations=2), kernel, 2, 4)
    assert memory.run(weights, model, kernel, 2, 4).alive == 0 or isinstance(kernel, Particles)
    assert step <= found.alive <= 1.3 * step


KERNELS = {
    **{f"order {order}": Predictor(0.0, order, correct=order > 1) for order in (1, 2, 3)},
    "ancestral": Predictor(1.0, 2),
    "Heun": Heun(),
    "particles": Particles(),
    "tempered particles": Particles(temper=0.5),
}


@pytest.mark.parametrize("name", KERNELS)
def test_a_guided_run_keeps_the_graph_of_one_step(memory: Any, name: str) -> None:
    assert_one_graph(memory, KERNELS[name])


@pytest.mark.parametrize("name", ["order 2", "order 3", "Heun", "particles"])
def test_the_bound_rejects_beliefs_that_keep_their_graphs(
    memory: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Normal, "settled", lambda self: self)
    rejected(assert_one_graph, memory, KERNELS[name])


def first(x: Tensor) -> Tensor:
    return x[:, 0]


FACTORS: dict[str, Factor] = {
    "measurement": Measurement(double([0.4]), Matrix(double([[1.0, 0.6]])), 0.3),
    "energy": Energy(first),
    "noisy": NoisyClassifierGuidance(lambda x, t: first(x)),
    "not yet": Interval(Energy(first), 0.1),
    "black box": Reward(first),
}


def network() -> NeuralDenoiser:
    return NeuralDenoiser(Net(2).double(), Traits(Euclidean((2,))))


@pytest.mark.parametrize("name", FACTORS)
def test_past_beliefs_hold_no_graph(name: str) -> None:
    sampler = Sampler(uniform(4), (Predictor(0.0, 3),))
    with torch.no_grad():
        state = sampler.end(network() & FACTORS[name], Keys.of(0, 2), start=Keys.of(0, 2).normal(2))
    assert len(state.past) == 3
    for _, belief in state.past:
        assert isinstance(belief, Normal)
        assert belief.cov is None
        assert belief.mean.grad_fn is None


def test_settling_keeps_what_is_written_down_and_what_gradients_are_taken_of() -> None:
    x = Keys.of(0, 2).normal(2).requires_grad_()
    belief = with_covariance(network(), x, 0.5)
    assert belief.settled().mean.requires_grad  # the loop may be differentiated
    with torch.no_grad():
        assert not belief.settled().mean.requires_grad
    written = Normal(x.detach(), Dense(torch.eye(2).expand(2, 2, 2)))
    assert written.settled() is written
    tokens = Probs(torch.zeros(1, 2, 3))
    assert tokens.settled() is tokens


def test_guided_categories_need_no_graph() -> None:
    seen: list[bool] = []

    @dataclass(frozen=True)
    class Spied(Guided):
        def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Any:
            seen.append(torch.is_grad_enabled())
            return self.denoiser(x_t, t, condition)

    guided = Spied(sequences("masked")) & Fixed(torch.tensor([1, 0]), torch.tensor([True, False]))
    with torch.no_grad():
        Sampler(uniform(3)).run(guided, Keys.of(0, 2))
    assert seen == [False] * 3


# Gradients --------------------------------------------------------------------------------------------


class Counting(Net):
    """Counts the gradients that pass through its output."""

    gradients = 0

    def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        found = super().forward(x, t, condition)
        if found.requires_grad:
            found.register_hook(self._count)
        return found

    def _count(self, gradient: Tensor) -> None:
        self.gradients += 1


def counting() -> tuple[Counting, Denoiser]:
    net = Counting(2).double()
    return net, NeuralDenoiser(net, Traits(Euclidean((2,))))


def assert_counted(kernel: Kernel, count: Callable[[SamplerState], int], factors: list[Factor]) -> None:
    """What the walk says is what the network saw."""
    net, denoiser = counting()
    for factor in factors:
        denoiser = denoiser & factor
    with torch.no_grad():
        state = Sampler(uniform(3), (kernel, Restart())).end(denoiser, Keys.of(0, 4), start=Keys.of(0, 4).normal(2))
    assert net.gradients > 0
    assert count(state) == net.gradients


ITERATED = Measurement([0.4, -0.1], Matrix(torch.eye(2).double()), 0.3, direct=0)
SETS = {
    "formed": [FACTORS["measurement"]],
    "iterated": [ITERATED],
    "iterated and bent": [ITERATED, Energy(lambda x: x.square().sum(1))],
    "energies": [Energy(first), Energy(lambda x: x.square().sum(1))],
}


@pytest.mark.parametrize("kernel", [Predictor(0.0, 3), Heun(), Particles(), Particles(dense=0)], ids=repr)
@pytest.mark.parametrize("name", SETS)
def test_the_gradients_of_the_network_are_counted(kernel: Kernel, name: str) -> None:
    assert_counted(kernel, lambda state: int(state.gradients), SETS[name])
    if name != "formed":  # one number, and so one gradient a call
        rejected(assert_counted, kernel, lambda state: int(state.nfe), SETS[name])


def test_a_plain_run_takes_none() -> None:
    assert Sampler(uniform(3)).end(single(), Keys.of(0, 2)).gradients == 0
    assert (Sampler(uniform(3)).end(single() & FACTORS["measurement"], Keys.of(0, 2))).gradients == 0  # in closed form


def test_a_factor_of_ones_own_need_not_carry_the_tally() -> None:
    class Own(Energy):
        def update(self, belief: Any, x_t: Any, t: Any, space: Any) -> Any:
            value, updated = super().update(belief, x_t, t, space)
            return value, Normal(updated.mean, updated.cov)

    net, denoiser = counting()
    with torch.no_grad():
        state = Sampler(uniform(3)).end(denoiser & Own(first), Keys.of(0, 4))
    assert state.gradients == net.gradients > 0


# Solves that stopped short ----------------------------------------------------------------------------


def notes(factor: Factor, kernel: Kernel) -> tuple[str, ...]:
    space = Euclidean((6,))
    with torch.no_grad():
        return Sampler(uniform(3), (kernel,)).end(NeuralDenoiser(Widths(), Traits(space)) & factor, Keys.of(0, 2)).notes


class Widths(torch.nn.Module):
    """A positive covariance that takes conjugate gradients a few iterations."""

    def __init__(self) -> None:
        super().__init__()
        self.widths = torch.nn.Parameter(torch.linspace(0.1, 2.0, 6))

    def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return self.widths * x


@pytest.mark.parametrize("kernel", [Predictor(0.0, 2), Particles(dense=0)], ids=["predictor", "particles"])
def test_a_cap_that_was_hit_is_reported(kernel: Kernel) -> None:
    enough = Measurement(torch.arange(6.0), Matrix(torch.eye(6)), 0.05, direct=0, probes=6)
    (note,) = notes(replace(enough, iterations=1), kernel)
    assert "in 2 of 2 samples" in note
    assert "raise `iterations`" in note
    assert notes(enough, kernel) == ()


def test_efforts_add() -> None:
    one = Effort(2, torch.tensor([0.1, 0.3]), torch.tensor([1, 0]))
    both = one + Effort(3, torch.tensor([0.2, 0.0]), torch.tensor([1, 0])) + Effort(1)
    assert both.gradients == 6
    assert both.unsolved.tolist() == pytest.approx([0.2, 0.3])  # pyright: ignore[reportAttributeAccessIssue]
    assert both.capped.tolist() == [2, 0]  # pyright: ignore[reportAttributeAccessIssue]
    assert "in 1 of 2 samples, 2 times in one of them" in both.notes[0]
