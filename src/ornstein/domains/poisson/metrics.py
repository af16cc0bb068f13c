"""How samples of sources and solutions are judged: against the truth, by their equation, or by the data.

With a truth its posterior mean, its spread and its intervals are judged, point by point of the grid, and the errors
that go round are those of fields, ‖mean − truth‖ / ‖truth‖. Without one it is how well the equation, the boundary and
the readings hold. Samples that nothing was said of are compared with the spectrum of the data.

One tally a kind of score: each takes samples some at a time and keeps sums, largest values and moments. What needs all
members of a point (CRPS and ranks against a truth) is laid aside, see `calibration.RunningMembers`.
"""

from array import array
from collections.abc import Mapping
from math import inf, isnan
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ... import calibration
from ...errors import InputError
from ...spectral.transforms import Separable
from ...tasks.figures import Metric
from ...tasks.samples import Samples
from ...values import number_written
from .asked.sensors import Sensors
from .data import spectrum
from .factors import of_unknowns
from .results.refined import COSTS, refined
from .results.solutions import Solved, is_learned, shared_of, truths_of
from .tallies import Largest, Running, Tally, Values

LEVELS = (0.5, 0.9)
"""Of the intervals whose coverage is told, or the nearest that so many samples have."""
_BANDS = {"long": (0.0, 1 / 16), "middle": (1 / 16, 1 / 4), "short": (1 / 4, 1.0)}
"""From above and up to, in shares of the largest wavenumber; the mean over the grid is in none."""


# Against the truth ------------------------------------------------------------------------------------


class ByTruth(Tally):
    """Of the fields that are known and were not given."""

    def __init__(self) -> None:
        """Of no samples yet."""
        self._fields: dict[str, Against] = {}

    def add(self, samples: Samples, found: Solved) -> None:
        drawn = {found.problem.equation.unknown: found.unknown, "solution": found.solution}
        if is_learned(samples):  # the source was given to it
            drawn = {"solution": found.solution}
        truths = truths_of(samples, found)
        for name, field in drawn.items():
            if name in truths:
                self._fields.setdefault(name, Against(name, truths[name])).add(field)

    def metrics(self) -> list[Metric]:
        return [metric for field in self._fields.values() for metric in field.metrics()]


class Against:
    """How far samples of a field are off its truth, and whether they know it."""

    def __init__(self, name: str, truth: Float[Tensor, "*grid"]) -> None:
        """Of no samples yet.

        Args:
            name: of the field.
            truth: of it.
        """
        self._name, self._truth = name, truth
        self._mean, self._off, self._spread = Running(), Running(), False
        self._first: Tensor | None = None
        self._members = calibration.RunningMembers(truth)

    def add(self, members: Float[Tensor, "n *grid"]) -> None:
        """Takes in further samples, in the unit of the truth."""
        self._first = members[:1].clone() if self._first is None else self._first
        self._spread = self._spread or bool((members != self._first).any())
        self._mean.add(members)
        self._off.add((members - self._truth).flatten(1).norm(dim=1))
        self._members.add(members)

    def metrics(self) -> list[Metric]:
        """Of all that came."""
        name, size = self._name, float(self._truth.norm().clamp(min=1e-300))
        found = [
            Metric(
                f"{name}: relative error of the mean",
                float(np.linalg.norm(self._mean.mean - self._truth.numpy()) / size),
                "lower",
                "relative L2 distance of the posterior mean from the truth",
            ),
            Metric(
                f"{name}: relative error of a sample",
                float(self._off.mean / size),
                "lower",
                "relative L2 distance of one sample from the truth, √2 times that of the mean where samples are right",
            ),
        ]
        if not self._spread:  # what is known has no spread to judge
            return found[:1]
        members = self._members
        estimates = [
            members.crps(),
            members.spread_skill().ratio,
            *dict.fromkeys(map(members.ranks().coverage().near, LEVELS)),
        ]
        return found + [Metric(**{**one.metric, "name": f"{name}: {one.name}"}) for one in estimates]


def against(name: str, truth: Float[Tensor, "*grid"], members: Float[Tensor, "n *grid"]) -> list[Metric]:
    """How far samples of a field are off its truth, and whether they know it.

    Args:
        name: of the field.
        truth: of it.
        members: samples of it, in the unit of the truth.
    """
    found = Against(name, truth)
    found.add(members)
    return found.metrics()


