"""The learned solver: multiples, borders and units are exact whatever the network has learned.

A perfect network, one that believes in A⁻¹ρ, gives the solution of the direct solver to rounding.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ornstein as on
from ornstein import InputError
from ornstein.beliefs import Belief
from ornstein.config import TrainConfig
from ornstein.denoisers.base import Condition, Denoiser, Traits
from ornstein.domains.poisson.equations import Boundary, Elliptic, Equation, Grid, Side
from ornstein.domains.poisson.learned import pairs, surrogate
from ornstein.domains.poisson.task import Poisson, PoissonConfig
from ornstein.files import require
from ornstein.networks.unet import UNetConfig
from ornstein.states import State, Time
from ornstein.tasks import runs
from worlds import rejected

GRID, NAMES = (16, 16), ("left", "right", "bottom", "top")
CONFIG = PoissonConfig(
    learns="solutions", data="mixed", shape=GRID, coloured=True, network=UNetConfig(4, (1, 2, 2), 1, ())
)

ZERO = Boundary.of("dirichlet", 2)
HOT = Boundary.of({name: Side("dirichlet", value) for name, value in zip(NAMES, (1.0, 0.0, 0.0, 0.0), strict=True)}, 2)
"""One side is 1 and the others are 0, so that they do not meet in two corners."""


@pytest.fixture(scope="module")
def metadata() -> dict[str, Any]:
    """As they come back from a file."""
    return json.loads(json.dumps(dict(surrogate.data(CONFIG)[0].metadata)))


def fresh(metadata: dict[str, Any]) -> Any:
    """A model whose network says something: at first its last layer is 0."""
    model: Any = Poisson().denoiser(CONFIG, metadata)
    torch.manual_seed(1)
    torch.nn.init.normal_(model.network.last.weight, std=0.1)
    return model


def sides(size: int = 16) -> Boundary:
    along = torch.linspace(0, 1, size).double()
    values = {"left": along.sin(), "right": 2.0, "bottom": 1 - along, "top": -0.5}
    return Boundary.of({name: Side("dirichlet", value) for name, value in values.items()}, 2)


def plate(boundary: Boundary | None = None, length: float = 2.0, a: float = 3.0) -> Elliptic:
    return Elliptic(Grid(GRID, boundary or sides(), (length, length), (1.0, -1.0)), a)


def sources(n: int = 3, scale: float = 5.0) -> Tensor:
    return scale * pairs.drawn("mixed", torch.arange(n), "validation", GRID).double()


# Pairs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mixed", "gaussian", "discs"])
def test_pairs_are_normalised_solutions_and_functions_of_their_number(name: str) -> None:
    train, held_out = pairs.made(name, GRID, 1000)
    x, known = train.batch(torch.arange(6))
    exact = pairs.equation(GRID).solution(known["source"].double())
    assert torch.allclose(x * train.metadata["std"], exact.float(), rtol=1e-4, atol=1e-7)
    assert torch.allclose(known["source"].square().mean((1, 2, 3)), torch.ones(6), rtol=1e-5)
    again = train.batch(torch.tensor([4, 0]))
    assert torch.equal(again[0], x[[4, 0]])
    assert torch.equal(again[1]["source"], known["source"][[4, 0]])
    assert not torch.isclose(held_out.batch(torch.arange(6))[0], x).all((1, 2, 3)).any()
    many = held_out.batch(torch.arange(300))[0]
    assert abs(float(many.square().mean().sqrt()) - 1) < 0.2


def test_a_decay_is_found_again() -> None:
    basis = on.transforms.Separable(("sine", "sine"))
    least = float(basis.frequencies((1, 16, 16)).min())
    power = on.roots.power_law((1, 16, 16), 5.5, basis, least).variance[0]
    found = pairs.decay(7 * power, basis)
    assert found == pytest.approx({"exponent": 5.5, "outer": least})


def test_solutions_are_about_as_wide_as_the_space_says(metadata: dict[str, Any]) -> None:
    space: Any = Poisson().space(CONFIG, metadata)

    def assert_as_wide(x: Any) -> None:
        power = space.data_std.basis.forward(space.data_std.whiten(x)).square().mean(0)[0]
        assert 0.05 < float(power.min()) < float(power.max()) < 20

    solutions, known = surrogate.data(CONFIG)[1].batch(torch.arange(300))
    assert_as_wide(solutions)
    rejected(assert_as_wide, known["source"])
    require(metadata, Poisson.facts, "facts")


# What is exact ----------------------------------------------------------------------------------------


def test_multiples_of_a_source_are_exact(metadata: dict[str, Any]) -> None:
    model, equation = fresh(metadata), plate(ZERO)
    found = [
        on.sample(model, 3, steps=2, condition=surrogate.conditions_of(equation, k * sources(), metadata)).x
        for k in (1, 1024)
    ]
    assert found[0].abs().max() > 0
    assert torch.equal(1024 * found[0], found[1])


def test_without_a_source_and_borders_the_solution_is_zero(metadata: dict[str, Any]) -> None:
    given = surrogate.conditions_of(plate(ZERO), torch.zeros(GRID), metadata)
    assert on.sample(fresh(metadata), 1, steps=1, condition=given).x.abs().max() < 1e-25


def test_borders_are_exact(metadata: dict[str, Any]) -> None:
    equation = plate()
    drawn = on.sample(fresh(metadata), 3, steps=2, condition=surrogate.conditions_of(equation, sources(), metadata)).x
    whole, rim = equation.grid.whole(drawn), equation.grid.rim
    for row in (whole[..., 0, 1:-1] - rim[0, 1:-1], whole[..., 1:-1, -1] - 2.0, whole[..., -1, 1:-1] + 0.5):
        assert row.abs().max() < 1e-7


@dataclass(frozen=True)
class Perfect(Denoiser):
    """Believes in the solution of the source that it is given, whatever the noisy state says."""

    traits: Traits
    std: float

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        assert condition is not None
        return self.space.point_mass((pairs.equation(GRID).solution(condition["source"].double()) / self.std).float())


def assert_solves(metadata: dict[str, Any], equation: Elliptic, given: dict[str, Tensor], source: Tensor) -> None:
    model = Perfect(Traits(Poisson().space(CONFIG, metadata), map=Poisson().map(CONFIG, metadata)), metadata["std"])
    found, exact = on.sample(model, len(source), steps=3, condition=given).x, equation.solution(source)
    off = (found - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)
    assert off.max() < 1e-6
    assert on.sample(model, len(source), steps=3, seed=1, condition=given).x.sub(found).abs().max() < 1e-6


@pytest.mark.parametrize("boundary", [ZERO, sides(), HOT])
def test_a_perfect_network_gives_the_direct_solution(metadata: dict[str, Any], boundary: Boundary) -> None:
    equation, source = plate(boundary), sources()
    given = surrogate.conditions_of(equation, source, metadata)
    assert_solves(metadata, equation, given, source)
    rejected(assert_solves, metadata, equation, {**given, "lift": given["lift"] + 0.01}, source)
    rejected(assert_solves, metadata, equation, {**given, "scale": given["scale"] * 1.01}, source)
    rejected(assert_solves, metadata, plate(boundary, length=1.9), given, source)


def test_a_lift_of_linear_sides_is_the_solution() -> None:
    at = (torch.arange(16).double() + 1) / 17
    values = {"left": at, "right": 2 + at, "bottom": 2 * at, "top": 1 + 2 * at}
    grid = Grid(GRID, Boundary.of({name: Side("dirichlet", value) for name, value in values.items()}, 2))
    assert torch.allclose(surrogate.lifted(grid), at[:, None] + 2 * at, atol=1e-12)
    bounded = surrogate.lifted(Grid(GRID, HOT))
    assert -0.3 < float(bounded.min()) < float(bounded.max()) < 1.0


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        (Elliptic(Grid(GRID, ZERO), c=-2.0), "found c = -2: leave it to a direct solve"),
        (Elliptic(Grid(GRID, ZERO), 1 + torch.rand(GRID)), "found an a that varies"),
        (Elliptic(Grid((16, 12), ZERO)), r"of shape \(16, 16\), found \(16, 12\)"),
        (Elliptic(Grid(GRID, Boundary.of("periodic", 2))), "found periodic"),
        (Elliptic(Grid(GRID, ZERO, (1.0, 2.0))), r"lengths \(1.0, 2.0\)"),
    ],
)
def test_what_it_has_not_learnt_is_refused(metadata: dict[str, Any], equation: Equation, message: str) -> None:
    with pytest.raises(InputError, match=message):
        surrogate.conditions_of(equation, torch.ones(equation.grid.shape), metadata)


def test_a_source_is_needed(metadata: dict[str, Any]) -> None:
    given = surrogate.conditions_of(plate(), sources(1), metadata)
    with pytest.raises(InputError, match="'source'"):
        on.sample(fresh(metadata), 1, steps=1, condition={name: given[name] for name in ("lift", "scale")})


# Files and training -----------------------------------------------------------------------------------


def stored(path: Path, **changed: Any) -> str:
    source = pairs.drawn("mixed", torch.arange(40), "validation", GRID)[:, 0].double()
    both = {"source": source, "solution": pairs.equation(GRID).solution(source)}
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in {**both, **changed}.items()}
    np.savez(path, **arrays)
    return str(path)


def test_pairs_of_files_are_learned_from(tmp_path: Path) -> None:
    train, held_out = surrogate.data(PoissonConfig(learns="solutions", data=stored(tmp_path / "pairs.npz")))
    found: Any = train.batch(torch.tensor([5, 1]))
    x, known = found
    exact = pairs.equation(GRID).solution(known["source"].double())
    assert torch.allclose(x * train.metadata["std"], exact.float(), rtol=1e-3, atol=1e-6)
    assert (len(train), len(held_out)) == (36, 4)
    require(dict(train.metadata), Poisson.facts, "facts")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"solution": np.ones((40, *GRID))}, "record 0: solution is .* % off"),
        ({"source": np.zeros((40, *GRID))}, "is 0 everywhere, expected a source"),
        ({"source": np.full((40, *GRID), np.nan)}, "nan"),
        ({"source": np.ones((40, 16, 12))}, "source"),
    ],
)
def test_other_pairs_are_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        surrogate.data(PoissonConfig(learns="solutions", data=stored(tmp_path / "pairs.npz", **changed)))


def test_mixed_sources_are_of_solutions_alone() -> None:
    with pytest.raises(InputError, match="data is 'mixed', which is for learns = solutions"):
        PoissonConfig(data="mixed")


def error(model: Any, metadata: dict[str, Any]) -> float:
    source = sources(24)
    given = surrogate.conditions_of(plate(ZERO), source, metadata)
    found, exact = on.sample(model, 24, condition=given, **surrogate.DEFAULTS).x, plate(ZERO).solution(source)
    return float(((found - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)).mean())


@pytest.mark.slow
def test_a_training_heads_for_the_solution_and_the_spread_falls_with_the_error(tmp_path: Path) -> None:
    """Of sources of all kinds; the twin has hardly begun."""
    train = TrainConfig(
        steps=200, batch_size=4, learning_rate=3e-3, warmup=50, ema=0.98, condition_dropout=0.0, plan=(), log_every=100
    )
    config = replace(CONFIG, network=UNetConfig(8, (1, 2, 2), 2, ()), train=train)

    def assert_learned(config: PoissonConfig, folder: str) -> None:
        model: Any = on.load(runs.train("poisson", "tiny", config, tmp_path / folder))
        assert error(model, model.origin.metadata) < 0.2
        one = sources(1).expand(16, -1, -1, -1)
        given = surrogate.conditions_of(plate(ZERO), one, model.origin.metadata)
        found = on.sample(model, 16, condition=given, **surrogate.DEFAULTS).x
        assert found.std(0).norm() / found.mean(0).norm() < 0.2

    assert_learned(config, "right")
    rejected(assert_learned, replace(config, train=replace(train, steps=10)), "short")
