"""Where the numbers of a field stand: a grid of one to three axes, or stations.

Names and attributes are the file's own. What a coordinate is (latitude, longitude, altitude) is told by its CF name,
its units or one of the usual names. A longitude that goes round the globe is found by its spacing; any other axis goes
round if its coordinate says so, `attrs = {"periodic": 1}`: the point after the last one is then the first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

from ....errors import InputError
from ....files import ANY, Within, plain, require
from .packing import packed, unpacked

if TYPE_CHECKING:
    import xarray

ROLES: Mapping[str, tuple[str, ...]] = {
    "latitude": ("latitude", "lat", "nav_lat", "xlat", "degrees_north", "degree_north"),
    "longitude": ("longitude", "lon", "long", "lng", "nav_lon", "xlong", "degrees_east", "degree_east"),
    "altitude": ("altitude", "elevation", "alt", "height", "surface_altitude", "elev"),
}
"""What a coordinate is: names, standard names and units that say so, in lower case."""
_SHORT = 4096  # numbers that a record holds as they are
_LARGEST = 2**31  # bytes of a coordinate
_CLOSE = 1e-3  # of a cell: coordinates of two files that are one


@dataclass(frozen=True, eq=False)
class Grid:
    """A grid, or stations.

    Attributes:
        kind: of the two.
        dims: names of the axes, such as ("latitude", "longitude"), ("y", "x") or ("station",).
        shape: points along each.
        coords: by name: along one axis, or over several, such as latitudes of a curvilinear grid or of stations;
            numbers in the units of `attrs`, ids of stations as text.
        attrs: of each coordinate, such as units.
        periodic: which axes go round.
        over: axes of each coordinate; found by their lengths where it is not said.
    """

    kind: Literal["grid", "stations"]
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    coords: Mapping[str, np.ndarray] = field(default_factory=dict)
    attrs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    periodic: tuple[bool, ...] = ()
    over: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        over = {name: self.over.get(name) or self._along(name, np.shape(value)) for name, value in self.coords.items()}
        object.__setattr__(self, "over", over)
        object.__setattr__(self, "periodic", self.periodic or tuple(self._goes_round(dim) for dim in self.dims))

    @classmethod
    def of(cls, data: "xarray.Dataset | xarray.DataArray", dims: Sequence[str]) -> "Grid":
        """The grid of what a file holds.

        Args:
            data: of the file.
            dims: its axes of the grid.
        """
        found = {
            str(name): value
            for name, value in data.coords.items()
            if value.dims and set(value.dims) <= set(dims) and value.dtype.kind in "fiuUSOT"
        }
        coords = {name: _values(value.values) for name, value in found.items()}
        attrs = {name: dict(value.attrs) for name, value in found.items()}
        over = {name: tuple(map(str, value.dims)) for name, value in found.items()}
        shape = tuple(int(data.sizes[dim]) for dim in dims)
        kind = "stations" if _is_stations(dims, coords, over) else "grid"
        return cls(kind, tuple(dims), shape, coords, attrs, (), over)

    @cached_property
    def weights(self) -> Float[np.ndarray, "*grid"]:
        """The share of each point in a mean over the area: cos latitude of a grid of mean 1; 1 of stations."""
        latitude = self.place("latitude") if self.kind == "grid" else None
        if latitude is None:
            return np.ones(self.shape)
        weights = np.cos(np.deg2rad(np.clip(latitude, -90, 90))).clip(min=0)
        return weights / weights.mean()

    def named(self, role: str) -> str | None:
        """The name of the coordinate that is the "latitude", "longitude" or "altitude"; None if there is none."""
        found = [name for name in self.coords if role_of(name, self.attrs.get(name, {})) == role]
        exact = [name for name in found if name.lower() == role]
        return (exact or found or [None])[0]

    def place(self, role: str) -> Float[np.ndarray, "*grid"] | None:
        """Latitude, longitude (degrees) or altitude (as the file has it) of each point; None if it is not known."""
        name = self.named(role)
        if name is None:
            return None
        at = [self.dims.index(dim) for dim in self.over[name]]
        value = np.asarray(self.coords[name], dtype=np.float64).transpose(np.argsort(at))
        return np.broadcast_to(value.reshape([n if k in at else 1 for k, n in enumerate(self.shape)]), self.shape)

    def axis(self, dim: str) -> Float[np.ndarray, " n"] | None:
        """The coordinate along an axis, in the file's units; None if it has none of its own."""
        lines = [name for name, dims in self.over.items() if dims == (dim,) and self.coords[name].dtype.kind == "f"]
        best = [name for name in lines if name == dim] or [n for n in lines if role_of(n, self.attrs.get(n, {}))]
        return self.coords[best[0]] if best else None

    @property
    def ids(self) -> list[str] | None:
        """Names of stations; None if they have none."""
        if self.kind != "stations":
            return None
        texts = [name for name, value in self.coords.items() if value.dtype.kind == "U"]
        best = [name for name in texts if name == self.dims[0]] + texts
        if best:
            return self.coords[best[0]].tolist()
        numbers = self.coords.get(self.dims[0])
        return None if numbers is None else [f"{value:g}" for value in numbers]

    def same(self, other: "Grid") -> bool:
        """Whether the points of both are the same, in the same order, whatever their axes are called."""
        if (self.kind, self.shape) != (other.kind, other.shape):
            return False
        if self.kind == "stations" and self.ids is not None and other.ids is not None:
            return self.ids == other.ids
        for role in ("latitude", "longitude"):
            ours, theirs = self.place(role), other.place(role)
            if ours is not None and theirs is not None and not _close(ours, theirs):
                return False
        axes = [(self.axis(a), other.axis(b)) for a, b in zip(self.dims, other.dims, strict=True)]
        return all(a is None or b is None or _close(a, b) for a, b in axes)

    def unplaced(self, other: "Grid") -> list[str]:
        """Axes along which one of two grids has a coordinate and the other none, so that nothing can be compared."""
        if self.kind == "stations" or (self.place("latitude") is not None and other.place("latitude") is not None):
            return []
        axes = zip(self.dims, other.dims, strict=True)
        return [a for a, b in axes if (self.axis(a) is None) != (other.axis(b) is None)]

    def require_places(self, where: object, rising: bool = False) -> None:
        """InputError for a latitude, a longitude or a coordinate of an axis that is no number, or misses some.

        Args:
            where: the grid is from.
            rising: whether those of axes must also rise or fall.
        """
        for name, value in self.coords.items():
            what = role_of(name, self.attrs.get(name, {}))
            if what == "altitude" or (what is None and name not in self.dims):
                continue
            if value.dtype.kind == "U":
                if what is not None:
                    raise InputError(f"{where}: coordinate {name!r} holds {str(value.flat[0])!r}, expected numbers")
                continue
            if not np.isfinite(value).all():
                place = ", ".join(map(str, np.argwhere(~np.isfinite(value))[0]))
                raise InputError(f"{where}: coordinate {name!r} is missing at {place}, expected numbers everywhere")
            if rising and self.kind == "grid" and name in self.dims:
                _require_order(value, what == "longitude", f"{where}: coordinate {name!r}")

    def record(self) -> dict[str, Any]:
        """In JSON values."""
        coords = {name: _packed(value) for name, value in self.coords.items()}
        attrs = {name: plain(_jsonable(value)) for name, value in self.attrs.items()}
        over = {name: list(dims) for name, dims in self.over.items()}
        return {
            "kind": self.kind,
            "dims": list(self.dims),
            "shape": list(self.shape),
            "periodic": list(self.periodic),
            "coords": coords,
            "attrs": attrs,
            "over": over,
        }

    @classmethod
    def from_record(cls, record: Any, where: object = "metadata: grid") -> "Grid":
        """What `record` was made of; InputError if it is not of its form.

        Args:
            record: such a record.
            where: it stands.
        """
        require(record, SCHEMA, where)
        coords = {name: _unpacked(value, f"{where}: {name}") for name, value in record["coords"].items()}
        over = {name: tuple(dims) for name, dims in record["over"].items()}
        shape, periodic = tuple(record["shape"]), tuple(record["periodic"])
        dims = tuple(record["dims"])
        if not len(dims) == len(shape) == len(periodic) or prod(shape) > _LARGEST:
            raise InputError(f"{where}: axes {dims}, shape {shape}, periodic {periodic}, expected as many of each")
        for name, value in coords.items():
            if value.shape != tuple(dict(zip(dims, shape, strict=True)).get(dim) for dim in over.get(name, ())):
                raise InputError(f"{where}: coordinate {name!r} has the shape {value.shape}, which is not the grid's")
        return cls(record["kind"], dims, shape, coords, record["attrs"], periodic, over)

    def _along(self, name: str, shape: tuple[int, ...]) -> tuple[str, ...]:
        if name in self.dims and len(shape) == 1:
            return (name,)
        if shape == self.shape:
            return self.dims
        fits = [dim for dim, n in zip(self.dims, self.shape, strict=True) if (n,) == shape]
        if not fits:
            raise InputError(f"coordinate {name!r} has the shape {shape}, expected that of the grid, {self.shape}")
        return (fits[0],)

    def _goes_round(self, dim: str) -> bool:
        if self.kind == "stations":
            return False
        lines = [name for name, dims in self.over.items() if dims == (dim,)]
        if any(_said(self.attrs.get(name, {})) for name in lines):
            return True
        name, values = self.named("longitude"), self.axis(dim)
        if name not in lines or values is None or len(values) < 3:
            return False
        gaps = np.diff(values)
        even = bool(np.ptp(gaps) < 0.05 * abs(gaps.mean()))
        return even and bool(abs(len(values) * abs(gaps.mean()) - 360) < 0.5 * abs(gaps.mean()))


