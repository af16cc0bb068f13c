"""Ornstein's solvers beside azula's, diffusers' and k-diffusion's: one run, one process, one thread.

    make bench-env && .bench-env/bin/python benchmarks/solvers.py

Accuracy against network evaluations (NFE) on worlds with exact denoisers, distance to exact draws for stochastic
solvers, cost of a step without the network, and what each loop can do. Writes benchmarks/results/solvers.jsonl,
docs/solvers.md and docs/solvers.svg. Worlds with seeds 0–2 are for tuning; the reported ones have other seeds.
"""

import argparse
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import ours
import overhead
import peers
from ornstein.keys import Keys
from peers import Solver
from worlds import FAR, World, sliced_wasserstein

ROOT = Path(__file__).parent.parent
DIMENSIONS = (2, 16, 64)
NFE = (5, 8, 10, 15, 20, 30, 50)
TUNING, REPORTED = (0, 1, 2), (100, 101, 102)
SCREEN, MARGIN = (5, 10, 20, 50), 1.3
DRAWS, STOCHASTIC_NFE = 2048, (10, 20, 50)
LIBRARIES = ("ornstein", "azula", "diffusers", "k-diffusion")
PEERS = LIBRARIES[1:]
Row = dict[str, Any]
Scores = dict[int, float]


