"""What prompts and captions ask for, without a network or an encoder."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein import InputError
from ornstein.denoisers.composition import WEIGHTS
from ornstein.domains.images.captioned import _words
from ornstein.domains.images.task import ImagesRequest
from ornstein.domains.images.vision import captions
from ornstein.tasks.registry import task
from ornstein.tasks.task import Request

CAPTIONS = ["a cat: 10", "a cat @home", "a clock at 10:30", "BLACK AND WHITE photo", "a cat AND a dog"]
FACTS: dict[str, Any] = {"shape": [3, 8, 8], "classes": 0, "labels": [], "caption": 384, "captions": CAPTIONS}


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that the encoder is given."""
    texts: list[str] = []

    def computed(new: Sequence[str]) -> list[Tensor]:
        texts.extend(new)
        return [torch.ones(2, 384) for _ in new]

    monkeypatch.setattr(captions, "computed", computed)
    return texts


def asked(*prompts: str, n: int = 5, **more: Any) -> Request:
    return task("images").request(ImagesRequest(prompt=prompts, **more), range(n), FACTS)


def test_captions_of_the_data_are_texts_as_they_are(heard: list[str]) -> None:
    request = asked()
    assert sorted(heard) == sorted(CAPTIONS)
    assert request.condition[WEIGHTS].tolist() == [[-2.0, 3.0]] * 5
    assert sorted(map(_words, request.each["prompts"])) == sorted(CAPTIONS)  # as scores read them


def test_prompts_are_the_language_and_captions_are_not(heard: list[str]) -> None:
    """The broken twin: the same words as a prompt are two phrases."""
    assert asked("a cat AND a dog").condition[WEIGHTS].tolist() == [[-5.0, 3.0, 3.0]] * 5
    assert asked(r"a cat \AND a dog").condition[WEIGHTS].tolist() == [[-2.0, 3.0]] * 5
    assert set(heard) == {"a cat", "a dog", "a cat AND a dog"} - set(captions.kept())


def test_faults_of_writing_are_told_before_unknown_words() -> None:
    for wrong in ("a purple cow AND", "a purple cow:nan"):
        with pytest.raises(InputError, match=r"^prompt 'a purple cow"):
            asked(wrong)
    with pytest.raises(InputError, match=r"prompt: @noto: this model knows no classes; \\@ is the sign"):
        asked("a purple cow @noto")


def test_a_way_needs_two_ends(heard: list[str]) -> None:
    with pytest.raises(InputError, match="--way counts"):
        asked("FROM HERE TO THERE", way=3)
    assert asked("here TO there", way=5, n=5).condition[WEIGHTS][:, 1:].tolist()[0] == [3.0, 0.0]
