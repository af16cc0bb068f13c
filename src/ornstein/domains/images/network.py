"""The network: a U-Net or a transformer that sees the class and the caption; an encoder that judges."""

from collections.abc import Mapping
from typing import Any

from ...errors import InputError
from ...networks import Encoder, PatchTransformer, PatchTransformerConfig, UNet, UNetConfig


def build(config: UNetConfig | PatchTransformerConfig, metadata: Mapping[str, Any]) -> UNet | PatchTransformer:
    """For pictures with the channels of the data, its classes and captions."""
    said = metadata["shape"][0], metadata["classes"], metadata.get("caption", 0)
    return UNet(config, *said) if isinstance(config, UNetConfig) else PatchTransformer(config, *said)


def build_judge(config: UNetConfig, metadata: Mapping[str, Any]) -> Encoder:
    """What tells the data's captions apart or, where there are none, its classes."""
    if not metadata.get("caption") and not metadata["classes"]:
        raise InputError("a judge learns captions or classes; these pictures have neither")
    return Encoder(config, metadata["shape"][0], metadata.get("caption") or metadata["classes"])
