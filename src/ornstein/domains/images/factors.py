"""What can be known or wanted of a picture. Pictures are (channels, height, width), from −1 (black) to 1 (white)."""

from collections.abc import Mapping, Sequence
from math import isfinite
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...denoisers.base import Condition, NeuralDenoiser
from ...denoisers.composition import WEIGHTS, ClassifierFreeGuidance, ComposedPrompts
from ...errors import InputError
from ...guidance.binding import ForModel
from ...guidance.factors import Factor
from ...guidance.measurements import Fixed, Measurement
from ...guidance.operators import Blur, Downsample, Mask, Radon
from ...spaces import Euclidean, Space
from ...tasks.runs import load
from .brightness import Brightness
from .vision import captions
from .vision.prompts import Phrase, terms

__all__ = [
    "Brightness",
    "blurred",
    "class_of",
    "coarse",
    "inpainted",
    "label",
    "projected",
    "prompt",
    "prompts",
    "weaker",
]

_MOST = 10.0  # what noise may make of a picture that goes from −1 to 1; one from 0 to 255 is none


def label(
    value: int | str | None = None,
    scale: float = 1.0,
    interval: tuple[float, float] = (0.0, 1.0),
    classes: int | Sequence[str] | None = None,
) -> ForModel:
    """Pictures of one class, by its number or name (or, with None, of the class that each sample is given).

    Args:
        scale: classifier-free guidance, within the interval of times; 1 = the class as trained, 2 or 3 = clearer and
            less varied.
        classes: their names or number, for a denoiser of your own.
        value: the class by number; None = each sample's own.

    InputError if the model does not know the class, or has none.
    """

    def make(metadata: Mapping[str, Any], space: Space) -> ClassifierFreeGuidance:
        return ClassifierFreeGuidance(
            {"label": None if value is None else class_of(value, metadata, "label ")}, scale, interval
        )

    _require_guidance("label", scale, interval)
    names = [] if classes is None or isinstance(classes, int) else list(classes)
    given = {} if classes is None else {"classes": len(names) or classes} | ({"labels": names} if names else {})
    return ForModel("label", make, ("classes",), given)


def prompt(text: str, scale: float = 1.0, interval: tuple[float, float] = (0.0, 1.0)) -> ForModel:
    """Pictures of what the text says, as it is; scale: of classifier-free guidance, within the interval of times.

    `product(model & prompt("a cat"), model & prompt("sunglasses"), model)` is a picture of both. InputError if the
    model was trained without captions.
    """
    if not isinstance(text, str):
        raise InputError(f"prompt: is {text!r:.80}, expected text")
    _require_guidance("prompt", scale, interval)
    said = ClassifierFreeGuidance({"caption": captions.encoded([text])[0]}, scale, interval)
    return ForModel("prompt", lambda metadata, space: said, ("caption",))


def prompts(
    asked: Sequence[Sequence[Phrase]],
    labels: Sequence[int],
    scale: float = 1.0,
    negative: str = "",
    interval: tuple[float, float] = (0.0, 1.0),
) -> tuple[ComposedPrompts, Condition]:
    """The guide and the condition under which each sample is a picture of its own phrases in its own class or style.

    Args:
        asked, labels: of each sample; −1 = no class said. Classes of phrases are numbers, too.
        negative: what is said in the place of nothing, for guidance away from it.
        scale: of classifier-free guidance, 1 = none.
        interval: the times (from, to) within which guidance holds.
    """
    most = 1 + max(map(len, asked))
    weights, texts, kinds = torch.zeros(len(asked), most), [], []
    for row, phrases, label in zip(weights, asked, labels, strict=True):
        row[: 1 + len(phrases)] = torch.tensor(terms(phrases, scale))
        unused = [""] * (most - 1 - len(phrases))
        texts.append([negative, *(phrase.text for phrase in phrases), *unused])
        own = [label if phrase.label is None else int(phrase.label) for phrase in phrases]
        kinds.append([label, *own, *(label for _ in unused)])
    known = sorted({text for row in texts for text in row})
    words = captions.encoded(known)[torch.tensor([[known.index(text) for text in row] for row in texts])]
    condition = {"caption": words, WEIGHTS: weights}
    if any(label >= 0 for row in kinds for label in row):
        condition["label"] = torch.tensor(kinds)
    return ComposedPrompts(tuple(name for name in condition if name != WEIGHTS), most, interval), condition


