"""The data: pairs of a forecast and what happened, and what is measured of them before a model learns.

The first times are learned from, later ones validate, the last are for the calibration report: weather of neighbouring
days is alike, so that parts are not shuffled.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ...denoisers.base import Condition
from ...errors import InputError
from ...files import MB, plain
from ...keys import Keys
from ...shells import Shells
from ...transforms import Separable
from .base import drawn_below, fitted, hidden
from .files.pairs import Pairs, Read
from .known import Known, cycles_of
from .unseen import record, unseen
from .windows import PLACES, packed, places, standardised, unpacked

_COPIES = 16
"""How often a record is there, each time with other draws of what was not seen."""
_OFTEN = 0.01
"""The share of zeros from which on a variable that is never negative is learned as its root."""
_MEASURED = 1024
"""Records that statistics are measured on at most, evenly over the times that are learned from."""
_CHUNK = 64 * MB


@dataclass(frozen=True, eq=False)
class WeatherData:
    """A Dataset of forecasts and what happened.

    Attributes:
        pairs: of this part.
        known: what was measured of the part that is learned from.
        about: the metadata.
        memory: bytes of records that may be kept.
        window: the side of the windows of the grid that records are; 0 = all of it.
        copies: of each record, with other draws of what was not seen, and other windows.
        seed: of these draws.
        mirror: the axis of the grid along which every second copy is mirrored, with the sign changed.
        places: what windows are told of where they are, over the whole grid; see windows.py.
    """

    pairs: Pairs
    known: Known
    about: Mapping[str, Any]
    memory: int
    window: int = 0
    copies: int = 1
    seed: int = 0
    mirror: int | None = None
    places: Tensor | None = None

    @property
    def sizes(self) -> None:
        return None

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.about

    @property
    def per_time(self) -> int:
        """Records of one time, of one copy."""
        return self.known.steps if self.known.leads == "each" else 1

    def __len__(self) -> int:
        return len(self.pairs.times) * self.per_time * self.copies

    def batch(self, index: Int64[Tensor, " batch"]) -> tuple[Tensor, Condition]:
        """States (batch, channels, *grid), what the network is told, and "mask" where truths may be missing."""
        times, steps = (index // self.per_time) % len(self.pairs.times), index % self.per_time
        window = self._window(index)
        read, which = self._read(times, window)
        condition = dict(self.known.conditions(read, which))
        u = self.known.rooted(_truth(read)).flatten(1, 2)
        if self.known.leads == "each":
            u = u.unflatten(1, (-1, self.known.steps))[torch.arange(len(index)), :, steps]
            condition = dict(self.known.one_lead(condition, steps))
        base, scale = condition.pop("base"), condition.pop("scale")
        u = self._latent(u, base, scale, Keys.of(self.seed, index.tolist()).fold("hidden"))
        x, missing = (u - base) / scale, u.isnan()
        if self.known.missing:
            condition["mask"] = ~missing
        elif missing.any():
            raise InputError(
                f"record {int(index[missing.flatten(1).any(1)][0])}: a truth is missing, as none was before"
            )
        if window is not None and self.places is not None:
            where = _cut(self.places.numpy()[None], np.zeros(len(index), dtype=np.int64), window)
            condition[PLACES] = torch.from_numpy(where)
        return self._mirrored(x.nan_to_num(), condition, index)

    def _latent(self, u: Tensor, base: Tensor, scale: Tensor, keys: Keys) -> Tensor:
        """With draws where a variable was seen as 0, which says that u is not above it."""
        censored = torch.tensor(self.known.each_channel(self.known.censored))
        if not censored.any():
            return u
        return torch.where(hidden(u, censored), drawn_below(base, scale, keys), u)

    def _mirrored(self, x: Tensor, condition: Condition, index: Tensor) -> tuple[Tensor, Condition]:
        """Every second copy −x(−y), and so what it is told; a mirrored field of a periodic axis begins where it did."""
        if self.mirror is None:
            return x, condition
        turned = index // (len(self.pairs.times) * self.per_time) % 2 == 1
        axis, back = 2 + self.mirror, int(self.known.grid.periodic[self.mirror])

        def mirrored(field: Tensor) -> Tensor:
            if field.ndim != x.ndim:
                return field
            other = field.flip(axis).roll(back, axis)
            other = other if other.dtype == torch.bool else -other
            return torch.where(turned.reshape(-1, *(1,) * (field.ndim - 1)), other, field)

        return mirrored(x), {name: mirrored(value) for name, value in condition.items()}

    def _window(self, index: Tensor) -> list[np.ndarray] | None:
        """Where the window of each record is, (records, side) along each axis; axes that go round have no ends."""
        grid = self.known.grid
        if not self.window or all(n <= self.window for n in grid.shape):
            return None
        corner, found = Keys.of(self.seed, index.tolist()).fold("window").uniform(len(grid.shape)).numpy(), []
        for axis, (n, goes_round) in enumerate(zip(grid.shape, grid.periodic, strict=True)):
            side = min(n, self.window)
            first = (corner[:, axis] * (n if goes_round else n - side + 1)).astype(np.int64)
            found.append((first[:, None] + np.arange(side)) % n)
        return found

    def _read(self, times: Tensor, window: Sequence[np.ndarray] | None) -> tuple[Read, np.ndarray]:
        """The records of some times, or windows of them, and when these began."""
        if self._all is not None:
            return _taken(self._all, times.numpy(), window), self.pairs.times[times.numpy()]
        distinct, place = torch.unique(times, return_inverse=True)
        return _taken(self.pairs.read(distinct.numpy()), place.numpy(), window), self.pairs.times[times.numpy()]

    @cached_property
    def _all(self) -> Read | None:
        """All records, if memory has room for them."""
        return self.pairs.read(np.arange(len(self.pairs.times))) if self.pairs.bytes <= self.memory else None

    @property
    def static(self) -> Float[Tensor, "k *grid"] | None:
        """Fields that are the same at all times, standardised."""
        found = static_of(self.pairs)
        return None if found is None else standardised(found)

    def describe(self) -> str:
        """What is read, in words."""
        grid = " × ".join(map(str, self.known.grid.shape))
        lines = [
            f"{len(self.pairs.times)} times, {self.known.steps} steps, {self.known.grid.kind} of {grid}: "
            f"{', '.join(self.known.variables)}, from {', '.join(self.known.predictors)}"
        ]
        roots = [name for name, one in zip(self.known.variables, self.known.positive, strict=True) if one]
        bounded = [name for name, one in zip(self.known.variables, self.known.bounded, strict=True) if one]
        lines += [
            f"never negative and often 0: {', '.join(roots)}; learned as the root, a zero as one that is not seen"
        ] * bool(roots)
        lines += [f"never negative: {', '.join(bounded)}; draws below 0 are 0"] * bool(bounded)
        return "\n".join([*lines, *self.pairs.notes])


def split(
    pairs: Pairs,
    ends: tuple[int, int],
    leads: Literal["joint", "each"],
    memory: int,
    window: int = 0,
    seed: int = 0,
    cycles: Sequence[str] | None = None,
    mirror: str = "",
    told: Mapping[str, Any] | None = None,
    coordinates: bool | None = None,
) -> tuple[WeatherData, WeatherData]:
    """What is learned from, and what validates.

    Args:
        pairs: all times.
        ends: the number of times that are learned from, and of those together with what validates.
        leads: whether a state has all steps, or one.
        memory: bytes of records that may be kept.
        window: the side of the windows of the grid that records are; 0 = all of it.
        seed: of draws.
        cycles: what is told of the time; None = what is worth telling, see `cycles_of`.
        mirror: the axis of the grid along which −x(−y) is as likely as x; "" = none.
        told: further metadata.
        coordinates: whether windows are told where they are on the grid; None = unless all its axes go round.
    """
    train, validation = pairs.part(slice(0, ends[0])), pairs.part(slice(ends[0], ends[1]))
    known = measured(train, leads, cycles_of(train.times) if cycles is None else cycles)
    parts = {"train": [0, ends[0]], "validation": [ends[0], ends[1]], "test": [ends[1], len(pairs.times)]}
    grid = known.grid.shape
    if mirror and window and any(n > window for n in grid):
        raise InputError(f"mirror {mirror!r} is of whole grids, not of windows of {window} points: leave one out")
    side = tuple(min(n, window) if window else n for n in grid)
    about = {
        **known.record(),
        "shape": [known.channels, *side],
        "units": dict(pairs.units),
        "attrs": plain({name: dict(pairs.attrs.get(name, {})) for name in pairs.variables}),
        "steps": {"hours": np.asarray(pairs.step_hours, np.float64).tolist()},
        "members": pairs.members,
        "static": 0 if (static := static_of(pairs)) is None else len(static),
        "window": window,
        "spectrum": None,
        "unseen": record(unseen(_truth(read).numpy() for read, _ in _chunks(train))) if known.missing else None,
        "parts": parts,
        **(told or {}),
    }
    copies = _COPIES if any(known.censored) or side != grid else 2 if mirror else 1
    data = WeatherData(train, known, about, memory, window, copies, seed, _axis(known, mirror))
    if side != grid:  # the noise of windows is white: no other is diagonal in waves both of these and of the whole
        fields = None if data.static is None else packed(data.static)
        where = places(known.grid, None if fields is None else unpacked(fields), coordinates)
        about |= {PLACES: 0 if where is None else len(where), "fields": fields}
        data = replace(data, places=where, about=about)
    elif known.grid.kind == "grid" and not known.missing:
        spectrum = spectrum_of(replace(data, copies=1, mirror=None), side)
        data = replace(data, about={**about, "spectrum": spectrum.record()})
    return data, replace(data, pairs=validation, copies=1, mirror=None)


def _axis(known: Known, mirror: str) -> int | None:
    if not mirror:
        return None
    if mirror not in known.grid.dims:
        raise InputError(f"mirror is {mirror!r}, expected an axis of the grid: {', '.join(known.grid.dims)}")
    above = [one or other for one, other in zip(known.positive, known.bounded, strict=True)]
    if any(above):
        name = known.variables[above.index(True)]
        raise InputError(f"mirror changes the sign of fields, but {name} is never negative")
    return known.grid.dims.index(mirror)


def static_of(pairs: Pairs) -> Float[np.ndarray, "k *grid"] | None:
    """Fields that are the same at all times: those of the user's file, and where stations are, if there are several."""
    parts = [] if pairs.static is None else list(pairs.static)
    if pairs.grid.kind == "stations" and pairs.grid.shape[0] > 1:
        parts += [one for role in ("latitude", "longitude", "altitude") if (one := pairs.grid.place(role)) is not None]
    return np.stack(parts).astype(np.float32) if parts else None


