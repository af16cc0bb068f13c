"""The scores of reconstructions that come part by part: no more than one slice's samples are held."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from ...calibration.estimates import Estimate, ratio
from ...errors import InputError
from ...tasks import judging
from ...tasks.figures import Metric
from ...tasks.memory import require_held
from ...tasks.samples import Samples
from .metrics import DATA, HELD, Against, brains, magnitude, metric_of
from .results.drawn import in_view

_CHI2: Mapping[str, tuple[str, str]] = {
    DATA: ("χ² of the data", "squared misfit of the k-space that samples were drawn from, in units of its noise"),
    HELD: (
        "χ² of the lines held out",
        "squared error of the mean on k-space that was held out, in units of its stated variance",
    ),
}


class SliceJudge(judging.Judge):
    """What can be said of reconstructions, one slice after the other.

    Sample number k is of slice k // each; slices of which some samples are missing do not count. What is known of a
    slice stands at each of its samples in the condition: `truth` in units of the state, `brain` if it is known, `scale`
    by which states are multiplied. With a truth it holds the magnitudes of one slice's samples, 4 bytes a pixel, and of
    each slice the ranks of the truth among them, a byte a pixel (two beyond 127 samples); truths and means are laid
    aside, 8 bytes a pixel, beyond 64 MB on the disk.
    """

    def __init__(self, like: Samples) -> None:
        """Of no samples yet.

        Args:
            like: some of the samples.
        """
        self._settings, self._like = like.settings, in_view(like).x.shape[-2:]
        self._known = "truth" in like.condition
        self._first, self._n, self._each = like.first, len(like), len(like)
        self._slice: _Slice | None = None
        self._whole, self._shown, self._against = 0, 0, Against()
        self._chi2: dict[str, dict[int, list[float]]] = {}

    def begin(self, n: int) -> None:
        self._n, self._each = n, int(self._settings.get("each", n))
        if self._known:
            h, w = self._like
            require_held(self._each, 4 * h * w, f"the samples of one slice, {h} × {w} pixels each")

    def add(self, samples: Samples) -> None:
        samples = in_view(samples)
        self._agreement(samples)
        first, last = samples.first, samples.first + len(samples)
        while self._known and first < last:
            until = min(last, (first // self._each + 1) * self._each)
            if first % self._each == 0:
                self._slice = _Slice()
            if self._slice is not None:  # else its first samples are not there
                self._slice.add(samples[first - samples.first : until - samples.first])
                if until % self._each == 0:
                    self._score(self._slice)
                    self._slice = None
            first = until

    def _score(self, whole: "_Slice") -> None:
        self._whole += 1
        if whole.truth.any():  # of a slice of air there is nothing to judge
            self._shown += 1
            self._against.add(whole.truth[None], whole.members[None], whole.brain[None], whole.mean[None])

    def _agreement(self, samples: Samples) -> None:
        """Adds χ² to what its slice has, as sum and count."""
        slices = samples.each.get("slice", [0] * len(samples))
        for name in _CHI2:
            for number, value in zip(slices, _numbers(samples, name), strict=False):
                sums = self._chi2.setdefault(name, {}).setdefault(number, [0.0, 0])
                sums[0], sums[1] = sums[0] + value, sums[1] + 1

    def metrics(self) -> list[Metric]:
        if self._known and not self._whole:
            what = f"{self._n} from number {self._first}, expected all {self._each} of a slice"
            raise InputError(f"samples: {what}")
        judged = self._against.metrics() if self._shown else []
        chi2 = (_mean_of(name, self._chi2[name]) for name in _CHI2 if name in self._chi2)
        return judged + [metric_of(one) for one in chi2 if one is not None]


def _numbers(samples: Samples, name: str) -> list[float]:
    """A condition, one number a sample; none if it is not there."""
    return samples.condition[name].double().cpu().tolist() if name in samples.condition else []


def _mean_of(name: str, slices: Mapping[int, list[float]]) -> Estimate | None:
    """The mean over slices, of those that have a value."""
    means = np.array([slices[number][0] / slices[number][1] for number in sorted(slices)])
    known = means[np.isfinite(means)]
    if not len(known):
        return None
    title, meaning = _CHI2[name]
    return ratio(title, known, np.ones(len(known)), better="closer", meaning=meaning, reference=1.0)


class _Slice:
    """Magnitudes of the samples of a slice as they come, and what is known of it."""

    def __init__(self) -> None:
        self._members: list[np.ndarray] = []
        self._sum: Tensor | None = None
        self._count, self._scale = 0, 1.0

    def add(self, samples: Samples) -> None:
        condition, x = samples.condition, samples.x.detach().cpu()
        if self._sum is None:
            self._scale = float(condition["scale"][0]) if "scale" in condition else 1.0
            self.truth = magnitude(condition["truth"][0]) * self._scale
            self.brain = (
                condition["brain"][0].bool().cpu().numpy().reshape(self.truth.shape)
                if "brain" in condition
                else brains(self.truth[None])[0]
            )
        self._members.append((magnitude(x) * self._scale).astype(np.float32))
        total = x.double().sum(0)
        self._sum = total if self._sum is None else self._sum + total
        self._count += len(x)

    @property
    def members(self) -> np.ndarray:
        """(members, h, w)."""
        self._members = [np.concatenate(self._members)] if len(self._members) > 1 else self._members
        return self._members[0]

    @property
    def mean(self) -> np.ndarray:
        """The magnitude of the mean of the complex samples."""
        assert self._sum is not None
        return magnitude(self._sum / self._count) * self._scale
