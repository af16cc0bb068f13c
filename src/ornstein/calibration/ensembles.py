"""Truths and the ensembles that were drawn for them, read a piece at a time.

Arrays are (cases, *field) of truths and (cases, members, *field) of samples. They may be NumPy arrays, memory maps,
Zarr or NetCDF arrays, tensors: whatever has a `shape` and can be sliced along its cases. Missing values are NaN: in the
truth, or in all members at once. A point counts where both are there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Num
from torch import Tensor

from ..errors import InputError

BLOCK = 1 << 21
"""Numbers of the samples that are worked on at once, at most (16 MiB in float64; a score takes a few times that). One
case is read whole, in its own type: of memory, (one case) + about 100 MiB are needed, however many cases there are."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Some points of some cases, flat.

    Attributes:
        cases: which cases.
        points: which points of the flat field.
        truth: 0 where missing.
        samples: 0 where missing.
        there: where there are data and a weight.
        weights: of the points.
    """

    cases: slice
    points: slice
    truth: Float[np.ndarray, "cases points"]
    samples: Float[np.ndarray, "cases members points"]
    there: Bool[np.ndarray, "cases points"]
    weights: Float[np.ndarray, " points"]

    @property
    def counted(self) -> Float[np.ndarray, "cases points"]:
        """The weights of what is there, 0 elsewhere."""
        return self.there * self.weights


@dataclass(frozen=True, eq=False)
class Whole:
    """Whole fields of some cases.

    Attributes:
        cases: which cases.
        truth: NaN where missing.
        samples: NaN where missing, in the type that they came in.
        counted: weights of the points where there are data, 0 elsewhere.
    """

    cases: slice
    truth: Num[np.ndarray, "cases *field"]
    samples: Num[np.ndarray, "cases members *field"]
    counted: Float[np.ndarray, "cases *field"]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Truths with their samples, checked. Make it with `Ensemble.of`.

    Attributes:
        truths: (cases, *field).
        samples: (cases, members, *field).
        weights: of the points, mean 1.
    """

    truths: Any
    samples: Any
    weights: Float[np.ndarray, "*field"]

    @classmethod
    def of(cls, truths: Any, samples: Any, weights: Any = None, least: int = 2) -> "Ensemble":
        """InputError if shapes do not fit, there are too few members or the weights are no weights.

        Args:
            truths: (cases, *field).
            samples: (cases, members, *field), in the units of the truths.
            weights: of the points, such as their areas, one an element of the field or 1 along an axis; only their
                ratios count. None: all alike.
            least: how many members are needed.
        """
        truths, samples = shaped(truths), shaped(samples)
        shape, found = tuple(truths.shape), tuple(samples.shape)
        if len(shape) < 1 or len(found) != len(shape) + 1 or found[:1] + found[2:] != shape or 0 in found:
            expected = f"(cases, members, *field) for truths (cases, *field) of shape {shape}, none of them empty"
            raise InputError(f"samples: shape {found}, expected {expected}")
        if found[1] < least:
            members = "one member" if found[1] == 1 else f"{found[1]} members"
            raise InputError(f"samples: {members}, expected at least {least} for each case")
        return cls(truths, samples, point_weights(weights, shape[1:]))

    @property
    def cases(self) -> int:
        """How many there are."""
        return int(self.truths.shape[0])

    @property
    def members(self) -> int:
        """Of each case."""
        return int(self.samples.shape[1])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the field."""
        return tuple(self.truths.shape[1:])

    def part(self, cases: slice) -> "Ensemble":
        """Some of the cases."""
        return Ensemble(Part(self.truths, cases), Part(self.samples, cases), self.weights)

    def pieces(self) -> Iterator[Piece]:
        """All points of all cases, of at most `BLOCK` numbers at once, each case read once."""
        for cases in self.groups():
            yield from self._cut(cases, *self._read(cases))

    def whole(self) -> Iterator[Whole]:
        """All cases as whole fields, the members in the type that they came in."""
        for cases in self.groups():
            truth, samples = self._read(cases)
            counted = np.concatenate([piece.counted for piece in self._cut(cases, truth, samples)], 1)
            shape = (len(truth), *self.shape)
            members = samples.reshape(len(truth), -1, *self.shape)
            yield Whole(cases, truth.reshape(shape), members, counted.reshape(shape))

    def _read(self, cases: slice) -> tuple[np.ndarray, np.ndarray]:
        truth = real(self.truths[cases], "truths").reshape(cases.stop - cases.start, -1)
        samples = real(self.samples[cases], "samples")
        return truth, samples.reshape(len(truth), self.members, -1)

    def _cut(self, cases: slice, truth: np.ndarray, samples: np.ndarray) -> Iterator[Piece]:
        size, weights = prod(self.shape), self.weights.reshape(-1)
        width = max(1, min(size, BLOCK // self.members))
        for start in range(0, size, width):
            points = slice(start, min(start + width, size))
            yield piece_of(cases, points, truth[:, points], samples[:, :, points], weights[points])

    def groups(self) -> Iterator[slice]:
        """Consecutive cases that are read together."""
        step = max(1, BLOCK // (self.members * prod(self.shape)))
        yield from (slice(first, min(first + step, self.cases)) for first in range(0, self.cases, step))


def piece_of(cases: slice, points: slice, truth: np.ndarray, samples: np.ndarray, weights: np.ndarray) -> Piece:
    """Some points of some cases, checked: InputError for infinite values, and where some members alone are missing.

    Args:
        cases, points: which.
        truth: (cases, points), NaN where missing.
        samples: (cases, members, points), likewise.
        weights: of the points.
    """
    truth, samples = truth.astype(np.float64), samples.astype(np.float64)
    if np.isinf(truth).any() or np.isinf(samples).any():
        what = "truths" if np.isinf(truth).any() else "samples"
        raise InputError(f"{what}: infinite values among cases {cases.start} to {cases.stop - 1}, expected numbers")
    require_all_or_none(truth, samples, cases.start, points.start)
    there = ~(np.isnan(truth) | np.isnan(samples).any(1))
    clean = np.where(there, truth, 0.0), np.where(there[:, None], samples, 0.0)
    return Piece(cases, points, *clean, there & (weights > 0), weights)


def require_all_or_none(
    truth: Float[np.ndarray, "cases points"], samples: Float[np.ndarray, "cases members points"], case: int, point: int
) -> None:
    """InputError where some members are NaN and others are not, of a truth that is known.

    Args:
        case: the number of the first.
        point: likewise, of the flat field.
    """
    gone = np.isnan(samples)
    some = gone.any(1) & ~gone.all(1) & ~np.isnan(truth)
    if some.any():
        first, place = (int(index[0]) for index in np.nonzero(some))
        missing = int(gone[first, :, place].sum())
        raise InputError(
            f"samples: case {case + first}, point {point + place} of the flat field: {missing} of {samples.shape[1]} "
            "members are NaN, expected all (missing) or none"
        )


@dataclass(frozen=True, eq=False)
class Part:
    """Some cases of an array, which are read when they are asked for."""

    array: Any
    cases: slice

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.cases.stop - self.cases.start, *self.array.shape[1:])

    def __getitem__(self, cases: slice) -> Any:
        return self.array[self.cases.start + cases.start : self.cases.start + cases.stop]


@dataclass(frozen=True, eq=False)
class Stacked:
    """Several arrays (cases, *field) as the members of one (cases, members, *field), put together where it is read."""

    arrays: tuple[Any, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        first = tuple(self.arrays[0].shape)
        return (*first[:1], len(self.arrays), *first[1:])

    def __getitem__(self, cases: slice) -> np.ndarray:
        return np.stack([real(array[cases], "values") for array in self.arrays], 1)


def stacked(truths: Any, **arrays: Any) -> Stacked:
    """Arrays shaped as the truths, by name; InputError names one that is not."""
    shape = tuple(shaped(truths).shape)
    found = {name: shaped(array) for name, array in arrays.items()}
    for name, array in found.items():
        if tuple(array.shape) != shape:
            raise InputError(f"{name}: shape {tuple(array.shape)}, expected that of the truths, {shape}")
    return Stacked(tuple(found.values()))


def shaped(values: Any) -> Any:
    """What can be sliced and has a shape; lists become arrays. InputError for rows of different lengths."""
    if hasattr(values, "shape") and hasattr(values, "__getitem__"):
        return values
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError("expected arrays of one shape, found rows of different lengths") from None


def real(values: Any, name: str) -> np.ndarray:
    """An array of real numbers, masked ones NaN; InputError for complex numbers, text and the like."""
    if isinstance(values, Tensor):
        half = values.is_floating_point() and values.element_size() < 4  # NumPy has no bfloat16
        values = (values.float() if half else values).detach().cpu().numpy()
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    found = np.asarray(values)
    if found.dtype.kind not in "fiub":
        raise InputError(
            f"{name}: numbers of type {found.dtype}, expected real ones (complex: real and imaginary parts)"
        )
    return found


def point_weights(weights: Any, shape: tuple[int, ...]) -> Float[np.ndarray, "*field"]:
    """Weights of the points of a field, of mean 1.

    InputError if they do not fit the field, are negative or not finite, or all zero.

    Args:
        weights: one an element of the field, or 1 along an axis; None: all alike.
        shape: of the field.
    """
    if weights is None:
        return np.ones(shape)
    found = real(weights, "weights").astype(np.float64)
    if found.ndim != len(shape) or any(n not in (1, m) for n, m in zip(found.shape, shape, strict=True)):
        raise InputError(f"weights: shape {found.shape}, expected that of the field, {shape}, or 1 along an axis")
    if not np.isfinite(found).all() or (found < 0).any() or not found.any():
        wrong = "negative" if (found < 0).any() else "all zero" if not found.any() else "not finite"
        raise InputError(f"weights: {wrong}, expected numbers ≥ 0, some of them positive")
    found = np.broadcast_to(found, shape)
    return np.asarray(found / found.mean())


def latitude_weights(latitudes: Any) -> Float[np.ndarray, "latitudes 1"]:
    """cos φ: the areas of a regular grid's cells, for fields (…, latitude, longitude).

    Args:
        latitudes: φ, degrees north. InputError beyond ±90.
    """
    found = real(shaped(latitudes), "latitudes").astype(np.float64)
    if found.ndim != 1 or not (np.abs(found) <= 90.0 + 1e-6).all():
        raise InputError(f"latitudes: shape {found.shape}, expected one row of degrees between −90 and 90")
    return np.cos(np.deg2rad(np.clip(found, -90, 90)))[:, None].clip(0.0)


def gathered(
    fields: Num[np.ndarray, "n *field"] | Num[Tensor, "n *field"], cases: Sequence[int]
) -> tuple[list[int], Num[np.ndarray, "cases members *field"]]:
    """Samples put together by their case: the cases, rising, and their members in the order that they come in.

    InputError unless each case has as many members, such as where not all of the last case's were drawn.

    Args:
        fields: one a sample.
        cases: of which case each sample is.
    """
    values, labels = np.asarray(fields), np.asarray(cases, dtype=np.int64)
    if labels.shape != (len(values),):
        raise InputError(f"cases: {labels.size} of {len(values)} samples, expected one each")
    names, counts = np.unique(labels, return_counts=True)
    if len(set(counts.tolist())) != 1:
        few = names[counts.argmin()]
        raise InputError(f"cases: case {few} has {counts.min()} members and others have {counts.max()}")
    order = np.argsort(labels, kind="stable")
    return names.tolist(), values[order].reshape(len(names), -1, *values.shape[1:])
