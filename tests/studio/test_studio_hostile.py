"""What is sent to the studio to harm it is refused by name, with the right status, and nothing is written."""

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostile import FILES, MARK, NAMES, Hostile, linking, pickled, picture
from serving import Served, serving
from worlds import rejected

LIMIT = 8  # MB of an upload
SMALL: dict[str, Any] = {"model": "images/digits", "n": 1, "steps": 2, "seed": 0}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "data").mkdir()
    (folder / "secret.png").write_bytes(picture())
    (folder / "data" / "link.png").symlink_to("../secret.png")
    (folder / "data" / "links").symlink_to("/etc")
    (folder / "data" / "seen.png").write_bytes(picture())
    with serving(folder, "--upload-mb", str(LIMIT), "--data", "data") as one:
        yield one


@pytest.fixture(scope="module")
def client(studio: Served) -> Iterator[httpx.Client]:
    with studio.client() as one:
        yield one


@contextmanager
def nothing_written(studio: Served) -> Iterator[None]:
    """An AssertionError if any file, folder or link of the studio is another afterwards."""
    before = studio.tree()
    yield
    after = studio.tree()
    assert after == before, {name for name in after.keys() | before.keys() if after.get(name) != before.get(name)}


def error_of(answer: httpx.Response, *statuses: int) -> str:
    """What was refused, with one of these statuses and in the form of every error."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    said = answer.json()
    assert set(said) == {"error", "flag"}
    assert isinstance(said["error"], str)
    assert said["error"]
    assert "Traceback" not in said["error"]
    assert answer.headers["content-type"].startswith("application/json")
    return said["error"]


def sent(client: httpx.Client, file: Hostile, **more: str) -> httpx.Response:
    model, field = file.field
    query = {"name": file.name, "model": model, "field": field, **more}
    return client.post("/v1/files", params=query, content=file.content())


# Files --------------------------------------------------------------------------------------------------


def test_an_honest_file_is_taken_and_gone_when_it_is_removed(studio: Served, client: httpx.Client) -> None:
    with nothing_written(studio):
        query = {"name": "Größe 3 (1).png", "model": "images/digits", "field": "observation"}
        answer = client.post("/v1/files", params=query, content=picture())
        assert answer.status_code == 201, answer.text
        assert answer.json()["name"] == query["name"]
        assert client.delete(f"/v1/files/{answer.json()['file'].removeprefix('file:')}").status_code < 300


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_refused(studio: Served, client: httpx.Client, name: str) -> None:
    file = FILES[name]
    with nothing_written(studio):
        started = time.monotonic()
        said = error_of(sent(client, file), 400, 413, 415)
        assert time.monotonic() - started < 20
    assert re.search(file.words, said), said
    assert not list(studio.folder.rglob(MARK))


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_is_refused(studio: Served, client: httpx.Client, name: str) -> None:
    with nothing_written(studio):
        said = error_of(sent(client, Hostile(name, picture, ("images/digits", "observation"), ".")), 400)
    assert "name" in said or "expected" in said


@settings(max_examples=60)
@given(st.text(max_size=40))
def test_whatever_a_file_is_called_it_stays_in_its_folder(studio: Served, client: httpx.Client, name: str) -> None:
    name = f"{name}.png"
    with nothing_written(studio):
        query = {"model": "images/digits", "field": "observation"}
        encoded = quote(name.encode("utf-8", "surrogatepass"))
        answer = client.post(f"/v1/files?name={encoded}", params=query, content=picture())
        if answer.status_code == 201:
            assert answer.json()["name"] == name
            assert not set(name) & set("/\\<>\0")
            new = [path for path in (studio.folder / "tmp").rglob("*") if path.name == name]
            assert len(new) == 1
            client.delete(f"/v1/files/{answer.json()['file'].removeprefix('file:')}")
        else:
            error_of(answer, 400)


def test_too_large_a_file_is_refused_before_it_is_read(studio: Served, client: httpx.Client) -> None:
    """A gigabyte, announced: nothing of it is waited for. And in pieces: no more than the limit is read."""
    with nothing_written(studio):
        assert answered(studio, [f"content-length: {1 << 30}"], b"") == (413, 0)
        status, read = answered(studio, ["transfer-encoding: chunked"], b"10000\r\n" + b"\x89PNG" * 16384 + b"\r\n")
        assert status in (400, 413)
        assert read < 4 * LIMIT << 20


def answered(studio: Served, headers: list[str], piece: bytes, most: int = 1 << 30) -> tuple[int, int]:
    """The status that a server answers while pieces are sent to it, up to a gigabyte, and how many bytes it took."""
    host = urlsplit(studio.address)
    said = f"POST /v1/files?name=x.csv&model={quote('poisson/gaussian')}&field=solution_sensors HTTP/1.1"
    piece = piece.replace(b"\x89PNG", b"1,2\n")
    with socket.create_connection((host.hostname, host.port), timeout=60) as line:
        line.sendall("\r\n".join([said, f"host: {host.netloc}", *headers, "", ""]).encode())
        line.setblocking(False)
        taken, answer, deadline = 0, b"", time.monotonic() + 60
        while b"\r\n" not in answer and time.monotonic() < deadline:
            try:
                if piece and taken < most:
                    taken += line.send(piece[taken % len(piece) :])
            except BlockingIOError:
                time.sleep(0.001)
            except (BrokenPipeError, ConnectionResetError):
                piece = b""
            try:
                answer += line.recv(65536) or b" 0 \r\n"
            except BlockingIOError:
                time.sleep(0 if piece else 0.01)
    return int(answer.split()[1]), taken


def test_uploads_cannot_fill_the_disk(studio: Served, client: httpx.Client) -> None:
    """All together are bounded, too; what was taken can be removed."""
    rows = b"x,y,value\n" + b"0.5,0.5,1.0\n" * (6 * (1 << 20) // 12)
    query = {"name": "x.csv", "model": "poisson/gaussian", "field": "solution_sensors"}
    taken = []
    with nothing_written(studio):
        answer = None
        for _ in range(20):
            answer = client.post("/v1/files", params=query, content=rows)
            if answer.status_code != 201:
                break
            taken.append(answer.json()["file"].removeprefix("file:"))
        assert answer
        assert "too many uploads" in error_of(answer, 413)
        assert sum(path.stat().st_size for path in studio.folder.rglob("*") if path.is_file()) < 10 * LIMIT << 20
        for one in taken:
            client.delete(f"/v1/files/{one}")


# Requests -----------------------------------------------------------------------------------------------

PATHS = (
    *("/etc/passwd", "../secret.png", "file:../../secret.png", "file:/etc/passwd", "file:", "runs:../secret.png"),
    *(
        "data:../secret.png",
        "data:link.png",
        "data:links/passwd",
        "data:/etc/passwd",
        "data:seen.png\0",
        "data:",
        "data:.",
    ),
)


@pytest.mark.parametrize("path", PATHS)
def test_no_path_of_the_server_is_opened_for_a_request(studio: Served, client: httpx.Client, path: str) -> None:
    with nothing_written(studio):
        error_of(client.post("/v1/samples", json=SMALL | {"observation": path}), 400, 404)
        error_of(client.post("/v1/samples", json=SMALL | {"model": path}), 400, 404)
        body = {"model": "images/digits", "field": "mask", "given": {"observation": path}}
        error_of(client.post("/v1/backdrop", json=body), 400, 404)
        error_of(client.post("/v1/hand", json=body | {"marks": {}}), 400, 404)


@pytest.mark.parametrize("more", [{"out": "/tmp/x"}, {"resume": True}, {"allow_code": True}, {"code": "x.py"}])
def test_what_only_the_command_line_may_is_refused(studio: Served, client: httpx.Client, more: dict[str, Any]) -> None:
    with nothing_written(studio):
        assert next(iter(more)).replace("_", "-") in error_of(client.post("/v1/samples", json=SMALL | more), 400)


BODIES = {
    "no JSON": b"{",
    "deep": b"[" * 200_000,
    "deep within a field": b'{"model":"images/digits","label":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "a list": b"[1, 2]",
    "not a number": b'{"model":"images/digits","noise":NaN}',
    "twice": b'{"model":"images/digits","n":1,"n":2}',
    "not UTF-8": b'{"model":"\xff"}',
    "many digits": b'{"model":"images/digits","n":' + b"9" * 100_000 + b"}",
    "an object for a value": b'{"model":"images/digits","n":{"x":1}}',
    "a zero byte": b'{"model":"images/digits\\u0000"}',
    "half a letter": b'{"model":"\\ud800"}',
    "nothing": b"",
}


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body_is_refused(studio: Served, client: httpx.Client, name: str) -> None:
    kind = {"content-type": "application/json"}
    with nothing_written(studio):
        error_of(client.post("/v1/samples", content=BODIES[name], headers=kind), 400, 413, 422)
        error_of(client.post("/v1/backdrop", content=BODIES[name], headers=kind), 400, 413, 422)
        error_of(client.post("/v1/hand", content=BODIES[name], headers=kind), 400, 413, 422)


def test_a_large_body_is_refused(studio: Served, client: httpx.Client) -> None:
    body = json.dumps(SMALL | {"prompt": ["x" * 100] * 400_000}).encode()
    with nothing_written(studio):
        kind = {"content-type": "application/json"}
        error_of(client.post("/v1/samples", content=body, headers=kind), 413)


def test_another_kind_of_body_is_refused(studio: Served, client: httpx.Client) -> None:
    """What a page of somebody else's could send without asking is not taken."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        with nothing_written(studio):
            answer = client.post("/v1/samples", content=json.dumps(SMALL).encode(), headers={"content-type": kind})
            error_of(answer, 415)


