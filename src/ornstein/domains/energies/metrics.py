"""How samples of exp(−E) are judged: by what is known exactly of the system, else by identities that always hold.

⟨x · ∇E⟩ is the number of degrees of freedom, whatever the energy (integrate by parts): the virial theorem.
"""

from collections.abc import Callable, Mapping
from math import isnan, nan, prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...deferred import deferred
from ...keys import Keys
from ...mcmc.report import MCMCReport
from ...report import plots
from ...tasks.figures import Figure, Metric
from .data import System

if TYPE_CHECKING:
    from scipy import optimize
else:
    optimize = deferred("scipy.optimize")


_ROWS, _NUMBERS = 4096, 10**7  # samples and their coordinates, at most, whose energies are computed at once
COMPARED = 1000
"""Samples whose distance to exact draws is computed."""
SHOWN = 1000
"""Samples that are shown on the energy."""

Average = Callable[[Float[Tensor, " n"]], tuple[float, float]]
"""The mean of numbers of samples, and its standard error."""


def independent(values: Float[Tensor, " n"], worth: float = nan) -> tuple[float, float]:
    """The mean of numbers and its standard error, of samples that are worth so many independent ones; all if NaN."""
    count = len(values) if isnan(worth) else min(len(values), max(worth, 1.0))
    return values.mean().item(), float(values.std()) / count**0.5


