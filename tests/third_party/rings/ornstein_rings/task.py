"""Rings, bound to the engine: two real numbers, a small network, CSV files."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ornstein import Euclidean, Samples
from ornstein.config import TrainConfig, require_in
from ornstein.denoisers.base import Condition
from ornstein.report import plots, quick
from ornstein.states import State
from ornstein.tasks.figures import Figure, Metric
from ornstein.tasks.task import Request, Task
from ornstein.training.datasets import Dataset

from . import data, metrics
from .factors import upwards
from .network import NetworkConfig, Points

FILE = "points.csv"


@dataclass(frozen=True)
class RingsConfig:
    """A model of a ring.

    Attributes:
        data: a CSV file with a point x,y a line; a ring is drawn, if there is none.
        radius: of the ring that is drawn.
        spread: of its points' radii.
        network: the network.
        train: the training.
    """

    data: Path | None = None
    radius: float = 2.0
    spread: float = 0.1
    network: NetworkConfig = field(default_factory=NetworkConfig)
    train: TrainConfig = field(default_factory=lambda: TrainConfig(steps=2000, batch_size=256, learning_rate=3e-3))

    def __post_init__(self) -> None:
        require_in(self, "", {"radius": "(0, inf)", "spread": "[0, inf)"})


@dataclass(frozen=True)
class RingsAsk:
    """What to draw.

    Attributes:
        up: how hard to push the points up, 0 = not at all.
    """

    up: float = 0.0


class Rings(Task):
    """Points on a ring."""

    name = "rings"
    summary = "points on a ring in the plane"
    config = RingsConfig
    request_type = RingsAsk

    def data(self, config: RingsConfig) -> tuple[Dataset, Dataset]:
        if config.data:
            return data.split(data.read_csv(config.data), str(config.data))
        return data.split(data.ring(4000, config.radius, config.spread, config.train.seed), "a ring")

    def space(self, config: RingsConfig, metadata: Mapping[str, Any]) -> Euclidean:
        return Euclidean((2,), data_std=metadata["std"])

    def network(self, config: RingsConfig, metadata: Mapping[str, Any]) -> nn.Module:
        return Points(config.network)

    def unconditional(self, config: RingsConfig, metadata: Mapping[str, Any]) -> Mapping[str, Tensor]:
        return {}

    def request(self, asked: RingsAsk, numbers: range, metadata: Mapping[str, Any]) -> Request:
        return Request([upwards(asked.up)] if asked.up else [], record={"up": asked.up})

    def write(self, samples: Samples, folder: Path) -> None:
        """points.csv: a point x,y a line."""
        with (folder / FILE).open("w", newline="") as file:
            csv.writer(file).writerows(samples.x.tolist())

    def read(self, folder: Path, manifest: Mapping[str, Any]) -> tuple[State, Condition]:
        return data.read_csv(folder / FILE), {}

    def evaluate(self, samples: Samples) -> list[Metric]:
        assert samples.origin is not None
        return metrics.judged(samples.x, samples.origin.metadata["radius"])

    def figures(self, samples: Samples) -> Sequence[Figure]:
        limit = 1.2 * samples.x.abs().max().item()
        return [Figure(plots.clouds({"drawn": samples.x.numpy()}, limit, 3.0), "What was drawn", "svg+xml")]

    def frame(self, samples: Samples) -> Figure:
        assert samples.origin is not None
        limit = 2 * samples.origin.metadata["radius"]
        return quick.dots([samples.x.numpy()], (-limit, limit, -limit, limit), "Points on their way")
