"""Numbers laid aside until all are there: in memory, or in the folder for temporary files where they are many."""

from tempfile import SpooledTemporaryFile, gettempdir

import numpy as np
from jaxtyping import Float

from ..errors import InputError

IN_MEMORY = 1 << 26
"""Bytes of one spool that are in memory at most."""
_SIZE = np.dtype(np.float32).itemsize


class Spool:
    """Numbers in single precision, one after the other."""

    def __init__(self) -> None:
        """Of no numbers yet; the file is gone when this is."""
        self._file = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, values: Float[np.ndarray, "*any"]) -> int:
        """Appends numbers in the order of their indices; returns the place of the first.

        Args:
            values: of any shape.

        InputError if the folder for temporary files does not hold them.
        """
        first, data = self._count, np.ascontiguousarray(values, np.float32)
        try:
            self._file.seek(first * _SIZE)
            self._file.write(data.data)
            self._file.flush()  # a full disk is told here, not when something is read
        except OSError as error:
            need = (first + data.size) * _SIZE / 1e9
            raise InputError(
                f"{gettempdir()}: {need:.3g} GB, judged once all samples are there, cannot be laid aside: {error}; "
                "TMPDIR names another folder"
            ) from None
        self._count += data.size
        return first

    def read(self, first: int, count: int) -> Float[np.ndarray, " count"]:
        """So many numbers, or as many as are there.

        Args:
            first: the place of the first.
            count: how many.
        """
        self._file.seek(first * _SIZE)
        return np.frombuffer(self._file.read(count * _SIZE), np.float32)
