"""A residual multilayer perceptron for plain vectors, whose Fourier features let it see narrow modes."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, prod
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import require_in
from .embeddings import TimeEmbedding


@dataclass(frozen=True)
class MLPConfig:
    """Size of a multilayer perceptron.

    Attributes:
        width: of the hidden layers.
        layers: residual blocks.
        frequencies: sines and cosines a coordinate, beside the coordinate itself.
        highest: frequency, in radians over the inputs' standard deviation: the inverse of what must be told apart.
    """

    width: int = 256
    layers: int = 4
    frequencies: int = 8
    highest: float = 32.0

    def __post_init__(self) -> None:
        sizes = {"width": "[1, 65536]", "layers": "[1, 1024]", "frequencies": "[0, 65536]"}
        require_in(self, "network.mlp.", {**sizes, "highest": "[1, inf)"})


class FourierFeatures(nn.Module):
    """x → (x, sin ωx, cos ωx), with ω geometric from 1 to the highest."""

    rates: Tensor

    def __init__(self, frequencies: int, highest: float) -> None:
        super().__init__()
        rates = torch.exp(torch.linspace(0, log(highest), frequencies))
        self.register_buffer("rates", rates, persistent=False)

    def forward(self, x: Float[Tensor, "batch d"]) -> Float[Tensor, "batch features"]:
        angles = (x[..., None] * self.rates).flatten(1)
        return torch.cat([x, angles.sin(), angles.cos()], 1)


class MLPBlock(nn.Module):
    """x + out(silu(scale · into(silu(norm(x))) + shift)), scale and shift from the embedding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.into, self.out = nn.Linear(width, width), zeroed(nn.Linear(width, width))
        self.modulation = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding).chunk(2, -1)
        h = self.into(F.silu(self.norm(x)))
        return x + self.out(F.silu(h * (1 + scale) + shift))


Layer = TypeVar("Layer", nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def zeroed(layer: Layer) -> Layer:
    """A layer that starts at 0."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class MLP(nn.Module):
    """(batch, *shape) → the same shape, under times (batch,); conditions are not looked at.

    Args:
        config: its size.
        shape: of one event.
    """

    def __init__(self, config: MLPConfig, shape: tuple[int, ...]) -> None:
        super().__init__()
        size = prod(shape)
        self.shape = shape
        self.time = TimeEmbedding(config.width)
        self.features = FourierFeatures(config.frequencies, config.highest)
        self.first = nn.Linear(size * (1 + 2 * config.frequencies), config.width)
        self.blocks = nn.ModuleList(MLPBlock(config.width) for _ in range(config.layers))
        self.last = nn.Sequential(nn.LayerNorm(config.width), nn.SiLU(), zeroed(nn.Linear(config.width, size)))

    def forward(
        self, x: Float[Tensor, "batch ..."], t: Float[Tensor, " batch"], condition: Mapping[str, Tensor]
    ) -> Float[Tensor, "batch ..."]:
        embedding = F.silu(self.time(t))
        h = self.first(self.features(x.flatten(1)))
        for block in self.blocks:
            h = block(h, embedding)
        return self.last(h).reshape(-1, *self.shape)
