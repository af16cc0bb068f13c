"""The studio in a real Chromium: draw, watch, cancel, paint, find again, two at once, and what is wrong is said."""

import json
import os
import re
import shlex
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import PHONE, WIDE, Browser, looked_at, programs
from PIL import Image
from selenium.webdriver import Keys
from selenium.webdriver.common.by import By
from studio_page import StudioPage

from ornstein.cli import main
from ornstein.tasks.samples import read_samples
from serving import Served, serving

SHORT: dict[str, Any] = {"n": 4, "steps": 8, "seed": 3}
LONG: dict[str, Any] = {"n": 512, "steps": 400, "seed": 3, "batch_size": 512}
"""Its steps take longer than the tenth of a second at which progress is told, so that each of them is."""
EVIL = '<img src=x onerror="window.evil=1"><script>window.evil=1</script>'


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if programs() is None:
        pytest.skip("no Chromium here")  # said in full where the browser is asked for
    with serving(tmp_path_factory.mktemp("studio")) as one:
        yield one


@pytest.fixture
def page(chromium: Browser, served: Served) -> Iterator[StudioPage]:
    """A new visitor's tab; at the end nothing was asked of another host, no script failed, and no job is left."""
    one = StudioPage(chromium, served)
    one.choose("images/digits")
    yield one
    chromium.require_clean(served.address)
    with served.client() as client:
        for job in client.get("/v1/samples").json()["jobs"]:
            client.delete(f"/v1/samples/{job['id']}")


def status(served: Served, job: str) -> dict[str, Any]:
    with served.client() as client:
        return client.get(f"/v1/samples/{job}").json()


def until_over(served: Served, job: str, seconds: float = 60.0) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while (said := status(served, job))["state"] in ("queued", "running"):
        assert time.monotonic() < deadline, said
        time.sleep(0.1)
    return said


def digit(folder: Path) -> tuple[Path, np.ndarray]:
    """A picture of a digit, as a file and as the bytes in it."""
    from sklearn.datasets import load_digits

    shades = getattr(load_digits(), "images")[7]  # noqa: B009, whose types do not say what is in it
    pixels = np.asarray(shades * 255 / 16).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "seen.png")
    return folder / "seen.png", pixels


# Drawing ------------------------------------------------------------------------------------------------


def test_digits_arrive_as_they_are_drawn_and_their_exactness_stands_first(page: StudioPage, served: Served) -> None:
    job = page.draw(n=8, steps=100, seed=0)
    page.until_state("done")
    assert len(page.frames()) >= 3
    assert all(frame.startswith("data:image/") for frame in page.frames())
    first = page.browser.run("""return [...document.querySelectorAll('.result > *')].map(one => one.className)""")
    assert first.index("exactness") <= 1
    assert "exactness" in page.text().lower().split("draw the same again")[0]
    assert len(read_samples(served.out / job)) == 8
    assert page.browser.without_text() == []
    for size in (PHONE, WIDE):
        page.browser.resize(size)
        assert page.browser.overflow() == []
    looked_at(page.browser, "studio-result", "#view")


def test_cancel_ends_a_job_within_one_step(page: StudioPage, served: Served) -> None:
    job = page.draw(**LONG)
    page.browser.until("return document.querySelector('.job-head #cancel') && frames_seen.length >= 1")
    page.browser.run("""const ask = window.fetch
        window.fetch = async (...words) => {
            const answer = await ask(...words)
            if (words[1]?.method === 'DELETE') window.at_cancel = await answer.clone().json()
            return answer
        }""")
    looked_at(page.browser, "studio-drawing", "#view")
    page.browser.find("#cancel").click()
    page.until_state("cancelled")
    asked, ended = page.browser.until("return window.at_cancel"), status(served, job)
    assert asked["total"] == LONG["steps"]
    assert 0 < asked["done"] <= ended["done"] <= asked["done"] + 1
    assert not (served.out / job / "manifest.json").exists()
    looked_at(page.browser, "studio-cancelled", "#view")
    following = page.draw(**SHORT)  # the worker goes on at once
    page.until_state("done")
    assert following != job


