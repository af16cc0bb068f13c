"""A form is the command line's table of flags, and what a JSON object of flags means is what its words mean there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ornstein import cli
from ornstein.commands.objects import COMMAND, flags, parsed
from ornstein.domains.images.requests import ImagesRequest
from ornstein.errors import InputError
from ornstein.studio.door.forms import again, flag_in, form, order
from ornstein.studio.uploads.references import Places
from ornstein.studio.uploads.store import Uploads
from ornstein.tasks.registry import domains, task


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    uploads, base = Uploads(), tmp_path_factory.mktemp("base")
    for name in ("runs", "data/inner"):
        (base / name).mkdir(parents=True)
    (base / "data" / "inner" / "seen.png").write_bytes(b"")
    (base / "data" / "words.txt").write_text("")
    (base / "data" / "out.png").symlink_to(base / "secret.png")
    (base / "secret.png").write_bytes(b"")
    uploads.open()
    yield Places(uploads, base / "runs", base / "data")
    uploads.close()


def refused(body: Any, places: Places) -> str:
    with pytest.raises(InputError) as error:
        order(body, places)
    return str(error.value)


# What stands in the body, and the words that say the same on the command line.
BAD: tuple[tuple[str, str, list[str]], ...] = (
    ("images/digits", '{"n": "x"}', ["--n", "x"]),
    ("images/digits", '{"n": 0}', ["--n", "0"]),
    ("images/digits", '{"n": 2.5}', ["--n", "2.5"]),
    ("images/digits", '{"n": true}', ["--n", "true"]),
    ("images/digits", '{"n": []}', ["--n"]),
    ("images/digits", '{"n": [3, 4]}', ["--n", "3", "4"]),
    ("images/digits", '{"steps": 0}', ["--steps", "0"]),
    ("images/digits", '{"seed": -1}', ["--seed", "-1"]),
    ("images/digits", '{"lable": 3}', ["--lable", "3"]),
    ("images/digits", '{"zzzz": 3}', ["--zzzz", "3"]),
    ("images/digits", '{"label": []}', ["--label"]),
    ("images/digits", '{"exact": "yes"}', ["--exact", "yes"]),
    ("images/digits", '{"order": 4}', ["--order", "4"]),
    ("images/digits", '{"noise": 0.1}', ["--noise", "0.1"]),
    ("images/digits", '{"noise": -0.1}', ["--noise", "-0.1"]),
    ("images/digits", '{"trajectory": "on"}', ["--trajectory=on"]),
    ("images/digits", '{"interval": [1]}', ["--interval", "1"]),
    ("images/digits", '{"interval": [0.5, 0.2]}', ["--interval", "0.5", "0.2"]),
    ("images/digits", '{"guidance": "much"}', ["--guidance", "much"]),
    ("images/digits", '{"strength": 0.5}', ["--strength", "0.5"]),
    ("energies/gmm-40", '{"label": 3}', ["--label", "3"]),
    ("sequences/trypsin", '{"top-p": 7}', ["--top-p", "7"]),
    ("poisson/gaussian", '{"bounds": [1, 2, 3]}', ["--bounds", "1", "2", "3"]),
    ("images/digits", '{"n": 3, "steps": "many", "lable": 1}', ["--n", "3", "--steps", "many", "--lable", "1"]),
)


@pytest.mark.parametrize(("model", "body", "words"), BAD, ids=[f"{model} {body}" for model, body, _ in BAD])
def test_errors_are_the_command_lines_word_for_word(
    model: str, body: str, words: list[str], places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sample", model, *words, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err.removeprefix("ornstein: ").strip()
    assert refused({"model": model, **json.loads(body)}, places) == said


def test_an_order_is_what_the_command_line_would_draw(places: Places) -> None:
    body = {"model": "images/digits", "label": [3, "4"], "guidance": 2, "n": 4, "batch-size": 2, "steps": None}
    found = order(body, places)
    assert found.model == "images/digits"
    assert found.asked == ImagesRequest(label=(3, 4), guidance=2.0)
    assert found.how == {"n": 4, "first": 0, "seed": 0, "exact": "off", "batch_size": 2}
    assert found.device == "auto"
    assert found.flat == {"label": [3, 4], "guidance": 2.0, "n": 4, "batch_size": 2}
    assert again(found.model, found.flat) == found


def test_words_that_look_like_flags_are_values(places: Places) -> None:
    found = order({"model": "images/openmoji", "prompt": ["--out", "/etc/passwd"], "negative": "--allow-code"}, places)
    assert found.asked.prompt == ("--out", "/etc/passwd")
    assert found.asked.negative == "--allow-code"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "sample needs a MODEL"),
        ({"model": 3}, "sample needs a MODEL"),
        ({"model": "images/digitz"}, "did you mean 'images/digits'?"),
        ({"model": "/etc/passwd"}, "no shipped model of that name"),
        ({"model": "."}, "no shipped model of that name"),
        ({"model": "data:words.txt"}, "model is 'data:words.txt'"),
        ({"model": "runs:.."}, "not below the folder of --runs"),
        ({"model": "runs:/etc"}, "not below the folder of --runs"),
        ({"model": "file:nothing"}, "no such upload"),
        ({"model": "images/digits", "out": "x"}, "--out is for the command line"),
        ({"model": "images/digits", "allow_code": True}, "--allow-code is for the command line: no code is run"),
        ({"model": "images/digits", "code": "x.py"}, "--code is for the command line"),
        ({"model": "sequences/riboswitch", "energy": "x.py:e"}, "--energy is for the command line: no code is run"),
        ({"model": "images/digits", "observation": "/etc/passwd"}, "expected a file that was uploaded"),
        ({"model": "images/digits", "observation": "seen.png"}, "expected a file that was uploaded"),
        ({"model": "images/digits", "observation": ["data:inner/seen.png", "x"]}, "one word too many"),
        ({"model": "images/digits", "observation": "data:../secret.png"}, "not below the folder of --data"),
        ({"model": "images/digits", "observation": "data:out.png"}, "not below the folder of --data"),
        ({"model": "images/digits", "observation": "data:/etc/passwd"}, "not below the folder of --data"),
        ({"model": "images/digits", "observation": "data:words.txt"}, "(words.txt), expected .png"),
        ({"model": "images/digits", "weak_model": "data:inner"}, "expected a run folder"),
        ({"model": "images/digits", "n": {"a": 1}}, "--n is"),
        ({"model": "images/digits", "label": [None]}, "--label is"),
        ({"model": "molecules/qm9", "smiles": "mine.smi"}, "names a file"),
        ({"model": "molecules/qm9", "smiles": ["CCO", "/etc/passwd"]}, "names a file"),
        ({"model": "poisson/gaussian", "source": "/etc/passwd"}, "--source is '/etc/passwd', expected a number, or a"),
    ],
    ids=str,
)
def test_no_request_names_a_path_of_this_machine(body: Any, said: str, places: Places) -> None:
    assert said in refused(body, places)


def test_references_lead_to_files(places: Places) -> None:
    assert places.data is not None
    found = order({"model": "images/digits", "observation": "data:inner/seen.png"}, places)
    assert found.asked.observation == places.data / "inner" / "seen.png"
    found = order({"model": "molecules/qm9", "smiles": ["data:words.txt"]}, places)
    assert found.asked.smiles == (str(places.data / "words.txt"),)
    assert order({"model": "molecules/qm9", "smiles": "C/C=C/C"}, places).asked.smiles == ("C/C=C/C",)
    assert order({"model": "poisson/gaussian", "source": 0}, places).asked.source == 0
    assert places.data_files() == ["inner/seen.png", "words.txt"]


@pytest.mark.parametrize("domain", list(domains()))
def test_every_flag_but_those_of_code_is_in_the_form_once(domain: str, places: Places) -> None:
    this = task(domain)
    options = {flag.option for flag in flags(this)} - {f"--{name}" for name in this.request_code}
    model = next(name for name in forms_models() if name.startswith(f"{domain}/"))
    said = form(places.model(model))
    json.dumps(said)
    fields = [one for group in said["groups"] for one in group["fields"]]
    assert [one["option"] for one in fields] == [
        flag.option
        for group in said["groups"]
        for flag in flags(this)
        if flag.group == group["title"] and flag.option in options
    ]
    assert {one["option"] for one in fields} == options
    assert all(one["text"] for one in fields)
    assert said["groups"][0]["fields"][0]["name"] in (*vars(this.request_type()), "n")


def forms_models() -> list[str]:
    from ornstein.tasks.registry import names

    return names("models/*/model.safetensors")


def test_kinds_of_fields(places: Places) -> None:
    known = {one["name"]: one for group in form(places.model("images/digits"))["groups"] for one in group["fields"]}
    assert {name: known[name]["kind"] for name in ("label", "observation", "operator", "n", "noise", "trajectory")} == {
        "label": "text",
        "observation": "file",
        "operator": "choice",
        "n": "integer",
        "noise": "number",
        "trajectory": "switch",
    }
    assert known["label"]["many"]
    assert known["interval"]["count"] == 2
    assert known["order"]["choices"] == [1, 2, 3]
    assert ".png" in known["observation"]["suffixes"]
    assert known["weak_model"]["runs"]
    assert known["mask"]["hand"] == {"kind": "painted", "over": "observation"}
    source = {one["name"]: one for g in form(places.model("poisson/gaussian"))["groups"] for one in g["fields"]}[
        "source"
    ]
    assert source["kind"] == "number-or-file"


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"3", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"\xff", b"[" * 10**5])
def test_bodies_that_are_no_object_are_refused(body: bytes) -> None:
    with pytest.raises(InputError, match="the body"):
        parsed(body, "the body")


def test_errors_name_their_flag() -> None:
    assert flag_in("--label is empty, expected one class or more") == "--label"
    assert flag_in("steps is 0, expected a number in [1, 1e6]") == "--steps"
    assert flag_in("sample has no flag --lable, did you mean --label INT?") == "--lable"
    assert flag_in("out of memory") is None
    assert COMMAND == "sample"
