"""How samples of fields are written member by member."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..denoisers.base import Condition
from ..states import State

if TYPE_CHECKING:
    from .samples import Samples


class MemberStore(ABC):
    """Native files that samples are written to as they finish, so that no more than a block is ever in memory."""

    @abstractmethod
    def add(self, samples: "Samples") -> Iterable[Path]:
        """Writes some of the samples, whole, and returns the files that hold them.

        Called once for each block in any order, and again for one whose writing was cut off: it then writes over it.
        """

    @abstractmethod
    def read(self, numbers: range) -> tuple[State, Condition]:
        """The states and conditions of samples that were added."""

    def finish(self, samples: "Samples") -> None:
        """Writes what only all of them have, such as consolidated metadata, or a mean.

        Args:
            samples: all of them, their states shapes without numbers (torch's device "meta").
        """