def _require_guidance(name: str, scale: float, interval: tuple[float, float]) -> None:
    if not (isinstance(scale, Real) and isfinite(scale) and scale >= 0):
        raise InputError(f"{name}: scale is {scale!r:.80}, expected a number of 0 or more; 1 = no guidance")
    start, end = interval
    if not 0 <= start < end <= 1:
        raise InputError(f"{name}: interval is {interval}, expected two times in [0, 1] of which the first is smaller")


def class_of(said: str | int, metadata: Mapping[str, Any], where: str = "--label ") -> int:
    """The class of that name or number; InputError, which says where it was asked for, if the model knows none such.

    Args:
        said: as the user wrote it.
        metadata: of the data that the model was trained on, in JSON values.
    """
    names = metadata.get("labels", [])
    for written in (str, lambda name: str(name).casefold()):  # as it is, or else whatever the case
        if written(said) in map(written, names):
            return [written(name) for name in names].index(written(said))
    known = ", ".join(names) or f"the classes 0 to {metadata['classes'] - 1}"
    if not str(said).isdecimal() or int(said) >= metadata["classes"]:
        raise InputError(f"{where}{said}: this model knows {known if metadata['classes'] else 'no classes'}")
    return int(said)


def weaker(path: Path, metadata: Mapping[str, Any]) -> NeuralDenoiser:
    """The weaker model; InputError if it draws other things than the model, or is told of them otherwise."""
    model = load(path)
    if model.origin is None or model.origin.domain != "images":
        raise InputError(
            f"--weak-model {path}: draws {type(model.space).__name__} states, expected a model of pictures"
        )
    facts = model.origin.metadata
    for name in ("shape", "classes", "caption"):
        found, expected = facts.get(name, 0), metadata.get(name, 0)
        if found != expected:
            raise InputError(
                f"--weak-model {path}: {name} is {found}, expected {expected} as of the model that is guided"
            )
    return model


# Pictures that were measured --------------------------------------------------------------------------


def inpainted(picture: Any, seen: Any, noise: float = 0.05) -> ForModel:
    """Some pixels were seen, with noise of that standard deviation; with 0 they hold exactly.

    Args:
        picture: (c, h, w), or (h, w) of one channel; tensor or NumPy.
        seen: (c, h, w), or (h, w) or (1, h, w) for all channels; true or 1 where a pixel was seen, else false or 0.

    InputError if they do not fit each other, or the model's pictures.
    """
    picture = _picture("inpainted", picture)
    seen = _mask("inpainted", seen, picture)
    if not picture[seen].isfinite().all():
        raise InputError("inpainted: has pixels that were seen and are no finite numbers")
    return _of_shape("inpainted", picture, _seen(picture.nan_to_num(), seen, noise))


def blurred(picture: Any, width: float, noise: float = 0.05) -> ForModel:
    """The picture was seen through a normal blur of that many pixels; errors as of `inpainted`.

    Args:
        width: of the blur, pixels.
        noise: standard deviation of the measurement's noise; the data range from −1 to 1.
    """
    picture = _whole("blurred", picture)
    most = max(picture.shape[1:])
    if isinstance(width, bool) or not isinstance(width, Real) or not 0 < width <= most:
        raise InputError(f"blurred: the width is {width!r:.80}, expected a number of pixels up to the picture's {most}")
    return _of_shape("blurred", picture, Measurement(picture, Blur.gaussian(width), noise))


def coarse(picture: Any, size: int, noise: float = 0.05) -> ForModel:
    """Only the means of size × size pixels were seen: super-resolution. Errors as of `inpainted`.

    Args:
        picture: (channels, height, width), from −1 (black) to 1 (white).
        noise: standard deviation of the measurement's noise; the data range from −1 to 1.
    """
    picture = _whole("coarse", picture)
    if isinstance(size, bool):
        raise InputError(f"coarse: size is {size}, expected a number of pixels")
    return _of_shape("coarse", picture, Measurement(picture, Downsample(size), noise), size)


