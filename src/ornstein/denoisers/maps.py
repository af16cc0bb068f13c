"""From what a model believes in to what its user knows: a map leads from the model's states x to the physical field.

    affine          field = base + M x       standardised, whitened, a residual, a lifted boundary
    elementwise     field = φ(x)             what is positive, what is bounded

Densities change by the Jacobian, log p(field) = log p(x) − log |det ∂field/∂x|. What a map is made of may differ from
sample to sample: it then names a condition, and `bound` puts in its place what the samples at hand are given. The maps
themselves are in guidance/maps.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from hashlib import sha256
from typing import Any, Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..config import suggestion
from ..errors import InputError
from ..spaces import Centered, Euclidean


@dataclass(frozen=True, eq=False)
class Each:
    """What a condition gives to each sample.

    Attributes:
        name: of the condition.
        values: (batch, ...).
    """

    name: str
    values: Float[Tensor, "batch ..."]


Placed = tuple[Float[Tensor, "..."], Float[Tensor, "..."], Bool[Tensor, "..."]]


@dataclass(frozen=True, eq=False)
class Map(ABC):
    """A one-to-one map from a model's states to physical fields, sample by sample.

    Attributes of a map that are strings name conditions.
    """

    @property
    def affine(self) -> bool:
        """Whether it is base + M x."""
        return False

    @property
    def operator(self) -> Any:
        """M, an operator of guidance/operators; InputError for a map that is not affine."""
        raise InputError(f"{self.name} is not affine, and so has no operator")

    @abstractmethod
    def __call__(self, x: Any) -> Any:
        """The physical fields of states x, (batch, ...)."""

    @abstractmethod
    def inverse(self, field: Any) -> Any:
        """The states of physical fields, (batch, ...); InputError for a field that no state leads to."""

    @abstractmethod
    def log_det(self, x: Any, reach: Any = None) -> Float[Tensor, " batch"]:
        """log |det ∂field/∂x| at states x, nats, float64; of more numbers than x has it is ½ log det of JᵀJ.

        Args:
            x: states, (batch, ...).
            reach: of one state, true for the elements that vary; None = all.
        """

    def reached(self, reach: Any = None) -> Any:
        """Which elements of the field vary with those of x under `reach`; None = all."""
        return reach

    @property
    def name(self) -> str:
        """Of its kind, for errors and manifests."""
        return type(self).__name__

    @property
    def provenance(self) -> Mapping[str, Any]:
        """The map for a manifest, in JSON values."""
        return {"map": self.name, **{one.name: _recorded(getattr(self, one.name)) for one in fields(self)}}

    @property
    def names(self) -> frozenset[str]:
        """The conditions that it is made of."""
        values = [getattr(self, one.name) for one in fields(self)]
        own = frozenset(value for value in values if isinstance(value, str))
        return own.union(*(value.names for value in values if isinstance(value, Map)))

    @property
    def batch(self) -> int:
        """Of how many samples it is, once bound; 1 = it is the same for all."""
        values = [getattr(self, one.name) for one in fields(self)]
        return max([1, *(_batch(value) for value in values)])

    def bound(self, condition: Mapping[str, Tensor] | None) -> Self:
        """The map of the samples that are given this, in which nothing is a name any more.

        Args:
            condition: what each sample is given, name → (batch, ...).

        InputError names a condition that is missing, not finite, or out of the map's range.
        """
        changed: dict[str, Any] = {}
        for one in fields(self) if self.names else ():
            value = getattr(self, one.name)
            if isinstance(value, str):
                changed[one.name] = self._given(one.name, value, condition or {})
            elif isinstance(value, Map):
                changed[one.name] = value.bound(condition)
        return replace(self, **changed) if changed else self

    def placed(
        self, value: Float[Tensor, "..."], std: Float[Tensor, "..."], where: Bool[Tensor, "..."]
    ) -> "Placed | None":
        """What elements of the field that are known say of single elements of x; None where they say it of sums.

        Args:
            value: of the field, (1 or batch, ...); read only where `where` holds.
            std: with what width each is known, in the unit of the field, of the shape of `value`.
            where: of one field, true for the elements that are known.

        The same of x: values, widths and places. InputError where no state has a field of these values.
        """
        return None

    def field_space(self, space: Any) -> Any:
        """The space of the fields of states of this space."""
        return space

    def require_fit(self, space: Any) -> None:
        """InputError unless it is of the states of this space."""
        if not isinstance(space, Euclidean) or isinstance(space, Centered):
            raise InputError(f"{self.name}: maps are of continuous fields (Euclidean), not of {type(space).__name__}")
        if not self.names:  # the others are tried on what the samples are given
            self(torch.zeros(1, *space.shape))

    def same(self, other: "Map | None") -> bool:
        """Whether both are one map."""
        return _alike(self, other)

    def __matmul__(self, inner: "Map") -> "Composed":
        """x ↦ self(inner(x))."""
        return Composed(self, inner)

    def _given(self, what: str, name: str, condition: Mapping[str, Any]) -> Each:
        """What a condition gives, of which `what` is made."""
        if name not in condition:
            near = suggestion(name, list(condition))
            raise InputError(f"{self.name}: {what} is the condition {name!r}, which the samples are not given{near}")
        return Each(name, condition[name])


@dataclass(frozen=True, eq=False)
class Composed(Map):
    """outer(inner(x)): the model's states go through the inner one first. Also written outer @ inner.

    Attributes:
        outer: from what the inner one gives to the physical field.
        inner: of the model's states.
    """

    outer: Map
    inner: Map

    def __post_init__(self) -> None:
        for one in (self.outer, self.inner):
            if not isinstance(one, Map):
                raise InputError(f"maps compose with maps, found a {type(one).__name__}")

    @property
    def affine(self) -> bool:
        return self.outer.affine and self.inner.affine

    @property
    def operator(self) -> Any:
        return self.outer.operator @ self.inner.operator

    def __call__(self, x: Any) -> Any:
        return self.outer(self.inner(x))

    def inverse(self, field: Any) -> Any:
        return self.inner.inverse(self.outer.inverse(field))

    def log_det(self, x: Any, reach: Any = None) -> Float[Tensor, " batch"]:
        return _log_det(self.inner, x, reach) + _log_det(self.outer, self.inner(x), self.inner.reached(reach))

    def reached(self, reach: Any = None) -> Any:
        return self.outer.reached(self.inner.reached(reach))

    def field_space(self, space: Any) -> Any:
        return self.outer.field_space(self.inner.field_space(space))

    def placed(self, value: Tensor, std: Tensor, where: Tensor) -> Placed | None:
        between = self.outer.placed(value, std, where)
        return None if between is None else self.inner.placed(*between)


def _log_det(map: Map, x: Any, reach: Any) -> Float[Tensor, " batch"]:
    return map.log_det(x) if reach is None else map.log_det(x, reach)


def _recorded(value: Any) -> Any:
    """An attribute of a map for a manifest: numbers as they are, fields by their shape, conditions by their name."""
    if isinstance(value, Map):
        return dict(value.provenance)
    if isinstance(value, Mapping):
        return {name: _recorded(one) for name, one in value.items()}
    if isinstance(value, Tensor):
        return value.tolist() if value.numel() <= 16 else _described(value)
    if isinstance(value, Each):
        return value.name
    if is_dataclass(value):  # such as a spectrum
        return {
            "kind": type(value).__name__,
            **{one.name: _recorded(getattr(value, one.name)) for one in fields(value)},
        }
    return list(value) if isinstance(value, tuple) else value


def _batch(value: Any) -> int:
    if isinstance(value, Mapping):
        return max([1, *(_batch(one) for one in value.values())])
    if isinstance(value, Map):
        return value.batch
    return len(value.values) if isinstance(value, Each) else 1


def _described(value: Tensor) -> str:
    """A field by its shape and a digest of its numbers, by which it is recognised."""
    digest = sha256(value.detach().cpu().double().numpy().tobytes()).hexdigest()
    return f"tensor of shape {tuple(value.shape)}, sha256 {digest[:16]}"


def _alike(a: Any, b: Any) -> bool:
    """Whether two attributes of maps hold the same, down to the numbers."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        return a.shape == b.shape and torch.equal(a.double(), b.double().to(a.device))
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(_alike(a[name], b[name]) for name in a)
    if is_dataclass(a):
        return all(_alike(getattr(a, one.name), getattr(b, one.name)) for one in fields(a))
    return bool(a == b)
