"""Maps of whole fields, whitened and lifted, and of the parts of a product."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...covariances import Rooted
from ...denoisers.maps import Map, Placed
from ...errors import InputError
from ...spaces import Euclidean, Product
from ...spectral.roots import Spectral
from ...states import batch_size
from ...values import Flags, as_mask
from ..operators import Operator
from .attributes import Field, Linear, checked, lined, require_tensor


@dataclass(frozen=True, eq=False)
class Whitened(Map):
    """field = mean + L x with C = L Lᵀ: a model of white states of a field whose covariance is about C.

    Attributes:
        cov: C, in squared units of the field, the same for all samples: Spectral.of(variance, basis).
        mean: in the unit of the field.
    """

    cov: Rooted | Any
    mean: Field = 0.0

    def __post_init__(self) -> None:
        checked(self, "mean")
        if not isinstance(self.cov, Rooted):
            raise InputError(
                f"Whitened: cov is a {type(self.cov).__name__}, expected a covariance that has a root: Spectral.of(...)"
            )
        if isinstance(self.cov, Spectral):
            self.cov.require_positive("Whitened: cov")
        if self.cov.batch != 1:
            raise InputError(f"Whitened: cov is of {self.cov.batch} samples, expected one covariance for all")

    @property
    def affine(self) -> bool:
        return True

    def reached(self, reach: Any = None) -> None:
        """All of it: each element of x is in all of the field."""

    @property
    def base(self) -> Any:
        """The field of x = 0."""
        return self.mean

    @property
    def operator(self) -> Operator:
        return Linear(self.cov.root, self.cov.root_transposed, (self.cov,))

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        return lined(self, "mean", require_tensor(self, x)) + self.cov.root(x)

    def inverse(self, field: Any) -> Float[Tensor, "batch ..."]:
        return self.cov.whiten(require_tensor(self, field) - lined(self, "mean", field))

    def log_det(self, x: Float[Tensor, "batch ..."], reach: Any = None) -> Float[Tensor, " batch"]:
        if reach is not None and not bool(reach.all()):
            raise InputError("Whitened: the Jacobian of a field of which only some elements vary is not known")
        return (self.cov.log_det.double() / 2).to(x.device).expand(len(x))


@dataclass(frozen=True, eq=False)
class Lifted(Map):
    """field = lift + E x: unknowns in the interior, E puts them in place, and a lift that carries the boundary values.

    Attributes:
        interior: of one field, true where the unknowns are, in the order of the field's elements.
        lift: a field that has the boundary values, whatever it is inside; a tensor, or the name of the condition that
            each sample's is, in the unit of the field.
        shape: of one state; (unknowns,) if not given.
    """

    interior: Flags
    lift: Field = 0.0
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "interior", as_mask(self.interior, "Lifted: interior"))
        unknowns = int(self.interior.sum())
        if not unknowns:
            raise InputError("Lifted: interior holds nowhere, expected at least one unknown")
        object.__setattr__(self, "shape", (unknowns,) if self.shape is None else tuple(self.shape))
        if prod(self._shape) != unknowns:
            raise InputError(f"Lifted: shape is {self._shape}, but the interior has {unknowns} unknowns")
        checked(self, "lift")

    @property
    def affine(self) -> bool:
        return True

    @property
    def base(self) -> Any:
        """The field of x = 0."""
        return self.lift

    @property
    def operator(self) -> Operator:
        return Linear(self._embedded, self._picked, (self.interior, self.shape))

    def __call__(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        embedded = self._embedded(require_tensor(self, x))
        return lined(self, "lift", embedded) + embedded

    def inverse(self, field: Any) -> Float[Tensor, "batch ..."]:
        off = self._off(require_tensor(self, field))
        self._require_boundary(off, field, ~self.interior.to(field.device))
        return self._picked(off)

    def reached(self, reach: Any = None) -> Bool[Tensor, "..."]:
        varies = torch.zeros_like(self.interior)
        varies[self.interior] = True if reach is None else reach.flatten().to(self.interior.device)
        return varies

    def log_det(self, x: Float[Tensor, "batch ..."], reach: Any = None) -> Float[Tensor, " batch"]:
        """0: the density of a lifted field is that of its unknowns."""
        return torch.zeros(len(x), dtype=torch.float64, device=x.device)

    def field_space(self, space: Any) -> Euclidean:
        return Euclidean(tuple(self.interior.shape))

    def placed(self, value: Tensor, std: Tensor, where: Tensor) -> Placed:
        off, interior = self._off(torch.where(where, value, 0.0)), self.interior.to(where.device)
        self._require_boundary(off, value, where & ~interior)
        return self._picked(off), self._picked(std), where[interior].reshape(self._shape)

    @property
    def _shape(self) -> tuple[int, ...]:
        assert self.shape is not None
        return self.shape

    def _embedded(self, x: Tensor) -> Tensor:
        """E x."""
        if tuple(x.shape[1:]) != self._shape:
            raise InputError(f"Lifted: is of states of shape {self._shape}, found {tuple(x.shape[1:])}")
        field = x.new_zeros(len(x), *self.interior.shape)
        field[:, self.interior.to(x.device)] = x.flatten(1)
        return field

    def _picked(self, field: Tensor) -> Tensor:
        """Eᵀ field."""
        return field[:, self.interior.to(field.device)].reshape(len(field), *self._shape)

    def _off(self, field: Tensor) -> Tensor:
        """The field without the lift."""
        if field.shape[1:] != self.interior.shape:
            raise InputError(
                f"Lifted: is of fields of shape {tuple(self.interior.shape)}, found {tuple(field.shape[1:])}"
            )
        return field - lined(self, "lift", field)

    def _require_boundary(self, off: Tensor, field: Tensor, where: Tensor) -> None:
        """InputError where a field has other values on the boundary than the lift."""
        most = 1e-4 * float(field.abs().max()) + 1e-12
        wrong = (where & (off.abs() > most)).nonzero()
        if len(wrong):
            place = tuple(wrong[0].tolist())
            found = field.broadcast_to(off.shape)[place].item()
            raise InputError(
                f"Lifted: element {place} of the field lies on the boundary and is {found:g}, expected what the lift "
                f"has there, {found - off[place].item():g}"
            )


@dataclass(frozen=True, eq=False)
class Parts(Map):
    """A map for some parts of a product space; the others are what their users know already.

    Attributes:
        maps: name of the part → its map.
    """

    maps: Mapping[str, Map]

    def __post_init__(self) -> None:
        if not isinstance(self.maps, Mapping) or not all(isinstance(one, Map) for one in self.maps.values()):
            raise InputError(f"Parts: maps are {self.maps!r}, expected a dictionary, name of a part → map")

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {"map": self.name, "parts": {name: dict(one.provenance) for name, one in self.maps.items()}}

    @property
    def names(self) -> frozenset[str]:
        return frozenset[str]().union(*(one.names for one in self.maps.values()))

    def bound(self, condition: Mapping[str, Tensor] | None) -> "Parts":
        return Parts({name: one.bound(condition) for name, one in self.maps.items()}) if self.names else self

    def part(self, name: str) -> Map | None:
        """The map of one part; None where that stays as it is."""
        return self.maps.get(name)

    def __call__(self, x: Mapping[str, Any]) -> dict[str, Any]:
        return {**x, **{name: one(x[name]) for name, one in self.maps.items()}}

    def inverse(self, field: Mapping[str, Any]) -> dict[str, Any]:
        return {**field, **{name: one.inverse(field[name]) for name, one in self.maps.items()}}

    def log_det(self, x: Mapping[str, Any], reach: Any = None) -> Float[Tensor, " batch"]:
        total = torch.zeros(batch_size(x), dtype=torch.float64)
        for name, one in self.maps.items():
            total = total.to(x[name].device) + one.log_det(x[name])
        return total

    def field_space(self, space: Any) -> Any:
        return replace(space, parts={name: self._field_space(name, part) for name, part in space.parts.items()})

    def _field_space(self, name: str, space: Any) -> Any:
        return self.maps[name].field_space(space) if name in self.maps else space

    def require_fit(self, space: Any) -> None:
        if not isinstance(space, Product):
            raise InputError(f"Parts: maps the parts of a product, not {type(space).__name__}")
        for name, one in self.maps.items():
            if name not in space.parts:
                raise InputError(f"Parts: the model has no part {name!r}, only {', '.join(space.parts)}")
            one.require_fit(space.parts[name])
