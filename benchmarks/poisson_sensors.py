"""Posteriors of sources and solutions from 3 % of the points, beside what linear estimators make of them.

    .venv/bin/python -m benchmarks.poisson_sensors [--only NAME] [--models NAME=RUN ...] [--quick]

Sensors read ρ (forward) or φ (inverse) at random nodes, with noise of 0.1 % of their root mean square; then both fields
are asked for. ∇²φ = ρ, φ = 0 on the boundary.

    error      ‖mean of the members − truth‖ / ‖truth‖, the mean over the cases
    beside     the same of kriging, which is exact where sources are Gaussian, or of the best linear estimator by the
               moments of 20,000 draws; `ratio` is the error over it
    std        the standard deviation of the members over that of kriging, the mean over points and cases
    coverage   of the central interval of the members that holds a new one 90 times in 100 (2nd to 38th of 39)

One line of JSON a question and a field; they go to benchmarks/results/poisson_sensors.jsonl.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from benchmarks.poisson_cases import TEST, covered, equation
from jaxtyping import Float
from torch import Tensor

import ornstein as on
from ornstein.domains.poisson import sources
from ornstein.domains.poisson.equations import Problem
from ornstein.domains.poisson.factors import solution_sensors, source_sensors
from ornstein.domains.poisson.kriging import Linear, kriging
from ornstein.errors import InputError
from ornstein.guidance.measurements import Measurement
from ornstein.keys import Keys

RESULTS = Path(__file__).parent / "results" / "poisson_sensors.jsonl"
NOISE = 1e-3
"""Of the sensors, of the root mean square of what they read."""
DRAWS = 20_000
"""By which the best linear estimator is found."""


@dataclass(frozen=True)
class Question:
    """Sensors at places that are the same in all cases.

    Attributes:
        model: which has learnt the sources.
        kind: of the sources.
        side: of the grid.
        way: "forward", sensors of ρ, or "inverse", of φ.
        sensors: how many.
    """

    model: str
    kind: str
    side: int
    way: str
    sensors: int

    @property
    def name(self) -> str:
        return f"{self.kind}, {self.side}², {self.sensors} sensors, {self.way}"

    @property
    def problem(self) -> Problem:
        return Problem(equation(self.side))

    def draw(self, seed: int, n: int) -> Float[Tensor, "n 1 side side"]:
        parts = [Keys.of(seed, range(k, min(k + 500, n))) for k in range(0, n, 500)]
        return torch.cat([sources.draw(self.kind, keys, (self.side, self.side)) for keys in parts]).double()

    def measured(self, truths: Float[Tensor, "n 1 side side"]) -> Measurement:
        """Of all truths at once, one a sample."""
        h = 1 / (self.side + 1)
        cells = Keys.of(TEST, 1).uniform(self.side**2)[0].argsort()[: self.sensors]
        points = h * (1 + torch.stack([cells % self.side, cells // self.side], 1).double())
        factor = source_sensors if self.way == "forward" else solution_sensors
        plan = factor(self.problem, (points, torch.zeros(self.sensors), 1.0))
        assert isinstance(plan.operator, on.operators.Operator)
        exact = plan.operator(truths)
        std = NOISE * float(exact.square().mean().sqrt())
        noise = std * Keys.of(TEST, len(truths)).fold("noise").normal(*exact.shape[1:])
        return replace(plan, y=exact + noise, std=std)


QUESTIONS = [
    *(Question("poisson/gaussian", "gaussian", 64, way, 123) for way in ("forward", "inverse")),
    *(Question("poisson/discs", "discs", 64, way, 123) for way in ("forward", "inverse")),
    *(Question("poisson/gaussian-128", "gaussian", 128, way, 500) for way in ("forward", "inverse")),
]


@dataclass(frozen=True)
class Row:
    """What was found of one field of one question; see above.

    Attributes:
        question: what was asked.
        field: ρ or φ.
        cases, members: truths, and samples of each.
        calls, gradients: of the network, a sample.
        seconds: a case.
        settings: of the sampler.
    """

    question: str
    field: str
    error: float
    beside: float
    ratio: float
    coverage: float
    std: float | None
    cases: int
    members: int
    calls: float
    gradients: float
    seconds: float
    settings: dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One truth with its members, and what a linear estimator says.

    Attributes:
        truth, beside: of ρ and φ, (2, side, side).
        members: of both, (2, members, side, side).
        std: of kriging, (2, side, side); None where the posterior is not known.
    """

    truth: Tensor
    beside: Tensor
    members: Tensor
    std: Tensor | None


