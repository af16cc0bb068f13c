"""How samples of exp(−E) are judged: by what is known exactly of the system, else by identities that always hold.

⟨x · ∇E⟩ is the number of degrees of freedom, whatever the energy (integrate by parts): the virial theorem.
"""

from collections.abc import Callable, Mapping
from functools import partial
from math import isnan, nan
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...deferred import deferred
from ...denoisers.base import NeuralDenoiser
from ...escaping import html
from ...keys import Keys
from ...mcmc.report import MCMCReport
from ...report import plots
from ...sampling.diagnostics import mean_and_error
from ...tasks.drawing import sample
from ...tasks.figures import Chapter, Figure, Metric
from .data import System
from .factors import boltzmann

if TYPE_CHECKING:
    from scipy import optimize
else:
    optimize = deferred("scipy.optimize")


Average = Callable[[Float[Tensor, " n"]], tuple[float, float]]
"""The mean of numbers of samples, and its standard error."""


def independent(values: Float[Tensor, " n"], worth: float = nan) -> tuple[float, float]:
    """The mean of numbers and its standard error, of samples that are worth so many independent ones; all if NaN."""
    count = len(values) if isnan(worth) else min(len(values), max(worth, 1.0))
    return values.mean().item(), float(values.std()) / count**0.5


def judged(
    x: Float[Tensor, "n ..."], system: System, exactness: Any = None, genealogy: Int[Tensor, " n"] | None = None
) -> list[Metric]:
    """All scores that apply to a system.

    Args:
        x: states, (batch, ...).
        system: the energy with its reference values.
        exactness: what was measured about how exact the samples are, if anything.
        genealogy: which samples are of one family; see Samples.
    """
    found = [*identities(x, system, exactness, genealogy), *wasserstein(x, system)]
    if isinstance(exactness, MCMCReport) and "log_z" in system.reference:
        meaning = f"log of the integral of exp(−E), nats; its stated error is {exactness.error:.3g}."
        found.append(Metric("log Z", exactness.log_evidence, "closer", meaning, system.reference["log_z"], "exact"))
    return found


def identities(
    x: Float[Tensor, "n ..."], system: System, exactness: Any = None, genealogy: Int[Tensor, " n"] | None = None
) -> list[Metric]:
    """What takes no time: the virial, the mean energy and the shares of modes, with errors that know of families.

    Args:
        x: states, (batch, ...).
        system: the energy with its reference values.
        exactness: what was measured of the samples; its `sources` say how many independent draws they are worth.
        genealogy: which samples are of one family; then it is the families that are independent.
    """
    average = partial(independent, worth=getattr(exactness, "sources", nan))
    if genealogy is not None:
        average = partial(mean_and_error, genealogy=genealogy.unique(return_inverse=True)[1])
    return [virial(x, system, average), *mean_energy(x, system, average), *shares(x, system)]


def virial(x: Float[Tensor, "n ..."], system: System, average: Average = independent) -> Metric:
    """⟨x · ∇E⟩ beside the number of degrees of freedom."""
    x = x.double().requires_grad_()
    (slope,) = torch.autograd.grad(system.energy(x).sum(), x)
    mean, error = average((x * slope).detach().flatten(1).sum(1))
    rank = float(system.space().freedom(torch.zeros(1, *system.shape)).sum())
    meaning = "Mean of x · ∇E, of any exp(−E) the degrees of freedom."
    return Metric("virial", mean, "closer", meaning, rank, "exact", error)


def mean_energy(x: Float[Tensor, "n ..."], system: System, average: Average = independent) -> list[Metric]:
    """⟨E⟩, with the exact one if it is known."""
    mean, error = average(system.energy(x.double()).double())
    return [Metric("mean energy", mean, "closer", "In units of kT.", system.reference.get("energy"), "exact", error)]


def shares(x: Float[Tensor, "n ..."], system: System) -> list[Metric]:
    """How far the shares of modes or classes are from the exact ones."""
    if system.group is None or system.shares is None:
        return []
    distance = total_variation(system.group(x), system.shares)
    floor = (2 / torch.pi * system.shares * (1 - system.shares) / len(x)).sqrt().sum().item() / 2
    meaning = "Total variation between the shares of modes and the exact ones; the yardstick is that of exact draws."
    return [Metric("shares of modes", distance, "lower", meaning, floor, "exact draws, expected")]


