"""What workers are worth: seconds and efficiency of 1, 2 and 4, the same bytes, and what is lost where they are killed.

    python benchmarks/workers.py                        seconds of 1, 2 and 4 workers, and whether the bytes agree
    python benchmarks/workers.py --kills 20             and 20 kills (SIGKILL) at random moments, with resumes

Every run is the command line, in a process of its own. The time of a run is that of the drawing: from when the
workers stand to the last sample, without the start of Python, torch and the cluster, which is printed beside it. The
machine should have nothing else to do. Rows are added to
results/workers.jsonl and results/workers_killed.jsonl.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / "tests")]

from killing import workers_of  # noqa: E402

RESULTS = Path(__file__).parent / "results"
WORKERS = (1, 2, 4)
MOST_RUNS = 200


@dataclass(frozen=True)
class Draw:
    """What is drawn.

    Attributes:
        model: a shipped model's name.
        n: how many samples.
        batch: drawn at once.
        shard: that a worker writes at a time.
    """

    model: str
    n: int
    batch: int
    shard: int

    def command(self, out: Path, *words: str) -> list[str]:
        """The command that draws it with one thread a process."""
        sizes = ["--n", str(self.n), "--batch-size", str(self.batch), "--threads", "1", "--device", "cpu"]
        return [sys.executable, "-m", "ornstein", "sample", self.model, *sizes, "--out", str(out), *words]

    def on(self, workers: int) -> list[str]:
        """The flags of so many workers."""
        return ["--on", "dask", "--workers", str(workers), "--shard", str(self.shard)]


def started(command: list[str]) -> subprocess.Popen[str]:
    """A command in a process of its own, in silence."""
    return subprocess.Popen(command, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def part_of(out: Path) -> Path:
    return out.with_name(f"{out.name}.part")


def manifest(out: Path) -> dict[str, Any]:
    """Of a folder, but for the times: with the digests of all native files."""
    said = json.loads((out / "manifest.json").read_text())
    return {name: value for name, value in said.items() if name not in ("created", "seconds")}


# Seconds ----------------------------------------------------------------------------------------------


def timed(draw: Draw, out: Path, *words: str) -> dict[str, float]:
    """Seconds of a run: of the drawing, and of the whole command.

    The manifest's own seconds are those of all workers together. So the drawing is timed from outside: it begins when
    the folder does, once the workers stand.
    """
    begins, process = time.perf_counter(), started(draw.command(out, *words))
    first = last = begins
    while process.poll() is None:
        now = time.perf_counter()
        if first == begins and (part_of(out) / "members.json").exists():
            first = now
        if part_of(out).exists():
            last = now
        time.sleep(0.005)
    if process.returncode:
        raise RuntimeError(process.stderr.read() if process.stderr else "failed")
    return {"seconds": last - first, "command": time.perf_counter() - begins}


def compared(draw: Draw, folder: Path) -> Iterator[dict[str, Any]]:
    """A row for one process without dask, and for each number of workers."""
    alone = timed(draw, folder / "alone")
    expected = manifest(folder / "alone")
    cores = len(os.sched_getaffinity(0))
    common = {"model": draw.model, "n": draw.n, "batch_size": draw.batch, "shard": draw.shard, "cores": cores}
    yield {**common, "workers": 0, **alone, "same": True}
    for count in WORKERS:
        out = folder / f"on-{count}"
        found = timed(draw, out, *draw.on(count))
        yield {**common, "workers": count, **found, "same": manifest(out) == expected}


# Kills ------------------------------------------------------------------------------------------------


class Watch:
    """What becomes of the shards of a draw, seen from outside.

    Attributes:
        lost: names of shards that were whole and are gone before the end.
        again: how often a shard that was whole was written once more.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.lost, self.again = out, set[str](), 0
        self._seen: dict[str, int] = {}

    def look(self) -> None:
        """Looks once; not where all is being put together."""
        here = {path.name: path.stat().st_ino for path in part_of(self.out).glob("[0-9]*.safetensors")}
        if self.out.exists() or not part_of(self.out).exists():
            return
        self.again += sum(self._seen.get(name, inode) != inode for name, inode in here.items())
        self.lost |= self._seen.keys() - here.keys()
        self._seen |= here

    def until(self, process: subprocess.Popen[str], seconds: float) -> bool:
        """Whether a process still runs after so many seconds with workers."""
        ends = None
        while process.poll() is None and (ends is None or time.monotonic() < ends):
            if ends is None and workers_of(process.pid):
                ends = time.monotonic() + seconds
            self.look()
            time.sleep(0.02)
        return process.poll() is None


def killed(draw: Draw, out: Path, kills: int, longest: float, seed: int) -> dict[str, Any]:
    """What is left of a draw whose workers, or whose command with its scheduler, are killed at random moments.

    Args:
        draw: what is drawn.
        out: where to.
        kills: how many.
        longest: seconds between two kills.
        seed: of the moments and of who is killed.
    """
    chance, watch, of, runs = random.Random(seed), Watch(out), {"worker": 0, "command": 0}, 0
    while not out.exists() and runs < MOST_RUNS:
        runs += 1
        begun = (part_of(out) / "members.json").exists()
        process = started(draw.command(out, *draw.on(2), *(["--resume"] if begun else [])))
        while watch.until(process, chance.uniform(0, longest)):
            workers = workers_of(process.pid)
            if sum(of.values()) == kills or not workers:
                continue
            victim = chance.choice(("worker", "command"))
            os.kill(chance.choice(workers) if victim == "worker" else process.pid, signal.SIGKILL)
            of[victim] += 1
        process.wait()
    return {"kills": of, "runs": runs, "lost": len(watch.lost), "again": watch.again}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="images/digits")
    parser.add_argument("--n", type=int, default=8192)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--shard", type=int, default=64)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--longest", type=float, default=4.0, help="seconds between two kills, at most")
    parser.add_argument("--seed", type=int, default=0)
    said = parser.parse_args()
    draw = Draw(said.model, said.n, said.batch, said.shard)
    with tempfile.TemporaryDirectory(prefix="workers-") as scratch:
        rows, one = [], 0.0
        for row in compared(draw, Path(scratch)):
            one = row["seconds"] if row["workers"] == 1 else one
            speed = f", {one / row['seconds']:.2f} × one worker" if row["workers"] else ""
            who = f"{row['workers']} workers" if row["workers"] else "one process"
            print(f"{who}: {row['seconds']:.1f} s{speed} ({row['command']:.1f} s in all), same bytes: {row['same']}")
            rows.append(row)
        if said.kills:
            out = Path(scratch) / "killed"
            found = killed(draw, out, said.kills, said.longest, said.seed)
            found["same"] = out.exists() and manifest(out) == manifest(Path(scratch) / "alone")
            print(
                f"killed {found['kills']} in {found['runs']} runs: {found['lost']} shards lost, same: {found['same']};"
            )
            print(f"{found['again']} shards were drawn once more, because their worker was lost before it could say so")
            add(RESULTS / "workers_killed.jsonl", [{"model": draw.model, "n": draw.n, "shard": draw.shard, **found}])
    add(RESULTS / "workers.jsonl", rows)


def add(path: Path, rows: list[dict[str, Any]]) -> None:
    """Adds rows to a file of results."""
    with path.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main()
