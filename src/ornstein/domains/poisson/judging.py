"""The scores of sources and solutions that come part by part."""

from collections.abc import Iterator
from math import prod

from ...tasks import judging
from ...tasks.figures import Metric
from ...tasks.samples import Samples
from .metrics import ByBounds, ByEquation, ByReadings, BySpectrum, ByTruth, ByWork
from .results.solutions import problem_in, solved_in
from .tallies import Tally

_AT_ONCE = 1 << 18
"""Numbers of samples that are solved for at once; in double precision that takes some hundred bytes each."""
_ASKED = ("source", "source_sensors", "coefficient_sensors", "solution_sensors", "bounds", "positive", "total")
"""What changes the law of the samples."""


class FieldJudge(judging.Judge):
    """What can be said of samples: by their truth, their equation, their readings, or the data.

    Holds a few fields, and of each sample 40 bytes where nothing was asked. With a truth the samples of what is known
    are laid aside, 4 bytes a number, beyond 64 MB of a field on the disk; so are values beyond bounds that were said.
    """

    def __init__(self, like: Samples) -> None:
        """Of no samples yet.

        Args:
            like: some of the samples.
        """
        assert like.origin is not None
        self._problem = problem_in(like)
        self._tallies: list[Tally] = (
            []
            if self._problem is None
            else [
                ByTruth(),
                ByReadings(),
                ByBounds(like.settings),
                ByEquation(),
                ByWork(like.settings),
            ]
        )
        asked = any(like.settings.get(name) for name in _ASKED)
        of_sources = like.origin.metadata.get("learns") == "sources"
        self._spectrum = BySpectrum(like.origin.metadata) if of_sources and not asked else None

    def add(self, samples: Samples) -> None:
        for some in _pieces(samples):
            found = None if self._problem is None else solved_in(some, self._problem)
            if found is not None:
                for tally in self._tallies:
                    tally.add(some, found)
            if self._spectrum is not None:
                self._spectrum.add(some)

    def metrics(self) -> list[Metric]:
        by_data = [] if self._spectrum is None else self._spectrum.metrics()
        return [metric for tally in self._tallies for metric in tally.metrics()] + by_data


def _pieces(samples: Samples) -> Iterator[Samples]:
    """The samples, few at a time."""
    step = max(1, _AT_ONCE // prod(samples.x.shape[1:]))
    yield from (samples[first : first + step] for first in range(0, len(samples), step))
