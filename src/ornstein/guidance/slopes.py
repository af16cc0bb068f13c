"""Gradients of states, tensor by tensor, and what else a value depends on."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..states import leaves, map_state, per_sample_sum


def gradient(value: Tensor, at: Any, create_graph: bool = False) -> Any:
    """∂value/∂at; None if value depends on no part of it.

    Args:
        value: one number.
        at: a state whose tensors want gradients.
        create_graph: the gradient can be differentiated again.
    """
    if not value.requires_grad:
        return None
    found = torch.autograd.grad(value, leaves(at), create_graph=create_graph, allow_unused=True)
    return None if all(slope is None for slope in found) else _like(found, at)


def bend(slope: Any, at: Any, along: Any, create_graph: bool = False) -> Any:
    """∂(slope · along)/∂at with `along` held fixed; 0 where the slope is the same everywhere.

    Args:
        slope: the gradient at `at`, made with its graph.
        along: a direction, of the state's shape.
        create_graph: the result can be differentiated again, by `along`, too.
    """
    pairs = [(s, v) for s, v in zip(leaves(slope), leaves(along), strict=True) if s.requires_grad]
    if not pairs:
        return map_state(torch.zeros_like, at)
    slopes, directions = [s for s, _ in pairs], [v.to(s) for s, v in pairs]
    found = torch.autograd.grad(slopes, leaves(at), directions, create_graph=create_graph, allow_unused=True)
    return _like(found, at)


def _like(found: Any, at: Any) -> Any:
    """Gradients as a state, 0 where there is none."""
    each = iter(found)
    return map_state(lambda x: torch.zeros_like(x) if (slope := next(each)) is None else slope, at)


def inner(a: Any, b: Any) -> Float[Tensor, " batch"]:
    """a · b, sample by sample."""
    return torch.stack([per_sample_sum(x * y).double() for x, y in zip(leaves(a), leaves(b), strict=True)]).sum(0)


def learns(value: Tensor, own: Any) -> bool:
    """Whether a value depends on a tensor that wants a gradient, such as a parameter, beside the state `own`."""
    todo: list[Any] = [value.grad_fn]
    seen: set[Any] = set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and not any(leaf is x for x in leaves(own)):
            return True
        todo += [before for before, _ in node.next_functions]
    return False
