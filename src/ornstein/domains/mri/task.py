"""Images of magnetic resonance, bound to the engine: a prior of slices, and what a scan saw of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ...config import TrainConfig, require_in
from ...errors import InputError
from ...networks.unet import UNetConfig
from ...spaces import Euclidean
from ...tasks.figures import Figure, Interactive, Metric
from ...tasks.samples import Samples
from ...tasks.task import Request, Task
from ...training.datasets import Dataset
from . import data as records
from .network import described, network

_MOST = 2**22
"""Pixels of a slice: networks and batches of larger ones fit into no memory."""


@dataclass(frozen=True)
class MriConfig:
    """A prior of slices.

    Attributes:
        data: brains (Colin27 and MNI152, of packages that install; brains:FOLDER for their files in a folder), or a
            folder of your own NIfTI volumes.
        shape: of the slices that are learned from, pixels; reconstructions may have another.
        pixel: of these, mm, about which they vary.
        records: to learn from; each is another slice, and another deformation of it.
        memory: megabytes of volumes that are in memory at most.
        network: the U-Net.
        train: the training.
    """

    data: str = records.BRAINS
    shape: tuple[int, ...] = records.SHAPE
    pixel: float = 1.0
    records: int = records.RECORDS
    memory: float = 2000.0
    network: UNetConfig = field(default_factory=lambda: UNetConfig(24, (1, 2, 3, 4), 1, (), patch=2))
    train: TrainConfig = field(default_factory=lambda: TrainConfig(batch_size=4, condition_dropout=0.0))

    def __post_init__(self) -> None:
        sizes = {"shape": "[16, 65536]", "pixel": "[0.01, 100]", "records": "[1, 1e12]", "memory": "(0, inf)"}
        require_in(self, "", sizes)
        if len(self.shape) != 2:
            raise InputError(f"shape has {len(self.shape)} axes, {self.shape}, expected two: rows and columns")
        if self.shape[0] * self.shape[1] > _MOST:
            raise InputError(f"shape {self.shape} has more than {_MOST:,} pixels")


class Mri(Task):
    """Slices of heads."""

    name = "mri"
    summary = "images of the brain from undersampled multi-coil k-space, with uncertainty (not for clinical use)"
    config = MriConfig
    n_evaluate = 64
    n_tour = 8
    n_glance = 4
    seconds = 20.0
    needs_data = False
    data_sets = (records.BRAINS,)
    facts = records.FACTS

    def data(self, config: MriConfig) -> tuple[Dataset, Dataset]:
        return records.opened(config.data, config.shape, config.pixel, config.records, config.memory)

    def space(self, config: MriConfig, metadata: Mapping[str, Any]) -> Euclidean:
        return Euclidean(tuple(metadata["shape"]), data_std=records.spread(metadata))

    def network(self, config: MriConfig, metadata: Mapping[str, Any]) -> nn.Module:
        return network(config.network)

    def unconditional(self, config: MriConfig, metadata: Mapping[str, Any]) -> Mapping[str, Tensor]:
        return described().unconditional

    @dataclass(frozen=True)
    class Asked:
        nothing: int = 0

    request_type = Asked

    def request(self, asked: Any, numbers: range, metadata: Mapping[str, Any]) -> Request:
        return Request()

    def evaluate(self, samples: Samples) -> list[Metric]:
        return []

    def figures(self, samples: Samples) -> Sequence[Figure | Interactive]:
        return []
