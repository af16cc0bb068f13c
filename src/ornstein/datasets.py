"""Clean data for training: records by number, so that any order can be replayed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Int64
from torch import Tensor

from .denoisers import Condition
from .states import State, batch_size, take


@runtime_checkable
class Dataset(Protocol):
    """A finite set of records."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the model must know of the data, in JSON values: shape, spread, classes, alphabet. Saved with it."""
        ...

    def __len__(self) -> int: ...

    def batch(self, index: Int64[Tensor, " batch"]) -> tuple[State, Condition]:
        """The records with these numbers and their conditions."""
        ...


@dataclass(frozen=True)
class Arrays:
    """Records held in memory."""

    x: State
    condition: Condition = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return batch_size(self.x)

    def batch(self, index: Int64[Tensor, " batch"]) -> tuple[State, Condition]:
        return take(self.x, index), take(self.condition, index)
