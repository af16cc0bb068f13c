"""Checks by simulation: truths drawn from the prior, observed, and sampled again from their posterior.

SBC (Talts et al. 2018; Modrák et al. 2023): the rank of a functional of the truth among the posterior's samples is
uniform, whatever the functional. TARP (Lemos et al. 2023): so is the rank of the truth's distance to a reference point
among the samples' distances; the share of cases whose truth is nearer than a share α of the samples is the expected
coverage at credibility α. The reference must not know more of the truth than the observation does; here it is the truth
of another case, a draw of the prior. Both are necessary: a sampler may fail where no functional and no reference looks
(samples of the prior pass SBC of functionals that were not observed).

Cumulated ranks are judged as a whole: the band holds everywhere at once with 95 % (Säilynoja, Bürkner & Vehtari 2022),
and the p-value is of the worst point under that null, by simulation; exact for independent cases.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from ..errors import InputError
from ..keys import Keys
from ..text import markup
from .ensembles import Ensemble, real, require_all_or_none, shaped, stacked
from .ranks import Ranks
from .uniform import DOUBTFUL

Functional = Callable[[Any], Any]
"""Of fields (n, *field), (n,)."""
SIMULATIONS = 2000
"""Of the null, from which bands and p-values come."""


@dataclass(frozen=True, eq=False)
class Cumulated:
    """How many of the truths lie below each share of the samples.

    Attributes:
        name: of the functional.
        ranks: 0 … members.
        members: of the ensemble.
        levels: (k + 1)/(members + 1), k = 0 … members − 1: shares of the samples.
        values: share of cases with rank ≤ k; equal to the levels where calibrated.
        low: of the band that holds values everywhere at once, with 95 %, where calibrated.
        high: of it.
        p_value: of a calibrated sampler being as far off anywhere.
        least: and of one whose values lie within [least, greatest] of a bootstrap over cases, 95 % at each level.
        greatest: of it.
    """

    name: str
    ranks: Integer[np.ndarray, " cases"]
    members: int
    levels: Float[np.ndarray, " levels"]
    values: Float[np.ndarray, " levels"]
    low: Float[np.ndarray, " levels"]
    high: Float[np.ndarray, " levels"]
    p_value: float
    least: Float[np.ndarray, " levels"]
    greatest: Float[np.ndarray, " levels"]

    def __str__(self) -> str:
        worst = int(np.abs(self.values - self.levels).argmax())
        return (
            f"{self.name}: {len(self.ranks)} cases, p = {self.p_value:.2g}, farthest at {self.levels[worst]:.0%}: "
            f"{self.values[worst]:.0%}"
        )

    def _repr_html_(self) -> str:
        return markup.boxed(markup.verdict(self, bool(self.p_value >= DOUBTFUL)))


def sbc(
    truths: Any, samples: Any, functionals: Mapping[str, Functional] | None = None, *, seed: int = 0, block: int = 1
) -> dict[str, Cumulated]:
    """Simulation-based calibration of functionals.

    Args:
        truths: (cases, *field), draws of the prior.
        samples: (cases, members, *field), of the posterior given what was observed of each truth.
        functionals: name → of arrays (n, *field) to (n,). None: every element, if there are at most 20; else the mean,
            the standard deviation, the smallest and the largest value.
        seed: of ties, of the simulated null and of the bootstrap.
        block: how many consecutive cases hang together; the first of each is used.

    The p-values are one a functional: of K of them the smallest times K is of all.
    """
    ensemble = Ensemble.of(truths, samples, None, 1)
    found: dict[str, Cumulated] = {}
    for name, function in (functionals or _functionals(ensemble.shape)).items():
        values = [_values(ensemble, function, cases, name) for cases in ensemble.groups()]
        true, drawn = (np.concatenate(parts) for parts in zip(*values, strict=True))
        ranks = Ranks.of(true, drawn, seed=seed).values
        found[name] = cumulated(name, ranks[::block][ranks[::block] >= 0], ensemble.members, seed)
    return found


def _functionals(shape: tuple[int, ...]) -> dict[str, Functional]:
    size = int(np.prod(shape))
    if size <= 20:
        flat = {f"element {k}": lambda x, k=k: x.reshape(len(x), -1)[:, k] for k in range(size)}
        return flat if shape else {"value": lambda x: x}

    def over(function: Callable[..., Any]) -> Functional:
        return lambda x: function(x.reshape(len(x), -1), axis=1)

    return {"mean": over(np.nanmean), "std": over(np.nanstd), "min": over(np.nanmin), "max": over(np.nanmax)}


def _values(ensemble: Ensemble, function: Functional, cases: slice, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Of truths and of their members, at the points that both have."""
    truth = real(ensemble.truths[cases], "truths").astype(np.float64)
    drawn = real(ensemble.samples[cases], "samples").astype(np.float64)
    if np.isnan(truth).any() or np.isnan(drawn).any():
        require_all_or_none(truth.reshape(len(truth), -1), drawn.reshape(*drawn.shape[:2], -1), cases.start, 0)
        gone = np.isnan(truth) | np.isnan(drawn).any(1)
        truth, drawn = np.where(gone, np.nan, truth), np.where(gone[:, None], np.nan, drawn)
    flat = drawn.reshape(-1, *ensemble.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of cases without data
        values = [real(shaped(function(x)), f"functional {name!r}") for x in (truth, flat)]
    for value, x in zip(values, (truth, flat), strict=True):
        if value.shape != x.shape[:1]:
            raise InputError(
                f"functional {name!r}: gave shape {value.shape} for {x.shape}, expected one number a field"
            )
    return values[0], values[1].reshape(drawn.shape[:2])


def tarp(
    truths: Any,
    samples: Any,
    weights: Any = None,
    *,
    references: Any = None,
    seed: int = 0,
    block: int = 1,
) -> Cumulated:
    """Tests of accuracy with random points: expected coverage of whole fields.

    Args:
        truths: (cases, *field), draws of the prior; NaN is missing.
        samples: (cases, members, *field), of the posterior.
        weights: of the points in the squared distance, see `Ensemble.of`; 1/variance where elements differ in units.
        references: (cases, *field) that know no more of the truths than was observed; None: another case's truth.
        seed: of the references, of ties, of the simulated null and of the bootstrap.
        block: how many consecutive cases hang together; the first of each is used.
    """
    ensemble = Ensemble.of(truths, samples, weights, 1)
    read = _references(ensemble, references, block, seed)
    distances, there = np.zeros((ensemble.cases, ensemble.members + 1)), np.zeros(ensemble.cases)
    for piece in ensemble.pieces():
        reference = read(piece.cases)[:, piece.points]
        counted = np.where(np.isnan(reference), 0.0, piece.counted)
        both = np.concatenate([piece.truth[:, None], piece.samples], 1)
        distances[piece.cases] += np.einsum("cmp,cp->cm", (both - np.nan_to_num(reference)[:, None]) ** 2, counted)
        there[piece.cases] += counted.sum(1)
    distances[there == 0] = np.nan
    ranks = Ranks.of(distances[:, 0], distances[:, 1:], seed=seed).values[::block]
    return cumulated("TARP", ranks[ranks >= 0], ensemble.members, seed)


def _references(ensemble: Ensemble, references: Any, block: int, seed: int) -> Callable[[slice], np.ndarray]:
    """Reads the flat reference points of some cases, (cases, points)."""
    if references is not None:
        beside = stacked(ensemble.truths, references=references)
        return lambda cases: beside[cases].reshape(cases.stop - cases.start, -1).astype(np.float64)
    cases = ensemble.cases
    if cases <= block:
        raise InputError(
            f"truths: {cases} cases in blocks of {block}, expected two blocks: references are other truths"
        )
    u = float(Keys.of(seed, 1).fold("references").uniform(1))
    shift = block + int(u * max(1, cases - 2 * block + 1))  # at least a block away, both ways round
    other = (np.arange(cases) + min(shift, cases - 1)) % cases

    def read(some: slice) -> np.ndarray:
        fields = [real(ensemble.truths[k : k + 1], "truths").reshape(-1) for k in other[some].tolist()]
        return np.array(fields, np.float64)

    return read


def cumulated(name: str, ranks: Integer[np.ndarray, " cases"], members: int, seed: int = 0) -> Cumulated:
    """Ranks of independent cases, cumulated, with their bands.

    Args:
        name: of the functional.
        ranks: 0 … members.
        members: of the ensemble.
        seed: of the simulated null and of the bootstrap.
    """
    if len(ranks) < 2:
        raise InputError(f"{name}: {len(ranks)} cases with data, expected at least 2")
    inside = ranks[:, None] <= np.arange(members)
    null, table = _null(len(ranks), members, seed)
    found = _extreme(inside.sum(0)[None], table)[0]
    low, high = _band(float(np.quantile(null, 0.05)), len(ranks), members)
    weights = np.random.default_rng(seed).multinomial(len(ranks), np.full(len(ranks), 1 / len(ranks)), 500)
    least, greatest = np.quantile(weights @ inside / len(ranks), [0.025, 0.975], axis=0)
    p_value = (1 + np.count_nonzero(null <= found * (1 + 1e-9))) / (1 + len(null))
    levels = np.arange(1, members + 1) / (members + 1)
    return Cumulated(name, ranks, members, levels, inside.mean(0), low, high, p_value, least, greatest)


@lru_cache(maxsize=8)
def _null(cases: int, members: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How extreme uniform ranks are at their worst level, and the tails that this is read from."""
    from scipy.stats import binom

    counts, levels = np.arange(cases + 1), np.arange(1, members + 1)[:, None] / (members + 1)
    table = np.minimum(binom.cdf(counts, cases, levels), binom.sf(counts - 1, cases, levels))
    shares = np.full(members + 1, 1 / (members + 1))
    drawn = np.random.default_rng(seed).multinomial(cases, shares, SIMULATIONS).cumsum(1)[:, :-1]
    return _extreme(drawn, table), table


def _extreme(counts: Integer[np.ndarray, "n levels"], table: Float[np.ndarray, "levels counts"]) -> np.ndarray:
    """The smaller tail of the count at the worst level."""
    return table[np.arange(len(table)), counts].min(1)


def _band(tail: float, cases: int, members: int) -> tuple[np.ndarray, np.ndarray]:
    from scipy.stats import binom

    levels = np.arange(1, members + 1) / (members + 1)
    return binom.ppf(tail, cases, levels) / cases, binom.isf(tail, cases, levels) / cases


def simulated(
    draws: Any,
    observe: Callable[[Any, Keys], Any],
    sample: Callable[[Any, int, int], Any],
    members: int = 20,
    seed: int = 0,
) -> tuple[Float[np.ndarray, "cases *field"], Float[np.ndarray, "cases members *field"]]:
    """Truths and samples of their posteriors, for `sbc`, `tarp` and all else here.

        truths, samples = simulated(prior, lambda x, keys: A(x) + keys.normal(m)[0], lambda y, n, seed: on.sample(
            model & on.Measurement(y, A, 1.0), n, seed=seed))

    Args:
        draws: of the prior, (cases, *field), independent.
        observe: of one draw, (*field), and keys of one sample for its noise, what is observed.
        sample: of what was observed, the number of members and a seed, that many samples of the posterior: an array or
            a tensor (members, *field), or what `on.sample` gives.
        members: of each ensemble.
        seed: of all of it; each case has its own.
    """
    draws = shaped(draws)
    truths, samples = [], []
    for case in range(int(draws.shape[0])):
        keys = Keys.of(seed, [case])
        own = int(keys.fold("sample").bits(1)) & (2**31 - 1)
        drawn = sample(observe(draws[case], keys.fold("observe")), members, own)
        truths.append(real(draws[case], "draws").astype(np.float64))
        samples.append(real(shaped(getattr(drawn, "x", drawn)), "samples").astype(np.float64))
        if samples[-1].shape != (members, *truths[-1].shape):
            expected = (members, *truths[-1].shape)
            raise InputError(f"sample: gave shape {samples[-1].shape} for case {case}, expected {expected}")
        if not np.isfinite(samples[-1]).all():
            raise InputError(f"sample: gave numbers that are not finite for case {case}")
    return np.stack(truths), np.stack(samples)
