"""What pictures may be asked to show: classes and captions of the data, prompts in words, in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from ...config import require_in, require_with
from ...denoisers.base import Guide
from ...deprecation import renamed
from ...errors import InputError
from ...tasks.task import Request
from .factors import class_of, label, prompts
from .vision.prompts import Phrase, parsed, said, written

GUIDANCE = 3.0  # by prompts, if not said
WAY = 8  # pictures from one end of a prompt with TO to the other, if not said
ALWAYS = (0.0, 1.0)
STOCHASTIC: Mapping[str, Any] = {"eta": 1.0, "order": 2, "grid": "asinh"}
"""How pictures of prompts are drawn: fresh noise mends what guidance overdoes."""


@renamed(ink="brightness", through="operator", measured="observation", weak="weak_model")
@dataclass(frozen=True)
class ImagesRequest:
    """What to draw.

    Attributes:
        prompt: what the pictures show, used in turn: words, "a cat AND sunglasses:0.7" (both), "a cat @noto" (in a
            style), "a cat TO a dog" (from one to the other); the data's captions if not given. A backslash before
            AND, TO, : or @ makes it text.
        captions: which captions of the data, without prompts: those that the model learned, or those held out, which
            no training picture has; learned if not given.
        negative: what they should not show.
        label: the classes or styles by name or number, used in turn; all classes, or the first style, if not given.
        guidance: scale of classifier-free guidance, 1 = none; 1 for classes and 3 for prompts if not given.
        interval: the times within which guidance holds, of 0 (picture) to 1 (static); all if not given.
        way: how many pictures lie on the way of a prompt with TO; 8 if not given.
        weak_model: a run folder of a weaker model of the same data, to be guided away from.
        autoguidance: scale of that guidance, 1 = none; 2 if not given.
        reference: a picture to begin with.
        strength: the time up to which the reference is noised: near 0 it stays, 1 forgets it; 0.5 if not given.
        observation: a PNG of what was seen of the picture; transparent pixels were not seen. Of rays an .npz with the
            arrays "angles", in degrees, and "sinogram", (angles, detectors): integrals of the brightness, from 0 to 1,
            in pixels.
        mask: a PNG, white where the measured picture is to be drawn anew.
        operator: what it was seen through: pixels as they are, a blur, means of blocks (a smaller PNG), or integrals
            along parallel rays (tomography).
        blur: width of the blur, pixels; 1 if not given.
        noise: standard deviation of the measurement, on the scale from 0 (black) to 1 (white), of rays times pixels; 0
            holds pixels exactly; 0.05 if not given.
        brightness: mean brightness that the pictures should have on average, from 0 to 1.
    """

    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "what the pictures show": ("prompt", "captions", "negative", "label", "guidance", "interval", "way"),
        "a weaker model to be guided away from": ("weak_model", "autoguidance"),
        "a picture to begin with": ("reference", "strength"),
        "a measurement of the picture": ("observation", "mask", "operator", "blur", "noise"),
        "all of them together": ("brightness",),
    }

    prompt: tuple[str, ...] = ()
    captions: Literal["learned", "held-out"] | None = None
    negative: str = ""
    label: tuple[int | str, ...] | None = None
    guidance: float | None = None
    interval: tuple[float, float] | None = None
    way: int | None = None
    weak_model: Path | None = None
    autoguidance: float | None = None
    reference: Path | None = None
    strength: float | None = None
    observation: Path | None = None
    mask: Path | None = None
    operator: Literal["pixels", "blur", "blocks", "rays"] | None = None
    blur: float | None = None
    noise: float | None = None
    brightness: float | None = None

    def __post_init__(self) -> None:
        if self.brightness is not None and self.observation is not None:
            raise InputError("--brightness is calibrated on the model, not on what was measured: give one of the two")
        require_in(self, "--", {"blur": "(0, 1000]", "noise": "[0, inf)", "brightness": "(0, 1)", "interval": "[0, 1]"})
        require_in(self, "--", {"guidance": "[0, 1e6]", "autoguidance": "[0, 1e6]", "strength": "(0, 1]"})
        require_in(self, "--", {"way": "[2, inf)"})
        if self.interval is not None and not self.interval[0] < self.interval[1]:
            raise InputError(f"--interval is {self.interval}, expected two times of which the first is smaller")
        if self.noise == 0 and self.operator not in (None, "pixels"):
            raise InputError("--noise 0 holds pixels exactly; through a blur, blocks or rays give the noise there was")
        if self.label == ():
            raise InputError("--label is empty, expected one class or more")
        if self.captions is not None and self.prompt:
            raise InputError("--captions takes what to draw from the data, --prompt says it: give one of the two")
        known = dict.fromkeys(("mask", "operator", "noise"), ("observation",))
        require_with(
            self, "--", {**known, "strength": ("reference",), "autoguidance": ("weak_model",), "way": ("prompt",)}
        )
        if self.operator == "rays" and self.mask is not None:
            raise InputError("--mask is of pixels, which --operator rays does not see")
        if self.blur is not None and self.operator != "blur":
            raise InputError("--blur is the width of --operator blur: give it, too")


def of_classes(asked: ImagesRequest, numbers: range, metadata: Mapping[str, Any], known: Sequence[Guide]) -> Request:
    """The classes asked for in turn, all if none are named; InputError if the model does not know them."""
    classes, scale = metadata["classes"], 1.0 if asked.guidance is None else asked.guidance
    if asked.prompt or asked.negative or asked.captions:
        raise InputError("--prompt, --captions and --negative are for models trained with captions; this one has none")
    if not classes and (asked.label is not None or asked.guidance is not None):
        raise InputError("--label and --guidance are for models trained with labels; this one has none")
    wanted = [class_of(value, metadata) for value in asked.label] if asked.label else list(range(classes))
    if asked.interval is not None and asked.weak_model is None and scale == 1:
        raise InputError("--interval says when guidance holds: give --guidance, too")
    if known and asked.label is None and asked.guidance is not None:
        raise InputError("--guidance is by a class: give one --label, too")
    if not classes or (known and asked.label is None):
        return Request()
    if known and len(wanted) > 1:
        raise InputError("--observation and --brightness are for one picture or property: give one --label, or none")
    if known:
        return Request([label(wanted[0], scale, asked.interval or ALWAYS)], record={"guidance": scale})
    labels = torch.tensor([wanted[k % len(wanted)] for k in numbers])
    return Request([label(None, scale, asked.interval or ALWAYS)], {"label": labels}, {"guidance": scale})


def of_captions(
    requested: ImagesRequest, numbers: range, metadata: Mapping[str, Any], known: Sequence[Guide]
) -> Request:
    """The prompts in turn, spread over the data's captions if there are none, each in the styles in turn."""
    scale = GUIDANCE if requested.guidance is None else requested.guidance
    if known and (len(requested.prompt) > 1 or len(requested.label or ()) > 1):
        raise InputError(
            "--observation and --brightness are for one picture or property: give one --prompt and --label at most"
        )
    if not metadata["classes"] and requested.label is not None:
        raise InputError("--label is for models trained with classes or styles; this one has none")
    if known and requested.captions is not None:
        raise InputError("--captions takes all captions in turn; --observation and --brightness are for one --prompt")
    asked = requested.prompt or (("",) if known else _spread(_names(requested, metadata)))
    styles = [class_of(value, metadata) for value in requested.label or (0,)] if metadata["classes"] else [-1]
    each, way = [asked[k % len(asked)] for k in numbers], requested.way or WAY
    if requested.way is not None and not any(len(parsed(prompt)) > 1 for prompt in asked if prompt):
        raise InputError("--way counts the pictures on the way of a prompt with TO, as in 'a cat TO a dog'")
    rounds = [k // len(asked) for k in numbers]
    phrases = [said(one, k % way / (way - 1)) if one else [] for one, k in zip(each, rounds, strict=True)]
    labels = [styles[k % len(styles)] for k in rounds]
    phrases = [[_numbered(phrase, metadata) for phrase in one] for one in phrases]
    guide, condition = prompts(phrases, labels, scale, requested.negative, requested.interval or ALWAYS)
    said_of_each = {"prompts": each, "labels": labels}
    return Request([guide], condition, {"guidance": scale}, said_of_each, STOCHASTIC)


def _numbered(phrase: Phrase, metadata: Mapping[str, Any]) -> Phrase:
    """With the number of the class that it names; InputError if the model does not know it."""
    if phrase.label is None:
        return phrase
    try:
        return replace(phrase, label=class_of(phrase.label, metadata, "prompt: @"))
    except InputError as error:
        raise InputError(rf"{error}; \@ is the sign itself") from None


def _names(requested: ImagesRequest, metadata: Mapping[str, Any]) -> Sequence[str]:
    """The captions of the data that are asked for; InputError if none are held out, or the model does not know."""
    if requested.captions != "held-out":
        return metadata["captions"]
    if "held-out captions" not in metadata:
        raise InputError("--captions held-out: this model was trained before models kept the captions held out")
    if not metadata["held-out captions"]:
        raise InputError("--captions held-out: some training picture has each of the data's captions; none is held out")
    return metadata["held-out captions"]


def _spread(names: Sequence[str]) -> tuple[str, ...]:
    """All names, written as prompts, in an order of which every beginning is spread evenly over them."""
    stride = round(len(names) * 0.6180339887498949)
    while gcd(stride, len(names)) > 1:
        stride += 1
    return tuple(written(names[k * stride % len(names)]) for k in range(len(names)))
