"""Clean data for training: records by number, so that any order can be replayed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Int64
from torch import Tensor

from ..denoisers.base import Condition
from ..deprecation import members, renamed
from ..states import State, batch_size, take


@runtime_checkable
class Dataset(Protocol):
    """A finite set of records."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the model must know of the data, in JSON values: shape, spread, classes, alphabet. Saved with it."""
        ...

    @property
    def sizes(self) -> Int64[Tensor, " records"] | None:
        """How large each record is, where they differ and like should be learned with like; else None."""
        ...

    def __len__(self) -> int: ...

    def batch(self, index: Int64[Tensor, " batch"]) -> tuple[State, Condition]:
        """The records with these numbers and their conditions.

        The trainer calls it once a batch, never twice at a time, but from a thread of its own: it must be a function
        of the numbers alone. InputError, naming the record, if a record cannot be read.
        """
        ...


@renamed(facts="metadata")
@members(facts="metadata")
@dataclass(frozen=True)
class Arrays:
    """Records held in memory; their sizes are the positions that exist under the condition "mask".

    Attributes:
        x: clean states, (records, ...).
        condition: what each is given, (records, ...) by name.
        metadata: of the data, JSON values, saved with the weights.
    """

    x: State
    condition: Condition = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    sizes: Int64[Tensor, " records"] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        mask = self.condition.get("mask")
        object.__setattr__(self, "sizes", None if mask is None else mask.flatten(1).sum(1))

    def __len__(self) -> int:
        return batch_size(self.x)

    def batch(self, index: Int64[Tensor, " batch"]) -> tuple[State, Condition]:
        """The records of these numbers."""
        return take(self.x, index), take(self.condition, index)