# What is measured -------------------------------------------------------------------------------------


def measured(pairs: Pairs, leads: str, cycles: Sequence[str]) -> Known:
    """Statistics of predictors and truths, and the regression of one on the other.

    Args:
        pairs: that are learned from.
        leads, cycles: see `Known`.
    """
    first, zeros, missing = _signs(pairs)
    signed = [low < 0 or low > 0.1 * mean for low, mean in first]
    positive = [not one and share > _OFTEN for one, share in zip(signed, zeros, strict=True)]
    bounded = [not one and share <= _OFTEN for one, share in zip(signed, zeros, strict=True)]
    p, s, v = len(pairs.predictors), len(pairs.steps), len(pairs.variables)
    one = torch.ones(p, s)
    known = Known(
        pairs.variables, pairs.predictors, s, pairs.grid, leads, positive, positive, bounded, pairs.members > 1,
        missing, cycles, 0 * one, one, one, torch.zeros(v, s), torch.ones(v, s),
    )  # fmt: skip
    predictors = _moments((known.standardised(read) for read, _ in _chunks(pairs)), "a predictor", pairs.predictors)
    truths = _moments((known.rooted(_truth(read)) for read, _ in _chunks(pairs)), "a truth", pairs.variables)
    spreads = (torch.from_numpy(read.spread) for read, _ in _chunks(pairs) if read.spread is not None)
    spread = _moments(spreads, "a spread", pairs.predictors)[0] if pairs.members > 1 else one
    known = replace(
        known,
        predictor_mean=predictors[0], predictor_std=predictors[1], spread_mean=spread,
        truth_mean=truths[0], truth_std=truths[1],
    )  # fmt: skip

    def chunks() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for read, times in _chunks(pairs):
            yield known.features(read, times), known.rooted(_truth(read)), known.squared(read)

    return replace(known, base=fitted(chunks, positive, by_point=pairs.grid.kind == "stations"))


