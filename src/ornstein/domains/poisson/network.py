"""The network of sources: a U-Net over one, two or three axes, told where on them it is."""

from collections.abc import Mapping
from typing import Any

from ...networks.fields import Fields
from ...networks.unet import UNet, UNetConfig


def fields(metadata: Mapping[str, Any]) -> Fields:
    """What the network is told: where it is, as a source may be another near the border.

    Args:
        metadata: of the data.
    """
    axes = len(metadata["shape"]) - 1
    return Fields(1, coordinates=True, borders=("symmetric",) * axes)


def build(config: UNetConfig, metadata: Mapping[str, Any]) -> UNet:
    """Fresh.

    Args:
        config: its size.
        metadata: of the data.
    """
    return UNet(config, fields(metadata))
