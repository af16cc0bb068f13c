"""The times at which a sampler stops: from noise (first) down to data (0). A grid matters as much as the solver.

Named grids are laid out in σ/α (noise to signal), in units of the data's spread:

    uniform    equal intervals of t
    log-snr    equal intervals of log σ/α
    karras     (σ/α)^{1/7} equal intervals (Karras et al. 2022)
    asinh      σ/α = c sinh(·): log-uniform in the noise, linear near the data
    flow       σ/α = s u/(1 − u), equal intervals of u: few steps far from the data

`plan` finds the grid of one model: the paths of a few pilot samples are followed finely, the change of the belief along
them gives candidate densities, and the candidate whose few steps end nearest to the fine paths' ends is then bent until
no bend helps. It costs about fifty runs of the sampler, once; the grid is saved with the model.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import log
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .denoisers import Condition, Denoiser
from .kernels import Predictor
from .keys import Keys
from .samplers import Sampler
from .spaces import Space
from .states import leaves

Grid = tuple[float, ...]
FAR = 80.0
"""The σ/α, in units of the data's spread, from which grids are laid out; their first time is t = 1 all the same."""
SOLVER = Predictor(eta=0.0, order=3, correct=True)


def uniform(steps: int, start: float = 1.0) -> Grid:
    """`steps` equal intervals of t from `start` down to 0."""
    if steps < 1:
        raise ValueError(f"a sampler needs at least one step, not {steps}")
    return tuple(start * (1 - k / steps) for k in range(steps + 1))


def log_snr(steps: int, space: Space, least: float = 0.02) -> Grid:
    """Equal intervals of log σ/α down to `least`, and one step from there to the data."""
    return _times(space, np.geomspace(_far(space), least, steps)) if steps > 1 else uniform(1)


def karras(steps: int, space: Space, least: float = 0.02, rho: float = 7.0) -> Grid:
    """Equal intervals of (σ/α)^{1/ρ} down to `least`, and one step from there to the data."""
    return (
        _times(space, np.linspace(_far(space) ** (1 / rho), least ** (1 / rho), steps) ** rho)
        if steps > 1
        else uniform(1)
    )


def asinh(steps: int, space: Space, knee: float = 0.05) -> Grid:
    """Equal intervals of asinh(σ/(α c)), c = `knee`: down to the data without a smallest noise level."""
    return _times(space, knee * np.sinh(np.linspace(np.arcsinh(_far(space) / knee), 0, steps + 1)[:-1]))


def flow(steps: int, space: Space, shift: float = 0.5) -> Grid:
    """Equal intervals of u with σ/α = shift · u/(1 − u), as in rectified flow: few steps far from the data."""
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
    """The grid of that name for a space; uniform where the space has no flow."""
    if name not in NAMED:
        raise ValueError(f"no grid {name!r}; there are {', '.join(NAMED)}")
    return NAMED[name if space.clock else "uniform"](steps, space)


def plan(
    denoiser: Denoiser,
    steps: int,
    keys: Keys | None = None,
    condition: Condition | None = None,
    solver: Predictor = SOLVER,
    fine: int = 160,
) -> Grid:
    """The best grid of `steps` steps for this denoiser and solver, from pilot samples.

    Args:
        keys: of the pilots, 1024 if not given.
        condition: what each pilot is given.
        fine: steps of the reference paths.
    """
    space = denoiser.space
    if space.clock is None or steps < 3:
        return uniform(steps)
    keys = keys or Keys.of(1_000_003, 1024, denoiser.device)
    with torch.no_grad():
        paths = _Pilots(denoiser, keys, condition, solver, fine)
        candidates = [asinh(steps, space, knee) for knee in (0.02, 0.05, 0.1, 0.2, 0.4)]
        candidates += [log_snr(steps, space, least) for least in (0.01, 0.02, 0.04, 0.08)]
        candidates += [karras(steps, space, least) for least in (0.005, 0.02)]
        candidates += [flow(steps, space, shift) for shift in (0.15, 0.25, 0.5, 1.0, 2.0)]
        candidates += [uniform(steps)]
        candidates += [paths.even(steps, power) for power in (0.25, 0.4)]
        return _bent(min(candidates, key=paths.cost), paths.cost, space)


def fit(denoiser: Denoiser, steps: int) -> Grid:
    """The grid to use by default: the denoiser's plan, or a named one if it has none."""
    space = denoiser.space
    if denoiser.grids and space.clock:
        return nearest(denoiser.grids, steps, space)
    return named("asinh", steps, space)


