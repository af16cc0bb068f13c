"""The pages that commands write, in a real browser: they fetch nothing, fit a phone, and what turns is drawn."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from browsing import PHONE, WIDE, Browser, looked_at
from selenium.webdriver import ActionChains

from folders import saved
from ornstein.cli import main
from ornstein.report import stops
from ornstein.report.tour import tour

DOMAINS = ("energies", "images", "molecules", "mri", "poisson", "sequences")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Samples of a domain, with the page that `show` writes beside them."""

    @cache
    def made(domain: str) -> Path:
        folder = saved(tmp_path_factory.mktemp(domain) / "drawn", domain, 3)
        assert main(["show", str(folder)]) == 0
        return folder

    return made


def require_good(chromium: Browser, page: Path, name: str) -> None:
    """A page that asks nothing of anyone, runs without an error, tells what it shows, and fits a phone."""
    for size in (PHONE, WIDE):
        chromium.visit(page.as_uri(), size)
        assert chromium.requests_made()[0] == page.as_uri()
        assert [one for one in chromium.requests_made()[1:] if not one.startswith(("data:", "blob:"))] == []
        assert chromium.console_errors() == []
        assert chromium.without_text() == []
        assert chromium.overflow() == []
    looked_at(chromium, name)


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_report_is_one_file_that_fits_every_screen(
    chromium: Browser, folder: Callable[[str], Path], domain: str
) -> None:
    require_good(chromium, folder(domain) / "report.html", f"report-{domain}")


@pytest.mark.slow
def test_a_trust_report_is_one_file_that_fits_every_screen(chromium: Browser, folder: Callable[[str], Path]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["trust", str(folder("images"))])
    assert ended.value.code == 0
    require_good(chromium, folder("images") / "trust.html", "trust")


def test_molecules_are_drawn_and_turn(chromium: Browser, folder: Callable[[str], Path]) -> None:
    chromium.visit((folder("molecules") / "report.html").as_uri())
    canvas = chromium.find("canvas")
    chromium.run("arguments[0].scrollIntoView()", canvas)
    chromium.until("return arguments[0].getContext('webgl2') || arguments[0].getContext('webgl')", canvas)
    before = canvas.screenshot_as_png
    assert chromium.colours_of(canvas) > 20
    ActionChains(chromium.driver).click_and_hold(canvas).move_by_offset(60, 25).release().perform()
    assert canvas.screenshot_as_png != before


@pytest.mark.slow
def test_a_tour_is_one_file_that_fits_every_screen(
    chromium: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = stops.jobs
    monkeypatch.setattr(stops, "jobs", lambda *told: [job for job in every(*told) if job.seconds <= 3][:3])
    require_good(chromium, tour(tmp_path / "tour", workers=0), "tour")


def test_a_browser_sees_what_it_must_not(chromium: Browser, tmp_path: Path) -> None:
    """A page that does everything wrong is told from a good one."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        '<meta http-equiv="Content-Security-Policy" content="script-src \'unsafe-inline\'">'
        '<p style="width: 3000px">wide</p><img src="data:,"><canvas></canvas>'
        '<link rel=stylesheet href="http://example.org/font.css"><img alt="x" src="http://127.0.0.1:1/pixel.png">'
        "<script src='http://example.org/a.js'></script><script>nothing.at_all()</script>"
    )
    chromium.visit(bad.as_uri())
    assert "http://example.org/font.css" in chromium.strangers("file://")
    assert "http://127.0.0.1:1/pixel.png" in chromium.strangers("file://")
    assert any("nothing is not defined" in one for one in chromium.console_errors())
    assert any("Content Security Policy" in one for one in chromium.console_errors())
    assert len(chromium.without_text()) == 2
    assert chromium.overflow()
    assert chromium.colours_of(chromium.find("canvas")) == 1
    with pytest.raises(AssertionError):
        chromium.require_clean("file://")
