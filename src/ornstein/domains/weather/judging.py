"""The scores of ensembles of weather whose samples come part by part: no more than one time's members are held."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ...tasks import judging
from ...tasks.figures import Metric
from ...tasks.memory import require_held
from ...tasks.samples import Samples
from .metrics import Layout, Scoring, metrics
from .results.drawn import Drawn, together
from .results.frame import Frame
from .results.store import BESIDE

_BESIDE = 3
"""States that are in memory for each one that is held, while a time is put together and scored."""


class EnsembleJudge(judging.Judge):
    """What can be said of ensembles, one time after the other.

    Holds the members of one time, 4 bytes a number, and three times that while they are scored; of each time that was
    scored the ranks of the truth, 2 bytes a number of one field while they are put together.
    """

    def __init__(self, like: Samples) -> None:
        """Of no samples yet.

        Args:
            like: some of the samples.

        InputError if memory does not hold the members of one time.
        """
        assert like.origin is not None
        self._frame = Frame.of(like.origin.metadata, like.settings)
        self._fresh = not like.created
        self._each = self._frame.members * self._frame.per_time
        self._members: int | None = None
        self._time = _Time(self._frame)
        self._beside = Beside()

    def begin(self, n: int) -> None:
        where = f"the members of one time, {self._frame.members} of {self._frame.size:,} numbers"
        require_held(min(n, self._each), 4 * self._frame.size * _BESIDE // 2, where)

    def add(self, samples: Samples) -> None:
        first, last = samples.first, samples.first + len(samples)
        while first < last:
            until = min(last, (first // self._each + 1) * self._each)
            if self._time.of is not None and self._time.of != first // self._each:
                self._score()
            self._time.add(first // self._each, samples[first - samples.first : until - samples.first])
            first = until

    def _score(self) -> None:
        """Scores the time that is held, and lets go of it."""
        drawn = self._time.drawn(self._fresh)
        self._time = _Time(self._frame)
        found, self._members = drawn.members.shape[1], self._members or drawn.members.shape[1]
        if found != self._members:
            raise InputError(f"cases: a time has {found} members and others have {self._members}")
        self._beside.add(drawn)

    def metrics(self) -> list[Metric]:
        if self._time.of is not None:
            self._score()
        return self._beside.metrics()


class _Time:
    """The samples of one time as they come, and what is known of its cases."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self.of: int | None = None
        self._x: list[Tensor] = []
        self._cases: list[int] = []
        self._known: dict[str, dict[int, Tensor]] = {}

    def add(self, time: int, samples: Samples) -> None:
        self.of = time
        self._x.append(samples.x.detach().cpu().float())
        for k in range(len(samples)):
            case = (samples.first + k) // self._frame.members
            if case not in self._cases[-1:]:
                for name in BESIDE:
                    if name in samples.condition:
                        value = samples.condition[name][k].detach().cpu().clone()
                        self._known.setdefault(name, {}).setdefault(case, value)
            self._cases.append(case)

    def drawn(self, fresh: bool) -> Drawn:
        x = torch.cat(self._x)
        self._x.clear()
        known = {name: torch.stack([*values.values()]) for name, values in self._known.items()}
        return together(self._frame, x, self._cases, known, fresh)


class Beside:
    """Scores of ensembles beside those of the forecast that was given; of an unknown truth how far they spread."""

    def __init__(self) -> None:
        """Of no times yet."""
        self._scorings: tuple[Scoring, Scoring] | None = None
        self._layout: Layout | None = None
        self._truth, self._forecast = False, False
        self._variances: dict[tuple[str, str], np.ndarray] = {}

    def add(self, drawn: Drawn) -> None:
        """Takes in further times.

        Args:
            drawn: their ensembles, as many members each as those before.
        """
        if self._layout is None or self._scorings is None:
            self._layout = Layout.of(drawn)
            self._scorings = Scoring(self._layout), Scoring(self._layout)
        nothing = np.full((len(drawn.members), *drawn.members.shape[2:]), np.float32("nan"))
        truths, forecast = (nothing if one is None else one for one in (drawn.truths, drawn.forecast))
        self._truth, self._forecast = self._truth or drawn.truths is not None, self._forecast or forecast is not nothing
        ours, raw = self._scorings
        ours.add(truths, drawn.members)
        raw.add(truths, forecast[:, None])
        for place, name in self._layout.cells() if not self._truth else ():
            self._variances[name] = self._variances.get(name, 0.0) + _variance(drawn.members[:, :, *place])

    def metrics(self) -> list[Metric]:
        """Of all times that came."""
        if self._scorings is None:
            raise InputError("no samples came, expected ensembles")
        if not self._truth:
            return [_spread(name, sums) for name, sums in self._variances.items()]
        ours, raw = self._scorings
        block = ours.block
        return metrics(ours.scores(block), {"raw forecast": raw.scores(block)} if self._forecast else {})


def _variance(members: Float[np.ndarray, "n M *grid"]) -> Float[np.ndarray, "2"]:
    """The sum of the members' variances, and how many points have one."""
    variance = members.var(1, ddof=min(1, members.shape[1] - 1))
    return np.array([np.nansum(variance, dtype=np.float64), np.isfinite(variance).sum()])


def _spread(name: tuple[str, str], sums: Float[np.ndarray, "2"]) -> Metric:
    meaning = "root mean variance of the members: what is not known, in the units of the variable"
    return Metric(f"{name[0]}, {name[1]}: spread", float(np.sqrt(sums[0] / sums[1])), "closer", meaning)


def beside_the_forecast(drawn: Drawn) -> list[Metric]:
    """All scores of ensembles, beside those of the forecast that was given; of an unknown truth how far they spread.

    Args:
        drawn: of some times.
    """
    found = Beside()
    found.add(drawn)
    return found.metrics()
