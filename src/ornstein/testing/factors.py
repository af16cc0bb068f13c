"""Checks of operators and factors."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..beliefs import Belief, Joint, Normal, Probs
from ..denoisers.base import Condition, Denoiser
from ..denoisers.mapped import map_of
from ..denoisers.tweedie import with_covariance
from ..errors import InputError
from ..guidance.factors import Factor
from ..guidance.operators import Operator, real_part, require_event
from ..keys import Keys
from ..states import concatenate, leaves, map_state, per_sample_sum, take
from .claims import Claim, near, same, shapes, verify
from .denoisers import denoiser_claims


def check_operator(
    operator: Operator, shape: tuple[int, ...], n: int = 3, tolerance: float = 1e-10, complex: bool = False
) -> int:
    """Checks a linear operator on n events of a shape, given without the batch axis.

    Its adjoint is the one of the real inner product, ⟨A x, y⟩ = Re Σ conj(A x) y; of real events the real part of what
    the adjoint gives. `normal`, if it has one of its own, is the adjoint of what it gives.

    InputError: the shape is not a sequence of sizes, or n not a number of events.

    Args:
        operator: A.
        shape: of one event.
        n: events; where the operator has a version for each of its samples, there are as many.
        tolerance: of the comparisons in double precision, relative to the lengths of what is compared; in single
            precision it is 1e-5, if that is more.
        complex: events are complex.
    """
    if not isinstance(operator, Operator):
        raise InputError(f"check_operator: found a {type(operator).__name__}, expected an Operator (operators.linear)")
    require_event("check_operator", shape)
    if not isinstance(n, int) or n < 1:
        raise InputError(f"check_operator: n is {n!r}, expected a number of events, 1 or more")
    n = n if operator.samples in (None, 1) else operator.samples
    return verify(operator, _operator_claims(operator, shape, n, tolerance, complex))


def check_factor(
    factor: Factor,
    denoiser: Denoiser,
    n: int = 3,
    condition: Condition | None = None,
    tolerance: float = 1e-4,
    t: float = 0.6,
) -> int:
    """Checks a factor on the beliefs of a denoiser at n states drawn from the prior, and the denoiser it guides.

    Args:
        factor: log g.
        denoiser: the model, (x_t, t, condition) → belief.
        n: states.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        tolerance: of the comparisons: the largest deviation allowed, in the unit of what is compared.
        t: time at which the claims are checked.
    """
    return verify(factor, _factor_claims(factor, denoiser, n, condition or {}, tolerance, t))


def _operator_claims(
    operator: Operator, shape: tuple[int, ...], n: int, tolerance: float, complex: bool
) -> Iterator[Claim]:
    x, other = (_numbers(seed, n, shape, complex) for seed in (0, 1))
    before, seen = x.clone(), operator(x)
    yield "A x has one measurement a sample", len(seen) == n
    y, far = (_numbers(seed, n, seen.shape[1:], seen.is_complex()) for seed in (2, 3))
    back = _back(operator, y, complex)
    yield "Aᵀ y has the shape of x", back.shape == x.shape
    yield "A x and Aᵀ y are finite", bool(seen.isfinite().all() and back.isfinite().all())
    yield "a call leaves x as it is", same(x, before)
    yield (
        "A is linear: A (2 x + z) = 2 A x + A z",
        _close(operator(2 * x + other), 2 * seen + operator(other), tolerance),
    )
    sums = _back(operator, 2 * y + far, complex), 2 * back + _back(operator, far, complex)
    yield "Aᵀ is linear: Aᵀ (2 y + z) = 2 Aᵀ y + Aᵀ z", _close(*sums, tolerance)
    yield "⟨A x, y⟩ = ⟨x, Aᵀ y⟩", _adjoint(x, seen, y, back, tolerance)
    yield "normal(x) = Aᵀ A x", _close(_normal(operator, x, complex), _back(operator, seen, complex), tolerance)
    for name, apply, of, whole in (
        ("A x", lambda part, rows: part(rows), x, seen),
        ("Aᵀ y", lambda part, rows: _back(part, rows, complex), y, back),
    ):
        rows = [slice(i, i + 1) for i in range(n)]
        alone = torch.cat([apply(operator.take(row), of[row]) for row in rows])
        yield f"{name} does not depend on the rest of the batch", _close(alone, whole, tolerance)
    x, y = (_single(numbers) for numbers in (x, y))
    seen, back = operator(x), _back(operator, y, complex)
    yield "single precision stays single", all(found.dtype.to_real() == torch.float32 for found in (seen, back))
    yield "⟨A x, y⟩ = ⟨x, Aᵀ y⟩ in single precision", _adjoint(x, seen, y, back, max(tolerance, 1e-5))


def _numbers(seed: int, n: int, shape: Sequence[int], complex: bool) -> Tensor:
    """Normal numbers, n events of a shape."""
    if not complex:
        return Keys.of(seed, n).normal(*shape)
    return torch.view_as_complex(Keys.of(seed, n).normal(*shape, 2))


def _single(x: Tensor) -> Tensor:
    return x.to(torch.complex64 if x.is_complex() else torch.float32)


def _back(operator: Operator, y: Tensor, complex: bool) -> Tensor:
    """Aᵀ y, for complex or for real events."""
    back = operator.adjoint(y)
    return back if complex else real_part(back)


def _normal(operator: Operator, x: Tensor, complex: bool) -> Tensor:
    """Aᵀ A x, for complex or for real events."""
    back = operator.normal(x)
    return back if complex else real_part(back)


def _adjoint(x: Tensor, seen: Tensor, y: Tensor, back: Tensor, tolerance: float) -> bool:
    """Whether ⟨A x, y⟩ is ⟨x, Aᵀ y⟩, relative to the lengths of the four."""
    difference = _inner(seen, y) - _inner(x, back)
    lengths = [_inner(part, part).sqrt() for part in (seen, y, x, back)]
    return bool((difference.abs() <= tolerance * (lengths[0] * lengths[1] + lengths[2] * lengths[3])).all())


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Re Σ conj(a) b, sample by sample."""
    return real_part(per_sample_sum(a.conj() * b))


