"""A domain of somebody else's works like ours: it is installed from tests/third_party and used in a new process.

The interpreter there has the packages on its path beside their metadata, as pip leaves them.
"""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

RINGS = Path(__file__).parent / "third_party" / "rings"

COMMANDS = """
import contextlib, io, sys
from ornstein.cli import main

def ornstein(line, code=0):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            found = main(line.split())
        except SystemExit as stop:
            found = stop.code
    said = out.getvalue() + err.getvalue()
    assert found == code, (line, found, said)
    return " ".join(said.split())
"""


def install(source: Path, site: Path) -> None:
    """What pip does, without a network or a build backend: the package, and the metadata of its pyproject.toml."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    name = project["name"].replace("-", "_")
    info = site / f"{name}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [line for group, points in groups for line in (f"[{group}]", *(f"{k} = {v}" for k, v in points.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (site / name).symlink_to(source / name)


def written(folder: Path, name: str, domain: str, source: str) -> Path:
    """A package with one module, whose text is `source`."""
    module = f"ornstein_{name}"
    (folder / module).mkdir(parents=True)
    (folder / module / "__init__.py").write_text("")
    (folder / module / "task.py").write_text(source)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "ornstein-{name}"\nversion = "1"\n'
        f'[project.entry-points."ornstein.domains"]\n{domain} = "{module}.task:Task"\n'
    )
    return folder


def program(text: str, site: Path, folder: Path) -> str:
    """What a program prints that has `site` beside our source, run in `folder`."""
    environment: Mapping[str, str] = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(site), *filter(None, sys.path)]),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS + text],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_domain_of_somebody_else_does_all_that_ours_do(tmp_path: Path) -> None:
    """Trained without a recipe, for seconds instead of steps; drawn, pushed, scored, shown; and `on.rings`."""
    install(RINGS, tmp_path / "site")
    points = [(k / 100, k / 100 - 3) for k in range(5)]
    (tmp_path / "few.csv").write_text("".join(f"{x},{y}\n" for x, y in points))
    (tmp_path / "bad.csv").write_text("1,2\n1,two\n")
    said = program(
        """
said = ornstein("train rings --train.steps 600 --train.plan 4 --out ring")
assert "3500 records to learn from, 500 held out" in said and "training for 600 steps" in said, said
brief = "train rings --train.plan 2 --out brief --train.minutes"
assert "training for 0.01 minutes (train.minutes is given" in ornstein(f"{brief} 0.01")
ornstein(f"{brief} 0.02 --resume")
assert "few.csv: 5 points, expected 8 at least" in ornstein("train rings --data few.csv", 2)
assert "bad.csv: line 2 is '1,two', expected two numbers" in ornstein("train rings --data bad.csv", 2)
assert "has no recipe 'big'; it has none" in ornstein("train rings/big", 2)
assert "how hard to push the points up" in ornstein("sample ring --help")
ornstein("sample ring --n 400 --steps 10 --out drawn")
ornstein("sample ring --n 400 --steps 10 --up 2 --out pushed")
print(ornstein("score drawn"))
print(ornstein("score pushed"))
trusted = ornstein("trust pushed --model ring")
assert "upwards" in trusted or "Guidance by" in trusted, trusted
assert "radius" in trusted and "The weights recorded" in trusted and "trust.html" in trusted, trusted
assert "report.html" in ornstein("show drawn") and "report.html" in ornstein("show ring")
import ornstein as on
assert on.rings.__name__ == "ornstein_rings" and on.rings.upwards(2.0).weight == 2.0
assert on.images.__name__ == "ornstein.domains.images"
""",
        tmp_path / "site",
        tmp_path,
    )
    assert (tmp_path / "drawn" / "points.csv").read_text().count("\n") == 400
    drawn, pushed = (scores(tmp_path / name) for name in ("drawn", "pushed"))
    assert drawn["radius"] == pytest.approx(2.0, abs=0.2), said
    assert abs(drawn["height"]) < 0.5 < 1.0 < pushed["height"], said


def scores(folder: Path) -> dict[str, float]:
    """The last scores of a folder, by name."""
    return {row["name"]: row["value"] for row in json.loads((folder / "scores.json").read_text())[-1]["scores"]}


def test_domains_that_cannot_be_loaded_are_named_and_do_not_break_the_others(tmp_path: Path) -> None:
    """One fails, one lacks a package, one is no domain, and one takes a name of ours."""
    site, sources = tmp_path / "site", tmp_path / "sources"
    for name, domain, source in (
        ("wrecked", "wrecked", "raise ZeroDivisionError('a [bold] fault')"),
        ("lacking", "lacking", "import not_there"),
        ("stranger", "stranger", "class Task: pass"),
        ("usurper", "images", "raise ZeroDivisionError('not ours')"),
    ):
        install(written(sources / name, name, domain, source), site)
    install(RINGS, site)
    program(
        """
fails = "the domain 'wrecked' of the package 'ornstein-wrecked' cannot be loaded: ZeroDivisionError: a [bold] fault"
lacks = "the domain 'lacking' of the package 'ornstein-lacking' needs 'not_there', which is not installed"
other = "the domain 'stranger' of the package 'ornstein-stranger' is a Task, expected"
assert "ornstein_wrecked" not in sys.modules
ornstein("sample images/digits --n 1 --steps 1 --out drawn")
assert "ornstein_wrecked" not in sys.modules and "ornstein_rings" not in sys.modules, "nothing else is imported"
listed = ornstein("models")
assert "images/digits" in listed and "not ours" not in listed
doctored = ornstein("doctor", 1)
assert "domain images: pictures" in doctored and "domain rings: points on a ring" in doctored
for message in (fails, lacks, other):
    assert message in listed and message in doctored, (message, listed, doctored)
assert doctored.count("wrong") == 3
for name, message in (("wrecked", fails), ("lacking", lacks), ("stranger", other)):
    assert message in ornstein(f"train {name}", 2)
    assert message in ornstein(f"sample {name}/model", 2)
import ornstein as on
for name, value in (("lacking", "ornstein_lacking"), ("images", "ornstein.domains.images")):
    assert getattr(on, name).__name__ == value  # the package itself, not its task
""",
        site,
        tmp_path,
    )
