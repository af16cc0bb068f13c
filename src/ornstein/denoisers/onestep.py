"""A network that draws in one step: noise in, a sample out, trained on a proper score of few draws of each record.

    X = √D (z + F(z)),      x₁ = σ(1) L z ~ prior,      D the variance of the data

The belief's mean at t = 1 is itself the sample. D is diagonal where the noise is, so that a network that says F = 0
dresses with noise of the data's own spectrum, from which training sets out. For M draws X_m of a record y, element by
element,

    loss = 1/M Σ_m |X_m − y| − (1 − ε)/(2 M (M − 1)) Σ_{m≠n} |X_m − X_n|,      ε = (1 − fair)/M

At fair = 1 this is the fair CRPS (Gneiting & Raftery 2007, Ferro 2014), which in expectation is smallest for the law of
y itself whatever M is; at fair = 0 the CRPS of the M draws as they are. Lang et al. 2024 (AIFS-CRPS) take fair = .95,
at 1 two draws may be anywhere as long as y is between them. But it narrows the law: that of Gaussian data to
k/√(1 − k²) of its spread, k = (1 − ε)/√2, which is .95 at M = 2 and fair = .95, and .38 at fair = 0. So 1 is the
default, as of FGN (Alet et al. 2025): draws of a record are exchangeable, and the freedom of a pair is none of the law.

The score of each element says nothing of how elements hang together but by the network, one noise for all of them. With
`bands` the same score is taken of octaves of waves too, each in units of the data's spread in it: bands whose members
have too little power, or too much, cost as much as large scales do.

There is no other time than 1, so that no factor can be weighed against the noise of a step: see `Traits.one_step`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import floor, log2
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Normal
from ..errors import InputError
from ..keys import Keys
from ..spaces import Euclidean
from ..spaces.base import require_shape
from ..spectral.transforms import Separable
from ..states import State, Times, per_sample_sum
from ..values import is_number, require_whole
from .base import Condition, NeuralDenoiser, carry


@dataclass(frozen=True, repr=False)
class OneStep(NeuralDenoiser):
    """A generator in one step, of continuous data; see above.

    Attributes:
        members: draws of each record in a training, M ≥ 2; one network evaluation each.
        fair: 1 = the fair CRPS, 0 = that of the M draws as they are.
        bands: weight of the scores of octaves beside that of the elements, 0 = none; for spaces whose noise, or whose
            data_std, has a spectrum of waves.
    """

    members: int = 2
    fair: float = 1.0
    bands: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.space, Euclidean):
            raise InputError(f"one-step models are of continuous data, not of {type(self.space).__name__}")
        if self.space.element_weights is not None and not isinstance(self.space.element_weights, Tensor):
            raise InputError("one-step models are scored by elements: element_weights is a spectrum, expected a tensor")
        require_whole("members", self.members, 2)
        if not (is_number(self.fair) and 0 <= self.fair <= 1):
            raise InputError(f"fair is {self.fair!r}, expected a number in [0, 1]")
        if not (is_number(self.bands) and self.bands >= 0):
            raise InputError(f"bands is {self.bands!r}, expected a weight, 0 or more")
        super().__post_init__()
        carry(self, replace(self.traits, one_step=True))
        if self.bands and not isinstance(self._data.basis, Separable):
            raise InputError("bands are of waves: expected a space whose noise, or whose data_std, has a spectrum")
        if self.bands and not self._data.basis.axes:
            raise InputError("bands are of waves: expected a space whose noise, or whose data_std, has a spectrum")

    def __call__(self, x_t: State, t: Any, condition: Condition | None = None) -> Normal:
        assert isinstance(x_t, Tensor)
        if not bool(torch.as_tensor(t == 1).all()):
            raise InputError(f"a one-step model knows the time t = 1 alone, not t = {t}: its mean there is a sample")
        space = self.space.with_mask((condition or {}).get("mask"))
        output = require_shape(self.output(x_t, t, condition), x_t.shape)
        return space.belief(space.inputs(x_t, t) + output, x_t, t)  # pyright: ignore[reportReturnType]

    def losses(
        self, x0: State, t: Times, condition: Condition, keys: Keys, recall: bool | None = None
    ) -> Float[Tensor, " batch"]:
        """The score of M draws of each record, a degree of freedom, in the units of the states; t has no meaning.

        Args:
            x0: clean states, (batch, *shape).
            t: as of any denoiser, not used.
            condition: what each record is given, name → (batch, ...); a missing name means that nothing is said.
            keys: random keys, one a record; they decide everything random.
            recall: not used: a model of one step has no step before.
        """
        assert isinstance(x0, Tensor)
        draws = self.drawn(x0, condition, keys)
        space: Any = self.space.with_mask(condition.get("mask"))
        truth, freedom = space.project(x0), space.freedom(x0)
        each = self._score(draws, truth) * (freedom > 0)
        each = each if space.element_weights is None else each * space.element_weights.to(each)
        count = per_sample_sum(freedom).clamp(min=1)
        score = per_sample_sum(each) / count
        if not self.bands:
            return score
        found = [per_sample_sum(self._score(self._passed(factor, draws), self._passed(factor, truth)))
                 for factor in self._octaves]  # fmt: skip
        return score + self.bands * torch.stack(found).mean(0) / count

    def drawn(self, like: Tensor, condition: Condition, keys: Keys) -> Float[Tensor, "members batch ..."]:
        """M samples of each record.

        Args:
            like: states, (batch, *shape), whose precision counts.
            condition: what each record is given, name → (batch, ...).
            keys: random keys, one a record; they decide everything random.
        """
        m = self.members
        space = self.space.with_mask(condition.get("mask"))
        noise = torch.cat([space.prior(keys.fold("member").fold(k)) for k in range(m)]).to(like)
        many = {name: value.repeat(m, *[1] * (value.ndim - 1)) for name, value in condition.items()}
        return self(noise, 1.0, many).mean.unflatten(0, (m, len(like)))

    def _score(self, draws: Tensor, truth: Tensor) -> Tensor:
        """The loss of each element, as a sum of terms that are not negative, which so lose no digits."""
        m, kept = self.members, 1 - (1 - self.fair) / self.members
        off = (draws - truth).abs()
        total: Any = 0.0
        for i in range(m):
            for j in range(i):
                total = total + off[i] + off[j] - kept * (draws[i] - draws[j]).abs()
        return total / (m * (m - 1))

    # Bands --------------------------------------------------------------------------------------------

    @cached_property
    def _data(self) -> Any:
        """The covariance of the data as the space has it."""
        assert isinstance(self.space, Euclidean)
        return self.space.gaussian_cov(1.0, torch.zeros(1, *self.space.shape))

    @cached_property
    def _octaves(self) -> list[Tensor]:
        """What to multiply coefficients by: 1/spread of the data in an octave within it and 0 outside, a channel."""
        return list(_octaves(self._data.variance, self._data.basis))

    def _passed(self, factor: Tensor, x: Tensor) -> Tensor:
        """The waves of an octave, in units of the data's spread there."""
        basis = self._data.basis
        return basis.inverse(basis.forward(x) * factor.to(x))


def _octaves(variance: Float[Tensor, "1 *event"], basis: Separable) -> Iterator[Float[Tensor, "1 *event"]]:
    """Of the waves above a quarter of a cycle a step, an eighth, and so on; the last octave has all that are longer."""
    axes = tuple(range(-len(basis.axes), 0))
    grid = variance.shape[-len(axes) :]
    place = (-basis.frequencies(grid).clamp(min=1e-12).log2()).floor() - 1
    count = max(1, floor(log2(max(grid))) - 1)
    place = place.clamp(0, count - 1)
    for octave in range(count):
        inside = (place == octave).to(variance)
        power = (variance * inside).mean(axes, keepdim=True)
        if bool((power > 0).all()):
            yield inside * power.rsqrt()
