"""Files of forecasts and truths as `Pairs`: which variables go together, in which units, on which grid, at which times.

    pairs = opened("raw.zarr", "analysis.zarr")          # to learn from
    today = opened_for(model.metadata, "today.nc")       # of a model: the same predictors, units, leads and grid

What does not fit is an InputError that names the file, the variable, and what was expected. What is converted, put on
another grid or left out is said in `Pairs.notes`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Int

from ....errors import InputError
from . import times as clock
from .grids import ROLES, Grid
from .pairs import Pairs
from .reading import Files
from .sides import Side
from .units import conversion


def opened(
    forecast: Files,
    truth: Files | None = None,
    *,
    variables: Sequence[str] = (),
    predictors: Sequence[str] = (),
    steps: Sequence[float] = (),
    static: Files | None = None,
    match: Mapping[str, str] | None = None,
) -> Pairs:
    """Forecasts, and the truths of their valid times.

    Args:
        forecast: files, see `reading.Files`.
        truth: likewise; without, the variables are those of the forecast and the grid is its own.
        variables: what is learned, names in the truth; all that the forecast has, too, if not said.
        predictors: what is told, names in the forecast; all, if not said. Those of the variables are always among them.
        steps: leads in hours, or plain numbers where they have no unit; all, if not said.
        static: a file of fields that do not change; those in the other two are found.
        match: the forecast's name of a variable, where it is another.
    """
    raw = Side.of(forecast)
    known = None if truth is None else Side.of(truth, truth=True)
    names = _variables(raw, known, variables, match or {})
    told = [*names.values()]
    told += [raw.named(name, "predictor") for name in (predictors or raw.fields) if name not in told]
    grid, known, notes = _own_grid(raw, known)
    units = {name: raw.unit(name) for name in told}
    for name, other in names.items():
        units[name] = units[other] = (known.unit(name) if known else "") or raw.unit(other)
    attrs = {name: dict((known.data[name] if known else raw.data[names[name]]).attrs) for name in names}
    pairs = _paired(raw, known, list(names), told, list(names), told, grid, units, steps)
    fields = _statics(raw, known, static, grid, notes)
    values = np.stack(list(fields.values())) if fields else None
    notes += [*raw.left_out, *(known.left_out if known else ()), *_unpaired(raw, known, names, variables)]
    notes += pairs.notes
    return replace(pairs, attrs=attrs, static=values, static_names=tuple(fields), notes=notes)


def opened_for(metadata: Mapping[str, Any], forecast: Files, truth: Files | None = None) -> Pairs:
    """A forecast for a trained model: its predictors, leads, units and grid.

    Args:
        metadata: of the model.
        forecast: files, see `reading.Files`.
        truth: likewise, if it is known.
    """
    raw = Side.of(forecast)
    variables, predictors = list(metadata["variables"]), list(metadata["predictors"])
    units, attrs = metadata["units"], metadata.get("attrs", {})
    _require_calendar(metadata, raw)
    raw, notes = _members(raw, int(metadata.get("members", 1)))
    theirs = _found(raw, predictors, variables, attrs, "predictor")
    known = None if truth is None else Side.of(truth, truth=True)
    ours = variables if known is None else _found(known, variables, variables, attrs, "variable")
    grid = Grid.from_record(metadata["grid"])
    pairs = _paired(raw, known, variables, predictors, ours, theirs, grid, units, metadata["steps"]["hours"])
    return replace(pairs, attrs=attrs, notes=[*notes, *pairs.notes])


# Of both ----------------------------------------------------------------------------------------------


def _paired(
    raw: Side,
    known: Side | None,
    variables: list[str],
    predictors: list[str],
    ours: list[str],
    theirs: list[str],
    grid: Grid,
    units: Mapping[str, str],
    steps: Sequence[float],
) -> Pairs:
    """Pairs, with names in the files (ours of variables, theirs of predictors) for those that they are to have."""
    leads, notes = clock.steps_of(raw.data, raw.times, raw.where)
    chosen = clock.chosen_steps(leads, steps, raw.where)
    if len(steps) == 0 and len(chosen) < len(leads):
        notes.append(f"{raw.where}: {len(leads) - len(chosen)} of {len(leads)} leads are there before, and left out")
    leads = leads[chosen]
    scales = _scales(raw, theirs, [units.get(name, "") for name in predictors], notes)
    forecast = _renamed(raw, theirs, predictors).isel({"step": chosen}, missing_dims="ignore")
    raw.require_numbers(theirs)
    pairs = Pairs(
        forecast, None, tuple(variables), tuple(predictors), raw.times, leads, dict(units), grid,
        members=raw.members, notes=notes, scales=scales, where=(raw.where, known.where if known else "truth"),
    )  # fmt: skip
    if known is not None:
        known.require_numbers(ours)
        said = _scales(known, ours, [units.get(name, "") for name in variables], notes)
        pairs = _aligned(replace(pairs, truth_scales=said), known, ours)
    _require_grids(pairs, raw, known)
    return replace(pairs, notes=[*raw.notes, *(known.notes if known else ()), *pairs.notes])


def _renamed(side: Side, names: list[str], wanted: list[str]) -> Any:
    """The fields, by other names; one that is wanted twice is there twice."""
    coords = side.data.coords.to_dataset()
    fields = {new: side.data[old].variable for old, new in zip(names, wanted, strict=True)}
    return coords.assign(fields)


def _scales(side: Side, names: list[str], wanted: list[str], notes: list[str]) -> tuple[tuple[float, float], ...]:
    """Factor and offset of each field; what is converted is noted."""
    found = []
    for name, unit in zip(names, wanted, strict=True):
        found.append(conversion(side.unit(name), unit, f"{side.where}: {name!r}"))
        if found[-1] != (1.0, 0.0):
            notes.append(f"{side.where}: {name!r} is converted from {side.unit(name)} to {unit}")
    return tuple(found)


def _aligned(pairs: Pairs, known: Side, ours: list[str]) -> Pairs:
    """With the truth of each valid time; times without it are dropped, and counted."""
    data = _renamed(known, ours, list(pairs.variables))
    if "step" in known.data.dims:
        rows = clock.rows(pairs.times, known.times, known.where)
        steps, _ = clock.steps_of(known.data, known.times, known.where)
        at = clock.chosen_steps(steps, clock.step_hours(pairs.steps).tolist(), known.where)
        keep, left = _kept(rows[:, None] >= 0, pairs, known)
        data = data.isel({"time": rows[keep], "step": at}, missing_dims="ignore")
        return replace(pairs.part(keep), truth=data, notes=pairs.notes + left)
    rows = clock.rows(pairs.valid_times, known.times, known.where)
    keep, left = _kept(rows >= 0, pairs, known)
    return replace(pairs.part(keep), truth=data, rows=rows[keep], notes=pairs.notes + left)


def _kept(there: np.ndarray, pairs: Pairs, known: Side) -> tuple[Int[np.ndarray, " n"], list[str]]:
    """Times whose truth is known at all leads; where these are less than half, at some of them."""
    whole, some = there.all(1), there.any(1)
    if not some.any():
        valid = pairs.valid_times
        raise InputError(
            f"{known.where}: knows none of the {there.size} valid times of the forecast, {valid.min()} to "
            f"{valid.max()}, expected some; it has {known.times[0]} to {known.times[-1]}"
        )
    keep = whole if 2 * whole.sum() >= some.sum() else some
    left = there.shape[0] - int(keep.sum())
    notes = (
        [f"{known.where}: {left} of {there.shape[0]} times of the forecast have no truth, and are left out"]
        if left
        else []
    )
    missing = int((~there[keep]).sum())
    notes += [f"{known.where}: {missing} of {there[keep].size} valid times have no truth"] if missing else []
    return np.flatnonzero(keep), notes


def _require_grids(pairs: Pairs, raw: Side, known: Side | None) -> None:
    """InputError, which names the file, for a grid that the other cannot be put on; otherwise it is noted."""
    for side, found in ((raw, "regridding"), (known, "truth_regridding")):
        if side is None:
            continue
        try:
            move = getattr(pairs, found)
        except InputError as error:
            raise InputError(f"{side.where}: {error}") from None
        unplaced = side.grid.unplaced(pairs.grid) if move is None else []
        if unplaced:
            pairs.notes.append(
                f"{side.where}: no coordinate says where it is along {', '.join(unplaced)}; taken as the grid's, "
                "in its order"
            )
        if move is not None:
            points = " × ".join(map(str, side.grid.shape)), " × ".join(map(str, pairs.grid.shape))
            pairs.notes.append(f"{side.where}: interpolated from {points[0]} points to {points[1]}")


# To learn from ----------------------------------------------------------------------------------------


def _variables(raw: Side, known: Side | None, wanted: Sequence[str], match: Mapping[str, str]) -> dict[str, str]:
    """The forecast's name of each variable."""
    if known is None:
        names = {name: raw.named(match.get(name, name), "variable") for name in (wanted or raw.fields)}
        if not names:
            raise InputError(f"{raw.where}: no variable over the grid ({', '.join(raw.dims)}) changes with time")
        return names
    found = {}
    for name in match:
        known.named(name, "variable")
    for name in wanted or known.fields:
        known.named(name, "variable")
        other = match.get(name) or raw.alike(name, known.data[name].attrs)
        if other is None and wanted:
            raise InputError(
                f"{raw.where}: has no forecast of {name!r}, expected one of that name or one that is said by "
                f"match={name}=NAME; it has {', '.join(raw.fields[:20])}"
            )
        if other is not None:
            found[name] = raw.named(other, "variable")
    if not found:
        raise InputError(
            f"no variable is in both: {known.where} has {', '.join(known.fields[:20]) or 'none'}, and {raw.where} "
            f"{', '.join(raw.fields[:20]) or 'none'}; expected a common one, or match=TRUTH=FORECAST"
        )
    return found


