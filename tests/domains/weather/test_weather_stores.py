"""Ensembles that are written group by group: the same files whoever writes them, in whole groups or in parts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from folders import manifest, origin
from killing import killed
from ornstein.denoisers.base import Origin
from ornstein.distributed.pools import Dask, Here
from ornstein.domains.weather.asked.flags import WeatherRequest
from ornstein.domains.weather.results import sources, stores
from ornstein.domains.weather.results.drawn import ensembles
from ornstein.domains.weather.results.frame import ENSEMBLE, axis_of
from ornstein.domains.weather.results.store import EnsembleStore
from ornstein.errors import InputError
from ornstein.files import sha256
from ornstein.tasks import requests
from ornstein.tasks.samples import Samples, read_samples
from ornstein.tasks.storage import keeping
from ornstein.tasks.storage.identity import digest_of
from ornstein.tasks.storage.merging import merge
from ornstein.tasks.storage.packing import without_numbers
from ornstein.tasks.storage.shelves import Shelf
from ornstein.tasks.storage.unfinished import part_of, read_members
from registering import registered
from small_weather import DOMAIN, STEPS, fields, model, written

pytest.importorskip("xarray")
MEMBERS, TIMES = 3, 4
FACTORS = [2.0, 0.5, 1.5, 0.5]
CHANGED = {"ens.zarr/t2m", "ens.zarr/tp", *(f"summary.zarr/{x}_{y}" for x in ("t2m", "tp") for y in ("mean", "std"))}
GROUP = 2 * MEMBERS * len(STEPS) * 8 * 16
"""Numbers of a chunk of two times, of fields of 8 × 16."""


def ensemble(leads: str = "joint", first: int = 0, n: int | None = None) -> Samples:
    """Some members that could have been drawn, with what is known of their times but the truth of one."""
    made = origin("weather")
    made = replace(made, metadata={**made.metadata, "leads": leads})
    each, s = (len(STEPS), 1) if leads == "each" else (1, len(STEPS))
    times = np.datetime64("2020-01-01", "ns") + np.arange(TIMES) * np.timedelta64(1, "D")
    steps = np.array(STEPS, "timedelta64[h]").astype("timedelta64[ns]")
    said = {"members": MEMBERS, "times": axis_of(times), "steps": axis_of(steps), "attrs": {"a": 1}, "factors": FACTORS}
    count, shape = MEMBERS * TIMES * each, (2 * s, 8, 16)
    numbers = torch.Generator().manual_seed(0)
    cases = [torch.rand(count // MEMBERS, *shape, generator=numbers) for _ in range(3)]
    cases[0][1] = float("nan")
    known = zip(("truth", "raw", "base"), cases, strict=True)
    condition = {name: one.repeat_interleave(MEMBERS, 0) for name, one in known}
    x = torch.randn(count, *shape, generator=numbers).clamp(min=0)
    whole = Samples(x, condition, made, (), 3, 0.0, {"first": 0, ENSEMBLE: said})
    return whole[first : count if n is None else first + n]


def store_in(folder: Path, samples: Samples) -> EnsembleStore:
    assert isinstance(samples.origin, Origin)
    store = EnsembleStore(folder / "ens", samples.origin, range(samples.first, samples.first + len(samples)))
    store.scratch, store.settings = folder / "scratch", samples.settings
    return store


def states_in(store: EnsembleStore, numbers: range) -> torch.Tensor:
    states, _ = store.read(numbers)
    assert isinstance(states, torch.Tensor)
    return states


def files_of(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256(path) for path in folder.rglob("*") if path.is_file()}


def in_parts(folder: Path, samples: Samples, parts: Sequence[slice], begun: bool = True) -> tuple[dict[str, str], int]:
    """The files of an ensemble that is added in parts, and how many samples waited."""
    store = store_in(folder, samples)
    if begun:
        store.begin()
    for part in parts:
        assert all(path.is_file() for path in store_in(folder, samples).add(samples[part]))  # of another process each
    waited = sum(path.name[0] != "c" and len(np.load(path)) for path in (folder / "scratch").glob("*.npy"))
    assert store.finish(without_numbers(samples))[0].startswith("recalibrated: members are spread about their mean by")
    return files_of(folder / "ens"), waited


def cut(*places: int) -> list[slice]:
    return [slice(low, high) for low, high in pairwise(places)]


@pytest.mark.parametrize("leads", ["joint", "each"])
@pytest.mark.parametrize("piece", [2**21, GROUP, 1])
def test_groups_and_parts_are_written_alike(
    leads: str, piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_PIECE", piece)
    samples = ensemble(leads)
    n, unit = len(samples), store_in(tmp_path, samples).units.step
    assert unit == n // {2**21: 1, GROUP: 2, 1: 4}[piece]
    expected, waited = in_parts(tmp_path / "parts", samples, cut(*range(n + 1)), begun=False)  # as if in one process
    assert waited == n
    assert any("summary.zarr" in name for name in expected)
    halves = cut(0, n // 2, n)
    found, waited = in_parts(tmp_path / "halves", samples, [*reversed(halves), halves[0]])  # one twice
    assert found == expected
    assert waited == (n if piece == 2**21 else 0)
    found, waited = in_parts(tmp_path / "odd", samples, cut(0, 2, n - 1, n))
    assert found == expected
    assert waited == {2**21: n, GROUP: n, 1: 2 * unit}[piece]
    found, waited = in_parts(tmp_path / "whole", samples, [slice(0, n)])
    assert found == expected
    assert waited == 0


def test_of_cases_that_are_cut_the_rest_is_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_PIECE", GROUP)
    samples = ensemble(first=4, n=7)  # of times 1 to 3, of which the first and the last lack a member
    expected, _ = in_parts(tmp_path / "parts", samples, cut(*range(8)), begun=False)
    found, waited = in_parts(tmp_path / "some", samples, cut(0, 5, 7))
    assert found == expected
    assert waited == 0
    store = store_in(tmp_path / "told", samples)
    store.add(samples)
    notes = store.finish(without_numbers(samples))
    assert notes[1:] == ["2 cases are not recalibrated, of which not all members were drawn"]


def test_a_group_that_is_moved_about_the_mean_of_a_part_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin takes the members that a worker has for all."""
    samples = ensemble()
    expected, _ = in_parts(tmp_path / "expected", samples, [slice(0, len(samples))])
    store = store_in(tmp_path / "twin", samples)
    store.begin()
    monkeypatch.setattr(sources.Source, "_is_whole", lambda self, numbers: True)
    for low, high in ((0, 2), (2, 12)):
        narrow = store_in(tmp_path / "twin", samples[low:high])
        vars(narrow)["_stores"] = store._stores
        monkeypatch.setattr(stores.Stores, "samples", lambda self, unit, some=range(low, high): some)
        narrow.add(samples[low:high])
    store.finish(without_numbers(samples))
    found = files_of(tmp_path / "twin" / "ens")
    assert found.keys() == expected.keys()
    assert {name.split("/c/")[0] for name in found if found[name] != expected[name]} == CHANGED


