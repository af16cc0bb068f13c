"""The tutorials run, block by block, as a reader would."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from ornstein.cli import main

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tutorial", "count", "said"),
    [
        ("molecules.md", 6, "Samples of molecules/qm9"),
        ("paths.md", 4, "Samples of molecules/qm9"),
        ("pictures.md", 2, "Samples of images/openmoji"),
        ("sequences.md", 6, "valid in 50 calls"),
        ("fields.md", 6, "50 records by time"),
        ("inverse-problems.md", 4, "sparse-view CT: coverage, 80.0%"),
        ("calibration.md", 4, "TARP: 100 cases, p = "),
        ("say-what-you-know.md", 8, "beyond what this model draws"),
        ("from-energy-to-samples.md", 14, "the draws have lost part of the density"),
    ],
)
def test_the_tutorials_run(
    tutorial: str,
    count: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)  # where pictures are written
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / tutorial).read_text(), re.DOTALL)
    assert len(blocks) == count
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert said in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")  # a module run where it is in use
@pytest.mark.parametrize(
    ("tutorial", "count", "commands", "last"),
    [
        ("poisson.md", 7, 11, "plate: residual"),
        ("mri.md", 4, 6, "degrees off"),
        ("weather.md", 7, 14, "members of one call"),
    ],
)
def test_the_tutorials_with_commands_run(
    tutorial: str,
    count: int,
    commands: int,
    last: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(python|sh)\n(.*?)```", (DOCS / tutorial).read_text(), re.DOTALL)
    assert [kind for kind, _ in blocks].count("python") == count
    assert sum(len(block.splitlines()) for kind, block in blocks if kind == "sh") == commands
    names: dict[str, object] = {}
    for kind, block in blocks:
        if kind == "python":
            exec(block, names)
        for line in block.splitlines() if kind == "sh" else []:
            program, *said = shlex.split(line)
            if program == "ornstein":
                assert main(said) == 0, line
            else:
                monkeypatch.setattr(sys, "argv", said[1:])
                runpy.run_module(said[1], run_name="__main__")
    assert last in capsys.readouterr().out
