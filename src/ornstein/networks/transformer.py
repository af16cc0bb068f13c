"""A transformer over tokens that looks in all directions, or only back along an order.

RMSNorm, rotary positions (Su et al. 2021), normalised queries and keys, GELU. Looking back, slot k holds the token of
position o(k − 1) and is asked for that of o(k); parameters and arithmetic are the same as in the other direction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import require_in
from ..errors import InputError
from .embeddings import LabelEmbedding, TimeEmbedding


@dataclass(frozen=True)
class TransformerConfig:
    """Size of a transformer.

    Attributes:
        width: of the residual stream.
        layers: blocks of attention and dense layers.
        heads: of the attention.
        dropout: of both branches of a block.
        positions: rotary = only distances are seen; learned = each place has a vector of its own, too (aligned data).
    """

    width: int = 128
    layers: int = 4
    heads: int = 4
    dropout: float = 0.0
    positions: Literal["rotary", "learned"] = "rotary"

    def __post_init__(self) -> None:
        sizes = {"width": "[1, 65536]", "layers": "[1, 1024]", "heads": "[1, 65536]"}
        require_in(self, "network.", {**sizes, "dropout": "[0, 1)"})
        if self.width % (2 * self.heads):
            raise InputError(f"network.width is {self.width}, expected a multiple of twice the {self.heads} heads")


def rotated(x: Float[Tensor, "batch heads length d"], angle: Float[Tensor, "batch length half"]) -> Tensor:
    """Each pair (x_j, x_{j+d/2}) turned by its angle."""
    cos, sin = (part(angle)[:, None] for part in (torch.cos, torch.sin))
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1).to(x.dtype)


class Attention(nn.Module):
    """Attention between all places, or from each place back."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        d = config.width // config.heads
        self.into, self.out = nn.Linear(config.width, 3 * config.width), nn.Linear(config.width, config.width)
        self.norm_q, self.norm_k = nn.RMSNorm(d), nn.RMSNorm(d)

    def forward(self, h: Tensor, angle: Tensor, seen: Tensor | None, causal: bool) -> Tensor:
        q, k, v = rearrange(self.into(h), "b l (three h d) -> three b h l d", three=3, h=self.heads)
        q, k = rotated(self.norm_q(q), angle), rotated(self.norm_k(k), angle)
        mixed = F.scaled_dot_product_attention(q, k, v.to(q.dtype), seen, is_causal=causal)
        return self.out(rearrange(mixed, "b h l d -> b l (h d)"))


class Block(nn.Module):
    """Attention, then dense layers, each added to what there was."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.width
        self.attend, self.norms = Attention(config), nn.ModuleList([nn.RMSNorm(width), nn.RMSNorm(width)])
        self.dense = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.drop = nn.Dropout(config.dropout)

    def forward(self, h: Tensor, angle: Tensor, seen: Tensor | None, causal: bool) -> Tensor:
        h = h + self.drop(self.attend(self.norms[0](h), angle, seen, causal))
        return h + self.drop(self.dense(self.norms[1](h)))


class Transformer(nn.Module):
    """Tokens (batch, length) below `states` → logits of `size` categories.

    Attributes:
        timeless: it does not see the noise level.

    Args:
        config: its size.
        states: of a token, the mask included.
        size: how many categories there are.
        length: of the sequences at most.
        families: how many classes it can be told ("family", −1 = not said); 0 = none.
        timed: it sees the noise level, for noise that does not show in the tokens.
        causal: it looks back only, from the position that the condition "start" names (0 = left to right).
    """

    def __init__(
        self,
        config: TransformerConfig,
        length: int,
        states: int,
        size: int,
        families: int = 0,
        timed: bool = False,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.time_independent, self.causal, self.first = not timed, causal, states - 1
        width, half = config.width, config.width // config.heads // 2
        self.tokens = nn.Embedding(states, width)
        self.places = nn.Embedding(length, width) if config.positions == "learned" else None
        self.family = LabelEmbedding(families, width) if families else None
        self.time = TimeEmbedding(width) if timed else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm, self.out = nn.RMSNorm(width), nn.Linear(width, size)
        self.register_buffer("rates", 10_000.0 ** (-torch.arange(half) / half), persistent=False)
        nn.init.normal_(self.tokens.weight, std=0.02)

    rates: Tensor

    def forward(
        self, x: Int[Tensor, "batch length"], t: Float[Tensor, " batch"], condition: Mapping[str, Tensor]
    ) -> Float[Tensor, "batch length size"]:
        place = torch.arange(x.shape[1], device=x.device).expand_as(x)
        if not self.causal:
            return self._logits(x, place, t, condition, condition.get("mask"))
        order = (place + condition["start"][:, None]) % x.shape[1]
        tokens = F.pad(x.gather(1, order)[:, :-1], (1, 0), value=self.first)
        logits = self._logits(tokens, order, t, condition, None)
        return logits.gather(1, order.argsort(1)[..., None].expand_as(logits))

    def _logits(
        self,
        tokens: Tensor,
        place: Tensor,
        t: Tensor,
        condition: Mapping[str, Tensor],
        exists: Bool[Tensor, "batch length"] | None,
    ) -> Tensor:
        h = self.tokens(tokens)
        if self.places is not None:
            h = h + self.places(place)
        if self.family is not None:
            h = h + self.family(condition["family"])[:, None]
        if self.time is not None:
            h = h + self.time(t)[:, None]
        seen = None if exists is None else exists[:, None, None]
        for block in self.blocks:
            h = block(h, place[..., None] * self.rates, seen, self.causal)
        return self.out(self.norm(h))
