"""The documentation's site, built as `make docs` does and opened from the disk: it finds things without a network."""

import subprocess
import sys
from pathlib import Path

import pytest
from browsing import PHONE, WIDE, Browser, looked_at

ROOT = Path(__file__).parents[2]
PAGES = ("index", "start", "which-method", "how-to/mri", "from-energy-to-samples", "reference/guidance", "own-domain")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, of which no warning was told."""
    out = tmp_path_factory.mktemp("site")
    strict = [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-d", str(out / "trees")]
    done = subprocess.run([*strict, str(ROOT / "docs"), str(out / "html")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / "html"


@pytest.mark.slow
def test_the_site_asks_nobody_and_fits_every_screen(chromium: Browser, site: Path) -> None:
    for page in PAGES:
        for size in (PHONE, WIDE):
            chromium.visit((site / f"{page}.html").as_uri(), size)
            chromium.require_clean(site.as_uri())
            assert chromium.overflow() == [], page
            pictures = [one for one in chromium.without_text() if one.startswith("<img")]  # icons are the theme's
            assert pictures == [], page
        looked_at(chromium, f"site-{page.replace('/', '-')}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("UniPC", "which-method.html"),
        ("ESPIRiT", "reference/domains.html"),
        ("guidance_strength", "reference/guidance.html"),
        ("autoguidance", "reference/command-line.html"),
    ],
)
def test_the_search_finds_it_from_the_disk(chromium: Browser, site: Path, words: str, page: str) -> None:
    chromium.visit(f"{(site / 'search.html').as_uri()}?q={words}")
    links = "return [...document.querySelectorAll('#search-results li a')].map(one => one.href)"
    found = chromium.until(f"{links.replace('return', 'const found =')}; return found.length && found")
    assert any(page in link for link in found), found
    chromium.require_clean(site.as_uri())


@pytest.mark.slow
def test_the_search_says_that_there_is_nothing(chromium: Browser, site: Path) -> None:
    chromium.visit(f"{(site / 'search.html').as_uri()}?q=xylophone")
    assert chromium.until("return document.querySelector('#search-results').textContent.includes('did not match')")
