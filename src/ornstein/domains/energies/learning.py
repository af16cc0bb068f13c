"""Learning from an energy alone: no data are needed, they are made.

    round 0     a population is annealed from wide noise to exp(−E), and goes on in chains: the first data
    round k     the model so far proposes, its draws are weighed and corrected (correction.py), and join the data

so that what the first population got wrong, its mode weights above all, is mended by weights that know the density of
what they weigh (cf. Akhound-Sadegh et al. 2024; Havens et al. 2025, whose refinements are not weighed). The rounds are
those of `ornstein train`: see Task.renewed.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...denoisers.base import Denoiser
from ...keys import Keys
from ...mcmc.annealing import anneal
from ...mcmc.chains import run
from ...mcmc.densities import Density
from ...mcmc.moves import HMC
from ...mcmc.proposals import wide
from ...spaces import Euclidean
from ...tasks.boltzmann import boltzmann
from ...training.datasets import Arrays

Energy = Callable[[Tensor], Tensor]


def first_data(
    energy: Energy, space: Euclidean, width: float, particles: int, draws: int, seed: int
) -> tuple[Float[Tensor, "draws particles ..."], int]:
    """Samples of exp(−E), the latest first, and the gradients they took.

    Args:
        width: of the wide noise about 0 that the annealing starts from.
        draws: kept of each particle, ten moves apart.
        energy: E(x) in units of kT, (batch, ...) → (batch,), differentiable.
        space: the kind of data and its noise.
        particles: size of the population.
        seed: of all random numbers.
    """
    density, keys = Density.of_energy(energy, space), Keys.of(seed, particles).fold("data")
    start = anneal(density, wide(space, width), keys)
    move = HMC(step_size=0.1 * float(start.point.x.std()), num_steps=5)
    chains = run(move, density, start.point.x, keys.fold("chains"), draws, warmup=50, thin=10)
    return chains.x.flip(0), density.tally.gradients


def renewed(denoiser: Denoiser, energy: Energy, width: float, data: Arrays, n: int, seed: int) -> Arrays:
    """The data, the latest first, with n corrected draws of the model before them, for which the oldest give way.

    They stay as they are if the correction does not pass. Their facts count the energies evaluated so far
    ("gradients"), and say of each round how it went.

    Args:
        denoiser: the model, (x_t, t, condition) → belief.
        energy: E(x) in units of kT, (batch, ...) → (batch,), differentiable.
        width: standard deviation about 0, in the unit of x.
        seed: of all random numbers.
    """
    drawn = boltzmann(denoiser, energy, n, width=width, seed=seed)
    found: Any = drawn.exactness
    metadata = {
        **data.metadata,
        "gradients": data.metadata.get("gradients", 0) + found.gradients + found.values,
        "rounds": [*data.metadata.get("rounds", []), str(found)],
    }
    assert isinstance(data.x, Tensor)
    x = torch.cat([drawn.x.to(data.x), data.x])[: max(len(data), 2 * n)] if found.passed else data.x
    return Arrays(x, {}, metadata)


def spread(x: Float[Tensor, "n ..."], space: Euclidean) -> float:
    """Root mean square of a degree of freedom about 0."""
    rank = float(space.freedom(x[:1]).sum())
    return float((x.double().flatten(1).square().sum(1).mean() / rank).sqrt())
