"""Events of thresholds, how probable they are, and scenarios in which they happen.

    t2m > 303.15 @ 47.3,11.4              at a place, at any of the leads
    vorticity > 3 @ y=4.2,x=7 step=4      at one lead
    wind < 2 @ station=IBK
    max(t2m) > 303.15 in box 45:48,9:13   anywhere in a box, or with min and mean; without a box of the whole grid

Of members the probability is their share. What is too rare for that is weighed by particles: with the statistic
s(u) ~ N(m, v) of a belief, m = s(mean), v = ∇s C ∇s,

    log E[1(s > c)] = L = log Φ(z),      z = (m − c)/√v,      mean += C d,      cov −= δ/λ² C d d C

with d = ∇L, λ = φ(z)/Φ(z), δ = λ (λ + z): both moments of the truncated normal law, exact where s is linear and the
belief normal. Of several places or leads, at any of which it may happen, L is that of independent ones, which all vary
as the likeliest does. At last the event itself decides, so that what a foresight misses costs particles and no bias,
and the evidence of the population is log P(event).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, isfinite, nan, pi, sqrt
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy import stats
from torch import Tensor

from ...beliefs import Belief, Normal
from ...config import suggestion
from ...covariances import conditioned
from ...denoisers.base import Condition, Denoiser
from ...denoisers.maps import Map
from ...errors import InputError
from ...guidance.factors import Factor, Updated
from ...guidance.functions import After
from ...guidance.slopes import gradient
from ...sampling.diagnostics import Exactness
from ...spaces import Space
from ...states import State, Time, left, per_sample_sum
from ...values import is_number, number_written
from .files.grids import Grid
from .places import STATION, along, axes_of, corners, period
from .roots import to_u

_EXPECTED = (
    'expected an event such as "t2m > 303.15 @ 47.3,11.4", "wind < 2 @ station=IBK step=24" or '
    '"max(t2m) > 303.15 in box 45:48,9:13"'
)
_HEAD = re.compile(
    r"\s*(?:(?P<of>max|min|mean)\s*\(\s*(?P<inner>[^\s()<>@]+)\s*\)|(?P<name>[^\s()<>@]+))\s*(?P<sign>[<>])=?\s*"
    r"(?P<number>[^\s@]+)(?P<rest>.*)"
)
_PLACE = re.compile(r"\s*@\s*(?P<place>.+?)\s*(?=\bin\s|\bstep\b|@|$)")
_BOX = re.compile(r"\s*in\s+box\s+(?P<box>.+?)\s*(?=\bstep\b|@|$)")
_STEP = re.compile(r"\s*step\s*=?\s*(?P<step>[^\s@]+)\s*")


@dataclass(frozen=True, eq=False)
class Event:
    """A variable above or below a threshold.

    Attributes:
        text: as it was said.
        channels: of the state, one a lead; the event happens if it does at any of them.
        above: above the threshold, or below it.
        threshold: in the unit of the variable.
        of: "at" a place, or the "max", "min" or "mean" of points.
        index: of these in the flattened grid.
        weight: of each, in a sum.
        positive: whether the variable is never negative.
    """

    text: str
    channels: tuple[int, ...]
    above: bool
    threshold: float
    of: str
    index: Int64[Tensor, " points"]
    weight: Float[Tensor, " points"]
    positive: bool = False

    def value(self, fields: Float[Tensor, "n channels *grid"]) -> Float[Tensor, " n"]:
        """The statistic of fields, in the unit of the variable: of the lead at which it is most of an event.

        Args:
            fields: physical ones.
        """
        each = self._each(self._points(fields))
        return each.amax(1) if self.above else each.amin(1)

    def happened(self, fields: Float[Tensor, "n channels *grid"]) -> Bool[Tensor, " n"]:
        """In which fields the event is.

        Args:
            fields: physical ones.
        """
        value = self.value(fields)
        return value > self.threshold if self.above else value < self.threshold

    @property
    def factor(self) -> "Exceeds":
        """The event as a factor."""
        sign = 1.0 if self.above else -1.0
        level = Level(lambda u: sign * self._each(self._points(u)), sign * self.threshold)
        if not self.positive:
            return Exceeds(level, self.happened, self.text)
        root = replace(level, threshold=sign * sqrt(max(self.threshold, 0.0)))
        if self.of in ("max", "min") or len(self.index) == 1 or self.threshold <= 0:
            return Exceeds(root, self.happened, self.text)
        squares = replace(level, statistic=lambda u: sign * self._each(_signed_squares(self._points(u))))
        return Exceeds(squares, self.happened, self.text, root)

    def _points(self, fields: Tensor) -> Float[Tensor, "n leads points"]:
        chosen = fields.flatten(2)[:, list(self.channels)]
        return chosen[..., self.index.to(fields.device)]

    def _each(self, points: Float[Tensor, "n leads points"]) -> Float[Tensor, "n any"]:
        """What is to pass the threshold, anywhere."""
        if self.of == ("max" if self.above else "min"):
            return points.flatten(1)
        if self.of in ("max", "min"):
            return points.amax(-1) if self.of == "max" else points.amin(-1)
        return (points * self.weight.to(points)).sum(-1)


def _signed_squares(u: Tensor) -> Tensor:
    """u², with the sign of u, so that there is a slope below 0, too."""
    return u * u.abs()


def parse(
    text: str, grid: Grid, variables: Sequence[str], steps: Sequence[float], positive: Sequence[bool] = ()
) -> Event:
    """The event that a text says.

    Args:
        text: see the module.
        grid: of the model.
        variables: of the model; channel v · S + s is variable v at step s.
        steps: of a state, as the model counts them.
        positive: of each variable, whether it is never negative.

    InputError says what is wrong, and what was expected.
    """
    found = _HEAD.fullmatch(text)
    if found is None:
        raise InputError(f"event {text[:80]!r}: {_EXPECTED}")
    name = found["inner"] or found["name"]
    if name not in variables:
        raise InputError(f"event {text!r}: the model has no {name!r}{suggestion(name, list(variables))}")
    threshold = number_written(found["number"])
    if not is_number(threshold):
        raise InputError(f"event {text!r}: the threshold is {found['number']!r}, expected a number")
    said = _clauses(text, found["rest"])
    index, weight = _points(text, found["of"], said, grid)
    v = list(variables).index(name)
    channels = [v * len(steps) + s for s in _steps(text, said.get("step"), steps)]
    root = bool(positive[v]) if len(positive) else False
    of = found["of"] or "at"
    at, weights = torch.from_numpy(index).long(), torch.from_numpy(weight)
    return Event(text, tuple(channels), found["sign"] == ">", threshold, of, at, weights, root)


def _clauses(text: str, rest: str) -> dict[str, str]:
    """A place, a box and a step, those that are said."""
    said: dict[str, str] = {}
    while rest.strip():
        found = _PLACE.match(rest) or _BOX.match(rest) or _STEP.match(rest)
        if found is None:
            raise InputError(f"event {text!r}: {rest.strip()!r}, expected @ PLACE, in box LOW:HIGH,... or step=...")
        for clause, value in found.groupdict().items():
            if clause in said:
                raise InputError(f"event {text!r}: says its {clause} twice")
            said[clause] = value
        rest = rest[found.end() :]
    return said


def _points(text: str, of: str | None, said: Mapping[str, str], grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    if of is None:
        if "place" not in said:
            raise InputError(f"event {text!r}: where is it? expected @ PLACE, or max(...), min(...) or mean(...)")
        if "box" in said:
            raise InputError(f"event {text!r}: a place and a box, expected max(...), min(...) or mean(...) of a box")
        try:
            found = corners(grid, _place(said["place"], grid))
        except InputError as error:
            raise InputError(f"event {text!r}: {error}") from None
        kept = found.weight[0] > 0
        return found.index[0][kept], found.weight[0][kept]
    if "place" in said:
        raise InputError(f"event {text!r}: {of}(...) is of a box or the whole grid, not at a place")
    inside = _inside(text, said["box"], grid) if "box" in said else np.ones(grid.shape, dtype=bool)
    if not inside.any():
        raise InputError(f"event {text!r}: no point of the grid lies in the box")
    weight = grid.weights[inside]
    return np.flatnonzero(inside), weight / weight.sum()


def _named(said: str, grid: Grid) -> dict[str, str]:
    """Parts by name: y=4.2,x=7, or in the order of the grid's coordinates."""
    names = axes_of(grid)
    parts = [part.strip() for part in said.split(",")]
    if all("=" in part for part in parts):
        return {name.strip(): value.strip() for name, _, value in (part.partition("=") for part in parts)}
    on_sphere = grid.kind == "stations" and len(parts) == 2
    order = ("latitude", "longitude") if on_sphere else names
    if any("=" in part for part in parts) or len(parts) != len(order):
        raise InputError(f"{said!r}, expected {', '.join(names)}")
    return dict(zip(order, parts, strict=True))


