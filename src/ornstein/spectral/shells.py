"""Spectra of fields as few numbers: the variance of a mode depends on |k| alone, channel by channel.

    v(k) = the mean variance of the modes of the shell r ≤ (|k| − k₀)/δ + ½ < r + 1

δ is the finest step between the frequencies of an axis, 1/n of a periodic one and about 1/2n of half waves, and k₀ the
frequency of the longest wave. One number a shell of each channel goes into the metadata of data as JSON, from where a
model's space makes it anew, and a mean over a shell is known from far fewer records than each of its modes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..errors import InputError
from ..files import Within, require
from .roots import Spectral
from .transforms import AXES, Separable


@dataclass(frozen=True)
class Shells:
    """An isotropic spectrum.

    Attributes:
        axes: of the basis of waves, one word an axis; see `transforms.Separable`.
        shape: of one event; axes before those of the waves are channels.
        power: the variance of a mode, in squared units of the field: a row a channel, a number a shell, positive.
    """

    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "axes": [AXES],
        "shape": [Within(int, 1, 10**6)],
        "power": [[Within(float, 1e-300, 1e300)]],
    }
    """Of `record`, such as in `Task.facts`."""

    axes: tuple[str, ...]
    shape: tuple[int, ...]
    power: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, power: Float[Tensor, "*event"], basis: Separable, floor: float = 1e-6) -> Self:
        """The mean over shells of the variance of each mode.

        Args:
            power: of each coefficient, of the shape of one event, such as `Statistics.spectrum()`.
            basis: of the waves.
            floor: the least variance of a mode, as a share of the channel's mean: shells that the data lack keep so
                much.

        InputError unless powers are finite and not negative, and each channel has some.
        """
        basis.require_fit(power.shape)
        shell = _numbers(basis, power.shape)
        rows = power.double().reshape(-1, shell.numel())
        wrong = (~rows.isfinite() | (rows < 0)).nonzero()
        if len(wrong):
            raise InputError(f"spectrum: a mode has the variance {rows[tuple(wrong[0])].item()}, expected ≥ 0")
        if not rows.sum(1).all():
            raise InputError(f"spectrum: channel {int((rows.sum(1) == 0).nonzero()[0])} has no variance")
        sums = rows.new_zeros(len(rows), int(shell.max()) + 1).index_add_(1, shell.flatten(), rows)
        means = sums / shell.flatten().bincount().clamp(min=1)
        means = means.clamp(min=floor * rows.mean(1, keepdim=True))
        return cls(basis.axes, tuple(power.shape), tuple(map(tuple, means.tolist())))

    @property
    def spectral(self) -> Spectral:
        """The covariance, as `noise_cov` or `data_std` of a space takes it."""
        basis = Separable(self.axes)
        shell = _numbers(basis, self.shape)
        rows = torch.tensor(self.power, dtype=torch.float64)
        return Spectral.of(rows[:, shell.flatten()].reshape(self.shape), basis)

    def at(self, shape: tuple[int, ...]) -> Self:
        """The same spectrum on another grid of the same step: powers are interpolated in |k|, beyond the last its own.

        Args:
            shape: of one event, with as many channels.

        InputError for another number of axes or channels.
        """
        if shape == self.shape:
            return self
        grid = len(self.axes)
        if len(shape) != len(self.shape) or shape[: len(shape) - grid] != self.shape[: len(self.shape) - grid]:
            raise InputError(f"spectrum: of events {self.shape}, which no grid makes events {shape}")
        basis = Separable(self.axes)
        have, want = (_frequencies(basis, one) for one in (self.shape, shape))
        logs = np.log(np.asarray(self.power))
        power = np.exp([np.interp(want, have, row) for row in logs])
        return type(self)(self.axes, tuple(shape), tuple(map(tuple, power.tolist())))

    def record(self) -> dict[str, Any]:
        """In JSON values."""
        return {"axes": list(self.axes), "shape": list(self.shape), "power": [list(row) for row in self.power]}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], where: object = "spectrum") -> Self:
        """What `record` was made of; InputError if it is nothing of the kind.

        Args:
            record: JSON values.
            where: they stand, for the error.
        """
        require(record, cls.SCHEMA, where)
        found = cls(tuple(record["axes"]), tuple(record["shape"]), tuple(map(tuple, record["power"])))
        basis = Separable(found.axes)
        basis.require_fit(found.shape)
        shell = _numbers(basis, found.shape)
        rows, size = torch.Size(found.shape).numel() // shell.numel(), int(shell.max()) + 1
        if len(found.power) != rows or any(len(row) != size for row in found.power):
            raise InputError(f"{where}: field power has {len(found.power)} rows, expected {rows} of {size} numbers")
        return found


def _numbers(basis: Separable, shape: tuple[int, ...]) -> Int64[Tensor, "*grid"]:
    """The shell of each mode of one channel."""
    grid = tuple(shape)[len(shape) - len(basis.axes) :]
    frequencies = basis.frequencies(grid)
    return ((frequencies - frequencies.min()) / _step(basis, grid)).round().long()


def _frequencies(basis: Separable, shape: tuple[int, ...]) -> Float[np.ndarray, " shells"]:
    """Of the middle of each shell."""
    grid = tuple(shape)[len(shape) - len(basis.axes) :]
    first, shells = float(basis.frequencies(grid).min()), int(_numbers(basis, shape).max()) + 1
    return first + _step(basis, grid) * np.arange(shells)


def _step(basis: Separable, grid: tuple[int, ...]) -> float:
    """The finest step between the frequencies of an axis; 1 where no axis has two."""
    each = [Separable((word,)).frequencies((n,)) for word, n in zip(basis.axes, grid, strict=True) if n > 1]
    return min([float(k[1] - k[0]) for k in each if k[1] > k[0]], default=1.0)
