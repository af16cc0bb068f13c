"""What an ensemble is of: which times, steps and members its samples are, and what their numbers mean.

Sample k is member k % members of case k // members. A case is a time of the forecast, in order; where a model draws one
lead at a time, it is a time and a step, the steps of a time one after the other. Times and steps are kept as files have
them, numbers with units and a calendar.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ....errors import needed_for
from ....files import ANY, NUMBER, Within, require
from ..files import times as clock
from ..files.grids import Grid
from ..unseen import from_record

if TYPE_CHECKING:
    import xarray

ENSEMBLE = "ensemble"
"""The setting that says what samples are of."""
_AXIS = {"values": [NUMBER], "attrs": {str: str}}
_SCHEMA = {
    "members": Within(int, 1, 10**6),
    "times": _AXIS,
    "steps": _AXIS,
    "attrs": {str: ANY},
    "factors": (None, [Within(float, 0, 1e6)]),
}
"""Of the setting."""


def axis_of(values: np.ndarray, encoding: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Times or steps in JSON values: numbers, with units and a calendar if they are dates or durations.

    Args:
        values: dates or durations of NumPy, dates of another calendar, or plain numbers.
        encoding: of the file that they are from, whose units and calendar are kept.
    """
    with needed_for("NetCDF and Zarr", "fields"):
        import xarray
        from xarray.conventions import encode_cf_variable
    kept = {name: (encoding or {})[name] for name in ("units", "calendar") if name in (encoding or {})}
    kept = kept if values.dtype.kind in "mMO" else {}
    found = encode_cf_variable(xarray.Variable(("n",), values, encoding=kept))
    attrs = {name: str(value) for name, value in found.attrs.items() if name in ("units", "calendar", "dtype")}
    return {"values": np.asarray(found.values).tolist(), "attrs": attrs}


def values_of(axis: Mapping[str, Any]) -> np.ndarray:
    """The times or steps that `axis_of` was made of."""
    import xarray
    from xarray.conventions import decode_cf_variable

    encoded = xarray.Variable(("n",), np.array(axis["values"]), dict(axis["attrs"]))
    return np.asarray(decode_cf_variable("n", encoded, decode_timedelta=True).values)


def valid_times(times: np.ndarray, steps: np.ndarray) -> np.ndarray | None:
    """When each step of each time is, (times, steps); None where times are dates and steps are none of their kind.

    Args:
        times, steps: as `values_of` gives them.
    """
    alike = (times.dtype.kind in "MO") == (steps.dtype.kind == "m")
    return clock.valid_times(times, steps) if alike else None


