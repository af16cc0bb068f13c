"""The network: a U-Net that sees the class."""

from collections.abc import Mapping
from typing import Any

from ...errors import InputError
from ...networks import UNet, UNetConfig


def build(config: UNetConfig, facts: Mapping[str, Any]) -> UNet:
    """A U-Net for pictures of the data's shape and classes."""
    channels, height, width = facts["shape"]
    factor = 2 ** (len(config.multipliers) - 1)
    if height % factor or width % factor:
        raise InputError(
            f"pictures of {height} × {width} cannot be halved {len(config.multipliers) - 1} times; "
            "shorten network.multipliers or crop the pictures"
        )
    return UNet(config, channels, facts["classes"])
