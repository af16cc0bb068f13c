"""The reference: a list of names on a page becomes their signatures and docstrings, and nothing public is left out.

.. names:: ornstein

   Normal Probs Joint
"""

import inspect
import re
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from public_names import lacking, public
from sphinx import addnodes
from sphinx.util import logging

PUBLIC = public()
HOMES: dict[str, str] = {}
"""Where a class is defined → its public name, the shortest if there are several."""
for name, what in sorted(PUBLIC.items(), key=lambda pair: len(pair[0]), reverse=True):
    if inspect.isclass(what):
        HOMES[f"{what.__module__}.{what.__qualname__}"] = name


class Names(Directive):
    """The names of a module, documented by their docstrings."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        lines: list[str] = []
        for name in " ".join(self.content).split():
            full = f"{self.arguments[0]}.{name}"
            what = PUBLIC.get(full)
            home = HOMES.get(f"{what.__module__}.{what.__qualname__}", full) if inspect.isclass(what) else full
            lines += [f".. {_kind(what)}:: {full}", ""] if home == full else [f"``{name}`` is :py:class:`{home}`.", ""]
        parent = nodes.container()
        self.state.nested_parse(StringList(lines, self.arguments[0]), self.content_offset, parent)
        return parent.children


def _kind(what: Any) -> str:
    if inspect.isclass(what):
        return "autoclass"
    return "autofunction" if callable(what) else "autodata"


def resolved(app: Any, env: Any, node: nodes.Element, content: nodes.Element) -> nodes.Node | None:
    """A type in a signature leads to its entry, if it has one; else it stands as it is.

    Pages that link to a name do it by the role `any`, which must find it.
    """
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    name = HOMES.get(target) or next((one for one in PUBLIC if one.rpartition(".")[2] == target), None)
    found = name and env.get_domain("py").objects.get(name)
    if not found:
        return content
    place = app.builder.get_relative_uri(node["refdoc"], found.docname) + "#" + found.node_id
    return nodes.reference("", "", content, refuri=place, internal=True)


def tidied(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """A signature that can be read: defaults that are made anew as "...", of a stream of events its result."""
    if signature is not None:
        signature = re.sub(r"= ?<[^<>]*>", "=...", signature)
    return signature, returns and re.sub(r"^.*Generator\[.*?Event, None, (.*)\]$", r"\1", returns)


def dashed(app: Any, doctree: nodes.document) -> None:
    """A dash between an argument and what it is; elsewhere two hyphens begin a flag."""
    for text in list(doctree.findall(nodes.Text)):
        at = text.parent.index(text)
        if text.startswith(" -- ") and at and isinstance(text.parent[at - 1], nodes.strong | addnodes.literal_strong):
            text.parent.replace(text, nodes.Text(f" – {text[4:]}"))


def require_whole(app: Any) -> None:
    """Whatever the reference lacks is a warning, and so an error of `make docs`."""
    for sentence in lacking(app.srcdir / "reference"):
        logging.getLogger(__name__).warning(sentence)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("names", Names)
    app.connect("autodoc-process-signature", tidied)
    app.connect("doctree-read", dashed)
    app.connect("missing-reference", resolved)
    app.connect("builder-inited", require_whole)
    return {"parallel_read_safe": True}
