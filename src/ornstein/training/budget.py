"""A network that a file describes takes no more memory than the file's own weights explain."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ..errors import InputError

_FILLED = (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn)
_COUNTED = (torch.arange, torch.linspace, torch.logspace)


class Budget(TorchFunctionMode):
    """`with Budget(n, path):` tensors of n numbers can be made; InputError before more are."""

    def __init__(self, numbers: int, where: object) -> None:
        """where: what describes the tensors, for the error, such as a path."""
        super().__init__()
        self.numbers, self.left, self.where = numbers, numbers, where

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        self.left -= _size(func, args, kwargs or {})
        if self.left < 0:
            raise InputError(
                f"{self.where}: describes a network of more than {self.numbers} numbers, beyond what its weights need"
            )
        return func(*args, **(kwargs or {}))


def _size(func: Callable[..., Any], args: Sequence[Any], kwargs: Any) -> int:
    """How many numbers a call is about to make room for, as far as its arguments say."""
    if func in _FILLED:
        size = args[0] if args and isinstance(args[0], Sequence) else kwargs.get("size", args)
        return prod(length for length in size if isinstance(length, int))
    if func in _COUNTED:
        return int(max((abs(value) for value in (*args, kwargs.get("steps", 0)) if isinstance(value, int)), default=0))
    return 0
