"""Results as a page shows them: made once, read without a worker, and nothing is invented for what cannot be read."""

import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

import ornstein as on
from ornstein.domains.images.requests import ImagesRequest
from ornstein.domains.images.task import Images
from ornstein.errors import InputError
from ornstein.studio.engine import results
from ornstein.studio.engine.queueing import Order
from ornstein.studio.engine.worker import Child
from ornstein.tasks.figures import Metric
from ornstein.tasks.scores import append_metrics

STEPS = {"steps": 2}


class Told:
    """A child at work in a thread of ours, and what it says."""

    def __init__(self) -> None:
        self.pipe, theirs = Pipe()
        self.thread = threading.Thread(target=Child(theirs).serve)
        self.thread.start()

    def ask(self, task: str, *, then: tuple[str, Mapping[str, Any]] | None = None, **values: Any) -> Any:
        """The answer to a task and the news before it; `then` is sent right after it."""
        self.pipe.send((task, values))
        if then:
            self.pipe.send(then)
        news = []
        while True:
            kind, *said = self.pipe.recv()
            if kind != "news":
                return kind, said[0], news
            news.append(tuple(said))


@pytest.fixture(scope="module")
def child() -> Iterator[Told]:
    told = Told()
    yield told
    told.pipe.close()
    told.thread.join(20)
    assert not told.thread.is_alive(), "a child ends with the pipe"


