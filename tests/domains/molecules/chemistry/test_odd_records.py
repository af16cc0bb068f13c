"""Files as they come: what a record says of itself is read or named, whatever wrote it."""

from pathlib import Path
from time import process_time

import numpy as np
import pytest
from small_molecules import apart, made, rotation

from ornstein import InputError
from ornstein.domains.molecules.chemistry.files import read, write_sdf
from ornstein.domains.molecules.chemistry.graphs import graph, pieces, touching
from ornstein.domains.molecules.chemistry.molecule import Molecule
from ornstein.domains.molecules.chemistry.perception import perceived

Chem = pytest.importorskip("rdkit.Chem")
BLOCK = Chem.MolToMolBlock(perceived(made("CH3CH2OH")))
WATER = "O 0 0 .1\nH 0 .76 -.48\nH 0 -.76 -.48\n"


def sdf(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "my.sdf"
    path.write_bytes(text.encode())
    return path


def xyz(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "my.xyz"
    path.write_bytes(text.encode())
    return path


# SDF --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blank", ["", " ", "\t", "  \t "])
def test_blank_lines_between_data_items_may_hold_blanks(blank: str, tmp_path: Path) -> None:
    items = f"> <id>\nnine\n{blank}\n>  <gap>  (3)\n5.00\n{blank}\n> <mu>\n-1d-1\n{blank}\n$$$$\n"
    good, bad, notes = read(sdf(tmp_path, (BLOCK + items) * 3))
    assert [dict(one.properties) for one in good] == [{"gap": 5.0, "mu": -0.1}] * 3
    assert not bad
    assert len(notes) == 1
    assert "field 'id' is no number in 3 of 3 records ('nine' in" in notes[0]


@pytest.mark.parametrize("value", ["$$$$ 12", "$$$$12", "$$$$"])
def test_a_value_may_begin_as_the_end_of_a_record_does(value: str, tmp_path: Path) -> None:
    items = f"> <gap>\n5\n\n> <price>\n{value}\n\n> <mu>\n2\n\n$$$$\n"
    good, bad, _ = read(sdf(tmp_path, (BLOCK + items) * 2))
    assert [dict(one.properties) for one in good] == [{"gap": 5, "mu": 2}] * 2
    assert not bad


@pytest.mark.parametrize("between", ["", "\n", "> <gap>\n5\n\n", "> <gap>\n5\n"])
def test_blocks_without_an_end_of_record_are_records(between: str, tmp_path: Path) -> None:
    text = "".join([BLOCK, between, Chem.MolToMolBlock(perceived(made("C6H6"))), between, BLOCK])
    good, bad, _ = read(sdf(tmp_path, text))
    assert [len(one) for one in good] == [9, 12, 9]
    assert not bad
    assert [dict(one.properties) for one in good[:2]] == [{"gap": 5.0} if between.strip() else {}] * 2


def test_items_in_a_row_and_a_record_that_ends_in_one(tmp_path: Path) -> None:
    """No blank line between items, none before $$$$, and none at the end of the file."""
    good, bad, _ = read(sdf(tmp_path, f"{BLOCK}> <a>\n1\n> <b>\n2\n$$$$\n{BLOCK}> <a>\n3\n$$$$"))
    assert [dict(one.properties) for one in good] == [{"a": 1.0, "b": 2.0}, {"a": 3.0}]
    assert not bad


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("5,00", "is no number in 1 of 2 records ('5,00'"),
        ("1_0", "is no number in 1 of 2"),
        ("inf", "is not finite in 1 of 2 records ('inf'"),
        ("-Infinity", "is not finite in 1 of 2"),
        ("nan", "is not finite in 1 of 2"),
        ("1e400", "is not finite in 1 of 2"),
        ("1e39", "is too large in 1 of 2 records ('1e39'"),
    ],
)
def test_a_value_that_is_no_number_is_named(value: str, reason: str, tmp_path: Path) -> None:
    items = [f"> <gap>\n{one}\n\n$$$$\n" for one in ("5.0", value)]
    good, bad, notes = read(sdf(tmp_path, BLOCK + items[0] + BLOCK + items[1]), to_learn=True)
    assert [dict(one.properties) for one in good] == [{"gap": 5.0}, {}]
    assert not bad
    assert [note.startswith("field 'gap' ") and reason in note and "record 2" in note for note in notes] == [True]


