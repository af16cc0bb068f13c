"""Pictures as bright as asked for, on average: p(x₀) exp(γ b(x₀)), b the mean brightness of a picture, E[b] = target.

The strength γ is calibrated on pictures of the model (tasks/strength.py). Far from the pictures that the model draws,
more than `REACH` standard deviations of their brightness, nothing that it has learned stands behind what a tilt makes
of it, and the target is refused.
"""

import time
from dataclasses import dataclass
from math import prod
from numbers import Real

import torch
from jaxtyping import Float
from torch import Tensor

from ...denoisers.base import Denoiser, Guide
from ...errors import InputError
from ...events import Stream, finished, part
from ...spaces import Euclidean
from ...tasks.strength import StrengthSearch, guidance_strength

REACH = 6.0
_USUAL = 5  # populations that a calibration takes, as a rule


@dataclass(frozen=True)
class Brightness(Guide):
    """Pictures whose mean brightness, from 0 (black) to 1 (white), is `target` on average, and no more changed than so.

    The strength is calibrated when the guide is put on a model. InputError if it draws no pictures as bright.

    Attributes:
        target: the mean brightness.
        n: pictures that it is calibrated on, at least 32; the target is met to about .5/√n of the pictures' spread.
        steps: of the sampler that draws them.
    """

    target: float
    n: int = 256
    steps: int = 10

    def __post_init__(self) -> None:
        if isinstance(self.target, bool) or not isinstance(self.target, Real) or not 0 < self.target < 1:
            raise InputError(f"Brightness: target is {self.target!r:.80}, expected a number between 0 and 1")

    def guide(self, denoiser: Denoiser) -> Denoiser:
        return finished(self.guiding(denoiser))

    def guiding(self, denoiser: Denoiser) -> Stream[Denoiser]:
        """First a glance at the pictures' own brightness, which says how long the rest takes; then the calibration."""
        if not isinstance(denoiser.space, Euclidean) or len(denoiser.space.shape) != 3:
            raise InputError(f"Brightness is of pictures, this model draws {type(denoiser.space).__name__}")
        above_grey = torch.full(denoiser.space.shape, 0.5 / prod(denoiser.space.shape))  # · x₀ = brightness − ½
        started = time.perf_counter()
        glance = StrengthSearch(denoiser, above_grey, self.n, self.steps).drawing(0.0, 0)
        values, _ = yield from part(glance, 0, 1, 1 + _USUAL, "looking how bright pictures are")
        self._require_within_reach(values + 0.5)
        seconds = (time.perf_counter() - started) * (1 + _USUAL)
        stage = f"calibrating brightness, about {max(1, round(seconds))} s in all"
        search = guidance_strength.events(denoiser, above_grey, self.target - 0.5, n=self.n, steps=self.steps)
        try:
            found = yield from part(search, 1, _USUAL, 1 + _USUAL, stage)
        except InputError as error:
            raise InputError(f"a mean brightness of {self.target:g} was not met; of brightness − ½: {error}") from None
        return denoiser & found.guide

    def _require_within_reach(self, brightness: Float[Tensor, " n"]) -> None:
        mean, spread = brightness.mean().item(), brightness.std().item()
        if not abs(self.target - mean) <= REACH * spread:
            low, high = max(0.0, mean - REACH * spread), min(1.0, mean + REACH * spread)
            raise InputError(
                f"a mean brightness of {self.target:g} is beyond what this model draws: its pictures are "
                f"{mean:.3g} ± {spread:.2g} bright, expected a target from {low:.3g} to {high:.3g}"
            )
