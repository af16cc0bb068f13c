"""Models whose states are not what their user knows: a map leads to the physical field, and all else speaks of that.

model = mapped(network, Residual("coarse", scale))       the model believes in (field − coarse)/scale
sample(model & Measurement(y, A, std), n, condition={"coarse": coarse}).x          fields, given A field ≈ y
"""

from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ..beliefs import Belief
from ..errors import InputError
from ..spaces import Space
from ..states import State, Time, batch_size
from .base import Condition, Denoiser, Guided, NeuralDenoiser, Traits
from .maps import Map
from .windows import Windowed


def mapped(denoiser: Denoiser, map: Map | Any) -> Denoiser:
    """The model with a map: factors that guide it, starts and samples are physical fields from here on.

    Called by itself it believes in its own states, as before; samplers, kernels and chains move these, and `physical`
    leads from them to the field.

    Args:
        denoiser: the model, (x_t, t, condition) → belief about its own states. If it has a map already, the new one
            comes after that.
        map: from its states to the physical field; see guidance/maps.

    InputError if the map is not of the model's states, or if the model is guided: what is known is said of the field,
    and so after the map.
    """
    if not isinstance(map, Map):
        raise InputError(f"a model is mapped by a map, such as Standardised(mean, std), not by a {type(map).__name__}")
    if denoiser.provenance:
        raise InputError(
            f"{denoiser!r} is guided already: put the map on the model itself, mapped(model, map) & guide, so that "
            "guides speak of the physical field"
        )
    if isinstance(denoiser, Guided) and not isinstance(denoiser, Mapped):
        return replace(denoiser, denoiser=mapped(denoiser.denoiser, map))
    whole = map if denoiser.map is None else map @ denoiser.map
    whole.require_fit(denoiser.space)
    if isinstance(denoiser, NeuralDenoiser | Windowed):
        return denoiser.having(map=whole)
    return Mapped(denoiser.denoiser if isinstance(denoiser, Mapped) else denoiser, whole)


@dataclass(frozen=True, repr=False)
class Mapped(Guided):
    """A denoiser, the same as before, and the map from its states to the physical field."""

    to_field: Map

    def changed(self, traits: Traits) -> Traits:
        return replace(traits, map=self.to_field)

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        return self.denoiser(x_t, t, condition)

    def terms(self, x_t: State, t: Time, condition: Condition | None = None) -> list[tuple[Time, Belief]]:
        return self.denoiser.terms(x_t, t, condition)

    def log_density(self, x_t: State, t: Time, condition: Condition | None = None) -> Float[Tensor, " batch"]:
        return self.denoiser.log_density(x_t, t, condition)


def field_space(denoiser: Denoiser) -> Space:
    """The space of what the model's user knows, of which guides speak."""
    return denoiser.space if denoiser.map is None else denoiser.map.field_space(denoiser.space)


def said(denoiser: Denoiser, condition: Condition | None, n: int) -> dict[str, Tensor]:
    """What n samples are given, prompts included.

    Args:
        denoiser: the model.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        n: how many samples there are.
    """
    prompts = {name: value.expand(n, *value.shape) for name, value in denoiser.fixed_condition.items()}
    return {**prompts, **(condition or {})}


def map_of(denoiser: Denoiser, condition: Condition | None, n: int) -> Map | None:
    """The map of n samples that are given this, prompts included; None where the model knows the field itself.

    Args:
        denoiser: the model.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        n: how many samples there are.

    InputError names a condition that the map is made of and that is missing or not finite.
    """
    if denoiser.map is None:
        return None
    return denoiser.map.bound(said(denoiser, condition, n))


def physical(denoiser: Denoiser, x: State, condition: Condition | None = None) -> Any:
    """The physical fields of a model's states; the states themselves where it has no map.

    Args:
        denoiser: the model.
        x: states, (batch, ...).
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
    """
    map = map_of(denoiser, condition, batch_size(x))
    return x if map is None else map(x)


def states_of(denoiser: Denoiser, field: State, condition: Condition | None = None) -> Any:
    """The model's states of physical fields; the fields themselves where it has no map.

    Args:
        denoiser: the model.
        field: physical fields, (batch, ...).
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.

    InputError for a field that no state leads to.
    """
    map = map_of(denoiser, condition, batch_size(field))
    return field if map is None else map.inverse(field)
