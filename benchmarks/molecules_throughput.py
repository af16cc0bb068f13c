"""Finished molecules a second beside EDM's published architecture.

python -m benchmarks.molecules_throughput [--batch 8 32 128] [--steps 100] [--repeats 3] [--threads 1] [--out FILE]

What a molecule costs is calls times seconds a call. EDM (Hoogeboom et al. 2022) takes 1000 calls of an E(n)-equivariant
graph network (Satorras et al. 2021), written here from its QM9 recipe with random weights: once as published, where
every pair carries both atoms' features into wide products, and once with these products taken atom by atom, which gives
the same numbers for less. Three calls in a row are timed and scaled to 1000; what EDM does in between is left out. Ours
is the shipped model, or a fresh network of the same size, timed over whole runs of `ornstein.sample`.

Both see the same molecules, of sizes drawn from QM9's histogram, padded to the largest of the batch (EDM's own sampler
pads to 29). Seconds are CPU-seconds, which other programs on the machine disturb less; medians of runs taken in turn.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

import ornstein as on
from ornstein.denoisers.base import NeuralDenoiser, Traits
from ornstein.domains.molecules import data, network
from ornstein.networks import MolecularConfig

MODEL = "molecules/qm9"
FEATURES = 6  # of an atom: five elements and the charge; the time comes on top
CALLS, TIMED = 1000, 3
REACH = 15.0  # of one step of the coordinates


def of_pairs(linear: nn.Linear, h: Tensor, edges: Tensor, by_atom: bool) -> Float[Tensor, "batch n n out"]:
    """linear(h_i, h_j, e_ij) of features (batch, n, width) and edges (batch, n, n, ·), for every pair."""
    n, width = h.shape[1:]
    if not by_atom:
        ends = h[:, :, None].expand(-1, -1, n, -1), h[:, None].expand(-1, n, -1, -1)
        return linear(torch.cat([*ends, edges], -1))
    first, second, other = linear.weight.split([width, width, edges.shape[-1]], 1)
    return (h @ first.T)[:, :, None] + (h @ second.T)[:, None] + F.linear(edges, other, linear.bias)


class EDMBlock(nn.Module):
    """Messages between all atoms, gated and summed; then a step of the coordinates along their differences."""

    def __init__(self, width: int, by_atom: bool) -> None:
        super().__init__()
        self.by_atom = by_atom
        self.of_message, self.of_step = (nn.Linear(2 * width + 2, width) for _ in range(2))
        self.message = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.gate = nn.Sequential(nn.Linear(width, 1), nn.Sigmoid())
        self.node = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width))
        last = nn.Linear(width, 1, bias=False)
        nn.init.xavier_uniform_(last.weight, gain=0.001)
        self.step = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), last, nn.Tanh())

    def forward(self, h: Tensor, x: Tensor, start: Tensor, exists: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Features (batch, n, width) and positions (batch, n, 3); start (batch, n, n, 1): the first squares."""
        differences, squares = between(x)
        edges = torch.cat([squares, start], -1)
        messages = self.message(of_pairs(self.of_message, h, edges, self.by_atom))
        heard = (messages * self.gate(messages) * pairs).sum(2)
        h = (h + self.node(torch.cat([h, heard], -1))) * exists
        lengths = REACH * self.step(of_pairs(self.of_step, h, edges, self.by_atom)) * pairs
        return h, x + (differences / ((squares + 1e-8).sqrt() + 1) * lengths).sum(2)


def between(x: Float[Tensor, "batch n 3"]) -> tuple[Float[Tensor, "batch n n 3"], Float[Tensor, "batch n n 1"]]:
    """Differences of all positions and their squared lengths."""
    differences = x[:, :, None] - x[:, None]
    return differences, differences.square().sum(-1, keepdim=True)


class EDM(nn.Module):
    """EDM's denoiser for QM9: what to take from positions and features.

    by_atom: wide products are taken atom by atom, which EDM's code does not do.
    """

    def __init__(self, width: int = 256, layers: int = 9, by_atom: bool = False) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(FEATURES + 1, width), nn.Linear(width, FEATURES + 1)
        self.blocks = nn.ModuleList(EDMBlock(width, by_atom) for _ in range(layers))

    def forward(
        self,
        x: Float[Tensor, "batch n 3"],
        features: Float[Tensor, "batch n {FEATURES}"],
        t: Float[Tensor, " batch"],
        mask: Bool[Tensor, "batch n"],
    ) -> tuple[Float[Tensor, "batch n 3"], Float[Tensor, "batch n {FEATURES}"]]:
        exists = mask[..., None].to(x)
        pairs = exists[:, :, None] * exists[:, None] * (1 - torch.eye(mask.shape[1]).to(x))[..., None]
        now, start = x, between(x)[1]
        h = self.into(torch.cat([features, t[:, None, None].expand_as(exists)], -1) * exists)
        for block in self.blocks:
            h, now = block(h, now, start, exists, pairs)
        moved = (now - x) * exists
        centre = moved.sum(1, keepdim=True) / exists.sum(1, keepdim=True)
        return (moved - centre) * exists, (self.out(h) * exists)[..., :FEATURES]


@dataclass(frozen=True)
class Contender:
    """A way to make molecules.

    Attributes:
        name: of it.
        weights: how many.
        calls: that a molecule takes.
        timed: calls that `run` takes.
        run: what is timed.
        ready: what goes before, untimed.
    """

    name: str
    weights: int
    calls: int
    timed: int
    run: Callable[[], object]
    ready: Callable[[], object] = lambda: None


