"""Poisson's equation and its like, bound to the engine: what a model has learned, and what is asked of it."""

import atexit
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from types import ModuleType
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from ...config import TrainConfig, require_in
from ...denoisers.base import Condition, NeuralDenoiser
from ...denoisers.maps import Map
from ...errors import InputError
from ...networks.unet import UNetConfig
from ...spaces import Space
from ...states import State
from ...tasks.figures import Figure, Interactive, Metric, Stop
from ...tasks.samples import Samples
from ...tasks.task import Request, Task
from ...training.datasets import Dataset
from . import chapters, data, examples
from .asked import requests
from .asked.flags import PoissonRequest
from .by_hand import BY_HAND
from .judging import FieldJudge
from .learned import pairs, prior, surrogate
from .network import network
from .results import drawn, pictures
from .results.exported import CONVERSIONS

LEARNED: Mapping[str, ModuleType] = {"sources": prior, "solutions": surrogate}
"""Module by what is learned: its data, space, map and fields."""


FIELDS = (".npz", ".nc", ".nc4", ".h5", ".hdf5")
"""Files of several fields."""
_MOST = 2**24
"""Unknowns of a field that is made: batches and networks of larger ones fit into no memory."""


_JUDGED = 64 * 64
"""Unknowns of a model that is judged on all samples; larger ones on as much fewer."""


@dataclass(frozen=True)
class PoissonConfig:
    """A model of sources, or of solutions given their sources.

    Attributes:
        learns: sources, which every equation can be asked about, or solutions given the whole source, of one equation:
            of your own pairs with the settings of poisson/solver.
        data: gaussian or discs, which are made as they are needed, or a file of your own: .npy, .npz, .nc, .h5 or
            .zarr, records along the first axis, then one to three axes of the grid. Of solutions also mixed, of sources
            of all kinds; a file has the variables "source" and "solution".
        shape: of the grid of what is made, such as 64 64; a file has its own.
        records: to learn from, of what is made; a file has its own.
        memory: megabytes of a file's records that are in memory at most.
        coloured: whether the noise has the spectrum of the data.
        network: the U-Net; of solutions one that is linear.
        train: the training.
    """

    learns: Literal["sources", "solutions"] = "sources"
    data: str = "gaussian"
    shape: tuple[int, ...] = ()
    records: int | None = None
    memory: float = 500.0
    coloured: bool = False
    network: UNetConfig = field(default_factory=lambda: UNetConfig(32, (1, 2, 2), 1, ()))
    train: TrainConfig = field(default_factory=lambda: TrainConfig(batch_size=32, condition_dropout=0.0))

    def __post_init__(self) -> None:
        require_in(self, "", {"shape": "[2, 65536]", "records": "[1, 1e12]", "memory": "(0, inf)"})
        if len(self.shape) > 3:
            raise InputError(f"shape has {len(self.shape)} axes, {self.shape}, expected one to three")
        if prod(self.shape) > _MOST:
            raise InputError(f"shape {self.shape} has {prod(self.shape):,} unknowns, expected at most {_MOST:,}")
        if self.data == pairs.MIXED and self.learns != "solutions":
            raise InputError(f"data is {self.data!r}, which is for learns = solutions")