def _place(said: str, grid: Grid) -> dict[str, list[Any]]:
    names = axes_of(grid)
    parts = _named(said, grid)
    short = {"lat": "latitude", "lon": "longitude"}
    parts = {short.get(name, name): value for name, value in parts.items()}
    if set(parts) != set(names) and not (grid.kind == "stations" and set(parts) == {"latitude", "longitude"}):
        raise InputError(f"place {said!r}, expected {', '.join(names)}")
    place: dict[str, list[Any]] = {}
    for name, value in parts.items():
        number = value if name == STATION else number_written(value)
        if name != STATION and not is_number(number):
            raise InputError(f"place {said!r}: {name} is {value!r}, expected a number")
        place[name] = [number]
    return place


def _inside(text: str, said: str, grid: Grid) -> Bool[np.ndarray, "*grid"]:
    """The points of a box; along an axis that goes round, from high to low is across its end."""
    names = axes_of(grid) if grid.kind == "grid" else ("latitude", "longitude")
    try:
        parts = _named(said, replace(grid, kind="grid")) if grid.kind == "grid" else _box_of_stations(said)
    except InputError as error:
        raise InputError(f"event {text!r}: box {error}") from None
    parts = {{"lat": "latitude", "lon": "longitude"}.get(name, name): value for name, value in parts.items()}
    inside = np.ones(grid.shape, dtype=bool)
    for name, value in parts.items():
        low, colon, high = value.partition(":")
        ends = number_written(low), number_written(high)
        if name not in names or not colon or not all(map(isfinite, ends)):
            raise InputError(f"event {text!r}: box {said!r}, expected LOW:HIGH of {', '.join(names)}")
        inside &= _within(text, grid, name, *ends)
    return inside


