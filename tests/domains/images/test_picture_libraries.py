"""Libraries of pictures: kept block by block in any order, and judged part by part, they are what they are at once."""

from pathlib import Path

import pytest
import torch

from folders import origin
from ornstein import InputError
from ornstein.domains.images import data, metrics, stored
from ornstein.domains.images.judging import PictureJudge
from ornstein.domains.images.network import build_judge
from ornstein.domains.images.stored import PictureStore
from ornstein.domains.images.task import Images
from ornstein.domains.images.vision.judges import Judge
from ornstein.keys import Keys
from ornstein.networks import UNetConfig
from ornstein.schedules import SCHEDULES
from ornstein.spaces import Euclidean
from ornstein.tasks.figures import Metric
from ornstein.tasks.samples import Samples, read_manifest, read_samples
from ornstein.tasks.storage.packing import without_numbers
from ornstein.training.datasets import Arrays
from worlds import rejected

N = 60


def library(n: int = N, first: int = 99_990) -> Samples:
    """Noisy digits, measured, whose numbers pass from five digits to six."""
    train, _ = data.digits()
    x = _pictures(train)[:n] + 0.3 * Keys.of(1, n).normal(1, 8, 8).float()
    settings = {"first": first, "observation": "seen.png"}
    return Samples(x, {"label": train.condition["label"][:n]}, origin("images"), [-x, x], settings=settings)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return library().save(tmp_path_factory.mktemp("whole") / "library")


@pytest.mark.parametrize("held", [stored._HELD, 0])
def test_blocks_in_any_order_are_the_files_of_all_at_once(
    held: int, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "_HELD", held)
    drawn = library()
    assert drawn.origin is not None
    store = PictureStore(tmp_path / "library", drawn.origin, range(99_990, 99_990 + N))
    store.scratch = tmp_path / "scratch"
    for block in (slice(40, 60), slice(0, 40)):
        store.add(drawn[block])
    store.finish(without_numbers(drawn))
    written = {path.name: path.read_bytes() for path in (tmp_path / "library").iterdir()}
    assert written == {path.name: path.read_bytes() for path in saved.iterdir() if path.name != "manifest.json"}
    assert {"grid.png", "mean-and-std.png", "trajectory.gif"} <= written.keys()


def test_pictures_come_back_part_by_part(saved: Path) -> None:
    manifest, whole = read_manifest(saved), library()
    parts = list(Images().parts(saved, manifest, 25))
    assert [len(torch.as_tensor(x)) for x, _ in parts] == [25, 25, 10]
    back = torch.cat([torch.as_tensor(x) for x, _ in parts])
    assert (back - whole.x.clamp(-1, 1)).abs().max() < 1 / 255 + 1e-6  # and not in the order of the names' letters
    assert torch.equal(torch.cat([condition["label"] for _, condition in parts]), whole.condition["label"])
    assert torch.equal(read_samples(saved).x, back)
    with pytest.raises(InputError, match="n is 61, but its files hold 60 samples"):
        Images().read(saved, {**manifest, "n": 61})


def test_parts_are_judged_as_the_whole(saved: Path) -> None:
    def judged(samples: Samples, *ends: int) -> list[Metric]:
        train, held_out = data.digits()
        judge = PictureJudge(train, held_out, None)
        judge.begin(len(samples))
        for low, high in zip((0, *ends), (*ends, len(samples)), strict=True):
            judge.add(samples[low:high])
        return judge.metrics()

    def same(found: list[Metric], expected: list[Metric]) -> None:
        for one, other in zip(found, expected, strict=True):
            assert one.value == pytest.approx(other.value, rel=1e-5)
            assert one.reference == pytest.approx(other.reference, rel=1e-5)

    for samples in (read_samples(saved), library()):  # of 256 levels, and others
        same(judged(samples, 1, 30), judged(samples))
        rejected(same, judged(samples[:40]), judged(samples))


def test_the_few_that_a_network_compares_are_those_of_all() -> None:
    parts = [
        Arrays(_pictures(part)[:25], {"label": part.condition["label"][:25]}, part.metadata) for part in data.digits()
    ]
    network = build_judge(UNetConfig(4, (1,), 1, ()), parts[0].metadata)
    judge = PictureJudge(parts[0], parts[1], Judge(network, _space(), "label", True))
    whole = library()
    judge.begin(N)
    for low in range(0, N, 7):
        judge.add(whole[low : low + 7])
    found = judge.metrics()
    assert judge._judge is not None
    expected = metrics.likeness(judge._judge, whole.x, *map(_pictures, parts))
    assert [one.value for one in found[1:4]] == pytest.approx([one.value for one in expected], rel=1e-5)
    assert found[0].value == pytest.approx(judge._judge.agreement(whole.x, whole.condition["label"]))


def _space() -> Euclidean:
    return Euclidean((1, 8, 8), SCHEDULES["cosine"](), 1.0)


def _pictures(part: Arrays) -> torch.Tensor:
    assert isinstance(part.x, torch.Tensor)
    return part.x
