r"""Prompts as they are written on the command line.

a green apple                     one phrase
a cat AND sunglasses:0.7          a composition: the product of phrases, each with its weight (1 if not said)
a cat @noto AND a cat @twemoji    each in a style or class of its own
a cat TO a dog                    from the one to the other over the samples

What is none of these is text. AND and TO stand between spaces, and are words of the text between two words in capitals
(BLACK AND WHITE). A weight is a number below 10 at the end of a phrase, directly behind a colon that follows no digit
(so 10:30 and 16:9 are text; "number 3 :0.7" has a weight); a class or style follows a space and @ at the end of a
phrase, its weight behind it. \: \@ \AND \TO \\ are the signs themselves. What looks like a weight or a class and is
none is refused. Captions of data are texts: `written` makes prompts of them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ....errors import InputError

_ESCAPED = re.compile(r"\\([\\:@]|(?:AND|TO)\b)")
_OPERATOR = re.compile(r"(?<!\S)(?:AND|TO)(?!\S)")
_WEIGHT = re.compile(r"-?\d(?:\.\d+)?")
_COLON = re.compile(r"\s*:([^\s:]*)$")  # and what stands directly behind it
_BROKEN = re.compile(r"[-+]?(?:nan|inf(?:inity)?|[\d.,+-]*(?:e[-+]?\d*)?%?)", re.IGNORECASE)
_CLASS = re.compile(r"(?:^|\s)@(?=\S)")
_LABEL = re.compile(r"(?:^|\s)@(?P<label>[\w.-]+)(?:\s*:\s*(?P<weight>\S*))?$")


@dataclass(frozen=True)
class Phrase:
    """Something said, and how much it counts.

    Attributes:
        label: a style or class by its name or number; None = as the sample's.
    """

    text: str
    weight: float = 1.0
    label: str | int | None = None


def parsed(prompt: str) -> list[list[Phrase]]:
    """Of each end of the way (one, if there is no TO) the phrases; InputError says what is wrong with the writing."""
    ends: list[list[Phrase]] = [[]]
    for operator, written in _parts(prompt):
        if operator == "TO":
            ends.append([])
        ends[-1].append(_phrase(written, prompt))
    if len(ends) > 2:
        raise InputError(rf"prompt {prompt!r}: has {len(ends) - 1} TO, expected one at most; \TO is the word")
    return ends


def written(text: str) -> str:
    """The prompt of one phrase that says just this text."""
    try:
        plain = parsed(text) == [[Phrase(text)]]
    except InputError:
        plain = False
    return text if plain else re.sub(r"[\\:@]|(?<!\S)(?:AND|TO)(?!\S)", r"\\\g<0>", text)


def said(prompt: str, share: float = 0.0) -> list[Phrase]:
    """The phrases at a share of the way, those without weight left out."""
    start, *end = parsed(prompt)
    if not end:
        return start
    both = [replace(one, weight=one.weight * (1 - share)) for one in start]
    both += [replace(one, weight=one.weight * share) for one in end[0]]
    return [phrase for phrase in both if phrase.weight]


def terms(phrases: Sequence[Phrase], scale: float) -> list[float]:
    """The weights of nothing said and of each phrase, of sum 1, under classifier-free guidance."""
    weights = [scale * phrase.weight for phrase in phrases]
    return [1 - sum(weights), *weights]


# How they are read ------------------------------------------------------------------------------------


def _parts(prompt: str) -> Iterator[tuple[str, str]]:
    """What stands between the operators, each with the operator before it."""
    masked, start, before = _masked(prompt), 0, ""
    for found in _OPERATOR.finditer(masked):
        beside = [*masked[: found.start()].split()[-1:], *masked[found.end() :].split()[:1]]
        if not beside or not all(map(_in_capitals, beside)):
            yield before, prompt[start : found.start()]
            before, start = found[0], found.end()
    yield before, prompt[start:]


def _in_capitals(word: str) -> bool:
    return word.isupper() and word[0] != "@" and ":" not in word


def _masked(prompt: str) -> str:
    """The prompt with signs that stand for themselves blotted out, as long as before."""
    return _ESCAPED.sub(lambda found: "\0" * len(found[0]), prompt)


def _phrase(part: str, prompt: str) -> Phrase:
    part = part.strip()
    label, weight, end = _suffix(_masked(part), prompt)
    text = _ESCAPED.sub(r"\1", part[:end].strip())
    if not text and label is None:
        raise InputError(f"prompt {prompt!r}: an empty phrase; expected words, as in 'a cat AND sunglasses:0.7'")
    return Phrase(text, weight, label)


def _suffix(masked: str, prompt: str) -> tuple[str | None, float, int]:
    """Class and weight of a phrase, and where its text ends."""
    colon = _COLON.search(masked)
    if not _CLASS.search(masked):
        weight = colon and _weight(masked[: colon.start(1) - 1], colon[1], prompt)
        return (None, 1.0, len(masked)) if weight is None or colon is None else (None, weight, colon.start())
    found = _LABEL.search(masked)
    text = masked[: found.start()] if found else ""
    if found is None or _CLASS.search(text):
        expected = r"at the end of a phrase (by number, if its name has spaces); \@ is the sign"
        raise InputError(f"prompt {prompt!r}: @ names one class or style, as in 'a cat @noto:0.5', {expected}")
    behind = _COLON.search(text)
    if behind and _weight(text[: behind.start(1) - 1], behind[1], prompt) is not None:
        raise InputError(
            rf"prompt {prompt!r}: a weight stands behind the class, as in 'a cat @noto:0.5'; \: is a colon"
        )
    if found["weight"] is not None and not _WEIGHT.fullmatch(found["weight"]):
        raise _not_a_weight(found["weight"], prompt)
    return found["label"], float(found["weight"] or 1), found.start()


def _weight(before: str, behind: str, prompt: str) -> float | None:
    """The number behind a colon, None if the colon is one of the text; InputError if that is not clear."""
    number = _WEIGHT.fullmatch(behind)
    if before[-1:].isdigit():
        if number and "." in behind:
            raise InputError(
                rf"prompt {prompt!r}: ':{behind}' follows a digit: write ' :{behind}' for a weight, "
                rf"'\:{behind}' for text"
            )
        return None
    if not number and _BROKEN.fullmatch(behind):
        raise _not_a_weight(behind, prompt)
    return float(behind) if number else None


def _not_a_weight(found: str, prompt: str) -> InputError:
    expected = r"expected a number below 10 as in ':0.7'; \: is a colon"
    return InputError(f"prompt {prompt!r}: ':{found}' is no weight, {expected}")
