"""What a step of training costs: kernels, host synchronisations and seconds; with a GPU also how busy it is.

    python -m benchmarks.training_steps [--of molecules pictures] [--batch 8] [--steps 3] [--precision auto]

The networks are those of molecules/qm9 and images/openmoji, the latter without captions; the data are random.

Every operator that does work stands for a kernel of a GPU, and every one that gives the host a number for a
synchronisation, so that they can be counted on a CPU. On a GPU its own kernels and the time in which it works are
measured, too, at batches of 1024 molecules and 256 pictures.
"""

import argparse
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from benchmarks.pictures_training import COLOURS, SIDE, recipe
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from ornstein.config import TrainConfig
from ornstein.denoisers.base import NeuralDenoiser, Traits
from ornstein.domains.molecules import network as chemistry
from ornstein.keys import Keys
from ornstein.networks import MolecularConfig, UNet
from ornstein.spaces import Euclidean
from ornstein.training.datasets import Arrays
from ornstein.training.trainer import Trainer

WAITS = frozenset({"_local_scalar_dense", "nonzero", "masked_select"})
"""Operators after which the host has to know what the device found."""
_NAMES = """view _unsafe_view _reshape_alias expand permute transpose t select slice unsqueeze squeeze split
split_with_sizes unbind detach alias as_strided empty empty_like empty_strided new_empty lift_fresh is_same_size"""
_VIEWS = frozenset(_NAMES.split())
"""Operators that move no number."""


class Counted(TorchDispatchMode):
    """Within the block, operators by name, forward and backward: each is a kernel or more on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))

    @property
    def work(self) -> int:
        """Those that move numbers."""
        return sum(count for name, count in self.calls.items() if name not in _VIEWS)

    @property
    def waits(self) -> int:
        """Those that the host waits for."""
        return sum(self.calls[name] for name in WAITS)


def counted(run: Trainer) -> Counted:
    """The operators of one step after its batch has been read, as the device is asked for them.

    Args:
        run: a training that has made a step.
    """
    batch, feed = run.feed.training(run.step), run.feed
    run.feed = SimpleNamespace(training=lambda step: batch)  # pyright: ignore[reportAttributeAccessIssue]
    run.look_every = 1_000_000
    with Counted() as seen:
        run._update()
    run.feed = feed
    return seen


def molecules(batch: int, folder: Path, **settings: Any) -> Trainer:
    """The training of molecules/qm9 at width 256 with 7 layers, on random molecules.

    Args:
        batch: molecules a step.
        folder: of the run.
    """
    length, elements = 29, [1, 6, 7, 8, 9]
    metadata = {"length": length, "std": 1.4, "elements": elements, "properties": {}}
    n = 4 * batch
    keys = Keys.of(0, n)
    count = 12 + (keys.fold("size").bits()[..., None] % 9).abs().flatten()
    mask = torch.arange(length) < count[:, None]
    x = 1.4 * keys.normal(length, 3).float() * mask[..., None]
    x = (x - x.sum(1, keepdim=True) / count[:, None, None]) * mask[..., None]
    atoms = (keys.fold("atoms").bits(length) % len(elements)).abs() * mask
    data = Arrays({"positions": x, "atoms": atoms}, {"mask": mask})
    network = chemistry.build(MolecularConfig(width=256, layers=7, recalls=True), metadata)
    model = NeuralDenoiser(network, Traits(chemistry.space(metadata, 8.0)))
    config = replace(TrainConfig(batch_size=batch, apart=0.5, log_every=1000, warmup=1), **settings)
    return Trainer(model, data, data, config, folder, {"config": {}, "facts": {}})


def pictures(batch: int, folder: Path, **settings: Any) -> Trainer:
    """The training of images/openmoji without captions, on noise.

    Args:
        batch: pictures a step.
        folder: of the run.
    """
    network = UNet(recipe(), COLOURS)
    model = NeuralDenoiser(network, Traits(Euclidean((COLOURS, SIDE, SIDE), data_std=0.5)))
    data = Arrays(Keys.of(0, 4 * batch).uniform(COLOURS, SIDE, SIDE).float() * 2 - 1)
    config = replace(TrainConfig(batch_size=batch, log_every=1000, warmup=1), **settings)
    return Trainer(model, data, data, config, folder, {"config": {}, "facts": {}})


TRAININGS = {"molecules": (molecules, 1024), "pictures": (pictures, 256)}
"""What is trained, and the batch on a GPU."""


def seconds(run: Trainer, steps: int) -> float:
    """Of a step, after two that warm up.

    Args:
        run: the training.
        steps: that are timed.
    """
    for _ in range(2):
        run._update()
    _wait()
    begun = time.process_time() if not torch.cuda.is_available() else time.perf_counter()
    for _ in range(steps):
        run._update()
    _wait()
    return ((time.process_time() if not torch.cuda.is_available() else time.perf_counter()) - begun) / steps


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def busy(run: Trainer, steps: int = 5) -> tuple[float, float]:
    """The share of the time in which the GPU works, and kernels a step, as its own profiler has it.

    Args:
        run: the training.
        steps: that are watched.
    """
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as seen:
        begun = time.perf_counter()
        for _ in range(steps):
            run._update()
        _wait()
        whole = time.perf_counter() - begun
    kernels = [event for event in seen.events() or () if event.device_type.name == "CUDA"]
    return sum(event.device_time for event in kernels) * 1e-6 / whole, len(kernels) / steps


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    many = "records a step: 8, or 1024 molecules and 256 pictures on a GPU"
    asked.add_argument("--batch", type=int, default=None, help=many)
    asked.add_argument("--steps", type=int, default=3, help="that are timed")
    asked.add_argument("--precision", default="auto")
    asked.add_argument("--of", nargs="+", choices=TRAININGS, default=list(TRAININGS))
    options = asked.parse_args()
    for name in options.of:
        with tempfile.TemporaryDirectory() as folder:
            report(name, options, Path(folder))


def report(name: str, options: argparse.Namespace, folder: Path) -> None:
    """Prints what a step of a training costs.

    Args:
        name: of the training.
        options: of the command line.
        folder: of the run.
    """
    made, many = TRAININGS[name]
    gpu = torch.cuda.is_available()
    batch = options.batch or (many if gpu else 8)
    run = made(batch, folder, precision=options.precision)
    run._update()
    seen = counted(run)
    print(f"{name}, batch {batch}: {seen.work} operators and {seen.waits} synchronisations a step")
    print(", ".join(f"{operator} {count}" for operator, count in seen.calls.most_common(12) if operator not in _VIEWS))
    print(f"{seconds(run, 30 if gpu else options.steps):.4f} s a step")
    if gpu:
        share, kernels = busy(run)
        print(f"the GPU works {share:.0%} of the time, {kernels:.0f} kernels a step")


if __name__ == "__main__":
    main()
