"""Molecules of one's own, from SMILES to scores: conformers, units of noise, weights of a model of other elements."""

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rdkit import Chem

import ornstein as on
from ornstein.commands.sets import made
from ornstein.config import update
from ornstein.domains.molecules import data, network
from ornstein.domains.molecules.chemistry import files
from ornstein.domains.molecules.chemistry.embedding import embedded, parsed
from ornstein.domains.molecules.chemistry.graphs import known_surroundings
from ornstein.domains.molecules.chemistry.perception import from_rdkit, perceived, smiles_of
from ornstein.domains.molecules.chemistry.records import LACKING, Fault
from ornstein.domains.molecules.chemistry.stability import Stability, bond_orders, stable_atoms
from ornstein.domains.molecules.sets import SETS
from ornstein.domains.molecules.task import MoleculesConfig, MoleculesRequest
from ornstein.domains.molecules.transfer import transferred
from ornstein.errors import InputError
from ornstein.networks import MolecularConfig
from ornstein.tasks import runs

DRUGS = Path(__file__).parent / "drug-like.smi"
conformers = made(SETS["molecules-conformers"])


# From SMILES ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("smiles", "said"),
    [
        ("", "no SMILES"),
        ("c1ccccc", "no SMILES"),
        ("C(C)(C)(C)(C)C", "no SMILES"),
        ("CCN.Cl", "2 pieces"),
        ("CC(=O)[O-]", "its charge is -1"),
        ("C[CH2]", "unpaired electron"),
        ("C*", "does not know"),
        ("C[Hg]C", "does not know"),
        ("[He]", "has 1 atoms, expected 2 to 20"),
        ("CCCCCCCCC", "has 29 atoms, expected 2 to 20"),
    ],
)
def test_what_is_no_molecule_to_build_is_said(smiles: str, said: str) -> None:
    with pytest.raises(Fault, match=said):
        parsed(smiles, most=20)


@pytest.mark.parametrize("smiles", ["C[N+](=O)[O-]", "[NH3+]CC(=O)[O-]", "CS(C)(=O)=O", "CP(=O)(O)O", "c1ccsc1Br"])
def test_formal_charges_and_higher_valences_are_built_and_perceived(smiles: str) -> None:
    found = perceived(from_rdkit(embedded(smiles)))
    assert found is not None
    assert smiles_of(found) == Chem.CanonSmiles(smiles)


@pytest.mark.parametrize(("smiles", "numbers"), [("CSC", [16]), ("CS(C)(=O)=O", [8, 16]), ("CS(C)=O", [8, 16])])
def test_sulphur_is_stable_at_two_four_and_six(smiles: str, numbers: list[int]) -> None:
    molecule = from_rdkit(embedded(smiles))
    stable = stable_atoms(molecule.numbers, bond_orders(molecule))
    assert stable[np.isin(molecule.numbers, numbers)].all()


def test_conformers_differ_and_the_one_of_least_energy_is_first() -> None:
    found = embedded("OCCCCN", seed=3, conformers=5)
    clouds = np.array([conformer.GetPositions() for conformer in found.GetConformers()])
    assert len(clouds) > 1
    lengths = np.linalg.norm(clouds[:, :, None] - clouds[:, None], axis=-1)
    assert np.abs(lengths[1:] - lengths[0]).max((1, 2)).min() > 0.3
    again = embedded("OCCCCN", seed=3, conformers=5).GetConformer(0).GetPositions()
    assert np.array_equal(again, clouds[0])


def test_lines_are_read_or_named_and_counted(tmp_path: Path, capsys: Any) -> None:
    lines = ["smiles,name", "CCO,ethanol", "", "CC.O", "CCO,again", "C1CC", "# a comment", "CC(=O)O\tvinegar acid"]
    (tmp_path / "my.smi.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    conformers(tmp_path / "mine", smiles=tmp_path / "my.smi.gz")
    said = capsys.readouterr().out
    assert "2 conformers of 2 molecules in conformers.sdf; 3 lines left out" in said
    assert (tmp_path / "mine" / "left-out.txt").read_text().splitlines() == [
        f"{tmp_path / 'my.smi.gz'}: line 4: has 2 pieces, as salts have, expected one molecule",
        f"{tmp_path / 'my.smi.gz'}: line 5: repeats line 2",
        f"{tmp_path / 'my.smi.gz'}: line 6: 'C1CC' is no SMILES that RDKit reads",
    ]
    found, bad, notes = files.read(tmp_path / "mine", hydrogens=True, to_learn=True)
    assert [one.name for one in found] == ["ethanol", "vinegar acid"]
    assert not bad
    assert not notes


@pytest.mark.parametrize(
    ("text", "how", "said"),
    [
        ("", {}, "is empty"),
        ("C.C\nC1", {}, "line 1: has 2 pieces.*nothing else"),
        ("CCO", {"at_most": 3}, "line 1: has 9 atoms, expected 2 to 3"),
        ("CCO", {"at_least": 9, "at_most": 5}, "at least ≤ at most"),
        ("CCO", {"conformers": 0}, "--conformers 0"),
        ("\x1f\x8b broken", {}, "no whole gzip"),
    ],
)
def test_a_file_of_which_nothing_is_made_leaves_nothing(
    tmp_path: Path, text: str, how: dict[str, Any], said: str
) -> None:
    (tmp_path / "my.smi").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=said):
        conformers(tmp_path / "mine", smiles=tmp_path / "my.smi", **how)
    assert [path.name for path in tmp_path.iterdir()] == ["my.smi"]
    with pytest.raises(InputError, match="not found"):
        conformers(tmp_path / "mine", smiles=tmp_path / "other.smi")


