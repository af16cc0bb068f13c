"""What is measured of a data set in one pass over its records, in bounded memory, and kept for the next time.

Mean, spread, smallest, largest and how many are missing, by channel (a variable, or a level of it) and if asked for by
element; and the same of the state's coefficients in a basis, whose mean squares are its power spectrum.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ...files import sha256 as sha256_of
from .. import checkpoints
from ..ahead import Ahead
from .data import STATE, STATIC, FieldData
from .moments import Moments

By = Literal["channel", "element"]
_PIECE = 1 << 20
"""Numbers that are measured at once."""


@runtime_checkable
class Transform(Protocol):
    """A basis of fields, such as those of `ornstein.spectral.transforms`."""

    def forward(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]: ...


@dataclass(frozen=True, eq=False)
class Statistics:
    """Moments of the numbers of a data set as its batches are, by "state", "static" and the name of a condition.

    Attributes:
        labels: of the channels of each.
        channels: (channels,) each.
        elements: (channels, *grid) each; empty if they were not asked for.
        coefficients: of the state in a basis, (channels, *grid); None if they were not asked for.
        axes: how many axes the grid of each has.
        fingerprint: of the data and of what was asked for.
        read_back: whether they were measured before.
    """

    labels: Mapping[str, list[str]]
    channels: Mapping[str, Moments]
    elements: Mapping[str, Moments]
    coefficients: Moments | None
    axes: Mapping[str, int]
    fingerprint: str
    read_back: bool = False

    def mean(self, name: str = STATE, by: By = "channel") -> Float[Tensor, "channels ..."]:
        """(channels, 1, …) or (channels, *grid) float32.

        Args:
            name: "state", "static" or a condition.
            by: channel or element.
        """
        return self._tensor(self._moments(name, by).mean, name, by)

    def std(self, name: str = STATE, by: By = "channel") -> Float[Tensor, "channels ..."]:
        """(channels, 1, …) or (channels, *grid) float32; 0 where there is no spread, 1 where there are no numbers.

        Args:
            name: "state", "static" or a condition.
            by: channel or element.
        """
        found = self._moments(name, by)
        flat = found.low == found.high  # whose computed spread may be a rounding error
        return self._tensor(np.where(found.count == 0, 1.0, np.where(flat, 0.0, found.std)), name, by)

    def spectrum(self) -> Float[Tensor, "channels ..."]:
        """The mean squares of the state's coefficients, (channels, *grid) float64; InputError if not measured."""
        if self.coefficients is None:
            raise InputError("no coefficients were measured, expected measured(…, basis=…)")
        return torch.from_numpy(self.coefficients.mean_square)

    def standardised(
        self, data: FieldData, by: By = "channel", least: float = 0.0, keep: Collection[str] = ()
    ) -> FieldData:
        """The data with mean 0 and spread 1: states, static fields and conditions.

        InputError, naming the channel, if one has no spread.

        Args:
            data: of the same layout: the training data that were measured, and the validation data beside them.
            by: channel or element, of states and fields that are known; the others by channel.
            least: spread that is taken where there is less, in the units of the channel; 0: that is an error.
            keep: of "state", "static" and the conditions, those that stay as they are.
        """
        if data.scaling:
            raise InputError("the data are standardised already")
        for name in keep:
            if name not in self.channels:
                raise InputError(f"keep names {name!r}, expected one of {', '.join(self.channels)}")
        fields = (STATE, *data.layout.conditions)
        names = [name for name in self.channels if name not in keep]
        scaling = {name: self._scale(name, by if name in fields else "channel", least) for name in names}
        about = {}
        for name in names:
            found = self.channels[name]
            about[name] = {"mean": found.mean.tolist(), "std": found.std.tolist(), "labels": self.labels[name]}
        told = {"by": by, "statistics": self.fingerprint, "channels": about}
        return data.scaled(scaling, {"standardised": told})

    def table(self) -> str:
        """One line a channel: mean, spread, smallest, largest, and how many are missing."""
        lines = [f"{'':<40}{'mean':>12}{'std':>12}{'min':>12}{'max':>12}{'missing':>12}"]
        for name, found in self.channels.items():
            for k, label in enumerate(self.labels[name]):
                numbers = (found.mean[k], found.std[k], found.low[k], found.high[k])
                lines.append(
                    f"{f'{name}: {label}':<40}" + "".join(f"{one:12.5g}" for one in numbers) + f"{found.missing[k]:12,}"
                )
        return "\n".join(lines)

    def _scale(self, name: str, by: By, least: float) -> tuple[Tensor, Tensor]:
        mean, std = self.mean(name, by), self.std(name, by)
        if least <= 0 and (std == 0).any():
            channel, *place = (std == 0).nonzero()[0].tolist()
            at = f" at {tuple(place)}" if by == "element" else ""
            value = mean[(channel, *place)].item()
            raise InputError(
                f"{name}: {self.labels[name][channel]} is {value:g} in all records{at}, so that it cannot be brought "
                "to a spread of 1: leave it out, or say the least spread that is to be taken"
            )
        return mean, std.clamp(min=least)

    def _moments(self, name: str, by: By) -> Moments:
        found = self.channels if by == "channel" else self.elements
        if name not in found:
            raise InputError(f"no statistics of {name!r} by {by} were measured, found {', '.join(found) or 'none'}")
        return found[name]

    def _tensor(self, values: np.ndarray, name: str, by: By) -> Tensor:
        found = torch.from_numpy(np.array(values)).float()
        return found.reshape(found.shape + (1,) * self.axes[name]) if by == "channel" else found


