"""Images of magnetic resonance, bound to the engine: a prior of slices, and what a scan saw of them."""

import atexit
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, ClassVar

from torch import Tensor, nn

from ...config import TrainConfig, require_in
from ...denoisers.base import NeuralDenoiser, Origin
from ...errors import InputError, needed_for
from ...networks.unet import UNetConfig
from ...spaces import Euclidean
from ...tasks.figures import Figure, Interactive, Metric, Stop
from ...tasks.native.members import MemberStore
from ...tasks.samples import Samples, native
from ...tasks.task import Request, Task
from ...training.datasets import Dataset
from . import chapters, examples
from . import data as records
from .asked import requests
from .asked.flags import MriRequest
from .judging import SliceJudge
from .network import described, network
from .results import drawn
from .results.store import FRAME, SAMPLES, ReconStore
from .scans.opened import READERS
from .words import CLINICAL, RETROSPECTIVE

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
        count: slices to learn from; each is another plane, and another deformation of it.
        crop: the side of the windows of slices that records are, pixels; None = whole slices.
        memory: megabytes of volumes that are in memory at most, and of slices.
        network: the U-Net.
        train: the training.
    """

    data: str = records.BRAINS
    shape: tuple[int, ...] = records.SHAPE
    pixel: float = 1.0
    count: int = records.SLICES
    crop: int | None = 128
    memory: float = 2000.0
    network: UNetConfig = field(default_factory=lambda: UNetConfig(24, (1, 2, 3, 4), 1, (), patch=2))
    train: TrainConfig = field(default_factory=lambda: TrainConfig(batch_size=4, condition_dropout=0.0))

    def __post_init__(self) -> None:
        sizes = {
            "shape": "[16, 65536]",
            "pixel": "[0.01, 100]",
            "count": "[1, 1e9]",
            "crop": "[16, 65536]",
            "memory": "(0, inf)",
        }
        require_in(self, "", sizes)
        if len(self.shape) != 2:
            raise InputError(f"shape has {len(self.shape)} axes, {self.shape}, expected two: rows and columns")
        if self.shape[0] * self.shape[1] > _MOST:
            raise InputError(f"shape {self.shape} has more than {_MOST:,} pixels")


class Mri(Task):
    """Slices of heads."""

    name = "mri"
    summary = f"images of the brain from undersampled multi-coil k-space, with uncertainty ({CLINICAL})"
    config = MriConfig
    request_type = MriRequest
    n_evaluate = 64
    n_tour = 8
    n_glance = 4
    seconds = 20.0
    needs_data = False
    data_sets = (records.BRAINS,)
    facts = records.FACTS
    files: ClassVar[Mapping[str, Collection[str]]] = {
        "kspace": tuple(READERS),
        "maps": (".cfl", ".hdr", ".npz"),
        "noise": (".npz",),
        "widen": (".json",),
    }
    conversions = drawn.CONVERSIONS
    examples: ClassVar[Sequence[str]] = (
        "sample mri/brain --kspace scan.h5 --out recon",
        "sample mri/brain --kspace head.nii.gz --acceleration 8 --slices 80:90 --out recon",
        "train mri --data my-volumes --train.minutes 120",
    )

    def data(self, config: MriConfig) -> tuple[Dataset, Dataset]:
        return records.opened(config.data, config.shape, config.pixel, config.count, config.memory, config.crop)

    def space(self, config: MriConfig, metadata: Mapping[str, Any]) -> Euclidean:
        return Euclidean(tuple(metadata["shape"]), data_std=records.spread(metadata))

    def network(self, config: MriConfig, metadata: Mapping[str, Any]) -> nn.Module:
        return network(config.network)

    def unconditional(self, config: MriConfig, metadata: Mapping[str, Any]) -> Mapping[str, Tensor]:
        return described().unconditional

    def denoiser(self, config: MriConfig, metadata: Mapping[str, Any], origin: Origin | None = None) -> NeuralDenoiser:
        """Of the windows that are learned from, but of whole slices once it is trained."""
        return super().denoiser(
            config, metadata if origin is None else {**metadata, **requests.whole(metadata)}, origin
        )

    def count(self, asked: MriRequest, metadata: Mapping[str, Any]) -> int | None:
        return requests.count(asked)

    def portion(self, asked: MriRequest, metadata: Mapping[str, Any]) -> int | None:
        return requests.portion(asked)

    def request(self, asked: MriRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
        return requests.request(asked, numbers, metadata)

    def store(self, folder: Path, origin: Origin, numbers: range) -> ReconStore:
        with needed_for("NIfTI", "mri"):  # before anything is drawn, not when it is to be written
            import nibabel  # noqa: F401
        return ReconStore(folder, numbers)

    def stored(self, folder: Path, manifest: Mapping[str, Any]) -> MemberStore | None:
        for name in (SAMPLES, FRAME):
            native(folder, manifest, name)
        return super().stored(folder, manifest)

    def data_provenance(self, metadata: Mapping[str, Any]) -> str:
        """With what a reader of the card must know of its scores."""
        return f"{metadata['source']}. Scores below are {RETROSPECTIVE}, of slices that ship; {CLINICAL}"

    def judge(self, like: Samples) -> SliceJudge:
        return SliceJudge(like)

    def judge_few(self, samples: Samples) -> list[Metric]:
        return self.evaluate(samples)

    def judged_on(self, metadata: Mapping[str, Any]) -> Sequence[tuple[MriRequest, int]]:
        """Two slices of test subjects that ship, each from a quarter of its k-space."""
        return [(MriRequest(kspace=path), 8) for path in examples.write(_scratch(), names=("s1-axial", "r16"))]

    def judged_files(self, metadata: Mapping[str, Any]) -> str:
        return "python -m ornstein.domains.mri.examples ."

    def stops(self, denoiser: NeuralDenoiser, full: bool) -> list[Stop]:
        return chapters.stops(denoiser, full)

    def figures(self, samples: Samples) -> Sequence[Figure | Interactive]:
        return drawn.figures(samples)

    def frame(self, samples: Samples) -> Figure:
        return drawn.frame(samples)


def _scratch() -> Path:
    """A folder that is gone when the program ends."""
    folder = Path(mkdtemp(prefix="ornstein-"))
    atexit.register(rmtree, folder, ignore_errors=True)
    return folder
