"""A U-Net for pictures and fields: residual blocks modulated by what is said, attention at coarse levels.

After Ronneberger et al. 2015, Ho et al. 2020 and Dhariwal & Nichol 2021 (scale and shift after group normalisation).
Where pixels attend to each other they attend to the words of a caption, too (Rombach et al. 2022). All convolutions
keep to the borders of the field: where an axis is periodic the network commutes with shifts by multiples of its factor,
unless it is told of places.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd, prod
from typing import Any

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
from .borders import convolution, depth_to_space, space_to_depth
from .embeddings import Caption
from .fields import FieldNetwork, Fields, as_fields
from .mlp import zeroed


@dataclass(frozen=True)
class UNetConfig:
    """Size of a U-Net.

    Attributes:
        channels: at the finest level.
        multipliers: of `channels`, one a level; each level halves the resolution of the one before.
        blocks: residual blocks a level, on the way down and (one more) on the way up.
        attention: the levels with self-attention, 0 = finest.
        dropout: inside the residual blocks.
        patch: pixels a side that the finest level takes at once.
        attention_limit: the most pixels that may attend to each other; a field with more of them is refused.
    """

    channels: int = 64
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 2
    attention: tuple[int, ...] = (1,)
    dropout: float = 0.0
    patch: int = 1
    attention_limit: int = 16384

    def __post_init__(self) -> None:
        if not self.multipliers:
            raise InputError("network.multipliers is empty, expected one number a level")
        levels = f"[0, {len(self.multipliers) - 1}]"
        sizes = dict.fromkeys(("channels", "multipliers", "blocks", "patch"), "[1, 65536]")
        require_in(self, "network.", {**sizes, "blocks": "[1, 1024]", "attention": levels, "dropout": "[0, 1)"})
        require_in(self, "network.", {"attention_limit": "[1, inf)"})
        for level in self.attention:
            _require_heads(level, self.channels * self.multipliers[level])

    @property
    def factor(self) -> int:
        """What the length of every axis is padded to a multiple of."""
        return self.patch * 2 ** (len(self.multipliers) - 1)


def _heads(channels: int) -> int:
    """How many attention heads share the channels, 32 or a few more each."""
    return max(1, channels // 32)


def _require_heads(level: int, channels: int) -> None:
    if channels % _heads(channels):
        raise InputError(
            f"network.attention: the {channels} channels of level {level} cannot be split into {_heads(channels)} "
            "heads; expected fewer than 64 channels there, or a multiple of 32"
        )


def group_norm(channels: int) -> nn.GroupNorm:
    """In at most 16 groups of equal size."""
    return nn.GroupNorm(gcd(channels, 16), channels)


def in_layout(x: Tensor) -> Tensor:
    """Channels last on a GPU; on a CPU group normalisation is ten times as slow in that layout."""
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d} if x.is_cuda else {}
    return x.contiguous(memory_format=layouts.get(x.ndim, torch.contiguous_format))


class Block(nn.Module):
    """x + conv(silu(scale · norm(conv(silu(norm(x)))) + shift)), scale and shift from the embedding."""

    def __init__(self, into: int, out: int, embedding: int, dropout: float, borders: Sequence[Border]) -> None:
        super().__init__()
        self.norm_in, self.norm_out = group_norm(into), group_norm(out)
        self.conv_in = convolution(borders, into, out)
        self.conv_out = zeroed(convolution(borders, out, out))
        self.modulation = nn.Linear(embedding, 2 * out)
        self.dropout = nn.Dropout(dropout)
        self.skip = convolution(borders, into, out, 1) if into != out else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv_in(F.silu(self.norm_in(x)))
        modulation = self.modulation(embedding)
        scale, shift = modulation.reshape(*modulation.shape, *(1,) * (x.ndim - 2)).chunk(2, 1)
        h = F.silu(self.norm_out(h) * (1 + scale) + shift)
        return self.skip(x) + self.conv_out(self.dropout(h))


class Attention(nn.Module):
    """Residual attention from each pixel to all pixels, or to the words of a caption."""

    def __init__(self, channels: int, words: int = 0) -> None:
        super().__init__()
        self.norm, self.heads = group_norm(channels), _heads(channels)
        self.q, self.kv = nn.Linear(channels, channels), nn.Linear(words or channels, 2 * channels)
        self.out = zeroed(nn.Linear(channels, channels))

    def forward(self, x: Tensor, caption: Caption | None = None) -> Tensor:
        pixels = self.norm(x).flatten(2).mT
        words, said = (pixels, None) if caption is None else (caption.words, caption.said[:, None, None])
        q = rearrange(self.q(pixels), "b n (h c) -> b h n c", h=self.heads)
        k, v = rearrange(self.kv(words), "b n (two h c) -> two b h n c", two=2, h=self.heads)
        mixed = rearrange(attend(q, k, v, said), "b h n c -> b n (h c)")
        return x + self.out(mixed).mT.unflatten(2, x.shape[2:])


class Stage(nn.Module):
    """A residual block, with attention to pixels and words where asked."""

    def __init__(self, into: int, out: int, block: tuple[Any, ...], attends: bool, words: int) -> None:
        super().__init__()
        self.block = Block(into, out, *block)
        self.attention = Attention(out) if attends else nn.Identity()
        self.listening = Attention(out, words) if attends and words else None

    def forward(self, x: Tensor, embedding: Tensor, caption: Caption | None) -> Tensor:
        x = self.attention(self.block(x, embedding))
        return x if self.listening is None or caption is None else self.listening(x, caption)


@renamed(image_channels="fields")
class UNet(FieldNetwork):
    """(batch, channels, *grid) → the same shape, under times (batch,) and what is said of the field, of any size.

    Axes whose length the factor does not divide are padded by the rule of their border and cropped again; one that is
    periodic then has a seam, where the network commutes with shifts only nearly.

    Conditions: those of `fields`; "label" (batch,), −1 = not said; "caption" (batch, words, `caption`), rows of 0 = no
    word.

    Args:
        config: its size.
        fields: what the network is told; a number is that of a picture's channels.
        classes: how many labels there are; 0 for none.
        caption: numbers a word; 0 for no captions.
    """

    def __init__(self, config: UNetConfig, fields: Fields | int, classes: int = 0, caption: int = 0) -> None:
        fields = as_fields(fields)
        widths = [config.channels * m for m in config.multipliers]
        embedding, words = 4 * config.channels, 2 * config.channels if caption else 0
        super().__init__(fields, config.factor, embedding, classes, caption, words)
        self.patch, self.config, borders = config.patch, config, fields.borders
        inside = self.patch**fields.axes
        self.first = convolution(borders, fields.inputs * inside, widths[0])

        def stages(level: int, into: list[int]) -> nn.ModuleList:
            attends = level in config.attention
            each = ((embedding, config.dropout, borders), attends, words)
            return nn.ModuleList(Stage(i, widths[level], *each) for i in into)

        self.down, self.shrink, skips, width = nn.ModuleList(), nn.ModuleList(), [widths[0]], widths[0]
        for level, out in enumerate(widths):
            self.down.append(stages(level, [width] + [out] * (config.blocks - 1)))
            skips += [out] * config.blocks
            width = out
            if level < len(widths) - 1:
                self.shrink.append(convolution(borders, out, out, stride=2))
                skips.append(out)

        deepest = len(widths) - 1
        self.middle = stages(deepest, [width, width])
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(len(widths))):
            into = [(width if k == 0 else widths[level]) + skips.pop() for k in range(config.blocks + 1)]
            self.up.append(stages(level, into))
            width = widths[level]
            if level:
                self.grow.append(convolution(borders, width, width))
        last = convolution(borders, width, fields.channels * inside)
        self.last = nn.Sequential(group_norm(width), nn.SiLU(), zeroed(last))

    def forward(
        self, x: Float[Tensor, "batch c *grid"], t: Float[Tensor, " batch"], condition: Mapping[str, Tensor]
    ) -> Float[Tensor, "batch c *grid"]:
        seen = space_to_depth(self.seen(x, condition), self.patch)
        self._require_few(seen.shape[2:])
        about, caption = self.said(t, condition)
        out = self.last(self._walk(self.first(in_layout(seen)), F.silu(about), caption))
        return self.cropped(depth_to_space(out, self.patch), x.shape[2:])

    def _require_few(self, finest: Sequence[int]) -> None:
        """InputError where more pixels would attend to each other than may."""
        for level in self.config.attention:
            grid = [n // 2**level for n in finest]
            if prod(grid) > self.config.attention_limit:
                size = " × ".join(map(str, grid))
                raise InputError(
                    f"network.attention: the {size} = {prod(grid):,} pixels of level {level} would attend to each "
                    f"other, expected at most {self.config.attention_limit:,}: leave out that level, take a larger "
                    "network.patch or more levels, or raise network.attention_limit"
                )

    def _walk(self, x: Tensor, embedding: Tensor, caption: Caption | None) -> Tensor:
        skips = [x]
        for level, stages in enumerate(self.down):
            for stage in stages:  # pyright: ignore[reportGeneralTypeIssues]
                x = stage(x, embedding, caption)
                skips.append(x)
            if level < len(self.shrink):
                x = self.shrink[level](x)
                skips.append(x)
        for stage in self.middle:
            x = stage(x, embedding, caption)
        for level, stages in enumerate(self.up):
            for stage in stages:  # pyright: ignore[reportGeneralTypeIssues]
                x = stage(torch.cat([x, skips.pop()], 1), embedding, caption)
            if level < len(self.grow):
                x = self.grow[level](F.interpolate(x, scale_factor=2.0))
        return x
