"""What is said of samples, beside what is true: bounds of log Z, of the mass not seen, and of the share of a part.

A bound at 95 % holds in 95 runs of 100. Runs that say that they are not to be trusted claim nothing, and hold; that
they are few where the proposal is good is another test. The broken twin takes the weights of the model at their word.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import log, pi
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from lacking import Case
from ornstein.keys import Keys
from ornstein.sampling.diagnostics import effective_sample_size, log_mean_exp, systematic
from ornstein.tasks.boltzmann import boltzmann, refine
from ornstein.tasks.samples import Samples

LEVEL = 0.95
WIDE = 1.96
"""Standard errors of an interval at that level."""


@dataclass(frozen=True)
class Trial:
    """One run.

    Attributes:
        low, log_z, high: what is said of log Z, less the exact one, in nats.
        missing: the largest share of the mass that could be missing, as it is said.
        unseen: the exact share of the modes in which no sample lies.
        share, right: of a part, of the samples and exact.
        sources: how many independent draws the samples are said to be worth.
        passed, exact: what is said of them.
        evaluations: of the energy, with and without gradient.
    """

    low: float
    log_z: float
    high: float
    missing: float
    unseen: float
    share: float
    right: float
    sources: float
    passed: bool
    exact: bool
    evaluations: int = 0
    seconds: float = 0.0

    @property
    def holds(self) -> dict[str, bool]:
        """Which of the bounds are kept: all, where nothing is claimed."""
        low, high = share_bounds(self.share, self.sources, self.missing)
        kept = {
            "log Z": self.low <= 0 <= self.high,
            "missing": self.unseen <= self.missing,
            "share": low <= self.right <= high,
        }
        return {name: value or not self.passed for name, value in kept.items()}


def share_bounds(share: float, sources: float, missing: float) -> tuple[float, float]:
    """Of the share of a part: Wilson's interval of so many draws; a mass is missing, all in it or not at all."""
    n, z = max(sources, 1.0), WIDE
    middle, half = share + z**2 / (2 * n), z * (share * (1 - share) / n + (z / (2 * n)) ** 2) ** 0.5
    low, high = (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
    return low * (1 - missing), high + missing * (1 - high)


def tried(case: Case, n: int, seed: int, **options: Any) -> Trial:
    """A run of the case, as a user would have it.

    Args:
        n: samples wanted; of `refine` also samples given.
        options: of `boltzmann` or `refine`.
    """
    began = time.perf_counter()
    found = run(case, n, seed, **options)
    said: Any = found.exactness
    return Trial(
        said.low - case.world.log_z,
        said.log_evidence - case.world.log_z,
        said.high - case.world.log_z,
        said.missing,
        case.world.unseen(found.x),
        case.share(found.x),
        case.right,
        said.sources,
        said.passed,
        said.exact,
        said.gradients + said.values,
        time.perf_counter() - began,
    )


def run(case: Case, n: int, seed: int, **options: Any) -> Samples:
    if case.way == "boltzmann":
        return boltzmann(case.proposal, case.world.energy, n, width=case.world.width, seed=seed, **options)
    return refine(given(case, n, seed), case.world.energy, width=case.world.width, seed=seed, **options)


def given(case: Case, n: int, seed: int) -> Tensor:
    """The samples to be refined."""
    return case.proposal.draw(Keys.of(seed, n).fold("given")).to(torch.get_default_dtype())


def alone(case: Case, n: int, seed: int) -> Trial:
    """The broken twin: 4 n draws of the proposal with their weights, taken at their word.

    Of `refine`, which has no weights, n samples with those that they would have.
    """
    many = 4 * n if case.way == "boltzmann" else n
    x = case.proposal.draw(Keys.of(seed, many).fold("given")).double()
    constant = x.shape[1] * log(2 * pi) / 2  # which the oracle leaves out
    weights = -case.world.energy(x) - case.proposal.log_density(x, 0.0) + constant - case.world.log_z
    size = float(effective_sample_size(weights))
    log_z, error = float(log_mean_exp(weights)), max(0.0, 1 / size - 1 / many) ** 0.5
    kept = x[systematic(weights, Keys.of(seed, 1).uniform()[0], n)]
    return Trial(
        log_z - WIDE * error,
        log_z,
        log_z + WIDE * error,
        0.0,
        case.world.unseen(kept),
        case.share(kept),
        case.right,
        min(size, n),
        True,
        True,
    )


def too_few(held: int, runs: int) -> bool:
    """Whether bounds at 95 % hold so rarely with a probability of less than 1/40."""
    return bool(stats.binom.cdf(held, runs, LEVEL) < 0.025)


def interval(held: int, runs: int) -> tuple[float, float]:
    """Of the probability of what held so often, at 95 % (Clopper & Pearson 1934)."""
    found = stats.binomtest(held, runs).proportion_ci(LEVEL)
    return float(found.low), float(found.high)


def assert_bounds_hold(trials: Sequence[Trial]) -> None:
    """Each of the bounds in about 95 % of the runs."""
    for name in trials[0].holds:
        held = sum(trial.holds[name] for trial in trials)
        assert not too_few(held, len(trials)), f"{name}: the bounds hold in {held} of {len(trials)} runs"


def assert_bounds_say_something(trials: Sequence[Trial], most: float = 0.03) -> None:
    """Most samples can be trusted, and what could be missing is little."""
    passed = sum(trial.passed for trial in trials)
    assert not too_few(passed, len(trials)), f"{passed} of {len(trials)} runs can be trusted"
    missing = float(torch.tensor([trial.missing for trial in trials]).median())
    assert missing <= most, f"{missing:.1%} of the mass could be missing"
