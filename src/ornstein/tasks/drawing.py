"""Drawing samples."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from ..denoisers.base import Condition, Denoiser
from ..errors import InputError
from ..keys import Keys
from ..mcmc.correction import corrected, weighed
from ..mcmc.proposals import draw as propose
from ..mcmc.targets import target_of
from ..sampling import grids
from ..sampling.kernels import Predictor, Walk
from ..sampling.particles import Particles
from ..sampling.sampler import Sampler
from ..spaces import Product
from ..states import State, concatenate, take, to_device
from ..states import batch_size as batch_size_of
from .checks import (
    require_factors_outside,
    require_one_condition,
    require_one_population,
    require_sense,
    require_shared,
    require_start,
)
from .samples import Samples


def sample(
    denoiser: Denoiser,
    n: int,
    steps: int | None = None,
    *,
    seed: int = 0,
    exact: Literal["off", "particles", "mcmc"] = "off",
    particles: int | None = None,
    temper: float = 0.0,
    eta: float = 0.0,
    order: int | None = None,
    grid: str = "auto",
    sampler: Sampler | None = None,
    condition: Condition | None = None,
    start: State | None = None,
    strength: float = 1.0,
    batch_size: int | None = None,
    first: int = 0,
    film: bool = False,
    settings: Mapping[str, Any] | None = None,
    watch: Callable[[Walk], None] = lambda walk: None,
) -> Samples:
    """Draws n samples.

    The same seed gives the same samples whatever the batch size or the split between workers.

    Args:
        steps: of the time grid, one denoiser call each; 20, or 100 with particles, if not given; with mcmc see
            proposals.draw.
        exact: off = guided samples as they come; particles = weighed and resampled until they follow the prior times
            its factors, as `exactness` then measures (particles.py). The samples of one call are one population.
            mcmc = drawn with their density, weighed, and moved by Metropolis's rule until they follow a Boltzmann
            distribution (`denoiser & Boltzmann(E)`), or a model that has a density times its factors (correction.py).
        particles: the size of the population, of which n samples are taken; 512, or n if that is more. With mcmc the
            draws that are weighed, at least 2 n; 4 n if not given.
        temper: weakens the factors on the way where a population loses too many particles; see Particles.
        eta: fresh noise a step, 0 = deterministic flow, 1 = ancestral; categories are always ancestral.
        order: of the solver, 1 to 3; by default 3 with a corrector if deterministic, else 2.
        grid: auto (the one planned for the model, else asinh), uniform, log-snr, karras, asinh or flow.
        sampler: replaces the four above.
        condition: what each sample is given, (n, ...) a name.
        start: clean states, one a sample, to begin with instead of noise: they are noised up to the time `strength`
            and denoised from there. 1 forgets them, near 0 they stay.
        batch_size: samples drawn at once; all if not given.
        first: the number of the first sample: worker w of n samples each passes w·n.
        film: keep the states of every step.
        settings: further JSON values for the manifest.
        watch: called after every step, for progress; raise in it to cancel.
    """
    condition = _for_all(denoiser, n, condition or {})
    require_sense(exact, steps, particles, temper, batch_size)
    require_start(start, strength, exact, n)
    if exact != "off" or (batch_size is not None and batch_size < n):
        require_shared(denoiser)
    if exact == "particles":
        require_one_population(batch_size, film, eta, order, sampler)
        require_factors_outside(denoiser)
        size = max(n, 512 if particles is None else particles)
        sampler = Sampler(_particle_grid(denoiser, steps or 100, grid), (Particles(temper=temper),))
        return _population(denoiser, sampler, n, size, seed, first, condition, settings or {}, watch)
    if exact == "mcmc":
        require_one_population(batch_size, film, eta, order, sampler)
        return _corrected(denoiser, n, max(2 * n, particles or 4 * n), steps, seed, first, condition, settings or {})
    sampler = _shortened(sampler or default_sampler(denoiser, steps or 20, eta, order, grid), strength)
    started, size = time.perf_counter(), batch_size or n
    parts = [range(k, min(k + size, n)) for k in range(0, n, size)]
    drawn = [_draw(denoiser, sampler, seed, first, part, condition, start, film, watch) for part in parts]
    return Samples(
        concatenate([x for x, _, _ in drawn]),
        condition,
        denoiser.origin,
        [concatenate(frame) for frame in zip(*(frames for _, frames, _ in drawn), strict=True)],
        _average([calls for _, _, calls in drawn]),
        time.perf_counter() - started,
        _settings(denoiser, sampler, seed, first, settings or {}),
    )


def _shortened(sampler: Sampler, strength: float) -> Sampler:
    """The sampler on a grid that begins at the time `strength`."""
    return sampler if strength == 1 else replace(sampler, grid=[strength * time for time in sampler.grid])


def _settings(
    denoiser: Denoiser, sampler: Sampler, seed: int, first: int, settings: Mapping[str, Any]
) -> Mapping[str, Any]:
    return {
        "seed": seed,
        "first": first,
        "steps": len(sampler.grid) - 1,
        "kernels": [repr(kernel) for kernel in sampler.kernels],
        "grid": [round(time, 6) if isinstance(time, float) else "per sample" for time in sampler.grid],
        "guides": list(denoiser.record),
        **settings,
    }


def _population(
    denoiser: Denoiser,
    sampler: Sampler,
    n: int,
    size: int,
    seed: int,
    first: int,
    condition: Condition,
    settings: Mapping[str, Any],
    watch: Callable[[Walk], None],
) -> Samples:
    """n samples spread evenly over a population of `size` particles.

    A condition is part of its particle: where samples are given different ones, resampling weighs these, too.
    """
    started, walk = time.perf_counter(), None
    keys = Keys.of(seed, range(first, first + size), denoiser.device)
    given = to_device(take(condition, torch.arange(size) * n // size), denoiser.device)
    given = {**denoiser.latent(keys.fold("latent")), **given}
    with torch.no_grad():
        for walk in sampler.steps(denoiser, keys, given):
            watch(walk)
    assert walk is not None
    assert walk.population is not None
    index = -(-torch.arange(n, device=denoiser.device) * size // n)  # the first particle of each sample's share
    family = walk.population.eve[index]
    x, given = take(walk.x, index), take(given, family)
    return Samples(
        to_device(x, "cpu"),
        to_device(given, "cpu"),
        denoiser.origin,
        (),
        _average([torch.as_tensor(walk.nfe).expand(size)]),
        time.perf_counter() - started,
        _settings(denoiser, sampler, seed, first, settings),
        walk.population.exactness(),
        family.cpu(),
    )


def _corrected(
    denoiser: Denoiser,
    n: int,
    proposals: int,
    steps: int | None,
    seed: int,
    first: int,
    condition: Condition,
    settings: Mapping[str, Any],
) -> Samples:
    """n samples of the density behind a denoiser, proposed by it."""
    started = time.perf_counter()
    keys = Keys.of(seed, range(first, first + proposals), denoiser.device)
    given = to_device(take(condition, torch.arange(proposals) % n), denoiser.device)
    require_one_condition(given)
    density, base = target_of(denoiser, take(given, slice(1)))
    draws = propose(denoiser, keys, "auto", steps, given)
    x, exactness = corrected(weighed(draws, density, n, keys.fold("weigh")), density, base, keys[:n].fold("correct"))
    return Samples(
        x.to("cpu", torch.get_default_dtype()),
        to_device(take(given, slice(n)), "cpu"),
        denoiser.origin,
        (),
        draws.nfe,
        time.perf_counter() - started,
        {
            "seed": seed,
            "first": first,
            "proposals": proposals,
            "way": draws.way,
            "guides": list(denoiser.record),
            **settings,
        },
        exactness,
    )


def _particle_grid(denoiser: Denoiser, steps: int, name: str) -> grids.Grid:
    """Even in log σ/α for continuous data, where exact samples do not ask for the grid of a flow."""
    continuous = denoiser.space.clock is not None and not isinstance(denoiser.space, Product)
    return grids.named(name if name != "auto" else "log-snr" if continuous else "uniform", steps, denoiser.space)


def _for_all(denoiser: Denoiser, n: int, condition: Condition) -> Condition:
    """What each of n samples is given, guides included; InputError if a value is not there for each."""
    if n < 1:
        raise InputError(f"n is {n}, expected at least 1 sample")
    for name, value in condition.items():
        if batch_size_of(value) != n:
            raise InputError(
                f"condition {name!r} has {batch_size_of(value)} values, expected one for each of {n} samples"
            )
    fixed = {name: value.expand(n, *value.shape) for name, value in denoiser.given.items()}
    return {**condition, **fixed}


def _draw(
    denoiser: Denoiser,
    sampler: Sampler,
    seed: int,
    first: int,
    part: range,
    condition: Condition,
    start: State | None,
    film: bool,
    watch: Callable[[Walk], None],
) -> tuple[Any, list[Any], Tensor]:
    """The final states of the samples numbered `part`, their film and the network evaluations of each."""
    keys = Keys.of(seed, range(first + part.start, first + part.stop), denoiser.device)
    given = to_device(take(condition, slice(part.start, part.stop)), denoiser.device)
    begun = None
    if start is not None:
        clean = to_device(take(start, slice(part.start, part.stop)), denoiser.device)
        begun = denoiser.space.where(given.get("mask")).noise(clean, sampler.grid[0], keys.fold("start"))
    walk, frames = None, []
    with torch.no_grad():
        for walk in sampler.steps(denoiser, keys, given, begun):
            watch(walk)
            if film:
                frames += [to_device(x, "cpu") for x in ([walk.x] if frames else [walk.before, walk.x])]
    assert walk is not None
    return to_device(walk.x, "cpu"), frames, torch.as_tensor(walk.nfe).expand(len(part)).cpu()


def _average(calls: Sequence[Tensor]) -> float:
    """Calls a sample; whole where all samples took as many."""
    mean = float(torch.cat(list(calls)).double().mean())
    return int(mean) if mean.is_integer() else round(mean, 2)


def default_sampler(
    denoiser: Denoiser, steps: int, eta: float = 0.0, order: int | None = None, grid: str = "auto"
) -> Sampler:
    """The sampler that `sample` uses."""
    order = order or (3 if eta == 0 else 2)
    times = grids.fit(denoiser, steps) if grid == "auto" else grids.named(grid, steps, denoiser.space)
    return Sampler(times, (Predictor(eta, order, correct=eta == 0 and order > 1),))
