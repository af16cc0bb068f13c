"""How pictures are judged: by what a judge that learned from real ones sees in them, and by distances to real pictures.

Digits have a support vector machine of the real training pictures as their judge; clothes and emoji have networks
(vision.judges), trained by `ornstein train images/fashion-judge` and `images/openmoji-judge`. Every number stands
beside the one that real pictures reach: OpenMoji's style is new to the judge of emoji, whoever draws in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ...errors import needed_for
from ...keys import Keys
from ...tasks.figures import Metric
from ...tasks.runs import load_regressor, shipped
from ...training.datasets import Arrays
from .data import Captioned, load
from .vision.judges import Contest, Judge, covered, frechet, within_first

MOST = 2000  # pictures a set
_TOGETHER = 256  # pictures whose distances to all training pictures are held at once
_DIRECTIONS = 4  # along which all samples are looked at together
MEMORISED = 0.9  # of the distance of real unseen pictures to training ones: where samples are closer, it is said


def judge_of(source: str) -> Judge | None:
    """The judge that comes with a data set."""
    name = f"images/{source}-judge"
    found = load_regressor(name) if name in shipped("regressor") else None
    return found if isinstance(found, Judge) else None


# Networks that judge ----------------------------------------------------------------------------------


def of_judge(judge: Judge, source: str) -> list[Metric]:
    """How right a judge is on real pictures that it has not learned from: another style's, or held-out ones."""
    if judge.target == "label":
        _, held_out = load(source)
        assert isinstance(held_out, Arrays)
        value, classes = _agreement(judge, held_out), held_out.metadata["classes"]
        return [
            Metric(
                "class agreement", value, "higher", "Held-out pictures taken for what they are.", 1 / classes, "chance"
            )
        ]
    real, names = openmoji()
    contest = Contest.of(judge, names)
    ranks = contest.ranks(real, names)
    return [
        Metric(
            f"caption among the first {k}", within_first(ranks, k), "higher",
            f"R@{k} of OpenMoji's own pictures, whose style it has never seen.", k / len(contest), "chance",
        )
        for k in (1, 10)
    ]  # fmt: skip


def openmoji() -> tuple[Tensor, list[str]]:
    """All of OpenMoji's pictures at the size that judges see, and their captions."""
    (learned, names), (unseen, others) = (part.shown() for part in load("openmoji") if isinstance(part, Captioned))
    return torch.cat([learned, unseen]), [*names, *others]


def of_classes(share: float, held_out: Arrays, judge: Judge) -> Metric:
    """The share of pictures taken for their class.

    Args:
        share: of the samples.
        held_out: records that no model was trained on.
        judge: a classifier that was trained on real pictures.
    """
    meaning = "Share of samples that a network trained on real pictures takes for the class asked for."
    return Metric("class agreement", share, "higher", meaning, _agreement(judge, held_out), "held-out real pictures")


def _agreement(judge: Judge, real: Arrays) -> float:
    assert isinstance(real.x, Tensor)
    return judge.agreement(real.x, real.condition["label"])


def likeness(judge: Judge, x: Tensor, real: Tensor, others: Tensor | None = None) -> list[Metric]:
    """Fréchet distance, precision and recall of what the judge sees; the yardstick are real pictures against others.

    Args:
        real, others: two sets of real pictures; without others every second one of `real`.
        x: pictures, (n, channels, height, width), from −1 (black) to 1 (white).
    """
    real, others = (real[::2], real[1::2]) if others is None else (_spread(real), _spread(others))
    n = min(len(x), len(real), len(others))
    ours, theirs, yardstick = (judge.see(_spread(part, n))[0] for part in (x, real, others))
    meaning = "Of the judge's features, to as many real pictures; the yardstick is another set of real ones."
    name = f"{n} other real pictures"
    return [
        Metric("Fréchet distance", frechet(ours, theirs), "lower", meaning, frechet(yardstick, theirs), name),
        Metric(
            "precision", covered(ours, theirs), "higher", "Share of samples among real pictures.",
            covered(yardstick, theirs), name,
        ),
        Metric(
            "recall", covered(theirs, ours), "higher", "Share of real pictures among samples.",
            covered(theirs, yardstick), name,
        ),
    ]  # fmt: skip


def _spread(x: Tensor, n: int = MOST) -> Tensor:
    """At most n, evenly from all."""
    return x[spread(len(x), n)]


def spread(count: int, n: int) -> Int64[Tensor, " n"]:
    """The places of at most n of so many, evenly from all."""
    return torch.linspace(0, count - 1, min(n, count)).round().long()


# Digits -----------------------------------------------------------------------------------------------


@runtime_checkable
class Classifier(Protocol):
    """What predicts a class from pixels, as scikit-learn does."""

    def predict(self, X: Any) -> Any: ...


def machine(train: Arrays) -> Classifier:
    """A support vector machine of real pictures."""
    with needed_for("the judge of digits", "images"):
        from sklearn.svm import SVC  # a second to import, so only where it judges

    assert isinstance(train.x, Tensor)
    return SVC(C=10.0, gamma="scale").fit(train.x.flatten(1).numpy(), train.condition["label"].numpy())


