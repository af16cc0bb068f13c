"""Molecules on the disk as they are drawn: SDF with bonds and XYZ, piece by piece; pictures of a few in the end."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import BinaryIO, ClassVar

from ...denoisers.base import Condition
from ...files import write_text
from ...states import State
from ...tasks.figures import Interactive
from ...tasks.native.pieces import Cut, PieceStore, ending_with
from ...tasks.samples import Samples
from ...tasks.storage.joining import joined
from . import data
from .chemistry import files
from .chemistry.conformers import Conformers
from .chemistry.viewer import page_of
from .drawn import conformers_of, evenly, placed
from .shown import FEW, SHOWN, pictures

SDF, XYZ = "samples.sdf", "samples.xyz"
_COUNTED = "conformers.json"  # of each piece, while molecules are drawn for SMILES


def frames(file: BinaryIO) -> Iterator[int]:
    """At which bytes of an XYZ file its frames begin: a number of atoms, a comment, and a line an atom."""
    place = left = 0
    while line := file.readline():
        if not left:
            yield place
            left = 2 + int(line) if line.strip().isdigit() else -1  # no frame: all that follows is one
        left -= 1
        place += len(line)


class MoleculeStore(PieceStore):
    """samples.sdf with bonds, samples.xyz, viewer.html to turn them, pictures; the trajectory, if there is one.

    What is read again is the XYZ file, whose positions are the finer ones.
    """

    files: ClassVar[Mapping[str, Cut]] = {SDF: ending_with(b"$$$$"), XYZ: frames}
    read_from = (XYZ,)

    def texts(self, samples: Samples) -> dict[str, str]:
        drawn = conformers_of(samples)
        found = [one.molecule for one in drawn] or placed(samples)
        told = [{"conformer": one.right, "stereo": one.stereo} for one in drawn]
        fields = [{name: float(value) for name, value in one.items() if value is not None} for one in told]
        place = samples.first - self.numbers.start + 1
        counted = {_COUNTED: json.dumps(asdict(Conformers.of(drawn)))} if drawn else {}
        return {SDF: files.sdf_text(found, fields, place), XYZ: files.xyz_text(found), **counted}

    def states(self, texts: Mapping[str, str], numbers: range) -> tuple[State, Condition]:
        path, first = self.folder / XYZ, numbers.start - self.numbers.start + 1
        found = files.read_text(texts[XYZ], path, first)
        for k, molecule in enumerate(found, first):
            data.require_known(molecule, self.origin.metadata, f"{path}: record {k}")
        return data.states(found, self.origin.metadata)

    def complete(self, samples: Samples) -> Sequence[str]:
        shown, few = (self._evenly(samples, n) for n in (SHOWN, FEW))
        for k, figure in enumerate(pictures(shown, few, len(samples))):
            if isinstance(figure, Interactive):
                write_text(self.folder / "viewer.html", page_of(figure.fragment))
            else:
                (self.folder / f"figure-{k}.{figure.kind}").write_bytes(figure.image)
        return self._conformers().told

    def _evenly(self, samples: Samples, n: int) -> Samples:
        numbers = [samples.first + k for k in evenly(len(samples), n)]
        return joined([self.some(samples, range(k, k + 1)) for k in numbers])

    def _conformers(self) -> Conformers:
        """Those of all pieces."""
        return sum((Conformers(**json.loads(text)) for text in self.pieces(_COUNTED)), Conformers())
