"""What can be said of a digit: measured pictures in files, ink, and the errors that bad ones get."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import ornstein as on
from ornstein import InputError
from ornstein.domains.images import data
from ornstein.domains.images.task import ImagesRequest
from ornstein.report import walls
from ornstein.tasks import requests
from ornstein.tasks.registry import task

SEEN = torch.zeros(1, 8, 8, dtype=torch.bool)
SEEN[:, ::2, ::2] = True


@pytest.fixture(scope="module")
def model() -> on.NeuralDenoiser:
    return on.load("images/digits")


@pytest.fixture(scope="module")
def truth() -> Tensor:
    x = data.digits()[1].x
    assert isinstance(x, Tensor)
    return x[0]


def png(path: Path, picture: Tensor, seen: Tensor | None = None) -> Path:
    """A PNG of a picture, transparent where it was not seen."""
    levels = walls.to_bytes(picture[None])[0, :, :, 0]
    alpha = np.full_like(levels, 255) if seen is None else (255 * seen[0].numpy()).astype(np.uint8)
    Image.fromarray(np.stack([levels, alpha], -1), "LA").save(path)
    return path


def error(samples: on.Samples, truth: Tensor) -> float:
    return (samples.x.mean(0) - truth).square().mean().sqrt().item()


def asked(model: on.NeuralDenoiser, n: int = 24, **asked: Any) -> on.Samples:
    return requests.draw(model, ImagesRequest(**asked), n, steps=12)


def test_measured_pictures_come_back(model: on.NeuralDenoiser, truth: Tensor, tmp_path: Path) -> None:
    """Through every kind of glasses the mean of the samples is nearer to the truth than that of all digits."""
    blind = error(requests.draw(model, ImagesRequest(), 40, steps=12), truth)
    small = torch.nn.functional.avg_pool2d(truth, 2)
    hazy = on.operators.Blur.gaussian(1.0)(truth[None])[0]
    ways: list[dict[str, Any]] = [
        {"observation": png(tmp_path / "seen.png", truth, SEEN)},
        {"observation": png(tmp_path / "small.png", small), "operator": "blocks"},
        {"observation": png(tmp_path / "hazy.png", hazy), "operator": "blur", "blur": 1.0},
    ]
    for requested in ways:
        assert error(asked(model, **requested), truth) < 0.7 * blind


def test_without_noise_pixels_hold_exactly(model: on.NeuralDenoiser, truth: Tensor, tmp_path: Path) -> None:
    path = png(tmp_path / "seen.png", truth, SEEN)
    x = asked(model, 4, observation=path, noise=0.0).x
    assert (x[:, SEEN] == data.measured(path, 1)[0][SEEN]).all()


def test_ink_is_what_was_asked_for(model: on.NeuralDenoiser) -> None:
    guided = model & on.images.label(3) & on.images.Brightness(0.4, n=128)
    brightness = (on.sample(guided, 100, seed=5).x.mean((1, 2, 3)) + 1) / 2
    assert brightness.mean().item() == pytest.approx(0.4, abs=0.02)
    plain = (on.sample(model & on.images.label(3), 100, seed=5).x.mean((1, 2, 3)) + 1) / 2
    assert plain.mean() < 0.35


def test_a_measured_request_is_saved_with_its_spread(model: on.NeuralDenoiser, truth: Tensor, tmp_path: Path) -> None:
    samples = asked(model, 4, observation=png(tmp_path / "seen.png", truth, SEEN), label=(0,))
    folder = samples.save(tmp_path / "out")
    assert {"grid.png", "mean-and-std.png", "manifest.json"} <= {path.name for path in folder.iterdir()}
    assert samples.settings["observation"].endswith("seen.png")


def refused(match: str, **asked: Any) -> None:
    with pytest.raises(InputError, match=match):
        task("images").request(ImagesRequest(**asked), range(4), on.load("images/digits").origin.metadata)  # pyright: ignore[reportOptionalMemberAccess]


def test_bad_requests_say_what_is_wrong(truth: Tensor, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    refused(r"text.png: not a readable picture", observation=tmp_path / "text.png")
    refused("all pixels are transparent", observation=png(tmp_path / "none.png", truth, ~SEEN & SEEN))
    refused(r"is 4 × 8 pixels, expected 8 × 8$", observation=png(tmp_path / "half.png", truth[:, :4]))
    odd = png(tmp_path / "odd.png", truth[:, :3, :3])
    refused("is 3 × 3 pixels, expected 8 × 8 divided by a whole number", observation=odd, operator="blocks")
    refused("give one --label, or none", brightness=0.4, label=(1, 2))
    refused("--noise 0 holds pixels exactly", observation=odd, operator="blur", noise=0.0)
    refused(r"--brightness is 2.0, expected a number in \(0, 1\)", brightness=2.0)
