"""Scores of samples that come part by part, so that a library of any size is judged in bounded memory."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .figures import Metric
from .memory import give_back

if TYPE_CHECKING:
    from .samples import Samples

Said = Callable[[], Iterator[Mapping[str, Sequence[Any]]]]
"""What is said of each of all samples, as `Samples.each` has it, part by part."""


class Judge(ABC):
    """What a field makes of samples, part by part: counts, sums and histograms, and a few numbers a sample at most.

    judge = task.judge(first)
    judge.begin(n)
    judge.told(said)
    for part in parts: judge.add(part)
    judge.metrics()                     the same as of all samples together, to round-off

    scored(judge, n, said, parts)       all of this
    """

    def begin(self, n: int) -> None:  # noqa: B027, most need not know
        """Says how many samples will come, before the first, such as to choose a few of them evenly.

        Args:
            n: of all parts together.
        """

    def told(self, said: Said) -> None:  # noqa: B027
        """Offers what is said of all samples, before the first, such as where all that was asked for competes.

        Args:
            said: gives it; at a URL that reads all samples, so that it is called only where it is needed.
        """

    @abstractmethod
    def add(self, samples: "Samples") -> None:
        """Takes in samples, whose numbers follow those before; they need not be kept afterwards."""

    @abstractmethod
    def metrics(self) -> list[Metric]:
        """The scores of all that came."""


def scored(judge: Judge, n: int, said: Said, parts: Iterable["Samples"]) -> list[Metric]:
    """The scores of samples that come part by part.

    Args:
        judge: of no samples yet.
        n: of all parts together.
        said: of each of them; see `Judge.told`.
        parts: in the order of their numbers.
    """
    judge.begin(n)
    judge.told(said)
    for part in parts:
        judge.add(part)
        del part  # none is kept while the next one is read
        give_back()
    return judge.metrics()
