"""What can be wanted of a molecule: hydrogen bonds, energies, pockets; each beside what it must not reward."""

from pathlib import Path
from typing import Any

import ase.build
import numpy as np
import pytest
import torch
from torch import Tensor

from ornstein import InputError
from ornstein.beliefs import Joint, Normal, Probs
from ornstein.covariances import Diagonal
from ornstein.domains.molecules import factors, network
from ornstein.domains.molecules.chemistry.hydrogen_bonds import contacts, hydrogen_bonds
from ornstein.domains.molecules.chemistry.molecule import Molecule
from ornstein.domains.molecules.chemistry.pockets import Pocket, Vina, read_pocket
from worlds import Blank

QM9 = (1, 6, 7, 8, 9)
SPACE = network.space({"elements": QM9, "length": 11, "std": 1.4})

# Acetic acid's relative with its hydrogen turned to the carbonyl of a six-membered ring: malonaldehyde's enol.
ENOL = Molecule(
    np.array([8, 6, 6, 6, 8, 1, 1, 1, 1]),
    np.array(
        [
            [-1.28, -0.95, 0.0], [-1.19, 0.28, 0.0], [0.05, 0.98, 0.0], [1.21, 0.28, 0.0], [1.27, -1.04, 0.0],
            [-2.09, 0.93, 0.0], [0.06, 2.06, 0.0], [2.19, 0.75, 0.0], [0.33, -1.35, 0.0],
        ]
    ),
)  # fmt: skip
OPENED = Molecule(ENOL.numbers, np.concatenate([ENOL.positions[:8], [[2.17, -1.38, 0.0]]]))  # O–H turned away


def code(molecule: Molecule, padding: int = 2) -> dict[str, Tensor]:
    n = len(molecule)
    atoms = torch.zeros(1, n + padding, len(QM9) + 1, dtype=torch.float64)
    atoms[0, torch.arange(n), [QM9.index(int(z)) for z in molecule.numbers]] = 1
    positions = torch.zeros(1, n + padding, 3, dtype=torch.float64)
    positions[0, :n] = torch.from_numpy(molecule.positions)
    return {"positions": positions, "atoms": atoms}


def belief(molecule: Molecule, spread: float = 0.01) -> Joint:
    said = code(molecule)
    exists = said["atoms"].sum(-1) > 0
    variance = torch.full_like(said["positions"], spread) * exists[..., None]
    positions, atoms = Normal(said["positions"], Diagonal(variance)), Probs(said["atoms"].log(), exists)
    return Joint({"positions": positions, "atoms": atoms})


def made(guide: Any, elements: tuple[int, ...] = QM9, length: int = 11) -> Any:
    """The guide for a model of these elements."""
    metadata = {"elements": list(elements), "length": length, "std": 1.4}
    return guide.bound(Blank(network.space(metadata), metadata))


def turned(molecule: Molecule) -> Molecule:
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    return Molecule(molecule.numbers, molecule.positions @ rotation.T)


def test_a_hydrogen_bond_is_short_and_straight() -> None:
    (found,) = hydrogen_bonds(ENOL)
    assert (found.donor, found.hydrogen, found.acceptor) == (4, 8, 0)
    assert found.distance == pytest.approx(np.linalg.norm(ENOL.positions[8] - ENOL.positions[0]))
    assert hydrogen_bonds(OPENED) == []
    assert len(contacts(OPENED)) == 1
    atoms = ase.build.molecule("CH3CH2OH")
    assert contacts(Molecule(atoms.numbers.astype(np.int64), atoms.positions)) == []  # nobody to accept


def test_the_factor_rewards_what_the_criterion_counts() -> None:
    factor = factors.HydrogenBonded(QM9)
    formed, opened, without = (
        float(factor.log_g(code(m))) for m in (ENOL, OPENED, Molecule(np.array([6, 1]), np.eye(2, 3)))
    )
    assert formed > -1
    assert opened < formed - 2
    assert without == pytest.approx(np.log(factor.floor), abs=1e-3)
    assert float(factor.log_g(code(turned(ENOL)))) == pytest.approx(formed, abs=1e-9)
    assert float(factor.log_g(code(ENOL, padding=7))) == pytest.approx(formed, abs=1e-9)
    assert float(factors.HydrogenBonded(QM9, 2.0).log_g(code(ENOL))) == pytest.approx(2 * formed)


