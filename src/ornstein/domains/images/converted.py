"""Pictures that were drawn as Pillow's images and as labelled arrays."""

from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from ...report import walls
from ...tasks import conversions
from ...tasks.native.members import NUMBER
from ...tasks.native.netcdf import Variable
from ...tasks.samples import Samples


def pil(samples: Samples) -> list[Image.Image]:
    """A picture a sample, grey or in colour, of 8 bits.

    Args:
        samples: of this domain.
    """
    pixels = walls.to_bytes(samples.x.detach().cpu())
    return [Image.fromarray(one[..., 0] if one.shape[-1] == 1 else one) for one in pixels]


def xarray(samples: Samples) -> Any:
    """A Dataset of `picture` along number, channel, row and column.

    Args:
        samples: of this domain.
    """
    values = samples.x.detach().cpu().numpy()
    said = "brightness, from -1 (black) to 1 (white)"
    return conversions.xarray(samples, {"picture": Variable((NUMBER, "channel", "row", "column"), values, said)})


CONVERSIONS: Mapping[str, Callable[[Samples], Any]] = {"pil": pil, "xarray": xarray}