def ours() -> tuple[NeuralDenoiser, Mapping[str, Any]]:
    """The shipped model or one that has learned nothing, and the facts of its data."""
    if MODEL in on.shipped():
        model = on.load(MODEL)
        assert model.origin is not None
        return model, model.origin.metadata
    metadata = data.load("qm9-sample")[0].metadata
    unconditional = {"properties": torch.full((len(metadata["properties"]),), torch.nan)}
    return NeuralDenoiser(
        network.build(MolecularConfig(), metadata).eval(), Traits(network.space(metadata)), unconditional
    ), metadata


def masks(n: int, metadata: Mapping[str, Any]) -> Bool[Tensor, "n length"]:
    """Which atoms exist in n molecules of sizes drawn from the data's."""
    sizes, counts = zip(*((int(size), count) for size, count in metadata["sizes"].items()), strict=True)
    shares = torch.tensor(counts, dtype=torch.float64).cumsum(0) / sum(counts)
    drawn = torch.tensor(sizes)[torch.searchsorted(shares, on.Keys.of(0, n).fold("sizes").uniform())]
    return torch.arange(metadata["length"]) < drawn[:, None]


def edm(name: str, mask: Tensor, by_atom: bool) -> Contender:
    """A few calls for a batch padded to its largest molecule, after one that warms up memory and caches."""
    net, keys = EDM(by_atom=by_atom).eval(), on.Keys.of(0, len(mask))
    mask = mask[:, mask.any(0)]
    x, features = (keys.fold(part).normal(mask.shape[1], k).float() for part, k in (("x", 3), ("h", FEATURES)))
    t = torch.full((len(mask),), 0.5)

    def call(times: int = TIMED) -> None:
        for _ in range(times):
            net(x, features, t, mask)

    return Contender(name, weights(net), CALLS, TIMED, call, lambda: call(1))


def sampled(name: str, model: NeuralDenoiser, mask: Tensor, steps: int, bf16: bool) -> Contender:
    """Whole runs of the sampler."""

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            assert on.sample(model, len(mask), steps, condition={"mask": mask}).nfe == steps

    return Contender(name, weights(model.network), steps, steps, run)


def weights(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def seconds(contenders: Sequence[Contender], repeats: int) -> list[float]:
    """Median CPU-seconds a call of each, measured in turn, the first round left out."""
    times = [[] for _ in contenders]
    with torch.inference_mode():
        for _ in range(repeats + 1):
            for each, contender in zip(times, contenders, strict=True):
                contender.ready()
                started = time.process_time()
                contender.run()
                each.append((time.process_time() - started) / contender.timed)
    return [median(each[1:]) for each in times]


def measured(model: NeuralDenoiser, mask: Tensor, steps: int, repeats: int) -> list[dict[str, Any]]:
    """One row a contender for one batch."""
    contenders = [
        edm("EDM as published", mask, False),
        edm("EDM atom by atom", mask, True),
        sampled("ours, float32", model, mask, steps, False),
        sampled("ours, bf16", model, mask, steps, True),
    ]
    calls = seconds(contenders, repeats)
    each = [contender.calls * call / len(mask) for contender, call in zip(contenders, calls, strict=True)]
    return [
        {
            "way": contender.name,
            "weights": contender.weights,
            "batch": len(mask),
            "atoms": round(mask.sum(1).double().mean().item(), 2),
            "padded_to": int(mask.any(0).sum()),
            "calls": contender.calls,
            "cpu_seconds_a_call": round(call, 4),
            "cpu_seconds_a_molecule": round(cost, 4),
            "molecules_a_cpu_second": round(1 / cost, 4),
            "times_edm": round(each[0] / cost, 1),
            "times_edm_atom_by_atom": round(each[1] / cost, 1),
        }
        for contender, call, cost in zip(contenders, calls, each, strict=True)
    ]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows, for people."""
    lines = ["way               batch  calls  s a call  s a molecule  molecules/s  × EDM  × EDM atom by atom"]
    lines += [
        f"{row['way']:<16}  {row['batch']:>5}  {row['calls']:>5}  {row['cpu_seconds_a_call']:>8.3f}  "
        f"{row['cpu_seconds_a_molecule']:>12.3f}  {row['molecules_a_cpu_second']:>11.3f}  {row['times_edm']:>5.1f}  "
        f"{row['times_edm_atom_by_atom']:>18.1f}"
        for row in rows
    ]
    return "\n".join(lines)


def best(rows: Sequence[Mapping[str, Any]]) -> str:
    """Each way at the batch that suits it best."""
    ways = dict.fromkeys(row["way"] for row in rows)
    costs = {way: min(row["cpu_seconds_a_molecule"] for row in rows if row["way"] == way) for way in ways}
    published, by_atom, *_ = costs.values()
    return "\n".join(
        f"{way:<16}  at its best batch  {cost:>8.3f} s a molecule  {published / cost:>6.1f} × EDM  "
        f"{by_atom / cost:>6.1f} × EDM atom by atom"
        for way, cost in costs.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 32, 128])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/molecules_throughput.jsonl"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, metadata = ours()
    run = {
        "model": MODEL if model.origin else "random weights",
        "threads": options.threads,
        "repeats": options.repeats,
        "torch": torch.__version__,
        "date": date.today().isoformat(),
    }
    rows = [
        {**row, **run}
        for size in options.batch
        for row in measured(model, masks(size, metadata), options.steps, options.repeats)
    ]
    print(
        f"weights: EDM {rows[0]['weights']:,}, ours {rows[-1]['weights']:,} ({run['model']}); {options.threads} threads"
    )
    print(table(rows), best(rows), sep="\n\n")
    with options.out.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main()
