"""The network: a U-Net over one, two or three axes; of solutions one that is linear, as they are in their sources."""

from ...networks.fields import Fields
from ...networks.linear import LinearUNet
from ...networks.unet import UNet, UNetConfig


def network(config: UNetConfig, fields: Fields, learns: str) -> UNet | LinearUNet:
    """Fresh.

    Args:
        config: its size.
        fields: what it is told.
        learns: "sources" or "solutions".
    """
    return LinearUNet(config, fields) if learns == "solutions" else UNet(config, fields)
