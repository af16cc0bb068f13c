"""Samples as a NetCDF file (classic, 64-bit offsets) that xarray and all others read, on the nodes of the grid.

Fields are (number, y, x) with their Dirichlet nodes, where an unknown is none: NaN. Units are the user's own.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....tasks import conversions
from ....tasks.native.members import NUMBER
from ....tasks.native.netcdf import Variable, write
from ....tasks.samples import Samples
from ..asked.truths import TRUTH
from ..equations.boundaries import axes_of
from .refined import refined
from .solutions import Solved, shared_of, solved_in

_NAMES = {
    "source": ("source rho", "unit of a phi / length^2"),
    "given_source": ("source rho, as it was given", "unit of a phi / length^2"),
    "initial": ("field at time 0", "unit of phi"),
    "log_coefficient": ("natural logarithm of the coefficient a", "1"),
    "coefficient": ("coefficient a", "unit of a"),
    "solution": ("solution phi, with its boundary nodes", "unit of phi"),
    "residual": ("norm of L phi - rho over that of phi = 0", "1"),
    "error_bound": ("certified bound of the relative error of phi on the grid", "1"),
    "refined": ("solution phi, corrected until its residual was as small as asked for", "unit of phi"),
    "refined_residual": ("norm of L phi - rho over that of phi = 0, corrected", "1"),
    "refined_error_bound": ("certified bound of the relative error of phi on the grid, corrected", "1"),
    "iterations": ("conjugate gradients from the sample", "1"),
    "iterations_from_zero": ("conjugate gradients from 0", "1"),
    "seconds": ("time of the conjugate gradients from the sample", "s"),
    "seconds_from_zero": ("time of the conjugate gradients from 0", "s"),
    "violation": ("largest deviation from what Dirichlet sides say", "unit of phi"),
}


_GIVEN = {"coefficient", "given_source"}
"""What the equation is of, where it is a field."""


def netcdf(path: Path, found: Solved, samples: Samples, better: Mapping[str, Tensor]) -> None:
    """Writes solution.nc.

    Args:
        path: of the file.
        found: samples with their solutions.
        samples: that they are of.
        better: what `refined` made of them.
    """
    write(path, variables(found, samples, better), title(found, samples))


def xarray(samples: Samples) -> Any:
    """What solution.nc holds, as a Dataset; of samples that were drawn without a request the model's fields alone.

    Args:
        samples: of a model of this domain.
    """
    found = solved_in(samples)
    if found is None:
        x = samples.x.detach().cpu().numpy()[:, 0]
        return conversions.xarray(samples, {"field": Variable((NUMBER, *axes_of(x.ndim - 1)), x, "the model's field")})
    better = refined(samples, found)
    return conversions.xarray(samples, variables(found, samples, better)).assign_attrs(title=title(found, samples))


def pandas(samples: Samples) -> Any:
    """A table of how well the equation holds in each sample: `residual`, `error_bound` and `violation`.

    Args:
        samples: of a model of this domain.
    """
    found = solved_in(samples)
    names = () if found is None else ("residual", "error_bound", "violation")
    return conversions.pandas(samples, {name: getattr(found, name).tolist() for name in names})


CONVERSIONS: Mapping[str, Callable[[Samples], Any]] = {"pandas": pandas, "xarray": xarray}


def title(found: Solved, samples: Samples) -> str:
    """What the samples are, in words."""
    return f"{len(samples)} samples of {type(found.problem.equation).__name__}"


def variables(found: Solved, samples: Samples, better: Mapping[str, Tensor]) -> dict[str, Variable]:
    """Fields on the nodes of the grid and how well the equation holds, by name, with their coordinates.

    Args:
        found: samples with their solutions.
        samples: that they are of.
        better: what `refined` made of them.
    """
    axes, shared = found.problem.equation.grid.axes, shared_of(samples.condition)
    each, number = _each(found), ("number",)
    fields: dict[str, tuple[Sequence[str], Tensor]] = {name: (("number", *axes), value) for name, value in each.items()}
    fields |= {f"{name}_mean": (axes, value.mean(0)) for name, value in each.items()}
    if len(samples) > 1:
        fields |= {f"{name}_std": (axes, value.std(0)) for name, value in each.items()}
    given = {name: value for name, value in shared.items() if name.startswith(TRUTH) or name in _GIVEN - fields.keys()}
    fields |= {name: (axes, _on_nodes(found, value[None])[0]) for name, value in given.items()}
    fields |= {name: (number, getattr(found, name)) for name in ("residual", "error_bound", "violation")}
    fields |= {name: (("number", *axes) if name == "refined" else number, value) for name, value in better.items()}
    named = {name: Variable(along, value.numpy(), *_said(name)) for name, (along, value) in fields.items()}
    return {**_coordinates(found, samples), **named}


def _coordinates(found: Solved, samples: Samples) -> dict[str, Variable]:
    """The numbers of the samples, and where the nodes are."""
    grid, numbers = found.problem.equation.grid, np.arange(samples.first, samples.first + len(samples))
    places = {
        name: Variable((name,), at.numpy(), f"{name} of the nodes", "unit of length")
        for name, at in zip(grid.axes, grid.whole_coordinates, strict=True)
    }
    return {"number": Variable(("number",), numbers.astype(np.int32), "number of the sample"), **places}


def _each(found: Solved) -> dict[str, Tensor]:
    """Of each sample the fields on all nodes."""
    unknown = found.problem.equation.unknown
    each = {unknown: _on_nodes(found, found.unknown), "solution": found.whole}
    return each | ({"coefficient": each[unknown].exp()} if unknown == "log_coefficient" else {})


def _on_nodes(found: Solved, field: Tensor) -> Tensor:
    """A field of the unknowns with NaN at the boundary nodes; one that has these as it is."""
    grid = found.problem.equation.grid
    if tuple(field.shape[1:]) == grid.whole_shape:
        return field.double()
    return grid.padding(field.double()).masked_fill(grid.fixed, torch.nan)


def _said(name: str) -> tuple[str, str]:
    """What a variable is, and its unit."""
    for ending, before in (("_mean", "mean of the samples: "), ("_std", "standard deviation of the samples: ")):
        if name.endswith(ending):
            long, unit = _NAMES[name.removesuffix(ending)]
            return before + long, unit
    long, unit = _NAMES[name.removeprefix(TRUTH)]
    return ("truth: " if name.startswith(TRUTH) else "") + long, unit
