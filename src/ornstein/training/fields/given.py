"""What a trained model is told, read from a user's files as it was read in the training: conditions without a state.

    given = open_given("forecast.nc", model.origin.metadata)
    on.sample(model, 8, condition=given([0] * 8))          eight members of the first record

The files have the variables of the conditions, and may have the truth. Which these are, their units and how they are
standardised is said by the metadata of the data that the model learned from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...denoisers.base import Condition
from ...errors import InputError
from ...files import GB, NUMBER, Within, require
from . import layout as layouts
from .data import FieldData, open_fields
from .layout import Layout
from .source import Files

_SIZE = Within(int, 1, 10**6)
_COUNT = Within(int, 0, 10**4)
FACTS = {
    "shape": [_SIZE],
    "channels": [str],
    "conditions": {str: _COUNT},
    "scalars": {str: _COUNT},
    "static": _COUNT,
    "layout": layouts.SCHEMA,
    "units": {str: str},
    "standardised?": {
        "by": ("channel", "element"),
        "channels": {str: {"mean": [NUMBER], "std": [NUMBER], "labels": [str]}},
    },
}
"""What the metadata of fields hold, for `Task.facts`."""


@dataclass(frozen=True, eq=False)
class Given:
    """Conditions by the number of a record.

    Attributes:
        data: the records; their state is that of the model where `known`, else of no meaning.
        channels: how many the model's fields have.
        known: whether the files have the fields that the model learned, too: the truth.
    """

    data: FieldData
    channels: int
    known: bool

    def __len__(self) -> int:
        return len(self.data)

    def __call__(self, records: Sequence[int]) -> Condition:
        """The conditions of samples, name → (samples, ...), standardised as in the training.

        InputError, naming file, variable and record, for a number that is missing or infinite and must not be.

        Args:
            records: the number of each sample's record, from 0.
        """
        _, found, place = self._read(records)
        return {name: values[place] for name, values in found.items() if name != "mask"}

    def truth(self, records: Sequence[int]) -> Float[Tensor, "samples channels ..."]:
        """The fields of the records, as they are in the files; NaN where these have none.

        Args:
            records: the number of each sample's record, from 0.
        """
        fields, found, place = self._read(records)
        if not self.known:
            fields = fields.new_full((len(fields), self.channels, *fields.shape[2:]), torch.nan)
        return fields.masked_fill(~found["mask"], torch.nan)[place] if self.known and "mask" in found else fields[place]

    def _read(self, records: Sequence[int]) -> tuple[Tensor, Condition, Tensor]:
        """Of the distinct records their states and conditions, and the place of each sample's among them."""
        distinct, place = torch.unique(torch.as_tensor(records, dtype=torch.int64), return_inverse=True)
        return *self.data.batch(distinct), place


def open_given(files: Files, metadata: Mapping[str, Any], bound: int = 1 * GB, threads: int = 4) -> Given:
    """Opens files with what a model is to be told.

    InputError if variables are missing, are of another grid or in other units than those that the model learned from.

    Args:
        files: a path, a pattern, or a list of these; see `open_fields`.
        metadata: of the data that the model was trained on (`FieldData.metadata`).
        bound: bytes of records in memory.
        threads: that read at once.
    """
    require(metadata, FACTS, "metadata")
    learned = Layout.from_plain(metadata["layout"])
    names = dict.fromkeys(one for of in (*learned.conditions.values(), *learned.scalars.values()) for one in of)
    fields = [one for of in learned.conditions.values() for one in of]
    if not fields:
        raise InputError("the model is told no fields, so that none can be given")
    layout = replace(learned, state=list(dict.fromkeys(fields)), static=(), mask=None)
    data = open_fields(files, layout, bound, threads)
    known = all(set(learned.state) <= set(data.source.opened(path).names()) for path in data.source.paths)
    if known:
        data = open_fields(files, replace(layout, state=learned.state), bound, threads)
    _require_same(data, metadata, [*names, *(learned.state if known else ())])
    return Given(replace(data, scaling=_scaling(data, metadata)), metadata["shape"][0], known)


def _require_same(data: FieldData, metadata: Mapping[str, Any], names: Sequence[str]) -> None:
    """InputError for another grid or other units than those of the training."""
    for name in names:
        piece, expected = data.source.variables[name].pieces[0], metadata["units"].get(name, "")
        if piece.units != expected:
            raise InputError(f"{piece.path}: variable {name!r} is in {piece.units!r}, expected {expected!r}")
    if list(data.shape[1:]) != list(metadata["shape"][1:]):
        piece = data.source.variables[names[0]].pieces[0]
        raise InputError(
            f"{piece.path}: has a grid of {tuple(data.shape[1:])}, expected {tuple(metadata['shape'][1:])}, as the "
            "model learned from"
        )


def _scaling(data: FieldData, metadata: Mapping[str, Any]) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and spread of the conditions by name, from the metadata."""
    said = metadata.get("standardised")
    if not said:
        return {}
    names = [name for name in (*data.layout.conditions, *data.layout.scalars) if name in said["channels"]]
    if said["by"] != "channel" and names:
        raise InputError(
            "conditions were standardised by element, of which the metadata keep no fields: standardise by channel"
        )
    found = {}
    for name in names:
        axes = (1,) * (len(data.shape) - 1) if name in data.layout.conditions else ()
        mean, std = (torch.tensor(said["channels"][name][key]).reshape(-1, *axes) for key in ("mean", "std"))
        found[name] = (mean.float(), std.float())
    return found


def standardised(name: str, metadata: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Mean and spread by channel, (channels,) each, that "state", "static" or a condition was freed of.

    Of the state they make the map of a model that learned from standardised fields:
    `maps.Standardised(*standardised("state", metadata))`. InputError if it was not standardised.

    Args:
        name: "state", "static" or the name of a condition.
        metadata: of the data that the model was trained on.
    """
    said = metadata.get("standardised") or {}
    if said.get("by") != "channel" or name not in said["channels"]:
        raise InputError(f"metadata: {name!r} is not standardised by channel")
    mean, std = (torch.tensor(said["channels"][name][key]) for key in ("mean", "std"))
    return mean, std
