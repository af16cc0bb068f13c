"""What ten observations of today are worth to an ensemble, on held-out times of a model of weather.

    .venv/bin/python -m benchmarks.weather_observed --model weather/qg --times 24 --members 20

Of each time the truth is read at ten random places, each of a random variable and lead, with an error of a tenth of the
variable's spread, written to a CSV file as a user would. Drawn are members without and with it, both from one seed; the
fair CRPS and the coverage of the 90 % interval are those of all points, by variable and lead.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from ornstein import calibration
from ornstein.domains.weather.factors import Observed
from ornstein.domains.weather.files import Pairs
from ornstein.domains.weather.files.opened import opened
from ornstein.domains.weather.known import Known
from ornstein.domains.weather.observed.moments import Moments
from ornstein.domains.weather.observed.places import along
from ornstein.keys import Keys
from ornstein.tasks.drawing import sample
from ornstein.tasks.runs import load

NUMBER, SHARE = 10, 0.1
"""Observations of each time, and their error as a share of the variable's spread."""


def held_out(metadata: Any, times: int, data: Path | None) -> Pairs:
    """The first of the times that a model is judged on, evenly over them.

    Args:
        metadata: of the model.
        times: how many.
        data: the folder that the training's paths are relative to.
    """
    variables, predictors = tuple(metadata["variables"]), tuple(metadata["predictors"])
    match = dict(zip(variables, predictors, strict=False))
    files = [str((data or Path()) / metadata["files"][name][0]) for name in ("forecast", "truth")]
    steps = tuple(metadata["steps"]["hours"])
    more = predictors[len(variables) :]
    pairs = opened(files[0], files[1], variables=variables, predictors=more, steps=steps, match=match)
    part = np.arange(*metadata["parts"]["test"])
    return pairs.part(part[np.linspace(0, len(part) - 1, min(times, len(part))).round().astype(int)])


def observe(pairs: Pairs, truths: np.ndarray, path: Path, seed: int) -> None:
    """Ten readings of each time, as a CSV file.

    Args:
        pairs: the times.
        truths: of them, (times, variables, steps, *grid).
        path: of the file.
        seed: of places and errors.
    """
    std = SHARE * truths.std((0, 2, *range(3, truths.ndim)))
    at = Keys.of(seed, len(truths)).uniform(NUMBER, truths.ndim - 1).numpy()
    noise = Keys.of(seed + 1, len(truths)).normal(NUMBER).numpy()
    axes = [along(pairs.grid, k) for k in range(len(pairs.grid.shape))]
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["variable", "valid_time", *pairs.grid.dims, "value", "std"])
        for k, truth in enumerate(truths):
            for share, error in zip(at[k], noise[k], strict=True):
                v, s, *place = (int(part * n) for part, n in zip(share, truth.shape, strict=True))
                value = float(truth[(v, s, *place)]) + std[v] * float(error)
                where = [f"{axis[j]:.9g}" for axis, j in zip(axes, place, strict=True)]
                rows.writerow([pairs.variables[v], pairs.valid_times[k, s], *where, f"{value:.9g}", f"{std[v]:.6g}"])


def ensembles(model: Any, pairs: Pairs, observed: Observed | None, members: int, steps: int) -> np.ndarray:
    """Members of each time, (times, members, V, S, *grid), one time after the other."""
    known, drawn = Known.of(model.origin.metadata), []
    for k in range(len(pairs.times)):
        told = known.conditions(pairs.read([k]), pairs.times[k : k + 1])
        condition = {name: value.expand(members, *value.shape[1:]) for name, value in told.items()}
        guided = model
        for factor in observed.of_record(k) if observed else []:
            guided = guided & factor
        x = sample(guided, members, steps=steps, seed=k, condition=condition).x
        drawn.append(x.reshape(members, len(known.variables), known.steps, *known.grid.shape).numpy())
    return np.stack(drawn)


def table(pairs: Pairs, truths: np.ndarray, without: np.ndarray, given: np.ndarray) -> list[str]:
    """Scores by variable and lead.

    Args:
        pairs: the times.
        truths: of them.
        without, given: members.
    """
    lines = [
        "| variable | lead | CRPS without | with | ratio | coverage without | with |",
        "|---|---|---|---|---|---|---|",
    ]
    for v, name in enumerate(pairs.variables):
        for s, hours in enumerate(pairs.step_hours):
            truth, both = truths[:, v, s], (without[:, :, v, s], given[:, :, v, s])
            scores = [calibration.crps(truth, x) for x in both]
            ratio = 1 - scores[1].skill_over(scores[0]).value
            error = scores[1].skill_over(scores[0]).error or float("nan")
            found = [f"{100 * covered(truth, x):.1f} %" for x in both]
            cells = [f"{score.value:.4f}" for score in scores]
            lines.append(
                f"| {name} | {hours:g} | {cells[0]} | {cells[1]} | {ratio:.3f} ± {error:.3f} | {' | '.join(found)} |"
            )
    return lines


def covered(truth: np.ndarray, x: np.ndarray) -> float:
    """The share of points within the interval that holds 90 % of further members."""
    n = x.shape[1]
    low, high = (np.quantile(x, level, axis=1, method="weibull") for level in (0.05, 0.95))
    assert n >= 19, "fewer members have no such interval"
    return float(((truth >= low) & (truth <= high)).mean())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="weather/qg")
    parser.add_argument("--data", type=Path, help="the folder that the training's paths are relative to")
    parser.add_argument("--times", type=int, default=24)
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    said = parser.parse_args(arguments)
    if said.members < 19:
        parser.error(f"--members is {said.members}, expected 19 or more: fewer have no 90 % interval")
    torch.set_grad_enabled(False)
    model = load(said.model)
    assert model.origin is not None
    pairs = held_out(model.origin.metadata, said.times, said.data)
    truths = pairs.read(np.arange(len(pairs.times))).truth
    assert truths is not None
    with TemporaryDirectory() as folder:
        path = Path(folder) / "today.csv"
        observe(pairs, truths, path, said.seed)
        known = Known.of(model.origin.metadata)
        observed = Observed.of(path, known, Moments.of(pairs, known.leads))
    found = [ensembles(model, pairs, one, said.members, said.steps) for one in (None, observed)]
    print(f"{len(pairs.times)} times, {said.members} members, {NUMBER} observations ± {SHARE:g} of the spread each\n")
    print("\n".join(table(pairs, truths, *found)))


if __name__ == "__main__":
    main()
