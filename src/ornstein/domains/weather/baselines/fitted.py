"""All baselines, fitted to a training and asked about other records."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from ....config import nearest
from ....errors import InputError
from ....keys import Keys
from .copula import FEWEST, Coupled, Schaake
from .dressing import Dressed
from .emos import Emos
from .past import Climatology, Past
from .quantile_mapping import QuantileMapping
from .records import BATCH, Given, Records, held, size


@runtime_checkable
class Baseline(Protocol):
    """A way to make members of a forecast."""

    def __call__(self, given: Given, count: int, keys: Keys) -> Float[np.ndarray, "n M V S points"]:
        """At most `count` members of each record, by one key each."""
        ...


@dataclass(frozen=True)
class Raw:
    """The forecast's own members."""

    def __call__(self, given: Given, count: int, keys: Keys) -> Float[np.ndarray, "n M V S points"]:
        """At most `count`: as many as there are."""
        return given.members[:, :count]


NAMES = ("raw", "climatology", "EMOS", "quantile mapping", "ECC", "Schaake", "dressing")
"""Of the baselines, in the order of tables."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Members of a baseline, made where they are read: sliced along records like an array (n, M, V, S, *grid).

    Attributes:
        baseline: which was fitted.
        records: the forecasts.
        members: how many a forecast.
        seed: of the members.
        shape: (n, M, V, S, *grid).
    """

    baseline: Baseline
    records: Records
    members: int
    seed: int
    shape: tuple[int, ...]

    def __getitem__(self, index: slice) -> np.ndarray:
        start, stop, _ = index.indices(self.shape[0])
        step = max(1, BATCH // (size(self.records) * max(1, self.members // self.records.members)))
        parts = [self._made(first, min(first + step, stop)) for first in range(start, stop, step)]
        return np.concatenate(parts) if parts else np.zeros((0, *self.shape[1:]))

    def _made(self, first: int, last: int) -> np.ndarray:
        given = Given.of(self.records, slice(first, last))
        found = self.baseline(given, self.members, Keys.of(self.seed, range(first, last)))
        return found.reshape(*found.shape[:4], *self.shape[4:])

    def __len__(self) -> int:
        return self.shape[0]


@dataclass(frozen=True, eq=False)
class Baselines(Mapping[str, Baseline]):
    """Fitted baselines by name; called with records they are `Drawn`, by name.

    Attributes:
        each: by name.
    """

    each: Mapping[str, Baseline]

    def __call__(self, records: Records, members: int = 50, seed: int = 0) -> dict[str, Drawn]:
        """Members of all baselines, made where they are read.

        Args:
            records: asked about, such as those of a test.
            members: of each record; raw and mapped members are at most as many as the forecast has.
            seed: of what is drawn.
        """
        return {name: _drawn(one, records, members, seed) for name, one in self.each.items()}

    def __getitem__(self, name: str) -> Baseline:
        return self.each[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.each)

    def __len__(self) -> int:
        return len(self.each)


def _drawn(baseline: Baseline, records: Records, members: int, seed: int) -> Drawn:
    count = min(members, records.members) if isinstance(baseline, Raw | QuantileMapping) else members
    channels = len(records.variables), len(records.steps)
    return Drawn(baseline, records, count, seed, (len(records.times), count, *channels, *records.grid.shape))


def fit(train: Records, names: Sequence[str] = NAMES, progress: Callable[[str], None] = lambda name: None) -> Baselines:
    """Baselines of a training.

    Args:
        train: forecasts with their truths; records are read some at a time.
        names: of `NAMES`; ECC is left out where the forecast has fewer than five members.
        progress: told the name of each that is fitted.

    InputError for a name that is none, and where no truth is known.
    """
    for name in names:
        if name not in NAMES:
            raise InputError(f"baselines: {name!r} is none{nearest(name, list(NAMES))}; there are {', '.join(NAMES)}")
    if train.read(slice(0, 1)).truth is None:
        raise InputError("baselines: no truth is known, expected forecasts with what happened")
    records = held(train)
    past, emos = Past.of(records), None
    found: dict[str, Baseline] = {}
    for name in names:
        if name == "ECC" and train.members < FEWEST:
            continue
        progress(name)
        if name in ("EMOS", "ECC", "Schaake", "dressing") and emos is None:
            emos = Emos.fit(records)
        found[name] = _one(name, records, past, emos)
    return Baselines(found)


def _one(name: str, records: Records, past: Past, emos: Emos | None) -> Baseline:
    if name == "raw":
        return Raw()
    if name == "climatology":
        return Climatology(past)
    if name == "quantile mapping":
        return QuantileMapping.fit(records)
    assert emos is not None
    return {"EMOS": emos, "ECC": Coupled(emos), "Schaake": Schaake(emos, past), "dressing": Dressed(emos, past)}[name]
