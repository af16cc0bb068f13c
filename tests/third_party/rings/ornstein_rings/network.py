"""The network: a multilayer perceptron on a point and its time."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network.

    Attributes:
        width: of the two hidden layers.
    """

    width: int = 64


class Points(nn.Module):
    """(batch, 2) → (batch, 2), under times (batch,)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.width
        self.layers = nn.Sequential(
            nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2)
        )

    def forward(self, x: Tensor, t: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
        return self.layers(torch.cat([x, t[:, None]], 1))
