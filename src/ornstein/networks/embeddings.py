"""How times, classes, numbers and captions enter a network."""

from dataclasses import dataclass
from math import log

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError


class TimeEmbedding(nn.Module):
    """t ∈ [0, 1] → sines and cosines at geometric frequencies → two dense layers (Vaswani et al. 2017)."""

    rates: Tensor

    def __init__(self, width: int, frequencies: int = 64, highest: float = 1000.0) -> None:
        super().__init__()
        rates = torch.exp(torch.linspace(0, log(highest), frequencies))
        self.register_buffer("rates", rates, persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * frequencies, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch width"]:
        angles = t[..., None] * self.rates
        return self.layers(torch.cat([angles.sin(), angles.cos()], -1))


class LabelEmbedding(nn.Module):
    """A vector a class; label −1 ("not said") has one of its own."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(classes + 1, width)

    def forward(self, label: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch width"]:
        if not self.training and not torch.compiler.is_compiling():
            self._require_known(label)
        return self.table(label + 1)

    def _require_known(self, label: Tensor) -> None:
        """InputError for a class that there is not."""
        classes = self.table.num_embeddings - 1
        wrong = label[(label < -1) | (label >= classes)]
        if len(wrong):
            raise InputError(f"class {int(wrong[0])} is not known: expected 0 to {classes - 1}, or -1 for not said")


class ScalarEmbedding(nn.Module):
    """Numbers → two dense layers; a NaN is "not said", which the layers are told beside."""

    def __init__(self, numbers: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * numbers, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, numbers: Float[Tensor, "batch numbers"]) -> Float[Tensor, "batch width"]:
        said = ~numbers.isnan()
        return self.layers(torch.cat([numbers.where(said, 0.0), said.to(numbers)], 1))


@dataclass(frozen=True)
class Caption:
    """What a network sees of captions: their words, which of them exist, and each caption as a whole."""

    words: Float[Tensor, "batch words width"]
    said: Bool[Tensor, "batch words"]
    whole: Float[Tensor, "batch embedding"]


class CaptionEmbedding(nn.Module):
    """The states of a text encoder, one a word, → words to attend to and their mean; rows of 0 are no words.

    A learned word stands before all others, so that there is one to attend to where nothing is said.
    """

    def __init__(self, states: int, width: int, embedding: int) -> None:
        super().__init__()
        self.words, self.first = nn.Linear(states, width), nn.Parameter(torch.zeros(width))
        self.whole = nn.Linear(states, embedding)

    def forward(self, states: Float[Tensor, "batch words states"]) -> Caption:
        states = states.to(self.first.dtype)
        said = (states != 0).any(-1)
        mean = states.sum(1) / said.sum(1, keepdim=True).clamp(min=1)
        first = self.first.expand(len(states), 1, -1)
        whole = self.whole(mean) * said.any(1, keepdim=True)
        return Caption(torch.cat([first, self.words(states)], 1), F.pad(said, (1, 0), value=True), whole)