def _unpaired(raw: Side, known: Side | None, names: Mapping[str, str], wanted: Sequence[str]) -> list[str]:
    """A note of the truth's variables that the forecast lacks, where none was asked for."""
    gone = [] if known is None or wanted else [name for name in known.fields if name not in names]
    return (
        [f"{known.where}: left out, as {raw.where} has no forecast of them: {', '.join(gone)}"]
        if known and gone
        else []
    )


def _own_grid(raw: Side, known: Side | None) -> tuple[Grid, Side | None, list[str]]:
    """The grid of the pairs: the truth's, of stations those that the forecast has, too."""
    if known is None:
        return raw.grid, None, []
    ours, theirs = known.grid.ids, raw.grid.ids
    if ours is None or theirs is None:
        return known.grid, known, []
    if set(ours) <= set(theirs):
        return _placed(known.grid, raw.grid), known, []
    keep = [k for k, name in enumerate(ours) if name in set(theirs)]
    if not keep:
        raise InputError(
            f"no station is in both: {known.where} has {', '.join(map(repr, ours[:8]))}, and {raw.where} "
            f"{', '.join(map(repr, theirs[:8]))}"
        )
    chosen = replace(known, data=known.data.isel({known.dims[0]: keep}))
    gone = len(ours) - len(keep)
    return (
        _placed(chosen.grid, raw.grid),
        chosen,
        [f"{known.where}: {gone} of {len(ours)} stations are not in the forecast, and left out"],
    )


