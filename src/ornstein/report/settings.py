"""What made samples: a command and a program that make them again, and in words what else the settings led to."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import SampleConfig, to_dict, update

_MANY = 20  # numbers in a row, of which a reader wants to know the first and the last
_LONG = ("times",)  # numbers that nobody reads; they are in the manifest


def in_words(model: str, n: int | None, settings: Mapping[str, Any], asked: Any) -> list[tuple[str, str]]:
    """Rows of (name, value): the command, then whatever the settings say beside its flags.

    Args:
        model: as it stands after `ornstein sample`.
        n: how many samples; None leaves it to the request.
        settings: of the samples, as in their manifest.
        asked: a request of the model's domain that asks for nothing, whose fields are flags.
    """
    how, own = _given(settings, asked)
    given = {**how, **own}
    hidden = {*_known(asked), *_LONG, *(["intervals"] if settings.get("intervals") == settings.get("steps") else [])}
    rest = {name: value for name, value in settings.items() if name not in hidden}
    flags = (word for name in given for word in _flag(name, given[name]))
    words = ["ornstein", "sample", model, *([] if n is None else ["--n", str(n)]), *flags]
    rows = [(name.replace("_", " "), phrase(value)) for name, value in rest.items()]
    return [("command", shlex.join(words)), *((name, value) for name, value in rows if value)]


def in_python(model: str, n: int | None, settings: Mapping[str, Any], asked: Any, folder: str) -> str:
    """A program that makes the samples again and saves them.

    Args:
        model: that `load` takes.
        n: how many samples; None leaves it to the request.
        settings: of the samples, as in their manifest.
        asked: a request of the model's domain that asks for nothing.
        folder: where it saves them.
    """
    how, own = _given(settings, asked)
    request = update(asked, own, "settings")
    fields = ", ".join(f"{name}={_literal(getattr(request, name))}" for name in own)
    device = how.pop("device", "cpu")
    counted = {} if n is None else {"n": n}
    options = {**counted, "seed": settings.get("seed", 0), **how}
    kind = type(asked)
    return "\n".join(
        [
            *(["from pathlib import Path", ""] if "Path(" in fields else []),
            "import ornstein as on",
            f"from {kind.__module__} import {kind.__qualname__}",
            "",
            f"model = on.load({_literal(model)}{'' if device == 'cpu' else f', {_literal(device)}'})",
            f"asked = {kind.__qualname__}({fields})",
            f"samples = on.draw(model, asked, {', '.join(f'{name}={_literal(options[name])}' for name in options)})",
            f"samples.save({_literal(folder)})",
            "",
        ]
    )


def said(settings: Mapping[str, Any], asked: Any) -> dict[str, Any]:
    """The flags that settings were made with, and the seed, by the names of their fields.

    Args:
        settings: of the samples, as in their manifest.
        asked: a request of the model's domain that asks for nothing.
    """
    how, given = _given(settings, asked)
    return {"seed": settings.get("seed", 0), **how, **given}


def _given(settings: Mapping[str, Any], asked: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The flags that settings were made with: those of how samples are drawn, and those of the request."""
    found = []
    for defaults in (_whole(SampleConfig()), _whole(asked)):
        values = {name: value for name, value in settings.items() if name in defaults}
        found.append({name: value for name, value in values.items() if _plain(value) != defaults[name]})
    return found[0], found[1]


def _known(asked: Any) -> set[str]:
    """The names of all flags."""
    return {*_whole(SampleConfig()), *_whole(asked)}


def _literal(value: Any) -> str:
    """A value as Python source."""
    if isinstance(value, Path):
        return f"Path({_literal(str(value))})"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    return repr(value)


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
