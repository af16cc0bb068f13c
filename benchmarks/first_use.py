"""What a first use takes: fresh processes at default settings, import, load, drawing and writing included.

python -m benchmarks.first_use [--rounds 3] [--only 16 digits]

Wall seconds, medians over rounds in which all take turns, beside the goals on two idle cores. It says how busy the
machine was: on a busy one the CPU seconds (of all threads) are what can be compared.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CALL = "import sys; from ornstein.cli import main; sys.exit(main(sys.argv[1:]))"
FIRST = {
    "ornstein --help": (CALL, "--help", 0.3),
    "ornstein --version": (CALL, "--version", 0.3),
    "a misspelt command": (CALL, "samle images/digits", 0.3),
    "import torch": ("import torch", "", None),
    "import what draws": ("from ornstein.tasks import requests, runs", "", None),
    "ornstein models": (CALL, "models", 2.5),
    "ornstein sample images/digits --help": (CALL, "sample images/digits --help", 2.0),
    "ornstein sample molecules/qm9 --help": (CALL, "sample molecules/qm9 --help", 2.0),
    "16 digits": (CALL, "sample images/digits --n 16 --out out", 2.0),
    "16 emoji": (CALL, "sample images/openmoji --n 16 --out out", 12.0),
    "16 molecules": (CALL, "sample molecules/qm9 --n 16 --out out", 15.0),
    "16 riboswitches": (CALL, "sample sequences/riboswitch --n 16 --out out", None),
    "16 points of an energy, exact": (CALL, "sample energies/gmm-40 --n 16 --exact mcmc --out out", None),
}
"""Name → program, its arguments, and the goal in seconds."""


def spent(code: str, arguments: str) -> tuple[float, float]:
    """Wall and CPU seconds of a fresh process in an empty folder; an error if it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = [sys.executable, "-c", code, *arguments.split()]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != (2 if arguments.startswith("samle") else 0):
        raise SystemExit(f"{arguments or code}: exit {done.returncode}\n{done.stderr}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="a name of the table, in words", default=[])
    options = parser.parse_args()
    chosen = {name: one for name, one in FIRST.items() if " ".join(options.only) in name}
    for code, arguments, _ in chosen.values():
        if "out" not in arguments.split():
            spent(code, arguments)  # writes the bytecode that an installation has
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
    for _ in range(options.rounds):
        for name, (code, arguments, _goal) in chosen.items():
            found[name].append(spent(code, arguments))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {options.rounds} rounds, {Path(sys.executable)}")
    print(f"{'':38}{'wall s':>9}{'CPU s':>9}{'goal s':>9}")
    for name, times in found.items():
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        goal = chosen[name][2]
        print(f"{name:38}{wall:9.2f}{cpu:9.2f}{'' if goal is None else f'{goal:9.1f}'}", flush=True)


if __name__ == "__main__":
    main()
