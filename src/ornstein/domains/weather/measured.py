"""What is measured of the records that are learned from, before a model learns.

mean and spread of predictors and truths by variable and step, zeros and gaps, the regression of one on the other
(base.py), and the power of what it leaves, x = (u − base)/scale, in waves: the spectrum of the noise
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ...files import MB
from ...spectral.shells import Shells
from ...spectral.transforms import Separable
from ...training.datasets import Dataset
from .base import fitted
from .files.pairs import Read
from .kept import Kept
from .known import Known

_ROUNDED = 1e-6
"""How far below 0 rounding may leave what is never negative, as a share of its mean: packed files do."""
_OFTEN = 0.01
"""The share of zeros from which on a variable that is never negative is learned as its root."""
_FAR = 0.1
"""Of its mean: a variable that was never lower is far from 0, as a temperature in kelvin is, and has no bound there."""
_SMALL = 1e-14
"""Of a variable at most: below, or above its inverse, squares of differences are lost."""
_BATCH = 64 * MB


def measured(sample: Kept, leads: str, cycles: Sequence[str], missing: bool) -> Known:
    """Statistics of predictors and truths, and the regression of one on the other.

    Args:
        sample: of what is learned from.
        leads, cycles, missing: see `Known`.
    """
    pairs = sample.pairs
    signs = _signs(sample)
    positive, bounded = [one.often_zero for one in signs], [one.seldom_zero for one in signs]
    p, s, v = len(pairs.predictors), len(pairs.steps), len(pairs.variables)
    one = torch.ones(p, s)
    known = Known(
        pairs.variables, pairs.predictors, s, pairs.grid, leads, positive, bounded, pairs.members > 1,
        missing, cycles, 0 * one, one, one, torch.zeros(v, s), torch.ones(v, s),
    )  # fmt: skip
    _require_varying(signs, pairs.variables, pairs.where[1])
    predictors = _moments(
        (known.standardised(read) for read, _ in sample.chunks()), "the forecast", pairs.predictors, pairs.step_hours
    )
    truths = _moments(
        (known.rooted(truth_of(read)) for read, _ in sample.chunks()), "the truth", pairs.variables, pairs.step_hours
    )
    spreads = (torch.from_numpy(read.spread) for read, _ in sample.chunks() if read.spread is not None)
    spread = _moments(spreads, "the spread", pairs.predictors, pairs.step_hours)[0] if pairs.members > 1 else one
    known = replace(
        known,
        predictor_mean=predictors[0], predictor_std=predictors[1], spread_mean=spread,
        truth_mean=truths[0], truth_std=truths[1],
    )  # fmt: skip

    def chunks() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for read, times in sample.chunks():
            yield known.features(read, times), known.rooted(truth_of(read)), known.squared(read)

    return replace(known, base=fitted(chunks, positive, by_point=pairs.grid.kind == "stations"))


def spectrum_of(data: Dataset, periodic: Sequence[bool]) -> Shells:
    """The mean power of the states in waves, of each channel.

    Args:
        data: states without gaps, (channels, *grid).
        periodic: which axes of the grid go round: these have Fourier waves, the others cosines.
    """
    basis = Separable(tuple("fourier" if one else "cosine" for one in periodic))
    power, each = 0.0, max(1, _BATCH // (4 * int(np.prod(data.metadata["shape"]))))
    for index in torch.arange(len(data)).split(each):
        x, _ = data.batch(index)
        assert isinstance(x, Tensor)
        power = power + basis.forward(x.double()).square().sum(0)
    assert isinstance(power, Tensor)
    return Shells.of(power / len(data), basis)


def truth_of(read: Read) -> Float[Tensor, "n v s *grid"]:
    """What happened, NaN where it is missing.

    Args:
        read: records that have truths.
    """
    assert read.truth is not None
    return torch.from_numpy(read.truth)


# Which variables have a bound -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sign:
    """The least and the largest value of a variable, its mean, and the share of zeros."""

    low: float
    high: float
    mean: float
    zeros: float

    @property
    def bounded(self) -> bool:
        return -_ROUNDED * self.mean <= self.low <= _FAR * self.mean

    @property
    def often_zero(self) -> bool:
        return self.bounded and self.zeros > _OFTEN

    @property
    def seldom_zero(self) -> bool:
        return self.bounded and not self.often_zero


def _signs(sample: Kept) -> list[_Sign]:
    """Of each variable; InputError if nothing is known of one."""
    names = sample.pairs.variables
    (low, high), (total, count, zeros) = np.full((2, len(names)), np.inf), np.zeros((3, len(names)))
    for read, _ in sample.chunks():
        assert read.truth is not None
        flat = np.moveaxis(read.truth, 1, 0).reshape(len(names), -1).astype(np.float64)
        there = ~np.isnan(flat)
        low = np.minimum(low, np.where(there, flat, np.inf).min(1))
        high = np.minimum(high, np.where(there, -flat, np.inf).min(1))
        total, count, zeros = total + np.nansum(flat, 1), count + there.sum(1), zeros + (flat <= 0).sum(1)
    for name, n in zip(names, count, strict=True):
        if not n:
            raise InputError(f"{name}: the truth is missing at all times that are learned from, expected some")
    columns = low, -high, total / count, zeros / count
    return [_Sign(*row) for row in np.stack(columns, 1).tolist()]


def _require_varying(signs: Sequence[_Sign], names: Sequence[str], where: str) -> None:
    """InputError for a variable that is the same everywhere, or of a size whose squares are no single precision."""
    for name, one in zip(names, signs, strict=True):
        if one.low == one.high and not one.often_zero:
            raise InputError(
                f"{where}: {name!r} is {one.low:g} at all times that are learned from, expected numbers that vary"
            )
        size = max(abs(one.low), abs(one.high))
        if not _SMALL < size < 1 / _SMALL and not one.often_zero:
            raise InputError(
                f"{where}: {name!r} is {size:g} at most, expected a unit in which it is between {_SMALL:g} and "
                f"{1 / _SMALL:g}"
            )


# Moments ----------------------------------------------------------------------------------------------


def _moments(
    fields: Iterator[Tensor], what: str, names: Sequence[str], leads: Float[np.ndarray, " s"]
) -> tuple[Tensor, Tensor]:
    """Mean and spread by name and step, over records and the grid, NaN left out; the spread of a constant is 1."""
    n, total, square = 0.0, 0.0, 0.0
    for one in fields:
        flat = one.double().flatten(3).transpose(0, 2).flatten(2)  # (steps, names, records and points)
        there = ~flat.isnan()
        flat = flat.nan_to_num()
        n, total, square = n + there.sum(2), total + flat.sum(2), square + flat.square().sum(2)
    assert isinstance(n, Tensor)
    assert isinstance(total, Tensor)
    assert isinstance(square, Tensor)
    if not n.all():
        step, name = (n == 0).nonzero()[0].tolist()
        raise InputError(
            f"{names[name]}: {what} of lead {leads[step]:g} is missing at all times that are learned from, "
            "expected some"
        )
    mean = total / n
    std = (square / n - mean**2).clamp(min=0).sqrt()
    std = torch.where(std > 1e-6 * mean.abs(), std, 1.0)
    return mean.T.float().contiguous(), std.T.float().contiguous()
