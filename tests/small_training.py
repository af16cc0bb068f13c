"""A training run small enough for tests, also as a program of its own: python small_training.py FOLDER [options].

With --die-at K it kills itself with SIGKILL at the K-th flush to disk, which is in the middle of writing a checkpoint.
"""

import argparse
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ornstein import Euclidean, Keys, NeuralDenoiser, Traits, files
from ornstein.config import TrainConfig, to_dict
from ornstein.training import checkpoints
from ornstein.training.datasets import Arrays
from ornstein.training.metrics import read_metrics
from ornstein.training.trainer import Trainer

CONFIG = TrainConfig(
    steps=40,
    batch_size=16,
    learning_rate=1e-2,
    warmup=3,
    validate_every=10,
    save_every=5,
    log_every=1,
    times="importance",
    precision="32-true",
)


class Dense(nn.Module):
    """Two layers with dropout, on points, times and labels."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 32), nn.SiLU(), nn.Dropout(dropout), nn.Linear(32, 2))

    def forward(self, x: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        extra = torch.stack([t, condition["label"].float()], -1)
        return self.layers(torch.cat([x, extra], -1))


def data(n: int = 100, seed: int = 0) -> Arrays:
    """Two blobs, labelled."""
    keys = Keys.of(seed, n)
    label = (keys.fold("label").uniform() < 0.5).long()
    x = 0.3 * keys.normal(2).float() + torch.stack([2.0 * label - 1, label * 0.5], -1)
    return Arrays(x, {"label": label})


def trainer(
    folder: Path, config: TrainConfig = CONFIG, records: Arrays | None = None, dropout: float = 0.1, **changes: Any
) -> Trainer:
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = Dense(dropout)
    denoiser = NeuralDenoiser(network, Traits(Euclidean((2,))), {"label": torch.tensor(-1)})
    meta = {"domain": "tests", "name": "small", "config": {"train": to_dict(config)}, "facts": {}}
    return Trainer(denoiser, records or data(), data(40, 1), config, folder, meta, **changes)


def assert_same_run(a: Path, b: Path) -> None:
    """Weights, average, moments, importance density, model and metrics are equal bit for bit."""
    for name, kind in (("last.safetensors", "training"), ("model.safetensors", "model")):
        ours, theirs = (checkpoints.load(folder / name, kind) for folder in (a, b))
        assert ours[1] == theirs[1]
        assert ours[0].keys() == theirs[0].keys()
        assert all(torch.equal(ours[0][key], theirs[0][key]) for key in ours[0])
    assert losses(a) == losses(b)
    assert sorted(p.name for p in a.iterdir()) == sorted(p.name for p in b.iterdir())


def losses(folder: Path) -> list[tuple[int, float]]:
    return [(row["step"], row["loss"]) for row in read_metrics(folder / "metrics.jsonl")]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--die-at", type=int, default=0)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--dropout", type=float, default=0.1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    flush, flushes = files.sync, 0

    def counted(path: Path) -> None:
        nonlocal flushes
        flushes += 1
        if flushes == options.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        flush(path)

    files.sync = counted
    run = trainer(options.folder, dropout=options.dropout, progress=lambda row: time.sleep(options.pause))
    if (options.folder / "last.safetensors").exists():
        run.resume()
    print("ready", flush=True)
    run.fit()


if __name__ == "__main__":
    main()