def test_the_keyboard_suffices(page: StudioPage, served: Served) -> None:
    page.fill(**SHORT)
    page.browser.run("document.activeElement.blur(); document.querySelector('#model').focus()")
    driver, before = page.browser.driver, page.browser.run("return location.hash")
    for _ in range(200):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        if driver.switch_to.active_element.get_attribute("id") == "draw":
            break
    assert driver.switch_to.active_element.get_attribute("id") == "draw"
    outlined = (
        "const s = getComputedStyle(document.activeElement); return s.outlineStyle !== 'none' || s.boxShadow !== 'none'"
    )
    assert page.browser.run(outlined) != "nonenone"
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    job = page.asked_for(before)
    page.until_state("done")
    assert status(served, job)["result"]["n"] == SHORT["n"]


# What is known ------------------------------------------------------------------------------------------


def test_what_is_painted_is_drawn_anew_and_the_rest_holds(page: StudioPage, served: Served, tmp_path: Path) -> None:
    path, pixels = digit(tmp_path)
    page.send("observation", path)
    dialog = page.by_hand("mask")
    canvas = dialog.find_element(By.CSS_SELECTOR, "canvas")
    page.pointer(canvas, (0.1, 0.15), (0.9, 0.15), (0.9, 0.35), (0.1, 0.35))
    looked_at(page.browser, "studio-painting", "dialog")
    page.use(dialog)
    job = page.draw(n=2, steps=4, seed=3, noise=0)
    page.until_state("done")
    drawn = read_samples(served.out / job).x[:, 0].numpy()
    seen = pixels / 127.5 - 1
    held = np.abs(drawn - seen).max(0) < 0.02
    assert held[4:].all()  # the lower half was not painted
    assert 4 <= (~held).sum() <= 32  # and of the upper one what was painted is new
    assert (drawn[0] != drawn[1]).any()
    looked_at(page.browser, "studio-painted", "#view")


@pytest.mark.slow
def test_sensors_are_clicked_on_a_field(page: StudioPage, served: Served) -> None:
    page.choose("poisson/gaussian")
    dialog = page.by_hand("solution_sensors")
    plane = dialog.find_element(By.CSS_SELECTOR, "svg.plane")
    for place in ((0.4, 0.4), (0.7, 0.6)):
        page.pointer(plane, place)
        page.browser.driver.switch_to.active_element.send_keys("0.01")
    rows = dialog.find_elements(By.CSS_SELECTOR, "table.points tbody tr")
    assert len(rows) == 2
    for row in rows:
        row.find_elements(By.CSS_SELECTOR, "input")[-1].send_keys(Keys.CONTROL, "a")
        row.find_elements(By.CSS_SELECTOR, "input")[-1].send_keys("0.001")
    looked_at(page.browser, "studio-sensors", "dialog")
    page.use(dialog)
    job = page.draw(n=2, steps=4, seed=0)
    page.until_state("done", seconds=120)
    kept = next(served.out.glob("inputs/*/*.csv")).read_text().splitlines()
    assert len(kept) == 3
    assert kept[0].startswith("x,y,value")
    assert status(served, job)["result"]["n"] == 2
    looked_at(page.browser, "studio-field", "#view")


@pytest.mark.slow
def test_atoms_are_picked_and_molecules_turn(page: StudioPage, served: Served, tmp_path: Path) -> None:
    from ase.build import molecule

    molecule("CH3CH2OH").write(tmp_path / "ethanol.xyz")
    page.choose("molecules/qm9")
    page.send("fixed", tmp_path / "ethanol.xyz")
    dialog = page.by_hand("fixed")
    for atom in dialog.find_elements(By.CSS_SELECTOR, "svg.plane [role=checkbox]")[:3]:
        atom.click()
    looked_at(page.browser, "studio-picking", "dialog")
    assert "3 of 9" in dialog.text
    page.use(dialog)
    assert "picked" in page.field("fixed").text
    page.clear("fixed")
    page.draw(n=2, steps=6, seed=0)
    page.until_state("done", seconds=120)
    canvas = page.browser.until("return document.querySelector('.result canvas')")
    page.browser.run("arguments[0].scrollIntoView({ block: 'center' })", canvas)
    page.browser.until("return arguments[0].width > 50", canvas)
    assert page.browser.colours_of(canvas) > 20
    before = canvas.screenshot_as_png
    page.pointer(canvas, (0.2, 0.4), (0.4, 0.7))
    assert canvas.screenshot_as_png != before
    looked_at(page.browser, "studio-molecules", "#view")


