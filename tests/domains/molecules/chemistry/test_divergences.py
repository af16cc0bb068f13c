"""Divergences of lengths and angles: none from itself, symmetric, at most one bit, and sensitive."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_molecules import SMILES, made, turned

from ornstein.domains.molecules.chemistry.divergences import (
    angle_divergence,
    bond_angles,
    bond_lengths,
    jensen_shannon,
    length_divergence,
)
from ornstein.domains.molecules.chemistry.molecule import Molecule

ALL = [made(name) for name in SMILES]


def shaken(width: float, seed: int) -> list[Molecule]:
    """All of them a few times, with noise."""
    rng = np.random.default_rng(seed)
    return [replace(m, positions=m.positions + width * rng.normal(size=m.positions.shape)) for m in ALL * 20]


@given(*[arrays(float, 5, elements=st.floats(0, 1)).filter(lambda p: p.sum() > 1e-3)] * 2)
def test_jensen_shannon_is_symmetric_and_bounded(p: np.ndarray, q: np.ndarray) -> None:
    p, q = p / p.sum(), q / q.sum()
    assert jensen_shannon(p, p) == pytest.approx(0, abs=1e-12)
    assert jensen_shannon(p, q) == pytest.approx(jensen_shannon(q, p))
    assert -1e-12 <= jensen_shannon(p, q) <= 1 + 1e-12


def test_jensen_shannon_in_closed_form() -> None:
    assert jensen_shannon(np.array([1.0, 0]), np.array([0.0, 1])) == 1
    assert jensen_shannon(np.array([1.0, 0]), np.array([0.5, 0.5])) == pytest.approx(1.5 - 0.75 * np.log2(3))
    assert jensen_shannon(np.zeros(2), np.array([0.0, 1])) == 1


def test_water_has_two_bonds_and_an_angle() -> None:
    (types, lengths), (_, angles) = bond_lengths(made("H2O")), bond_angles(made("H2O"))
    assert len(set(types.tolist())) == 1
    assert lengths == pytest.approx([0.9686] * 2, abs=1e-3)
    assert angles == pytest.approx([104.0], abs=1e-2)


def test_methane_is_a_tetrahedron_and_benzene_has_two_kinds_of_bond() -> None:
    assert bond_angles(made("CH4"))[1] == pytest.approx([np.degrees(np.arccos(-1 / 3))] * 6)
    assert bond_angles(made("C6H6"))[1] == pytest.approx([120] * 18, abs=0.1)
    assert len(set(bond_lengths(made("C6H6"))[0].tolist())) == 2


@pytest.mark.parametrize("seed", range(3))
def test_neither_pose_nor_numbering_matters(seed: int) -> None:
    moved = [turned(molecule, seed)[0] for molecule in ALL]
    for measure in (bond_lengths, bond_angles):
        for one, other in zip(ALL, moved, strict=True):
            found, again = (sorted(zip(*measure(m), strict=True)) for m in (one, other))
            assert np.allclose(found, again)


def test_a_set_is_its_own_likeness_and_a_stretched_one_is_not() -> None:
    for divergence, broken in ((length_divergence, stretched()), (angle_divergence, flattened())):
        same, floor = divergence(ALL, ALL), divergence(shaken(0.02, 0), shaken(0.02, 1))
        assert same == pytest.approx(0, abs=1e-12)
        assert floor < 0.15
        assert divergence(broken, shaken(0.02, 1)) > 2 * floor


def stretched() -> list[Molecule]:
    return [replace(m, positions=1.03 * m.positions) for m in shaken(0.02, 0)]


def flattened() -> list[Molecule]:
    return [replace(m, positions=m.positions * np.array([1, 1, 0.9])) for m in shaken(0.02, 0)]


def test_what_is_missing_counts_as_far() -> None:
    assert length_divergence([made("CH4")], [made("H2O")]) == 1
    assert length_divergence([made("CH4"), made("H2O")], [made("H2O")]) == pytest.approx(0, abs=1e-12)