def spectrum_of(data: WeatherData, side: Sequence[int]) -> Shells:
    """The mean power of the states, of each channel.

    Args:
        data: that is learned from.
        side: of the windows.
    """
    whole = tuple(side) == data.known.grid.shape
    words = ["fourier" if whole and one else "cosine" for one in data.known.grid.periodic]
    basis, power, n = Separable(tuple(words)), 0.0, 0
    numbers = torch.linspace(0, len(data) - 1, min(len(data), _MEASURED)).long()
    for index in numbers.split(32):
        x, _ = data.batch(index)
        power, n = power + basis.forward(x.double()).square().sum(0), n + len(x)
    assert isinstance(power, Tensor)
    return Shells.of(power / n, basis)


def _chunks(pairs: Pairs) -> Iterator[tuple[Read, np.ndarray]]:
    """Records evenly over the times, some at a time."""
    n = len(pairs.times)
    numbers = np.unique(np.linspace(0, n - 1, n if pairs.grid.kind == "stations" else min(n, _MEASURED)).astype(int))
    each = max(1, int(_CHUNK / max(1, pairs.bytes / n)))
    for begin in range(0, len(numbers), each):
        part = numbers[begin : begin + each]
        yield pairs.read(part), pairs.times[part]


def _signs(pairs: Pairs) -> tuple[list[tuple[float, float]], list[float], bool]:
    """Of each variable its least value and its mean, and the share of zeros; and whether any is missing."""
    low, total, count, zeros, missing = np.full(len(pairs.variables), np.inf), 0.0, 0.0, 0.0, False
    for read, _ in _chunks(pairs):
        assert read.truth is not None
        flat = np.moveaxis(read.truth, 1, 0).reshape(len(pairs.variables), -1).astype(np.float64)
        missing = missing or bool(np.isnan(flat).any())
        low = np.fmin(low, np.nanmin(np.where(np.isnan(flat), np.inf, flat), 1))
        total, count = total + np.nansum(flat, 1), count + (~np.isnan(flat)).sum(1)
        zeros = zeros + (flat == 0).sum(1)
    for name, n in zip(pairs.variables, np.asarray(count), strict=True):
        if not n:
            raise InputError(f"{name}: all truths that would be learned from are missing")
    means, shares = np.asarray(total) / np.asarray(count), np.asarray(zeros) / np.asarray(count)
    return list(zip(low.tolist(), means.tolist(), strict=True)), shares.tolist(), missing


