"""How small a miscalibration each test of ornstein.calibration sees, with 100 cases of 20 members; and what it costs.

    python benchmarks/calibration_power.py            # the tables of docs/calibration
    python benchmarks/calibration_power.py --cost     # time and memory on fields of a million points

In a Gaussian world in closed form the members' spread, mean or correlation is made wrong, more and more; a row says how
wrong it is where the test rejects four of five worlds at the 5 % level, and how often it rejects calibrated ones.
Scores are compared with those of the right ensemble on the same truths (paired, one-sided).
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import stats

from field_worlds import fields
from ornstein.calibration import (
    Along,
    Estimate,
    Radial,
    Ranks,
    crps,
    energy_score,
    reliability,
    sbc,
    spectra,
    spread_skill,
    tarp,
    variogram_score,
)

CASES, MEMBERS = 100, 20
Test = Callable[[np.ndarray, np.ndarray, np.ndarray], float]
"""Of truths, members and right members, a p-value."""


def two_sided(estimate: Estimate) -> float:
    """Of an estimate being its reference."""
    assert estimate.error
    assert estimate.reference is not None
    return float(2 * stats.norm.sf(abs(estimate.value - estimate.reference) / estimate.error))


def worse(score: Callable[..., Estimate]) -> Test:
    def p(truths: np.ndarray, members: np.ndarray, right: np.ndarray) -> float:
        difference = score(truths, members).minus(score(truths, right))
        return float(stats.norm.sf(difference.value / difference.error)) if difference.error else 1.0

    return p


def histogram(part: str) -> Test:
    def p(truths: np.ndarray, members: np.ndarray, right: np.ndarray) -> float:
        test = Ranks.of(truths, members).histogram().test
        return test.p_value if part == "p_value" else float(2 * stats.norm.sf(abs(getattr(test, part))))

    return p


def together(p_values: Sequence[float]) -> float:
    """Bonferroni; 1 of none."""
    return min(1.0, min(p_values, default=1.0) * len(p_values))


def of_reliability(truths: np.ndarray, members: np.ndarray, right: np.ndarray) -> float:
    found = reliability(truths, members, 1.0, bins=5)
    known = (found.points > 30) & np.isfinite(found.off)
    return together((2 * stats.norm.sf(np.abs(found.off[known]))).tolist())


SCALARS: dict[str, Test] = {
    "rank histogram, χ²": histogram("p_value"),
    "rank histogram, bend": histogram("spread"),
    "rank histogram, slope": histogram("bias"),
    "coverage, 52 and 90 %": lambda y, x, _: Ranks.of(y, x).coverage([0.52, 0.9]).p_value,
    "spread / skill": lambda y, x, _: two_sided(spread_skill(y, x).ratio),
    "bias": lambda y, x, _: two_sided(spread_skill(y, x).bias),
    "reliability, > 1": of_reliability,
    "SBC": lambda y, x, _: together([one.p_value for one in sbc(y, x).values()]),
    "TARP": lambda y, x, _: tarp(y, x).p_value,
    "CRPS, paired": worse(crps),
}
FIELDS: dict[str, Test] = {
    **SCALARS,
    "energy score, paired": worse(energy_score),
    "variogram score, paired": worse(variogram_score),
    "power, k 1–3": lambda y, x, _: two_sided(spectra(y, x).ratio(1, 3)),
    "power, k 4–8": lambda y, x, _: two_sided(spectra(y, x).ratio(4, 8)),
}
KNOBS = {
    "narrow": [0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5],
    "wide": [1.05, 1.1, 1.15, 1.25, 1.4, 1.6, 2.0],
    "bias": [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8],
    "rough": [0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0],
}
"""Factors of the spread, standard deviations of the forecast, and the share of its variance that is white noise."""


def worlds(seed: int, size: int, knob: str, values: Sequence[float]) -> Iterator[tuple[np.ndarray, ...]]:
    """Truths, members that are more and more wrong, and right ones; of single numbers or fields size × size."""
    rng, shape = np.random.default_rng(seed), (size, size)
    length = 2.0 if size > 1 else 0.0
    mean, own, drawn, right = (
        fields(rng, (*first, *shape), length) for first in ((CASES,), (CASES,), (CASES, MEMBERS), (CASES, MEMBERS))
    )
    white = rng.normal(size=drawn.shape)
    for value in values:
        factor = value if knob in ("narrow", "wide") else 1.0
        share, off = (value if knob == name else 0.0 for name in ("rough", "bias"))
        members = off + factor * (np.sqrt(1 - share) * drawn + np.sqrt(share) * white)
        one = (mean + own, mean[:, None] + members, mean[:, None] + right)
        yield one if size > 1 else tuple(x[..., 0, 0] for x in one)


def seen(shares: Sequence[float], values: Sequence[float], power: float = 0.8) -> str:
    """Where the share of worlds rejected reaches the power, straight between the values tried."""
    for k, share in enumerate(shares):
        if share >= power:
            if k == 0:
                return f"≤ {values[0]:g}" if values[0] != 0.95 else f"≥ {values[0]:g}"
            at = (power - shares[k - 1]) / (share - shares[k - 1])
            return f"{values[k - 1] + at * (values[k] - values[k - 1]):.2f}"
    return "—"


def table(tests: dict[str, Test], size: int, knobs: Sequence[str], seeds: int) -> None:
    """Prints a row a test."""
    rows = {name: [f"{false_alarms(test, size, 2 * seeds):.0%}"] for name, test in tests.items()}
    for knob in knobs:
        values = KNOBS[knob]
        found = np.zeros((len(tests), len(values)))
        for seed in range(seeds):
            for k, world in enumerate(worlds(seed, size, knob, values)):
                found[:, k] += [test(*world) < 0.05 for test in tests.values()]
        for name, shares in zip(tests, found / seeds, strict=True):
            rows[name].append(seen(shares.tolist(), values))
    print(f"\n{CASES} cases × {MEMBERS} members, " + (f"fields of {size}²" if size > 1 else "one number a case"))
    print(f"{'':26}" + "".join(f"{name:>12}" for name in ("false alarms", *knobs)))
    for name, row in rows.items():
        print(f"{name:26}" + "".join(f"{value:>12}" for value in row), flush=True)


def false_alarms(test: Test, size: int, seeds: int) -> float:
    """How often a calibrated world is rejected."""
    return float(np.mean([test(*next(worlds(10_000 + seed, size, "bias", [0.0]))) < 0.05 for seed in range(seeds)]))


def cost(members: int = 50, shape: tuple[int, int] = (721, 1440), cases: int = 2) -> None:
    """Prints seconds a case, and how much memory each step needs beside the arrays themselves."""
    rng = np.random.default_rng(0)
    truths = rng.standard_normal((cases, *shape), np.float32)
    samples = rng.standard_normal((cases, members, *shape), np.float32)
    held = (truths.nbytes + samples.nbytes) / 2**20
    print(f"{cases} cases × {members} members × {shape[0]} × {shape[1]}, float32: {held:.0f} MiB")
    steps: dict[str, Callable[[], object]] = {
        "CRPS": lambda: crps(truths, samples),
        "energy score": lambda: energy_score(truths, samples),
        "variogram score, 14 lags": lambda: variogram_score(truths, samples),
        "ranks": lambda: Ranks.of(truths, samples),
        "spread / skill": lambda: spread_skill(truths, samples),
        "radial spectra": lambda: spectra(truths, samples, Radial()),
        "zonal spectra": lambda: spectra(truths, samples, Along.latitudes(np.linspace(90, -90, shape[0]))),
    }
    for name, step in steps.items():
        tracemalloc.start()
        start = time.process_time()
        step()
        seconds, peak = (time.process_time() - start) / cases, tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        print(f"{name:26}{seconds:8.1f} s of CPU a case, {peak:.0f} MiB beside the arrays", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cost", action="store_true", help="time and memory instead")
    parser.add_argument("--seeds", type=int, default=50, help="worlds of each kind")
    settings = parser.parse_args()
    if settings.cost:
        return cost()
    table(SCALARS, 1, ("narrow", "wide", "bias"), settings.seeds)
    table(FIELDS, 16, tuple(KNOBS), settings.seeds)


if __name__ == "__main__":
    main()
