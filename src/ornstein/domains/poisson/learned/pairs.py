"""Pairs of a source and its solution, for the learned solver: made without end, or those of the user's files.

    x = φ/(std · rms(ρ)),      φ = A⁻¹ρ, ∇²φ = ρ on the unit square, φ = 0 on its border

Sources are divided by their root mean square, and solutions by that times a number; the spectrum of these in waves that
are 0 on the border is told as a power of k, v(k) ∝ (k² + k₀²)^(−p/2), fitted to the pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ....denoisers.base import Condition
from ....errors import InputError, RecordError
from ....files import MB
from ....keys import Keys
from ....spectral.shells import Shells
from ....spectral.transforms import Separable
from ....training.datasets import Dataset
from ....training.fields import FieldData, Layout, open_fields
from .. import sources
from ..data import HELD_OUT, Made
from ..equations import Boundary, Elliptic, Grid

MIXED = "mixed"
"""The data set of the learned solver: its sources are of all kinds in turn."""
_ROUGH = {"alpha": 0.6, "tau": 10.0}
"""Of the third kind of sources in the mixture, Gaussian ones with nearly as much of short waves as of long ones."""
_MEASURED = 1024  # pairs
_AGREES = 0.05
"""How far, relatively, a user's solution may be from that of the equation on the grid of the model."""


def equation(shape: tuple[int, ...]) -> Elliptic:
    """What the solver has learnt to solve: ∇²φ = ρ on the unit square, φ = 0 on its border.

    Args:
        shape: unknowns along each axis.
    """
    return Elliptic(Grid(tuple(shape), Boundary.of("dirichlet", len(shape))))


class Pairs(Made):
    """A Dataset of normalised solutions, given their sources of root mean square 1, that are made when asked for."""

    def batch(self, index: Int64[Tensor, " batch"]) -> tuple[Tensor, Condition]:
        """Solutions (batch, 1, *grid) float32, and "source", of the same shape."""
        source = drawn(self.name, index, self.part, self.shape)
        return _normalised(source, equation(self.shape).solution(source.double()), self.std)


def drawn(
    name: str, index: Int64[Tensor, " batch"], part: str, grid: tuple[int, ...]
) -> Float[Tensor, "batch 1 *grid"]:
    """Sources, (batch, 1, *grid), a function of their numbers.

    Args:
        name: of the law: one of `sources`, or MIXED: Gaussian, discs and rough Gaussian in turn.
        index: the numbers.
        part: of the data, none of which shares a source with another.
        grid: values along each axis.
    """
    if name != MIXED:
        return sources.draw(name, Keys.of(0, index.tolist()).fold(f"pairs: {part}"), grid)
    found = torch.empty(len(index), 1, *grid)
    for k, kind in enumerate(_KINDS):
        chosen = index % len(_KINDS) == k
        if bool(chosen.any()):
            found[chosen] = kind(Keys.of(0, index[chosen].tolist()).fold(f"pairs: {part}"), grid)
    return found


def _rough(keys: Keys, grid: tuple[int, ...]) -> Tensor:
    spectrum = sources.gaussian_spectrum((1, *grid), **_ROUGH)
    return spectrum.root(keys.fold("rough").normal(1, *grid)).float()


_KINDS = (partial(sources.draw, "gaussian"), partial(sources.draw, "discs"), _rough)
"""The kinds of sources of the mixture."""


def _normalised(source: Tensor, solution: Tensor, std: float) -> tuple[Tensor, Condition]:
    """Solutions over std · rms(source), and sources over their rms, float32."""
    size = rms(source)
    return (solution / (std * size)).float(), {"source": (source / size).float()}


def rms(source: Float[Tensor, "batch 1 *grid"]) -> Float[Tensor, "batch 1 *one"]:
    """The root mean square of each source, float64, (batch, 1, …, 1)."""
    return source.double().square().mean(list(range(1, source.ndim)), keepdim=True).sqrt()


def made(name: str, grid: tuple[int, ...], records: int) -> tuple[Pairs, Pairs]:
    """Pairs whose sources are made as they are asked for: to learn from, and held out.

    Args:
        name: of the law of the sources.
        grid: unknowns along each axis, of a plane.
        records: to learn from.
    """
    _require_plane(grid, "shape")
    told = _known(Pairs(name, grid, "measuring", _MEASURED), f"made by ornstein: sources {name!r} and their solutions")
    train = Pairs(name, grid, "training", records, std=told["std"], metadata={**told, "data": name})
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
    dims: dict[str, Sequence[str]] = dict.fromkeys(("source", "solution"), ("record", "y", "x"))
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
