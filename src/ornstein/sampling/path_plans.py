"""The path through the times of two parts that errs least in K steps, from what the model does not know on the way.

On clean data the losses are measured at pairs of own times (a, b): the squared error of a continuous part, and the nats
that the hidden positions of a categorical part lack. What K steps can lose is bounded by a sum over the steps
(Watson et al. 2021), E KL(q(x_s | x_t, x₀) ‖ p(x_s | x_t)), of which a step from (a, b) to (a', b') has

    continuous    ½ d log(1 + (SNR' − SNR) MSE(a, b)/d),     d degrees of freedom
    masked        (α' − α)/(1 − α) · nats(a, b),             the hidden positions together

The first is that of a step as wide as x₀ is unsure (Bao et al. 2022), which Gaussian data lose nothing by, as with the
solvers of the flow; `wide=False` is that of plain ancestral steps, ½ (SNR' − SNR) MSE. Continuous parts are asked for
down to σ/α = RESOLUTION of the data's spread; below it no end is in sight. The cheapest way on a lattice of own times
is found by dynamic programming: its K steps are the knots of the path, one a step of the uniform grid.

Every path has the same bound in the limit of many steps, if the model is exact: differences are what steps cost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log, log1p
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..beliefs import Joint
from ..denoisers.base import Condition, Denoiser
from ..errors import InputError
from ..events import Event, Stream, streamed
from ..keys import Keys
from ..spaces import Categorical, Euclidean, Product, Space, TimePath
from ..states import State, batch_size, map_state, per_sample_sum, take
from ..values import require_whole
from .grids import fit, uniform

RESOLUTION = 0.02
"""The σ/α, in units of the data's spread, down to which a continuous part is asked for."""
LEVELS = 13
"""Own times of each part at which losses are measured."""
LEAST = 1e-6
"""The probability that an outcome is given at least, so that what a model rules out costs something finite."""


@dataclass(frozen=True)
class Axis:
    """How far one part has come: a place from 0, pure noise, to `end`, where it is known well enough.

    Attributes:
        name: of the part.
        space: of the part.
        freedom: degrees of freedom of a record of continuous data, on average.
    """

    name: str
    space: Space
    freedom: float = 1.0

    @property
    def end(self) -> float:
        return log1p(1 / RESOLUTION) if isinstance(self.space, Euclidean) else 1.0

    def places(self, n: int) -> np.ndarray:
        """n of them, evenly: of log(1 + α/σ) in units of the data's spread, or of the share that is not masked."""
        return np.linspace(0, self.end, n)

    def time(self, place: float) -> float:
        """The own time there; 0 at the end."""
        if place <= 0 or place >= self.end:
            return 1.0 if place <= 0 else 0.0
        if isinstance(self.space, Euclidean):
            return self.space.schedule.time(2 * (np.log(np.expm1(place)) - log(self.space.scale))).item()
        assert isinstance(self.space, Categorical)
        return self.space.schedule.when(place).item()

    def place(self, time: float) -> float:
        """Where a part is at its own time."""
        if time <= 0 or time >= 1:
            return self.end if time <= 0 else 0.0
        if isinstance(self.space, Euclidean):
            return min(log1p(self.space.scale * (self.space.schedule.log_snr(time) / 2).exp().item()), self.end)
        assert isinstance(self.space, Categorical)
        return self.space.schedule.alpha(time).item()

    def lost(self, loss: Any, here: Any, there: Any, wide: bool) -> Any:
        """What a step between two places loses, nats a record, at the given loss where it starts.

        Args:
            loss: squared errors in units of the spread, or nats of the hidden positions over their share.
            here, there: places, which broadcast against it.
            wide: whether a continuous step is as wide as x₀ is unsure.
        """
        if isinstance(self.space, Categorical):
            return (there - here) * loss
        gained = np.expm1(there) ** 2 - np.expm1(here) ** 2
        return self.freedom / 2 * (np.log1p(gained * loss / self.freedom) if wide else gained * loss / self.freedom)


