"""Grids fall from noise to data, and the planned one is the best or close to it, on worlds it was not chosen for."""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from ornstein.beliefs import Normal
from ornstein.denoisers.base import Denoiser
from ornstein.denoisers.fields import gaussian_field
from ornstein.denoisers.oracles import Mixture
from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.sampling import grids
from ornstein.sampling.grids import FAR, Grid
from ornstein.sampling.sampler import Sampler
from ornstein.schedules import EDM, Cosine, RectifiedFlow, Schedule
from ornstein.spaces import Euclidean
from ornstein.spectral.roots import power_law
from ornstein.spectral.transforms import periodic
from ornstein.states import Time
from worlds import anisotropic, assert_close, coupled, double, rejected, sequences

SCHEDULES = [Cosine(), RectifiedFlow(), EDM()]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
@pytest.mark.parametrize("name", grids.NAMED)
@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_grids_fall_from_noise_to_data(name: str, steps: int, schedule: Schedule) -> None:
    grid = grids.named(name, steps, Euclidean((2,), schedule, 0.5))
    assert len(grid) == steps + 1
    assert (grid[0], grid[-1]) == (1.0, 0.0)
    assert all(t > s for t, s in pairwise(grid))


@pytest.mark.parametrize("name", grids.NAMED)
def test_grids_do_not_depend_on_units(name: str) -> None:
    """Data ten times as large under noise ten times as large: the same times."""
    small, large = (grids.named(name, 9, Euclidean((1,), EDM(0.002 * c, 80 * c), c)) for c in (1.0, 10.0))
    assert_close(double(small), double(large), 1e-9)


def test_spacings() -> None:
    space = Euclidean((1,))
    sigma = (-space.schedule.log_snr(double(grids.log_snr(20, space)[1:-1])) / 2).exp()
    assert_close(sigma.log().diff(), torch.log(double(0.02 / FAR)).expand(18) / 19, 1e-6)
    sigma = (-space.schedule.log_snr(double(grids.asinh(20, space)[1:-1])) / 2).exp()
    assert_close(torch.asinh(sigma / 0.05).diff(), -torch.asinh(double(FAR / 0.05)).expand(18) / 20, 1e-6)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one step, not 0"):
        grids.uniform(0)
    with pytest.raises(ValueError, match="no grid 'best'; there are uniform, log-snr, karras, asinh, flow"):
        grids.named("best", 5, Euclidean((1,)))
    for name in grids.NAMED:
        for steps in (0, -3):
            with pytest.raises(InputError, match=f"at least one step, not {steps}"):
                grids.named(name, steps, Euclidean((1,)))
    for wrong, name in (
        (lambda: grids.log_snr(5, Euclidean((1,)), least=0.0), "least is 0.0"),
        (lambda: grids.karras(5, Euclidean((1,)), rho=0.0), "rho is 0.0"),
        (lambda: grids.asinh(5, Euclidean((1,)), knee=-1.0), "knee is -1.0"),
        (lambda: grids.flow(5, Euclidean((1,)), shift=0.0), "shift is 0.0"),
    ):
        with pytest.raises(InputError, match=name):
            wrong()


def test_spaces_without_a_flow_are_walked_uniformly() -> None:
    world = sequences("masked")
    assert grids.plan(world, 7) == grids.fit(world, 7) == grids.uniform(7)
    assert grids.fit(coupled(), 7) == grids.asinh(7, coupled().space)


def error(world: Mixture, grid: Grid, start: Tensor, exact: Tensor) -> float:
    end = Sampler(grid, (grids.SOLVER,)).run(world, Keys.of(0, len(start)), start=start)
    errors = (end - exact).square().mean(1).sqrt()
    return (errors.square().mean().sqrt() * errors.median() ** 0.3).item()  # the measure it plans by


@cache
def seen_by_nobody() -> tuple[Mixture, Tensor, Tensor]:
    """A world, starts that no plan has seen, and where they end."""
    world, start = anisotropic(), Keys.of(5, 256).normal(2)
    exact = Sampler(grids.asinh(600, world.space), (grids.SOLVER,)).run(world, Keys.of(0, 256), start=start)
    return world, start, exact