def test_what_is_nowhere_is_named(tmp_path: Path) -> None:
    samples = ensemble()
    store = store_in(tmp_path, samples)
    store.begin()
    with pytest.raises(InputError, match="ens: sample 0 is not there"):
        store.finish(without_numbers(samples))
    store.add(samples[0:4])
    with pytest.raises(InputError, match="ens: sample 4 is not there"):
        store.finish(without_numbers(samples))


def test_while_it_is_drawn_members_are_read_as_files_will_hold_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_PIECE", 1)
    samples = ensemble()
    store = store_in(tmp_path, samples)
    store.begin()
    store.add(samples[0:5])  # a group, and two of three members of the next
    store.add(samples[6:8])
    store.add(samples[8:9])
    early, late = states_in(store, range(5)), states_in(store, range(6, 9))
    assert early[3:].equal(samples.x[3:5])
    store.add(samples[5:6])
    store.add(samples[9:12])
    store.finish(without_numbers(samples))
    final = states_in(store, range(12))
    assert early[:3].equal(final[:3])
    assert late.equal(final[6:9])
    assert not final[:3].equal(samples.x[:3])


# Drawn ------------------------------------------------------------------------------------------------

HOW: dict[str, Any] = {"steps": 1, "batch_size": 2, "threads": 1}


