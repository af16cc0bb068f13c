"""How prompts are written, and how several of them weigh."""

import random
import re
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from ornstein.beliefs import Normal
from ornstein.denoisers.base import Condition, Denoiser, Guided
from ornstein.denoisers.composition import WEIGHTS, ClassifierFreeGuidance, ComposedPrompts, product
from ornstein.domains.images.vision.prompts import Phrase, parsed, said, terms, written
from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.states import State, Time
from ornstein.tasks.drawing import sample
from worlds import anisotropic


def test_phrases_styles_and_weights() -> None:
    assert parsed("a cat") == [[Phrase("a cat")]]
    assert parsed("a cat AND sunglasses:0.7") == [[Phrase("a cat"), Phrase("sunglasses", 0.7)]]
    assert parsed("a cat @noto AND a dog @fluent-emoji-flat : -1") == [
        [Phrase("a cat", 1.0, "noto"), Phrase("a dog", -1.0, "fluent-emoji-flat")]
    ]
    assert parsed("a cat TO a dog") == [[Phrase("a cat")], [Phrase("a dog")]]
    assert parsed("nine-thirty")[0][0].text == "nine-thirty"


@pytest.mark.parametrize(
    "text",
    [
        "meeting at 10:30",
        "a photo in 16:9",
        "BLACK AND WHITE photo",
        "TO BE OR NOT TO BE",
        "Psalm 23:4",
        "a cat: 10",
        "title: a cat",
        "a smile :)",
        "mail me@home.com",
        "look @ this",
        "C:\\pictures\\new",
        "sand and sea, to the left",
        "ANDROID TOY",
    ],
)
def test_what_is_no_operator_is_text(text: str) -> None:
    assert parsed(text) == [[Phrase(text)]]
    assert written(text) == text


def test_capitals_keep_weights_and_styles() -> None:
    assert parsed("USA:1.0 AND NASA") == [[Phrase("USA"), Phrase("NASA")]]
    assert parsed("NASA AND a cat") == [[Phrase("NASA"), Phrase("a cat")]]
    assert parsed("number 3 :0.7 AND a cat:2") == [[Phrase("number 3", 0.7), Phrase("a cat", 2.0)]]


def test_a_backslash_makes_a_sign_of_the_language_text() -> None:
    assert parsed(r"black \AND white AND a cat\:0.7 :0.5") == [[Phrase("black AND white"), Phrase("a cat:0.7", 0.5)]]
    assert parsed(r"a cat \@home") == [[Phrase("a cat @home")]]
    assert parsed(r"from here \TO there") == [[Phrase("from here TO there")]]
    assert parsed(r"a\\:0.5") == [[Phrase("a\\", 0.5)]]


QUOTED = ("a cat @home", "a cat:2", "a cat:nan", "a AND b", "x TO y TO z", r"a\:b \AND c", "a:", ":3", "AND", "\\")


@pytest.mark.parametrize("text", QUOTED)
def test_any_caption_can_be_written_as_a_prompt(text: str) -> None:
    assert parsed(written(text)) == [[Phrase(text)]]


def test_many_captions_can_be_written_as_prompts() -> None:
    dice = random.Random(0)
    for _ in range(2000):
        text = "".join(dice.choices(["AND", "TO", " ", ":", "@", "\\", "a", "B", "0.7", "3", "nan"], k=6)).strip()
        if text:
            assert parsed(written(text)) == [[Phrase(text)]]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("a cat AND", "an empty phrase"),
        ("AND a cat", "an empty phrase"),
        ("a AND AND b", "an empty phrase"),
        (":0.7", "an empty phrase"),
        ("a cat:nan", "':nan' is no weight, expected a number below 10"),
        ("a cat:inf", "':inf' is no weight"),
        ("a cat:1e5", "':1e5' is no weight"),
        ("a cat:0,7", "':0,7' is no weight"),
        ("a cat:.7", "':.7' is no weight"),
        ("a cat:10", "':10' is no weight"),
        ("a cat:", "':' is no weight"),
        ("a cat @noto:x", "':x' is no weight"),
        ("number 3:0.7", "':0.7' follows a digit: write ' :0.7' for a weight"),
        ("a cat:0.7 @noto", "a weight stands behind the class"),
        ("@noto on a mat", "@ names one class or style"),
        ("a cat @noto @twemoji", "@ names one class or style"),
    ],
)
def test_faults_of_writing_are_named(wrong: str, message: str) -> None:
    with pytest.raises(InputError, match="prompt .*" + re.escape(message)):
        parsed(wrong)


