"""Samples of exp(−E) by five methods, where what is right is known: one run, one process, one thread.

    make bench-energies

blackjax's NUTS and SMC, our annealed sequential Monte Carlo, our parallel tempering, and the hybrid, which corrects the
draws of a trained model. Writes benchmarks/results/energies.jsonl, docs/energies.md and docs/energies.svg.
"""

import argparse
import json
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import energies_peers as peers
import energies_plot as plots
import energies_report as reporting
import energies_worlds as worlds
from energies_worlds import SETTINGS, Reference, Row, Setting
from ornstein import Density, Keys, ParallelTempering, load
from ornstein.denoisers import oracles
from ornstein.denoisers.base import Denoiser
from ornstein.domains.energies.data import System
from ornstein.mcmc import chains
from ornstein.mcmc.annealing import anneal
from ornstein.mcmc.judging import grouped_r_hat
from ornstein.mcmc.moves import HMC
from ornstein.mcmc.proposals import wide
from ornstein.sampling.convergence import r_hat
from ornstein.sampling.diagnostics import mean_and_error
from ornstein.schedules import Cosine, Scaled
from ornstein.tasks import runs
from ornstein.tasks.boltzmann import boltzmann
from ornstein.tasks.registry import task
from ornstein.tasks.samples import Samples
from ornstein.training import checkpoints

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "energies.jsonl"
SEED, BLIND_SEEDS = 1, (1, 2, 3)
PARTS = (0.03, 0.1, 0.3, 1.0)
"""Shares of the draws of chains after which they are measured."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method led to.

    Attributes:
        x: (n, ...).
        gradients, values: evaluations of the energy with and without gradient.
        energy_se: standard error of the mean energy.
        said: what the method says of itself.
    """

    x: Tensor
    gradients: int
    seconds: float
    energy_se: float
    values: int = 0
    said: Row = field(default_factory=dict)


def timed() -> float:
    return time.perf_counter()


# Classical methods ------------------------------------------------------------------------------------


def annealed(system: System, particles: int) -> Outcome:
    """`anneal` as it comes, from wide noise."""
    began, space = timed(), system.space()
    density = Density.of_energy(system.energy, space)
    found = anneal(density, wide(space, system.width), Keys.of(SEED, particles))
    seconds = timed() - began
    error = mean_and_error(-found.point.values[0], found.ancestor)[1]
    said = {"log_z": found.log_evidence, "log_z_se": found.error, "families": found.families}
    said["verdict"] = "collapsed" if found.collapsed else ""
    order = Keys.of(SEED, 1).fold("order").bits(particles)[0].argsort()
    return Outcome(found.point.x[order], density.tally.gradients, seconds, error, density.tally.values, said)


def tempered(system: System, setting: Setting) -> Iterator[tuple[float, Outcome]]:
    """`ParallelTempering` of HMC, chains from wide noise; after parts of the draws and after all."""
    count, warmup, draws, thin, num_steps = setting.tempered
    began, space, keys = timed(), system.space(), Keys.of(SEED, count * len(setting.ladder))
    base = wide(space, system.width)
    density = Density.of_energy(system.energy, space).from_base(base.log_prob)
    move = ParallelTempering(
        inverse_temperatures=setting.ladder, inner=HMC(step_size=0.05 * system.width, num_steps=num_steps)
    )
    start = base.sample(keys.fold("start")).double()
    found = chains.run(move, density, start, keys.fold("chains"), draws, warmup, thin)
    seconds = timed() - began
    assert found.swap_acceptance is not None
    said = {"swaps": float(found.swap_acceptance.min()), "acceptance": float(found.acceptance[0])}
    spent = (warmup + thin * np.arange(1, draws + 1)) / (warmup + thin * draws) * found.gradients
    yield from in_parts(found.x, found.log_p, spent, seconds, said)


def nuts(system: System, count: int, warmup: int, draws: int) -> Iterator[tuple[float, Outcome]]:
    """blackjax's NUTS, chains from wide noise; after parts of the draws and after all."""
    found = peers.nuts(system, count, warmup, draws, SEED)
    log_p = -system.energy(found.x.flatten(0, 1)).reshape(draws, count)
    said = {"divergent": found.divergent, "compiling": round(found.compiling, 1)}
    yield from in_parts(found.x, log_p, found.warmup + found.gradients, found.seconds, said)


def peers_annealed(system: System, particles: int) -> Outcome | None:
    """blackjax's SMC from wide noise; None if it does not arrive."""
    found = peers.smc(system, particles, SEED)
    if found is None:
        return None
    error = mean_and_error(system.energy(found.x), found.ancestor)[1]
    said = {"log_z": found.log_z, "families": len(found.ancestor.unique()), "compiling": round(found.compiling, 1)}
    order = Keys.of(SEED, 1).fold("order").bits(particles)[0].argsort()
    return Outcome(found.x[order], found.gradients, found.seconds, error, found.values, said)


