"""Moves of point clouds (points, dimension) that forces do not make: exchanges of two points, and rotations.

    Exchange    two points, chosen at random, swap places: particles of different kinds pass each other
    Rotation    a rotation about the centre, one in two with a reflection, drawn evenly from O(d) (by QR: Mezzadri
                2007): orientations in a field, mirror images

Both proposals are as likely as the way back, so Metropolis's rule takes the ratio of the densities alone. Energies that
are symmetric under them gain nothing; those that are not can be stuck without them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import InputError
from ..keys import Keys
from ..spaces import Euclidean
from ..states import left
from .densities import Density, MCMCState
from .moves import Move, TransitionInfo, metropolis


@dataclass(frozen=True, kw_only=True)
class Exchange(Move):
    """Two existing points of each cloud swap places, or stay."""

    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        order = keys.fold("pair").uniform(point.x.shape[1]).where(_existing(point.x, density), 2.0).argsort(1)
        first, second = order[:, :1], order[:, 1:2]
        second = torch.where(_existing(point.x, density).gather(1, second), second, first)
        places = torch.arange(point.x.shape[1], device=point.x.device).expand(len(point.x), -1)
        places = places.scatter(1, first, second).scatter(1, second, first)
        swapped = point.x.gather(1, left(places, point.x).expand_as(point.x))
        return _decided(point, swapped, density, keys)


@dataclass(frozen=True, kw_only=True)
class Rotation(Move):
    """Each cloud is turned about its centre, and mirrored one time in two."""

    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        exists = left(_existing(point.x, density), point.x).to(point.x)
        centre = (point.x * exists).sum(1, keepdim=True) / exists.sum(1, keepdim=True).clamp(min=1)
        turn = orthogonal(keys.fold("turn"), point.x.shape[2]).to(point.x)
        turned = centre + (point.x - centre) @ turn
        return _decided(point, torch.where(exists > 0, turned, point.x), density, keys)


def orthogonal(keys: Keys, dimension: int) -> Float[Tensor, "batch d d"]:
    """Orthogonal matrices, evenly distributed, one a key.

    Args:
        keys: random keys, one a sample; they decide everything random.
    """
    q, r = torch.linalg.qr(keys.normal(dimension, dimension).double())
    return q * r.diagonal(dim1=1, dim2=2).sign()[:, None]


def _decided(point: MCMCState, x: Tensor, density: Density, keys: Keys) -> TransitionInfo:
    proposed = density.at(x, point.gradients is not None)
    return metropolis(point, proposed, density.log_p(proposed) - density.log_p(point), keys)


def _existing(x: Tensor, density: Density) -> Bool[Tensor, "batch points"]:
    """Which points exist; InputError where samples are no clouds."""
    if x.ndim != 3 or not isinstance(density.space, Euclidean):
        raise InputError(
            f"exchanges and rotations are of point clouds (points, dimension), not of {tuple(x.shape[1:])}"
        )
    mask = density.space.mask
    return torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask.expand(x.shape[:2])
