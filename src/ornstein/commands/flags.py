"""Flags from typed functions: a parameter with a default is a flag, one that is a configuration gives all its fields.

    def sample(model: str, /, how: SampleConfig = SampleConfig(), out: Path | None = None): ...
    positional, named = parse("sample", sample, ["images/digits", "--steps", "20"])

Positional-only parameters are words. What a flag means is read from the docstrings ("Args:", "Attributes:"). The same
table of flags parses, helps (manual.py), suggests and completes. No torch here.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..errors import InputError

SHORT = {"-o": "--out", "-h": "--help"}
_NAMES: Mapping[Any, tuple[str, str]] = {
    int: ("INT", "a whole number"),
    float: ("FLOAT", "a number"),
    str: ("TEXT", "text"),
    Path: ("PATH", "a path"),
}


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        path: the parameter, and the field of the configuration that it is, such as ("settings", "train", "steps").
        option: as it is written, such as "--train.steps".
        hint: the type of its value.
        default: its value if it is not given; MISSING if it must be.
        text: what it means.
        group: the heading that it is listed under.
    """

    path: tuple[str, ...]
    option: str
    hint: Any
    default: Any
    text: str
    group: str

    @property
    def switch(self) -> bool:
        """Whether it is on or off, and takes no value; where nothing is said, it may be neither."""
        return alternatives(self.hint) == (bool,)

    @property
    def spellings(self) -> tuple[str, ...]:
        """How it may be written."""
        if self.switch:
            return (self.option, f"--no-{self.option[2:]}")
        return (self.option, *(short for short, long in SHORT.items() if long == self.option))

    @property
    def metavar(self) -> str:
        """Its values in short, such as "INT" or "off|particles|mcmc"; nothing for a switch."""
        return _metavar(self.hint)

    @property
    def most(self) -> float:
        """How many words its value has at most."""
        return _count(self.hint)

    def value(self, words: Sequence[str]) -> Any:
        """The value that these words mean; InputError if they mean none."""
        return _value(list(words), self.hint, self.option)


@dataclass(frozen=True)
class Word:
    """A positional argument: its name, its type and what it means."""

    name: str
    hint: Any
    text: str


def words_of(function: Callable[..., Any]) -> list[Word]:
    """The positional arguments of a command."""
    hints, texts = get_type_hints(function), documented(function)
    return [
        Word(name, hints[name], texts.get(name, ""))
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.POSITIONAL_ONLY
    ]


def flags_of(function: Callable[..., Any]) -> list[Flag]:
    """The flags of a command, those of configurations first."""
    hints, texts = get_type_hints(function), documented(function)
    nested, plain = [], []
    for name, parameter in inspect.signature(function).parameters.items():
        text = texts.get(name, "")
        if is_dataclass(parameter.default):
            nested += _fields(parameter.default, (name,), "", text)
        elif parameter.kind is not parameter.POSITIONAL_ONLY:
            default = MISSING if parameter.default is parameter.empty else parameter.default
            plain.append(Flag((name,), _option(name), hints[name], default, text, "options"))
    return nested + plain


def _fields(config: Any, path: tuple[str, ...], prefix: str, title: str) -> Iterator[Flag]:
    """The flags of a configuration, those of configurations within it last."""
    hints, texts = get_type_hints(type(config)), documented(type(config))
    groups = {name: title for title, names in getattr(config, "groups", {}).items() for name in names}
    inner = []
    for field in fields(config):
        name, value, text = field.name, getattr(config, field.name), texts.get(field.name, "")
        if is_dataclass(value):
            inner.append((value, (*path, name), f"{prefix}{name}.", f"{prefix}{name}: {text}"))
        else:
            group = groups.get(name, title.rstrip("."))
            yield Flag((*path, name), _option(prefix + name), hints[name], value, text, group)
    for one in inner:
        yield from _fields(*one)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def documented(what: Any) -> dict[str, str]:
    """What a docstring says of each argument or attribute, on one line."""
    found: dict[str, str] = {}
    section, names = False, ()
    for line in (inspect.getdoc(what) or "").splitlines():
        indent, text = len(line) - len(line.lstrip()), line.strip()
        if not indent:
            section = text in ("Args:", "Attributes:")
        elif section and indent == 4:
            head, _, text = text.partition(": ")
            names = tuple(head.split(", "))
            found |= dict.fromkeys(names, text)
        elif section:
            found |= {name: f"{found[name]} {text}" for name in names}
    return found


# Parsing ----------------------------------------------------------------------------------------------