def agreement(classifier: Classifier, x: Float[Tensor, "n c h w"], label: Int64[Tensor, " n"]) -> float:
    """The share of pictures that the classifier takes for what they should be.

    Args:
        x: pictures, (n, channels, height, width), from −1 (black) to 1 (white).
        label: class of each picture, (n).
    """
    return float((classifier.predict(x.flatten(1).numpy()) == label.numpy()).mean())


@dataclass(frozen=True)
class Projected:
    """Pictures as they look along directions.

    Attributes:
        parts: of the pictures, (n, channels, height, width); as bytes, if they have 256 levels.
        chosen: numbers of those that are looked at, one after the other, of the only part; all if not said.
    """

    parts: Sequence[Tensor]
    chosen: Tensor | None = None

    def along(self, axes: Float[Tensor, "directions pixels"]) -> Float[Tensor, "n directions"]:
        """What each picture is along each direction."""
        pixels = (unpacked(part).flatten(1) for part in self.parts)
        found = torch.cat([part @ axes.T.to(part) for part in pixels])
        return found if self.chosen is None else found[self.chosen]


def unpacked(x: Tensor) -> Tensor:
    """Pictures from bytes, as they are read from files; others as they are."""
    return x.float() / 127.5 - 1 if x.dtype == torch.uint8 else x


def sliced_wasserstein(a: Projected, b: Projected, directions: int = 200) -> float:
    """Root mean square over random directions of the 1-D Wasserstein-2 distance between equally many pictures.

    Args:
        a: first set of pictures.
        b: second set.
        directions: how many.
    """
    axes = torch.nn.functional.normalize(Keys.of(0, directions).normal(a.parts[0][0].numel()), dim=1)
    squares = 0.0
    for some in axes.split(_DIRECTIONS):
        gap = a.along(some).sort(0).values - b.along(some).sort(0).values
        squares += gap.square().double().mean(0).sum().item()
    return (squares / directions) ** 0.5


def distances(x: Tensor, among: Tensor) -> Float[Tensor, " n"]:
    """From each picture to the nearest of the others, root mean square a pixel."""
    others = among.flatten(1)
    found = torch.cat([torch.cdist(part, others).min(1).values for part in x.flatten(1).split(_TOGETHER)])
    return found / x[0].numel() ** 0.5


def matched(label: Int64[Tensor, " n"], real: Arrays, seed: int) -> Projected:
    """A real picture of the same class for each label, drawn without replacement while a class lasts.

    Args:
        seed: of all random numbers.
    """
    assert isinstance(real.x, Tensor)
    chosen = torch.empty_like(label)
    for value in label.unique():
        members = (real.condition["label"] == value).nonzero().flatten()
        order = members[Keys.of(seed, 1).fold(int(value)).bits(len(members))[0].argsort()]
        places = (label == value).nonzero().flatten()
        chosen[places] = order[torch.arange(len(places)) % len(order)]
    return Projected([real.x], chosen)


def class_agreement(share: float, classifier: Classifier, held_out: Arrays) -> Metric:
    """`agreement` beside that of held-out real pictures.

    Args:
        share: of the samples.
        classifier: that judged them.
        held_out: records that no model was trained on.
    """
    assert isinstance(held_out.x, Tensor)
    return Metric(
        "class agreement",
        share,
        "higher",
        "Share of samples that a classifier trained on real pictures takes for the class asked for.",
        agreement(classifier, held_out.x, held_out.condition["label"]),
        "held-out real pictures",
    )


def distribution(x: Projected, label: Tensor, train: Arrays, held_out: Arrays) -> Metric:
    """`sliced_wasserstein` to real pictures of the same classes, beside that between two sets of them.

    Args:
        x: the samples.
        label: class of each.
        train: the records that the model was trained on.
        held_out: records that no model was trained on.
    """
    real = matched(label, held_out, 0)
    return Metric(
        "sliced Wasserstein distance",
        sliced_wasserstein(x, real),
        "lower",
        "From samples to held-out real pictures of the same classes; the yardstick is another set of real ones.",
        sliced_wasserstein(matched(label, train, 1), real),
        "training pictures",
    )


def novelty(found: Float[Tensor, " n"], train: Tensor, held_out: Tensor) -> Metric:
    """The median of `distances` to the training pictures, beside that of held-out real ones.

    Args:
        found: distances of the samples.
        train: pictures that the model was trained on.
        held_out: pictures that no model was trained on.
    """
    ours, new = found.median().item(), distances(held_out, train).median().item()
    meaning = "Root mean square a pixel, median. Near 0 the model copies; real unseen pictures show what new means."
    if ours < MEMORISED * new:
        meaning += " These are closer to what was learned than new real pictures are: in part the model has memorised."
    return Metric("distance to the nearest training picture", ours, "closer", meaning, new, "held-out real pictures")
