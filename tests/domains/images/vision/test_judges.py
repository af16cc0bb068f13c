"""Judges learn what pictures show; their distances between sets have closed forms."""

import pytest
import torch
from torch import Tensor

from ornstein.domains.images.vision.judges import Judge, altered, covered, frechet, within_first
from ornstein.keys import Keys
from ornstein.networks import Encoder, UNetConfig
from ornstein.schedules import Cosine
from ornstein.spaces import Euclidean


def normal(seed: int, n: int, *shape: int) -> Tensor:
    return Keys.of(seed, n).normal(*shape)


def test_frechet_of_normal_distributions() -> None:
    """Shifted by m and scaled by s: ‖m‖² + d (1 − s)²; of the same set 0."""
    a = normal(0, 4000, 6)
    a = (a - a.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(a.T.cov())).T
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet(a, 2 * a + 3) == pytest.approx(6 * 9 + 6, rel=1e-6)
    assert frechet(a, 2 * a) != pytest.approx(frechet(a, 3 * a), rel=0.1)  # the broken twin


def test_precision_and_recall() -> None:
    real = normal(0, 400, 3)
    assert covered(normal(1, 400, 3), real) > 0.9
    assert covered(normal(1, 400, 3) + 10, real) == 0
    narrow = 0.1 * normal(2, 400, 3)
    assert covered(narrow, real) > 0.95  # precise
    assert covered(real, narrow) < 0.1  # with little recall


def test_altered_pictures_stay_alike_and_follow_their_keys() -> None:
    x = normal(0, 8, 1, 16, 16).cumsum(-1).cumsum(-2).float() / 16
    keys = Keys.of(3, 8)
    assert torch.equal(altered(x, keys), altered(x, keys))
    assert not torch.equal(altered(x, keys), altered(x, keys.fold("other")))
    own = torch.nn.functional.cosine_similarity(altered(x, keys).flatten(1), x.flatten(1))
    other = torch.nn.functional.cosine_similarity(altered(x, keys).flatten(1), x.roll(1, 0).flatten(1))
    assert (own > other).all()


def judge(target: str, numbers: int) -> Judge:
    torch.manual_seed(0)
    return Judge(Encoder(UNetConfig(8, (1, 2), 1, ()), 1, numbers), Euclidean((1, 8, 8), Cosine(), 1.0), target, True)


def learned(this: Judge, x: Tensor, condition: dict[str, Tensor], steps: int = 60) -> Judge:
    optimizer = torch.optim.Adam(this.network.parameters(), 1e-2)
    for step in range(steps):
        optimizer.zero_grad()
        this.losses(x, 0.0, condition, Keys.of(step, len(x))).mean().backward()
        optimizer.step()
    this.network.requires_grad_(False).eval()
    return this


def squares(n: int = 40) -> tuple[Tensor, Tensor]:
    """Bright above, below, left or right."""
    label = torch.arange(n) % 4
    x = torch.full((n, 1, 8, 8), -1.0)
    for k in range(n):
        picture = x[k, 0] if label[k] < 2 else x[k, 0].T
        picture[: 4 if label[k] % 2 == 0 else None, :][-4:] = 1.0
        picture[4:] = 1.0 if label[k] % 2 else -1.0
        if label[k] % 2:
            picture[:4] = -1.0
    return x + 0.1 * normal(5, n, 1, 8, 8).float(), label


def test_a_judge_of_classes() -> None:
    x, label = squares()
    this = learned(judge("label", 4), x, {"label": label})
    assert this.agreement(x, label) > 0.9
    assert this.agreement(x, (label + 1) % 4) < 0.1  # the broken twin
    assert this.see(x)[0].shape == (40, 16)


def test_a_judge_of_captions_finds_the_right_one() -> None:
    """Trained in contrast within batches, it ranks captions by their directions."""
    x, label = squares()
    words = normal(7, 4, 3, 6).float()
    directions = torch.nn.functional.normalize(words.sum(1) / 3, dim=1)
    this = learned(judge("caption", 6), x, {"caption": words[label]}, 100)
    ranks = this.ranks(x, directions, label)
    assert within_first(ranks, 1) > 0.9
    assert within_first(this.ranks(x, directions, (label + 1) % 4), 1) < 0.1  # the broken twin
    assert within_first(ranks, 4) == 1
