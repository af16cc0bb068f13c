"""Moves of letters and of products, densities of both, and annealing to energies whose log Z is known."""

from dataclasses import dataclass
from math import log, pi
from typing import Any

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.mcmc.annealing import anneal
from ornstein.mcmc.densities import Density, MCMCState
from ornstein.mcmc.discrete import Alternating, DiscreteLangevin, Substitutions, moves_for
from ornstein.mcmc.moves import HMC, Move, TransitionInfo, repeated
from ornstein.mcmc.proposals import Kernels, wide
from ornstein.mcmc.turns import InTurn
from ornstein.spaces import Categorical, Euclidean, Product, Transition
from potts import chain_energy, some_chain, transfer
from worlds import assert_close, chi_square, coupled, double, rejected

N = 900
COSTS = double([[0.9, -0.5, 0.3], [-1.2, 0.1, 0.8], [0.4, 1.1, -0.7]])
PAIRS = torch.cartesian_prod(torch.arange(3), torch.arange(3))
LETTERS = Categorical.masked((2,), 3)


def cost(code: Tensor) -> Tensor:
    """Two letters with costs of their own and together."""
    return 2 * torch.einsum("ij,bi,bj->b", COSTS, code[:, 0], code[:, 1]) + code[:, 0] @ COSTS[0]


def numbered_cost(x: Tensor) -> Tensor:
    """The same by a table, as a program without gradients would."""
    return 2 * COSTS[x[:, 0], x[:, 1]] + COSTS[0][x[:, 0]]


LAW = (-numbered_cost(PAIRS)).softmax(0)
LOG_Z = (-numbered_cost(PAIRS)).logsumexp(0).item()


@dataclass(frozen=True, kw_only=True)
class OneWay(DiscreteLangevin):
    """A broken twin: the way back is not counted."""

    def _once(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        both = []

        @dataclass(frozen=True, kw_only=True)
        class Same(DiscreteLangevin):
            def _log_proposal(self, point: MCMCState, density: Density) -> Float[Tensor, "..."]:
                both.append(super()._log_proposal(point, density))
                return both[0]

        return Same(step_size=self.step_size)._once(point, density, keys)


@dataclass(frozen=True, kw_only=True)
class AlwaysAccepted(Substitutions):
    """A broken twin: whatever is proposed."""

    def _once(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        flat = Density(density.space, (lambda code: torch.zeros(len(code)).double(),))
        moved = super()._once(MCMCState(point.x, torch.zeros_like(point.values)), flat, keys)
        return TransitionInfo(density.at(moved.point.x, False), moved.acceptance)


def assert_finds_the_energy(move: Move, density: Density, x: Tensor, law: Tensor = LAW, moves: int = 24) -> None:
    """From where samples stand to exp(−E)."""
    point = density.at(x, move.needs_gradients)
    after = repeated(move, point, density, Keys.of(3, len(x)), moves).point.x
    statistic, p = chi_square((after[:, None] == PAIRS).all(2).sum(0), law)
    assert p > 0.01, f"chi-square {statistic:.1f}, p = {p:.2g}"


ONE_PLACE = torch.zeros(N, 2, dtype=torch.int64)


def test_letters_find_an_energy() -> None:
    for space in (LETTERS, Categorical.uniform((2,), 3)):
        assert_finds_the_energy(DiscreteLangevin(), Density.of_energy(cost, space), ONE_PLACE)
        assert_finds_the_energy(Substitutions(), Density.of_energy(numbered_cost, space, numbered=True), ONE_PLACE)


def test_an_energy_rejects_broken_moves() -> None:
    density = Density.of_energy(cost, LETTERS)
    rejected(assert_finds_the_energy, OneWay(step_size=2.0), density, ONE_PLACE)
    rejected(assert_finds_the_energy, AlwaysAccepted(), density, ONE_PLACE)


def test_letters_that_do_not_exist_do_not_move() -> None:
    space = Categorical.masked((4,), 3).with_mask(torch.tensor([[True, True, False, False]]))
    seen = []

    def energy(x: Tensor) -> Tensor:
        seen.append(x[:, 2:].unique().tolist())
        return numbered_cost(x[:, :2])

    x = torch.zeros(N, 4, dtype=torch.int64)
    for move, density in (
        (Substitutions(), Density.of_energy(energy, space, numbered=True)),
        (DiscreteLangevin(), Density.of_energy(lambda code: cost(code[:, :2]) + code[:, 2:].sum((1, 2)), space)),
    ):
        after = repeated(move, density.at(x, move.needs_gradients), density, Keys.of(3, N), 24).point.x
        assert not after[:, 2:].any()
        assert chi_square((after[:, None, :2] == PAIRS).all(2).sum(0), LAW)[1] > 0.01
    assert seen == [[-1]] * len(seen)


def test_the_rate_stays_a_probability() -> None:
    assert Substitutions().with_step(double(40.0)).tuned_step == 1
    assert Substitutions().with_step(double(1e-9)).tuned_step == 1e-4
    assert Substitutions().in_units_of(ONE_PLACE) == Substitutions()
    with pytest.raises(InputError, match="repeats is 0, expected 1 or more"):
        Substitutions(repeats=0)


# Products -----------------------------------------------------------------------------------------------

WORLD = coupled()
TOKENS = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])


