"""Whether what particles say of their own errors is confirmed by many runs: of the evidence, of means, of intervals.

Every problem is another mixture and another measurement, and the posterior of each is known. An interval's coverage is
the exact posterior mass that it holds, so that no draw of a truth adds its scatter.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import binom
from torch import Tensor

from ornstein.keys import Keys
from ornstein.sampling import grids
from ornstein.sampling.particles import Particles
from ornstein.sampling.sampler import Sampler
from ornstein.tasks.drawing import sample
from ornstein.tasks.samples import Samples
from posterior_worlds import Exact, Problem, problem

Row = dict[str, Any]
Setting = tuple[int, int]
DRAWS, DIRECTIONS, LEVEL, SURE = 1000, 10, 0.9, 1.96
TWIN = (80, 4)
"""The size of which the broken twin is run, too."""


def told(world: Problem, drawn: Samples, u: Tensor) -> Row:
    """Mass of the intervals, means off in stated errors and, as a broken twin would state them, in those of n draws."""
    (mean, below), values = world.along(u), drawn.x.double() @ u
    low, high = drawn.interval(values, LEVEL)
    (found, error), plain = drawn.mean_and_error(values), values.std(0) / len(values) ** 0.5
    return {
        "held": (below(high) - below(low)).mean().item(),
        "means": ((found - mean) / error).tolist(),
        "counted": ((found - mean) / plain).tolist(),
    }


def plain(world: Problem, steps: int, seed: int) -> Samples:
    """Of the plain ancestral chain, which knows a mean alone and does not look back: the broken twin."""
    times, kernel = grids.log_snr(steps, world.space), Particles(order=1)
    with torch.no_grad():
        end = Sampler(times, (kernel,)).end(Exact(world) & world.measurement, Keys.of(seed, DRAWS))
    return Samples(end.x, exactness=end.population.exactness(), genealogy=end.population.ancestor)


def ours(world: Problem, steps: int, seed: int) -> Samples:
    return sample(Exact(world) & world.measurement, DRAWS, steps, exact="particles", particles=DRAWS, seed=seed)


def honesty(settings: Sequence[Setting], steps: int, seeds: Sequence[int]) -> Iterator[Row]:
    """One run of every problem, and as many exact draws; of the largest size the broken twin, too."""
    for seed in seeds:
        for d, m in settings:
            yield judged("ours", ours, d, m, steps, seed)
        if TWIN in settings and seed in seeds[: len(seeds) // 5]:
            yield judged("plain chain", plain, *TWIN, steps, seed)


def judged(chain: str, draw: Callable[[Problem, int, int], Samples], d: int, m: int, steps: int, seed: int) -> Row:
    """What one run says of itself, and what is so."""
    world, u = problem(d, m, seed), Keys.of(seed, DIRECTIONS).fold("directions").normal(d).double().T
    drawn, exact = draw(world, steps, seed), Samples(world.draw(Keys.of(seed, DRAWS).fold("exact")))
    said = drawn.exactness
    return {
        "honesty": chain,
        "d": d,
        "m": m,
        "seed": seed,
        "off": said.log_evidence - world.log_evidence,
        "error": said.error,
        "missing": said.missing,
        "ess": min(said.ess),
        "exact": told(world, exact, u)["held"],
        **told(world, drawn, u),
    }


def scores(rows: Iterable[Row], setting: Setting, chain: str = "ours") -> dict[str, np.ndarray]:
    """Of the problems of one size: z of the evidence, of means (problems, directions), the mass held and missing."""
    chosen = [row for row in rows if row.get("honesty") == chain and (row["d"], row["m"]) == setting]
    found = {name: np.array([row[name] for row in chosen]) for name in ("off", "error", "held", "exact", "missing")}
    found |= {name: np.array([row[name] for row in chosen]) for name in ("means", "counted")}
    return found | {"evidence": found["off"] / found["error"]}


def within(z: np.ndarray) -> str:
    """The share within 1.96 errors and its own standard error, by problem."""
    held = (np.abs(z) < SURE).reshape(len(z), -1).mean(1)
    return f"{held.mean():.1%} ± {held.std(ddof=1) / len(z) ** 0.5:.1%}"


def mass(held: np.ndarray) -> str:
    return f"{held.mean():.4f} ± {held.std(ddof=1) / len(held) ** 0.5:.4f}"


def table(rows: Sequence[Row], settings: Sequence[Setting]) -> list[list[str]]:
    """The cells of each size, and of the broken twin."""
    lines = [[f"{d}, {m}", *cells(scores(rows, (d, m)))] for d, m in settings]
    return [*lines, [f"{TWIN[0]}, {TWIN[1]}, plain chain", *cells(scores(rows, TWIN, "plain chain"))]]


def cells(of: dict[str, np.ndarray]) -> list[str]:
    """Of one size."""
    z = of["evidence"]
    return [
        f"{of['off'].mean():+.3f} ± {of['off'].std(ddof=1) / len(z) ** 0.5:.3f}",
        f"{np.median(of['error']):.3f}",
        f"{np.square(z).mean() ** 0.5:.2f}",
        *map(within, (z, of["means"], of["counted"])),
        *map(mass, (of["held"], of["exact"])),
        f"{np.median(of['missing']):.1%}",
    ]


def missed(rows: Sequence[Row], settings: Sequence[Setting]) -> list[str]:
    """Where fewer evidences than chance allows lie within 1.96 errors, or intervals hold less than exact draws' do."""
    lines = []
    for setting in settings:
        of = scores(rows, setting)
        held, less = int((np.abs(of["evidence"]) < SURE).sum()), of["held"] - of["exact"]
        if binom.cdf(held, len(less), 0.95) < 0.05:
            lines.append(f"- {setting}: {held} of {len(less)} evidences lie within 1.96 stated errors.")
        if less.mean() < -2 * less.std(ddof=1) / len(less) ** 0.5:
            lines.append(f"- {setting}: intervals hold {-less.mean():.4f} less than those of exact draws.")
    return lines
