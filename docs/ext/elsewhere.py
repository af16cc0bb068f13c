"""Pages that lie outside this folder: a page here includes each, and links lead to the site's pages."""

import re
from pathlib import Path
from typing import Any

PAGES = {
    "../CONTRIBUTING.md": "contributing.md",
    "../CHANGELOG.md": "changes.md",
    "../benchmarks/README.md": "benchmarks.md",
}


def led(text: str, top: str) -> str:
    """A page's text with links as they must be on the site.

    Args:
        text: in Markdown.
        top: from the page's folder to that of the documentation, such as "" or "../".
    """
    for there, here in PAGES.items():
        text = text.replace(f"]({top}{there}", f"]({top}{here}")
    return text


def read(app: Any, docname: str, source: list[str]) -> None:
    """For pages of this folder."""
    source[0] = led(source[0], "../" * docname.count("/"))


def included(app: Any, path: Path, parent: str, content: list[str]) -> None:
    """For pages from outside: their links into docs/ lead to pages beside."""
    content[0] = re.sub(r"\]\((?:\.\./)?docs/", "](", content[0])


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", read)
    app.connect("include-read", included)
    return {"parallel_read_safe": True}
