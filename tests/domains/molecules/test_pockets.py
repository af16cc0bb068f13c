"""Pockets of PDB files: which residues are the ligand, which the wall, and what of the file is said to be left out."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ornstein import InputError
from ornstein.domains.molecules.chemistry.pockets import Pocket, Vina, read_pocket

PROTEIN = [("ATOM", "CA", "ALA", "A", 1, (0.0, 0, 0), "C"), ("ATOM", "O", "ALA", "A", 1, (0.0, 3, 0), "O")]
DRUG = [("HETATM", "C1", "STI", "A", 201, (4.0, 0, 0), "C"), ("HETATM", "O1", "STI", "A", 201, (4.0, 1.2, 0), "O")]
WATER = [("HETATM", "O", "HOH", "A", 401, (1.0, 1, 1), "O")]
SULPHATE = [("HETATM", "S", "SO4", "A", 301, (9.0, 0, 0), "S"), ("HETATM", "O1", "SO4", "A", 301, (9.0, 1.4, 0), "O")]
SODIUM, ZINC = ([("HETATM", name, name, "A", 302, (-5.0, 0, 0), name)] for name in ("NA", "ZN"))
OTHER = [("HETATM", "C1", "HEM", "B", 5, (0.0, 9, 0), "C"), ("HETATM", "N1", "HEM", "B", 5, (0.0, 9, 1.3), "N")]


def line(number: int, row: Sequence[Any], place: str = " ", occupancy: float = 1.0, element: bool = True) -> str:
    kind, name, residue, chain, group, (x, y, z), symbol = row
    name = f"{name:<4}" if len(symbol) == 2 or len(name) == 4 else f" {name:<3}"
    where = f"{x:8.3f}{y:8.3f}{z:8.3f}{occupancy:6.2f}{20:6.2f}"
    return f"{kind:<6}{number:5d} {name}{place}{residue:>3} {chain}{group:4d}    {where}          {symbol * element:>2}"


def pdb(path: Path, *parts: list[Any], element: bool = True) -> Path:
    rows = enumerate(chain(*parts), 1)
    path.write_text("\n".join([*(line(k, row, element=element) for k, row in rows), "END\n"]))
    return path


@pytest.mark.parametrize("element", [True, False])
def test_the_only_ligand_is_found_among_ions_and_buffer(element: bool, tmp_path: Path) -> None:
    """The centre is the ligand's, whatever else is in the crystal; metals stay, buffer and water go."""
    pocket = read_pocket(pdb(tmp_path / "a.pdb", PROTEIN, WATER, SULPHATE, DRUG, ZINC, element=element))
    assert pocket.centre.tolist() == [4.0, 0.6, 0.0]
    assert pocket.numbers.tolist() == [6, 8, 30]
    assert pocket.notes == ("a.pdb: the ligand STI:A:201 is taken out of the pocket",)


def test_a_ligand_may_be_numbered_atom_by_atom(tmp_path: Path) -> None:
    """Ten atoms of one name about (5, 5, 5); a sulphate and a sodium 40 Å away are no part of it."""
    place = np.random.default_rng(0).normal(5, 1.5, (10, 3)).round(3)
    drug = [("HETATM", f"C{k}", "LIG", "A", 41 + k, tuple(x), "C") for k, x in enumerate(place)]
    far = [(*row[:5], (row[5][0] + 41, 10.0, 10.0), row[6]) for row in [*SULPHATE, *SODIUM]]
    pocket = read_pocket(pdb(tmp_path / "a.pdb", PROTEIN, drug, far))
    assert np.allclose(pocket.centre, place.mean(0))
    assert pocket.numbers.tolist() == [6, 8]
    assert pocket.notes == ("a.pdb: the ligand LIG:A:41 and 9 more is taken out of the pocket",)


def test_of_several_ligands_one_must_be_named(tmp_path: Path) -> None:
    copy = [(*row[:3], "B", *row[4:5], (row[5][0], 20.0, row[5][2]), row[6]) for row in DRUG]
    path = pdb(tmp_path / "a.pdb", PROTEIN, DRUG, OTHER, copy)
    with pytest.raises(
        InputError, match=r"3 ligands: STI:A:201, HEM:B:5, STI:B:201; say which, as in --ligand STI:A:201"
    ):
        read_pocket(path)
    with pytest.raises(InputError, match=r"--ligand STI: 2 of that name: STI:A:201, STI:B:201"):
        read_pocket(path, ligand="STI")
    with pytest.raises(InputError, match=r"--ligand ATP: none of that name; it has STI:A:201, HEM:B:5, STI:B:201"):
        read_pocket(path, ligand="ATP")
    with pytest.raises(InputError, match="expected RES, RES:CHAIN or RES:CHAIN:NUMBER"):
        read_pocket(path, ligand="A:B:C:D")
    pocket = read_pocket(path, ligand="sti:A")
    assert pocket.centre.tolist() == [4.0, 0.6, 0.0]
    assert pocket.numbers.tolist() == [6, 8, 6, 7]  # the haem is of the wall
    assert read_pocket(path, ligand="STI:B:201").centre.tolist() == [4.0, 20.0, 0.0]


