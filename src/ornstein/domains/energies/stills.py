"""States of a system as one picture in milliseconds: points on the energy, particles, or coordinates as colours."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ...report import quick
from ...tasks.figures import Figure
from .data import System

_NATS = 16.0
"""Of the landscape that are told apart, from its lowest energy."""
_FINE = 80  # points of the landscape along each side


def frame(x: Float[Tensor, "n ..."], system: System) -> Figure:
    """A few samples on their way.

    Args:
        x: states, in the units of the system.
        system: that they are of.
    """
    limit = 1.6 * system.width
    extent = (-limit, limit, -limit, limit)
    if system.shape == (2,):
        return quick.dots([x.numpy()], extent, "Samples on the energy", _landscape(system, limit))
    if len(system.shape) == 2 and system.shape[1] in (2, 3):
        groups = [particles[:, :2].numpy() for particles in x[:6]]
        return quick.dots(groups, extent, "Particles, a colour a sample, seen along the last axis")
    rows = x.flatten(1).numpy()
    return quick.fields(rows[None], (-limit, limit), "Coordinates, a row a sample", "RdBu_r")


def _landscape(system: System, limit: float) -> UInt8[np.ndarray, "h w 3"]:
    """The energy of the plane, low ones dark; the first row at the top."""
    at = torch.linspace(-limit, limit, _FINE, dtype=torch.float64)
    y, x = torch.meshgrid(at.flip(0), at, indexing="ij")
    with torch.no_grad():
        energy = system.energy(torch.stack([x, y], -1).reshape(-1, 2)).reshape(_FINE, _FINE).numpy()
    low = float(energy.min())
    return quick.coloured(energy, (low, low + _NATS), "Greys_r")
