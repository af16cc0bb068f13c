"""Many requests: each in a folder of its own, as if it were drawn alone; what fails is named, and the rest is drawn."""

import errno
import os
import re
import signal
import threading
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

import pytest

import ornstein as on
from folders import manifest
from killing import killed
from ornstein.disk.locks import Lock
from ornstein.distributed.pools import Dask, Done, Here, WorkersLost
from ornstein.domains.energies import metrics
from ornstein.domains.energies.task import EnergiesRequest
from ornstein.errors import InputError
from ornstein.files import read_json
from ornstein.tasks.parallel import asks, outcomes
from ornstein.tasks.parallel.asks import draw_all, drawing_all
from ornstein.tasks.parallel.outcomes import Ask, Refused
from ornstein.tasks.storage import keeping
from ornstein.tasks.storage.unfinished import part_of

SMALL: dict[str, Any] = {"n": 4, "steps": 2, "batch_size": 2}
THREE = [Ask(name, EnergiesRequest(), {**SMALL, "seed": seed}, seed + 1) for seed, name in enumerate("abc")]


@pytest.fixture(scope="module")
def model() -> Any:
    return on.load("energies/gmm-40")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block and each outcome is written as it comes; no figures, which take longer than the samples."""
    monkeypatch.setattr(keeping, "SHARE", float("inf"))
    monkeypatch.setattr(outcomes, "SHARE", float("inf"))
    monkeypatch.setattr(metrics, "figures", lambda first, energies, system: [])


def states(out: Path) -> dict[str, str]:
    return {one["name"]: one["state"] for one in read_json(out / "requests.json", "a record")["requests"]}


def test_each_request_is_drawn_as_if_it_were_alone(model: Any, whole: Path, tmp_path: Path) -> None:
    on.draw(model, EnergiesRequest(), **SMALL, seed=1, out=tmp_path / "alone")
    assert manifest(whole / "b") == manifest(tmp_path / "alone")
    assert manifest(whole / "a") != manifest(tmp_path / "alone")
    assert sorted(path.name for path in whole.iterdir()) == ["a", "b", "c", "requests.json"]
    found = read_json(whole / "requests.json", "a record")["requests"]
    assert [(one["name"], one["line"], one["state"], one["folder"]) for one in found] == [
        (name, line, "done", name) for line, name in enumerate("abc", 1)
    ]
    assert all(one["seconds"] > 0 for one in found)
    assert found[1]["flags"] == {"n": 4, "steps": 2, "batch_size": 2, "seed": 1}


def test_what_fails_is_named_and_the_others_are_drawn(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = asks.drawing

    def faulty(model: Any, asked: Any, **options: Any) -> Any:
        if options.get("seed") == 1:
            raise KeyError("a fault of ours")
        return drawing(model, asked, **options)

    monkeypatch.setattr(asks, "drawing", faulty)
    bad = [Ask("bad", EnergiesRequest(), {**SMALL, "particles": 1}), Refused("no JSON", None, 9)]
    events = list(drawing_all(model, [*bad, *THREE], tmp_path / "out"))
    found = {one.name: one for one in events[-1].result}
    assert {name: one.state for name, one in found.items()} == {
        "bad": "failed",
        None: "failed",
        "a": "done",
        "b": "failed",
        "c": "done",
    }
    assert "particles" in (found["bad"].error or "")
    assert found["b"].error == "KeyError: 'a fault of ours' (a fault of the program)"
    assert "in faulty" in (found["b"].traceback or "")
    assert [event.finished.name for event in events if event.finished] == ["bad", "a", "b", "c"]
    assert events[1].stage == "request 1 of 4: bad" or events[0].stage == "request 1 of 4: bad"
    assert not any(event.finished.traceback for event in events if event.finished and event.finished.name != "b")
    monkeypatch.setattr(asks, "drawing", drawing)
    again = draw_all(model, THREE, tmp_path / "out", resume=True)
    assert [one.state for one in again] == ["done"] * 3


@pytest.fixture(scope="module")
def whole(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three requests, drawn without a break."""
    out = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "figures", lambda first, energies, system: [])
        draw_all(model, THREE, out)
    return out


