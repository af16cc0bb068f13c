"""The command line's table of flags as a form, and a JSON object of flags as what the command line makes of its words.

    form(model)                                          what can be asked of a model, for a page
    order({"model": "images/digits", "label": 3, "n": 4}, places)       the request and the way to draw

Every value goes through the flag of its name, so every error is word for word the command line's. What the command line
lets a user name but a request over HTTP may not is a path of this machine: a field that takes a file is given a
reference (references.py), and nothing else.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from ...commands.flags import Flag, alternatives
from ...commands.objects import COMMAND, Reader, flags, laid_over_both
from ...config import SampleConfig, to_dict, update
from ...errors import InputError
from ...files import plain
from ...tasks.registry import task
from ..engine.queueing import Order
from ..uploads.references import EXPECTED, Model, Places, domain_of_source, names_file

if TYPE_CHECKING:
    from ...tasks.task import Task

_NO_CODE = "no code is run for a request over HTTP"
_ELSEWHERE = {
    "out": "the studio chooses the folder",
    "resume": "POST /v1/samples/ID/resume draws the rest of what was begun",
    "allow-code": _NO_CODE,
    "code": _NO_CODE,
}
"""Flags of the command line that have no meaning here, and why."""


# A form -----------------------------------------------------------------------------------------------


def form(model: Model) -> dict[str, Any]:
    """What can be asked of a model, as JSON: groups of fields with their types, defaults and meanings."""
    this = task(model.domain)
    table = offered(this)
    groups = dict.fromkeys(flag.group for flag in table)
    return {
        "model": model.name,
        "domain": model.domain,
        "summary": this.summary,
        "examples": [one for one in this.examples if one.startswith(f"{COMMAND} ")],
        "groups": [
            {"title": group, "fields": [field(flag, this) for flag in table if flag.group == group]} for group in groups
        ],
    }


def offered(this: "Task") -> list[Flag]:
    """The flags that a request over HTTP may say: all but those that name code."""
    return [flag for flag in flags(this) if flag.path[-1] not in this.request_code]


def field(flag: Flag, this: "Task") -> dict[str, Any]:
    """One flag as JSON; see the documentation of GET /v1/form."""
    name = flag.path[-1]
    suffixes = this.files.get(name) if flag.path[0] == "asked" else None
    hand = this.by_hand.get(name) if flag.path[0] == "asked" else None
    (kind, *_), leaves = alternatives(flag.hint), _leaves(flag.hint)
    several = get_origin(kind) is tuple
    return {
        "name": name,
        "option": flag.option,
        "kind": _kind(flag),
        "many": several and Ellipsis in get_args(kind),
        "count": int(flag.most) if several and Ellipsis not in get_args(kind) else None,
        "choices": [choice for leaf in leaves if get_origin(leaf) is Literal for choice in get_args(leaf)] or None,
        "default": plain(flag.default),
        "text": flag.text,
        "metavar": flag.metavar,
        "suffixes": None if suffixes is None else [suffix for suffix in suffixes if suffix],
        "runs": suffixes is not None and "" in suffixes,
        "hand": hand and {"kind": hand.kind, "over": hand.over},
    }


def _kind(flag: Flag) -> str:
    leaves = _leaves(flag.hint)
    if flag.switch:
        return "switch"
    if Path in leaves:
        return "file" if len(leaves) == 1 else "number-or-file"
    if get_origin(leaves[0]) is Literal:
        return "choice"
    return {(int,): "integer", (float,): "number", (int, float): "number"}.get(leaves, "text")


def _leaves(hint: Any) -> tuple[Any, ...]:
    """The types of single values within a type."""
    found: list[Any] = []
    for kind in alternatives(hint):
        inner = [one for one in get_args(kind) if one is not Ellipsis] if get_origin(kind) is tuple else ()
        found += [leaf for one in inner for leaf in _leaves(one)] if inner else [kind]
    return tuple(dict.fromkeys(found))


# An order ---------------------------------------------------------------------------------------------


def order(body: Mapping[str, Any], places: Places) -> Order:
    """What a JSON object of flags asks for; InputError for what the command line would refuse before it draws.

    Args:
        body: "model" and flags, by the names of their fields, with - or _; null is not said.
        places: where references lead.
    """
    model = places.model(body.get("model"))
    this = task(model.domain)
    given = _reader(this, places).values({name: value for name, value in body.items() if name != "model"})
    asked, how = laid_over_both(given, this.request_type(), SampleConfig())
    values = {**to_dict(asked), **to_dict(how)}
    return _ordered(model.source, asked, how, {path[-1]: values[path[-1]] for path in given})


def again(model: str, flat: Mapping[str, Any]) -> Order:
    """The order that a result of the studio was drawn for, from what was kept of it: `Order.flat`, with paths."""
    this = task(domain_of_source(model))
    names = vars(SampleConfig())
    asked = update(this.request_type(), {name: value for name, value in flat.items() if name not in names}, model)
    how = update(SampleConfig(), {name: value for name, value in flat.items() if name in names}, model)
    return _ordered(model, asked, how, flat)


def _ordered(model: str, asked: Any, how: SampleConfig, flat: Mapping[str, Any]) -> Order:
    """With those settings of the way to draw that were said, as the command line hands them on."""
    options = {name: value for name, value in vars(how).items() if value is not None and value is not False}
    return Order(model, asked, options, options.pop("device"), flat)


def given(body: Mapping[str, Any], this: "Task", places: Places) -> dict[str, Any]:
    """The fields of a request as far as they are said, by name, without asking whether they make a whole one."""
    found = _reader(this, places).values({name: value for name, value in body.items() if value is not None})
    return {path[-1]: value for path, value in found.items()}


def suffixes_of(model: Model, name: str) -> Any:
    """Suffixes of the files that a field of a model's request takes, any if None; InputError if it takes none."""
    this = task(model.domain)
    flag = Reader(offered(this), _elsewhere(this)).flag(name)
    suffixes = this.files.get(flag.path[-1]) if flag.path[0] == "asked" else None
    if suffixes is None and Path not in _leaves(flag.hint):
        raise InputError(f"{flag.option} takes no file")
    return suffixes


