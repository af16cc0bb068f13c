"""A transformer over the patches of a picture or field (Peebles & Xie 2023): what is said scales and shifts layers.

A patch is what `patch` × `patch` pixels hold, at a place known by sines and cosines of its row and column, which go
round where an axis is periodic. Each layer lets patches attend to each other and to the words of a caption, then passes
them through a dense layer; all three are gated by what is said, at first by 0 (adaLN-Zero).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import pi, prod

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import require_in
from ..deprecation import renamed
from ..errors import InputError
from ..spectral.borders import Border
from .attention import attend
from .borders import depth_to_space, space_to_depth
from .embeddings import Caption
from .fields import FieldNetwork, Fields, as_fields
from .mlp import zeroed


@dataclass(frozen=True)
class PatchTransformerConfig:
    """Size of a transformer over patches.

    Attributes:
        width: of the residual stream.
        layers: rounds of attention and dense layers.
        heads: of the attention.
        patch: pixels a side of a patch.
        dropout: of every branch.
        attention_limit: the most patches that may attend to each other; a field with more of them is refused.
    """

    width: int = 256
    layers: int = 8
    heads: int = 4
    patch: int = 4
    dropout: float = 0.0
    attention_limit: int = 16384

    def __post_init__(self) -> None:
        sizes = dict.fromkeys(("width", "layers", "heads", "patch"), "[1, 65536]")
        require_in(self, "transformer.", {**sizes, "layers": "[1, 1024]", "dropout": "[0, 1)"})
        require_in(self, "transformer.", {"attention_limit": "[1, inf)"})
        if self.width % self.heads or self.width % 4:
            raise InputError(f"transformer.width is {self.width}, expected a multiple of 4 and of {self.heads} heads")


class Layer(nn.Module):
    """h += gate · branch(norm(h) · (1 + scale) + shift), for patches, words and a dense layer."""

    def __init__(self, config: PatchTransformerConfig, words: int) -> None:
        super().__init__()
        width, self.heads, self.words = config.width, config.heads, words
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.adapt = zeroed(nn.Linear(width, (9 if words else 6) * width))
        self.into, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        if words:
            self.q, self.kv, self.heard = nn.Linear(width, width), nn.Linear(words, 2 * width), nn.Linear(width, width)
        self.dense = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.drop = nn.Dropout(config.dropout)

    def forward(self, h: Tensor, about: Tensor, caption: Caption | None) -> Tensor:
        branches = [self._patches, self._dense] if caption is None else [self._patches, self._words, self._dense]
        modulations = self.adapt(about)[:, None].chunk(9 if self.words else 6, -1)
        for branch, *own in zip(branches, modulations[::3], modulations[1::3], modulations[2::3], strict=True):
            shift, scale, gate = own
            h = h + gate * self.drop(branch(self.norm(h) * (1 + scale) + shift, caption))
        return h

    def _patches(self, h: Tensor, caption: Caption | None) -> Tensor:
        q, k, v = rearrange(self.into(h), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        return self.out(rearrange(attend(q, k, v), "b h n d -> b n (h d)"))

    def _words(self, h: Tensor, caption: Caption) -> Tensor:
        q = rearrange(self.q(h), "b n (h d) -> b h n d", h=self.heads)
        k, v = rearrange(self.kv(caption.words), "b l (two h d) -> two b h l d", two=2, h=self.heads)
        return self.heard(rearrange(attend(q, k, v, caption.said[:, None, None]), "b h n d -> b n (h d)"))

    def _dense(self, h: Tensor, caption: Caption | None) -> Tensor:
        return self.dense(h)


@renamed(image_channels="fields")
class PatchTransformer(FieldNetwork):
    """(batch, channels, *grid) → the same shape, under times (batch,) and what is said of the field, of any size.

    Conditions: those of `fields`; "label" (batch,), −1 = not said; "caption" (batch, words, `caption`), rows of 0 = no
    word.

    Args:
        config: its size.
        fields: what the network is told; a number is that of a picture's channels.
        classes: how many labels there are; 0 for none.
        caption: numbers a word; 0 for no captions.
    """

    def __init__(
        self, config: PatchTransformerConfig, fields: Fields | int, classes: int = 0, caption: int = 0
    ) -> None:
        fields, width = as_fields(fields), config.width
        super().__init__(fields, config.patch, width, classes, caption, width)
        if width % (2 * fields.axes):
            raise InputError(
                f"transformer.width is {width}, expected a multiple of {2 * fields.axes} for {fields.axes} axes"
            )
        self.patch, self.limit, inside = config.patch, config.attention_limit, config.patch**fields.axes
        self.first = nn.Linear(fields.inputs * inside, width)
        self.layers = nn.ModuleList(Layer(config, width if caption else 0) for _ in range(config.layers))
        self.norm, self.adapt = nn.LayerNorm(width, elementwise_affine=False), zeroed(nn.Linear(width, 2 * width))
        self.last = zeroed(nn.Linear(width, fields.channels * inside))

    def forward(
        self, x: Float[Tensor, "batch c *grid"], t: Float[Tensor, " batch"], condition: Mapping[str, Tensor]
    ) -> Float[Tensor, "batch c *grid"]:
        patches = space_to_depth(self.seen(x, condition), self.patch)
        grid = patches.shape[2:]
        self._require_few(grid)
        about, caption = self.said(t, condition)
        about = F.silu(about)
        where = places(grid, self.first.out_features, self.fields.borders).to(x)
        h = self.first(patches.flatten(2).mT.contiguous()) + where
        for layer in self.layers:
            h = layer(h, about, caption)
        shift, scale = self.adapt(about)[:, None].chunk(2, -1)
        out = self.last(self.norm(h) * (1 + scale) + shift).mT.unflatten(2, grid)
        return self.cropped(depth_to_space(out, self.patch), x.shape[2:])

    def _require_few(self, grid: Sequence[int]) -> None:
        """InputError where more patches would attend to each other than may."""
        if prod(grid) > self.limit:
            raise InputError(
                f"the field has {' × '.join(map(str, grid))} = {prod(grid):,} patches, which would attend to each "
                f"other, expected at most {self.limit:,}: take a larger transformer.patch, or raise "
                "transformer.attention_limit"
            )


def places(grid: Sequence[int], width: int, borders: Sequence[Border]) -> Float[Tensor, "places width"]:
    """Sines and cosines of the place on each axis, at geometric frequencies; at whole ones where it is periodic.

    Args:
        grid: how many places there are on each axis.
        width: channels.
        borders: what lies beyond the ends of each axis.
    """
    axes, each = len(grid), width // (2 * len(grid))
    rates = 100.0 ** -torch.linspace(0, 1, each)
    angles = []
    for axis, (n, border) in enumerate(zip(grid, borders, strict=True)):
        turn = 2 * pi / n
        own = turn * (rates / turn).round().clamp(min=1) if border == "periodic" else rates
        along = (torch.arange(n)[:, None] * own).reshape(-1, *(1,) * (axes - 1 - axis), each)
        angles.append(along.expand(*grid, each))
    both = torch.cat(angles, -1).flatten(0, -2)
    return torch.cat([both.sin(), both.cos()], -1)
