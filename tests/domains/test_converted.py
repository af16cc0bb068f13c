"""Samples of each domain as what its people work with."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ornstein as on
import recon_domain
import small_weather
from ornstein import Keys, Samples
from ornstein.domains.molecules import data as molecular
from ornstein.domains.molecules.chemistry.molecule import Molecule
from ornstein.domains.sequences import data as letters
from ornstein.domains.weather.asked.flags import WeatherRequest
from ornstein.events import finished
from ornstein.tasks.requests import drawing
from registering import registered


def of(name: str, x: Any, condition: Any = None, **said: Any) -> Samples:
    """States as if the shipped model had drawn them."""
    return Samples(x, condition or {}, on.load(name).origin, settings={"seed": 3, "first": 5}, **said)


def facts(name: str) -> Mapping[str, Any]:
    """The metadata of a shipped model."""
    origin = on.load(name).origin
    assert origin is not None
    return origin.metadata


def test_pictures() -> None:
    x = Keys.of(0, 3).uniform(1, 8, 8).float() * 2 - 1
    samples = of("images/digits", x, {"label": torch.tensor([1, 2, 3])})
    pictures = samples.to_pil()
    assert [picture.size for picture in pictures] == [(8, 8)] * 3
    assert np.abs(np.asarray(pictures[1]) / 127.5 - 1 - x[1, 0].numpy()).max() < 0.005
    found = samples.to_xarray()
    assert found["picture"].dims == ("number", "channel", "row", "column")
    assert found["label"].sel(number=6) == 2
    assert samples.to_pandas()["label"].tolist() == [1, 2, 3]


def test_sequences() -> None:
    texts = ["ACGT" * 15, "TTTT" * 15]
    samples = of("sequences/start-sites", letters.from_text(texts, "ACGT", "here"))
    table = samples.to_pandas()
    assert table["sequence"].tolist() == texts
    assert table["length"].tolist() == [60, 60]
    found = samples.to_xarray()
    assert "".join(found["letter"].sel(number=5, position=slice(1, 4)).values) == "ACGT"


def test_sequences_of_several_lengths_and_families() -> None:
    origin = on.load("sequences/start-sites").origin
    assert origin is not None
    facts = {**origin.metadata, "alphabet": "ACGT-", "length": 4, "lengths": {3: 1, 4: 1}, "families": ["a", "b"]}
    x, mask = torch.tensor([[0, 4, 2, 0], [3, 3, 3, 3]]), torch.tensor([[True] * 3 + [False], [True] * 4])
    samples = Samples(x, {"mask": mask, "family": torch.tensor([1, 0])}, replace(origin, metadata=facts))
    table = samples.to_pandas()
    assert table.to_dict("list") == {"sequence": ["A-G", "TTTT"], "length": [2, 4], "family": ["b", "a"]}
    assert samples.to_xarray()["letter"].values.tolist() == [["A", "-", "G", ""], ["T"] * 4]


def water_and_methane() -> Samples:
    metadata = facts("molecules/qm9")
    tetrahedron = 0.629 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    water = Molecule(np.array([8, 1, 1]), np.array([[0, 0, 0.117], [0, 0.757, -0.469], [0, -0.757, -0.469]]))
    methane = Molecule(np.array([6, 1, 1, 1, 1]), np.concatenate([np.zeros((1, 3)), tetrahedron]))
    return of("molecules/qm9", *molecular.states([water, methane], metadata))


def test_molecules_are_rdkits_with_their_positions() -> None:
    samples = water_and_methane()
    water, methane = samples.to_rdkit()
    assert [mol.GetProp("smiles") for mol in (water, methane)] == ["O", "C"]
    assert [mol.GetIntProp("number") for mol in (water, methane)] == [5, 6]
    assert methane.GetNumAtoms() == 5
    bond = np.linalg.norm(np.diff(methane.GetConformer().GetPositions()[:2], axis=0))
    assert bond == pytest.approx(0.629 * 3**0.5, abs=1e-4)
    assert [str(atoms.symbols) for atoms in samples.to_ase()] == ["OH2", "CH4"]
    assert samples.to_pandas()["formula"].tolist() == ["H2O", "CH4"]


def test_molecules_are_arrays_padded_to_the_largest() -> None:
    found = water_and_methane().to_xarray()
    assert found["atomic_numbers"].values.tolist() == [[8, 1, 1, 0, 0], [6, 1, 1, 1, 1]]
    assert found["positions"].attrs["units"] == "angstrom"
    assert found["positions"].sel(number=5).isnull().sum() == 6
    assert set(water_and_methane().to_numpy()) == {"positions", "atomic_numbers"}


def test_a_heap_of_atoms_is_a_molecule_without_bonds() -> None:
    metadata = facts("molecules/qm9")
    heap = Molecule(np.array([6, 6, 6]), np.array([[0, 0, 0], [9.0, 0, 0], [0, 9.0, 0]]))
    (mol,) = of("molecules/qm9", *molecular.states([heap], metadata)).to_rdkit()
    assert mol.GetNumAtoms() == 3
    assert mol.GetNumBonds() == 0


def test_states_of_an_energy_have_it_beside_them() -> None:
    samples = of("energies/gmm-40", torch.tensor([[1.0, 2.0], [300.0, -20.0]]))
    table, found = samples.to_pandas(), samples.to_xarray()
    assert list(table) == ["energy", "x0", "x1"]
    assert table["energy"].tolist() == found["energy"].values.tolist()
    assert table["energy"][6] > table["energy"][5]
    assert found["x"].dims == ("number", "coordinate")


def test_sources_without_a_request_are_fields_alone() -> None:
    found = of("poisson/gaussian", torch.zeros(2, 1, 64, 64)).to_xarray()
    assert found["field"].dims == ("number", "y", "x")


def test_ensembles_are_what_their_store_holds(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    small_weather.written(tmp_path)
    model = small_weather.model(tmp_path)
    asked = WeatherRequest(forecast=tmp_path / "raw.nc", times="1:3", members=2)
    with registered(*small_weather.DOMAIN):
        samples = finished(drawing(model, asked, 4, seed=0, steps=1))
        found = samples.to_xarray()
        samples.save(tmp_path / "ens")
    assert found["t2m"].dims == ("time", "number", "step", "latitude", "longitude")
    assert found["t2m"].attrs["units"] == "K"
    with xarray.open_zarr(tmp_path / "ens" / "ens.zarr") as stored:
        for name in ("t2m", "tp"):
            assert np.allclose(found[name], stored[name], atol=1e-4)
        for name in ("time", "step", "number", "valid_time", "latitude"):
            assert (found[name].values == stored[name].values).all()


def test_slices_have_their_phase_and_their_place() -> None:
    model = recon_domain.model()
    x = Keys.of(0, 4).normal(2, *recon_domain.SHAPE).float()
    phase = torch.polar(torch.ones(4, *recon_domain.SHAPE), torch.full((4, *recon_domain.SHAPE), 0.3))
    condition = {"phase": phase, "scale": torch.full((4,), 7.0)}
    found = Samples(x, condition, model.origin).to_xarray()
    expected = torch.complex(x[:, 0], x[:, 1]) * phase * 7
    assert np.allclose(found["image"].values, expected.numpy(), atol=1e-4)
    assert found["member"].values.tolist() == [0, 1, 2, 3]
    assert found["slice"].values.tolist() == [0, 0, 0, 0]
