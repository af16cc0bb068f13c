"""Text files that are put together from pieces: in any order, after crashes, and read again part by part."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from ornstein import InputError
from ornstein.denoisers.base import Condition, Origin
from ornstein.states import State
from ornstein.tasks.native.pieces import Cut, PieceStore, beginning_with, ending_with
from ornstein.tasks.samples import Samples

NUMBERS = range(3, 15)
ORIGIN = Origin("counted", "model", {}, {}, "")


class Counted(PieceStore):
    """A record a sample: its number as a header, and as many lines as it says."""

    files: ClassVar[Mapping[str, Cut]] = {"all.txt": beginning_with(b">"), "all.end": ending_with(b"$")}

    def texts(self, samples: Samples) -> dict[str, str]:
        numbers = samples.x[:, 0].int().tolist()
        return {
            "all.txt": "".join(f">{k}\n" + "line\n" * k for k in numbers),
            "all.end": "".join("line\n" * k + f"${k}\n" for k in numbers),
            "size.note": f"{len(numbers)} ",
        }

    def states(self, texts: Mapping[str, str], numbers: range) -> tuple[State, Condition]:
        found = [
            [float(line[1:]) for line in text.split("\n") if line[:1] in (">", "$") and line] for text in texts.values()
        ]
        assert found[0] == found[-1]
        return torch.tensor(found[0])[:, None], {}


def samples(numbers: range) -> Samples:
    x = torch.tensor([[k + k / 1000] for k in numbers])
    frames = [-x, x]
    return Samples(x, {"half": x / 2}, trajectory=frames, settings={"first": numbers.start, "n": len(numbers)})


def store(folder: Path) -> Counted:
    made = Counted(folder / "native", ORIGIN, NUMBERS)
    made.scratch = folder / "scratch"
    return made


def drawn(folder: Path, *blocks: range) -> Counted:
    for block in blocks:
        written = store(folder).add(samples(block))  # each by a worker of its own
        assert all(path.is_file() for path in written)
    return store(folder)


def test_pieces_in_any_order_become_one_file(tmp_path: Path) -> None:
    drawn(tmp_path / "a", NUMBERS).finish(samples(NUMBERS))
    many = drawn(tmp_path / "b", range(8, 12), range(3, 8), range(12, 15))
    assert list(many.pieces("size.note")) == ["5 ", "4 ", "3 "]
    many.finish(samples(NUMBERS))
    for name in Counted.files:
        assert (tmp_path / "a/native" / name).read_bytes() == (tmp_path / "b/native" / name).read_bytes()
    for some in (NUMBERS, range(4, 5), range(7, 13)):
        x, condition = many.read(some)
        assert torch.equal(torch.as_tensor(x), samples(some).x)  # bit for bit, which the text is not
        assert torch.equal(condition["half"], samples(some).condition["half"])
        chosen = many.some(samples(NUMBERS), some)
        assert chosen.first == some.start
        assert torch.equal(torch.as_tensor(chosen.trajectory[0]), -samples(some).x)


def test_what_a_crash_left_does_no_harm(tmp_path: Path) -> None:
    """Blocks that were not noted before a crash are drawn again, cut otherwise."""
    torn = drawn(tmp_path, range(5, 9), range(3, 7), range(7, 15))
    assert torn.scratch is not None
    (torn.scratch / "00000005.txt").write_text(">5\nli")
    torn.finish(samples(NUMBERS))
    assert (tmp_path / "native/all.txt").read_text() == Counted(tmp_path, ORIGIN, NUMBERS).texts(samples(NUMBERS))[
        "all.txt"
    ]
    assert torch.equal(torch.as_tensor(torn.read(range(4, 8))[0]), samples(range(4, 8)).x)


@pytest.mark.parametrize("left", [[range(3, 7)], [range(3, 7), range(8, 15)], [range(7, 15)]])
def test_a_sample_that_is_missing_is_named(left: list[range], tmp_path: Path) -> None:
    number = 3 if left[0].start == 7 else 7
    with pytest.raises(InputError, match=f"sample {number} is in none"):
        drawn(tmp_path, *left).finish(samples(NUMBERS))
    assert not list((tmp_path / "native").iterdir())


def test_a_block_without_its_pieces_counts_as_absent(tmp_path: Path) -> None:
    made = drawn(tmp_path, range(3, 8), range(8, 15))
    assert made.scratch is not None
    assert made.is_added(range(3, 8))
    (made.scratch / "00000008.end").unlink()
    assert not made.is_added(range(8, 15))


def test_a_finished_file_is_read_part_by_part(tmp_path: Path) -> None:
    drawn(tmp_path, NUMBERS).finish(samples(NUMBERS))
    finished = Counted(tmp_path / "native", ORIGIN, NUMBERS)
    whole = torch.as_tensor(finished.read(NUMBERS)[0])
    assert whole.flatten().tolist() == list(NUMBERS)
    for size in (1, 5, 12):
        ends = [*range(NUMBERS.start, NUMBERS.stop, size), NUMBERS.stop]
        parts: list[Any] = [finished.read(range(low, high))[0] for low, high in pairwise(ends)]
        assert torch.equal(torch.cat(parts), whole)


def test_another_number_of_records_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn(tmp_path, NUMBERS).finish(samples(NUMBERS))
    for numbers, found in ((range(3, 14), "more than 11"), (range(3, 16), "12")):
        with pytest.raises(InputError, match=f"all.txt: holds {found} records, expected {len(numbers)}"):
            Counted(tmp_path / "native", ORIGIN, numbers).read(range(3, 5))
    monkeypatch.setattr(Counted, "limit", 30)
    with pytest.raises(InputError, match=r"samples 3 to 14 take .* MB, more than"):
        Counted(tmp_path / "native", ORIGIN, NUMBERS).read(NUMBERS)


@pytest.mark.parametrize(
    ("cut", "text", "places"),
    [
        (beginning_with(b">"), b">a\nAC>\n>b\n\n>", [0, 7, 11]),
        (beginning_with(b">"), b"x\n", []),
        (ending_with(b"$$$$"), b"a\n$$$$\nb\n\n$$$$\n", [0, 7]),
        (ending_with(b"$$$$"), b"", []),
    ],
)
def test_records_begin_where_their_mark_says(cut: Cut, text: bytes, places: list[int], tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(text)
    with (tmp_path / "x").open("rb") as file:
        assert list(cut(file)) == places
