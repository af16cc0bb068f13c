"""Fields on their way as one picture in milliseconds: a row a variable, a column a sample, at the last step."""

import torch
from jaxtyping import Float
from torch import Tensor

from ....report import quick
from ....tasks.figures import Figure
from ....tasks.samples import Samples
from ..known import Known
from .figures import upward

_ROWS, _COLUMNS = 3, 6
_SHADES = (-3.0, 3.0)
"""Standard deviations of what happened at that step, of the first colour and of the last one."""


def frame(samples: Samples) -> Figure:
    """A few samples as they stand, each variable in units of its spread.

    Args:
        samples: of a model of this domain.
    """
    assert samples.origin is not None
    known = Known.of(samples.origin.metadata)
    shown = standardised(samples.x.detach().cpu(), known)[:_COLUMNS, :_ROWS]
    names = ", ".join(known.variables[:_ROWS])
    caption = f"{names} on their way, at the last step, in units of their spread"
    if len(known.grid.shape) == 1:
        along = "stations" if known.grid.kind == "stations" else known.grid.dims[0]
        return quick.lines(shown[:, 0].numpy(), _SHADES, f"{known.variables[0]} along {along}, a line a sample")
    planes = shown.reshape(*shown.shape[:2], -1, *shown.shape[-2:])[:, :, 0]
    return quick.fields(planes.transpose(0, 1).flatten(0, 1).numpy(), _SHADES, caption, "viridis",
                        upward(known.grid), len(shown))  # fmt: skip


def standardised(x: Float[Tensor, "n channels *grid"], known: Known) -> Float[Tensor, "n v *grid"]:
    """The last step of samples, less the mean of what happened, in units of its spread.

    Args:
        x: samples, in the units of the variables.
        known: of the model.
    """
    v = len(known.variables)
    last = x.unflatten(1, (v, -1))[:, :, -1]
    positive = torch.tensor(known.positive).reshape(1, v, *(1,) * (last.ndim - 2))
    u = torch.where(positive, last.clamp(min=0).sqrt(), last)
    mean, std = (value[:, -1].reshape(1, v, *(1,) * (last.ndim - 2)) for value in (known.truth_mean, known.truth_std))
    return (u - mean) / std
