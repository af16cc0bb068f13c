"""Ensemble model output statistics: a law of each value by itself, of the forecast (Gneiting et al. 2005).

With f the regression of `linear` at the place and lead, s its residual's standard deviation, and d the spread of the
members (of an ensemble),

    μ = f + α s + β (f − f̄),    σ² = s² exp(2γ + 2δ (f − f̄)/std f) + ε² d²

(α, β, γ, δ, ε) minimise the CRPS over the training, from the least-squares start α = β = δ = 0. One such line for all
points of a grid, or one of each point by itself; of stations α … ε are of each station where they are not too many.
Which, and which law (normal, truncated at zero, censored at zero, of the value or of its root), is what had the lower
CRPS on the last fifth of the training, when it was fitted to the first four fifths.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ....keys import Keys
from .laws import Law, candidates, crps
from .linear import Line, Plan, summed
from .records import BATCH, Given, Records, batches, size
from .seasons import Seasons

SAMPLE, ALONE = 1 << 15, 1 << 19
"""Values that the CRPS of all points is minimised over; of stations by themselves, of all together at most."""
SUMS = 1 << 26
"""Numbers of the sums by point at most: beyond, all points have one line."""
_PARAMETERS = 5


@dataclass(frozen=True, eq=False)
class Predicted:
    """The laws of some records.

    Attributes:
        laws: one a variable.
        location, scale: μ and σ.
    """

    laws: Sequence[Law]
    location: Float[np.ndarray, "n V S points"]
    scale: Float[np.ndarray, "n V S points"]

    def quantile(
        self, place: tuple[int, int], levels: Float[np.ndarray, "n M points"]
    ) -> Float[np.ndarray, "n M points"]:
        """Members at these levels of each value's law.

        Args:
            place: of the variable and the step.
            levels: between 0 and 1.
        """
        there = (torch.from_numpy(values[:, None, *place]) for values in (self.location, self.scale))
        return self.laws[place[0]].quantile(torch.from_numpy(levels), *there).numpy()

    def level(
        self, truth: Float[np.ndarray, "n V S points"], place: Float[np.ndarray, "n V S points"]
    ) -> Float[np.ndarray, "n V S points"]:
        """Where truths lie in their laws.

        Args:
            truth: what happened.
            place: uniform numbers, which say where in a point mass it lies.
        """
        found = np.empty_like(truth)
        for v, law in enumerate(self.laws):
            there = (torch.from_numpy(values[:, v].copy()) for values in (truth, self.location, self.scale, place))
            found[:, v] = law.level(*there).numpy()
        return np.where(np.isnan(truth), np.nan, found)


@dataclass(frozen=True, eq=False)
class OfVariable:
    """EMOS of one variable.

    Attributes:
        plan: of its regression.
        law: of its values.
        line: the regression.
        fitted: α … ε of each step, of each point or of all.
    """

    plan: Plan
    law: Law
    line: Line
    fitted: Float[np.ndarray, "S points 5"]

    def __call__(self, given: Given) -> tuple[np.ndarray, np.ndarray]:
        """μ and σ of some records, (n, S, points)."""
        features = self.plan.of(given)
        standard = Standard.of(self.line, self.line(features.rows), features.spread)
        location, scale = standard.shaped(torch.from_numpy(self.fitted).movedim(-1, 0))
        return location.numpy(), scale.numpy()


@dataclass(frozen=True, eq=False)
class Standard:
    """What μ and σ are made of, (n, S, points) each."""

    said: Tensor
    residual: Tensor
    off: Tensor
    relative: Tensor
    spread: Tensor

    @classmethod
    def of(cls, line: Line, said: np.ndarray, spread: np.ndarray) -> "Standard":
        off = said - line.centre
        relative = np.clip(off / line.reach, -4.0, 4.0)
        residual = np.broadcast_to(line.residual, said.shape).copy()
        return cls(*(torch.from_numpy(values) for values in (said, residual, off, relative, spread)))

    def shaped(self, fitted: Tensor) -> tuple[Tensor, Tensor]:
        """μ and σ, of α … ε along the first axis."""
        alpha, beta, gamma, delta, epsilon = fitted
        location = self.said + alpha * self.residual + beta * self.off
        variance = (self.residual * torch.exp(gamma + delta * self.relative)) ** 2 + (epsilon * self.spread) ** 2
        return location, variance.sqrt()


@dataclass(frozen=True, eq=False)
class Emos:
    """EMOS of all variables; members are independent draws at each point.

    Attributes:
        each: one a variable.
        measured: CRPS of what was tried of each variable, on the last fifth of the training, by name.
    """

    each: Sequence[OfVariable]
    measured: Sequence[dict[str, float]]

    def predicted(self, given: Given) -> Predicted:
        """The laws of some records."""
        pairs = [one(given) for one in self.each]
        location, scale = (np.stack(values, 1) for values in zip(*pairs, strict=True))
        return Predicted([one.law for one in self.each], location, scale)

    def __call__(self, given: Given, count: int, keys: Keys) -> Float[np.ndarray, "n M V S points"]:
        """`count` members of each record."""
        laws, keys = self.predicted(given), keys.fold("emos")
        n, *channels, points = laws.location.shape
        found = np.empty((n, count, *channels, points), np.float32)
        for k, place in enumerate(np.ndindex(*channels)):  # one by one: of a large grid, not all levels at once
            levels = keys.fold(k).uniform(count, points).numpy()
            found[:, :, *place] = laws.quantile(place, levels)
        return found

    @classmethod
    def fit(cls, records: Records) -> "Emos":
        """To records with their truths."""
        found = [_best(records, v) for v in range(len(records.variables))]
        return cls([one for one, _ in found], [measured for _, measured in found])


@dataclass(frozen=True, eq=False)
class _Sample:
    """Some points of all records: features and truths, of a line."""

    standard: Standard
    truth: Tensor

    def part(self, index: slice) -> "_Sample":
        fields = (getattr(self.standard, name)[index] for name in Standard.__dataclass_fields__)
        return _Sample(Standard(*fields), self.truth[index])


def _best(records: Records, variable: int) -> tuple[OfVariable, dict[str, float]]:
    """The best of what was tried, fitted to all records; its CRPS and that of the others."""
    count = len(records.times)
    early, late, every = slice(0, max(2, count * 4 // 5)), slice(max(2, count * 4 // 5), count), slice(0, count)
    tried: dict[str, tuple[Plan, bool, Law]] = {}
    for law in candidates(*_seen(records, variable)):
        for together in _scopes(records):
            seasons = Seasons.of(records.times[early])
            plan = Plan(variable, law.root, seasons.annual, seasons.daily)
            tried[f"{law.name}, {'all points' if together else 'each point'}"] = plan, together, law
    if len(tried) == 1 or count < 10:
        (plan, together, law), measured = next(iter(tried.values())), {}
    else:
        measured = {name: _tested(records, *what, early, late) for name, what in tried.items()}
        plan, together, law = tried[min(measured, key=lambda name: measured[name])]
    fitted = _fitted(records, plan, together, law, every)
    return fitted, measured


def _seen(records: Records, variable: int) -> tuple[float, float, float, float]:
    """Lowest value, mean, standard deviation and share of zeros, of some records."""
    few = int(np.clip(BATCH // size(records), 1, len(records.times)))
    index = np.unique(np.linspace(0, len(records.times) - 1, few).astype(int))
    truth = records.read(index).truth[:, variable]
    truth = truth[np.isfinite(truth)].astype(np.float64)
    if not len(truth):
        return -1.0, 0.0, 1.0, 0.0
    return float(truth.min()), float(truth.mean()), float(truth.std()), float((truth == 0).mean())


def _scopes(records: Records) -> list[bool]:
    """Whether one line of all points, one of each, or both are tried."""
    points = int(np.prod(records.grid.shape))
    width = points * len(records.steps) * (len(records.predictors) + 9) ** 2
    if points == 1:
        return [True]
    return [True, False] if width <= SUMS and len(records.times) >= 30 else [True]


def _tested(records: Records, plan: Plan, together: bool, law: Law, early: slice, late: slice) -> float:
    """The CRPS on late records of what is fitted to the early ones."""
    found = _fitted(records, plan, together, law, early)
    sample = _sampled(records, plan, found.line, late, _points(records, together))
    points = slice(None) if found.fitted.shape[1] == 1 else _points(records, together)
    location, scale = sample.standard.shaped(torch.from_numpy(found.fitted[:, points]).movedim(-1, 0))
    truth = sample.truth.square() if law.root else sample.truth
    there = torch.isfinite(truth) & torch.isfinite(location)
    return float(crps(law, truth[there], location[there], scale[there]).mean())


def _fitted(records: Records, plan: Plan, together: bool, law: Law, part: slice) -> OfVariable:
    line = summed(records, plan, together, part).line()
    points = _points(records, together)
    sample = _sampled(records, plan, line, part, points)
    alone = not together and len(points) == int(np.prod(records.grid.shape)) and records.grid.kind == "stations"
    groups = len(points) if alone else 1
    return OfVariable(plan, law, line, _minimised(law, sample, groups))


def _points(records: Records, together: bool) -> np.ndarray:
    """Which points the CRPS is measured at."""
    points, count = int(np.prod(records.grid.shape)), len(records.times)
    if records.grid.kind == "stations" and not together and points * count <= ALONE:
        return np.arange(points)
    order = Keys.of(0, 1).fold("points").uniform(points)[0].numpy()
    order = np.argsort(np.where(_known(records), order, 2.0))  # those that are masked last
    return np.sort(order[: max(1, min(points, SAMPLE // count))])


def _known(records: Records) -> np.ndarray:
    """Points that some of a few records have a truth of."""
    index = np.unique(np.linspace(0, len(records.times) - 1, 8).astype(int))
    truth = np.asarray(records.read(index).truth)
    return np.asarray(np.isfinite(truth.reshape(*truth.shape[:3], -1)).any((0, 1, 2)))


def _sampled(records: Records, plan: Plan, line: Line, part: slice, points: np.ndarray) -> _Sample:
    """Of a line, at some points."""
    at, found = line.at(points), []
    for index in batches(records):
        cut = slice(max(index.start, part.start), min(index.stop, part.stop))
        if cut.start < cut.stop:
            features = plan.of(Given.of(records, cut))
            assert features.truth is not None
            said = at(features.rows[:, :, points])
            found.append((said, features.spread[:, :, points], features.truth[:, :, points]))
    said, spread, truth = (np.concatenate(values) for values in zip(*found, strict=True))
    return _Sample(Standard.of(at, said, spread), torch.from_numpy(truth))


def _minimised(law: Law, sample: _Sample, groups: int) -> Float[np.ndarray, "S groups 5"]:
    """α … ε of each step and group by the least CRPS."""
    steps, ensemble = sample.truth.shape[1], bool((sample.standard.spread > 0).any())
    start = np.zeros((_PARAMETERS, steps, groups))
    start[2] = (-0.35 if ensemble else 0.0) - (0.6 if "logistic" in law.name else 0.0)
    start[4] = 0.5 if ensemble else 0.0
    truth = sample.truth.square() if law.root else sample.truth
    there = torch.isfinite(truth) & torch.isfinite(sample.standard.said)
    size = sample.standard.residual[there].mean() * (truth[there].std() if law.root else 1.0)

    def loss(fitted: Tensor) -> Tensor:
        location, scale = sample.standard.shaped(fitted)
        location, scale = (values.broadcast_to(there.shape)[there] for values in (location, scale))
        return crps(law, truth[there], location, scale).mean() / size

    return np.moveaxis(_least(loss, start), 0, -1)


def _least(loss: Callable[[Tensor], Tensor], start: np.ndarray) -> np.ndarray:
    """Where a smooth function is smallest, by L-BFGS."""
    from scipy.optimize import minimize

    def both(flat: np.ndarray) -> tuple[float, np.ndarray]:
        at = torch.from_numpy(flat.reshape(start.shape)).requires_grad_()
        value = loss(at)
        return value.item(), torch.autograd.grad(value, at)[0].numpy().ravel()

    found = minimize(both, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 80, "maxcor": 20})
    return found.x.reshape(start.shape)
