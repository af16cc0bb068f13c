"""Files that a person makes with a pointer: a mask painted over a picture, readings placed on a field, atoms picked.

A domain says for which fields of its request that makes sense (`Task.by_hand`); whoever has a screen shows the
backdrop, takes what was done on it as JSON values (`marks`) and lets the domain write the file that the request names:

    backdrop = hand.backdrop(given, metadata)
    path = hand.write(marks, given, metadata, folder)

Three kinds suffice for every domain so far. None of them knows a field: the functions are the domain's.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from .figures import Figure

Given = Mapping[str, Any]
"""The other fields of a request as far as they are said, with paths where these are files."""


@dataclass(frozen=True)
class Mark:
    """What can be picked on a backdrop, or stands there.

    Attributes:
        x, y: its place, in the units of the backdrop's extent.
        label: what it is, in a word, such as an element.
        colour: of CSS, such as "#3050f8".
    """

    x: float
    y: float
    label: str = ""
    colour: str = ""


@dataclass(frozen=True)
class Backdrop:
    """What lies under the pointer.

    Attributes:
        extent: (left, right, bottom, top) in the user's units; bottom may be above top where y grows downwards.
        picture: that fills the extent; none if not given.
        size: (width, height) of the canvas in its own pixels, such as those of the picture that is painted over.
        marks: what is there, by number.
        note: what to do, in words.
    """

    extent: tuple[float, float, float, float]
    picture: Figure | None = None
    size: tuple[int, int] = (480, 480)
    marks: Sequence[Mark] = ()
    note: str = ""


@dataclass(frozen=True)
class Hand(ABC):
    """One way to make a file with a pointer.

    Attributes:
        kind: what is done: painted, placed or picked.
        over: the field whose file is shown behind, which must be given first; none if empty.
    """

    kind: ClassVar[str]
    over: str = ""

    @abstractmethod
    def backdrop(self, given: Given, metadata: Mapping[str, Any]) -> Backdrop:
        """What is shown; InputError if what is given is not what it must be.

        Args:
            given: the request's fields so far.
            metadata: of the model.
        """

    @abstractmethod
    def write(self, marks: Mapping[str, Any], given: Given, metadata: Mapping[str, Any], folder: Path) -> Path:
        """The file that the marks make, in a folder of its own; InputError for marks that make none.

        Args:
            marks: what was done, in JSON values; each kind says which.
            given: the request's fields so far.
            metadata: of the model.
            folder: an empty one.
        """
