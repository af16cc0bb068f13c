"""Where an element is, for a network that learns from windows and so does not know it by itself.

A network of the whole grid keeps static fields with its weights and knows its coordinates. One of windows is told both
as a condition, "places", of which each window sees its part: static fields, standardised, and coordinates from −1 to
1, or sine and cosine of an axis that goes round.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ...files import Within
from ...networks.fields import coordinates
from ...spectral.borders import Border
from .files import packing
from .files.grids import Grid

PLACES = "places"
FIELDS: Mapping[str, Any] = {"packed": str, "shape": [Within(int, 1, 10**5)]}
"""Of `packed`, in the metadata."""


def told_places(grid: Grid, said: bool | None) -> bool:
    """Whether a network is told its coordinates: of grids, if nobody says, where not all axes go round.

    Args:
        grid: of the truth.
        said: by the configuration.
    """
    return grid.kind == "grid" and (not all(grid.periodic) if said is None else said)


def by_windows(metadata: Mapping[str, Any]) -> bool:
    """Whether a model learned from windows of the grid.

    Args:
        metadata: of the data.
    """
    return metadata["grid"]["kind"] == "grid" and list(metadata["grid"]["shape"]) != list(metadata["shape"][1:])


def places(grid: Grid, static: Float[Tensor, "k *grid"] | None, said: bool | None) -> Float[Tensor, "c *grid"] | None:
    """What is told of each element of the whole grid; None if nothing is.

    Args:
        grid: of the truth, or of what is drawn.
        static: fields that are the same at all times, standardised.
        said: whether coordinates are told, by the configuration.
    """
    parts = [] if static is None else [static]
    if told_places(grid, said):
        borders: list[Border] = ["periodic" if one else "reflect" for one in grid.periodic]
        parts.append(coordinates(torch.zeros(1, 1, *grid.shape), borders)[0])
    return torch.cat(parts) if parts else None


def standardised(static: Float[np.ndarray, "k *grid"]) -> Float[Tensor, "k *grid"]:
    """Fields of mean 0 and spread 1 over the grid.

    Args:
        static: as they are in the file.
    """
    fields = torch.from_numpy(static).float()
    axes = tuple(range(1, fields.ndim))
    std = fields.std(axes, keepdim=True, correction=0)
    return (fields - fields.mean(axes, keepdim=True)) / torch.where(std > 0, std, 1.0)


def packed(static: Float[Tensor, "k *grid"]) -> dict[str, Any]:
    """Static fields in JSON, with three digits: a network of windows has none of its own to keep them with.

    Args:
        static: standardised.
    """
    return packing.packed(static.numpy(), "<f2")


def unpacked(record: Mapping[str, Any]) -> Float[Tensor, "k *grid"]:
    """The static fields that `packed` was given.

    Args:
        record: of them.

    InputError for anything else.
    """
    fields = packing.unpacked(record, "<f2", "metadata: fields", "static fields")
    return torch.from_numpy(fields.astype(np.float32))


def given_places(grid: Grid, metadata: Mapping[str, Any], n: int) -> dict[str, Tensor]:
    """The condition "places" of n samples, one in memory for all; none where the network is told nothing of that.

    Args:
        grid: of what is drawn, which is that of the training where there are static fields.
        metadata: of the data that the model learned from.
        n: samples.
    """
    told, static = metadata.get(PLACES, 0), metadata.get("fields")
    if not told:
        return {}
    fields = places(grid, None if static is None else unpacked(static), told > metadata["static"])
    assert fields is not None
    return {PLACES: fields[None].expand(n, *fields.shape)}


def windows(grid: Grid, metadata: Mapping[str, Any], side: int = 0) -> dict[str, Any] | None:
    """How a model of windows draws the whole grid, for `Request.windows`; None for a model of the whole grid.

    Args:
        grid: of what is drawn.
        metadata: of the data that the model learned from.
        side: of the windows, points; 0 = as they were learned from.

    InputError for a model of the whole grid of which windows are asked for.
    """
    if not by_windows(metadata):
        if side:
            raise InputError(f"--window is {side}, but the model learned from whole grids: train it with --window")
        return None
    lengths = [min(n, side) if side else own for n, own in zip(grid.shape, metadata["shape"][1:], strict=True)]
    return {"window": lengths, "borders": ["periodic" if one else "reflect" for one in grid.periodic]}
