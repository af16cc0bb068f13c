"""`ornstein studio` as a user starts it: drawn, watched, resumed, downloaded over HTTP, and gone in the end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ornstein import cli


@contextmanager
def served(folder: Path, *flags: str) -> Iterator[str]:
    """The address of a studio that runs in a folder, as it was printed; it is ended by SIGTERM, and must end well."""
    (folder / "tmp").mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "ornstein.cli", "studio", "--no-open", "--port", "0", *flags]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            address = re.search(r"http://\S+", line)
            assert address, line + process.stdout.read()
            yield address[0]
        finally:
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            rest = process.stdout.read() if process.stdout else ""
            assert process.wait(30) == 0, rest
    assert time.monotonic() - began < 15
    assert list((folder / "tmp").glob("ornstein-studio-*")) == []


def asked(address: str, path: str, body: Any = None, method: str | None = None, token: str = "") -> Any:
    """The JSON answer, with its status as "status"."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(address.partition("#")[0] + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return {**json.loads(error.read()), "status": error.code}


def events(address: str, id: str) -> list[tuple[str, Any]]:
    """All events of a job, to its end."""
    with urllib.request.urlopen(f"{address}v1/samples/{id}/events", timeout=120) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        found = stream.read().decode()
    parts = (re.search(r"event: (\w+)\ndata: (.*)", part) for part in found.split("\n\n"))
    return [(part[1], json.loads(part[2])) for part in parts if part]


def test_samples_are_drawn_watched_and_fetched_over_http(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 40).save(tmp_path / "seen.png")
    with served(tmp_path) as address:
        seen = (tmp_path / "seen.png").read_bytes()
        query = "v1/files?model=images/digits&field=observation&name=seen.png"
        file = asked(address, query, seen)["file"]
        unused = asked(address, query.replace("seen.png", "unused.png"), seen + b"\0")["file"]
        assert unused.startswith("file:")
        body = {"model": "images/digits", "observation": file, "noise": 0.2, "n": 2, "steps": 4, "seed": 3}
        begun = asked(address, "v1/samples", body)
        told = events(address, begun["id"])
        assert {kind for kind, _ in told} >= {"state", "end"}
        kind, end = told[-1]
        assert (kind, end["state"], end["error"]) == ("end", "done", "")
        result = asked(address, begun["url"].removeprefix("/"))["result"]
        assert result["n"] == 2
        assert result["exactness"]["verdict"]
        with urllib.request.urlopen(address + result["figures"][0]["src"].removeprefix("/")) as figure:
            assert figure.read()[:8] == b"\x89PNG\r\n\x1a\n"
        with urllib.request.urlopen(f"{address}v1/samples/{begun['id']}/archive.zip") as archive:
            assert archive.read()[:4] == b"PK\x03\x04"
        assert [one["id"] for one in asked(address, "v1/samples")["results"]] == [begun["id"]]
        assert asked(address, begun["url"].removeprefix("/"), method="DELETE")["status"] == 409
        ours = [path.name for path in (tmp_path / "samples" / "inputs").rglob("*.png")]
        assert ours == ["seen.png"]
    again(tmp_path, result["command"], tmp_path / "samples" / begun["id"])


def again(folder: Path, command: str, drawn: Path) -> None:
    """The command that is shown with a result draws the same files, after the studio has ended."""
    import shlex

    words = shlex.split(command)
    assert words[:2] == ["ornstein", "sample"]
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert cli.main([*words[1:], "--out", "again"]) == 0
    finally:
        os.chdir(before)
    for path in drawn.glob("*.png"):
        assert (folder / "again" / path.name).read_bytes() == path.read_bytes()


def test_what_was_cut_off_is_resumed_by_the_next_studio(tmp_path: Path) -> None:
    with served(tmp_path) as address:
        body = {"model": "images/digits", "n": 4000, "steps": 50, "batch_size": 4}
        id = asked(address, "v1/samples", body)["id"]
        part = tmp_path / "samples" / f"{id}.part"
        while not any(part.glob("*.safetensors")) and not any(part.glob("**/*.png")):
            status = asked(address, f"v1/samples/{id}")
            assert status["state"] in ("queued", "running"), status
            time.sleep(0.2)
    with served(tmp_path) as address:
        status = asked(address, f"v1/samples/{id}")
        assert status["state"] == "cancelled"
        assert "of 4000 samples are whole" in status["unfinished"]
        assert asked(address, f"v1/samples/{id}/resume", {})["state"] in ("queued", "running")
        assert asked(address, f"v1/samples/{id}", method="DELETE")["state"] in ("queued", "running", "cancelled")


def test_beyond_this_machine_there_is_a_token(tmp_path: Path) -> None:
    with served(tmp_path, "--host", "0.0.0.0") as printed:
        token = printed.partition("#token=")[2]
        assert len(token) >= 32
        address = re.sub("//[^:]+:", "//127.0.0.1:", printed.partition("#")[0])
        assert asked(address, "v1/data")["status"] == 401
        assert asked(address, "v1/data", token=token) == {"files": []}


def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert cli.main(["studio", "--no-open", "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert f"--port {port} of 127.0.0.1 is taken" in said


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--data", "nowhere"], "--data is 'nowhere', which is no folder"),
        (["--upload-mb", "0"], "--upload-mb is 0"),
        (["--token", "short"], "--token: expected at least 16"),
        (["--host", "nowhere.invalid"], "--host nowhere.invalid"),
        (["--port", "99999"], "--port is 99999, expected a number from 0 to 65535"),
    ],
)
def test_flags_are_checked(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["studio", "--no-open", *flags]) == 2
    assert said in capsys.readouterr().err


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert cli.main(["studio", "--no-open"]) == 2
    assert "pip install 'ornstein[studio]'" in capsys.readouterr().err
