"""The viewer is HTML that fetches nothing, has its script once a page, and lets no name break out."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ornstein.domains.molecules.chemistry.molecule import Molecule
from ornstein.domains.molecules.chemistry.viewer import interactive, page_of, script, viewer
from ornstein.report.page import page
from ornstein.tasks.figures import Chapter, Figure

EVIL = "</script><script>alert(1)</script>\"'>"
WATER = Molecule(np.array([8, 1, 1]), np.array([[0.0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]]), EVIL)
LIBRARY = "__webpack_modules__={"


class _Reader(HTMLParser):
    """What a browser would see: the tags, and the data of the grids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.grids: list[dict[str, Any]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if "data-molecules" in given:
            self.grids.append(json.loads(given["data-molecules"] or ""))


def test_a_page_of_two_viewers_has_the_script_once_and_fetches_nothing() -> None:
    figures = [interactive([WATER], "one", 1), Figure(b"png", "a picture"), interactive([WATER] * 3, "three", 2)]
    html = page("T", "", [Chapter("A", "", figures[:2]), Chapter("B", "", figures[2:])])
    seen = _Reader(html)
    assert html.count(LIBRARY) == 1
    assert seen.tags.count("script") == 1
    assert html.rindex("<figure>") < html.index("<script>"), "the script runs after the last grid is there"
    assert not [address for address in seen.addresses if not address.startswith("data:")]
    assert "link" not in seen.tags
    assert [(grid["columns"], grid["rows"]) for grid in seen.grids] == [(1, 1), (2, 2)]


def test_a_page_of_pictures_has_no_script() -> None:
    assert "<script" not in page("T", "", [Chapter("A", "", [Figure(b"png", "a picture")])])


def test_names_do_not_break_out() -> None:
    html = page_of(viewer([WATER, f"{EVIL}\n\n\n"]), EVIL)
    seen = _Reader(html)
    assert seen.tags.count("script") == 1
    assert seen.grids[0]["molecules"][0]["name"] == EVIL
    assert seen.grids[0]["molecules"][1]["format"] == "sdf"


def test_a_figure_alone_brings_its_script() -> None:
    html = interactive([WATER], EVIL).html()
    assert html.count(LIBRARY) == 1
    assert _Reader(html).tags.count("script") == 1


def test_distances_survive() -> None:
    text = _Reader(viewer([WATER])).grids[0]["molecules"][0]["text"]
    rows = [line.split() for line in text.splitlines()[2:]]
    assert [row[0] for row in rows] == ["O", "H", "H"]
    places = np.array([row[1:] for row in rows], dtype=float)
    np.testing.assert_allclose(np.linalg.norm(places[0] - places[1:], axis=1), np.hypot(0.76, 0.6), atol=1e-3)


def test_the_script_cannot_end_its_element() -> None:
    assert not re.search(r"</script|<!--", script(), re.IGNORECASE)


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_the_script_parses(tmp_path: Path) -> None:
    (tmp_path / "viewer.js").write_text(script())
    subprocess.run(["node", "--check", tmp_path / "viewer.js"], check=True, timeout=60)
