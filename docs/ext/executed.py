"""Tutorials are shown with what their blocks printed when they were executed: see tools/executed_docs.py."""

from pathlib import Path
from typing import Any

from executed_docs import blocks, record_of, with_outputs
from sphinx.util import logging


def shown(app: Any, docname: str, source: list[str]) -> None:
    """Puts the recorded outputs into a page; a page that was changed since is a warning, and so an error."""
    page = Path(app.srcdir) / f"{docname}.md"
    if "/" in docname or not page.exists() or not blocks(source[0]):
        return
    try:
        source[0] = with_outputs(source[0], record_of(page))
    except ValueError as error:
        logging.getLogger(__name__).warning(str(error), location=docname)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", shown)
    return {"parallel_read_safe": True}
