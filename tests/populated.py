"""Populations of every kind, small: the same whoever holds their particles, and however many of them go at once."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from nets import Net
from ornstein.denoisers.base import NeuralDenoiser, Traits
from ornstein.guidance.factors import Energy, Reward
from ornstein.guidance.measurements import Measurement
from ornstein.guidance.operators import Matrix
from ornstein.keys import Keys
from ornstein.spaces import Euclidean, TimePath
from ornstein.states import leaves
from ornstein.tasks.drawing import sample
from ornstein.tasks.samples import Samples
from worlds import F64, anisotropic, assert_close, coupled, double, sequences

SEEN = Measurement(double([0.4]), Matrix(double([[1.0, 0.6]])), 0.1)


def labelled(**options: Any) -> Samples:
    """Particles with a matrix, each of which carries the label of its first ancestor; 17 of 5 samples."""
    labels = {"label": torch.tensor([0, 1, 0, 1, 1])}
    guided = anisotropic() & SEEN & Energy(lambda x: 6 * (3 * x[:, 1]).sin())
    return _drawn(guided, 5, condition=labels, particles=17, steps=5, **options)


def looking_back(**options: Any) -> Samples:
    """A network of too many numbers for a matrix, whose chain looks back; tempered, with its trajectory."""
    model = NeuralDenoiser(Net(20).double(), Traits(Euclidean((20,))))
    seen = Measurement(double([0.4, -1.0]), Matrix(Keys.of(3, 2).normal(20)), 0.5)
    guided = model & seen & Energy(lambda x: 3 * x[:, :3].square().sum(1))
    return _drawn(guided, 4, particles=12, steps=5, temper=0.5, trajectory=True, **options)


def letters(**options: Any) -> Samples:
    """Categories, weighed by a program without a gradient."""
    wanted = Reward(lambda x: 4.0 * (x[:, 0] == x[:, 1]).double())
    return _drawn(sequences("uniform") & wanted, 6, particles=21, steps=5, trajectory=True, **options)


def known_tokens(**options: Any) -> Samples:
    """Positions and tokens, of which the tokens are known from the start."""
    tokens = torch.tensor([[0, 0], [1, 1], [0, 1]])
    start = {"x": torch.zeros(3, 2, dtype=F64), "tokens": tokens}
    guided = coupled().along(TimePath.known("tokens")) & SEEN.on("x") & Energy(lambda x: 6 * x[:, 0].sin()).on("x")
    return _drawn(guided, 3, particles=15, steps=5, start=start, **options)


WORLDS: Mapping[str, Callable[..., Samples]] = {
    one.__name__: one for one in (labelled, looking_back, letters, known_tokens)
}


def _drawn(guided: Any, n: int, **options: Any) -> Samples:
    return sample(guided, n, exact="particles", seed=2, **options)


def assert_same(found: Samples, expected: Samples) -> None:
    """One population, but for round-off."""
    assert found.exactness is not None
    assert expected.exactness is not None
    assert_close(found.exactness.log_evidence, expected.exactness.log_evidence)
    assert_close(found.exactness.ess, expected.exactness.ess)
    assert (found.exactness.resampled, found.exactness.families) == (
        expected.exactness.resampled,
        expected.exactness.families,
    )
    assert expected.exactness.resampled > 1, expected.exactness  # else nothing was exchanged before the end
    assert found.genealogy.equal(expected.genealogy)  # pyright: ignore[reportOptionalMemberAccess, reportArgumentType]
    assert found.nfe == expected.nfe
    assert len(found.trajectory) == len(expected.trajectory)
    for one, other in zip([found.x, *found.trajectory], [expected.x, *expected.trajectory], strict=True):
        for a, b in zip(leaves(one), leaves(other), strict=True):
            assert_close(a, b, 1e-8)
    assert found.condition.keys() == expected.condition.keys()
    assert all(value.equal(expected.condition[name]) for name, value in found.condition.items())
