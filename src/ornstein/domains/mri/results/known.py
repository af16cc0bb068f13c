"""Whether a prior knows images such as those of a reconstruction: a score test, against slices that it must know.

At noise of s = σ/α, with x̂ the denoised image and z the noise,

    error    Σ |x − x̂|²                      over the object, 2 numbers a pixel, in units of s²
    doubt    s² α Σ ∂x̂/∂x_t                  the variance that Tweedie's formula gives there, likewise

Their logarithms at a few s are the features of an image. Were an image a draw of a perfect prior, error and doubt would
agree; of a trained one they are what they are on slices held out in training, of mean μ and covariance C over n of
them. Of a further such slice, were the features normal, with k of them,

    D = (f − μ)ᵀ C⁻¹ (f − μ) · n (n − k)/(k (n + 1)(n − 1))       follows F(k, n − k)     (Hotelling)

and an image is said not to be known where a D as large has a probability below `RATE`, the rate of false alarms. How
often slices that are known were flagged is measured, too, each left out of μ and C in its turn. One sample of each
slice is judged: a mean of samples is smoother than any image.

What it can tell is whether the *texture* of images is one that the prior has seen. A prior that knows the brains of
men finds little amiss in those of monkeys, and it need not: χ² of held-out lines (held_out.py) says whether what it
makes of their k-space is right.

    python -m ornstein.domains.mri.results.known fit FILE.json MODEL             of slices held out in its training
    python -m ornstein.domains.mri.results.known judge FILE.json MODEL FOLDER    of a reconstruction, to scores.json
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ....deferred import deferred
from ....denoisers.base import NeuralDenoiser
from ....errors import InputError
from ....files import Within, read_json, require, write_json
from ....keys import Keys
from ....spaces import Euclidean
from ....tasks import runs
from ....tasks.figures import Metric
from ....tasks.planning import METADATA, elsewhere
from ....tasks.registry import task
from ....tasks.samples import Samples, read_samples
from ....tasks.scores import append_metrics
from .. import data as records

if TYPE_CHECKING:
    from scipy import ndimage, stats
else:
    ndimage = deferred("scipy.ndimage")
    stats = deferred("scipy.stats")

LEVELS = (0.05, 0.2, 0.5, 1.0, 2.0)
"""s, in units of a state, of which 1 is the brightness of an image."""
RATE = 0.01
"""Of false alarms, of images that are known."""
OBJECT, NEAR = 0.1, 5
"""The mean magnitude over so many pixels squared from which on an image shows something."""
SLIGHT = 1e-6
"""The variance of features, relative to the largest, below which they do not vary."""
UNKNOWN = "the prior does not know such images"
_ROW = [Within(float, -1e6, 1e6)]
SCHEMA = {
    "model": str,
    "weights": str,
    "levels": [Within(float, 1e-6, 1e6)],
    "features": [_ROW],
}


@dataclass(frozen=True, eq=False)
class Known:
    """What a model makes of slices that it must know.

    Attributes:
        model, weights: its name, and the hash of its file.
        levels: s.
        features: of the slices.
    """

    model: str
    weights: str
    levels: tuple[float, ...]
    features: Float[np.ndarray, "slices features"]

    def __post_init__(self) -> None:
        n, k = self.features.shape
        if k != 2 * len(self.levels) or n < k + 3:
            raise InputError(f"{n} slices with {k} features, expected {2 * len(self.levels)} of more than {k + 2}")

    @cached_property
    def false_alarms(self) -> float:
        """The share of these slices that are flagged, each left out in its turn."""
        flagged = [
            _probability(np.delete(self.features, i, 0), one[None])[0] < RATE for i, one in enumerate(self.features)
        ]
        return float(np.mean(flagged))

    def probabilities(self, features: Float[np.ndarray, "images features"]) -> Float[np.ndarray, " images"]:
        """How often a slice that is known would be as far off as each of these images.

        Args:
            features: of the images, as `features` gives them.
        """
        return _probability(self.features, features)

    def save(self, path: Path) -> None:
        """Writes the file that `read` takes.

        Args:
            path: of the .json.
        """
        said = {"model": self.model, "weights": self.weights, "levels": list(self.levels)}
        write_json(path, {**said, "features": self.features.round(5).tolist()})

    def __str__(self) -> str:
        return (
            f"{len(self.features)} slices that {self.model} knows: {self.false_alarms:.1%} of them are flagged, each "
            f"left out in its turn, {RATE:.0%} are expected"
        )


def read(path: Path) -> Known:
    """What `Known.save` wrote; InputError for anything else.

    Args:
        path: of the .json.
    """
    found = require(read_json(path, "what a prior knows"), SCHEMA, str(path))
    if len({len(row) for row in found["features"]}) != 1:
        raise InputError(f"{path}: features: rows are of different lengths, or there are none")
    return Known(found["model"], found["weights"], tuple(found["levels"]), np.array(found["features"]))


def _probability(known: np.ndarray, features: np.ndarray) -> Float[np.ndarray, " images"]:
    n, off = len(known), features - known.mean(0)
    variances, directions = np.linalg.eigh(np.cov(known.T))
    varies = variances > SLIGHT * variances[-1]  # the doubt of a Gaussian prior is the same of all images
    k = int(varies.sum())
    squared = ((off @ directions[:, varies]) ** 2 / variances[varies]).sum(1)
    return stats.f.sf(squared * n * (n - k) / (k * (n + 1) * (n - 1)), k, n - k)


def features(
    model: NeuralDenoiser, x: Float[Tensor, "images 2 h w"], keys: Keys, levels: Sequence[float] = LEVELS
) -> Float[np.ndarray, "images features"]:
    """Of images; two evaluations of the network for each of the levels. NaN of an image that shows nothing.

    Args:
        model: of slices, on the grid of the images.
        x: states.
        keys: of the noise, one an image.
        levels: s.
    """
    rows = [_of_one(model, x[i : i + 1].float(), keys[i : i + 1], levels) for i in range(len(x))]
    return np.array(rows).reshape(len(x), 2 * len(levels))


def _of_one(model: NeuralDenoiser, x: Tensor, keys: Keys, levels: Sequence[float]) -> list[float]:
    space = model.space
    assert isinstance(space, Euclidean)
    shown = torch.from_numpy(_object(x[0].numpy())).float()
    count = 2 * float(shown.sum())
    if not count:
        return [float("nan")] * (2 * len(levels))
    errors, doubts = [], []
    for k, s in enumerate(levels):
        t = space.schedule.time(torch.tensor(-2 * np.log(s), dtype=torch.float64))
        alpha, sigma = (float(level) for level in (space.schedule.alpha(t), space.schedule.sigma(t)))
        noise, probe = (keys.fold(f"known {name} {k}").normal(*x.shape[1:]).to(x) for name in ("noise", "probe"))
        x_t = (alpha * x + sigma * noise).requires_grad_()
        with torch.enable_grad():
            mean = model(x_t, float(t)).mean.to(x)
            (slope,) = torch.autograd.grad((mean * probe.sign()).sum(), x_t)
        errors.append(float(((mean.detach() - x).square() * shown).sum()) / (s**2 * count))
        doubts.append(float((slope * probe.sign() * shown).sum()) * alpha / count)  # σ²/α over s²
    return np.log(np.maximum([*errors, *doubts], 1e-6)).tolist()


def _object(image: Float[np.ndarray, "2 h w"]) -> np.ndarray:
    """Where an image shows something."""
    return ndimage.uniform_filter(np.hypot(*image), NEAR) > OBJECT


def fit(model: NeuralDenoiser, x: Float[Tensor, "slices 2 h w"], levels: Sequence[float] = LEVELS) -> Known:
    """From slices that a model must know; InputError for too few of them.

    Args:
        model: trained.
        x: states of slices that it has not learned from.
        levels: s.
    """
    assert model.origin is not None
    found = features(model, x, Keys.of(0, len(x)).fold("fit"), levels)
    name = f"{model.origin.domain}/{model.origin.name}"
    return Known(name, model.origin.weights, tuple(levels), found[np.isfinite(found).all(1)])


def judge(known: Known, model: NeuralDenoiser, samples: Samples) -> dict[int, float]:
    """Slice → how often one that is known would be as far off; of one sample of each, slices of air left out.

    Args:
        known: of the model.
        model: that drew the samples.
        samples: of a model of this domain.
    """
    assert model.origin is not None
    if known.weights != model.origin.weights:
        raise InputError(f"what is known is of {known.model}, other weights than those of {model!r}")
    moved = elsewhere(task(model.origin.domain), model, samples.settings.get(METADATA, {}))
    slices = samples.each.get("slice", range(len(samples)))
    first = {number: row for row, number in reversed(list(enumerate(slices)))}
    rows = [first[number] for number in sorted(first)]
    found = features(moved, samples.x[rows], Keys.of(0, len(rows)).fold("judge"), known.levels)
    shown = np.asarray(np.isfinite(found).all(1))
    values = iter(known.probabilities(found[shown]))
    return {number: float(next(values)) for number, there in zip(sorted(first), shown.tolist(), strict=True) if there}


def metric(found: dict[int, float]) -> Metric:
    """How many slices are flagged.

    Args:
        found: of `judge`.
    """
    share = float(np.mean([p < RATE for p in found.values()])) if found else 0.0
    return Metric(
        "slices that the prior does not know",
        share,
        "lower",
        f"share of the slices whose score test has a p-value below {RATE:g}",
        RATE,
        "slices that it knows",
    )


def main(said: Sequence[str]) -> int:
    """The commands of the module's docstring.

    Args:
        said: the arguments.
    """
    match [*said]:
        case ["fit", file, name]:
            model = runs.load(name)
            known = fit(model, _held_out(model))
            known.save(Path(file))
            print(known)
        case ["judge", file, name, folder]:
            known, samples = read(Path(file)), read_samples(folder)
            found = judge(known, runs.load(name), samples)
            for number, p in found.items():
                print(f"slice {number}: p = {p:.2g}{f', {UNKNOWN}: do not trust the picture' if p < RATE else ''}")
            append_metrics(Path(folder), [metric(found)])
            print(known)
        case _:
            raise InputError(f"expected fit FILE MODEL, or judge FILE MODEL FOLDER\n\n{__doc__}")
    return 0


def _held_out(model: NeuralDenoiser) -> Float[Tensor, "slices 2 h w"]:
    """Whole slices that the model was not trained on, by its configuration."""
    assert model.origin is not None
    config: Any = model.origin.config
    _, held = records.opened(config["data"], config["shape"], config["pixel"], config["count"], config["memory"])
    return held.batch(torch.arange(len(held)))[0]


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