def rows_of(system: System) -> int:
    """Of how many samples energies are computed at once."""
    return max(1, min(_ROWS, _NUMBERS // prod(system.shape)))


def energies_and_virials(x: Float[Tensor, "n ..."], system: System) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """E and x · ∇E of each state, in float64."""
    x = x.double().requires_grad_()
    energies = system.energy(x)
    (slope,) = torch.autograd.grad(energies.sum(), x)
    return energies.detach().double(), (x * slope).detach().flatten(1).sum(1)


def energies(x: Float[Tensor, "n ..."], system: System) -> Float[Tensor, " n"]:
    """E of each state, in float64, of a few of them at a time."""
    with torch.no_grad():
        return torch.cat([system.energy(part.double()).double() for part in x.split(rows_of(system))])


def virial(virials: Float[Tensor, " n"], system: System, average: Average = independent) -> Metric:
    """⟨x · ∇E⟩ beside the number of degrees of freedom.

    Args:
        virials: x · ∇E of each sample.
        system: the energy with its reference values.
        average: how the mean is taken.
    """
    mean, error = average(virials)
    rank = float(system.space().freedom(torch.zeros(1, *system.shape)).sum())
    meaning = "Mean of x · ∇E, of any exp(−E) the degrees of freedom."
    return Metric("virial", mean, "closer", meaning, rank, "exact", error)


def mean_energy(energies: Float[Tensor, " n"], system: System, average: Average = independent) -> Metric:
    """⟨E⟩, with the exact one if it is known.

    Args:
        energies: of the samples, in units of kT.
        system: the energy with its reference values.
        average: how the mean is taken.
    """
    mean, error = average(energies)
    return Metric("mean energy", mean, "closer", "In units of kT.", system.reference.get("energy"), "exact", error)


def shares(counts: Int[Tensor, "copies k"], system: System) -> list[Metric]:
    """How far the shares of modes or classes are from the exact ones, if these are known.

    Args:
        counts: of the samples; see `counted`.
        system: the energy with its reference values.
    """
    if system.shares is None:
        return []
    n = int(counts[0].sum())
    floor = (2 / torch.pi * system.shares * (1 - system.shares) / n).sqrt().sum().item() / 2
    meaning = "Total variation between the shares of modes and the exact ones; the yardstick is that of exact draws."
    distance = _apart(counts, system.shares)
    return [Metric("shares of modes", distance, "lower", meaning, floor, "exact draws, expected")]


def counted(groups: Tensor, classes: int) -> Int[Tensor, "copies k"]:
    """How many samples fall in each class, by each of their independent copies, (n,) or (n, copies)."""
    copies = groups.reshape(len(groups), -1).T
    return torch.stack([torch.bincount(copy, minlength=classes) for copy in copies])


def total_variation(groups: Tensor, shares: Float[Tensor, " k"]) -> float:
    """½ Σ |found − exact|, the mean over independent copies, (n,) or (n, copies)."""
    return _apart(counted(groups, len(shares)), shares)


def _apart(counts: Int[Tensor, "copies k"], shares: Float[Tensor, " k"]) -> float:
    found = counts / counts.sum(1, keepdim=True)
    return ((found - shares).abs().sum(1) / 2).mean().item()


def log_z(exactness: Any, system: System) -> list[Metric]:
    """log Z as a correction found it, beside the exact one; nothing where either is not known."""
    if not isinstance(exactness, MCMCReport) or "log_z" not in system.reference:
        return []
    meaning = f"log of the integral of exp(−E), nats; its stated error is {exactness.error:.3g}."
    return [Metric("log Z", exactness.log_evidence, "closer", meaning, system.reference["log_z"], "exact")]


def wasserstein(first: Float[Tensor, "m ..."], system: System, count: int) -> list[Metric]:
    """The exact W₂ between the first samples and as many exact draws, beside that of two exact draws.

    Args:
        first: their states, at most `COMPARED`: all pairs are needed, and the best pairing takes the cube of them.
        system: the energy with its reference values.
        count: of all samples.
    """
    if system.draw is None:
        return []
    n = len(first)
    exact, other = (system.draw(Keys.of(seed, n)) for seed in (7, 8))
    some = f"{n} samples" if n == count else f"the first {n:,} of {count:,} samples"
    meaning = f"Exact 2-Wasserstein distance of {some} to exact draws; the yardstick is two sets of exact draws."
    return [Metric("Wasserstein-2", w2(first, exact), "lower", meaning, w2(other, exact), "exact draws")]


def w2(a: Float[Tensor, "n ..."], b: Float[Tensor, "n ..."]) -> float:
    """The 2-Wasserstein distance between two sets of as many points: that of the best pairing of them."""
    cost = torch.cdist(a.double().flatten(1), b.double().flatten(1)).square().numpy()
    return float(cost[optimize.linear_sum_assignment(cost)].mean()) ** 0.5


# Figures ----------------------------------------------------------------------------------------------


def figures(first: Float[Tensor, "m ..."], energies: Float[Tensor, " n"], system: System) -> list[Figure]:
    """The samples on the energy, if it is of the plane, and their energies.

    Args:
        first: states of the first `SHOWN` samples, or of all if they are fewer.
        energies: of all samples, in units of kT.
        system: the energy with its reference values.
    """
    plane = [on_landscape({"samples": first}, system)] if system.shape == (2,) else []
    return [*plane, histograms({"samples": energies}, system)]


def histograms(sets: Mapping[str, Float[Tensor, " n"]], system: System) -> Figure:
    """The energies of sets of samples, by name, beside those of exact draws or long chains."""
    shown = {name: energies.numpy() for name, energies in sets.items()}
    if system.draw is not None:
        shown["exact draws"] = energies(system.draw(Keys.of(7, 2000)), system).numpy()
    elif len(system.energies):
        quantiles, at = np.array(system.energies), np.linspace(0.025, 0.975, 4000)  # not the tails between the last two
        shown["long chains"] = np.interp(at, np.linspace(0, 1, len(quantiles)), quantiles)
    alt = f"Histograms of the energy in units of kT: {', '.join(shown)}"
    return Figure(plots.histograms(shown, "E / kT"), "Energies", "svg+xml", 520, alt)


def on_landscape(sets: Mapping[str, Float[Tensor, "n 2"]], system: System) -> Figure:
    """Sets of samples, by name, on the contours of an energy of the plane; the first `SHOWN` of each."""
    panels = {name: (system.energy, x[:SHOWN].numpy()) for name, x in sets.items()}
    limit = 1.6 * system.width
    image = plots.landscape(panels, (-limit, limit, -limit, limit), nats=16.0, size=3.2)
    alt = f"Points on the contours of the energy in the plane: {', '.join(sets)}"
    return Figure(image, "Samples on the energy", "svg+xml", 400 * len(sets), alt)
