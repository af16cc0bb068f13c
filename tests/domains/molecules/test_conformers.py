"""Conformers of molecules that SMILES name: drawn with the given elements within the bounds of the graph, recognised,
put into the order of the SMILES, and turned over where they are mirror images.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import rdDistGeom

import ornstein as on
from folders import origin
from ornstein import InputError
from ornstein.beliefs import Normal
from ornstein.cli import main
from ornstein.config import update
from ornstein.covariances import Diagonal
from ornstein.denoisers.base import NeuralDenoiser
from ornstein.domains.molecules import metrics
from ornstein.domains.molecules.bounds import DistanceBounds
from ornstein.domains.molecules.chemistry.conformers import Conformers, conformer
from ornstein.domains.molecules.chemistry.molecule import Molecule
from ornstein.domains.molecules.chemistry.perception import from_rdkit
from ornstein.domains.molecules.chemistry.smiles import FAR, distance_bounds, handedness, parsed
from ornstein.domains.molecules.drawn import conformers_of, molecules_of
from ornstein.domains.molecules.task import Molecules, MoleculesConfig, MoleculesRequest
from ornstein.tasks import requests
from ornstein.tasks.samples import read_samples
from worlds import rejected


@cache
def model() -> NeuralDenoiser:
    """Small and without training."""
    known = origin("molecules")
    config = update(MoleculesConfig(), known.config, "test")
    return Molecules().denoiser(config, known.metadata, known)


def embedded(smiles: str, seed: int = 0) -> Molecule:
    """A conformer by RDKit's distance geometry, its atoms in another order than the SMILES has them."""
    mol = Chem.Mol(parsed(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=seed) == 0
    made = from_rdkit(mol)
    order = np.random.default_rng(seed).permutation(len(made))
    return Molecule(made.numbers[order], made.positions[order])


def mirrored(molecule: Molecule) -> Molecule:
    return Molecule(molecule.numbers, molecule.positions * [-1.0, 1.0, 1.0])


# Recognised -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smiles", ["CCO", "CC(=O)NC", "c1ccccc1O", "C[N+](=O)[O-]", "C1CC1C(O)C#N", "[H][H]", "O"])
def test_conformers_come_back_in_the_order_of_the_smiles(smiles: str) -> None:
    wanted = parsed(smiles)

    def in_order(molecule: Molecule) -> None:
        numbers = [atom.GetAtomicNum() for atom in wanted.GetAtoms()]
        assert molecule.numbers.tolist() == numbers
        ends = np.array([(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in wanted.GetBonds()])
        assert np.linalg.norm(molecule.positions[ends[:, 0]] - molecule.positions[ends[:, 1]], axis=1).max() < 1.7

    drawn = embedded(smiles)
    found = conformer(drawn, smiles)
    assert (found.right, found.stereo, found.mirrored) == (True, None, False)
    in_order(found.molecule)
    if len(drawn) > 3:
        rejected(in_order, drawn)


@pytest.mark.parametrize(
    ("drawn", "asked"), [("CCO", "COC"), ("CC=O", "C=CO"), ("CCO", "CC=O"), ("C1CC1", "CC=C"), ("NC=O", "N=CO")]
)
def test_isomers_and_others_are_not_conformers(drawn: str, asked: str) -> None:
    found = conformer(embedded(drawn), asked)
    assert (found.right, found.stereo) == (False, None)
    assert found.molecule.smiles == ""


def test_mirror_images_are_turned_over_and_other_stereoisomers_are_not() -> None:
    right, left = "C[C@H](O)C#N", "C[C@@H](O)C#N"
    found = conformer(embedded(right), right)
    assert (found.stereo, found.mirrored) == (True, False)
    turned = conformer(embedded(left), right)
    assert (turned.stereo, turned.mirrored) == (True, True)
    again = conformer(turned.molecule, right)
    assert (again.stereo, again.mirrored) == (True, False)
    assert np.abs(again.molecule.positions - turned.molecule.positions).max() == 0
    kept = conformer(embedded(left), right, mirror=False)
    assert (kept.right, kept.stereo, kept.mirrored) == (True, False, False)
    two, other = "C[C@H](O)[C@H](F)C#N", "C[C@H](O)[C@@H](F)C#N"
    assert conformer(mirrored(embedded(two)), two).mirrored
    assert conformer(embedded(other), two).stereo is False
    assert conformer(embedded("C/C=C\\C=O"), "C/C=C/C=O").stereo is False
    assert conformer(embedded("C/C=C/C=O"), "C/C=C/C=O").stereo is True


def test_stereo_is_compared_in_every_order_of_the_atoms() -> None:
    """Meso-butanediol is its own mirror image, but only once its halves have changed places."""
    meso = "C[C@H](O)[C@@H](O)C"
    for drawn in (embedded(meso), mirrored(embedded(meso))):
        assert conformer(drawn, meso).stereo is True
    assert conformer(embedded("C[C@H](O)[C@H](O)C"), meso).stereo is False


# Bounds -----------------------------------------------------------------------------------------------


def test_real_conformers_are_within_the_bounds_and_isomers_are_not() -> None:
    bounds = torch.from_numpy(distance_bounds(parsed("OCC(O)CO"), 20))
    assert bounds[0, 19] == FAR
    assert bounds[19, 0] == 0

    def within(molecule: Molecule) -> None:
        assert _missed(molecule, bounds) < 0.01

    within(conformer(embedded("OCC(O)CO"), "OCC(O)CO").molecule)
    rejected(within, embedded("OCC(O)CO"))


def _missed(molecule: Molecule, bounds: torch.Tensor) -> float:
    x = torch.zeros(1, len(bounds), 3, dtype=torch.float64)
    x[0, : len(molecule)] = torch.from_numpy(molecule.positions)
    return -DistanceBounds(bounds, 1.0).log_expect(Normal(x, Diagonal(torch.zeros_like(x)))).item()


def test_the_belief_moves_to_the_least_of_energy_and_distance() -> None:
    """Two atoms 3 Å apart with bounds of 1 Å, doubt c = 1 Å²: each moves by 2w(d − 1)c/(1 + 4wc)."""
    bounds = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    x = torch.tensor([[[-1.5, 0.0, 0.0], [1.5, 0.0, 0.0]]], dtype=torch.float64)
    space = on.spaces.Centered((2, 3), on.schedules.Cosine(), 1.0)
    for weight in (0.1, 1.0, 1000.0):
        value, belief = DistanceBounds(bounds, weight).update(Normal(x, Diagonal(x * 0)), x, 0.9, space)
        moved = 2 * weight * 2 / (1 + 4 * weight)
        assert (belief.mean[0, 1, 0] - (1.5 - moved)).abs() < 1e-2
        envelope = weight * (2 - 2 * moved) ** 2 + moved**2
        assert value.item() == pytest.approx(-envelope, rel=0.02)


# Drawn ------------------------------------------------------------------------------------------------


def shares(**asked: Any) -> float:
    samples = requests.draw(model(), MoleculesRequest(**asked), 8, steps=12)
    return sum(one.right for one in conformers_of(samples)) / 8


def test_bounds_make_conformers_of_what_a_network_without_training_says() -> None:
    def most(asked: dict[str, Any]) -> None:
        assert shares(**asked) > 0.5

    most({"smiles": ("CC(=O)NC",)})
    rejected(most, {"smiles": ("CC(=O)NC",), "bounds": 0.0})


def test_files_name_molecules_and_each_gets_its_conformers(tmp_path: Path) -> None:
    lines = "SMILES name\nCCO ethanol\n\nC[Xx]\n# more\nCCS\n[NH4+]\nC/C=C/C=O crotonaldehyde\n"
    (tmp_path / "mine.smi").write_text(lines)
    asked = MoleculesRequest(smiles=(str(tmp_path / "mine.smi"), "CO"), conformers=2)
    samples = requests.draw(model(), asked, steps=3)
    assert list(samples.each["molecule"]) == ["ethanol"] * 2 + ["crotonaldehyde"] * 2 + ["CO"] * 2
    assert [one.numbers.tolist().count(6) for one in molecules_of(samples)] == [2, 2, 4, 4, 1, 1]
    said = " ".join(samples.notes)
    for note in ("line 4: 'C[Xx]' is no SMILES", "line 6: the model does not know", "line 7: its charge is +1"):
        assert note in said
    assert " of 6 are conformers" in said
    part = requests.draw(model(), asked, 2, first=2, steps=3)
    assert (part.x["positions"] - samples.x["positions"][2:4]).abs().max() < 1e-4


def test_conformers_are_written_with_the_bonds_of_the_smiles(tmp_path: Path) -> None:
    samples = requests.draw(model(), MoleculesRequest(smiles=("C[C@H](O)C=O",)), 8, steps=12)
    folder = samples.save(tmp_path / "samples")
    records = list(Chem.SDMolSupplier(str(folder / "samples.sdf"), removeHs=False))
    found = conformers_of(samples)
    assert [mol.GetDoubleProp("conformer") == 1 for mol in records] == [one.right for one in found]
    right = [mol for mol, one in zip(records, found, strict=True) if one.right]
    assert right
    for mol in right:
        assert [atom.GetSymbol() for atom in mol.GetAtoms()][:5] == ["C", "C", "O", "C", "O"]
        assert Chem.MolToSmiles(Chem.RemoveHs(mol)) == Chem.CanonSmiles("C[C@H](O)C=O")
    back = conformers_of(read_samples(folder))
    assert [one.right for one in back] == [one.right for one in found]
    assert not any(one.mirrored for one in back)
    share, stereo = metrics.as_asked(Conformers.of(back))
    assert (share.name, share.value) == ("conformers", len(right) / 8)
    assert (stereo.name, stereo.value) == ("stereo as asked", 1)


def test_particles_draw_around_given_elements_and_refuse_several_molecules() -> None:
    asked = MoleculesRequest(smiles=("CO",))
    samples = requests.draw(model(), asked, 4, steps=4, exact="particles", particles=8)
    assert samples.exactness is not None
    assert [one.numbers.tolist() for one in molecules_of(samples)] == [[6, 8, 1, 1, 1, 1]] * 4
    with pytest.raises(InputError, match="draws one population"):
        requests.draw(model(), MoleculesRequest(smiles=("CO", "CCO")), 20, steps=2, exact="particles")
    with pytest.raises(InputError, match="follow no law of their own"):
        requests.draw(model(), asked, 2, exact="mcmc")


def test_a_factor_in_python_says_the_same() -> None:
    condition = {"mask": torch.arange(29).expand(6, 29) < 9}
    guided = model() & on.molecules.conformer_bounds("CCO")
    drawn = on.sample(guided, 6, 12, eta=1.0, order=2, grid="uniform", condition=condition)
    elements = origin("molecules").metadata["elements"]
    expected = [elements.index(atom.GetAtomicNum()) for atom in parsed("CCO").GetAtoms()]
    assert drawn.x["atoms"][:, :9].tolist() == [expected] * 6
    bounds = torch.from_numpy(distance_bounds(parsed("CCO"), 29))
    x = drawn.x["positions"]
    assert DistanceBounds(bounds, 1.0).log_expect(Normal(x, Diagonal(x * 0))).min() > -1
    for smiles, said in (("C[Xx]", "is no SMILES"), ("CCS", "does not know"), ("C" * 20, "expected at most 29")):
        with pytest.raises(InputError, match=said):
            _ = model() & on.molecules.conformer_bounds(smiles)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--smiles", "C[C@H](O"), "is no SMILES that RDKit reads"),
        (("--smiles", "*C"), "an atom of no element"),
        (("--smiles", "[2H]C"), "isotopes"),
        (("--smiles", "CO.O"), "several molecules"),
        (("--smiles", "[CH3]"), "a radical"),
        (("--smiles", "[O-]C"), "its charge is -1"),
        (("--smiles", ""), "is no SMILES"),
        (("--smiles", "nothing.smi"), "cannot be read"),
        (("--smiles", "CCO", "--atoms", "9"), "leave out --atoms"),
        (("--smiles", "CCO", "--formula", "C2H6O"), "leave out --formula"),
        (("--smiles", "CCO", "--conformers", "0"), "conformers"),
        (("--smiles", "CCO", "--bounds", "-1"), "bounds"),
        (("--smiles", "CCO", "CO", "--n", "21"), "the request speaks of 20"),
        (("--conformers", "3"), "--smiles"),
        (("--bounds", "3"), "--smiles"),
    ],
)
def test_what_is_no_molecule_to_ask_for_ends_with_code_2(
    flags: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", "molecules/qm9", *flags, "--out", str(tmp_path / "out")]) == 2
    assert not list(tmp_path.iterdir())
    assert said in capsys.readouterr().err


def test_handed_centres_are_seen_and_a_mirror_image_is_turned() -> None:
    smiles = "C[C@H](O)[C@H](F)C#N"
    bounds, rows = distance_bounds(parsed(smiles), 14), handedness(parsed(smiles), 14)
    assert (rows[:, 4] != 0).sum() == 2
    factor = DistanceBounds(torch.from_numpy(bounds), 10.0, torch.from_numpy(rows))
    right = conformer(embedded(smiles), smiles).molecule

    def least(molecule: Molecule) -> None:
        x = torch.zeros(1, 14, 3, dtype=torch.float64)
        x[0, : len(molecule)] = torch.from_numpy(molecule.positions)
        assert factor.log_expect(Normal(x, Diagonal(x * 0))).item() > -0.1

    least(right)
    rejected(least, mirrored(right))