@dataclass(frozen=True)
class Losses:
    """What a model does not know of two parts, by pairs of own times.

    Attributes:
        axes: of the two parts.
        tables: of each part its loss, (places of the first, places of the second): the squared error of a record in
            units of the data's spread, or the nats that its hidden positions lack over the share that is hidden.
        wide: of continuous steps; see above.
    """

    axes: tuple[Axis, Axis]
    tables: tuple[np.ndarray, np.ndarray]
    wide: bool = True

    def bound(self, path: TimePath, grid: Sequence[float]) -> float:
        """Nats a record that the steps of a grid lose at most on a path, of which the last ends in data.

        Args:
            path: the parts' times along the clock.
            grid: times of the clock, from 1 down to 0.
        """
        stops = [[axis.place(float(path.at(time, axis.name))) for axis in self.axes] for time in grid]
        return self._lost(np.array(stops))

    def path(self, steps: int) -> TimePath:
        """The path of that many steps on which least is lost; it is walked on the uniform grid.

        Args:
            steps: of the sampler.
        """
        require_whole("steps", steps, 1)
        stops = self._smoothed(self._cheapest(steps))
        own = [[axis.time(place) for place in stops[::-1, k]] for k, axis in enumerate(self.axes)]
        return TimePath({axis.name: tuple(times) for axis, times in zip(self.axes, own, strict=True)})

    def _lost(self, stops: np.ndarray) -> float:
        """On the way over these places, (steps + 1, 2)."""
        before, after = stops[:-1], stops[1:]
        losses = [self._at(table, before) for table in self.tables]
        return sum(
            float(axis.lost(loss, before[:, k], after[:, k], self.wide).sum())
            for k, (axis, loss) in enumerate(zip(self.axes, losses, strict=True))
        )

    def _at(self, table: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Bilinear between the places where the losses were measured."""
        index = [places[:, k] / axis.end * (table.shape[k] - 1) for k, axis in enumerate(self.axes)]
        low = [np.clip(at.astype(int), 0, table.shape[k] - 2) for k, at in enumerate(index)]
        (i, j), (u, v) = low, (at - one for at, one in zip(index, low, strict=True))
        first = table[i, j] * (1 - v) + table[i, j + 1] * v
        return first * (1 - u) + (table[i + 1, j] * (1 - v) + table[i + 1, j + 1] * v) * u

    def _cheapest(self, steps: int) -> np.ndarray:
        """The places of the best path on a lattice, (steps + 1, 2)."""
        n = min(160, max(40, 2 * steps))
        places = [axis.places(n) for axis in self.axes]
        grid = np.stack(np.meshgrid(*places, indexing="ij"), -1).reshape(-1, 2)
        losses = [self._at(table, grid).reshape(n, n) for table in self.tables]
        reach = max(4, -(-4 * n // steps))
        while True:
            found = _walked(self._jumps(losses, places, min(reach, n - 1)), steps)
            if reach >= n - 1 or np.diff(found, axis=0).max() < reach:
                return np.stack([places[k][found[:, k]] for k in range(2)], 1)
            reach *= 2

    def _jumps(self, losses: Sequence[np.ndarray], places: Sequence[np.ndarray], reach: int) -> list[list[np.ndarray]]:
        """What each part loses from every pair of places by going on by 0, 1, … of them."""
        jumps = []
        for k, axis in enumerate(self.axes):
            here = places[k][:, None] if k == 0 else places[k][None]
            shifted = [np.minimum(np.arange(len(places[k])) + by, len(places[k]) - 1) for by in range(reach + 1)]
            there = [places[k][one][:, None] if k == 0 else places[k][one][None] for one in shifted]
            jumps.append([axis.lost(losses[k], here, one, self.wide) for one in there])
        return jumps

    def _smoothed(self, stops: np.ndarray) -> np.ndarray:
        """The stops off the lattice, as long as that helps: each in the middle of its neighbours."""
        for _ in range(20):
            moved = stops.copy()
            moved[1:-1] = (stops[:-2] + 2 * stops[1:-1] + stops[2:]) / 4
            if self._lost(moved) >= self._lost(stops):
                break
            stops = moved
        return stops


@dataclass(frozen=True)
class PlannedPath:
    """A path and what it loses at most.

    Attributes:
        path: its knots are the steps of the uniform grid.
        steps: of the sampler.
        bound: nats a record; of interest beside those of other paths, as all share what the data leave open.
        others: the bounds of named paths on the grids they are walked on by default.
        losses: what it was planned from.
    """

    path: TimePath
    steps: int
    bound: float
    others: Mapping[str, float] = field(default_factory=dict)
    losses: Losses | None = field(default=None, repr=False, compare=False)


@streamed
def plan_path(
    denoiser: Denoiser, steps: int, x0: State, keys: Keys, condition: Condition | None = None, batch: int = 256
) -> Stream[PlannedPath]:
    """The path of `steps` steps on which this model loses least; one call a pair of own times and batch of data.

    Args:
        denoiser: the model of two parts, continuous or masked.
        steps: of the sampler.
        x0: clean data, or the model's own samples, a few hundred.
        keys: random keys, one a record; they decide the noise.
        condition: what each record is given, name → (batch, ...); a missing name means that nothing is said.
        batch: records that are looked at together.

    InputError for other data.
    """
    losses = yield from measured.events(denoiser, x0, keys, condition, batch=batch)
    path = losses.path(steps)
    others = {name: losses.bound(one, fit(denoiser.along(one), steps)) for name, one in _named(losses.axes).items()}
    return PlannedPath(path, steps, losses.bound(path, uniform(steps)), others, losses)


@streamed
def measured(
    denoiser: Denoiser,
    x0: State,
    keys: Keys,
    condition: Condition | None = None,
    levels: int = LEVELS,
    batch: int = 256,
) -> Stream[Losses]:
    """The losses of a model at levels × levels pairs of own times.

    Args:
        denoiser: the model of two parts, continuous or masked.
        x0: clean data, a dictionary of the parts.
        keys: random keys, one a record; they decide the noise, which is the same at all levels but for its size.
        condition: what each record is given, name → (batch, ...); a missing name means that nothing is said.
        levels: own times of each part.
        batch: records that are looked at together.
    """
    axes, n = _axes(denoiser, x0, condition), batch_size(x0)
    places = [axis.places(levels) for axis in axes]
    tables = np.zeros((2, levels, levels))
    for done, (i, j) in enumerate(np.ndindex(levels, levels)):
        at = (_open(axes[0], places[0], i), _open(axes[1], places[1], j))
        for start in range(0, n, batch):
            part = slice(start, start + batch)
            given = {name: value[part] for name, value in (condition or {}).items()}
            found = _lacking(denoiser, axes, at, take(x0, part), keys[part].to(denoiser.device), given)
            tables[:, i, j] += found.cpu().numpy() / n
        yield Event(done + 1, levels**2, "measuring what the model does not know")
    return Losses(axes, _filled(axes, tables))


def require_plannable(space: Space) -> None:
    """InputError for data through whose times no path is planned: two parts are, continuous or masked categories."""
    if not isinstance(space, Product) or len(space.parts) != 2:
        found = f"{len(space.parts)} parts" if isinstance(space, Product) else f"a {type(space).__name__} space"
        raise InputError(f"a path is planned for data of two parts, found {found}; give one by hand (TimePath)")
    for name, part in space.parts.items():
        if not isinstance(part, Euclidean) and not (isinstance(part, Categorical) and part.absorbing):
            kind = "categories under other noise" if isinstance(part, Categorical) else type(part).__name__
            raise InputError(f"a path is planned through continuous parts and masked categories, {name!r} is {kind}")


def _axes(denoiser: Denoiser, x0: State, condition: Condition | None) -> tuple[Axis, Axis]:
    """Those of the two parts; InputError for data of which the steps' losses are not known."""
    space: Any = denoiser.space
    require_plannable(space)
    space.check(x0, "x0")
    bound: Any = space.with_mask((condition or {}).get("mask"))
    assert isinstance(x0, Mapping)
    first, second = (Axis(name, space.parts[name], _freedom(part, x0[name])) for name, part in bound.parts.items())
    return first, second


def _freedom(part: Space, x0: Tensor) -> float:
    """Degrees of freedom of a record, on average."""
    return float(per_sample_sum(part.freedom(x0.double())).mean()) if isinstance(part, Euclidean) else 1.0


def _open(axis: Axis, places: np.ndarray, k: int) -> float:
    """The own time of a level; the last of a continuous part is where the resolution ends, that of categories data."""
    last = k == len(places) - 1 and isinstance(axis.space, Euclidean)
    return axis.time(float(places[k]) * (1 - 1e-9) if last else float(places[k]))


def _filled(axes: tuple[Axis, Axis], tables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The tables, with nats a share of the hidden also where nothing is hidden: those of the place before."""
    for k, axis in enumerate(axes):
        if isinstance(axis.space, Categorical):
            along = np.moveaxis(tables[k], k, 0)  # a view
            along[-1] = along[-2]
    return tables[0], tables[1]


@torch.no_grad()
def _lacking(
    denoiser: Denoiser, axes: tuple[Axis, Axis], at: tuple[float, float], x0: Any, keys: Keys, condition: Condition
) -> Tensor:
    """The loss of both parts at one pair of own times, summed over the records."""
    path = TimePath({axis.name: (0.0, time) for axis, time in zip(axes, at, strict=True)})
    there, device = denoiser.along(path), denoiser.device
    x0 = map_state(lambda x: x.to(device), x0)
    condition = {name: value.to(device) for name, value in condition.items()}
    space: Any = there.space.with_mask(condition.get("mask"))
    x_t = space.noise(x0, 1.0, keys)
    belief: Any = there(x_t, 1.0, condition)
    assert isinstance(belief, Joint)
    each = [(space.parts[axis.name], axis, time) for axis, time in zip(axes, at, strict=True)]
    return torch.stack([_loss(part, belief[one.name], x0[one.name], x_t[one.name], t) for part, one, t in each])


def _loss(part: Any, belief: Any, x0: Tensor, x_t: Tensor, time: float) -> Tensor:
    if isinstance(part, Euclidean):
        error = part.whiten(belief.mean.double() - part.project(x0).double()) / part.scale
        return error.square().sum()
    hidden = 1 - part.schedule.alpha(time).item()
    if hidden == 0:  # nothing is left to be said
        return torch.zeros((), dtype=torch.float64, device=x0.device)
    chance = belief.log_probs.double().gather(-1, x0[..., None]).squeeze(-1).clamp(min=log(LEAST))
    return -chance.where(part.hidden(x_t), 0.0).sum() / hidden


def _named(axes: tuple[Axis, Axis]) -> dict[str, TimePath]:
    """Paths to compare with: one clock, and each part late by some powers."""
    late = {f"{axis.name} late, power {p}": TimePath.power(p, axis.name) for axis in axes for p in (2, 4, 8, 16)}
    return {"one clock": TimePath(), **{name: path for name, path in late.items() if _lead(axes) not in path.times}}


def _lead(axes: tuple[Axis, Axis]) -> str:
    """The part whose noise levels grids are laid by."""
    return next((axis.name for axis in axes if isinstance(axis.space, Euclidean)), axes[0].name)


def _walked(jumps: Sequence[Sequence[np.ndarray]], steps: int) -> np.ndarray:
    """The cheapest way from the first to the last node in so many jumps, (steps + 1, 2) indices.

    jumps: of each part and number of places its cost, (places of the first, places of the second).
    """
    first, second = jumps
    n, m = first[0].shape
    best = np.full((n, m), np.inf)
    best[0, 0] = 0.0
    came: list[np.ndarray] = []
    for _ in range(steps):
        after, by = np.full((n, m), np.inf), np.zeros((n, m), np.int32)
        for p, left in enumerate(first):
            half = best + left
            for q, right in enumerate(second):
                cost = half[: n - p, : m - q] + right[: n - p, : m - q]
                better = cost < after[p:, q:]
                after[p:, q:][better] = cost[better]
                by[p:, q:][better] = p * m + q
        best = after
        came.append(by)
    way = [np.array([n - 1, m - 1])]
    for by in reversed(came):
        way.append(way[-1] - np.array(divmod(int(by[tuple(way[-1])]), m)))
    return np.array(way[::-1])
