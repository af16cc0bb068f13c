"""A network that can be differentiated twice."""

import torch
from torch import Tensor, nn

from ornstein.denoisers.base import Condition


class Net(nn.Module):
    """Two hidden layers on points of any shape and times; smooth, so that it can be differentiated twice."""

    def __init__(self, size: int, width: int = 64, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            layers = [nn.Linear(size + 3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, size)]
            self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        level = torch.pi / 2 * t.to(x)[:, None]
        inputs = torch.cat([x.flatten(1), level.sin(), level.cos(), level], 1)
        return self.layers(inputs).reshape(x.shape)
