"""JSON objects of flags: what they mean is what the same words mean on the command line, and so are the errors.

    said = parsed(b'{"label": 3, "n": 4}', "line 7")
    given = Reader(flags(this), elsewhere).values(said)           the value of each flag, by its path
    asked, how = laid_over_both(given, this.request_type(), SampleConfig())

The studio reads requests so, and `ornstein sample --requests` the lines of a file. No torch here.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..config import SampleConfig
from ..errors import InputError
from .flags import Flag, flags_of, laid_over, surplus, unknown

if TYPE_CHECKING:
    from ..tasks.task import Task

COMMAND = "sample"


def flags(this: "Task") -> list[Flag]:
    """The flags of a domain's samples: those of its request, then those of the way to draw."""

    def sample(asked: Any = this.request_type(), how: SampleConfig = SampleConfig()) -> None:  # noqa: B008
        """Draw samples.

        Args:
            asked: what to draw.
            how: how to draw.
        """

    return flags_of(sample)


def parsed(text: bytes, where: str) -> dict[str, Any]:
    """The JSON object that a text is; InputError if it is none, or says a name twice.

    Args:
        text: in UTF-8.
        where: it stands, for errors, such as "the body".
    """

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        counted = Counter(name for name, _ in found)
        if len(counted) < len(found):
            raise InputError(f"{where} says {counted.most_common(1)[0][0]!r} twice")
        return dict(found)

    def refused(constant: str) -> None:
        raise InputError(f"{where} holds {constant}, which is not JSON")

    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=pairs, parse_constant=refused)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a letter, such as "\\ud800", can be said nowhere
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{where} is a {type(value).__name__}, expected a JSON object of flags")
    return value


@dataclass(frozen=True)
class Reader:
    """What the fields of a JSON object mean, by the command line's table of flags.

    Attributes:
        table: the flags of `sample`.
        elsewhere: other flags of the command line, without hyphens, and why they have no meaning here.
        read: the value that the words of a flag mean; if not given, what they mean on the command line.
    """

    table: Sequence[Flag]
    elsewhere: Mapping[str, str]
    read: Callable[[Flag, list[str]], Any] = Flag.value

    @cached_property
    def _known(self) -> Mapping[str, Flag]:
        return {flag.option: flag for flag in self.table}

    def flag(self, name: str) -> Flag:
        """The flag that a field names, with - or _; InputError if there is none."""
        spelt = f"--{name.replace('_', '-')}"
        if (reason := self.elsewhere.get(spelt[2:])) is not None:
            raise InputError(f"{spelt} is for the command line: {reason}")
        if spelt not in self._known:
            raise unknown(COMMAND, spelt, self._known)
        return self._known[spelt]

    def value(self, flag: Flag, value: Any) -> Any:
        """The value that a JSON value means for a flag."""
        if flag.switch and isinstance(value, bool):
            return value
        words = _words(flag, value)
        if len(words) > flag.most:
            raise surplus(COMMAND, words[int(flag.most)])
        return self.read(flag, words)

    def values(self, said: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
        """The values of all flags that a JSON object names, by their paths; null is not said."""
        found: dict[tuple[str, ...], Any] = {}
        for name, value in said.items():
            flag = self.flag(name)
            if flag.path in found:
                raise InputError(f"{flag.option} is said twice")
            if value is not None:
                found[flag.path] = self.value(flag, value)
        return found


def laid_over_both(given: Mapping[tuple[str, ...], Any], asked: Any, how: SampleConfig) -> tuple[Any, SampleConfig]:
    """A request and a way to draw with what was given laid over them; InputError if they refuse it.

    Args:
        given: values by the paths of their flags.
        asked, how: what holds where nothing was given.
    """
    of_asked, of_how = (
        {path[1:]: value for path, value in given.items() if path[0] == part} for part in ("asked", "how")
    )
    way = laid_over(how, of_how)
    return laid_over(asked, of_asked), way


def _words(flag: Flag, value: Any) -> list[str]:
    """A JSON value as the words of a command line."""
    items = value if isinstance(value, list) else [value]
    for item in items:
        if item is None or isinstance(item, list | Mapping):
            raise InputError(f"{flag.option} is {json.dumps(value)[:80]}, expected {flag.metavar or 'true or false'}")
    return [item if isinstance(item, str) else json.dumps(item) for item in items]
