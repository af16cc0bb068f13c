"""What samples cost: seconds, calls, gradients, bytes and memory of every shipped model, measured and predicted.

    .venv/bin/python -m benchmarks.costs

Writes benchmarks/results/costs.jsonl, a line as soon as a draw is measured, and docs/costs.md. Lines that are there are
passed over, so that a run that was cut off goes on; `--again` measures anew. One process a model, of one thread; draws
of the command line are made by it, files included.
"""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "benchmarks")]

import costs_flops  # noqa: E402
import costs_report as reporting  # noqa: E402
from costs_cases import DRAWS, HELD_OUT, Case, cases  # noqa: E402
from costs_tables import lines_of  # noqa: E402

Row = dict[str, Any]
RESULTS = ROOT / "benchmarks" / "results"
ENOUGH = 1.5
"""CPU seconds after which a draw is not repeated: what takes long varies little."""
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="models whose names contain it")
    parser.add_argument("--again", action="store_true", help="measure anew what is stored of them")
    parser.add_argument("--repeats", type=int, default=3, help="of a draw that is short; medians are kept")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the page from what is stored")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    file = RESULTS / "costs.jsonl"
    if options.child:
        told: Row = json.loads(options.child)
        return child([Case(**one) for one in told["cases"]], told["repeats"])
    if not options.report:
        models = [model for model in DRAWS if options.only in model]
        begun = time.perf_counter()
        for model in models:
            measured(model, file, options.again, options.repeats)
        if options.again or not costs_flops.FILE.exists():
            costs_flops.write()
        print(f"{time.perf_counter() - begun:.0f} s")
    (ROOT / "docs" / "costs.md").write_text(reporting.page(lines_of(file), RESULTS))


def missing(model: str, rows: Sequence[Row]) -> list[Case]:
    """The cases of a model of which no line is stored."""
    there = [row["case"] for row in rows]
    return [case for case in cases() if case.model == model and case.id not in there]


def measured(model: str, file: Path, again: bool, repeats: int) -> None:
    """Measures what is missing of a model in a process of its own; each line is stored when it is there."""
    rows = lines_of(file)
    if again:
        rows = [row for row in rows if row["case"]["model"] != model]
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    wanted = missing(model, rows)
    if not wanted:
        return
    told = json.dumps({"repeats": repeats, "cases": [vars(case) for case in wanted]})
    command = [sys.executable, "-m", "benchmarks.costs", "--child", told]
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    paths = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, **threads, "PYTHONPATH": paths}
    about = {"engine": engine(), "cores": len(os.sched_getaffinity(0)), "date": time.strftime("%Y-%m-%d")}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            row = {**json.loads(line), **about, "load": round(os.getloadavg()[0], 1)}
            with file.open("a") as stored:
                stored.write(json.dumps(row, ensure_ascii=False) + "\n")
            print(f"{row['cpu_seconds']:8.2f} s  {row['case']}", flush=True)
    if process.returncode:
        raise SystemExit(f"{model}: exit {process.returncode}; what was measured is in {file}")


def engine() -> str:
    """The commit that is measured."""
    said = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return said.stdout.strip()


def child(wanted: Sequence[Case], repeats: int) -> None:
    """Measures draws, one after the other, and prints a line of each."""
    import torch

    torch.set_num_threads(1)
    with TemporaryDirectory() as here:
        files_in(Path(here))
        first = min(wanted, key=lambda case: (case.series != "draws", case.n * (case.steps or 100)))
        warm = command(replace(first, flags=first.flags.format(here=here)), Path(here))
        warm()  # imports what it needs, which is the start of a process, not of a draw
        begun = time.process_time()
        start = begun - warm()["cpu_seconds"]
        # Memory is not always given back: first the default, of which the peak is told, and the largest draws last.
        for case in sorted(wanted, key=lambda case: (case.steps is not None, case.role == HELD_OUT)):
            ready = replace(case, flags=case.flags.format(here=here))
            draw = network(ready) if case.series == "size" else command(ready, Path(here))
            row = repeated(draw, repeats)
            print(json.dumps({"case": case.id, "role": case.role, "start": round(start, 3), **row}), flush=True)


