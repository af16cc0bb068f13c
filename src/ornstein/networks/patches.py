"""A transformer over the patches of a picture (Peebles & Xie 2023): time, class and caption scale and shift each layer.

A patch is what `patch` × `patch` pixels hold, at a place known by sines and cosines of its row and column. Each layer
lets patches attend to each other and to the words of a caption, then passes them through a dense layer; all three are
gated by what is said, at first by 0 (adaLN-Zero).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import require_in
from ..errors import InputError
from .attention import attend
from .embeddings import Caption, CaptionEmbedding, LabelEmbedding, TimeEmbedding
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
    """

    width: int = 256
    layers: int = 8
    heads: int = 4
    patch: int = 4
    dropout: float = 0.0

    def __post_init__(self) -> None:
        sizes = dict.fromkeys(("width", "layers", "heads", "patch"), "[1, 65536]")
        require_in(self, "transformer.", {**sizes, "layers": "[1, 1024]", "dropout": "[0, 1)"})
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


class PatchTransformer(nn.Module):
    """(batch, channels, height, width) → the same shape, under times (batch,) and what is said of the picture.

    Conditions: "label" (batch,), −1 = not said; "caption" (batch, words, `caption`), rows of 0 = no word.

    Args:
        image_channels: of input and output.
        classes: how many labels there are; 0 for none.
        caption: numbers a word; 0 for no captions.
    """

    def __init__(self, config: PatchTransformerConfig, image_channels: int, classes: int = 0, caption: int = 0) -> None:
        super().__init__()
        width, self.patch, numbers = config.width, config.patch, image_channels * config.patch**2
        self.time = TimeEmbedding(width)
        self.label = LabelEmbedding(classes, width) if classes else None
        self.caption = CaptionEmbedding(caption, width, width) if caption else None
        self.first = nn.Linear(numbers, width)
        self.layers = nn.ModuleList(Layer(config, width if caption else 0) for _ in range(config.layers))
        self.norm, self.adapt = nn.LayerNorm(width, elementwise_affine=False), zeroed(nn.Linear(width, 2 * width))
        self.last = zeroed(nn.Linear(width, numbers))

    def forward(
        self, x: Float[Tensor, "batch c h w"], t: Float[Tensor, " batch"], condition: Mapping[str, Tensor]
    ) -> Float[Tensor, "batch c h w"]:
        if x.shape[2] % self.patch or x.shape[3] % self.patch:
            raise InputError(f"height and width must be divisible by {self.patch}, got {tuple(x.shape[2:])}")
        about, caption = self.time(t), None
        if self.label is not None:
            about = about + self.label(condition["label"])
        if self.caption is not None:
            caption = self.caption(condition["caption"])
            about = about + caption.whole
        about, rows = F.silu(about), x.shape[2] // self.patch
        patches = rearrange(x, "b c (y p) (x q) -> b (y x) (c p q)", p=self.patch, q=self.patch)
        h = self.first(patches) + places(rows, x.shape[3] // self.patch, self.first.out_features).to(x)
        for layer in self.layers:
            h = layer(h, about, caption)
        shift, scale = self.adapt(about)[:, None].chunk(2, -1)
        out = self.last(self.norm(h) * (1 + scale) + shift)
        return rearrange(out, "b (y x) (c p q) -> b c (y p) (x q)", y=rows, p=self.patch, q=self.patch)


def places(rows: int, columns: int, width: int) -> Float[Tensor, "places width"]:
    """Sines and cosines of rows and columns, at geometric frequencies.

    Args:
        width: channels.
    """
    rates = 100.0 ** -torch.linspace(0, 1, width // 4)
    y, x = (torch.arange(n)[:, None] * rates for n in (rows, columns))
    both = torch.cat([y[:, None].expand(-1, columns, -1), x[None].expand(rows, -1, -1)], -1).flatten(0, 1)
    return torch.cat([both.sin(), both.cos()], -1)
