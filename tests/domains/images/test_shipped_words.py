"""What comes along: emoji from words, clothes by class, and the judges that say how good they are."""

from dataclasses import replace

import pytest

import ornstein as on
from ornstein import InputError
from ornstein.domains.images import data, metrics
from ornstein.domains.images.task import ImagesRequest
from ornstein.domains.images.vision.held_out import unlearned
from ornstein.domains.images.vision.judges import Contest
from ornstein.tasks import requests
from ornstein.tasks.registry import task


@pytest.fixture(scope="module")
def emoji() -> on.Samples:
    return requests.draw(on.load("images/openmoji"), ImagesRequest(), 32, steps=8)


@pytest.fixture(scope="module")
def clothes() -> on.Samples:
    return requests.draw(on.load("images/fashion"), ImagesRequest(), 50, steps=8)


def test_emoji_show_what_they_should(emoji: on.Samples) -> None:
    """By the median rank of the caption; the broken twin asks for the captions of others."""
    judge, (_, names) = metrics.judge_of("openmoji"), metrics.openmoji()
    assert judge is not None
    said = list(emoji.each["prompts"])
    contest = Contest.of(judge, [*names, *said])
    right, wrong = (float(contest.ranks(emoji.x, one).double().median()) for one in (said, said[16:] + said[:16]))
    assert right < 0.6 * wrong


def test_emoji_are_scored_beside_real_ones(emoji: on.Samples) -> None:
    rows = task("images").evaluate(emoji)
    assert [row.name.split(" of ")[0] for row in rows] == [
        "caption among the first 1", "caption among the first 10", "Fréchet distance", "precision", "recall",
        "distance to the nearest training picture",
    ]  # fmt: skip
    assert all(row.reference is not None for row in rows)
    assert rows[1].reference == pytest.approx(0.2375, abs=0.002)  # of real pictures
    with pytest.raises(InputError, match="--label openmoji"):
        task("images").evaluate(replace(emoji, each={**emoji.each, "labels": [1] * 32}))


def test_emoji_say_which_captions_they_never_saw() -> None:
    origin = on.load("images/openmoji").origin
    assert origin is not None
    learned, new = origin.metadata["captions"], origin.metadata["held-out captions"]
    assert len(new) == len(unlearned(new, learned)) == 86
    drawn = task("images").request(ImagesRequest(captions="held-out"), range(86), origin.metadata)
    assert sorted(drawn.each["prompts"]) == new


@pytest.mark.slow
def test_held_out_captions_are_judged_among_themselves() -> None:
    """Real pictures reach their own yardstick; the broken twin says the caption of another one of each."""
    _, held_out = data.load("openmoji")
    assert isinstance(held_out, data.Captioned)
    x, names = held_out.shown()
    origin = on.load("images/openmoji").origin
    assert origin is not None
    assert origin.metadata["held-out captions"] == held_out.metadata["held-out captions"] == sorted(names)
    each = {"prompts": names, "labels": [0] * len(x)}
    real = on.Samples(x, origin=origin, each=each)
    rows = task("images").evaluate(real)
    assert [row.name for row in rows] == [
        "held-out caption among the first 1 of 86", "held-out caption among the first 10 of 86",
        "held-out captions: distance to the nearest training picture",
    ]  # fmt: skip
    assert [row.value for row in rows] == [row.reference for row in rows]
    assert rows[1].measured == "0.4186 ± 0.054"
    wrong = task("images").evaluate(replace(real, each={**each, "prompts": names[1:] + names[:1]}))[1]
    assert wrong.reference == rows[1].reference
    assert wrong.value < 10 / 86 + 3 * (10 / 86 * 76 / 86 / 86) ** 0.5  # chance


def test_clothes_are_of_their_class(clothes: on.Samples) -> None:
    judge = metrics.judge_of("fashion")
    assert judge is not None
    label = clothes.condition["label"]
    assert judge.agreement(clothes.x, label) > 0.7
    assert judge.agreement(clothes.x, (label + 1) % 10) < 0.3  # the broken twin


def test_clothes_are_scored_without_the_whole_data(clothes: on.Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ornstein.domains.images.vision.fashion.installed", lambda: False)
    assert clothes.origin is not None
    train, held_out = data.yardstick("fashion", 0, clothes.origin.metadata)
    assert len(train) == len(held_out) == 1500
    rows = {row.name: row for row in task("images").evaluate(clothes)}
    assert rows["class agreement"].reference == pytest.approx(0.87, abs=0.03)
    noise = replace(clothes, x=on.Keys.of(0, 50).normal(1, 28, 28).float())
    worse = {row.name: row for row in task("images").evaluate(noise)}
    assert worse["Fréchet distance"].value > 3 * rows["Fréchet distance"].value


def test_a_judge_draws_nothing() -> None:
    with pytest.raises(InputError, match="draws nothing"):
        on.load("images/openmoji-judge")
