"""Our docstrings are plain text with Greek letters, bars and stars; here they become what Sphinx reads.

Code in single backticks, indented blocks as they stand, and no letter with a meaning of its own besides.
"""

import re
from collections.abc import Iterator
from typing import Any

SECTION = re.compile(r"(Args|Attributes|Yields|Returns|Raises):")
SPECIAL = re.compile(r"([\\*|]|_(?!\w))")


def escaped(line: str) -> str:
    """A line of prose: `code` as code, everything else as it stands."""
    parts = line.split("`")
    if len(parts) % 2 == 0:
        return SPECIAL.sub(r"\\\1", line.replace("`", "'"))
    told = ""
    for k, part in enumerate(parts):
        if k % 2:
            told += f"``{part}``"
        else:  # code must not touch a letter behind it
            told += ("\\ " if k and part[:1].isalnum() else "") + SPECIAL.sub(r"\\\1", part)
    return told


def converted(lines: list[str]) -> list[str]:
    """A docstring as reStructuredText."""
    return list(_converted(lines))


def _converted(lines: list[str]) -> Iterator[str]:
    section, literal, before = False, False, ""
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line.strip() and not indent:
            section = bool(SECTION.fullmatch(line.strip()))
        block = indent >= 4 and not section and bool(line.strip())
        if block and not literal:
            yield from ([""] if before.strip() else []) + ["::", ""]
        if literal and line.strip() and not block:
            yield from [""] if before.strip() else []
        literal = block or (literal and not line.strip())
        if section and ": " in line and indent == 4:
            name, _, text = line.strip().partition(": ")
            yield f"    {name}: {escaped(text)}"
        else:
            yield line if block else escaped(line)
        before = line


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""

    def convert(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        first = [""] if what in ("property", "attribute", "data") else []  # else napoleon takes "a: b" for a type
        lines[:] = [*first, *converted(lines)]

    app.connect("autodoc-process-docstring", convert, priority=400)
    return {"parallel_read_safe": True}
