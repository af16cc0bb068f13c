"""Relaxation goes downhill and keeps the molecule; distances in space do not see pose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_molecules import SMILES, made, rotation

from ornstein.domains.molecules.chemistry.molecule import Molecule
from ornstein.domains.molecules.chemistry.perception import perceived, smiles_of
from ornstein.domains.molecules.chemistry.relaxation import Relaxations, relaxed, rmsd, superposed


@given(st.sampled_from([name for name in SMILES if name != "H2O"]), st.integers(0, 1000))
def test_pose_does_not_move_atoms(name: str, seed: int) -> None:
    x, rng = made(name).positions, np.random.default_rng(seed)
    y = x @ rotation(seed).T + 5 * rng.normal(size=3)
    assert rmsd(x, y) == pytest.approx(0, abs=1e-6)
    assert superposed(x, y) == pytest.approx(y)
    z = x + 0.1 * rng.normal(size=x.shape)
    assert rmsd(x, z) == pytest.approx(rmsd(y, z)) == pytest.approx(rmsd(z, x))
    assert rmsd(x, z) <= np.sqrt(((x - z) ** 2).sum(-1).mean())


def test_a_mirror_image_is_another_molecule() -> None:
    x = np.random.default_rng(0).normal(size=(6, 3))
    assert rmsd(x, x * np.array([1, 1, -1])) > 0.1


def test_two_atoms_in_closed_form() -> None:
    x = np.array([[0.0, 0, 0], [1, 0, 0]])
    assert rmsd(x, 3 * x) == pytest.approx(1)


pytest.importorskip("tblite")


def shaken(molecule: Molecule, width: float) -> Molecule:
    rng = np.random.default_rng(0)
    return Molecule(molecule.numbers, molecule.positions + width * rng.normal(size=molecule.positions.shape))


def test_relaxation_releases_energy_and_keeps_the_molecule() -> None:
    for name in ("H2O", "CH3CH2OH", "HCONH2"):
        calm, wild = relaxed(made(name)), relaxed(shaken(made(name), 0.08))
        assert calm is not None
        assert wild is not None
        assert 0 <= calm.released < 1 < wild.released
        assert calm.moved < 0.03 < wild.moved
        end = perceived(wild.end)
        assert end is not None
        assert smiles_of(end) == SMILES[name]


def test_where_it_ends_it_stays() -> None:
    once = relaxed(shaken(made("CH4"), 0.05))
    assert once is not None
    again = relaxed(once.end)
    assert again is not None
    assert again.released == pytest.approx(0, abs=1e-6)
    assert again.moved == pytest.approx(0, abs=1e-6)


def test_failures_count_as_worst() -> None:
    impossible = Molecule(np.array([6, 6, 0]), np.zeros((3, 3)))
    assert relaxed(impossible) is None
    assert relaxed(shaken(made("CH4"), 0.1), steps=1) is None
    found = Relaxations.of([made("H2O"), made("CH4"), impossible])
    assert found.failed == pytest.approx(1 / 3)
    assert 0 <= found.released < 5
    assert Relaxations.of([made("H2O"), impossible]).released == np.inf
