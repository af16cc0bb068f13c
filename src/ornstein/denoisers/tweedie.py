"""Beliefs with their second moment: Cov[x₀ | x_t] = (σ_t² / α_t) ∂x̂₀/∂x_t, by the gradient of the denoiser."""

import torch

from ..beliefs import Belief, combined
from ..states import State, Time, leaves, map_state
from .base import Condition, Denoiser


def with_covariance(denoiser: Denoiser, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
    """The belief with its covariance: the denoiser's own, else Tweedie's, through the gradient of the network.

    Args:
        x_t: noisy states at time t, (batch, ...): a tensor of the space's shape for each sample, or a dictionary of
            them for a product.
        t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
    """
    return terms_and_belief(denoiser, x_t, t, condition)[1]


def terms_and_belief(
    denoiser: Denoiser, x_t: State, t: Time, condition: Condition | None = None
) -> tuple[list[tuple[Time, Belief]], Belief]:
    """The denoiser's terms, and the belief they combine to with its covariance.

    Args:
        x_t: noisy states at time t, (batch, ...): a tensor of the space's shape for each sample, or a dictionary of
            them for a product.
        t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
    """
    x_t = map_state(lambda x: x.detach().requires_grad_() if x.is_floating_point() and not x.requires_grad else x, x_t)
    by_gradients = any(x.requires_grad for x in leaves(x_t))  # categories covary in closed form, and need no graph
    with torch.set_grad_enabled(by_gradients or torch.is_grad_enabled()):
        terms = denoiser.terms(x_t, t, condition)
        belief = combined(terms)
    mask = (condition or {}).get("mask")
    return terms, denoiser.space.with_mask(mask).second_moment(belief, x_t, t, denoiser.reach)
