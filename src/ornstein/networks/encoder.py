"""From pictures to numbers: residual convolutions, halved level by level, and the mean of what is left."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from .mlp import zeroed
from .unet import UNetConfig, group_norm, in_layout


class Residual(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x))))))."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([group_norm(into), group_norm(out)])
        self.convs = nn.ModuleList([nn.Conv2d(into, out, 3, padding=1), zeroed(nn.Conv2d(out, out, 3, padding=1))])
        self.skip = nn.Conv2d(into, out, 1) if into != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            h = conv(F.silu(norm(h)))
        return self.skip(x) + h


class Encoder(nn.Module):
    """Pictures (batch, channels, height, width) → features (batch, width) and what is read off them (batch, numbers).

    Args:
        config: channels, multipliers, blocks and dropout (of the features) hold as in a U-Net's way down.
        image_channels: of the pictures.
        numbers: how many are read off.
    """

    def __init__(self, config: UNetConfig, image_channels: int, numbers: int) -> None:
        super().__init__()
        widths = [config.channels * m for m in config.multipliers]
        self.patch = config.patch
        self.first = nn.Conv2d(image_channels * config.patch**2, widths[0], 3, padding=1)
        self.levels = nn.ModuleList()
        before = widths[0]
        for width in widths:
            self.levels.append(
                nn.Sequential(*(Residual(before if k == 0 else width, width) for k in range(config.blocks)))
            )
            before = width
        self.last, self.drop = group_norm(before), nn.Dropout(config.dropout)
        self.head = nn.Linear(before, numbers)

    def forward(
        self, x: Float[Tensor, "batch c h w"]
    ) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch numbers"]]:
        h = self.first(in_layout(F.pixel_unshuffle(x, self.patch)))
        for k, level in enumerate(self.levels):
            h = level(F.avg_pool2d(h, 2) if k else h)
        features = F.silu(self.last(h)).mean((2, 3))
        return features, self.head(self.drop(features))
