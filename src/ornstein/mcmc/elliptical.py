"""Elliptical slice sampling: exact moves for what is Gaussian but for a likelihood, without a step to choose.

A second draw ν of the Gaussian N(m, C) spans an ellipse with the state x on which that Gaussian stays invariant,

    x(θ) = m + (x − m) cos θ + ν sin θ,

and a slice of the likelihood p(x)/N(x; m, C) is drawn from along it: a bracket about θ = 0 shrinks until a point lies
above the level. Nothing is ever rejected, and the dimension does not count. Source: Murray, Adams & MacKay 2010.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log, pi

import torch
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Normal
from ..covariances import Rooted
from ..errors import InputError
from ..keys import Keys
from ..states import left
from .densities import Density, MCMCState
from .moves import Move, TransitionInfo

ROUNDS = 200
"""Shrinkings at most; each leaves about half of the bracket, so that it is a point long before."""


@dataclass(frozen=True, kw_only=True)
class EllipticalSlice(Move):
    """A move of any density along ellipses of a Gaussian, best where the density is that Gaussian times a likelihood.

    Attributes:
        gaussian: N(m, C), whose covariance has a root: a random field, such as `GaussianField.prior()`.
    """

    gaussian: Normal

    needs_gradients = False
    healthy = (0.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.gaussian.cov, Rooted):
            raise InputError("elliptical slices need a Gaussian whose covariance has a root, such as a Spectral one")

    def evaluations(self, density: Density) -> int:
        return 6  # shrinkings, about

    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        ellipse = self._ellipse(point.x, keys.fold("second"))
        level = self._likelihood(point, density) + keys.fold("level").uniform().log()
        turn = 2 * pi * keys.fold("angle").uniform()
        low, high, inside = turn - 2 * pi, turn.clone(), torch.zeros_like(turn, dtype=torch.bool)
        found = point
        for k in range(ROUNDS):
            proposed = density.at(ellipse(turn), False)
            here = self._likelihood(proposed, density) > level
            found = proposed.where(here & ~inside, found)
            inside = inside | here
            if inside.all():
                break
            low, high = torch.where(turn < 0, turn, low), torch.where(turn >= 0, turn, high)
            turn = low + (high - low) * keys.fold("shrunk").fold(k).uniform()
        return TransitionInfo(found, inside.double())

    def _ellipse(self, x: Tensor, keys: Keys) -> Callable[[Tensor], Tensor]:
        mean, cov = self.gaussian.mean.to(x), self.gaussian.cov
        assert isinstance(cov, Rooted)
        off, other = x - mean, cov.root(keys.normal(*x.shape[1:])).to(x)

        def at(angle: Float[Tensor, " batch"]) -> Tensor:
            turn = left(angle, x)
            return mean + off * turn.cos().to(x) + other * turn.sin().to(x)

        return at

    def _likelihood(self, point: MCMCState, density: Density) -> Float[Tensor, " batch"]:
        """log p(x) − log N(x; m, C)."""
        cov = self.gaussian.cov
        assert isinstance(cov, Rooted)
        white = cov.whiten((point.x - self.gaussian.mean.to(point.x)).double()).flatten(1)
        gaussian = -0.5 * (white.square().sum(1) + cov.log_det + white.shape[1] * log(2 * pi))
        return density.log_p(point).double() - gaussian