class Counted:
    """A world's denoiser that counts its calls."""

    def __init__(self, world: World) -> None:
        self.world, self.calls = world, 0

    def __call__(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        self.calls += 1
        return self.world.denoise(x, sigma)


def run(solver: Solver, world: World, x: Tensor, nfe: int) -> Tensor:
    """The solver's samples from x at σ = 80; an error if it calls more often than it may or leaves the real numbers."""
    denoise = Counted(world)
    torch.manual_seed(0)
    end = solver.run(denoise, x, solver.steps(nfe))
    if denoise.calls > nfe:
        raise RuntimeError(f"{denoise.calls} evaluations instead of {nfe}")
    if not end.isfinite().all():
        raise ArithmeticError("not finite")
    return end


def accuracy(solver: Solver, world: World, nfe: int) -> tuple[float, float]:
    """Root mean square and median over the samples of the error at the end."""
    errors = world.errors(run(solver, world, world.start, nfe))
    return errors.square().mean().sqrt().item(), errors.median().item()


def fidelity(solver: Solver, world: World, nfe: int, draws: int = DRAWS) -> tuple[float]:
    """Sliced Wasserstein-2 distance to exact draws."""
    x = FAR * Keys.of(world.seed + 1, draws).fold("start").normal(world.d)
    return (sliced_wasserstein(run(solver, world, x, nfe), world.mixture.draw(Keys.of(world.seed + 2, draws))),)


def row(
    solver: Solver, world: World, measure: Callable[..., Sequence[float]], names: Sequence[str], nfes: Iterable[int]
) -> Row:
    """One configuration on one world: each name's numbers in the order of `nfes`, or how it failed."""
    result: Row = {"library": solver.library, "config": solver.name, "d": world.d, "seed": world.seed, "nfe": [*nfes]}
    try:
        scores = [measure(solver, world, nfe) for nfe in result["nfe"]]
    except Exception as error:  # a peer's failure is a result, not the end of the run
        return result | {"failed": f"{type(error).__name__}: {error}"[:100]}
    columns = zip(names, zip(*scores, strict=True), strict=True)
    return result | {name: [float(f"{score:.4g}") for score in column] for name, column in columns}


def screened(candidates: Iterable[Solver], rows: Iterable[Row], names: Sequence[str]) -> list[Solver]:
    """The solvers that somewhere on the screening world come within a margin of the best of their library."""
    tables = {(r["library"], r["config"]): np.array([r[name] for name in names]) for r in rows if "failed" not in r}
    best = {library: np.min([t for (name, _), t in tables.items() if name == library], axis=0) for library in PEERS}
    near = {key for key, table in tables.items() if (table <= MARGIN * best[key[0]]).any()}
    return [solver for solver in candidates if (solver.library, solver.name) in near]


def deterministic(seeds: Sequence[int], nfes: Sequence[int]) -> list[Row]:
    """Errors of all solvers on all worlds; peers' configurations are first screened on a tuning world."""
    rows, names = [], ("rms", "median")
    for d in DIMENSIONS:
        candidates = [solver for solver in peers.solvers() if not solver.stochastic]
        trial = World(d, TUNING[0])
        first = [row(solver, trial, accuracy, names, SCREEN) for solver in candidates]
        rows += [r for r in first if "failed" in r]
        kept = screened(candidates, first, names)
        log(f"d = {d}: {len(candidates)} configurations of peers, {len(kept)} after screening")
        for world in (World(d, seed) for seed in seeds):
            mine = [solver for solver in ours.solvers(world) if not solver.stochastic]
            rows += [row(solver, world, accuracy, names, nfes) for solver in [*mine, *kept]]
            log(f"  seed {world.seed} done")
    return rows


def stochastic(seed: int) -> tuple[list[Row], dict[int, float]]:
    """Distances to exact draws, and what two sets of exact draws are apart."""
    rows, floors, names = [], {}, ("sw2",)
    for d in DIMENSIONS[:2]:
        trial, world = World(d, TUNING[0]), World(d, seed)
        candidates = [solver for solver in peers.solvers() if solver.stochastic]
        first = [row(s, trial, lambda *a: fidelity(*a, draws=DRAWS // 2), names, (20,)) for s in candidates]
        rows += [r for r in first if "failed" in r]
        mine = [solver for solver in ours.solvers(world) if solver.stochastic]
        kept = [*mine, *screened(candidates, first, names)]
        rows += [row(solver, world, fidelity, names, STOCHASTIC_NFE) for solver in kept]
        exact, *others = (world.mixture.draw(Keys.of(world.seed + k, DRAWS)) for k in range(2, 8))
        floors[d] = sum(sliced_wasserstein(exact, other) for other in others) / len(others)
        log(f"stochastic d = {d} done, {len(kept)} configurations")
    return rows, floors


def loops() -> list[Row]:
    """Cost of a step without the network, and what each loop can do."""
    rows = []
    for loop in overhead.loops():
        found = {"library": loop.library, "config": loop.name, "stochastic": loop.stochastic}
        able = {} if loop.stochastic else overhead.capabilities(loop)
        rows.append(found | {"overhead_us": round(overhead.overhead(loop), 1)} | able)
    return rows


def pooled(rows: Iterable[Row], d: int, name: str) -> dict[tuple[str, str], Scores]:
    """(library, configuration) -> NFE -> score over the worlds: RMS of the RMS, mean of the medians and distances."""
    tables: dict[tuple[str, str], list[Row]] = {}
    for r in rows:
        if r["d"] == d and name in r:
            tables.setdefault((r["library"], r["config"]), []).append(r)
    worlds = max(map(len, tables.values()))
    mean = (lambda a: np.sqrt(np.square(a).mean(0))) if name == "rms" else (lambda a: np.mean(a, 0))
    return {
        key: dict(zip(found[0]["nfe"], mean([r[name] for r in found]).tolist(), strict=True))
        for key, found in tables.items()
        if len(found) == worlds
    }


def best(scores: dict[tuple[str, str], Any], library: str, nfe: int) -> tuple[float, str]:
    """The smallest score of a library at an NFE, and its configuration."""
    return min((by_nfe[nfe], config) for (name, config), by_nfe in scores.items() if name == library)


def accuracy_table(rows: Sequence[Row], d: int, name: str, nfes: Sequence[int]) -> list[str]:
    """Our default against the best configuration of each peer, as a Markdown table."""
    scores = pooled(rows, d, name)
    lines = [
        "| NFE | ornstein | ornstein, best of its own | azula | diffusers | k-diffusion | ratio | best peer |",
        "|" + "---|" * 8,
    ]
    for nfe in nfes:
        default = scores["ornstein", ours.DEFAULT][nfe]
        found = {library: best(scores, library, nfe) for library in LIBRARIES}
        (least, config), library = min((found[library], library) for library in PEERS)
        cells = [f"{default:.2g}", *(f"{found[library][0]:.2g}" for library in LIBRARIES)]
        lines.append(f"| {nfe} | {' | '.join(cells)} | {default / least:.2f} | {library} {config} |")
    return lines


def spread_table(rows: Sequence[Row], nfes: Sequence[int]) -> list[str]:
    """The ratio of our default to the best peer on each single world: lowest – highest."""
    lines = [f"| d, measure | {' | '.join(map(str, nfes))} |", "|" + "---|" * (len(nfes) + 1)]
    for d in DIMENSIONS:
        for name, label in (("rms", "RMS"), ("median", "median")):
            ratios = np.array([single_ratios(rows, d, seed, name, nfes) for seed in seeds_of(rows, d)])
            cells = [f"{low:.2f} – {high:.2f}" for low, high in zip(ratios.min(0), ratios.max(0), strict=True)]
            lines.append(f"| {d}, {label} | {' | '.join(cells)} |")
    return lines


def seeds_of(rows: Sequence[Row], d: int) -> list[int]:
    """The seeds that our default was run on."""
    return [r["seed"] for r in rows if r["d"] == d and r["config"] == ours.DEFAULT]


def single_ratios(rows: Sequence[Row], d: int, seed: int, name: str, nfes: Sequence[int]) -> list[float]:
    """Our default over the best peer on one world."""
    scores = pooled([r for r in rows if r["seed"] == seed], d, name)
    least = {nfe: min(best(scores, library, nfe)[0] for library in PEERS) for nfe in nfes}
    return [scores["ornstein", ours.DEFAULT][nfe] / least[nfe] for nfe in nfes]


def not_better(rows: Sequence[Row], nfes: Sequence[int]) -> list[str]:
    """Where a peer's best configuration beats our default, in words."""
    lines = []
    for d in DIMENSIONS:
        for name, label in (("rms", "RMS"), ("median", "median")):
            scores = pooled(rows, d, name)
            for nfe in nfes:
                default = scores["ornstein", ours.DEFAULT][nfe]
                least, config, library = min((*best(scores, library, nfe), library) for library in PEERS)
                if default >= least:
                    lines.append(
                        f"- d = {d}, {nfe} NFE, {label}: {default:.2g} against {least:.2g} of {library} {config}"
                    )
    return lines or ["- Nowhere in these tables."]


def stochastic_table(rows: Sequence[Row], floors: dict[int, float]) -> list[str]:
    """The best stochastic configuration of each library."""
    lines = ["| d | NFE | " + " | ".join(LIBRARIES) + " | best of ours | best peer |", "|" + "---|" * 8]
    for d, floor in floors.items():
        scores = pooled(rows, d, "sw2")
        for nfe in STOCHASTIC_NFE:
            found = {library: best(scores, library, nfe) for library in LIBRARIES}
            least = min(PEERS, key=lambda library: found[library])
            values = " | ".join(f"{found[library][0]:.3f}" for library in LIBRARIES)
            lines.append(f"| {d} | {nfe} | {values} | {found['ornstein'][1]} | {least} {found[least][1]} |")
        lines.append(f"| {d} | exact draws | {floor:.3f} | | | | | |")
    return lines


def loop_table(rows: Sequence[Row]) -> list[str]:
    """Cost of a step and abilities."""
    lines = [
        "| library | solver | µs a step | compiles whole | gradients | both | two threads |",
        "|" + "---|" * 7,
    ]
    sign = {True: "yes", False: "no", None: ""}
    for r in rows:
        able = " | ".join(sign[r.get(name)] for name in ("compile", "gradients", "both", "threads"))
        lines.append(f"| {r['library']} | {r['config']} | {r['overhead_us']:.0f} | {able} |")
    return lines


def plot(rows: Sequence[Row], nfes: Sequence[int], path: Path) -> None:
    """Error against NFE: ours and each library's best at every NFE."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "ornstein"
    from matplotlib import pyplot

    colours = dict(zip(LIBRARIES, ("#c1272d", "#4477aa", "#228833", "#aa7733"), strict=True))
    figure, grid = pyplot.subplots(2, len(DIMENSIONS), figsize=(11, 6.4), sharex=True, constrained_layout=True)
    for (across, name), (column, d) in ((a, b) for a in enumerate(("rms", "median")) for b in enumerate(DIMENSIONS)):
        scores, axes = pooled(rows, d, name), grid[across, column]
        for library in PEERS:
            y = [best(scores, library, nfe)[0] for nfe in nfes]
            axes.loglog(nfes, y, "o--", ms=3.5, lw=1.2, color=colours[library], label=f"{library}, best at each NFE")
        y = [scores["ornstein", ours.DEFAULT][nfe] for nfe in nfes]
        axes.loglog(nfes, y, "o-", ms=4.5, lw=2.2, color=colours["ornstein"], label="ornstein, default")
        axes.set_title(f"d = {d}, {'RMS' if name == 'rms' else 'median'} error", fontsize=10)
        axes.set_xticks(nfes, [str(nfe) for nfe in nfes])
        axes.minorticks_off()
        axes.grid(alpha=0.25)
    for axes in grid[1]:
        axes.set_xlabel("network evaluations")
    grid[0, 0].legend(fontsize=7.5, frameon=False)
    figure.savefig(path, metadata={"Date": None})


def report(rows: dict[str, Any], seeds: Sequence[int], nfes: Sequence[int], seconds: float) -> str:
    """docs/solvers.md."""
    versions = ", ".join(f"{name} {version(name)}" for name in (*PEERS, "torch"))
    accuracy_sections = [
        line
        for d in DIMENSIONS
        for name, label in (("rms", "root mean square"), ("median", "median"))
        for line in ["", f"### d = {d}, {label} error", "", *accuracy_table(rows["deterministic"], d, name, nfes)]
    ]
    failed = sorted({(r["library"], r["config"], r["failed"]) for r in rows["all"] if "failed" in r})
    lines = [
        "# Solvers, side by side",
        "",
        "Written by `benchmarks/solvers.py`; do not edit. Made by",
        "",
        "    make bench-env && .bench-env/bin/python benchmarks/solvers.py",
        "",
        f"on one thread in {seconds / 60:.0f} minutes, with {versions}.",
        "",
        "## Accuracy by network evaluations",
        "",
        "![Error against network evaluations](solvers.svg)",
        "",
        "Every solver starts from the same states at σ/α = 80 and is compared, sample by sample, with the end of the",
        "probability flow (Runge–Kutta, 1200 evaluations). The denoisers are exact: a ring of 8 modes in 2 dimensions,",
        f"10 anisotropic modes in 16 and 64, overall standard deviation 1. Worlds: seeds {', '.join(map(str, seeds))}, "
        "pooled.",
        "",
        f"*ornstein* is one solver, its default ({ours.DEFAULT}): order 3 with corrector, on the grid",
        "planned for the denoiser from its own pilot samples. Every other column is, at each NFE, the best",
        "configuration in hindsight on these very worlds. Peers' configurations that come nowhere within",
        f"{MARGIN} × of their library's best on a tuning world (seed {TUNING[0]}) were not run on. *ratio* is the",
        "default over the best peer; below 1 is better.",
        *accuracy_sections,
        "",
        "### Ratio to the best peer on single worlds, lowest – highest",
        "",
        *spread_table(rows["deterministic"], nfes),
        "",
        "### Where the default is not better",
        "",
        *not_better(rows["deterministic"], nfes),
        "",
        "## Stochastic solvers",
        "",
        f"Sliced Wasserstein-2 distance of {DRAWS} samples to {DRAWS} exact draws (128 directions) on the worlds with",
        f"seed {seeds[0]}, and the mean distance of other exact draws to the same ones, near which nothing is told",
        "apart. All columns are the best in hindsight, ours too.",
        "",
        *stochastic_table(rows["stochastic"], rows["floors"]),
        "",
        "## Cost of a step and what a loop can do",
        "",
        f"Microseconds a step without the network: {overhead.STEPS} steps, "
        f"batch {overhead.BATCH} × {overhead.WIDTH}, float32,",
        "median. For diffusers `set_timesteps` is not counted. The abilities are tried out on the objects as shipped:",
        "`torch.compile(fullgraph=True)` of the 20 steps with the right result, gradients that agree with finite",
        "differences, the compiled loop with the same gradients, one object used from two threads at once.",
        "",
        *loop_table(rows["loops"]),
        "",
        "## Configurations that failed",
        "",
        *([f"- {library} {config}: {what}" for library, config, what in failed] or ["- None."]),
    ]
    return "\n".join(lines) + "\n"


_BEGIN = time.perf_counter()


def log(text: str) -> None:
    print(f"[{time.perf_counter() - _BEGIN:4.0f} s] {text}", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--tuning", action="store_true", help="the tuning worlds; prints, and writes no files")
    options.add_argument("--quick", action="store_true", help="one world a dimension, NFE 10 and 20; writes no files")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.getLogger("torch").setLevel(logging.CRITICAL)
    seeds, nfes = TUNING if chosen.tuning else REPORTED, NFE
    if chosen.quick:
        seeds, nfes = seeds[:1], (10, 20)
    measured: dict[str, Any] = {"loops": loops()}
    log("costs done")
    with torch.no_grad():
        measured["deterministic"] = deterministic(seeds, nfes)
        measured["stochastic"], measured["floors"] = stochastic(seeds[0])
    measured["all"] = [*measured["deterministic"], *measured["stochastic"], *measured["loops"]]
    text = report(measured, seeds, nfes, time.perf_counter() - _BEGIN)
    print(text)
    if not (chosen.tuning or chosen.quick):
        results = ROOT / "benchmarks" / "results" / "solvers.jsonl"
        results.parent.mkdir(exist_ok=True)
        results.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in measured["all"]))
        (ROOT / "docs" / "solvers.md").write_text(text)
        plot(measured["deterministic"], nfes, ROOT / "docs" / "solvers.svg")


if __name__ == "__main__":
    main()
