"""Molecules, bound to the engine: positions times elements, a transformer that turns with them, SDF and XYZ files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import ase.build
import numpy as np
import torch
from torch import Tensor

from ...config import TrainConfig, require_in, require_with
from ...denoisers.base import Condition, Denoiser, Guide, NeuralDenoiser, Origin
from ...denoisers.regressors import Regressor
from ...deprecation import renamed
from ...errors import InputError
from ...events import Stream, part
from ...files import write_text
from ...networks import MolecularConfig, MolecularRegressor, MolecularTransformer
from ...report import knobs
from ...spaces import Product
from ...states import State, take
from ...tasks.drawing import draws
from ...tasks.engines import Independent
from ...tasks.figures import Chapter, Figure, Interactive, Metric, Stop
from ...tasks.samples import Samples
from ...tasks.strength import StrengthSearch
from ...tasks.task import Request, Task
from ...training.datasets import Arrays, Dataset
from . import data, factors, metrics, network
from .chemistry import figures, files
from .chemistry.hydrogen_bonds import hydrogen_bonds
from .chemistry.molecule import Molecule
from .chemistry.pockets import read_pocket
from .chemistry.stability import Stability
from .chemistry.viewer import page_of

SDF, XYZ = "samples.sdf", "samples.xyz"
SHOWN = 12
WISH = 4.0  # for a hydrogen bond, in the tour


@dataclass(frozen=True)
class MoleculesConfig:
    """A model of molecules.

    Attributes:
        data: qm9, qm9-sample (3,000 molecules of it), or an SDF or XYZ file or a folder of them.
        half: of the molecules to learn from, so that a guide and its judge share none; all if not given.
        predict: the data's properties, of clean molecules or of noisy ones, instead of drawing molecules.
        network: the transformer.
        train: the training.
    """

    data: str = "qm9"
    half: Literal["", "first", "second"] = ""
    predict: Literal["", "clean", "noisy"] = ""
    network: MolecularConfig = field(default_factory=MolecularConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


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
        centre: of the pocket, Å; where the file's ligand is, if not given.
        binding: how much Vina's energy in the pocket counts, mol/kcal; 1 if not given.
    """

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
    centre: tuple[float, float, float] | None = None
    binding: float | None = None

    def __post_init__(self) -> None:
        require_in(self, "--", {"guidance": "[0, inf)", "hydrogen_bond": "[0, inf)", "binding": "[0, inf)"})
        require_in(self, "--", {"temperature_kelvin": "(0, inf)", "strength": "(0, 1]", "atoms": "[2, inf)"})
        if self.reference is not None and (self.fixed is not None or self.atoms is not None):
            raise InputError("--reference says which atoms there are: leave out --fixed and --atoms")
        if self.pocket is not None and (self.fixed is not None or self.reference is not None):
            raise InputError("--pocket puts the molecule's centre at its own: leave out --fixed and --reference")
        require_with(self, "--", {"centre": ("pocket",), "binding": ("pocket",), "strength": ("reference",)})
        if (self.guidance != 1 or self.guide_by == "regressor") and not self.properties:
            raise InputError("--guidance and --guide-by are about properties: say which, as in --properties gap=6.5")


