"""Statistical guidance: what a linear regression makes of a forecast, the base on which a model learns what is left.

    u = w · φ(forecast) + √v ε,      v = c + d · spread²                     (Gneiting et al. 2005: EMOS)

φ are the predictors at the same point and lead, standardised, 1, the season and the hour. One w for all points, one for
each station. Of a variable that is never negative u is the root, and where it is 0 much of the time, as rain is, a zero
is a value of u that is not seen (Tobin 1958): w and v are then fitted by expectation and maximisation, which goes on
in the direction of its last two steps (Varadhan & Roland 2008), and a zero is learned as draws of u below 0 under this
law (`censored`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import pi, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...deferred import deferred
from ...keys import Keys

if TYPE_CHECKING:
    from scipy import special
else:
    special = deferred("scipy.special")

Chunk = tuple[Float[Tensor, "n s f *grid"], Float[Tensor, "n v s *grid"], Float[Tensor, "n s v ..."]]
"""Features, what they are to say (NaN = missing), and the squared spread of the forecasts (0 of one member)."""
_RIDGE = 1e-4
"""Of the mean square of a feature, so that features that repeat each other share a weight; not of the constant."""
_FREE = 1e-6
"""Of that, for the constant: what is learned is the same in kelvin and in degrees Celsius."""
_SHARED = 1.0
"""Records that a station shares with all others, so that one of few records or of none has a regression, too."""
_ROUNDS = 8
"""Of three steps of expectation and maximisation each, where zeros are censored."""
_FURTHEST = 10.0
"""Steps that a round goes at most beyond its own."""
_LEAST = 1e-2
"""Of the variance of u, as a share of its mean over records: forecasts that agree are not sure of what happens."""


@dataclass(frozen=True, eq=False)
class Base:
    """A regression of each variable and step.

    Attributes:
        weights: (V, S, F), of stations (V, S, F, stations).
        constant, slope: v = constant + slope · spread², (V, S), of stations (V, S, stations).
    """

    weights: Tensor
    constant: Tensor
    slope: Tensor

    def __call__(
        self, features: Float[Tensor, "n s f *grid"], squared: Float[Tensor, "n s v ..."]
    ) -> tuple[Float[Tensor, "n v s *grid"], Float[Tensor, "n v s *grid"]]:
        """Mean and standard deviation of u.

        Args:
            features: of some records.
            squared: spread of the forecasts, in squared units of u.
        """
        mean = torch.einsum("vsf...,nsf...->nvs...", lined(self.weights, features, 3), features)
        variance = lined(self.constant, squared, 2) + lined(self.slope, squared, 2) * squared.transpose(1, 2)
        return mean, variance.sqrt().expand_as(mean).clone()

    def record(self) -> dict[str, Any]:
        """In JSON values."""
        return {name: getattr(self, name).tolist() for name in ("weights", "constant", "slope")}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Base":
        """What `record` was made of."""
        return cls(*(torch.tensor(record[name], dtype=torch.float32) for name in ("weights", "constant", "slope")))


def lined(value: Tensor, like: Tensor, own: int) -> Tensor:
    """One a variable and step, with the axes of the grid, along which it may be the same."""
    return value.to(like).reshape(value.shape + (1,) * (like.ndim - 3 - (value.ndim - own)))


def fitted(
    chunks: Callable[[], Iterator[Chunk]], censored: Sequence[bool], by_point: bool, rounds: int = _ROUNDS
) -> Base:
    """The regression of the records of some chunks.

    Args:
        chunks: reads them, as often as it is called.
        censored: of each variable, whether u ≤ 0 was seen as 0.
        by_point: one regression for each point of the grid, else one for all.
        rounds: of expectation and maximisation, where a variable is censored.
    """
    hidden = torch.tensor(censored)
    found = _step(chunks, None, hidden, by_point)
    for _ in range(rounds if any(censored) else 0):
        first = _step(chunks, found, hidden, by_point)
        second = _step(chunks, first, hidden, by_point)
        found = _step(chunks, _beyond(found, first, second), hidden, by_point)
    return found


def _beyond(start: Base, first: Base, second: Base) -> Base:
    """Where two steps that become shorter lead, of each variable and step by itself."""
    step = first.weights - start.weights
    turn = second.weights - first.weights - step
    long, short = step.square().sum(2).sqrt(), turn.square().sum(2).sqrt()
    times = torch.where(short > 0, long / short.clamp(min=1e-30), 1.0).clamp(1.0, _FURTHEST)

    def along(a: Tensor, b: Tensor, c: Tensor, times: Tensor = times) -> Tensor:
        return a + 2 * times * (b - a) + times**2 * (c - 2 * b + a)

    weights = along(start.weights, first.weights, second.weights, times.unsqueeze(2))
    constant = along(start.constant.log(), first.constant.log(), second.constant.log()).exp()
    return Base(weights, constant, along(start.slope, first.slope, second.slope).clamp(min=0))


def _step(chunks: Callable[[], Iterator[Chunk]], last: Base | None, censored: Tensor, by_point: bool) -> Base:
    """Least squares, with what the last round expects of values that were not seen."""
    gram, moment, n = 0.0, 0.0, 0.0
    keep = "g" if by_point else ""
    for features, u, squared in chunks():
        seen, expected, _ = _expected(features, u, squared, last, censored)
        flat, weight = features.flatten(3).double(), seen.flatten(3).double()
        gram = gram + torch.einsum(f"nsfg,nvsg,nseg->vs{keep}fe", flat, weight, flat)
        moment = moment + torch.einsum(f"nsfg,nvsg->vs{keep}f", flat, weight * expected.flatten(3).double())
        n = n + torch.einsum(f"nvsg->vs{keep}", weight)
    assert isinstance(gram, Tensor)
    assert isinstance(moment, Tensor)
    if by_point:
        gram, moment = _shared(gram, n), _shared(moment, n)
    ridge = _RIDGE * gram.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True).clamp(min=1e-12)
    ridge = ridge * torch.ones(gram.shape[-1]).double().index_fill(0, torch.tensor([0]), _FREE)
    weights = torch.linalg.solve(gram + torch.diag_embed(ridge), moment)
    weights = (weights.transpose(-1, -2) if by_point else weights).float()
    nothing = torch.zeros(weights.shape[:2] + weights.shape[3:])
    return _with_variance(chunks, Base(weights, nothing, nothing), last, censored, by_point)


def _shared(sums: Tensor, n: Any) -> Tensor:
    """Sums over the records of each station, with as many of the mean record of all as these share.

    Args:
        sums: (V, S, stations, ...).
        n: records, (V, S, stations).
    """
    everywhere = n.sum(2, keepdim=True).clamp(min=1)
    return sums + _SHARED * sums.sum(2, keepdim=True) / everywhere.reshape(*everywhere.shape, *(1,) * (sums.ndim - 3))


def _with_variance(
    chunks: Callable[[], Iterator[Chunk]], base: Base, last: Base | None, censored: Tensor, by_point: bool
) -> Base:
    """v = c + d · spread² by least squares of the squared residuals, with c and d not negative."""
    sums: Any = 0.0
    for features, u, squared in chunks():
        seen, expected, variance = _expected(features, u, squared, last, censored)
        mean, _ = base(features, torch.zeros_like(squared))
        square = ((expected - mean) ** 2 + variance).double()
        s = squared.transpose(1, 2).expand_as(square).double()
        each = torch.stack([seen, seen * s, seen * s * s, seen * square, seen * s * square])
        each = each.flatten(4).sum(1)
        sums = sums + (each if by_point else each.sum(-1))
    if by_point:
        sums = torch.stack([_shared(one, sums[0]) for one in sums])
    n, s, ss, r, sr = sums.unbind(0)
    mean = r / n.clamp(min=1)
    spread = ss * n - s * s
    slope = torch.where(spread > 1e-9 * ss * n, (n * sr - s * r) / spread.clamp(min=1e-200), 0.0).clamp(min=0)
    constant = (r - slope * s) / n.clamp(min=1)
    through = torch.where(ss > 0, sr / ss.clamp(min=1e-200), 0.0)  # the line through 0, where c would be negative
    slope = torch.where(constant < 0, through, slope)
    constant = torch.maximum(constant, _LEAST * mean.clamp(min=1e-30))
    return Base(base.weights, constant.float(), slope.float())


def _expected(
    features: Tensor, u: Tensor, squared: Tensor, last: Base | None, censored: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What is known (0 or 1), E[u], and Var[u] of what was not seen, under the last round."""
    seen = (~u.isnan()).float()
    u = u.nan_to_num()
    if last is None or not censored.any():
        return seen, u, torch.zeros_like(u)
    mean, std = last(features, squared)
    below = hidden(u, censored)
    z = (-mean / std).double()
    ratio = torch.exp(-(z**2) / 2 - torch.from_numpy(special.log_ndtr(z.numpy()))) / sqrt(2 * pi)
    expected, variance = mean - std * ratio, std**2 * (1 - z * ratio - ratio**2).clamp(min=0)
    return seen, torch.where(below, expected.float(), u), torch.where(below, variance.float(), torch.zeros_like(u))


def hidden(u: Float[Tensor, "n v *rest"], censored: Tensor) -> Bool[Tensor, "n v *rest"]:
    """Where a value was seen as 0 of a variable that is censored there.

    Args:
        u: the roots.
        censored: of each variable.
    """
    return (u <= 0) & censored.reshape(-1, *(1,) * (u.ndim - 2))


def drawn_below(mean: Float[Tensor, "n *rest"], std: Float[Tensor, "n *rest"], keys: Keys) -> Float[Tensor, "n *rest"]:
    """u of N(mean, std²) given that u ≤ 0.

    Args:
        mean, std: of u.
        keys: one a record; they decide everything random.
    """
    uniform = keys.uniform(*mean.shape[1:]).double().clamp(1e-9, 1 - 1e-9)
    z = (-mean / std).double()
    # As a logarithm: the share may be below the smallest number.
    log_share = special.log_ndtr(z.numpy()) + uniform.log().numpy()
    return (mean + std * torch.from_numpy(np.asarray(special.ndtri_exp(log_share)))).clamp(max=0).float()
