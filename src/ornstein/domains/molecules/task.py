"""Molecules, bound to the engine: positions times elements, a transformer that turns with them, SDF and XYZ files."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from ...config import TrainConfig, require_in, require_with
from ...denoisers.base import Condition, Guide, NeuralDenoiser, Origin
from ...denoisers.regressors import Regressor
from ...deprecation import renamed
from ...errors import InputError
from ...files import Within, write_text
from ...networks import MolecularConfig, MolecularRegressor, MolecularTransformer
from ...spaces import Product
from ...states import State, take
from ...tasks.figures import Figure, Interactive, Metric, Stop
from ...tasks.samples import Samples, native
from ...tasks.task import Request, Task
from ...training.datasets import Arrays, Dataset
from . import chapters, data, factors, metrics, network
from .chemistry import figures, files
from .chemistry.molecule import Molecule
from .chemistry.pockets import read_pocket
from .chemistry.records import number
from .chemistry.stability import Stability
from .chemistry.viewer import page_of
from .drawn import STOCHASTIC, molecules_of, sizes, spread
from .sets import SETS
from .transfer import transferred

SDF, XYZ = "samples.sdf", "samples.xyz"
SHOWN = 12


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


@renamed(temperature="temperature_kelvin")
@dataclass(frozen=True)
class MoleculesRequest:
    """What to draw.

    Attributes:
        atoms: of each molecule, hydrogens included; as in the data if not given.
        properties: what they should have, such as gap=6.5; of QM9 alpha in bohr³, gap, homo and lumo in eV, mu in
            debye, cv in cal/(mol K); of your own files whatever they are in.
        guidance: scale of classifier-free guidance by these properties, 1 = none; or the regressor's power.
        guide_by: prompt tells the model the properties; regressor asks another network, which knows noisy molecules.
        hydrogen_bond: how much a hydrogen bond within the molecule is wanted, 0 = not.
        temperature_kelvin: K, at which molecules are weighed by the energy of GFN2-xTB; not if not given.
        fixed: SDF or XYZ file of atoms that hold exactly: the rest is built around them.
        reference: SDF or XYZ file of a molecule to begin with.
        strength: the time up to which the reference is noised: near 0 it stays, 1 forgets it; 0.3 if not given.
        pocket: PDB file of a protein to bind to, which stays where it is.
        ligand: of the file, taken out of the pocket: RES, RES:CHAIN or RES:CHAIN:NUMBER; the only one if not given.
        centre: of the pocket, Å; where the file's ligand is, if not given.
        binding: how much Vina's energy in the pocket counts, mol/kcal; 1 if not given.
    """

    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "size and properties": ("atoms", "properties", "guidance", "guide_by"),
        "hydrogen bonds and energy": ("hydrogen_bond", "temperature_kelvin"),
        "a part or a molecule to begin with": ("fixed", "reference", "strength"),
        "a pocket to bind to": ("pocket", "ligand", "centre", "binding"),
    }

    atoms: int | None = None
    properties: tuple[str, ...] = ()
    guidance: float = 1.0
    guide_by: Literal["prompt", "regressor"] = "prompt"
    hydrogen_bond: float = 0.0
    temperature_kelvin: float | None = None
    fixed: Path | None = None
    reference: Path | None = None
    strength: float | None = None
    pocket: Path | None = None
    ligand: str | None = None
    centre: tuple[float, float, float] | None = None
    binding: float | None = None

    def __post_init__(self) -> None:
        require_in(self, "--", {"guidance": "[0, 1e6]", "hydrogen_bond": "[0, inf)", "binding": "[0, inf)"})
        require_in(self, "--", {"temperature_kelvin": "(0, inf)", "strength": "(0, 1]", "atoms": "[2, inf)"})
        if self.reference is not None and (self.fixed is not None or self.atoms is not None):
            raise InputError("--reference says which atoms there are: leave out --fixed and --atoms")
        if self.pocket is not None and (self.fixed is not None or self.reference is not None):
            raise InputError("--pocket puts the molecule's centre at its own: leave out --fixed and --reference")
        require_with(
            self,
            "--",
            {"centre": ("pocket",), "ligand": ("pocket",), "binding": ("pocket",), "strength": ("reference",)},
        )
        if (self.guidance != 1 or self.guide_by == "regressor") and not self.properties:
            raise InputError("--guidance and --guide-by are about properties: say which, as in --properties gap=6.5")


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
        "sample molecules/qm9 --hydrogen-bond 4",
        "sample molecules/qm9 --fixed ring.sdf --atoms 18",
        "train molecules --data my.sdf --train.minutes 60",
        "data molecules-conformers --smiles my.smi --out mine",
    )
    renamed_flags: ClassVar[Mapping[str, str]] = {"--temperature": "--temperature-kelvin"}
    sampling: ClassVar[Mapping[str, Any]] = {"steps": 100, "batch_size": 100}
    n_tour = 64
    glance: ClassVar[Mapping[str, Any]] = {"steps": 40, "batch_size": 16}
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
        guides: list[Guide] = []
        record: dict[str, Any] = {}
        notes: list[str] = []
        if asked.properties:
            by = factors.property_regressor if asked.guide_by == "regressor" else factors.property_condition
            guides.append(by(_properties(asked.properties), asked.guidance))
        if asked.fixed is not None:
            part, said = _one_of(asked.fixed)
            notes += said
            guides.append(factors.fixed(part))
            record["held"] = {"numbers": part.numbers.tolist(), "positions": part.positions.tolist()}
        if asked.pocket is not None:
            centre = None if asked.centre is None else np.array(asked.centre)
            pocket = read_pocket(asked.pocket, centre, asked.ligand)
            notes += pocket.notes
            guides.append(factors.docking_energy(pocket, 1.0 if asked.binding is None else asked.binding))
            record["centre"] = pocket.centre.tolist()
        if asked.hydrogen_bond:
            guides.append(factors.hydrogen_bond(asked.hydrogen_bond))
        if asked.temperature_kelvin is not None:
            guides.append(factors.energy(asked.temperature_kelvin))
        if asked.reference is not None:
            notes += _one_of(asked.reference)[1]
        request = _from_reference(asked, numbers, metadata) or _from_noise(asked, numbers, metadata)
        return replace(request, guides=guides, record=record, notes=notes, defaults=STOCHASTIC)

    def write(self, samples: Samples, folder: Path) -> None:
        """samples.sdf with bonds, samples.xyz, viewer.html to turn them, pictures; the trajectory, if there is one."""
        found = molecules_of(samples)
        files.write_sdf(folder / SDF, found)
        files.write_xyz(folder / XYZ, found)
        for k, figure in enumerate(self.figures(samples)):
            if isinstance(figure, Interactive):
                write_text(folder / "viewer.html", page_of(figure.fragment))
            else:
                (folder / f"figure-{k}.{figure.kind}").write_bytes(figure.image)

    def read(self, folder: Path, manifest: Mapping[str, Any]) -> tuple[State, Condition]:
        metadata, path = manifest["model"]["facts"], native(folder, manifest, XYZ)
        found, bad, _ = files.read(path)
        if bad:
            raise InputError(bad[0])
        for k, molecule in enumerate(found):
            data.require_known(molecule, metadata, f"{path}: record {k + 1}")
        return data.states(found, metadata)

    def evaluate(self, samples: Samples) -> list[Metric]:
        assert samples.origin is not None
        source, found = samples.origin.config["data"], molecules_of(samples)
        wanted = _properties(samples.settings.get("properties", ())) if source.startswith("qm9") else {}
        return metrics.wanted_and_found(found, wanted) + metrics.judged(
            found, data.reference(source), data.known(source)
        )

    def predictions(self, regressor: Regressor) -> list[Metric]:
        return metrics.predictions(regressor)

    def figures(self, samples: Samples) -> Sequence[Figure | Interactive]:
        """Spread over the samples: a wall of them, turning ones, ones to turn; the trajectory."""
        shown = figures.gallery(molecules_of(spread(samples, SHOWN)), len(samples))
        some = spread(samples, 4)
        steps = torch.linspace(0, len(some.trajectory) - 1, min(len(some.trajectory), 40)).round().long().tolist()
        frames = [molecules_of(replace(some, x=some.trajectory[k])) for k in steps]
        return [*shown, *(figures.emergence(frames) if frames else [])]

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


# Requests ---------------------------------------------------------------------------------------------


def _properties(said: Sequence[str]) -> dict[str, float]:
    """ "gap=6.5" → a name and a finite number; InputError if it is anything else, or a name stands twice."""
    found = {}
    for one in said:
        name, _, text = one.partition("=")
        value = number(text)
        if value is None or not isfinite(value):
            raise InputError(f"--properties {one}: expected a name and a number, as in gap=6.5")
        if name in found:
            raise InputError(f"--properties {one}: {name} is asked for twice")
        found[name] = value
    return found


def _one(path: Path) -> Molecule:
    """The only molecule of a file."""
    return _one_of(path)[0]


def _one_of(path: Path) -> tuple[Molecule, list[str]]:
    """The only molecule of a file, and what else should be known of the file."""
    found, bad, notes = files.read(path)
    if len(found) != 1:
        raise InputError(f"{path}: holds {len(found)} molecules, expected one")
    return found[0], [*(f"left out: {reason}" for reason in bad), *notes]


def _from_noise(asked: MoleculesRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
    held = 0 if asked.fixed is None else len(_one(asked.fixed))
    return Request(
        condition={"mask": torch.arange(metadata["length"]) < sizes(numbers, metadata, asked.atoms, held)[:, None]}
    )


def _from_reference(asked: MoleculesRequest, numbers: range, metadata: Mapping[str, Any]) -> Request | None:
    if asked.reference is None:
        return None
    molecule = _one(asked.reference)
    data.require_known(molecule, metadata, str(asked.reference))
    part, repeated = (
        data.padded(data.table([molecule], list(metadata["properties"])), metadata),
        torch.zeros(len(numbers)).long(),
    )
    condition = {"mask": part.condition["mask"][repeated]}
    return Request(condition=condition, start=take(part.x, repeated), strength=asked.strength or 0.3)
