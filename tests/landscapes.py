"""Densities exp(−E) of which log Z, the shares of modes and exact draws are known, in closed form or by quadrature.

pair      (1 − w) N(−5 e₁, I) + w N(5 e₁, I), in 2, 8 and 32 dimensions
gmm-40    forty Gaussians in the plane (the system of that name)
wells     h (x²/4 − 1)² − t x + 2 (y − x/2)²; h = 8 as in docs/from-energy-to-samples.md, h = 22 a barrier of 20
narrow    (1 − w) N(0, 2²) + w N(μ, (1/4)²) in the plane: a mode inside another
ring      (|x| − 4)²/(2 · .25²), whose eight equal sectors count as modes
funnel    x₁ ~ N(0, 3²), x_i ~ N(0, e^{x₁}) (Neal 2003); modes are the neck x₁ < −3, the mouth x₁ > 3, two between
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import log, pi

import torch
from torch import Tensor
from torch.nn import functional as F

from ornstein.domains.energies.data import system
from ornstein.keys import Keys

F64 = torch.float64


@dataclass(frozen=True, eq=False)
class Landscape:
    """A density exp(−E) and what is known of it.

    Attributes:
        energy: E in units of kT, (batch, d) → (batch,).
        dimension: d.
        width: standard deviation of a Gaussian about 0 that covers all that matters.
        log_z: log ∫ exp(−E), nats.
        draw: exact samples, one a key.
        modes: how much of each sample belongs to each mode, (batch, d) → (batch, modes), rows that sum to 1; its mean
            under the density is `shares`.
        shares: of the modes, (modes).
    """

    energy: Callable[[Tensor], Tensor]
    dimension: int
    width: float
    log_z: float
    draw: Callable[[Keys], Tensor]
    modes: Callable[[Tensor], Tensor]
    shares: Tensor

    def unseen(self, x: Tensor) -> float:
        """The exact share of the modes in which no sample lies."""
        return float(self.shares[self.modes(x.double()).sum(0) < 0.5].sum())


# Landscapes -------------------------------------------------------------------------------------------


def spots(means: Tensor, stds: Tensor, weights: Tensor, width: float) -> Landscape:
    """Round Gaussians; membership is the posterior of the component, whose mean is its weight.

    Args:
        means: (k, d).
        stds: (k).
        weights: (k), positive, of sum 1.
    """
    d = means.shape[1]
    constant = weights.log() - d * (stds.log() + log(2 * pi) / 2)

    def parts(x: Tensor) -> Tensor:
        return constant.to(x) - (x[:, None] - means.to(x)).square().sum(-1) / (2 * stds.to(x) ** 2)

    def draw(keys: Keys) -> Tensor:
        index = torch.searchsorted(weights.cumsum(0), keys.fold("component").uniform().double())
        index = index.clamp(max=len(weights) - 1)
        return means[index] + stds[index, None] * keys.fold("draw").normal(d).double()

    return Landscape(
        lambda x: -parts(x).logsumexp(1), d, width, 0.0, draw, lambda x: parts(x).softmax(1), weights.clone()
    )


def pair(dimension: int, weight: float) -> Landscape:
    """Two unit Gaussians ten standard deviations apart; the second has the weight."""
    means = torch.zeros(2, dimension, dtype=F64)
    means[:, 0] = torch.tensor([-5.0, 5.0])
    return spots(means, torch.ones(2, dtype=F64), torch.tensor([1 - weight, weight], dtype=F64), 4.0)


def forty() -> Landscape:
    found = system("gmm-40")
    means = found.energy.args[0].double()  # pyright: ignore[reportFunctionMemberAccess]
    std = F.softplus(torch.ones((), dtype=F64))
    return spots(means, std.expand(40), torch.full((40,), 1 / 40, dtype=F64), found.width)


def narrow(weight: float = 0.2) -> Landscape:
    means = torch.tensor([[0.0, 0.0], [1.5, 1.0]], dtype=F64)
    return spots(means, torch.tensor([2.0, 0.25], dtype=F64), torch.tensor([1 - weight, weight], dtype=F64), 3.0)


@dataclass(frozen=True, eq=False)
class Line:
    """A density on a line, by the trapezium rule.

    Attributes:
        at: (points).
        cdf: of the density at them.
        log_z: log ∫ exp(−u).
    """

    at: Tensor
    cdf: Tensor
    log_z: float

    @classmethod
    def of(cls, potential: Callable[[Tensor], Tensor], low: float, high: float) -> "Line":
        at = torch.linspace(low, high, 20_001, dtype=F64)
        mass = torch.cumulative_trapezoid(torch.exp(-potential(at)), at)
        return cls(at, torch.cat([torch.zeros(1, dtype=F64), mass / mass[-1]]), float(mass[-1].log()))

    def below(self, bound: float) -> float:
        """The probability of less than that."""
        return float(self.cdf[torch.searchsorted(self.at, bound)])

    def draw(self, keys: Keys) -> Tensor:
        u = keys.uniform().double()
        above = torch.searchsorted(self.cdf, u).clamp(1, len(self.cdf) - 1)
        low, high = self.cdf[above - 1], self.cdf[above]
        return torch.lerp(self.at[above - 1], self.at[above], (u - low) / (high - low).clamp(min=1e-300))


def wells(height: float = 8.0, tilt: float = 0.5) -> Landscape:
    """Two wells at about ∓(2, 1), the left first; of the page in the documents, if not said."""

    def along(x: Tensor) -> Tensor:
        return height * (x.square() / 4 - 1).square() - tilt * x

    line = Line.of(along, -6.0, 6.0)

    def draw(keys: Keys) -> Tensor:
        x = line.draw(keys.fold("along"))
        return torch.stack([x, x / 2 + keys.fold("across").normal(1)[:, 0].double() / 2], 1)

    return Landscape(
        lambda x: along(x[:, 0]) + 2 * (x[:, 1] - x[:, 0] / 2).square(),
        2,
        3.0,
        line.log_z + log(pi / 2) / 2,
        draw,
        lambda x: one_hot((x[:, 0] > 0).long(), 2),
        torch.tensor([line.below(0.0), 1 - line.below(0.0)], dtype=F64),
    )


RADIUS, THICK, SECTORS = 4.0, 0.25, 8


def ring() -> Landscape:
    line = Line.of(lambda r: (r - RADIUS).square() / (2 * THICK**2) - r.log(), 1.0, 7.0)

    def draw(keys: Keys) -> Tensor:
        angle, r = 2 * pi * keys.fold("angle").uniform().double(), line.draw(keys.fold("radius"))
        return torch.stack([r * angle.cos(), r * angle.sin()], 1)

    def sectors(x: Tensor) -> Tensor:
        turns = torch.atan2(x[:, 1], x[:, 0]) / (2 * pi)
        return one_hot((turns.remainder(1) * SECTORS).long().clamp(max=SECTORS - 1), SECTORS)

    return Landscape(
        lambda x: (x.square().sum(1).clamp(min=1e-12).sqrt() - RADIUS).square() / (2 * THICK**2),
        2,
        4.0,
        line.log_z + log(2 * pi),
        draw,
        sectors,
        torch.full((SECTORS,), 1 / SECTORS, dtype=F64),
    )


CUTS = (-3.0, 0.0, 3.0)
"""Where the funnel is cut into neck, two parts, and mouth."""


def funnel(dimension: int = 10) -> Landscape:
    rest = dimension - 1

    def energy(x: Tensor) -> Tensor:
        wide = x[:, 1:].square().sum(1) * torch.exp(-x[:, 0]) + rest * x[:, 0]
        return (x[:, 0].square() / 9 + wide + dimension * log(2 * pi)) / 2 + log(3)

    def draw(keys: Keys) -> Tensor:
        z = keys.normal(dimension).double()
        return torch.cat([3 * z[:, :1], z[:, 1:] * torch.exp(1.5 * z[:, :1])], 1)

    bounds = torch.special.ndtr(torch.tensor(CUTS, dtype=F64) / 3).tolist()
    shares = torch.tensor([high - low for low, high in pairwise([0.0, *bounds, 1.0])], dtype=F64)
    parts = partial(torch.bucketize, boundaries=torch.tensor(CUTS, dtype=F64))
    return Landscape(energy, dimension, 10.0, 0.0, draw, lambda x: one_hot(parts(x[:, 0].contiguous()), 4), shares)


def one_hot(index: Tensor, size: int) -> Tensor:
    return F.one_hot(index, size).to(F64)