def in_parts(x: Tensor, log_p: Tensor, spent: np.ndarray, seconds: float, said: Row) -> Iterator[tuple[float, Outcome]]:
    """Chains (draws, chains, ...) after each part of their draws; spent: gradients up to each draw."""
    for part in PARTS:
        draws = max(4, round(part * len(x)))
        some, size = x[:draws].flatten(0, 1), worlds.bulk_ess(log_p[:draws].T)
        error = float(log_p[:draws].std()) / size**0.5
        cost = int(spent[draws - 1])
        mixed = {"r_hat": worst_r_hat(x[:draws], log_p[:draws]), "ess": size}
        yield part, Outcome(some, cost, seconds * cost / spent[-1], error, said=said | mixed)


def worst_r_hat(x: Tensor, log_p: Tensor) -> float:
    """The largest of log p and all coordinates; NaN where a chain does not move."""
    return max(r_hat(values) for values in (log_p.T, *x.double().flatten(2).permute(2, 1, 0)))


# The hybrid -------------------------------------------------------------------------------------------


def folder_of(name: str, models: Path | None) -> Path | None:
    """Of the shipped model, else of a run among `models`; None if there is neither."""
    folders = [task("energies").folder / "models" / name, *([models / name] if models else [])]
    return next((folder for folder in folders if (folder / runs.MODEL).exists()), None)


def training_cost(folder: Path) -> tuple[int, int]:
    """Evaluations of the energy that went into the training, and its rounds."""
    _, meta = checkpoints.load(folder / runs.MODEL, "model")
    data = meta.get("data", meta["facts"])
    return data["gradients"], 1 + len(data.get("rounds", ()))


def corrected(system: System, model: Denoiser, n: int, seed: int = SEED) -> tuple[Samples, Outcome]:
    """`boltzmann`, with twice as many draws to weigh, 4,000 at least."""
    found = boltzmann(model, system.energy, n, width=system.width, seed=seed, particles=max(2 * n, 4000))
    judged: Any = found.exactness
    said = {"log_z": judged.log_evidence, "log_z_se": judged.error, "nfe": found.nfe, "verdict": judged.verdict}
    said |= {"log_z_check": judged.check, "log_z_check_se": judged.check_error, "method_used": judged.method}
    said |= {name: getattr(judged, name) for name in JUDGED}
    error = float(system.energy(found.x.double()).std()) * (1 / n + 1 / judged.sources) ** 0.5
    return found, Outcome(found.x, judged.gradients, found.seconds, error, judged.values, said)


JUDGED = (
    *("k_hat", "ess", "r_hat", "jumps", "drift", "proposals", "sources", "families"),
    *("passed", "exact", "missing", "uncovered", "low", "high"),
)
"""What is kept of the report."""


def continued(system: System, start: Samples, first: Outcome, draws: int, thin: int) -> Outcome:
    """HMC chains from the hybrid's samples on: all that they visit."""
    began, count = timed(), len(start.x)
    density, keys = Density.of_energy(system.energy, system.space()), Keys.of(SEED, count).fold("continued")
    move = HMC(step_size=0.1 * float(start.x.std()), num_steps=5)
    found = chains.run(move, density, start.x.double(), keys, draws, warmup=20, thin=thin)
    seconds = first.seconds + timed() - began
    judged: Any = start.exactness
    error = float(found.log_p.mean(0).std()) * (1 / count + 1 / judged.sources) ** 0.5
    x, log_p = found.x.transpose(0, 1).flatten(0, 1), found.log_p.T.flatten()
    said = first.said | {"r_hat": grouped_r_hat(x, log_p), "acceptance": float(found.acceptance)}
    return Outcome(x, first.gradients + found.gradients, seconds, error, first.values, said)


def half_blind(system: System) -> Denoiser:
    """The exact denoiser of the first 20 of the 40 components of gmm-40."""
    energy: Any = system.energy
    means, std = energy.args[0][:20].double(), energy.args[1]
    spread = float(means.square().mean().sqrt())
    mixture: Any = oracles.gaussian_mixture(means, std**2 * torch.eye(2).double().expand(20, 2, 2))
    space = replace(mixture.space, schedule=Scaled(Cosine(), spread), data_std=spread)
    return replace(mixture, components=replace(mixture.components, space=space))


# The run ----------------------------------------------------------------------------------------------

_BEGIN = timed()


def log(text: str) -> None:
    print(f"[{timed() - _BEGIN:4.0f} s] {text}", flush=True)


def rounded(row: Row) -> Row:
    """Numbers of five digits; what is not a number left out, as JSON has none."""
    kept = {name: value for name, value in row.items() if value is not None and value == value}
    return {name: float(f"{value:.5g}") if isinstance(value, float) else value for name, value in kept.items()}


