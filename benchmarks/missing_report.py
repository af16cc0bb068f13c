"""The page about missing.py's rows: one table a kind of proposal, and which goals are missed."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bounds import interval, too_few

Row = dict[str, Any]
OURS, ALONE, BEFORE = "ours", "weights alone", "before"
BOUNDS = ("log Z", "share", "missing")
VACUOUS = 0.03
"""The most that may be missing, by the median, where the proposal is good."""
KINDS = {
    "lacking": "The proposal lacks a part of the mass.",
    "wrong": "The proposal has all parts, in proportions that are wrong by factors of 10 to 100.",
    "good": "The proposal has all of it.",
}


def cells(row: Row) -> list[str]:
    """Of the table, without the twins."""
    low, high = interval(row["log Z held"], row["runs"])
    return [
        f"{row['runs']}",
        f"{row['part']:.3f}",
        f"{row['log Z held']} ({low:.0%} to {high:.0%})",
        *(f"{row[f'{name} held']}" for name in BOUNDS[1:]),
        f"{row['missing']:.1%}",
        f"{row['missing_most']:.1%}",
        f"{row['unseen_most']:.1%}",
        f"{row['exact']}",
        f"{row['runs'] - row['passed']}",
        f"{row['sources']:.0f}",
        f"{row['evaluations'] / 1000:.0f}k",
        f"{row['seconds']:.1f}",
    ]


HEAD = [
    "case",
    "runs",
    "part",
    "log Z held",
    "share held",
    "unseen held",
    "could be missing",
    "at most",
    "was unseen, at most",
    "exact",
    "refused",
    "sources",
    "evaluations",
    "s",
    "weights alone",
    "before",
]


def table(rows: Sequence[Row], kind: str) -> str:
    """One line a case."""
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    for row in rows:
        if row["kind"] == kind and row["method"] == OURS:
            twins = [held(found) for method in (ALONE, BEFORE) for found in of(rows, row["case"], method)]
            lines.append(f"| {' | '.join([row['case'], *cells(row), *twins])} |")
    return "\n".join(lines)


def of(rows: Sequence[Row], case: str, method: str) -> list[Row | None]:
    """The line of a case by a method, or None."""
    found = [row for row in rows if (row["case"], row["method"]) == (case, method)]
    return [found[0] if found else None]


def held(row: Row | None) -> str:
    """How often each bound held, in per cent."""
    return "–" if row is None else " · ".join(f"{row[f'{name} held'] / row['runs']:.0%}" for name in BOUNDS)


def missed(rows: Sequence[Row]) -> Iterator[str]:
    """The goals that are missed, in words."""
    for row in rows:
        if row["method"] != OURS:
            continue
        for name in BOUNDS:
            if too_few(row[f"{name} held"], row["runs"]):
                seeds = ", ".join(map(str, row[f"{name} missed"][:5]))
                often = f"{row[f'{name} held']} of {row['runs']}"
                yield f"- {row['case']}: the bound of {name} held in {often} (not of seeds {seeds} …)."
        if row["kind"] == "good" and row["missing"] > VACUOUS:
            yield f"- {row['case']}: {row['missing']:.1%} could be missing by the median, goal {VACUOUS:.0%}."
        if row["kind"] == "good" and too_few(row["passed"], row["runs"]):
            yield f"- {row['case']}: {row['runs'] - row['passed']} of {row['runs']} runs are not to be trusted."


def rejected(rows: Sequence[Row], method: str) -> str:
    """In how many of the cases a twin is rejected, by kind."""
    words = []
    for kind in KINDS:
        found = [row for row in rows if (row["kind"], row["method"]) == (kind, method)]
        wrong = sum(any(too_few(row[f"{name} held"], row["runs"]) for name in BOUNDS) for row in found)
        words += [f"{wrong} of {len(found)} ({kind})"] if found else []
    return ", ".join(words) or "not run"


def page(rows: Sequence[Row]) -> str:
    """docs/missing.md."""
    ours = [row for row in rows if row["method"] == OURS]
    before = [row for row in rows if row["method"] == BEFORE]
    return TEXT.format(
        runs=max((row["runs"] for row in ours), default=0),
        n=max((row["n"] for row in ours), default=0),
        minutes=sum(row["total"] for row in rows if row["method"] != BEFORE) / 60,
        sections="\n\n".join(f"## {words}\n\n{table(rows, kind)}" for kind, words in KINDS.items()),
        missed="\n".join(missed(rows)) or "- None.",
        good=np.mean([row["missing"] for row in ours if row["kind"] == "good"] or [float("nan")]),
        ours=rejected(rows, OURS),
        alone=rejected(rows, ALONE),
        before=rejected(rows, BEFORE),
        before_runs=max((row["runs"] for row in before), default=0),
    )


TEXT = """\
# What could be missing

Written by `benchmarks/missing.py`; do not edit. Made by

    .venv/bin/python -m benchmarks.missing

on one thread of a machine that was shared, in {minutes:.0f} minutes: {runs} seeds of a case, a fourth in 32 dimensions
and of funnel-10, {n} samples each, default settings.

Every answer of `on.boltzmann` and `on.refine` bounds log Z and the share of the mass that neither the draws nor the
search has seen. Here the truth is known, and the proposals (exact denoisers of Gaussian mixtures) lack part of it.

- *part*: the exact share of what the proposal lacks, or has too little of; of good proposals of some part.
- *log Z held*: runs in which log Z lies between `low` and `high`, with the 95 % interval of their probability.
- *share held*: runs in which the share of the part lies within Wilson's 95 % interval of `sources` independent draws,
  widened by what could be missing.
- *unseen held*: runs in which the modes without any sample have no more mass than could be missing, as it is said.
- *could be missing*: `missing`, the median, and the most of all runs. *was unseen*: the exact share of the modes
  without any sample, the most of all runs.
- *exact*: runs that say so: at most 1 % could be missing. *refused*: runs that say that they are not to be trusted,
  which claim nothing and count as held.
- *sources*, *evaluations* (of the energy), *s*: medians.
- *weights alone*: the broken twin, the weights of the draws taken at their word, log Z ± 1.96 errors and nothing
  missing: how often log Z, share and unseen held. It is given exact draws of the proposal and their exact density.
- *before*: the same three of the engine before it stated such bounds (commit 0fa407c), up to {before_runs} seeds, log Z
  ± 1.96 errors and nothing missing.

A bound at 95 % counts as kept unless it holds so rarely that this has a probability of less than 1/40. Cases in which
one of the three bounds is not kept:

- weights alone: {alone};
- before: {before};
- now: {ours}.

{sections}

## Goals missed

The truth lies within the bounds in 95 % of the runs, and of good proposals the median run says that at most 3 % could
be missing (mean of these medians: {good:.1%}).

{missed}
"""