def test_molecules_without_their_hydrogens_are_noted_before_they_are_learned(tmp_path: Path) -> None:
    mols = [embedded(smiles) for smiles in ("CCO", "c1ccccc1O", "C[N+](=O)[O-]")]
    for name, written in {"all": mols, "heavy": [*mols[:1], *map(Chem.RemoveHs, mols[1:])]}.items():
        with Chem.SDWriter(str(tmp_path / f"{name}.sdf")) as writer:
            for mol in written:
                writer.write(mol)
    assert not files.read(tmp_path / "all.sdf", to_learn=True).notes
    (note,) = files.read(tmp_path / "heavy.sdf", to_learn=True).notes
    assert note.startswith(LACKING)
    assert "2 records, the first is" in note
    assert "record 2" in note
    assert not files.read(tmp_path / "heavy.sdf").notes  # a fragment to build around


# Larger molecules -------------------------------------------------------------------------------------


def facts(std: float, elements: list[int], properties: dict[str, list[float]] | None = None) -> dict[str, Any]:
    sizes = {"9": 1}
    return {"length": 9, "std": std, "elements": elements, "properties": properties or {}, "sizes": sizes}


def test_large_molecules_have_the_noise_of_small_ones_beside_a_bond() -> None:
    t = torch.linspace(0.05, 0.95, 7)
    small, large, tiny = (network.space(facts(std, [1, 6])).parts["positions"] for std in (1.4, 2.5, 0.9))
    ratio = [space.schedule.sigma(t) / space.schedule.alpha(t) for space in (small, large, tiny)]  # pyright: ignore
    torch.testing.assert_close(ratio[0], ratio[1])
    torch.testing.assert_close(ratio[2], ratio[0] * 0.9 / 1.4)
    assert small == large


def test_weights_fit_other_elements_by_their_number() -> None:
    theirs, ours = facts(1.4, [1, 6, 7, 8], {"gap": [0.0, 1.0]}), facts(2.5, [1, 6, 8, 9, 16])
    config = MolecularConfig(16, 1, 2, 8, 4, 8, recalls=True)
    other, mine = network.build(config, theirs), network.build(config, ours)
    tensors, said = transferred(other.state_dict(), theirs, ours)
    mine.load_state_dict(tensors)
    assert said == "F begins as C; S begins as O; properties are learned anew"
    rows = [0, 1, 3, 1, 3]
    torch.testing.assert_close(mine.elements.bias, other.elements.bias[rows])
    torch.testing.assert_close(mine.atoms.weight, other.atoms.weight[[*rows, 4]])
    assert mine.recollection
    assert other.recollection
    torch.testing.assert_close(mine.recollection.atoms.weight, other.recollection.atoms.weight[:, [*rows, 4]])
    same, said = transferred(other.state_dict(), theirs, theirs)
    assert not said
    assert all(torch.equal(value, same[name]) for name, value in other.state_dict().items())


def test_surroundings_are_known_or_not() -> None:
    ethanol, water, acid = (from_rdkit(embedded(smiles)) for smiles in ("CCO", "O", "CC(=O)O"))
    assert known_surroundings([ethanol], [ethanol, water]) == 1
    assert known_surroundings([water], [ethanol]) == pytest.approx(2 / 3)  # its hydrogens are like that of the OH
    nowhere = replace(water, positions=water.positions * np.nan)
    assert known_surroundings([nowhere, water], [water]) == 0.5
    assert known_surroundings([acid], [ethanol]) == pytest.approx(6 / 8)  # not C(=O)O, not =O


@pytest.mark.slow
def test_the_whole_way_from_smiles_to_scores(tmp_path: Path) -> None:
    conformers(tmp_path / "mine", smiles=DRUGS)
    network = {"width": 16, "layers": 2, "heads": 2, "pairs": 8, "vectors": 4, "radial": 8}
    steps = {"steps": 2, "batch_size": 8, "plan": ()}
    small = update(MoleculesConfig(), {"data": "qm9-sample", "network": network, "train": steps}, "test")
    start = runs.train("molecules", "small", small, tmp_path / "small")
    own = {"data": str(tmp_path / "mine"), "train": {**steps, "start": str(start)}}
    said: list[str] = []
    path = runs.train("molecules", "own", update(small, own, "test"), tmp_path / "own", say=said.append)
    assert "S begins as O" in " ".join(said)
    model = on.load(path)
    assert model.origin is not None
    assert model.origin.metadata["length"] > 45
    drawn = on.draw(model, MoleculesRequest(), 4, steps=3)
    rows = {row.name: row for row in runs.task_of(path).evaluate(drawn)}
    assert rows["perceived as a molecule"].reference == 1
    known, held_out = data.known(own["data"]), data.reference(own["data"])
    assert len(known) >= 30
    assert Stability.of(held_out).atoms < 0.95  # what the table makes of real ones
    assert rows["atoms in known surroundings"].value < 0.6
