"""What a user may say of the molecules to draw, in flags, and which of these go together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import ClassVar, Literal

from ....config import require_in, require_with
from ....deprecation import renamed
from ....errors import InputError
from ..chemistry.records import number


@renamed(temperature="temperature_kelvin")
@dataclass(frozen=True)
class MoleculesRequest:
    """What to draw.

    Attributes:
        atoms: of each molecule, hydrogens included; as in the data if not given.
        formula: of each molecule, such as C6H6O: its elements are given, its graph and shape are drawn.
        smiles: conformers of these molecules, hydrogens implied: SMILES, or files (.smi) of one a line with its name.
        conformers: draws of each molecule of --smiles; 10 if not given, as many as --n for one.
        bounds: how much RDKit's bounds of the distances in the graph of --smiles count, 1/Å²; 10 if not given, 0 leaves
            the graph to chance.
        elements_of: SDF or XYZ file of positions that stay: which elements they are is drawn.
        properties: what they should have, such as gap=6.5; of QM9 alpha in bohr³, gap, homo and lumo in eV, mu in
            debye, cv in cal/(mol K); of your own files whatever they are in.
        guidance: scale of classifier-free guidance by these properties, 1 = none; or the regressor's power.
        guide_by: prompt tells the model the properties; regressor asks another network, which knows noisy molecules.
        hydrogen_bond: how much a hydrogen bond within the molecule is wanted: 0 = not, 4 = much.
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
        "which atoms there are": ("atoms", "formula", "elements_of"),
        "conformers of molecules": ("smiles", "conformers", "bounds"),
        "properties": ("properties", "guidance", "guide_by"),
        "hydrogen bonds and energy": ("hydrogen_bond", "temperature_kelvin"),
        "a part or a molecule to begin with": ("fixed", "reference", "strength"),
        "a pocket to bind to": ("pocket", "ligand", "centre", "binding"),
    }

    atoms: int | None = None
    formula: str | None = None
    smiles: tuple[str, ...] = ()
    conformers: int | None = None
    bounds: float | None = None
    elements_of: Path | None = None
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
        require_in(self, "--", {"conformers": "[1, 1e6]", "bounds": "[0, 1e6]"})
        self._require_one_molecule()
        require_with(
            self,
            "--",
            {
                **dict.fromkeys(("centre", "ligand", "binding"), ("pocket",)),
                **dict.fromkeys(("conformers", "bounds"), ("smiles",)),
                "strength": ("reference",),
            },
        )
        if (self.guidance != 1 or self.guide_by == "regressor") and not self.properties:
            raise InputError("--guidance and --guide-by are about properties: say which, as in --properties gap=6.5")

    def _require_one_molecule(self) -> None:
        """InputError where two flags say which atoms there are, or where they are."""
        for name, (why, others) in _ALONE.items():
            said = [other for other in others if getattr(self, other) not in (None, ())]
            if getattr(self, name) not in (None, ()) and said:
                raise InputError(f"{flag(name)} {why}: leave out {' and '.join(map(flag, said))}")


_ALONE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "smiles": (
        "says which atoms there are, and what they are bound to",
        ("atoms", "formula", "elements_of", "fixed", "reference"),
    ),
    "formula": ("says which atoms there are", ("atoms", "elements_of", "reference")),
    "elements_of": ("says where the atoms are", ("atoms", "fixed", "reference", "pocket")),
    "reference": ("says which atoms there are", ("fixed", "atoms")),
    "pocket": ("puts the molecule's centre at its own", ("fixed", "reference")),
}
"""Flags, why others make no sense beside them, and these."""


def flag(name: str) -> str:
    """How a field of a request is said on the command line."""
    return f"--{name}".replace("_", "-")


def properties(said: Sequence[str]) -> dict[str, float]:
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
