"""A real Chromium, driven over its own driver: what a person would see on a page, and what the page asks of a network.

Nothing outside this machine can be reached from it, and the driver is never looked for on a network: where Debian's
packages are not installed, `browser` says so and its tests are skipped.
"""

import json
import os
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

MISSING = "no Chromium here: apt-get install chromium chromium-driver"
WIDE, PHONE = (1280, 900), (390, 844)
SCREENSHOTS = "ORNSTEIN_SCREENSHOTS"  # the variable of the environment with a folder to keep pictures of pages in
PATIENCE = 30.0  # seconds within which a page must have become what a test waits for, on a machine that is busy

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_QUIET = (
    *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--use-gl=angle"),
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-first-run", "--no-default-browser-check"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    *("--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding", "--force-color-profile=srgb"),
    *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--hide-scrollbars"),
)
"""WebGL without a graphics card, nothing of Chromium's own on the network, and no name that resolves."""
_HARMLESS = ("data", "blob", "about", "chrome", "devtools")  # schemes of addresses that leave no process


def programs() -> tuple[str, str] | None:
    """The paths of Chromium and its driver, if both are installed."""
    chromium = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    driver = shutil.which("chromedriver")
    return (chromium, driver) if chromium and driver else None


@contextmanager
def browser(folder: Path) -> Iterator["Browser"]:
    """A Chromium with a profile of its own in `folder`, which ends with the context."""
    found = programs()
    assert found, MISSING
    options = ChromeOptions()
    options.binary_location = found[0]
    for word in (*_QUIET, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "downloads")})
    driver = Chrome(options, Service(found[1], log_output=subprocess.DEVNULL))
    try:
        driver.set_page_load_timeout(PATIENCE)
        driver.set_script_timeout(PATIENCE)
        yield Browser(driver)
    finally:
        driver.quit()


class Browser:
    """What a test does with a browser, and what it then asks of it."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver
        self._asked: list[str] = []
        self._wrong: list[str] = []

    def visit(self, address: str, size: tuple[int, int] = WIDE, dark: bool = False) -> None:
        """Opens an address in a window of `size` CSS pixels, light or dark, and forgets what was asked before."""
        self.resize(size, dark)
        self._read_logs()
        self._asked, self._wrong = [], []
        self.driver.get(address)

    def resize(self, size: tuple[int, int], dark: bool = False) -> None:
        """Another size of the window, in CSS pixels, and whether the system is said to be dark."""
        shape = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def find(self, selector: str) -> WebElement:
        """The first element of a CSS selector."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """Every element of a CSS selector."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def run(self, script: str, *arguments: Any) -> Any:
        """What JavaScript returns, within the page."""
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str, *arguments: Any, seconds: float = PATIENCE) -> Any:
        """Waits until JavaScript returns what is true there, and returns it."""
        said = f"after {seconds:.0f} s it is still not so: {script}"
        return WebDriverWait(self.driver, seconds, 0.05).until(lambda _: self.run(script, *arguments), said)

    def requests_made(self) -> list[str]:
        """Every address that was asked for since `visit`, by any tab, answered or not."""
        self._read_logs()
        return self._asked

    def strangers(self, origin: str) -> list[str]:
        """Those addresses that are neither below `origin` nor data of the page itself."""
        return [one for one in self.requests_made() if not _is_of(one, origin)]

    def console_errors(self) -> list[str]:
        """What the console says since `visit` that is wrong: scripts that failed, and what a policy forbade."""
        self._read_logs()
        return self._wrong

    def require_clean(self, origin: str) -> None:
        """An AssertionError if anything was asked of another host, or a script failed."""
        assert not self.strangers(origin), self.strangers(origin)
        assert not self.console_errors(), self.console_errors()

    def without_text(self) -> list[str]:
        """Pictures and canvases that a reader who cannot see is told nothing of."""
        script = """return [...document.querySelectorAll('img, canvas, svg')].filter(one => {
            if (one.closest('[aria-hidden="true"], svg svg') || !one.getClientRects().length) return false
            const named = one.closest('[aria-label], [aria-labelledby], figure:has(figcaption)')
            const beside = one.closest('a, button, label')?.textContent.trim() // says what the picture would
            return one.tagName === 'IMG' ? !one.alt && !(one.hasAttribute('alt') && beside) : !named
        }).map(one => one.outerHTML.slice(0, 200))"""
        return self.run(script)

    def overflow(self) -> list[str]:
        """What makes the page wider than its window; empty if one need not scroll sideways."""
        script = """const page = document.documentElement, wide = page.clientWidth
        if (page.scrollWidth <= wide) return []
        const right = one => one.getBoundingClientRect().right
        const over = [...document.querySelectorAll('body *')].filter(one => right(one) > wide + 1)
        return [`${page.scrollWidth} > ${wide}`, ...over.slice(0, 12).map(one => one.outerHTML.slice(0, 120))]"""
        return self.run(script)

    def colours_of(self, canvas: WebElement) -> int:
        """How many different colours an element shows, by a picture of it: one alone if nothing was drawn."""
        seen = Image.open(BytesIO(canvas.screenshot_as_png)).convert("RGB")
        return len(seen.getcolors(seen.width * seen.height) or ())

    def screenshot(self, name: str, whole: bool = True) -> None:
        """Keeps a picture of the page in $ORNSTEIN_SCREENSHOTS, for a person to look at; nothing if that is not set."""
        if not (folder := os.environ.get(SCREENSHOTS)):
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": whole})
        (Path(folder) / f"{name}.png").write_bytes(b64decode(shot["data"]))

    def _read_logs(self) -> None:
        """Chromium hands out each line once: what was asked and what went wrong is kept here."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self._asked.append(message["params"]["request"]["url"])
            if message["method"] == "Network.webSocketCreated":
                self._asked.append(message["params"]["url"])
        self._wrong += [one["message"] for one in self.driver.get_log("browser") if _is_wrong(one)]


def _is_of(address: str, origin: str) -> bool:
    asked, own = urlsplit(address), urlsplit(origin)
    return asked.scheme in _HARMLESS or (asked.scheme, asked.netloc) == (own.scheme, own.netloc)


def _is_wrong(entry: dict[str, Any]) -> bool:
    """Errors of scripts and of a policy; that the server refused what a test meant it to refuse is none."""
    return entry["level"] == "SEVERE" and entry.get("source") != "network"


def looked_at(seen: Browser, name: str, at: str = "") -> None:
    """Pictures of the page as it stands, for a person to look at: wide and on a phone, light and dark.

    Args:
        seen: the browser.
        name: of the pictures.
        at: what is scrolled to, and how far the window shows it; the whole page if not given.
    """
    if not os.environ.get(SCREENSHOTS):
        return
    for size in (WIDE, PHONE):
        for dark in (False, True):
            seen.resize(size, dark)
            if at:
                seen.run("document.querySelector(arguments[0])?.scrollIntoView({ block: 'start' })", at)
            seen.screenshot(f"{name}-{size[0]}-{'dark' if dark else 'light'}", whole=not at)
    seen.resize(WIDE)
