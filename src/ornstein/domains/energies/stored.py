"""Samples of exp(−E) on the disk: one NumPy file of all of them, written block by block, and figures."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ...denoisers.base import Condition
from ...disk import arrays
from ...errors import InputError
from ...files import GB
from ...states import State
from ...tasks.native.blocks import BlockStore
from ...tasks.samples import Samples, native
from . import metrics
from .data import System, recorded

FILE = "samples.npz"
_LARGEST = 1000 * GB  # of a file, of which a few rows are read at a time


class EnergyStore(BlockStore):
    """samples.npz: x (n, ...) and energy (n,), in units of kT; the figures. Holds 8 bytes a sample, its energy."""

    def write(self, samples: Samples) -> None:
        energies = torch.cat([metrics.energies(x, self._system) for x in self._states()])
        first = self._read(self.numbers[: metrics.SHOWN])
        shape, dtype = (len(self.numbers), *first.shape[1:]), first.numpy().dtype
        blocks = arrays.Blocks(shape, dtype, (x.numpy() for x in self._states()))
        arrays.write(self.folder / FILE, {"x": blocks, "energy": energies.numpy()})
        for k, figure in enumerate(metrics.figures(first, energies, self._system)):
            (self.folder / f"figure-{k}.{figure.kind.removesuffix('+xml')}").write_bytes(figure.image)

    def load(self, numbers: range) -> tuple[State, Condition]:
        assert self.manifest is not None
        path, first = native(self.folder, self.manifest, FILE), self.numbers.start
        shape = (len(self.numbers), *self.origin.metadata["shape"])
        chosen = range(numbers.start - first, numbers.stop - first)
        (x,) = arrays.rows(path, _LARGEST, "x", "f", shape, len(chosen), chosen)
        if not np.isfinite(x).all():
            raise InputError(f"{path}: array 'x' holds numbers that are not finite")
        return torch.from_numpy(x if x.dtype.itemsize <= 8 else x.astype(float)), {}

    def _states(self) -> Iterator[Tensor]:
        """All of them, cut alike whatever blocks they were drawn in, so that energies are the same bit for bit."""
        size, left = metrics.rows_of(self._system), list[Tensor]()
        for block in self.drawn():
            x = torch.cat([*left, torch.as_tensor(block.x)])
            whole = len(x) - len(x) % size
            yield from (x[k : k + size] for k in range(0, whole, size))
            left = [x[whole:]]
        yield from (x for x in left if len(x))

    def _read(self, numbers: range) -> Tensor:
        x, _ = self.read(numbers)
        return torch.as_tensor(x)

    @cached_property
    def _system(self) -> System:
        return recorded(self.origin.metadata)
