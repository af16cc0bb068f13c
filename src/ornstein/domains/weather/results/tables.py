"""Ensembles of stations as a table: a row a time, member, step and station, a column a variable."""

import csv
from pathlib import Path

import numpy as np

from ....files import write_atomic
from ..files.times import written
from . import zarrs
from .frame import Frame, valid_times, values_of


def write(path: Path, store: Path, frame: Frame, numbers: range) -> None:
    """Writes the table, of a store that is finished, a time at a time.

    Args:
        path: of the CSV file.
        store: of the members.
        frame: what the samples are of.
        numbers: of the samples.
    """
    times, members = frame.times_of(numbers), frame.members_of(numbers)
    outer = (len(times), len(members), frame.count)
    arrays = zarrs.opened(store, dict.fromkeys(frame.variables, (*outer, *frame.grid.shape)))
    ids = frame.grid.ids or [str(k) for k in range(frame.grid.shape[0])]
    began, steps = values_of(frame.times)[times.start : times.stop], values_of(frame.steps)
    valid = valid_times(began, steps)

    def rows(file: Path) -> None:
        with file.open("w", newline="") as out:
            table = csv.writer(out)
            table.writerow(["time", "step", *([] if valid is None else ["valid_time"]), "number", "station", *arrays])
            for t in range(len(times)):
                values = [np.asarray(one[t]) for one in arrays.values()]
                for m, s, k in np.ndindex(len(members), frame.count, len(ids)):
                    at = [] if valid is None else [written(valid[t, s])]
                    numbered = [written(began[t]), written(steps[s]), *at, members[m], ids[k]]
                    table.writerow([*numbered, *(_number(float(one[m, s, k])) for one in values)])

    write_atomic(path, rows)


def _number(value: float) -> str:
    """Empty where it is missing."""
    return f"{value:.7g}" if np.isfinite(value) else ""
