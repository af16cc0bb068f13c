"""What was drawn, read again: ensembles of each time, beside what happened."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ....calibration import gathered
from ....errors import InputError
from ....tasks.conversions import about
from ....tasks.native.members import NUMBER
from ....tasks.samples import Samples
from ..files.grids import Grid
from ..files.times import lead_names
from .frame import Frame, values_of
from .store import BESIDE


@dataclass(frozen=True, eq=False)
class Drawn:
    """Ensembles in memory, in the units of the variables, NaN where something is not known.

    Attributes:
        members: (n, M, V, S, *grid), recalibrated as the files hold them.
        truths: what happened (n, V, S, *grid); None if nothing of it is known.
        forecast: what was given, on the same grid; None if it is not known.
        base: the median that a regression makes of it, likewise.
        times: initial times (n,): dates of NumPy or of another calendar, or numbers.
        steps: leads (S,): durations or numbers.
        grid: where the fields are.
        variables: names.
        units: by name.
    """

    members: Float[np.ndarray, "n m v s *grid"]
    truths: Float[np.ndarray, "n v s *grid"] | None
    forecast: Float[np.ndarray, "n v s *grid"] | None
    base: Float[np.ndarray, "n v s *grid"] | None
    times: np.ndarray
    steps: np.ndarray
    grid: Grid
    variables: tuple[str, ...]
    units: Mapping[str, str]

    @property
    def leads(self) -> list[str]:
        """Names of the steps, such as "24 h"; plain numbers where they have no unit."""
        return lead_names(self.steps)


def ensembles(samples: Samples) -> Drawn:
    """Samples put together by their time.

    InputError unless each time has as many members and all steps.

    Args:
        samples: of a model of this domain, drawn or read.
    """
    if samples.origin is None:
        raise InputError("these samples are of no model, expected an ensemble of one")
    frame = Frame.of(samples.origin.metadata, samples.settings)
    cases = [number // frame.members for number in range(samples.first, samples.first + len(samples))]
    firsts = torch.from_numpy(np.unique(cases, return_index=True)[1])
    known = {name: samples.condition[name].detach().cpu()[firsts] for name in BESIDE if name in samples.condition}
    return together(frame, samples.x.detach().cpu(), cases, known, fresh=not samples.created)


def together(
    frame: Frame, x: Float[Tensor, "n channels *grid"], cases: Sequence[int], known: Mapping[str, Tensor], fresh: bool
) -> Drawn:
    """Samples of some times, put together by their time.

    Args:
        frame: what they are of.
        x: samples of the model.
        cases: of which case each is.
        known: what is known of each case, by name: truth, raw and base, (cases, channels, *grid).
        fresh: whether members are yet to be spread about their mean, as they are once they have been written.
    """
    numbers, members = gathered(x, cases)
    fields = _moved(torch.from_numpy(members).unflatten(2, frame.shape[:2]), numbers, frame, fresh)
    every = {name: _of_cases(known.get(name), name, frame) for name in BESIDE}
    grouped = {name: None if one is None else _by_time(one, frame, numbers) for name, one in every.items()}
    times = sorted({case // frame.per_time for case in numbers})
    return Drawn(
        members=np.moveaxis(_by_time(np.moveaxis(fields, 1, -1), frame, numbers), -1, 1),
        truths=grouped["truth"],
        forecast=grouped["raw"],
        base=grouped["base"],
        times=values_of({**frame.times, "values": [frame.times["values"][time] for time in times]}),
        steps=values_of(frame.steps),
        grid=frame.grid,
        variables=frame.variables,
        units=frame.units,
    )


def xarray(samples: Samples) -> Any:
    """What ens.zarr holds, as a Dataset: every variable along time, number (the member), step and the grid.

    Args:
        samples: of a model of this domain, all members of each time.
    """
    import xarray

    found = ensembles(samples)
    assert samples.origin is not None
    frame = Frame.of(samples.origin.metadata, samples.settings)
    numbers = range(samples.first, samples.first + len(samples))
    dims = ("time", NUMBER, "step", *found.grid.dims)
    fields = {name: (dims, found.members[:, :, v], frame.described(name)) for v, name in enumerate(found.variables)}
    members = np.array(frame.members_of(numbers))
    coords = {**frame.coords(frame.times_of(numbers)), NUMBER: (NUMBER, members, {"standard_name": "realization"})}
    return xarray.decode_cf(xarray.Dataset(fields, coords, about(samples)), decode_timedelta=True)


CONVERSIONS: Mapping[str, Callable[[Samples], Any]] = {"xarray": xarray}


def _moved(fields: Tensor, cases: list[int], frame: Frame, fresh: bool) -> Float[np.ndarray, "n m v s *grid"]:
    """Members as files hold them: spread about their mean, where they are fresh and all there; NaN where unseen."""
    if frame.factors is not None and fresh and fields.shape[1] == frame.members > 1:
        each = (
            frame.spread(one, frame.rooted(one).mean(0), frame.factor(case))
            for case, one in zip(cases, fields, strict=True)
        )
        fields = torch.stack(list(each))
    return fields.numpy() if frame.unseen is None else np.where(frame.unseen, np.float32("nan"), fields.numpy())


def _of_cases(known: Tensor | None, name: str, frame: Frame) -> Float[np.ndarray, "n v s *grid"] | None:
    """What is known of each case; None if it is of none."""
    if known is None:
        return None
    fields = frame.fields(known)
    found = (frame.squared(fields) if name == "base" else fields).numpy()
    return found if np.isfinite(found).any() else None


def _by_time(fields: np.ndarray, frame: Frame, cases: list[int]) -> np.ndarray:
    """(cases, V, S, …), the steps of a time put together where each is a case of its own."""
    if not frame.each:
        return fields
    if cases != list(range(cases[0], cases[0] + len(cases))) or cases[0] % frame.count or len(cases) % frame.count:
        raise InputError(f"cases {cases[0]} to {cases[-1]}: not all of the {frame.count} steps of each time were drawn")
    split = fields[:, :, 0].reshape(-1, frame.count, *fields.shape[1:2], *fields.shape[3:])
    return np.moveaxis(split, 1, 2)