def parse(command: str, function: Callable[..., Any], words: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments that these words mean for a command: positional and named. InputError if they mean none.

    Args:
        command: its name, for errors.
        function: the command.
        words: what follows its name.
    """
    table = flags_of(function)
    places, given = _sorted_out(command, {name: flag for flag in table for name in flag.spellings}, list(words))
    for flag in table:
        if flag.default is MISSING and flag.path not in given:
            raise InputError(f"{command} needs {flag.option} {flag.metavar}: {flag.text}")
    return _placed(command, function, places), _named(function, given)


def _sorted_out(
    command: str, known: Mapping[str, Flag], words: list[str]
) -> tuple[list[str], dict[tuple[str, ...], Any]]:
    """The positional words, and the value of each flag by its path; of two values the later counts."""
    places, given = [], {}
    while words:
        word = words.pop(0)
        if not _is_flag(word):
            places.append(word)
            continue
        spelt, equals, value = word.partition("=")
        spelt = spelt.replace("_", "-")
        if spelt not in known:
            raise unknown(command, spelt, known)
        flag = known[spelt]
        if flag.switch and not equals:
            given[flag.path] = spelt == flag.option
        else:
            given[flag.path] = flag.value([value] if equals else _taken(words, flag.hint))
    return places, given


def _is_flag(word: str) -> bool:
    """Whether a word is a flag: "--x" or "-x", but no negative number and no lone hyphen."""
    return word.startswith("--") or (len(word) > 1 and word[0] == "-" and not (word[1].isdigit() or word[1] == "."))


def _taken(words: list[str], hint: Any) -> list[str]:
    """As many words, taken from the front, as a value of this type has, up to the next flag."""
    most, found = _count(hint), []
    while words and len(found) < most and not (words[0].startswith("--") or words[0] in SHORT):
        found.append(words.pop(0))
    return found


def unknown(command: str, spelt: str, known: Mapping[str, Flag]) -> InputError:
    """The error of a flag that a command does not have, with the nearest that it has.

    Args:
        command: its name.
        spelt: the flag, as it was written.
        known: its flags, by how they may be written.
    """
    return InputError(f"{command} has no flag {spelt}{_nearest(spelt, known)}")


def surplus(command: str, word: str) -> InputError:
    """The error of a word that no flag takes."""
    return InputError(f"{command}: {word!r} is one word too many; a flag takes its value after it, as in --n 3")


def _nearest(spelt: str, known: Mapping[str, Flag]) -> str:
    near = get_close_matches(spelt.lstrip("-"), [name.lstrip("-") for name in known], n=1, cutoff=0.5)
    if not near:
        return "; --help lists them"
    option = next(name for name in known if name.lstrip("-") == near[0])
    return f", did you mean {option} {known[option].metavar}".rstrip() + "?"


def _placed(command: str, function: Callable[..., Any], places: list[str]) -> list[Any]:
    """The positional arguments."""
    found = []
    for word in words_of(function):
        if not places:
            raise InputError(f"{command} needs {word.name.upper()}: {word.text}")
        several = get_origin(word.hint) is tuple
        taken, places = (places, []) if several else (places[:1], places[1:])
        found.append(_value(taken, word.hint, word.name))
    if places:
        raise surplus(command, places[0])
    return found


def _named(function: Callable[..., Any], given: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """The named arguments, configurations with what was given laid over their defaults."""
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        mine = {path[1:]: value for path, value in given.items() if path[0] == name}
        if is_dataclass(parameter.default):
            found[name] = laid_over(parameter.default, mine)
        elif mine:
            found[name] = mine[()]
    return found


def laid_over(config: Any, given: Mapping[tuple[str, ...], Any]) -> Any:
    """A configuration with other values of some fields; InputError if it refuses them."""
    inner = {path[0]: {} for path in given if len(path) > 1}
    changes = {path[0]: value for path, value in given.items() if len(path) == 1}
    for path, value in given.items():
        if len(path) > 1:
            inner[path[0]][path[1:]] = value
    changes |= {name: laid_over(getattr(config, name), values) for name, values in inner.items()}
    try:
        return replace(config, **changes) if changes else config
    except InputError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from error


# Values -----------------------------------------------------------------------------------------------


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The types that a value may have, None aside."""
    if get_origin(hint) in (Union, UnionType):
        return tuple(one for one in get_args(hint) if one is not NoneType)
    return (hint,)


def _count(hint: Any) -> float:
    """How many words a value has at most."""
    (kind, *_) = alternatives(hint)
    if get_origin(kind) is not tuple:
        return 1
    return float("inf") if Ellipsis in get_args(kind) else len(get_args(kind))


def _metavar(hint: Any) -> str:
    *others, kind = alternatives(hint)
    if others:
        return "|".join(map(_metavar, [*others, kind]))
    arguments = get_args(kind)
    if kind is bool:
        return ""
    if get_origin(kind) is Literal:
        return "|".join(map(str, arguments))
    if get_origin(kind) is tuple:
        return f"{_metavar(arguments[0])} ..." if Ellipsis in arguments else " ".join(map(_metavar, arguments))
    return _NAMES.get(kind, ("VALUE", ""))[0]


def _value(words: list[str], hint: Any, option: str) -> Any:
    """Words as a value of this type, without guessing."""
    *others, last = alternatives(hint)
    for kind in others:
        try:
            return _value(words, kind, option)
        except InputError:
            pass
    arguments = get_args(last)
    if get_origin(last) is tuple:
        several = Ellipsis in arguments
        if not several and len(words) != len(arguments):
            raise InputError(f"{option} takes {len(arguments)} values ({_metavar(last)}), found {len(words)}")
        kinds = arguments[:1] * len(words) if several else arguments
        return tuple(_value([word], kind, option) for word, kind in zip(words, kinds, strict=True))
    if not words:
        raise InputError(f"{option} needs a value: {_metavar(last)}")
    return _single(words[0], last, option)


def _single(word: str, kind: Any, option: str) -> Any:
    if get_origin(kind) is Literal:
        known = {str(one): one for one in get_args(kind)}
        if word not in known:
            raise InputError(f"{option} is {word!r}, expected one of {', '.join(known)}")
        return known[word]
    if kind is bool:
        raise InputError(f"{option} is a switch and takes no value, found {word!r}")
    if kind not in _NAMES:
        raise InputError(f"{option} cannot be set by a flag: set it in a file given as --config")
    try:
        return kind(word)
    except ValueError:
        raise InputError(f"{option} is {word!r}, expected {_NAMES[kind][1]}") from None
