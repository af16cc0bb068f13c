"""Inputs that are almost right: a whole file, or a JSON value, changed in one to four places.

`require_clean` is the test of a reader: each input is accepted or refused with InputError, nothing else is raised, and
the memory that all of them take is bounded.
"""

import json
import random
import resource
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from typing import Any

from ornstein.errors import InputError

TOKENS = (
    *("nan", "inf", "-inf", "-1", "0", "1e309", "1e-400", "2²", "٣", "9" * 20, "9" * 5000, "999999999", "0x10", "1_0"),
    *("null", "true", "[]", "{}", '""', "[" * 5000, '{"a":' * 2000, "\\ud800", "é", "\u2028", "\ufeff", "\x00"),
    *("\x1b[31m", "[/nope]", "<script>", "&lt;", "..", "../..", "/etc/passwd", "%s", "{0}", "'", '"', ",", ";", ":"),
    *("=", "#", "\\", "\n", "\r", "\r\n", "\t", " " * 200, "a" * 300, "$$$$", "M  END", ">", "*", "-", "--", "@"),
)
"""Pieces of text at which readers have failed."""

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 10**9, 10**18, 10**30, -(10**12), 0.5, -0.0, 1e308, 1e-320),
    *(float("nan"), float("inf"), float("-inf")),
    *("", "0", "x", "nan", "../../x", "/etc/passwd", "\x1b]0;title\x07", "[/nope]", "<script>b</script>", "a" * 5000),
    *([], {}, [[]], [None], ["x"], [1, 2, 3], [10**9, 10**9], {"": None}, {"a": {"b": {}}}, [[1.5], [2.5, 3]]),
)
"""JSON values of every kind and of bad sizes."""


def mutations(data: bytes, n: int, seed: int) -> Iterator[bytes]:
    """n changed copies of a file, bytes or text: flipped, cut, repeated, moved, or with one of `TOKENS` put in.

    Args:
        data: a file that is right.
        n: how many copies.
        seed: the same seed gives the same copies.
    """
    dice = random.Random(seed)
    for _ in range(n):
        changed = bytearray(data)
        for _ in range(dice.choice((1, 1, 2, 4))):
            dice.choice(_CHANGES)(changed, dice)
        yield bytes(changed)


def json_mutations(value: Any, n: int, seed: int) -> Iterator[Any]:
    """n changed copies of a JSON value: fields and items replaced by `VALUES`, removed, renamed, repeated, nested.

    Args:
        value: dictionaries, lists, numbers and texts that are right.
        n: how many copies.
        seed: the same seed gives the same copies.
    """
    dice = random.Random(seed)
    for _ in range(n):
        root = [deepcopy(value)]
        for _ in range(dice.choice((1, 1, 2, 4))):
            holder, key = dice.choice(list(_places(root)))
            _change_item(holder, key, dice)
        yield root[0] if root else None


def json_bytes(value: Any, n: int, seed: int) -> Iterator[bytes]:
    """n changed JSON files: half of them changed as values, half as text."""
    text = json.dumps(value, indent=1).encode()
    for changed in json_mutations(value, n - n // 2, seed):
        yield json.dumps(changed).encode()
    yield from mutations(text, n // 2, seed)


def require_clean(read: Callable[[Any], object], inputs: Iterable[Any], megabytes: float = 300) -> tuple[int, int]:
    """How many inputs `read` accepted and how many it refused; AssertionError at the first that raised anything else.

    Args:
        read: what reads one input.
        inputs: such as `mutations` gives.
        megabytes: by which the memory of the process may grow at most, over all inputs.
    """
    accepted = refused = 0
    before = _peak()
    for given in inputs:
        try:
            read(given)
            accepted += 1
        except InputError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}, of {_shown(given)}") from error
    grown = (_peak() - before) / 1e6
    assert grown < megabytes, f"memory grew by {grown:.0f} MB, allowed {megabytes:.0f}"
    return accepted, refused


def _peak() -> int:
    """The most memory that the process has held so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _shown(given: Any) -> str:
    text = repr(given)
    return text if len(text) < 3000 else f"{text[:1500]} … {text[-1500:]}"


# Bytes ------------------------------------------------------------------------------------------------


def _span(data: bytearray, dice: random.Random) -> slice:
    """A short piece, sometimes a long one."""
    start = dice.randrange(len(data) + 1)
    return slice(start, start + dice.choice((1, 1, 2, 4, 16, 64, len(data))))


def _flip(data: bytearray, dice: random.Random) -> None:
    if data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _overwrite(data: bytearray, dice: random.Random) -> None:
    if data:
        data[dice.randrange(len(data))] = dice.choice((0, 1, 9, 10, 13, 27, 32, 48, 57, 127, 128, 194, 255))


def _number(data: bytearray, dice: random.Random) -> None:
    """A digit becomes a bad number."""
    digits = [k for k, byte in enumerate(data) if 48 <= byte <= 57]
    if digits:
        place = dice.choice(digits)
        data[place : place + 1] = dice.choice(TOKENS[:14]).encode()


def _insert(data: bytearray, dice: random.Random) -> None:
    place = dice.randrange(len(data) + 1)
    data[place:place] = dice.choice(TOKENS).encode()


def _remove(data: bytearray, dice: random.Random) -> None:
    del data[_span(data, dice)]


def _repeat(data: bytearray, dice: random.Random) -> None:
    piece = bytes(data[_span(data, dice)])
    place = dice.randrange(len(data) + 1)
    data[place:place] = piece


def _truncate(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data) + 1) :]


def _line(data: bytearray, dice: random.Random) -> None:
    """A line is removed, repeated or moved."""
    lines = bytes(data).split(b"\n")
    line = lines.pop(dice.randrange(len(lines)))
    for _ in range(dice.choice((0, 1, 2))):
        lines.insert(dice.randrange(len(lines) + 1), line)
    data[:] = b"\n".join(lines)


_CHANGES = (_flip, _overwrite, _number, _insert, _remove, _repeat, _truncate, _line)


# JSON -------------------------------------------------------------------------------------------------


def _places(holder: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every value in a container."""
    keys = holder.keys() if isinstance(holder, dict) else range(len(holder))
    for key in keys:
        yield holder, key
        if isinstance(holder[key], dict | list):
            yield from _places(holder[key])


def _change_item(holder: Any, key: Any, dice: random.Random) -> None:
    action = dice.randrange(6)
    if action == 0:
        del holder[key]
    elif action == 1 and isinstance(holder, dict):
        holder[dice.choice((key.upper(), f"{key}x", "", "../x"))] = holder.pop(key)
    elif action == 2:
        holder[key] = [holder[key]] if dice.random() < 0.7 else {"value": holder[key]}
    elif action == 3 and isinstance(holder[key], list) and holder[key]:
        holder[key] = holder[key] * dice.choice((2, 50))
    else:
        holder[key] = deepcopy(dice.choice(VALUES))
    if not isinstance(holder, dict) and not holder:
        holder.append(None)