def _placed(grid: Grid, other: Grid) -> Grid:
    """Stations, with the latitude, longitude and altitude of another file where they have none of their own."""
    place = {name: k for k, name in enumerate(other.ids or ())}
    at = [place[name] for name in grid.ids or ()]
    names = [other.named(role) for role in ROLES if grid.named(role) is None]
    coords = {name: other.coords[name][at] for name in names if name}
    attrs = {name: other.attrs.get(name, {}) for name in coords}
    over = {**grid.over, **dict.fromkeys(coords, grid.dims)}
    return replace(grid, coords={**grid.coords, **coords}, attrs={**grid.attrs, **attrs}, over=over)


def _statics(
    raw: Side, known: Side | None, static: Files | None, grid: Grid, notes: list[str]
) -> dict[str, np.ndarray]:
    """Fields that do not change, of all files; of one name in two, both."""
    found: dict[str, np.ndarray] = {}
    if static is not None:
        side = Side.of(static)
        once = side.data.isel({"time": 0, "step": 0, "number": 0}, missing_dims="ignore")
        found |= replace(side, data=once).statics(grid, [*side.fields, *side.still], notes)
    for side, what in ((known, ""), (raw, " of the forecast")):
        if side is not None and side.still:
            own = side.statics(grid, side.still, notes)
            found |= {name + what if name in found else name: value for name, value in own.items()}
    return found


# For a model ------------------------------------------------------------------------------------------


def _found(side: Side, names: list[str], variables: list[str], attrs: Mapping[str, Any], what: str) -> list[str]:
    """The file's name of each; InputError for all that are not there."""
    about = dict(zip(names, (attrs.get(name, {}) for name in variables), strict=False))
    found = {name: side.alike(name, about.get(name, {})) for name in names}
    missing = [name for name, other in found.items() if other is None]
    if missing:
        raise InputError(
            f"{side.where}: lacks the {what}{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))} of the model, "
            f"expected {', '.join(names)}; it has {', '.join(side.fields[:20]) or 'none'}"
        )
    return [found[name] or name for name in names]


def _members(raw: Side, members: int) -> tuple[Side, list[str]]:
    """As many members as the model is told of: one, or some."""
    if members == 1 and raw.members > 1:
        note = f"{raw.where}: the model learned from forecasts of one member, the first of {raw.members} is taken"
        return raw.members_chosen(0), [note]
    if members > 1 and raw.members == 1:
        raise InputError(
            f"{raw.where}: a forecast of one member, the model learned from {members}, expected an ensemble"
        )
    if members != raw.members:
        return raw, [f"{raw.where}: {raw.members} members, the model learned from {members}"]
    return raw, []


def _require_calendar(metadata: Mapping[str, Any], raw: Side) -> None:
    said, found = metadata.get("calendar"), clock.calendar(raw.times)
    if (said is not None and said != found) or (metadata.get("cycles") and not found):
        raise InputError(
            f"{raw.where}: the calendar is {found or 'none, plain numbers'}, expected "
            f"{said or 'dates'} as in the data that the model learned from"
        )
