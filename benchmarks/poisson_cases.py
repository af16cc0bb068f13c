"""What benchmarks/poisson.py compares on, and by what.

    ∇²φ = ρ on the unit square, φ = 0 on its boundary, 64² or 128² unknowns

    error      ‖φ − φ*‖ / ‖φ*‖, φ* by sine transforms in float64
    boundary   rms of φ on the boundary nodes / rms of φ*
    residual   ‖K φ − ρ‖ / ‖ρ‖, which is 1 for φ = 0; the boundary nodes of φ are part of K φ

each the mean over the sources. Times are CPU-milliseconds a source, medians over rounds: those of the clock on one
thread of an idle machine.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from time import process_time
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ornstein.domains.poisson import sources
from ornstein.domains.poisson.equations import Boundary, Elliptic, Grid
from ornstein.keys import Keys

KINDS, LEARNT = ("gaussian", "discs", "points"), ("mixed", "gaussian", "discs")
"""Of the sources that all are judged on, and of those that a network has learnt from; points are in none of these."""
POINTS = 8
"""Of a source of that kind: charges ±1 in single cells."""
TEST, ROUNDS, BATCH = 20_000, 5, 16
"""The seed of the sources that all are judged on, how often a time is taken, and of how many sources in a batch."""
TAIL = 0.05
"""The share of the members of a posterior that lies beyond each end of its central interval."""


@dataclass(frozen=True)
class Row:
    """One method on one problem; None where there is no such number.

    Attributes:
        block: the problem, such as "full source".
        method: the way of solving it.
        learnt: the kind of sources it has learnt from; "" where nothing is learnt.
        sources: the kind it is judged on.
        error, boundary, residual: see above; of the posterior mean where there is a posterior.
        one, batched: CPU-milliseconds a source, alone and in a batch.
        error_source: the same error of ρ, where it is not known.
        coverage, coverage_source: of the central 90 % intervals of φ and of ρ.
        spread: the size of the standard deviation beside the answer's.
        note: what else is to be said.
        published: taken from a paper rather than measured.
    """

    block: str
    method: str
    sources: str
    error: float | None = None
    learnt: str = ""
    boundary: float | None = None
    residual: float | None = None
    one: float | None = None
    batched: float | None = None
    error_source: float | None = None
    coverage: float | None = None
    coverage_source: float | None = None
    spread: float | None = None
    note: str = ""
    published: bool = False


@lru_cache
def equation(side: int) -> Elliptic:
    """Poisson's equation on side² unknowns, 0 on the boundary."""
    return Elliptic(Grid((side, side), Boundary.of("dirichlet", 2)))


def drawn(kind: str, n: int, side: int, seed: int) -> tuple[Tensor, Tensor]:
    """n sources and their solutions, (n, side, side), float64."""
    keys = Keys.of(seed, n)
    rho = points(keys, side) if kind == "points" else sources.draw(kind, keys, (side, side))[:, 0].double()
    return rho, equation(side).solution(rho)


def points(keys: Keys, side: int) -> Float[Tensor, "batch y x"]:
    """Point charges of either sign, of root mean square 1 together."""
    cells = (keys.fold("cell").uniform(POINTS) * side**2).long()
    charges = torch.where(keys.fold("sign").uniform(POINTS) < 0.5, -1.0, 1.0).double()
    rho = torch.zeros(len(keys), side**2, dtype=torch.float64).scatter(1, cells, charges)
    return side / POINTS**0.5 * rho.reshape(-1, side, side)


def whole(phi: Float[Tensor, "batch y x"]) -> Float[Tensor, "batch y+2 x+2"]:
    """With its boundary nodes, which are 0."""
    return torch.nn.functional.pad(phi, (1, 1, 1, 1))