def _moments(fields: Iterator[Tensor], what: str, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Mean and spread by name and step, over records and the grid, NaN left out."""
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
        raise InputError(f"{names[name]}: {what} is missing at all times of step {step}")
    mean = total / n
    std = (square / n - mean**2).clamp(min=0).sqrt()
    std = torch.where(std > 1e-6 * mean.abs(), std, 1.0)
    return mean.T.float().contiguous(), std.T.float().contiguous()


def _taken(read: Read, index: np.ndarray, window: Sequence[np.ndarray] | None = None) -> Read:
    """Some of the records, in this order, or a window of each."""
    fields = (read.mean, read.spread, read.truth)
    found = (None if one is None else one[index] if window is None else _cut(one, index, window) for one in fields)
    return Read(*found)  # pyright: ignore[reportArgumentType]


def _truth(read: Read) -> Tensor:
    assert read.truth is not None
    return torch.from_numpy(read.truth)


def _cut(fields: np.ndarray, index: np.ndarray, window: Sequence[np.ndarray]) -> np.ndarray:
    """Of some records the window of each, of which nothing else is copied."""
    places = ([place[k] for place in window] for k in range(len(index)))
    return np.stack([fields[n][(..., *np.ix_(*place))] for n, place in zip(index, places, strict=True)])
