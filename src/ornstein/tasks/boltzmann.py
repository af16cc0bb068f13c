"""Samples of exp(−E): from a model that draws fast, or from samples you have; see correction.py for how.

found = on.boltzmann(model, energy, 1000)    # found.exactness: weights, acceptance, R̂, log Z ± error, a verdict
found = on.refine(samples, energy)
"""

import time
from collections.abc import Callable
from math import inf
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..denoisers.base import Denoiser
from ..errors import InputError
from ..events import Event, Stream, part, streamed
from ..guidance.values import require_whole
from ..keys import Keys
from ..mcmc.correction import CLOUD, clouded, corrected
from ..mcmc.densities import Density
from ..mcmc.proposals import wide
from ..mcmc.targets import Boltzmann
from ..spaces import Euclidean
from .drawing import sample
from .samples import Samples

TEMPERATURES, LEAPS = 10, 15
"""Of an annealing, 3 to 20 as measured on the named systems, and gradients of a particle at each."""


def boltzmann(
    denoiser: Denoiser,
    energy: Callable[[Tensor], Float[Tensor, " batch"]],
    n: int = 1000,
    *,
    width: float | None = None,
    **options: Any,
) -> Samples:
    """n samples of exp(−E) that a model proposes.

    Args:
        energy: dimensionless (kT = 1), (batch, ...) → (batch,), differentiable.
        width: of wide noise about 0 that reaches all of it; 1.5 times the model's data if not given.
        options: those of `sample`.
        denoiser: the model, (x_t, t, condition) → belief.
    """
    return sample(denoiser & Boltzmann(energy, width), n, exact="mcmc", **options)


@streamed
def refine(
    samples: Samples | Float[Tensor, "m ..."],
    energy: Callable[[Tensor], Float[Tensor, " batch"]],
    n: int | None = None,
    *,
    space: Euclidean | None = None,
    width: float | None = None,
    seed: int = 0,
    moves: int = 20,
    check: int = 2000,
    particles: int = CLOUD,
    budget: int | None = None,
) -> Stream[Samples]:
    """Samples of exp(−E) from samples of something near it, whose density need not be known.

    A population is annealed from a cloud about the samples, so that modes get the weights of exp(−E).

    Args:
        n: as many as there are, if not given.
        space: Euclidean of the samples' shape, if not given; Centered for point clouds without translation.
        width: of wide noise about 0 that reaches all of exp(−E); 1.5 times the samples' root mean square if not given.
        moves: of every sample at the end.
        check: particles of the independent check; 0 = none.
        particles: of the population that is annealed from the samples; as many as n at least. Fewer are cheaper, for
            slow calculators, and their log Z has a larger error.
        budget: the most evaluations of the energy. InputError says before any how many it would take, if more.
        energy: E(x) in units of kT, (batch, ...) → (batch,), differentiable.
        seed: of all random numbers.

    InputError if the samples are not 20 or more of finite numbers, most of them different.
    """
    started, x = time.perf_counter(), samples.x if isinstance(samples, Samples) else samples
    n = len(samples) if n is None else n
    _require_sense(x, n, width, moves, check, particles)
    if budget is not None:
        _require_within(budget, n, moves, check, particles)
    space = space or Euclidean(tuple(x.shape[1:]))
    density, keys = Density.of_energy(energy, space), Keys.of(seed, n, x.device)
    total = 200 + 3 * moves
    start = yield from part(clouded.events(space.project(x), density, n, keys, particles), 0, 100, total)
    base = wide(space, width or 1.5 * float(x.square().mean().sqrt()), x.device)
    correcting = corrected.events(start, density, base, keys, moves=moves, check=check)
    refined, exactness = yield from part(correcting, 100, total - 100, total)
    origin = samples.origin if isinstance(samples, Samples) else None
    settings = {"seed": seed, "moves": moves, "check": check, "particles": particles}
    seconds, x = time.perf_counter() - started, refined.to("cpu", torch.get_default_dtype())
    made = Samples(x, {}, origin, seconds=seconds, settings=settings, exactness=exactness)
    yield Event(total, total, "done", x, made, made)
    return made


def evaluations(n: int, moves: int = 20, check: int = 2000, particles: int = CLOUD) -> int:
    """About how many evaluations of the energy `refine` takes: a third to twice as many, since the
    temperatures follow the energy.

    Args:
        n: samples.
        moves: of every sample at the end, after twice as many that learn the step.
        check: particles of the independent check.
        particles: of the population that is annealed from the samples.
    """
    return LEAPS * TEMPERATURES * (max(n, particles) + check) + (3 * moves + 1) * n


def _require_within(budget: int, n: int, moves: int, check: int, particles: int) -> None:
    """InputError if more evaluations than that are to be expected."""
    require_whole("budget", budget, 1)
    expected = evaluations(n, moves, check, particles)
    if expected > budget:
        least = evaluations(n, moves, 0, 20)
        raise InputError(
            f"about {expected:,} evaluations of the energy are expected, more than the budget of {budget:,}: take "
            f"fewer particles ({particles:,}), a smaller check ({check:,}) or fewer moves ({moves}); particles=20 and "
            f"check=0 are about {least:,}"
        )


def _require_sense(x: Any, n: int, width: float | None, moves: int, check: int, particles: int) -> None:
    """InputError unless x are samples that can be refined, and the settings in range."""
    if not isinstance(x, Tensor) or not x.is_floating_point() or not x.isfinite().all() or len(x) < 20:
        found = f"{tuple(x.shape)}, {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f"samples must be 20 or more of finite floating-point numbers, found {found}")
    for name, value, least in (("n", n, 1), ("moves", moves, 1), ("check", check, 0), ("particles", particles, 20)):
        require_whole(name, value, least)
    if width is not None and not 0 < width < inf:
        raise InputError(f"width is {width}, expected a positive number")
