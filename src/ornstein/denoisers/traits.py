"""What is said of a denoiser beside what it believes: where it comes from, and what it was made for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from torch import Tensor

from ..deprecation import members
from ..spaces import Space
from .maps import Map

Condition = Mapping[str, Tensor]


@members(facts="metadata")
@dataclass(frozen=True)
class Origin:
    """Where a denoiser comes from, for manifests: domain, model name, its configuration and the hash of its weights."""

    domain: str
    name: str
    config: Mapping[str, Any]
    metadata: Mapping[str, Any]
    weights: str

    def record(self) -> dict[str, Any]:
        """In JSON values, for manifests, which call the metadata "facts"."""
        return {"facts" if name == "metadata" else name: value for name, value in vars(self).items()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Origin":
        """What `record` was made of."""
        return cls(record["domain"], record["name"], record["config"], record["facts"], record["weights"])


@dataclass(frozen=True)
class Traits:
    """What is said of a denoiser; one that is built on another replaces what it changes.

    Attributes:
        space: the data and noise it was made for.
        origin: the trained model behind it, if there is one.
        calls: network evaluations a call.
        grids: the time grids planned for it, by number of steps.
        fixed_condition: the condition that guides fix, one value for all samples.
        provenance: what its guides are, in JSON values.
        reach: the noise up to which its gradient is trusted for covariances; see Space.second_moment.
        time_independent: it believes the same of a state at every time: one that has not moved needs no new look.
        recalls: its network sees what it believed at the step before (self-conditioning).
        one_step: its belief at t = 1 is itself a sample, and it knows no other time; see denoisers/onestep.py.
        map: from its states to the field that factors speak of and samples are (mapped.py); None where these are one.
    """

    space: Space
    origin: Origin | None = None
    calls: int = 1
    grids: Mapping[int, Sequence[float]] = field(default_factory=dict)
    fixed_condition: Condition = field(default_factory=dict)
    provenance: tuple[Mapping[str, Any], ...] = ()
    reach: float = inf
    time_independent: bool = False
    recalls: bool = False
    one_step: bool = False
    map: Map | None = None

    def recorded(self, **guide: Any) -> "Traits":
        """The same with one more guide in its record."""
        return replace(self, provenance=(*self.provenance, guide))
