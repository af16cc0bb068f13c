"""The learned solver: p(φ | ρ) of ∇²φ = ρ on the unit square, φ = 0 on its border, given the whole source.

    φ = lift + scale · x,      scale = std · rms(ρ') · L²/a,      ρ' = ρ − L_h lift

What is not learned. Each source is divided by its own root mean square and each solution by that times a number, so that
multiples are exact. Border values are those of a lift, whose L_h is taken off the source, so that they are exact, too;
nodes on the border are no part of the state. Side length and a constant a are in the scale.

What is in the preconditioning. The noise and `data_std` have a spectrum (k² + k₀²)^(−p/2) in waves that are 0 on the
border, fitted to the solutions of the training: how fast these fall with k, and that they are 0 on the border, is known
to the space and not learned. No solver and no eigenvalue of the equation is in it.

What is learned. From the source to the whitened solution, by a network that is linear in x_t and ρ (networks/linear.py),
as the solution of a linear equation is: E[φ | x_t, ρ] = A⁻¹ρ at every time. So what it has learnt holds for other sources
than those of the training about as well. The loss weighs a coefficient by 1/√spectrum, between the error of φ and that
of its whitened coefficients: the error of φ alone would leave the residual of fine waves as it is.

The posterior is a point mass: what samples differ by is the network's error. For a source that is known and constant
coefficients, a sine transform is exact and thousands of times as fast (`equations.Elliptic`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ...denoisers.base import Condition
from ...errors import InputError, RecordError
from ...files import MB
from ...guidance.maps import Residual
from ...keys import Keys
from ...networks.fields import Fields
from ...networks.linear import LinearUNet
from ...roots import Spectral, power_law
from ...shells import Shells
from ...spaces import Euclidean
from ...training.datasets import Dataset
from ...training.fields import FieldData, Layout, open_fields
from ...transforms import Separable
from . import sources
from .equations import Boundary, Elliptic, Equation, Grid

MIXED = "mixed"
"""The data set of the learned solver: its sources are of all kinds in turn."""
DEFAULTS: Mapping[str, Any] = {"steps": 5, "eta": 0.0, "order": 1, "grid": "uniform"}
"""Of samples of a learned solver, where the user says nothing."""
SHAPE, RECORDS, HELD_OUT = (64, 64), 1_000_000, 512
_ROUGH = {"alpha": 1.0, "tau": 10.0}
"""Of the third kind of sources in the mixture: Gaussian ones that are almost as rough as white noise in the plane."""
_MEASURED = 1024  # pairs
_WEIGHT = -0.5
"""The power of the spectrum by which the loss weighs a coefficient."""
_AGREES = 0.05
"""How far, relatively, a user's solution may be from that of the equation on the grid of the model."""


def equation(shape: tuple[int, ...]) -> Elliptic:
    """What the solver has learnt to solve: ∇²φ = ρ on the unit square, φ = 0 on its border.

    Args:
        shape: unknowns along each axis.
    """
    return Elliptic(Grid(tuple(shape), Boundary.of("dirichlet", len(shape))))


# Pairs to learn from ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Pairs:
    """A Dataset of normalised solutions, given their sources of root mean square 1.

    Attributes:
        sources: name of the law, as `drawn` knows it.
        grid: unknowns along each axis.
        part: "training", "validation" or "measuring"; no record of one is a record of another.
        count: records.
        std: that solutions of sources of root mean square 1 are divided by.
        metadata: of the data.
    """

    sources: str
    grid: tuple[int, ...]
    part: str
    count: int
    std: float = 1.0
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sizes(self) -> None:
        return None

    def __len__(self) -> int:
        return self.count

    def batch(self, index: Int64[Tensor, " batch"]) -> tuple[Tensor, Condition]:
        """Solutions (batch, 1, *grid) float32, and "source", of the same shape."""
        source = drawn(self.sources, index, self.part, self.grid)
        return _normalised(source, equation(self.grid).solution(source.double()), self.std)


def drawn(name: str, index: Int64[Tensor, " batch"], part: str, grid: tuple[int, ...]) -> Tensor:
    """Sources, (batch, 1, *grid), a function of their numbers.

    Args:
        name: of the law: one of `sources`, or MIXED: Gaussian, discs and rough Gaussian in turn.
        index: the numbers.
        part: of the data, none of which shares a source with another.
        grid: values along each axis.
    """
    if name != MIXED:
        return sources.draw(name, Keys.of(0, index.tolist()).fold(f"pairs: {part}"), grid)
    kinds = (_gaussian, _discs, _rough)
    found = torch.empty(len(index), 1, *grid)
    for k, kind in enumerate(kinds):
        chosen = index % len(kinds) == k
        if bool(chosen.any()):
            found[chosen] = kind(Keys.of(0, index[chosen].tolist()).fold(f"pairs: {part}"), grid)
    return found


def _gaussian(keys: Keys, grid: tuple[int, ...]) -> Tensor:
    return sources.draw("gaussian", keys, grid)


def _discs(keys: Keys, grid: tuple[int, ...]) -> Tensor:
    return sources.draw("discs", keys, grid)


