"""What baselines are fitted to and asked about: forecasts beside what happened, some records at a time.

`files.Pairs` is read like this, and so are `Arrays` in memory. A grid of any dimension is flat here, n points; channels
are variables × steps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, Num

from .seasons import Seasons

BATCH = 1 << 22
"""Numbers of a batch of records, at most (32 MiB in float64), if one record is not larger."""
HELD = 1 << 26
"""Numbers of a forecast or of a truth that are held in memory at most (256 MiB)."""


@runtime_checkable
class Records(Protocol):
    """Forecasts with what happened, see `files.Pairs`."""

    @property
    def variables(self) -> Sequence[str]:
        """Names of what is forecast."""
        ...

    @property
    def predictors(self) -> Sequence[str]:
        """Names of what a forecast says, the variables first."""
        ...

    @property
    def times(self) -> np.ndarray:
        """Of the forecasts, dates or numbers."""
        ...

    @property
    def members(self) -> int:
        """Of the raw forecast, 1 if it is deterministic."""
        ...

    @property
    def steps(self) -> np.ndarray:
        """The leads."""
        ...

    @property
    def grid(self) -> Any:
        """Where values are."""
        ...

    def read(self, index: Any) -> Any:
        """Some records in memory, by their numbers."""
        ...

    def raw(self, index: Any) -> np.ndarray:
        """The raw members of some records, (n, M, V, S, *grid)."""
        ...


@dataclass(frozen=True)
class Points:
    """Where values are: "grid" or "stations"."""

    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Read:
    """Some records in memory, as `files.Pairs.read` gives them; NaN is missing.

    Attributes:
        mean: of the forecast's members, or the forecast.
        spread: their standard deviation; None of a deterministic forecast.
        truth: None where it is not known.
    """

    mean: Num[np.ndarray, "n P S *grid"]
    spread: Num[np.ndarray, "n P S *grid"] | None
    truth: Num[np.ndarray, "n V S *grid"] | None


@dataclass(frozen=True, eq=False)
class Arrays:
    """Records in memory.

    Attributes:
        mean: of the forecast's members, or the forecast: (n, P, S, *grid), the first V for the V variables.
        truth: (n, V, S, *grid); NaN is missing.
        raw_members: (n, M, V, S, *grid) of an ensemble; None: the forecast is deterministic.
        times: (n,) of the forecasts, dates or numbers; None: 0, 1, …
        kind: "grid", or "stations" of which each is a place of its own.
    """

    mean: Num[np.ndarray, "n P S *grid"]
    truth: Num[np.ndarray, "n V S *grid"]
    raw_members: Num[np.ndarray, "n M V S *grid"] | None = None
    dates: np.ndarray | None = None
    kind: str = "grid"

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of what is forecast."""
        return tuple(str(v) for v in range(self.truth.shape[1]))

    @property
    def predictors(self) -> tuple[str, ...]:
        """Names of what a forecast says, the variables first."""
        return tuple(str(p) for p in range(self.mean.shape[1]))

    @property
    def times(self) -> np.ndarray:
        """Of the forecasts, dates or numbers."""
        return np.arange(len(self.truth)) if self.dates is None else self.dates

    @property
    def members(self) -> int:
        """Of the raw forecast, 1 if it is deterministic."""
        return 1 if self.raw_members is None else self.raw_members.shape[1]

    @property
    def steps(self) -> np.ndarray:
        """The leads."""
        return np.arange(self.truth.shape[2])

    @property
    def grid(self) -> Points:
        """Where values are."""
        return Points(self.kind, self.truth.shape[3:])

    def read(self, index: Any) -> Read:
        """Some records in memory, by their numbers."""
        return Read(self.mean[index], None, self.truth[index])

    def raw(self, index: Any) -> np.ndarray:
        """The raw members of some records, (n, M, V, S, *grid)."""
        if self.raw_members is None:
            return self.mean[index, None, : self.truth.shape[1]]
        return self.raw_members[index]

    def part(self, index: slice) -> "Arrays":
        """Some of the records."""
        raw = None if self.raw_members is None else self.raw_members[index]
        return replace(self, mean=self.mean[index], truth=self.truth[index], raw_members=raw, dates=self.times[index])


@dataclass(frozen=True, eq=False)
class Given:
    """What is known of some records, points flat.

    Attributes:
        predictors: of the forecast, of which the first V are the variables' own.
        members: of the forecast; one of a deterministic one.
        truth: None where it is not known.
        seasons: of the times.
        shape: of the grid.
    """

    predictors: Float[np.ndarray, "n P S points"]
    members: Float[np.ndarray, "n M V S points"]
    truth: Float[np.ndarray, "n V S points"] | None
    seasons: Seasons
    shape: tuple[int, ...]

    @classmethod
    def of(cls, records: Records, index: slice | np.ndarray) -> "Given":
        """Read from records; `index` picks some of them, in order."""
        read, shape = records.read(index), tuple(records.grid.shape)
        mean = _flat(read.mean, shape)
        truth = None if read.truth is None else _flat(read.truth, shape)
        members = _flat(records.raw(index), shape)
        return cls(mean, members, truth, Seasons.of(records.times[index]), shape)

    def __len__(self) -> int:
        return len(self.predictors)

    def taken(self, which: Int[np.ndarray, " some"]) -> "Given":
        """Some of the records, which may repeat."""
        truth = None if self.truth is None else self.truth[which]
        days = None if self.seasons.days is None else self.seasons.days[which]
        seasons = Seasons(days, len(which))
        return Given(self.predictors[which], self.members[which], truth, seasons, self.shape)

    @property
    def happened(self) -> Float[np.ndarray, "n V S points"]:
        """The truth, which is there."""
        assert self.truth is not None
        return self.truth


def _flat(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    found = np.asarray(values, np.float64)
    return found.reshape(*found.shape[: found.ndim - len(shape)], prod(shape))


def size(records: Records) -> int:
    """Numbers of one record, over members and predictors."""
    width = max(len(records.predictors), len(records.variables) * records.members)
    return width * len(records.steps) * prod(records.grid.shape)


def batches(records: Records, budget: int = BATCH) -> Iterator[slice]:
    """Consecutive records, as many at once as the budget of numbers allows."""
    count, step = len(records.times), max(1, budget // size(records))
    yield from (slice(first, min(first + step, count)) for first in range(0, count, step))


def held(records: Records) -> Records:
    """The same records in memory, if they are not too many."""
    if len(records.times) * size(records) > HELD:
        return records
    every = slice(0, len(records.times))
    read = records.read(every)
    raw = np.asarray(records.raw(every)) if records.members > 1 else None
    return Arrays(np.asarray(read.mean), np.asarray(read.truth), raw, records.times, records.grid.kind)