def projected(sinogram: Any, angles: Any, noise: float = 0.5) -> ForModel:
    """Only integrals along parallel rays were measured: tomography, of square pictures. See `operators.Radon`.

    Args:
        sinogram: (angles, detectors), or (c, angles, detectors): line integrals of the picture, which goes from −1
            (black) to 1 (white), in pixels; detectors one pixel apart about the middle.
        angles: in degrees; at 0 rays run along the columns of the picture, at 90 along its rows.
        noise: standard deviation of the measurement's noise, in the units of the sinogram.

    InputError if they do not fit each other, or the model's pictures.
    """
    lines = _tensor("projected", "sinogram", sinogram)
    lines = lines[None] if lines.ndim == 2 else lines
    count = len(_tensor("projected", "angles", angles).reshape(-1))
    if lines.ndim != 3 or not lines.is_floating_point() or lines.shape[1] != count or not lines.isfinite().all():
        found = f"{tuple(lines.shape)} of {lines.dtype} at {count} angles"
        raise InputError(f"projected: the sinogram is {found}, expected (channels, angles, detectors) of finite floats")

    def make(metadata: Mapping[str, Any], space: Any) -> Factor:
        shape = getattr(space, "shape", ())
        if len(shape) != 3 or shape[0] != len(lines) or shape[1] != shape[2]:
            expected = f"square pictures of {len(lines)} channel{'s' if len(lines) > 1 else ''}"
            raise InputError(f"projected: is about {expected}, this model draws {_shape(space)}")
        return Measurement(lines, Radon(angles, shape[2], lines.shape[2]), noise)

    return ForModel("projected", make)


def _seen(picture: Float[Tensor, "c h w"], seen: Bool[Tensor, "c h w"], noise: float) -> Factor:
    return Fixed(picture, seen) if noise == 0 else Measurement(picture[seen], Mask(seen), noise)


def _of_shape(name: str, picture: Float[Tensor, "c h w"], factor: Factor, size: int = 1) -> ForModel:
    """The factor, for models of pictures that are `size` times as wide and high."""
    channels, height, width = picture.shape
    expected = (channels, height * size, width * size)

    def make(metadata: Mapping[str, Any], space: Any) -> Factor:
        if not isinstance(space, Euclidean) or len(space.shape) != 3:
            raise InputError(f"{name}: is about pictures, this model draws {type(space).__name__} {_shape(space)}")
        if space.shape != expected:
            raise InputError(f"{name}: is about pictures of shape {expected}, this model draws {_shape(space)}")
        return factor

    return ForModel(name, make)


def _shape(space: Any) -> str:
    return str(getattr(space, "shape", "")) or ", ".join(getattr(space, "parts", ()))


def _picture(name: str, picture: Any) -> Float[Tensor, "c h w"]:
    """A picture with its axis of channels; InputError if it is none."""
    found = _tensor(name, "picture", picture)
    if found.ndim not in (2, 3) or not found.is_floating_point():
        kind = f"{tuple(found.shape)} of {found.dtype}"
        raise InputError(f"{name}: the picture is {kind}, expected (channels, height, width) of floats from −1 to 1")
    if found.isfinite().any() and found[found.isfinite()].abs().max() > _MOST:
        values = f"{found.nan_to_num().min():g} to {found.nan_to_num().max():g}"
        raise InputError(f"{name}: the picture has values of {values}, expected −1 (black) to 1 (white)")
    return found if found.ndim == 3 else found[None]


def _tensor(name: str, what: str, value: Any) -> Tensor:
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        found = f"a {type(value).__name__} ({error})"
        raise InputError(f"{name}: the {what} is {found}, expected numbers: a tensor, an array or a list") from None


def _whole(name: str, picture: Any) -> Float[Tensor, "c h w"]:
    """The same, all pixels of which are known."""
    found = _picture(name, picture)
    if not found.isfinite().all():
        raise InputError(f"{name}: the picture has pixels that are no finite numbers")
    return found


def _mask(name: str, seen: Any, picture: Float[Tensor, "c h w"]) -> Bool[Tensor, "c h w"]:
    """Which values of a picture were seen; InputError if the mask is of another size, or holds more than 0 and 1."""
    mask = _tensor(name, "mask", seen)
    if mask.shape not in (picture.shape[1:], picture.shape, (1, *picture.shape[1:])):
        raise InputError(
            f"{name}: the mask is {tuple(mask.shape)}, expected {tuple(picture.shape[1:])} or "
            f"{tuple(picture.shape)} like the picture"
        )
    if not ((mask == 0) | (mask == 1)).all():
        raise InputError(f"{name}: the mask holds more than 0 (not seen) and 1 (seen)")
    if not mask.any():
        raise InputError(f"{name}: the mask has no pixel that was seen")
    return mask.bool().expand(picture.shape).clone()
