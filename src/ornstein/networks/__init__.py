"""Networks, called with (inputs, times, condition) and blind to what noise means: spaces do the preconditioning."""

from .unet import UNet, UNetConfig

__all__ = ["UNet", "UNetConfig"]
