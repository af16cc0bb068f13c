"""What a domain makes of a user's flags: the seam between what was asked for and what is drawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..denoisers.base import Condition, Guide
from ..sampling.sampler import Sampler
from ..spaces import TimePath


@dataclass(frozen=True)
class Request:
    """What to draw: guides to put on the model and what each sample is given.

    Attributes:
        guides: put on the model, the first inside.
        condition: what each sample is given, (n, ...) by name.
        record: what the request led to, in JSON values, for the manifest; what was asked is there anyway.
        each: what is said of every sample, as many JSON values a name as samples.
        defaults: settings of independent samples that the domain chooses where the user does not.
        population: those of one population of particles, likewise.
        sampler: for (space, number of steps, if said), where the order of the kernels is the domain's own; then eta,
            order and grid have no meaning, and `owned` names the flags that decide instead.
        independent: flags that were said and that only independent samples use.
        weighed: flags that were said and that only exact = particles uses.
        corrected: flags that were said and that only exact = mcmc uses.
        start, strength: clean states to begin with, and the time up to which they are noised; see Independent.
        path: through the times of the parts of the model's data, instead of the model's own: `TimePath.known("atoms")`
            draws the other parts around atoms that `start` gives, at the strength 1.
        notes: what the user should know of what was read, in words; samples carry them.
        beside: name → (n, ...), what is kept with the samples as further conditions of which the model is not told,
            such as the truth that they will be judged by.
        metadata: of what is drawn, in the place of those of the data that the model was trained on, in JSON values:
            the space is made of them, so that a network that knows no grid draws on another one. Samples keep them.
        windows: of a field that is larger than those that the model was trained on, of which it then draws windows that
            overlap: the further arguments of `denoisers.windows.windowed`, such as borders; see it for what the network
            must be told as conditions. The shape is that of the space of `metadata`.
    """

    guides: Sequence[Guide] = ()
    condition: Condition = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    each: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    population: Mapping[str, Any] = field(default_factory=dict)
    sampler: Callable[[Any, int | None], Sampler] | None = None
    owned: str = ""
    independent: Sequence[str] = ()
    weighed: Sequence[str] = ()
    corrected: Sequence[str] = ()
    start: Any = None
    strength: float | None = None
    path: TimePath | None = None
    notes: Sequence[str] = ()
    beside: Condition = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    windows: Mapping[str, Any] | None = None
