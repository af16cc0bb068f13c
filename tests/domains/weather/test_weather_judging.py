"""Ensembles are judged one time after the other, with the scores of all of them together."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ornstein.domains.weather import metrics
from ornstein.domains.weather.asked.flags import WeatherRequest
from ornstein.domains.weather.metrics import Layout
from ornstein.domains.weather.results.drawn import ensembles
from ornstein.domains.weather.task import Weather
from ornstein.errors import InputError
from ornstein.tasks import memory, requests
from ornstein.tasks.figures import Metric
from ornstein.tasks.samples import Samples
from registering import registered
from small_weather import DOMAIN, fields, model, written

pytest.importorskip("xarray")
MEMBERS = 6


@pytest.fixture(scope="module", params=["joint", "each"])
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samples]:
    """Three times, each with a truth, its forecast and an ensemble of its own spread."""
    folder: Path = tmp_path_factory.mktemp("judged")
    written(folder)
    fields()[0].isel(time=slice(9, 12)).to_netcdf(folder / "today.nc")
    with registered(*DOMAIN):
        asked = WeatherRequest(folder / "today.nc", members=MEMBERS, truth=folder / "truth.nc")
        yield requests.draw(model(folder, leads=request.param), asked, steps=1)


def judged(samples: Samples, sizes: list[int]) -> list[Metric]:
    """In parts of these sizes, the last one again and again."""
    judge = Weather().judge(samples)
    judge.begin(len(samples))
    first = 0
    while first < len(samples):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        judge.add(samples[first : first + size])
        first += size
    return judge.metrics()


def same(found: list[Metric], wanted: list[Metric]) -> bool:
    def numbers(metrics: list[Metric]) -> np.ndarray:
        names = ("value", "error", "reference", "reference_error")
        return np.array([[getattr(one, name) for name in names] for one in metrics], float)

    names = [one.name for one in found] == [one.name for one in wanted]
    return names and np.allclose(numbers(found), numbers(wanted), rtol=1e-5, atol=1e-6, equal_nan=True)


def test_parts_of_any_cut_have_the_scores_of_all(drawn: Samples) -> None:
    """Of one sample, within ensembles, and of several times at once."""
    all_drawn = ensembles(drawn)
    layout = Layout.of(all_drawn)
    block = metrics.hanging(all_drawn.truths, all_drawn.members)
    assert all_drawn.forecast is not None
    raw = metrics.scored(all_drawn.truths, all_drawn.forecast[:, None], layout, block=block)
    wanted = metrics.judged(all_drawn.truths, all_drawn.members, layout, beside={"raw forecast": raw}, block=block)
    assert any(one.name.endswith("rank p") for one in wanted)
    for sizes in ([1], [7], [len(drawn)], [4, MEMBERS]):
        assert same(judged(drawn, sizes), wanted), sizes
    mixed = replace(drawn, x=drawn.x.roll(1, 0))  # a judge that takes a member of the case before for one of this
    assert not same(judged(mixed, [1]), wanted)


def test_a_time_whose_truth_is_not_known_does_not_count(drawn: Samples) -> None:
    each = len(drawn) // 3
    truth = drawn.condition["truth"].clone()
    truth[:each] = float("nan")
    found = judged(replace(drawn, condition={**drawn.condition, "truth": truth}), [5])
    known = judged(drawn[each:], [5])
    values = {one.name: one.value for one in known if "CRPS" in one.name}
    assert {one.name: one.value for one in found if one.name in values} == pytest.approx(values, rel=1e-6)
    truth[:] = float("nan")
    spreads = judged(replace(drawn, condition={**drawn.condition, "truth": truth}), [5])
    variance = np.nanmean(ensembles(drawn).members[:, :, 0, 0].var(1, ddof=1))
    assert spreads[0].name.endswith(": spread")
    assert spreads[0].value == pytest.approx(np.sqrt(variance), rel=1e-6)


def test_members_that_were_not_drawn_are_missed(drawn: Samples) -> None:
    with pytest.raises(InputError, match=r"members and others have|not all of the"):
        judged(drawn[: len(drawn) - 1], [5])


def test_only_one_time_must_fit(drawn: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Weather().judge(drawn)
    monkeypatch.setattr(memory, "available", lambda: 10_000_000)
    judge.begin(10**9)
    monkeypatch.setattr(memory, "available", lambda: 1000)
    with pytest.raises(InputError, match=r"the members of one time, 6 of .* numbers: "):
        judge.begin(10**9)