@pytest.fixture(scope="module")
def out(child: Told, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one result, "threes", drawn by a child."""
    out = tmp_path_factory.mktemp("samples")
    order = Order("images/digits", ImagesRequest(label=(3,)), {"n": 3, "seed": 5, **STEPS})
    kind, answer, news = child.ask("draw", id="threes", order=order, out=out, resume=False)
    assert (kind, answer) == ("answer", "done")
    kinds = [name for name, _ in news]
    assert kinds[0] == "progress"
    assert "frame" in kinds, "at least one picture on the way"
    assert kinds[-1] == "drawn", "the samples are said to be there before pictures are made of them"
    return out


def shown(out: Path, id: str = "threes") -> dict[str, Any]:
    found = results.view(out, id)
    assert found is not None
    return found


def test_frames_are_pictures_of_states_on_the_way(child: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[on.Samples] = []
    frame = Images.frame
    monkeypatch.setattr(Images, "frame", lambda self, samples: given.append(samples) or frame(self, samples))
    order = Order("images/digits", ImagesRequest(), {"n": 20, "batch_size": 20, "steps": 3})
    _, _, news = child.ask("draw", id="x", order=order, out=tmp_path, resume=False)
    frames = [said for kind, said in news if kind == "frame"]
    assert frames[0]["src"].startswith("data:image/png;base64,iVBOR")
    assert frames[0]["alt"]
    assert len(given[0]) == 16, "no more are shown on the way"
    assert given[0].condition.keys() <= {"label"}, "they carry what they were given"
    assert given[0].settings["guidance"] == 1
    assert frames[0]["total"] == 3
    assert frames[-1]["done"] == 3, "however fast they come, the last one shows the samples"


def test_a_result_says_what_it_is_and_where_its_parts_are(out: Path) -> None:
    said = shown(out)
    assert (said["model"], said["n"], said["nfe"]) == ("images/digits", 3, 2)
    assert said["exactness"]["verdict"].startswith("not measured")
    assert said["exactness"]["holds"] is None
    (figure,) = said["figures"]
    assert figure["src"] == "/v1/samples/threes/figures/0"
    assert results.figure(out, "threes", "0").read_bytes().startswith(b"\x89PNG")
    assert results.figure(out, "threes", "cover").read_bytes().startswith(b"\x89PNG")
    listed = {row["name"]: row["size"] for row in said["files"]}
    assert set(listed) == {path.name for path in (out / "threes").iterdir()}
    assert results.file(out, "threes", "manifest.json").stat().st_size == listed["manifest.json"]


def test_the_folder_of_the_samples_is_left_as_it_is(out: Path) -> None:
    assert not [one for one in (out / "threes").iterdir() if "view" in one.name]
    assert (out / results.HIDDEN / "threes" / results.VIEW).is_file()


def test_the_program_draws_the_same_bits(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(shown(out)["python"], "python", "exec"), {})
    again, before = (json.loads((folder / "threes" / "manifest.json").read_text()) for folder in (tmp_path, out))
    assert again["files"] == before["files"], "every file has the same SHA-256"


def test_the_command_draws_the_same_bits(out: Path, tmp_path: Path) -> None:
    import shlex

    from ornstein.cli import main

    program, *words = shlex.split(shown(out)["command"])
    assert program == "ornstein"
    assert main([*words, "--out", str(tmp_path / "again")]) == 0
    again, before = (
        json.loads((folder / "manifest.json").read_text()) for folder in (tmp_path / "again", out / "threes")
    )
    assert again["files"] == before["files"]


def test_scores_are_read_anew(out: Path) -> None:
    assert shown(out)["metrics"] == []
    append_metrics(out / "threes", [Metric("agreement", 0.5, "higher", "Of a <judge>.", 0.75, error=0.125)])
    (row,) = shown(out)["metrics"]
    assert (row["measured"], row["yardstick"]) == ("0.5 ± 0.12", "0.75 (real data)")
    (out / "threes" / "scores.json").unlink()


def test_an_evaluation_is_shown_with_the_result(child: Told, out: Path) -> None:
    kind, rows, _ = child.ask("evaluate", id="threes", out=out)
    assert kind == "answer"
    assert rows
    assert shown(out)["metrics"] == rows
    (out / "threes" / "scores.json").unlink()


def test_a_trust_report_has_its_sections(child: Told, out: Path) -> None:
    kind, report, _ = child.ask("trust", id="threes", out=out)
    assert kind == "answer"
    assert report["trusted"]
    assert any(one["holds"] for one in report["statements"])


def test_other_samples_of_the_same_name_are_not_shown_by_the_old_view(child: Told, out: Path) -> None:
    shutil.copytree(out / "threes", out / "copy", copy_function=shutil.copyfile)
    shutil.copytree(out / results.HIDDEN / "threes", out / results.HIDDEN / "copy")
    assert results.view(out, "copy") is None
    assert child.ask("view", id="copy", out=out)[0] == "answer"
    assert shown(out, "copy")["n"] == 3
    shutil.rmtree(out / "copy")
    shutil.rmtree(out / results.HIDDEN / "copy")


# Errors and cancelling --------------------------------------------------------------------------------


def test_bad_input_is_refused_in_the_words_of_the_command_line(child: Told, tmp_path: Path) -> None:
    order = Order("images/digits", ImagesRequest(label=(12,)), {"n": 2})
    kind, words, _ = child.ask("draw", id="x", order=order, out=tmp_path, resume=False)
    assert kind == "refused"
    with pytest.raises(InputError) as error:
        on.draw(on.load("images/digits"), ImagesRequest(label=(12,)), 2)
    assert words == str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_job_is_cancelled_at_the_next_event_and_leaves_nothing(child: Told, tmp_path: Path) -> None:
    order = Order("images/digits", ImagesRequest(), {"n": 2, "steps": 500})
    kind, answer, news = child.ask(
        "draw", id="x", order=order, out=tmp_path, resume=False, then=("cancel", {"id": "x"})
    )
    assert (kind, answer) == ("answer", "cancelled")
    assert len(news) == 1, "it was loading the model"
    assert not list(tmp_path.iterdir())


def test_a_cancel_of_another_job_is_not_heard(child: Told, tmp_path: Path) -> None:
    order = Order("images/digits", ImagesRequest(), {"n": 2, **STEPS})
    values = {"id": "x", "order": order, "out": tmp_path, "resume": False}
    assert child.ask("draw", then=("cancel", {"id": "an earlier one"}), **values)[1] == "done"


def test_whole_blocks_of_a_cancelled_job_are_kept_and_the_rest_is_drawn(child: Told, tmp_path: Path) -> None:
    order = Order("images/digits", ImagesRequest(), {"n": 4, "batch_size": 2, "steps": 12})
    values = {"id": "x", "order": order, "out": tmp_path}
    child.pipe.send(("draw", {**values, "resume": False}))
    while True:
        kind, *said = child.pipe.recv()
        if kind != "news":
            break
        if said[0] == "progress" and said[1]["done"] > 12:
            child.pipe.send(("cancel", {"id": "x"}))
    assert said == ["cancelled"]
    results.keep_order(tmp_path, "x", {"model": "m", "flat": {"n": 4}, "asked": {}, "command": "", "python": ""})
    (entry,) = results.gallery(tmp_path)
    assert entry["unfinished"] == "2 of 4 samples are whole (0 to 1)"
    assert entry["resumable"]
    assert results.ordered(tmp_path, "x") == ("m", {"n": 4})
    assert child.ask("draw", **values, resume=True)[:2] == ("answer", "done")
    assert results.gallery(tmp_path)[0]["unfinished"] is None


def test_a_figure_that_fails_does_not_fail_the_samples(
    child: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*given: object) -> None:
        raise ZeroDivisionError("nothing to see")

    monkeypatch.setattr("ornstein.report.show.films", failing)
    monkeypatch.setattr(Images, "frame", failing)
    order = Order("images/digits", ImagesRequest(), {"n": 2, **STEPS})
    kind, answer, news = child.ask("draw", id="x", order=order, out=tmp_path, resume=False)
    assert (kind, answer) == ("answer", "done")
    notes = [said["text"] for name, said in news if name == "note"]
    assert [note.partition(":")[0] for note in notes] == [
        "no pictures on the way",
        "the samples are there, but they cannot be shown",
    ]
    assert all("ZeroDivisionError: nothing to see" in note for note in notes)
    kind, words, _ = child.ask("view", id="x", out=tmp_path)
    assert (kind, "ZeroDivisionError" in words) == ("failed", True)
    assert "Traceback" in capsys.readouterr().err


# The gallery ------------------------------------------------------------------------------------------


def test_the_gallery_tells_of_all_there_is_and_of_what_cannot_be_read(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out / "threes", tmp_path / "drawn elsewhere")
    (tmp_path / "notes").mkdir()
    (tmp_path / "file.txt").write_text("")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text('{"n": "many"}')
    (tmp_path / "link").symlink_to(out / "threes")
    (tmp_path / "half.part").mkdir()
    (tmp_path / "half.part" / "members.json").write_text("[")
    found = {one["id"]: one for one in results.gallery(tmp_path)}
    assert set(found) == {"drawn elsewhere", "broken", "half"}
    assert "members.json" in found["half"]["error"]
    assert "manifest.json" in found["broken"]["error"]
    assert (found["drawn elsewhere"]["n"], found["drawn elsewhere"]["viewed"]) == (3, False)


def test_the_gallery_is_newest_first_in_pages(out: Path, tmp_path: Path) -> None:
    import os

    for k in range(5):
        (tmp_path / f"r{k}").mkdir()
        shutil.copy(out / "threes" / "manifest.json", tmp_path / f"r{k}")
        os.utime(tmp_path / f"r{k}" / "manifest.json", (k, k))
    page = results.gallery(tmp_path, limit=2)
    assert [one["id"] for one in page] == ["r4", "r3"]
    assert [one["id"] for one in results.gallery(tmp_path, limit=9, before="r3")] == ["r2", "r1", "r0"]
    assert results.gallery(tmp_path / "nowhere") == []


@pytest.mark.parametrize("name", ["../threes/manifest.json", "/etc/passwd", "", ".", "nothing", "a\x00b", "x/../../y"])
def test_no_file_outside_of_a_result_is_given_out(out: Path, name: str) -> None:
    with pytest.raises(results.NotThere):
        results.file(out, "threes", name)


def test_a_link_that_leads_out_is_not_given_out(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out / "threes", tmp_path / "x")
    (tmp_path / "x" / "secret").symlink_to(__file__)
    assert "secret" not in dict(results.files(tmp_path / "x"))
    with pytest.raises(results.NotThere):
        results.file(tmp_path, "x", "secret")


@pytest.mark.parametrize("name", ["..", "view", "0.png", "-1", "99", "²"])
def test_figures_are_numbers_or_the_cover(out: Path, name: str) -> None:
    with pytest.raises(results.NotThere):
        results.figure(out, "threes", name)


def test_scripts_are_kept_once_by_their_hash(tmp_path: Path) -> None:
    digest = results.keep_script(tmp_path, "let x = 1")
    assert results.keep_script(tmp_path, "let x = 1") == digest
    assert results.script(tmp_path, digest).read_text() == "let x = 1"
    for other in ("0" * 64, "../x", digest[:-1], digest.upper() + "/"):
        with pytest.raises(results.NotThere):
            results.script(tmp_path, other)
