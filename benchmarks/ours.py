"""Ornstein's own solvers, in the same frame as the peers'."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from math import pi, tan

from torch import Tensor

from ornstein.beliefs import Normal
from ornstein.denoisers.base import Condition, Denoiser, Traits
from ornstein.keys import Keys
from ornstein.sampling import grids
from ornstein.sampling.kernels import Predictor
from ornstein.sampling.sampler import Sampler
from ornstein.spaces import Space
from ornstein.states import State, Time
from peers import Solver
from worlds import FAR, Denoise, World, time_of

GRIDS = ("planned", "asinh", "log-snr", "karras", "uniform")
PREDICTORS = {
    "order 1": Predictor(eta=0.0, order=1),
    "order 2": Predictor(eta=0.0, order=2),
    "order 3": Predictor(eta=0.0, order=3),
    "order 2 corrected": Predictor(eta=0.0, order=2, correct=True),
    "order 3 corrected": Predictor(eta=0.0, order=3, correct=True),
}
STOCHASTIC = {
    "ancestral": Predictor(eta=1.0, order=1),
    "ancestral order 2": Predictor(eta=1.0, order=2),
    "η=0.5": Predictor(eta=0.5, order=1),
    "η=0.5 order 2": Predictor(eta=0.5, order=2),
}
PILOTS = {2: 512, 16: 512, 64: 256}
DEFAULT = "order 3 corrected planned"
"""What a user gets: one solver, one grid, nothing chosen after the fact."""


def solvers(world: World, names: tuple[str, ...] = GRIDS) -> Iterator[Solver]:
    """Every predictor on every grid for one world."""
    for stochastic, predictors in ((False, PREDICTORS), (True, STOCHASTIC)):
        for name, predictor in predictors.items():
            for grid in names:
                run = partial(_run, world, predictor, partial(grid_of, world, grid))
                yield Solver("ornstein", f"{name} {grid}", run, stochastic=stochastic)


@cache
def grid_of(world: World, name: str, steps: int) -> tuple[float, ...]:
    """A named grid or the one planned for this denoiser, with σ/α = 80 in the place of pure noise at its start."""
    space = world.mixture.space
    times = planned(world, steps) if name == "planned" else grids.named(name, steps, space)
    start = time_of(FAR)
    return tuple(start * t for t in times) if name == "uniform" else (start, *times[1:])


def planned(world: World, steps: int) -> tuple[float, ...]:
    """The plan for the world's denoiser, from pilots of its own."""
    pilots = Keys.of(1_000_003, PILOTS[world.d])
    return grids.plan(Exact(world.mixture.space, world.denoise), steps, pilots, checkpoint=False)


def _run(
    world: World,
    predictor: Predictor,
    grid: Callable[[int], tuple[float, ...]],
    denoise: Denoise,
    x: Tensor,
    steps: int,
) -> Tensor:
    sampler = Sampler(grid(steps), (predictor,))
    start = x * (1 + FAR**2) ** -0.5
    return sampler.run(Exact(world.mixture.space, denoise), Keys.of(7, len(x)), start=start)


class Exact(Denoiser):
    """A denoiser of the package from a function of (x with α = 1, σ)."""

    def __init__(self, space: Space, denoise: Denoise) -> None:
        self.traits, self.denoise = Traits(space), denoise

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Normal:
        assert isinstance(x_t, Tensor)
        sigma = (pi / 2 * t).tan() if isinstance(t, Tensor) else tan(pi / 2 * t)
        return Normal(self.denoise(x_t * (1 + sigma**2) ** 0.5, sigma))
