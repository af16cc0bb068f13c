"""The page about energies.py's rows: a table a system, and what is missed."""

import platform
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from math import log

from energies_worlds import SETTINGS, Row, level

SMC, PT, HYBRID = "annealed SMC", "parallel tempering", "hybrid"
NUTS, PEER = "NUTS (blackjax)", "SMC (blackjax)"
CHAINED, BLIND = "hybrid, then HMC", "hybrid, half the modes unknown to the model"
OURS = (HYBRID, CHAINED)
TRUSTED = 0.7
"""The largest k̂ with which weights are trusted."""
NAMES = {
    "tv": "total variation of the shares",
    "w2": "W₂",
    "log_z_error": "error of log Z",
    "energy_error": "error of ⟨E⟩",
    "virial_error": "error of the virial",
    "ks": "distance of the energies' distributions",
    "gradients": "gradients",
    "missing": "share of the mass that could be missing",
}
WORDS = {
    "gmm-40": "Forty Gaussians in the plane. Shares are those of the components.",
    "many-well-32": "Sixteen double wells beside sixteen Gaussians; the share is that of the right well, mean over "
    "the sixteen.",
    "dw-4": "Four particles in the plane; classes are numbers of short bonds.",
    "lj-13": "Thirteen Lennard-Jones particles in a trap. Its ⟨E⟩ is that of the reference.",
    "funnel-10": "Neal's funnel. No model is trained for it, so there is no hybrid.",
}


def versions() -> dict[str, str]:
    names = ("ornstein", "torch", "blackjax", "jax")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def short(number: float) -> str:
    """Gradients, 1.2e6."""
    mantissa, exponent = f"{number:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def stated(measure: str) -> str:
    """The name of the standard error of a measure."""
    return measure.removesuffix("_error") + "_se"


# Tables -----------------------------------------------------------------------------------------------


def both(name: str, digits: int) -> Callable[[Row], str]:
    """A number and its standard error, if one is stated."""

    def write(row: Row) -> str:
        error = f" ± {row[stated(name)]:.{digits}f}" if stated(name) in row else ""
        return f"{row[name]:.{digits}f}{error}"

    return write


COLUMNS: dict[str, Callable[[Row], str]] = {
    "n": lambda row: f"{row['n']:,}",
    "gradients": lambda row: short(row["gradients"]),
    "s": lambda row: f"{row['seconds']:.0f}",
    "shares": lambda row: f"{row['tv']:.4f}",
    "exact draws": lambda row: f"{row['tv_floor']:.4f}",
    "modes": lambda row: f"{row['modes']}",
    "W₂": lambda row: f"{row['w2']:.2f}",
    "Δ log Z": both("log_z_error", 3),
    "log Z − exact, 95 %": lambda row: f"{row['low_off']:+.3f} to {row['high_off']:+.3f}",
    "could be missing": lambda row: f"{row['missing']:.1%}",
    "uncovered": lambda row: f"{row['uncovered']:.1%}",
    "Δ⟨E⟩": both("energy_error", 3),
    "virial off": lambda row: f"{row['virial_error']:.1%} ± {row['virial_se']:.1%}",
    "KS of E": lambda row: f"{row['ks']:.3f}",
    "R̂": lambda row: f"{row['r_hat']:.3f}",
    "ESS": lambda row: f"{row['ess']:.0%}" if row["ess"] <= 1 else f"{row['ess']:,.0f}",
    "k̂": lambda row: f"{row['k_hat']:.2f}",
}


def cell(write: Callable[[Row], str], row: Row) -> str:
    try:
        return write(row)
    except KeyError:
        return "–"


def table(rows: Sequence[Row]) -> str:
    """One line a method; columns that nothing has are left out."""
    cells = {title: [cell(write, row) for row in rows] for title, write in COLUMNS.items()}
    kept = {title: column for title, column in cells.items() if set(column) != {"–"}}
    lines = [f"| method | {' | '.join(kept)} |", "|---" * (len(kept) + 1) + "|"]
    for k, row in enumerate(rows):
        name = f"{row['method']}, {row['size']}"
        name = f"**{name}**" if row["method"] in OURS else name
        lines.append(f"| {name} | {' | '.join(column[k] for column in kept.values())} |")
    return "\n".join(lines)