# By the equation and the readings ---------------------------------------------------------------------


class ByEquation(Tally):
    """How well the equation and the boundary hold, at worst, and how wide the solutions spread."""

    def __init__(self) -> None:
        """Of no samples yet."""
        self._worst = Largest()
        self._solution, self._reason = Running(), ""

    def add(self, samples: Samples, found: Solved) -> None:
        self._worst.add(residual=found.residual, violation=found.violation, error_bound=found.error_bound)
        self._solution.add(found.solution)
        self._reason = found.problem.equation.certificate.reason

    def metrics(self) -> list[Metric]:
        exact = f"solution on the grid, at most, round-off included; by {self._reason}"
        metrics = [
            Metric(
                "largest PDE residual",
                self._worst["residual"],
                "lower",
                "‖Lφ − ρ‖ of the worst sample, relative to that of φ = 0: 0 but for round-off where φ is solved for",
            ),
            Metric(
                "largest boundary violation",
                self._worst["violation"],
                "lower",
                "the furthest any sample is off what Dirichlet sides say, in the unit of φ: 0 by construction",
            ),
            *_certified("certified error", self._worst["error_bound"], exact),
        ]
        if self._solution.count > 1:
            size = max(float(np.linalg.norm(self._solution.mean)), 1e-300)
            meaning = "standard deviation of φ over the size of its mean: what is not known of it"
            spread = float(np.linalg.norm(self._solution.std)) / size
            metrics.append(Metric("spread of the solution", spread, "closer", meaning))
        return metrics


class ByWork(Tally):
    """How much work samples of a learned solver saved, and how exact the corrected solutions are."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Of no samples yet.

        Args:
            settings: of the samples.
        """
        self._asked = settings.get("refine")
        self._costs = {name: Running() for name in COSTS}
        self._worst = Largest()

    def add(self, samples: Samples, found: Solved) -> None:
        """Of samples that were read it is known what it cost."""
        costs: Mapping[str, Tensor] = samples.condition if COSTS[0] in samples.condition else refined(samples, found)
        if costs:
            for name, sums in self._costs.items():
                sums.add(costs[name])
            self._worst.add(residual=costs["refined_residual"], error_bound=costs["refined_error_bound"])

    def metrics(self) -> list[Metric]:
        if not self._worst:
            return []
        means, from_zero = {name: float(sums.mean) for name, sums in self._costs.items()}, "a start from zero"
        work = "conjugate gradients with a multigrid cycle, from a sample; less than from zero is what the sample saved"
        exact = "corrected solution on the grid, at most, round-off included"
        left = "‖Lφ − ρ‖ of the worst corrected solution, relative to that of φ = 0"
        return [
            Metric(
                "iterations of refine", means["iterations"], "lower", work, means["iterations_from_zero"], from_zero
            ),
            Metric(
                "seconds of refine",
                means["seconds"],
                "lower",
                "of these, without the set-up of the grids",
                means["seconds_from_zero"],
                from_zero,
            ),
            Metric("largest residual, refined", self._worst["residual"], "lower", left, self._asked, "asked for"),
            *_certified("certified error, refined", self._worst["error_bound"], exact),
        ]


def _certified(name: str, largest: float, what: str) -> list[Metric]:
    """The largest bound of relative errors, if there is one of each."""
    return [] if isnan(largest) else [Metric(name, largest, "lower", f"relative error of the worst {what}")]


class ByReadings(Tally):
    """How far samples are off each reading, in its own standard deviations."""

    def __init__(self) -> None:
        """Of no samples yet."""
        self._squares: dict[str, Running] = {}

    def add(self, samples: Samples, found: Solved) -> None:
        grid = found.problem.equation.grid
        read: Mapping[str, Any] = {
            "solution_sensors": lambda at: grid.interpolation(at)(found.whole),
            "source_sensors": lambda at: of_unknowns(grid, at)(found.unknown),
            "coefficient_sensors": lambda at: of_unknowns(grid, at)(found.unknown),
        }
        for name, table in shared_of(samples.condition).items():
            if name in read:
                sensors = Sensors.of_table(table)
                off = (read[name](sensors.points) - sensors.values) / sensors.std
                self._squares.setdefault(name, Running()).add(off.square().reshape(-1))

    def metrics(self) -> list[Metric]:
        return [
            Metric(
                f"misfit of the {name.replace('_', ' ')}",
                float(squares.mean) ** 0.5,
                "closer",
                "root mean square of sample − reading, in the reading's standard deviations",
                1.0,
                "right samples",
            )
            for name, squares in self._squares.items()
        ]


