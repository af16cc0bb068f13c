"""Which pixels of a picture are to be drawn anew, painted over it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import InputError
from ...report import pictures
from ...tasks.figures import Figure
from ...tasks.hands import Backdrop, Hand, Painted, Said
from . import data
from .pixels import read_with_alpha

NOTE = "Paint over what is to be drawn anew; the rest is what was seen."


def look(given: Said, metadata: Mapping[str, Any]) -> Backdrop:
    """The picture that was seen, its transparent pixels white.

    Args:
        given: the request's fields so far, `observation` among them.
        metadata: of the model.
    """
    path, operator = given["observation"], given.get("operator")
    if operator == "rays" or path.suffix.lower() == ".npz":
        raise InputError(f"{path}: rays are no picture, over whose pixels a mask could be painted")
    pixels, opaque = read_with_alpha(path, metadata["shape"][0])
    if operator != "blocks":
        data.require_shape(data.from_bytes(pixels[None])[0], metadata["shape"], path)
    height, width = opaque.shape
    shown = np.where(opaque[..., None], pixels, np.uint8(255))
    picture = Figure(pictures.png(shown), "What was seen", width=width)
    return Backdrop((0.0, float(width), float(height), 0.0), picture, (width, height), note=NOTE)


BY_HAND: Mapping[str, Hand] = {"mask": Painted(over="observation", look=look)}
