"""Problems in words and arrays: what a request says of an equation, what a manifest keeps of it, and back.

Words are JSON values, in the order of an array's axes; a number that is a whole field instead is null there, and an
array of its own beside them, whose digest is among the words. Together they make the problem anew, without the files
that were asked with; and what was begun with other files is not gone on with.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ....errors import InputError
from ....files import Within, require
from ..equations import Boundary, Darcy, Elliptic, Equation, Grid, Heat, Problem, Side
from ..equations.boundaries import KINDS, names_of

Kind = Literal["poisson", "screened", "helmholtz", "heat", "darcy"]
EQUATIONS: tuple[str, ...] = get_args(Kind)
_LENGTH = Within(float, 1e-300, 1e300)
SCHEMA: Mapping[str, Any] = {
    "equation": EQUATIONS,
    "shape": [Within(int, 1, 10**6)],
    "sides": [[{"kind": KINDS, "value?": float}]],
    "lengths": [_LENGTH],
    "origin": [float],
    "coefficient?": float,
    "c": float,
    "time?": _LENGTH,
    "mean": float,
    "scale": _LENGTH,
    "arrays": {str: str},
}
"""Of the words, as they stand in a manifest."""

SHARED = re.compile(r"boundary_(left|right|bottom|top|front|back)|coefficient|given_source|true_\w+|\w+_sensors")
"""Names of arrays that stand beside samples, the same for all."""

Arrays = Mapping[str, Tensor]
Words = Mapping[str, Any]


def digest(array: Tensor) -> str:
    """Of an array's shape and its numbers in double precision."""
    numbers = array.detach().cpu().double().contiguous().numpy()
    return sha256(repr(numbers.shape).encode() + numbers.tobytes()).hexdigest()[:16]


def boundary_name(side: str) -> str:
    """Of the array that holds the values of a side."""
    return f"boundary_{side}"


def words_of(problem: Problem, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The words of a problem, and the arrays beside them.

    Args:
        problem: any.
        kind: of its equation, one of `EQUATIONS`.
    """
    equation, grid = problem.equation, problem.equation.grid
    sides, arrays = [], {}
    for axis, pair in enumerate(grid.boundary.sides):
        names = names_of(axis, grid.ndim)
        arrays |= {boundary_name(name): side.value for name, side in zip(names, pair, strict=True) if side.value.ndim}
        sides.append([{"kind": side.kind, "value": None if side.value.ndim else side.value.item()} for side in pair])
    words = {
        "equation": kind,
        "shape": list(grid.shape),
        "sides": sides,
        "lengths": list(grid.lengths or ()),
        "origin": list(grid.origin or ()),
        "coefficient": None,
        "c": 0.0,
        "time": None,
        "mean": float(problem.mean),
        "scale": float(problem.scale),
    }
    own, beside = _of_equation(equation)
    arrays |= beside
    return {**words, **own, "arrays": {name: digest(array) for name, array in arrays.items()}}, arrays


def _of_equation(equation: Equation) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if isinstance(equation, Elliptic):
        a = equation.a
        return {"coefficient": None if isinstance(a, Tensor) else float(a), "c": float(equation.c)}, (
            {"coefficient": a} if isinstance(a, Tensor) else {}
        )
    if isinstance(equation, Heat):
        return {"coefficient": float(equation.diffusivity), "time": float(equation.time)}, {}
    if isinstance(equation, Darcy):
        return {}, {"given_source": torch.as_tensor(equation.source).double().expand(equation.grid.shape).clone()}
    raise InputError(f"{type(equation).__name__}: no equation that is known by name")


def problem_of(words: Words, arrays: Arrays, where: object = "problem") -> Problem:
    """What `words_of` was made of; InputError if the words are of nothing of the kind, or an array is missing.

    Args:
        words: JSON values.
        arrays: beside them.
        where: the words stand, for the error.
    """
    require(words, SCHEMA, where)
    for name, known in words["arrays"].items():
        if name not in arrays:
            raise InputError(f"{where}: has no array {name!r}, which it is said to be of")
        if digest(arrays[name]) != known:
            raise InputError(f"{where}: array {name!r} is another one than that which it is said to be of")
    ndim = len(words["shape"])
    if not 1 <= ndim <= 3 or any(len(words[name]) != ndim for name in ("sides", "lengths", "origin")):
        raise InputError(f"{where}: of {ndim} axes, expected 1 to 3 and as many sides, lengths and origins")
    if any(len(pair) != 2 for pair in words["sides"]):
        raise InputError(f"{where}: field sides, expected two sides an axis")
    sides = tuple(
        tuple(
            Side(side["kind"], _number_or(side.get("value"), boundary_name(name), arrays, where))
            for name, side in zip(names_of(axis, ndim), pair, strict=True)
        )
        for axis, pair in enumerate(words["sides"])
    )
    grid = Grid(tuple(words["shape"]), Boundary(sides), words["lengths"], words["origin"])  # pyright: ignore[reportArgumentType]
    return Problem(_equation(words, arrays, grid, where), words["mean"], words["scale"])


def _equation(words: Words, arrays: Arrays, grid: Grid, where: object) -> Equation:
    kind = words["equation"]
    if kind == "darcy":
        return Darcy(grid, _number_or(None, "given_source", arrays, where))
    a = _number_or(words.get("coefficient"), "coefficient", arrays, where)
    if kind != "heat":
        return Elliptic(grid, a, words["c"])
    if words.get("time") is None or isinstance(a, Tensor):
        raise InputError(f"{where}: heat needs a time and one diffusivity")
    return Heat(grid, a, words["time"])


def _number_or(value: float | None, name: str, arrays: Arrays, where: object) -> Any:
    """The number, or the array of that name."""
    if value is not None:
        return value
    if name not in arrays:
        raise InputError(f"{where}: has no array {name!r}, which it is said to be of")
    return arrays[name]
