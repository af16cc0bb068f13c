"""The learned solver of benchmarks/poisson.py, call by call.

    python -m benchmarks.poisson_solver [--model poisson/solver] [--sources 64] [--members 8]

Of held-out sources of each kind, the mean over them of what poisson_cases.py measures, and

    spread    ‖standard deviation over the members‖ / ‖φ*‖, which is 0 for the exact solution
    saved     iterations of AMG-CG to a relative residual of 1e-10 that a sample saves against a start from zero
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from statistics import mean, median
from typing import Any

import torch
from benchmarks import poisson_peers as peers
from benchmarks.poisson_cases import KINDS, TEST, Row, drawn, equation, measured, table, whole
from jaxtyping import Float
from torch import Tensor

import ornstein as on
from ornstein.domains.poisson.learned import surrogate

BLOCK, MODEL, CALLS = "full source, 64²", "poisson/solver", (1, 2, 5, 10)


def solved(model: Any, rho: Float[Tensor, "n y x"], calls: int | None = None, seed: int = 0) -> Float[Tensor, "n y x"]:
    """A sample of each source's solution on the unit square, 0 on its border.

    Args:
        model: the learned solver.
        rho: sources.
        calls: of the network; the solver's own number if not given.
        seed: of the noise.
    """
    given = surrogate.conditions_of(equation(rho.shape[-1]), rho[:, None], model.origin.metadata)
    options = {**surrogate.DEFAULTS, **({} if calls is None else {"steps": calls})}
    return on.sample(model, len(rho), condition=given, seed=seed, **options).x[:, 0].double()


def surrogate_errors(model: Any, kind: str, n: int = 64, members: int = 8) -> Iterator[Row]:
    """Error, boundary, residual and spread by calls of the network.

    Args:
        model: the learned solver.
        kind: of the sources.
        n: sources.
        members: samples of each.
    """
    rho, exact = drawn(kind, n, model.space.shape[-1], TEST)
    for calls in CALLS:
        found = torch.stack([solved(model, rho, calls, seed) for seed in range(members)])
        off = (found[0] - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)
        row = Row(BLOCK, f"ours, {calls} calls", kind, learnt="mixed", **measured(whole(found[0]), rho, exact))
        yield replace(row, spread=spread(found, exact), note=f"median error {100 * median(off.tolist()):.3g} %")


def spread(found: Float[Tensor, "members n y x"], exact: Float[Tensor, "n y x"]) -> float:
    """‖standard deviation over the members‖ / ‖φ*‖, the mean over the sources."""
    return mean((found.std(0).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)).tolist())


def rows(model: Any, kind: str, n: int = 64) -> Iterator[Row]:
    """The learned solver as it is asked by itself, with its time and what it is worth to conjugate gradients."""
    rho, exact = drawn(kind, n, model.space.shape[-1], TEST)
    found = torch.stack([solved(model, rho, seed=seed) for seed in range(4)])
    saved = peers.guess(rho.shape[-1], rho[:8], found[0, :8])
    calls = surrogate.DEFAULTS["steps"]
    row = Row(BLOCK, f"ours, {calls} calls", kind, learnt="mixed", **measured(whole(found[0]), rho, exact))
    note = (
        f"from its sample CG takes {saved['cg']:g} iterations ({saved['cg_from_zero']:g} from zero), AMG-CG "
        f"{saved['amg_cg']:g} ({saved['amg_cg_from_zero']:g})"
    )
    yield replace(row, spread=spread(found, exact), note=note, **peers.timed(lambda one: solved(model, one), rho))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=MODEL, help="shipped, or the folder of a run")
    parser.add_argument("--sources", type=int, default=64)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = on.load(options.model)
    for kind in KINDS:
        found = [*surrogate_errors(model, kind, options.sources, options.members), *rows(model, kind, options.sources)]
        spreads = ", ".join(f"{row.method} {100 * (row.spread or 0):.3g} %" for row in found)
        print(f"{table(found)}\n\nspread: {spreads}\n", flush=True)


if __name__ == "__main__":
    main()