def test_the_factor_pulls_the_hydrogen_to_its_acceptor() -> None:
    x = code(ENOL)
    x["positions"][0, 8, 1] -= 0.25  # longer and more bent
    x["positions"].requires_grad_()
    before = factors.HydrogenBonded(QM9).log_g(x)
    (slope,) = torch.autograd.grad(before.sum(), x["positions"])
    assert (slope[0, 9:] == 0).all()
    assert slope.sum(1).abs().max() < 1e-9  # no force on the whole
    after = factors.HydrogenBonded(QM9).log_g({**x, "positions": x["positions"] + 1e-3 * slope})
    assert (after > before).all()


def line(gap: float) -> dict[str, Tensor]:
    """O–H of 1 Å and an oxygen so many Å on."""
    return code(Molecule(np.array([8, 1, 8]), np.array([[0.0, 0, 0], [1.0, 0, 0], [1 + gap, 0, 0]])), padding=0)


def pull(said: dict[str, Tensor], weight: float = 1.0) -> Tensor:
    """∂ log g/∂x, 1/Å."""
    x = said["positions"].clone().requires_grad_()
    value = factors.HydrogenBonded(QM9, weight).log_g({**said, "positions": x})
    return torch.autograd.grad(value.sum(), x)[0]


@pytest.mark.parametrize("gap", [2.5, 3.0, 3.5, 4.0])
def test_a_bond_is_felt_from_afar(gap: float) -> None:
    off, straight = gap - 2.0, 1 / (1 + np.exp(-(1 + np.cos(np.radians(118))) / 0.2))
    s = straight / (1 + (off / 0.5) ** 2)
    felt = -2 * off / (0.25 + off**2) * s / (1 + s) ** 2 / (1e-3 + s / (1 + s))
    assert pull(line(gap), 4.0)[0, 2, 0].item() == pytest.approx(4 * felt, rel=1e-3)
    assert felt < -0.75  # a bell of 0.3 Å leaves nothing: 1e-6 at 3.5 Å


def test_the_pull_turns_with_the_molecule_and_leaves_elements_alone() -> None:
    rotation = torch.from_numpy(np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0])
    there = pull(code(OPENED))
    assert there.norm() > 0.1
    assert torch.allclose(pull(code(turned(OPENED))), there @ rotation.T, atol=1e-9)
    loose = code(OPENED)
    loose["atoms"].requires_grad_()
    assert not factors.HydrogenBonded(QM9).log_g(loose).requires_grad


def test_a_bond_counts_from_when_shapes_are_decided() -> None:
    guide = made(factors.hydrogen_bond(4.0))
    before, (early, late) = belief(OPENED, 0.1), (0.75, 0.65)
    assert guide.update(before, code(OPENED), early, SPACE)[1] is before
    after = guide.update(before, code(OPENED), late, SPACE)[1]
    hydrogen, acceptor = (after.mean["positions"][0, k] for k in (8, 0))
    assert (hydrogen - acceptor).norm() < np.linalg.norm(OPENED.positions[8] - OPENED.positions[0]) - 0.03
    assert torch.equal(after.mean["atoms"], before.mean["atoms"])


def test_tight_binding_slopes_are_differences_of_its_energy() -> None:
    factor = factors.TightBinding(QM9, temperature=3000.0)
    bent = Molecule(ENOL.numbers, ENOL.positions + 0.03 * np.random.default_rng(1).normal(size=(9, 3)))
    value, slope = factor._energy(belief(bent))
    push = np.random.default_rng(2).normal(size=(9, 3))
    up, down = (
        factor.log_expect(belief(Molecule(bent.numbers, bent.positions + step * push))) for step in (1e-3, -1e-3)
    )
    along = float((slope[0, :9] * torch.from_numpy(push)).sum())
    assert float(up - down) / 2e-3 == pytest.approx(along, rel=1e-2)
    assert (slope[0, 9:] == 0).all()
    relaxed = factor.update(belief(bent, 1e-4), code(bent), 0.1, SPACE)[1]
    assert float(factor.log_expect(relaxed)) > float(value)
    assert float(made(factors.energy()).update(belief(bent), code(bent), 0.9, SPACE)[0]) == 0


