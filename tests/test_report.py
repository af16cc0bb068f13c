"""The page is one file that fetches nothing, and the tour tells of every shipped model."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ornstein import InputError
from ornstein.events import Event, Stream
from ornstein.report import plots, stops
from ornstein.report.page import coded, page
from ornstein.report.tour import tour
from ornstein.tasks import runs
from ornstein.tasks.figures import Card, Chapter, Figure, Metric, Stop


def test_a_page_escapes_and_embeds() -> None:
    metric = Metric("<a>", 0.5, "higher", "x < y", 1.0)
    html = page("T", "lead", [Chapter("<b>", "text", [Figure(b"png", '"quoted"')], [metric])])
    assert "&lt;b&gt;" in html
    assert "&lt;a&gt;" in html
    assert "data:image/png;base64,cG5n" in html
    assert "<b>" not in html


def metric(value: float) -> Metric:
    return Metric("share", value, "higher", "Of what is right.", 0.9)


def test_scores_of_a_card_stand_beside_those_drawn_now() -> None:
    card = Card([metric(0.75), replace(metric(0.5), name="only there")], judged=1000, drawn=16)
    html = page("T", "lead", [Chapter("c", "text", (), [metric(0.6875)], card=card)])
    assert "Drawn now, 16" in html
    assert "On the card, 1,000" in html
    assert re.findall(r'number">([.0-9]*)', html) == ["0.6875", "0.75", "0.9", "", "0.5", "0.9"]
    assert "Drawn now" not in page("T", "lead", [Chapter("c", "text", card=card)])


def test_what_stands_between_backticks_is_code() -> None:
    assert coded("`--exact <mcmc>` & more") == "<code>--exact &lt;mcmc&gt;</code> &amp; more"


def stop(title: str, place: float, fault: Exception | None = None) -> Stop:
    def make(seed: int) -> Stream[Chapter]:
        yield Event(1, 2, "half", result=object())  # such as the samples that the chapter is made of
        if fault:
            raise fault
        picture = Figure(b"png" + title.encode(), title)
        return Chapter(title, f"seed {seed}", [picture], cover=picture)

    return Stop(title, make, place, seconds=3)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[Stop]:
    """A tour of two stops of no model, to which others can be added."""
    shown = [stop("later", 80), stop("first", 10)]
    monkeypatch.setattr(stops, "_stops", lambda model, folder, full: shown if model == stops.CORE else [])
    return shown


def test_the_page_grows_in_its_order_until_it_is_complete(small: list[Stop], tmp_path: Path) -> None:
    folder, pages, shares = tmp_path / "tour", [], []
    for event in tour.events(folder, seed=5, workers=0):
        pages.append((folder / "index.html").read_text())
        shares.append(event.done / event.total)
    assert shares == sorted(shares)
    assert shares[0] == 0.25
    assert "first pictures are on their way" in pages[0]
    assert "1 of 2 chapters" in pages[1]
    assert all('http-equiv="refresh"' in one and "More is coming" in one for one in pages)
    assert '<li class="coming">later' in pages[1]
    html = (folder / "index.html").read_text()
    assert 'http-equiv="refresh"' not in html
    assert "More is coming" not in html
    assert html.index("<h2 id") < html.index(">first</h2>") < html.index(">later</h2>")
    assert "seed 5" in html
    assert html.count('<a href="#exactness-') == 4  # two on the wall, two in the table of contents
    assert all(f'id="{name}"' in html for name in re.findall(r'href="#([^"]*)"', html))


def test_what_is_missing_is_named_and_what_fails_spoils_nothing_else(small: list[Stop], tmp_path: Path) -> None:
    small += [stop("needy", 20, InputError("needs `rdkit`")), stop("faulty", 30, ValueError("<oh>"))]
    with pytest.raises(RuntimeError, match="faulty"):
        tour(tmp_path / "tour", workers=0)
    html = (tmp_path / "tour" / "index.html").read_text()
    assert "Left out: needs <code>rdkit</code>" in html
    assert "ValueError: &lt;oh&gt;" in html
    assert ">later</h2>" in html


def test_a_domain_that_cannot_be_loaded_is_named_with_its_models(
    small: list[Stop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stops, "broken", lambda: {"molecules": InputError("needs 'rdkit'")})
    html = tour(tmp_path / "tour", workers=0).read_text()
    assert "Not installed here" in html
    assert "molecules/qm9: needs &#x27;rdkit&#x27;" in html


def test_a_tour_that_was_stopped_says_so_and_can_be_replaced(small: list[Stop], tmp_path: Path) -> None:
    folder = tmp_path / "tour"
    events = tour.events(folder, workers=0)
    next(events)
    events.close()
    html = (folder / "index.html").read_text()
    assert "stopped before it was complete" in html
    assert 'http-equiv="refresh"' not in html
    (folder / ".index.html.x1.tmp").write_text("on its way when it was killed")
    (folder / ".images-digits.abc").mkdir()
    assert "stopped" not in tour(folder, workers=0).read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tour"]
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "tour.json"]


def test_legends_cover_nothing() -> None:
    drawn = plots.bars({"exact": [0.9, 0.9], "drawn": [0.9, 0.8]}, ["a", "b"], "share").decode()
    axes = re.search(
        r'<g id="patch_2">\s*<path d="M [0-9.]+ ([0-9.]+)\s+L [0-9.]+ [0-9.]+\s+L [0-9.]+ ([0-9.]+)', drawn
    )
    legend = re.search(r'<g id="legend_1">.*?<path d="M [0-9.]+ ([0-9.]+)', drawn, re.DOTALL)
    assert axes
    assert legend
    assert float(legend[1]) < min(map(float, axes.groups()))


@pytest.mark.slow
def test_the_tour(tmp_path: Path) -> None:
    folder = tmp_path / "tour"
    folder.mkdir()
    (folder / "tour.json").write_text("[]")  # an earlier tour, which is replaced
    html = tour(folder, workers=2).read_text()
    assert not re.search(r"""(src|href)=["']?https?:""", html)
    assert all(f">{model}</h2>" in html for model in runs.shipped())
    assert not re.search(r"Left out|chapter failed|Not installed", html)
    assert "`" not in re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)
    assert html.count("<figure>") >= 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tour"]
    order = ["Pictures from words", "molecules/qm9", "sequences/riboswitch", "Digits from a quarter", "Is it right?"]
    places = [html.index(f">{title}", html.index("<h2 id")) for title in order]
    assert places == sorted(places)


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