def _box_of_stations(said: str) -> dict[str, str]:
    parts = said.split(",")
    if len(parts) != 2:
        raise InputError(f"{said!r}, expected LOW:HIGH of latitude and longitude")
    return dict(zip(("latitude", "longitude"), parts, strict=True))


def _within(text: str, grid: Grid, name: str, low: float, high: float) -> Bool[np.ndarray, "*grid"]:
    values, circle = grid.place(name) if name in ("latitude", "longitude") else None, None
    if name == "longitude":
        circle = 360.0
    if values is None:
        if name not in grid.dims:
            raise InputError(f"event {text!r}: the grid has no {name}")
        axis = grid.dims.index(name)
        circle = period(grid, axis)
        shape = [n if k == axis else 1 for k, n in enumerate(grid.shape)]
        values = np.broadcast_to(along(grid, axis).reshape(shape), grid.shape)
    if circle is not None:
        return (values - low) % circle <= ((high - low) % circle if high - low < circle else circle)
    if low > high:
        raise InputError(f"event {text!r}: the box goes from {low:g} to {high:g}, expected LOW:HIGH")
    return (values >= low) & (values <= high)


def _steps(text: str, said: str | None, steps: Sequence[float]) -> list[int]:
    if said is None:
        return list(range(len(steps)))
    number = number_written(said.removesuffix("h"))
    found = [s for s, step in enumerate(steps) if abs(step - number) < 1e-6]
    if not found:
        raise InputError(
            f"event {text!r}: step is {said!r}, expected one of {', '.join(f'{step:g}' for step in steps)}"
        )
    return found