def assert_plan_beats_named_grids(steps: int, rounds: int) -> None:
    world, start, exact = seen_by_nobody()
    named = [error(world, grids.named(name, steps, world.space), start, exact) for name in grids.NAMED]
    with torch.no_grad():  # as callers may have it
        plan = grids.plan(world, steps, Keys.of(9, 128), rounds=rounds, checkpoint=False)
    assert error(world, plan, start, exact) < 0.6 * min(named)


@pytest.mark.parametrize("steps", [10, 20])
def test_the_plan_beats_every_named_grid(steps: int) -> None:
    """On starts that the plan has not seen."""
    assert_plan_beats_named_grids(steps, rounds=40)


@pytest.mark.parametrize("steps", [10, 20])
def test_a_plan_without_descent_does_not(steps: int) -> None:
    rejected(assert_plan_beats_named_grids, steps, rounds=0)


def test_times_follow_their_steps() -> None:
    """The grid laid out again from its steps is the same, and its derivative is right."""
    space, grid = Euclidean((2,), data_std=0.5), grids.asinh(8, Euclidean((2,), data_std=0.5))
    steps = torch.asinh(double([FAR / 0.05])).expand(8) / 8
    assert_close(double(grids._laid(space, steps)), double(grid), 1e-9)

    def laid(steps: Tensor) -> Tensor:
        return torch.stack(grids._laid(space, steps)[1:-1])  # pyright: ignore[reportArgumentType]

    assert torch.autograd.gradcheck(laid, (steps.clone().requires_grad_(),))


def test_a_denoiser_without_gradients_keeps_the_best_candidate() -> None:
    world = anisotropic()

    class Detached(Denoiser):
        traits = world.traits

        def __call__(self, x_t: Any, t: Any, condition: Any = None) -> Normal:
            return Normal(world(x_t, torch.as_tensor(t).item()).mean.detach())

    keys = Keys.of(0, 16)
    plan = grids.plan(Detached(), 6, keys, rounds=3)
    assert plan == pytest.approx(grids.plan(world, 6, keys, rounds=0))


def test_products_with_categories_are_planned() -> None:
    grid = grids.plan(coupled(), 6, Keys.of(0, 32), rounds=3)
    assert len(grid) == 7
    assert all(t > s for t, s in pairwise(grid))


def test_plans_are_found_again_by_number_of_steps() -> None:
    space = Euclidean((2,))
    saved = {10: grids.asinh(10, space), 40: grids.asinh(40, space)}
    assert grids.nearest(saved, 10, space) == saved[10]
    near = grids.nearest(saved, 12, space)
    assert len(near) == 13
    assert (near[0], near[-1]) == (1.0, 0.0)
    assert_close(double(grids.resampled(saved[40], 40, space)), double(saved[40]), 1e-6)


# Cost ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Watched(Cosine):
    """A schedule that counts how often times are searched for."""

    asked: ClassVar[list[int]] = []

    def time(self, log_snr: Time) -> Tensor:
        self.asked.append(1)
        return super().time(log_snr)


@pytest.mark.parametrize("name", ["log-snr", "karras", "asinh", "flow"])
def test_a_grid_is_laid_once(name: str) -> None:
    """The search by bisection once took seven times as long as the steps of a sample beside the network."""
    Watched.asked.clear()
    space = Euclidean((2,), Watched(), 0.8125)
    first, second = (grids.named(name, 17, space) for _ in range(2))
    assert first == second == grids.named(name, 17, Euclidean((2,), Cosine(), 0.8125))
    assert len(Watched.asked) == 1
    assert grids.named(name, 18, space) != first
    assert grids.named(name, 17, Euclidean((2,), Watched(), 0.75)) != first


def test_a_plan_does_not_depend_on_the_unit_of_coloured_noise() -> None:
    """A field and its noise in a unit a hundred times as large have the same plan."""
    cov, noise = power_law((3, 4), 3.0, periodic()), power_law((3, 4), 1.0, periodic())
    one, other = (gaussian_field(cov * u, noise_cov=noise * u) for u in (1.0, 1e-4))
    keys = Keys.of(0, 32)
    plans = [grids.plan(field, 4, keys, fine=20, rounds=4) for field in (one, other)]
    assert_close(double(plans[0]), double(plans[1]), 1e-3)
