"""A folder or a model of a stranger's runs nothing, opens nothing and leads nowhere."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ornstein as on
from folders import run, saved
from ornstein import InputError, code
from ornstein.cli import main
from ornstein.files import sha256
from ornstein.report.show import show
from ornstein.tasks import requests, runs
from ornstein.tasks.registry import task
from ornstein.tasks.samples import read_samples
from ornstein.tasks.storage import merging
from ornstein.training import checkpoints

PAYLOAD = """
from pathlib import Path
Path(__file__).with_name("marker").touch()
import torch
from ornstein.domains.energies import System
x = System("x", lambda x: 2.0 * x.square().sum(1), (2,), 20.0)
"""


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder to work in; nothing is allowed yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(code, "_allowed", {})
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path


def rewritten(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A folder of samples whose manifest was changed."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    return folder


# Code -------------------------------------------------------------------------------------------------


def of_payload(place: Path) -> tuple[Path, Path]:
    """Samples and a model whose files name code that is in the folder of the samples."""
    samples, model = saved(place / "down", "energies"), run(place / "run")
    (samples / "plot.py").write_text(PAYLOAD)

    def change(manifest: dict[str, Any]) -> None:
        manifest["model"]["facts"]["system"] = "down/plot.py:x"

    rewritten(samples, change)
    tensors, meta = checkpoints.load(model / "model.safetensors", "model")
    meta["config"]["system"] = meta["facts"]["system"] = "down/plot.py:x"
    checkpoints.save(model / "model.safetensors", "model", tensors, meta)
    return samples, model


@pytest.mark.parametrize(
    "command",
    [
        ["show", "down"],
        ["evaluate", "down"],
        ["trust", "down"],
        ["score", "down"],
        ["merge", "down", "down", "--out", "out"],
        ["sample", "run", "--n", "4", "--out", "out"],
        ["sample", "run/model.safetensors", "--help"],
    ],
    ids=" ".join,
)
def test_no_command_runs_what_a_file_names(place: Path, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    of_payload(place)
    status: Any = 0
    try:
        status = main(command)
    except SystemExit as stop:
        status = stop.code
    assert not (place / "down" / "marker").exists()
    if command[-1] != "--help":
        assert status == 2
        error = capsys.readouterr().err
        assert "names code, 'down/plot.py:x', and a file alone may not have code run" in error
        assert "--allow-code" in error
    assert main(["sample", "run", "--n", "4", "--steps", "2", "--out", "out", "--allow-code"]) == 0
    assert (place / "down" / "marker").exists()


@pytest.mark.parametrize("setting", ["facts", "config"])
def test_nothing_in_python_does_either(place: Path, setting: str) -> None:
    samples, model = of_payload(place)

    def change(manifest: dict[str, Any]) -> None:
        manifest["model"]["facts"]["system"] = manifest["model"]["config"]["system"] = "gmm-40"
        manifest["model"][setting]["system"] = "down/plot.py:x"

    rewritten(samples, change)
    for read in (
        read_samples,
        runs.evaluate,
        on.trust,
        lambda folder: show(str(folder)),
        lambda folder: merging.merge([folder, folder]),
    ):
        with pytest.raises(InputError, match=r"names code, 'down/plot.py:x'.*allow_code=True"):
            read(samples)
    with pytest.raises(InputError, match="names code"):
        on.load(model)
    assert not (samples / "marker").exists()
    assert len(read_samples(samples, allow_code=True)) == 6
    assert runs.evaluate(samples, allow_code=True)[0].name == "virial"


def test_a_configuration_alone_names_no_code(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "plot.py").write_text(PAYLOAD)
    (place / "c.toml").write_text('system = "plot.py:x"\nparticles = 100\n')
    command = ["train", "energies", "--config", "c.toml", "--out", "out"]
    assert main(command) == 2
    assert "c.toml: names code, 'plot.py:x'" in (error := capsys.readouterr().err)
    assert "--system plot.py:x" in error
    assert not (place / "marker").exists()
    with pytest.raises(InputError, match=r"c\.toml: names code"):
        runs.recipe("energies", None, place / "c.toml")
    code.allow_named(["--system=plot.py:x"])
    assert runs.recipe("energies", None, place / "c.toml").system == "plot.py:x"


def test_an_energy_that_changed_or_moved(place: Path) -> None:
    """The model keeps the hash of its energy's file: B8."""
    (place / "my.py").write_text(PAYLOAD)
    folder = run(place / "run")
    tensors, meta = checkpoints.load(folder / "model.safetensors", "model")
    meta["config"]["system"] = meta["facts"]["system"] = "my.py:x"
    meta["facts"]["code"] = code.hashes_of(place / "my.py")
    checkpoints.save(folder / "model.safetensors", "model", tensors, meta)
    model = on.load(folder, allow_code=True)
    assert requests.draw(model, task("energies").request_type(), 2, steps=2).x.shape == (2, 2)
    (place / "elsewhere").mkdir()
    os.chdir(place / "elsewhere")
    code._allowed.clear()
    on.load(folder, allow_code=True)  # found beside the run
    (place / "my.py").rename(place / "elsewhere" / "theirs.py")
    code._allowed.clear()
    with pytest.raises(InputError, match="--code PATH names the new place"):
        on.load(folder, allow_code=True)
    on.load(folder, allow_code="theirs.py")
    with (place / "elsewhere" / "theirs.py").open("a") as file:
        file.write("x = System('x', lambda x: 3.0 * x.square().sum(1), (2,), 20.0)\n")
    with pytest.raises(InputError, match=r"theirs.py: changed since the training: my.py has SHA-256"):
        on.load(folder, allow_code="theirs.py")


