"""What can be known or wanted of a picture. Pictures are (channels, height, width), from −1 (black) to 1 (white)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...denoisers.base import Condition, Denoiser, Guide
from ...denoisers.composition import WEIGHTS, Prompt, Prompts
from ...errors import InputError
from ...guidance.factors import Factor
from ...guidance.measurements import Fixed, Measurement
from ...guidance.operators import Blur, Coarse, Subset
from ...spaces import Euclidean
from ...tasks.calibration import Target
from .vision import captions
from .vision.prompts import Phrase, terms


def label(value: int | None = None, scale: float = 1.0, interval: tuple[float, float] = (0.0, 1.0)) -> Prompt:
    """Pictures of one class (or, with None, of the class that each sample is given).

    scale: classifier-free guidance, within the interval of times; 1 = the class as trained, 2 or 3 = clearer and less
    varied.
    """
    return Prompt({"label": value}, scale, interval)


def prompt(text: str, scale: float = 1.0, interval: tuple[float, float] = (0.0, 1.0)) -> Prompt:
    """Pictures of what the text says; scale: of classifier-free guidance, within the interval of times.

    `product(model & prompt("a cat"), model & prompt("sunglasses"), model)` is a picture of both.
    """
    return Prompt({"caption": captions.encoded([text])[0]}, scale, interval)


def prompts(
    asked: Sequence[Sequence[Phrase]],
    labels: Sequence[int],
    facts: Mapping[str, Any],
    scale: float = 1.0,
    negative: str = "",
    interval: tuple[float, float] = (0.0, 1.0),
) -> tuple[Prompts, Condition]:
    """The guide and the condition under which each sample is a picture of its own phrases in its own class or style.

    Args:
        asked, labels: of each sample; −1 = no class said.
        negative: what is said in the place of nothing, for guidance away from it.

    InputError if a phrase names a class that the model does not know.
    """
    most = 1 + max(map(len, asked))
    weights, texts, kinds = torch.zeros(len(asked), most), [], []
    for row, phrases, label in zip(weights, asked, labels, strict=True):
        row[: 1 + len(phrases)] = torch.tensor(terms(phrases, scale))
        unused = [""] * (most - 1 - len(phrases))
        texts.append([negative, *(phrase.text for phrase in phrases), *unused])
        own = [label if phrase.label is None else class_of(phrase.label, facts, "prompt: @") for phrase in phrases]
        kinds.append([label, *own, *(label for _ in unused)])
    known = sorted({text for row in texts for text in row})
    words = captions.encoded(known)[torch.tensor([[known.index(text) for text in row] for row in texts])]
    condition = {"caption": words, WEIGHTS: weights}
    if facts["classes"]:
        condition["label"] = torch.tensor(kinds)
    return Prompts(tuple(name for name in condition if name != WEIGHTS), most, interval), condition


def class_of(said: str | int, facts: Mapping[str, Any], where: str = "--label ") -> int:
    """The class of that name or number; InputError, which says where it was asked for, if the model knows none such."""
    names = facts.get("labels", [])
    if str(said) in names:
        return names.index(str(said))
    known = ", ".join(names) or f"the classes 0 to {facts['classes'] - 1}"
    if not str(said).isdecimal() or int(said) >= facts["classes"]:
        raise InputError(f"{where}{said}: this model knows {known if facts['classes'] else 'no classes'}")
    return int(said)


def inpainted(picture: Float[Tensor, "c h w"], seen: Bool[Tensor, "c h w"], noise: float = 0.05) -> Factor:
    """Some pixels were seen, with noise of that standard deviation; with 0 they hold exactly."""
    if noise == 0:
        return Fixed(picture, seen)
    return Measurement(picture[seen], Subset(seen), noise)


def blurred(picture: Float[Tensor, "c h w"], width: float, noise: float = 0.05) -> Measurement:
    """The picture was seen through a normal blur of that many pixels."""
    return Measurement(picture, Blur.gaussian(width), noise)


def coarse(picture: Float[Tensor, "c h2 w2"], size: int, noise: float = 0.05) -> Measurement:
    """Only the means of size × size pixels were seen: super-resolution."""
    return Measurement(picture, Coarse(size), noise)


@dataclass(frozen=True)
class Ink(Guide):
    """Pictures whose mean brightness, from 0 (black) to 1 (white), is `target` on average, and no more changed than so.

    The strength is calibrated on `n` pictures when the guide is put on a model.
    """

    target: float
    n: int = 1024

    def guide(self, denoiser: Denoiser) -> Denoiser:
        assert isinstance(denoiser.space, Euclidean)
        pixels = torch.tensor(denoiser.space.shape).prod().item()
        brightness = torch.full(denoiser.space.shape, 0.5 / pixels)
        try:
            return denoiser & Target(brightness, self.target - 0.5, self.n)
        except InputError:
            raise InputError(f"a mean brightness of {self.target:g} is beyond what this model draws") from None