class ByBounds(Tally):
    """By how much samples are out of the bounds that were said, at worst, and how much of them is.

    What is beyond them is laid aside, as it is known only of all samples together what a hundredth of the spread is.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Of no samples yet.

        Args:
            settings: of the samples; InputError for bounds that are none.
        """
        self._low, self._high = _bounds_in(settings)
        self._field, self._beyond, self._worst = Running(), Values(), Largest()

    def add(self, samples: Samples, found: Solved) -> None:
        if self._low == -inf and self._high == inf:
            return
        field = found.unknown.exp() if found.problem.equation.unknown == "log_coefficient" else found.unknown
        out = (self._low - field).clamp(min=0.0) + (field - self._high).clamp(min=0.0)
        self._field.add(field.reshape(-1))
        self._worst.add(out=out)
        self._beyond.add(out[out > 0].numpy())

    def metrics(self) -> list[Metric]:
        if not self._worst:
            return []
        share = self._beyond.above(0.01 * float(self._field.std)) / self._field.count
        return [
            Metric(
                "furthest out of bounds",
                self._worst["out"],
                "lower",
                "by how much the worst sample is below the lowest or above the highest value, in the unit of the field",
            ),
            Metric("share out of bounds", share, "lower", "of all unknowns, by more than a hundredth of the spread"),
        ]


def _bounds_in(settings: Mapping[str, Any]) -> tuple[float, float]:
    """What was said of the unknown's lowest and highest value; infinite numbers are words in JSON."""
    said = settings.get("bounds") or (-inf, inf)
    numbers = [number_written(str(one)) for one in said] if isinstance(said, list | tuple) else []
    if len(numbers) != 2 or any(map(isnan, numbers)):
        raise InputError(f"settings: bounds are {said!r:.80}, expected two numbers")
    return (max(numbers[0], 0.0) if settings.get("positive") else numbers[0]), numbers[1]


# By the data ------------------------------------------------------------------------------------------


class BySpectrum:
    """Mean, size and power of samples that nothing was said of, beside the data's; 40 bytes a sample are kept."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        """Of no samples yet.

        Args:
            metadata: of a model of sources.
        """
        known = spectrum(metadata)
        assert isinstance(known.basis, Separable)
        self._mean, self._std, self._basis = metadata["mean"], metadata["std"], known.basis
        self._variance = known.variance.double()
        self._each: dict[str, array[float]] = {}

    def add(self, samples: Samples) -> None:
        """Takes in further samples, as physical fields."""
        x = (samples.x.detach().cpu().double() - self._mean) / self._std
        axes = list(range(1, x.ndim))
        share = self._basis.forward(x).square() / self._variance.reshape(x.shape[1:])
        waves = self._basis.frequencies(tuple(x.shape[1:]))
        found = {"mean of a sample": x.mean(axes), "power of a sample": x.square().mean(axes)}
        for name, (low, high) in _BANDS.items():
            inside = (waves > low * waves.max()) & (waves <= high * waves.max())
            if bool(inside.any()):
                found[f"power of {name} waves"] = share[:, inside].mean(1)
        for name, values in found.items():
            self._each.setdefault(name, array("d")).extend(values.tolist())

    def metrics(self) -> list[Metric]:
        """Of all that came."""
        said = {
            "mean of a sample": (0.0, "of the field over the grid, in units of the data's spread"),
            "power of a sample": (float(self._variance.mean()), "mean square, in the same units"),
        } | {
            f"power of {name} waves": (1.0, f"over that of the data, of waves up to {high:g} of the largest wavenumber")
            for name, (_, high) in _BANDS.items()
        }
        return [_beside(name, np.asarray(values), *said[name]) for name, values in self._each.items()]


def _beside(name: str, each: Float[np.ndarray, " n"], reference: float, meaning: str) -> Metric:
    """The mean over samples with its standard error, beside the data's."""
    error = float(each.std(ddof=1) / len(each) ** 0.5) if len(each) > 1 else None
    return Metric(name, float(each.mean()), "closer", meaning, reference, "data", error)
