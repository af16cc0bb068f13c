"""The data: pairs of a forecast and what happened, as states and what a network is told.

The first times are learned from, later ones validate, the last are for the calibration report: weather of neighbouring
days is alike, so that parts are not shuffled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ...denoisers.base import Condition
from ...errors import InputError
from ...files import plain
from ...keys import Keys
from .base import drawn_below, hidden
from .files.pairs import Pairs
from .kept import Kept, Window, cut
from .known import Known, cycles_of
from .measured import measured, spectrum_of, truth_of
from .unseen import record, unseen
from .windows import PLACES, packed, places, standardised, unpacked

_COPIES = 16
"""How often a record is there, each time with other draws of what was not seen."""
_UNSIGNED = ("spread", "mask")
"""What a model is told that keeps its sign where a field is mirrored with its sign changed."""


@dataclass(frozen=True, eq=False)
class WeatherData:
    """A Dataset of forecasts and what happened.

    Attributes:
        kept: the records of this part.
        known: what was measured of the part that is learned from.
        about: the metadata.
        window: the side of the windows of the grid that records are; 0 = all of it.
        copies: of each record, with other draws of what was not seen, and other windows.
        seed: of these draws.
        mirror: the axis of the grid along which every second copy is mirrored, with the sign changed.
        places: what windows are told of where they are, over the whole grid; see windows.py.
    """

    kept: Kept
    known: Known
    about: Mapping[str, Any]
    window: int = 0
    copies: int = 1
    seed: int = 0
    mirror: int | None = None
    places: Tensor | None = None

    @property
    def pairs(self) -> Pairs:
        """Of this part."""
        return self.kept.pairs

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
        read = self.kept.read(times.numpy(), window)
        condition = dict(self.known.conditions(read, self.pairs.times[times.numpy()]))
        u = self.known.rooted(truth_of(read)).flatten(1, 2)
        if self.known.leads == "each":
            u = u.unflatten(1, (-1, self.known.steps))[torch.arange(len(index)), :, steps]
            condition = dict(self.known.one_lead(condition, steps))
        base, scale = condition.pop("base"), condition.pop("scale")
        u = self._latent(u, base, scale, Keys.of(self.seed, index.tolist()).fold("hidden"))
        x, missing = (u - base) / scale, u.isnan()
        if self.known.missing:
            condition["mask"] = ~missing
        elif missing.any():
            number = int(index[missing.flatten(1).any(1)][0])
            raise InputError(
                f"record {number}: a truth is missing, as none was in those that were looked at, of files larger than "
                "memory: raise memory, so that all are"
            )
        if window is not None and self.places is not None:
            where = cut(self.places.numpy()[None], np.zeros(len(index), dtype=np.int64), window)
            condition[PLACES] = torch.from_numpy(where)
        return self._mirrored(x.nan_to_num(), condition, index)

    def _latent(self, u: Tensor, base: Tensor, scale: Tensor, keys: Keys) -> Tensor:
        """With draws where a variable was seen as 0, which says that u is not above it."""
        censored = torch.tensor(self.known.each_channel(self.known.censored))
        if not censored.any():
            return u
        return torch.where(hidden(u, censored), drawn_below(base, scale, keys), u)

    def _mirrored(self, x: Tensor, condition: Condition, index: Tensor) -> tuple[Tensor, Condition]:
        """Every second copy −x(−y), and so what it is told; a mirrored field of a periodic axis begins where it did.

        A spread has no sign, nor has a mask.
        """
        if self.mirror is None:
            return x, condition
        turned = index // (len(self.pairs.times) * self.per_time) % 2 == 1
        axis, back = 2 + self.mirror, int(self.known.grid.periodic[self.mirror])

        def mirrored(field: Tensor, signed: bool = True) -> Tensor:
            if field.ndim != x.ndim:
                return field
            other = field.flip(axis).roll(back, axis)
            return torch.where(turned.reshape(-1, *(1,) * (field.ndim - 1)), -other if signed else other, field)

        return mirrored(x), {name: mirrored(value, name not in _UNSIGNED) for name, value in condition.items()}

    def _window(self, index: Tensor) -> Window | None:
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
        memory: bytes of records that may be kept, of both together.
        window: the side of the windows of the grid that records are; 0 = all of it.
        seed: of draws.
        cycles: what is told of the time; None = what is worth telling, see `cycles_of`.
        mirror: the axis of the grid along which −x(−y) is as likely as x; "" = none.
        told: further metadata.
        coordinates: whether windows are told where they are on the grid; None = unless all its axes go round.
    """
    sizes = ends[0], ends[1] - ends[0]
    train, validation = (
        Kept(pairs.part(slice(end - n, end)), memory * n / ends[1]) for n, end in zip(sizes, ends, strict=True)
    )
    sample = train.sampled()
    told_cycles = cycles_of(train.pairs.times) if cycles is None else cycles
    known = measured(sample, leads, told_cycles, missing=train.gaps or validation.gaps)
    side = tuple(min(n, window) if window else n for n in known.grid.shape)
    windows = side != known.grid.shape
    if mirror:
        _require_mirrored(pairs, known, mirror, f"windows of {window} points" if windows else "")
    copies = _COPIES if any(known.censored) or windows else 2 if mirror else 1
    about = {**_about(pairs, known, side, window), "parts": _parts(pairs, ends), **(told or {})}
    if known.missing:
        about["unseen"] = record(unseen(truth_of(read).numpy() for read, _ in sample.chunks()))
    data = WeatherData(train, known, about, window, copies, seed, known.grid.dims.index(mirror) if mirror else None)
    if windows:  # the noise of windows is white: no other is diagonal in waves both of these and of the whole
        fields = None if data.static is None else packed(data.static)
        where = places(known.grid, None if fields is None else unpacked(fields), coordinates)
        about |= {PLACES: 0 if where is None else len(where), "fields": fields}
        data = replace(data, places=where)
    elif known.grid.kind == "grid" and not known.missing:
        about["spectrum"] = spectrum_of(replace(data, kept=sample, copies=1, mirror=None), known.grid.periodic).record()
    return data, replace(data, kept=validation, copies=1, mirror=None)


