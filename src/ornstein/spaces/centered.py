"""Point clouds in which translation drops out: continuous data with zero centre of mass."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief
from ..errors import InputError
from ..states import State, Time, left
from .euclidean import Euclidean
from .gaussians import Gaussian, Normally
from .scales import require_one_time_a_sample


@dataclass(frozen=True)
class Centered(Euclidean):
    """Point clouds (points, dimension) with zero centre of mass (Hoogeboom et al. 2022).

    The projector takes each sample's mean over its existing points, so densities live on (points − 1)·dimension degrees
    of freedom. Centring couples the points, hence one time a sample, not a point, and white noise.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise_cov is not None or not isinstance(self.data_std, float | int):
            raise InputError("centred points have white noise, and one data_std for all")

    def project(self, x: Float[Tensor, "batch points dim"]) -> Float[Tensor, "batch points dim"]:
        if self.mask is None:
            return x - x.mean(1, keepdim=True)
        exists = left(self.mask, x).to(x)
        return (x - (x * exists).sum(1, keepdim=True) / self._points(x)) * exists

    def freedom(self, x: Float[Tensor, "batch points dim"]) -> Float[Tensor, "batch points dim"]:
        points = self._points(x)
        return super().freedom(x) * (points - 1) / points

    def noising(self, x0: State, t: Time, since: Time = 0.0) -> Gaussian:
        require_one_time_a_sample(t, since)
        return super().noising(x0, t, since)

    def step(self, x_t: State, belief: Belief, t: Time, s: Time, eta: float = 1.0) -> Normally:
        require_one_time_a_sample(t, s)
        return super().step(x_t, belief, t, s, eta)

    def _points(self, x: Tensor) -> Tensor:
        if self.mask is None:
            return torch.full((len(x), 1, 1), x.shape[1]).to(x)
        return left(self.mask.sum(1), x).to(x)
