"""The page is one file that fetches nothing, and the tour tells of every shipped model."""

import re
from pathlib import Path

import pytest

from ornstein import InputError
from ornstein.report.page import page
from ornstein.report.tour import tour
from ornstein.tasks import runs
from ornstein.tasks.figures import Chapter, Figure, Metric


def test_a_page_escapes_and_embeds() -> None:
    metric = Metric("<a>", 0.5, "higher", "x < y", 1.0)
    html = page("T", "lead", [Chapter("<b>", "text", [Figure(b"png", '"quoted"')], [metric])])
    assert "&lt;b&gt;" in html
    assert "&lt;a&gt;" in html
    assert "data:image/png;base64,cG5n" in html
    assert "<b>" not in html


@pytest.mark.slow
def test_the_tour(tmp_path: Path) -> None:
    folder = tmp_path / "tour"
    folder.mkdir()
    (folder / "tour.json").write_text("[]")  # an earlier tour, which is replaced
    html = tour(folder).read_text()
    assert not re.search(r"""(src|href)=["']?https?:""", html)
    assert all(model in html for model in runs.shipped())
    assert html.count("<figure>") >= 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tour"]


def test_the_tour_spares_other_folders(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("mine")
    with pytest.raises(InputError, match="not just an earlier tour"):
        tour(folder)
    assert (folder / "index.html").read_text() == "mine"
    (folder / "tour.json").write_text('["index.html"]')
    (folder / "notes.txt").write_text("added by hand")
    with pytest.raises(InputError, match="not just an earlier tour"):
        tour(folder)