@pytest.mark.slow
def test_results_are_evaluated_and_judged(page: StudioPage) -> None:
    page.draw(n=10, steps=10, seed=0)
    page.until_state("done")
    for name, selector in (("Evaluate", ".result table.metrics tbody tr"), ("Trust report", ".trusted .verdict")):
        next(one for one in page.browser.all(".actions button") if one.text == name).click()
        page.browser.until("return document.querySelector(arguments[0])", selector, seconds=120)
    assert page.browser.all(".trusted .statements li")
    looked_at(page.browser, "studio-judged", ".trusted")


@pytest.mark.slow
def test_a_token_is_asked_for_and_leaves_the_address(chromium: Browser, tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "0.0.0.0") as served:
        token = re.findall(r"token=([\w-]+)", served.said)[0]
        own = f"http://127.0.0.1:{served.address.rsplit(':', 1)[1]}"
        chromium.visit(own)
        chromium.until("return document.querySelector('dialog.login[open]')")
        looked_at(chromium, "studio-login", "dialog")
        chromium.find("#token").send_keys("a wrong one", Keys.ENTER)
        assert chromium.until("return document.querySelector('dialog.login .error').textContent")
        chromium.visit(f"{own}/#token={token}")
        chromium.driver.refresh()
        chromium.until("return document.querySelector('#draw')")
        assert token not in chromium.driver.current_url
        assert token not in chromium.run("return document.cookie")  # which scripts may not read
        assert not chromium.strangers(own)


# Results ------------------------------------------------------------------------------------------------


def test_a_reload_finds_the_gallery_and_opens_what_is_in_it(page: StudioPage, served: Served) -> None:
    job = page.draw(**SHORT)
    page.until_state("done")
    page.reload()
    assert page.until_state("done")
    page.show()
    page.browser.until("return document.querySelectorAll('.gallery .card').length")
    assert page.browser.without_text() == []
    looked_at(page.browser, "studio-gallery", "#view")
    page.browser.find(f'.gallery a[href="#/result/{job}"]').click()
    page.until_state("done")
    assert page.browser.until("return document.querySelector('.exactness .verdict').textContent")
    assert page.browser.until("return [...document.querySelectorAll('.result img')].every(one => one.naturalWidth > 0)")


def test_two_results_are_compared(page: StudioPage) -> None:
    jobs = [page.draw(n=2, steps=steps, seed=5) for steps in (4, 6)]
    page.until_state("done")
    page.show()
    for job in jobs:
        page.browser.until("return document.querySelector(`.card input[value='${arguments[0]}']`)", job).click()
    page.browser.until("return document.querySelector('.compare-bar a')").click()
    page.browser.until("return document.querySelector('.comparison')")
    differing = page.browser.run("return [...document.querySelectorAll('tr.differs th')].map(one => one.innerText)")
    same = page.browser.run("return [...document.querySelectorAll('tr:not(.differs) th')].map(one => one.innerText)")
    assert any("steps" in name.lower() for name in differing), (differing, same)
    assert any("seed" in name.lower() for name in same), same
    assert len(page.browser.all(".comparison .two img")) >= 2
    looked_at(page.browser, "studio-comparison", "#view")