class Poisson(Task):
    """Fields and their sources."""

    name = "poisson"
    summary = "fields and their sources under an equation (Poisson, Helmholtz, Darcy, heat), from what is known of both"
    config = PoissonConfig
    request_type = PoissonRequest
    n_evaluate = 64
    n_tour = 16
    n_glance = 4
    seconds = 10.0
    needs_data = False
    data_sets = (*data.MADE, pairs.MIXED)
    facts = data.FACTS
    files: ClassVar[Mapping[str, Collection[str]]] = {
        **dict.fromkeys(("coefficient", "source", "mask"), (*FIELDS, ".npy")),
        **dict.fromkeys(("source_sensors", "coefficient_sensors", "solution_sensors"), (".csv", ".txt", ".npz")),
        "truth": FIELDS,
    }
    by_hand = BY_HAND
    conversions = CONVERSIONS
    examples: ClassVar[Sequence[str]] = (
        "sample poisson/gaussian --solution-sensors readings.csv --n 32 --out posterior",
        "sample poisson/discs --source-sensors readings.csv --total 0 --boundary neumann",
        "sample poisson/discs --equation heat --time 0.01 --solution-sensors now.csv",
        "sample poisson/solver --source rho.npy --refine 1e-10",
        "train poisson/gaussian --out runs/gaussian",
        "train poisson --data sources.npy --train.minutes 30",
        "train poisson/solver --data pairs.npz --train.minutes 30",
    )

    def data(self, config: PoissonConfig) -> tuple[Dataset, Dataset]:
        return _of(config.learns).data(config)

    def space(self, config: PoissonConfig, metadata: Mapping[str, Any]) -> Space:
        return _of(metadata["learns"]).space(config, metadata)

    def map(self, config: PoissonConfig, metadata: Mapping[str, Any]) -> Map | None:
        return _of(metadata["learns"]).map(config, metadata)

    def network(self, config: PoissonConfig, metadata: Mapping[str, Any]) -> nn.Module:
        return network(config.network, _of(metadata["learns"]).fields(metadata), metadata["learns"])

    def unconditional(self, config: PoissonConfig, metadata: Mapping[str, Any]) -> Mapping[str, Tensor]:
        return _of(metadata["learns"]).fields(metadata).unconditional

    def request(self, asked: PoissonRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
        return requests.request(asked, numbers, metadata)

    def write(self, samples: Samples, folder: Path) -> None:
        drawn.write(samples, folder)

    def read(self, folder: Path, manifest: Mapping[str, Any]) -> tuple[State, Condition]:
        return drawn.read(folder, manifest)

    def parts(self, folder: Path, manifest: Mapping[str, Any], size: int) -> Iterator[tuple[State, Condition]]:
        return drawn.parts(folder, manifest, size)

    def judge(self, like: Samples) -> FieldJudge:
        return FieldJudge(like)

    def judged_on(self, metadata: Mapping[str, Any]) -> Sequence[tuple[PoissonRequest, int]]:
        """Draws of a prior as they are, and given sensors of a source and of its solution; a solver, one source."""
        if metadata["data"] == "file":  # nothing is known of such sources but these themselves
            return super().judged_on(metadata) if metadata["learns"] == "sources" else []
        n = max(8, self.n_evaluate * _JUDGED // max(_JUDGED, prod(metadata["shape"])))
        folder = examples.write(_law(metadata), _scratch(), metadata["shape"][1:])
        truth = folder / examples.TRUTH
        if metadata["learns"] == "solutions":
            return [(PoissonRequest(source=truth, truth=truth), n)]
        files = {name: folder / file for name, file in examples.SENSORS.items()}
        source = PoissonRequest(source_sensors=files["source"], truth=truth)
        solution = PoissonRequest(solution_sensors=files["solution"], truth=truth)
        return [(asked, n) for asked in (PoissonRequest(), source, solution)]

    def judged_files(self, metadata: Mapping[str, Any]) -> str:
        shape = " ".join(map(str, metadata["shape"][1:]))
        return f"python -m ornstein.domains.poisson.examples {_law(metadata)} . {shape}"

    def stops(self, denoiser: NeuralDenoiser, full: bool) -> list[Stop]:
        return chapters.stops(denoiser, full)

    def figures(self, samples: Samples) -> Sequence[Figure | Interactive]:
        return drawn.figures(samples)

    def frame(self, samples: Samples) -> Figure:
        return pictures.frame(samples)

    def judge_few(self, samples: Samples) -> list[Metric]:
        return self.evaluate(samples)


def _scratch() -> Path:
    """A folder that is gone when the program ends."""
    folder = Path(mkdtemp(prefix="ornstein-"))
    atexit.register(rmtree, folder, ignore_errors=True)
    return folder


def _law(metadata: Mapping[str, Any]) -> str:
    """Of the sources that a model is judged on."""
    return metadata["data"] if metadata["data"] in data.MADE else "discs"


def _of(learns: str) -> ModuleType:
    """What knows how this is learned."""
    if learns not in LEARNED:
        raise InputError(f"learns is {learns!r}, expected {' or '.join(LEARNED)}")
    return LEARNED[learns]
