"""What a guided run keeps alive beside the graph of one step.

python -m benchmarks.guided_memory [--batch 4] [--side 96] [--steps 4]

A guided step differentiates the network, so it holds what the network remembers of one call: the graph of one step. The
beliefs of past steps, of which a solver of order 3 averages three, must not hold theirs. Measured for a U-Net of random
weights and a picture seen through a blur, whose many numbers are solved for by conjugate gradients:

    alive   the most bytes that autograd has saved at once, the weights left out: exact, the same on every run
    peak    how far the memory of a fresh process rises above where it stood before the run, by the operating system

The first must stay within BOUND times that of one step.
"""

import argparse
import resource
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Self

import torch
from torch import Tensor

from ornstein.denoisers.base import Denoiser, NeuralDenoiser, Traits
from ornstein.denoisers.tweedie import with_covariance
from ornstein.guidance.measurements import Measurement
from ornstein.guidance.operators import Blur
from ornstein.keys import Keys
from ornstein.networks import UNet, UNetConfig
from ornstein.sampling.grids import asinh
from ornstein.sampling.kernels import Kernel, Predictor
from ornstein.sampling.particles import Particles
from ornstein.sampling.sampler import Sampler
from ornstein.spaces import Euclidean

BOUND = 1.3
MB = 2**20
RUNS = ("one step", "plain, order 3", "order 1", "order 2", "order 3", "particles")


class Saved:
    """Counts the bytes of tensors that autograd has saved: `alive` now, and the most at once, `peak`.

    What shares memory counts once; the storages of `without`, such as the weights, do not count.
    """

    def __init__(self, without: Iterable[Tensor] = ()) -> None:
        self.alive = self.peak = 0
        self._without = {tensor.untyped_storage().data_ptr() for tensor in without}
        self._holders: dict[int, int] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(lambda tensor: _Kept(tensor, self), lambda kept: kept.of)

    def __enter__(self) -> Self:
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._hooks.__exit__(*error)

    def hold(self, tensor: Tensor, change: int) -> None:
        """One more holder of a tensor's memory, or one less."""
        storage = tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        before = self._holders.get(place, 0)
        self._holders[place] = before + change
        if place not in self._without and (before == 0 or before + change == 0):
            self.alive += size * change
            self.peak = max(self.peak, self.alive)


class _Kept:
    """A saved tensor that says when it is let go."""

    def __init__(self, tensor: Tensor, saved: Saved) -> None:
        self.of, self._saved = tensor.detach(), saved
        saved.hold(self.of, 1)

    def __del__(self) -> None:
        self._saved.hold(self.of, -1)


def pictures(side: int, channels: int = 32) -> NeuralDenoiser:
    """A U-Net of random weights, none of them 0, on pictures of 3 channels."""
    torch.manual_seed(0)
    network = UNet(UNetConfig(channels, (1, 2), 1, ()), 3)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    return NeuralDenoiser(network.requires_grad_(False).eval(), Traits(Euclidean((3, side, side), data_std=0.5)))


def seen(denoiser: NeuralDenoiser, iterations: int = 8) -> Denoiser:
    """The denoiser given a blurred picture, in a few iterations: more take time, and no memory."""
    side = denoiser.space.shape[-1]  # pyright: ignore[reportAttributeAccessIssue]
    picture = 0.3 * Keys.of(1, 1).normal(3, side, side)
    blur = Blur.gaussian(1.5)
    return denoiser & Measurement(blur(picture)[0].float(), blur, 0.1, iterations=iterations)


def one_step(denoiser: NeuralDenoiser, batch: int) -> int:
    """The bytes saved for the graph of one call, of which one gradient is taken."""
    x, saved = denoiser.space.prior(Keys.of(0, batch)), Saved(denoiser.network.parameters())
    with saved:
        belief: Any = with_covariance(denoiser, x, 0.5)
        belief.covary(x)
    return saved.peak


@dataclass(frozen=True)
class Found:
    """The most bytes alive in a run, and its calls and gradients of each sample."""

    alive: int
    nfe: int
    gradients: int


def run(weights: Iterable[Tensor], denoiser: Denoiser, kernel: Kernel, batch: int, steps: int) -> Found:
    """A whole run."""
    saved, grid = Saved(weights), asinh(steps, denoiser.space)
    with saved, torch.no_grad():
        state = Sampler(grid, (kernel,)).end(denoiser, Keys.of(0, batch))
    return Found(saved.peak, int(state.nfe), int(state.gradients))


def measured(name: str, batch: int, side: int, steps: int) -> tuple[Found, float]:
    """One of RUNS, and how far this process's memory rose, in MB."""
    model = pictures(side)
    before = _peak_memory()
    if name == "one step":
        found = Found(one_step(model, batch), 1, 0)
    else:
        order = int(name[-1]) if name[-1].isdigit() else 1
        kernel = Particles() if name == "particles" else Predictor(0.0, order, correct=order > 1)
        guided = model if name.startswith("plain") else seen(model)
        found = run(model.network.parameters(), guided, kernel, batch, steps)
    return found, (_peak_memory() - before) / MB


def _peak_memory() -> int:
    """Bytes; Linux counts in KiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("batch", 4), ("side", 96), ("steps", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    print(f"{options.batch} pictures of 3 × {options.side}², {options.steps} steps")
    print(f"{'run':16}{'alive, MB':>11}{'of one step':>13}{'peak, MB':>10}{'calls':>7}{'gradients':>11}")
    step, most = 0, 0.0
    for name in RUNS:
        with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
            found, peak = fresh.submit(measured, name, options.batch, options.side, options.steps).result()
        step = step or found.alive
        most = max(most, found.alive / step)
        print(
            f"{name:16}{found.alive / MB:11.1f}{found.alive / step:13.2f}{peak:10.0f}{found.nfe:7}{found.gradients:11}"
        )
    print(f"at most {most:.2f} times one step; allowed {BOUND}")
    return int(most > BOUND)


if __name__ == "__main__":
    sys.exit(main())