def test_the_old_ligand_makes_room_at_a_given_centre(tmp_path: Path) -> None:
    path = pdb(tmp_path / "a.pdb", PROTEIN, DRUG, OTHER)
    pocket = read_pocket(path, np.array([3.0, 1.0, 0.0]))
    assert pocket.numbers.tolist() == [6, 8, 6, 7]
    assert "STI:A:201 is taken out" in pocket.notes[0]
    elsewhere = read_pocket(path, np.array([0.0, 0.0, -9.0]))
    assert elsewhere.notes == ()
    assert elsewhere.numbers.tolist() == [6, 8, 6, 8, 6, 7]


@pytest.mark.parametrize("said", [True, False])
def test_a_modified_residue_is_of_the_wall(said: bool, tmp_path: Path) -> None:
    """Selenomethionine by its name; any other by MODRES, or by the peptide bond that holds it in its chain."""
    name = "MSE" if said else "XYZ"
    atoms = [("N", 0.0, 0.0), ("CA", 0.7, 1.0), ("C", 1.7, 1.0), ("SE", 0.7, 4.0)]
    row = [("HETATM", atom, name, "A", 2, (x, y + 5, 0.0), {"SE": "SE"}.get(atom, atom[0])) for atom, x, y in atoms]
    before = [("ATOM", "C", "GLY", "A", 1, (-1.2, 5.0, 0.0), "C")]
    pocket = read_pocket(pdb(tmp_path / "a.pdb", before, row, DRUG))
    assert pocket.numbers.tolist() == [6, 7, 6, 6, 34]
    free = pdb(tmp_path / "b.pdb", row)
    with pytest.raises(InputError, match="no ligand to show" if said else "has no atom within"):
        read_pocket(free)
    free.write_text(f"MODRES 1ABC XYZ A    2  GLY\n{free.read_text()}")
    with pytest.raises(InputError, match="no ligand to show"):
        read_pocket(free)


def test_an_atom_is_at_one_of_its_places(tmp_path: Path) -> None:
    """The most occupied, of equals the first; and a residue is one of two at a place."""
    rows = (
        *(("A", 0.4, "ALA", "CB", 7, 1.0), ("B", 0.6, "ALA", "CB", 7, 2.0)),
        *(("A", 0.5, "SER", "OG", 8, 3.0), ("B", 0.5, "SER", "OG", 8, 4.0)),
        *(("A", 0.3, "VAL", "CA", 9, 5.0), ("B", 0.7, "THR", "CA", 9, 6.0)),
    )
    lines = [
        line(k, ("ATOM", name, residue, "A", group, (x, 0.0, 0.0), name[0]), place, occupied)
        for k, (place, occupied, residue, name, group, x) in enumerate(rows)
    ]
    (tmp_path / "a.pdb").write_text("\n".join(lines))
    pocket = read_pocket(tmp_path / "a.pdb", np.zeros(3))
    assert pocket.positions[:, 0].tolist() == [2.0, 3.0, 6.0]
    assert pocket.notes == ("a.pdb: 3 atoms at less occupied alternate locations are left out",)


def test_of_several_models_the_first_is_read(tmp_path: Path) -> None:
    models = [f"MODEL     {k:4d}\n{line(1, (*PROTEIN[0][:5], (float(k), 0.0, 0.0), 'C'))}\nENDMDL\n" for k in (1, 2, 3)]
    (tmp_path / "a.pdb").write_text("".join(models))
    pocket = read_pocket(tmp_path / "a.pdb", np.zeros(3))
    assert pocket.positions.tolist() == [[1.0, 0.0, 0.0]]
    assert pocket.notes == ("a.pdb: the first of 3 models is read",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nothing", "not a PDB file: holds no atoms"),
        ("data_1ABC\nloop_\n", "this is mmCIF"),
        (
            line(1, PROTEIN[0]).replace("   0.000   0.000", "   0.000     nan"),
            r"line 1: has no coordinates in columns 31 to 54",
        ),
        (line(1, PROTEIN[0])[:40], "line 1: has no coordinates"),
        (line(1, (*PROTEIN[0][:6], "H")), "none of its 1 atoms is a heavy one"),
        (line(1, SULPHATE[0]), r"has no ligand to show where the pocket is \(SO4 are ions"),
    ],
)
def test_what_is_no_pocket_is_named(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.pdb").write_text(text)
    with pytest.raises(InputError, match=said):
        read_pocket(tmp_path / "a.pdb")


def test_metals_repel_and_bind_as_vinas_do() -> None:
    """Radius 1.2 Å: an oxygen at 2.2 Å is .7 Å too near, so that its hydrogen bond counts whole; carbon has none."""
    zinc = Pocket(np.array([30]), np.zeros((1, 3)), np.zeros(3))
    x = torch.tensor([[[2.2, 0.0, 0.0]]], dtype=torch.float64)
    d = 2.2 - 1.2 - 1.7
    shape = -0.035579 * np.exp(-((d / 0.5) ** 2)) - 0.005156 * np.exp(-(((d - 3) / 2) ** 2)) + 0.840245 * d**2
    oxygen, carbon = torch.eye(2, dtype=torch.float64)[:, None, None]
    assert float(Vina(zinc, (8, 6))(x, oxygen)) == pytest.approx(shape - 0.587439)
    assert float(Vina(zinc, (8, 6))(x + 0.2 * (x > 0), carbon)) == pytest.approx(shape)
