"""The command line as a user meets it: what it prints, what it writes, and the exit codes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ornstein.cli import main

SMALL = [
    "--network.channels", "8", "--network.blocks", "1", "--train.steps", "6",
    "--train.batch-size", "16", "--train.save-every", "3", "--train.validate-every", "6",
    "--train.plan",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert main(["train", "images/digits", *SMALL, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def drawn(run: Path) -> Path:
    folder = run.parent / "drawn"
    command = [
        "sample",
        str(run),
        "--n",
        "12",
        "--steps",
        "4",
        "--label",
        "3",
        "7",
        "--trajectory",
        "--out",
        str(folder),
    ]
    assert main([*command, "--guidance", "2"]) == 0
    return folder


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Runs a command that must end with exit code 2 and returns what it said."""
    code: object = None
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    return " ".join(capsys.readouterr().err.replace("│", "").split())


def test_help_does_not_import_torch() -> None:
    program = "import sys, ornstein.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip().endswith("False")
    assert all(command in result.stdout for command in ("tour", "train", "sample", "score", "show", "models", "doctor"))


def test_train_leaves_a_run(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert names == {"config.toml", "last.safetensors", "metrics.jsonl", "model.safetensors"}


def test_train_takes_its_own_configuration_back(run: Path, tmp_path: Path) -> None:
    command = ["train", "images/digits", "--config", str(run / "config.toml"), "--out", str(tmp_path / "again")]
    assert main(command) == 0
    assert (tmp_path / "again" / "config.toml").read_text() == (run / "config.toml").read_text()


def test_train_does_not_write_over_a_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds a run already" in refused(["train", "images/digits", *SMALL, "--out", str(run)], capsys)


def test_train_resumes_with_more_steps(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "last.safetensors").write_bytes((run / "last.safetensors").read_bytes())
    command = ["train", "images/digits", *SMALL, "--out", str(folder), "--resume"]
    assert main([*command, "--train.steps", "8", "--train.plan", "4"]) == 0
    said = capsys.readouterr().out
    assert "note: the learning rate ended at" in said
    assert "by its schedule over 6 steps" in said
    assert "train.learning_rate = 0.001, now 0.1" in refused([*command, "--train.learning-rate", "0.1"], capsys)


def test_samples_come_with_a_manifest(drawn: Path) -> None:
    manifest = json.loads((drawn / "manifest.json").read_text())
    assert manifest["n"] == 12
    assert manifest["nfe"] == 8  # two calls a step with guidance
    assert manifest["settings"]["guidance"] == 2
    assert sorted(manifest["files"])[:2] == ["00000-3.png", "00001-7.png"]
    assert {"grid.png", "trajectory.gif", "trajectory.png"} < manifest["files"].keys()


def test_the_same_seed_gives_the_same_files(run: Path, drawn: Path, tmp_path: Path) -> None:
    command = ["sample", str(run), "--n", "12", "--steps", "4", "--label", "3", "7", "--trajectory", "--guidance", "2"]
    assert main([*command, "--batch-size", "5", "--out", str(tmp_path / "again")]) == 0
    ours, theirs = (json.loads((folder / "manifest.json").read_text()) for folder in (drawn, tmp_path / "again"))
    assert ours["files"] == theirs["files"]


def test_exact_samples_say_how_exact_they_are(run: Path, tmp_path: Path) -> None:
    """Nothing is to be weighed here, so the population stays whole."""
    command = ["sample", str(run), "--n", "4", "--steps", "3", "--exact", "particles", "--particles", "12"]
    assert main([*command, "--out", str(tmp_path / "exact")]) == 0
    found = json.loads((tmp_path / "exact" / "manifest.json").read_text())
    assert found["exactness"]["method"] == "particles"
    assert found["exactness"]["particles"] == 12
    assert len(found["exactness"]["ess"]) == found["settings"]["steps"] == 3
    assert min(found["exactness"]["ess"]) > 0.99


def test_a_population_takes_no_setting_of_independent_samples(
    run: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert json.loads((drawn / "manifest.json").read_text())["exactness"] is None
    command = ["sample", str(run), "--exact", "particles", "--eta", "0.5", "--out", str(tmp_path / "out")]
    assert "eta is for independent samples" in refused(command, capsys)
    assert not (tmp_path / "out").exists()


def test_a_population_in_chunks_is_the_same(run: Path, tmp_path: Path) -> None:
    command = ["sample", str(run), "--n", "4", "--steps", "3", "--exact", "particles", "--particles", "12"]
    assert main([*command, "--out", str(tmp_path / "at once")]) == 0
    assert main([*command, "--batch-size", "5", "--out", str(tmp_path / "in chunks")]) == 0
    ours, theirs = (json.loads((tmp_path / one / "manifest.json").read_text()) for one in ("at once", "in chunks"))
    assert ours["files"] == theirs["files"]


def test_score_appends(drawn: Path) -> None:
    assert main(["evaluate", str(drawn)]) == 0
    assert main(["evaluate", str(drawn)]) == 0
    rows = json.loads((drawn / "scores.json").read_text())
    assert len(rows) == 2
    assert rows[0]["scores"][0]["name"] == "class agreement"
    assert rows[0]["scores"][0]["reference"] >= 0.97  # the judge on held-out real digits


def test_show(run: Path, drawn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (str(run), str(drawn), "images/digits"):
        assert main(["show", path]) == 0
    assert "report.html" in capsys.readouterr().out
    assert b"data:image/png;base64" in (drawn / "report.html").read_bytes()
    assert b"ornstein sample RUN --n 12 --steps 4" in (drawn / "report.html").read_bytes()  # of no shipped model


def test_models_and_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    with pytest.raises(SystemExit, match="0"):
        main(["doctor"])
    printed = capsys.readouterr().out
    assert "images/digits" in printed
    assert "wrong" not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "imagse"], "no domain 'imagse', did you mean 'images'?"),
        (["train", "images/digit"], "no recipe 'digit', did you mean 'digits'?"),
        (["train", "images", "--network.chanels", "3"], "did you mean --network.channels INT?"),
        (["sample", "images/digits", "--guidence", "3"], "no flag --guidence, did you mean --guidance FLOAT?"),
        (["sample", "images/digits", "--zzzzz"], "sample has no flag --zzzzz; --help lists them"),
        (["sample", "images/digits", "--steps", "many"], "--steps is 'many', expected a whole number"),
        (["sample", "images/digits", "--interval", "0.2"], "--interval takes 2 values (FLOAT FLOAT), found 1"),
        (["sample", "images/digits", "--interval", "0.8", "0.2", "--guidance", "3"], "of which the first is smaller"),
        (["sample", "images/digits", "--exact", "of"], "--exact is 'of', expected one of off, particles, mcmc"),
        (["sample", "images/digits", "--n"], "--n needs a value: INT"),
        (["sample", "images/digits", "3"], "'3' is one word too many"),
        (["sample", "images/digits", "--trajectory=yes"], "--trajectory is a switch and takes no value"),
        (["sample"], "sample needs a MODEL: a shipped model's name, a run folder or a weights file. Installed:"),
        (["sample"], "images/digits images/fashion images/openmoji molecules/qm9"),
        (["train"], "images/openmoji-judge molecules molecules/qm9"),
        (["merge", "a", "b"], "merge needs --out PATH: the folder to write."),
        (["evaluate"], "evaluate needs FOLDER: what `ornstein sample` wrote, or the URL of shards."),
        (["complete", "fish"], "completion is for bash and zsh, found 'fish'"),
        (["samle", "images/digits"], "no command 'samle', did you mean 'sample'?"),
        (["train", "images", "--data", "absent.npz"], "absent.npz: no such file"),
        (["sample", "images/digit"], "did you mean 'images/digits'?"),
        (["sample", "images/digits", "--label", "11"], "--label 11: this model knows the classes 0 to 9"),
        (["sample", "images/digits", "--label"], "--label is empty, expected one class or more"),
        (["sample", "images/digits", "--guidance", "nan"], "--guidance is nan, expected a number in [0, 1e6]"),
        (["sample", "images/digits", "--guidance", "-1"], "--guidance is -1.0"),
        (["sample", "images/digits", "--guidance", "inf"], "--guidance is inf"),
        (["sample", "images/digits", "--device", "cuda"], "no CUDA device"),
        (["sample", "images/digits", "--n", "0"], "n is 0, expected a number in [1, 1e15)"),
        (["sample", "images/digits", "--steps", "0"], "steps is 0, expected a number in [1, 1e6]"),
        (["sample", "images/digits", "--eta", "3"], "eta is 3.0, expected a number in [0, 1]"),
        (["sample", "images/digits", "--batch-size", "-1"], "batch_size is -1, expected a number in [1, 1e15)"),
        (["sample", "images/digits", "--out", "/dev/null/x"], "/dev/null/x: nothing can be written in /dev/null"),
        (["sample", "--n", "3", "images/digits"], "sample: the model comes first"),
        (["train", "--train.steps", "3", "images"], "train: the domain comes first"),
        (["train", "images", "--train.steps", "0"], "train.steps is 0, expected a number in [1, inf)"),
        (["train", "images", "--config", "."], ".: not a file but a folder, expected a configuration file"),
        (["train", "images", "--train.steps", "1", "--out", "/dev/null/x"], "/dev/null/x: Not a directory"),
        (["evaluate", "/dev/null"], "ornstein: /dev/null/manifest.json: not found (Not a directory)"),
        (["evaluate", "absent"], "absent/manifest.json: not found"),
        (["show", "absent"], "absent: neither samples"),
        (["show", "images/digitz"], "nor a shipped model, did you mean 'images/digits'?"),
        (["fly"], "Available subcommands"),
    ],
)
def test_refusals(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(arguments, capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["sample", "train"])
def test_help_without_a_target(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    said = capsys.readouterr().out
    assert f"usage: ornstein {command}" in said
    assert "images/digits" in said


@pytest.mark.parametrize("command", ["evaluate", "show", "trust"])
def test_a_manifest_of_something_else(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    assert "manifest.json: field model is not there, expected an object" in refused([command, str(tmp_path)], capsys)


def test_a_report_escapes_what_it_shows(drawn: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(drawn, tmp_path / "copy")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["settings"]["<b>"] = "<script>"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert main(["show", str(copy)]) == 0
    assert "<td>&lt;b&gt;</td><td>&lt;script&gt;</td>" in (copy / "report.html").read_text()


def test_pictures_without_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No label can be asked for; and scores are against the pictures trained on, or not at all."""
    images = np.random.default_rng(0).random((20, 8, 8))
    source, run, drawn = tmp_path / "mine.npz", str(tmp_path / "run"), str(tmp_path / "drawn")
    np.savez(source, images=images)
    assert main(["train", "images", "--data", str(source), *SMALL, "--out", run]) == 0
    for flags in (["--label", "3"], ["--guidance", "2"]):
        assert "this one has none" in refused(["sample", run, *flags, "--out", drawn], capsys)
    assert main(["sample", run, "--n", "2", "--steps", "2", "--out", drawn]) == 0
    assert f"--data {source}" in refused(["evaluate", drawn], capsys)
    assert main(["evaluate", drawn, "--data", str(source)]) == 0
    np.savez(source, images=images[::-1])
    assert "changed since the training: SHA-256" in refused(["evaluate", drawn, "--data", str(source)], capsys)


def test_a_misspelt_key_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text("[train]\nstep = 3\n")
    command = ["train", "images", "--config", str(tmp_path / "c.toml"), "--out", str(tmp_path / "run")]
    assert "c.toml: train: unknown key 'step', did you mean 'steps'?" in refused(command, capsys)
    assert not (tmp_path / "run").exists()


def test_a_bad_checkpoint(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes((run / "model.safetensors").read_bytes()[:-10])
    assert "truncated" in refused(["sample", str(path), "--out", str(tmp_path / "out")], capsys)
    assert not (tmp_path / "out").exists()


def test_nan_in_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.zeros((20, 8, 8), dtype=np.float32)
    images[7, 2, 3] = np.nan
    np.savez(tmp_path / "mine.npz", images=images)
    command = ["train", "images", "--data", str(tmp_path / "mine.npz"), "--out", str(tmp_path / "run")]
    assert "mine.npz: images, record 7, pixel (2, 3, 0) is nan, expected a number in [0, 1]" in refused(command, capsys)
    assert not (tmp_path / "run").exists()


def test_a_changed_sample(drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in drawn.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "00001-7.png").write_bytes((copy / "00000-3.png").read_bytes())
    assert "00001-7.png: changed since the manifest was written" in refused(["evaluate", str(copy)], capsys)