@pytest.mark.parametrize("flush", [2, 13, *(pytest.param(k, marks=pytest.mark.slow) for k in range(1, 40, 3))])
def test_a_crash_anywhere_loses_nothing(flush: int, model: Any, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert killed(lambda: draw_all(model, THREE, out), flush)
    begun = (out / "requests.json").exists()
    kept = {name: (out / name / "manifest.json").stat().st_ino for name in "abc" if (out / name).exists()}
    draw_all(model, THREE, out, resume=begun)
    assert states(out) == dict.fromkeys("abc", "done")
    assert all((out / name / "manifest.json").stat().st_ino == inode for name, inode in kept.items())
    assert all(manifest(out / name) == manifest(whole / name) for name in "abc")
    assert sorted(path.name for path in out.iterdir()) == ["a", "b", "c", "requests.json"]


def test_folders_that_are_there_are_of_the_same_request_or_refused(model: Any, tmp_path: Path) -> None:
    out, path = tmp_path / "out", tmp_path / "seen.csv"
    draw_all(model, THREE[:1], out)
    (out / "b").mkdir()
    other = Ask("a", EnergiesRequest(), {**SMALL, "seed": 5})
    found = draw_all(model, [other, THREE[1]], out, resume=True)
    assert found[0].error is not None
    assert "a: drawn with seed not said, asked for is seed = 5; give the request another name" in found[0].error
    assert f"{out / 'b'}: exists already, and not by a request" in str(found[1].error)
    (again,) = draw_all(model, THREE[:1], out, resume=True)  # what was refused has not changed what a was drawn for
    assert again.state == "done"
    (out / "a/manifest.json").rename(tmp_path / "manifest.json")  # a folder of that name is not yet what was drawn
    (again,) = draw_all(model, THREE[:1], out, resume=True)
    assert (again.state, "not by a request" in str(again.error)) == ("failed", True)
    (tmp_path / "manifest.json").rename(out / "a/manifest.json")
    path.write_text("")
    os.utime(path, (0, 0))
    named = Ask("n", EnergiesRequest())
    assert outcomes._newer(named, out / "a") is None
    asked = make_dataclass("Asked", ["file", "words"])(path, ("\0", "x" * 5000, str(path)))
    object.__setattr__(named, "asked", asked)
    assert outcomes._newer(named, out / "a") is None
    os.utime(path)
    assert outcomes._newer(named, out / "a") == path


def test_what_is_resumed_is_of_the_same_model_and_was_begun(model: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match="nothing to resume"):
        draw_all(model, THREE, out, resume=True)
    draw_all(model, THREE[:1], out)
    with pytest.raises(InputError, match="begun already, 1 of 1 requests are done; --resume"):
        draw_all(model, THREE, out)
    record = (out / "requests.json").read_text()
    (out / "requests.json").write_text(record.replace('"gmm-40"', '"gmm-4"'))
    with pytest.raises(InputError, match="of a model whose name is 'gmm-4', this one's 'gmm-40'"):
        draw_all(model, THREE, out, resume=True)
    (out / "requests.json").write_text(record)
    with Lock(out, "drawing"), pytest.raises(InputError, match="another drawing is at work"):
        draw_all(model, THREE, out, resume=True)
    with pytest.raises(InputError, match="two requests have the name 'a'"):
        draw_all(model, [THREE[0], THREE[0]], tmp_path / "twice")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(InputError, match="exists already"):
        draw_all(model, THREE, tmp_path / "mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]


def test_a_full_disk_and_who_stops_it_end_the_work_with_what_is_done(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = asks.drawing

    def full(model: Any, asked: Any, **options: Any) -> Any:
        if options.get("seed") == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return drawing(model, asked, **options)

    monkeypatch.setattr(asks, "drawing", full)
    with pytest.raises(OSError, match="No space left"):
        draw_all(model, THREE, tmp_path / "full")
    monkeypatch.setattr(asks, "drawing", drawing)
    assert states(tmp_path / "full") == {"a": "done", "b": "left", "c": "left"}
    stream = drawing_all(model, THREE, tmp_path / "stopped")
    next(event for event in stream if event.finished)
    while next(stream).done < 1.3:
        pass
    stream.close()
    assert states(tmp_path / "stopped") == {"a": "done", "b": "left", "c": "left"}
    assert part_of(tmp_path / "stopped" / "b").is_dir()
    assert [one.state for one in draw_all(model, THREE, tmp_path / "stopped", resume=True)] == ["done"] * 3


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\\b", "/x", "x.part", ".x", "-x", "a\n", " a", 3])
def test_names_that_lead_elsewhere_are_refused(name: Any) -> None:
    with pytest.raises(InputError, match="expected that of a folder"):
        outcomes.require_name(name)


@pytest.mark.parametrize("name", ["requests.json", "é" * 101])
def test_names_that_are_taken_or_too_long_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="expected that of a folder"):
        Ask(name, EnergiesRequest())


def test_a_record_of_somebody_elses_is_read_as_one(model: Any, tmp_path: Path) -> None:
    draw_all(model, THREE[:1], tmp_path / "out")
    (tmp_path / "out" / "requests.json").write_text('{"model": {}, "requests": 3}')
    with pytest.raises(InputError, match=r"requests\.json: field model: field domain is not there"):
        draw_all(model, THREE, tmp_path / "out", resume=True)


# On workers -------------------------------------------------------------------------------------------


def test_workers_draw_the_same(model: Any, whole: Path, tmp_path: Path) -> None:
    bad = Ask("bad", EnergiesRequest(), {**SMALL, "particles": 1}, 9)
    events = list(drawing_all(model, [*THREE, bad], tmp_path / "out", on=Here()))
    assert [(one.name, one.line, one.state) for one in events[-1].result] == [
        *[("a", 1, "done"), ("b", 2, "done"), ("c", 3, "done"), ("bad", 9, "failed")]
    ]
    assert events[0].stage == "requests on 1 worker"
    assert all(manifest(tmp_path / "out" / name) == manifest(whole / name) for name in "abc")


def test_what_workers_meet(model: Any, tmp_path: Path) -> None:
    class Lossy(Here):
        """Loses its workers at one piece, and the scheduler at another."""

        def results(self, work: Any, shared: Any, pieces: Any) -> Any:
            for done in super().results(work, shared, pieces):
                if done.piece.name == "c":
                    raise WorkersLost("the scheduler is gone")
                lost = done.piece.name == "a"
                yield Done(done.piece, error=WorkersLost(f"5 workers have ended at {done.piece}")) if lost else done

    with pytest.raises(WorkersLost, match="the scheduler is gone"):
        draw_all(model, THREE, tmp_path / "out", on=Lossy())
    assert states(tmp_path / "out") == {"a": "failed", "b": "done", "c": "left"}
    record = read_json(tmp_path / "out" / "requests.json", "a record")
    assert record["requests"][0]["error"] == "5 workers have ended at request 'a'"
    with pytest.raises(InputError, match=r"worker .* does not see .*elsewhere"):
        outcomes.require_seen(tmp_path / "elsewhere", record["run"])
    with pytest.raises(InputError, match="does not see"):
        outcomes.require_seen(tmp_path / "out", "another run")
    with pytest.raises(InputError, match=r"expected a distributed\.Client"):
        draw_all(model, THREE, tmp_path / "out", resume=True, on=3)


@pytest.mark.parametrize("patience", [5.0, 0.1])
def test_a_worker_that_is_late_is_waited_for_but_not_for_long(
    patience: float, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was given up for lost, and holds the folder of its request."""
    monkeypatch.setattr(asks, "LATE", patience)
    monkeypatch.setattr(asks, "_LOOK", 0.05)
    late = Lock(part_of(tmp_path / "out" / "a"), "drawing")

    class Late(Here):
        def results(self, work: Any, shared: Any, pieces: Any) -> Any:
            late.__enter__()
            if patience > 1:
                threading.Timer(0.3, late.__exit__, (None, None, None)).start()
            yield from super().results(work, shared, pieces)

    found = draw_all(model, THREE, tmp_path / "out", on=Late())
    assert [one.state for one in found] == ["done" if patience > 1 else "failed", "done", "done"]
    if patience < 1:
        assert re.search(r"a\.part: another drawing is at work.*given up for lost.*--resume tries", str(found[0].error))
        late.__exit__(None, None, None)


def test_a_late_worker_lets_go_of_its_request_for_the_next_command(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, drawn = tmp_path / "out", asks._drawn_there
    monkeypatch.setattr(asks, "SHARE", float("inf"))  # it looks at every event

    def late(order: Any, ask: Ask) -> Any:
        real, record = asks._without_results, out / "requests.json"

        def events(stream: Any) -> Any:
            for k, event in enumerate(real(stream)):
                if k == 1:
                    record.write_text(record.read_text().replace(order.run, "another"))
                yield event

        with monkeypatch.context() as patch:
            patch.setattr(asks, "_without_results", events)
            return drawn(order, ask)

    monkeypatch.setattr(asks, "_drawn_there", late)
    found = draw_all(model, THREE[:1], out, on=Here())
    assert "does not see" in str(found[0].error)
    with Lock(part_of(out / "a"), "drawing"):  # it is free
        pass
    monkeypatch.setattr(asks, "_drawn_there", drawn)
    assert [one.state for one in draw_all(model, THREE[:1], out, resume=True)] == ["done"]


@pytest.mark.slow
def test_processes_draw_the_same_even_if_one_is_killed(model: Any, whole: Path, tmp_path: Path) -> None:
    names = "abcdefgh"
    many = [Ask(name, EnergiesRequest(), {**SMALL, "seed": seed}) for seed, name in enumerate(names)]
    with Dask.local(2) as pool:
        (victim, *_) = pool.client.run(os.getpid).values()
        stream = drawing_all(model, many, tmp_path / "out", on=pool)
        next(event for event in stream if event.finished)
        os.kill(victim, signal.SIGKILL)
        for _ in stream:
            pass
    assert states(tmp_path / "out") == dict.fromkeys(names, "done")
    for name in "abc":
        said = manifest(tmp_path / "out" / name), manifest(whole / name)
        assert said[0]["files"]["samples.npz"] == said[1]["files"]["samples.npz"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [*names, "requests.json"]
