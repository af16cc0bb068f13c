"""The network: a U-Net over one, two or three axes, told where on them it is."""

from ...networks.fields import Fields
from ...networks.unet import UNet, UNetConfig


def network(config: UNetConfig, fields: Fields) -> UNet:
    """Fresh.

    Args:
        config: its size.
        fields: what it is told.
    """
    return UNet(config, fields)
