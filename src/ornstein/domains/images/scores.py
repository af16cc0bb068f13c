"""How pictures are judged: by a classifier that never saw the model, and by distances to real pictures.

The judge is a support vector machine trained on the real training pictures alone; its accuracy on the held-out real
ones is the yardstick for the agreement of samples with the class asked for.
"""

import torch
from jaxtyping import Float, Int64
from sklearn.svm import SVC
from torch import Tensor

from ...datasets import Arrays
from ...keys import Keys
from ...tasks import Score


def judge(train: Arrays) -> SVC:
    """A classifier of real pictures."""
    assert isinstance(train.x, Tensor)
    return SVC(C=10.0, gamma="scale").fit(train.x.flatten(1).numpy(), train.condition["label"].numpy())


def agreement(classifier: SVC, x: Float[Tensor, "n c h w"], label: Int64[Tensor, " n"]) -> float:
    """The share of pictures that the classifier takes for what they should be."""
    return float((classifier.predict(x.flatten(1).numpy()) == label.numpy()).mean())


def sliced_wasserstein(a: Tensor, b: Tensor, directions: int = 200) -> float:
    """Root mean square over random directions of the 1-D Wasserstein-2 distance between equally many points."""
    axes = torch.nn.functional.normalize(Keys.of(0, directions).normal(a.flatten(1).shape[1]), dim=1).to(a)
    gap = (a.flatten(1) @ axes.T).sort(0).values - (b.flatten(1) @ axes.T).sort(0).values
    return gap.square().mean().sqrt().item()


def nearest(x: Tensor, among: Tensor) -> float:
    """Median distance from a picture to the nearest of the others, root mean square a pixel."""
    distances = torch.cdist(x.flatten(1), among.flatten(1)).min(1).values
    return (distances.median() / x[0].numel() ** 0.5).item()


def matched(label: Int64[Tensor, " n"], real: Arrays, seed: int) -> Tensor:
    """A real picture of the same class for each label, drawn without replacement while a class lasts."""
    assert isinstance(real.x, Tensor)
    chosen = torch.empty_like(label)
    for value in label.unique():
        members = (real.condition["label"] == value).nonzero().flatten()
        order = members[Keys.of(seed, 1).fold(int(value)).bits(len(members))[0].argsort()]
        places = (label == value).nonzero().flatten()
        chosen[places] = order[torch.arange(len(places)) % len(order)]
    return real.x[chosen]


def class_agreement(x: Tensor, label: Tensor, train: Arrays, held_out: Arrays) -> Score:
    """`agreement` beside that of held-out real pictures."""
    assert isinstance(held_out.x, Tensor)
    classifier = judge(train)
    return Score(
        "class agreement",
        agreement(classifier, x, label),
        "higher",
        "Share of samples that a classifier trained on real pictures takes for the class asked for.",
        agreement(classifier, held_out.x, held_out.condition["label"]),
        "held-out real pictures",
    )


def distribution(x: Tensor, label: Tensor, train: Arrays, held_out: Arrays) -> Score:
    """`sliced_wasserstein` to real pictures of the same classes, beside that between two sets of them."""
    real = matched(label, held_out, 0)
    return Score(
        "sliced Wasserstein distance",
        sliced_wasserstein(x, real),
        "lower",
        "From samples to held-out real pictures of the same classes; the yardstick is another set of real ones.",
        sliced_wasserstein(matched(label, train, 1), real),
        "training pictures",
    )


def novelty(x: Tensor, train: Arrays, held_out: Arrays) -> Score:
    """`nearest` among the training pictures, beside that of held-out real ones."""
    assert isinstance(train.x, Tensor)
    assert isinstance(held_out.x, Tensor)
    return Score(
        "distance to the nearest training picture",
        nearest(x, train.x),
        "closer",
        "Root mean square a pixel, median. Near 0 the model copies; real unseen pictures show what new means.",
        nearest(held_out.x, train.x),
        "held-out real pictures",
    )


def judged(
    x: Float[Tensor, "n c h w"], label: Int64[Tensor, " n"] | None, train: Arrays, held_out: Arrays
) -> list[Score]:
    """All scores of a set of pictures; of those without labels, only whether they are new."""
    new = novelty(x, train, held_out)
    if label is None or not len(train.condition):
        return [new]
    return [class_agreement(x, label, train, held_out), distribution(x, label, train, held_out), new]
