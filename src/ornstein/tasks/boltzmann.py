"""Samples of exp(−E): from a model that draws fast, or from samples you have; see correction.py for how.

found = on.boltzmann(model, energy, 1000)    # found.exactness: weights, acceptance, R̂, log Z ± error, a verdict
found = on.refine(samples, energy)
"""

import time
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..denoisers.base import Denoiser
from ..errors import InputError
from ..events import Event, Stream, streamed
from ..guidance.calculators import Calculated
from ..keys import Keys
from ..mcmc.budget import CLOUD, Effort
from ..mcmc.correction import corrected
from ..mcmc.densities import Density
from ..mcmc.proposals import wide
from ..mcmc.report import TOLERANCE
from ..mcmc.search import EACH
from ..mcmc.targets import Boltzmann
from ..spaces import Categorical, Euclidean, Independent, Product, Space, Transition
from ..states import batch_size, cast, leaves, to_device
from ..values import require_whole
from .drawing import sample
from .samples import Samples


def boltzmann(
    denoiser: Denoiser,
    energy: Callable[[Any], Float[Tensor, " batch"]],
    n: int = 1000,
    *,
    width: float | None = None,
    numbered: bool = False,
    **options: Any,
) -> Samples:
    """n samples of exp(−E) that a model proposes: of numbers, of sequences, of products of both.

    Args:
        energy: dimensionless (kT = 1), (batch, ...) → (batch,), differentiable: of numbers as they are, of categories
            one-hot (batch, *positions, categories), of a dictionary of both for a product.
        width: of wide noise about 0 that reaches all numbers; 1.5 times the model's data if not given.
        numbered: the energy takes categories by number, int64, and has no gradient by them: a program such as a folding
            algorithm. Letters are then moved by values alone.
        options: those of `sample`.
        denoiser: the model, (x_t, t, condition) → belief.
    """
    return sample(denoiser & Boltzmann(energy, width, numbered), n, exact="mcmc", **options)


@streamed
def refine(
    samples: Samples | Float[Tensor, "m ..."] | Any,
    energy: Callable[[Any], Float[Tensor, " batch"]],
    n: int | None = None,
    *,
    space: Space | None = None,
    width: float | None = None,
    numbered: bool = False,
    seed: int = 0,
    moves: int = 20,
    check: int = 2000,
    particles: int = CLOUD,
    tolerance: float = TOLERANCE,
    budget: int | str | None = None,
) -> Stream[Samples]:
    """Samples of exp(−E) from samples of something near it, whose density need not be known.

    A population is annealed from a cloud about the samples and what a search of its own has found, so that modes get
    the weights of exp(−E).

    Args:
        n: as many as there are, if not given.
        space: Euclidean of the samples' shape, if not given; Centered for point clouds without translation, Categorical
            for sequences, Product for dictionaries of both.
        width: of wide noise about 0 that reaches all of exp(−E); 1.5 times the samples' root mean square if not given,
            in a product that of each part. Of categories all letters alike are the wide noise.
        numbered: the energy takes categories by number, int64, and has no gradient by them.
        moves: of every sample at the end.
        check: particles of the search, a population that knows nothing of the samples; 0 = none.
        particles: of the population that is annealed from the cloud; as many as n at least.
        tolerance: the largest share of the mass that may be missing from what is called exact.
        budget: evaluations of the energy, all included, which are kept; or a time, such as "5 min", which is nearly so.
            Both populations become as small as it asks for; what is left goes into a longer search. InputError for an
            energy of a calculator, which knows one geometry at a time, if there is none.
        energy: E(x) in units of kT, (batch, ...) → (batch,), differentiable: of numbers as they are, of categories
            one-hot (batch, *positions, categories), of a dictionary of both for a product.
        seed: of all random numbers.

    InputError if the samples are not 20 or more of finite numbers, most of them different, or not of the space.
    """
    started, x = time.perf_counter(), samples.x if isinstance(samples, Samples) else samples
    n = (len(samples) if isinstance(samples, Samples) else _count(x)) if n is None else n
    _require_settings(n, width, moves, check, particles)
    space = space or _space_of(x)
    x = _clean(x, space)
    effort = Effort.of(budget, tolerance, moves=moves, check=check, cloud=particles)
    _require_budget(energy, effort)
    device = leaves(x)[0].device
    density, keys = Density.of_energy(energy, space, numbered), Keys.of(seed, n, device)
    base = _about(space, x, width, device)
    refined, exactness = yield from corrected.events(x, density, base, keys, effort)
    origin = samples.origin if isinstance(samples, Samples) else None
    settings = {"seed": seed, "moves": moves, "check": check, "particles": particles, "tolerance": tolerance}
    seconds, x = time.perf_counter() - started, to_device(cast(refined, torch.get_default_dtype()), "cpu")
    made = Samples(x, {}, origin, seconds=seconds, settings=settings, exactness=exactness)
    yield Event(effort.work, effort.work, "done", x, made, made)
    return made


