"""Molecules, bound to the engine: positions times elements, a transformer that turns with them, SDF and XYZ files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ...chemistry import drawing, files
from ...chemistry.molecule import Molecule
from ...chemistry.pockets import read_pocket
from ...chemistry.viewer import interactive, page_of
from ...config import TrainConfig, require_in
from ...datasets import Arrays, Dataset
from ...denoisers import Guide, Origin
from ...errors import InputError
from ...files import write_text
from ...networks import MolecularConfig, MolecularTransformer
from ...report import pictures
from ...samples import Samples
from ...spaces import Product
from ...states import take
from ...tasks import Figure, Interactive, Request, Score, Task
from . import data, factors, network, scores

SDF, XYZ = "samples.sdf", "samples.xyz"
SHOWN = 12


@dataclass(frozen=True)
class MoleculesConfig:
    """A model of molecules.

    Attributes:
        data: qm9, qm9-sample (3,000 molecules of it), or an SDF or XYZ file or a folder of them.
        network: the transformer.
        train: the training.
    """

    data: str = "qm9"
    network: MolecularConfig = field(default_factory=MolecularConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


@dataclass(frozen=True)
class MoleculesAsk:
    """What to draw.

    Attributes:
        atoms: of each molecule, hydrogens included; as in the data if not given.
        properties: what they should have, such as gap=6.5 (units: `ornstein show MODEL`).
        guidance: scale of classifier-free guidance by these properties, 1 = none.
        hydrogen_bond: how much a hydrogen bond within the molecule is wanted, 0 = not.
        temperature: K, at which molecules are weighed by the energy of GFN2-xTB; not if not given.
        fixed: SDF or XYZ file of atoms that hold exactly: the rest is built around them.
        reference: SDF or XYZ file of a molecule to begin with.
        strength: the time up to which the reference is noised: near 0 it stays, 1 forgets it.
        pocket: PDB file of a protein to bind to, which stays where it is.
        centre: of the pocket, Å; where the file's ligand is, if not given.
        binding: how much Vina's energy in the pocket counts, mol/kcal.
    """

    atoms: int | None = None
    properties: tuple[str, ...] = ()
    guidance: float = 1.0
    hydrogen_bond: float = 0.0
    temperature: float | None = None
    fixed: Path | None = None
    reference: Path | None = None
    strength: float = 0.3
    pocket: Path | None = None
    centre: tuple[float, float, float] | None = None
    binding: float = 1.0

    def __post_init__(self) -> None:
        require_in(self, "--", {"guidance": "[0, inf)", "hydrogen_bond": "[0, inf)", "binding": "[0, inf)"})
        require_in(self, "--", {"temperature": "(0, inf)", "strength": "(0, 1]", "atoms": "[2, inf)"})
        if self.reference is not None and (self.fixed is not None or self.atoms is not None):
            raise InputError("--reference says which atoms there are: leave out --fixed and --atoms")
        if self.guidance != 1 and not self.properties:
            raise InputError("--guidance is by properties: say which, as in --properties gap=6.5")


class Molecules(Task):
    """Molecules in three dimensions."""

    name = "molecules"
    summary = "molecules in three dimensions (QM9, or your own SDF and XYZ files)"
    config = MoleculesConfig
    ask = MoleculesAsk
    sampling: ClassVar[Mapping[str, Any]] = {"steps": 100, "batch_size": 100}
    shown = 64

    def data(self, config: MoleculesConfig) -> tuple[Arrays, Arrays]:
        return data.load(config.data)

    def describe(self, data: Dataset, validation: Dataset) -> str:
        reasons = data.facts.get("left out", [])
        shown = "".join(f"\n  left out: {reason}" for reason in reasons[:20])
        shown += "\n  …" if len(reasons) > 20 else ""
        return (
            f"{super().describe(data, validation)}; at most {data.facts['length']} atoms; "
            f"{len(reasons)} records left out{shown}"
        )

    def space(self, config: MoleculesConfig, facts: Mapping[str, Any]) -> Product:
        return network.space(facts)

    def network(self, config: MoleculesConfig, facts: Mapping[str, Any]) -> MolecularTransformer:
        return network.build(config.network, facts)

    def null(self, config: MoleculesConfig, facts: Mapping[str, Any]) -> Mapping[str, Tensor]:
        properties = len(facts["properties"])
        return {"properties": torch.full((properties,), torch.nan)} if properties else {}

    def request(self, ask: MoleculesAsk, n: int, facts: Mapping[str, Any]) -> Request:
        elements, guides, record = facts["elements"], [], {**vars(ask)}
        if ask.properties:
            guides.append(factors.wanted(_properties(ask.properties), facts, ask.guidance))
        if ask.fixed is not None:
            part = _one(ask.fixed)
            guides += factors.fixed(part, facts)
            record["held"] = {"numbers": part.numbers.tolist(), "positions": part.positions.tolist()}
        if ask.pocket is not None:
            pocket = read_pocket(ask.pocket, None if ask.centre is None else np.array(ask.centre))
            guides.append(factors.bound(pocket, ask.binding, elements))
            record["centre"] = pocket.centre.tolist()
        if ask.hydrogen_bond:
            guides.append(factors.hydrogen_bond(ask.hydrogen_bond, elements))
        if ask.temperature is not None:
            guides.append(factors.relaxed(ask.temperature, elements))
        record = {name: str(value) if isinstance(value, Path) else value for name, value in record.items()}
        return _from_reference(ask, n, facts, guides, record) or _from_noise(ask, n, facts, guides, record)

    def write(self, samples: Samples, folder: Path) -> None:
        """samples.sdf with bonds, samples.xyz, viewer.html to turn them, pictures; the film, if there is one."""
        found = _molecules(samples)
        files.write_sdf(folder / SDF, found)
        files.write_xyz(folder / XYZ, found)
        for k, figure in enumerate(self.figures(samples)):
            if isinstance(figure, Interactive):
                write_text(folder / "viewer.html", page_of(figure.fragment))
            else:
                (folder / f"figure-{k}.{figure.kind}").write_bytes(figure.image)

    def read(self, folder: Path, manifest: Mapping[str, Any]) -> Samples:
        origin = Origin(**manifest["model"])
        found, bad = files.read(folder / XYZ)
        if bad:
            raise InputError(bad[0])
        part = data.padded(data.table(found), {**origin.facts, "length": max(len(molecule) for molecule in found)})
        condition = {"mask": part.condition["mask"]}
        return Samples(part.x, condition, origin, (), manifest["nfe"], manifest["seconds"], manifest["settings"])

    def score(self, samples: Samples) -> list[Score]:
        assert samples.origin is not None
        source = samples.origin.config["data"]
        return scores.judged(_molecules(samples), data.reference(source), data.known(source))

    def figures(self, samples: Samples) -> Sequence[Figure | Interactive]:
        """Spread over the samples: a wall of them, turning ones, ones to turn; the film."""
        some = _spread(samples, SHOWN)
        found = _molecules(some)
        wall = Figure(pictures.png(drawing.wall(found, 6)), f"{len(found)} of {len(samples)} molecules", width=960)
        turning = Figure(pictures.gif(drawing.spinning(found[::3], 4), 0.1, 0.1), "Turning", "gif", 640)
        to_turn = interactive(found[:8], "Turn them with the mouse", 4)
        return [wall, turning, to_turn, *(_film(samples) if samples.film else [])]


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


def _from_noise(
    ask: MoleculesAsk, n: int, facts: Mapping[str, Any], guides: Sequence[Guide], record: Mapping[str, Any]
) -> Request:
    held = len(record.get("held", {}).get("numbers", ()))
    condition = {"mask": torch.arange(facts["length"]) < sizes(n, facts, ask.atoms, held)[:, None]}
    return Request(guides, condition, record)


def _from_reference(
    ask: MoleculesAsk, n: int, facts: Mapping[str, Any], guides: Sequence[Guide], record: Mapping[str, Any]
) -> Request | None:
    if ask.reference is None:
        return None
    part = data.padded(data.table([_one(ask.reference)]), facts)
    repeated = torch.zeros(n).long()
    return Request(
        guides, {"mask": part.condition["mask"][repeated]}, record, None, take(part.x, repeated), ask.strength
    )


def sizes(n: int, facts: Mapping[str, Any], atoms: int | None = None, held: int = 0) -> Tensor:
    """Atoms of each of n molecules, small ones first: the quantiles of the data's sizes above what is held.

    InputError if the model has never seen molecules as large.
    """
    if atoms is not None and not held < atoms <= facts["length"]:
        raise InputError(f"--atoms {atoms}: expected {held + 1} to {facts['length']}, what this model knows")
    if atoms is not None:
        return torch.full((n,), atoms)
    counts = [(int(size), count) for size, count in facts["sizes"].items() if int(size) > held]
    if not counts:
        raise InputError(f"{held} atoms are fixed; this model knows molecules of at most {facts['length']}")
    known, weights = torch.tensor(counts).T
    quantiles = (torch.arange(n) + 0.5) / n * weights.sum()
    return known[torch.searchsorted(weights.cumsum(0).double(), quantiles.double())]


# Samples as molecules ---------------------------------------------------------------------------------


def _molecules(samples: Samples) -> list[Molecule]:
    """In the frame of what was asked for: fixed atoms where they were, the pocket where it is."""
    assert samples.origin is not None
    found = data.molecules(samples.x, samples.condition["mask"], samples.origin.facts)
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
    film = [take(frame, index) for frame in samples.film]
    return replace(samples, x=take(samples.x, index), condition=take(samples.condition, index), film=film)


def _film(samples: Samples) -> list[Figure]:
    """A few molecules out of noise, moving and step by step."""
    some = _spread(samples, 4)
    steps = torch.linspace(0, len(some.film) - 1, min(len(some.film), 40)).round().long().tolist()
    frames = [_molecules(replace(some, x=some.film[k])) for k in steps]
    strip = drawing.strip([frame[1:2] for frame in frames], 10)
    return [
        Figure(pictures.gif(list(drawing.film(frames, 4))), "From noise to molecule", "gif", 640),
        Figure(pictures.png(strip), "The same of one, step by step", width=960),
    ]