SCHEMA: Any = {
    "kind": ("grid", "stations"),
    "dims": [str],
    "shape": [Within(int, 1, _LARGEST)],
    "periodic": [bool],
    "coords": {str: (list, {"packed": str, "shape": [Within(int, 0, _LARGEST)]})},
    "attrs": {str: {str: ANY}},
    "over": {str: [str]},
}
"""Of a record."""


def role_of(name: str, attrs: Mapping[str, Any]) -> str | None:
    """What a coordinate is: "latitude", "longitude", "altitude", or None of these.

    Args:
        name: of the coordinate.
        attrs: of it; CF's standard_name and units are asked first.
    """
    for said in (attrs.get("standard_name"), attrs.get("units"), name):
        for role, words in ROLES.items():
            if isinstance(said, str) and said.lower() in words:
                return role
    return None


def _require_order(values: Float[np.ndarray, " n"], circle: bool, where: str) -> None:
    """InputError for a coordinate that turns, or stands still; longitudes may begin anew at 180 or 360 degrees."""
    gaps = np.diff(values)
    gaps = (gaps + 180) % 360 - 180 if circle and len(values) > 2 else gaps
    wrong = gaps * np.sign(gaps[:1]) <= 0
    if wrong.any():
        k = int(wrong.argmax())
        raise InputError(f"{where} goes from {values[k]:g} to {values[k + 1]:g}, expected points in order, none twice")