class _Pilots:
    """Reference paths of a few samples, and how far from their ends a coarse grid comes out."""

    def __init__(
        self, denoiser: Denoiser, keys: Keys, condition: Condition | None, solver: Predictor, fine: int
    ) -> None:
        self.denoiser, self.keys, self.condition, self.solver = denoiser, keys, condition, solver
        self.grid = asinh(fine, denoiser.space)
        self.start = denoiser.space.prior(keys.fold("pilot"))
        walks = list(Sampler(self.grid, (solver,)).steps(denoiser, keys, condition, self.start))
        self.end = _continuous(walks[-1].x)
        beliefs = [_continuous(walk.belief.mean) for walk in walks]
        self.change = [_norms(after - before).square().mean().sqrt().item() for before, after in pairwise(beliefs)]

    def cost(self, grid: Grid) -> float:
        """log of the RMS error at the end, with a little of the median's: the first hangs on a few samples."""
        end = Sampler(grid, (self.solver,)).run(self.denoiser, self.keys, self.condition, self.start)
        errors = _norms(_continuous(end) - self.end) + 1e-12
        return errors.square().mean().log().item() / 2 + 0.3 * errors.median().log().item()

    def even(self, steps: int, power: float) -> Grid:
        """A grid on which |change of the belief|^power is the same in every step."""
        density = np.array(self.change) ** power
        density = np.concatenate([[0.0], np.cumsum(density + 0.05 * density.max())])
        places = np.interp(np.linspace(0, density[-1], steps + 1), density, np.arange(len(density)))
        times = np.interp(places, np.arange(len(self.grid)), self.grid)
        return (1.0, *times[1:-1].tolist(), 0.0)


def _bent(grid: Grid, cost: Callable[[Grid], float], space: Space, rounds: int = 3) -> Grid:
    """The grid after smooth bends of asinh(σ/α), each kept if it lowers the cost; first and last time stay."""
    best, lowest = grid, cost(grid)
    for shrink in range(rounds):
        for wave in range(1, 5):
            for sign in (1.0, -1.0):
                trial = _bend(best, wave, sign * 0.35 / 2**shrink, space)
                if (found := cost(trial)) < lowest:
                    best, lowest = trial, found
                    break
    return best


def _bend(grid: Grid, wave: int, height: float, space: Space) -> Grid:
    """asinh(σ/α c) displaced by a half-wave of sines over the steps, by a share of the local step."""
    z = np.arcsinh(_ratios(space, grid) / 0.05)
    u = np.linspace(0, 1, len(z))
    warped = u + height * np.sin(np.pi * wave * u) / (np.pi * wave)
    return _times(space, 0.05 * np.sinh(np.interp(warped, u, z))[:-1])


def _far(space: Space) -> float:
    """FAR, or the σ/α of pure noise where a schedule ends sooner."""
    assert space.clock is not None
    schedule, spread = space.clock
    return min(FAR, (-schedule.log_snr(1.0) / 2).exp().item() / spread)


def _ratios(space: Space, grid: Sequence[float]) -> np.ndarray:
    """σ/α at each time, in units of the data's spread, at most FAR."""
    assert space.clock is not None
    schedule, spread = space.clock
    times = torch.tensor(grid, dtype=torch.float64)
    return ((-schedule.log_snr(times) / 2).exp() / spread).clamp(max=FAR).numpy()


def _times(space: Space, ratios: Sequence[float] | np.ndarray) -> Grid:
    """t = 1 in the place of the first, the times at which σ/α has the other values, in units of the spread; then 0."""
    assert space.clock is not None
    schedule, spread = space.clock
    levels = torch.as_tensor(np.asarray(ratios), dtype=torch.float64) * spread
    return (1.0, *schedule.time(-2 * levels[1:].log()).tolist(), 0.0)


def _continuous(state: Any) -> Tensor:
    """The continuous part of a state, (batch, numbers)."""
    return torch.cat([leaf.flatten(1).double() for leaf in leaves(state) if leaf.is_floating_point()], 1)


def _norms(x: Tensor) -> Tensor:
    return x.square().mean(1).sqrt()


def resampled(grid: Sequence[float], steps: int, space: Space) -> Grid:
    """A grid with the density of another and another number of steps."""
    z = np.log(_ratios(space, grid[:-1]))
    places = np.linspace(0, len(z) - 1, steps)
    return _times(space, np.exp(np.interp(places, np.arange(len(z)), z)))


def nearest(grids: Mapping[int, Sequence[float]], steps: int, space: Space) -> Grid:
    """The planned grid of that many steps, or the one of the nearest number resampled."""
    if steps in grids:
        return tuple(grids[steps])
    return resampled(grids[min(grids, key=lambda n: abs(log(n / steps)))], steps, space)
