"""What an operator of a studio meets: damaged folders, a full disk, silent connections, wrong clocks. It goes on."""

import asyncio
import errno
import json
import os
import zipfile
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from ornstein.commands.objects import parsed
from ornstein.domains.images.requests import ImagesRequest
from ornstein.errors import InputError
from ornstein.studio import serving
from ornstein.studio.door import app as application
from ornstein.studio.door.app import Door
from ornstein.studio.door.guarding import is_loopback
from ornstein.studio.engine import results
from ornstein.studio.engine.queueing import Job, Order
from ornstein.studio.engine.studio import Settings, Studio
from ornstein.studio.engine.workers import WorkFailed
from ornstein.studio.uploads import references
from ornstein.studio.uploads.catalogue import _own
from ornstein.tasks.runs import locate

URL = "http://127.0.0.1:8421"
ORDER = Order("images/digits", ImagesRequest(label=(3,)), {"n": 1, "seed": 7}, flat={"label": [3], "n": 1, "seed": 7})


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    (tmp_path / "data").mkdir()
    made = Door(Settings(tmp_path / "samples", tmp_path / "runs"), tmp_path / "data", upload_mb=1)
    made.uploads.open()
    yield made
    made.uploads.close()


def asking(door: Door) -> TestClient:
    return TestClient(door.app(), URL, raise_server_exceptions=False)  # pyright: ignore[reportArgumentType]


async def ended(studio: Studio, *owners: str) -> list[Job]:
    """Jobs of these owners once all of them are over, however."""
    drawing = asyncio.create_task(studio._draw_all())
    jobs = [studio.submit(ORDER, owner) for owner in owners]
    async with asyncio.timeout(20):
        while not all(job.over for job in jobs):
            await asyncio.sleep(0.01)
    drawing.cancel()
    await asyncio.gather(drawing, return_exceptions=True)
    return jobs


# Folders ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("card", [b"\xff\xfe", b"x" * 40_000_000], ids=["no text", "40 MB"])
def test_one_damaged_card_does_not_hide_the_other_models(tmp_path: Path, card: bytes) -> None:
    (tmp_path / "model.safetensors").symlink_to(locate("images/digits"))
    (tmp_path / "card.md").write_bytes(card)
    found = _own("runs:bad", tmp_path, "run")
    assert found.keys() == {"name", "why"}
    assert "card.md" in found["why"]


