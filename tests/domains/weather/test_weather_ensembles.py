"""From a forecast to an ensemble in Zarr: its form, resumed, read again, recalibrated; and what is refused."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ornstein.domains.weather.asked.flags import WeatherRequest
from ornstein.domains.weather.results import store, stores
from ornstein.domains.weather.results.drawn import ensembles
from ornstein.errors import InputError
from ornstein.tasks import requests
from ornstein.tasks.samples import read_samples
from ornstein.tasks.storage import keeping, reading
from registering import registered
from small_weather import DOMAIN, STEPS, TIMES, fields, model, written

xarray = pytest.importorskip("xarray")
FEW: dict[str, Any] = {"steps": 2}


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(keeping, "SHARE", float("inf"))
    with registered(*DOMAIN):
        yield


def today(folder: Path, kind: str = "grid", times: slice = slice(9, 11), seed: int = 0) -> Path:
    """A forecast of some times."""
    path = folder / "today.nc"
    fields(kind, seed)[0].isel(time=times).to_netcdf(path)
    return path


def test_an_ensemble_has_the_form_of_the_forecast_and_members(tmp_path: Path) -> None:
    written(tmp_path)
    asked = WeatherRequest(today(tmp_path), members=3, truth=tmp_path / "truth.nc")
    drawn = requests.draw(model(tmp_path), asked, **FEW)
    assert len(drawn) == 6
    saved = requests.draw(model(tmp_path), asked, out=tmp_path / "ens", **FEW)
    assert saved.x.equal(drawn.x)
    found = xarray.open_zarr(tmp_path / "ens" / "ens.zarr", decode_timedelta=True)
    given = fields()[0].isel(time=slice(9, 11))
    assert found.t2m.dims == ("time", "number", "step", "latitude", "longitude")
    assert found.t2m.dtype == np.float32
    for name in ("time", "step", "latitude", "longitude"):
        assert np.array_equal(found[name].values, given[name].values), name
    assert np.array_equal(found.valid_time.values, given.time.values[:, None] + given.step.values)
    assert "valid_time" in found.coords
    assert found.time.encoding["units"] == "hours since 1900-01-01"
    assert found.latitude.attrs == {"units": "degrees_north"}
    assert found.number.values.tolist() == [0, 1, 2]
    assert found.t2m.attrs == given.t2m.attrs
    assert found.attrs["institution"] == "nowhere"
    fields_of = drawn.x.reshape(2, 3, 2, 2, 8, 16).numpy()
    assert np.array_equal(found.t2m.values, fields_of[:, :, 0])
    assert np.array_equal(found.tp.values, fields_of[:, :, 1])
    assert (found.tp.values >= 0).all()
    beside = {
        name: xarray.open_zarr(tmp_path / "ens" / f"{name}.zarr", decode_timedelta=True)
        for name in ("truth", "forecast")
    }
    assert np.array_equal(beside["truth"].t2m.values, fields()[1].isel(time=slice(9, 11)).t2m.values)
    assert np.array_equal(beside["forecast"].tp.values, given.tp.values)
    summary = xarray.open_zarr(tmp_path / "ens" / "summary.zarr", decode_timedelta=True)
    assert np.allclose(summary.tp_std, found.tp.std("number", ddof=1), atol=1e-6)
    assert np.allclose(summary.t2m_mean, found.t2m.mean("number"), rtol=1e-6)


def test_samples_read_again_are_those_that_were_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    asked = WeatherRequest(today(tmp_path), members=3, truth=tmp_path / "truth.nc")
    drawn = requests.draw(model(tmp_path), asked, **FEW)
    requests.draw(model(tmp_path), asked, out=tmp_path / "ens", **FEW)
    again = read_samples(tmp_path / "ens")
    monkeypatch.setattr(reading, "PART", 1)
    one_by_one = [*reading.parts(tmp_path / "ens")]
    assert [len(part) for part in one_by_one] == [1] * len(again)
    assert torch.equal(torch.cat([part.x for part in one_by_one]), again.x)
    for name, value in again.condition.items():
        assert torch.equal(torch.cat([part.condition[name] for part in one_by_one]), value), name
    assert torch.equal(again.x, drawn.x)
    for name in ("truth", "raw"):
        assert torch.equal(again.condition[name], drawn.condition[name])
    ours, theirs = ensembles(drawn), ensembles(again)
    assert ours.members.shape == (2, 3, 2, 2, 8, 16)
    assert np.array_equal(ours.members, theirs.members)
    assert theirs.truths is not None
    assert np.array_equal(theirs.truths[:, 0], fields()[1].t2m.values[9:11])
    assert ours.base is not None
    assert theirs.base is not None
    assert np.allclose(ours.base, theirs.base, rtol=1e-4, atol=1e-5)
    assert theirs.leads == ["6 h", "12 h"]
    assert [str(time)[:10] for time in theirs.times] == ["2020-01-10", "2020-01-11"]


def test_a_folder_that_is_called_zarr_is_the_store_itself(tmp_path: Path) -> None:
    written(tmp_path)
    out = tmp_path / "ens.zarr"
    requests.draw(model(tmp_path), WeatherRequest(today(tmp_path), members=2), out=out, **FEW)
    assert xarray.open_zarr(out, decode_timedelta=True).t2m.sizes["number"] == 2
    assert len(read_samples(out)) == 4
    assert not (out / "truth.zarr").exists()


def test_a_drawing_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    written(tmp_path)
    asked, out = WeatherRequest(today(tmp_path), members=4), tmp_path / "ens"
    small, few = model(tmp_path), {**FEW, "batch_size": 2}
    whole = requests.draw(small, asked, **few)
    stream = requests.drawing(small, asked, out=out, **few)
    next(event for event in stream if event.finished is not None)
    stream.close()
    assert torch.equal(read_samples(out, unfinished=True).x, whole.x[:2])
    requests.draw(small, asked, out=out, resume=True, **few)
    assert torch.equal(read_samples(out).x, whole.x)
    assert not list(out.rglob("scratch"))
    assert not list(tmp_path.glob("*.part"))


def test_a_finish_that_was_cut_off_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    asked, out, small = WeatherRequest(today(tmp_path), members=2), tmp_path / "ens", model(tmp_path)
    calls = []

    def broken(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt

    put = stores.Stores._put
    monkeypatch.setattr(stores.Stores, "_put", lambda *args: (broken(*args), put(*args)))
    with pytest.raises(KeyboardInterrupt):
        requests.draw(small, asked, out=out, **FEW)
    assert not out.exists()
    monkeypatch.setattr(stores.Stores, "_put", put)
    requests.draw(small, asked, out=out, resume=True, **FEW)
    assert torch.equal(read_samples(out).x, requests.draw(small, asked, **FEW).x)


def test_one_lead_at_a_time_has_the_same_form(tmp_path: Path) -> None:
    written(tmp_path)
    asked, out = WeatherRequest(today(tmp_path), members=2, truth=tmp_path / "truth.nc"), tmp_path / "ens"
    small = model(tmp_path, leads="each")
    drawn = requests.draw(small, asked, out=out, **FEW)
    assert len(drawn) == 8
    found = xarray.open_zarr(out / "ens.zarr", decode_timedelta=True)
    assert found.t2m.sizes == {"time": 2, "number": 2, "step": 2, "latitude": 8, "longitude": 16}
    again = read_samples(out)
    assert torch.equal(again.x, requests.draw(small, asked, **FEW).x)
    # case 3 is the second step of the second time
    assert np.array_equal(again.x[7].numpy(), np.stack([found[name].values[1, 1, 1] for name in ("t2m", "tp")]))
    together = ensembles(again)
    assert np.array_equal(together.members[:, :, 1], found.tp.values)
    assert together.truths is not None
    assert np.array_equal(together.truths[:, 0], fields()[1].t2m.values[9:11])


@pytest.mark.parametrize("leads", ["joint", "each"])
@pytest.mark.parametrize("piece", [2**21, 1])
def test_a_recalibrated_ensemble_has_the_spread_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, leads: str
) -> None:
    monkeypatch.setattr(stores, "_PIECE", piece)
    written(tmp_path)
    factors = {"factors": [2.0, 0.5, 1.5, 0.5], "helps": True}
    small = model(tmp_path, leads=leads, recalibration=factors)
    path, out = today(tmp_path), tmp_path / "ens"
    plain_drawn = requests.draw(small, WeatherRequest(path, members=5, recalibrate=False), **FEW)
    before = ensembles(plain_drawn).members
    drawn = requests.draw(small, WeatherRequest(path, members=5), **FEW)
    saved = requests.draw(small, WeatherRequest(path, members=5), out=out, **FEW)
    assert any("recalibrated: members are spread about their mean by 0.500 to 2.000" in note for note in saved.notes)
    again = read_samples(out)
    after = ensembles(again).members
    assert np.allclose(ensembles(drawn).members, after, atol=1e-5)
    mean, off = before.mean(1, keepdims=True), before - before.mean(1, keepdims=True)
    for s, factor in enumerate((2.0, 0.5)):
        assert np.allclose(after[:, :, 0, s], (mean + factor * off)[:, :, 0, s], rtol=1e-5)
    roots = np.sqrt(before[:, :, 1])
    moved = np.array([1.5, 0.5])[:, None, None] * (roots - roots.mean(1, keepdims=True)) + roots.mean(1, keepdims=True)
    expected = np.where(before[:, :, 1] > 0, moved.clip(min=0) ** 2, 0)
    assert np.allclose(after[:, :, 1], expected, atol=1e-4)
    assert (after[:, :, 1] >= 0).all()
    again.save(tmp_path / "copy")  # what has been moved is not moved once more
    assert np.allclose(ensembles(read_samples(tmp_path / "copy")).members, after, atol=1e-6)


def test_members_of_a_case_that_is_not_whole_are_left_as_they_are(tmp_path: Path) -> None:
    written(tmp_path)
    small = model(tmp_path, recalibration={"factors": [2.0, 2.0, 2.0, 2.0], "helps": True})
    asked, out = WeatherRequest(today(tmp_path), members=4), tmp_path / "ens"
    saved = requests.draw(small, asked, 6, first=1, out=out, batch_size=4, **FEW)
    assert "2 cases are not recalibrated, of which not all members were drawn" in saved.notes
    found = xarray.open_zarr(out / "ens.zarr", decode_timedelta=True)
    there = np.isfinite(found.t2m.values).all((2, 3, 4))
    assert there.tolist() == [[False, True, True, True], [True, True, True, False]]
    assert torch.equal(read_samples(out).x, requests.draw(small, asked, 6, first=1, batch_size=4, **FEW).x)
    few = tmp_path / "few"
    requests.draw(small, asked, 2, first=5, out=few, **FEW)
    assert xarray.open_zarr(few / "ens.zarr", decode_timedelta=True).number.values.tolist() == [1, 2]
    assert len(read_samples(few)) == 2


def test_stations_have_an_axis_of_their_own_and_a_table(tmp_path: Path) -> None:
    written(tmp_path, "stations")
    asked, out = WeatherRequest(today(tmp_path, "stations"), members=2, csv=True), tmp_path / "ens"
    requests.draw(model(tmp_path, "stations"), asked, out=out, **FEW)
    found = xarray.open_zarr(out / "ens.zarr", decode_timedelta=True)
    assert found.t2m.dims == ("time", "number", "step", "station")
    assert found.station.values.tolist() == ["Åre", "Bonn", "Chur"]
    assert found.latitude.dims == ("station",)
    rows = list(csv.DictReader((out / "ens.csv").open()))
    assert len(rows) == 2 * 2 * 2 * 3
    one = rows[4 + 6]  # the first time, member 1, step 12 h, Bonn
    assert (one["time"], one["step"], one["valid_time"]) == ("2020-01-10T00:00:00", "12", "2020-01-10T12:00:00")
    assert (one["number"], one["station"]) == ("1", "Bonn")
    assert float(one["t2m"]) == pytest.approx(float(found.t2m[0, 1, 1, 1]), rel=1e-6)


def test_times_that_were_held_out_are_those_of_the_training(tmp_path: Path) -> None:
    written(tmp_path)
    small = model(tmp_path)
    found = ensembles(requests.draw(small, WeatherRequest(members=2, held_out="validation"), **FEW))
    assert np.array_equal(found.times, fields()[0].time.values[6:9])
    assert found.truths is not None
    assert np.array_equal(found.truths[:, 1], fields()[1].tp.values[6:9])
    some = ensembles(requests.draw(small, WeatherRequest(members=2, held_out="test", times="2020-01-12"), **FEW))
    assert np.array_equal(some.times, fields()[0].time.values[11:])


def test_every_sample_is_a_function_of_its_number_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    small, asked = model(tmp_path), WeatherRequest(today(tmp_path), members=3)
    whole = requests.draw(small, asked, batch_size=1, **FEW)
    from ornstein.domains.weather.asked import requests as ours

    monkeypatch.setattr(ours, "_ROOM", 1)
    assert ours.portion(asked, small.origin.metadata) == 3  # pyright: ignore[reportOptionalMemberAccess]
    apart = requests.draw(small, asked, batch_size=1, **FEW)
    assert torch.equal(whole.x, apart.x)
    later = requests.draw(small, asked, 2, first=3, batch_size=1, **FEW)
    assert torch.equal(later.x, whole.x[3:5])


def test_times_are_numbers_or_dates() -> None:
    times = fields()[0].time.values
    for said, expected in {
        "3": [3],
        "-1": [11],
        ":2": [0, 1],
        "-2:": [10, 11],
        "2020-01-03": [2],
        "2020-01-11:": [10, 11],
        ":2020-01-02": [0, 1],
        "2020-01-02:2020-01-04": [1, 2, 3],
        "2020-01-02T00:00/2020-01-03T12": [1, 2],
        "2020-01": list(range(TIMES)),
    }.items():
        assert WeatherRequest(times=said).chosen(times).tolist() == expected, said
    assert WeatherRequest(times="9:20").short_of(TIMES) == ["--times 9:20: there are 12 times"]
    assert not any(WeatherRequest(times=said).short_of(TIMES) for said in ("", "3", ":12", "3:-1", "2020-01"))
    for wrong in ("2021-01-01", "20:30"):
        with pytest.raises(InputError, match="none of the 12 times is meant"):
            WeatherRequest(times=wrong).chosen(times)
    with pytest.raises(InputError, match="ends before it begins"):
        WeatherRequest(times="2020-02-01:2020-01-01").chosen(times)
    with pytest.raises(InputError, match="the forecast's times are numbers such as 0"):
        WeatherRequest(times="2020-01-01").chosen(np.arange(3.0))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"times": "yesterday"}, "--times is 'yesterday', expected numbers"),
        ({"members": 0}, "members"),
        ({"forecast": Path("a.nc"), "held_out": "test"}, "expected one of them"),
        ({"truth": Path("a.nc")}, "--truth is for --forecast"),
        ({"truth": Path("a.nc"), "held_out": "test"}, "leave out --truth"),
    ],
)
def test_what_does_not_go_together_is_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        WeatherRequest(**said)


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    written(tmp_path)
    small, path = model(tmp_path), today(tmp_path)
    for asked, why in (
        (WeatherRequest(), "--forecast is not given"),
        (WeatherRequest(path, recalibrate=True), "the model has no factors"),
        (WeatherRequest(path, csv=True), "--csv is for ensembles of stations"),
        (WeatherRequest(tmp_path / "none.nc"), "none.nc"),
    ):
        with pytest.raises(InputError, match=why):
            requests.draw(small, asked, out=tmp_path / "ens", **FEW)
        assert not list(tmp_path.glob("ens*"))


def test_calendars_and_plain_numbers_are_kept(tmp_path: Path) -> None:
    from ornstein.domains.weather.results.frame import axis_of, valid_times, values_of

    days = xarray.date_range("2001-02-28", periods=2, calendar="noleap", use_cftime=True).values
    hours = np.array(STEPS, "timedelta64[h]").astype("timedelta64[ns]")
    valid = valid_times(values_of(axis_of(days)), values_of(axis_of(hours)))
    assert valid is not None
    assert valid[0, 1].isoformat() == "2001-02-28T12:00:00"
    assert valid[1, 0].isoformat() == "2001-03-01T06:00:00"
    numbers = valid_times(values_of(axis_of(np.array([0.5, 10.0]))), values_of(axis_of(np.array([2, 4]))))
    assert numbers is not None
    assert numbers.tolist() == [[2.5, 4.5], [12.0, 14.0]]
    assert valid_times(values_of(axis_of(days)), np.array([2.0])) is None


def test_memory_that_a_large_ensemble_does_not_fit_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    requests.draw(model(tmp_path), WeatherRequest(today(tmp_path), members=2), out=tmp_path / "ens", **FEW)
    monkeypatch.setattr(store, "available", lambda: 1000)
    with pytest.raises(InputError, match="xarray piece by piece"):
        read_samples(tmp_path / "ens")


@pytest.mark.parametrize("leads", ["joint", "each"])
def test_where_the_truth_was_never_known_nothing_is_drawn(tmp_path: Path, leads: str) -> None:
    truth = xarray.open_dataset(written(tmp_path)[1]).load()
    truth.t2m[:, :, 2:4, 5] = np.nan  # the sea
    truth.tp[3, :, 0, 0] = np.nan  # unknown on one day
    truth.to_netcdf(tmp_path / "sea.nc")
    small, out = model(tmp_path, leads=leads, truth="sea.nc"), tmp_path / "ens"
    requests.draw(small, WeatherRequest(today(tmp_path), members=2), out=out, **FEW)
    found = xarray.open_zarr(out / "ens.zarr", decode_timedelta=True)
    expected = np.zeros((8, 16), bool)
    expected[2:4, 5] = True
    assert np.array_equal(np.isnan(found.t2m.values), np.broadcast_to(expected, found.t2m.shape))
    assert np.isfinite(found.tp.values).all()
    again = read_samples(out)
    assert again.x.isfinite().all()
    assert np.array_equal(ensembles(again).members[:, :, 0], found.t2m.values, equal_nan=True)
