"""Proposals that know less than the landscapes, to hold bounds on missing mass to.

A proposal is the exact denoiser of a Gaussian mixture that has all of a landscape (good), all of it in wrong
proportions (wrong), or not all of it (lacking). Each has the units of its own spread, as a trained model would.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import pi
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from landscapes import CUTS, F64, RADIUS, SECTORS, THICK, Landscape, forty, funnel, narrow, pair, ring, wells
from ornstein.beliefs import Normal
from ornstein.denoisers.oracles import Components, Mixture, gaussian_mixture
from ornstein.domains.energies.data import system
from ornstein.keys import Keys
from ornstein.schedules import Cosine, Scaled
from ornstein.spaces import Euclidean
from ornstein.states import Time

Way = Literal["boltzmann", "refine"]
Kind = Literal["good", "wrong", "lacking"]


@dataclass(frozen=True, eq=False)
class Case:
    """A landscape with a proposal for it.

    Attributes:
        proposal: the model, or what the samples to refine are drawn from.
        kind: of the proposal.
        part: the modes that the proposal does not have, or has too little of, or any where it is good.
        way: what is tried.
    """

    world: Landscape
    proposal: Mixture
    kind: Kind
    part: tuple[int, ...]
    way: Way = "boltzmann"

    @property
    def right(self) -> float:
        """The exact share of the part."""
        return float(self.world.shares[list(self.part)].sum())

    def share(self, x: Tensor) -> float:
        """The share of the part among samples."""
        return float(self.world.modes(x.double())[:, list(self.part)].sum(1).mean())


# Proposals --------------------------------------------------------------------------------------------


def model(means: Tensor, covs: Tensor, weights: Tensor) -> Mixture:
    """The exact denoiser of a mixture, in the units that a trained model would have: those of its own spread.

    Args:
        means: (k, d).
        covs: (k, d, d).
        weights: (k); those of 0 are left out.
    """
    kept = weights > 0
    means, covs, weights = means[kept].double(), covs[kept].double(), weights[kept].double()
    weights = weights / weights.sum()
    squares = means.square().sum(1) + covs.diagonal(dim1=1, dim2=2).sum(1)
    spread = float((weights @ squares / means.shape[1]).sqrt())
    mixture: Any = gaussian_mixture(means, covs, weights)
    space = replace(mixture.space, schedule=Scaled(Cosine(), spread), data_std=spread)
    return replace(mixture, components=replace(mixture.components, space=space))


def straight_model(means: Tensor, stds: Tensor, weights: Tensor) -> Mixture:
    """Of components along the axes, three times as fast as components of any covariance.

    Args:
        stds: (k, d), or (k, 1) of round ones.
    """
    found = model(means, torch.diag_embed(stds.double().expand(means.shape) ** 2), weights)
    inner: Any = found.components
    kept = weights > 0
    return replace(found, components=Straight(inner.space, inner.means, stds.double().expand(means.shape)[kept]))


@dataclass(frozen=True, eq=False)
class Straight(Components):
    """N(means_k, diag(stds_k²)), of which only the mean is believed."""

    space: Euclidean
    means: Tensor
    stds: Tensor

    def log_likelihood(self, x_t: Any, t: Time) -> Tensor:
        off, variance, _ = self._noisy(x_t, t)
        return -0.5 * (off.square() / variance + variance.log()).sum(-1)

    def belief(self, share: Tensor, x_t: Any, t: Time) -> Normal:
        off, variance, alpha = self._noisy(x_t, t)
        means = self.means.to(x_t) + alpha * self.stds.to(x_t) ** 2 / variance * off
        return Normal((share[..., None].to(x_t) * means).sum(1))

    def draw(self, component: Tensor, keys: Keys) -> Tensor:
        return self.means[component] + self.stds[component] * keys.normal(self.means.shape[1])

    def _noisy(self, x_t: Any, t: Time) -> tuple[Tensor, Tensor, Tensor]:
        """What x_t is off each noisy mean, the noisy variance, and α."""
        levels = (self.space.schedule.alpha, self.space.schedule.sigma)
        alpha, sigma = (torch.as_tensor(level(t)).to(x_t).reshape(-1, 1, 1) for level in levels)
        return x_t[:, None] - alpha * self.means.to(x_t), (alpha * self.stds.to(x_t)) ** 2 + sigma**2, alpha


def pair_case(dimension: int, weight: float, kind: Kind, believed: float = 0.0, way: Way = "boltzmann") -> Case:
    """believed: the weight of the second mode in the proposal; 0 = it is not there."""
    means = torch.zeros(2, dimension)
    means[:, 0] = torch.tensor([-5.0, 5.0])
    proposal = straight_model(means, torch.full((2, 1), 1.05), torch.tensor([1 - believed, believed]))
    return Case(pair(dimension, weight), proposal, kind, (1,), way)


def forty_case(kind: Kind, weights: Tensor, way: Way = "boltzmann") -> Case:
    """weights: of the components in the proposal."""
    means: Tensor = system("gmm-40").energy.args[0]  # pyright: ignore[reportFunctionMemberAccess]
    std = 1.05 * float(F.softplus(torch.ones((), dtype=F64)))
    rare = (weights < 0.5).nonzero().flatten().tolist() or range(20)
    return Case(forty(), straight_model(means, torch.full((40, 1), std), weights), kind, tuple(rare), way)


def first(lost: int) -> Tensor:
    """Equal weights of forty components but for the last, of which so many are lost."""
    return (torch.arange(40) < 40 - lost).double()


def tilted() -> Tensor:
    """Weights of forty components of which every second is a tenth to a hundredth of the others."""
    return torch.where(torch.arange(40) % 2 == 0, 1.0, 10.0 ** -(1 + torch.arange(40) / 40)).double()


def wells_case(kind: Kind, height: float, tilt: float, left: float, way: Way = "boltzmann") -> Case:
    """left: weight of the left well in the proposal, which is of Gaussians a third too wide."""
    along = 1 / (2 * height)
    cov = 1.3 * torch.tensor([[along, along / 2], [along / 2, 0.25 + along / 4]])
    proposal = model(
        torch.tensor([[-2.0, -1.0], [2.0, 1.0]]), cov.expand(2, 2, 2), torch.tensor([left, 1 - left]).double()
    )
    return Case(wells(height, tilt), proposal, kind, (0,), way)


def narrow_case(kind: Kind, believed: float) -> Case:
    means = torch.tensor([[0.0, 0.0], [1.5, 1.0]])
    proposal = straight_model(means, torch.tensor([[2.1], [0.27]]), torch.tensor([1 - believed, believed]))
    return Case(narrow(), proposal, kind, (1,))


def ring_case(kind: Kind, part: tuple[int, ...] = (0,), count: int = 64) -> Case:
    """Gaussians along the ring, but for those of that part where it is lacking."""
    turns = (torch.arange(count).double() + 0.5) / count
    angle, sector = 2 * pi * turns, (turns * SECTORS).long()
    out = torch.stack([angle.cos(), angle.sin()], 1)
    along = torch.stack([-angle.sin(), angle.cos()], 1)
    covs = [std**2 * (v[:, :, None] * v[:, None]) for std, v in ((1.1 * THICK, out), (2 * pi * RADIUS / count, along))]
    weights = torch.tensor([float(kind != "lacking" or int(s) not in part) for s in sector])
    return Case(ring(), model(RADIUS * out, covs[0] + covs[1], weights), kind, part)


def funnel_case(kind: Kind, dimension: int, step: float = 0.5) -> Case:
    """Slices of the funnel, those of the neck left out where it is lacking."""
    middle = torch.arange((CUTS[0] if kind == "lacking" else -9.0) + step / 2, 9.0, step).double()
    means = torch.cat([middle[:, None], torch.zeros(len(middle), dimension - 1)], 1)
    stds = torch.cat([torch.full((len(middle), 1), 0.6 * step), (middle[:, None] / 2).exp().expand_as(means[:, 1:])], 1)
    return Case(funnel(dimension), straight_model(means, 1.05 * stds, torch.exp(-(middle**2) / 18)), kind, (0,))


# All of them --------------------------------------------------------------------------------------------

CASES: dict[str, Callable[[], Case]] = {
    **{
        f"pair-{d}, lacking {w:.2f}": partial(pair_case, d, w, "lacking")
        for d in (2, 8, 32)
        for w in (0.02, 0.05, 0.10, 0.20, 0.30)
        if d < 32 or w < 0.3
    },
    "pair-2, 0.10 said to be 0.01": partial(pair_case, 2, 0.1, "wrong", 0.01),
    "pair-2, 0.30 said to be 0.003": partial(pair_case, 2, 0.3, "wrong", 0.003),
    "pair-8, 0.30 said to be 0.003": partial(pair_case, 8, 0.3, "wrong", 0.003),
    "pair-32, 0.10 said to be 0.01": partial(pair_case, 32, 0.1, "wrong", 0.01),
    **{f"pair-{d}, good": partial(pair_case, d, 0.1, "good", 0.12) for d in (2, 8, 32)},
    "gmm-40, lacking 10": partial(forty_case, "lacking", first(10)),
    "gmm-40, lacking 20": partial(forty_case, "lacking", first(20)),
    "gmm-40, weights 10 to 100 times off": partial(forty_case, "wrong", tilted()),
    "gmm-40, good": partial(forty_case, "good", first(0)),
    "wells, lacking the left": partial(wells_case, "lacking", 8.0, 0.5, 0.0),
    "wells, good": partial(wells_case, "good", 8.0, 0.5, 0.2),
    "barrier of 20, lacking the left": partial(wells_case, "lacking", 22.0, 0.55, 0.0),
    "barrier of 20, good": partial(wells_case, "good", 22.0, 0.55, 0.15),
    "narrow inside wide, lacking the narrow": partial(narrow_case, "lacking", 0.0),
    "narrow inside wide, good": partial(narrow_case, "good", 0.2),
    "ring, lacking a quarter": partial(ring_case, "lacking", (0, 1)),
    "ring, lacking an eighth": partial(ring_case, "lacking"),
    "ring, good": partial(ring_case, "good"),
    "funnel-2, lacking the neck": partial(funnel_case, "lacking", 2),
    "funnel-2, good": partial(funnel_case, "good", 2),
    "funnel-10, lacking the neck": partial(funnel_case, "lacking", 10),
    "funnel-10, good": partial(funnel_case, "good", 10),
    **{f"refine: pair-{d}, lacking 0.10": partial(pair_case, d, 0.1, "lacking", way="refine") for d in (2, 8, 32)},
    "refine: pair-2, 0.30 said to be 0.003": partial(pair_case, 2, 0.3, "wrong", 0.003, "refine"),
    "refine: pair-2, good": partial(pair_case, 2, 0.1, "good", 0.12, "refine"),
    "refine: gmm-40, lacking 5": partial(forty_case, "lacking", first(5), "refine"),
    "refine: gmm-40, good": partial(forty_case, "good", first(0), "refine"),
    "refine: wells, lacking the left": partial(wells_case, "lacking", 8.0, 0.5, 0.0, "refine"),
}
"""What is tried, by name."""
