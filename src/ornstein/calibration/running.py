"""Scores of ensembles whose cases come some at a time: each case is read once, and its members are not kept.

    running = RunningCases(weights)
    for truths, samples in cases_as_they_come:
        running.add(truths, samples)
    running.crps(), running.spread_skill(), running.ranks()

The scores are those of all cases together. Of a case a few numbers are kept, and the rank of the truth at every point:
one byte of up to 127 members, two of up to 32,767.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from .ensembles import Ensemble
from .estimates import Estimate
from .ranks import Ranks, ranked
from .scores import PointSums, Score, brier_of, brier_score, crps_of, crps_score, require_number
from .spectra import Spectra, Transform, powers, spectra_of
from .spread import SpreadSkill, spread_of, spread_sums
from .variograms import Pairs, variogram_of, variogram_sums


class RunningCases:
    """Scores of cases that come some at a time; fair ones, where there are several members."""

    def __init__(
        self,
        weights: Any = None,
        *,
        pairs: Pairs | None = None,
        transform: Transform | None = None,
        thresholds: Sequence[float] = (),
    ) -> None:
        """Of no cases yet.

        Args:
            weights: of the points, see `Ensemble.of`.
            pairs: of points, of a variogram score; None: there is none.
            transform: of spectra; None: there are none.
            thresholds: in the units of the field, whose exceedance has a Brier score.
        """
        self.pairs, self.transform = pairs, transform
        self._weights = weights
        self._thresholds = [require_number(one, "threshold") for one in dict.fromkeys(thresholds)]
        self._like: Ensemble | None = None
        self.cases = 0
        self._by_point: dict[str, np.ndarray] = {}
        self._found: dict[str, list[np.ndarray]] = {}

    @property
    def members(self) -> int:
        """Of each case."""
        return self._known.members

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the field."""
        return self._known.shape

    @property
    def _known(self) -> Ensemble:
        if self._like is None:
            raise InputError("no cases came, expected truths with their ensembles")
        return self._like

    def add(self, truths: Any, samples: Any) -> None:
        """Takes in further cases.

        Args:
            truths: (cases, *field); NaN is missing.
            samples: (cases, members, *field), in the units of the truths; as many members as those before.
        """
        ensemble = Ensemble.of(truths, samples, self._weights, 1)
        self._require_alike(ensemble)
        if np.isnan(np.asarray(ensemble.truths, np.float32)).all():
            ensemble = _Unknown(ensemble.truths, ensemble.samples, ensemble.weights)
        several = ensemble.members > 1
        self._score("crps", ensemble, crps_score(several))
        for threshold in self._thresholds:
            self._score(f"> {threshold}", ensemble, brier_score(threshold, several))
        if several:
            self._keep("spread", spread_sums(ensemble)[0].sum(2))
            self._keep("ranks", ranked(ensemble, first=self.cases))
        if self.pairs is not None:
            self._keep("variogram", variogram_sums(ensemble, self.pairs, fair=several))
        if self.transform is not None:
            self._keep("powers", powers(ensemble, self.transform))
        self.cases += ensemble.cases

    def _require_alike(self, ensemble: Ensemble) -> None:
        """InputError for another number of members, or another field; else notes what cases are."""
        like = self._like or ensemble
        if (ensemble.members, ensemble.shape) != (like.members, like.shape):
            found, expected = ((one.members, *one.shape) for one in (ensemble, like))
            raise InputError(
                f"cases from {self.cases} on: (members, *field) is {found}, and {expected} of those before"
            )
        self._like = Ensemble(np.zeros((0, *like.shape)), np.zeros((0, like.members, *like.shape)), like.weights)

    def _score(self, name: str, ensemble: Ensemble, score: Score) -> None:
        sums = PointSums.of(ensemble, score)
        self._by_point[name] = self._by_point.get(name, 0.0) + sums.points
        self._keep(name, sums.cases)

    def _keep(self, name: str, values: np.ndarray) -> None:
        self._found.setdefault(name, []).append(values)

    def _all(self, name: str, axis: int) -> np.ndarray:
        """What was kept, of all cases; it is joined only once."""
        parts = self._found[name] = [np.concatenate(self._found[name], axis)] if self._found.get(name) else []
        if not parts:
            raise InputError(f"{name}: nothing was measured of cases, expected two members or more")
        return parts[0]

    # The scores, by how many consecutive cases hang together -------------------------------------------

    def crps(self, block: int = 1) -> Estimate:
        """See `scores.crps`."""
        return crps_of(self._sums("crps"), block)

    def brier(self, block: int = 1) -> list[Estimate]:
        """See `scores.brier`: of every threshold, each once."""
        return [brier_of(self._sums(f"> {threshold}"), threshold, block) for threshold in self._thresholds]

    def _sums(self, name: str) -> PointSums:
        return PointSums(self._all(name, 1), self._by_point[name])

    def variogram_score(self, block: int = 1) -> Estimate:
        """See `variograms.variogram_score`."""
        return variogram_of(self._all("variogram", 1), block)

    def spread_skill(self, block: int = 1) -> SpreadSkill:
        """See `spread.spread_skill`; all points are in one bin."""
        sums = self._all("spread", 1)
        return spread_of(sums[:, :, None], np.ones(1, np.int64), block)

    def ranks(self) -> Ranks:
        """See `ranks.Ranks.of`."""
        return Ranks.known(self._all("ranks", 0), self._known)

    def spectra(self, block: int = 1) -> Spectra:
        """See `spectra.spectra`."""
        assert self.transform is not None
        return spectra_of(self._all("powers", 1), self.transform.wavenumbers(self.shape), block)


class _Unknown(Ensemble):
    """Cases of which no truth is known: there is nothing to read."""

    def groups(self) -> Any:
        return iter(())
