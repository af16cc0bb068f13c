"""Pictures of captions, judged part by part: the same as all together, whatever is asked for in the last part."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from folders import origin
from ornstein import InputError
from ornstein.domains.images import metrics
from ornstein.domains.images.captioned import CaptionJudge
from ornstein.domains.images.data import Captioned
from ornstein.domains.images.vision import captions
from ornstein.domains.images.vision.held_out import among_first
from ornstein.domains.images.vision.judges import Judge
from ornstein.keys import Keys
from ornstein.spaces import Euclidean
from ornstein.tasks.figures import Metric
from ornstein.tasks.judging import scored
from ornstein.tasks.samples import Samples
from worlds import rejected

LEARNED = ["cat", "dog", "fish", "owl", "rose", "kite", "green apple"]
NEW = ["penguin", "violin", "volcano", "taco", "sloth", "shield", "axe", "bus", "jar", "metro", "hook", "cook"]


class Reader(nn.Module):
    """Sees at once what a picture made of its caption's direction says."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.flatten(1), x.flatten(1)


def pictures(names: list[str]) -> Tensor:
    return captions.whole(captions.encoded(names)).reshape(-1, 3, 8, 16)


def records(names: list[str]) -> Captioned:
    which = torch.arange(len(names))[:, None].repeat(1, 2)
    return Captioned(pictures(names), which, torch.zeros(len(names), dtype=torch.long), names, {"classes": 0})


def judge(reads: bool = True) -> CaptionJudge:
    network = Judge(Reader(), Euclidean((3, 8, 16)), "caption", True)
    return CaptionJudge(records(LEARNED), records(NEW), network if reads else None)


def drawn(names: list[str], prompts: list[str], noise: float = 0.03) -> Samples:
    """Pictures of what the names say, asked for by the prompts."""
    x = pictures(names) + noise * Keys.of(1, len(names)).normal(3, 8, 16).float()
    return Samples(x, origin=origin("images"), each={"prompts": prompts, "labels": [0] * len(names)})


def library() -> Samples:
    """The last part asks for what no real picture shows, which competes with the captions of all parts."""
    names = [*LEARNED, *NEW] * 2
    return drawn(names, [*names[:-2], "red heart", "red heart"])


def of(samples: Samples, size: int, reads: bool = True) -> list[Metric]:
    parts: Iterator[Samples] = (samples[k : k + size] for k in range(0, len(samples), size))
    return scored(judge(reads), len(samples), lambda: iter([samples.each]), parts)


def same(found: list[Metric], expected: list[Metric]) -> None:
    assert [one.name for one in found] == [one.name for one in expected]
    for one, other in zip(found, expected, strict=True):
        for number in ("value", "reference", "error"):
            ours, theirs = getattr(one, number), getattr(other, number)
            assert ours == theirs or ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("reads", [True, False])
def test_parts_are_judged_as_the_whole(reads: bool) -> None:
    samples = library()
    whole = of(samples, len(samples), reads)
    for size in (1, 7):
        same(of(samples, size, reads), whole)
    rejected(same, of(samples[:-3], 7, reads), whole)  # the last part is forgotten


def test_the_whole_is_what_all_pictures_together_say() -> None:
    samples = library()
    first, ten, *alike, new = of(samples, 7)
    known = sorted({*LEARNED, *NEW, "red heart"})
    seen = torch.nn.functional.normalize(samples.x.flatten(1), dim=1) @ pictures(known).flatten(1).T
    own = seen[range(len(samples)), [known.index(text) for text in samples.each["prompts"]]]
    ranks = (seen > own[:, None]).sum(1)
    for row, k in ((first, 1), (ten, 10)):
        assert row.name == f"caption among the first {k} of 20"
        assert (row.value, row.error) == pytest.approx(among_first(ranks, samples.each["prompts"], k))
    assert 0.5 < first.value < 0.95  # of those asked for, two are shown by no picture
    real = torch.cat([records(part).shown()[0] for part in (LEARNED, NEW)])
    network = Judge(Reader(), Euclidean((3, 8, 16)), "caption", True)
    expected = [one.value for one in metrics.likeness(network, samples.x, real)]
    assert [one.value for one in alike] == pytest.approx(expected, rel=1e-5)
    assert new.value == pytest.approx(metrics.distances(samples.x, pictures(LEARNED)).median().item(), rel=1e-5)


def test_held_out_captions_compete_among_themselves() -> None:
    """A judge that reads finds every picture; the broken twin, pictures of other captions, is found like chance."""
    first, ten, new = of(drawn(NEW * 2, NEW * 2, 0.0), 5)
    assert first.name == "held-out caption among the first 1 of 12"
    assert (first.value, first.error, first.reference, ten.value) == (1, 0, 1, 1)
    assert new.name == "held-out captions: distance to the nearest training picture"
    wrong = of(drawn(NEW, NEW[1:] + NEW[:1], 0.0), 5)[0]
    assert wrong.value == 0
    assert wrong.measured == "0 ± 0"
    assert wrong.yardstick == "1 ± 0 (held-out real pictures)"
    mixed = of(drawn([*NEW, "cat"], [*NEW, "cat"], 0.0), 5)[0]  # one that was learned, in the last part
    assert mixed.name == "caption among the first 1 of 19"


def test_pictures_in_another_style_or_of_no_prompt() -> None:
    samples = library()
    with pytest.raises(InputError, match="--label openmoji"):
        of(replace(samples, each={**samples.each, "labels": [0] * 37 + [1]}), 7)
    plain = of(replace(samples, each={}), 7)
    assert [one.name for one in plain] == [one.name for one in of(samples, 7)[2:]]  # nothing was asked for
