"""Molecules of a formula, and elements for positions that are given, by the model that knows every pair of times."""

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from folders import origin
from ornstein import InputError
from ornstein.cli import main
from ornstein.config import update
from ornstein.denoisers.base import NeuralDenoiser
from ornstein.domains.molecules.chemistry import files
from ornstein.domains.molecules.chemistry.formulas import doubts, protons_of
from ornstein.domains.molecules.chemistry.molecule import Molecule
from ornstein.domains.molecules.drawn import molecules_of
from ornstein.domains.molecules.task import Molecules, MoleculesConfig, MoleculesRequest
from ornstein.tasks import requests
from worlds import rejected


@cache
def model() -> NeuralDenoiser:
    """Small and without training: what is given must hold whatever the network says."""
    known = origin("molecules")
    config = update(MoleculesConfig(), known.config, "test")
    return Molecules().denoiser(config, known.metadata, known)


def drawn(n: int = 4, **asked: Any) -> list[Molecule]:
    return molecules_of(requests.draw(model(), MoleculesRequest(**asked), n, steps=3))


def test_a_formula_is_read_in_any_order_and_adds_up() -> None:
    assert protons_of("C6H6O", "test") == (6,) * 6 + (1,) * 6 + (8,)
    assert Counter(protons_of("OH6C6", "test")) == Counter(protons_of("C₆H₅OH", "test"))
    assert protons_of("HCl", "test") == (1, 17)
    assert protons_of("CO", "test") == (6, 8)  # and not cobalt


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("", "is empty"),
        ("C6H6+", "a charge"),
        ("[13C]H4", "an isotope"),
        ("D2O", "D is an isotope of hydrogen"),
        ("CH3(CH2)3CH3", "brackets"),
        ("Na.Cl", "several molecules"),
        ("Xx2", "'Xx' is no element"),
        ("c6h6", "'c6h6' is no element with a number"),
        ("C0H4", "C0 says none of it"),
        ("6C", "'6C' is no element"),
        ("C6,5", "',5' is no element"),
    ],
)
def test_what_is_no_formula_is_said(formula: str, said: str) -> None:
    with pytest.raises(InputError, match="--formula") as error:
        protons_of(formula, f"--formula {formula}")
    assert said in str(error.value)


def test_formulas_of_no_closed_molecule_are_doubted() -> None:
    assert not doubts(protons_of("C6H6O", ""), "C6H6O")
    assert not doubts(protons_of("C9H20", ""), "C9H20")
    assert "odd number of electrons" in doubts(protons_of("CH3", ""), "CH3")[0]
    assert "more hydrogens" in doubts(protons_of("CH6", ""), "CH6")[0]
    samples = requests.draw(model(), MoleculesRequest(formula="CH3"), 1, steps=2)
    assert "odd number of electrons" in samples.notes[-1]


def test_all_molecules_are_of_the_formula() -> None:
    wanted = Counter(protons_of("C6H6O", "test"))

    def holds(made: Callable[[], list[Molecule]]) -> None:
        assert [Counter(one.numbers.tolist()) for one in made()] == [wanted] * 4

    holds(lambda: drawn(formula="C6H6O"))
    rejected(holds, lambda: drawn(atoms=13))


def test_a_formula_holds_the_fixed_atoms(tmp_path: Path) -> None:
    part = Molecule(np.array([8, 6]), np.array([[0.0, 0, 0], [1.4, 0, 0]]))
    files.write_xyz(tmp_path / "part.xyz", [part])
    for one in drawn(formula="C2H6O", fixed=tmp_path / "part.xyz"):
        assert one.numbers[:2].tolist() == [8, 6]
        assert Counter(one.numbers.tolist()) == Counter({1: 6, 6: 2, 8: 1})
        assert np.abs(one.positions[:2] - part.positions).max() == 0
    for formula, said in (("C6H6", "does not hold the atoms of --fixed"), ("CO", "nothing is left to draw")):
        with pytest.raises(InputError, match=said):
            drawn(formula=formula, fixed=tmp_path / "part.xyz")


def test_elements_are_drawn_for_positions_that_stay(tmp_path: Path) -> None:
    water = Molecule(np.array([8, 1, 1]), np.array([[5.0, 0, 0.12], [5.0, 0.76, -0.48], [5.0, -0.76, -0.48]]))
    files.write_xyz(tmp_path / "water.xyz", [water])
    found = drawn(16, elements_of=tmp_path / "water.xyz")
    assert max(np.abs(one.positions - water.positions).max() for one in found) < 1e-6
    assert len({tuple(one.numbers.tolist()) for one in found}) > 1  # they are drawn, and not the file's


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"formula": "C6H5Cl"}, "does not know the elements with .17. protons"),
        ({"formula": "C30H62"}, "92 atoms, expected at most 29"),
        ({"formula": "H"}, "one atom has no shape"),
        ({"elements_of": Path("nowhere.xyz")}, "nowhere.xyz: not found"),
    ],
)
def test_what_the_model_cannot_know(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        drawn(**asked)


@pytest.mark.parametrize(
    "flags",
    [
        ("--formula", "C6H6", "--atoms", "12"),
        ("--formula", "C6H6", "--reference", "a.xyz"),
        ("--formula", "C6H6O-"),
        ("--elements-of", "a.xyz", "--atoms", "3"),
    ],
)
def test_flags_that_make_no_sense_with_a_formula_end_with_code_2(
    flags: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", "molecules/qm9", *flags, "--out", str(tmp_path / "out")]) == 2
    assert not list(tmp_path.iterdir())
    assert flags[0] in capsys.readouterr().err


def test_samples_do_not_depend_on_how_they_are_batched() -> None:
    whole, parts = (
        requests.draw(model(), MoleculesRequest(formula="C2H6O"), 4, steps=3, batch_size=size) for size in (4, 2)
    )
    assert torch.equal(whole.x["atoms"], parts.x["atoms"])
    assert (whole.x["positions"] - parts.x["positions"]).abs().max() < 1e-4
