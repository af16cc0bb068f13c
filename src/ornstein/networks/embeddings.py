"""How numbers and classes enter a network."""

from math import log

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


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
        return self.table(label + 1)