def row_of(system: System, method: str, size: str, outcome: Outcome, right: Reference, whole: bool = True) -> Row:
    """One line of the results."""
    row: Row = {"system": system.name, "method": method, "size": size, "whole": whole}
    row |= {"gradients": outcome.gradients, "values": outcome.values, "seconds": round(outcome.seconds, 1)}
    row |= worlds.measured(outcome.x, system, right, outcome.energy_se) | outcome.said
    if "tv" in row:
        row["tv_floor"] = worlds.share_floor(system, len(outcome.x))
    if "log_z" in row and "log_z" in system.reference:
        right_z = system.reference["log_z"]
        row["log_z_error"] = abs(row["log_z"] - right_z)
        row |= {f"{name}_off": row[name] - right_z for name in ("low", "high") if name in row}
    log(f"{system.name}: {method} {size}, {row['gradients']:,} gradients, {row['seconds']} s")
    return rounded(row)


def classical(system: System, setting: Setting, right: Reference) -> Iterator[Row]:
    for particles in setting.smc:
        yield row_of(system, reporting.SMC, f"{particles:,}", annealed(system, particles), right)
        other = peers_annealed(system, particles)
        if other is not None:
            yield row_of(system, reporting.PEER, f"{particles:,}", other, right)
    for part, outcome in tempered(system, setting):
        size = f"{setting.tempered[0]} chains, {len(setting.ladder)} levels"
        yield row_of(system, reporting.PT, size, outcome, right, part == 1)
    for count, warmup, draws in setting.nuts:
        for part, outcome in nuts(system, count, warmup, draws):
            yield row_of(system, reporting.NUTS, f"{count} chains", outcome, right, part == 1)


def hybrids(system: System, setting: Setting, right: Reference, models: Path | None) -> Iterator[Row]:
    """Every size, then chains from the largest on."""
    folder = folder_of(system.name, models)
    if folder is None:
        return
    model = load(str(folder))
    about = dict(zip(("training", "rounds"), training_cost(folder), strict=True))
    start, outcome = None, None
    for n in setting.hybrid:
        start, outcome = corrected(system, model, n)
        yield about | row_of(system, reporting.HYBRID, f"{n:,}", outcome, right)
    if setting.chained and start and outcome:
        longer = continued(system, start, outcome, *setting.chained)
        yield about | row_of(system, reporting.CHAINED, f"{len(start.x):,} × {setting.chained[0]}", longer, right)


def failures(system: System, n: int, right: Reference) -> Iterator[Row]:
    """The hybrid, told of half the modes."""
    for seed in BLIND_SEEDS:
        found = corrected(system, half_blind(system), n, seed)[1]
        yield row_of(system, reporting.BLIND, f"{n:,}", found, right, False) | {"seed": seed}


def rows_of(name: str, setting: Setting, models: Path | None, quick: bool) -> Iterator[Row]:
    """All lines of one system, the last about the run."""
    began, system = timed(), worlds.named(name)
    peers.check(system)
    right = worlds.reference(system, quick)
    log(f"{name}: {'exact draws' if right.exact else right.said}")
    yield from classical(system, setting, right)
    yield from hybrids(system, setting, right, models)
    if name == "gmm-40":
        yield from failures(system, 500 if quick else 4000, right)
    about: Row = {"system": name, "exact": right.exact, "reference": right.said, "versions": reporting.versions()}
    yield about | {"floors": rounded(worlds.floors(system, right)), "seconds": round(timed() - began)}


def stored() -> list[Row]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def written(rows: Sequence[Row]) -> list[Row]:
    """All stored rows, of which those of the systems given anew are replaced."""
    new = {row["system"] for row in rows}
    kept = [row for row in stored() if row["system"] not in new] + list(rows)
    kept.sort(key=lambda row: list(SETTINGS).index(row["system"]))
    RESULTS.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept))
    return kept


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=list(SETTINGS), help="one system, whose stored results are replaced")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see whether it runs; writes no files")
    parser.add_argument("--models", type=Path, help="run folders of models that are not shipped")
    parser.add_argument("--reference", choices=list(SETTINGS), help="only print quantiles of E of long chains")
    parser.add_argument("--report", action="store_true", help="only write the page again, from the stored results")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    if chosen.reference:
        print(worlds.quantiles(chosen.reference, chosen.quick))
        return
    rows: list[Row] = []
    for name in [] if chosen.report else [chosen.only] if chosen.only else SETTINGS:
        setting = SETTINGS[name].quick if chosen.quick else SETTINGS[name]
        rows += rows_of(name, setting, chosen.models, chosen.quick)
    rows = rows if chosen.quick else written(rows)
    text = reporting.page(rows)
    print(text)
    if not chosen.quick:
        (ROOT / "docs" / "energies.md").write_text(text)
        plots.plot(rows, ROOT / "docs" / "energies.svg")


if __name__ == "__main__":
    main()