@pytest.mark.parametrize(
    ("items", "remark"),
    [
        ("what is this\n", "belong to no data item"),
        ("> <gap>\n5\n\nlost\n\n", "belong to no data item"),
        ("> \n5\n\n", "without a name"),
        ("> <gap>\n5\n\n> <gap>\n6\n\n", "'gap' stands there twice"),
    ],
)
def test_what_is_no_data_item_is_said(items: str, remark: str, tmp_path: Path) -> None:
    good, bad, notes = read(sdf(tmp_path, f"{BLOCK}{items}$$$$\n{BLOCK}"))
    assert (len(good), len(bad)) == (2, 0)
    assert [remark in note and "1 records, the first is" in note for note in notes] == [True]


def test_a_salt_is_said(tmp_path: Path) -> None:
    salt = Molecule(np.array([11, 17]), np.array([[0.0, 0, 0], [0, 0, 6]]))
    write_sdf(tmp_path / "my.sdf", [salt, made("CH4")])
    good, bad, notes = read(tmp_path / "my.sdf")
    assert (len(good), len(bad)) == (2, 0)
    assert ["several pieces" in note and "1 records, the first is" in note for note in notes] == [True]


@pytest.mark.parametrize("name", ["charge", "Total_Charge", "PUBCHEM_TOTAL_CHARGE"])
def test_a_charge_in_a_field_is_a_charge(name: str, tmp_path: Path) -> None:
    good, bad, _ = read(sdf(tmp_path, "".join(f"{BLOCK}> <{name}>\n{q}\n\n$$$$\n" for q in ("0", "-1", "2+"))))
    assert [dict(one.properties) for one in good] == [{}]
    assert ["its charge is -1, expected" in bad[0], "its charge is +2, expected" in bad[1]] == [True, True]


# XYZ --------------------------------------------------------------------------------------------------