@dataclass(frozen=True, eq=False)
class Frame:
    """What the samples of a request are of.

    Attributes:
        variables, units, attrs: names, and what is known of each.
        grid: that they are on.
        members: of each case.
        times, steps: axes, in JSON values.
        each: whether a sample is of one step.
        positive: of each variable, whether it is never negative.
        said: attributes of the forecast's file.
        factors: by which members are spread about their mean, (V · S); None = they are left as they are.
        unseen: of each variable, where nothing was ever known of the truth; None = everywhere something was.
    """

    variables: tuple[str, ...]
    units: Mapping[str, str]
    attrs: Mapping[str, Mapping[str, Any]]
    grid: Grid
    members: int
    times: Mapping[str, Any]
    steps: Mapping[str, Any]
    each: bool
    positive: tuple[bool, ...]
    said: Mapping[str, Any]
    factors: tuple[float, ...] | None
    unseen: Bool[np.ndarray, "v 1 *grid"] | None = None

    @classmethod
    def of(cls, metadata: Mapping[str, Any], settings: Mapping[str, Any]) -> "Frame":
        """Of samples that were drawn.

        Args:
            metadata: of the model, in JSON values.
            settings: of the samples.
        """
        said = require(settings.get(ENSEMBLE), _SCHEMA, f"settings: {ENSEMBLE}")
        factors, mask = said["factors"], from_record(metadata.get("unseen"))
        return cls(
            tuple(metadata["variables"]), metadata["units"], metadata["attrs"], Grid.from_record(metadata["grid"]),
            said["members"], said["times"], said["steps"], metadata["leads"] == "each", tuple(metadata["positive"]),
            said["attrs"], None if factors is None else tuple(factors),
            None if mask is None else mask[:, None],
        )  # fmt: skip

    # Which sample is what -----------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Steps."""
        return len(self.steps["values"])

    @property
    def per_time(self) -> int:
        """Cases of one time."""
        return self.count if self.each else 1

    def cases(self, numbers: range) -> range:
        """That samples are of."""
        return range(numbers.start // self.members, (numbers.stop - 1) // self.members + 1)

    def numbers(self, case: int, among: range) -> range:
        """The samples of a case.

        Args:
            case: its number.
            among: these samples.
        """
        first = case * self.members
        return range(max(first, among.start), min(first + self.members, among.stop))

    def times_of(self, numbers: range) -> range:
        """The times that samples are of."""
        cases = self.cases(numbers)
        return range(cases.start // self.per_time, (cases.stop - 1) // self.per_time + 1)

    def members_of(self, numbers: range) -> range:
        """The members of which there are some: of one case alone those that are there, else all."""
        if len(self.cases(numbers)) == 1:
            first = numbers.start % self.members
            return range(first, first + len(numbers))
        return range(self.members)

    # What a sample is ---------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """(V, S, *grid) of a sample; of one lead S = 1."""
        return (len(self.variables), 1 if self.each else self.count, *self.grid.shape)

    @property
    def size(self) -> int:
        """Numbers of a sample."""
        return prod(self.shape)

    def fields(self, x: Float[Tensor, "n channels *grid"]) -> Float[Tensor, "n v s *grid"]:
        """Samples by variable and step, in the units of the variables.

        Args:
            x: samples of a model, channel v · S + s of variable v and step s.
        """
        return x.reshape(-1, *self.shape)

    def rooted(self, fields: Float[Tensor, "n v s *grid"]) -> Float[Tensor, "n v s *grid"]:
        """u of fields: the roots of variables that are never negative."""
        return torch.where(self._roots, fields.clamp(min=0).sqrt(), fields)

    def squared(self, u: Float[Tensor, "n v s *grid"]) -> Float[Tensor, "n v s *grid"]:
        """Fields of u: the inverse of `rooted`."""
        return torch.where(self._roots, u.clamp(min=0).square(), u)

    def spread(
        self, fields: Float[Tensor, "n v s *grid"], mean: Float[Tensor, "v s *grid"], factor: Float[Tensor, "v s *ones"]
    ) -> Float[Tensor, "n v s *grid"]:
        """Members spread about their mean, by their roots where they are never negative; zeros stay so.

        Args:
            fields: members, in the units of the variables.
            mean: of their u, over all members of their case.
            factor: by which their distance from it is multiplied.
        """
        u = self.rooted(fields)
        return torch.where(self._roots & (fields <= 0), fields, self.squared(u + (factor - 1) * (u - mean)))

    @cached_property
    def _roots(self) -> Tensor:
        return torch.tensor(self.positive).reshape(-1, *(1,) * (len(self.shape) - 1))

    def factor(self, case: int) -> Float[Tensor, "v s *ones"]:
        """By what a case is spread about the mean of its members; 1 where nobody says.

        Args:
            case: its number.
        """
        v, s = len(self.variables), self.count
        every = torch.ones(v, s) if self.factors is None else torch.tensor(self.factors).reshape(v, -1).expand(v, s)
        kept = every[:, case % s, None] if self.each else every
        return kept.reshape(*kept.shape, *(1,) * len(self.grid.shape))

    # As a file has it ---------------------------------------------------------------------------------

    def coords(self, times: range) -> dict[str, "xarray.Variable"]:
        """Coordinates as they are encoded: time, step, valid_time and those of the grid.

        Args:
            times: of those that were asked for.
        """
        import xarray

        values = np.array(self.times["values"])[times.start : times.stop]
        found = {
            "time": xarray.Variable(("time",), values, {**_NAMED["time"], **self.times["attrs"]}),
            "step": xarray.Variable(
                ("step",), np.array(self.steps["values"]), {**_NAMED["step"], **self.steps["attrs"]}
            ),
        }
        valid = valid_times(values_of({**self.times, "values": values}), values_of(self.steps))
        if valid is not None:
            calendar = {name: value for name, value in self.times["attrs"].items() if name == "calendar"}
            encoded = axis_of(valid.ravel(), calendar)  # hours, where times are days
            at = np.array(encoded["values"]).reshape(valid.shape)
            found["valid_time"] = xarray.Variable(("time", "step"), at, {**_NAMED["valid_time"], **encoded["attrs"]})
        for name, value in self.grid.coords.items():
            texts = value.dtype.kind == "U"
            attrs = dict(self.grid.attrs.get(name, {}))
            found[name] = xarray.Variable(self.grid.over[name], value.astype(object) if texts else value, attrs)
        return found

    def described(self, name: str) -> dict[str, Any]:
        """Attributes of a variable."""
        units = self.units.get(name, "")
        return {**self.attrs.get(name, {}), **({"units": units} if units else {})}


_NAMED: Mapping[str, dict[str, str]] = {
    "time": {"standard_name": "forecast_reference_time", "long_name": "initial time of the forecast"},
    "step": {"standard_name": "forecast_period", "long_name": "time since the initial time of the forecast"},
    "valid_time": {"standard_name": "time", "long_name": "time of which the forecast is"},
}