def _parts(pairs: Pairs, ends: tuple[int, int]) -> dict[str, list[int]]:
    return {"train": [0, ends[0]], "validation": [*ends], "test": [ends[1], len(pairs.times)]}


def _about(pairs: Pairs, known: Known, side: Sequence[int], window: int) -> dict[str, Any]:
    """The metadata, but for what is measured of states."""
    return {
        **known.record(),
        "shape": [known.channels, *side],
        "units": dict(pairs.units),
        "attrs": plain({name: dict(pairs.attrs.get(name, {})) for name in pairs.variables}),
        "steps": {"hours": np.asarray(pairs.step_hours, np.float64).tolist()},
        "calendar": pairs.calendar,
        "members": pairs.members,
        "static": 0 if (static := static_of(pairs)) is None else len(static),
        "window": window,
        "spectrum": None,
        "unseen": None,
    }


def _require_mirrored(pairs: Pairs, known: Known, mirror: str, windows: str) -> None:
    """InputError where a field mirrored with its sign changed is not one that might as well be."""
    if mirror not in known.grid.dims:
        raise InputError(f"mirror is {mirror!r}, expected an axis of the grid: {', '.join(known.grid.dims)}")
    if known.grid.kind != "grid":
        raise InputError(f"mirror {mirror!r} is of grids, found stations: leave it out")
    if windows:
        raise InputError(f"mirror {mirror!r} is of whole grids, not of {windows}: leave one out")
    if static_of(pairs) is not None:
        raise InputError(
            f"mirror {mirror!r}: the fields that are the same at all times, {', '.join(pairs.static_names)}, "
            "are not the same mirrored: leave it out"
        )
    above = [one or other for one, other in zip(known.positive, known.bounded, strict=True)]
    if any(above):
        name = known.variables[above.index(True)]
        raise InputError(f"mirror changes the sign of fields, but {name} is never negative")


def static_of(pairs: Pairs) -> Float[np.ndarray, "k *grid"] | None:
    """Fields that are the same at all times: those of the user's file, and where stations are, if there are several."""
    parts = [] if pairs.static is None else list(pairs.static)
    if pairs.grid.kind == "stations" and pairs.grid.shape[0] > 1:
        parts += [one for role in ("latitude", "longitude", "altitude") if (one := pairs.grid.place(role)) is not None]
    return np.stack(parts).astype(np.float32) if parts else None