ASIDE = (
    *("..", "../../secret.png", "%2e%2e", "%2e%2e%2fsecret.png", "..%2f..%2fsecret.png", ".studio", "%00", "a" * 3000),
)


@pytest.mark.parametrize("way", ASIDE)
def test_no_address_leads_out_of_a_folder(studio: Served, client: httpx.Client, way: str) -> None:
    samples = [f"/v1/samples/{way}", f"/v1/samples/{way}/files/secret.png", f"/v1/samples/x/files/{way}"]
    others = [f"/static/{way}", f"/static/{way}/{way}", f"/v1/scripts/{way}.js", f"/v1/samples/{way}/archive.zip"]
    for place in samples + others:
        status, body = raw(studio, "GET", place)
        assert status in (400, 403, 404, 405, 414), (place, status)
        assert picture() not in body
        assert b"root:" not in body


def raw(studio: Served, method: str, target: str, headers: tuple[str, ...] = (), host: str = "") -> tuple[int, bytes]:
    """Status and all that is answered to a request whose address no client has put in order."""
    here = urlsplit(studio.address)
    with socket.create_connection((here.hostname, here.port), timeout=60) as line:
        lines = [f"{method} {target} HTTP/1.1", f"host: {host or here.netloc}", "connection: close", *headers, "", ""]
        line.sendall("\r\n".join(lines).encode("latin-1"))
        answer = b""
        while piece := line.recv(65536):
            answer += piece
    return int(answer.split()[1]), answer