def world_energy(code: Any) -> Tensor:
    """Of the coupled world, less its normalisation: Z = 2π."""
    return -WORLD.log_density({"x": code["x"], "tokens": code["tokens"].argmax(-1)}, 0.0)


@dataclass(frozen=True, kw_only=True)
class Forgetting(Alternating):
    """A broken twin: each part is moved given where the others stood at first, by values that are no longer true."""

    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        x: Any = point.x
        apart = {name: Alternating(moves={name: move}).move(point, density, keys) for name, move in self.moves.items()}
        moved = {name: apart[name].point.x[name] for name in x}  # pyright: ignore[reportIndexIssue]
        return TransitionInfo(density.at(moved, False), apart["x"].acceptance)


def assert_world(x: Any) -> None:
    """Tokens as often as they are, and the mean of log p, within four standard errors."""
    counts = (x["tokens"][:, None] == TOKENS).all(2).sum(0)
    assert chi_square(counts, WORLD.weights)[1] > 0.01, f"{counts.tolist()}"
    exact = WORLD.log_density(WORLD.draw(Keys.of(9, 20_000)), 0.0)
    found = WORLD.log_density(x, 0.0)
    error = exact.std() / len(found) ** 0.5
    assert abs(found.mean() - exact.mean()) < 4 * error


@pytest.mark.parametrize("move", [None, Alternating(moves={"tokens": Substitutions(), "x": HMC(step_size=0.4)})])
def test_a_product_stays_what_it_is(move: Move | None) -> None:
    density = Density.of_energy(world_energy, WORLD.space)
    x = WORLD.draw(Keys.of(1, 2 * N))
    x = {"x": x["x"].double(), "tokens": x["tokens"]}
    chosen = move or moves_for(density)
    assert isinstance(chosen, Alternating)
    moved = repeated(chosen, density.at(x, False), density, Keys.of(2, 2 * N), 4)
    assert_world(moved.point.x)
    assert_close(moved.point.values, density.at(moved.point.x, False).values)
    assert 0.1 < moved.acceptance.mean() < 1
    twin = Forgetting(moves=chosen.moves)
    rejected(assert_world, repeated(twin, density.at(x, False), density, Keys.of(2, 2 * N), 4).point.x)


def test_products_are_annealed_from_wide_noise() -> None:
    density = Density.of_energy(world_energy, WORLD.space)
    found = anneal(density, wide(WORLD.space, 2.0), Keys.of(1, 800))
    assert found.log_evidence == pytest.approx(log(2 * pi), abs=4 * found.error)
    assert 0 < found.error < 0.2
    tokens: Any = found.point.x
    shares = torch.stack([(tokens["tokens"] == token).all(1) for token in TOKENS], 1).double().mean(0)
    assert_close(shares, WORLD.weights, 4 * (0.25 / found.size) ** 0.5)


def test_default_moves() -> None:
    assert isinstance(moves_for(Density.of_energy(cost, LETTERS)), DiscreteLangevin)
    assert isinstance(moves_for(Density.of_energy(numbered_cost, LETTERS, numbered=True)), Substitutions)
    assert isinstance(moves_for(Density.of_energy(cost, Euclidean((2,)))), InTurn)
    assert isinstance(moves_for(Density.of_energy(cost, Euclidean((2,))), HMC()), HMC)
    both: Any = moves_for(Density.of_energy(world_energy, WORLD.space))
    assert [type(move) for move in both.moves.values()] == [InTurn, DiscreteLangevin]
    scaled = both.in_units_of({"x": torch.tensor([[-3.0], [3.0]]), "tokens": TOKENS})
    assert scaled.tuned_step == pytest.approx(0.5 * 18**0.5)
    with pytest.raises(InputError, match="no part of the product is moved"):
        Alternating(moves={})


def test_evaluations_are_counted_as_they_are_made() -> None:
    for density in (
        Density.of_energy(cost, LETTERS),
        Density.of_energy(numbered_cost, LETTERS, numbered=True),
        Density.of_energy(world_energy, WORLD.space),
    ):
        move, x = moves_for(density), wide(density.space).sample(Keys.of(0, 30))
        point = density.at(x, move.needs_gradients)
        before = density.tally.evaluations
        move.move(point, density, Keys.of(1, 30))
        assert density.tally.evaluations - before == 30 * move.evaluations(density)


# Densities ----------------------------------------------------------------------------------------------


