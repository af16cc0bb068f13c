"""What is known or wanted about x₀. `denoiser & guide` is a denoiser again, so guides nest and compose.

Classifier-free guidance (Ho & Salimans 2022) is an extrapolation from the belief without a condition to the belief with
it, in natural parameters: b = b_said + (scale − 1)(b_said − b_unsaid).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .beliefs import Belief
from .denoisers import Condition, Denoiser, Origin
from .spaces import Space
from .states import State, Time, batch_size, leaves


class Guide(ABC):
    """Anything that turns a denoiser into one that knows more."""

    @abstractmethod
    def guide(self, denoiser: Denoiser) -> Denoiser:
        """The guided denoiser, with the signature of the one it is given."""


@dataclass(frozen=True)
class Prompt(Guide):
    """Condition on something, by classifier-free guidance.

    Attributes:
        condition: name → the value for every sample (a number or the tensor of one sample), or None for the value that
            each sample is given in `sample(..., condition={name: ...})`.
        scale: 1 conditions without guidance, more sharpens, 0 ignores the condition.
    """

    condition: Mapping[str, Tensor | float | int | None]
    scale: float = 1.0

    def guide(self, denoiser: Denoiser) -> "Prompted":
        for name, value in self.condition.items():
            if value is not None and name in denoiser.given:
                raise ValueError(f"{name!r} is said already: a denoiser takes one prompt of a name")
        return Prompted(denoiser, self)


@dataclass(frozen=True)
class Guided(Denoiser):
    """A denoiser built on another: same space, same origin, same device."""

    denoiser: Denoiser

    @property
    def space(self) -> Space:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.denoiser.space

    @property
    def origin(self) -> Origin | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.denoiser.origin

    @property
    def device(self) -> torch.device:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.denoiser.device

    @property
    def given(self) -> Condition:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.denoiser.given

    @property
    def record(self) -> Sequence[Mapping[str, Any]]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.denoiser.record

    @property
    def grids(self) -> Mapping[int, Sequence[float]]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.denoiser.grids


@dataclass(frozen=True)
class Prompted(Guided):
    """A denoiser under a prompt: two calls a step, one at scale 0 or 1."""

    prompt: Prompt

    @property
    def given(self) -> Condition:  # pyright: ignore[reportIncompatibleVariableOverride]
        fixed = {name: torch.as_tensor(value) for name, value in self.prompt.condition.items() if value is not None}
        return {**self.denoiser.given, **fixed}

    @property
    def record(self) -> Sequence[Mapping[str, Any]]:  # pyright: ignore[reportIncompatibleVariableOverride]
        said = {name: _plain(value) for name, value in self.prompt.condition.items()}
        return (*self.denoiser.record, {"prompt": said, "scale": self.prompt.scale})

    @property
    def calls(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.denoiser.calls * (1 if self.prompt.scale in (0, 1) else 2)

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        condition = condition or {}
        said = {**condition, **self._values(condition, x_t)}
        unsaid = {name: value for name, value in condition.items() if name not in self.prompt.condition}
        if self.prompt.scale == 0:
            return self.denoiser(x_t, t, unsaid)
        belief = self.denoiser(x_t, t, said)
        if self.prompt.scale == 1:
            return belief
        return belief.extrapolate([self.denoiser(x_t, t, unsaid)], [self.prompt.scale - 1])

    def _values(self, condition: Condition, x_t: State) -> dict[str, Tensor]:
        n, device = batch_size(x_t), leaves(x_t)[0].device
        values = {}
        for name, value in self.prompt.condition.items():
            if value is None and name not in condition:
                raise ValueError(f"the prompt leaves {name!r} to each sample: pass condition={{{name!r}: ...}}")
            if value is not None:
                one = torch.as_tensor(value, device=device)
                values[name] = one.expand(n, *one.shape)
        return values


def _plain(value: Tensor | float | int | None) -> Any:
    """A prompt's value for a manifest: numbers as they are, long tensors by their shape."""
    if not isinstance(value, Tensor):
        return "each sample's own" if value is None else value
    return value.tolist() if value.numel() <= 16 else f"tensor of shape {tuple(value.shape)}"
