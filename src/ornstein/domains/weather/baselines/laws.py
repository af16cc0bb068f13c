"""Laws of one number about a location μ with a scale σ, as EMOS has them.

    location    q(u) = g(μ + σ z(u)),  z of the standard normal or logistic law,
                g = identity, max(·, 0) (censored at zero: a point mass there) or max(·, 0)² (the same of the root)
    truncated   the normal law given that it is above 0 (Thorarinsdottir & Gneiting 2010)

The CRPS is a mean over levels of the loss of quantiles, 2 ∫ (1[y < q(u)] − u)(q(u) − y) du, here by the midpoint rule:
one formula of all laws, smooth in μ and σ, whose minimum is at the right quantiles however few levels there are.
Gneiting et al. 2005 (normal), Scheuerer 2014 and Messner et al. 2014 (censored).
"""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

LEVELS = 40
"""Of the midpoint rule."""
_EDGE = 1e-9


@runtime_checkable
class Law(Protocol):
    """A law of one number, with μ and σ of any shape."""

    @property
    def name(self) -> str: ...
    @property
    def root(self) -> bool:
        """Whether μ and σ are of the root of what is forecast."""
        ...

    def quantile(self, level: Tensor, location: Tensor, scale: Tensor) -> Tensor: ...
    def level(self, value: Tensor, location: Tensor, scale: Tensor, place: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Located:
    """g(μ + σ z).

    Attributes:
        shape: of z.
        link: g.
    """

    shape: Literal["normal", "logistic"] = "normal"
    link: Literal["identity", "censored", "squared"] = "identity"

    @property
    def name(self) -> str:
        return {"identity": "", "censored": "censored ", "squared": "censored root-"}[self.link] + self.shape

    @property
    def root(self) -> bool:
        return self.link == "squared"

    def quantile(
        self, level: Float[Tensor, "*#shape"], location: Float[Tensor, "*#shape"], scale: Float[Tensor, "*#shape"]
    ) -> Float[Tensor, "*shape"]:
        """The value below which the law has this probability.

        Args:
            level: u in (0, 1).
            location: μ.
            scale: σ > 0.
        """
        z = torch.special.ndtri(level) if self.shape == "normal" else torch.logit(level)
        latent = location + scale * z
        if self.link == "identity":
            return latent
        above = latent.clamp(min=0.0)
        return above.square() if self.root else above

    def level(
        self,
        value: Float[Tensor, "*#shape"],
        location: Float[Tensor, "*#shape"],
        scale: Float[Tensor, "*#shape"],
        place: Float[Tensor, "*#shape"],
    ) -> Float[Tensor, "*shape"]:
        """Where a value lies in the law, uniform on (0, 1) if it was drawn from it.

        Args:
            value: y.
            location: μ.
            scale: σ > 0.
            place: uniform numbers, which say where in a point mass at 0 a value lies.
        """
        latent = value.clamp(min=0.0).sqrt() if self.root else value
        z = (latent - location) / scale
        found = torch.special.ndtr(z) if self.shape == "normal" else torch.sigmoid(z)
        if self.link != "identity":
            found = torch.where(value > 0, found, found * place)
        return found.clamp(_EDGE, 1 - _EDGE)


@dataclass(frozen=True)
class Truncated:
    """The normal law above 0."""

    name = "truncated normal"
    root = False

    def quantile(
        self, level: Float[Tensor, "*#shape"], location: Float[Tensor, "*#shape"], scale: Float[Tensor, "*#shape"]
    ) -> Float[Tensor, "*shape"]:
        """See `Located.quantile`; computed from the upper tail, which keeps its digits where μ is far below 0."""
        above = torch.special.ndtr((location / scale).clamp(min=-8.0))
        upper = ((1 - level) * above).clamp(min=1e-300)
        return (location - scale * torch.special.ndtri(upper)).clamp(min=0.0)

    def level(
        self,
        value: Float[Tensor, "*#shape"],
        location: Float[Tensor, "*#shape"],
        scale: Float[Tensor, "*#shape"],
        place: Float[Tensor, "*#shape"],
    ) -> Float[Tensor, "*shape"]:
        """See `Located.level`."""
        above = torch.special.ndtr((location / scale).clamp(min=-8.0))
        found = 1 - torch.special.ndtr((location - value) / scale) / above
        return found.clamp(_EDGE, 1 - _EDGE) + 0 * place


def crps(
    law: Law,
    value: Float[Tensor, " n"],
    location: Float[Tensor, " n"],
    scale: Float[Tensor, " n"],
    levels: int = LEVELS,
) -> Float[Tensor, " n"]:
    """The CRPS of a law, in the units of the value, by the losses of quantiles at the middles of equal levels.

    Args:
        law: of the forecast.
        value: what happened.
        location: μ.
        scale: σ > 0.
        levels: how many.
    """
    u = ((torch.arange(levels, dtype=value.dtype) + 0.5) / levels)[:, None]
    quantile = law.quantile(u, location, scale)
    return 2 * (((value < quantile).to(value.dtype) - u) * (quantile - value)).mean(0)


def candidates(lowest: float, mean: float, std: float, at_zero: float) -> tuple[Law, ...]:
    """Which laws a variable may have, the plainest first.

    Args:
        lowest: value that there was.
        mean, std: of the values.
        at_zero: the share of values that are 0.
    """
    if lowest < 0 or mean - 5 * std > 0:  # of both signs, or so far above 0 that it does not matter (kelvin)
        return (Located(),)
    if at_zero > 0.005:
        return tuple(Located(shape, link) for link in ("squared", "censored") for shape in ("normal", "logistic"))
    return Located(), Truncated(), Located("normal", "squared")
