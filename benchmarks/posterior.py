"""Exact posteriors beside azula's guided samplers, where the posterior is known: one run, one process, one thread.

    make bench-env && .bench-env/bin/python benchmarks/posterior.py

Wasserstein-1 distance to exact draws on the MCGdiff mixture, what particles say of their own errors against what is so,
and simulation-based calibration. Writes benchmarks/results/posterior.jsonl, docs/posterior.md and docs/posterior.svg.
Problems 0–9 are for tuning; the reported ones are 100–119, and 200–299 for the errors. `--again PART` runs parts of it
anew and keeps the rows of the others; only the part "peers" needs azula.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import posterior_report as reporting
from ornstein.beliefs import Belief, Normal
from ornstein.denoisers.base import Condition, Denoiser, Guide, Guided
from ornstein.denoisers.tweedie import with_covariance
from ornstein.guidance.measurements import Measurement
from ornstein.keys import Keys
from ornstein.states import State, Time
from ornstein.tasks.drawing import sample
from posterior_honesty import honesty
from posterior_worlds import F64, SETTINGS, Exact, Method, Outcome, Problem, problem, wasserstein

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "posterior.jsonl"
TUNING, REPORTED, MANY = range(10), range(100, 120), range(200, 300)
DRAWS, FLOORS = 1000, 5
REPETITIONS, RANKED, DIRECTIONS = 200, 99, 3
Row = dict[str, Any]


# Ours -------------------------------------------------------------------------------------------------


def ours() -> Iterator[Method]:
    """Particles with the default number of steps, and guidance without them."""
    run = partial(_sampled, exact="particles", particles=DRAWS, steps=reporting.STEPS)
    yield Method("ornstein", reporting.particles(reporting.STEPS), run)
    yield Method("ornstein", "off, 50 steps", partial(_sampled, steps=50))


def _sampled(problem: Problem, n: int, seed: int, **options: Any) -> Outcome:
    """One call of the package."""
    found = sample(Exact(problem) & problem.measurement, n, seed=seed, **options)
    return Outcome(found.x, found.nfe)


# Distances --------------------------------------------------------------------------------------------


def measured(method: Method, problem: Problem, exact: Tensor, seed: int) -> Row:
    """Distance, evaluations and seconds of one method on one problem; or how it failed."""
    torch.manual_seed(seed)
    began = time.process_time()  # of one thread: what others do on the machine does not count
    try:
        found = method.run(problem, DRAWS, seed)
    except Exception as error:  # a peer's failure is a result, not the end of the run
        return {"failed": f"{type(error).__name__}: {error}"[:100]}
    if not found.x.isfinite().all():
        return {"failed": "not finite"}
    seconds = time.process_time() - began
    return {"w1": wasserstein(found.x, exact), "nfe": found.nfe, "seconds": round(seconds, 2)}


def distances(methods: Sequence[Method], seeds: Iterable[int], settings: Sequence[tuple[int, int]]) -> Iterator[Row]:
    """Every method on every problem."""
    for d, m in settings:
        for seed in seeds:
            world, where = problem(d, m, seed), {"d": d, "m": m, "seed": seed}
            exact = _exact(world, seed, 0)
            for method in methods:
                yield {"library": method.library, "method": method.name, **where} | measured(method, world, exact, seed)
        log(f"({d}, {m}) done")


def floors(seeds: Iterable[int], settings: Sequence[tuple[int, int]]) -> Iterator[Row]:
    """What other exact draws are apart from the same ones."""
    for d, m in settings:
        for seed in seeds:
            exact, *others = (_exact(problem(d, m, seed), seed, k) for k in range(1 + FLOORS))
            floor = sum(wasserstein(other, exact) for other in others) / FLOORS
            yield {"library": "exact", "method": reporting.FLOOR, "d": d, "m": m, "seed": seed, "w1": floor}


def _exact(world: Problem, seed: int, k: int) -> Tensor:
    """The k-th exact draws."""
    return world.draw(Keys.of(seed, DRAWS).fold(f"exact {k}"))


# Calibration ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PlugIn(Guide):
    """The likelihood of the mean alone, N(y; A x̂, σ²), as if there were no doubt: the broken twin."""

    seen: Measurement

    def guide(self, denoiser: Denoiser) -> "PluggedIn":
        return PluggedIn(denoiser, self.seen)


@dataclass(frozen=True, eq=False)
class PluggedIn(Guided):
    seen: Measurement

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        belief = with_covariance(self.denoiser, x_t, t, condition)
        assert isinstance(belief, Normal)
        operator: Any = self.seen.operator
        return belief.tilt(operator.adjoint(self.seen.y - operator(belief.mean)) / self.seen.std**2)


def calibration(seed: int, repetitions: int) -> Iterator[Row]:
    """Ranks of x* ~ prior among draws given y = A x* + noise, by direction; uniform if the draws are right."""
    world, keys = problem(8, 2, seed), Keys.of(seed, repetitions).fold("calibration")
    truths = world.prior.draw(keys)
    seen = truths @ world.matrix.T + world.std * keys.fold("noise").normal(len(world.y))
    directions = Keys.of(seed, DIRECTIONS).fold("directions").normal(world.d).T
    particles = {"exact": "particles", "particles": 500, "steps": 100}
    ways: dict[str, tuple[Callable[[Measurement], Guide], dict[str, Any]]] = {
        "particles": (lambda seen: seen, particles),
        "off": (lambda seen: seen, {"steps": 50}),
        "plug-in": (PlugIn, {"steps": 50}),
    }
    for name, (guide, options) in ways.items():
        ranks = []
        for k, (truth, y) in enumerate(zip(truths, seen, strict=True)):
            given = replace(world, y=y)
            x = sample(Exact(given) & guide(given.measurement), RANKED, seed=k, **options).x
            ranks.append((x @ directions < truth @ directions).sum(0).tolist())
        yield {"calibration": name, "seed": seed, "ranks": [list(along) for along in zip(*ranks, strict=True)]}
        log(f"calibration of {name} done")


# The run ----------------------------------------------------------------------------------------------

_BEGIN = time.perf_counter()


def log(text: str) -> None:
    print(f"[{time.perf_counter() - _BEGIN:4.0f} s] {text}", flush=True)


def rounded(value: Any) -> Any:
    """Rows with five digits a number."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def peers(seeds: Sequence[int], settings: Sequence[tuple[int, int]]) -> Iterator[Row]:
    """Azula's methods, and the floor of exact draws."""
    import posterior_peers

    yield from floors(seeds, settings)
    yield from distances(list(posterior_peers.methods()), seeds, settings)


