"""What made samples, in the words of the command line: a command that makes them again, and what it led to."""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ..config import SampleConfig, to_dict

_MANY = 20  # numbers in a row, of which a reader wants to know the first and the last
_LONG = ("times",)  # numbers that nobody reads; they are in the manifest


def in_words(model: str, n: int, settings: Mapping[str, Any], asked: Any) -> list[tuple[str, str]]:
    """Rows of (name, value): the command, then whatever the settings say beside its flags.

    Args:
        model: as it stands after `ornstein sample`.
        n: how many samples.
        settings: of the samples, as in their manifest.
        asked: a request of the model's domain that asks for nothing, whose fields are flags.
    """
    defaults = {**_whole(SampleConfig()), **_whole(asked)}
    given = {name: value for name, value in settings.items() if name in defaults and _plain(value) != defaults[name]}
    rest = {name: value for name, value in settings.items() if name not in defaults and name not in _LONG}
    words = ["ornstein", "sample", model, "--n", str(n), *(word for name in given for word in _flag(name, given[name]))]
    rows = [(name.replace("_", " "), phrase(value)) for name, value in rest.items()]
    return [("command", shlex.join(words)), *((name, value) for name, value in rows if value)]


def phrase(value: Any) -> str:
    """A value of a manifest without brackets: lists with commas, kernels and guides as a name and what it is set to."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {phrase(item)}".strip() for name, item in value.items() if item not in (None, False))
    if isinstance(value, list | tuple) and len(value) > _MANY and all(isinstance(one, int | float) for one in value):
        return f"{len(value)} numbers from {phrase(value[0])} to {phrase(value[-1])}"
    if isinstance(value, list | tuple):
        return "; ".join(map(phrase, value))
    if isinstance(value, float):
        return f"{value:g}"
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    return _kernel(str(value))


def _kernel(text: str) -> str:
    """ "Predictor(eta=0.0, order=3, correct=True)" as "Predictor: eta 0, order 3, correct"."""
    found = re.fullmatch(r"(\w+)\(([^()]*)\)", text)
    if not found:
        return text
    settings = (one.split("=") for one in found[2].split(", ") if "=" in one)
    kept = [(name, value.strip("'")) for name, value in settings if value != "False"]
    said = (name if value == "True" else f"{name} {value}" for name, value in kept)
    return f"{found[1]}: {', '.join(said)}".removesuffix(": ")


def _flag(name: str, value: Any) -> Sequence[str]:
    """The words of a flag."""
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [option] if value else [f"--no-{option[2:]}"]
    return [option, *map(str, value if isinstance(value, list | tuple) else [value])]


def _whole(config: Any) -> dict[str, Any]:
    """All fields, those that are None as well."""
    return {**dict.fromkeys(vars(config)), **to_dict(config)}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
