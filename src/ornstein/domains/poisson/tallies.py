"""What is kept of samples that come some at a time: moments, largest values, and values that are counted in the end."""

from abc import ABC, abstractmethod
from math import inf, isnan

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ...calibration.spool import Spool
from ...tasks.figures import Metric
from ...tasks.samples import Samples
from ...training.fields.moments import Moments
from .results.solutions import Solved

_AT_ONCE = 1 << 20  # numbers that are counted at once


class Tally(ABC):
    """Scores of one kind."""

    @abstractmethod
    def add(self, samples: Samples, found: Solved) -> None:
        """Takes in further samples.

        Args:
            samples: of a model of this domain.
            found: they, with their solutions.
        """

    @abstractmethod
    def metrics(self) -> list[Metric]:
        """The scores of all that came."""


class Running:
    """Mean and standard deviation of numbers that come some at a time, for each place of a field."""

    def __init__(self) -> None:
        """Of none yet."""
        self._found: Moments | None = None

    def add(self, values: Tensor, over: tuple[int, ...] = (0,)) -> None:
        """Takes in further ones.

        Args:
            values: any shape.
            over: the axes that are not kept.
        """
        more = Moments.of(values.double().numpy(), over)
        self._found = more if self._found is None else self._found.merged(more)

    @property
    def count(self) -> int:
        """Of the numbers at a place."""
        return 0 if self._found is None else int(self._found.count.max())

    @property
    def mean(self) -> np.ndarray:
        assert self._found is not None
        return np.asarray(self._found.mean)

    @property
    def std(self) -> np.ndarray:
        """n − 1 below."""
        assert self._found is not None
        return np.asarray(np.sqrt(self._found.square / np.maximum(self._found.count - 1, 1)))


class Largest(dict[str, float]):
    """The largest numbers of each name; NaN where one is NaN."""

    def add(self, **values: Tensor) -> None:
        for name, more in values.items():
            top, before = float(more.max()), self.get(name, -inf)
            self[name] = top if isnan(top) or top > before else before


class Values:
    """Numbers that are laid aside in single precision, to be counted once all are there."""

    def __init__(self) -> None:
        """Of none yet."""
        self._spool = Spool()

    def add(self, values: Float[np.ndarray, " n"]) -> None:
        """Takes in further ones."""
        self._spool.add(values)

    def above(self, threshold: float) -> int:
        """How many are above it."""
        firsts = range(0, len(self._spool), _AT_ONCE)
        return sum(int((self._spool.read(first, _AT_ONCE) > threshold).sum()) for first in firsts)
