"""The learned solver: p(φ | ρ) of ∇²φ = ρ on the unit square, φ = 0 on its border, given the whole source.

    φ = lift + scale · x,      scale = std · rms(ρ') · L²/a,      ρ' = ρ − L_h lift

What is not learned. Each source is divided by its root mean square and each solution by that times a number, so that
multiples are exact. Border values are those of a lift, whose L_h is taken off the source, so that they are exact, too;
nodes on the border are no part of the state. The side length L and a constant a are in the scale.

What is in the preconditioning. The noise and `data_std` have a spectrum (k² + k₀²)^(−p/2) in waves that are 0 on the
border, fitted to the solutions of the training: how fast these fall with k, and that they are 0 on the border, is known
to the space and not learned. No solver and no eigenvalue of the equation is in it.

What is learned. From the source to the whitened solution, by a network that is linear in x_t and ρ, as the solution is:
E[φ | x_t, ρ] = A⁻¹ρ at every time (networks/linear.py). So what it has learnt holds for sources of other kinds, too,
the less the rougher they are than those of the training. The loss weighs a coefficient by 1/√spectrum, between the
error of φ and that of its whitened coefficients: the error of φ alone would leave the residual of fine waves as it is.

The posterior is a point mass: what samples differ by is the network's error. For a source that is known and constant
coefficients, a sine transform is exact and thousands of times as fast (`equations.Elliptic`).
"""

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ....errors import InputError
from ....guidance.maps import Residual
from ....networks.fields import Fields
from ....spaces import Euclidean
from ....spectral.roots import Spectral, power_law
from ....spectral.transforms import Separable
from ....training.datasets import Dataset
from .. import sources
from ..data import RECORDS, SHAPE, require_made
from ..equations import Elliptic, Equation, Grid
from . import pairs
from .pairs import rms

DEFAULTS: Mapping[str, Any] = {"steps": 5, "eta": 0.0, "order": 1, "grid": "uniform"}
"""Of samples of a learned solver, where the user says nothing."""
_WEIGHT = -0.5
"""The power of the spectrum by which the loss weighs a coefficient."""
_NOTHING = 1e-30
"""The scale where there is no source: the solution is the lift."""


def data(config: Any) -> tuple[Dataset, Dataset]:
    """Pairs to learn from, and others; InputError for settings that these data do not have."""
    names = (pairs.MIXED, *sources.LAWS)
    if config.data in names:
        return pairs.made(config.data, config.shape or SHAPE, config.records or RECORDS)
    require_made(config, names)
    return pairs.opened(config.data, config.memory)


def spectrum(metadata: Mapping[str, Any]) -> Spectral:
    """The covariance of the model's states: a power of k, in waves that are 0 on the border."""
    said, shape = metadata["spectrum"], tuple(metadata["shape"])
    basis = Separable(("sine",) * (len(shape) - 1))
    return power_law(shape, said["exponent"], basis, said["outer"])


def space(config: Any, metadata: Mapping[str, Any]) -> Euclidean:
    """Normalised solutions, of whose squared error a coefficient counts by 1/√spectrum, alike at every time."""
    known = spectrum(metadata)
    weights = known.power(_WEIGHT)
    weights = weights * (1 / float((weights.variance * known.variance).mean()))
    noise = known if config.coloured else None
    return Euclidean(known.shape, data_std=known, noise_cov=noise, weighting="unit", element_weights=weights)


def map(config: Any, metadata: Mapping[str, Any]) -> Residual:
    """From states to solutions in the user's unit: of each sample its own lift and scale."""
    return Residual("lift", "scale")


def fields(metadata: Mapping[str, Any]) -> Fields:
    """What the network is told: the source, with nothing beyond the border, where the solution is 0."""
    return Fields(1, conditions={"source": 1}, borders=("zero",) * (len(metadata["shape"]) - 1))


# What is asked ----------------------------------------------------------------------------------------