def parts(
    seeds: Sequence[int], many: Sequence[int], settings: Sequence[tuple[int, int]], repetitions: int
) -> dict[str, Callable[[], Iterator[Row]]]:
    """What the run consists of; many: the problems on which errors are judged."""
    return {
        "calibration": lambda: calibration(seeds[0], repetitions),
        "peers": lambda: peers(seeds, settings),
        "ours": lambda: distances([*ours()], seeds, settings),
        "honesty": lambda: honesty(settings, reporting.STEPS, many),
    }


def run(chosen: dict[str, Callable[[], Iterator[Row]]], before: Sequence[Row]) -> list[Row]:
    """The rows of the chosen parts, each with one about its run, after those of the others from before."""
    rows = [row for row in before if row["part"] not in chosen]
    for part, make in chosen.items():
        began = time.process_time()
        rows += [{"part": part, **rounded(row)} for row in make()]
        rows.append({"part": part, "minutes": round((time.process_time() - began) / 60, 1), **reporting.versions()})
        log(f"{part} done")
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--tuning", action="store_true", help="the tuning problems; prints, and writes no files")
    options.add_argument("--quick", action="store_true", help="two problems in 8 dimensions; writes no files")
    options.add_argument("--report", action="store_true", help="only write the page again, from the stored results")
    names = ("calibration", "peers", "ours", "honesty")
    options.add_argument("--again", nargs="+", choices=names, default=names, help="only these parts anew")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(F64)
    warnings.filterwarnings("ignore")
    seeds, settings, repetitions = TUNING if chosen.tuning else REPORTED, SETTINGS, REPETITIONS
    many = TUNING if chosen.tuning else MANY
    if chosen.quick:
        seeds, many, settings, repetitions = seeds[:2], many[:10], SETTINGS[:3], 20
    before = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    make = parts(seeds, many, settings, repetitions)
    rows = before if chosen.report else run({part: make[part] for part in chosen.again}, before)
    write = not (chosen.tuning or chosen.quick)
    if write and not chosen.report:
        RESULTS.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    text = reporting.page(rows)
    print(text)
    if write:
        (ROOT / "docs" / "posterior.md").write_text(text)
        reporting.plot(rows, ROOT / "docs" / "posterior.svg")


if __name__ == "__main__":
    main()
