"""Memory and time of a large field by windows, against its size.

python -m benchmarks.fields_windows [--window 64] [--overlap 16] [--batch 4] [--channels 32] [--steps 4] [--guided]

One sample of each size is drawn through a U-Net of random weights by overlapping windows, each size in a process of its
own. With --guided the field is seen by 16 × 32 sensors, which are solved for by conjugate gradients: each product looks
at all windows again and differentiates them.

    peak    the most memory of the process, by the operating system, all of PyTorch included
    rise    by how much that is more than before the run

The peak must stay below BOUND.
"""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch

from ornstein.denoisers.base import Denoiser, NeuralDenoiser, Traits
from ornstein.denoisers.windows import windowed
from ornstein.guidance.measurements import Measurement
from ornstein.guidance.operators import Mask
from ornstein.networks import UNet, UNetConfig
from ornstein.spaces import Euclidean
from ornstein.tasks.drawing import sample

from .guided_memory import MB, _peak_memory

BOUND = 4 * 2**30
SIZES = ((256, 512), (512, 1024), (1024, 2048))


def model(window: int, channels: int) -> NeuralDenoiser:
    """A U-Net of random weights, none of them 0, on windows of one channel."""
    torch.manual_seed(0)
    network = UNet(UNetConfig(channels, (1, 2), 1, ()), 1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    return NeuralDenoiser(network.requires_grad_(False).eval(), Traits(Euclidean((1, window, window), data_std=0.5)))


def seen(denoiser: Denoiser, size: tuple[int, int]) -> Denoiser:
    """The denoiser given 16 × 32 sensors, in a few iterations: more take time, and no memory."""
    where = torch.zeros(1, *size, dtype=torch.bool)
    where[:, :: size[0] // 16, :: size[1] // 32] = True
    return denoiser & Measurement(torch.zeros(int(where.sum())), Mask(where), 0.1, iterations=3, tolerance=1e-2)


def measured(size: tuple[int, int], options: Any) -> tuple[int, float, float, float]:
    """Windows, seconds, and the peak and rise of this process's memory in MB."""
    denoiser = windowed(
        model(options.window, options.channels),
        (1, *size),
        overlap=options.overlap,
        borders=("zero", "periodic"),
        batch=options.batch,
    )
    before, started = _peak_memory(), time.perf_counter()
    sample(seen(denoiser, size) if options.guided else denoiser, 1, steps=options.steps)
    peak = _peak_memory()
    return denoiser.calls, time.perf_counter() - started, peak / MB, (peak - before) / MB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {"window": 64, "overlap": 16, "batch": 4, "channels": 32, "steps": 4, "largest": len(SIZES)}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--guided", action="store_true")
    options = parser.parse_args()
    weights = sum(weight.numel() for weight in model(options.window, options.channels).network.parameters())
    print(f"{weights:,} weights, windows of {options.window}², overlap {options.overlap}, {options.batch} at a time")
    print(f"{options.steps} steps{', guided' if options.guided else ''}, {torch.get_num_threads()} threads")
    print(f"{'size':>12}{'windows':>9}{'seconds':>9}{'peak, MB':>10}{'rise, MB':>10}{'one state, MB':>15}")
    most = 0.0
    for size in SIZES[: options.largest]:
        with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
            windows, seconds, peak, rise = fresh.submit(measured, size, options).result()
        most = max(most, peak * MB)
        state = 4 * size[0] * size[1] / MB
        print(f"{size[0]:>5} × {size[1]:<4}{windows:9}{seconds:9.1f}{peak:10.0f}{rise:10.0f}{state:15.1f}", flush=True)
    return int(most > BOUND)


if __name__ == "__main__":
    sys.exit(main())
