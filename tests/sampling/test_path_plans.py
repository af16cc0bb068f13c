"""The planned path loses least: in what is predicted, and in samples of worlds where the order of decisions matters."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from ornstein.denoisers.base import NeuralDenoiser, Traits
from ornstein.denoisers.oracles import Mixture, joint_mixture
from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.sampling import grids
from ornstein.sampling.kernels import Predictor
from ornstein.sampling.path_plans import PlannedPath, measured, plan_path, require_plannable
from ornstein.sampling.sampler import Sampler
from ornstein.spaces import Categorical, Euclidean, Product, TimePath
from ornstein.tasks.runs import _along
from worlds import JOINT_WEIGHTS, assert_close, coupled, double, rejected, single

FIRST = TimePath({"x": (0, 1, 1), "tokens": (0, 0, 1)})
LAST = TimePath({"x": (0, 0, 1), "tokens": (0, 1, 1)})


def agreeing() -> Mixture:
    """Six letters that are all alike, as the sign of x says: apart from x none of them may be decided."""
    tokens = torch.tensor([[0] * 6, [1] * 6])
    return joint_mixture(double([[-1.0], [1.0]]), double([[[0.04]], [[0.04]]]), tokens)


@cache
def planned(steps: int) -> PlannedPath:
    world, keys = agreeing(), Keys.of(3, 150)
    return plan_path(world, steps, world.draw(keys), keys)


def torn(path: TimePath, grid: Any, n: int = 1000) -> float:
    """The share of samples whose letters are not all alike, or not as x says."""
    x = Sampler(grid, (Predictor(0.0, 2),)).run(agreeing().along(path), Keys.of(0, n))
    return 1 - (x["tokens"] == (x["x"] > 0)).all(1).double().mean().item()


def test_the_plan_loses_least_in_bound_and_in_samples() -> None:
    """Letters that x decides wait for x: a third of the samples are torn by one clock or more."""
    found, space = planned(8), agreeing().space
    assert found.bound < min(found.others.values())
    assert [len(times) for times in found.path.times.values()] == [9, 9]
    error = torn(found.path, grids.uniform(8))
    assert error < min(torn(TimePath(), grids.asinh(8, space)), torn(FIRST, grids.uniform(8))) / 2


def assert_ordered(paths: list[TimePath]) -> None:
    """Bounds order paths as their errors do."""
    found = planned(8).losses
    assert found is not None
    for of in (lambda path: found.bound(path, grids.uniform(8)), lambda path: torn(path, grids.uniform(8))):
        values = [of(path) for path in paths]
        assert values == sorted(values, reverse=True), values


def test_bounds_order_paths_as_their_errors_do() -> None:
    paths = [TimePath.power(power, "tokens") for power in (0.5, 1, 4, 16)]
    assert_ordered(paths)
    rejected(assert_ordered, paths[::-1])


@cache
def losses_of_coupled() -> Any:
    world, keys = coupled(), Keys.of(3, 600)
    return measured(world, world.draw(keys), keys)


def assert_lost_together(first: TimePath, apart: TimePath) -> None:
    """Two tokens drawn in one step instead of one by one lose their mutual information."""
    table = JOINT_WEIGHTS.reshape(2, 2)
    mutual = (table * (table / (table.sum(1, keepdim=True) * table.sum(0))).log()).sum().item()
    losses = losses_of_coupled()
    lost = losses.bound(first, grids.uniform(200)) - losses.bound(apart, grids.uniform(200))
    assert abs(lost - mutual) < 0.06, f"{lost:.3f} nats, the mutual information is {mutual:.3f}"


def tokens_first(steps: int) -> TimePath:
    """Tokens in so many steps while x is noise, then x in 100 others."""
    x = tuple(min(1.0, k / 100) for k in range(201))
    return TimePath(
        {"x": x, "tokens": (*[0.0] * 100, *(1 - (200 - k) * steps // 100 / steps for k in range(100, 201)))}
    )


def test_the_loss_of_a_coarse_path_is_what_is_known() -> None:
    assert_lost_together(tokens_first(1), tokens_first(100))
    rejected(assert_lost_together, tokens_first(1), tokens_first(2))


def test_all_paths_lose_the_same_in_small_steps() -> None:
    """What remains is the entropy of the data, which no order of decisions changes."""
    fine = [losses_of_coupled().bound(path, grids.uniform(400)) for path in (TimePath(), FIRST, LAST)]
    assert max(fine) - min(fine) < 0.12
    assert abs(losses_of_coupled().bound(LAST, grids.uniform(4)) - fine[0]) > 0.3


def test_steps_of_gaussian_data_lose_nothing_but_ancestral_ones_do() -> None:
    world = joint_mixture(double([[0.0, 0.0]]), torch.eye(2, dtype=torch.float64)[None], torch.zeros(1, 2).long())
    keys = Keys.of(0, 500)
    wide = measured(world, world.draw(keys), keys)
    plain = replace(wide, wide=False)
    few, many = ([one.bound(TimePath(), grids.asinh(n, world.space)) for one in (wide, plain)] for n in (5, 80))
    assert abs(few[0] - many[0]) < 0.1 * (few[1] - many[1]), (few, many)


def test_a_plan_depends_on_the_number_of_steps_alone_and_is_walked_evenly() -> None:
    found = planned(8)
    world = agreeing().along(found.path)
    assert world.space.paced
    assert grids.fit(world, 8) == grids.named("asinh", 8, world.space) == grids.plan(world, 8) == grids.uniform(8)
    assert not agreeing().along(TimePath.power(4, "tokens")).space.paced


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (single().space, "a path is planned for data of two parts, found a Euclidean space"),
        (Product({"a": Euclidean((1,))}), "for data of two parts, found 1 parts"),
        (Product({"a": Euclidean((1,)), "b": Categorical.uniform((2,), 3)}), "'b' is categories under other noise"),
    ],
)
def test_other_data_are_refused(space: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        require_plannable(space)


def test_places_and_times_are_inverse() -> None:
    for axis in losses_of_coupled().axes:
        for place in axis.places(7).tolist():
            assert_close(axis.place(axis.time(place)), place, 1e-6)


def test_a_path_in_a_file_is_checked(tmp_path: Path) -> None:
    model = NeuralDenoiser(torch.nn.Linear(1, 1), Traits(agreeing().space))
    space = _along(model, LAST.record(), tmp_path).space
    assert isinstance(space, Product)
    assert space.path == LAST
    for saved in ({"atoms": [0.0, 1.0]}, {"x": [0.5, 1.0]}, {"x": [0.0, 2.0]}):
        with pytest.raises(InputError, match=f"{tmp_path}: path: "):
            _along(model, saved, tmp_path)
