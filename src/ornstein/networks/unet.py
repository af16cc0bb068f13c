"""A U-Net for pictures and fields: residual blocks modulated by time and class, attention at the coarse levels.

After Ronneberger et al. 2015, Ho et al. 2020 and Dhariwal & Nichol 2021 (scale and shift after group normalisation).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import require_in
from ..errors import InputError
from .embeddings import LabelEmbedding, TimeEmbedding


@dataclass(frozen=True)
class UNetConfig:
    """Size of a U-Net.

    Attributes:
        channels: at the finest level.
        multipliers: of `channels`, one a level; each level halves the resolution of the one before.
        blocks: residual blocks a level, on the way down and (one more) on the way up.
        attention: the levels with self-attention, 0 = finest.
        dropout: inside the residual blocks.
    """

    channels: int = 64
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 2
    attention: tuple[int, ...] = (1,)
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if not self.multipliers:
            raise InputError("network.multipliers is empty, expected one number a level")
        levels = f"[0, {len(self.multipliers) - 1}]"
        sizes = dict.fromkeys(("channels", "multipliers", "blocks"), "[1, inf)")
        require_in(self, "network.", {**sizes, "attention": levels, "dropout": "[0, 1)"})
        for level in self.attention:
            _require_heads(level, self.channels * self.multipliers[level])


def _heads(channels: int) -> int:
    """How many attention heads share the channels, 32 or a few more each."""
    return max(1, channels // 32)


def _require_heads(level: int, channels: int) -> None:
    if channels % _heads(channels):
        raise InputError(
            f"network.attention: the {channels} channels of level {level} cannot be split into {_heads(channels)} "
            "heads; expected fewer than 64 channels there, or a multiple of 32"
        )


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """A layer that starts at 0, so that a new block starts as the identity."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(gcd(channels, 16), channels)


class Block(nn.Module):
    """x + conv(silu(scale · norm(conv(silu(norm(x)))) + shift)), scale and shift from the embedding."""

    def __init__(self, into: int, out: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.norm_in, self.norm_out = _norm(into), _norm(out)
        self.conv_in = nn.Conv2d(into, out, 3, padding=1)
        self.conv_out = _zeroed(nn.Conv2d(out, out, 3, padding=1))
        self.modulation = nn.Linear(embedding, 2 * out)
        self.dropout = nn.Dropout(dropout)
        self.skip = nn.Conv2d(into, out, 1) if into != out else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv_in(F.silu(self.norm_in(x)))
        scale, shift = rearrange(self.modulation(embedding), "b (two c) -> two b c 1 1", two=2)
        h = F.silu(self.norm_out(h) * (1 + scale) + shift)
        return self.skip(x) + self.conv_out(self.dropout(h))


class Attention(nn.Module):
    """Residual self-attention between all pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.heads = _heads(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = _zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        height = x.shape[2]
        q, k, v = rearrange(self.qkv(self.norm(x)), "b (three h c) y x -> three b h (y x) c", three=3, h=self.heads)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(rearrange(mixed, "b h (y x) c -> b (h c) y x", y=height))


class Stage(nn.Module):
    """A residual block, with attention where asked."""

    def __init__(self, into: int, out: int, embedding: int, config: UNetConfig, attends: bool) -> None:
        super().__init__()
        self.block = Block(into, out, embedding, config.dropout)
        self.attention = Attention(out) if attends else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.attention(self.block(x, embedding))


class UNet(nn.Module):
    """(batch, channels, height, width) → the same shape, under times (batch,) and condition["label"] (batch,).

    Args:
        image_channels: of input and output.
        classes: how many labels there are; 0 for none.
    """

    def __init__(self, config: UNetConfig, image_channels: int, classes: int = 0) -> None:
        super().__init__()
        widths = [config.channels * m for m in config.multipliers]
        embedding = 4 * config.channels
        self.factor = 2 ** (len(widths) - 1)
        self.time = TimeEmbedding(embedding)
        self.label = LabelEmbedding(classes, embedding) if classes else None
        self.first = nn.Conv2d(image_channels, widths[0], 3, padding=1)

        def stages(level: int, into: list[int]) -> nn.ModuleList:
            attends = level in config.attention
            return nn.ModuleList(Stage(i, widths[level], embedding, config, attends) for i in into)

        self.down, self.shrink, skips, width = nn.ModuleList(), nn.ModuleList(), [widths[0]], widths[0]
        for level, out in enumerate(widths):
            self.down.append(stages(level, [width] + [out] * (config.blocks - 1)))
            skips += [out] * config.blocks
            width = out
            if level < len(widths) - 1:
                self.shrink.append(nn.Conv2d(out, out, 3, stride=2, padding=1))
                skips.append(out)

        deepest = len(widths) - 1
        self.middle = stages(deepest, [width, width])
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(len(widths))):
            into = [(width if k == 0 else widths[level]) + skips.pop() for k in range(config.blocks + 1)]
            self.up.append(stages(level, into))
            width = widths[level]
            if level:
                self.grow.append(nn.Conv2d(width, width, 3, padding=1))
        self.last = nn.Sequential(_norm(width), nn.SiLU(), _zeroed(nn.Conv2d(width, image_channels, 3, padding=1)))

    def forward(
        self, x: Float[Tensor, "batch c h w"], t: Float[Tensor, " batch"], condition: Mapping[str, Tensor]
    ) -> Float[Tensor, "batch c h w"]:
        if x.shape[2] % self.factor or x.shape[3] % self.factor:
            raise ValueError(f"height and width must be divisible by {self.factor}, got {tuple(x.shape[2:])}")
        embedding = self.time(t)
        if self.label is not None:
            embedding = embedding + self.label(condition["label"])
        return self.last(self._walk(self.first(x), F.silu(embedding)))

    def _walk(self, x: Tensor, embedding: Tensor) -> Tensor:
        skips = [x]
        for level, stages in enumerate(self.down):
            for stage in stages:  # pyright: ignore[reportGeneralTypeIssues]
                x = stage(x, embedding)
                skips.append(x)
            if level < len(self.shrink):
                x = self.shrink[level](x)
                skips.append(x)
        for stage in self.middle:
            x = stage(x, embedding)
        for level, stages in enumerate(self.up):
            for stage in stages:  # pyright: ignore[reportGeneralTypeIssues]
                x = stage(torch.cat([x, skips.pop()], 1), embedding)
            if level < len(self.grow):
                x = self.grow[level](F.interpolate(x, scale_factor=2.0))
        return x