def _rough(keys: Keys, grid: tuple[int, ...]) -> Tensor:
    spectrum = sources.gaussian_spectrum((1, *grid), **_ROUGH)
    return spectrum.root(keys.fold("rough").normal(1, *grid)).float()


def _normalised(source: Tensor, solution: Tensor, std: float) -> tuple[Tensor, Condition]:
    """Solutions over std · rms(source), and sources over their rms, float32."""
    size = rms(source)
    return (solution / (std * size)).float(), {"source": (source / size).float()}


def rms(source: Float[Tensor, "batch 1 *grid"]) -> Float[Tensor, "batch 1 *one"]:
    """The root mean square of each source, float64, (batch, 1, …, 1)."""
    return source.double().square().mean(list(range(1, source.ndim)), keepdim=True).sqrt()


def data(config: Any) -> tuple[Dataset, Dataset]:
    """Pairs to learn from, and others; InputError for settings that these data do not have."""
    if config.data in (MIXED, *sources.LAWS):
        return made(config.data, config.shape or SHAPE, config.records or RECORDS)
    for name in ("shape", "records"):
        if getattr(config, name):
            raise InputError(f"--{name} is for {', '.join((MIXED, *sources.LAWS))}; a file has its own")
    return opened(config.data, config.memory)


def made(name: str, grid: tuple[int, ...], records: int) -> tuple[Dataset, Dataset]:
    """Pairs whose sources are made as they are asked for: to learn from, and held out.

    Args:
        name: of the law of the sources.
        grid: unknowns along each axis, of a plane.
        records: to learn from.
    """
    _require_plane(grid, "shape")
    told = _known(Pairs(name, grid, "measuring", _MEASURED), f"made by ornstein: sources {name!r} and their solutions")
    train = Pairs(name, grid, "training", records, told["std"], {**told, "data": name})
    return train, replace(train, part="validation", count=HELD_OUT)


