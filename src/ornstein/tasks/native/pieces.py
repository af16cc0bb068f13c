"""Samples as records of text files, such as FASTA or SDF: a piece a block while they are drawn, one file in the end.

    class Sequences(PieceStore):
        files = {"samples.fasta": beginning_with(b">")}
        def texts(self, samples): ...               what is written of some samples
        def states(self, texts, numbers): ...       what is read of them again
        def complete(self, samples): ...            what only all of them have

A block's text and its states, bit for bit, are files of the scratch, so that blocks may come in any order, and from
several processes: whoever draws a block writes the same bytes. In the end the pieces are copied one after the other.
Records of a finished file are found by their places in it, of which 8 bytes a sample are held; nothing else here grows
with the number of samples.
"""

from abc import abstractmethod
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from shutil import copyfileobj
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from ...denoisers.base import Condition, Origin
from ...errors import InputError
from ...files import MB, decoded, inside, write_atomic, write_text
from ...states import State
from .blocks import BlockStore

if TYPE_CHECKING:
    from ..samples import Samples

Cut = Callable[[BinaryIO], Iterator[int]]
"""At which bytes of a file its records begin, in their order."""


def beginning_with(mark: bytes) -> Cut:
    """Records whose first line begins with `mark`, as no other line does: ">" of FASTA."""

    def places(file: BinaryIO) -> Iterator[int]:
        return (place for place, line in _lines(file) if line.startswith(mark))

    return places


def ending_with(mark: bytes) -> Cut:
    """Records whose last line begins with `mark`, as no other line does: "$$$$" of SDF."""

    def places(file: BinaryIO) -> Iterator[int]:
        ended = True
        for place, line in _lines(file):
            if ended:
                yield place
            ended = line.startswith(mark)

    return places


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines with their places; of one that is longer than any of ours is, parts."""
    place = 0
    while line := file.readline(MB):
        yield place, line
        place += len(line)


class PieceStore(BlockStore):
    """Text files with one record a sample each, in the order of the numbers.

    Attributes:
        files: how each is cut into records, by its name in the folder; their suffixes differ.
        read_from: names of the files that samples are read from; all if not said.
        limit: bytes of one file's records that are read at once.
        folder: where the files will be, or are.
        origin: the model.
        numbers: of all the samples.
    """

    files: ClassVar[Mapping[str, Cut]]
    read_from: ClassVar[Sequence[str]] = ()
    limit: ClassVar[int] = 256 * MB

    def __init__(self, folder: Path, origin: Origin, numbers: range) -> None:
        super().__init__(folder, origin, numbers)
        self._places: dict[str, array[int]] = {}

    @abstractmethod
    def texts(self, samples: "Samples") -> Mapping[str, str]:
        """What stands in each file of some of the samples: their records, by the file's name.

        A text by another name is kept until all samples are there, for `complete`: see `pieces`.
        """

    @abstractmethod
    def states(self, texts: Mapping[str, str], numbers: range) -> tuple[State, Condition]:
        """The states and conditions of samples from their records; InputError if these are not what `texts` writes.

        Args:
            texts: records by the name of each file that is read, as many as there are numbers.
            numbers: of the samples.
        """

    def complete(self, samples: "Samples") -> Sequence[str] | None:
        """Writes what only all samples have, such as figures of a few of them (`some`), and returns notes.

        Args:
            samples: all of them, as `finish` has them: the states may be shapes without numbers.
        """
        return None

    def pieces(self, name: str) -> Iterator[str]:
        """What `texts` gave by this name, block by block in the order of the samples, while the scratch is there."""
        return (path.read_text("utf-8") for first in self._found() if (path := self._piece(first, name)).exists())

    # Piece by piece -------------------------------------------------------------------------------------

    def add(self, samples: "Samples") -> list[Path]:
        assert self.scratch is not None
        self.scratch.mkdir(parents=True, exist_ok=True)
        written = []
        for name, text in self.texts(samples).items():
            written.append(self._piece(samples.first, name))
            write_text(written[-1], text)
        return [*written, *super().add(samples)]

    def is_added(self, numbers: range) -> bool:
        return super().is_added(numbers) and all(self._piece(numbers.start, name).is_file() for name in self.files)

    def write(self, samples: "Samples") -> Sequence[str] | None:
        self._require_all()
        for name in self.files:
            write_atomic(self.folder / name, lambda path, name=name: self._put_together(path, name))
        return self.complete(samples)

    def _put_together(self, path: Path, name: str) -> None:
        with path.open("wb") as whole:
            for first in self._found():
                with self._piece(first, name).open("rb") as piece:
                    copyfileobj(piece, whole)

    def _piece(self, first: int, name: str) -> Path:
        """The records of the samples from `first` on that are to stand in a file."""
        assert self.scratch is not None
        return self.scratch / f"{first:08d}{Path(name).suffix}"

    # Read again -----------------------------------------------------------------------------------------

    def load(self, numbers: range) -> tuple[State, Condition]:
        return self.states({name: self._records(name, numbers) for name in self.read_from or self.files}, numbers)

    def _records(self, name: str, numbers: range) -> str:
        """The text of these samples in a finished file."""
        path = inside(self.folder, name, self.folder)
        if name not in self._places:
            self._places[name] = self._indexed(path, self.files[name])
        places, first = self._places[name], self.numbers.start
        start, stop = places[numbers.start - first], places[numbers.stop - first]
        if stop - start > self.limit:
            raise InputError(
                f"{path}: samples {numbers.start} to {numbers.stop - 1} take {(stop - start) / MB:.4g} MB, more than "
                f"the limit of {self.limit / MB:.4g} MB at once"
            )
        with path.open("rb") as file:
            file.seek(start)
            return decoded(file.read(stop - start), path)

    def _indexed(self, path: Path, cut: Cut) -> "array[int]":
        """The place of each record, and of the end; InputError unless there is one a sample."""
        n = len(self.numbers)
        with path.open("rb") as file:
            places = array("q", islice(cut(file), n + 1))
        if len(places) != n:
            found = f"more than {n}" if len(places) > n else len(places)
            raise InputError(f"{path}: holds {found} records, expected {n}, one a sample")
        if n:
            places[0] = 0  # what stands before the first record is its domain's to refuse
        places.append(path.stat().st_size)
        return places
