"""The networks: a U-Net on a grid, a transformer among stations, each told the forecast and where it is."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ...networks.fields import Fields
from ...networks.patches import PatchTransformer, PatchTransformerConfig
from ...networks.unet import UNet, UNetConfig
from ...spectral.borders import Border
from .known import Known
from .windows import PLACES, by_windows, told_places


def described(metadata: Mapping[str, Any], coordinates: bool | None) -> Fields:
    """What a network is told.

    Args:
        metadata: of the data.
        coordinates: whether it is told where an element is; None = on grids that do not go round on every axis.
    """
    known = Known.of(metadata)
    whole = not by_windows(metadata)
    borders: list[Border] = ["periodic" if one and whole else "reflect" for one in known.grid.periodic]
    borders = borders if known.grid.kind == "grid" else ["zero"]
    static = torch.zeros(metadata["static"], *metadata["shape"][1:]) if metadata["static"] and whole else None
    told = metadata.get(PLACES, 0)
    return Fields(
        known.channels,
        conditions={**known.fields, **({PLACES: told} if told else {})},
        scalars=known.scalars,
        static=static,
        coordinates=whole and told_places(known.grid, coordinates),
        borders=borders,
        mask=known.missing,
    )


def network(
    grids: UNetConfig, stations: PatchTransformerConfig, metadata: Mapping[str, Any], coordinates: bool | None
) -> nn.Module:
    """Fresh.

    Args:
        grids: the U-Net of data on a grid.
        stations: the transformer of data of stations.
        metadata: of the data.
        coordinates: see `described`.
    """
    fields = described(metadata, coordinates)
    return UNet(grids, fields) if metadata["grid"]["kind"] == "grid" else PatchTransformer(stations, fields)
