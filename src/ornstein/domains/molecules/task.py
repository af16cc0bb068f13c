"""Molecules, bound to the engine: positions times elements, a transformer that turns with them, SDF and XYZ files."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ...config import TrainConfig, require_in
from ...denoisers.base import Condition, NeuralDenoiser, Origin
from ...denoisers.regressors import Regressor
from ...errors import InputError
from ...files import Within
from ...networks import MolecularConfig, MolecularRegressor, MolecularTransformer
from ...spaces import Product
from ...states import State
from ...tasks.figures import Figure, Interactive, Metric, Stop
from ...tasks.samples import Samples, native
from ...tasks.task import Request, Task
from ...training.datasets import Arrays, Dataset
from . import chapters, data, metrics, network, shown
from .asked import requests
from .asked.flags import MoleculesRequest
from .by_hand import BY_HAND
from .chemistry import files, stills
from .chemistry.smiles import SUFFIXES as SMILES
from .chemistry.stability import Stability
from .converted import CONVERSIONS
from .drawn import molecules_of, remarks, spread
from .sets import SETS
from .stored import XYZ, MoleculeStore
from .transfer import transferred

REACH = 3.4
"""Spreads of the data from the middle of a molecule to the edge of its picture, on its way."""


@dataclass(frozen=True)
class MoleculesConfig:
    """A model of molecules.

    Attributes:
        data: qm9, qm9-sample (3,000 molecules of it), or an SDF or XYZ file or a folder of them.
        half: of the molecules to learn from, so that a guide and its judge share none; all if not given.
        predict: the data's properties, of clean molecules or of noisy ones, instead of drawing molecules.
        element_power: p of the path on which elements survive the noise of positions at t as (1 − t)^p: above 1 they
            are decided later than positions.
        network: the transformer.
        train: the training.
    """

    data: str = "qm9"
    half: Literal["", "first", "second"] = ""
    predict: Literal["", "clean", "noisy"] = ""
    element_power: float = 1.0
    network: MolecularConfig = field(default_factory=MolecularConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        require_in(self, "", {"element_power": "[1, inf)"})


class Molecules(Task):
    """Molecules in three dimensions."""

    name = "molecules"
    summary = "molecules in three dimensions (QM9, or your own SDF and XYZ files)"
    config = MoleculesConfig
    request_type = MoleculesRequest
    data_sets: ClassVar[Collection[str]] = ("qm9", "qm9-sample")
    sets = SETS
    facts: ClassVar[Mapping[str, Any]] = {
        "source": str,
        "elements": [Within(int, 1, 118)],
        "length": Within(int, 1, 10**4),
        "sizes": {int: Within(int, 0, 10**9)},
        "std": Within(float, 1e-6, 1e6),
        "properties": {str: [float, float]},
    }
    examples = (
        "sample molecules/qm9 --n 16",
        "sample molecules/qm9 --atoms 19 --properties gap=5 --guidance 2",
        "sample molecules/qm9 --formula C6H6O",
        "sample molecules/qm9 --smiles 'OCC(O)CO' --n 20",
        "sample molecules/qm9 --smiles mine.smi --conformers 5",
        "sample molecules/qm9 --hydrogen-bond 4",
        "sample molecules/qm9 --fixed ring.sdf --atoms 18",
        "train molecules --data my.sdf --train.minutes 60",
        "data molecules-conformers --smiles my.smi --out mine",
    )
    renamed_flags: ClassVar[Mapping[str, str]] = {"--temperature": "--temperature-kelvin"}
    sampling: ClassVar[Mapping[str, Any]] = {"batch_size": 100}
    files: ClassVar[Mapping[str, Collection[str]]] = {
        **dict.fromkeys(("fixed", "reference", "elements_of"), files.SUFFIXES),
        "pocket": (".pdb", ".ent"),
        "smiles": SMILES,
    }
    by_hand = BY_HAND
    conversions = CONVERSIONS
    n_tour = 64
    glance: ClassVar[Mapping[str, Any]] = {"steps": 12, "batch_size": 16}
    place = 20.0
    seconds = 8.0

    def data(self, config: MoleculesConfig) -> tuple[Arrays, Arrays]:
        learned, held_out = data.load(config.data)
        if config.predict and not learned.metadata["properties"]:
            raise InputError(f"{config.data}: has no properties to predict")
        return data.half(learned, config.half), held_out

    def describe(self, data: Dataset, validation: Dataset) -> str:
        known = data.metadata
        reasons, notes = known.get("left out", []), known.get("notes", [])
        told = super().describe(data, validation)
        if "molecules" in known:
            told += "; molecules: {} to learn from, {} held out, each with all of its conformers".format(
                *known["molecules"]
            )
        counts = f"at most {known['length']} atoms; {len(reasons)} records left out"
        return "\n  ".join([f"{told}; {counts}", *_some("left out", reasons), *_some("note", notes)])

    def data_provenance(self, metadata: Mapping[str, Any]) -> str:
        return data.QM9 if metadata["source"].startswith("qm9") else metadata["source"]

    def space(self, config: MoleculesConfig, metadata: Mapping[str, Any]) -> Product:
        return network.space(metadata, config.element_power)

    def network(
        self, config: MoleculesConfig, metadata: Mapping[str, Any]
    ) -> MolecularTransformer | MolecularRegressor:
        return (network.build_regressor if config.predict else network.build)(config.network, metadata)

    def model(
        self, config: MoleculesConfig, metadata: Mapping[str, Any], origin: Origin | None = None
    ) -> NeuralDenoiser | Regressor:
        made = self.denoiser(config, metadata, origin)
        clean = config.predict == "clean"
        return Regressor(made.network, made.space, "properties", clean, origin) if config.predict else made

    def transferred(
        self, tensors: Mapping[str, Tensor], theirs: Mapping[str, Any], ours: Mapping[str, Any]
    ) -> tuple[Mapping[str, Tensor], str]:
        return transferred(tensors, theirs, ours)

    def unconditional(self, config: MoleculesConfig, metadata: Mapping[str, Any]) -> Mapping[str, Tensor]:
        properties = len(metadata["properties"])
        return {"properties": torch.full((properties,), torch.nan)} if properties else {}

    def request(self, asked: MoleculesRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
        return requests.request(asked, numbers, metadata)

    def count(self, asked: MoleculesRequest, metadata: Mapping[str, Any]) -> int | None:
        return requests.count(asked, metadata)

    def remarks(self, samples: Samples) -> list[str]:
        return remarks(samples)

    def store(self, folder: Path, origin: Origin, numbers: range) -> MoleculeStore:
        return MoleculeStore(folder, origin, numbers)

    def read(self, folder: Path, manifest: Mapping[str, Any]) -> tuple[State, Condition]:
        native(folder, manifest, XYZ)
        return super().read(folder, manifest)

    def judge(self, like: Samples) -> metrics.MoleculesJudge:
        return metrics.MoleculesJudge(like)

    def predictions(self, regressor: Regressor) -> list[Metric]:
        return metrics.predictions(regressor)

    def figures(self, samples: Samples) -> Sequence[Figure | Interactive]:
        return shown.pictures(spread(samples, shown.SHOWN), spread(samples, shown.FEW), len(samples))

    def frame(self, samples: Samples) -> Figure:
        assert samples.origin is not None
        x = {name: leaf.detach().cpu() for name, leaf in samples.x.items()}
        mask = samples.condition.get("mask", x["positions"].abs().sum(-1) > 0).cpu()  # padding lies in the middle
        found = data.molecules(x, mask, samples.origin.metadata)
        return stills.wall(found, REACH * samples.origin.metadata["std"], "Molecules on their way, from noise")

    def judge_few(self, samples: Samples) -> list[Metric]:
        found = Stability.of(molecules_of(samples))
        shares = {"atoms stable": found.atoms, "molecules stable": found.molecules, "connected": found.connected}
        return [Metric(name, share, "higher", "By EDM's table of distances.") for name, share in shares.items()]

    def stops(self, denoiser: NeuralDenoiser, full: bool) -> list[Stop]:
        if not full:
            return []  # what is told to molecules shows on many of them, or costs a gradient a call
        return [
            Stop(chapters.AROUND, partial(chapters.around, denoiser), 21, 90),
            Stop(chapters.WISHED, partial(chapters.bonded, denoiser, 64), 22, 60),
            Stop(chapters.KNOB, partial(chapters.knob, denoiser, 64), 23, 120),
        ]


def _some(what: str, lines: Sequence[str], most: int = 20) -> list[str]:
    """The first of many lines."""
    return [f"{what}: {line}" for line in lines[:most]] + ["…"] * (len(lines) > most)
