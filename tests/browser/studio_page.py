"""The studio's page as a person uses it: one tab, and what can be done and read there."""

import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from browsing import PATIENCE, WIDE, Browser
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from serving import Served

_WATCHING = """window.frames_seen = []
new MutationObserver(() => {
    const source = document.querySelector('.live img')?.getAttribute('src')
    if (source && frames_seen.at(-1) !== source) frames_seen.push(source)
}).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ['src'] })"""


class StudioPage:
    """One tab of a browser that shows a studio.

    Attributes:
        browser: whose tab it is.
        served: the studio.
        tab: the browser's name of the tab.
    """

    def __init__(self, browser: Browser, served: Served, new: bool = False) -> None:
        """new: in a tab of its own, beside those that are open."""
        self.browser, self.served = browser, served
        if new:
            browser.driver.switch_to.new_window("tab")
            browser.resize(WIDE)
            browser.driver.get(served.address)
        else:
            browser.visit(served.address)
            browser.run("sessionStorage.clear(); localStorage.clear()")  # a tab of somebody who was never here
            browser.visit(f"{served.address}/?new")
        self.tab = browser.driver.current_window_handle
        self.ready()

    def ready(self) -> None:
        """Waits for the form."""
        self.browser.until("return document.querySelector('#draw') && document.querySelector('#view').children.length")
        self.browser.run(_WATCHING)

    def front(self) -> "StudioPage":
        """Puts the tab before the others, as a click on it does."""
        self.browser.driver.switch_to.window(self.tab)
        return self

    def close(self) -> None:
        """Closes the tab; another one must be brought to the front."""
        self.front().browser.driver.close()

    def reload(self) -> None:
        self.browser.driver.refresh()
        self.ready()

    # The form ---------------------------------------------------------------------------------------------

    def choose(self, model: str) -> None:
        """Another model, from the list."""
        self.browser.find("#model").click()
        self.browser.until("return document.querySelector('dialog.models[open]')")
        self.browser.find(f'[data-model="{model}"]').click()
        self.browser.until("return document.querySelector('#model strong').textContent === arguments[0]", model)
        self.browser.until("return document.querySelector('#draw')")

    def field(self, name: str) -> WebElement:
        """A field of the form, in its group, which is opened."""
        script = """const field = document.querySelector(`#asked [data-field="${arguments[0]}"]`)
        for (let one = field; one; one = one.parentElement) if (one.tagName === 'DETAILS') one.open = true
        field?.scrollIntoView({ block: 'center' })
        return field"""
        return self.browser.until(script, name)

    def fill(self, **values: Any) -> None:
        """Types values into fields, or chooses them."""
        for name, value in values.items():
            part = self.field(name).find_element(By.CSS_SELECTOR, "select, input:not([type=file])")
            if part.tag_name == "select":
                part.find_element(By.CSS_SELECTOR, f'option[value="{value}"]').click()
            elif part.get_attribute("type") == "checkbox":
                part.click()
            else:
                part.send_keys(Keys.CONTROL, "a")
                part.send_keys(Keys.BACKSPACE, str(value))

    def send(self, name: str, path: Path) -> None:
        """A file for a field, as a file dialog gives it; waits until it is there."""
        self.field(name).find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(path))
        self.browser.until(
            "return document.querySelector(`[data-field='${arguments[0]}'] :is(.chip, .error:not([hidden]))`)", name
        )

    def by_hand(self, name: str) -> WebElement:
        """Opens what makes a field's file with a pointer; returns the dialog, with its backdrop."""
        words = ("Paint…", "Place…", "Pick…")
        buttons = self.field(name).find_elements(By.CSS_SELECTOR, "button")
        next(one for one in buttons if one.text in words).click()
        return self.browser.until("return document.querySelector('dialog.hand-dialog:has(button.primary:enabled)')")

    def use(self, dialog: WebElement) -> None:
        """Takes what was made by hand, which becomes the field's file."""
        dialog.find_element(By.CSS_SELECTOR, ".end .primary").click()
        self.browser.until("return !document.querySelector('dialog[open]')")

    def draw(self, **values: Any) -> str:
        """Presses Draw; returns the job's id, which is in the address from then on."""
        self.fill(**values)
        before = self.browser.run("return location.hash")
        self.browser.find("#draw").click()
        return self.asked_for(before)

    def asked_for(self, before: str) -> str:
        """The id of a job that has just been asked for."""
        self.browser.until("return location.hash !== arguments[0] && location.hash.startsWith('#/result/')", before)
        job = unquote(self.browser.run("return location.hash").removeprefix("#/result/"))
        self.browser.until("return document.querySelector('.job-head .id')?.textContent === arguments[0]", job)
        return job

    def clear(self, name: str) -> None:
        """Takes the file of a field away."""
        self.field(name).find_element(By.CSS_SELECTOR, ".chip button.icon").click()

    # What is shown ------------------------------------------------------------------------------------------

    def trouble(self) -> str:
        """What the form says is wrong."""
        return self.browser.until("return document.querySelector('#asked .notice.error:not([hidden])')?.textContent")

    def state(self) -> str:
        """Of the job that is shown: queued, running, done, failed or cancelled."""
        words = {"waiting": "queued", "drawing": "running"}
        said = self.browser.run("return document.querySelector('.job-head .badge')?.textContent ?? ''")
        word = said.split(" ")[-1]
        return str(words.get(word, word))

    def until_state(self, *states: str, seconds: float = 2 * PATIENCE) -> str:
        """Waits until the job that is shown is in one of these states."""
        deadline = time.monotonic() + seconds
        while (state := self.state()) not in states:
            waiting = state in ("", "queued", "running") and time.monotonic() < deadline
            assert waiting, f"it is {state!r}, not {states}: {self.text()}"
            time.sleep(0.05)
        return state

    def frames(self) -> list[str]:
        """The different pictures of samples on their way that were shown since the page was loaded."""
        return list(dict.fromkeys(self.browser.run("return frames_seen")))

    def text(self) -> str:
        """All that is shown on the right."""
        return self.browser.run("return document.querySelector('#view').innerText")

    def show(self, where: str = "#/") -> None:
        """Another page of the studio: the gallery if not said."""
        self.browser.run("location.hash = arguments[0]", where)

    def pointer(self, element: WebElement, *path: tuple[float, float]) -> None:
        """Presses at the first place of a path over an element, in shares of its size, draws it, and lets go."""
        size = element.size
        offsets = [(round((x - 0.5) * size["width"]), round((y - 0.5) * size["height"])) for x, y in path]
        actions = ActionChains(self.browser.driver, duration=20)
        actions.move_to_element_with_offset(element, *offsets[0]).click_and_hold()
        for offset in offsets[1:]:
            actions.move_to_element_with_offset(element, *offset)
        actions.release().perform()