def total_variation(groups: Tensor, shares: Float[Tensor, " k"]) -> float:
    """½ Σ |found − exact|, the mean over independent copies, (n,) or (n, copies)."""
    copies = groups.reshape(len(groups), -1).T
    found = torch.stack([torch.bincount(copy, minlength=len(shares)) / len(copy) for copy in copies])
    return ((found - shares).abs().sum(1) / 2).mean().item()


def wasserstein(x: Float[Tensor, "n ..."], system: System, most: int = 1000) -> list[Metric]:
    """The exact W₂ between up to 1,000 samples and as many exact draws, beside that of two exact draws.

    Args:
        x: states, (batch, ...).
        system: the energy with its reference values.
        most: samples compared, at most.
    """
    if system.draw is None:
        return []
    n = min(len(x), most)
    first, second = (system.draw(Keys.of(seed, n)) for seed in (7, 8))
    meaning = f"Exact 2-Wasserstein distance of {n} samples to exact draws; the yardstick is two sets of exact draws."
    return [Metric("Wasserstein-2", w2(x[:n], first), "lower", meaning, w2(second, first), "exact draws")]


def w2(a: Float[Tensor, "n ..."], b: Float[Tensor, "n ..."]) -> float:
    """The 2-Wasserstein distance between two sets of as many points: that of the best pairing of them."""
    cost = torch.cdist(a.double().flatten(1), b.double().flatten(1)).square().numpy()
    return float(cost[optimize.linear_sum_assignment(cost)].mean()) ** 0.5


# Figures ----------------------------------------------------------------------------------------------


def figures(x: Float[Tensor, "n ..."], system: System) -> list[Figure]:
    """The samples on the energy, if it is of the plane, and their energies."""
    plane = [_on_landscape({"samples": x}, system)] if system.shape == (2,) else []
    return [*plane, _energies({"samples": x}, system)]


def corrected_title(system: System) -> str:
    """Of the chapter `corrected`."""
    return f"{system.name}: from proposals to exp(−E)"


def corrected(denoiser: NeuralDenoiser, system: System, seed: int, n: int = 300) -> Chapter:
    """What the model proposes, and what becomes of it.

    Args:
        denoiser: the model, (x_t, t, condition) → belief.
        system: the energy with its reference values.
        seed: of all random numbers.
        n: number of samples.
    """
    found = sample(denoiser & boltzmann(system), n, seed=seed, exact="mcmc", particles=2000)
    sets = {"proposed": sample(denoiser, n, seed=seed).x, "corrected": found.x}
    plane = [_on_landscape(sets, system)] if system.shape == (2,) else []
    assert denoiser.origin is not None
    training = f"{denoiser.origin.metadata['gradients']:,}"
    figures = [*plane, _energies(sets, system)]
    return Chapter(
        corrected_title(system),
        f"{n} samples, {html(str(found.exactness))}. The first data of the training took {training} gradients. "
        f"Draw your own: <code>ornstein sample energies/{denoiser.origin.name} --n 1000 --exact mcmc</code>",
        figures,
        judged(found.x, system, found.exactness),
        figures[0],
    )


def _energies(sets: Mapping[str, Tensor], system: System) -> Figure:
    energies = {name: system.energy(x.double()).numpy() for name, x in sets.items()}
    if system.draw is not None:
        energies["exact draws"] = system.energy(system.draw(Keys.of(7, 2000)).double()).numpy()
    elif len(system.energies):
        quantiles, at = np.array(system.energies), np.linspace(0.025, 0.975, 4000)  # not the tails between the last two
        energies["long chains"] = np.interp(at, np.linspace(0, 1, len(quantiles)), quantiles)
    alt = f"Histograms of the energy in units of kT: {', '.join(energies)}"
    return Figure(plots.histograms(energies, "E / kT"), "Energies", "svg+xml", 520, alt)


def _on_landscape(sets: Mapping[str, Tensor], system: System) -> Figure:
    panels = {name: (system.energy, x[:1000].numpy()) for name, x in sets.items()}
    limit = 1.6 * system.width
    image = plots.landscape(panels, (-limit, limit, -limit, limit), nats=16.0, size=3.2)
    alt = f"Points on the contours of the energy in the plane: {', '.join(sets)}"
    return Figure(image, "Samples on the energy", "svg+xml", 400 * len(sets), alt)
