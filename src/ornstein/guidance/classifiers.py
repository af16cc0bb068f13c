"""Classifiers and regressors as factors: of clean data at the belief's mean, of noisy data at x_t itself.

A classifier of noisy data moves a belief by Tweedie's formula (Dhariwal & Nichol 2021), with d = ∇ log p(c | x_t)

    mean += (σ²/α) d        logits of a token += d − E d        if ‖σ d‖ ≤ r, and |d_i − E d| ≤ r for each category i

σ d is what c explains of the noise, in its standard deviations. Where c is a number y, believed Normal with mean m and
spread s, σ d = (y − m)/s · σ ∇m/s, and σ ‖∇m‖ ≤ s where x₀ is log-concave (C ≤ σ²/α² and ∇m = α/σ² C g): no more than
the z-score of y. A network that asks for more errs, most of all where it is certain, at little noise. Longer steps are
therefore shortened to the trust radius r; with r = ∞ none are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief
from ..errors import InputError
from ..spaces import Space
from ..states import State, Time, map_state
from ..values import is_number
from .factors import Smooth, Updated
from .functions import (
    called,
    differentiated,
    name_of,
    number_of,
    one_each,
    require_function,
    require_log_g,
    require_weight,
)
from .slopes import gradient, learns


@dataclass(frozen=True)
class ClassifierGuidance(Smooth):
    """g = p(c | x₀)^weight, of a classifier or a regressor of clean data.

    Attributes:
        log_prob: of the code of x₀, (batch, ...) → (batch,), differentiable.
    """

    log_prob: Callable[[Any], Tensor]
    weight: float | Tensor = 1.0

    def __post_init__(self) -> None:
        require_function(self, self.log_prob)
        require_weight(self, self.weight)

    def log_g(self, code: Any) -> Float[Tensor, " batch"]:
        return self.weight * one_each(self, called(self, self.log_prob, code), code)

    def tempered(self, power: float) -> "ClassifierGuidance":
        return replace(self, weight=self.weight * power)

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {"factor": "ClassifierGuidance", "of": name_of(self.log_prob), "weight": number_of(self.weight)}


@dataclass(frozen=True)
class NoisyClassifierGuidance(ClassifierGuidance):
    """g = p(c | x₀)^weight by a classifier of noisy data, log p(c | x_t, t): (code of x_t, t) → (batch,).

    Its t is what a network is told: a dictionary, part → time, where the parts of a product are on a path.

    Attributes:
        trust: r, above; a classifier that is right is not held back by a few.
    """

    log_prob: Callable[..., Tensor]
    trust: float = inf

    time_independent = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (is_number(self.trust) or self.trust == inf) or not self.trust > 0:
            raise InputError(f"{type(self).__name__}: trust is {self.trust!r}, expected a positive number")

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        """Of a belief without doubt: the classifier at t = 0."""
        return self.weight * one_each(self, called(self, self.log_prob, belief.mean, 0.0), belief.mean)

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        learning = torch.is_grad_enabled()
        with torch.enable_grad():
            code = map_state(lambda x: x.detach().requires_grad_(), space.point_mass(x_t).mean)
            value = self.weight * one_each(self, called(self, self.log_prob, code, space.own_times(t)), code)
            learning = learning and learns(value, code)
            slope = differentiated(self, lambda: gradient(value.sum(), code, create_graph=learning))
            require_log_g(self, value, slope)
        return value if learning else value.detach(), space.apply_score(belief, slope, t, self.trust)

    @property
    def provenance(self) -> Mapping[str, Any]:
        held = {} if self.trust == inf else {"trust": self.trust}
        return {**super().provenance, **held}