def measured(
    phi: Float[Tensor, "batch y+2 x+2"], rho: Float[Tensor, "batch y x"], exact: Float[Tensor, "batch y x"]
) -> dict[str, Any]:
    """Error, boundary and residual of whole fields, with whatever stands on their boundary nodes."""
    phi = phi.double()
    rim = torch.ones(phi.shape[1:], dtype=torch.bool)
    rim[1:-1, 1:-1] = False
    rim[:: len(rim) - 1, :: len(rim) - 1] = False  # no equation looks at the corners
    size = exact.square().mean((1, 2)).sqrt()
    off = (phi[:, 1:-1, 1:-1] - exact).square().mean((1, 2)).sqrt()
    violation = phi[:, rim].square().mean(1).sqrt()
    left = laplacian(phi) - rho
    return {
        "error": float((off / size).mean()),
        "boundary": float((violation / size).mean()),
        "residual": float((left.flatten(1).norm(dim=1) / rho.flatten(1).norm(dim=1)).mean()),
    }


def laplacian(phi: Float[Tensor, "batch y+2 x+2"]) -> Float[Tensor, "batch y x"]:
    """∇² of a whole field by five points, where it is unknown."""
    inside = phi[:, 1:-1, 1:-1]
    around = phi[:, 2:, 1:-1] + phi[:, :-2, 1:-1] + phi[:, 1:-1, 2:] + phi[:, 1:-1, :-2]
    return (around - 4 * inside) * (inside.shape[-1] + 1) ** 2


def milliseconds(solve: Callable[[Tensor], object], rho: Tensor, rounds: int = ROUNDS) -> tuple[float, float]:
    """CPU time of one source alone, and of one in a batch; medians, after a round that warms up."""
    alone, together = rho[:1], rho[:BATCH]
    times: list[list[float]] = [[], []]
    for _ in range(rounds + 1):
        for k, batch in enumerate((alone, together)):
            started = process_time()
            solve(batch)
            times[k].append(1e3 * (process_time() - started) / len(batch))
    return median(times[0][1:]), median(times[1][1:])


def timed(solve: Callable[[Tensor], object], rho: Tensor, rounds: int = ROUNDS) -> dict[str, Any]:
    """The same as columns of a row."""
    one, batched = milliseconds(solve, rho, rounds)
    return {"one": one, "batched": batched}


def covered(members: Float[Tensor, "members y x"], truth: Float[Tensor, "y x"]) -> float:
    """The share of points at which the truth lies within the central interval of 90 %, of 19, 39, 59, … members."""
    outside = round(TAIL * (len(members) + 1))
    low, high = members.sort(0).values[[outside - 1, -outside]]
    return float(((truth > low) & (truth < high)).double().mean())


# The table --------------------------------------------------------------------------------------------

_COLUMNS = {
    "error of φ": ("error", "%"),
    "error of ρ": ("error_source", "%"),
    "boundary": ("boundary", "%"),
    "residual": ("residual", "g"),
    "ms, one": ("one", "ms"),
    "ms, batched": ("batched", "ms"),
    "spread": ("spread", "%"),
    "90 % of φ": ("coverage", "%"),
    "90 % of ρ": ("coverage_source", "%"),
}
"""Heads of columns, and what stands there in which unit; one that no row has is left out."""


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown, a table a block."""
    blocks = dict.fromkeys(row.block for row in rows)
    return "\n\n".join(f"**{block}**\n\n{_table([row for row in rows if row.block == block])}" for block in blocks)


def _table(rows: Sequence[Row]) -> str:
    columns = {head: of for head, of in _COLUMNS.items() if any(getattr(row, of[0]) is not None for row in rows)}
    head = ("method", "learnt from", "sources", *columns)
    lines = [head, ("---",) * len(head), *((*_named(row), *_cells(row, columns)) for row in rows)]
    notes = [f"- {row.method}, {row.learnt or 'nothing'} → {row.sources}: {row.note}" for row in rows if row.note]
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + (["", *notes] if notes else []))


def _named(row: Row) -> tuple[str, ...]:
    return f"{row.method} (published)" if row.published else row.method, row.learnt or "–", row.sources


def _cells(row: Row, columns: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    return (_said(getattr(row, name), unit) for name, unit in columns.values())


def _said(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if unit == "%":
        return f"{100 * value:.3g} %" if value == 0 or value > 1e-5 else f"{value:.0e}"
    return f"{value:.2g}" if unit == "g" else f"{value:.3g}"
