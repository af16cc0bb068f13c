"""How samples of sources and solutions are judged: against the truth, by their equation, or by the data.

With a truth its posterior mean, its spread and its intervals are judged, point by point of the grid, and the errors
that go round are those of fields, ‖mean − truth‖ / ‖truth‖. Without one it is how well the equation, the boundary and
the readings hold. Samples that nothing was said of are compared with the spectrum of the data.
"""

from collections.abc import Mapping
from math import inf, isnan
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ... import calibration
from ...errors import InputError
from ...tasks.figures import Metric
from ...tasks.samples import Samples
from ...transforms import Separable
from ...values import number_written
from .asked.sensors import Sensors
from .data import spectrum
from .factors import of_unknowns
from .results.refined import COSTS, refined
from .results.solutions import Solved, is_learned, shared_of, solved_in, truths_of

LEVELS = (0.5, 0.9)
"""Of the intervals whose coverage is told, or the nearest that so many samples have."""
_BANDS = {"long": (0.0, 1 / 16), "middle": (1 / 16, 1 / 4), "short": (1 / 4, 1.0)}
"""From above and up to, in shares of the largest wavenumber; the mean over the grid is in none."""
_ASKED = ("source", "source_sensors", "coefficient_sensors", "solution_sensors", "bounds", "positive", "total")
"""What changes the law of the samples."""


def evaluate(samples: Samples) -> list[Metric]:
    """All that can be said of these samples.

    Args:
        samples: of a model of this domain.
    """
    found = solved_in(samples)
    judged = [] if found is None else _of_solved(samples, found)
    if not any(samples.settings.get(name) for name in _ASKED):
        judged += of_spectrum(samples)
    return judged


def _of_solved(samples: Samples, found: Solved) -> list[Metric]:
    return [
        *_by_truth(samples, found),
        *of_readings(samples, found),
        *of_bounds(samples, found),
        *of_equation(found),
        *of_refined(samples, found),
    ]


# Against the truth ------------------------------------------------------------------------------------


def _by_truth(samples: Samples, found: Solved) -> list[Metric]:
    drawn = {found.problem.equation.unknown: found.unknown, "solution": found.solution}
    if is_learned(samples):  # the source was given to it
        drawn = {"solution": found.solution}
    truths = truths_of(samples, found)
    return [metric for name, field in drawn.items() if name in truths for metric in against(name, truths[name], field)]


def against(name: str, truth: Float[Tensor, "*grid"], members: Float[Tensor, "n *grid"]) -> list[Metric]:
    """How far samples of a field are off its truth, and whether they know it.

    Args:
        name: of the field.
        truth: of it.
        members: samples of it, in the unit of the truth.
    """
    size, mean = truth.norm().clamp(min=1e-300), members.mean(0)
    found = [
        Metric(
            f"{name}: relative error of the mean",
            float((mean - truth).norm() / size),
            "lower",
            "relative L2 distance of the posterior mean from the truth",
        ),
        Metric(
            f"{name}: relative error of a sample",
            float((members - truth).flatten(1).norm(dim=1).mean() / size),
            "lower",
            "relative L2 distance of one sample from the truth, √2 times that of the mean where samples are right",
        ),
    ]
    if len(members) < 2 or bool((members == members[:1]).all()):  # what is known has no spread to judge
        return found[:1]
    y, x = truth.numpy()[None], members.numpy()[None]
    estimates = [
        calibration.crps(y, x),
        calibration.spread_skill(y, x).ratio,
        *dict.fromkeys(map(calibration.Ranks.of(y, x).coverage().near, LEVELS)),
    ]
    return found + [Metric(**{**one.metric, "name": f"{name}: {one.name}"}) for one in estimates]


# By the equation and the readings ---------------------------------------------------------------------


def of_equation(found: Solved) -> list[Metric]:
    """How well the equation and the boundary hold, at worst, and how wide the solutions spread.

    Args:
        found: samples with their solutions.
    """
    exact = f"solution on the grid, at most, round-off included; by {found.problem.equation.certificate.reason}"
    metrics = [
        Metric(
            "largest PDE residual",
            float(found.residual.max()),
            "lower",
            "‖Lφ − ρ‖ of the worst sample, relative to that of φ = 0: 0 but for round-off where φ is solved for",
        ),
        Metric(
            "largest boundary violation",
            float(found.violation.max()),
            "lower",
            "the furthest any sample is off what Dirichlet sides say, in the unit of φ: 0 by construction",
        ),
        *_certified("certified error", found.error_bound, exact),
    ]
    if len(found.solution) > 1:
        spread = float(found.solution.std(0).norm() / found.solution.mean(0).norm().clamp(min=1e-300))
        meaning = "standard deviation of φ over the size of its mean: what is not known of it"
        metrics.append(Metric("spread of the solution", spread, "closer", meaning))
    return metrics


