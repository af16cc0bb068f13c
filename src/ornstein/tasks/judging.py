"""Scores of samples that come part by part, so that a library of any size is judged in bounded memory."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from .figures import Metric

if TYPE_CHECKING:
    from .samples import Samples


class Judge(ABC):
    """What a field makes of samples, part by part: counts, sums and histograms, and a few numbers a sample at most.

    judge = task.judge(first)
    judge.begin(n)
    for part in parts: judge.add(part)
    judge.metrics()                     the same as of all samples together, to round-off
    """

    def begin(self, n: int) -> None:  # noqa: B027, most need not know
        """Says how many samples will come, before the first, such as to choose a few of them evenly.

        Args:
            n: of all parts together.
        """

    @abstractmethod
    def add(self, samples: "Samples") -> None:
        """Takes in samples, whose numbers follow those before; they need not be kept afterwards."""

    @abstractmethod
    def metrics(self) -> list[Metric]:
        """The scores of all that came."""
