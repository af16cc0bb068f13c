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

from ...borders import Border
from ...errors import InputError
from ...networks.fields import coordinates
from .files.grids import Grid

PLACES = "places"


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


def places(
    grid: Grid, static: Float[np.ndarray, "k *grid"] | None, said: bool | None
) -> Float[Tensor, "channels *grid"] | None:
    """What is told of each element of the whole grid; None if nothing is.

    Args:
        grid: of the truth, or of what is drawn.
        static: fields that are the same at all times, as they are in the file.
        said: whether coordinates are told, by the configuration.
    """
    parts = [] if static is None else [standardised(static)]
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


def given_places(
    grid: Grid, static: Float[np.ndarray, "k *grid"] | None, metadata: Mapping[str, Any], n: int
) -> dict[str, Tensor]:
    """The condition "places" of n samples, one in memory for all; none where the network is told nothing of that.

    Args:
        grid: of what is drawn.
        static: the static fields of it, as they are in the file.
        metadata: of the data that the model learned from.
        n: samples.

    InputError for another number of static fields than the model learned with.
    """
    told = metadata.get(PLACES, 0)
    if not told:
        return {}
    found, expected = 0 if static is None else len(static), metadata["static"]
    if found < expected:
        raise InputError(
            f"--forecast: has {found} static fields, expected the {expected} that the model was trained with, of which "
            "each window is told its part"
        )
    fields = places(grid, static if expected else None, told > expected)
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
