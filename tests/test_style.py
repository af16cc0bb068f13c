"""The one style sheet: readable in both themes, in the wheel, and within every page."""

import re
import tomllib
from pathlib import Path

import pytest

from colours import contrast
from ornstein.report.page import page
from ornstein.report.style import SHEET, style
from ornstein.report.trust.page import page as trust_page
from ornstein.report.trust.statements import Statement, TrustReport
from ornstein.tasks.figures import Chapter
from ornstein.text import markup

THEMES = ("light", "dark")
TEXTS = [  # (text, what it stands on)
    *[(text, ground) for text in ("ink", "muted", "accent") for ground in ("paper", "wash")],
    *[("ink", ground) for ground in ("accent-wash", "good-wash", "bad-wash", "warn-wash")],
    *[(text, f"{text}-wash") for text in ("accent", "good", "bad", "warn")],
    *[(text, "paper") for text in ("good", "bad", "warn")],
    ("accent-ink", "accent"),
]
MARKS = [*[(mark, "paper") for mark in ("edge", "focus", "accent", "good", "bad", "warn")], ("edge", "wash")]


def pairs() -> dict[str, tuple[str, str]]:
    """The variables that are colours, in the light and in the dark theme."""
    found = re.findall(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", style())
    return {name: (light, dark) for name, light, dark in found}


@pytest.mark.parametrize("theme", THEMES)
def test_texts_and_marks_have_the_contrast_of_wcag_aa(theme: str) -> None:
    colour = {name: pair[THEMES.index(theme)] for name, pair in pairs().items()}
    low = {pair: contrast(colour[pair[0]], colour[pair[1]]) for pair in TEXTS}
    assert {pair: value for pair, value in low.items() if value < 4.5} == {}
    low = {pair: contrast(colour[pair[0]], colour[pair[1]]) for pair in MARKS}
    assert {pair: value for pair, value in low.items() if value < 3} == {}


def test_the_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_every_variable_is_defined_and_used() -> None:
    defined, used = (
        set(re.findall(r"(?<!var\()--([a-z0-9-]+):", style())),
        set(re.findall(r"var\(--([a-z0-9-]+)", style())),
    )
    assert used <= defined, used - defined
    assert defined - used <= {"gap"}  # for other sheets


def test_colours_stand_in_the_variables_alone() -> None:
    """So that no rule forgets the other theme."""
    rules = style().split("@layer elements {")[1]
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b", rules)


def test_nothing_is_fetched() -> None:
    assert not re.search(r"url\(|@import|@font-face|https?:", style())


def test_pages_have_the_sheet_inside() -> None:
    report = TrustReport("t", "made", "", "fine", [], [Statement("all is finite", "computed now", True)], [])
    for text, kind in ((page("T", "lead", [Chapter("c", "text")]), "report"), (trust_page(report), "trust")):
        assert f"<style>{style()}</style>" in text
        assert f'<body class="{kind}">' in text
    assert 'class="verdict holds"' in trust_page(report)


def test_the_wheel_holds_the_sheet() -> None:
    """Hatch packs every file of a package that git does not ignore."""
    root = Path(__file__).parents[1]
    packed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]
    assert any(SHEET.is_relative_to(root / folder) for folder in packed)
    assert SHEET.suffix not in (root / ".gitignore").read_text()


def test_verdicts_in_notebooks_are_seen_on_white_and_on_black() -> None:
    for colour in re.findall(
        r"#[0-9a-f]{6}", markup.verdict("a", True) + markup.verdict("a", False) + markup.verdict("a", None)
    ):
        assert contrast(colour, "#ffffff") >= 3
        assert contrast(colour, "#111111") >= 3
