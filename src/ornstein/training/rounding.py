"""Weights in 8 bits a number: W ≈ diag(s) Q, with Q of whole numbers from −127 to 127 and one scale a row.

    s_r = max_c |W_rc| / 127,      |W − diag(s) Q| ≤ s_r / 2

A row is what one output of a layer is made of, so that no output suffers from the range of another. Only tensors of two
axes or more are rounded, and only where they are large: the others cost nothing and matter more.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError

LEAST = 4096
"""Numbers in a tensor from which on it is rounded."""
_SCALE = "#scale"
_LARGEST = 127


def rounded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Large tensors as int8 beside their scales, NAME and "NAME#scale"; the others in half precision, or as they are.

    Args:
        tensors: name → tensor of a network.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.ndim > 1 and tensor.numel() >= LEAST:
            rows = tensor.float().flatten(1)
            scale = rows.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / _LARGEST
            found[name] = (rows / scale[:, None]).round().clamp(-_LARGEST, _LARGEST).to(torch.int8).view(tensor.shape)
            found[name + _SCALE] = scale
        else:
            found[name] = tensor.half() if tensor.is_floating_point() else tensor
    return found


def expanded(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors with those that were rounded in float32 again; InputError where a scale fits no tensor.

    Args:
        tensors: name → tensor of a checkpoint.
        path: of the file, for errors.
    """
    found = {name: tensor for name, tensor in tensors.items() if not name.endswith(_SCALE)}
    for scale in tensors.keys() - found.keys():
        name = scale.removesuffix(_SCALE)
        whole, by = found.get(name), tensors[scale]
        if whole is None or whole.dtype != torch.int8 or by.dtype != torch.float32 or by.shape != whole.shape[:1]:
            kind = "no tensor" if whole is None else f"a {whole.dtype} tensor of shape {tuple(whole.shape)}"
            raise InputError(
                f"{path}: {scale!r} is {by.dtype} of shape {tuple(by.shape)} beside {kind} {name!r}, expected float32, "
                "one scale a row of an int8 tensor"
            )
        found[name] = whole.float() * by.view(-1, *[1] * (whole.ndim - 1))
    return found
