"""Molecules that were drawn as RDKit's and ASE's, in a table, and as arrays that are padded to the largest."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...deferred import deferred
from ...tasks import conversions
from ...tasks.native.members import NUMBER
from ...tasks.native.netcdf import Variable
from ...tasks.samples import Samples
from .chemistry import files
from .chemistry.perception import smiles_of
from .drawn import molecules_of

if TYPE_CHECKING:
    from rdkit.Chem import rdMolDescriptors
else:
    rdMolDescriptors = deferred("rdkit.Chem.rdMolDescriptors")


def rdkit(samples: Samples) -> list[Any]:
    """RDKit's molecules, hydrogens included, each with its positions (Å) as a conformer.

    Properties: `number` of the sample; `smiles`, canonical with stereo; `bonds`, where these are from: see
    `chemistry.files.bonded`. A sample whose bonds nobody finds has its atoms, and "" for its SMILES.

    Args:
        samples: of a model of this domain.
    """
    made = []
    for number, molecule in enumerate(molecules_of(samples), samples.first):
        mol, bonds = files.bonded(molecule)
        mol.SetIntProp("number", number)
        mol.SetProp("smiles", "" if bonds == "none" else smiles_of(mol, stereo=True))
        mol.SetProp("bonds", bonds)
        made.append(mol)
    return made


def ase(samples: Samples) -> list[Any]:
    """ASE's atoms, positions in Å.

    Args:
        samples: of a model of this domain.
    """
    return [files.to_ase(molecule) for molecule in molecules_of(samples)]


def pandas(samples: Samples) -> Any:
    """A table of `smiles`, `formula`, `atoms` and `bonds`, see `rdkit`; `asked_smiles`, where these were asked for.

    Args:
        samples: of a model of this domain.
    """
    mols = rdkit(samples)
    said = {
        "smiles": [mol.GetProp("smiles") for mol in mols],
        "formula": [rdMolDescriptors.CalcMolFormula(mol) for mol in mols],
        "atoms": [mol.GetNumAtoms() for mol in mols],
        "bonds": [mol.GetProp("bonds") for mol in mols],
    }
    if "smiles" in samples.each:
        said["asked_smiles"] = list(samples.each["smiles"])
    return conversions.pandas(samples, said)


def numpy(samples: Samples) -> dict[str, np.ndarray]:
    """`positions` (n, atoms, 3) in Å and `atomic_numbers` (n, atoms); NaN and 0 beyond a molecule's last atom.

    Args:
        samples: of a model of this domain.
    """
    found = molecules_of(samples)
    most = max(map(len, found))
    positions, numbers = np.full((len(found), most, 3), np.nan), np.zeros((len(found), most), np.int64)
    for k, molecule in enumerate(found):
        positions[k, : len(molecule)], numbers[k, : len(molecule)] = molecule.positions, molecule.numbers
    return {"positions": positions, "atomic_numbers": numbers}


def xarray(samples: Samples) -> Any:
    """A Dataset of the arrays of `numpy` along number, atom and axis.

    Args:
        samples: of a model of this domain.
    """
    found = numpy(samples)
    variables = {
        "positions": Variable((NUMBER, "atom", "axis"), found["positions"], "position of the atom", "angstrom"),
        "atomic_numbers": Variable((NUMBER, "atom"), found["atomic_numbers"], "protons of the atom, 0 = no atom"),
        "axis": Variable(("axis",), np.array(["x", "y", "z"]), "axis", ""),
    }
    return conversions.xarray(samples, variables)


CONVERSIONS: Mapping[str, Callable[[Samples], Any]] = {
    "rdkit": rdkit, "ase": ase, "pandas": pandas, "numpy": numpy, "xarray": xarray,
}  # fmt: skip
