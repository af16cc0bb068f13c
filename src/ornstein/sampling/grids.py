"""The times at which a sampler stops: from noise (first) down to data (0). A grid matters as much as the solver.

Named grids are laid out in σ/α (noise to signal), in units of the data's spread:

    uniform    equal intervals of t
    log-snr    equal intervals of log σ/α
    karras     (σ/α)^{1/7} equal intervals (Karras et al. 2022)
    asinh      σ/α = c sinh(·): log-uniform in the noise, linear near the data
    flow       σ/α = s u/(1 − u), equal intervals of u: few steps far from the data

Where a path says how fast the flow goes (`Space.paced`), steps are even in the clock, and the path is what is planned
(path_plans.py): a grid by σ/α would leap over the pieces on which other parts move alone.

`plan` finds the grid of one model by gradient descent on the times themselves. A few pilot samples are followed finely,
to ends x*; the loop of the solver is differentiable in its times, so with q = mean (x − x*)² / spread² of each pilot

    cost = (1 − a)/2 · mean log(q + ε²) + a/2 · log mean q/(1 + q/h²)

falls by Adam from the best of the candidates: the named grids and those on which the belief changes evenly. The first
part is of the typical error, the second of the tail, in which no pilot that ends in another mode counts more than h.
Learning the times of a sampler by descent: Watson et al. 2022, Sabour et al. 2024 (Align Your Steps).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from math import log
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..denoisers.base import Condition, Denoiser
from ..errors import InputError
from ..events import Event, Stream, part, streamed
from ..keys import Keys
from ..schedules import Schedule
from ..spaces import Euclidean, Space
from ..states import Time, batch_size, leaves
from ..values import is_number, require_positive
from .kernels import Predictor
from .sampler import Sampler

Grid = tuple[float, ...]
FAR = 80.0
"""The σ/α, in units of the data's spread, from which grids are laid out; their first time is t = 1 all the same."""
CLOSE = 0.002
"""The σ/α, in units of the data's spread, from which data are close enough to be taken for the mean of the belief."""
SOLVER = Predictor(eta=0.0, order=3, correct=True)
KNEE = 0.05
"""The c of asinh(σ/(α c)) in which steps are measured."""
TAIL, CAP, FLOOR = 0.75, 0.3, 1e-5
"""a, h and ε of the cost that `plan` lowers."""


def uniform(steps: int, start: float = 1.0) -> Grid:
    """`steps` equal intervals of t from `start` down to 0."""
    _require_steps(steps)
    return tuple(start * (1 - k / steps) for k in range(steps + 1))


def log_snr(steps: int, space: Space, least: float = 0.02) -> Grid:
    """Equal intervals of log σ/α down to `least`, and one step from there to the data.

    Args:
        steps: intervals of the time grid.
        space: the kind of data and its noise.
    """
    _require_steps(steps)
    require_positive("least", least)
    return _times(space, np.geomspace(_far(space), least, steps)) if steps > 1 else uniform(1)


def karras(steps: int, space: Space, least: float = 0.02, rho: float = 7.0) -> Grid:
    """Equal intervals of (σ/α)^{1/ρ} down to `least`, and one step from there to the data.

    Args:
        steps: intervals of the time grid.
        space: the kind of data and its noise.
        rho: exponent of the grid; 7 in the paper.
    """
    _require_steps(steps)
    require_positive("least", least)
    require_positive("rho", rho)
    return (
        _times(space, np.linspace(_far(space) ** (1 / rho), least ** (1 / rho), steps) ** rho)
        if steps > 1
        else uniform(1)
    )


def asinh(steps: int, space: Space, knee: float = KNEE) -> Grid:
    """Equal intervals of asinh(σ/(α c)), c = `knee`: down to the data without a smallest noise level.

    Args:
        steps: intervals of the time grid.
        space: the kind of data and its noise.
    """
    _require_steps(steps)
    require_positive("knee", knee)
    return _times(space, knee * np.sinh(np.linspace(np.arcsinh(_far(space) / knee), 0, steps + 1)[:-1]))


def flow(steps: int, space: Space, shift: float = 0.5) -> Grid:
    """Equal intervals of u with σ/α = shift · u/(1 − u), as in rectified flow: few steps far from the data.

    Args:
        space: the kind of data and its noise.
    """
    _require_steps(steps)
    require_positive("shift", shift)
    far = _far(space)
    u = np.linspace(far / (far + shift), 0, steps + 1)[:-1]
    return _times(space, shift * u / (1 - u))


NAMED: Mapping[str, Callable[[int, Space], Grid]] = {
    "uniform": lambda steps, space: uniform(steps),
    "log-snr": log_snr,
    "karras": karras,
    "asinh": asinh,
    "flow": flow,
}


def named(name: str, steps: int, space: Space) -> Grid:
    """The grid of that name for a space; uniform where the space has no flow, or a path says how fast it goes.

    Args:
        steps: intervals of the time grid.
    """
    if name not in NAMED:
        raise InputError(f"no grid {name!r}; there are {', '.join(NAMED)}")
    return NAMED[name if _by_noise(space) else "uniform"](steps, space)


