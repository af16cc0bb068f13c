"""What is known on the sides of a rectangle: values, fluxes, or that opposite sides are one.

    dirichlet   φ = g                  in the unit of φ
    neumann     a ∂φ/∂n = g            the flux outwards, in the unit of a φ / length
    periodic    φ and its slope go on at the opposite side

Sides are called left and right (along x, the last axis of an array), bottom and top (y, the one before), front and back
(z).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ....config import suggestion
from ....errors import InputError
from ....training.fields.stores import NumpyStore, opened
from ....values import Numbers, as_places, number_written

KINDS = ("dirichlet", "neumann", "periodic")
AXES = "xyz"
"""What coordinates are called; x is along the last axis of an array, y along the one before."""
NAMES = (("left", "right"), ("bottom", "top"), ("front", "back"))
"""Of the sides where an axis begins and ends: of the last axis of an array, the one before, and the one before that."""
_MOST = 10**7
"""Values along a side of a file."""


@dataclass(frozen=True, eq=False)
class Side:
    """One side of the domain.

    Attributes:
        kind: "dirichlet", "neumann" or "periodic".
        value: of φ, or of the flux outwards: a number, or one for each unknown along the side, of the shape of the
            other axes. A periodic side has none.
    """

    kind: str
    value: Numbers = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"boundary: {self.kind!r} is no kind of side{suggestion(str(self.kind), list(KINDS))}")
        value = as_places(self.value, f"boundary: the value of a {self.kind} side")
        object.__setattr__(self, "value", value)
        if self.kind == "periodic" and bool((value != 0).any()):
            raise InputError("boundary: a periodic side has a value, but takes none")

    def __repr__(self) -> str:
        value = f"{self.value.item():g}" if self.value.ndim == 0 else f"values of shape {tuple(self.value.shape)}"
        return f"Side({self.kind!r}" + (")" if self.kind == "periodic" else f", {value})")


@dataclass(frozen=True, eq=False)
class Boundary:
    """All sides.

    Attributes:
        sides: where each axis of the array begins and ends, (low, high) an axis.
    """

    sides: tuple[tuple[Side, Side], ...]

    def __post_init__(self) -> None:
        for axis, pair in enumerate(self.sides):
            if len(pair) != 2 or not all(isinstance(side, Side) for side in pair):
                raise InputError(f"boundary: axis {axis} has {pair!r:.80}, expected two sides, (Side, Side)")
            names, kinds = names_of(axis, len(self.sides)), [side.kind for side in pair]
            if kinds.count("periodic") == 1:
                raise InputError(
                    f"boundary: the {names[0]} side is {kinds[0]} and the {names[1]} side {kinds[1]}, "
                    "expected both to be periodic, or neither"
                )

    @classmethod
    def of(cls, what: "str | Side | Mapping[str, Side | str]", ndim: int) -> Self:
        """The same on all sides, or side by side.

        Args:
            what: a kind or a Side for all, or name → Side (or kind) of each side, "left", "right", "bottom", "top",
                "front" and "back" as there are axes.
            ndim: axes of the domain, 1 to 3.

        InputError for a name that is no side, and for a side that is not said.
        """
        _require_axes(ndim)
        if isinstance(what, str | Side):
            side = _side(what)
            return cls(((side, side),) * ndim)
        if not isinstance(what, Mapping):
            raise InputError(
                f"boundary: a {type(what).__name__}, expected a kind, a Side, or one of these for each side"
            )
        known = [name for axis in range(ndim) for name in names_of(axis, ndim)]
        for name in what:
            if name not in known:
                raise InputError(
                    f"boundary: a domain of {ndim} axes has no side {name!r}{suggestion(str(name), known)}"
                )
        missing = [name for name in known if name not in what]
        if missing:
            raise InputError(f"boundary: of the side {missing[0]} nothing is said, expected all of {', '.join(known)}")
        return cls(
            tuple((_side(what[low]), _side(what[high])) for low, high in (names_of(k, ndim) for k in range(ndim)))
        )

    @classmethod
    def parse(cls, text: str, ndim: int) -> Self:
        """What a command says, such as "dirichlet", "neumann:0" or "left=dirichlet:1.5,right=flux.npy" side by side.

        Args:
            text: KIND or KIND:VALUE for all sides, or SIDE=KIND:VALUE for each, with commas between. VALUE is a number
                or the path of an .npy file of values along the side.
            ndim: axes of the domain, 1 to 3.
        """
        _require_axes(ndim)
        if not isinstance(text, str):
            raise InputError(f"boundary: a {type(text).__name__}, expected text such as 'dirichlet:1.5'")
        parts = [part.strip() for part in text.split(",")]
        if len(parts) == 1 and "=" not in parts[0]:
            return cls.of(_parsed(parts[0], text), ndim)
        said: dict[str, Side | str] = {}
        for part in parts:
            name, equals, what = part.partition("=")
            if not equals:
                raise InputError(f"boundary {text!r}: {part!r} names no side, expected SIDE=KIND:VALUE")
            name = name.strip()
            if name in said:
                raise InputError(f"boundary {text!r}: the side {name} is said twice")
            said[name] = _parsed(what, text)
        return cls.of(said, ndim)

    @property
    def kinds(self) -> tuple[tuple[str, str], ...]:
        """Of each pair of sides."""
        return tuple((low.kind, high.kind) for low, high in self.sides)


def axes_of(ndim: int) -> tuple[str, ...]:
    """What the axes of an array are called, ("y", "x") of a plane."""
    return tuple(AXES[:ndim][::-1])


def names_of(axis: int, ndim: int) -> tuple[str, str]:
    """What the sides are called where an axis of an array begins and ends."""
    return NAMES[ndim - 1 - axis]


def along(side: Side, axis: int, others: Sequence[int], name: str) -> Tensor:
    """The values of a side as they are added to a field, float64, of size 1 along the axis.

    InputError if they do not fit.

    Args:
        axis: of the array, at whose end the side is.
        others: the unknowns along each of the other axes.
        name: of the side, for the error.
    """
    value = side.value
    if value.ndim == 0 or (not others and value.numel() == 1):
        return value.reshape([1] * (len(others) + 1))
    if tuple(value.shape) != tuple(others):
        expected = f"a number or {tuple(others)}, one for each unknown along it" if others else "one number"
        raise InputError(f"boundary: the {name} side has values of shape {tuple(value.shape)}, expected {expected}")
    return value.unsqueeze(axis)


def _side(what: Any) -> Side:
    if isinstance(what, str):
        return Side(what)
    if not isinstance(what, Side):
        raise InputError(f"boundary: a side is a {type(what).__name__}, expected a Side or one of {', '.join(KINDS)}")
    return what


def _parsed(text: str, where: str) -> Side:
    """KIND or KIND:VALUE."""
    kind, colon, value = (part.strip() for part in text.partition(":"))
    if not colon:
        return Side(kind)
    if value.lower().endswith(".npy"):
        return Side(kind, _values(Path(value)))
    number = number_written(value)
    if not isfinite(number):
        raise InputError(f"boundary {where!r}: {value!r} is no value, expected a finite number or a path *.npy")
    return Side(kind, number)


def _values(path: Path) -> Tensor:
    """Numbers of an .npy file, whose type and size are checked before it is read."""
    store = opened(path)
    if not isinstance(store, NumpyStore) or len(store.names()) != 1:
        raise InputError(f"{path}: expected an .npy file of values along a side")
    name = store.names()[0]
    stored = store.array(name)
    if stored.dtype.kind not in "fiu":
        raise InputError(f"{path}: holds {stored.dtype}, expected real numbers")
    if prod(stored.shape) > _MOST:
        raise InputError(f"{path}: has the shape {stored.shape}, expected values along a side, at most {_MOST:,}")
    return torch.from_numpy(np.asarray(stored[()], dtype=np.float64))


def _require_axes(ndim: int) -> None:
    if not isinstance(ndim, int) or not 1 <= ndim <= len(NAMES):
        raise InputError(f"boundary: of a domain of {ndim} axes, expected 1 to {len(NAMES)}")
