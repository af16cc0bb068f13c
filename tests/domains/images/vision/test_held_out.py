"""Captions that no training picture has: which they are, how they are drawn, and how surely they are found."""

import pytest
import torch

from ornstein import InputError
from ornstein.domains.images import data, metrics
from ornstein.domains.images.task import EACH, Images, ImagesRequest
from ornstein.domains.images.vision.folders import Pictures
from ornstein.domains.images.vision.held_out import among_first, plain, unlearned
from ornstein.keys import Keys

METADATA = {"shape": [3, 8, 8], "classes": 0, "caption": 384, "captions": ["red heart", "green apple"]}


def test_captions_are_the_same_whatever_case_and_article() -> None:
    assert plain("An  Apple") == plain("apple") == plain("the apple")
    assert plain("another apple") != plain("apple")
    assert plain("theatre") == "theatre"
    assert unlearned(["Fish", "a tree", "dog", "fish", "dog"], ["a fish", "TREE"]) == ["dog"]


def test_the_error_is_that_of_captions_and_not_of_pictures() -> None:
    """Over 400 sets of 40 captions, 6 pictures each, found together; the broken twin takes pictures for independent."""
    captions = [str(k) for k in range(40) for _ in range(6)]
    easy = (Keys.of(0, 400).uniform(40) < 0.4).repeat_interleave(6, 1)
    same = Keys.of(1, 400).uniform(240) < 0.9  # few are not as the others of their caption
    ranks = torch.where(easy == same, 0, 50)
    found = [among_first(one, captions, 10) for one in ranks]
    shares = torch.tensor([share for share, _ in found])
    errors = torch.tensor([error for _, error in found if error is not None])
    alone = torch.tensor([share * (1 - share) / 240 for share in shares])
    assert errors.square().mean().sqrt().item() == pytest.approx(shares.std().item(), rel=0.12)  # 3.4 standard errors
    assert alone.mean().sqrt() < 0.6 * shares.std()


def test_one_picture_a_caption_has_the_binomial_error() -> None:
    ranks = torch.tensor([0, 3, 12, 40])
    assert among_first(ranks, list("abcd"), 10) == (0.5, pytest.approx((0.25 / 3) ** 0.5))
    assert among_first(ranks, list("aaaa"), 10) == (0.5, None)


def test_held_out_captions_are_drawn_in_turn() -> None:
    new = ["comet", "kite", "owl"]
    request = Images().request(ImagesRequest(captions="held-out"), range(6), {**METADATA, "held-out captions": new})
    assert sorted(request.each["prompts"][:3]) == new
    assert request.each["prompts"][:3] == request.each["prompts"][3:]
    learned = Images().request(ImagesRequest(captions="learned"), range(2), METADATA)
    assert learned.each == Images().request(ImagesRequest(), range(2), METADATA).each
    judged = Images().judged_on({**METADATA, "held-out captions": new})
    assert judged == [(ImagesRequest(), 1000), (ImagesRequest(captions="held-out"), EACH * 3)]
    assert Images().judged_on(METADATA) == [(ImagesRequest(), 1000)]


def test_held_out_captions_that_a_model_does_not_have_are_refused() -> None:
    asked = ImagesRequest(captions="held-out")
    with pytest.raises(InputError, match="before models kept"):
        Images().request(asked, range(2), METADATA)
    with pytest.raises(InputError, match="none is held out"):
        Images().request(asked, range(2), {**METADATA, "held-out captions": []})
    with pytest.raises(InputError, match="trained with captions"):
        Images().request(asked, range(2), {"shape": [1, 8, 8], "classes": 10})
    with pytest.raises(InputError, match="--captions takes"):
        Images().request(
            ImagesRequest(captions="held-out", brightness=0.5), range(2), {**METADATA, "held-out captions": ["owl"]}
        )
    with pytest.raises(InputError, match="give one of the two"):
        ImagesRequest(captions="held-out", prompt=("a cat",))


def test_a_model_that_knows_its_pictures_by_heart_is_said_to() -> None:
    learned, unseen, drawn = (Keys.of(seed, 20).normal(1, 4, 4) for seed in range(3))
    assert "memorised" in metrics.novelty(metrics.distances(learned + 0.1 * drawn, learned), learned, unseen).meaning
    assert "memorised" not in metrics.novelty(metrics.distances(drawn, learned), learned, unseen).meaning


def test_data_name_the_captions_that_they_hold_out() -> None:
    pixels = torch.arange(20 * 4, dtype=torch.uint8).reshape(20, 2, 2, 1).numpy()
    names = [f"thing {k}" for k in range(20)]
    pictures = Pictures(pixels, [(name,) for name in names], None, ())
    train, held_out = data._captioned(pictures, "a test", names, 0.3, "test")
    learned, others = (part.shown()[1] for part in (train, held_out))
    assert held_out.metadata["held-out captions"] == sorted(plain(name) for name in others)
    assert len(others) >= 2
    assert not {plain(name) for name in learned} & {plain(name) for name in others}
