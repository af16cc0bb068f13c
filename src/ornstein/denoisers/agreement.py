"""Whether denoisers can be composed: their data, the noise, and the map to the field must be the same."""

from collections.abc import Sequence
from typing import Any

from ..errors import InputError
from ..spaces import Categorical, Euclidean, Product
from .base import Denoiser
from .maps import Map


def require_same_space(parts: Sequence[Denoiser]) -> None:
    """InputError, naming what differs, unless all are of one kind of data under one noise, behind one map."""
    for part in parts[1:]:
        if not _agree(parts[0].space, part.space):
            first, other = parts[0].space, part.space
            raise InputError(f"denoisers compose in one space, not in {first} and {other}{_differing(first, other)}")
        if not _same_map(parts[0].map, part.map):
            first, other = (_map_in_short(one) for one in (parts[0].map, part.map))
            raise InputError(f"denoisers compose where one map leads to the field, not {first} and {other}")


def _differing(a: Any, b: Any) -> str:
    """What of the noise of continuous data differs, where that does not show."""
    if not isinstance(a, Euclidean) or not isinstance(b, Euclidean) or a.shape != b.shape or a.schedule != b.schedule:
        return ""
    if a.scale != b.scale:
        return f": their data_std are {a.scale:.4g} and {b.scale:.4g} of the noise, root mean square"
    return ": their noise_cov are not the same"


def _same_map(a: Map | None, b: Map | None) -> bool:
    return b is None if a is None else a.same(b)


def _map_in_short(map: Map | None) -> str:
    return "no map" if map is None else str(dict(map.provenance))


def _agree(a: Any, b: Any) -> bool:
    """The same data under the same noise."""
    if type(a) is not type(b) or a.schedule_and_std != b.schedule_and_std:
        return False
    if isinstance(a, Product):
        same = a.parts.keys() == b.parts.keys() and a.path == b.path
        return same and all(_agree(a.parts[name], b.parts[name]) for name in a.parts)
    if isinstance(a, Euclidean):
        return a.same_noise(b)
    if isinstance(a, Categorical):
        same = a.shape == b.shape and a.schedule == b.schedule and type(a.chain) is type(b.chain)
        return same and a.chain.stationary.equal(b.chain.stationary)
    return getattr(a, "shape", None) == getattr(b, "shape", None)