def test_products_have_gradients_by_all_their_codes() -> None:
    space: Any = WORLD.space
    weights = double([[1.0, -1.0], [0.5, 2.0]])
    density = Density.of_energy(lambda code: code["x"].square().sum(1) + (code["tokens"] * weights).sum((1, 2)), space)
    x = {"x": double([[1.0, 2.0], [0.0, 3.0]]), "tokens": torch.tensor([[0, 1], [1, 1]])}
    point = density.at(x)
    assert_close(point.values, double([[-8.0, -10.0]]))
    gradient: Any = density.gradient(point)
    assert_close(gradient["x"], -2 * x["x"])
    assert_close(gradient["tokens"], -weights.expand(2, 2, 2))
    both: Any = MCMCState.joined([point[torch.tensor([1])], point])
    assert_close(both.values, double([[-10.0, -8.0, -10.0]]))
    assert_close(both.gradients["x"][0], -2 * x["x"][[1, 0, 1]])
    kept: Any = point.where(torch.tensor([True, False]), point[torch.tensor([1, 0])])
    assert kept.x["tokens"].tolist() == [[0, 1], [0, 1]]
    assert density.features(x).shape == (2, 2 + 16)
    assert_close(density.features(x)[:, :2], x["x"])
    assert (density.features(x)[0, 2:] != density.features(x)[1, 2:]).all()
    assert density.state(density.code(x))["tokens"].equal(x["tokens"])


def test_wrong_energies_of_letters_are_refused() -> None:
    x = torch.zeros(3, 2, dtype=torch.int64)
    with pytest.raises(InputError, match=r"the energy of \(3, 2, 3\) must be of shape \(3,\), found \(3, 2\)"):
        Density.of_energy(lambda code: code.sum(2), LETTERS).at(x)
    with pytest.raises(InputError, match=r"the energy of \(3, 2\) must be of shape \(3,\), found float"):
        Density.of_energy(lambda x: 1.0, LETTERS, numbered=True).at(x)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="raised IndexError"):
        Density.of_energy(lambda x: COSTS[x[:, 0] + 7, 0], LETTERS, numbered=True).at(x)


# What annealing starts from -----------------------------------------------------------------------------


def assert_law(law: Transition, every: Tensor) -> None:
    """Its probabilities sum to 1, and its draws are as frequent as it says."""
    probs = law.log_prob(every).exp()
    assert probs.sum().item() == pytest.approx(1.0)
    drawn = law.sample(Keys.of(0, 4000))
    statistic, p = chi_square((drawn[:, None] == every).flatten(2).all(2).sum(0), probs)
    assert p > 0.01, f"chi-square {statistic:.1f}, p = {p:.2g}"


def test_bases_of_letters_are_normalised() -> None:
    assert_law(wide(LETTERS), PAIRS)
    points = torch.tensor([[0, 0], [0, 1], [2, 2], [2, 2], [1, 2]])
    kernels = Kernels(points, 0.4, LETTERS)
    assert_law(kernels, PAIRS)
    rejected(assert_law, Kernels(points, 0.4, Categorical.masked((2,), 4)), PAIRS)
    short = LETTERS.with_mask(torch.tensor([[True, False]]))
    one = torch.tensor([[0, 0], [1, 0], [2, 0]])
    assert_law(wide(short), one)
    assert_law(Kernels(points * torch.tensor([1, 0]), 0.4, short), one)


def test_kernels_reach_the_neighbours() -> None:
    same = Kernels.of(torch.zeros(30, 8, dtype=torch.int64), Categorical.masked((8,), 4))
    assert same.width == pytest.approx(4 / 3 / 8)  # one letter, where all points are the same
    space = Product({"x": Euclidean((2,)), "letters": LETTERS})
    keys = Keys.of(0, 40)
    points = {"x": keys.normal(2), "letters": (keys.uniform(2) * 3).long()}
    kernels = Kernels.of(points, space)
    drawn = kernels.sample(Keys.of(1, 3))
    each = [
        Kernels(points["x"][k : k + 1], kernels.width["x"], space.parts["x"]).log_prob(drawn["x"])
        + Kernels(points["letters"][k : k + 1], kernels.width["letters"], LETTERS).log_prob(drawn["letters"])
        for k in range(40)
    ]
    assert_close(kernels.log_prob(drawn), torch.stack(each).logsumexp(0) - log(40))


# Annealing ----------------------------------------------------------------------------------------------


def test_transfer_matrices_sum_over_all_sequences() -> None:
    fields, couplings = some_chain(4, 3, 1.0)
    every = torch.cartesian_prod(*[torch.arange(3)] * 4)
    code = torch.nn.functional.one_hot(every, 3).double()
    assert transfer(fields, couplings) == pytest.approx(float((-chain_energy(fields, couplings)(code)).logsumexp(0)))


def test_letters_are_annealed_to_an_energy() -> None:
    for density in (Density.of_energy(cost, LETTERS), Density.of_energy(numbered_cost, LETTERS, numbered=True)):
        found = anneal(density, wide(LETTERS), Keys.of(1, 600))
        assert found.log_evidence == pytest.approx(LOG_Z, abs=4 * found.error)
        assert found.error < 0.08


def test_sixty_letters_are_annealed_to_a_chain_of_neighbours() -> None:
    fields, couplings = some_chain(60, 4, 0.7)
    density = Density.of_energy(chain_energy(fields, couplings), Categorical.masked((60,), 4))
    found = anneal(density, wide(density.space), Keys.of(1, 200))
    assert found.error < 0.3
    assert found.log_evidence == pytest.approx(transfer(fields, couplings), abs=4 * found.error)
