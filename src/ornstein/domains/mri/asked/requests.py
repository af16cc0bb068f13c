"""What the flags of a request mean: for the samples of one slice, what was measured of it.

Sample k is member k % each of slice k // each; a portion is a slice, so that no more than one is in memory, and its
samples share what was measured.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ....denoisers.base import NeuralDenoiser
from ....errors import InputError
from ....tasks.planning import elsewhere
from ....tasks.registry import task
from ....tasks.task import Request
from ..factors import kspace
from ..results import widened
from ..words import CLINICAL
from .flags import MriRequest
from .prepared import Slice, Volume, volume

DEFAULTS: Mapping[str, Any] = {"steps": 16, "eta": 1.0}
"""Of samples, where the user says nothing: fresh noise mends what a step took for certain too early."""
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
        return Request(notes=[CLINICAL], metadata=_elsewhere(metadata, metadata["slice"]))
    scanned = volume(asked)
    one = scanned[numbers[0] // asked.each]
    return Request(
        [] if one.empty else [kspace(one)],
        record={"scan": scanned.record, "guides": "k-space of each slice", **_widened(asked)},
        each={"slice": [one.number] * len(numbers)},
        notes=[*scanned.scan.notes, *one.notes, *_unlike(scanned, metadata), CLINICAL],
        beside=_for_all(one, len(numbers)),
        metadata=_elsewhere(metadata, scanned.grid),
        defaults=DEFAULTS,
    )


def whole(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a model of windows draws: whole slices, of the same network.

    Args:
        metadata: of the data that the model learned from, in JSON values.
    """
    return {"shape": [metadata["shape"][0], *metadata["slice"]]}


def on_grid(model: NeuralDenoiser, grid: Sequence[int]) -> NeuralDenoiser:
    """The model for slices of another number of pixels, which should be as large as those that it learned from.

    Args:
        model: of this domain, trained.
        grid: rows and columns, such as `Volume.grid`.

    InputError for a network that works on no such grid.
    """
    if model.origin is None:
        raise InputError(f"on_grid: {model!r} is of no training, so that nothing is known of its slices")
    return elsewhere(task(model.origin.domain), model, _elsewhere(model.origin.metadata, grid))


def _widened(asked: MriRequest) -> dict[str, Any]:
    """The margins of intervals, of as many samples a slice as there will be."""
    if asked.widen is None:
        return {}
    found = widened.read(asked.widen)
    if found.members != asked.each:
        raise InputError(
            f"--widen {asked.widen}: its margins are for {found.members} samples a slice, found --each {asked.each}"
        )
    return {"widened": found.record()}


def _elsewhere(metadata: Mapping[str, Any], grid: Sequence[int]) -> dict[str, Any]:
    """The shape of states on a grid, where it is not that of all that the model learned from, windows or slices."""
    shape = [metadata["shape"][0], *grid]
    return {} if shape == metadata["shape"] == whole(metadata)["shape"] else {"shape": shape}


def _for_all(one: Slice, n: int) -> dict[str, Tensor]:
    """What is kept with each sample: what makes an image of it, and the truth, as a state."""
    kept = {"phase": one.phase, "scale": torch.tensor(one.scale)} | ({} if one.truth is None else {"truth": one.truth})
    return {name: value.expand(n, *value.shape) for name, value in kept.items()}


def _unlike(scanned: Volume, metadata: Mapping[str, Any]) -> list[str]:
    """A note on voxels of another size than the model knows."""
    pixel, found = metadata.get("pixel"), scanned.scan.voxel_size[1:]
    if pixel is None or all(1 / FAR <= size / pixel <= FAR for size in found):
        return []
    sizes = " × ".join(f"{size:.3g}" for size in found)
    return [f"voxels are {sizes} mm, but the model has learned from {pixel:g} mm: it may not know such images"]