def asked(question: Question, model: Any, cases: int, members: int, settings: dict[str, Any]) -> Iterator[Row]:
    """The rows of a question."""
    truths = question.draw(TEST, cases)
    seen = question.measured(truths)
    known = partial(_exactly, question, seen) if question.kind == "gaussian" else _linearly(question, seen)
    found, drawn = [], []
    for k in range(cases):
        samples = on.sample(model & replace(seen, y=seen.y[k]), members, seed=k, **settings)
        beside, std = known(k)
        both = question.problem.solution(samples.x.double())
        pair = torch.stack([samples.x.double(), both])[:, :, 0]
        truth = torch.stack([truths[k, 0], question.problem.solution(truths[k : k + 1])[0, 0]])
        found.append(Case(truth, beside, pair, std))
        drawn.append(samples)
    for k, field in enumerate("ρφ"):
        yield Row(
            question.name,
            field,
            **_judged(found, k),
            cases=cases,
            members=members,
            calls=drawn[0].nfe,
            gradients=sum(one.gradients for one in drawn) / cases,
            seconds=sum(one.seconds for one in drawn) / cases,
            settings=settings,
        )


def _exactly(question: Question, seen: Measurement, k: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of both fields, by kriging."""
    cov = sources.gaussian_spectrum((1, question.side, question.side))
    given = kriging(question.problem, cov, [replace(seen, y=seen.y[k])])
    return torch.stack([given.source, given.solution]), torch.stack([given.source_std, given.solution_std])


def _linearly(question: Question, seen: Measurement) -> Any:
    """The best linear estimator of both fields, of case k."""
    best = Linear.of(question.draw(TEST + 1, DRAWS), seen)

    def known(k: int) -> tuple[Tensor, None]:
        source = best(torch.as_tensor(seen.y)[k].reshape(1, -1))
        return torch.stack([source[0, 0], question.problem.solution(source)[0, 0]]), None

    return known


def _judged(cases: list[Case], k: int) -> dict[str, Any]:
    """Of ρ (0) or φ (1)."""
    size = [one.truth[k].norm() for one in cases]
    error = sum(float((c.members[k].mean(0) - c.truth[k]).norm() / s) for c, s in zip(cases, size, strict=True))
    beside = sum(float((c.beside[k] - c.truth[k]).norm() / s) for c, s in zip(cases, size, strict=True))
    widths = [float((c.members[k].std(0) / c.std[k]).mean()) for c in cases if c.std is not None]
    return {
        "error": error / len(cases),
        "beside": beside / len(cases),
        "ratio": error / beside,
        "coverage": sum(covered(c.members[k], c.truth[k]) for c in cases) / len(cases),
        "std": sum(widths) / len(cases) if widths else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=8, help="truths, each with its own readings")
    parser.add_argument("--members", type=int, default=39, help="samples of each posterior: 19, 39, 59, ...")
    parser.add_argument("--only", default="", help="questions with this in their names")
    parser.add_argument("--models", nargs="*", default=[], help="NAME=RUN: a run in the place of a shipped model")
    parser.add_argument(
        "--settings", type=json.loads, default={"steps": 20, "eta": 1.0}, help="of the sampler, in JSON"
    )
    parser.add_argument("--quick", action="store_true", help="one truth and 19 members; writes no file")
    options = parser.parse_args()
    cases, members = (1, 19) if options.quick else (options.cases, options.members)
    runs = dict(one.split("=", 1) for one in options.models)
    rows: list[Row] = []
    for question in QUESTIONS:
        if options.only not in question.name:
            continue
        try:
            model = on.load(runs.get(question.model, question.model))
        except InputError as problem:
            print(f"left out: {question.name}: {problem}", file=sys.stderr)
            continue
        for row in asked(question, model, cases, members, options.settings):
            rows.append(row)
            print(json.dumps(rounded(row), ensure_ascii=False), flush=True)
    print(table(rows))
    if not options.quick:
        store(rows)


def rounded(row: Row) -> dict[str, Any]:
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in asdict(row).items()}


def stored(path: Path = RESULTS) -> list[Row]:
    """The rows of the last runs of each question."""
    return [Row(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def table(rows: list[Row]) -> str:
    """In Markdown; `beside` is kriging where that is exact, of discs the best linear estimator."""
    head = (
        "| question | field | error | beside | ratio | 90 % coverage | std ratio | cases × members |\n"
        + "|---" * 8
        + "|"
    )
    lines = [
        f"| {row.question} | {row.field} | {row.error:.2%} | {row.beside:.2%} | {row.ratio:.3f} | {row.coverage:.1%} | "
        f"{'' if row.std is None else f'{row.std:.2f}'} | {row.cases} × {row.members} |"
        for row in rows
    ]
    return "\n".join([head, *lines])


def store(rows: list[Row], path: Path = RESULTS) -> None:
    """Replaces the stored rows of the questions that were asked."""
    again = {row.question for row in rows}
    kept = [row for row in stored(path) if row.question not in again]
    text = "\n".join(json.dumps(rounded(row), ensure_ascii=False) for row in [*kept, *rows])
    path.write_text(text + "\n")


if __name__ == "__main__":
    main()
