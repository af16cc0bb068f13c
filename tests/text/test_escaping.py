"""Text of strangers is shown on a page and on a terminal as what it is."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from folders import saved
from ornstein import InputError
from ornstein.cli import main
from ornstein.events import progress
from ornstein.report.page import page
from ornstein.report.show import show
from ornstein.tasks.figures import Chapter, Figure, Interactive, Metric
from ornstein.tasks.samples import read_samples
from ornstein.tasks.scores import append_metrics
from ornstein.text.escaping import document, html, phrases, printable

EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\x1b]0;title\x07\x1b[2J",
    "[/nope][red]",
    "\x9b31m\u202e\r\x00\ud800",
    "' onmouseover='x",
]
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "tr", "td", "th", "small", "br"),
    *("footer", "figure", "img", "figcaption", "script", "code", "div", "b", "a"),
}


class Tags(HTMLParser):
    """The tags of a page, and attributes that no page of ours has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name.startswith("on") or (name == "src" and not (value or "").startswith("data:")):
                self.handlers.append(f"{tag} {name}")


def require_harmless(text: str, scripts: int = 0) -> None:
    found = Tags(text)
    assert set(found.tags) <= ALLOWED, set(found.tags) - ALLOWED
    assert found.tags.count("script") == scripts
    assert not found.handlers
    assert printable(text) == text


def require_plain(text: str) -> None:
    """Nothing that a terminal would obey, but line feeds and tabs."""
    assert printable(text) == text


def test_a_terminal_shows_what_it_could_obey() -> None:
    assert printable("a\x1b[2J\tb\n") == "a\\x1b[2J\tb\n"
    assert printable("\u202e\ud800\x9b") == "\\u202e\\ud800\\x9b"
    assert printable("naïve – 猫 👩‍🚀 x₀") == "naïve – 猫 👩‍🚀 x₀"
    assert str(InputError("x\x1b[2J")) == "x\\x1b[2J"
    assert html("<a\x1b>") == "&lt;a\\x1b&gt;"


def test_phrases_keep_plain_tags() -> None:
    text = 'a <code>b</code> <a href="#c">c</a> &lt; <b onclick=x> <script> <a href="javascript:x">'
    assert phrases(text) == (
        'a <code>b</code> <a href="#c">c</a> &lt; &lt;b onclick=x> &lt;script> &lt;a href="javascript:x">'
    )


@pytest.mark.parametrize("evil", EVIL)
def test_a_page_escapes_every_text(evil: str) -> None:
    metric = Metric(evil, 1.0, "higher", evil, 2.0, evil)
    turning = Interactive("<div></div>", evil, "let x = 1;\r\n")
    chapter = Chapter(evil, evil, [Figure(b"png", evil), turning, turning], [metric])
    require_harmless(page(evil, evil, [chapter], evil), scripts=1)


def test_a_page_runs_its_own_scripts_alone() -> None:
    text = document("t", "<p>body</p>", "p { color: red }", ["let a = 1;\r\nlet b = 2;", "x()"])
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert "default-src 'none'" in policy[1]
    assert text.index("Content-Security-Policy") < text.index("<script>")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in policy[1]
    assert "unsafe-inline" not in policy[1].split("script-src")[1].split(";")[0]
    assert "script-src 'none'" in document("t", "")


def texts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the texts of a JSON value stand, and the names of its fields (their path ends in None)."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(key, str):
            yield (*path, key, None)
        if isinstance(item, str):
            yield (*path, key)
        yield from texts(item, (*path, key))


def changed(value: Any, path: tuple[Any, ...], evil: str) -> Any:
    copy = json.loads(json.dumps(value))
    *way, last = path if path[-1] is not None else path[:-1]
    holder = copy
    for key in way:
        holder = holder[key]
    holder[last if path[-1] is not None else evil] = evil if path[-1] is not None else holder.pop(last)
    return copy


def shown(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """All that `ornstein show` writes to a terminal, but colours."""
    out = StringIO()
    monkeypatch.setattr(progress, "console", Console(file=out, soft_wrap=True, width=200))
    assert main(["show", str(folder)]) in (0, 2)
    return out.getvalue() + capsys.readouterr().err


def test_no_field_of_a_folder_is_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every text and name in manifest.json and scores.json, one after the other, by a page and by a terminal."""
    monkeypatch.setattr("ornstein.domains.images.task.Images.figures", lambda self, samples: [])
    folder = saved(tmp_path / "a", "images", 2)
    append_metrics(folder, [Metric("a", 1.0, "higher", "b", 2.0)])
    read = 0
    for name in ("manifest.json", "scores.json"):
        good = json.loads((folder / name).read_text())
        for k, place in enumerate(texts(good)):
            (folder / name).write_text(json.dumps(changed(good, place, EVIL[k % len(EVIL)])))
            (folder / "report.html").unlink(missing_ok=True)
            require_plain(shown(folder, monkeypatch, capsys))
            if (folder / "report.html").exists():
                require_harmless((folder / "report.html").read_text())
                read += 1
        (folder / name).write_text(json.dumps(good))
    assert read > 15


@pytest.mark.parametrize("evil", EVIL)
def test_names_and_settings_of_strangers_are_shown(tmp_path: Path, evil: str) -> None:
    folder = saved(tmp_path / "a", "images", 2, name=evil)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["settings"] = {evil: [evil, {evil: evil}], "prompt": evil}
    manifest |= {"notes": [evil], "created": evil}
    manifest["model"]["weights"] = evil
    (folder / "manifest.json").write_text(json.dumps(manifest))
    samples = read_samples(folder)
    require_plain(repr(samples))
    require_harmless(samples._repr_html_())
    out = StringIO()
    for part in show(str(folder)):
        Console(file=out, width=200, soft_wrap=True).print(part)
    require_plain(out.getvalue())
    require_harmless((folder / "report.html").read_text())
    assert html(evil) in (folder / "report.html").read_text()