@pytest.fixture
def drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Draws ensembles of four times in groups of two, and blocks of two samples."""
    monkeypatch.setattr(keeping, "SHARE", float("inf"))
    monkeypatch.setattr(stores, "_PIECE", GROUP)
    written(tmp_path)
    fields()[0].isel(time=slice(8, 8 + TIMES)).to_netcdf(tmp_path / "today.nc")
    small = model(tmp_path, recalibration={"factors": FACTORS, "helps": True})
    asked = WeatherRequest(tmp_path / "today.nc", members=MEMBERS, truth=tmp_path / "truth.nc")
    with registered(*DOMAIN):
        yield lambda out, **how: requests.draw(small, asked, out=out, **{**HOW, **how}, callback=lambda event: None)


def cut_off(draw: Callable[..., Samples], out: Path, after: int, **how: Any) -> None:
    """What is there once some blocks, or shards, are."""
    stop, put = KeyboardInterrupt(), Shelf.put
    puts = []

    def counted(shelf: Shelf, samples: Samples) -> Any:
        if len(puts) == after:
            raise stop
        puts.append(samples)
        return put(shelf, samples)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shelf, "put", counted)
        with pytest.raises(KeyboardInterrupt):
            draw(out, **how)


def waiting(out: Path) -> int:
    return len(list((part_of(out) / "scratch").glob("[0-9]*.npy")))


def test_every_way_to_draw_makes_the_same_files(drawing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = drawing(tmp_path / "one")
    expected = manifest(tmp_path / "one")
    again = read_samples(tmp_path / "one")
    assert drawn.x.equal(again.x)
    assert np.array_equal(ensembles(drawn).members, ensembles(again).members)  # not moved twice
    with Dask.local(2, processes=False) as pool:
        drawing(tmp_path / "workers", on=pool)
    drawing(tmp_path / "shards", on=Here(), shard=4)
    cut_off(drawing, tmp_path / "resumed", 1, on=Here(), shard=6)
    assert waiting(tmp_path / "resumed") == 0
    assert read_samples(tmp_path / "resumed", unfinished=True).x.equal(again.x[:6])
    drawing(tmp_path / "resumed", on=Here(), shard=2, resume=True)
    cut_off(drawing, tmp_path / "narrow", 2, on=Here(), shard=2)
    assert waiting(tmp_path / "narrow") == 2
    drawing(tmp_path / "narrow", resume=True)
    drawing("memory://ensemble", on=Here())
    merge(["memory://ensemble"], out=tmp_path / "merged")
    monkeypatch.setattr(keeping, "PATIENCE", -1.0)
    drawing(tmp_path / "impatient")
    for name in ("workers", "shards", "resumed", "narrow", "merged", "impatient"):
        assert manifest(tmp_path / name) == expected, name


def test_a_chunk_that_changed_is_named_and_one_that_is_gone_is_drawn_again(drawing: Any, tmp_path: Path) -> None:
    drawing(tmp_path / "one")
    out = tmp_path / "out"
    cut_off(drawing, out, 1)
    chunk = next((part_of(out) / "native" / "out" / "ens.zarr" / "t2m" / "c" / "0").rglob("[0-9]"))
    while chunk.is_dir():
        chunk = next(chunk.iterdir())
    kept = chunk.read_bytes()
    chunk.write_bytes(kept[:-1])
    with pytest.raises(InputError, match="changed since it was written; remove it, and its samples are drawn again"):
        drawing(out, resume=True)
    chunk.unlink()
    drawing(out, resume=True)
    assert manifest(out) == manifest(tmp_path / "one")


def test_a_worker_that_comes_late_leaves_no_chunks(drawing: Any, tmp_path: Path) -> None:
    samples = drawing(None)
    cut_off(drawing, tmp_path / "out", 1)
    part = part_of(tmp_path / "out")
    shelf = Shelf(part, samples.origin, range(12), digest_of(read_members(part)["drawn"]))
    (part / "members.json").rename(tmp_path / "away")
    with pytest.raises(InputError, match="is not there"):
        shelf.put_late(samples[6:12])
    (tmp_path / "away").rename(part / "members.json")
    drawing(tmp_path / "out", resume=True)


@pytest.mark.parametrize("flush", [1, 20, 60, 110, 150, 190, 230])
def test_an_ensemble_that_is_killed_goes_on(flush: int, drawing: Any, tmp_path: Path) -> None:
    drawing(tmp_path / "one")
    out = tmp_path / "out"
    assert killed(lambda: drawing(out), flush)
    drawing(out, resume=(part_of(out) / "members.json").is_file())
    assert manifest(out) == manifest(tmp_path / "one")