def _close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    """Whether they differ by little of the length of the second, sample by sample."""
    return a.shape == b.shape and bool((_inner(a - b, a - b) <= tolerance**2 * _inner(b, b)).all())


def _factor_claims(
    factor: Factor, denoiser: Denoiser, n: int, condition: Condition, tolerance: float, t: float
) -> Iterator[Claim]:
    keys, space = Keys.of(0, n, denoiser.device), denoiser.space.with_mask(condition.get("mask"))
    x_t = space.prior(keys)

    def updated(of: Factor, rows: slice = slice(None)) -> tuple[Tensor, Any]:
        given = take(condition, rows)
        x, bound = take(x_t, rows), denoiser.space.with_mask(given.get("mask"))
        return _of_states(of, denoiser, given, x).update(with_covariance(denoiser, x, t, given), x, t, bound)

    belief = with_covariance(denoiser, x_t, t, condition)
    before, mean = map_state(torch.clone, x_t), map_state(torch.clone, belief.mean)
    of_states = _of_states(factor, denoiser, condition, x_t)
    value, after = of_states.update(belief, x_t, t, space)
    yield "update returns log E[g], one number a sample", value.shape == (n,)
    yield "log E[g] is finite", bool(value.isfinite().all())
    yield "update returns a belief of the same kind and shape", _alike(after, belief)
    yield "the updated belief has a finite mean", all(bool(x.isfinite().all()) for x in leaves(after.mean))
    yield "update leaves x_t and the belief as they are", same(x_t, before) and same(belief.mean, mean)
    again, repeated = updated(factor)
    yield "the same call gives the same", same(again, value) and same(repeated.mean, after.mean)
    parts = [updated(factor, slice(i, i + 1)) for i in range(n)]
    yield (
        "log E[g] and the updated belief do not depend on the rest of the batch",
        near(torch.cat([part for part, _ in parts]), value, tolerance)
        and near(concatenate([part.mean for _, part in parts]), after.mean, tolerance),
    )
    certain = space.point_mass(space.step(x_t, belief, t, 0.0).sample(keys))
    yield "log_expect returns one number a sample", of_states.log_expect(certain).shape == (n,)
    kept, moved = updated(factor.tempered(1.0))
    yield (
        "g to the power 1 is g",
        near(kept, value, tolerance) and near(moved.mean, after.mean, tolerance),
    )
    yield "the record is JSON, and names the factor", "factor" in json.loads(json.dumps(dict(factor.provenance)))
    for claim, holds in denoiser_claims(denoiser & factor, n, condition, tolerance, t):
        yield f"the guided denoiser conforms: {claim}", holds


def _of_states(factor: Factor, denoiser: Denoiser, condition: Condition, x_t: Any) -> Factor:
    """The factor as what it says of the model's own states."""
    bound, map = factor.bound(condition), map_of(denoiser, condition, len(leaves(x_t)[0]))
    return bound if map is None else bound.through(map)


def _alike(a: Belief, b: Belief) -> bool:
    kinds = (Joint, Normal, Probs)
    same_kind = [isinstance(a, kind) for kind in kinds] == [isinstance(b, kind) for kind in kinds]
    return same_kind and shapes(a.mean) == shapes(b.mean)
