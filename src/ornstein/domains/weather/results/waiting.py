"""Samples that wait in the scratch folder until all are there, as they were drawn, and what is known of their cases.

00000016.npy         samples from number 16 on, (n, channels, *grid), in the units of the model's states' fields
case-00000003.npy    of cases from 3 on: (cases, known, channels, *grid), NaN where something is not known

They are read where they lie: no more than one field is in memory at a time. A writing that was cut off leaves nothing;
what is written twice is the same, as a sample is a function of its number.
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
        self.folder, self._members, self._cases = folder, members, set[int]()

    def add(self, samples: Samples) -> list[Path]:
        """Writes some samples, and what is known of cases that are new; returns the files.

        Args:
            samples: that have finished, in a row.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        written = [self._write(f"{samples.first:08d}.npy", samples.x.detach().cpu().float().numpy())]
        first, last = samples.first // self._members, (samples.first + len(samples) - 1) // self._members
        new = [case for case in range(first, last + 1) if case not in self._cases]
        if new:
            places = [max(case * self._members - samples.first, 0) for case in range(new[0], last + 1)]
            written.append(self._write(f"case-{new[0]:08d}.npy", _known(samples, places)))
            self._cases.update(new)
        return written

    def _write(self, name: str, array: np.ndarray) -> Path:
        def save(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.save(file, array, allow_pickle=False)

        write_atomic(self.folder / name, save)
        self.__dict__.pop("_places", None)
        return self.folder / name

    def state(self, number: int) -> Float[np.ndarray, "channels *grid"]:
        """A sample.

        Args:
            number: of it.
        """
        return self._found("", number, "sample")

    def known(self, case: int) -> Mapping[str, Float[np.ndarray, "channels *grid"]]:
        """What is known of a case, name → field.

        Args:
            case: its number.
        """
        return dict(zip(KNOWN, self._found("case-", case, "case"), strict=True))

    def _found(self, prefix: str, number: int, what: str) -> np.ndarray:
        place = self._places.get((prefix, number))
        if place is None:
            raise InputError(f"{self.folder}: {what} {number} is not there")
        path, offset = place
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False)[offset])

    @cached_property
    def _places(self) -> dict[tuple[str, int], tuple[Path, int]]:
        """Where each sample and case is."""
        found = {}
        for path in sorted(self.folder.glob("*.npy")):
            prefix, number = ("case-", path.stem[5:]) if path.stem.startswith("case-") else ("", path.stem)
            count = np.load(path, mmap_mode="r", allow_pickle=False).shape[0]
            found |= {(prefix, int(number) + k): (path, k) for k in range(count)}
        return found


def _known(samples: Samples, places: list[int]) -> Float[np.ndarray, "cases known channels *grid"]:
    """Of the samples at these places, NaN where a condition is not there."""
    nothing = np.full(samples.x.shape[1:], np.nan, np.float32)
    every = [
        [
            samples.condition[name][place].detach().cpu().float().numpy() if name in samples.condition else nothing
            for name in KNOWN
        ]
        for place in places
    ]
    return np.array(every)
