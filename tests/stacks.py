"""A domain of stacks of fields on any grid: each layer is measured by itself, and requested when its turn comes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import ornstein as on
from ornstein.config import TrainConfig
from ornstein.denoisers.base import Condition, NeuralDenoiser, Origin
from ornstein.files import Within
from ornstein.states import State
from ornstein.tasks.native.formats import NpzMembers
from ornstein.tasks.native.members import Layout, MemberStore, Variable
from ornstein.tasks.task import Request, Task

EACH = 3
"""Samples a layer."""


@dataclass(frozen=True)
class StacksConfig:
    """Of a model of layers.

    Attributes:
        anywhere: whether its network draws on every grid.
    """

    anywhere: bool = True
    train: TrainConfig = field(default_factory=TrainConfig)


@dataclass(frozen=True)
class StacksRequest:
    """What to draw.

    Attributes:
        layers: of the stack; 0 = nothing is measured.
        size: of each axis; 0 = as the model was trained.
        windows: whether it is drawn by windows.
    """

    layers: int = 0
    size: int = 0
    windows: bool = False


class Net(nn.Module):
    """A convolution, which knows no grid, or a matrix, which knows one."""

    def __init__(self, anywhere: bool) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1) if anywhere else nn.Linear(4, 4)

    def forward(self, x: Tensor, t: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
        return 0.1 * self.layer(x)


class StackStore(MemberStore):
    """Members one by one in the scratch folder, and all of them as one file in the end."""

    def __init__(self, folder: Path, numbers: range) -> None:
        self.folder, self.numbers = folder, numbers

    def files(self, x: Tensor) -> NpzMembers:
        assert self.scratch is not None
        return NpzMembers(self.scratch, Layout({"x": Variable(("c", "y", "x"), tuple(x.shape[1:]))}, self.numbers))

    def add(self, samples: on.Samples) -> list[Path]:
        files = self.files(samples.x)
        return [path for k, x in enumerate(samples.x) for path in files.write(samples.first + k, {"x": x})]

    def finish(self, samples: on.Samples) -> None:
        torch.save(self.read(self.numbers)[0], self.folder / "stack.pt")

    def read(self, numbers: range) -> tuple[State, Condition]:
        if self.scratch is None:
            return torch.load(self.folder / "stack.pt"), {}
        files = NpzMembers.open(self.scratch)
        return torch.stack([torch.from_numpy(files.read(number)["x"]) for number in numbers]), {}


class Stacks(Task):
    """Stacks of layers."""

    name = "stacks"
    summary = "stacks of layers"
    config = StacksConfig
    request_type = StacksRequest
    facts: ClassVar[Mapping[str, Any]] = {"shape": [Within(int, 1, 64)], "source": str}
    block = 2
    asked_of: ClassVar[list[range]] = []
    """The numbers of every request, for tests to look at."""

    def data(self, config: StacksConfig) -> Any:
        raise NotImplementedError

    def space(self, config: StacksConfig, metadata: Mapping[str, Any]) -> on.Euclidean:
        return on.Euclidean(tuple(metadata["shape"]))

    def network(self, config: StacksConfig, metadata: Mapping[str, Any]) -> nn.Module:
        return Net(config.anywhere)

    def unconditional(self, config: StacksConfig, metadata: Mapping[str, Any]) -> Mapping[str, Tensor]:
        return {}

    def count(self, asked: StacksRequest, metadata: Mapping[str, Any]) -> int | None:
        return asked.layers * EACH or None

    def portion(self, asked: StacksRequest, metadata: Mapping[str, Any]) -> int | None:
        return EACH if asked.layers else None

    def request(self, asked: StacksRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
        self.asked_of.append(numbers)
        shape = [1, asked.size, asked.size] if asked.size else metadata["shape"]
        grid = {"shape": shape} if asked.size else {}
        if not asked.layers:
            return Request(metadata=grid, windows={"borders": ("periodic",) * 2} if asked.windows else None)
        layers = [number // EACH for number in numbers]
        assert len(set(layers)) == 1  # a portion is of one layer
        corner = torch.zeros(shape, dtype=torch.bool)
        corner[0, 0, 0] = True
        guide = on.Measurement(torch.tensor([float(layers[0])]), on.operators.Mask(corner), 0.01)
        return Request([guide], each={"layer": layers}, notes=["of a stack"], metadata=grid)

    def store(self, folder: Path, origin: Origin, numbers: range) -> StackStore:
        return StackStore(folder, numbers)

    def evaluate(self, samples: on.Samples) -> list[Any]:
        return []

    def figures(self, samples: on.Samples) -> Sequence[Any]:
        return []


def model(anywhere: bool = True) -> NeuralDenoiser:
    """A model of layers of 4 × 4, of the domain that must be registered."""
    metadata = {"shape": [1, 4, 4], "source": "none"}
    origin = Origin("stacks", "small", {"anywhere": anywhere}, metadata, "0" * 64)
    return Stacks().denoiser(StacksConfig(anywhere), metadata, origin)
