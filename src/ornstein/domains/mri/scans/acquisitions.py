"""The acquisitions of an ISMRMRD file: one readout of all coils each, with a header that says what it was for.

Headers are read at once, the numbers of an acquisition when they are needed. Which acquisitions are lines of the image
is a matter of their flags and counters: noise, navigators and other scans are put aside and counted, and of contrasts,
repetitions and the like one is chosen by name, since together they are not one image.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Complex, Float, Int

from ....errors import InputError
from ....training.fields.stores import HDF5Store, damaged
from . import stored

COUNTERS = np.dtype(
    [(name, "<u2") for name in ("kspace_encode_step_1", "kspace_encode_step_2", "average", "slice", "contrast")]
    + [(name, "<u2") for name in ("phase", "repetition", "set", "segment")]
    + [("user", "<u2", (8,))]
)
HEAD = np.dtype(
    [
        *(("version", "<u2"), ("flags", "<u8"), ("measurement_uid", "<u4"), ("scan_counter", "<u4")),
        *(("acquisition_time_stamp", "<u4"), ("physiology_time_stamp", "<u4", (3,)), ("number_of_samples", "<u2")),
        *(("available_channels", "<u2"), ("active_channels", "<u2"), ("channel_mask", "<u8", (16,))),
        *(("discard_pre", "<u2"), ("discard_post", "<u2"), ("center_sample", "<u2"), ("encoding_space_ref", "<u2")),
        *(("trajectory_dimensions", "<u2"), ("sample_time_us", "<f4"), ("position", "<f4", (3,))),
        *(("read_dir", "<f4", (3,)), ("phase_dir", "<f4", (3,)), ("slice_dir", "<f4", (3,))),
        *(("patient_table_position", "<f4", (3,)), ("idx", COUNTERS)),
        *(("user_int", "<i4", (8,)), ("user_float", "<f4", (8,))),
    ]
)
"""The header of an acquisition, as version 1 of the format has it."""

NOISE, CALIBRATION, CALIBRATION_AND_IMAGING, REVERSE = 19, 20, 21, 22
ASIDE = {
    23: "navigators",
    24: "phase correction lines",
    26: "feedback lines",
    27: "dummy scans",
    28: "feedback lines",
    29: "surface coil correction lines",
    30: "phase stabilisation lines",
    31: "phase stabilisation lines",
}
CHOICES = ("average", "contrast", "phase", "repetition", "set")
"""Counters of which one value is one image."""
_MOST = 4_000_000  # acquisitions, whose headers are in memory
_PACKED = 100  # bytes of headers, for each of the file


@dataclass(frozen=True, eq=False)
class Acquisitions:
    """Acquisitions of a file.

    Attributes:
        found: the arrays of the file.
        name: of the array of acquisitions.
        heads: headers, of `HEAD`.
        numbers: of the acquisitions in the array.
    """

    found: HDF5Store
    name: str
    heads: np.ndarray
    numbers: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, found: HDF5Store, name: str) -> "Acquisitions":
        """All in a file; InputError if the array is not one of acquisitions, or empty.

        Args:
            found: the file.
            name: of the array.
        """
        where = f"{found.path}: {name!r}"
        stored.require_own(found, name, where)
        with damaged(where):
            array = found.array(name)
            fields = array.dtype.names or ()
            most = min(_MOST, _PACKED * found.path.stat().st_size // HEAD.itemsize)
            if array.ndim != 1 or not {"head", "data"} <= set(fields) or not 0 < len(array) <= most:
                raise InputError(
                    f"{where} has the shape {array.shape} and the fields {', '.join(fields) or 'none'}, expected "
                    f"acquisitions of ISMRMRD, 1 to {most} in a file of this size"
                )
            missing = set(HEAD.names or ()) - set(array.dtype["head"].names or ())
            if missing:
                raise InputError(
                    f"{where} lacks {', '.join(sorted(missing))} in its headers, expected those of ISMRMRD"
                )
            heads = array.fields("head")[:]
        return cls(found, name, heads, np.arange(len(heads)))

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, chosen: Bool[np.ndarray, " n"] | Int[np.ndarray, " m"]) -> "Acquisitions":
        """Some of them."""
        return replace(self, heads=self.heads[chosen], numbers=self.numbers[chosen])

    def counter(self, name: str) -> Int[np.ndarray, " n"]:
        """Of each acquisition.

        Args:
            name: of the counter, such as "slice".
        """
        return self.heads["idx"][name].astype(np.int64)

    def flagged(self, *bits: int) -> Bool[np.ndarray, " n"]:
        """Which have one of these flags.

        Args:
            bits: numbers of the flags, from 1.
        """
        mask = np.uint64(sum(1 << (bit - 1) for bit in bits))
        return (self.heads["flags"] & mask) != 0

    def samples(self, k: int) -> Complex[np.ndarray, "coils samples"]:
        """The numbers of acquisition k of these, without those that are to be discarded."""
        head = self.heads[k]
        n, coils = int(head["number_of_samples"]), int(head["active_channels"])
        values = self._read("data", k, 2 * n * coils).view(np.complex64).reshape(coils, n)
        return values[:, int(head["discard_pre"]) : n - int(head["discard_post"])]

    def places(self, k: int) -> Float[np.ndarray, "samples dims"]:
        """Where in k-space the samples of acquisition k lie, likewise."""
        head = self.heads[k]
        n, dims = int(head["number_of_samples"]), int(head["trajectory_dimensions"])
        values = self._read("traj", k, n * dims).reshape(n, dims)
        return values[int(head["discard_pre"]) : n - int(head["discard_post"])]

    def _read(self, field: str, k: int, size: int) -> np.ndarray:
        number = int(self.numbers[k])
        where = f"{self.found.path}: acquisition {number}"
        with damaged(where):
            values = np.asarray(self.found.array(self.name).fields(field)[number], dtype=np.float32)
        if values.shape != (size,):
            raise InputError(f"{where} has {values.size} numbers of {field}, its header says {size}")
        return np.ascontiguousarray(values)


def sorted_out(all_: Acquisitions, encoding: int) -> tuple[Acquisitions, Acquisitions, list[str]]:
    """The lines of images (calibration lines among them), those of noise, and how many others were put aside.

    Args:
        all_: acquisitions of a file.
        encoding: number of the encoding that is wanted.
    """
    noise = all_.flagged(NOISE)
    aside, notes = Counter[str](), []
    used = ~noise
    for bit, name in ASIDE.items():
        found = used & all_.flagged(bit)
        aside[name] += int(found.sum())
        used &= ~found
    other = used & (all_.heads["encoding_space_ref"] != encoding)
    aside["lines of another encoding"] = int(other.sum())
    used &= ~other
    notes += [f"{count} {name} are not used" for name, count in aside.items() if count]
    reverse = used & all_.flagged(REVERSE)
    if reverse.any():
        raise InputError(
            f"{all_.found.path}: {int(reverse.sum())} lines were read in reverse, as in echo-planar imaging, which "
            "needs a phase correction first; expected lines that were read one way"
        )
    if not used.any():
        raise InputError(f"{all_.found.path}: none of {len(all_)} acquisitions is a line of encoding {encoding}")
    return all_[used], all_[noise], notes


def chosen(lines: Acquisitions, wanted: dict[str, int | None]) -> Acquisitions:
    """The lines of one image; InputError names a counter of which there are several values and none was asked for.

    Args:
        lines: of images.
        wanted: counter → its value, or None if none was asked for.
    """
    for name, value in wanted.items():
        there = np.unique(lines.counter(name)).tolist()
        if value is None and len(there) > 1:
            raise InputError(
                f"{lines.found.path}: has {len(there)} values of {name} ({_listed(there)}), which are not one image; "
                f"expected one, or a choice by the setting {name!r}"
            )
        if value is not None and value not in there:
            raise InputError(f"{lines.found.path}: has no {name} {value}, expected one of {_listed(there)}")
        if value is not None:
            lines = lines[lines.counter(name) == value]
    return lines


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:8])) + (", …" if len(values) > 8 else "")


def same(lines: Acquisitions, field: str, what: str) -> int:
    """The value of a header's field that all lines share; InputError if they differ.

    Args:
        lines: with their headers.
        field: of a header.
        what: it counts, for the error.
    """
    values = np.unique(lines.heads[field]).tolist()
    if len(values) != 1:
        raise InputError(f"{lines.found.path}: lines have {_listed(values)} {what}, expected the same number in all")
    return int(values[0])
