"""README's Python runs as it stands; figures on all pages are written in one style, and links lead somewhere."""

import re
from pathlib import Path
from typing import Any

import pytest

from ornstein.mcmc.report import MCMCReport
from ornstein.tasks.samples import read_samples

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
BARE = re.compile(r"(?<![\w.\])}/'\"`*^-])\.(?=\d)|(?<=[ (~|≤≥<>=±+−])\.(?=\d)")
"""A decimal point with nothing before it."""


def prose(text: str) -> str:
    """A page without its code."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_figures_are_written_with_a_digit_before_the_point(page: Path) -> None:
    bare = [line for line in prose(page.read_text()).splitlines() if BARE.search(line)]
    assert not bare, "write 0.941, not .941"


@pytest.mark.parametrize("line", ["| model | .941 |", "a share of .5, not", "within ±.02", "(.5 or so)", ".5"])
def test_a_bare_point_is_found(line: str) -> None:
    assert BARE.search(line)
    assert not BARE.search(line.replace(".", "0."))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_pages_that_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", prose(page.read_text()))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_the_first_picture_is_on_the_first_screen() -> None:
    lines = README.read_text().splitlines()
    assert next(k for k, line in enumerate(lines) if line.startswith("![")) < 20
    assert len(lines) < 100


@pytest.mark.slow
def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 1
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    assert len(read_samples(tmp_path / "threes")) == 16
    assert names["restored"].exactness.method == "particles"
    unseen = (names["restored"].x.mean(0) - names["picture"])[~names["seen"]]
    assert unseen.square().mean() < names["picture"][~names["seen"]].var()  # nearer to the digit than its own mean
    assert isinstance(names["found"].exactness, MCMCReport)
    assert abs(names["found"].exactness.log_evidence - names["system"].reference["log_z"]) < 0.5
    assert "log evidence" in capsys.readouterr().out