# The event as a factor ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Level:
    """Any of some statistics is above a threshold.

    Attributes:
        statistic: (batch, ...) → (batch, any), differentiable.
        threshold: of all of them.
    """

    statistic: Callable[[Any], Tensor]
    threshold: float

    def at(self, mean: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The statistics less the threshold, in float64, and the slope of a weighted sum of them."""
        with torch.enable_grad():
            point = mean.detach().requires_grad_()
            value = self.statistic(point)

        def slope(weights: Tensor) -> Tensor:
            with torch.enable_grad():
                total = (value * weights.to(value)).sum()
            found = gradient(total, point, create_graph=True)  # as it may be asked for twice
            return torch.zeros_like(point) if found is None else found.detach()

        return value.detach().double() - self.threshold, slope


@dataclass(frozen=True, eq=False)
class Exceeds(Factor):
    """1 where an event happens, else 0.

    Attributes:
        level: of u: what is foreseen of the event.
        happened: of physical fields, (batch, ...) → (batch,): the event itself.
        name: for manifests.
        start: one that is linear and says nearly the same: the slope is then taken where that reaches its threshold, as
            the first-order reliability method does (Hasofer & Lind 1974), not at the mean, where it may be 0.
        power: of what is foreseen.
    """

    level: Level
    happened: Callable[[Any], Tensor]
    name: str = "event"
    start: Level | None = None
    power: float = 1.0

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {"factor": "Exceeds", "of": self.name}

    def tempered(self, power: float) -> "Exceeds":
        return replace(self, power=self.power * power)

    def through(self, map: Map) -> "Exceeds":
        found, of_u = replace(self, happened=After(self.happened, map)), to_u(map)
        if of_u is None:
            return found
        levels = {name: one for name in ("level", "start") if (one := getattr(self, name)) is not None}
        moved = {name: replace(one, statistic=After(one.statistic, of_u)) for name, one in levels.items()}
        return replace(found, **moved)

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        return self._foreseen(belief)[0]

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        value, towards, less = self._foreseen(belief, moved=True)
        assert isinstance(belief, Normal)
        cov = conditioned(belief.spread, towards[:, None], less[:, None, None].to(towards))
        return value, replace(belief, mean=belief.mean + self.power * towards, cov=cov)

    def _foreseen(self, belief: Belief, moved: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """L, and where the belief is to move: C d and δ/λ²."""
        if not isinstance(belief, Normal):
            raise InputError(f"{self.name}: an event is of continuous fields")
        mean = belief.mean.detach()
        at = mean if self.start is None else _first_reached(self.start, belief)
        value, slope_of = self.level.at(at)
        best = torch.nn.functional.one_hot(value.argmax(1), value.shape[1]).double()
        slope = slope_of(best)
        towards = belief.covary(slope).detach()
        std = per_sample_sum(slope.double() * towards.double()).clamp(min=0).sqrt()
        value = value + per_sample_sum(slope.double() * (mean - at).double())[:, None]
        certain = std <= 0
        z = value / torch.where(certain, 1.0, std)[:, None]
        log_share, weights = _any(z)
        if bool(certain.any()):  # a belief without doubt: the event itself
            decided = torch.where(self.happened(mean), 0.0, -torch.inf).to(log_share)
            log_share = torch.where(certain, decided, self.power * log_share)
        else:
            log_share = self.power * log_share
        if not moved:
            return log_share, towards, std
        weights = torch.where(certain[:, None], 0.0, weights / std.clamp(min=1e-30)[:, None])
        if value.shape[1] > 1:
            towards = belief.covary(slope_of(weights)).detach()
        else:
            towards = (left(weights[:, 0], towards) * towards.double()).to(towards)
        return log_share, towards, _narrowed(z, weights)


def _any(z: Float[Tensor, "batch any"]) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch any"]]:
    """log(1 − Π Φ(−z)), and its slope."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        none = torch.special.log_ndtr(-z).sum(1)
        rare = torch.special.log_ndtr(z).logsumexp(1)
        found = torch.where(none > -1e-4, rare, (-torch.expm1(none.clamp(max=-1e-5))).log())
        found = torch.special.log_ndtr(z[:, 0]) if z.shape[1] == 1 else found
        (slope,) = torch.autograd.grad(found.sum(), z)
    return found.detach(), slope.nan_to_num()


def _narrowed(z: Float[Tensor, "batch any"], weights: Float[Tensor, "batch any"]) -> Float[Tensor, " batch"]:
    """δ/λ² of the likeliest, as far as it is the only one that counts."""
    best = z.amax(1)
    share = (-(best**2) / 2 - torch.special.log_ndtr(best)).exp() / sqrt(2 * pi)
    explained = (share * (share + best)).clamp(0, 1 - 1e-6) * weights.amax(1) / weights.sum(1).clamp(min=1e-30)
    return torch.where(share > 1e-9, explained / share.clamp(min=1e-9) ** 2, 0.0)


def _first_reached(level: Level, belief: Normal) -> Tensor:
    """Where a linear statistic first reaches its threshold: the likeliest of such fields."""
    value, slope_of = level.at(belief.mean)
    best = value.argmax(1)
    slope = slope_of(torch.nn.functional.one_hot(best, value.shape[1]).double())
    towards = belief.covary(slope).detach()
    variance = per_sample_sum(slope.double() * towards.double())
    gap = (-value.amax(1)).clamp(min=0)
    share = torch.where(variance > 0, gap / variance.clamp(min=1e-30), 0.0)
    return (belief.mean + left(share, towards) * towards).detach().to(belief.mean)


# Probabilities ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Probability:
    """How probable an event is.

    Attributes:
        event: in words.
        value: the probability.
        error: its standard error.
        low, high: within which it is at 95 %.
        method: "members" or "particles".
        n: how many of these.
        trusted: whether it can be; not where a handful of particles carries the answer.
    """

    event: str
    value: float
    error: float
    low: float
    high: float
    method: str
    n: int
    trusted: bool = True

    @classmethod
    def of_members(cls, event: str, happened: Bool[Tensor, " n"]) -> "Probability":
        """The share of members, with Jeffreys's interval.

        Args:
            event: in words.
            happened: in which members.
        """
        n, k = len(happened), int(happened.sum())
        low, high = stats.beta.ppf([0.025, 0.975], k + 0.5, n - k + 0.5)
        p = (k + 0.5) / (n + 1)
        ends = (0.0 if k == 0 else float(low)), (1.0 if k == n else float(high))
        return cls(event, k / n, sqrt(p * (1 - p) / n), *ends, "members", n)

    @classmethod
    def of_particles(cls, event: str, exactness: Exactness, given: Exactness | None = None) -> "Probability":
        """By the evidence of a population, P = exp(log E[g]).

        Args:
            event: in words.
            exactness: of samples of the model with the event.
            given: of samples of the same model without it, where something was observed.
        """
        log_p = exactness.log_evidence - (given.log_evidence if given else 0.0)
        error = sqrt(exactness.error**2 + (given.error**2 if given else 0.0))
        p = exp(min(log_p, 0.0)) if log_p > -700 else 0.0
        low, high = (exp(min(max(log_p + side * 1.96 * error, -700), 0.0)) for side in (-1, 1))
        trusted = isfinite(error) and not exactness.collapsed and not (given is not None and given.collapsed)
        return cls(
            event, p, p * error if isfinite(error) else nan, low, high, "particles", exactness.particles, trusted
        )

    def record(self) -> dict[str, Any]:
        """In JSON values."""
        return dict(vars(self))

    def __str__(self) -> str:
        doubt = "" if self.trusted else "; not to be trusted: take more particles"
        return (
            f"P({self.event}) = {self.value:.3g} ± {self.error:.2g} ({self.low:.3g} to {self.high:.3g} at 95 %, by "
            f"{self.n} {self.method}{doubt})"
        )


def probability(
    model: Denoiser,
    event: Event,
    condition: Condition | None = None,
    given: Sequence[Factor] = (),
    *,
    particles: int = 512,
    steps: int = 60,
    seed: int = 0,
) -> Probability:
    """Of an event of one forecast, however rare, by particles.

    Args:
        model: a denoiser, with its map.
        event: what may happen.
        condition: what the one sample is told, name → (1, ...).
        given: what was observed, such as `Observed.of_record`.
        particles: of a population.
        steps: of its time grid.
        seed: of all random numbers.
    """
    from ...tasks.drawing import sample

    told = {name: value.expand(particles, *value.shape[1:]) for name, value in (condition or {}).items()}
    how = {"condition": told, "exact": "particles", "particles": particles, "steps": steps, "seed": seed}
    for factor in given:
        model = model & factor
    happens = sample(model & event.factor, particles, **how).exactness  # pyright: ignore[reportArgumentType]
    without = sample(model, particles, **how).exactness if given else None  # pyright: ignore[reportArgumentType]
    assert happens is not None
    return Probability.of_particles(event.text, happens, without)
