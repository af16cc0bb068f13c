"""Samples that wait in the scratch folder until all of their group of times are there, as they were drawn.

00000016.npy         samples from number 16 on, (n, channels, *grid), in the units of the model's states' fields
case-00000016.npy    what is known of their cases: (cases, known, channels, *grid), NaN where something is not known

They are read where they lie: no more than one field is in memory at a time. A writing that was cut off leaves nothing;
what is written twice is the same, whoever writes it, as a sample is a function of its number.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ....errors import InputError
from ....files import write_atomic
from ....tasks.samples import Samples

KNOWN = ("truth", "raw", "base")
"""Conditions that are kept of each case."""


class Waiting:
    """The samples of a drawing that is not finished."""

    def __init__(self, folder: Path, members: int) -> None:
        """Looks at nothing yet.

        Args:
            folder: for scratch.
            members: of each case.
        """
        self.folder, self._members = folder, members

    def add(self, samples: Samples) -> list[Path]:
        """Writes some samples, and what is known of their cases; returns the files.

        Args:
            samples: that have finished, in a row.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        first, last = samples.first // self._members, (samples.first + len(samples) - 1) // self._members
        places = [max(case * self._members - samples.first, 0) for case in range(first, last + 1)]
        cases = np.array([[*known_at(samples, place).values()] for place in places])
        states = samples.x.detach().cpu().float().numpy()
        return [self._write(f"{samples.first:08d}.npy", states), self._write(f"case-{samples.first:08d}.npy", cases)]

    def _write(self, name: str, array: np.ndarray) -> Path:
        def save(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.save(file, array, allow_pickle=False)

        write_atomic(self.folder / name, save)
        self.__dict__.pop("_places", None)
        return self.folder / name

    def __contains__(self, number: int) -> bool:
        return ("", number) in self._places

    def state(self, number: int) -> Float[np.ndarray, "channels *grid"]:
        """A sample.

        Args:
            number: of it.
        """
        return self._found("", number)

    def known(self, case: int) -> Mapping[str, Float[np.ndarray, "channels *grid"]]:
        """What is known of a case, name → field.

        Args:
            case: its number.
        """
        return dict(zip(KNOWN, self._found("case", case), strict=True))

    def _found(self, prefix: str, number: int) -> np.ndarray:
        place = self._places.get((prefix, number))
        if place is None:
            raise InputError(f"{self.folder}: {prefix or 'sample'} {number} is not there")
        path, offset = place
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False)[offset])

    @cached_property
    def _places(self) -> dict[tuple[str, int], tuple[Path, int]]:
        """Where each sample and case is."""
        found = {}
        for path in sorted(self.folder.glob("*.npy")):
            *prefix, number = path.stem.split("-")
            count = np.load(path, mmap_mode="r", allow_pickle=False).shape[0]
            first = int(number) // self._members if prefix else int(number)
            found |= {("".join(prefix), first + k): (path, k) for k in range(count)}
        return found


def known_at(samples: Samples, place: int) -> dict[str, Float[np.ndarray, "channels *grid"]]:
    """What is known of a sample's case, name → field; NaN where a condition is not there.

    Args:
        samples: with their conditions.
        place: of the sample among them.
    """
    nothing = np.full(samples.x.shape[1:], np.nan, np.float32)
    given = {name: samples.condition[name][place] for name in KNOWN if name in samples.condition}
    return {name: given[name].detach().cpu().float().numpy() if name in given else nothing for name in KNOWN}
