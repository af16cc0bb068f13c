"""The reference of the command line, from the table of flags by which commands are parsed and helped.

.. command:: ornstein sample images/…
"""

from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from public_names import commands

from ornstein.commands.flags import flags_of, words_of
from ornstein.commands.manual import _spelt, _told, summary

COMMANDS = commands()


class Command(Directive):
    """What a command does, its words, and its flags under their headings."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        function = COMMANDS[self.arguments[0]]
        flags = flags_of(function)
        usage = " ".join([self.arguments[0], *(word.name.upper() for word in words_of(function))])
        found: list[nodes.Node] = [nodes.literal_block("", usage + (" [flags]" if flags else ""))]
        found.append(nodes.paragraph("", "", *_prose(summary(function))))
        if words_of(function):
            found.append(_table([(word.name.upper(), word.text) for word in words_of(function)]))
        for group in dict.fromkeys(flag.group for flag in flags):
            rows = [(f"{_spelt(flag)} {flag.metavar}".strip(), _told(flag)) for flag in flags if flag.group == group]
            found += [nodes.rubric("", f"{group[0].upper()}{group[1:]}".rstrip(".")), _table(rows)]
        return found


def _table(rows: list[tuple[str, str]]) -> nodes.Node:
    """Flags and what they mean."""
    items = []
    for left, right in rows:
        term = nodes.term("", "", nodes.literal("", left))
        items.append(
            nodes.definition_list_item("", term, nodes.definition("", nodes.paragraph("", "", *_prose(right))))
        )
    return nodes.definition_list("", *items, classes=["flags"])


def _prose(text: str) -> list[nodes.Node]:
    """A text with its code in backticks as code."""
    parts = text.split("`")
    return [nodes.literal("", part) if k % 2 else nodes.Text(part) for k, part in enumerate(parts)]


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("command", Command)
    return {"parallel_read_safe": True}
