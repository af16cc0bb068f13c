"""Sequences that are written as they are drawn and judged part by part: the same as all of them together."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from folders import origin
from ornstein.domains.sequences import data, judging, metrics
from ornstein.domains.sequences.judging import SequenceJudge
from ornstein.domains.sequences.store import FASTA
from ornstein.domains.sequences.task import Sequences
from ornstein.keys import Keys
from ornstein.tasks.figures import Metric
from ornstein.tasks.samples import Samples, read_manifest, read_samples
from ornstein.training.datasets import Arrays
from worlds import rejected

N = 90


known = cache(data.load)


def letters(part: Arrays) -> Tensor:
    assert isinstance(part.x, Tensor)
    return part.x


def mixed(family: str) -> tuple[Tensor, Arrays, Arrays]:
    """Records of a family, some of them with letters of others, and the two parts of its data."""
    train, held_out = known(family)
    x = letters(train)[:N].clone()
    other = Keys.of(3, N).uniform(x.shape[1]) < 0.2
    return torch.where(other, x.roll(1, 0), x), train, held_out


def judged(judge: SequenceJudge, *parts: Tensor) -> list[Metric]:
    for part in parts:
        judge.add(Samples(part))
    return judge.metrics()


def require_same(found: list[Metric], expected: list[Metric]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-12)
        assert vars(one) | {"value": 0} == vars(other) | {"value": 0}


@pytest.mark.parametrize("family", ["riboswitch", "start-sites"])
def test_parts_are_judged_as_the_whole(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, train, held_out = mixed(family)
    monkeypatch.setattr(judging, "_ROWS", 64)
    whole = judged(SequenceJudge(train, held_out, {}), x)
    assert [one.name for one in whole[:1]] + [whole[-1].name] == ["pair-frequency agreement", "letters misplaced"]
    require_same(judged(SequenceJudge(train, held_out, {}), *x.split([1, 60, 29])), whole)
    rejected(require_same, judged(SequenceJudge(train, held_out, {}), x[:60]), whole)


def test_folds_are_counted_part_by_part() -> None:
    train, held_out = known("riboswitch")
    target, texts = "((((....))))", ["GGGGAAAACCCC", "GGGGAAAACCCC", "AAAAAAAAAAAA"]
    judge = SequenceJudge(train, held_out, {"fold": target})
    folding = next(tally for tally in judge._tallies if isinstance(tally, judging._Folding))
    x = data.from_text(texts, "ACGU-", "test")
    for part in x.split([1, 2]):
        folding.add(part, None)
    solved, defect = folding.metrics()
    assert solved.value == pytest.approx(2 / 3)
    assert defect.value == pytest.approx(sum(metrics.defect(text, target) for text in texts) / 3)


def test_scores_are_those_of_the_formulae() -> None:
    x, train, held_out = mixed("riboswitch")
    real, alphabet, metadata = letters(held_out), train.metadata["alphabet"], train.metadata
    found = {one.name: one.value for one in judged(SequenceJudge(train, held_out, {}), *x.split(40))}

    def covariances(x: Tensor) -> Tensor:
        code = torch.nn.functional.one_hot(x, len(alphabet)).double()
        code = (code - code.mean(0)).flatten(1)
        far = torch.triu(torch.ones(x.shape[1], x.shape[1], dtype=torch.bool), 1)
        return (
            (code.T @ code / len(x))
            .unflatten(1, (x.shape[1], -1))
            .unflatten(0, (x.shape[1], -1))[far.nonzero()[:, 0], :, far.nonzero()[:, 1]]
            .flatten()
        )

    def identity(a: Tensor, b: Tensor) -> Tensor:
        gap = alphabet.index("-")
        both = (a[:, None] == gap) & (b == gap)
        return ((a[:, None] == b) & ~both).sum(-1) / (~both).sum(-1)

    expected = torch.corrcoef(torch.stack([covariances(x), covariances(real)]))[0, 1].item()
    assert found["pair-frequency agreement"] == pytest.approx(expected, abs=1e-9)
    assert found["pairs satisfied"] == pytest.approx(metrics.satisfied(x, metadata).double().mean().item(), abs=1e-12)
    novel = identity(x, letters(train)).amax(1)
    assert found["nearest identity to training data"] == novel.median().item()
    assert found["copies of training data"] == (novel == 1).double().mean().item()
    assert found["nearest identity among the samples"] == identity(x, x).fill_diagonal_(0).amax(1).median().item()
    away = (torch.bincount(x.flatten(), minlength=5) / x.numel() - torch.bincount(real.flatten()) / real.numel()).abs()
    assert found["letters misplaced"] == pytest.approx(away.sum().item() / 2, abs=1e-6)


def test_of_many_samples_the_first_are_compared_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "COMPARED", 50)
    x, train, held_out = mixed("start-sites")
    nearest = metrics.nearest(x, x, train.metadata["alphabet"], itself=True)
    for parts in (x.split(20), x.split([60, 30])):
        found = {one.name: one for one in judged(SequenceJudge(train, held_out, {}), *parts)}
        one = found["nearest identity among the samples"]
        assert one.value == nearest[:50].median().item()
        assert "over the first 50" in one.meaning


def samples(n: int = 40, lengths: bool = False) -> Samples:
    """Samples of a family that have a trajectory; of unequal lengths and with families on request."""
    model = origin("sequences")
    x, more = letters(known("riboswitch")[0])[:n], {}
    condition: dict[str, Tensor] = {}
    if lengths:
        more = {"lengths": {"100": 5, "108": 5}, "families": ["a", "b"]}
        condition = {"mask": torch.arange(108) < torch.where(torch.arange(n) % 3 > 0, 108, 100)[:, None]}
        condition["family"] = torch.arange(n) % 2
        x = x * condition["mask"]
    facts = {**model.metadata, **more}
    made = replace(model, config={**model.config, "data": "riboswitch"}, metadata=facts)
    frames = [torch.full_like(x, 5), x]
    settings = {"first": 7, "n": n, "seed": 0}
    return Samples(x, condition, made, trajectory=frames, settings=settings)


@pytest.mark.parametrize("lengths", [False, True])
def test_files_are_the_same_however_they_are_written(lengths: bool, tmp_path: Path) -> None:
    """All at once, and block by block as they are drawn; the text is that of the headers and the letters."""
    whole = samples(lengths=lengths)
    assert whole.origin is not None
    folder = whole.save(tmp_path / "whole")
    numbers = range(7, 47)
    store = Sequences().store(tmp_path / "native", whole.origin, numbers)
    store.scratch = tmp_path / "scratch"
    for low, high in ((16, 40), (0, 16)):
        store.add(whole[low:high])
    store.finish(whole)
    names = [FASTA, "figure-0.png", "figure-1.gif", "figure-2.png"]
    assert sorted(read_manifest(folder)["files"]) == sorted(names)
    assert all((folder / name).read_bytes() == (store.folder / name).read_bytes() for name in names)
    text = (folder / FASTA).read_text().split(">")[40].split("\n", 1)
    assert text[0].startswith("sample-00046 " + ("family=b pairs=" if lengths else "pairs="))
    expected = data.to_text(whole.x, whole.origin.metadata["alphabet"], whole.condition.get("mask"))[39]
    assert text[1].replace("\n", "") == expected


@pytest.mark.parametrize("lengths", [False, True])
def test_samples_come_back_part_by_part(lengths: bool, tmp_path: Path) -> None:
    whole = samples(lengths=lengths)
    back = read_samples(whole.save(tmp_path / "out"))
    parts = list(Sequences().parts(tmp_path / "out", read_manifest(tmp_path / "out"), 17))
    assert [len(torch.as_tensor(x)) for x, _ in parts] == [17, 17, 6]
    assert torch.equal(torch.cat([torch.as_tensor(x) for x, _ in parts]), whole.x)
    assert torch.equal(back.x, whole.x)
    for name, values in whole.condition.items():
        assert torch.equal(torch.cat([condition[name] for _, condition in parts]), values)
        assert torch.equal(back.condition[name], values)
