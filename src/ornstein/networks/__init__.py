"""Networks, called with (inputs, times, condition) and blind to what noise means: spaces do the preconditioning."""

from .encoder import Encoder
from .mlp import MLP, MLPConfig
from .molecular import MolecularConfig, MolecularRegressor, MolecularTransformer
from .particles import Particles, ParticlesConfig
from .patches import PatchTransformer, PatchTransformerConfig
from .transformer import Transformer, TransformerConfig
from .unet import UNet, UNetConfig

__all__ = [
    "MLP",
    "Encoder",
    "MLPConfig",
    "MolecularConfig",
    "MolecularRegressor",
    "MolecularTransformer",
    "Particles",
    "ParticlesConfig",
    "PatchTransformer",
    "PatchTransformerConfig",
    "Transformer",
    "TransformerConfig",
    "UNet",
    "UNetConfig",
]