def conditions_of(
    equation: Equation, source: Float[Tensor, "*batch_grid"], metadata: Mapping[str, Any]
) -> dict[str, Tensor]:
    """What samples are given: "source" and "lift" (batch, 1, *grid), and "scale" (batch, 1), float32.

    Args:
        equation: of the user's: Poisson's on a square, all of whose sides are Dirichlet sides, of any values.
        source: in the user's unit, (*grid) or (batch, 1, *grid).
        metadata: of the model.

    InputError for another equation, another kind of side, or another grid than the model's.
    """
    solved = _required(equation, tuple(metadata["shape"][1:]))
    solved.require_compatible(source)
    source = source.reshape(-1, 1, *solved.grid.shape).double()
    lift = lifted(solved.grid)[None, None].expand_as(source)
    rest = -solved.residual(source, lift)
    area = solved.grid.cell * prod(n + 1 for n in solved.grid.shape)
    size, unit = rms(rest), metadata["std"] * area / solved.coefficient.flatten()[0]
    there = size > 0
    return {
        "source": (rest / torch.where(there, size, 1.0)).float(),
        "lift": lift.float().contiguous(),
        "scale": torch.where(there, unit * size, _NOTHING).flatten(1).float(),
    }


def lifted(grid: Grid) -> Float[Tensor, "*grid"]:
    """A field that continues to the values of a plane's Dirichlet sides, at the unknowns, float64.

    The corners are joined bilinearly. What sides have beyond that, r, is blended by distance d, as Σ (r/d) / Σ (1/d),
    which is smooth but in corners where the sides do not meet.
    """
    rim = grid.rim
    y, x = (_from_ends(grid, axis) for axis in (0, 1))
    corners = torch.einsum("ai,bj,ab->ij", y.flip(0), x.flip(0), _ends(_ends(rim, 0), 1))
    rest, y, x = rim - corners, y[:, 1:-1, None], x[:, None, 1:-1]
    rows, columns = _ends(rest, 0)[:, None, 1:-1], _ends(rest, 1)[1:-1].T[:, :, None]
    return corners[1:-1, 1:-1] + (rows / y + columns / x).sum(0) / (1 / y + 1 / x).sum(0)


def _from_ends(grid: Grid, axis: int) -> Float[Tensor, "ends n"]:
    """How far the nodes of an axis are from where it begins and where it ends, as shares of its length."""
    place = grid.whole_coordinates[axis]
    share = (place - place[0]) / (place[-1] - place[0])
    return torch.stack([share, 1 - share])


def _ends(field: Float[Tensor, "y x"], axis: int) -> Float[Tensor, "v u"]:
    """The first and the last of an axis."""
    return torch.stack([field.select(axis, 0), field.select(axis, -1)], axis)


def _required(equation: Equation, shape: tuple[int, ...]) -> Elliptic:
    """The equation, if a learned solver can solve it; else InputError."""
    who, direct = "the learned solver has learnt", "leave it to a direct solve, or to a model of sources"
    if not isinstance(equation, Elliptic) or not equation.constant or equation.c != 0:
        raise InputError(f"{who} ∇·(a∇φ) = ρ with one number a, found {_told(equation)}: {direct}")
    grid = equation.grid
    if grid.shape != shape:
        raise InputError(f"{who} sources of shape {shape}, found {grid.shape}")
    kinds = {kind for pair in grid.boundary.kinds for kind in pair}
    if kinds != {"dirichlet"}:
        other = ", ".join(sorted(kinds - {"dirichlet"}))
        raise InputError(f"{who} sides on which the solution is known (dirichlet), found {other}: {direct}")
    if len(set(grid.lengths or ())) > 1:
        raise InputError(f"{who} a square, found a domain of the lengths {grid.lengths}: {direct}")
    return equation


def _told(equation: Equation) -> str:
    """An equation in a few words."""
    if not isinstance(equation, Elliptic):
        return type(equation).__name__
    return f"c = {equation.c:g}" if equation.constant else "an a that varies"
