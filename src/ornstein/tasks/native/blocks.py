"""Samples of native files that are made in the end: until then each block's states wait in the scratch, bit for bit.

    class Fields(BlockStore):
        def write(self, samples): ...       makes the native files, of the samples that `drawn` gives block by block
        def load(self, numbers): ...        the states of some samples from those files

Blocks may come in any order, and from several processes: whoever draws a block writes the same bytes. What grows here
with the number of samples is a few numbers a block.
"""

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...denoisers.base import Condition, Origin
from ...errors import InputError
from ...states import State, concatenate
from .members import MemberStore

if TYPE_CHECKING:
    from ..samples import Samples

_STATES = ".safetensors"


class BlockStore(MemberStore):
    """Native files that are made of all samples, one block of them in memory at a time.

    Attributes:
        folder: where the files will be, or are.
        origin: the model.
        numbers: of all the samples.
    """

    def __init__(self, folder: Path, origin: Origin, numbers: range) -> None:
        """Makes no file yet.

        Args:
            folder: of the native files.
            origin: the model.
            numbers: of all the samples.
        """
        self.folder, self.origin, self.numbers = folder, origin, numbers
        self._counts: dict[int, int] | None = None

    @abstractmethod
    def write(self, samples: "Samples") -> Sequence[str] | None:
        """Makes the native files in the folder, which is there, and returns notes.

        Args:
            samples: all of them, as `finish` has them: the states may be shapes without numbers. `drawn` has these.
        """

    @abstractmethod
    def load(self, numbers: range) -> tuple[State, Condition]:
        """The states and conditions of samples from finished files."""

    def add(self, samples: "Samples") -> list[Path]:
        from ..storage.packing import pack  # which needs samples, whose tasks have stores

        assert self.scratch is not None
        self.scratch.mkdir(parents=True, exist_ok=True)
        pack(self._kept(samples.first), replace(samples, trajectory=(), seconds=0.0))
        self._counts = None
        return [self._kept(samples.first)]

    def is_added(self, numbers: range) -> bool:
        return self._kept(numbers.start).is_file()

    def finish(self, samples: "Samples") -> Sequence[str] | None:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.write(samples)

    def read(self, numbers: range) -> tuple[State, Condition]:
        if self.scratch is None:
            return self.load(numbers)
        blocks = [(one.x, one.condition) for one in self._drawn(numbers)]
        if not blocks:
            raise InputError(f"{self.scratch}: holds none of the samples {numbers.start} to {numbers.stop - 1}")
        return concatenate([x for x, _ in blocks]), concatenate([condition for _, condition in blocks])

    def drawn(self) -> Iterator["Samples"]:
        """All samples, block by block in the order of their numbers, while the scratch is there.

        InputError if some are missing. They have no trajectory.
        """
        self._require_all()
        return self._drawn(self.numbers)

    def some(self, samples: "Samples", numbers: range) -> "Samples":
        """Those of these numbers with their states, while the scratch is there.

        Args:
            samples: all of them, whose states may be shapes without numbers.
            numbers: of those that are wanted.
        """
        x, condition = self.read(numbers)
        chosen = samples[numbers.start - samples.first : numbers.stop - samples.first]
        return replace(chosen, x=x, condition=condition)

    def _drawn(self, numbers: range) -> Iterator["Samples"]:
        from ..storage.packing import unpack

        found = self._found()
        firsts = list(found)
        for first in firsts[max(0, bisect_right(firsts, numbers.start) - 1) :]:
            if first >= numbers.stop:
                break
            some = range(max(first, numbers.start), min(first + found[first], numbers.stop))
            if some:
                yield unpack(self._kept(first))[some.start - first : some.stop - first]

    def _require_all(self) -> None:
        expected = self.numbers.start
        for first, n in self._found().items():
            if first != expected:
                break
            expected = first + n
        if expected != self.numbers.stop:
            raise InputError(f"{self.scratch}: sample {expected} is in none of its files: --resume draws it again")

    def _kept(self, first: int) -> Path:
        """The states of the block from this sample on."""
        assert self.scratch is not None
        return self.scratch / f"{first:08d}{_STATES}"

    def _found(self) -> dict[int, int]:
        """How many samples each block has, by its first one.

        Blocks may have been cut otherwise by a drawing that ended before they were noted: one that begins within the
        block before it is one of those.
        """
        from ..storage.packing import counted

        if self._counts is None:
            assert self.scratch is not None
            self._counts, end = {}, self.numbers.start
            for first in sorted(int(path.name.removesuffix(_STATES)) for path in self.scratch.glob(f"*{_STATES}")):
                if first >= end:
                    self._counts[first] = counted(self._kept(first))
                    end = first + self._counts[first]
        return self._counts
