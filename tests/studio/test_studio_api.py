"""The HTTP interface without workers: who may come in, what is refused and how, and that its document is valid.

The lifespan, which starts workers, is not run; what is drawn is in test_studio_drawn.py.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate
from starlette.testclient import TestClient

from ornstein.errors import InputError
from ornstein.studio import openapi
from ornstein.studio.app import Door
from ornstein.studio.guarding import COOKIE
from ornstein.studio.serving import _token
from ornstein.studio.studio import Settings

URL = "http://127.0.0.1:8421"
TOKEN = "0123456789abcdef-token"


def opened(folder: Path, **more: Any) -> tuple[Door, TestClient]:
    (folder / "runs").mkdir(exist_ok=True)
    door = Door(Settings(folder / "samples", folder / "runs"), upload_mb=1, **more)
    door.uploads.open()
    return door, TestClient(door.app(), URL, raise_server_exceptions=False)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    door, found = opened(tmp_path_factory.mktemp("studio"))
    yield found
    door.uploads.close()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[TestClient]:
    door, found = opened(tmp_path, host="0.0.0.0", token=TOKEN)
    yield found
    door.uploads.close()


def said(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "flag"}
    return answer.json()["error"]


# Who may come in --------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:8421", "localhost:8421", "[::1]:8421", "localhost"])
def test_this_server_is_answered(client: TestClient, host: str) -> None:
    assert client.get("/v1/data", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example:8421", "127.0.0.1.evil.example", "192.0.2.1:8421", "", "localhost.evil"]
)
@pytest.mark.parametrize("address", ["/", "/v1/data", "/static/x.js", "/openapi.json"])
def test_a_name_bound_to_this_address_anew_is_refused(client: TestClient, host: str, address: str) -> None:
    assert "which is not this server" in said(client.get(address, headers={"host": host}), 403)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:8421"])
def test_other_sites_are_refused(client: TestClient, origin: str) -> None:
    answer = client.post("/v1/samples", headers={"origin": origin}, json={"model": "images/digits"})
    assert "which is another site" in said(answer, 403)
    assert client.get("/v1/data", headers={"origin": URL}).status_code == 200


def test_what_other_sites_include_is_refused(client: TestClient) -> None:
    for site in ("cross-site", "same-site"):
        headers = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
        assert "another site" in said(client.get("/v1/data", headers=headers), 403)
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=headers).status_code != 403
    assert client.get("/v1/data", headers={"sec-fetch-site": "same-origin"}).status_code == 200


def test_every_answer_says_what_a_page_may_do(client: TestClient) -> None:
    for address in ("/v1/data", "/v1/nothing", "/static/nothing.js"):
        headers = client.get(address).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "script-src 'self';" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    assert client.get("/v1/data").headers["cache-control"] == "no-store"


def test_beyond_this_machine_a_token_is_asked_for(guarded: TestClient) -> None:
    assert "a token is asked for" in said(guarded.get("/v1/data"), 401)
    assert "a token is asked for" in said(guarded.get("/openapi.json"), 401)
    for wrong in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"):
        assert said(guarded.get("/v1/data", headers={"authorization": wrong}), 401)
    assert guarded.get("/v1/data", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert guarded.get("/v1/data", headers={"host": "192.0.2.7:8421", "authorization": f"Bearer {TOKEN}"}).is_success
    assert said(guarded.get("/v1/data", headers={"host": "evil.example", "authorization": f"Bearer {TOKEN}"}), 403)


def test_the_page_logs_in_with_the_token_of_its_address(guarded: TestClient) -> None:
    assert guarded.get("/static/nothing.js").status_code == 404  # the page itself tells nothing
    assert "not the token" in said(guarded.post("/v1/login", json={"token": "wrong"}), 401)
    assert "not the token" in said(guarded.post("/v1/login", json={"token": None}), 401)
    answer = guarded.post("/v1/login", json={"token": TOKEN})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(f"{COOKIE}-") and "httponly" in cookie and "samesite=strict" in cookie  # noqa: PT018
    assert guarded.get("/v1/data").status_code == 200


def test_never_beyond_this_machine_without_a_token() -> None:
    assert _token("127.0.0.1", None) == _token("localhost", None) == _token("::1", None) == ""
    for host in ("0.0.0.0", "::", "192.0.2.1", ""):
        assert len(_token(host, None)) >= 32
    for token in ("", "short", "with spaces in between", "ünfzehn-Zeichen-lang"):
        with pytest.raises(InputError, match="--token"):
            _token("0.0.0.0", token)
    assert _token("127.0.0.1", TOKEN) == TOKEN


# What is refused --------------------------------------------------------------------------------------


def test_errors_are_json_and_name_their_flag(client: TestClient) -> None:
    for body, status, flag in (
        ({"model": "images/digits", "n": "x"}, 400, "--n"),
        ({"model": "images/digits", "steps": 0}, 400, "--steps"),
        ({"model": "images/digits", "lable": 1}, 400, "--lable"),
        ({"model": "images/digitz"}, 400, None),
    ):
        answer = client.post("/v1/samples", json=body)
        assert said(answer, status)
        assert answer.json()["flag"] == flag


def test_bodies_that_are_no_json_are_refused(client: TestClient) -> None:
    assert "expected application/json" in said(client.post("/v1/samples", content=b'{"model": "images/digits"}'), 415)
    form = client.post("/v1/samples", data={"model": "images/digits"})
    assert "expected application/json" in said(form, 415)
    kind = {"content-type": "application/json; charset=utf-8"}
    assert "not valid JSON" in said(client.post("/v1/samples", content=b"{", headers=kind), 400)
    assert "limit of 0.25 MB" in said(client.post("/v1/samples", content=b" " * 1_100_000, headers=kind), 413)


def test_what_is_not_there(client: TestClient) -> None:
    for method, address in (
        ("GET", "/v1/nothing"),
        ("GET", "/nothing"),
        ("GET", "/v1/samples/nothing"),
        ("DELETE", "/v1/samples/nothing"),
        ("GET", "/v1/samples/nothing/events"),
        ("POST", "/v1/samples/nothing/resume"),
        ("GET", "/v1/samples/nothing/archive.zip"),
        ("GET", "/v1/samples/nothing/figures/0"),
        ("GET", "/v1/samples/nothing/files/manifest.json"),
        ("GET", "/v1/scripts/" + "0" * 64 + ".js"),
        ("DELETE", "/v1/files/nothing"),
    ):
        assert said(client.request(method, address), 404)
    assert said(client.put("/v1/samples"), 405)


def test_files_of_results_lead_nowhere_else(client: TestClient, tmp_path: Path) -> None:
    door, mine = opened(tmp_path)
    door.uploads.close()
    folder = tmp_path / "samples" / "one"
    folder.mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (folder / "page.html").write_text("<script>alert(1)</script>")
    (folder / "link").symlink_to(tmp_path / "secret")
    answer = mine.get("/v1/samples/one/files/page.html")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    for name in ("link", "../../secret", "%2e%2e/%2e%2e/secret", "..%2f..%2fsecret", "/etc/passwd", "%2fetc%2fpasswd"):
        assert mine.get(f"/v1/samples/one/files/{name}").status_code == 404
    for id in ("..", "%2e%2e", ".studio", "..%2f", "one%2f..", "%00"):
        assert mine.get(f"/v1/samples/{id}/files/secret").status_code in (404, 405)
        assert mine.get(f"/v1/samples/{id}/archive.zip").status_code in (404, 405)


def test_uploads(client: TestClient) -> None:
    query = {"model": "energies/gmm-40", "field": "model", "name": "m.safetensors"}
    assert "not safetensors" in said(client.post("/v1/files", params=query, content=b"x" * 99), 400)
    assert "1 MB" in said(client.post("/v1/files", params=query, content=b"x" * 1_000_001), 413)
    assert "1 MB" in said(client.post("/v1/files", params=query, headers={"content-length": str(10**12)}), 413)
    assert "has no flag" in said(client.post("/v1/files", params={**query, "field": "../x"}, content=b"x"), 400)
    assert "takes no file" in said(client.post("/v1/files", params={**query, "field": "n"}, content=b"x"), 400)
    assert "no shipped model" in said(client.post("/v1/files", params={"model": "x", "field": "n"}, content=b"x"), 400)
    hostile = {**query, "name": "<img src=x onerror=alert(1)>.safetensors"}
    assert "less-than sign" in said(client.post("/v1/files", params=hostile, content=b"x"), 400)


def test_by_hand_only_what_can_be(client: TestClient) -> None:
    body = {"model": "energies/gmm-40", "field": "n"}
    assert "expected one that can be made by hand" in said(client.post("/v1/backdrop", json=body), 400)
    assert "no shipped model" in said(client.post("/v1/hand", json={"model": "/etc/passwd", "field": "mask"}), 400)


# What it says of itself -------------------------------------------------------------------------------


def test_models_and_forms(client: TestClient) -> None:
    listed = client.get("/v1/models").json()
    found = {one["name"]: one for one in listed["models"]}
    assert listed["first"] == "images/digits", "light, and quick to draw"
    assert found["images/digits"]["kind"] == "shipped"
    assert "images/digits" in found["images/digits"]["card"]
    form = client.get("/v1/form", params={"model": "energies/gmm-40"}).json()
    assert form["domain"] == "energies"
    assert "no shipped model" in said(client.get("/v1/form", params={"model": "x"}), 400)
    assert said(client.get("/v1/form"), 400)


def test_the_openapi_document_is_valid_and_of_these_routes(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    validate(document)
    digits = document["components"]["schemas"]["Samples_images"]["properties"]
    assert digits["n"]["anyOf"][0] == {"type": "integer"}
    assert digits["exact"]["anyOf"][0] == {"enum": ["off", "particles", "mcmc"]}
    for address, methods in document["paths"].items():
        place = address.replace("{path}", "x").replace("{id}", "nothing").replace("{k}", "0")
        for method in methods:
            assert client.request(method.upper(), place).status_code != 405, (method, address)


def test_requests_of_the_document_are_what_forms_take(client: TestClient) -> None:
    from jsonschema import Draft202012Validator

    document = openapi.document()
    schema = {"$ref": "#/components/schemas/Samples", "components": document["components"]}
    check = Draft202012Validator(schema)
    for body in ({"model": "images/digits", "label": [3, "4"], "n": 4}, {"model": "poisson/gaussian", "source": 0.5}):
        assert not list(check.iter_errors(body))
    for body in ({"model": "images/digits", "n": "x"}, {"model": "images/digits", "lable": 1}, {"n": 1}):
        assert list(check.iter_errors(body))
    assert json.dumps(document)
