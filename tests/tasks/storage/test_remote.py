"""Shards at a URL: drawn by anybody, in any order, cut off anywhere, they are the samples of one run."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
import torch

import ornstein as on
from folders import manifest
from ornstein.cli import main
from ornstein.distributed.places import Place
from ornstein.distributed.pools import Here
from ornstein.domains.energies import metrics
from ornstein.domains.energies.task import Energies, EnergiesRequest
from ornstein.errors import InputError
from ornstein.files import read_json
from ornstein.report.show import show
from ornstein.tasks import evaluating
from ornstein.tasks.figures import Metric
from ornstein.tasks.judging import Judge
from ornstein.tasks.native.formats import NpzMembers
from ornstein.tasks.native.members import FieldStore, Layout, Variable
from ornstein.tasks.requests import draw
from ornstein.tasks.samples import Samples
from ornstein.tasks.storage import reading
from ornstein.tasks.storage.identity import digest_of
from ornstein.tasks.storage.merging import merge
from ornstein.tasks.storage.reading import parts
from ornstein.tasks.storage.remote import COMPLETE, Remote, Shelf

fsspec: Any = pytest.importorskip("fsspec")

SMALL: dict[str, Any] = {"n": 6, "first": 2, "steps": 2, "batch_size": 2}
CUTS = (2, 3, 5, 8)
"""Samples 2 to 7 in three shards."""
DRAWN = {"seed": 0, "weights": "a"}


@pytest.fixture(scope="module")
def drawn() -> Samples:
    return draw(on.load("energies/gmm-40"), EnergiesRequest(), **SMALL)


@pytest.fixture(params=["memory", "file"])
def url(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where nothing is; figures take longer than the samples."""
    monkeypatch.setattr(metrics, "figures", lambda first, energies, system: [])
    yield f"{request.param}://{tmp_path}/run"
    fsspec.filesystem("memory").store.clear()


def remote(url: str, samples: Samples, **changes: Any) -> Remote:
    assert samples.origin is not None
    numbers = range(samples.first, samples.first + len(samples))
    return Remote(url, samples.origin, numbers, **changes)


def shards(samples: Samples, cuts: tuple[int, ...] = CUTS) -> Iterator[Samples]:
    for low, high in pairwise(cuts):
        yield samples[low - samples.first : high - samples.first]


def filled(url: str, samples: Samples, cuts: tuple[int, ...] = CUTS) -> Samples:
    """All shards put there, the last one first."""
    with remote(url, samples) as there:
        there.begin(DRAWN)
        for one in reversed([*shards(samples, cuts)]):
            assert not there.there(range(one.first, one.first + len(one)))
            there.note(there.shelf().put(one))
            assert there.there(range(one.first, one.first + len(one)))
        return there.finish()


def test_merged_shards_are_what_is_drawn_at_once(url: str, drawn: Samples, tmp_path: Path) -> None:
    told = filled(url, drawn)
    assert told.x.is_meta
    assert (len(told), told.first, told.nfe) == (6, 2, drawn.nfe)
    assert [(one.first, len(one)) for one in parts(url)] == [(2, 1), (3, 2), (5, 3)]
    assert torch.cat([one.x for one in parts(url)]).equal(drawn.x)
    drawn.save(tmp_path / "whole")
    assert main(["merge", url, "--out", str(tmp_path / "merged")]) == 0
    assert manifest(tmp_path / "merged") == manifest(tmp_path / "whole")
    assert merge([url]).x.equal(drawn.x)


