"""Two energies multiplied: added scores, Metropolis moves at every noise level, weights; beside the exact product.

    make bench-composition

Two small energy networks learn a ring and two bars. Their product over a Gaussian, p_a p_b / p_base, is known exactly
on a grid of the plane, from the learnt energies at t = 0, so that what differs from it is the sampler's doing. Every
method draws 10,000 samples, with three seeds. Writes benchmarks/results/composition.jsonl and docs/composition.svg.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ornstein.denoisers.base import Traits
from ornstein.denoisers.composition import Composed, product
from ornstein.denoisers.energy import EnergyDenoiser
from ornstein.denoisers.oracles import Mixture, gaussian_mixture, ring
from ornstein.keys import Keys
from ornstein.mcmc.moves import MALA
from ornstein.networks import MLP, MLPConfig
from ornstein.sampling.grids import log_snr
from ornstein.sampling.kernels import Kernel, Predictor
from ornstein.sampling.sampler import Sampler
from ornstein.spaces import Euclidean
from ornstein.tasks.drawing import sample
from ornstein.training.feeding import Batch
from ornstein.training.trainer import losses

ROOT = Path(__file__).parent.parent
RESULTS, PLOT = ROOT / "benchmarks" / "results" / "composition.jsonl", ROOT / "docs" / "composition.svg"
F64 = torch.float64
DRAWS, SEEDS, FLOORS = 10_000, (0, 1, 2), 20
STEPS, MOVES, WARMUP = 40, 10, 5
REACH, SIDE, DIRECTIONS = 4.0, 501, 32
Row = dict[str, Any]


# Worlds -----------------------------------------------------------------------------------------------


def worlds(std: float = 0.3, widths: tuple[float, float] = (0.08, 0.06)) -> tuple[Mixture, Mixture, Mixture]:
    """A ring of eight Gaussians, two bars of unequal weight, and the Gaussian that both are seen against.

    Args:
        std: of the ring's modes.
        widths: variances of the bars across.
    """
    means = torch.tensor([[1.0, 0.3], [-0.6, -0.9]], dtype=F64)
    covs = torch.diag_embed(torch.tensor([[widths[0], 0.9], [0.9, widths[1]]], dtype=F64))
    bars = gaussian_mixture(means, covs, torch.tensor([0.6, 0.4]))
    base = gaussian_mixture(torch.zeros(1, 2, dtype=F64), torch.eye(2, dtype=F64)[None])
    return ring(8, 1.3, std), bars, base


THIN = 0.25, (0.04, 0.04)
"""Modes of the product so far apart that few moves lead from one to another."""


def trained(world: Mixture, seed: int, steps: int = 4000, batch: int = 512) -> EnergyDenoiser:
    """A small energy network that has learnt fresh draws of a world."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        denoiser = EnergyDenoiser(MLP(MLPConfig(64, 3, 6, 8.0), (2,)), Traits(Euclidean((2,))))
    optimizer = torch.optim.Adam(denoiser.network.parameters(), 1e-3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        keys = Keys.of(seed, range(step * batch, (step + 1) * batch))
        t = ((torch.arange(batch) + keys[:1].fold("times").uniform()) / batch).float().clamp(min=1e-3)
        data = Batch(world.draw(keys.fold("data")).float(), {}, t, t, torch.ones(batch), keys, torch.arange(batch))
        optimizer.zero_grad()
        losses(denoiser, data).mean().backward()
        optimizer.step()
        rate.step()
    denoiser.network.requires_grad_(False)
    return denoiser


@dataclass(frozen=True, eq=False)
class Exact:
    """The product itself, on a grid of [−reach, reach]², from the composed energy at t = 0."""

    composed: Composed

    @cached_property
    def places(self) -> Tensor:
        axis = torch.linspace(-REACH, REACH, SIDE, dtype=F64)
        return torch.cartesian_prod(axis, axis)

    @cached_property
    def shares(self) -> Tensor:
        """The probability of each place."""
        with torch.no_grad():
            log_p = [self.composed.log_density(part, 0.0).double() for part in self.places.split(50_000)]
        return torch.cat(log_p).softmax(0)

    def draw(self, keys: Keys) -> Tensor:
        cumulative = self.shares.cumsum(0)
        chosen = torch.searchsorted(cumulative, cumulative[-1] * keys.fold("place").uniform())
        within = keys.fold("within").uniform(2) - 0.5
        return self.places[chosen.clamp(max=len(cumulative) - 1)] + 2 * REACH / (SIDE - 1) * within

    def distance(self, x: Tensor) -> float:
        """The Wasserstein-1 distance of samples to the product itself, along a line, the mean over 32 lines."""
        along = (x.double() @ _lines()).sort(0).values
        return (along - self._quantiles(len(x))).abs().mean().item()

    def _quantiles(self, n: int) -> Tensor:
        """Along every line the place below which each of (½, …, n − ½)/n of the product lies, (n, lines)."""
        levels = (torch.arange(n, dtype=F64) + 0.5) / n
        return torch.stack([_interpolated(levels, below, places) for places, below in self._cumulative], 1)

    @cached_property
    def _cumulative(self) -> list[tuple[Tensor, Tensor]]:
        """Along every line the places of the grid that count, in order, and what lies below each."""
        places, shares = self.places[self.shares > 1e-12], self.shares[self.shares > 1e-12]
        found = []
        for line in _lines().T:
            along, order = (places @ line).sort()
            found.append((along, shares[order].cumsum(0) - shares[order] / 2))
        return found

    @cached_property
    def floors(self) -> Sequence[float]:
        """How far exact draws are."""
        return [self.distance(self.draw(Keys.of(1000 + k, DRAWS))) for k in range(FLOORS)]


def _lines() -> Tensor:
    angles = torch.arange(DIRECTIONS, dtype=F64) * (torch.pi / DIRECTIONS)
    return torch.stack([angles.cos(), angles.sin()])


def _interpolated(at: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """The piecewise linear function through (xs, ys), xs ascending."""
    above = torch.searchsorted(xs, at).clamp(1, len(xs) - 1)
    left, right = xs[above - 1], xs[above]
    share = ((at - left) / (right - left).clamp(min=1e-300)).clamp(0, 1)
    return torch.lerp(ys[above - 1], ys[above], share)


# Methods ----------------------------------------------------------------------------------------------

Outcome = tuple[Tensor, Row]


def walked(composed: Composed, n: int, seed: int, kernels: tuple[Kernel, ...], steps: int = STEPS) -> Outcome:
    """A sampler's samples, and how its moves were accepted."""
    with torch.no_grad():
        state = Sampler(log_snr(steps, composed.space), kernels).end(composed, Keys.of(seed, n))
    return state.x, {} if state.acceptance is None else {"acceptance": state.acceptance.mean().item()}


def moved(composed: Composed, n: int, seed: int, count: int = MOVES, warmup: int = WARMUP) -> Outcome:
    """Ancestral steps, after each of which Metropolis moves follow the product of the noisy densities."""
    return walked(composed, n, seed, (Predictor(1.0), MALA(count=count, step_size=0.7, warmup=warmup)))


def weighed(composed: Composed, n: int, seed: int, exact: Any) -> Outcome:
    """One call of the package; what it says of its own exactness."""
    found = sample(composed, n, seed=seed, exact=exact)
    if exact == "particles":
        return found.x, {"ess": min(found.exactness.ess)}
    return found.x, {"ess": found.exactness.ess, "k_hat": found.exactness.k_hat, "passed": found.exactness.passed}


METHODS: dict[str, Callable[[Composed, int, int], Outcome]] = {
    f"scores added, deterministic, {STEPS} steps": lambda c, n, seed: (sample(c, n, STEPS, seed=seed).x, {}),
    f"scores added, ancestral, {STEPS} steps": lambda c, n, seed: walked(c, n, seed, (Predictor(1.0),)),
    f"scores added, ancestral, {10 * STEPS} steps": lambda c, n, seed: walked(
        c, n, seed, (Predictor(1.0),), 10 * STEPS
    ),
    f"Metropolis at every level, {STEPS} steps of {MOVES} moves": moved,
    'exact="mcmc"': lambda c, n, seed: weighed(c, n, seed, "mcmc"),
    'exact="particles"': lambda c, n, seed: weighed(c, n, seed, "particles"),
}
SHORT = "deterministic", "ancestral", None, "Metropolis", "mcmc", "particles"
"""Their names in the plot, in which not all have a place."""


# The run ----------------------------------------------------------------------------------------------


def measured(composed: Composed, parts: str, seeds: Sequence[int], kept: dict[str, Tensor]) -> Iterator[Row]:
    """Every method's distance for each seed, and that of exact draws; the first seed's samples are kept."""
    exact = Exact(composed)
    for k, floor in enumerate(exact.floors):
        yield {"parts": parts, "method": "exact draws", "seed": 1000 + k, "w1": floor}
    for name, method in METHODS.items():
        for seed in seeds:
            began = time.perf_counter()
            x, said = method(composed, DRAWS, seed)
            seconds = round(time.perf_counter() - began, 1)
            kept.setdefault(name, x)
            yield {"parts": parts, "method": name, "seed": seed, "w1": exact.distance(x), "seconds": seconds, **said}
        log(f"{parts}: {name}")


def run(seeds: Sequence[int], steps: int, kept: dict[str, Tensor]) -> tuple[list[Row], Composed]:
    """All rows, the last one about the run itself, and the product of the networks."""
    ring, bars, base = worlds()
    learnt = product(trained(ring, 1, steps), trained(bars, 2, steps), base)
    log("trained")
    oracles, thin = product(ring, bars, base), product(*worlds(*THIN))
    rows = list(measured(learnt, "networks", seeds, kept))
    for parts, composed in (("oracles", oracles), ("oracles, thin", thin)):
        rows += measured(composed, parts, seeds, {})
    apart = (Exact(learnt).shares - Exact(oracles).shares).abs().sum().item() / 2
    versions = {"python": platform.python_version(), **{name: version(name) for name in ("ornstein", "torch")}}
    about = {"seconds": round(time.perf_counter() - _BEGIN), "learnt_to_true": apart, "draws": DRAWS}
    return [*map(rounded, rows), rounded(about) | {"versions": versions}], learnt


def table(rows: Sequence[Row]) -> str:
    """The mean over the seeds by method and parts, in thousandths; of exact draws the largest of all, too."""
    parts = list(dict.fromkeys(row["parts"] for row in rows if "parts" in row))
    lines = [f"| Wasserstein-1 · 1000 | {' | '.join(parts)} |", "|---" * (1 + len(parts)) + "|"]
    for name in ("exact draws", *METHODS):
        cells = []
        for part in parts:
            found = [1000 * row["w1"] for row in rows if row.get("method") == name and row["parts"] == part]
            most = f" (at most {max(found):.1f})" if name == "exact draws" else ""
            cells.append(f"{sum(found) / len(found):.1f}{most}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(composed: Composed, kept: dict[str, Tensor], path: Path, points: int = 1500) -> None:
    """The exact product, with samples of each method on it."""
    from ornstein.report.plots import landscape

    def energy(x: Tensor) -> Tensor:
        return -composed.log_density(x, 0.0)

    names = [(short, name) for short, name in zip(SHORT, METHODS, strict=True) if short]
    panels: dict[str, Any] = {short: (energy, kept[name][:points].numpy()) for short, name in names}
    path.write_bytes(landscape(panels, (-2.6, 2.6, -2.6, 2.6), nats=7.0, size=2.1, resolution=121))


_BEGIN = time.perf_counter()


def log(text: str) -> None:
    print(f"[{time.perf_counter() - _BEGIN:4.0f} s] {text}", flush=True)


def rounded(row: Row) -> Row:
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in row.items()}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--quick", action="store_true", help="one seed, a short training; writes no files")
    quick = options.parse_args().quick
    torch.set_num_threads(1)
    kept: dict[str, Tensor] = {}
    rows, learnt = run(SEEDS[:1] if quick else SEEDS, 400 if quick else 4000, kept)
    print(table(rows))
    if not quick:
        RESULTS.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        plot(learnt, kept, PLOT)


if __name__ == "__main__":
    main()