def test_elements_may_be_numbers_or_isotopes(tmp_path: Path) -> None:
    good, bad, _ = read(xyz(tmp_path, "3\nheavy\n8 0 0 .1\nD 0 .76 -.48\nT 0 -.76 -.48\n"))
    assert (good[0].numbers.tolist(), bad) == ([8, 1, 1], [])
    columns = "2\nProperties=pos:R:3:mass:R:1:Z:I:1\n0 0 0 16 8\n0 0 1 1 1\n"
    assert read(xyz(tmp_path, columns))[0][0].numbers.tolist() == [8, 1]
    with pytest.raises(InputError, match="atom 1 is of no element: '119'"):
        read(xyz(tmp_path, "1\n\n119 0 0 0\n"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_of_windows_editors_are_read(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "my.xyz").write_bytes(f"3\nécrit\n{WATER}".replace("\n", "\r\n").encode(encoding))
    (tmp_path / "my.sdf").write_bytes(f"{BLOCK}> <gap>\n5\n\n$$$$\n".replace("\n", "\r\n").encode(encoding))
    alcohol, water = read(tmp_path)[0]
    assert water.name == "écrit"
    assert alcohol.properties == {"gap": 5.0}


@pytest.mark.parametrize("count", ["²", "3²", "٣", "9" * 5000, "999999999999", "3.0", "-3", "0x3"])
def test_a_count_that_is_none_is_named(count: str, tmp_path: Path) -> None:
    good, bad, _ = read(xyz(tmp_path, f"3\nwater\n{WATER}{count}\nmore\n{WATER}"))
    assert len(good) == 1
    assert ["expected the number of atoms; nothing is read from here on" in line for line in bad] == [True]


def test_ions_by_their_comment_are_left_out(tmp_path: Path) -> None:
    """ "0 1" is a neutral singlet, "-1 1" and "1 1" are ions; numbers that no electrons allow are a title."""
    said = ("0 1", "0 3", "-1 2", "+1 2", "2 1", "-1 1", "1 1", "12 5")
    said += ("charge=0 gap=5", "charge=1", "CHARGE = -1 spin=2")
    good, bad, _ = read(xyz(tmp_path, "".join(f"3\n{comment}\n{WATER}" for comment in said)))
    assert [one.name for one in good] == ["0 1", "0 3", "-1 1", "1 1", "12 5", "charge=0 gap=5"]
    assert good[-1].properties == {"gap": 5.0}
    charges = [line.split("charge is ")[1].split(",")[0] for line in bad]
    assert charges == ["-1", "+1", "+2", "+1", "-1"]


def test_a_comment_may_say_properties(tmp_path: Path) -> None:
    comments = ("energy=-76.4 gap=5", "Properties=species:S:1:pos:R:3 name=water gap=5 ok=T who=me", "a = b")
    good, bad, notes = read(xyz(tmp_path, "".join(f"3\n{comment}\n{WATER}" for comment in comments)))
    assert not bad
    assert [dict(one.properties) for one in good] == [{"energy": -76.4, "gap": 5.0}, {"gap": 5.0}, {}]
    assert [one.name for one in good] == [comments[0], "water", "a = b"]
    assert [note.split(" is ")[0] for note in notes] == ["field 'ok'", "field 'who'"]


def test_a_box_is_periodic_unless_it_says_otherwise(tmp_path: Path) -> None:
    head = 'Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3'
    boxes = (head, f'{head} pbc="F F F"', f'{head} pbc="T T F"')
    good, bad, _ = read(xyz(tmp_path, "".join(f"3\n{box}\n{WATER}" for box in boxes)))
    assert len(good) == 1
    assert [": record 1: is periodic" in bad[0], ": record 3: is periodic" in bad[1]] == [True, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("9999\n\n" + "C 0 0 0\n" * 9999, "has 9999 atoms, expected at most 999"),
        (f"3\n{'a' * 200_000}\n{WATER}", "its comment has 200000 characters"),
        (f"3\na={'{' * 90_000}\n{WATER}", ""),
        (f"3\n{'total_' * 15_000}\n{WATER}", ""),
        (f"3\n{'a=' * 40_000}\n{WATER}", ""),
        (f"3\n{'b' * 90_000}=\n{WATER}", ""),
    ],
    ids=["atoms", "comment", "brackets", "charges", "pairs", "name"],
)
def test_what_takes_long_elsewhere_does_not_here(text: str, said: str, tmp_path: Path) -> None:
    """All atoms at one place, nested brackets, words that almost say a charge: in less than a second, not n² of it."""
    begun = process_time()
    _, bad, _ = read(xyz(tmp_path, f"3\nwater\n{WATER}{text}"), to_learn=True)
    assert process_time() - begun < 1
    assert [said in line for line in bad] == [True] * bool(said)


# What can be learned from -----------------------------------------------------------------------------


def test_single_atoms_and_atoms_at_one_place_teach_nothing(tmp_path: Path) -> None:
    path = xyz(tmp_path, f"3\nwater\n{WATER}1\n\nHe 0 0 0\n3\n\nO 0 0 0\nH 0 0 1\nH 0 0 1\n")
    assert len(read(path)[0]) == 3
    good, bad, _ = read(path, to_learn=True)
    assert len(good) == 1
    assert [line.split(": ", 2)[2] for line in bad] == [
        "is a single atom, which has no geometry",
        "2 atoms are at one place, atom 2 is one of them",
    ]


def test_the_graph_is_of_the_molecule_and_not_of_its_pose() -> None:
    ethanol, ether = made("CH3CH2OH"), made("CH3OCH3")
    order = np.random.default_rng(0).permutation(len(ethanol))
    other = Molecule(ethanol.numbers[order], (ethanol.positions @ rotation(1))[order])
    assert graph(other) == graph(ethanol)
    assert graph(ether) != graph(ethanol)
    both = apart(ethanol, other)
    assert pieces(len(both), touching(both)) == 2
    assert pieces(len(ethanol), touching(ethanol)) == 1
