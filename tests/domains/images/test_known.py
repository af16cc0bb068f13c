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


ANGLES = np.arange(4) * 45.0


def rays(path: Path, picture: Tensor, **other: Any) -> Path:
    """The line integrals of a picture's brightness, from 0 to 1."""
    seen = on.operators.Radon(ANGLES, 8)((picture[None] + 1) / 2)[0, 0]
    np.savez(path, **{"sinogram": seen.numpy(), "angles": ANGLES, **other})
    return path


@pytest.mark.slow
def test_a_picture_comes_back_from_a_few_views(model: on.NeuralDenoiser, truth: Tensor, tmp_path: Path) -> None:
    path = rays(tmp_path / "rays.npz", truth)
    lines, angles = data.sinogram(path, [1, 8, 8])
    seen = on.operators.Radon(angles, 8)
    assert torch.allclose(lines, seen(truth[None])[0], atol=1e-5)  # of the model's picture, from −1 to 1
    samples = requests.draw(model, ImagesRequest(observation=path, operator="rays", noise=0.2), 3, steps=5)
    assert float((seen(samples.x) - lines).std()) < 0.8
    assert error(samples, truth) < 0.5


def test_files_of_rays_are_checked(truth: Tensor, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"operator": "rays"}
    refused("not an .npz file", observation=png(tmp_path / "seen.png", truth), **asked)
    few = rays(tmp_path / "few.npz", truth, angles=ANGLES[:3])
    refused(r"few.npz: sinogram \(4, 8\) and angles \(3,\), expected \(angles, detectors\)", observation=few, **asked)
    hole = rays(tmp_path / "hole.npz", truth, sinogram=np.full((4, 8), np.nan))
    refused("hole.npz: holds numbers that are not finite", observation=hole, **asked)
    refused("--mask is of pixels", observation=few, mask=few, **asked)
    refused("through a blur, blocks or rays", observation=few, noise=0.0, **asked)


def test_without_noise_pixels_hold_exactly(model: on.NeuralDenoiser, truth: Tensor, tmp_path: Path) -> None:
    path = png(tmp_path / "seen.png", truth, SEEN)
    x = asked(model, 4, observation=path, noise=0.0).x
    assert (x[:, SEEN] == data.measured(path, 1)[0][SEEN]).all()


@pytest.mark.slow
def test_ink_is_what_was_asked_for(model: on.NeuralDenoiser) -> None:
    guided = model & on.images.label(3) & on.images.Brightness(0.4, n=64)
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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: on.images.label(17), "label 17: this model knows the classes 0 to 9"),
        (lambda x: on.images.label("three"), "label three: this model knows the classes 0 to 9"),
        (lambda x: on.images.label(3, float("nan")), "label: scale is nan, expected a number of 0 or more"),
        (lambda x: on.images.label(3, 1.0, (0.8, 0.2)), r"label: interval is \(0.8, 0.2\), expected two times"),
        (lambda x: on.images.prompt("a cat"), "prompt: needs a model that knows its caption"),
        (lambda x: on.images.inpainted(x, SEEN[:, :4]), r"the mask is \(1, 4, 8\), expected \(8, 8\) or \(1, 8, 8\)"),
        (lambda x: on.images.inpainted(x, SEEN.expand(3, 8, 8)), r"the mask is \(3, 8, 8\)"),
        (lambda x: on.images.inpainted(x, SEEN * 0.5), "the mask holds more than 0"),
        (lambda x: on.images.inpainted(x, None), "the mask is a NoneType .*expected numbers"),
        (lambda x: on.images.inpainted(None, SEEN), "the picture is a NoneType .*expected numbers"),
        (lambda x: on.images.inpainted(x[:, :4, :4], SEEN[:, :4, :4]), r"is about pictures of shape \(1, 4, 4\)"),
        (lambda x: on.images.inpainted(127.5 * (x + 1), SEEN), "has values of 0 to 239.062, expected −1"),
        (lambda x: on.images.blurred(x, 1e9), "the width is 1000000000.0, expected a number of pixels up to .* 8"),
        (lambda x: on.images.blurred(x, float("nan")), "the width is nan"),
        (lambda x: on.images.coarse(x, True), "size is True"),
        (lambda x: on.images.projected(x, [0.0]), r"the sinogram is \(1, 8, 8\) of torch.float32 at 1 angles"),
        (lambda x: on.images.projected(x.expand(3, 8, 8), ANGLES.tolist() * 2), "square pictures of 3 channels"),
    ],
)
def test_what_python_is_told_is_checked(model: on.NeuralDenoiser, truth: Tensor, make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _ = model & make(truth)


@pytest.mark.parametrize("seen", [SEEN, SEEN[0], SEEN.long(), SEEN[0].double(), SEEN.numpy(), SEEN[0].int().tolist()])
def test_masks_of_every_kind_mean_the_same(model: on.NeuralDenoiser, truth: Tensor, seen: Any) -> None:
    """An integer mask measured other pixels than it said."""
    expected, found = (
        on.sample(model & on.images.inpainted(picture, mask, 0.0), 2, 2).x
        for picture, mask in ((truth, SEEN), (truth[0].numpy(), seen))
    )
    assert found.equal(expected)
    assert (found[:, SEEN] == truth[SEEN]).all()


@pytest.mark.parametrize(
    ("weak", "message"),
    [
        ("images/fashion", r"--weak-model images/fashion: shape is \[1, 28, 28\], expected \[1, 8, 8\]"),
        ("energies/gmm-40", "--weak-model energies/gmm-40: draws Euclidean states, expected a model of pictures"),
    ],
)
def test_weaker_models_of_other_things_are_refused(weak: str, message: str) -> None:
    refused(message, weak_model=Path(weak))


def test_a_blur_wider_than_the_picture_is_refused(truth: Tensor, tmp_path: Path) -> None:
    """It asked for 48 GB."""
    path = png(tmp_path / "hazy.png", truth)
    refused("blur is 1000000000.0, expected", observation=path, operator="blur", blur=1e9)
