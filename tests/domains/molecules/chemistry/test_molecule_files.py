"""What is written is read; what cannot be read is said, record by record."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_molecules import SMILES, made, without_a_hydrogen

from ornstein import InputError
from ornstein.domains.molecules.chemistry.files import bonded, read, to_ase, write_sdf, write_xyz
from ornstein.domains.molecules.chemistry.molecule import Molecule
from ornstein.domains.molecules.chemistry.perception import perceived, to_rdkit

Chem, AllChem = pytest.importorskip("rdkit.Chem"), pytest.importorskip("rdkit.Chem.AllChem")
WRITERS = {".sdf": (write_sdf, 5.1e-5), ".xyz": (write_xyz, 5.1e-9)}  # and how finely they write, Å


def require_same(found: Molecule, molecule: Molecule, within: float) -> None:
    assert (found.numbers == molecule.numbers).all()
    assert np.abs(found.positions - molecule.positions).max() <= within
    assert (found.name, dict(found.properties)) == (molecule.name, dict(molecule.properties))


@pytest.mark.parametrize("suffix", WRITERS)
@given(
    positions=st.lists(st.tuples(*[st.floats(-999, 999)] * 3), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
    value=st.floats(allow_nan=False, allow_infinity=False),
)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, positions: list[Any], seed: int, value: float
) -> None:
    numbers = np.random.default_rng(seed).choice([1, 6, 7, 8, 9, 17, 35], len(positions))
    heap = Molecule(numbers, np.array(positions), f"heap-{seed}", {"gap": value, "energy": -value})
    molecules = [heap, replace(made("CH3CH2OH"), properties={"two words": 2.0})]
    write, within = WRITERS[suffix]
    path = tmp_path_factory.mktemp("round") / f"all{suffix}"
    write(path, molecules)
    found, bad, _ = read(path)
    assert not bad
    for one, other in zip(found, molecules, strict=True):
        require_same(one, other, within)


def test_bonds_come_from_perception_the_table_or_nowhere() -> None:
    assert bonded(made("C6H6"))[1] == "rdDetermineBonds"
    radical, source = bonded(without_a_hydrogen(made("CH3CH2OH")))
    assert source == "distance table"
    assert Chem.MolToSmiles(Chem.RemoveHs(radical)) in ("CC[O]", "C[CH]O", "[CH2]CO")
    crowd, source = bonded(Molecule(np.full(6, 1), np.eye(6, 3)))
    assert source == "none"
    assert crowd.GetNumBonds() == 0


def test_other_programs_see_the_molecule(tmp_path: Path) -> None:
    write_sdf(tmp_path / "all.sdf", [made(name) for name in SMILES], [{"k": k} for k in range(len(SMILES))])
    mols = list(Chem.SDMolSupplier(str(tmp_path / "all.sdf")))
    assert [Chem.MolToSmiles(mol) for mol in mols] == [Chem.CanonSmiles(smiles) for smiles in SMILES.values()]
    assert [float(mol.GetProp("k")) for mol in mols] == list(range(len(SMILES)))
    assert to_ase(made("C4H4NH")).get_chemical_formula() == "C4H5N"


def block(change: Callable[[Any], object] = lambda mol: None, molecule: Molecule | None = None) -> str:
    """The MOL block of a molecule after a change."""
    mol = Chem.RWMol(perceived(molecule or made("CH3CH2OH")))
    change(mol)
    return Chem.MolToMolBlock(mol)


def drawing() -> str:
    mol = Chem.AddHs(Chem.MolFromSmiles("CCO"))
    AllChem.Compute2DCoords(mol)
    return Chem.MolToMolBlock(mol)


def charged() -> str:
    mol = Chem.AddHs(Chem.MolFromSmiles("C[NH3+]"))
    AllChem.EmbedMolecule(mol, randomSeed=0)
    return Chem.MolToMolBlock(mol)


BAD_SDF = {
    "line 4 is not the counts line": lambda: "what\nis\nthis\n",
    "all z are 0": drawing,
    r"its charge is \+1": charged,
    "is of no element: 'Xx'": lambda: block().replace(" C  ", " Xx ", 1),
    "atom 1 is of no element$": lambda: block().replace(" C  ", " *  ", 1),
    "atom 3 has no coordinates": lambda: block().replace(block().splitlines()[6][:12], "  somewhere "),
    "has no atoms": lambda: Chem.MolToMolBlock(Chem.Mol()),
    "does not end in a line M  END": lambda: block()[:-30] + "\n",
    "not a MOL block that RDKit reads": lambda: block().replace("\n" + block().splitlines()[13][:6], "\n  1 99"),
    "line 22 is blank, within the MOL block": lambda: block().replace("M  END", "\nM  END"),
    "has a coordinate of 1e\\+06 Å": lambda: block().replace(block().splitlines()[4][:10], " 1000000.0"),
}


@pytest.mark.parametrize(("reason", "record"), BAD_SDF.items())
def test_bad_sdf_records_are_named_and_the_others_read(reason: str, record: Callable[[], str], tmp_path: Path) -> None:
    path = tmp_path / "my.sdf"
    path.write_text("$$$$\n".join([block(), record(), block(molecule=made("C6H6"))]))
    good, bad, _ = read(path)
    assert [len(molecule) for molecule in good] == [9, 12]  # benzene lies in z = 0 and says that it is 3-D
    with pytest.raises(ValueError, match=reason):
        raise ValueError(*bad)
    assert [line.startswith(f"{path}: record 2: ") for line in bad] == [True]


WATER = "3\nwater\nO 0 0 .1\nH 0 .76 -.48\nH 0 -.76 -.48\n"
BAD_XYZ = {
    "atom 2 is of no element": "2\n\nC 0 0 0\nX 0 0 1\n",
    "atom 1 has 3 columns, expected 4": "1\n\nC 0 0\n",
    "atom 1 has 4 columns, expected 1000000000": "1\nProperties=species:S:1:pos:R:3:x:R:999999996\nC 0 0 0\n",
    "expected species:S:1 and pos:R:3": "1\nProperties=species:S:1:pos:R:999999999\nC 0 0 0\n",
    "expected name:type:columns": "1\nProperties=species:S:1:pos:R\nC 0 0 0\n",
    "atom 1 has no coordinates": "1\n\nC 0 0 ²\n",
    "atom 1 is of no element: 'Qq'": "1\n\nQq 0 0 0\n",
    "has a coordinate of 3e\\+06 Å": "1\n\nC 0 0 3e6\n",
    "its charge is -1": "2\nProperties=species:S:1:pos:R:3 charge=-1\nO 0 0 0\nH 0 0 1\n",
    "its charge is \\+1": "1\n1 1\nNa 0 0 0\n",
    "its charge is -2": "2\nsuperoxide, total charge: 2-\nO 0 0 0\nO 0 0 1.3\n",
    "not finite": "1\n\nC 0 0 nan\n",
    "is periodic": '1\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3\nC 0 0 0\n',
}


@pytest.mark.parametrize(("reason", "frame"), BAD_XYZ.items())
def test_bad_xyz_frames_are_named_and_the_others_read(reason: str, frame: str, tmp_path: Path) -> None:
    path = tmp_path / "my.xyz"
    path.write_text(WATER + frame + "\n" + WATER)
    good, bad, _ = read(path)
    assert [molecule.name for molecule in good] == ["water", "water"]
    with pytest.raises(ValueError, match=f"record 2: .*{reason}"):
        raise ValueError(*bad)


@pytest.mark.parametrize(("tail", "reason"), [("C 0 0 0\n" + WATER, "expected the number"), ("4\n\nC 0 0 0", "1 of 4")])
def test_what_is_left_of_an_xyz_file_is_one_bad_record(tail: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "my.xyz"
    path.write_text(WATER + tail)
    good, bad, _ = read(path)
    assert (len(good), len(bad)) == (1, 1)
    assert reason in bad[0]


RAW_QM9 = (
    "3\ngdb 3\t799.58812\t437.90386\t282.94545\t1.8511\t6.31\t-0.2928\t0.0687\t0.3615\t19.0002\t0.021375"
    "\t-76.404702\t-76.401867\t-76.400922\t-76.422349\t6.002\t\nO\t-0.0343604951\t 0.9775395708\t 0.0076015923"
    "\t-0.589706\nH\t 0.0647664923\t 2.1*^-1\t 0.0015346341\t 0.294853\nH\t 0.8717903737\t 1.3007924048"
    "\t 6.9*^-6\t 0.294853\n1671.4222\t3803.6305\t3907.698\t\nO\tO\t\nInChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2\n"
)


def test_raw_qm9_is_read_whole_in_our_units(tmp_path: Path) -> None:
    """Water as published: debye, bohr³, eV, cal/(mol K); the file ends with its frequencies, SMILES and InChI."""
    path = tmp_path / "dsgdb9nsd_000003.xyz"
    path.write_text(RAW_QM9 * 2)
    (water, _), bad, notes = read(path)
    assert (bad, notes) == ([], [])
    assert water.name == "gdb 3"
    assert water.numbers.tolist() == [8, 1, 1]
    assert water.positions[1:, 1:].tolist() == [[0.21, 0.0015346341], [1.3007924048, 6.9e-6]]
    known = {
        "mu": 1.8511,
        "alpha": 6.31,
        "homo": -7.96749,
        "lumo": 1.86942,
        "gap": 9.83692,
        "cv": 6.002,
        "U0": -2079.08,
    }
    assert {name: water.properties[name] for name in known} == pytest.approx(known, rel=1e-5)


def bare(molecule: Molecule) -> Molecule:
    keep = molecule.numbers > 1
    return Molecule(molecule.numbers[keep], molecule.positions[keep])


def sdf_without_hydrogens() -> str:
    return Chem.MolToMolBlock(Chem.RemoveHs(perceived(made("CH3CH2OH"))))


def test_missing_hydrogens_are_bad_where_they_matter(tmp_path: Path) -> None:
    (tmp_path / "a.sdf").write_text(block() + "$$$$\n" + sdf_without_hydrogens())
    write_xyz(tmp_path / "b.xyz", [made("CO2"), bare(made("CH3CH2OH"))])
    assert len(read(tmp_path)[0]) == 4
    good, bad, _ = read(tmp_path, hydrogens=True)
    assert len(good) == 2
    assert [line.split(": ", 1)[1] for line in bad] == ["record 2: lacks 6 hydrogens", "record 2: has no hydrogens"]


def missing(folder: Path) -> Path:
    return folder / "none.sdf"


def empty(folder: Path) -> Path:
    (folder / "none.sdf").touch()
    return folder / "none.sdf"


def noise(folder: Path) -> Path:
    (folder / "none.xyz").write_bytes(bytes(range(256)))
    return folder


def unknown(folder: Path) -> Path:
    (folder / "none.pdb").write_text("ATOM")
    return folder / "none.pdb"


@pytest.mark.parametrize(
    ("made_of", "words"),
    [
        (missing, ("not found",)),
        (empty, ("empty",)),
        (noise, ("no usable molecule", "record 1")),
        (unknown, ("expected an .sdf",)),
        (lambda folder: folder, ("expected an .sdf", "a folder of those")),
    ],
)
def test_a_path_without_molecules_is_an_input_error(
    made_of: Callable[[Path], Path], words: Sequence[str], tmp_path: Path
) -> None:
    path = made_of(tmp_path)
    with pytest.raises(InputError) as raised:
        read(path)
    assert all(word in str(raised.value) for word in (str(path), *words))


def test_atoms_without_bonds_carry_their_positions() -> None:
    molecule = made("HCONH2")
    assert (to_rdkit(molecule).GetConformer().GetPositions() == molecule.positions).all()
