"""States that were drawn with their energies, in a table and as labelled arrays."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...tasks import conversions
from ...tasks.native.members import NUMBER
from ...tasks.native.netcdf import Variable
from ...tasks.samples import Samples
from .data import recorded


def energies(samples: Samples) -> np.ndarray:
    """Of each sample, kT, (n,).

    Args:
        samples: of a model of this domain.
    """
    assert samples.origin is not None
    return recorded(samples.origin.metadata).energy(samples.x.detach().cpu().double()).numpy()


def pandas(samples: Samples) -> Any:
    """A table of `energy`, in kT, and of the coordinates where these are few.

    Args:
        samples: of a model of this domain.
    """
    table = conversions.pandas(samples)
    table.insert(0, "energy", energies(samples))
    return table


def xarray(samples: Samples) -> Any:
    """A Dataset of `x`, along particle and axis or along coordinate, and of `energy` in kT.

    Args:
        samples: of a model of this domain.
    """
    axes = ("particle", "axis") if samples.x.ndim == 3 else ("coordinate",)
    variables = {
        "x": Variable((NUMBER, *axes), samples.x.detach().cpu().numpy(), "state", "unit of length of the system"),
        "energy": Variable((NUMBER,), energies(samples), "energy", "kT"),
    }
    return conversions.xarray(samples, variables)


CONVERSIONS: Mapping[str, Callable[[Samples], Any]] = {"pandas": pandas, "xarray": xarray}
