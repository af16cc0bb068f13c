"""Sequences a second beside EvoDiff's published architecture, at equal validity.

python -m benchmarks.throughput [--batch 1 8] [--repeats 5] [--out FILE]

What a sampler costs is calls times seconds a call. The calls are those that an exact denoiser needs in the oracle world
of 64 coupled pairs (L = 128): one a letter for order-agnostic autoregression, as EvoDiff samples (Alamdari et al.
2023), and as many as ours need for the same validity. The seconds are those of networks of 38 million random weights:
EvoDiff's OADM-38M, written here from its configuration (ByteNet: 16 blocks of width 1024, kernel 5, dilations 1 to 128)
and our transformer (12 blocks of width 512), measured in turn.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ornstein.denoisers.oracles import coupled
from ornstein.keys import Keys
from ornstein.networks import Transformer, TransformerConfig
from ornstein.sampling.grids import uniform
from ornstein.sampling.sampler import Sampler
from ornstein.sampling.unmasking import FirstHitting, InformedCorrector, Unmask

PAIRS, LETTERS = 64, 20
LENGTH = 2 * PAIRS


class ByteNetBlock(nn.Module):
    """x + up(conv(down(x))), normalised before each, the convolution dilated."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        half = width // 2
        self.down = nn.Sequential(nn.LayerNorm(width), nn.GELU(), nn.Linear(width, half), nn.LayerNorm(half), nn.GELU())
        self.conv = nn.Conv1d(half, half, kernel, dilation=dilation, padding="same")
        self.up = nn.Sequential(nn.LayerNorm(half), nn.GELU(), nn.Linear(half, width))

    def forward(self, x: Tensor) -> Tensor:
        h = rearrange(self.conv(rearrange(self.down(x), "b l c -> b c l")), "b c l -> b l c")
        return x + self.up(h)


class ByteNet(nn.Module):
    """EvoDiff's OADM-38M."""

    def __init__(self, width: int = 1024, layers: int = 16, kernel: int = 5, most: int = 128) -> None:
        super().__init__()
        self.tokens, self.into = nn.Embedding(LETTERS + 11, 8), nn.Linear(8, width)
        dilations = [2 ** (k % most.bit_length()) for k in range(layers)]
        self.blocks = nn.Sequential(*(ByteNetBlock(width, kernel, dilation) for dilation in dilations))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, LETTERS + 11))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.blocks(self.into(self.tokens(x))))


def oracle_calls(n: int) -> list[dict[str, Any]]:
    """Validity and calls of each way to sample the coupled world."""
    world = coupled(PAIRS, torch.eye(LETTERS).flip(0) / LETTERS)
    ways = {
        "one letter a call (EvoDiff)": Sampler([1.0, 0.0], (FirstHitting(),)),
        "entropy-bounded": Sampler(uniform(LENGTH), (Unmask("entropy", 0.0),)),
    }
    for steps, rounds in ((16, 10), (16, 12), (12, 12), (8, 14)):
        grid = [*uniform(steps), *[0.0] * (rounds - 1)]  # the first round is in the last step
        ways[f"{steps} steps + {rounds} rounds"] = Sampler(grid, (Unmask("random"), InformedCorrector()))
    rows = []
    for name, sampler in ways.items():
        end = sampler.end(world, Keys.of(0, n))
        valid = ((end.x + end.x.flip(1)) == LETTERS - 1).all(1).double().mean().item()
        rows.append({"way": name, "valid": valid, "calls": torch.as_tensor(end.nfe).double().mean().item()})
    return rows


def seconds(call: Callable[[], Any], others: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Medians of two calls, measured in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 1):
        for each, what in zip(times, (call, others), strict=True):
            started = time.perf_counter()
            what()
            each.append(time.perf_counter() - started)
    return median(times[0][1:]), median(times[1][1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/throughput.jsonl"))
    options = parser.parse_args()
    theirs, ours = ByteNet().eval(), Transformer(TransformerConfig(512, 12, 8), LENGTH, LETTERS + 1, LETTERS).eval()
    rows = oracle_calls(options.n)
    slowest = rows[0]
    for size in options.batch:
        x, t = torch.randint(LETTERS, (size, LENGTH)), torch.full((size,), 0.5)
        with torch.inference_mode():
            call = seconds(lambda x=x: theirs(x), lambda x=x, t=t: ours(x, t, {}), options.repeats)
        for row in rows:
            row[f"seconds a sequence, batch {size}"] = row["calls"] * call[row is not slowest] / size
            row[f"times as fast, batch {size}"] = (
                rows[0][f"seconds a sequence, batch {size}"] / row[f"seconds a sequence, batch {size}"]
            )
    weights = [sum(p.numel() for p in net.parameters()) for net in (theirs, ours)]
    print(f"weights: EvoDiff {weights[0]:,}, ours {weights[1]:,}; {torch.get_num_threads()} threads")
    with options.out.open("w") as file:
        for row in rows:
            print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}), file=file)
            print(row)


if __name__ == "__main__":
    main()
