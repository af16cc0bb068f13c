"""The scores of pictures that come part by part."""

from array import array
from typing import Any

import torch
from torch import Tensor

from ...tasks import judging
from ...tasks.figures import Metric
from ...tasks.samples import Samples
from ...training.datasets import Arrays
from . import metrics
from .vision.judges import Judge


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
        self._chosen = torch.zeros(0, dtype=torch.long)
        self._parts: list[Tensor] = []
        self._labels: list[Tensor] = []

    def begin(self, n: int) -> None:
        self._chosen = metrics.spread(n, min(n, metrics.MOST, len(self._train), len(self._held_out)))

    def add(self, samples: Samples) -> None:
        x, label = samples.x, samples.condition.get("label")
        self._distances.extend(metrics.distances(x, _pictures(self._train)).tolist())
        self._labelled = label is not None and bool(len(self._train.condition))
        if self._labelled:
            assert label is not None
            if self._judge:
                self._right += round(self._judge.agreement(x, label) * len(x))
                here = (self._chosen >= self._n) & (self._chosen < self._n + len(x))
                self._parts.append(x[self._chosen[here] - self._n])
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
            alike = metrics.likeness(self._judge, torch.cat(self._parts), real, others)
            return [metrics.of_classes(share, held_out, self._judge), *alike, new]
        assert self._machine is not None
        label = torch.cat(self._labels)
        apart = metrics.distribution(metrics.Projected([*self._parts]), label, train, held_out)
        return [metrics.class_agreement(share, self._machine, held_out), apart, new]


def judged(samples: Samples, train: Any, held_out: Any) -> list[Metric]:
    """All scores of a set of pictures; where there is no judge, only whether they are new.

    Args:
        samples: the samples, with their model and settings.
        train: the records that the model was trained on.
        held_out: records that no model was trained on.
    """
    assert samples.origin is not None
    network = metrics.judge_of(samples.origin.config["data"])
    if not isinstance(train, Arrays):
        return metrics.of_captioned(samples, train, held_out, network)
    judge = PictureJudge(train, held_out, network)
    judge.begin(len(samples))
    judge.add(samples)
    return judge.metrics()


def _pictures(part: Arrays) -> Tensor:
    assert isinstance(part.x, Tensor)
    return part.x


def _packed(x: Tensor) -> Tensor:
    """One byte a number, where these are the 256 levels of files."""
    levels = ((x + 1) * 127.5).round()
    packed = levels.clamp(0, 255).to(torch.uint8)
    return packed if torch.equal(metrics.unpacked(packed), x) else x