def _known(pairs: Dataset, source: str) -> dict[str, Any]:
    """What is measured of pairs at std 1, for the metadata."""
    count = min(len(pairs), _MEASURED)
    x, _ = pairs.batch(torch.arange(count) * len(pairs) // count)
    assert isinstance(x, Tensor)
    std = float(x.double().square().mean().sqrt())
    basis = Separable(("sine",) * (x.ndim - 2))
    power = Shells.of(basis.forward(x.double() / std).square().mean(0), basis).spectral.variance[0]
    told = {"learns": "solutions", "shape": list(x.shape[1:]), "mean": 0.0, "std": std}
    return {**told, "spectrum": decay(power, basis), "source": source}


def decay(power: Float[Tensor, "1 *grid"], basis: Separable) -> dict[str, float]:
    """The p and k₀ of (k² + k₀²)^(−p/2) that fits a spectrum: k₀ is its longest wave, p fitted evenly in log k.

    Args:
        power: the variance of each coefficient.
        basis: of the waves.
    """
    k = basis.frequencies(power.shape)
    least = float(k.min())
    weight = k ** -float(k.ndim - 1)
    x, y = (k**2 + least**2).log() / 2, power.log()
    x, y = x - (weight * x).sum() / weight.sum(), y - (weight * y).sum() / weight.sum()
    return {"exponent": -float((weight * x * y).sum() / (weight * x * x).sum()), "outer": least}


# The user's pairs -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Read:
    """A Dataset of normalised pairs of the user's files.

    Attributes:
        pairs: "solution" as state, and "source" as condition.
        std: that solutions of sources of root mean square 1 are divided by.
        told: of the data, for the metadata.
    """

    pairs: FieldData
    std: float = 1.0
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.told

    @property
    def sizes(self) -> None:
        return None

    def __len__(self) -> int:
        return len(self.pairs)

    def batch(self, index: Int64[Tensor, " batch"]) -> tuple[Tensor, Condition]:
        """Solutions (batch, 1, *grid) float32, and "source"; RecordError for a source that is 0 everywhere."""
        solution, known = self.pairs.batch(index)
        size = rms(known["source"]).flatten()
        if not bool((size > 0).all()):
            record = int(index[int((size == 0).nonzero()[0])])
            raise RecordError("variable 'source'", record, "is 0 everywhere, expected a source")
        return _normalised(known["source"], solution, self.std)


def opened(files: str, memory: float) -> tuple[Dataset, Dataset]:
    """Pairs of the user's: nine tenths to learn from and the rest held out, in order.

    Args:
        files: .nc, .h5, .zarr or .npz with the variables "source" and "solution", records first, then two axes of the
            grid: the unknowns of the unit square, without the nodes on its border; a pattern for several.
        memory: MB of records in memory.

    InputError, naming the record, for pairs that are no solutions of ∇²φ = ρ on the unit square, 0 on its border.
    """
    dims = dict.fromkeys(("source", "solution"), ("record", "y", "x"))
    layout = Layout(["solution"], conditions={"source": ["source"]}, records=["record"], grid=["y", "x"], dims=dims)
    parts = open_fields(files, layout, bound=int(memory * MB)).split(0.9, 0.1)
    train, held_out = (Read(part) for part in parts)
    _require_solutions(train, files)
    told = {**_known(train, files), "data": "file"}
    return replace(train, std=told["std"], told=told), replace(held_out, std=told["std"], told=told)


def _require_solutions(pairs: Read, files: str) -> None:
    """InputError unless the first pairs are solutions of what this model solves."""
    solution, known = pairs.batch(torch.arange(min(len(pairs), 16)))
    assert isinstance(solution, Tensor)
    exact = equation(tuple(solution.shape[2:])).solution(known["source"].double())
    off = (solution - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)
    wrong = (~(off <= _AGREES)).nonzero().flatten().tolist()
    if wrong:
        raise InputError(
            f"{files}: record {wrong[0]}: solution is {100 * float(off[wrong[0]]):.3g} % off that of ∇²φ = ρ on the "
            f"unit square, 0 on its border, expected at most {100 * _AGREES:g} %: unknowns only, without the border"
        )


def _require_plane(grid: tuple[int, ...], what: str) -> None:
    if len(grid) != 2:
        raise InputError(f"{what} is {tuple(grid)}, expected two axes: the learned solver is for a square")


# The model --------------------------------------------------------------------------------------------


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


def network(config: Any, metadata: Mapping[str, Any]) -> nn.Module:
    """Fresh; linear in the state and the source."""
    return LinearUNet(config.network, fields(metadata))


# What is asked ----------------------------------------------------------------------------------------


def conditions_of(
    equation: Equation, source: Float[Tensor, "*batch_grid"], metadata: Mapping[str, Any]
) -> dict[str, Tensor]:
    """What samples are given: "source" and "lift" (batch, 1, *grid), and "scale" (batch, 1), float32.

    Args:
        equation: of the user's: Poisson's on a square, whose sides all are Dirichlet sides, of any values.
        source: in the user's unit, (*grid) or (batch, 1, *grid).
        metadata: of the model.

    InputError for another equation, another kind of side, or another grid than the model's.
    """
    solved = _required(equation, tuple(metadata["shape"][1:]))
    solved.require_compatible(source)
    source = source.reshape(-1, 1, *solved.grid.shape).double()
    lift = lifted(solved.grid)
    rest = -solved.residual(source, lift.expand_as(source)) / float(solved.a)  # type: ignore[arg-type]
    size = rms(rest)
    there = size > 0
    scale = metadata["std"] * size * solved.grid.lengths[0] ** 2  # type: ignore[index]
    return {
        "source": (rest / torch.where(there, size, 1.0)).float(),
        "lift": lift.expand_as(source).float().contiguous(),
        "scale": torch.where(there, scale, _NOTHING).flatten(1).float(),
    }


_NOTHING = 1e-30
"""The scale where there is no source: the solution is the lift."""


def lifted(grid: Grid) -> Float[Tensor, "*grid"]:
    """A field with the values of a square's Dirichlet sides, where it is unknown, float64.

    The corners are joined bilinearly; what the sides have beyond that is blended by 1/distance.
    """
    rim, ends = grid.rim, (0, -1)
    at = [(place - o) / length for place, o, length in zip(grid.whole_coordinates, grid.origin, grid.lengths)]  # type: ignore[arg-type]
    weights = [(1 - place, place) for place in at]
    corners = torch.zeros_like(rim)
    for i, low in enumerate(ends):
        for j, left in enumerate(ends):
            corners += weights[0][i][:, None] * weights[1][j] * rim[low, left]
    rest, inside = rim - corners, (slice(1, -1),) * 2
    sides = [rest[end, 1:-1][None].expand(grid.shape) for end in ends]
    sides += [rest[1:-1, end][:, None].expand(grid.shape) for end in ends]
    near = [(1 / part[1:-1])[:, None].expand(grid.shape) for part in reversed(weights[0])]
    near += [(1 / part[1:-1])[None].expand(grid.shape) for part in reversed(weights[1])]
    blended = sum(side * weight for side, weight in zip(sides, near, strict=True)) / sum(near)
    return corners[inside] + blended


def _required(equation: Equation, shape: tuple[int, ...]) -> Elliptic:
    """The equation, if a learned solver can solve it; else InputError."""
    if not isinstance(equation, Elliptic) or equation.c != 0 or not equation.constant:
        found = (
            f"{type(equation).__name__}(c = {equation.c:g})"
            if isinstance(equation, Elliptic)
            else type(equation).__name__
        )
        raise InputError(f"the learned solver has learnt ∇·(a∇φ) = ρ with one number a, found {found}")
    grid = equation.grid
    if grid.shape != shape:
        raise InputError(f"the learned solver has learnt sources of shape {shape}, found {grid.shape}")
    if any(kind != "dirichlet" for pair in grid.boundary.kinds for kind in pair):
        raise InputError(
            f"the learned solver has learnt Dirichlet sides, found {grid.boundary.kinds}: a direct solve knows others"
        )
    lengths = grid.lengths or ()
    if prod(lengths) != lengths[0] ** len(lengths):
        raise InputError(f"the learned solver has learnt a square, found a domain of the lengths {lengths}")
    return equation
