"""Pictures with captions, from a user's folder to samples of prompts: nothing needs the text encoder here."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import ornstein as on
from ornstein import InputError
from ornstein.config import TrainConfig, update
from ornstein.denoisers.composition import WEIGHTS
from ornstein.domains.images import data
from ornstein.domains.images.requests import GUIDANCE, ImagesRequest
from ornstein.domains.images.task import ImagesConfig
from ornstein.networks import PatchTransformerConfig, UNetConfig
from ornstein.tasks import requests, runs
from ornstein.tasks.samples import read_samples

COLOURS = {"red heart": (230, 20, 20), "green apple": (30, 200, 40)}
TRAIN = TrainConfig(steps=60, batch_size=16, learning_rate=3e-3, warmup=5, ema=0.9, plan=(), validate_every=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty squares of each colour, large in one style and small in the other."""
    root = tmp_path_factory.mktemp("squares")
    rows = ["file_name,text,label"]
    for k in range(40):
        text, small = list(COLOURS)[k % 2], k % 4 < 2
        pixels = np.full((8, 8, 3), 255, np.uint8)
        side = slice(2, 6) if small else slice(0, 8)
        pixels[side, side] = COLOURS[text]
        Image.fromarray(pixels).save(root / f"{k:02d}.png")
        rows.append(f"{k:02d}.png,{text},{'small' if small else 'large'}")
    (root / "metadata.csv").write_text("\n".join(rows))
    return root


@pytest.fixture(scope="module", params=["unet", "transformer"])
def model(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> on.NeuralDenoiser:
    config = ImagesConfig(
        data=str(folder),
        size=8,
        architecture=request.param,
        network=UNetConfig(16, (1, 2), 1, (1,)),
        transformer=PatchTransformerConfig(32, 2, 4, 2),
        train=TRAIN,
    )
    out = tmp_path_factory.mktemp("run")
    return on.load(runs.train("images", "squares", config, out).parent)


def drawn(model: on.NeuralDenoiser, n: int = 6, **asked: Any) -> on.Samples:
    return requests.draw(model, ImagesRequest(**asked), n, steps=6)


def redness(samples: on.Samples) -> torch.Tensor:
    """Red minus green in the middle of each picture."""
    middle = samples.x[:, :, 3:5, 3:5].mean((2, 3))
    return middle[:, 0] - middle[:, 1]


def test_pictures_are_what_the_prompt_says(model: on.NeuralDenoiser) -> None:
    red, green = (drawn(model, prompt=(text,), label=("large",)) for text in COLOURS)
    assert red.settings["guidance"] == GUIDANCE
    assert redness(red).mean() > 0.3
    assert redness(green).mean() < -0.3  # and the broken twin of the line before


def test_prompts_and_styles_take_turns(model: on.NeuralDenoiser) -> None:
    samples = drawn(model, prompt=("red heart", "green apple"), label=("large", "small"))
    assert samples.each["prompts"] == ["red heart", "green apple"] * 3
    assert samples.each["labels"] == [0, 0, 1, 1, 0, 0] or samples.each["labels"] == [1, 1, 0, 0, 1, 1]
    reds = redness(samples)
    assert (reds[::2] > reds[1::2]).all()


def test_from_one_to_another(model: on.NeuralDenoiser) -> None:
    samples = drawn(model, 31, prompt=("red heart TO green apple",), guidance=2.0, way=31)
    weights = samples.condition[WEIGHTS]
    assert torch.allclose(weights.sum(1), torch.ones(31))
    assert weights[0].tolist() == [-1, 2, 0]
    assert torch.allclose(weights[15], torch.tensor([-1.0, 1.0, 1.0]))
    reds = redness(samples)
    assert reds[:10].mean() > reds[-10:].mean() + 0.3


def test_away_from_what_is_not_wanted(model: on.NeuralDenoiser) -> None:
    plain, away = (drawn(model, 24, prompt=("green apple",), negative=text, guidance=1.5) for text in ("", "red heart"))
    assert redness(away).mean() < redness(plain).mean()


def test_files_are_named_by_what_they_show_and_come_back(model: on.NeuralDenoiser, tmp_path: Path) -> None:
    samples = drawn(model, 4, prompt=("red heart AND green apple:0.5", "green apple @small"))
    folder = samples.save(tmp_path / "out")
    assert (folder / "00000-red-heart-and-green-apple-0-5.png").exists()
    back = read_samples(folder)
    assert back.each["prompts"] == samples.each["prompts"]
    assert (back.x - samples.x.clamp(-1, 1)).abs().max() < 0.005
    assert back.condition["label"].tolist() == samples.each["labels"]


def test_beginning_with_a_picture(model: on.NeuralDenoiser, folder: Path) -> None:
    """A little noise leaves it, much forgets it."""
    reference = folder / "00.png"
    picture = data.from_bytes(np.asarray(Image.open(reference))[None])
    near, far = (
        (drawn(model, prompt=("green apple",), reference=reference, strength=strength).x - picture).abs().mean()
        for strength in (0.1, 0.9)
    )
    assert near < 0.5 * far


def test_drawing_anew_behind_a_mask(model: on.NeuralDenoiser, folder: Path, tmp_path: Path) -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[:, 4:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    known = drawn(model, prompt=("red heart",), observation=folder / "01.png", mask=tmp_path / "mask.png", noise=0.0)
    picture = data.from_bytes(np.asarray(Image.open(folder / "01.png"))[None])
    assert torch.equal(known.x[..., :4], picture[..., :4].expand(6, -1, -1, -1))
    assert not torch.allclose(known.x[..., 4:], picture[..., 4:].expand(6, -1, -1, -1), atol=0.05)


def test_autoguidance_by_a_weaker_run(model: on.NeuralDenoiser, tmp_path: Path) -> None:
    """It changes the picture; at scale 1 it does not count."""
    assert model.origin is not None
    plain = drawn(model, prompt=("red heart",))
    config = update(ImagesConfig(), model.origin.config, "origin")
    config = replace(config, train=replace(config.train, steps=2))
    weak = runs.train("images", "weak", config, tmp_path / "weak").parent
    guided = drawn(model, prompt=("red heart",), weak_model=weak)
    assert not torch.allclose(guided.x, plain.x, atol=1e-2)
    assert torch.allclose(drawn(model, prompt=("red heart",), weak_model=weak, autoguidance=1.0).x, plain.x, atol=1e-4)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"prompt": ("red heart @tiny",)}, "prompt: @tiny: this model knows (large, small|small, large)"),
        ({"label": ("7",)}, "--label 7"),
        ({"prompt": (" AND ",)}, "an empty phrase"),
        ({"prompt": ("red heart", "green apple"), "brightness": 0.5}, "one --prompt and --label at most"),
    ],
)
def test_what_is_refused(model: on.NeuralDenoiser, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        drawn(model, **asked)


def test_models_without_captions_take_no_prompts() -> None:
    with pytest.raises(InputError, match="trained with captions"):
        requests.draw(on.load("images/digits"), ImagesRequest(prompt=("red heart",)), 2)
    with pytest.raises(InputError, match="--mask is for --observation: give it, too"):
        ImagesRequest(mask=Path("mask.png"))
