"""Bonds from the table: right on molecules whose bonds are known, blind to how atoms are numbered and turned."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_molecules import apart, made, turned, without_a_hydrogen

from ornstein.domains.molecules.chemistry.molecule import Molecule
from ornstein.domains.molecules.chemistry.stability import (
    Stability,
    _limits,
    bond_orders,
    connected,
    stable_atoms,
    valid_smiles,
)

KNOWN = {
    "H2O": "[H]O[H]", "CH4": "[H]C([H])([H])[H]", "CH3CH2OH": "[H]OC([H])([H])C([H])([H])[H]", "HCN": "[H]C#N",
    "C2H4": "[H]C([H])=C([H])[H]", "N2": "N#N", "H2CO": "[H]C([H])=O", "CO2": "O=C=O", "CH3Cl": "[H]C([H])([H])Cl",
}  # fmt: skip


@pytest.mark.parametrize(("name", "smiles"), KNOWN.items())
def test_known_molecules(name: str, smiles: str) -> None:
    molecule = made(name)
    assert valid_smiles(molecule) == smiles
    assert Stability.of([molecule]) == Stability(1, 1, 1, 1, 1)


@given(st.sampled_from(sorted(KNOWN)), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_neither_pose_nor_numbering_matters(name: str, seed: int) -> None:
    molecule = made(name)
    moved, order = turned(molecule, seed)
    assert (bond_orders(moved) == bond_orders(molecule)[np.ix_(order, order)]).all()
    assert valid_smiles(moved) == valid_smiles(molecule)


def stretched(molecule: Molecule) -> Molecule:
    return replace(molecule, positions=1.2 * molecule.positions)


def another_element(molecule: Molecule) -> Molecule:
    return replace(molecule, numbers=np.where(molecule.numbers == 6, 7, molecule.numbers))


@pytest.mark.parametrize("broken", [without_a_hydrogen, stretched, another_element])
def test_broken_molecules_are_unstable(broken: Callable[[Molecule], Molecule]) -> None:
    found = Stability.of([broken(made("CH3CH2OH"))])
    assert found.molecules == 0
    assert found.atoms < 1


def test_an_atom_less_changes_its_neighbour_alone() -> None:
    molecule = without_a_hydrogen(made("CH4"))
    assert stable_atoms(molecule.numbers, bond_orders(molecule)).tolist() == [False, True, True, True]


def test_two_molecules_are_not_one() -> None:
    both = apart(made("H2O"), made("CH4"))
    assert connected(bond_orders(made("CH3CH2OH")))
    assert not connected(bond_orders(both))
    assert Stability.of([both]) == Stability(atoms=1, molecules=1, connected=0, valid=1, unique=1)
    assert valid_smiles(both) == KNOWN["CH4"]  # the larger piece, as EDM


def test_a_chain_is_connected_whatever_its_length() -> None:
    for n in range(1, 40):
        chain = np.eye(n, k=1, dtype=int) + np.eye(n, k=-1, dtype=int)
        assert connected(chain)
        assert n == 1 or not connected(np.where(np.arange(n) == n // 2, 0, chain) * chain.T)


def test_shares_count_atoms_molecules_and_smiles() -> None:
    found = Stability.of([made("H2O"), made("H2O"), without_a_hydrogen(made("H2O"))])
    assert found.atoms == pytest.approx(7 / 8)
    assert found.molecules == pytest.approx(2 / 3)
    assert found.valid == 1
    assert found.unique == pytest.approx(2 / 3)  # water twice, and O with a hydrogen implied


def test_higher_orders_are_shorter() -> None:
    single, double, triple = _limits()
    assert (single >= double).all()
    assert (double >= triple).all()
    assert all((limit == limit.T).all() for limit in (single, double, triple))
