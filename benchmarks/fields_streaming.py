"""Fields of 721 × 1440 × 4 from a Zarr store: memory and records a second, with threads and reading ahead, and without.

    .venv/bin/python -m benchmarks.fields_streaming [--times 40] [--work 0.2]

The store is synthetic (smooth fields with noise, one time a chunk, compressed), in a temporary folder that is removed.
Each row is a process of its own; the memory is its peak, libraries and all.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (721, 1440)
VARIABLES = ("t2m", "u10", "v10", "msl")
BATCH = 4


def write(path: Path, times: int) -> None:
    """(times, 721, 1440) float32 for each variable, one time a chunk."""
    import zarr

    rng, group = np.random.default_rng(0), zarr.open_group(str(path), mode="w")
    for name in VARIABLES:
        array = group.create_array(
            name, shape=(times, *SHAPE), chunks=(1, *SHAPE), dtype="f4", dimension_names=["time", "lat", "lon"]
        )
        for k in range(times):
            smooth = np.outer(np.sin(np.linspace(0, 3 + k, SHAPE[0])), np.cos(np.linspace(0, 9, SHAPE[1])))
            array[k] = (280 + 20 * smooth + rng.normal(size=SHAPE)).astype("f4")


def peak() -> float:
    """The largest memory of this process so far, GB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e6


def streamed(path: Path, threads: int, ahead: bool, bound: int, work: float) -> dict[str, Any]:
    """One shuffled epoch in batches of four, after each of which a step takes `work` seconds."""
    import torch

    from ornstein.training.ahead import Ahead
    from ornstein.training.fields import Layout, open_fields

    torch.set_num_threads(1)
    data = open_fields(path, Layout(VARIABLES), bound=bound, threads=threads)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0)).split(BATCH)
    began = time.perf_counter()
    with Ahead(lambda k: data.batch(order[k]), len(order) if ahead else 0) as read:
        for k in range(len(order)):
            read(k)
            time.sleep(work)
    seconds = time.perf_counter() - began
    return {"records a second": round(len(data) / seconds, 1), "peak GB": round(peak(), 2)}


def measured(path: Path, bound: int) -> dict[str, Any]:
    """The statistics, one pass."""
    from ornstein.training.fields import Layout, open_fields
    from ornstein.training.fields import measured as measure

    data = open_fields(path, Layout(VARIABLES), bound=bound)
    began = time.perf_counter()
    measure(data)
    return {"records a second": round(len(data) / (time.perf_counter() - began), 1), "peak GB": round(peak(), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=40, help="records")
    parser.add_argument("--work", type=float, default=0.2, help="seconds that a step takes beside reading")
    parser.add_argument("--bound", type=int, default=1_000_000_000, help="bytes of blocks in memory")
    parser.add_argument("--row", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        path = Path(options.row.pop("path"))
        kind = options.row.pop("kind")
        print(json.dumps((measured if kind == "statistics" else streamed)(path, bound=options.bound, **options.row)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fields.zarr"
        write(path, options.times)
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e9
        raw = options.times * len(VARIABLES) * SHAPE[0] * SHAPE[1] * 4 / 1e9
        print(f"{options.times} records of {(len(VARIABLES), *SHAPE)}: {raw:.2f} GB, stored in {size:.2f} GB")
        rows = {
            "one thread, not ahead": {"kind": "batches", "threads": 1, "ahead": False, "work": 0.0},
            "four threads, not ahead": {"kind": "batches", "threads": 4, "ahead": False, "work": 0.0},
            "one thread, not ahead, at work": {"kind": "batches", "threads": 1, "ahead": False, "work": options.work},
            "four threads, ahead, at work": {"kind": "batches", "threads": 4, "ahead": True, "work": options.work},
            "statistics": {"kind": "statistics"},
        }
        for name, row in rows.items():
            command = [
                sys.executable,
                __file__,
                "--bound",
                str(options.bound),
                "--row",
                json.dumps({**row, "path": str(path)}),
            ]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            print(f"{name:32} {found['records a second']:6.1f} records/s   peak {found['peak GB']:.2f} GB", flush=True)


if __name__ == "__main__":
    main()
