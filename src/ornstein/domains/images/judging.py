"""The scores of pictures of classes or of none, that come part by part; see captioned.py for those of captions."""

from array import array

import torch
from torch import Tensor

from ...tasks import judging
from ...tasks.figures import Metric
from ...tasks.samples import Samples
from ...training.datasets import Arrays
from . import metrics
from .vision.judges import Judge


class Few:
    """Pictures that are chosen evenly of many, which come part by part."""

    def __init__(self, count: int, n: int) -> None:
        """None yet.

        Args:
            count: how many come.
            n: how many are kept of them, at most.
        """
        self._chosen, self._n = metrics.spread(count, n), 0
        self._parts: list[Tensor] = []

    def add(self, x: Tensor) -> None:
        """Takes those that are chosen of pictures which follow those before, (n, channels, height, width)."""
        here = (self._chosen >= self._n) & (self._chosen < self._n + len(x))
        self._parts.append(x[self._chosen[here] - self._n])
        self._n += len(x)

    @property
    def x(self) -> Tensor:
        """Those that are kept."""
        return torch.cat(self._parts)


class PictureJudge(judging.Judge):
    """What can be said of pictures of classes or of none.

    Holds 4 bytes a sample. Beside these, where a network judges, the pictures that it compares with real ones, at most
    `metrics.MOST`; where none does, every picture, whose distribution over random directions cannot be had from fewer
    numbers: a byte a number of those of files, 4 of others; and 40 bytes while they are compared.
    """

    def __init__(self, train: Arrays, held_out: Arrays, judge: Judge | None) -> None:
        """Of no samples yet.

        Args:
            train: the records that the model was trained on.
            held_out: records that no model was trained on.
            judge: a network that tells their classes apart, if there is one.
        """
        self._train, self._held_out, self._judge = train, held_out, judge
        self._machine = None
        self._distances, self._right, self._n = array("f"), 0, 0  # an array: tensors among large ones would keep these
        self._labelled = False
        self._few = Few(0, 0)
        self._parts: list[Tensor] = []
        self._labels: list[Tensor] = []

    def begin(self, n: int) -> None:
        self._few = Few(n, min(metrics.MOST, len(self._train), len(self._held_out)))

    def add(self, samples: Samples) -> None:
        x, label = samples.x, samples.condition.get("label")
        self._distances.extend(metrics.distances(x, _pictures(self._train)).tolist())
        self._labelled = label is not None and bool(len(self._train.condition))
        if self._labelled:
            assert label is not None
            if self._judge:
                self._right += round(self._judge.agreement(x, label) * len(x))
                self._few.add(x)
            else:
                self._machine = self._machine or metrics.machine(self._train)
                self._right += round(metrics.agreement(self._machine, x, label) * len(x))
                self._parts.append(_packed(x))
                self._labels.append(label)
        self._n += len(x)

    def metrics(self) -> list[Metric]:
        new = metrics.novelty(torch.tensor(self._distances), _pictures(self._train), _pictures(self._held_out))
        if not self._labelled:
            return [new]
        share, train, held_out = self._right / self._n, self._train, self._held_out
        if self._judge:
            real, others = _pictures(train), _pictures(held_out)
            alike = metrics.likeness(self._judge, self._few.x, real, others)
            return [metrics.of_classes(share, held_out, self._judge), *alike, new]
        assert self._machine is not None
        label = torch.cat(self._labels)
        apart = metrics.distribution(metrics.Projected([*self._parts]), label, train, held_out)
        return [metrics.class_agreement(share, self._machine, held_out), apart, new]


def _pictures(part: Arrays) -> Tensor:
    assert isinstance(part.x, Tensor)
    return part.x


def _packed(x: Tensor) -> Tensor:
    """One byte a number, where these are the 256 levels of files."""
    levels = ((x + 1) * 127.5).round()
    packed = levels.clamp(0, 255).to(torch.uint8)
    return packed if torch.equal(metrics.unpacked(packed), x) else x