@pytest.mark.parametrize("wrong", ["", "a cat AND ", "a TO b TO c", " TO a cat"])
def test_empty_phrases_are_refused(wrong: str) -> None:
    with pytest.raises(InputError, match="prompt"):
        parsed(wrong)


def test_the_way_from_one_to_the_other() -> None:
    assert said("a cat TO a dog", 0.0) == [Phrase("a cat")]
    assert said("a cat TO a dog", 1.0) == [Phrase("a dog")]
    half = said("a cat TO a dog", 0.5)
    assert [phrase.weight for phrase in half] == [0.5, 0.5]
    assert terms(half, 3.0) == [-2.0, 1.5, 1.5]
    assert terms([], 3.0) == [1]


# Several prompts at once, on a world that knows labels 0 and 1 -----------------------------------------


@dataclass(frozen=True)
class Told(Guided):
    """A world in which label −1 says nothing, as it does to networks."""

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Normal:
        label = (condition or {}).get("label", torch.full((len(x_t),), -1))
        without, told = self.denoiser(x_t, t), self.denoiser(x_t, t, {"label": label.clamp(min=0)})
        assert isinstance(without, Normal)
        assert isinstance(told, Normal)
        return Normal(torch.where(label[:, None] < 0, without.mean, told.mean), None)


def world() -> Told:
    return Told(anisotropic())


def mean(denoiser: Denoiser, condition: Condition | None = None, t: float = 0.4, n: int = 50) -> Tensor:
    belief = denoiser(Keys.of(5, n).normal(2), t, condition)
    assert isinstance(belief, Normal)
    return belief.mean


def asked(weights: list[float], n: int = 50) -> dict[str, Tensor]:
    return {"label": torch.tensor([[-1, 0, 1]]).expand(n, -1), WEIGHTS: torch.tensor([weights]).expand(n, -1)}


def test_several_prompts_are_what_they_are_made_of() -> None:
    """One: guidance. Two at weight 1: their product over what nothing says. Each sample has its own."""
    one, several = world(), world() & ComposedPrompts(("label",), 3)
    guided, both = mean(one & ClassifierFreeGuidance({"label": 0}, 3.0)), product(
        one & ClassifierFreeGuidance({"label": 0}), one & ClassifierFreeGuidance({"label": 1}), one
    )  # fmt: skip
    assert torch.allclose(mean(several, asked([-2.0, 3.0, 0.0])), guided)
    assert torch.allclose(mean(several, asked([-1.0, 1.0, 1.0])), mean(both))
    assert not torch.allclose(mean(several, asked([-1.0, 1.0, 1.0])), guided, atol=1e-3)  # the broken twin
    mixed = {
        name: torch.cat([asked([-2.0, 3.0, 0.0])[name][:25], asked([-1.0, 1.0, 1.0])[name][25:]])
        for name in asked([1.0, 0, 0])
    }
    assert torch.allclose(mean(several, mixed), torch.cat([guided[:25], mean(both)[25:]]))


def test_outside_of_the_interval_prompts_condition_without_guidance() -> None:
    late = world() & ComposedPrompts(("label",), 3, (0.0, 0.3))
    assert torch.allclose(mean(late, asked([-2.0, 3.0, 0.0])), mean(world() & ClassifierFreeGuidance({"label": 0})))
    assert torch.allclose(
        mean(late, asked([-2.0, 3.0, 0.0]), 0.2), mean(world() & ClassifierFreeGuidance({"label": 0}, 3.0), t=0.2)
    )
    assert torch.allclose(mean(late, asked([1.0, 0.0, 0.0])), mean(world()))


def test_a_negative_prompt_is_what_the_others_are_measured_against() -> None:
    one = world()
    said = {"label": torch.tensor([[1, 0]]).expand(50, -1), WEIGHTS: torch.tensor([[-1.0, 2.0]]).expand(50, -1)}
    two = [mean(one & ClassifierFreeGuidance({"label": label})) for label in (0, 1)]
    assert torch.allclose(mean(one & ComposedPrompts(("label",), 2), said), 2 * two[0] - two[1])


def test_samples_do_not_depend_on_the_batch() -> None:
    several = world() & ComposedPrompts(("label",), 3)
    condition = {
        "label": torch.tensor([[-1, 0, 1]] * 6),
        WEIGHTS: torch.tensor([[0.0, 1 - k / 5, k / 5] for k in range(6)]),
    }
    whole = sample(several, 6, 8, condition=condition).x
    assert torch.allclose(sample(several, 6, 8, condition=condition, batch_size=2).x, whole)
