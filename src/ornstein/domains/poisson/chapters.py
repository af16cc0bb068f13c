"""What the tour tells of equations: sources from a few sensors, and a learned solver beside the truth."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product

from jaxtyping import Float
from torch import Tensor

from ...denoisers.base import NeuralDenoiser
from ...events import Stream, part
from ...guidance.measurements import Measurement
from ...keys import Keys
from ...report import plots
from ...report.ensembles import stamps
from ...tasks.drawing import draws
from ...tasks.engines import Independent
from ...tasks.figures import Chapter, Figure, Metric, Stop
from . import sources
from .data import MADE
from .equations import Boundary, Elliptic, Grid, Problem, refine
from .examples import NOISE, SHARE
from .factors import of_unknowns, solution_sensors, source_sensors
from .learned.pairs import MIXED
from .learned.surrogate import DEFAULTS, conditions_of
from .metrics import against

QUICK, FULL = (6, 6), (200, 20)
"""Samples and steps."""
TOLERANCE = 1e-2
"""Of the solve for what was measured: samples of so few steps are no better for a smaller one."""
TOLD = ("error of the mean", "coverage")
"""Metrics of a posterior that are told."""
SOLVED = "A learned solver beside the exact one"
CALLS = sorted({1, 2, 3, 5, 10, DEFAULTS["steps"]})
LARGEST = 64 * 64
"""Unknowns of a model that the tour can ask in seconds."""


def stops(model: NeuralDenoiser, full: bool) -> list[Stop]:
    """What is shown of a model beside its own samples.

    Args:
        model: any of the domain.
        full: as many samples as a judgement needs.
    """
    assert model.origin is not None
    metadata = model.origin.metadata
    shape = tuple(metadata["shape"][1:])
    if metadata["data"] not in (*MADE, MIXED) or len(shape) != 2 or shape[0] * shape[1] > LARGEST:
        return []
    if metadata["learns"] == "sources":
        of = "solution" if metadata["data"] == "discs" else "source"
        title = f"{_count(shape)} sensors of a {of}: {metadata['data']}"
        return [Stop(title, partial(measured, model, title, of, full), 42, 6)]
    return [Stop(SOLVED, partial(solved, model, full), 43, 4)]


# Sources from sensors ---------------------------------------------------------------------------------


def measured(model: NeuralDenoiser, title: str, of: str, full: bool, seed: int) -> Stream[Chapter]:
    """A source that the model never saw, from readings of it or of its solution at random points.

    Args:
        model: of sources.
        title: of the chapter.
        of: "source" or "solution", which is measured.
        full: as many samples as a judgement needs.
        seed: of the truth, the points, the noise and the samples.
    """
    assert model.origin is not None
    metadata = model.origin.metadata
    shape = tuple(metadata["shape"][1:])
    problem = Problem(Elliptic(Grid(shape, Boundary.of("dirichlet", 2))))
    truth = held_out(metadata["data"], 1, shape, seed)
    points = Keys.of(seed, 1).fold("tour: sensors").uniform(_count(shape), 2)[0].double()
    asked = model & sensed(problem, truth, points, seed, of)
    n, steps = FULL if full else QUICK
    samples = yield from draws(asked, n, Independent(steps=steps, batch_size=32), seed=seed)
    found = {"source": samples.x.double(), "solution": problem.solution(samples.x.double())}
    exact = {"source": truth, "solution": problem.solution(truth)}
    figures = [shown(name, exact[name], found[name], points if name == of else None) for name in exact]
    return Chapter(
        title,
        "A source ρ of the kind that the model has learned, held out, and its solution: ∇²φ = ρ, φ = 0 on the border. "
        f"Only {len(points)} readings of the {of} are known, ± {NOISE:.1%}. In each of the {n} samples φ is solved for "
        f"from ρ, so that the equation and the border hold in it; {steps} steps. With a source that is known "
        "altogether, a direct solver is the right tool.",
        figures,
        [
            metric
            for name in exact
            for metric in against(name, exact[name][0, 0], found[name][:, 0])
            if any(word in metric.name for word in TOLD)
        ],
        figures[0],
    )


def sensed(
    problem: Problem,
    truth: Float[Tensor, "1 1 *grid"],
    points: Float[Tensor, "sensors axes"],
    seed: int,
    of: str = "solution",
) -> Measurement:
    """Readings of a field at points, with noise of `NOISE` of its size, as a factor.

    Args:
        problem: the equation, of sources in their unit.
        truth: the source, (1, 1, *grid).
        points: (sensors, axes), x first.
        seed: of the noise.
        of: "solution" or "source".
    """
    grid = problem.equation.grid
    field = problem.solution(truth) if of == "solution" else truth
    values = grid.interpolation(points)(grid.whole(field)) if of == "solution" else of_unknowns(grid, points)(field)
    std = NOISE * float(field.square().mean().sqrt())
    noise = std * Keys.of(seed, 1).fold("tour: noise").normal(len(points))[0]
    factor = solution_sensors if of == "solution" else source_sensors
    return replace(factor(problem, (points, values[0, 0] + noise, std)), tolerance=TOLERANCE)


# A learned solver -------------------------------------------------------------------------------------


def solved(model: NeuralDenoiser, full: bool, seed: int) -> Stream[Chapter]:
    """Solutions of whole sources: their error against calls, their spread, and what is left to conjugate gradients."""
    assert model.origin is not None
    metadata, n = model.origin.metadata, 64 if full else 8
    equation = Elliptic(Grid(tuple(metadata["shape"][1:]), Boundary.of("dirichlet", 2)))
    errors = yield from part(_errors(model, equation, n, seed), 0, 9, 10)
    rho = held_out("discs", 1, equation.grid.shape, seed)
    given = conditions_of(equation, rho.expand(n, *rho.shape[1:]), metadata)
    samples = yield from part(draws(model, n, _calls(), seed=seed, condition=given), 9, 1, 10)
    truth, phi = equation.solution(rho), samples.x.double()
    left, size, calls = refine(equation, phi[:1, 0], rho[:, 0]), float(truth.norm()), DEFAULTS["steps"]
    curves = plots.curves({kind: (CALLS, row) for kind, row in errors.items()}, "calls", "‖error‖ / ‖φ‖", "xy")
    figure = shown("solution", truth, phi)
    return Chapter(
        SOLVED,
        f"A network of p(φ | ρ) as a solver: {n} sources of each kind that it never saw, beside sine transforms, which "
        "are exact, take a tenth of a millisecond and are the right tool here. From a sample, conjugate gradients with "
        f"multigrid reach a residual of 1e-10 in {left.iterations[0]} iterations, from zero in "
        f"{left.iterations_from_zero[0]}; the error is then certified to be below {left.error_bound[0] / size:.0e}.",
        [figure, Figure(curves, f"Mean error of {n} sources against calls of the network", "svg+xml", 520)],
        [*(_error(kind, row[CALLS.index(calls)], n) for kind, row in errors.items()), _spread(phi, size)],
        figure,
    )


def _errors(model: NeuralDenoiser, equation: Elliptic, n: int, seed: int) -> Stream[dict[str, list[float]]]:
    """The mean relative error after each number of calls, by the kind of source."""
    assert model.origin is not None
    errors: dict[str, list[float]] = {kind: [] for kind in MADE}
    for k, (kind, calls) in enumerate(product(MADE, CALLS)):
        rho = held_out(kind, n, equation.grid.shape, seed)
        given = conditions_of(equation, rho, model.origin.metadata)
        drawn = draws(model, n, _calls(calls), seed=seed, condition=given)
        samples = yield from part(drawn, k, 1, len(MADE) * len(CALLS))
        truth = equation.solution(rho)
        errors[kind].append(float(((samples.x - truth).flatten(1).norm(dim=1) / truth.flatten(1).norm(dim=1)).mean()))
    return errors


def _error(kind: str, value: float, n: int) -> Metric:
    meaning = f"Of {DEFAULTS['steps']} calls, relative to the exact solution; mean over {n} sources."
    return Metric(f"error, {kind}", value, "lower", meaning)


def _spread(phi: Tensor, size: float) -> Metric:
    meaning = "Standard deviation of the samples for one source, relative to it: there is one solution."
    return Metric("spread", float(phi.std(0).norm()) / size, "lower", meaning)


def _calls(number: int | None = None) -> Independent:
    """The learned solver's way to draw, in so many calls if that is said."""
    return Independent(**{**DEFAULTS, **({} if number is None else {"steps": number})}, batch_size=64)


# What both show ---------------------------------------------------------------------------------------


def held_out(kind: str, n: int, shape: tuple[int, ...], seed: int) -> Float[Tensor, "n 1 y x"]:
    """Sources that no model has learnt from, float64."""
    return sources.draw(kind, Keys.of(seed, n).fold("tour: held out"), shape).double()


def shown(
    name: str,
    truth: Float[Tensor, "1 1 y x"],
    found: Float[Tensor, "n 1 y x"],
    points: Float[Tensor, "sensors 2"] | None = None,
) -> Figure:
    """A field on the unit square as it is, and what samples say of it; with sensors as dots."""
    dots = None if points is None else points.numpy()
    members = found[:, 0].numpy()
    return stamps(truth[0, 0].numpy(), members, name, 1, upward=True, points=dots, extent=(0.0, 1.0, 0.0, 1.0))


def _count(shape: Sequence[int]) -> int:
    return round(SHARE * shape[0] * shape[1])
