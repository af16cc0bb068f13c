"""Observations and events through the flags of a request, of all leads and of one at a time, and by particles."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ornstein.domains.weather.asked.flags import WeatherRequest
from ornstein.errors import InputError
from ornstein.tasks import requests
from ornstein.tasks.storage import keeping
from registering import registered
from small_weather import DOMAIN, fields, model, written

pytest.importorskip("xarray")
HEADER = "variable,valid_time,latitude,longitude,value,std\n"
ROWS = "t2m,2020-01-10T12:00,70,45,300,0.1\ntp,2020-01-11T06:00,-70,0,9,0.1\nt2m,1999-01-01,70,45,1,1\n"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(keeping, "SHARE", float("inf"))
    with registered(*DOMAIN):
        yield


def today(folder: Path, times: slice = slice(9, 11)) -> Path:
    written(folder)
    path = folder / "today.nc"
    fields()[0].isel(time=times).to_netcdf(path)
    (folder / "seen.csv").write_text(HEADER + ROWS)
    return path


@pytest.mark.parametrize("leads", ["joint", "each"])
def test_each_time_has_its_own_observations(tmp_path: Path, leads: str) -> None:
    asked: dict[str, Any] = {"forecast": today(tmp_path), "members": 2}
    small = model(tmp_path, leads=leads)
    drawn = requests.draw(small, WeatherRequest(**asked, observations=tmp_path / "seen.csv"), steps=2, batch_size=3)
    plain = requests.draw(small, WeatherRequest(**asked), steps=2, batch_size=3)
    x, free = drawn.x, plain.x  # of (time, member) the channels t2m +6, +12, tp +6, +12; or (time, lead, member)
    if leads == "each":
        x, free = (one.reshape(2, 2, 2, 2, 8, 16).movedim(1, 3).reshape(4, 4, 8, 16) for one in (x, free))
    assert torch.allclose(x[:2, 1, 0, 2], torch.full((2,), 300.0), atol=0.5)
    assert torch.allclose(x[2:, 2, 7, 0], torch.full((2,), 9.0), atol=1.5)
    assert (x[2:, 1, 0, 2] - free[2:, 1, 0, 2]).abs().max() < 1e-3  # the other time's
    assert any("1 left out, of times or leads that the forecast has not" in note for note in drawn.notes)


def test_members_of_an_event_are_those_in_which_it_happens(tmp_path: Path) -> None:
    path, small = today(tmp_path, slice(9, 10)), model(tmp_path)
    asked = WeatherRequest(path, members=20, event="max(tp) > 12 in box 0:70,0:90")
    drawn = requests.draw(small, asked, exact="particles", particles=40, steps=8)
    assert bool((drawn.x[:, 2:, :4, :5].amax((1, 2, 3)) > 12).all())
    assert drawn.exactness is not None
    assert drawn.exactness.log_evidence < 0
    with pytest.raises(InputError, match="--event is for --exact particles"):
        requests.draw(small, asked, steps=2)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"event": "t2n > 3 @ 1,1"}, "did you mean 't2m'"),
        ({"observations": Path("none.csv")}, "no such file"),
        ({"observation_std": "0.5"}, "--observation-std is for --observations"),
    ],
)
def test_what_cannot_be_known_is_refused(tmp_path: Path, said: dict[str, Any], words: str) -> None:
    path = today(tmp_path)
    with pytest.raises(InputError, match=words):
        requests.draw(model(tmp_path), WeatherRequest(path, **said), steps=2)
