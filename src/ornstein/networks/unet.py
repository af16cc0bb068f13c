"""A U-Net for pictures and fields: residual blocks modulated by time, class and caption, attention at coarse levels.

After Ronneberger et al. 2015, Ho et al. 2020 and Dhariwal & Nichol 2021 (scale and shift after group normalisation).
Where pixels attend to each other they attend to the words of a caption, too (Rombach et al. 2022).
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
from .attention import attend
from .embeddings import Caption, CaptionEmbedding, LabelEmbedding, TimeEmbedding
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
    """

    channels: int = 64
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 2
    attention: tuple[int, ...] = (1,)
    dropout: float = 0.0
    patch: int = 1

    def __post_init__(self) -> None:
        if not self.multipliers:
            raise InputError("network.multipliers is empty, expected one number a level")
        levels = f"[0, {len(self.multipliers) - 1}]"
        sizes = dict.fromkeys(("channels", "multipliers", "blocks", "patch"), "[1, 65536]")
        require_in(self, "network.", {**sizes, "blocks": "[1, 1024]", "attention": levels, "dropout": "[0, 1)"})
        for level in self.attention:
            _require_heads(level, self.channels * self.multipliers[level])

    @property
    def factor(self) -> int:
        """What height and width must be divisible by."""
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
    return nn.GroupNorm(gcd(channels, 16), channels)


def in_layout(x: Tensor) -> Tensor:
    """Channels last on a GPU; on a CPU group normalisation is ten times as slow in that layout."""
    return x.contiguous(memory_format=torch.channels_last) if x.is_cuda else x.contiguous()


class Block(nn.Module):
    """x + conv(silu(scale · norm(conv(silu(norm(x)))) + shift)), scale and shift from the embedding."""

    def __init__(self, into: int, out: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.norm_in, self.norm_out = group_norm(into), group_norm(out)
        self.conv_in = nn.Conv2d(into, out, 3, padding=1)
        self.conv_out = zeroed(nn.Conv2d(out, out, 3, padding=1))
        self.modulation = nn.Linear(embedding, 2 * out)
        self.dropout = nn.Dropout(dropout)
        self.skip = nn.Conv2d(into, out, 1) if into != out else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv_in(F.silu(self.norm_in(x)))
        scale, shift = rearrange(self.modulation(embedding), "b (two c) -> two b c 1 1", two=2)
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
        pixels = rearrange(self.norm(x), "b c y x -> b (y x) c")
        words, said = (pixels, None) if caption is None else (caption.words, caption.said[:, None, None])
        q = rearrange(self.q(pixels), "b n (h c) -> b h n c", h=self.heads)
        k, v = rearrange(self.kv(words), "b n (two h c) -> two b h n c", two=2, h=self.heads)
        mixed = rearrange(attend(q, k, v, said), "b h n c -> b n (h c)")
        return x + rearrange(self.out(mixed), "b (y x) c -> b c y x", y=x.shape[2])


class Stage(nn.Module):
    """A residual block, with attention to pixels and words where asked."""

    def __init__(self, into: int, out: int, embedding: int, dropout: float, attends: bool, words: int) -> None:
        super().__init__()
        self.block = Block(into, out, embedding, dropout)
        self.attention = Attention(out) if attends else nn.Identity()
        self.listening = Attention(out, words) if attends and words else None

    def forward(self, x: Tensor, embedding: Tensor, caption: Caption | None) -> Tensor:
        x = self.attention(self.block(x, embedding))
        return x if self.listening is None or caption is None else self.listening(x, caption)


class UNet(nn.Module):
    """(batch, channels, height, width) → the same shape, under times (batch,) and what is said of the picture.

    Conditions: "label" (batch,), −1 = not said; "caption" (batch, words, `caption`), rows of 0 = no word.

    Args:
        image_channels: of input and output.
        classes: how many labels there are; 0 for none.
        caption: numbers a word; 0 for no captions.
    """

    def __init__(self, config: UNetConfig, image_channels: int, classes: int = 0, caption: int = 0) -> None:
        super().__init__()
        widths = [config.channels * m for m in config.multipliers]
        embedding, words = 4 * config.channels, 2 * config.channels if caption else 0
        self.factor, self.patch = config.factor, config.patch
        self.time = TimeEmbedding(embedding)
        self.label = LabelEmbedding(classes, embedding) if classes else None
        self.caption = CaptionEmbedding(caption, words, embedding) if caption else None
        self.first = nn.Conv2d(image_channels * self.patch**2, widths[0], 3, padding=1)

        def stages(level: int, into: list[int]) -> nn.ModuleList:
            attends = level in config.attention
            each = (embedding, config.dropout, attends, words)
            return nn.ModuleList(Stage(i, widths[level], *each) for i in into)

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
        last = nn.Conv2d(width, image_channels * self.patch**2, 3, padding=1)
        self.last = nn.Sequential(group_norm(width), nn.SiLU(), zeroed(last))

    def forward(
        self, x: Float[Tensor, "batch c h w"], t: Float[Tensor, " batch"], condition: Mapping[str, Tensor]
    ) -> Float[Tensor, "batch c h w"]:
        if x.shape[2] % self.factor or x.shape[3] % self.factor:
            raise InputError(f"height and width must be divisible by {self.factor}, got {tuple(x.shape[2:])}")
        embedding, caption = self.time(t), None
        if self.label is not None:
            embedding = embedding + self.label(condition["label"])
        if self.caption is not None:
            caption = self.caption(condition["caption"])
            embedding = embedding + caption.whole
        x = self.first(in_layout(F.pixel_unshuffle(x, self.patch)))
        return F.pixel_shuffle(self.last(self._walk(x, F.silu(embedding), caption)), self.patch).contiguous()

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
