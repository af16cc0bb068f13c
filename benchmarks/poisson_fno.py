"""A Fourier neural operator (Li et al. 2021; neuraloperator 2.0.0) that learns ρ → φ, for benchmarks/poisson.py.

    .bench-env/bin/python -m benchmarks.poisson_fno --kind mixed --minutes 40 [--size tuned] [--device cuda]

It learns from the pairs that our learned solver learns from, none twice, by AdamW on the relative L2 error under one
cycle of learning rates. As there, a source is divided by its root mean square and its solution by that times a number.
The grid includes the boundary nodes, where the solution to learn is 0 and the source is that of the nearest unknown:
without them the network could not be asked for its boundary.

On a processor minutes are CPU-minutes over the threads, so that other work beside it takes nothing away; on another
device they are those of the clock.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from math import cos, pi
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import torch
from benchmarks.poisson_cases import KINDS, LEARNT, TEST, Row, drawn, measured, timed, whole
from benchmarks.poisson_peers import guess
from jaxtyping import Float
from torch import Tensor

from ornstein.domains.poisson.learned import pairs
from ornstein.training.ahead import Ahead

RESULTS = Path(__file__).parent / "results" / "poisson_fno.jsonl"
WARM, RECORDS = 0.1, 1_000_000
"""The share of the time in which the learning rate rises, and the pairs there are."""


@dataclass(frozen=True)
class Size:
    """The network, and how it learns.

    Attributes:
        modes: kept an axis.
        width: channels.
        layers: of spectral convolutions.
        batch: sources a step.
        rate: the highest learning rate.
        decay: of weights.
    """

    modes: int = 12
    width: int = 32
    layers: int = 4
    batch: int = 16
    rate: float = 3e-3
    decay: float = 1e-4


SIZES = {"small": Size(), "tuned": Size(modes=24, width=48, rate=2e-3)}
"""That of the papers, and one whose modes suffice for 64² (see benchmarks/README.md)."""


@dataclass(frozen=True)
class Operator:
    """A network with the unit of its solutions.

    Attributes:
        network: of one channel.
        unit: what a solution is divided by, times the root mean square of its source.
    """

    network: torch.nn.Module
    unit: float

    def __call__(self, rho: Float[Tensor, "batch y x"]) -> Float[Tensor, "batch y+2 x+2"]:
        """φ with its boundary nodes."""
        size = rho.square().mean((1, 2), keepdim=True).sqrt()
        return self.unit * size * self.normalised((rho / size).float())

    def normalised(self, rho: Float[Tensor, "batch y x"]) -> Float[Tensor, "batch y+2 x+2"]:
        """The same of sources of root mean square 1, in its unit."""
        return self.network(edged(rho)[:, None])[:, 0]


def edged(rho: Tensor) -> Tensor:
    """A source on the boundary nodes, too."""
    return torch.nn.functional.pad(rho[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]


def network(size: Size) -> torch.nn.Module:
    fno: Any = import_module("neuralop.models").FNO
    modes = (size.modes, size.modes)
    return fno(modes, in_channels=1, out_channels=1, hidden_channels=size.width, n_layers=size.layers)


def train(
    kind: str, side: int, size: Size, minutes: float, device: str = "cpu", say: Callable[[str], object] = print
) -> tuple[Operator, dict[str, Any]]:
    """An operator, and what its training took."""
    torch.manual_seed(0)
    data, _ = pairs.made(kind, (side, side), RECORDS)
    operator = Operator(network(size).to(device).train(), data.metadata["std"])
    optimiser = torch.optim.AdamW(operator.network.parameters(), size.rate, weight_decay=size.decay)
    clock = perf_counter if device != "cpu" else lambda: process_time() / torch.get_num_threads()
    started, steps, told = clock(), 0, 0.0
    with Ahead(lambda step: data.batch((step * size.batch + torch.arange(size.batch)) % RECORDS)) as batch:
        while (done := (clock() - started) / (60 * minutes)) < 1:
            phi, given = batch(steps)
            assert isinstance(phi, Tensor)
            loss = relative(operator, given["source"][:, 0].to(device), phi[:, 0].to(device))
            for group in optimiser.param_groups:
                group["lr"] = size.rate * cycle(done)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            steps += 1
            if done > told:
                told += 0.1
                say(f"{done:4.0%} {steps:7,} steps, relative L2 {float(loss.detach()):.2%}")
    operator.network.eval()
    return operator, {"minutes": minutes, "steps": steps, "seen": steps * size.batch, "device": named(device)}


def named(device: str) -> str:
    """The device in words."""
    return torch.cuda.get_device_name(device) if device != "cpu" else f"{torch.get_num_threads()} CPU threads"


def relative(operator: Operator, rho: Tensor, phi: Tensor) -> Tensor:
    """The loss: ‖φ̂ − φ‖ / ‖φ‖ over whole fields, boundary nodes included."""
    found, target = operator.normalised(rho), whole(phi)
    return ((found - target).flatten(1).norm(dim=1) / target.flatten(1).norm(dim=1)).mean()


def cycle(done: float) -> float:
    """The learning rate as a share of the highest: up, and down along a cosine."""
    return done / WARM if done < WARM else 0.5 * (1 + cos(pi * (done - WARM) / (1 - WARM)))


@torch.no_grad()
def judged(operator: Operator, kind: str, side: int, n: int) -> dict[str, float]:
    """Error, boundary and residual on sources that it has not seen, and what its guess is worth to iterations."""
    rho, exact = drawn(kind, n, side, TEST)
    device = next(operator.network.parameters()).device
    phi = operator(rho.to(device)).cpu().double()
    return {**measured(phi, rho, exact), **guess(side, rho[:8], phi[:8, 1:-1, 1:-1])}


def rows(kind: str, side: int, n: int, block: str, path: Path = RESULTS) -> Iterator[Row]:
    """Each network that has been trained, as it was judged then; its time is that of a fresh one of its size.

    Args:
        kind: of the sources that it is judged on.
        side: of their grid.
        n: sources that are timed.
        block: of the rows.
        path: of the results of training.
    """
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for line in lines:
        found, name = line[kind], f"FNO, {line['size']}, {line['minutes']:g} min on {line['device']}"
        numbers = {key: found[key] for key in ("error", "boundary", "residual")}
        fresh = Operator(network(SIZES[line["size"]]).eval(), 1.0)
        with torch.no_grad():
            times = timed(fresh, drawn(kind, n, side, TEST)[0])
        yield Row(block, name, kind, learnt=line["kind"], note=told(line, found), **numbers, **times)


def told(line: dict[str, Any], found: dict[str, float]) -> str:
    """The training, and iterations from a guess."""
    seen = f"{line['seen']:,} sources seen"
    if "cg" not in found:
        return seen
    return (
        f"{seen}; from its guess CG takes {found['cg']:g} iterations ({found['cg_from_zero']:g} from zero), AMG-CG "
        f"{found['amg_cg']:g} ({found['amg_cg_from_zero']:g})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=LEARNT, default="mixed")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--batch", type=int, help="sources a step; 16 if not given")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--test", type=int, default=64, help="sources that it is judged on")
    parser.add_argument("--out", type=Path, default=RESULTS, help="file that a line is added to")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    size = SIZES[options.size]
    size = replace(size, batch=options.batch or size.batch)
    operator, facts = train(options.kind, options.side, size, options.minutes, options.device)
    found = {kind: judged(operator, kind, options.side, options.test) for kind in KINDS}
    weights = sum(weight.numel() for weight in operator.network.parameters())
    line = json.dumps({"kind": options.kind, "size": options.size, "weights": weights, **facts, **found})
    print(line)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    main()
