"""The one style sheet of every page: reports, the tour, the studio and the documentation."""

from functools import cache
from pathlib import Path

SHEET = Path(__file__).with_name("style.css")


@cache
def style() -> str:
    """The sheet, for a page that has it inside."""
    return SHEET.read_text("utf-8")
