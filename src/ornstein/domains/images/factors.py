"""What can be known or wanted of a picture. Pictures are (channels, height, width), from −1 (black) to 1 (white)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...calibration import Target
from ...composition import Prompt
from ...denoisers import Denoiser, Guide
from ...errors import InputError
from ...factors import Factor
from ...measurements import Fixed, Measurement
from ...operators import Blur, Coarse, Subset
from ...spaces import Euclidean


def label(value: int | None = None, scale: float = 1.0) -> Prompt:
    """Pictures of one class (or, with None, of the class that each sample is given).

    scale: classifier-free guidance; 1 = the class as trained, 2 or 3 = clearer and less varied.
    """
    return Prompt({"label": value}, scale)


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