# Measuring --------------------------------------------------------------------------------------------


def measured(
    data: FieldData,
    path: Path | None = None,
    elements: bool = False,
    basis: Transform | None = None,
    contents: bool = False,
) -> Statistics:
    """The statistics of data, in one pass over the records, in order, each block read once.

    They are kept in the file `path`, and read back from there if it is of the same data and says as much; a file of
    other statistics is written over, one that is something else is an InputError. Beside the blocks, two batches of
    about a million numbers, or one record, are in memory, and 48 bytes an element if asked for by element.

    Args:
        data: as its batches are: a part of all records for a part's statistics, standardised for those of a model's
            state. What a mask leaves out is counted as missing.
        path: of the file that keeps them; None to keep none.
        elements: whether by element of the grid, too.
        basis: of which the state's coefficients are measured; InputError if an element is missing.
        contents: whether files are the same if their bytes are, instead of their names, sizes and times of change.
    """
    known = fingerprint(data, contents, elements, basis)
    if path is not None and path.exists():
        found = load(path)
        if found.fingerprint == known:
            return found
    found = replace(_measure(data, elements, basis), fingerprint=known)
    if path is not None:
        save(path, found)
    return found


def _measure(data: FieldData, elements: bool, basis: Transform | None) -> Statistics:
    channels, finer, coefficients, axes = dict[str, Moments](), dict[str, Moments](), None, dict[str, int]()
    if data.static is not None:
        axes[STATIC] = data.static.ndim - 1
        channels[STATIC] = Moments.of(data.static.numpy(), range(1, data.static.ndim))
    for piece in _pieces(data):
        for name, values in piece.items():
            axes[name] = values.ndim - 2
            _add(channels, name, Moments.of(values, (0, *range(2, values.ndim))))
            if elements:
                _add(finer, name, Moments.of(values, (0,)))
        if basis is not None:
            new = Moments.of(_coefficients(piece[STATE], basis), (0,))
            coefficients = new if coefficients is None else coefficients.merged(new)
    labels = data.labels
    for name, found in channels.items():
        if not found.count.all():
            raise InputError(f"{name}: {labels[name][int((found.count == 0).argmax())]} is missing in all records")
    return Statistics({name: labels[name] for name in channels}, channels, finer, coefficients, axes, "")


def _add(found: dict[str, Moments], name: str, new: Moments) -> None:
    found[name] = found[name].merged(new) if name in found else new