def test_a_listing_is_bounded_and_leaves_out_what_may_not_be_read(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("a", "b", "locked"):
        (tmp_path / "data" / folder).mkdir()
        for k in range(4):
            (tmp_path / "data" / folder / f"{k}.png").touch()
    read = Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        if path.name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    monkeypatch.setattr(references, "_folder_suffixes", tuple)
    assert len(door.places.data_files()) == 8
    monkeypatch.setattr(references, "_MOST", 5)
    assert len(door.places.data_files()) == 5


def result(folder: Path, **said: Any) -> Path:
    """A folder that looks like samples to the gallery."""
    folder.mkdir(parents=True)
    manifest = {"model": {"domain": "images", "name": "digits"}, "n": 1, "created": "2026-01-01", "seconds": 1.0}
    (folder / "manifest.json").write_text(json.dumps({**manifest, **said}))
    return folder


def test_files_from_before_zip_archives_can_be_packed(door: Door, tmp_path: Path) -> None:
    """A clock that was wrong: such an archive names no date before 1980."""
    folder = result(tmp_path / "samples" / "old")
    os.utime(folder / "manifest.json", (0, 0))
    answer = asking(door).get("/v1/samples/old/archive.zip")
    assert zipfile.ZipFile(BytesIO(answer.content)).namelist() == ["old/manifest.json"]


def test_strange_folders_among_results_are_told_or_left_out(door: Door, tmp_path: Path) -> None:
    out = tmp_path / "samples"
    result(out / "good")
    result(out / "html", created="<script>alert(1)</script>")
    result(out / "number", n="many")
    (result(out / "none") / "manifest.json").write_bytes(b"\xff")
    result(tmp_path / "elsewhere")
    (out / "link").symlink_to(tmp_path / "elsewhere")
    (out / "pipe").mkdir()
    os.mkfifo(out / "pipe" / "manifest.json")
    os.mkfifo(out / "pipe.part")
    (out / "x.part").mkdir()
    os.mkfifo(out / "x.part" / "members.json")
    (out / ".hidden").mkdir()
    found = {one["id"]: one for one in results.gallery(out)}
    assert set(found) - {"x"} == {"good", "html", "number", "none"}
    assert {id for id, one in found.items() if "error" in one} - {"x"} == {"number", "none"}
    client = asking(door)
    for id in ("link", "pipe", "x", ".hidden", "inputs", "pipe.part"):
        assert client.get(f"/v1/samples/{id}/files/manifest.json").status_code == 404, id
        assert client.get(f"/v1/samples/{id}/archive.zip").status_code == 404, id


def test_files_whose_names_are_no_text_are_left_out(tmp_path: Path) -> None:
    result(tmp_path / "a")
    (tmp_path / "a" / os.fsdecode(b"\xff.png")).touch()
    assert [name for name, _ in results.files(tmp_path / "a")] == ["manifest.json"]


@pytest.mark.parametrize("text", ["\ud800", ["\udfff"], {"x": "\ud83d"}], ids=["alone", "in a list", "within"])
def test_half_letters_are_refused_since_no_answer_could_say_them(text: Any) -> None:
    """One such label once kept the list of jobs from everybody."""
    with pytest.raises(InputError, match="surrogates not allowed"):
        parsed(json.dumps({"label": text}).encode(), "the body")
    assert parsed(json.dumps({"label": "\U0001f600"}).encode(), "the body") == {"label": "\U0001f600"}


def test_a_damaged_view_is_made_anew(tmp_path: Path) -> None:
    result(tmp_path / "a")
    (tmp_path / ".studio" / "a").mkdir(parents=True)
    (tmp_path / ".studio" / "a" / "view.json").write_text('{"of": [1')
    assert results.view(tmp_path, "a") is None


# A disk that is full, or gone -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_where_nothing_can_be_written_every_job_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*words: Any, **more: Any) -> None:
        raise OSError(number, os.strerror(number), str(tmp_path))

    monkeypatch.setattr(results, "keep_order", full)
    monkeypatch.setattr(Path, "unlink", full)

    async def two() -> list[Job]:
        return await ended(Studio(Settings(tmp_path)), "a", "b")

    for job in asyncio.run(two()):
        assert job.state == "failed"
        assert os.strerror(number) in job.error


def test_a_worker_that_cannot_be_started_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process can be made: the machine is at its limits."""

    async def two() -> list[Job]:
        studio = Studio(Settings(tmp_path))

        def start() -> None:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

        monkeypatch.setattr(studio._drawer, "start", start)
        return await ended(studio, "a", "a")

    assert [job.state for job in asyncio.run(two())] == ["failed", "failed"]


def test_what_was_kept_for_samples_of_which_nothing_came_is_gone_at_once(door: Door, tmp_path: Path) -> None:
    """Else one upload after the other, drawn with in vain and removed, would fill the disk."""
    sent: Any = {"model": "images/digits", "field": "observation", "name": "seen.png"}
    picture = BytesIO()
    Image.new("L", (8, 8), 40).save(picture, "PNG")
    client = asking(door)
    file = client.post("/v1/files", params=sent, content=picture.getvalue()).json()["file"]
    ids = [
        client.post("/v1/samples", json={"model": "images/digits", "observation": file, "n": n}).json()["id"]
        for n in (1, 2)
    ]
    kept = tmp_path / "samples" / "inputs"
    assert len(list(kept.glob("*/seen.png"))) == 1
    client.delete(f"/v1/samples/{ids[0]}")
    assert len(list(kept.glob("*/seen.png"))) == 1, "another job is waiting for it"
    client.delete(f"/v1/samples/{ids[1]}")
    assert list(kept.iterdir()) == []


# Connections ----------------------------------------------------------------------------------------------


def test_streams_are_bounded_and_counted_down(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "MOST_STREAMS", 1)

    async def endless() -> AsyncIterator[tuple[str, dict[str, Any], int]]:
        yield "state", {}, 1
        await asyncio.sleep(60)

    async def three() -> None:
        first: Any = door._streamed(endless())
        with pytest.raises(application.Busy, match="1 streams of events are open"):
            door._streamed(endless())
        assert b"retry" in await anext(first.body_iterator)
        await first.body_iterator.aclose()
        door._streamed(endless())

    asyncio.run(three())


def test_silent_connections_are_closed_and_those_that_are_answered_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers that never end hold a connection open, of which a process has a thousand."""
    import uvicorn

    monkeypatch.setattr(serving, "_TO_ASK", 0.2)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.6)
        await send({"type": "http.response.body", "body": b"at last"})

    async def ask() -> tuple[bytes, bytes]:
        config = uvicorn.Config(slow, log_level="error", lifespan="off", http=serving._protocol())
        server = uvicorn.Server(config)
        with serving._listening("127.0.0.1", 0) as listener:
            task = asyncio.create_task(server._serve([listener]))
            port = listener.getsockname()[1]
            answers = await asyncio.gather(
                said(port, b"GET / HTTP/1.1\r\nhost: x\r\nx: "), said(port, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            )
            server.should_exit = True
            await task
        return answers[0], answers[1]

    async def said(port: int, words: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(words)
        async with asyncio.timeout(10):
            found = await reader.read()
        writer.close()
        return found

    silent, answered = asyncio.run(ask())
    assert silent == b""
    assert b"at last" in answered


@pytest.mark.parametrize(
    ("host", "own"),
    [
        *(("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0:0:0:0:0:0:0:1", True)),
        *(("127.example.com", False), ("127.0.0.1.nip.io", False), ("0.0.0.0", False), ("::", False), ("", False)),
    ],
)
def test_a_name_that_begins_as_this_machine_does_is_not_this_machine(host: str, own: bool) -> None:
    assert is_loopback(host) is own


def test_two_studios_on_one_machine_keep_their_tokens_apart(tmp_path: Path) -> None:
    """Browsers keep the cookies of a host together, whatever the port."""
    client, tokens = None, {8421: "0123456789abcdef-one", 8422: "0123456789abcdef-two"}
    for port, token in tokens.items():
        door = Door(Settings(tmp_path / str(port)), host="0.0.0.0", token=token)
        before = client.cookies if client else None
        client = TestClient(door.app(), f"http://127.0.0.1:{port}", cookies=before)  # pyright: ignore[reportArgumentType]
        assert client.post("/v1/login", json={"token": token}).status_code == 204
    assert client is not None
    assert {value for _, value in client.cookies.items()} == set(tokens.values())


@pytest.mark.parametrize("token", ["\ud800", "", "ü" * 20, "x" * 100_000, 7, None, ["x"]])
def test_whatever_is_said_to_be_the_token_is_refused(door: Door, token: Any) -> None:
    guarded = Door(door.settings, host="0.0.0.0", token="0123456789abcdef-token")
    answer = asking(guarded).post(
        "/v1/login", content=json.dumps({"token": token}).encode(), headers={"content-type": "application/json"}
    )
    assert answer.status_code in (400, 401)


def test_nothing_is_asked_of_a_studio_that_ends(tmp_path: Path) -> None:
    async def ask() -> None:
        studio = Studio(Settings(tmp_path))
        await studio.stop()
        with pytest.raises(WorkFailed, match="being stopped"):
            await studio.ask("view", id="x")

    asyncio.run(ask())