@pytest.mark.parametrize("kind", ["command", pytest.param("python", marks=pytest.mark.slow)])
def test_what_is_copied_draws_the_same_bytes(
    page: StudioPage, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    job = page.draw(**SHORT, label=7)
    page.until_state("done")
    told = page.browser.run("return [...document.querySelectorAll('.again pre')].map(one => one.textContent)")
    monkeypatch.chdir(served.folder)
    first = served.out / job
    if kind == "command":
        program, *words = shlex.split(told[0])
        assert program == "ornstein"
        if "--out" not in words:
            words += ["--out", str(tmp_path / "again")]
        assert main(words) == 0
        second = Path(words[words.index("--out") + 1])
    else:
        names: dict[str, Any] = {}
        exec(told[1], names)
        samples = next(value for value in names.values() if type(value).__name__ == "Samples")
        second = samples.save(tmp_path / "again")
    same = [path.name for path in first.iterdir() if path.suffix in (".png", ".npz", ".npy", ".safetensors")]
    assert same
    for name in same:
        assert (second / name).read_bytes() == (first / name).read_bytes(), name


# Several at once, and what goes wrong -------------------------------------------------------------------


def test_two_tabs_take_turns_and_a_closed_one_ends_its_own_job(page: StudioPage, served: Served) -> None:
    other = StudioPage(page.browser, served, new=True)
    other.choose("images/digits")
    first = page.front().draw(n=32, steps=50, seed=1)
    second = other.front().draw(n=32, steps=50, seed=2)
    other.until_state("done")
    page.front().until_state("done")
    assert [until_over(served, job)["state"] for job in (first, second)] == ["done", "done"]
    other.front()
    lost = other.draw(**LONG)
    other.until_state("running")
    page.front()
    kept = page.draw(**SHORT)
    other.close()
    page.front()
    assert until_over(served, lost)["state"] == "cancelled"
    page.until_state("done")
    assert until_over(served, kept)["state"] == "done"


def test_what_is_wrong_is_said_as_the_command_line_says_it(
    page: StudioPage, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("steps", "0"), ("n", "three"), ("guidance", "-1"), ("label", "12")):
        assert main(["sample", "images/digits", f"--{name}", value]) == 2
        words = capsys.readouterr().err.removeprefix("ornstein: ").strip()
        page.fill(**{name: value})
        page.browser.find("#draw").click()
        if name == "label":  # what only the model knows is said once it is loaded
            page.until_state("failed")
            assert words in page.text()
        else:
            assert page.trouble() == words
            wrong = page.field(name)
            assert "failed" in str(wrong.get_attribute("class"))
            assert wrong.find_element(By.CSS_SELECTOR, "input").get_attribute("aria-invalid") == "true"
            looked_at(page.browser, f"studio-wrong-{name}", f"[data-field={name}]")
        page.fill(**{name: "" if name != "n" else "2"})


def test_markup_in_values_and_files_is_shown_and_never_run(page: StudioPage, served: Served) -> None:
    page.fill(label=EVIL)
    page.browser.find("#draw").click()
    page.until_state("failed")
    assert "<script>" in page.text()
    folder = served.out / page.draw(**SHORT, label="")
    page.until_state("done")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["model"]["name"] = manifest["created"] = manifest["settings"]["note"] = EVIL
    manifest["notes"] = [EVIL]
    (served.out / "evil").mkdir()
    for path in folder.iterdir():
        if path.is_file():
            (served.out / "evil" / path.name).write_bytes(path.read_bytes())
    (served.out / "evil" / "manifest.json").write_text(json.dumps(manifest))
    page.show("#/result/evil")
    page.browser.until("return document.querySelector('#view').innerText.includes('<script>')")
    page.show()
    page.browser.until("return document.querySelectorAll('.gallery .card').length")
    assert page.browser.run("return window.evil") is None
    assert page.browser.run("return document.querySelectorAll('main script, main img[src=x]').length") == 0


def test_a_worker_that_dies_is_shown_and_the_next_draw_works(page: StudioPage, served: Served) -> None:
    page.draw(**LONG)
    page.browser.until("return frames_seen.length >= 1")
    os.kill(served.workers()[0], signal.SIGKILL)
    page.until_state("failed")
    assert "signal 9" in page.text()
    looked_at(page.browser, "studio-died", "#view")
    page.draw(**SHORT)
    page.until_state("done")