def _pieces(data: FieldData) -> Iterator[dict[str, np.ndarray]]:
    """All records in order, (records, channels, *grid) each by name, NaN where there is nothing; read ahead."""
    many = max(1, _PIECE // prod(data.shape))
    count = -(-len(data) // many)

    def read(k: int) -> dict[str, np.ndarray]:
        x, condition = data.batch(torch.arange(k * many, min((k + 1) * many, len(data))))
        known = dict(condition)
        mask = known.pop("mask", None)
        state = x if mask is None else x.masked_fill(~mask, torch.nan)
        return {STATE: state.numpy(), **{name: values.numpy() for name, values in known.items()}}

    with Ahead(read, count) as ahead:
        for k in range(count):
            yield ahead(k)


def _coefficients(values: np.ndarray, basis: Transform) -> np.ndarray:
    if np.isnan(values).any():
        raise InputError("coefficients are asked for of states with missing elements, which have none")
    return basis.forward(torch.from_numpy(values).double()).numpy()


# Keeping ----------------------------------------------------------------------------------------------

_KIND = "statistics"
_SCHEMA = {"fingerprint": str, "labels": {str: [str]}, "axes": {str: int}, "parts": {str: [int]}}


def save(path: Path, found: Statistics) -> None:
    """Atomically writes statistics as a safetensors file."""
    parts = _parts(found)
    tensors = {
        f"{name}/{key}": torch.from_numpy(np.array(one))
        for name, part in parts.items()
        for key, one in part.named().items()
    }
    meta = {
        "fingerprint": found.fingerprint,
        "labels": dict(found.labels),
        "axes": dict(found.axes),
        "parts": {name: list(part.count.shape) for name, part in parts.items()},
    }
    checkpoints.save(path, _KIND, tensors, meta)


def _parts(found: Statistics) -> dict[str, Moments]:
    parts = {f"channels/{name}": one for name, one in found.channels.items()}
    parts |= {f"elements/{name}": one for name, one in found.elements.items()}
    return parts | ({} if found.coefficients is None else {"coefficients": found.coefficients})


def load(path: Path) -> Statistics:
    """The statistics in a file; InputError if it holds anything else.

    Args:
        path: of the file.
    """
    tensors, meta = checkpoints.load(path, _KIND, _SCHEMA)
    parts = {name: _moments(tensors, name, shape, path) for name, shape in meta["parts"].items()}
    channels, elements = (
        {name.removeprefix(kind): one for name, one in parts.items() if name.startswith(kind)}
        for kind in ("channels/", "elements/")
    )
    for name in (STATE, *meta["labels"]):
        if name not in channels or name not in meta["labels"] or name not in meta["axes"]:
            raise InputError(f"{path}: says nothing of {name!r}, expected moments, labels and axes")
    coefficients = parts.get("coefficients")
    return Statistics(meta["labels"], channels, elements, coefficients, meta["axes"], meta["fingerprint"], True)


def _moments(tensors: Mapping[str, Tensor], name: str, shape: list[int], path: Path) -> Moments:
    whole, real = torch.zeros(shape, dtype=torch.int64), torch.full(shape, torch.inf, dtype=torch.float64)
    like = {key: whole if key in ("count", "missing") else real for key in Moments.__dataclass_fields__}
    found = {key: checkpoints.tensor(tensors, f"{name}/{key}", one, path) for key, one in like.items()}
    return Moments(**{key: one.numpy() for key, one in found.items()})


def fingerprint(data: FieldData, contents: bool = False, *wanted: Any) -> str:
    """SHA-256 of what decides on the records: files, layout, rows, and the first and the last as they are read.

    Args:
        data: whose statistics are measured.
        contents: whether files are known by their bytes, instead of their names, sizes and times of change.
        wanted: what is measured; a basis is known by what it makes of a fixed field.
    """
    digest = sha256()
    paths = dict.fromkeys(one.path for variable in data.source.variables.values() for one in variable.pieces)
    about = {
        "files": [_stamp(path, contents) for path in paths],
        "layout": data.layout.plain(),
        "rows": [data.rows.start, data.rows.stop],
        "wanted": [one if isinstance(one, bool) or one is None else "basis" for one in wanted],
    }
    digest.update(json.dumps(about, default=float).encode())
    x, condition = data.batch(torch.tensor([0, len(data) - 1]))  # behind scaling and map
    for values in (x, *condition.values()):
        digest.update(values.contiguous().numpy().tobytes())
    for basis in wanted:
        if isinstance(basis, Transform):
            ramp = torch.linspace(0, 1, prod(data.shape), dtype=torch.float64).square().reshape(1, *data.shape)
            digest.update(basis.forward(ramp).numpy().round(9).tobytes())
    return digest.hexdigest()


def _stamp(path: Path, contents: bool) -> list[Any]:
    """What changes when a file, or any file in a folder, does."""
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    if contents:
        return [path.name, [[one.relative_to(path).as_posix(), sha256_of(one)] for one in files]]
    stats = [one.stat() for one in files]
    return [path.name, len(stats), sum(one.st_size for one in stats), max(one.st_mtime_ns for one in stats)]