def test_wishes_that_the_elements_cannot_fulfil_are_refused() -> None:
    with pytest.raises(InputError, match=r"not of \[16\] protons"):
        made(factors.energy(), (1, 6, 16))
    with pytest.raises(InputError, match="expected 1 and 7 or 8"):
        made(factors.hydrogen_bond(), (1, 6))


def test_clashes_are_penalised_and_bonds_are_not() -> None:
    energy = made(factors.clash_penalty())
    squeezed = Molecule(ENOL.numbers, 0.6 * ENOL.positions)
    assert float(energy.log_g(code(ENOL))) == 0
    assert float(energy.log_g(code(squeezed))) < -1


# Pockets ----------------------------------------------------------------------------------------------

LINE = (
    "{kind:<6}{number:5d} {name:^4} {residue:3} A{group:4d}    "
    "{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {element:>2}"
)


def pdb(path: Path, ligand: bool = True) -> Path:
    rows: list[Any] = [("ATOM", "CA", "ALA", 1, 0.0, 0.0, 0.0, "C"), ("ATOM", "O", "ALA", 1, 0.0, 3.0, 0.0, "O")]
    rows += [("HETATM", "O", "HOH", 7, 1.0, 1.0, 1.0, "O")]
    rows += [("HETATM", "C1", "LIG", 8, 4.0, 0.0, 0.0, "C"), ("HETATM", "O1", "LIG", 8, 4.0, 1.2, 0.0, "O")] * ligand
    names = ("kind", "name", "residue", "group", "x", "y", "z", "element")
    lines = [LINE.format(number=k + 1, **dict(zip(names, row, strict=True))) for k, row in enumerate(rows)]
    path.write_text("\n".join([*lines, "END", ""]))
    return path


def test_a_pocket_is_read_without_ligand_and_water(tmp_path: Path) -> None:
    pocket = read_pocket(pdb(tmp_path / "a.pdb"))
    assert pocket.numbers.tolist() == [6, 8]
    assert pocket.centre.tolist() == [4.0, 0.6, 0.0]
    assert (pocket.positions + pocket.centre == [[0, 0, 0], [0, 3, 0]]).all()
    with pytest.raises(InputError, match="no ligand to show"):
        read_pocket(pdb(tmp_path / "b.pdb", ligand=False))
    with pytest.raises(InputError, match="has no atom within"):
        read_pocket(tmp_path / "a.pdb", np.array([90.0, 0, 0]))
    (tmp_path / "c.pdb").write_text("nothing")
    with pytest.raises(InputError, match=r"c\.pdb"):
        read_pocket(tmp_path / "c.pdb")


def test_vinas_terms_are_those_of_the_paper() -> None:
    pocket = Pocket(np.array([8]), np.zeros((1, 3)), np.zeros(3))
    probs = torch.zeros(1, 1, len(QM9), dtype=torch.float64)
    probs[..., QM9.index(7)] = 1

    def energy(r: float) -> float:
        return float(Vina(pocket, QM9)(torch.tensor([[[r, 0.0, 0.0]]], dtype=torch.float64), probs))

    def expected(d: float, clash: float, polar: float) -> float:
        return -0.035579 * np.exp(-4 * d**2) - 0.005156 * np.exp(-((d - 3) ** 2) / 4) + clash - 0.587439 * polar

    assert energy(3.5) == pytest.approx(expected(0.0, 0.0, 0.0))  # 1.8 + 1.7: the surfaces touch
    assert energy(2.5) == pytest.approx(expected(-1.0, 0.840245, 1.0))
    assert energy(1.5) > 0 > energy(2.9)


def test_hydrogens_and_what_is_not_there_feel_no_pocket() -> None:
    pocket = Pocket(np.array([8, 6]), np.array([[4.0, 0, 0], [0, 4.0, 0]]), np.zeros(3))
    bound = made(factors.docking_energy(pocket))
    alone = Molecule(np.array([6]), np.zeros((1, 3)))
    with_hydrogen = Molecule(np.array([6, 1]), np.array([[0.0, 0, 0], [1.0, 0, 0]]))
    assert float(bound.log_g(code(alone))) == pytest.approx(float(bound.log_g(code(with_hydrogen, padding=9))))
    assert float(bound.log_g(code(alone))) > 0