def section(name: str, rows: Sequence[Row]) -> str:
    """What is said of one system."""
    about, whole = rows[-1], [row for row in rows if row.get("whole")]
    floors = about["floors"]
    compared = f"Two sets of right draws: W₂ {floors['w2']:.2f}, KS {floors['ks']:.3f}."
    right = "" if about["exact"] else f" No exact draws are known: W₂ and KS are to ours, {about['reference']}."
    training = {row["method"]: row for row in rows if "training" in row}.get(HYBRID)
    cost = (
        f" Training took {short(training['training'])} evaluations ({training['rounds']} rounds)." if training else ""
    )
    says = [f"- {row['method']}, {row['size']}: {row['verdict']}." for row in whole if row.get("verdict")]
    parts = [f"## {name}", WORDS[name] + " " + compared + right + cost, table(whole), "\n".join(says)]
    return "\n\n".join(part for part in parts if part)


def blind(rows: Sequence[Row]) -> str:
    """What became of the proposals that lack half the modes."""
    columns = ("shares", "exact draws", "modes", "uncovered", "log Z − exact, 95 %", "gradients")
    lines = [f"| seed | the hybrid says | {' | '.join(columns)} |", "|---" * (2 + len(columns)) + "|"]
    for row in rows:
        cells = [f"{row['seed']}", row["verdict"], *(cell(COLUMNS[title], row) for title in columns)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def price(rows: Sequence[Row], name: str) -> Iterator[str]:
    """The largest hybrid beside the annealing that took about as many gradients."""
    found = [row for row in rows if row.get("method") == HYBRID]
    others = [row for row in rows if row.get("method") == SMC]
    if found and others:
        near = min(others, key=lambda row: abs(log(row["gradients"] / found[-1]["gradients"])))
        training = f"after {short(found[-1]['training'])} of training"
        yield f"- {name}: {_spent(found[-1], name)}, {training}; {_spent(near, name)}."


def _spent(row: Row, name: str) -> str:
    error = SETTINGS[name].error
    said = f", log Z off by {row['log_z_error']:.3f}" if "log_z_error" in row else ""
    return (
        f"{row['method']}, {row['size']}: {NAMES[error]} {row[error]:.4f}{said}, {short(row['gradients'])} gradients, "
        f"{row['seconds']:.0f} s"
    )


# Goals ------------------------------------------------------------------------------------------------


def held(rows: Sequence[Row], name: str) -> Iterator[tuple[str, Row, float]]:
    """(measure, line, goal) of the largest hybrid of a system; the virial of all its chains."""
    last = [row for row in rows if row.get("method") == HYBRID][-1:]
    chained = [row for row in rows if row.get("method") == CHAINED]
    for measure, goal in SETTINGS[name].goals.items():
        for row in (chained or last) if measure == "virial_error" else last:
            yield measure, row, goal
    for row in [*last, *chained] if SETTINGS[name].error == "ks" else []:
        yield "ks", row, level(row["n"])


def goals(rows: Sequence[Row], name: str, met: bool) -> Iterator[str]:
    """What is met, or what is not, in words."""
    for measure, row, goal in held(rows, name):
        if (row[measure] <= goal) == met:
            said = f" ± {row[stated(measure)]:.2g}" if stated(measure) in row else ""
            value = short(row[measure]) if measure == "gradients" else f"{row[measure]:.4g}{said}"
            yield f"- {name}, {row['method']}, {row['size']}: {NAMES[measure]} {value}, goal {goal:.2g}."
    yield from [] if met else doubts(rows, name)


def doubts(rows: Sequence[Row], name: str) -> Iterator[str]:
    """Gates that were not passed, bounds that do not hold the truth, and what became of a model that has lost modes."""
    for row in rows:
        what = f"- {name}, {row.get('method')}, {row.get('size')}"
        if row.get("method") in OURS and not (row["passed"] and row["k_hat"] < TRUSTED):
            yield f"{what}: k̂ {row['k_hat']:.2f}; {row['verdict']}."
        elif row.get("method") in OURS and not row["exact"]:
            yield f"{what}: {row['verdict']}."
        if "low_off" in row and not row["low_off"] <= 0 <= row["high_off"]:
            yield f"{what}: log Z lies outside of what is stated, {row['low_off']:+.3f} to {row['high_off']:+.3f} off."
        if row.get("method") == BLIND and row["tv"] > 3 * row["tv_floor"]:
            said = "passed although they are wrong" if row["passed"] else "refused, not mended"
            yield f"{what}, seed {row['seed']}: the samples are {said}, shares off by {row['tv']:.3f}."


# The page ---------------------------------------------------------------------------------------------


def by_system(rows: Sequence[Row]) -> dict[str, list[Row]]:
    return {name: found for name in SETTINGS if (found := [row for row in rows if row["system"] == name])}


def page(rows: Sequence[Row]) -> str:
    """docs/energies.md."""
    systems, abouts = by_system(rows), [row for row in rows if "versions" in row]
    lost = [row for row in rows if row.get("method") == BLIND]
    met, missed = (
        [line for name, found in systems.items() for line in goals(found, name, good)] for good in (True, False)
    )
    return TEXT.format(
        minutes=sum(row["seconds"] for row in abouts) / 60,
        versions=", ".join(f"{name} {number}" for name, number in abouts[-1]["versions"].items()),
        sections="\n\n".join(section(name, found) for name, found in systems.items()),
        blind=blind(lost) if lost else "Not run.",
        costs="\n".join(line for name, found in systems.items() for line in price(found, name)),
        met="\n".join(met) or "- Nothing.",
        missed="\n".join(missed) or "- Nothing.",
    )


TEXT = """\
# Boltzmann distributions, side by side

Written by `benchmarks/energies.py`; do not edit. Made by

    make bench-env && .bench-env/bin/python benchmarks/energies.py

on one thread in {minutes:.0f} minutes, with {versions}.

![Error against gradients](energies.svg)

Error against the gradients of the energy that were used, of every method at several sizes or after parts of its chains.
Dotted: what exact draws would have, at the largest size shown. Hollow: the hybrid with its training counted.

- *annealed SMC*: `anneal` from wide noise, as it comes; the number is that of particles.
- *parallel tempering*: `ParallelTempering` of HMC in `chains.run`, on a path from wide noise.
- *NUTS*: blackjax, adapted chain by chain (Stan's windows, diagonal mass), from the same wide noise. Particles are
  given to it in coordinates without translation. Its seconds are without compiling, which takes about ten.
- *SMC (blackjax)*: `blackjax.smc.adaptive_tempered` from the same wide noise at our setting, HMC of five leaps, three
  moves a temperature, 70 % of the particles effective; its step and diagonal mass are set between temperatures. It
  states no error of log Z.
- *hybrid*: `boltzmann(model, energy, n)`: draws of the model and a search that knows nothing of them, as one weighted
  sample, moved.

*shares*: total variation between the shares of modes or classes and the exact ones, beside what n exact draws would
have. *W₂*: exact 2-Wasserstein distance of 1,000 samples to 1,000 right ones, symmetries not taken out. *KS of E*:
largest difference between the distribution functions of E, of up to 5,000 samples. *virial*: ⟨x · ∇E⟩ against its exact
value. *ESS*: of the hybrid the share of its draws that the weights leave; of chains that of log p (bulk), in draws.
*log Z − exact, 95 %*: the stated interval, which includes what could be missing. *could be missing*: the largest
share of the mass that neither draws nor search have seen, at 95 %. *uncovered*: the share that the draws alone do not
reach. How often such bounds hold is on [a page of its own](missing.md). *gradients*: of the energy, sample by sample,
warm-up included and training not; values without gradient are in the results. Errors after ± are standard errors as
each method can state them; chains that miss modes state too small ones. Times are from a machine that was shared.

{sections}

## A model that has lost half the modes

Draws of an exact mixture of the first 20 of gmm-40's 40 components, 8,000 for 4,000 samples, given to the hybrid.
Shares of the draws themselves are off by .5.

{blind}

## What the model buys

The largest hybrid beside the annealed SMC that took about as many gradients, which needs no model and no training.

{costs}

## Goals met

The goal of the distribution of E is what independent right draws stay below 19 times of 20; draws that share their
origin, by weights or along chains, are fewer than that counts.

{met}

## Where we miss

{missed}
"""
