"""The network: a U-Net that is told the forecast, the depth and where it is, on a periodic grid."""

from collections.abc import Mapping
from typing import Any

from ornstein.networks.fields import Fields
from ornstein.networks.unet import UNet, UNetConfig


def described(metadata: Mapping[str, Any]) -> Fields:
    """What the network is told: all that the data have but the base, which is the forecast in its own units."""
    return Fields.of_data(metadata, borders=("periodic", "periodic"), without=["base"])


def network(config: UNetConfig, metadata: Mapping[str, Any]) -> UNet:
    """Fresh."""
    return UNet(config, described(metadata))
