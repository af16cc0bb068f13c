"""Networks, called with (inputs, times, condition) and blind to what noise means: spaces do the preconditioning."""

from .mlp import MLP, MLPConfig
from .molecular import MolecularConfig, MolecularRegressor, MolecularTransformer
from .particles import Particles, ParticlesConfig
from .transformer import Transformer, TransformerConfig
from .unet import UNet, UNetConfig

__all__ = [
    "MLP",
    "MLPConfig",
    "MolecularConfig",
    "MolecularRegressor",
    "MolecularTransformer",
    "Particles",
    "ParticlesConfig",
    "Transformer",
    "TransformerConfig",
    "UNet",
    "UNetConfig",
]
