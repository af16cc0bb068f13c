"""The network: a U-Net or a transformer that sees the class and the caption; an encoder that judges."""

from collections.abc import Mapping
from typing import Any

from ...errors import InputError
from ...networks import Encoder, PatchTransformer, PatchTransformerConfig, UNet, UNetConfig


def build(config: UNetConfig | PatchTransformerConfig, metadata: Mapping[str, Any]) -> UNet | PatchTransformer:
    """For pictures of the data's shape, classes and captions; InputError if they cannot be divided as it asks."""
    channels, height, width = metadata["shape"]
    unet = isinstance(config, UNetConfig)
    factor = config.factor if unet else config.patch
    if height % factor or width % factor:
        shorter = "shorten network.multipliers, take a smaller network.patch" if unet else "take a smaller patch"
        raise InputError(
            f"pictures of {height} × {width} cannot be divided by {factor}; {shorter} or crop the pictures"
        )
    said = channels, metadata["classes"], metadata.get("caption", 0)
    return UNet(config, *said) if unet else PatchTransformer(config, *said)


def build_judge(config: UNetConfig, metadata: Mapping[str, Any]) -> Encoder:
    """What tells the data's captions apart or, where there are none, its classes."""
    if not metadata.get("caption") and not metadata["classes"]:
        raise InputError("a judge learns captions or classes; these pictures have neither")
    return Encoder(config, metadata["shape"][0], metadata.get("caption") or metadata["classes"])
