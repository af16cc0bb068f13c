"""The network: one that respects the symmetry of particles, or a plain one for plain numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from ...errors import InputError
from ...networks import MLP, MLPConfig, ParticleNetwork, ParticleNetworkConfig


@dataclass(frozen=True)
class NetworkConfig:
    """Which network, and its size.

    Attributes:
        kind: auto takes particles for centred systems, else mlp.
        mlp: residual layers on all coordinates at once.
        particles: messages between particles, equivariant under motions and exchange.
    """

    kind: Literal["auto", "mlp", "particles"] = "auto"
    mlp: MLPConfig = field(default_factory=MLPConfig)
    particles: ParticleNetworkConfig = field(default_factory=ParticleNetworkConfig)


def build(config: NetworkConfig, metadata: Mapping[str, Any]) -> nn.Module:
    """A network for a system's `shape`, whether it is `centered`, and the `kinds` of its particles, if they differ."""
    shape = tuple(metadata["shape"])
    particles = metadata.get("centered", False) if config.kind == "auto" else config.kind == "particles"
    if not particles:
        return MLP(config.mlp, shape)
    if len(shape) != 2:
        raise InputError(f"network.kind is particles, but samples are of shape {shape}, expected (points, dimension)")
    return ParticleNetwork(config.particles, tuple(metadata.get("kinds", ())))