def repeated(draw: Callable[[], Row], repeats: int) -> Row:
    """Medians of a few draws, and how far their CPU seconds are apart, as a share of the median."""
    found: list[Row] = []
    while len(found) < repeats and sum(row["cpu_seconds"] for row in found) < ENOUGH:
        found.append(draw())
    cpu = [row["cpu_seconds"] for row in found]
    middle = {name: round(median(row[name] for row in found), 4) for name in ("seconds", "cpu_seconds")}
    scatter = round((max(cpu) - min(cpu)) / median(cpu), 3)
    return {**found[0], **middle, "repeats": len(found), "scatter": scatter}


def command(case: Case, here: Path) -> Callable[[], Row]:
    """A draw of the command line; each goes to a folder of its own, which is removed."""
    from ornstein.cli import main as ornstein

    def draw() -> Row:
        with TemporaryDirectory(dir=here) as folder:
            out = Path(folder) / "out"
            with timed() as row, silent() as said:
                code = ornstein(["sample", *case.arguments, "--out", str(out)])
            if code:
                raise SystemExit(f"ornstein sample {' '.join(case.arguments)}: exit {code}\n{said.getvalue()}")
            manifest = json.loads((out / "manifest.json").read_text())
            row["bytes"] = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        settings = manifest["settings"]
        counted = {"nfe": manifest["nfe"], "gradients": manifest["gradients"], "steps": settings["steps"]}
        return {**row, **counted, "batch": settings.get("batch_size") or manifest["n"]}

    return draw


def network(case: Case) -> Callable[[], Row]:
    """A draw of samples of another size, by a network of random weights that has the model's configuration."""
    import ornstein as on
    from ornstein.config import update
    from ornstein.tasks.registry import task

    assert case.size is not None
    origin = on.load(case.model).origin
    assert origin is not None
    this = task(origin.domain)
    metadata = {**origin.metadata, **of_size(origin.metadata, case.size)}
    denoiser = this.denoiser(update(this.config(), origin.config, case.model), metadata)
    denoiser.network.requires_grad_(False).eval()
    on.sample(denoiser, 1, 1)  # what is made once

    def draw() -> Row:
        with timed() as row:
            samples = on.sample(denoiser, case.n, case.steps, batch_size=case.batch_size)
        nfe = samples.nfe if isinstance(samples.nfe, int | float) else float(samples.nfe.double().mean())
        return {**row, "nfe": nfe, "gradients": 0, "steps": case.steps, "batch": case.batch_size}

    return draw


def of_size(metadata: Any, size: int) -> Row:
    """The metadata of samples of another size: letters, atoms, or pixels a side."""
    if "length" in metadata:
        return {"length": size, **({"sizes": {str(size): 1}} if "sizes" in metadata else {})}
    shape = [*metadata["shape"][:-2], size, size]
    return {"shape": shape, **({"slice": [size, size]} if "slice" in metadata else {})}


@contextlib.contextmanager
def timed() -> Iterator[Row]:
    """Wall and CPU seconds of a block, and the most memory that the process had in it, MB; None where nobody tells."""
    row: Row = {}
    told = _reset()
    begun, used = time.perf_counter(), time.process_time()
    yield row
    row |= {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - used}
    row["peak_mb"] = _status("VmHWM") if told else None


def _reset() -> bool:
    """Lets Linux count the peak of the memory from here on."""
    try:
        RESET.write_text("5")
    except OSError:
        return False
    return True


def _status(name: str) -> int:
    lines = (line.split() for line in STATUS.read_text().splitlines())
    return next(int(words[1]) // 1024 for words in lines if words[0] == f"{name}:")


@contextlib.contextmanager
def silent() -> Iterator[io.StringIO]:
    """Within the block what is printed is kept."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield said


def files_in(here: Path) -> None:
    """The files that flags name: half of a picture of eight by eight, and readings of a field."""
    import numpy as np
    from PIL import Image

    seen = np.zeros((8, 8, 4), np.uint8)
    seen[:4, :, :3], seen[:4, :, 3] = np.linspace(0, 255, 8)[None, :, None], 255
    Image.fromarray(seen).save(here / "seen.png")
    places = [(x, y) for x in (0.25, 0.5, 0.75) for y in (0.25, 0.5, 0.75)]
    readings = "".join(f"{x},{y},0.01,0.01\n" for x, y in places)
    (here / "readings.csv").write_text(f"x,y,value,std\n{readings}")


if __name__ == "__main__":
    main()
