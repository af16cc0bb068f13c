"""Prompts as they are written on the command line.

a green apple                     one phrase
a cat AND sunglasses:0.7          a composition: the product of phrases, each with its weight (1 if not said)
a cat @noto AND a cat @twemoji    each in a style or class of its own
a cat TO a dog                    from the one to the other over the samples
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ....errors import InputError

_SUFFIX = re.compile(r"^(?P<text>.*?)(?:\s*@(?P<label>[\w.-]+))?(?:\s*:\s*(?P<weight>-?\d+\.?\d*))?$")


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
    """Of each end of the way (one, if there is no TO) the phrases; InputError if an end or phrase is empty."""
    ends = [[_phrase(part, prompt) for part in end.split(" AND ")] for end in prompt.split(" TO ")]
    if len(ends) > 2:
        raise InputError(f"prompt {prompt!r}: has {len(ends) - 1} TO, expected one at most")
    return ends


def _phrase(written: str, prompt: str) -> Phrase:
    found = _SUFFIX.match(written.strip())
    if not found or not (found["text"] or found["label"]):
        raise InputError(f"prompt {prompt!r}: an empty phrase; expected words, as in 'a cat AND sunglasses:0.7'")
    return Phrase(found["text"].strip(), float(found["weight"] or 1), found["label"])


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