def _require_budget(energy: Any, effort: Effort) -> None:
    """InputError for an energy that is slow and without a limit."""
    if isinstance(energy, Calculated) and effort.budget is None:
        each = EACH * (effort.cloud + effort.check)
        raise InputError(
            f"this energy is a calculator's, one geometry at a time, and some {each:,} evaluations would be made: say "
            "how many may be, budget=20_000, or how long it may take, budget='10 min'"
        )


def _count(x: Any) -> int:
    """How many samples there are; InputError if they are no tensors."""
    if not isinstance(x, Tensor | Mapping) or not all(isinstance(leaf, Tensor) and leaf.ndim for leaf in leaves(x)):
        raise InputError(f"samples must be a tensor, or a dictionary of them for a product, found {type(x).__name__}")
    return batch_size(x)


def _space_of(x: Any) -> Euclidean:
    """Of numbers; InputError for what does not say its space."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        found = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise InputError(
            f"samples must be 20 or more of finite floating-point numbers, found {found}; of others say the space, "
            "space=model.space"
        )
    return Euclidean(tuple(x.shape[1:]))


def _clean(x: Any, space: Space) -> Any:
    """The samples in the degrees of freedom of their space; InputError unless they are 20 or more of it."""
    if isinstance(space, Product):
        if not isinstance(x, Mapping) or sorted(x) != sorted(space.parts):
            found = sorted(x) if isinstance(x, Mapping) else type(x).__name__
            raise InputError(f"samples must have the parts {sorted(space.parts)}, found {found}")
        return {name: _clean(x[name], part) for name, part in space.parts.items()}
    if isinstance(space, Categorical):
        space.check(x, "samples")
        if len(x) < 20:
            raise InputError(f"samples must be 20 or more, found {len(x)}")
        return x
    assert isinstance(space, Euclidean), "samples are of numbers and categories"
    if not isinstance(x, Tensor) or not x.is_floating_point() or not x.isfinite().all() or len(x) < 20:
        found = f"{tuple(x.shape)}, {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f"samples must be 20 or more of finite floating-point numbers, found {found}")
    if len(x.unique(dim=0)) <= len(x) // 2:
        raise InputError(f"most of {len(x)} points are the same as others, expected different ones")
    return space.project(x)


def _about(space: Space, x: Any, width: float | None, device: torch.device) -> Transition:
    """Wide noise about samples."""
    if isinstance(space, Product):
        return Independent({name: _about(part, x[name], width, device) for name, part in space.parts.items()})
    own = 1.5 * float(x.square().mean().sqrt()) if isinstance(space, Euclidean) and width is None else width
    return wide(space, own, device)


def _require_settings(n: int, width: float | None, moves: int, check: int, particles: int) -> None:
    """InputError unless they are in range."""
    for name, value, least in (("n", n, 1), ("moves", moves, 1), ("check", check, 0), ("particles", particles, 20)):
        require_whole(name, value, least)
    if width is not None and not 0 < width < inf:
        raise InputError(f"width is {width}, expected a positive number")