class Molecules(Task):
    """Molecules in three dimensions."""

    name = "molecules"
    summary = "molecules in three dimensions (QM9, or your own SDF and XYZ files)"
    config = MoleculesConfig
    request_type = MoleculesRequest
    renamed_flags: ClassVar[Mapping[str, str]] = {"--temperature": "--temperature-kelvin"}
    sampling: ClassVar[Mapping[str, Any]] = {"steps": 100, "batch_size": 100}
    n_tour = 64
    glance: ClassVar[Mapping[str, Any]] = {"steps": 40, "batch_size": 16}
    place = 20.0
    seconds = 8.0
    block = 4

    def data(self, config: MoleculesConfig) -> tuple[Arrays, Arrays]:
        learned, held_out = data.load(config.data)
        if config.predict and not learned.metadata["properties"]:
            raise InputError(f"{config.data}: has no properties to predict")
        return data.half(learned, config.half), held_out

    def describe(self, data: Dataset, validation: Dataset) -> str:
        reasons = data.metadata.get("left out", [])
        shown = "".join(f"\n  left out: {reason}" for reason in reasons[:20])
        shown += "\n  …" if len(reasons) > 20 else ""
        return (
            f"{super().describe(data, validation)}; at most {data.metadata['length']} atoms; "
            f"{len(reasons)} records left out{shown}"
        )

    def data_provenance(self, metadata: Mapping[str, Any]) -> str:
        return data.QM9 if metadata["source"].startswith("qm9") else metadata["source"]

    def space(self, config: MoleculesConfig, metadata: Mapping[str, Any]) -> Product:
        return network.space(metadata)

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

    def unconditional(self, config: MoleculesConfig, metadata: Mapping[str, Any]) -> Mapping[str, Tensor]:
        properties = len(metadata["properties"])
        return {"properties": torch.full((properties,), torch.nan)} if properties else {}

    def request(self, asked: MoleculesRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
        guides: list[Guide] = []
        record: dict[str, Any] = {}
        if asked.properties:
            by = factors.property_regressor if asked.guide_by == "regressor" else factors.property_condition
            guides.append(by(_properties(asked.properties), asked.guidance))
        if asked.fixed is not None:
            part = _one(asked.fixed)
            guides.append(factors.fixed(part))
            record["held"] = {"numbers": part.numbers.tolist(), "positions": part.positions.tolist()}
        if asked.pocket is not None:
            pocket = read_pocket(asked.pocket, None if asked.centre is None else np.array(asked.centre))
            guides.append(factors.docking_energy(pocket, 1.0 if asked.binding is None else asked.binding))
            record["centre"] = pocket.centre.tolist()
        if asked.hydrogen_bond:
            guides.append(factors.hydrogen_bond(asked.hydrogen_bond))
        if asked.temperature_kelvin is not None:
            guides.append(factors.energy(asked.temperature_kelvin))
        request = _from_reference(asked, numbers, metadata) or _from_noise(asked, numbers, metadata)
        return replace(request, guides=guides, record=record, defaults=STOCHASTIC)

    def write(self, samples: Samples, folder: Path) -> None:
        """samples.sdf with bonds, samples.xyz, viewer.html to turn them, pictures; the trajectory, if there is one."""
        found = _molecules(samples)
        files.write_sdf(folder / SDF, found)
        files.write_xyz(folder / XYZ, found)
        for k, figure in enumerate(self.figures(samples)):
            if isinstance(figure, Interactive):
                write_text(folder / "viewer.html", page_of(figure.fragment))
            else:
                (folder / f"figure-{k}.{figure.kind}").write_bytes(figure.image)

    def read(self, folder: Path, manifest: Mapping[str, Any]) -> tuple[State, Condition]:
        metadata = manifest["model"]["facts"]
        found, bad = files.read(folder / XYZ)
        if bad:
            raise InputError(bad[0])
        return data.states(found, metadata)

    def evaluate(self, samples: Samples) -> list[Metric]:
        assert samples.origin is not None
        source, found = samples.origin.config["data"], _molecules(samples)
        wanted = _properties(samples.settings.get("properties", ())) if source.startswith("qm9") else {}
        return metrics.wanted_and_found(found, wanted) + metrics.judged(
            found, data.reference(source), data.known(source)
        )

    def predictions(self, regressor: Regressor) -> list[Metric]:
        return metrics.predictions(regressor)

    def figures(self, samples: Samples) -> Sequence[Figure | Interactive]:
        """Spread over the samples: a wall of them, turning ones, ones to turn; the trajectory."""
        shown = figures.gallery(_molecules(_spread(samples, SHOWN)), len(samples))
        some = _spread(samples, 4)
        steps = torch.linspace(0, len(some.trajectory) - 1, min(len(some.trajectory), 40)).round().long().tolist()
        frames = [_molecules(replace(some, x=some.trajectory[k])) for k in steps]
        return [*shown, *(figures.emergence(frames) if frames else [])]

    def judge_few(self, samples: Samples) -> list[Metric]:
        found = Stability.of(_molecules(samples))
        shares = {"atoms stable": found.atoms, "molecules stable": found.molecules, "connected": found.connected}
        return [Metric(name, share, "higher", "By EDM's table of distances.") for name, share in shares.items()]

    def stops(self, denoiser: NeuralDenoiser, full: bool) -> list[Stop]:
        if not full:
            return []  # what is told to molecules shows on many of them, or costs a gradient a call
        return [
            Stop(_AROUND, partial(_around, denoiser), 21, 90),
            Stop(_WISHED, partial(_bonded, denoiser, 64), 22, 60),
            Stop(_KNOB, partial(_knob, denoiser, 64), 23, 120),
        ]


# Requests ---------------------------------------------------------------------------------------------


def _properties(said: Sequence[str]) -> dict[str, float]:
    """ "gap=6.5" → a name and a number; InputError if it is anything else."""
    found = {}
    for one in said:
        name, _, value = one.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise InputError(f"--properties {one}: expected a name and a number, as in gap=6.5") from None
    return found


def _one(path: Path) -> Molecule:
    """The only molecule of a file."""
    found, _ = files.read(path)
    if len(found) != 1:
        raise InputError(f"{path}: holds {len(found)} molecules, expected one")
    return found[0]


STOCHASTIC: Mapping[str, Any] = {"steps": 100, "eta": 1.0, "order": 2, "grid": "uniform"}
"""How molecules are drawn: fresh noise, of second order, leaves fewer broken ones than the flow does."""


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


def sizes(numbers: range, metadata: Mapping[str, Any], atoms: int | None = None, held: int = 0) -> Tensor:
    """Atoms of the molecules of these numbers: quantiles of the data's sizes above what is held, by number alone.

    InputError if the model has never seen molecules as large.

    Args:
        metadata: of the data that the model was trained on, in JSON values.
        atoms: how many atoms each molecule has, hydrogens included.
    """
    if atoms is not None and not held < atoms <= metadata["length"]:
        raise InputError(f"--atoms {atoms}: expected {held + 1} to {metadata['length']}, what this model knows")
    if atoms is not None:
        return torch.full((len(numbers),), atoms)
    counts = [(int(size), count) for size, count in metadata["sizes"].items() if int(size) > held]
    if not counts:
        raise InputError(f"{held} atoms are fixed; this model knows molecules of at most {metadata['length']}")
    known, weights = torch.tensor(counts).T
    quantiles = (torch.arange(numbers.start, numbers.stop).double() + 1) * 0.6180339887498949 % 1.0
    return known[torch.searchsorted(weights.cumsum(0).double(), quantiles * weights.sum())]


# Samples as molecules ---------------------------------------------------------------------------------


def _molecules(samples: Samples) -> list[Molecule]:
    """In the frame of what was asked for: fixed atoms where they were, the pocket where it is."""
    assert samples.origin is not None
    found = data.molecules(samples.x, samples.condition["mask"], samples.origin.metadata)
    if centre := samples.settings.get("centre"):
        found = [replace(molecule, positions=molecule.positions + np.array(centre)) for molecule in found]
    held = samples.settings.get("held")
    return [_put_back(molecule, np.array(held["positions"])) for molecule in found] if held else found


def _put_back(molecule: Molecule, held: np.ndarray) -> Molecule:
    """The first atoms are where they were: to round-off by a shift, then to the last bit."""
    k = len(held)
    positions = molecule.positions - molecule.positions[:k].mean(0) + held.mean(0)
    return replace(molecule, positions=np.concatenate([held, positions[k:]]))


def _spread(samples: Samples, n: int) -> Samples:
    """Some of the samples, spread over all."""
    index = torch.linspace(0, len(samples) - 1, min(n, len(samples))).round().long()
    trajectory = [take(frame, index) for frame in samples.trajectory]
    return replace(samples, x=take(samples.x, index), condition=take(samples.condition, index), trajectory=trajectory)


# What a model knows, told other things ----------------------------------------------------------------

_QUICK = 40  # calls of a chapter
_GAMMAS = (-0.8, 0.0, 0.8)
_ATOMS = 18  # of each molecule under the knob: sizes are not pushed
_AROUND = "Built around a ring that is given"
_WISHED, _KNOB = "A hydrogen bond within the molecule, wished for", "A knob that can be predicted"


def _drawn(denoiser: Denoiser, n: int, seed: int, atoms: int | None = None) -> Stream[Samples]:
    """Molecules in few calls.

    Args:
        atoms: of each molecule, hydrogens included; as in the data if not given.
    """
    assert denoiser.origin is not None
    metadata = denoiser.origin.metadata
    condition = {"mask": torch.arange(metadata["length"]) < sizes(range(n), metadata, atoms)[:, None]}
    return draws(
        denoiser, n, Independent(**{**STOCHASTIC, "steps": _QUICK}, batch_size=32), seed=seed, condition=condition
    )


def _around(model: NeuralDenoiser, seed: int, n: int = 12, atoms: int = 16) -> Stream[Chapter]:
    """Molecules that hold the six carbons of benzene."""
    benzene = ase.build.molecule("C6H6")
    ring = Molecule(benzene.numbers[:6], benzene.positions[:6])
    samples = yield from _drawn(model & factors.fixed(ring), n, seed, atoms)
    found = _molecules(samples)
    wall = figures.gallery(found, n)[0]
    assert isinstance(wall, Figure)
    return Chapter(
        _AROUND,
        f"The six carbons of benzene hold exactly; {atoms - 6} atoms more are drawn around them, in {_QUICK} calls. "
        "Draw your own: <code>ornstein sample molecules/qm9 --fixed ring.sdf</code>",
        [wall],
        [Metric("atoms stable", Stability.of(found).atoms, "higher", f"Of {n} molecules, by EDM's table.")],
        wall,
    )


def _bonded(model: NeuralDenoiser, n: int, seed: int) -> Stream[Chapter]:
    """Hydrogen bonds without and with a wish for them."""
    wish = factors.hydrogen_bond(WISH)
    as_it_is = yield from part(_drawn(model, n, seed), 0, 1, 4)
    guided = yield from part(_drawn(model & wish, n, seed), 1, 3, 4)
    plain, wished = _molecules(as_it_is), _molecules(guided)
    shares = [sum(bool(hydrogen_bonds(one)) for one in found) / len(found) for found in (plain, wished)]
    stable = [Stability.of(found).atoms for found in (plain, wished)]
    bonded = figures.bonded(wished)
    return Chapter(
        _WISHED,
        f"The same {n} seeds without and with <code>model &amp; on.molecules.hydrogen_bond({WISH:g})</code>, "
        f"{_QUICK} calls each. Distances are from a hydrogen on nitrogen or oxygen to the nearest that may accept it.",
        [*bonded, figures.shortest_contacts({"as it is": plain, "wished for": wished})],
        [
            Metric("with a hydrogen bond", shares[1], "higher", "H···A at most 2.5 Å, D–H–A at least 110°.", shares[0],
                  "without the wish"),
            Metric("atoms stable", stable[1], "higher", "By EDM's table.", stable[0], "without the wish"),
        ],
        bonded[0] if bonded else None,
    )  # fmt: skip


def _knob(model: NeuralDenoiser, n: int, seed: int) -> Stream[Chapter]:
    """Nitrogen atoms against the strength of a wish for them, beside what unguided molecules predict."""
    knob, measured = StrengthSearch(model, factors.element_count("N"), n), {}
    for k, gamma in enumerate(_GAMMAS):
        samples = yield from part(_drawn(model & knob.guide(gamma), n, seed, _ATOMS), k, 1, len(_GAMMAS))
        measured[gamma] = knob.value(samples)
    return knobs.chapter(
        _KNOB,
        f"Nitrogen atoms a molecule under exp(γ · their number), which the model itself foresees in noisy molecules: "
        f"{n} molecules of {_ATOMS} atoms at each γ, and what those at γ = 0 say of the others.",
        "nitrogen atoms a molecule",
        measured,
    )
