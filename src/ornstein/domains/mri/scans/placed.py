"""Lines of an ISMRMRD file on the grid of k-space: where each lies, and a slice or a volume of them.

Line k of the phase encoding lies in row k − c + H // 2, with c the step of k = 0; its sample s in column
s − s₀ + W // 2, with s₀ its own middle (an asymmetric echo begins late). Volumes with a second phase encoding become
slices by a transform along an axis that was measured whole: along the second phase encoding if it was, so that slices
are what they are in two dimensions; else along the readout, so that a slice has both phase encodings and any mask.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Complex, Int

from ....errors import InputError
from .acquisitions import Acquisitions
from .header import Encoding, Limits


@dataclass(frozen=True, eq=False)
class Grid:
    """Lines with their places.

    Attributes:
        lines: the acquisitions.
        coils: of each.
        shape: partitions, H, W of the grid.
        partition, row, begin, end: of each line, where it lies; columns begin to end.
    """

    lines: Acquisitions
    coils: int
    shape: tuple[int, int, int]
    partition: Int[np.ndarray, " n"]
    row: Int[np.ndarray, " n"]
    begin: Int[np.ndarray, " n"]
    end: Int[np.ndarray, " n"]

    def of(self, chosen: Bool[np.ndarray, " n"]) -> "Grid":
        """Some of the lines."""
        each = (self.partition, self.row, self.begin, self.end)
        return Grid(self.lines[chosen], self.coils, self.shape, *(one[chosen] for one in each))

    def mask(self) -> Bool[np.ndarray, "partitions h w"]:
        """What was measured."""
        columns = np.arange(self.shape[2])
        found = np.zeros(self.shape, bool)
        for partition, row, begin, end in zip(self.partition, self.row, self.begin, self.end, strict=True):
            found[partition, row] |= (columns >= begin) & (columns < end)
        return found

    def kspace(self) -> Complex[np.ndarray, "coils partitions h w"]:
        """All of it, read from the file; 0 where nothing was measured."""
        found = np.zeros((self.coils, *self.shape), np.complex64)
        for k, (partition, row, begin, end) in enumerate(
            zip(self.partition, self.row, self.begin, self.end, strict=True)
        ):
            found[:, partition, row, begin:end] = self.lines.samples(k)
        return found

    def require_once(self, of: str) -> None:
        """InputError if a line was measured twice.

        Args:
            of: what they are lines of, for the error.
        """
        places, counts = np.unique(np.stack([self.partition, self.row], 1), axis=0, return_counts=True)
        if (counts > 1).any():
            partition, row = places[counts.argmax()].tolist()
            second = f", partition {partition}" if self.shape[0] > 1 else ""
            raise InputError(
                f"{self.lines.found.path}: {of}, row {row}{second} was measured {counts.max()} times, expected once"
            )


def on_grid(lines: Acquisitions, encoding: Encoding, coils: int) -> tuple[Grid, tuple[str, ...]]:
    """Lines with their places, and what to note; InputError names an acquisition that lies beside the grid.

    Args:
        lines: of a Cartesian encoding.
        encoding: of them.
        coils: of each.
    """
    w, h, z = encoding.encoded.matrix
    row = _steps(lines, "kspace_encode_step_1", encoding.lines, h)
    partition = _steps(lines, "kspace_encode_step_2", encoding.partitions, z)
    heads = lines.heads
    before, after = heads["discard_pre"].astype(np.int64), heads["discard_post"].astype(np.int64)
    count = heads["number_of_samples"].astype(np.int64) - before - after
    centre = heads["center_sample"].astype(np.int64) - before
    whole = (count == w) & (centre != w // 2)
    begin = np.where(count == w, 0, w // 2 - centre)
    wrong = (count < 1) | (begin < 0) | (begin + count > w)
    if wrong.any():
        k = int(wrong.argmax())
        raise InputError(
            f"{lines.found.path}: acquisition {int(lines.numbers[k])} has {int(count[k])} samples with number "
            f"{int(centre[k])} in the middle, which do not fit into the {w} columns of the header's encoded matrix"
        )
    said = f"{int(whole.sum())} lines of full length name another middle than that of the grid, which is used"
    return Grid(lines, coils, (z, h, w), partition, row, begin, begin + count), (said,) if whole.any() else ()


def _steps(lines: Acquisitions, name: str, limits: Limits | None, size: int) -> Int[np.ndarray, " n"]:
    """Rows of the grid."""
    places = lines.counter(name) - (limits.centre if limits else size // 2) + size // 2
    wrong = (places < 0) | (places >= size)
    if wrong.any():
        k = int(wrong.argmax())
        raise InputError(
            f"{lines.found.path}: acquisition {int(lines.numbers[k])} has {name} {int(lines.counter(name)[k])}, which "
            f"lies in row {int(places[k])} of a grid of {size}, by the header's matrix and limits"
        )
    return places


# Volumes ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Slabs:
    """How a volume with two phase encodings becomes slices.

    Attributes:
        along: "partitions" or "readout", the axis that is transformed.
        slices: how many there are.
        mask: of each slice (H, W).
        read: k-space (coils, H, W) of a slice.
    """

    along: str
    slices: int
    mask: Bool[np.ndarray, "h w"]
    read: Callable[[int], Complex[np.ndarray, "coils h w"]]


def slabs(grid: Grid, partitions: int, readout: int) -> Slabs:
    """A volume as slices; InputError if neither the second phase encoding nor the readout was measured whole.

    Transformed k-space is kept in a temporary file, made when the first slice is read, row by row.

    Args:
        grid: of the volume.
        partitions: slices to keep of those along the second phase encoding, about its middle.
        readout: likewise, along the readout.
    """
    mask = grid.mask()
    if np.array_equal(mask, np.broadcast_to(mask[:1], mask.shape)):
        z = grid.shape[0]
        kept = slice(z // 2 - partitions // 2, z // 2 - partitions // 2 + partitions)
        return Slabs("partitions", partitions, mask[0], _transformed(grid, 1, kept))
    lines = np.any(mask, axis=2)
    if np.array_equal(mask, np.broadcast_to(np.expand_dims(lines, 2), mask.shape)):
        w = grid.shape[2]
        kept = slice(w // 2 - readout // 2, w // 2 - readout // 2 + readout)
        return Slabs("readout", readout, np.ascontiguousarray(lines.T), _transformed(grid, 2, kept))
    raise InputError(
        f"{grid.lines.found.path}: neither the second phase encoding nor the readout was measured whole, so the volume "
        "cannot be taken apart into slices"
    )


def _transformed(grid: Grid, axis: int, kept: slice) -> Callable[[int], Complex[np.ndarray, "coils h w"]]:
    """Slices of a volume that was transformed along its partitions (1) or its readout (2)."""
    other = 3 - axis  # of a block (coils, partitions, W): it becomes the columns of a slice
    z, h, w = grid.shape
    shape = (kept.stop - kept.start, grid.coils, h, (z, w)[other - 1])

    @cache
    def volume() -> np.ndarray:
        with tempfile.TemporaryFile() as file:
            found = np.memmap(file, np.complex64, "w+", shape=shape)  # pyright: ignore[reportCallIssue, reportArgumentType]
        for row in np.unique(grid.row):
            block = grid.of(grid.row == row).kspace()[:, :, row]
            waves = np.fft.ifft(np.fft.ifftshift(block, axis), axis=axis, norm="ortho")
            found[:, :, row] = np.moveaxis(np.fft.fftshift(waves, axis), axis, 0)[kept]
        return found

    return lambda number: np.array(volume()[number])
