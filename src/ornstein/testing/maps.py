"""Checks of maps from a model's states to the physical field."""

import json
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ..denoisers.maps import Map
from ..guidance.operators import require_event
from ..keys import Keys
from ..states import per_sample_sum
from .claims import Claim, near, same, verify


def check_map(
    map: Map,
    shape: tuple[int, ...],
    condition: Mapping[str, Tensor] | None = None,
    n: int = 3,
    tolerance: float = 1e-6,
) -> int:
    """Checks a map on n states of a shape, given without the batch axis; of a map of a tensor.

    Args:
        map: from the states to the field.
        shape: of one state.
        n: states.
        condition: what each of the n samples is given, where the map is made of conditions.
        tolerance: of the comparisons: the largest deviation allowed, in the unit of what is compared.

    InputError: the shape is not a sequence of sizes.
    """
    require_event("check_map", shape)
    return verify(map, _map_claims(map, shape, condition or {}, n, tolerance))


def _map_claims(
    map: Map, shape: tuple[int, ...], condition: Mapping[str, Tensor], n: int, tolerance: float
) -> Iterator[Claim]:
    bound, x = map.bound(condition), Keys.of(0, n).normal(*shape)
    before, field = x.clone(), bound(x)
    yield "a field is finite, one a sample", len(field) == n and bool(field.isfinite().all())
    yield "a call leaves x as it is", same(x, before)
    yield "the inverse leads back", near(bound.inverse(field), x, tolerance)
    alone = [map.bound({name: value[i : i + 1] for name, value in condition.items()})(x[i : i + 1]) for i in range(n)]
    yield "a field does not depend on the rest of the batch", near(torch.cat(alone), field, tolerance)
    slopes = _slopes(bound, x)
    log_det = torch.linalg.svdvals(slopes).log().sum(1)  # of a field with more numbers than states, too
    yield "log_det is that of its derivative", near(bound.log_det(x), log_det, tolerance)
    yield "single precision stays single", bound(x.float()).dtype == torch.float32
    yield "it is the same as itself, and as nothing else", map.same(map) and not map.same(None)
    yield "its record is JSON, and names it", "map" in json.loads(json.dumps(dict(map.provenance)))
    if not bound.affine:
        return
    m = bound.operator
    yield "an affine map is its base and its operator", near(field - bound(torch.zeros_like(x)), m(x), tolerance)
    y = Keys.of(1, n).normal(*field.shape[1:])
    pair = per_sample_sum(m(x) * y), per_sample_sum(x * m.adjoint(y))
    yield "⟨M x, y⟩ = ⟨x, Mᵀ y⟩", near(*pair, tolerance)


def _slopes(bound: Map, x: Tensor) -> Tensor:
    """∂field/∂x, sample by sample, (batch, field, states)."""
    found = torch.autograd.functional.jacobian(lambda z: bound(z).sum(0), x)  # samples know nothing of one another
    assert isinstance(found, Tensor)
    axes = found.ndim - x.ndim
    return found.flatten(0, axes - 1).movedim(1, 0).flatten(2)