def test_a_shard_that_was_cut_off_is_drawn_again(url: str, drawn: Samples) -> None:
    with pytest.raises(RuntimeError) as error, remote(url, drawn) as there:  # noqa: PT012, killed half way
        there.begin(DRAWN)
        for one in shards(drawn):
            there.note(there.shelf().put(one))
        raise RuntimeError
    assert "6 of 6 samples are whole (2 to 7)" in error.value.__notes__[0]
    place = Place(url)
    name = f"shards/{place.names('shards')[1]}"
    raw = place.get(name)
    assert raw is not None
    place.put(name, raw[: len(raw) // 2])
    with pytest.raises(InputError, match=r"not finished, 4 of 6 samples are whole \(2, 5 to 7\); --resume draws the"):
        list(parts(url))
    with remote(url, drawn, resume=True) as there:
        there.begin(DRAWN)
        left = [one for one in shards(drawn) if not there.there(range(one.first, one.first + len(one)))]
        assert [one.first for one in left] == [3]
        with pytest.raises(InputError, match="4 of 6 samples are whole"):
            there.finish()
        there.note(there.shelf().put(left[0]))
        there.finish()
    assert torch.cat([one.x for one in parts(url)]).equal(drawn.x)


def test_shards_that_are_cut_in_another_way_are_taken_too(url: str, drawn: Samples) -> None:
    with remote(url, drawn) as there:
        there.begin(DRAWN)
        for one in shards(drawn, (2, 4, 5)):
            there.note(there.shelf().put(one))
    with remote(url, drawn, resume=True) as there:
        there.begin(DRAWN)
        assert there.there(range(2, 5))
        for one in shards(drawn, (4, 6, 8)):
            there.note(there.shelf().put(one))
        there.finish()
    assert torch.cat([one.x for one in parts(url)]).equal(drawn.x)


def test_a_place_is_drawn_into_once(url: str, drawn: Samples) -> None:
    with pytest.raises(InputError, match="nothing to resume"), remote(url, drawn, resume=True):
        pass
    with remote(url, drawn) as there:
        there.begin(DRAWN)
        there.note(there.shelf().put(drawn[:2]))
    with (
        pytest.raises(InputError, match=r"begun already, 2 of 6 samples are whole \(2 to 3\); --resume"),
        remote(url, drawn),
    ):
        pass
    with (
        remote(url, drawn, resume=True) as there,
        pytest.raises(InputError, match="drawn with seed = 0, asked for is 1"),
    ):
        there.begin({**DRAWN, "seed": 1})
    fresh = f"{url}-other"
    filled(fresh, drawn)
    with pytest.raises(InputError, match="is there already, and whole"), remote(fresh, drawn, resume=True):
        pass
    Place(f"{url}-theirs").put("letter.txt", b"")
    with pytest.raises(InputError, match=r"exists already, with 'letter\.txt' in it"), remote(f"{url}-theirs", drawn):
        pass
    with remote(f"{url}-new", drawn) as there, pytest.raises(InputError, match="one population"):
        there.begin(DRAWN, together=True)


def test_shards_of_another_drawing_are_not_taken(url: str, drawn: Samples) -> None:
    with remote(url, drawn) as there:
        there.begin(DRAWN)
        replace(there.shelf(), drawn=digest_of({"seed": 1})).put(drawn[:2])
        there.note(there.shelf().put(drawn[2:4]))
    with remote(url, drawn, resume=True) as there:
        there.begin(DRAWN)
        assert not there.there(range(2, 4))
        assert there.there(range(4, 6))


def test_what_has_changed_since_is_named(url: str, drawn: Samples) -> None:
    filled(url, drawn)
    place = Place(url)
    name = f"shards/{place.names('shards')[1]}"
    raw = place.get(name)
    assert raw is not None
    place.put(name, raw[:100] + bytes([raw[100] ^ 1]) + raw[101:])
    with pytest.raises(InputError, match=rf"{name}: is missing, or not what was written; remove it and .*{COMPLETE}"):
        list(parts(url))
    place.put("members.json", b"{")
    with pytest.raises(InputError, match=r"members\.json: not valid JSON"):
        list(parts(url))
    place.remove("members.json")
    with pytest.raises(InputError, match="no samples there"):
        list(parts(url))


def test_what_belongs_together_is_told(url: str, drawn: Samples, tmp_path: Path) -> None:
    low, high = drawn[:2], drawn[2:]
    filled(f"{url}-low", low, (2, 4))
    filled(f"{url}-high", high, (4, 6, 8))
    assert merge([f"{url}-high", f"{url}-low"]).x.equal(drawn.x)
    low.save(tmp_path / "low")
    with pytest.raises(InputError, match="a folder and shards; merge the shards into a folder first"):
        merge([tmp_path / "low", f"{url}-high"])
    with pytest.raises(InputError, match="begins at sample 2, expected 4"):
        merge([f"{url}-low", f"{url}-low"])
    filled(f"{url}-end", drawn[3:], (5, 8))
    with pytest.raises(InputError, match="begins at sample 5, expected 4"):
        merge([f"{url}-low", f"{url}-end"])
    filled(f"{url}-other", replace(high, settings={**high.settings, "seed": 9}), (4, 8))
    with pytest.raises(InputError, match=r"other: drawn with seed = 9, .*low with 0"):
        merge([f"{url}-low", f"{url}-other"])
    assert high.origin is not None
    filled(f"{url}-model", replace(high, origin=replace(high.origin, name="x")), (4, 8))
    with pytest.raises(InputError, match="model: of another model than"):
        merge([f"{url}-low", f"{url}-model"])


def test_only_folders_are_shown(url: str, drawn: Samples, capsys: pytest.CaptureFixture[str]) -> None:
    filled(url, drawn)
    for command in ("show", "trust"):
        assert main([command, url]) == 2
        assert "shards at a URL; ornstein merge URL --out FOLDER writes a folder" in capsys.readouterr().err


def test_a_worker_that_sees_another_place_is_told(url: str, drawn: Samples) -> None:
    with remote(url, drawn) as there:
        there.begin(DRAWN)
        there.shelf().require_seen()
        with pytest.raises(InputError, match="something else is drawn there by now"):
            replace(there.shelf(), drawn="a").require_seen()
        with pytest.raises(InputError, match=r"the members.json that was written there is not seen"):
            replace(there.shelf(), place=Place(f"{url}-else")).require_seen()


def test_a_worker_that_comes_late_leaves_nothing(url: str, drawn: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    with remote(url, drawn) as there:
        there.begin(DRAWN)
        shelf = there.shelf()
    put = type(shelf).put

    def slow(self: Any, samples: Samples) -> dict[str, Any]:
        seal = put(self, samples)
        self.place.remove("members.json")  # while it wrote
        return seal

    monkeypatch.setattr(type(shelf), "put", slow)
    with pytest.raises(InputError, match="is not seen"):
        shelf.put_late(drawn)
    assert Place(url).names("shards") == []


def test_the_same_samples_are_the_same_bytes(url: str, drawn: Samples) -> None:
    with remote(url, drawn) as there:
        there.begin(DRAWN)
        once, again = (there.shelf().put(replace(drawn, seconds=seconds)) for seconds in (1.0, 2.0))
        assert once["sha256"] == again["sha256"]
        assert once["seconds"] == 1.0
        there.note(again)
        assert there.finish().seconds == 2.0
    assert next(parts(url)).seconds == 2.0


def test_what_workers_draw_is_the_same_though_they_are_cut_off(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, how = on.load("energies/gmm-40"), {**SMALL, "threads": 1}
    whole = draw(model, EnergiesRequest(), **how)
    put = Shelf.put

    def full(shelf: Shelf, samples: Samples) -> Any:
        if samples.first >= 4:
            raise OSError(28, "No space left on device", url)
        return put(shelf, samples)

    with monkeypatch.context() as patch:
        patch.setattr(Shelf, "put", full)
        with pytest.raises(OSError, match="No space left") as error:
            draw(model, EnergiesRequest(), **how, on=Here(), shard=2, out=url)
    assert error.value.__notes__ == [
        f"2 of 6 samples are whole (2 to 3) in {url}; the same command with --resume goes on"
    ]
    firsts: list[int] = []
    monkeypatch.setattr(Shelf, "put", lambda shelf, samples: firsts.append(samples.first) or put(shelf, samples))
    told = draw(model, EnergiesRequest(), **how, on=Here(), shard=2, out=url, resume=True)
    assert firsts == [4, 6]
    assert told.x.is_meta
    whole.save(tmp_path / "whole")
    merge([url], out=tmp_path / "merged")
    assert manifest(tmp_path / "merged") == manifest(tmp_path / "whole")
    with pytest.raises(InputError, match=r"shards are put at a URL by workers"):
        draw(model, EnergiesRequest(), **how, out=f"{url}-here")


# In bounded memory ------------------------------------------------------------------------------------


def plane(path: Path, numbers: range) -> FieldStore:
    layout = Layout({"place": Variable(("axis",), (2,), "float32")}, numbers)
    return FieldStore(
        NpzMembers(path / "places", layout),
        lambda samples: {"place": samples.x.numpy()},
        lambda fields: (torch.from_numpy(fields["place"]), {}),
    )


class Mean(Judge):
    """The mean of all coordinates."""

    def __init__(self) -> None:
        self.total, self.count, self.sizes = 0.0, 0, []

    def add(self, samples: Samples) -> None:
        self.total += float(samples.x.double().sum())
        self.count += samples.x.numel()
        self.sizes.append(len(samples))

    def metrics(self) -> list[Metric]:
        return [Metric("mean", self.total / self.count, "closer", "of all coordinates")]


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> None:
    """The domain writes its samples one by one, and parts are of two samples."""

    def stored(self: Energies, folder: Path, said: Mapping[str, Any]) -> FieldStore:
        return plane(folder, range(said["settings"]["first"], said["settings"]["first"] + said["n"]))

    monkeypatch.setattr(Energies, "store", lambda self, folder, origin, numbers: plane(folder, numbers))
    monkeypatch.setattr(Energies, "stored", stored)
    monkeypatch.setattr(reading, "PART", 16)


def test_merging_holds_one_part(
    url: str, drawn: Samples, tmp_path: Path, streaming: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(url, drawn)
    drawn.save(tmp_path / "whole")
    drawn[:3].save(tmp_path / "low")
    drawn[3:].save(tmp_path / "high")
    add, alive, most = FieldStore.add, [], 0

    def watched(store: FieldStore, samples: Samples) -> list[Path]:
        nonlocal most
        alive.append((ref(samples.x), len(samples)))
        most = max(most, sum(n for one, n in alive if one() is not None))
        return add(store, samples)

    monkeypatch.setattr(FieldStore, "add", watched)
    for k, (sources, held) in enumerate({(url,): 5, (tmp_path / "high", tmp_path / "low"): 4}.items()):
        alive, most = [], 0
        told = merge(sources, out=tmp_path / f"merged-{k}")
        assert told.x.is_meta
        assert len(told) == 6
        assert most <= held, "two parts that follow each other"
        found, whole = (read_json(tmp_path / name / "manifest.json", "")["files"] for name in (f"merged-{k}", "whole"))
        assert {**found} == {**whole}
        assert sorted(path.name for path in (tmp_path / f"merged-{k}").iterdir()) == ["manifest.json", "places"]


def test_parts_are_judged_as_all_of_them(
    url: str, drawn: Samples, tmp_path: Path, streaming: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    judges: list[Mean] = []
    monkeypatch.setattr(Energies, "judge", lambda self, like: judges.append(Mean()) or judges[-1])
    whole = Mean()
    whole.add(drawn)
    filled(url, drawn)
    folder = drawn.save(tmp_path / "whole")
    for place, sizes in ((url, [1, 2, 3]), (folder, [2, 2, 2])):
        assert main(["evaluate", str(place)]) == 0
        assert judges[-1].sizes == sizes
        assert judges[-1].metrics()[0].value == pytest.approx(whole.metrics()[0].value, rel=1e-12)
    for _ in range(2):
        evaluating.evaluate(url)
    rows = Place(url).get("scores.json")
    assert rows is not None
    assert rows.count(b'"created"') == 3
    assert len(read_json(folder / "scores.json", "scores")) == 1


def test_a_field_that_needs_all_at_once_is_judged_at_once(
    url: str, drawn: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(Energies, "judge", lambda self, like: None)
    monkeypatch.setattr(Energies, "evaluate", lambda self, samples: seen.append(samples) or [])
    filled(url, drawn)
    evaluating.evaluate(url)
    assert seen[0].x.equal(drawn.x)
    monkeypatch.setattr("ornstein.tasks.memory.available", lambda: 1000)
    folder = drawn.save(tmp_path / "deep" / "run")
    halves = [drawn[k : k + 3].save(tmp_path / f"half-{k}") for k in (0, 3)]
    monkeypatch.setattr(Energies, "store", lambda self, folder, origin, numbers: None)
    for call in (
        lambda: evaluating.evaluate(url),
        lambda: merge([url], out=tmp_path / "out"),
        lambda: show(str(folder)),
        lambda: on.trust(folder),
    ):
        with pytest.raises(
            InputError, match=r"run: 6 samples are needed together, which takes .* GB at least; 1e-06 GB"
        ):
            call()
    with pytest.raises(InputError, match=r"half-0, .*half-3: 6 samples are needed together"):
        merge(halves, out=tmp_path / "out")  # each of them alone could be held
    assert not (tmp_path / "out").exists()