# Who asks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example:1"]
)
def test_a_name_that_was_bound_to_this_address_anew_is_refused(studio: Served, host: str) -> None:
    for method, place in (("GET", "/"), ("GET", "/v1/models"), ("GET", "/v1/samples"), ("POST", "/v1/samples")):
        status, body = raw(studio, method, place, host=host)
        assert status == 403
        assert b"Host is" in body


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"])
def test_another_sites_requests_are_refused(studio: Served, client: httpx.Client, origin: str) -> None:
    headers = {"origin": origin}
    with nothing_written(studio):
        assert "Origin" in error_of(client.post("/v1/samples", json=SMALL, headers=headers), 403)
        assert "Origin" in error_of(client.get("/v1/samples", headers=headers), 403)
        assert "Origin" in error_of(client.delete("/v1/samples/x", headers=headers), 403)
        answer = client.options("/v1/samples", headers=headers | {"access-control-request-method": "POST"})
        assert answer.status_code >= 400
    assert not [name for name in answer.headers if name.startswith("access-control-allow")]
    assert client.get("/v1/models", headers={"sec-fetch-site": "cross-site"}).status_code == 403


def test_every_answer_keeps_pages_from_doing_more(studio: Served, client: httpx.Client) -> None:
    for place in ("/", "/v1/models", "/v1/nothing", "/static/app.js"):
        headers = client.get(place).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe-eval" not in headers["content-security-policy"]
        assert "'unsafe-inline'" not in headers["content-security-policy"].split("script-src")[1].split(";")[0]


