"""What was drawn: read again, and shown."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from ....report import quick
from ....tasks import conversions
from ....tasks.figures import Figure
from ....tasks.native.members import NUMBER
from ....tasks.native.netcdf import Variable
from ....tasks.samples import Samples
from ..scans.geometry import middle
from . import pictures
from .places import Places
from .store import SHOWN, frame_of, images_of, named, spread
from .volumes import Frame


def figures(samples: Samples) -> list[Figure]:
    """Some of the slices: mean, standard deviation, samples, and the truth where it is known.

    Args:
        samples: of a model of this domain.
    """
    places = Places.of(range(samples.first, samples.first + len(samples)), samples.settings)
    frame = places.frame(samples.settings, (int(samples.x.shape[-2]), int(samples.x.shape[-1])))
    chosen = spread(len(places.slices), SHOWN)
    rows = [_row(samples, places, frame, number) for index, number in enumerate(places) if index in chosen]
    said = [note for note in samples.notes if any(word in note for word in _ABOVE)]
    return [pictures.sheet(rows, frame, said)]


def frame(samples: Samples) -> Figure:
    """A few slices on their way, in milliseconds: magnitudes, turned as the sheet of the finished ones is.

    Args:
        samples: as they stand.
    """
    assert samples.origin is not None
    size = (int(samples.x.shape[-2]), int(samples.x.shape[-1]))
    step = max(1, max(size) // quick.LARGEST)
    some = samples.x[:FEW, :, ::step, ::step].detach().cpu().numpy()
    magnitudes = np.hypot(some[:, 0], some[:, 1])
    view = pictures.View.of(Places.of(range(len(samples)), samples.settings).frame(samples.settings, size))
    turned = np.stack([view(one) for one in magnitudes])
    return quick.fields(turned, (0.0, BRIGHT * samples.origin.metadata["std"][0]), "Slices on their way", "gray")


FEW, BRIGHT = 8, 3.0
"""Slices that are shown on their way, and the standard deviations of the data that are white there."""
_ABOVE = ("χ²", "retrospective")
"""Words of the notes that stand above pictures."""


def _row(samples: Samples, places: Places, frame: Frame, number: int) -> pictures.Row:
    numbers = places.of_slice(number)
    inside = slice(numbers.start - samples.first, numbers.stop - samples.first)
    x = samples.x[inside].detach().cpu()
    about = {name: value[inside.start].detach().cpu() for name, value in samples.condition.items()}
    phase, scale = frame_of(about, x)
    truth = about.get("truth")
    shown = None if truth is None else np.abs(images_of(truth, phase, scale, frame))
    return pictures.Row(named(samples, number), np.abs(images_of(x, phase, scale, frame)), shown)


def xarray(samples: Samples) -> Any:
    """A Dataset of `image` along number, row and column, complex, in the units of the scan's k-space.

    `slice` says of which slice a sample is, and `member` which of its samples; `truth` is there if it is known.

    Args:
        samples: of a model of this domain.
    """
    places = Places.of(range(samples.first, samples.first + len(samples)), samples.settings)
    frame = places.frame(samples.settings, (int(samples.x.shape[-2]), int(samples.x.shape[-1])))
    images, truths = [], []
    for number in places:
        inside = places.of_slice(number)
        x = samples.x[inside.start - samples.first : inside.stop - samples.first].detach().cpu()
        about = {name: one[inside.start - samples.first].detach().cpu() for name, one in samples.condition.items()}
        phase, scale = frame_of(about, x)
        images.append(images_of(x, phase, scale, frame))
        if "truth" in about:
            truths.append(np.stack([images_of(about["truth"], phase, scale, frame)] * len(x)))
    at = [places.at(number) for number in places.numbers]
    first = places.slices.start if places.each else 0
    unit, axes = "unit of the image" if places.each else "1", (NUMBER, "row", "column")
    variables = {
        "image": Variable(axes, np.concatenate(images), "magnetisation", unit),
        "slice": Variable((NUMBER,), np.array([first + k for k, _ in at]), "slice of the request, from 0"),
        "member": Variable((NUMBER,), np.array([places.members.start + k for _, k in at]), "sample of the slice"),
    }
    if truths:
        variables["truth"] = Variable(axes, np.concatenate(truths), "what is true, where it is known", unit)
    return conversions.xarray(samples, variables)


CONVERSIONS: Mapping[str, Callable[[Samples], Any]] = {"xarray": xarray}


def in_view(samples: Samples) -> Samples:
    """The samples without what lies outside of the field of view, as they are written and judged.

    Args:
        samples: of a model of this domain.
    """
    size = tuple((samples.settings.get("scan") or {}).get("size", ()))
    if not size or tuple(samples.x.shape[-2:]) == size:
        return samples
    scan = Frame.of(samples.settings["scan"], "settings: scan")

    def cut(value: Tensor) -> Tensor:
        grid = value.shape[-2:] == samples.x.shape[-2:]
        return value[(..., *middle(value.shape[-2:], scan.size))] if grid else value

    condition = {name: cut(value) if value.ndim > 2 else value for name, value in samples.condition.items()}
    return replace(samples, x=cut(samples.x), condition=condition)
