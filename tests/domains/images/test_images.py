"""Digits: the data, the judge, the shipped model, and arrays of one's own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ornstein as on
from ornstein import InputError
from ornstein.domains.images import data, metrics, stored
from ornstein.networks import UNet, UNetConfig
from ornstein.report import walls
from ornstein.tasks import requests
from ornstein.tasks.figures import Figure
from ornstein.tasks.registry import task
from ornstein.tasks.samples import read_samples
from ornstein.training.datasets import Arrays


@pytest.fixture(scope="module")
def digits() -> tuple[Arrays, Arrays]:
    return data.digits()


@pytest.fixture(scope="module")
def drawn() -> on.Samples:
    return requests.draw(on.load("images/digits"), task("images").request_type(), 300, steps=30, batch_size=100)


def pixels(arrays: Arrays) -> Tensor:
    assert isinstance(arrays.x, Tensor)
    return arrays.x


def test_the_split_is_by_class_and_disjoint(digits: tuple[Arrays, Arrays]) -> None:
    train, held_out = digits
    assert len(train) + len(held_out) == 1797
    counts = [part.condition["label"].bincount() for part in digits]
    assert ((counts[1] / (counts[0] + counts[1]) - 0.2).abs() < 0.005).all()
    together = torch.cat([pixels(train), pixels(held_out)]).flatten(1)
    assert len(together.unique(dim=0)) == 1797
    assert pixels(train).min() == -1
    assert pixels(train).max() == 1


def test_the_judge_knows_unseen_real_digits(digits: tuple[Arrays, Arrays]) -> None:
    train, held_out = digits
    accuracy = metrics.agreement(metrics.machine(train), pixels(held_out), held_out.condition["label"])
    assert accuracy >= 0.97
    wrong = metrics.agreement(metrics.machine(train), pixels(held_out), (held_out.condition["label"] + 1) % 10)
    assert wrong <= 0.05  # the broken twin


def test_the_shipped_model_draws_the_class_asked_for(drawn: on.Samples) -> None:
    agreement, distance, new = task("images").evaluate(drawn)
    assert agreement.value >= 0.95
    assert distance.reference is not None
    assert new.reference is not None
    assert distance.value < 1.5 * distance.reference
    assert new.value > 0.7 * new.reference  # not copies


def test_the_scores_reject_noise_and_copies(digits: tuple[Arrays, Arrays], drawn: on.Samples) -> None:
    """Broken twins of the test above."""
    noise = on.Keys.of(0, 300).normal(1, 8, 8).float()
    agreement, distance, _ = task("images").evaluate(replace(drawn, x=noise))
    assert distance.reference is not None
    assert agreement.value < 0.5
    assert distance.value > 1.5 * distance.reference
    copies = metrics.matched(drawn.condition["label"], digits[0], 0)
    assert copies.chosen is not None
    copies = copies.parts[0][copies.chosen]
    assert task("images").evaluate(replace(drawn, x=copies))[2].value == 0


def test_guidance_sharpens(digits: tuple[Arrays, Arrays]) -> None:
    """Stronger guidance: less spread within a class."""
    model = on.load("images/digits")

    def spread(scale: float) -> float:
        x = on.sample(model & on.images.label(3, scale), n=60, steps=15).x
        return x.std(0).mean().item()

    assert spread(4.0) < 0.9 * spread(1.0)


def test_batches_do_not_change_samples() -> None:
    model = on.load("images/digits") & on.images.label(5)
    whole = on.sample(model, n=7, steps=6, seed=3).x
    parts = on.sample(model, n=7, steps=6, seed=3, batch_size=2).x
    worker = on.sample(model, n=3, steps=6, seed=3, first=4).x
    assert torch.allclose(whole, parts, atol=2e-5)
    assert torch.allclose(whole[4:], worker, atol=2e-5)


def test_save_and_read(drawn: on.Samples, tmp_path: Path) -> None:
    folder = drawn.save(tmp_path / "out")
    again = read_samples(folder)
    assert torch.equal(again.condition["label"], drawn.condition["label"])
    assert (again.x - drawn.x.clamp(-1, 1)).abs().max() < 1 / 255 + 1e-6
    assert again.origin == drawn.origin
    with pytest.raises(InputError, match="exists already"):
        drawn.save(folder)
    assert "Samples of images/digits: (300, 1, 8, 8), 30 NFE" in repr(drawn)
    assert "data:image/png;base64" in drawn._repr_html_()


def test_arrays_of_your_own(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 6, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=np.arange(50) % 3)
    train, held_out = data.load(str(tmp_path / "mine.npz"))
    assert train.metadata["shape"] == [3, 6, 4]
    assert train.metadata["classes"] == 3
    assert len(held_out) == 9
    assert np.array_equal(walls.to_bytes(data.from_bytes(images)), images)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((20, 4, 4))}, "no array 'images', found pictures"),
        ({"images": np.zeros((20, 4, 4)), "label": np.zeros(20)}, "has an array 'label', expected 'images' and"),
        ({"images": np.zeros((20, 4))}, r"expected|must be 10 or more of \(n, height, width"),
        ({"images": np.zeros((20, 4, 4)) + 3}, r"must lie in \[0, 1\], found 3 to 3"),
        ({"images": np.zeros((20, 4, 4), dtype=int)}, "must be uint8, or floats"),
        ({"images": np.zeros((20, 4, 4)), "labels": np.zeros(3, dtype=int)}, "labels must be 20 integers"),
        ({"images": np.zeros((20, 4, 4)), "labels": np.zeros(20)}, "labels must be 20 integers"),
        ({"images": np.array([{}] * 20)}, "holds object, expected real numbers"),
        ({"images": np.zeros((60, 0, 8))}, r"in 1 or 3 channels, found \(60, 0, 8\)"),
        ({"images": np.zeros((20, 8, 8, 5))}, r"in 1 or 3 channels, found \(20, 8, 8, 5\)"),
        ({"images": np.full((20, 4, 4), 0.3)}, "all pixels of the training pictures are equal"),
        ({"images": np.zeros((20, 4, 4)), "labels": np.arange(20) - 1}, "labels must be 20 integers from 0, found -1"),
        ({"images": np.zeros((20, 4, 4)), "labels": np.arange(20) % 3 + 2}, "must be 0 to 4, .* class 0 has 0"),
        ({"images": np.zeros((20, 4, 4)), "labels": np.arange(20) % 2 * 2}, "must be 0 to 2, .* class 1 has 0"),
        ({"images": np.zeros((20, 4, 4)), "labels": np.arange(20) // 19}, "must be 0 to 1, .* class 1 has 1"),
    ],
)
def test_arrays_that_are_refused(arrays: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=message):
        data.load(str(tmp_path / "mine.npz"))


def flipped(content: bytes) -> bytes:
    """One bit of the first array is the other one."""
    return content[:200] + bytes([content[200] ^ 1]) + content[201:]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-100], "damaged"),
        (lambda content: content[:300], "damaged"),
        (flipped, "damaged"),
        (lambda content: content[128:], "not an .npz file, as numpy.savez writes it"),
        (lambda content: b"pictures\n", "not an .npz file, as numpy.savez writes it"),
        (lambda content: b"", "not an .npz file, as numpy.savez writes it"),
    ],
    ids=["truncated", "very truncated", "flipped", "beheaded", "text", "empty"],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_files_that_are_refused(save: Any, damage: Callable[[bytes], bytes], message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    save(path, images=np.random.default_rng(0).random((20, 4, 4)))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=message):
        data.load(str(path))


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.zeros((20, 4, 4)))
    with pytest.raises(InputError, match=r"not an \.npz file"):
        data.load(str(tmp_path / "mine.npy"))


def test_small_contrasts_survive(digits: tuple[Arrays, Arrays], tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", images=np.linspace(0, 2e-5, 320).reshape(20, 4, 4))
    assert data.load(str(tmp_path / "mine.npz"))[0].metadata["std"] == pytest.approx(2e-5 / 3**0.5, rel=0.1)
    assert digits[0].metadata["std"] == 0.7532  # what the shipped model was trained with


def test_a_rare_class_is_held_out_too(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((20, 4, 4))
    np.savez(tmp_path / "mine.npz", images=images, labels=np.arange(20) // 18)
    for part in data.load(str(tmp_path / "mine.npz")):
        assert isinstance(part, Arrays)
        assert part.condition["label"].unique().tolist() == [0, 1]


def test_requests_that_are_refused(digits: tuple[Arrays, Arrays]) -> None:
    images, metadata = task("images"), digits[0].metadata
    with pytest.raises(InputError, match="--label is empty"):
        images.request_type(label=())
    for guidance in (float("nan"), float("inf"), -1.0):
        with pytest.raises(InputError, match="--guidance is"):
            images.request_type(guidance=guidance)
    for asked in (images.request_type(label=(3,)), images.request_type(guidance=2.0)):
        assert images.request(asked, range(4), metadata).condition["label"].tolist()[0] in (0, 3)
        with pytest.raises(InputError, match="for models trained with labels"):
            images.request(asked, range(4), {**metadata, "classes": 0})


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "expected"),
    [("digits", [-14.575639, -25.577269, 0.685767]), ("fashion", [-34.650276, -92.348297, -0.188249])],
)
def test_shipped_models_say_what_they_did(name: str, expected: list[float]) -> None:
    """Numbers of the networks before they were told of fields."""
    model = on.load(f"images/{name}")
    x = on.Keys.of(0, 2).normal(*model.space.shape).float()  # pyright: ignore[reportAttributeAccessIssue]
    mean = model(x, torch.tensor([0.3, 0.8]), {"label": torch.tensor([1, -1])}).mean
    assert [*mean.sum((1, 2, 3)).tolist(), mean[0, 0, 3, 4].item()] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("shape", [(8, 8), (16, 8), (12, 20), (9, 7)])
def test_the_network_keeps_shapes_and_hears_labels(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = UNet(UNetConfig(16, (1, 2, 2), 1, (2,)), 3, 4)
    for parameter in network.parameters():  # the last layers start at 0
        torch.nn.init.normal_(parameter, std=0.1)
    x, t = torch.randn(2, 3, *shape), torch.rand(2)
    out = [network(x, t, {"label": torch.full((2,), label)}) for label in (-1, 0)]
    assert out[0].shape == x.shape
    assert not torch.allclose(out[0], out[1])


def test_pictures_are_compared_a_few_at_a_time(digits: tuple[Arrays, Arrays], monkeypatch: pytest.MonkeyPatch) -> None:
    x, among = pixels(digits[1])[:60], pixels(digits[0])
    whole = torch.cdist(x.flatten(1), among.flatten(1)).min(1).values.median() / 8
    monkeypatch.setattr(metrics, "_TOGETHER", 7)
    assert float(metrics.distances(x, among).median()) == pytest.approx(float(whole), rel=1e-5)
    assert float(metrics.distances(among[:20], among).median()) == pytest.approx(0, abs=1e-3)


def test_a_grid_shows_the_first_of_many(drawn: on.Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = task("images").figures(drawn)[0]
    monkeypatch.setattr(stored, "GRID", 40)
    some = task("images").figures(drawn)[0]
    assert isinstance(whole, Figure)
    assert isinstance(some, Figure)
    assert (whole.caption, some.caption) == ("300 samples", "the first 40 of 300 samples")
    assert some.image == walls.wall(drawn.x[:40], walls.columns_of(40), "").image