def of_refined(samples: Samples, found: Solved) -> list[Metric]:
    """How much work samples of a learned solver saved, and how exact the corrected solutions are.

    Args:
        samples: that were drawn; those that were read know what it cost.
        found: they, with their source.
    """
    costs: Mapping[str, Tensor] = samples.condition if COSTS[0] in samples.condition else refined(samples, found)
    if not costs:
        return []
    means, from_zero = {name: float(costs[name].double().mean()) for name in COSTS}, "a start from zero"
    work = "conjugate gradients with a multigrid cycle, from a sample; less than from zero is what the sample saved"
    exact = "corrected solution on the grid, at most, round-off included"
    left, asked = "‖Lφ − ρ‖ of the worst corrected solution, relative to that of φ = 0", samples.settings.get("refine")
    return [
        Metric("iterations of refine", means["iterations"], "lower", work, means["iterations_from_zero"], from_zero),
        Metric(
            "seconds of refine",
            means["seconds"],
            "lower",
            "of these, without the set-up of the grids",
            means["seconds_from_zero"],
            from_zero,
        ),
        Metric("largest residual, refined", float(costs["refined_residual"].max()), "lower", left, asked, "asked for"),
        *_certified("certified error, refined", costs["refined_error_bound"], exact),
    ]


def _certified(name: str, bounds: Float[Tensor, " n"], what: str) -> list[Metric]:
    """The largest bound of relative errors, if there is one of each."""
    largest = float(bounds.max())
    return [] if isnan(largest) else [Metric(name, largest, "lower", f"relative error of the worst {what}")]


def of_readings(samples: Samples, found: Solved) -> list[Metric]:
    """How far samples are off each reading, in its own standard deviations.

    Args:
        samples: that were drawn.
        found: they, with their solutions.
    """
    grid = found.problem.equation.grid
    read: Mapping[str, Any] = {
        "solution_sensors": lambda at: grid.interpolation(at)(found.whole),
        "source_sensors": lambda at: of_unknowns(grid, at)(found.unknown),
        "coefficient_sensors": lambda at: of_unknowns(grid, at)(found.unknown),
    }
    metrics = []
    for name, table in shared_of(samples.condition).items():
        if name in read:
            sensors = Sensors.of_table(table)
            off = (read[name](sensors.points) - sensors.values) / sensors.std
            metrics.append(
                Metric(
                    f"misfit of the {name.replace('_', ' ')}",
                    float(off.square().mean().sqrt()),
                    "closer",
                    "root mean square of sample − reading, in the reading's standard deviations",
                    1.0,
                    "right samples",
                )
            )
    return metrics


def of_bounds(samples: Samples, found: Solved) -> list[Metric]:
    """By how much samples are out of the bounds that were said, at worst, and how much of them is.

    Args:
        samples: that were drawn.
        found: they, with their solutions.
    """
    low, high = _bounds_in(samples.settings)
    if low == -inf and high == inf:
        return []
    field = found.unknown.exp() if found.problem.equation.unknown == "log_coefficient" else found.unknown
    out = (low - field).clamp(min=0.0) + (field - high).clamp(min=0.0)
    share = (out > 0.01 * field.std()).double().mean()
    return [
        Metric(
            "furthest out of bounds",
            float(out.max()),
            "lower",
            "by how much the worst sample is below the lowest or above the highest value, in the unit of the field",
        ),
        Metric("share out of bounds", float(share), "lower", "of all unknowns, by more than a hundredth of the spread"),
    ]


def _bounds_in(settings: Mapping[str, Any]) -> tuple[float, float]:
    """What was said of the unknown's lowest and highest value; infinite numbers are words in JSON."""
    said = settings.get("bounds") or (-inf, inf)
    numbers = [number_written(str(one)) for one in said] if isinstance(said, list | tuple) else []
    if len(numbers) != 2 or any(map(isnan, numbers)):
        raise InputError(f"settings: bounds are {said!r:.80}, expected two numbers")
    return (max(numbers[0], 0.0) if settings.get("positive") else numbers[0]), numbers[1]


# By the data ------------------------------------------------------------------------------------------


def of_spectrum(samples: Samples) -> list[Metric]:
    """Mean, size and power of samples that nothing was said of, beside the data's.

    Args:
        samples: of a model of sources, as physical fields.
    """
    assert samples.origin is not None
    metadata = samples.origin.metadata
    if metadata.get("learns") != "sources":
        return []
    known = spectrum(metadata)
    assert isinstance(known.basis, Separable)
    x = (samples.x.detach().cpu().double() - metadata["mean"]) / metadata["std"]
    variance, axes = known.variance.double().reshape(x.shape[1:]), list(range(1, x.ndim))
    share, waves = known.basis.forward(x).square() / variance, known.basis.frequencies(tuple(x.shape[1:]))
    found = [
        _beside("mean of a sample", x.mean(axes), 0.0, "of the field over the grid, in units of the data's spread"),
        _beside("power of a sample", x.square().mean(axes), float(variance.mean()), "mean square, in the same units"),
    ]
    for name, (low, high) in _BANDS.items():
        inside = (waves > low * waves.max()) & (waves <= high * waves.max())
        meaning = f"over that of the data, of waves up to {high:g} of the largest wavenumber"
        if bool(inside.any()):
            found.append(_beside(f"power of {name} waves", share[:, inside].mean(1), 1.0, meaning))
    return found


def _beside(name: str, each: Float[Tensor, " n"], reference: float, meaning: str) -> Metric:
    """The mean over samples with its standard error, beside the data's."""
    error = float(each.std() / len(each) ** 0.5) if len(each) > 1 else None
    return Metric(name, float(each.mean()), "closer", meaning, reference, "data", error)