def restarted(grid: Sequence[Time], level: float, times: int) -> tuple[Time, ...]:
    """A grid that rises to `level` at its end and falls again on its own last times, so often; see sampler.py.

    InputError unless its times are numbers, and the level is below the first.

    Args:
        grid: falling times.
        level: the time up to which noise is added.
        times: how often.
    """
    numbers = [time for time in grid if not isinstance(time, Tensor)]
    if len(numbers) < len(grid) or not numbers[-1] < level <= numbers[0]:
        raise InputError(f"restarts at {level}, expected a time on a grid of numbers that falls from {grid[0]}")
    return (*numbers, *(level, *(time for time in numbers if time < level)) * times)


@streamed
def plan(
    denoiser: Denoiser,
    steps: int,
    keys: Keys | None = None,
    condition: Condition | None = None,
    solver: Predictor = SOLVER,
    fine: int = 160,
    rounds: int = 60,
    checkpoint: bool = True,
) -> Stream[Grid]:
    """The best grid of `steps` steps for this denoiser and solver, from pilot samples.

    Args:
        keys: of the pilots, 512 if not given.
        condition: what each pilot is given.
        fine: steps of the reference paths.
        rounds: of gradient descent; each costs about three runs of the sampler, four with `checkpoint`.
        checkpoint: keep the memory of one step for the gradient, not of all.
    """
    space = denoiser.space
    if not _by_noise(space) or steps < 2:
        return uniform(steps)
    keys = keys or Keys.of(1_000_003, 512, denoiser.device)
    paths = _Pilots(denoiser, keys, condition, solver, fine, checkpoint)
    tried = _candidates(space, steps) + paths.candidates(steps)
    costs = []
    for k, grid in enumerate(tried):
        with torch.no_grad():
            costs.append(paths.cost(grid))
        yield Event(k + 1, len(tried) + rounds, "planning the grid")
    best = tried[min(range(len(tried)), key=costs.__getitem__)]
    descent = _descended(best, paths.cost, space, rounds)
    return (yield from part(descent, len(tried), rounds, len(tried) + rounds))


def fit(denoiser: Denoiser, steps: int) -> Grid:
    """The grid to use by default: the denoiser's plan, or a named one if it has none.

    Args:
        denoiser: the model, (x_t, t, condition) → belief.
        steps: of the grid.
    """
    space = denoiser.space
    if denoiser.grids and _by_noise(space):
        return nearest(denoiser.grids, steps, space)
    return named("asinh", steps, space)


def _by_noise(space: Space) -> bool:
    """Whether grids are laid by noise levels."""
    return space.schedule_and_std is not None and not space.paced


def _require_steps(steps: int) -> None:
    if not is_number(steps) or steps != int(steps) or steps < 1:
        raise InputError(f"a sampler needs at least one step, not {steps!r}")


def _candidates(space: Space, steps: int) -> list[Grid]:
    """Named grids to start from."""
    return [
        *(asinh(steps, space, knee) for knee in (0.05, 0.1, 0.2, 0.4)),
        *(log_snr(steps, space, least) for least in (0.02, 0.04)),
        *(flow(steps, space, shift) for shift in (0.25, 0.5, 1.0, 2.0)),
        uniform(steps),
    ]


class _Pilots:
    """Reference paths of a few samples, and how far from their ends a coarse grid comes out."""

    def __init__(
        self,
        denoiser: Denoiser,
        keys: Keys,
        condition: Condition | None,
        solver: Predictor,
        fine: int,
        checkpoint: bool,
    ) -> None:
        self.denoiser, self.keys, self.condition, self.solver = denoiser, keys, condition, solver
        self.checkpoint, self.grid = checkpoint, asinh(fine, denoiser.space)
        with torch.no_grad():
            self.start = denoiser.space.prior(keys.fold("pilot"))
            walks = list(Sampler(self.grid, (solver,)).steps(denoiser, keys, condition, self.start))
        self.end = _whitened(denoiser.space, walks[-1].x)
        beliefs = [_continuous(walk.belief.mean) for walk in walks]
        self.change = [(after - before).square().mean().sqrt().item() for before, after in pairwise(beliefs)]

    def cost(self, grid: Sequence[Time]) -> Tensor:
        """What is written above."""
        sampler = Sampler(grid, (self.solver,), self.checkpoint)
        end = _whitened(self.denoiser.space, sampler.run(self.denoiser, self.keys, self.condition, self.start))
        assert self.denoiser.space.schedule_and_std is not None
        q = ((end - self.end) / self.denoiser.space.schedule_and_std[1]).square().mean(1)
        tail = (q / (1 + q / CAP**2)).mean()
        return (1 - TAIL) / 2 * (q + FLOOR**2).log().mean() + TAIL / 2 * (tail + FLOOR**2).log()

    def candidates(self, steps: int) -> list[Grid]:
        """Grids on which |change of the belief|^power is the same in every step."""
        return [self._even(steps, power) for power in (0.25, 0.4)]

    def _even(self, steps: int, power: float) -> Grid:
        density = np.array(self.change) ** power
        density = np.concatenate([[0.0], np.cumsum(density + 0.05 * density.max())])
        places = np.interp(np.linspace(0, density[-1], steps + 1), density, np.arange(len(density)))
        times = np.interp(places, np.arange(len(self.grid)), self.grid)
        return (1.0, *times[1:-1].tolist(), 0.0)


