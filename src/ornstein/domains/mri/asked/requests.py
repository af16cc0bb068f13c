"""What the flags of a request mean: for the samples of one slice, what was measured of it.

Sample k is member k % each of slice k // each; a portion is a slice, so that no more than one is in memory, and its
samples share what was measured.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ....tasks.task import Request
from ..factors import kspace
from .flags import MriRequest
from .prepared import Slice, Volume, volume

WARNING = "not for clinical use"
FAR = 1.5
"""By how much voxels may be larger or smaller than those that a model has learned from."""


def count(asked: MriRequest) -> int | None:
    """How many samples a request speaks of: of each slice so many.

    Args:
        asked: the request.
    """
    return None if asked.kspace is None else len(volume(asked)) * asked.each


def portion(asked: MriRequest) -> int | None:
    """How many samples are of one slice.

    Args:
        asked: the request.
    """
    return None if asked.kspace is None else asked.each


def request(asked: MriRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
    """What the flags mean for the samples of one slice; without k-space for draws of the model as it is.

    Args:
        asked: what was said.
        numbers: of the samples.
        metadata: of the data that the model learned from, in JSON values.

    InputError names the flag, the file and the slice of what cannot be.
    """
    if asked.kspace is None:
        return Request(notes=[WARNING], metadata=_elsewhere(metadata, metadata["slice"]))
    whole = volume(asked)
    one = whole[numbers[0] // asked.each]
    return Request(
        [] if one.empty else [kspace(one)],
        record={"scan": whole.record, "guides": "k-space of each slice"},
        each={"slice": [one.number] * len(numbers)},
        notes=[*whole.scan.notes, *one.notes, *_unlike(whole, metadata), WARNING],
        beside=_for_all(one, len(numbers)),
        metadata=_elsewhere(metadata, whole.grid),
    )


def _elsewhere(metadata: Mapping[str, Any], grid: Sequence[int]) -> dict[str, Any]:
    """The shape of states on a grid, where it is not that of the records which the model has learned from."""
    shape = [metadata["shape"][0], *grid]
    return {} if shape == list(metadata["shape"]) else {"shape": shape}


def _for_all(one: Slice, n: int) -> dict[str, Tensor]:
    """What is kept with each sample: what makes an image of it, and the truth, as a state."""
    kept = {"phase": one.phase, "scale": torch.tensor(one.scale)} | ({} if one.truth is None else {"truth": one.truth})
    return {name: value.expand(n, *value.shape) for name, value in kept.items()}


def _unlike(whole: Volume, metadata: Mapping[str, Any]) -> list[str]:
    """A note on voxels of another size than the model knows."""
    pixel, found = metadata.get("pixel"), whole.scan.voxel_size[1:]
    if pixel is None or all(1 / FAR <= size / pixel <= FAR for size in found):
        return []
    sizes = " × ".join(f"{size:.3g}" for size in found)
    return [f"voxels are {sizes} mm, but the model has learned from {pixel:g} mm: it may not know such images"]