@pytest.mark.slow
def test_beyond_this_machine_a_token_is_asked_for(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "0.0.0.0") as studio:
        token = re.search(r"token=([\w-]{16,})", studio.said)
        assert token, studio.said
        own = f"http://127.0.0.1:{urlsplit(studio.address).port}"
        with httpx.Client(base_url=own, timeout=60, trust_env=False) as client, nothing_written(studio):
            for place in ("/v1/models", "/v1/samples", "/openapi.json", "/v1/data"):
                error_of(client.get(place), 401)
                for wrong in ("", "x", token[1][:-1], f"{token[1]}x", "ü"):
                    error_of(client.get(place, headers=[(b"authorization", f"Bearer {wrong}".strip().encode())]), 401)
                    error_of(client.get(place, headers=[(b"cookie", f"ornstein-studio={wrong}".encode())]), 401)
                error_of(client.get(place, params={"token": token[1]}), 401)  # it would be in logs and in histories
                assert client.get(place, headers={"authorization": f"Bearer {token[1]}"}).status_code == 200
            error_of(client.post("/v1/samples", json=SMALL), 401)
            error_of(client.post("/v1/files", params={"name": "x.png"}, content=picture()), 401)
            error_of(client.delete("/v1/samples/x"), 401)


# What is left -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_at_the_end_no_upload_is_left(tmp_path: Path) -> None:
    with serving(tmp_path) as studio:
        with studio.client() as client:
            file = Hostile("seen.png", picture, ("images/digits", "observation"), ".")
            assert sent(client, file).status_code == 201
        assert list((tmp_path / "tmp").rglob("seen.png"))
    assert not list((tmp_path / "tmp").rglob("seen.png"))
    assert not [path for path in (tmp_path / "tmp").iterdir() if path.name.startswith("ornstein-studio-")]


@pytest.mark.slow
def test_what_a_crash_left_the_next_start_removes(tmp_path: Path) -> None:
    with serving(tmp_path) as studio, studio.client() as client:
        assert sent(client, Hostile("seen.png", picture, ("images/digits", "observation"), ".")).status_code == 201
        os.kill(studio.pid, 9)
    assert list((tmp_path / "tmp").rglob("seen.png"))
    with serving(tmp_path):
        assert not list((tmp_path / "tmp").rglob("seen.png"))


# Broken twins -------------------------------------------------------------------------------------------


def require_refused(file: Hostile, path: Path) -> None:
    from ornstein import InputError
    from ornstein.studio.contents import require_content

    path.write_bytes(file.content())
    with pytest.raises(InputError):
        require_content(path, file.name, 4 * LIMIT << 20)


CHECKS = {
    "is_pickle": "pickle in an archive",
    "_require_member": "pickle in an archive, called an array",
    "require_numbers": "array of objects",
    "_require_size": "zip bomb",
    "require_text": "text with a zero byte",
    "_require_picture": "picture of ten thousand million pixels",
}


@pytest.mark.parametrize("check", CHECKS)
def test_without_a_check_its_file_would_be_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    """Each check is what refuses its file: switched off, the test above would see that."""
    from ornstein.studio import archives, contents, kinds

    def off(*words: Any) -> None:
        pass

    file, known = FILES[CHECKS[check]], dict(contents._CHECKS)
    require_refused(file, tmp_path / "x")
    for module in (archives, contents, kinds):
        kept = getattr(module, check, None)
        if kept is not None:
            monkeypatch.setattr(module, check, off)
            known = {kind: off if one is kept else one for kind, one in known.items()}
    monkeypatch.setattr(contents, "_CHECKS", known)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        require_refused(file, tmp_path / "x")


def test_a_file_that_is_left_would_be_seen(studio: Served) -> None:
    def leave_one() -> None:
        with nothing_written(studio):
            (studio.folder / "tmp" / "left").write_bytes(b"")

    rejected(leave_one)
    (studio.folder / "tmp" / "left").unlink()


def test_the_hostile_files_are_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pickle runs when it is read; the link is one."""
    import pickle
    import zipfile
    from io import BytesIO

    monkeypatch.chdir(tmp_path)
    pickle.loads(pickled())
    assert (tmp_path / MARK).exists()
    assert zipfile.ZipFile(BytesIO(linking("/etc/passwd"))).infolist()[0].external_attr >> 28 == 0o12
