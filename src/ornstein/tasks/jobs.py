"""What every way to draw is told, and how its samples are put together with what made them."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..denoisers.base import Condition, Denoiser
from ..denoisers.mapped import physical
from ..errors import InputError
from ..keys import Keys
from ..sampling.kernels import SamplerState
from ..sampling.sampler import Sampler
from ..states import leaves, take, to_device
from ..values import as_tensor
from .engines import Engine, record
from .samples import Samples, not_finite


@dataclass(frozen=True)
class Job:
    """What every way to draw is told.

    Attributes:
        condition: what each of the n samples is given, guides included.
        settings: further values for the manifest.
        started: when, on the clock that counts seconds.
    """

    denoiser: Denoiser
    n: int
    seed: int
    first: int
    condition: Condition
    settings: Mapping[str, Any]
    started: float = field(default_factory=time.perf_counter)

    def keys(self, chosen: range) -> Keys:
        """Of the samples `chosen`, counted from the first of the job."""
        return Keys.of(self.seed, self.numbers(chosen), self.denoiser.device)

    def numbers(self, chosen: range) -> range:
        """Of the samples `chosen`, counted from the first of the job."""
        return range(self.first + chosen.start, self.first + chosen.stop)

    def given(self, index: Any) -> Condition:
        """What the samples `index` are given, on the device of the denoiser."""
        return to_device(take(self.condition, index), self.denoiser.device)

    def field(self, x: Any, condition: Condition) -> Any:
        """The physical fields of states of samples that are given this, on the device of the states."""
        if self.denoiser.map is None:
            return x
        return physical(self.denoiser, x, to_device(condition, leaves(x)[0].device))

    def standing(self, x: Any, condition: Condition, after: int = 0) -> dict[str, Any]:
        """What an event says of samples on their way: the fields of their states, and what makes `Samples` of them.

        Args:
            x: the model's states, (batch, ...).
            condition: what each is given, name → (batch, ...).
            after: how many samples of the job come before these.
        """
        settings = {**self.settings, "first": self.first + after}
        return {"state": self.field(x, condition), "condition": condition, "settings": settings}

    def finished(self, how: Engine, x: Any, condition: Condition, made: Mapping[str, Any], **more: Any) -> Samples:
        """The samples with everything that made them; `made`: how the engine says it drew them.

        Args:
            x: the model's states, (batch, ...), of which the samples are the physical fields.
            condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        """
        first, notes = self.first + more.pop("after", 0), more.pop("notes", ())
        said = {"seed": self.seed, "first": first, **record(how), **made, "guides": list(self.denoiser.provenance)}
        if self.denoiser.map is not None:
            said["map"] = dict(self.denoiser.map.provenance)
        x = self.field(x, condition)
        more["trajectory"] = [self.field(frame, condition) for frame in more.get("trajectory", ())]
        seconds = time.perf_counter() - more.pop("started", self.started)
        return Samples(
            to_device(x, "cpu"),
            to_device(condition, "cpu"),
            self.denoiser.origin,
            seconds=seconds,
            settings={**said, **self.settings},
            notes=[*notes, *not_finite(x)],
            **more,
        )


def of_sampler(sampler: Sampler) -> dict[str, Any]:
    """What the manifest says of a sampler."""
    return {
        "steps": sampler.descent,
        "intervals": sampler.intervals,
        "kernels": [repr(kernel) for kernel in sampler.kernels],
        "times": [round(time, 6) if isinstance(time, float) else "per sample" for time in sampler.grid],
    }


def walked(walks: Iterator[SamplerState]) -> Iterator[SamplerState]:
    """The walks, made without gradients, which the consumer's own work may have."""
    while True:
        with torch.no_grad():
            state = next(walks, None)
        if state is None:
            return
        yield state


def cost(state: SamplerState, n: int) -> dict[str, Any]:
    """Network evaluations and gradients a sample, on average, and what must be said of the linear solves."""
    return {"nfe": _mean(state.nfe, n), "gradients": _mean(state.gradients, n), "notes": state.notes}


def _mean(count: int | Tensor, n: int) -> float:
    """Of so many samples; whole where it is."""
    mean = float(torch.as_tensor(count).expand(n).double().mean())
    return int(mean) if mean.is_integer() else round(mean, 2)


def for_all(denoiser: Denoiser, n: int, condition: Condition) -> Condition:
    """What each of n samples is given, guides included; InputError if a value is not there for each."""
    condition = {name: as_tensor(value, f"condition {name!r}") for name, value in condition.items()}
    for name, value in condition.items():
        if not value.ndim or len(value) != n:
            found = f"has {len(value)} values" if value.ndim else "is one value"
            raise InputError(f"condition {name!r} {found}, expected one for each of {n} samples")
    fixed = {name: value.expand(n, *value.shape) for name, value in denoiser.fixed_condition.items()}
    return {**condition, **fixed}


def for_each(condition: Condition, n: int) -> Condition:
    """What one sample is given, as n of them are.

    Args:
        condition: of one, name → (1, ...).
    """
    return {name: value.expand(n, *value.shape[1:]) for name, value in condition.items()}