# Names and paths --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["manifest.json", "scores.json"])
def test_a_folder_has_its_own_manifest_and_scores(place: Path, name: str) -> None:
    folder = saved(place / "down", "images")
    (place / name).write_text((folder / name).read_text() if (folder / name).exists() else "[]")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(f"../{name}")
    with pytest.raises(InputError, match="a symbolic link that leads out of its own folder"):
        show(str(folder))


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/passwd", "0/../../secret.png", "link.png", "pipe", "/dev/zero"]
)
@pytest.mark.parametrize("right", [True, False])
def test_a_manifest_names_only_what_is_in_its_folder(place: Path, name: str, right: bool) -> None:
    folder = saved(place / "down", "images")
    (place / "secret.png").write_bytes(next(folder.glob("0*.png")).read_bytes())
    (folder / "link.png").symlink_to("../secret.png")
    os.mkfifo(folder / "pipe")
    digest = sha256(folder / name) if right and (folder / name).is_file() else "0" * 64
    rewritten(folder, lambda manifest: manifest["files"].update({name: digest}))
    with pytest.raises(InputError, match=r"manifest.json: names .*(its own folder|a symbolic link|a pipe)"):
        read_samples(folder)
    with pytest.raises(InputError, match=r"manifest.json: names"):
        show(str(folder))


@pytest.mark.parametrize("domain", ["images", "sequences", pytest.param("molecules", marks=pytest.mark.slow)])
def test_data_that_a_manifest_names_are_not_opened(
    place: Path, domain: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "passwd").write_text("root:secret:0\n")
    saved(place / "down", domain, data=str(place / "passwd"))
    assert main(["evaluate", "down"]) == 2
    error = capsys.readouterr().err
    assert "secret" not in error
    assert f"--data {place / 'passwd'}" in error
    with pytest.raises(InputError, match="passwd"):  # named by the user, and read
        runs.evaluate(place / "down", data=str(place / "passwd"))


def test_an_alphabet_without_letters_is_refused(place: Path) -> None:
    samples = rewritten(
        saved(place / "down", "sequences"), lambda manifest: manifest["model"]["facts"].update(alphabet="")
    )
    with pytest.raises(InputError, match="alphabet is empty"):
        read_samples(samples)


def test_what_is_merged_is_told_as_text(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def named(manifest: dict[str, Any], first: int) -> None:
        manifest["model"]["name"] = "small\x1b[31m"
        manifest["settings"]["first"] = first

    one = rewritten(saved(place / "one", "sequences"), lambda manifest: named(manifest, 0))
    n = json.loads((one / "manifest.json").read_text())["n"]
    two = rewritten(saved(place / "two", "sequences"), lambda manifest: named(manifest, n))
    assert main(["merge", str(one), str(two), "--out", "merged"]) == 0
    said = capsys.readouterr().out
    assert "small" in said
    assert "\x1b" not in said
