"""Moves of point clouds (points, dimension) that forces do not make: exchanges of two points, and rotations.

    Exchange    two points, chosen at random, swap places: particles of different kinds pass each other
    Rotation    a rotation about the centre, one in two with a reflection, drawn evenly from O(d) (by QR: Mezzadri
                2007): orientations in a field, mirror images

Both proposals are as likely as the way back, so Metropolis's rule takes the ratio of the densities alone. Energies that
are symmetric under them gain nothing; those that are not can be stuck without them.
"""

from abc import abstractmethod
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

PILOTS = 10
"""Samples that symmetries are tried on."""


@dataclass(frozen=True, kw_only=True)
class Shuffle(Move):
    """A proposal that is as likely as its way back."""

    @abstractmethod
    def proposed(self, x: Tensor, exists: Bool[Tensor, "batch points"], keys: Keys) -> Tensor:
        """Where to go from x.

        Args:
            x: point clouds, (batch, points, dimension).
            exists: which of the points exist.
            keys: random keys, one a sample; they decide everything random.
        """

    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        x = self.proposed(point.x, _existing(point.x, density), keys)
        proposed = density.at(x, point.gradients is not None)
        return metropolis(point, proposed, density.log_p(proposed) - density.log_p(point), keys)


@dataclass(frozen=True, kw_only=True)
class Exchange(Shuffle):
    """Two existing points of each cloud swap places, or stay."""

    def proposed(self, x: Tensor, exists: Bool[Tensor, "batch points"], keys: Keys) -> Tensor:
        order = keys.fold("pair").uniform(x.shape[1]).where(exists, 2.0).argsort(1)
        first, second = order[:, :1], order[:, 1:2]
        second = torch.where(exists.gather(1, second), second, first)
        places = torch.arange(x.shape[1], device=x.device).expand(len(x), -1)
        places = places.scatter(1, first, second).scatter(1, second, first)
        return x.gather(1, left(places, x).expand_as(x))


@dataclass(frozen=True, kw_only=True)
class Rotation(Shuffle):
    """Each cloud is turned about its centre, and mirrored one time in two."""

    def proposed(self, x: Tensor, exists: Bool[Tensor, "batch points"], keys: Keys) -> Tensor:
        there = left(exists, x).to(x)
        centre = (x * there).sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1)
        turned = centre + (x - centre) @ orthogonal(keys.fold("turn"), x.shape[2]).to(x)
        return torch.where(there > 0, turned, x)


def that_change(density: Density, point: MCMCState, keys: Keys) -> tuple[Shuffle, ...]:
    """The exchanges and rotations that change the energy of some of the samples, at one evaluation each of ten.

    Args:
        density: the unnormalised density, whose last term is the target.
        point: point clouds, with the values of its terms.
        keys: random keys, one a sample; they decide everything random.
    """
    some, keys = point[:PILOTS], keys[:PILOTS]
    exists = _existing(point.x, density)[:PILOTS]
    moves = (Exchange(), Rotation())
    energies = [density.at(move.proposed(some.x, exists, keys), with_gradients=False).values[-1] for move in moves]
    same = [torch.allclose(energy, some.values[-1], rtol=1e-9, atol=1e-9, equal_nan=True) for energy in energies]
    return tuple(move for move, kept in zip(moves, same, strict=True) if not kept)


def orthogonal(keys: Keys, dimension: int) -> Float[Tensor, "batch d d"]:
    """Orthogonal matrices, evenly distributed, one a key.

    Args:
        keys: random keys, one a sample; they decide everything random.
    """
    q, r = torch.linalg.qr(keys.normal(dimension, dimension).double())
    return q * r.diagonal(dim1=1, dim2=2).sign()[:, None]


def _existing(x: Tensor, density: Density) -> Bool[Tensor, "batch points"]:
    """Which points exist; InputError where samples are no clouds."""
    if x.ndim != 3 or not isinstance(density.space, Euclidean):
        raise InputError(
            f"exchanges and rotations are of point clouds (points, dimension), not of {tuple(x.shape[1:])}"
        )
    mask = density.space.mask
    return torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask.expand(x.shape[:2])
