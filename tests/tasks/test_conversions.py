"""What samples become: arrays, tables, labelled arrays, and what their domain adds."""

import copy
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ornstein import InputError, Samples
from ornstein.denoisers.base import Origin
from ornstein.tasks import conversions
from ornstein.tasks.native.netcdf import Variable
from ornstein.tasks.registry import task
from registering import registered

RINGS = Path(__file__).parents[1] / "third_party" / "rings"
MINE = Samples(
    {"places": torch.arange(24.0).reshape(3, 4, 2), "kinds": torch.arange(12).reshape(3, 4)},
    {"label": torch.tensor([5, 6, 7]), "field": torch.zeros(3, 9)},
    settings={"seed": 11, "first": 40},
    genealogy=torch.tensor([0, 0, 1]),
    each={"prompt": ["a", "b", "c"]},
    notes=("a remark",),
)
"""Of a denoiser of one's own, which no domain knows."""


def test_states_are_arrays_by_the_names_of_their_parts() -> None:
    found = MINE.to_numpy()
    assert set(found) == {"places", "kinds"}
    assert np.array_equal(found["places"], np.arange(24.0).reshape(3, 4, 2))
    assert np.array_equal(Samples(torch.eye(3)).to_numpy(), np.eye(3))


def test_a_table_has_a_row_a_sample_and_says_where_it_is_from() -> None:
    table = MINE.to_pandas()
    assert table.index.name == "number"
    assert table.index.tolist() == [40, 41, 42]
    assert table["label"].tolist() == [5, 6, 7]
    assert table["prompt"].tolist() == ["a", "b", "c"]
    assert table["genealogy"].tolist() == [0, 0, 1]
    assert "field" not in table
    assert table.attrs["seed"] == 11
    assert table.attrs["exactness"] == MINE.verdict
    assert "a remark" in MINE.verdict


def test_what_a_domain_says_comes_first_and_stands() -> None:
    table = conversions.pandas(MINE, {"length": [1, 2, 3], "label": ["five", "six", "seven"]})
    assert list(table) == ["length", "label", "prompt", "genealogy"]
    assert table["label"].tolist() == ["five", "six", "seven"]


def test_small_states_are_columns() -> None:
    table = Samples(torch.tensor([[1.0, 2.0], [3.0, 4.0]])).to_pandas()
    assert table.to_dict("list") == {"x0": [1, 3], "x1": [2, 4]}
    assert not len(Samples(torch.zeros(2, 17)).to_pandas().columns)


def test_labelled_arrays_run_along_number_as_files_do(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    found = MINE.to_xarray()
    assert found["places"].dims == ("number", "places_1", "places_2")
    assert found["number"].values.tolist() == [40, 41, 42]
    assert found["label"].values.tolist() == [5, 6, 7]
    assert found.attrs["seed"] == 11
    found.to_netcdf(tmp_path / "samples.nc")
    with xarray.open_dataset(tmp_path / "samples.nc") as back:
        assert back.equals(found)


def test_variables_of_a_domain_have_names_units_and_coordinates() -> None:
    height = Variable(("number", "y"), np.zeros((3, 2)), "height of the sea", "m")
    found = conversions.xarray(MINE, {"height": height, "y": Variable(("y",), np.array([0.5, 1.5]), "northward", "km")})
    assert found["height"].attrs == {"long_name": "height of the sea", "units": "m"}
    assert found["height"].sel(y=1.5).shape == (3,)
    assert found["y"].attrs["units"] == "km"


def test_what_nobody_knows_is_no_attribute_and_says_what_there_is() -> None:
    assert not hasattr(MINE, "to_rdkit")
    with pytest.raises(AttributeError, match="no to_rdkit, expected to_numpy, to_pandas, to_xarray"):
        _ = MINE.to_rdkit
    with pytest.raises(AttributeError, match="'Samples' object has no attribute 'nothing'"):
        _ = MINE.nothing
    assert {"to_numpy", "to_pandas", "to_xarray", "verdict"} <= set(dir(MINE))
    assert torch.equal(copy.deepcopy(MINE).x["kinds"], MINE.x["kinds"])


@pytest.mark.parametrize(("name", "extra"), [("pandas", "weather"), ("xarray", "fields")])
def test_a_package_that_is_missing_is_named(name: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"to_{name} needs '{name}': pip install 'ornstein\[{extra}\]'"):
        getattr(MINE, f"to_{name}")()


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Samples]:
    monkeypatch.syspath_prepend(RINGS)
    with registered("rings", "ornstein_rings.task:Rings"):
        yield Samples(torch.tensor([[1.0, 2.0]]), origin=Origin("rings", "mine", {}, {"radius": 1.0}, "0" * 64))


def test_a_domain_of_somebody_else_has_all_of_them(rings: Samples) -> None:
    assert rings.to_pandas().to_dict("list") == {"x0": [1], "x1": [2]}
    assert rings.to_xarray().attrs["model"] == "rings/mine"
    assert {"to_numpy", "to_pandas", "to_xarray"} <= set(dir(rings))


def test_it_shows_what_is_on_its_way(rings: Samples) -> None:
    figure = task("rings").frame(rings)
    assert figure is not None
    assert figure.image.startswith(b"\x89PNG")
