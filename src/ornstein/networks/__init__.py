"""Networks, called with (inputs, times, condition) and blind to what noise means: spaces do the preconditioning."""

from typing import TYPE_CHECKING

from ..deprecation import names
from .encoder import Encoder
from .fields import Fields
from .mlp import MLP, MLPConfig
from .molecular import MolecularConfig, MolecularRegressor, MolecularTransformer
from .particles import ParticleNetwork, ParticleNetworkConfig
from .patches import PatchTransformer, PatchTransformerConfig
from .transformer import Transformer, TransformerConfig
from .unet import UNet, UNetConfig

__all__ = [
    "MLP",
    "Encoder",
    "Fields",
    "MLPConfig",
    "MolecularConfig",
    "MolecularRegressor",
    "MolecularTransformer",
    "ParticleNetwork",
    "ParticleNetworkConfig",
    "PatchTransformer",
    "PatchTransformerConfig",
    "Transformer",
    "TransformerConfig",
    "UNet",
    "UNetConfig",
]


if not TYPE_CHECKING:  # old names, for one version
    __getattr__ = names(__name__, {"Particles": "ParticleNetwork", "ParticlesConfig": "ParticleNetworkConfig"})
