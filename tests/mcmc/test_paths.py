"""The density of an ancestral path: exact on average, drawn or given, in every space; without its noising it is wrong.

Of sequences the law of the chain itself is pushed step by step through all states, which the paths must agree with.
"""

from dataclasses import dataclass, replace
from itertools import pairwise, product
from math import log, pi
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.beliefs import Probs
from ornstein.denoisers.base import Condition, Denoiser, Traits, carry
from ornstein.denoisers.composition import mixture
from ornstein.denoisers.oracles import Mixture
from ornstein.errors import InputError
from ornstein.events import finished
from ornstein.keys import Keys
from ornstein.mcmc import paths
from ornstein.mcmc.paths import Chain, chain_of, draw_paths, path_log_density
from ornstein.mcmc.proposals import draw
from ornstein.spaces import Autoregressive, Categorical, Choice, Euclidean, Gaussian, Product
from ornstein.states import State, Time, leaves
from worlds import coupled, rejected, sequences, smooth, table

KINDS = ["masked", "uniform", "substitution"]


def pushed(world: Mixture, steps: int) -> Tensor:
    """The exact law of where a chain ends, in the order of the flattened table."""
    space: Any = world.space
    every = torch.tensor(list(product(range(space.states), repeat=space.shape[0])))
    law, grid = space.prior_law().log_prob(every).exp(), chain_of(world, Keys.of(0, 1), steps).grid
    for t, s in pairwise(grid):
        move = space.step(every, world(every, t), t, s)
        law = law @ torch.stack([move.log_prob(y.expand(len(every), -1)).exp() for y in every], 1)
    clean = (every < space.size).all(1)
    assert law.sum().item() == pytest.approx(1)
    return law[clean]


