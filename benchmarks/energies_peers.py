"""blackjax's NUTS and SMC on the energies of energies.py, written again in jax.numpy.

NUTS is adapted as Stan does it (`window_adaptation`, diagonal mass matrix), chain by chain, in float64. SMC is
blackjax's adaptive tempering from wide noise with HMC, at our setting: five leaps a move, three moves at each
temperature, 70 % of the particles effective. Its step and diagonal mass are set between temperatures, by the acceptance
and the spread of the particles. Particles without translation are given to both in an orthonormal basis of their
centred subspace, where their density is proper.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from math import log, pi
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ornstein.domains.energies.data import System
from ornstein.keys import Keys

Array = Any
LogDensity = Callable[[Array], Array]


@cache
def jax() -> Any:
    """jax in float64 and on one thread, which must be asked for before it is imported."""
    os.environ["NPROC"] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    os.environ["JAX_PLATFORMS"] = "cpu"
    found = import_module("jax")
    found.config.update("jax_enable_x64", True)
    return found


# The energies again -----------------------------------------------------------------------------------


def log_density(name: str) -> LogDensity:
    """−E of one sample, as the flat coordinates say it."""
    return {
        "gmm-40": _mixture,
        "many-well-32": _wells,
        "dw-4": _double_wells,
        "lj-13": _lennard_jones,
        "funnel-10": _funnel,
    }[name]


def _mixture(x: Array) -> Array:
    means = ((torch.rand(40, 2, generator=torch.Generator().manual_seed(0)) - 0.5) * 80).double().numpy()
    variance = float(np.log1p(np.e)) ** 2
    squares = ((x - means) ** 2).sum(1) / variance
    return jax().scipy.special.logsumexp(-squares / 2) - log(40 * 2 * pi * variance)


def _wells(x: Array) -> Array:
    a, b = x[::2], x[1::2]
    return (-(a**4) + 6 * a**2 + a / 2 - b**2 / 2).sum()


def _squares(x: Array, n: int) -> Array:
    """Squared distances of all pairs of n points."""
    i, j = np.triu_indices(n, 1)
    points = x.reshape(n, -1)
    return ((points[i] - points[j]) ** 2).sum(1)


def _double_wells(x: Array) -> Array:
    stretch = jax().numpy.sqrt(jax().numpy.maximum(_squares(x, 4), 1e-12)) - 4
    return -(0.9 * stretch**4 - 4 * stretch**2).sum()


def _lennard_jones(x: Array) -> Array:
    inverse6 = jax().numpy.maximum(_squares(x, 13), 1e-3) ** -3
    points = x.reshape(13, 3)
    return -2 * (inverse6 * (inverse6 - 2)).sum() - ((points - points.mean(0)) ** 2).sum() / 2


def _funnel(x: Array) -> Array:
    scale = jax().numpy.exp(x[0] / 2)
    rest = (-((x[1:] / scale) ** 2) / 2).sum() - 9 * (x[0] / 2 + log(2 * pi) / 2)
    return rest - (x[0] / 3) ** 2 / 2 - log(3) - log(2 * pi) / 2


def basis(system: System) -> np.ndarray:
    """Orthonormal columns that span the flat coordinates; of a centred system those without translation."""
    size = int(np.prod(system.shape))
    if not system.centered:
        return np.eye(size)
    points, dimension = system.shape
    free = np.linalg.svd(np.eye(points) - 1 / points)[0][:, :-1]
    return np.kron(free, np.eye(dimension))


def check(system: System, n: int = 100) -> float:
    """The largest relative difference of values and slopes at random points; AssertionError above 1e−8."""
    x = system.space().project(system.width * Keys.of(3, n).normal(*system.shape).double()).requires_grad_()
    energy = system.energy(x)
    slope = torch.autograd.grad(energy.sum(), x)[0].flatten(1).numpy()
    values, slopes = jax().vmap(jax().value_and_grad(log_density(system.name)))(x.detach().flatten(1).numpy())
    first = np.abs(values + energy.detach().numpy()) / (1 + np.abs(values))
    second = np.abs(slopes + slope).max(1) / (1 + np.abs(slope).max(1))
    worst = float(max(first.max(), second.max()))
    assert worst < 1e-8, f"{system.name}: our energy and jax's differ by {worst:.2g}"
    return worst


def flat_density(name: str, directions: np.ndarray) -> LogDensity:
    """−E of coordinates along the directions."""
    return lambda z: log_density(name)(directions @ z)


def unfolded(z: Array, system: System, directions: np.ndarray) -> Tensor:
    """Samples in their own shape, of coordinates (..., free)."""
    x = torch.from_numpy(np.array(z)) @ torch.from_numpy(directions.T.copy())
    return x.reshape(*x.shape[:-1], *system.shape)


def start(system: System, n: int, name: str, seed: int) -> np.ndarray:
    """Wide noise in coordinates, (n, free)."""
    return system.width * Keys.of(seed, n).fold(name).normal(basis(system).shape[1]).double().numpy()


# NUTS -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Nuts:
    """What chains left behind.

    Attributes:
        x: (draws, chains, ...).
        warmup: gradients of the warm-up.
        gradients: of all chains together, up to and with each draw, without the warm-up.
        divergent: share of the draws.
        seconds: without compiling, which took `compiling`.
    """

    x: Tensor
    warmup: int
    gradients: np.ndarray
    divergent: float
    seconds: float
    compiling: float


def nuts(system: System, chains: int, warmup: int, draws: int, seed: int) -> Nuts:
    """Chains from wide noise, each adapted on its own."""
    directions, wide = basis(system), start(system, chains, "nuts", seed)
    keys = jax().random.split(jax().random.key(seed), chains)
    began = time.perf_counter()
    run = jax().jit(jax().vmap(_chain(system.name, directions, warmup, draws))).lower(keys, wide).compile()
    compiled = time.perf_counter()
    z, before, leaps, divergent = jax().block_until_ready(run(keys, wide))
    ended = time.perf_counter()
    return Nuts(
        unfolded(z, system, directions).transpose(0, 1),
        int(before.sum()),
        np.array(leaps).sum(0).cumsum(),
        float(divergent.mean()),
        ended - compiled,
        compiled - began,
    )


def _chain(name: str, directions: np.ndarray, warmup: int, draws: int) -> Callable[[Array, Array], Any]:
    """(key, start) -> draws, leapfrog steps of the warm-up and of each draw, which draws diverged."""
    blackjax, split, log_p = import_module("blackjax"), jax().random.split, flat_density(name, directions)

    def run(key: Array, z: Array) -> Any:
        first, second = split(key)
        adaptation = blackjax.window_adaptation(blackjax.nuts, log_p, adaptation_info_fn=_leaps)
        (state, parameters), before = adaptation.run(first, z, num_steps=warmup)
        kernel = blackjax.nuts(log_p, **parameters).step

        def step(state: Any, key: Array) -> Any:
            state, info = kernel(key, state)
            return state, (state.position, info.num_integration_steps, info.is_divergent)

        _, (x, leaps, divergent) = jax().lax.scan(step, state, split(second, draws))
        return x, before.sum(), leaps, divergent

    return run


def _leaps(state: Any, info: Any, adaptation: Any) -> Array:
    return info.num_integration_steps


# SMC --------------------------------------------------------------------------------------------------

LEAPS, MOVES, SHARE, TARGET = 5, 3, 0.7, 0.8
"""Of a move; at each temperature; of the particles that stay effective; acceptance that the step is set for."""
LEVELS = 200
"""The most temperatures."""


@dataclass(frozen=True)
class Smc:
    """The end of a population.

    Attributes:
        x: (particles, ...), of equal weights.
        log_z: nats.
        ancestor: which first particle each descends from.
        gradients, values: evaluations of the density with and without gradient.
        levels: temperatures.
        seconds: without compiling, which took `compiling`.
    """

    x: Tensor
    log_z: float
    ancestor: Tensor
    gradients: int
    values: int
    levels: int
    seconds: float
    compiling: float


def smc(system: System, particles: int, seed: int) -> Smc | None:
    """A population from wide noise; None if its temperatures come to a stop."""
    directions, wide = basis(system), start(system, particles, "smc", seed)
    key, parameters = jax().random.key(seed), _parameters(0.3, wide)
    init, kernel = _tempering(system, directions)
    state = jax().tree.map(jax().numpy.asarray, init(wide))
    began = time.perf_counter()
    run = jax().jit(kernel).lower(key, state, parameters).compile()
    compiled = time.perf_counter()
    log_z, ancestor, step, last, levels = 0.0, np.arange(particles), 0.3, False, 0
    while not last:
        last = float(state.tempering_param) == 1  # the last of the weights are yet to be resampled by
        key, now = jax().random.split(key)
        state, info = run(now, state, parameters)
        levels += 1
        log_z, ancestor = log_z + float(info.log_likelihood_increment), ancestor[np.array(info.ancestors)]
        if not np.isfinite(log_z) or levels > LEVELS:
            return None
        step *= np.exp(2 * (float(info.update_info.acceptance_rate.mean()) - TARGET))
        parameters = _parameters(step, np.array(state.particles))
    seconds, taken = time.perf_counter() - compiled, levels * particles
    x = unfolded(state.particles, system, directions)
    gradients = taken * (MOVES * LEAPS + 1)
    return Smc(x, log_z, torch.from_numpy(ancestor), gradients, 2 * taken, levels, seconds, compiled - began)


def _tempering(system: System, directions: np.ndarray) -> tuple[Any, Any]:
    """How a population begins, and its way to the next temperature: (key, state, parameters) -> state, info."""
    blackjax, log_p = import_module("blackjax"), flat_density(system.name, directions)
    constant = directions.shape[1] * (log(system.width) + log(2 * pi) / 2)

    def prior(z: Array) -> Array:
        return -((z / system.width) ** 2).sum() / 2 - constant

    tempering, resampling = import_module("blackjax.smc.adaptive_tempered"), import_module("blackjax.smc.resampling")
    move = blackjax.hmc.build_kernel()
    kernel = tempering.build_kernel(
        prior, lambda z: log_p(z) - prior(z), move, blackjax.hmc.init, resampling.systematic, SHARE
    )
    return tempering.init, lambda key, state, parameters: kernel(key, state, MOVES, parameters)


def _parameters(step: float, z: np.ndarray) -> dict[str, Array]:
    """Of HMC, the same for all particles."""
    found = {"step_size": step, "inverse_mass_matrix": z.var(0), "num_integration_steps": LEAPS}
    return {name: jax().numpy.asarray(value)[None] for name, value in found.items()}
