"""What is known of today's weather, as factors of a model: observations at places and times.

    y = I u_c + noise,      I linear between the points of the grid,      channel c = v · S + s of variable v and step s

u is the variable itself, or its root where it is never negative; an observation y ± s of such a variable is one of √y,
± √(y + s) − √y, so that it stays linear. Where zeros are learned as values that are not seen, an observed 0 says that u
is not above 0.

    observed = Observed.of("stations.csv", Known.of(model.origin.metadata), Moments.of(pairs))
    factors, condition = observed.of_records([0] * 50)          50 members of the first time
    sample(model & factors[0], 50, condition={**told, **condition})
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ...denoisers.base import Condition
from ...errors import InputError
from ...guidance.factors import Factor
from ...values import is_number, number_written
from .files.pairs import Pairs
from .known import Known
from .observed.likelihoods import PLACES, VALUES, AtDryStations, AtStations
from .observed.moments import Moments
from .observed.places import corners
from .observed.readings import Reading, Skipped, known_variable, read


def stds(said: str, variables: Sequence[str]) -> dict[str, float]:
    """Standard deviations of observations by variable: "0.5" for all, or "t2m=0.5,u10=1.2".

    Args:
        said: by the user; "" = nothing.
        variables: of the model.

    InputError names the part that is none.
    """
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in said.split(","))):
        name, equals, number = part.rpartition("=")
        value = number_written(number)
        if not is_number(value) or value <= 0 or (equals and name.strip() not in variables):
            expected = f"a positive number, or NAME=NUMBER with one of {', '.join(variables)}"
            raise InputError(f"observation_std: {part[:40]!r}, expected {expected}")
        found |= {name.strip(): value} if equals else dict.fromkeys(variables, value)
    return found


@dataclass(frozen=True, eq=False)
class Observed:
    """What was observed of some records.

    Attributes:
        shape: of a state.
        values: (records, rows, 2 + corners): 0 = nothing, 1 = measured or 2 = seen as 0; the value; the weights; the
            last two in units of the standard deviation.
        places: of what is read, in the flattened state, (records, rows, corners).
        used: how many numbers were observed of each record.
        notes: what was left out, in words.
        source: of the observations.
    """

    shape: tuple[int, ...]
    values: Float[Tensor, "records rows columns"]
    places: Int64[Tensor, "records rows corners"]
    used: Sequence[int]
    notes: Sequence[str] = ()
    source: str = "observations"

    @classmethod
    def of(
        cls,
        path: str | Path,
        known: Known,
        moments: Moments,
        std: Mapping[str, float] | None = None,
        units: Mapping[str, str] | None = None,
    ) -> "Observed":
        """Of a file; see observed/readings.py for its form.

        Args:
            path: CSV, NetCDF or Zarr.
            known: what the model knows of its data.
            moments: of the records.
            std: of the errors, by variable, where the file does not say them.
            units: of the variables.

        InputError for a reading that is none, for one whose error nobody says, and if none is of the forecast.
        """
        found, skipped = read(Path(path), known.variables, known.grid, units or {}), Skipped()
        kept = list(_matched(found, known, moments, skipped))
        placed = _placed(kept, known, skipped)
        if not placed:
            reasons = "; ".join(skipped.notes(path)) or f"{path}: has no readings"
            raise InputError(f"{reasons}; the forecast is of {moments.words}: nothing observed is of the forecast")
        rows: list[list[list[float]]] = [[] for _ in moments.times]
        places: list[list[list[int]]] = [[] for _ in moments.times]
        points, steps = int(np.prod(known.grid.shape)), moments.valid.shape[1]
        for reading, matches, index, weight in placed:
            variable = list(known.variables).index(reading.variable)
            numbers = _row(reading, weight, known, variable, std or {})
            for record, step in matches:
                rows[record].append(numbers)
                places[record].append([(variable * steps + step) * points + int(one) for one in index])
        shape = (len(known.variables) * steps, *known.grid.shape)
        used = [len(one) for one in rows]
        n, corner = max(used), len(placed[0][2])
        values = torch.zeros(len(rows), n, 2 + corner)
        at = torch.zeros(len(rows), n, corner, dtype=torch.int64)
        for record, count in enumerate(used):
            if count:
                values[record, :count] = torch.tensor(rows[record])
                at[record, :count] = torch.tensor(places[record])
        return cls(shape, values, at, used, skipped.notes(path), str(path))

    def of_records(self, records: Sequence[int]) -> tuple[list[Factor], Condition]:
        """Factors, and the conditions by which each sample is told of its own observations.

        Args:
            records: of each sample.
        """
        index = torch.as_tensor(records)
        kinds = self.values[..., 0]
        factors: list[Factor] = [AtStations(self.shape)] if bool((kinds == 1).any()) else []
        factors += [AtDryStations(self.shape)] if bool((kinds == 2).any()) else []
        return factors, {VALUES: self.values[index], PLACES: self.places[index]}

    def of_record(self, record: int) -> list[Factor]:
        """Factors that say the same of all samples, of one record, such as for particles.

        Args:
            record: its number.
        """
        factors, condition = self.of_records([record])
        return [factor.bound(condition) for factor in factors] if self.used[record] else []


def observations(
    path: str | Path, metadata: Mapping[str, Any], pairs: Pairs, std: str | Mapping[str, float] = ""
) -> Observed:
    """Observations of a file, for a model: of all records of a forecast.

    Args:
        path: CSV, NetCDF or Zarr; see observed/readings.py.
        metadata: of the model.
        pairs: the forecast.
        std: of the errors where the file does not say them: "0.5", "t2m=0.5,u10=1.2", or by name.
    """
    known = Known.of(metadata)
    by_name = stds(std, known.variables) if isinstance(std, str) else std
    return Observed.of(path, known, Moments.of(pairs, known.leads), by_name, metadata["units"])


def _matched(
    readings: Sequence[Reading], known: Known, moments: Moments, skipped: Skipped
) -> Iterator[tuple[Reading, list[tuple[int, int]]]]:
    """What the model can be told, with the records and steps that it is of."""
    for reading in readings:
        why = known_variable(reading, known.variables)
        if why is None and np.isnan(reading.value):
            why = "without a value"
        matches = [] if why else moments.matching(reading)
        if why is None and not matches:
            why = "of times or leads that the forecast has not"
        if why:
            skipped.add(why, reading.where)
        else:
            yield reading, matches


def _placed(
    kept: Sequence[tuple[Reading, list[tuple[int, int]]]], known: Known, skipped: Skipped
) -> list[tuple[Reading, list[tuple[int, int]], np.ndarray, np.ndarray]]:
    """With the points that are read."""
    found: dict[Any, Any] = {}
    for key in {tuple(sorted(reading.place.items())) for reading, _ in kept}:
        try:
            one = corners(known.grid, {name: [value] for name, value in key})
            found[key] = one.index[0], one.weight[0]
        except InputError as error:
            found[key] = str(error)
    placed = []
    for reading, matches in kept:
        at = found[tuple(sorted(reading.place.items()))]
        if isinstance(at, str):
            skipped.add(f"of places that the model has not: {at}", reading.where)
        else:
            placed.append((reading, matches, *at))
    return placed


def _row(reading: Reading, weight: np.ndarray, known: Known, variable: int, std: Mapping[str, float]) -> list[float]:
    """Kind, value and weights of one reading, the last two in units of its error."""
    error = reading.std or std.get(reading.variable)
    if error is None:
        raise InputError(
            f"{reading.where}: nobody says how sure {reading.variable} is, expected a column std, or an "
            f"observation_std such as {reading.variable}=0.5"
        )
    value, kind = reading.value, 1.0
    if known.positive[variable]:
        if value < 0:
            raise InputError(f"{reading.where}: value is {value:g}, expected a number from 0, as {reading.variable} is")
        kind = 2.0 if value == 0 else 1.0
        value, error = sqrt(value), sqrt(value + error) - sqrt(value)
    return [kind, value / error, *(weight / error).tolist()]
