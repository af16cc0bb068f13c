"""Sequences that were drawn as texts in a table, and as labelled letters."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...tasks import conversions
from ...tasks.native.members import NUMBER
from ...tasks.native.netcdf import Variable
from ...tasks.samples import Samples
from . import data


def texts(samples: Samples) -> list[str]:
    """The letters of each sample, gaps kept.

    Args:
        samples: of a model of this domain.
    """
    assert samples.origin is not None
    mask = samples.condition.get("mask")
    letters = samples.origin.metadata["alphabet"]
    return data.to_text(samples.x.detach().cpu(), letters, None if mask is None else mask.cpu())


def pandas(samples: Samples) -> Any:
    """A table of `sequence`, `length` without gaps, and `family` by its name, where there are any.

    Args:
        samples: of a model of this domain.
    """
    assert samples.origin is not None
    found, families = texts(samples), samples.condition.get("family")
    said: dict[str, Any] = {"sequence": found, "length": [len(text.replace("-", "")) for text in found]}
    if families is not None:
        said["family"] = [samples.origin.metadata["families"][k] for k in families.tolist()]
    return conversions.pandas(samples, said)


def xarray(samples: Samples) -> Any:
    """A Dataset of `letter` along number and position, which is counted from 1; "" where a sequence has ended.

    Args:
        samples: of a model of this domain.
    """
    rows = [list(text) for text in texts(samples)]
    length = samples.x.shape[1]
    letters = np.array([[*row, *[""] * (length - len(row))] for row in rows])
    place = Variable(("position",), np.arange(1, length + 1), "position in the sequence")
    return conversions.xarray(
        samples, {"letter": Variable((NUMBER, "position"), letters, "letter", ""), "position": place}
    )


CONVERSIONS: Mapping[str, Callable[[Samples], Any]] = {"pandas": pandas, "xarray": xarray}