def given(chain: Chain, each: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """log q of `each` paths to every sequence, (sequences, each)."""
    space: Any = chain.denoiser.space
    every = torch.tensor(list(product(range(space.size), repeat=space.shape[0])))
    x0 = every.repeat_interleave(each, 0)
    return x0, path_log_density(chain, x0, Keys.of(seed, len(x0))).reshape(len(every), each)


def assert_average(log_q: Tensor, expected: Tensor) -> None:
    """The mean of q over the paths to each sequence is its probability, within four standard errors."""
    q = log_q.exp()
    errors = (q.mean(1) - expected) / (q.std(1) / q.shape[1] ** 0.5).clamp(min=1e-12)
    assert errors.abs().max() < 4, f"off by {errors.tolist()} standard errors"


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> None:
    """All paths in one batch."""
    monkeypatch.setattr(paths, "TOGETHER", 10**6)


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("kind", KINDS)
def test_paths_to_given_sequences_average_to_the_law_of_the_chain(kind: str) -> None:
    """In three steps, whose law is far from that of the data."""
    world = sequences(kind)
    chain, law = chain_of(world, Keys.of(0, 1), 3), pushed(world, 3)
    _, log_q = given(chain, 2000)
    assert_average(log_q, law)
    rejected(assert_average, log_q, table(3, 2).flatten())  # the law of the data is another
    rejected(assert_average, given(replace(chain, denoiser=Forgetting(world)), 2000)[1], law)


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("kind", KINDS)
def test_drawn_paths_weigh_sequences_to_the_law_of_the_data(kind: str) -> None:
    world = sequences(kind)
    assert_unit(world, *draw_paths(chain_of(world, Keys.of(0, 1), 3), Keys.of(1, 4000))[:2])
    forgetting = replace(chain_of(world, Keys.of(0, 1), 3), denoiser=Forgetting(world))
    rejected(assert_unit, world, *draw_paths(forgetting, Keys.of(1, 4000))[:2])


def log_p(world: Mixture, x: Any) -> Tensor:
    """Normalised: that of plane Gaussians leaves 2π out."""
    return world.log_density(x, 0.0) - (0.0 if isinstance(world.space, Categorical) else log(2 * pi))


def assert_unit(world: Mixture, x: Any, log_q: Tensor) -> None:
    """The mean of p/q is 1 within four standard errors and .15."""
    weights = (log_p(world, x) - log_q).exp()
    error = weights.std() / len(weights) ** 0.5
    assert error < 0.15
    assert abs(weights.mean() - 1) < 4 * error, f"{weights.mean():.3f} ± {error:.3f}"


WORLDS = {"plane": smooth, "product": coupled}


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("name", WORLDS)
def test_drawn_and_given_paths_of_numbers_and_products(name: str) -> None:
    """Drawn ones have E p/q = 1, and those to exact draws of p have E q/p = 1."""
    world = WORLDS[name]()
    chain = chain_of(world, Keys.of(0, 200), 40)
    twin = replace(chain, denoiser=Forgetting(world))
    assert_unit(world, *draw_paths(chain, Keys.of(1, 1500))[:2])
    rejected(assert_unit, world, *draw_paths(twin, Keys.of(1, 1500))[:2])
    x0 = world.draw(Keys.of(2, 1500))
    assert_inverse(world, x0, path_log_density(chain, x0, Keys.of(3, 1500)))
    rejected(assert_inverse, world, x0, path_log_density(twin, x0, Keys.of(3, 1500)))


def assert_inverse(world: Mixture, x0: Any, log_q: Tensor) -> None:
    ratios = (log_q - log_p(world, x0)).exp()
    error = ratios.std() / len(ratios) ** 0.5
    assert error < 0.15
    assert abs(ratios.mean() - 1) < 4 * error, f"{ratios.mean():.3f} ± {error:.3f}"


@pytest.mark.usefixtures("together")
def test_draws_can_be_asked_for_the_density_of_other_points() -> None:
    world = sequences("masked")
    drawn = draw(world, Keys.of(0, 50), steps=3)
    assert drawn.way == "chain"
    x0 = torch.tensor([[2, 1]]).expand(4000, 2)
    log_p = 0.3
    ratio = finished(drawn.ratio(x0, torch.full((4000,), log_p).double(), lambda x: x, Keys.of(1, 4000)))
    log_q = log_p - ratio
    assert_average(log_q[None], pushed(world, 3)[7:8])


def test_an_order_has_its_likelihood_without_any_scatter() -> None:
    """Autoregression: the noise is certain, and every path to a sequence is as likely as it."""
    rows = table(3, 3)
    chain = chain_of(LeftToRight(rows), Keys.of(0, 1), 3)
    x0, log_q = given(chain, 2)
    torch.testing.assert_close(log_q[:, 0], log_q[:, 1])
    torch.testing.assert_close(log_q[:, 0], rows.flatten().log())
    drawn, own, _ = draw_paths(chain, Keys.of(0, 20))
    torch.testing.assert_close(own, rows[tuple(drawn.T)].log())
    assert x0.shape == (54, 3)


def test_positions_that_do_not_exist_do_not_count() -> None:
    letters = torch.tensor([0.7, 0.2, 0.1]).double()
    mask = torch.tensor([[True, True, False, False]]).expand(30, 4)
    chain = chain_of(Letters(letters), Keys.of(0, 1), 5)
    x, log_q, _ = draw_paths(chain, Keys.of(0, 30), {"mask": mask})
    torch.testing.assert_close(log_q, letters[x[:, :2]].log().sum(1))  # letters are independent: no path adds anything
    assert not x[:, 2:].any()
    torch.testing.assert_close(path_log_density(chain, x, Keys.of(1, 30), {"mask": mask}), log_q)
    torch.testing.assert_close(path_log_density(chain, x, Keys.of(1, 30)), letters[x].log().sum(1))


def test_chains_ask_no_more_of_a_network_than_has_changed() -> None:
    """Under masks a state that has not moved is believed the same; positions are revealed once."""
    chain = chain_of(sequences("masked"), Keys.of(0, 1), 100)
    assert draw_paths(chain, Keys.of(0, 50))[2] <= 3
    assert draw_paths(chain_of(sequences("uniform"), Keys.of(0, 1), 100), Keys.of(0, 50))[2] == 100


def test_refusals() -> None:
    chain = chain_of(sequences("masked"), Keys.of(0, 1), 3)
    with pytest.raises(InputError, match="2 states were given with 3 keys, expected one each"):
        path_log_density(chain, torch.zeros(2, 2, dtype=torch.int64), Keys.of(0, 3))
    world = smooth()
    with pytest.raises(InputError, match="density of its component alone"):
        chain_of(mixture([world, world]), Keys.of(0, 1), 3)
    with pytest.raises(InputError, match="a flow has a density for whole continuous data, not for Categorical"):
        draw(sequences("masked"), Keys.of(0, 3), "flow")


# Parts ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Letters(Denoiser):
    """Four independent letters of one law."""

    probs: Tensor

    def __post_init__(self) -> None:
        carry(self, Traits(Categorical.masked((4,), len(self.probs))))

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Probs:
        space: Any = self.space
        return space.belief(self.probs.log().expand(*leaves(x_t)[0].shape, -1), x_t, t)


@dataclass(frozen=True)
class LeftToRight(Denoiser):
    """Three letters by the table, each given those before it."""

    rows: Tensor

    def __post_init__(self) -> None:
        carry(self, Traits(Autoregressive.of(3, 3)))

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Probs:
        space: Any = self.space
        logits = torch.stack([self._logits(x) for x in leaves(x_t)[0]])
        return space.belief(logits, x_t, t)

    def _logits(self, x: Tensor) -> Tensor:
        joint, found = self.rows, []
        for letter in x.tolist():
            found.append(joint.flatten(1).sum(1).log() if joint.ndim > 1 else joint.log())
            joint = joint[letter] if letter < 3 else joint.sum(0)
        return torch.stack(found)


class Silent(Gaussian):
    def log_prob(self, x: Any) -> Tensor:
        return 0 * super().log_prob(x)


class SilentChoice(Choice):
    def log_prob(self, x: Any) -> Tensor:
        return torch.zeros(len(x), dtype=torch.float64)


class ForgetfulPlane(Euclidean):
    def noising(self, x0: State, t: Time, since: Time = 0.0) -> Gaussian:
        noise = super().noising(x0, t, since)
        return Silent(noise.mean, noise.std, noise.space)


class ForgetfulLetters(Categorical):
    def noising(self, x0: State, t: Time, since: Time = 0.0) -> Choice:
        noise = super().noising(x0, t, since)
        return SilentChoice(noise.log_probs, noise.x_t, noise.mask)


def forgetful(space: Any) -> Any:
    """A broken twin: noise that does not say how likely it was."""
    if isinstance(space, Product):
        return Product({name: forgetful(part) for name, part in space.parts.items()})
    if isinstance(space, Categorical):
        return ForgetfulLetters(space.shape, space.size, space.chain, space.schedule)
    return ForgetfulPlane(space.shape, space.schedule)


@dataclass(frozen=True)
class Forgetting(Denoiser):
    """A world in a forgetful space."""

    world: Mixture

    def __post_init__(self) -> None:
        carry(self, Traits(forgetful(self.world.space)))

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Any:
        return self.world(x_t, t)