def _descended(grid: Grid, cost: Callable[[Sequence[Time]], Tensor], space: Space, rounds: int) -> Stream[Grid]:
    """The grid of the lowest cost on Adam's way down in the logarithms of the steps of asinh(σ/α)."""
    heights = np.arcsinh(_ratios(space, grid) / KNEE)
    logits = torch.from_numpy(-np.diff(heights)).log().requires_grad_()
    adam = torch.optim.Adam([logits], lr=0.12, betas=(0.8, 0.95))
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(adam, rounds, eta_min=0.006)
    best, lowest = grid, float("inf")
    for k in range(rounds):
        with torch.enable_grad():
            trial = _laid(space, logits.softmax(0) * heights[0])
            found = cost(trial)
            if not found.requires_grad or not found.isfinite():
                break  # a denoiser without gradients keeps the best candidate
            if found < lowest:
                best, lowest = tuple(torch.as_tensor(time).item() for time in trial), found.item()
            adam.zero_grad()
            found.backward()
        adam.step()
        rate.step()
        yield Event(k + 1, rounds, "planning the grid")
    return best


def _laid(space: Space, steps: Tensor) -> list[Time]:
    """The times with the given steps of asinh(σ/α), differentiable: dt = dλ / λ'(t)."""
    assert space.schedule_and_std is not None
    schedule, spread = space.schedule_and_std
    ratios = KNEE * (steps.sum() - steps[:-1].cumsum(0)).sinh()
    target = -2 * (ratios * spread).log()
    times = schedule.time(target.detach()).requires_grad_()
    (slope,) = torch.autograd.grad(schedule.log_snr(times).sum(), times)
    return [1.0, *(times.detach() + (target - target.detach()) / slope), 0.0]


def _far(space: Space) -> float:
    """FAR, or the σ/α of pure noise where a schedule ends sooner."""
    assert space.schedule_and_std is not None
    schedule, spread = space.schedule_and_std
    return min(FAR, _last_ratio(schedule) / spread)


@lru_cache(maxsize=1024)
def _last_ratio(schedule: Schedule) -> float:
    """The σ/α of pure noise."""
    return (-schedule.log_snr(1.0) / 2).exp().item()


def _ratios(space: Space, grid: Sequence[float]) -> np.ndarray:
    """σ/α at each time, in units of the data's spread, at most FAR."""
    assert space.schedule_and_std is not None
    schedule, spread = space.schedule_and_std
    times = torch.tensor(grid, dtype=torch.float64)
    return ((-schedule.log_snr(times) / 2).exp() / spread).clamp(max=FAR).numpy()


def _times(space: Space, ratios: Sequence[float] | np.ndarray) -> Grid:
    """t = 1 in the place of the first, the times at which σ/α has the other values, in units of the spread; then 0."""
    assert space.schedule_and_std is not None
    schedule, spread = space.schedule_and_std
    return _laid_once(schedule, spread, tuple(map(float, ratios)))


@lru_cache(maxsize=1024)
def _laid_once(schedule: Schedule, spread: float, ratios: tuple[float, ...]) -> Grid:
    """The times of those ratios, for which bisection would else take longer than a small network's samples."""
    levels = torch.tensor(ratios, dtype=torch.float64) * spread
    return (1.0, *schedule.time(-2 * levels[1:].log()).tolist(), 0.0)


def _whitened(space: Any, state: Any) -> Tensor:
    """The continuous part of a state in units of the noise at σ = 1, in which the data's spread is said."""
    parts = [_whitened(part, state[name]) for name, part in getattr(space, "parts", {}).items()]
    if parts:
        return torch.cat(parts, 1)
    return _continuous(space.whiten(state) if isinstance(space, Euclidean) else state)


def _continuous(state: Any) -> Tensor:
    """The continuous part of a state, (batch, numbers)."""
    real = [leaf.flatten(1).double() for leaf in leaves(state) if leaf.is_floating_point()]
    return torch.cat(real, 1) if real else leaves(state)[0].new_zeros(batch_size(state), 0, dtype=torch.float64)


def resampled(grid: Sequence[float], steps: int, space: Space) -> Grid:
    """A grid with the density of another and another number of steps.

    Args:
        space: the kind of data and its noise.
    """
    z = np.log(_ratios(space, grid[:-1]))
    places = np.linspace(0, len(z) - 1, steps)
    return _times(space, np.exp(np.interp(places, np.arange(len(z)), z)))


def nearest(grids: Mapping[int, Sequence[float]], steps: int, space: Space) -> Grid:
    """The planned grid of that many steps, or the one of the nearest number resampled.

    Args:
        grids: time grids by number of steps.
        space: the kind of data and its noise.
    """
    if steps in grids:
        return tuple(grids[steps])
    return resampled(grids[min(grids, key=lambda n: abs(log(n / steps)))], steps, space)
