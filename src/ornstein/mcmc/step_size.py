"""Learning a step size from acceptance: dual averaging (Nesterov 2009; Hoffman & Gelman 2014, section 3.2).

    log ε_{k+1} = μ − √k/γ · H̄_k,    H̄_k = (1 − η_k) H̄_{k−1} + η_k (goal − acceptance),    η_k = 1/(k + k₀)

The chains of a batch learn together; what counts as a sample is drawn only after the step has been frozen at its
running average.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    pass

GAMMA, K0, KAPPA = 0.05, 10.0, 0.75


@dataclass(frozen=True)
class DualAveraging:
    """The state of the average.

    Attributes:
        centre: μ, log of ten times the first step.
        now: log of the step to take next.
        mean: log of the step to freeze.
        surplus: H̄.
    """

    centre: Float[Tensor, "*groups"]
    now: Float[Tensor, "*groups"]
    mean: Float[Tensor, "*groups"]
    surplus: Float[Tensor, "*groups"]
    target_accept: float
    seen: int = 0

    @classmethod
    def start(cls, step: Float[Tensor, "*groups"], target_accept: float) -> "DualAveraging":
        log = step.double().log()
        return cls(log + 2.3, log, log, torch.zeros_like(log), target_accept)

    def learn(self, acceptance: Float[Tensor, " batch"]) -> "DualAveraging":
        """The state after one more move."""
        k = self.seen + 1
        each = acceptance.reshape(*self.now.shape, -1).mean(-1).to(self.now)
        surplus = torch.lerp(self.surplus, self.target_accept - each, 1 / (k + K0))
        now = self.centre - k**0.5 / GAMMA * surplus
        return replace(self, now=now, mean=torch.lerp(self.mean, now, k**-KAPPA), surplus=surplus, seen=k)
