"""Attention, by what is fastest where it runs."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

_FUSED = 2**22
"""On a CPU, pairs of a query and a key beyond which their weights are not held in memory."""


def attend(
    q: Float[Tensor, "batch heads n d"],
    k: Float[Tensor, "batch heads m d"],
    v: Float[Tensor, "batch heads m d"],
    said: Bool[Tensor, "batch #heads #n m"] | None = None,
) -> Float[Tensor, "batch heads n d"]:
    """softmax(q kᵀ/√d) v over what is said.

    On a CPU the fused kernel is kept for long sequences, whose weights would take more memory than anything else.

    Args:
        q: queries of n tokens.
        k, v: keys and values of the m tokens that they attend to.
        said: which of these each query sees; None = all.
    """
    if q.is_cuda or q.shape[2] * k.shape[2] > _FUSED:
        return F.scaled_dot_product_attention(q, k, v, said)
    logits = q @ k.mT * q.shape[-1] ** -0.5
    logits = logits if said is None else logits.masked_fill(~said, -torch.inf)
    return logits.softmax(-1).to(v.dtype) @ v