def _said(attrs: Mapping[str, Any]) -> bool:
    value = attrs.get("periodic", 0)
    return value.lower() in ("1", "true", "yes") if isinstance(value, str) else bool(value)


def _is_stations(dims: Sequence[str], coords: Mapping[str, np.ndarray], over: Mapping[str, tuple[str, ...]]) -> bool:
    """One axis whose coordinate is text, or is called so, or along which latitude and longitude both change."""
    if len(dims) != 1:
        return False
    along = [name for name in coords if over[name] == (dims[0],)]
    roles = {role_of(name, {}) for name in along}
    named = any(word in dims[0].lower() for word in ("station", "site", "location", "point"))
    return named or {"latitude", "longitude"} <= roles or any(coords[name].dtype.kind == "U" for name in along)


def _values(values: np.ndarray) -> np.ndarray:
    """Numbers as float64, all else as text."""
    if values.dtype.kind in "fiu":
        return values.astype(np.float64)
    texts = [item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in values.ravel()]
    return np.array(texts, dtype=np.str_).reshape(values.shape)


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two coordinates are one within a thousandth of the smallest gap, at the precision of a float."""
    if a.shape != b.shape:
        return False
    gaps = np.abs(np.diff(np.unique(a[np.isfinite(a)])))
    scale = max(float(np.abs(a).max(initial=0)), 1e-30)
    gaps = gaps[gaps > 1e-5 * scale]
    least = _CLOSE * float(gaps.min()) if len(gaps) else 1e-6 * scale
    return bool(np.allclose(a, b, rtol=0, atol=least, equal_nan=True))


def _jsonable(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key): value.item() if isinstance(value, np.generic) else value for key, value in attrs.items()}


def _packed(value: np.ndarray) -> Any:
    if value.dtype.kind == "U" or value.size <= _SHORT:
        return value.tolist()
    return packed(value, "<f8")


def _unpacked(value: Any, where: str) -> np.ndarray:
    if isinstance(value, dict):
        if 8 * prod(value["shape"]) > _LARGEST:
            raise InputError(f"{where}: no coordinate has the shape {value['shape']}, expected that of the grid")
        return unpacked(value, "<f8", where, "coordinate").astype(np.float64)
    try:
        return _values(np.asarray(value))
    except ValueError as error:
        raise InputError(f"{where}: no coordinate ({error}), expected numbers or texts") from None