def flag_in(message: str) -> str | None:
    """The flag that an error speaks of, if it names one first."""
    named = re.search(r"(?<![\w-])--[a-z][a-z0-9.-]*", message)
    if named:
        return named[0].rstrip(".-")
    first = message.partition(" ")[0]
    return f"--{first.replace('_', '-')}" if first in {one.name for one in fields(SampleConfig)} else None


def _reader(this: "Task", places: Places) -> Reader:
    """Of JSON objects in which files are named by references."""

    def read(flag: Flag, words: list[str]) -> Any:
        suffixes = this.files.get(flag.path[-1]) if flag.path[0] == "asked" else None
        if Path in _leaves(flag.hint):
            return _path(flag, words, suffixes, places)
        if suffixes is not None:
            words = [_text(flag, word, suffixes, places) for word in words]
        return flag.value(words)

    return Reader(offered(this), _elsewhere(this), read)


def _elsewhere(this: "Task") -> dict[str, str]:
    """Flags of a domain that have no meaning here, without hyphens, and why."""
    return _ELSEWHERE | {name.replace("_", "-"): _NO_CODE for name in this.request_code}


def _path(flag: Flag, words: Sequence[str], suffixes: Any, places: Places) -> Any:
    """The value of a flag that takes files, which only references name."""
    if words and all(map(places.knows, words)):
        return flag.value([str(places.path(word, suffixes, flag.option)) for word in words])
    others = tuple(leaf for leaf in _leaves(flag.hint) if leaf is not Path)
    if others:
        try:
            return replace(flag, hint=Union[others]).value(words)  # noqa: UP007, types that are only known now
        except InputError as error:
            raise InputError(f"{error}, or {EXPECTED}") from None
    if not words:
        return flag.value(words)
    wrong = next(word for word in words if not places.knows(word))
    raise InputError(f"{flag.option} is {wrong!r}, expected {EXPECTED}")


def _text(flag: Flag, word: str, suffixes: Any, places: Places) -> str:
    """A word of a flag of text that may name a file, which only a reference does."""
    if places.knows(word):
        return str(places.path(word, suffixes, flag.option))
    if names_file(word, suffixes):
        raise InputError(f"{flag.option} is {word!r}, which names a file, expected {EXPECTED}")
    return word
