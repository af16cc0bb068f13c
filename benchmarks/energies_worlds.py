"""The systems of energies.py: how much each method may spend on them, what samples are held against, and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from math import log
from typing import Any

import numpy as np
import torch
from arviz_stats.base.array import array_stats
from scipy.stats import ks_2samp
from torch import Tensor

from ornstein import Density, Keys
from ornstein.domains.energies.data import System, systems
from ornstein.domains.energies.metrics import energies_and_virials, total_variation, virial, w2
from ornstein.mcmc import chains
from ornstein.mcmc.annealing import anneal
from ornstein.mcmc.moves import HMC
from ornstein.mcmc.proposals import wide
from ornstein.sampling.convergence import r_hat

Row = dict[str, Any]
TRANSPORTED = 1000
"""Samples whose Wasserstein distance is taken."""
COMPARED = 5000
"""The most samples whose energies are compared, of each side."""


@dataclass(frozen=True)
class Setting:
    """What is spent on one system.

    Attributes:
        smc: particles of each annealing.
        ladder: β of parallel tempering, on the path from wide noise.
        tempered: (chains, warm-up moves, draws, moves a draw, leaps) of parallel tempering.
        nuts: (chains, warm-up, draws) of each run.
        hybrid: samples of each hybrid; the draws weighed are twice as many, 4,000 at least.
        chained: (draws, moves a draw) of HMC from the hybrid's samples on; nothing if None.
        goals: the largest error, by name of a measure.
        error: the measure that the plot shows.
    """

    smc: tuple[int, ...]
    ladder: tuple[float, ...]
    tempered: tuple[int, int, int, int, int]
    nuts: tuple[tuple[int, int, int], ...]
    hybrid: tuple[int, ...] = ()
    chained: tuple[int, int] | None = None
    goals: Mapping[str, float] = field(default_factory=dict)
    error: str = "ks"

    @property
    def quick(self) -> "Setting":
        """Small, to see whether everything runs."""
        tempered = (self.tempered[0], 50, 100, 1, self.tempered[4])
        nuts = tuple((count, 100, 100) for count, _, _ in self.nuts)
        chained = None if self.chained is None else (5, 2)
        return Setting(
            (1000,), self.ladder, tempered, nuts, self.hybrid[:1] and (500,), chained, self.goals, self.error
        )


def falling(levels: int, last: float) -> tuple[float, ...]:
    """A geometric ladder from 1 to `last`, then 0."""
    return (*(last ** (k / (levels - 2)) for k in range(levels - 1)), 0.0)


SETTINGS = {
    "gmm-40": Setting(
        (1000, 4000, 16000, 50000),
        falling(9, 0.01),
        (64, 200, 1000, 2, 5),
        ((4, 1000, 20000), (64, 1000, 2000)),
        (1000, 50000),
        goals={"tv": 0.02, "w2": 5.8, "log_z_error": 0.02, "missing": 0.03, "gradients": 4e6},
        error="tv",
    ),
    "many-well-32": Setting(
        (1000, 4000, 16000),
        falling(10, 0.03),
        (64, 200, 1000, 2, 5),
        ((4, 1000, 10000), (64, 1000, 1000)),
        (1000, 4000),
        goals={"tv": 0.015, "log_z_error": 0.05, "missing": 0.03, "gradients": 1.2e6},
        error="tv",
    ),
    "dw-4": Setting(
        (1000, 4000, 16000),
        falling(9, 0.01),
        (64, 200, 1000, 2, 5),
        ((4, 1000, 10000), (64, 1000, 1000)),
        (1000, 20000),
        goals={"tv": 0.02, "energy_error": 0.03, "missing": 0.03, "gradients": 2e6},
        error="tv",
    ),
    "lj-13": Setting(
        (1000, 4000, 16000),
        (1.0, 0.87, 0.75, 0.65, 0.56),
        (64, 300, 400, 2, 10),
        ((4, 1000, 4000), (64, 300, 300)),
        (1000, 3000),
        (20, 4),
        goals={"virial_error": 0.02, "missing": 0.03, "gradients": 1.05e6},
    ),
    "funnel-10": Setting(
        (1000, 4000, 16000),
        falling(9, 0.01),
        (64, 200, 1000, 2, 5),
        ((4, 1000, 10000), (64, 1000, 1000)),
    ),
}


# What samples are held against ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Reference:
    """Draws that count as right.

    Attributes:
        x: in two halves that are independent of each other.
        exact: whether they are drawn, not the end of long chains.
        energy, error: the mean energy and its standard error, 0 if it is exact.
    """

    x: Tensor
    exact: bool
    energy: float
    error: float
    said: str = ""

    @property
    def halves(self) -> tuple[Tensor, Tensor]:
        middle = len(self.x) // 2
        return self.x[:middle], self.x[middle:]


def reference(system: System, quick: bool = False) -> Reference:
    """Exact draws if there are any, else those of long HMC chains from annealed starts."""
    if system.draw is not None:
        x = system.draw(Keys.of(7, 20000 if quick else 200000)).double()
        energies = system.energy(x)
        known, error = system.reference.get("energy"), float(energies.std()) / len(x) ** 0.5
        return Reference(x, True, *((known, 0.0) if known is not None else (float(energies.mean()), error)))
    found = long_chains(system, 64, 20) if quick else long_chains(system, 256, 400)
    x = found.x.transpose(0, 1).flatten(0, 1)  # chain by chain: halves share none
    energies = -found.log_p.T
    known = system.reference.get("energy")
    mean, error = float(energies.mean()), float(energies.std()) / bulk_ess(energies) ** 0.5
    said = f"{found.x.shape[1]} HMC chains × {len(found.x)} draws, R̂ {found.r_hat:.4f}, ⟨E⟩ {mean:.3f} ± {error:.3f}"
    return Reference(x, False, *((known, 0.0) if known is not None else (mean, error)), said)


def long_chains(system: System, count: int, draws: int) -> chains.Chains:
    """HMC chains from an annealed population, each draw five moves of 30 leaps after the one before."""
    density, keys = Density.of_energy(system.energy, system.space()), Keys.of(11, count).fold("reference")
    start = anneal(density, wide(system.space(), system.width), keys).point.x
    move = HMC(step_size=0.05 * float(start.std()), num_steps=30)
    return chains.run(move, density, start, keys.fold("chains"), draws, warmup=max(50, draws // 2), thin=5)


def quantiles(name: str, quick: bool = False) -> str:
    """41 evenly spaced quantiles of E of long chains, and how far those can be trusted."""
    system = systems[name]()
    found = long_chains(system, 256, 20 if quick else 800)
    energies = -found.log_p
    size = bulk_ess(energies.T)
    thinned = found.x[:: max(1, len(found.x) // 200)].flatten(0, 1)
    judged = virial(energies_and_virials(thinned, system)[1], system)
    values = np.quantile(energies.numpy(), np.linspace(0, 1, 41))
    return (
        f"{name}: {found.x.shape[1]} chains × {len(found.x)} draws, {found.gradients:,} gradients; R̂ of all "
        f"coordinates and E {found.r_hat:.4f}, of E {r_hat(energies.T):.4f}; acceptance {float(found.acceptance):.2f}\n"
        f"⟨E⟩ = {energies.mean():.4f} ± {float(energies.std()) / size**0.5:.4f}, standard deviation "
        f"{energies.std():.3f}; virial {judged.measured} ({judged.meaning})\n"
        f"({', '.join(f'{value:.2f}' for value in values)})"
    )


def bulk_ess(values: Tensor) -> float:
    """Of chains (chains, draws): how many independent draws their mean is worth (ArviZ)."""
    return float(np.asarray(array_stats.ess(values.numpy())))


# Measures ---------------------------------------------------------------------------------------------


def thinned(x: Tensor, n: int) -> Tensor:
    """At most n of the samples, at random: even spacing could pick a single one of many chains."""
    return x if len(x) <= n else x[Keys.of(0, 1).fold("thinned").uniform(len(x))[0].argsort()[:n]]


def kolmogorov_smirnov(a: Tensor, b: Tensor) -> tuple[float, float]:
    """The largest difference of the two distribution functions, and its p if all numbers are independent."""
    found: Any = ks_2samp(a.numpy(), b.numpy(), method="asymp")
    return float(found.statistic), float(found.pvalue)


def level(n: int, p: float = 0.05) -> float:
    """The distance that the energies of n independent right draws exceed with probability p; 5,000 are compared."""
    return (-log(p / 2) / 2) ** 0.5 * (1 / min(n, COMPARED) + 1 / (2 * COMPARED)) ** 0.5


def measured(x: Tensor, system: System, right: Reference, error: float | None = None) -> Row:
    """Everything that samples (n, ...) can be held against.

    Args:
        error: standard error of the mean energy; that of independent samples if not given.
    """
    x = x.double()
    energies = system.energy(x)
    error = float(energies.std()) / len(x) ** 0.5 if error is None else error
    row: Row = {"n": len(x), "w2": transported(x, right), "energy": float(energies.mean()), "energy_se": error}
    row["energy_error"] = abs(row["energy"] - right.energy)
    row |= _virial(x, system) | _energies(energies, system, right) | _shares(x, system)
    return row


def transported(x: Tensor, right: Reference) -> float:
    """W₂ of up to 1,000 samples to as many right ones."""
    n = min(len(x), len(right.halves[0]), TRANSPORTED)
    return w2(thinned(x, n), thinned(right.halves[0], n))


def _virial(x: Tensor, system: System) -> Row:
    """⟨x · ∇E⟩; how far it is off, and its standard error, as shares of what it must be."""
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(system.energy(x).sum(), x)
    products = (x * slope).detach().flatten(1).sum(1) / system.reference["virial"]
    mean, error = float(products.mean()), float(products.std()) / len(x) ** 0.5
    return {"virial": mean * system.reference["virial"], "virial_error": abs(mean - 1), "virial_se": error}


def _energies(energies: Tensor, system: System, right: Reference) -> Row:
    """The distance of the distributions of E."""
    distance, p = kolmogorov_smirnov(thinned(energies, COMPARED), _right_energies(system, right)[0])
    return {"ks": distance, "ks_p": p}


def _right_energies(system: System, right: Reference) -> list[Tensor]:
    return [system.energy(thinned(half, 2 * COMPARED)) for half in right.halves]


def _shares(x: Tensor, system: System) -> Row:
    """The error of the shares of classes, and how many classes were found."""
    if system.group is None or system.shares is None:
        return {}
    groups = system.group(x)
    row: Row = {"tv": total_variation(groups, system.shares)}
    return row if groups.ndim > 1 else row | {"modes": len(groups.unique())}


def floors(system: System, right: Reference) -> Row:
    """What independent right samples are from the same ones, at the sizes compared."""
    energies = _right_energies(system, right)
    distance = kolmogorov_smirnov(thinned(energies[1], COMPARED), energies[0])[0]
    row: Row = {"w2": transported(right.halves[1], right), "ks": distance}
    return row | {"energy": right.energy, "energy_se": right.error}


def share_floor(system: System, n: int) -> float | None:
    """The expected total variation of n exact draws."""
    if system.shares is None:
        return None
    p = system.shares.double()
    return float((2 / torch.pi * p * (1 - p) / n).sqrt().sum() / 2)


@cache
def named(name: str) -> System:
    return systems[name]()
