"""A claim is a sentence and whether it holds; states are compared tensor by tensor."""

from collections.abc import Iterable

import torch

from ..states import State, leaves

Claim = tuple[str, bool]


def verify(part: object, claims: Iterable[Claim]) -> int:
    count = 0
    for claim, holds in claims:
        if not holds:
            raise AssertionError(f"{type(part).__name__}: {claim}")
        count += 1
    return count


def shapes(state: State) -> list[tuple[torch.Size, torch.dtype]]:
    return [(x.shape, x.dtype) for x in leaves(state)]


def same(a: State, b: State) -> bool:
    return all(x.equal(y) for x, y in zip(leaves(a), leaves(b), strict=True))


def near(a: State, b: State, tolerance: float) -> bool:
    """Whether two states agree to a relative and absolute tolerance.

    Args:
        b: what was expected.
    """
    pairs = zip(leaves(a), leaves(b), strict=True)
    return all(x.shape == y.shape and x.allclose(y.to(x), rtol=tolerance, atol=tolerance) for x, y in pairs)
