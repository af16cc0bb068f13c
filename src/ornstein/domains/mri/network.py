"""The network: a U-Net of convolutions, which takes slices of any size."""

from ...networks.fields import Fields
from ...networks.unet import UNet, UNetConfig


def described() -> Fields:
    """What it is told: nothing but the two channels, real and imaginary part."""
    return Fields(2, borders=("zero", "zero"))


def network(config: UNetConfig) -> UNet:
    """Fresh.

    Args:
        config: its size.
    """
    return UNet(config, described())
