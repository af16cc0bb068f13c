"""Ensembles of weather beside the baselines, on times that nothing was fitted to, in one table.

    .venv/bin/python -m benchmarks.weather --forecast F --truth Y --times 720: [--model RUN | --drawn FOLDER]

All times before the first of `--times` are what the baselines are fitted to. Ours are the members in `ens.zarr` of a
folder that `ornstein sample` wrote for the same times, or are drawn here from a model, with the time that it takes.

    raw, climatology, EMOS, quantile mapping, ECC, Schaake, dressing      see ornstein.domains.weather.baselines
    CRPS, variogram score, spread / skill, coverage, rank p, bias, power  see ornstein.domains.weather.metrics

One line of JSON a method, variable and lead goes to benchmarks/results/weather.jsonl, in the place of the lines of the
same world and method.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from ornstein.domains.weather import baselines
from ornstein.domains.weather.asked.flags import WeatherRequest
from ornstein.domains.weather.baselines.fitted import NAMES
from ornstein.domains.weather.files.opened import opened
from ornstein.domains.weather.files.pairs import Pairs
from ornstein.domains.weather.metrics import Layout, Scores, compared
from ornstein.domains.weather.tables import table
from ornstein.errors import InputError

RESULTS = Path(__file__).parent / "results" / "weather.jsonl"


@dataclass(frozen=True)
class Row:
    """The scores of one method.

    Attributes:
        world: which data.
        method: ours, or which baseline.
        variable, lead: of the scores.
        scores: by name: value and standard error.
        times, members: how many.
        seconds: that all members took; None where they were read.
    """

    world: str
    method: str
    variable: str
    lead: str
    scores: Mapping[str, tuple[float, float | None]]
    times: int
    members: int
    seconds: float | None = None


def members_of(folder: Path, pairs: Pairs) -> np.ndarray:
    """What `ornstein sample` wrote, (n, M, V, S, *grid); InputError unless all times of these pairs are there."""
    import xarray

    place = folder / "ens.zarr" if (folder / "ens.zarr").exists() else folder
    with xarray.open_zarr(place) as data:
        missing = ~np.isin(pairs.times, data.time.values)
        if missing.any():
            raise InputError(f"{place}: {missing.sum()} of {len(pairs.times)} times are not there")
        chosen = data.sel(time=pairs.times)
        fields = [chosen[name].transpose("time", "number", "step", *pairs.grid.dims) for name in pairs.variables]
        return np.stack([field.values.astype(np.float32) for field in fields], 2)


def drawn(model: str, asked: argparse.Namespace, pairs: Pairs) -> tuple[np.ndarray, float]:
    """Members by the command that a user has, and the seconds that it takes."""
    with TemporaryDirectory() as folder:
        out, started = Path(folder) / "drawn", perf_counter()
        words = ["sample", model, "--forecast", asked.forecast, "--times", asked.times, "--out", str(out)]
        subprocess.run(
            [sys.executable, "-m", "ornstein.cli", *words, "--members", str(asked.members), *asked.settings], check=True
        )
        taken = perf_counter() - started
        return members_of(out, pairs), taken


def judged(train: Pairs, test: Pairs, members: int, names: list[str], ours: Mapping[str, Any]) -> dict[str, Scores]:
    """Scores by method, ours first.

    Args:
        train: what baselines are fitted to.
        test: what is judged.
        members: of each baseline.
        names: of the baselines.
        ours: members by name.
    """
    fitted = baselines.fit(train, names, lambda name: print(f"fitting {name}", file=sys.stderr))
    held = baselines.held(test)
    truths = held.read(slice(0, len(test.times))).truth
    return compared(truths, {**ours, **fitted(held, members)}, Layout.of(test))


def rows(world: str, found: Mapping[str, Scores], times: int, members: int, seconds: float | None) -> Iterator[Row]:
    """Of all methods; only ours has a time."""
    for method, scores in found.items():
        for (variable, lead), cell in scores.items():
            numbers = {name: (one.value, one.error) for name, one in cell.items()}
            taken = None if method in NAMES else seconds
            yield Row(world, method, variable, lead, numbers, times, members, taken)


def parts(pairs: Pairs, times: str) -> tuple[Pairs, Pairs]:
    """What is before the held-out times, and these."""
    chosen = WeatherRequest(times=times).chosen(pairs.times)
    if chosen[0] < 2:
        raise InputError(f"--times is {times!r}: {chosen[0]} times are before it, expected those that baselines need")
    return pairs.part(slice(0, int(chosen[0]))), pairs.part(chosen)


def stored(path: Path = RESULTS) -> list[Row]:
    """The rows of the last runs."""
    return [Row(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def store(found: list[Row], path: Path = RESULTS) -> None:
    """Replaces the stored rows of the same worlds and methods."""
    again = {(row.world, row.method) for row in found}
    kept = [row for row in stored(path) if (row.world, row.method) not in again]
    path.write_text("".join(json.dumps(rounded(row), ensure_ascii=False) + "\n" for row in [*kept, *found]))


def rounded(row: Row) -> dict[str, Any]:
    def short(value: float | None) -> float | None:
        return None if value is None else float(f"{value:.4g}")

    scores = {name: [short(value), short(error)] for name, (value, error) in row.scores.items()}
    return {**asdict(row), "scores": scores, "seconds": short(row.seconds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forecast", required=True, help="files of forecasts")
    parser.add_argument("--truth", required=True, help="files of what happened")
    parser.add_argument("--times", required=True, help="that were held out, such as 720: or 2010-01-01:")
    parser.add_argument("--world", default="", help="name of the rows; the folder of the forecast if not given")
    parser.add_argument("--model", default="", help="that is drawn from: its name or folder")
    parser.add_argument("--drawn", type=Path, help="a folder that `ornstein sample` wrote, in the place of a model")
    parser.add_argument("--name", default="ours", help="of ours in the table")
    parser.add_argument("--members", type=int, default=50)
    parser.add_argument("--baselines", nargs="*", default=list(NAMES), help="which")
    parser.add_argument("--settings", nargs=argparse.REMAINDER, default=[], help="further words of `ornstein sample`")
    parser.add_argument("--quick", action="store_true", help="writes no file")
    options = parser.parse_args()
    try:
        found, layout = run(options)
    except InputError as problem:
        sys.exit(f"{problem}")
    print(table(found, layout))


def run(options: argparse.Namespace) -> tuple[dict[str, Scores], Layout]:
    """Scores by method, stored unless the run is quick."""
    pairs = opened(options.forecast, options.truth)
    train, test = parts(pairs, options.times)
    ours, seconds = {}, None
    if options.drawn:
        ours = {options.name: members_of(options.drawn, test)}
    elif options.model:
        members, seconds = drawn(options.model, options, test)
        ours = {options.name: members}
    found = judged(train, test, options.members, options.baselines, ours)
    if not options.quick:
        world = options.world or Path(options.forecast).resolve().parent.name
        store(list(rows(world, found, len(test.times), options.members, seconds)))
    return found, Layout.of(test)


if __name__ == "__main__":
    main()
