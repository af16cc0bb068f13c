"""A denoiser maps (x_t, t, condition) to a belief about x₀; guided and exact ones share the signature.

`condition` is a dictionary of what is given sample by sample (a label, a caption, numbers, coarse fields); a missing
name means "not said". Its name "mask" is reserved: (batch, positions), true where a position exists.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..beliefs import Belief
from ..config import suggestion
from ..deprecation import members, renamed
from ..errors import InputError
from ..events import Stream
from ..keys import Keys
from ..spaces import Product, Space, TimePath
from ..states import State, Time, batch_size, leaves, map_state
from .conditions import require_fit
from .maps import Map
from .recall import LAST, recalled, recalling
from .traits import Condition, Origin, Traits


@members(timeless="time_independent", given="fixed_condition", record="provenance")
class Denoiser(ABC):
    """p(x₀ | x_t) as a callable. One of your own has `traits = Traits(space)`, of the class or of the object.

    Attributes:
        traits: what is said of it, each of which can be asked of the denoiser itself.
    """

    traits: Traits

    @property
    def space(self) -> Space:
        """The data and noise it was made for."""
        return self.traits.space

    @property
    def origin(self) -> Origin | None:
        """The trained model behind it, if there is one."""
        return self.traits.origin

    @property
    def calls(self) -> int:
        """Network evaluations a call."""
        return self.traits.calls

    @property
    def grids(self) -> Mapping[int, Sequence[float]]:
        """The time grids planned for it, by number of steps."""
        return self.traits.grids

    @property
    def fixed_condition(self) -> Condition:
        """The condition that guides fix, one value for all samples."""
        return self.traits.fixed_condition

    @property
    def provenance(self) -> tuple[Mapping[str, Any], ...]:
        """What its guides are, in JSON values."""
        return self.traits.provenance

    @property
    def reach(self) -> float:
        """The noise up to which its gradient is trusted for covariances."""
        return self.traits.reach

    @property
    def time_independent(self) -> bool:
        """Whether it believes the same of a state at every time."""
        return self.traits.time_independent

    @property
    def recalls(self) -> bool:
        """Whether its network sees what it believed at the step before."""
        return self.traits.recalls

    @property
    def one_step(self) -> bool:
        """Whether its belief at t = 1 is itself a sample."""
        return self.traits.one_step

    @property
    def map(self) -> Map | None:
        """From its states to the field that factors speak of and samples are; None where these are one."""
        return self.traits.map

    @property
    def device(self) -> torch.device:
        """Where its states must be: with the weights, which may be moved at any time."""
        return torch.device("cpu")

    @abstractmethod
    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Belief:
        """The belief about x₀ given x_t at time t: a number, (batch,) or (batch, positions)."""

    def terms(self, x_t: State, t: Time, condition: Condition | None = None) -> list[tuple[Time, Belief]]:
        """Beliefs b_k and weights w_k, of sum 1, for a denoiser of Π_k p_k(x₀)^{w_k}: most have one term.

        Args:
            x_t: noisy states at time t, (batch, ...): a tensor of the space's shape for each sample, or a dictionary
                of them for a product.
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        """
        return [(1.0, self(x_t, t, condition))]

    def log_density(self, x_t: State, t: Time, condition: Condition | None = None) -> Float[Tensor, " batch"]:
        """log p(x_t) up to a constant that may depend on t and the condition alone; differentiable in x_t.

        InputError, where a denoiser knows only the slope of it.
        """
        raise InputError(
            f"{type(self).__name__} knows no log-density of its noisy states, only the score: train an EnergyDenoiser, "
            "or ask energy_difference for the difference of two states"
        )

    def along(self, path: TimePath) -> Self:
        """The same, drawn from on another path through the times of its parts, with all that guides it.

        Args:
            path: the parts' times along the clock.

        InputError for data of one part, for parts that there are not, and for a denoiser that knows one path only.
        """
        raise InputError(
            f"{self!r} knows no other path through the times of its parts: a {type(self).__name__} says in `along` "
            "what it is on another one"
        )

    def held(self, x0: Any, condition: Condition | None = None) -> Any:
        """Samples of clean data in which all that is known exactly holds to round-off; most know nothing so.

        Args:
            x0: clean states, (batch, ...).
            condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        """
        return x0

    def latent(self, keys: Keys) -> Condition:
        """What each sample draws for itself before it starts, such as its component of a mixture."""
        return {}

    def __and__(self, guide: "Guide") -> "Denoiser":
        """This denoiser, knowing more: again a denoiser; InputError if it is no guide."""
        require_guide(guide)
        if self.one_step and not guide.of_prior:
            raise InputError(f"{self!r} draws in one step: no {type(guide).__name__} can be weighed against its noise")
        return guide.guide(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({in_short(self.space)})"

    def _repr_html_(self) -> str:
        from ..report.notebooks import of_model

        return of_model(self)


def carry(denoiser: Denoiser, traits: Traits) -> None:
    """Gives traits to a denoiser that is frozen, when it is made."""
    object.__setattr__(denoiser, "traits", traits)


def require_guide(guide: Any) -> None:
    """InputError unless it can guide a denoiser."""
    if not isinstance(guide, Guide):
        hint = "; a function becomes one as Energy(function), or Reward(function) without a gradient"
        hint, kind = hint if callable(guide) else "", type(guide).__name__
        raise InputError(f"a model is guided by factors and other guides, not by a {kind}{hint}")


class Guide(ABC):
    """Anything that turns a denoiser into one that knows more.

    Attributes:
        of_prior: it changes the prior, and so goes inside of factors, which stay on the outside.
    """

    of_prior: ClassVar[bool] = False

    @abstractmethod
    def guide(self, denoiser: Denoiser) -> Denoiser:
        """The guided denoiser, with the signature of the one it is given."""

    def guiding(self, denoiser: Denoiser) -> Stream[Denoiser]:
        """`denoiser & self` as events, where that takes work that somebody may want to watch."""
        yield from ()
        return denoiser & self

    @property
    def is_fitted(self) -> bool:
        """Whether it is fitted to a denoiser, by drawing from it, when it is put on it."""
        return type(self).guiding is not Guide.guiding


@dataclass(frozen=True, repr=False)
class Guided(Denoiser):
    """A denoiser built on another, with its traits but for those that are `changed`."""

    denoiser: Denoiser

    def __post_init__(self) -> None:
        carry(self, self.changed(self.denoiser.traits))

    def changed(self, traits: Traits) -> Traits:
        """Its own traits, from those of the denoiser within."""
        return traits

    @property
    def device(self) -> torch.device:
        return self.denoiser.device

    def held(self, x0: Any, condition: Condition | None = None) -> Any:
        return self.denoiser.held(x0, condition)

    def along(self, path: TimePath) -> Self:
        return replace(self, denoiser=self.denoiser.along(path))

    def latent(self, keys: Keys) -> Condition:
        return self.denoiser.latent(keys)

    def __repr__(self) -> str:
        own = self.provenance[len(self.denoiser.provenance) :]
        return " & ".join([repr(self.denoiser), *map(guide_in_short, own)])


TRUSTED = 5.0
"""How far the gradient of a network reaches if nothing else is said. On the digits the trace of the covariance agrees
with the squared error up to 10 and is noise from 20 on."""


@renamed(null="unconditional")
@members(null="unconditional")
@dataclass(frozen=True, repr=False)
class NeuralDenoiser(Denoiser):
    """A network with its preconditioning: `NeuralDenoiser(network, Traits(space))`.

    Attributes:
        network: called with (inputs, times (batch, ...), condition); returns what `space.belief` understands. The times
            are a dictionary, part → times, where the parts of a product have times of their own (spaces/paths.py).
        unconditional: for every condition the value of one sample that stands for "not said"; for a field of any size
            NaN, (channels, 1, ...).
    """

    kind: ClassVar[str] = "model"

    network: nn.Module
    traits: Traits
    unconditional: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        reach = TRUSTED if self.reach == inf else self.reach
        time_independent = self.time_independent or getattr(self.network, "time_independent", False)
        recalls = self.recalls or getattr(self.network, "recalls", False)
        carry(self, replace(self.traits, reach=reach, time_independent=time_independent, recalls=recalls))

    def along(self, path: TimePath) -> Self:
        if not isinstance(self.space, Product):
            raise InputError(f"a path is for data of several parts, not for a {type(self.space).__name__} space")
        return self.having(space=self.space.along(path))

    def having(self, **traits: Any) -> Self:
        """The same network with other traits."""
        return replace(self, traits=replace(self.traits, **traits))

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def __repr__(self) -> str:
        name = f"{self.origin.domain}/{self.origin.name}" if self.origin else type(self).__name__
        weights = sum(weight.numel() for weight in self.network.parameters())
        return f"{name}({in_short(self.space)}, {weights:,} parameters)"

    def __call__(self, x_t: State, t: Any, condition: Condition | None = None) -> Belief:
        output = self.output(x_t, t, condition)
        return self.space.with_mask((condition or {}).get("mask")).belief(output, x_t, t)

    def output(self, x_t: State, t: Any, condition: Condition | None = None) -> Any:
        """What the network itself says of x_t.

        Args:
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions); or a dictionary
                of them, part → time.
            condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        """
        condition = condition or {}
        unheard = self.map.names - self.unconditional.keys() if self.map else frozenset[str]()  # those of the map alone
        condition = {name: value for name, value in condition.items() if name not in unheard}
        for name, value in condition.items():
            if name != "mask" and not (self.recalls and name.startswith(LAST)):
                self._require_fit(name, value)
        space = self.space.with_mask(condition.get("mask"))
        inputs = map_state(lambda x: in_precision(x, self.network), space.inputs(x_t, t))
        return self.network(inputs, times(space.own_times(t), x_t), self.complete(condition, x_t))

    def _require_fit(self, name: str, value: Tensor) -> None:
        """InputError for a condition that the model does not know, or of another kind or width than its own."""
        if name not in self.unconditional:
            raise InputError(f"this model knows no condition {name!r}{suggestion(name, list(self.unconditional))}")
        require_fit(name, value, self.unconditional[name])

    def losses(
        self, x0: State, t: Any, condition: Condition, keys: Keys, recall: bool | None = None
    ) -> Float[Tensor, " batch"]:
        """The denoising loss of each record.

        Args:
            x0: clean states, (batch, ...): a tensor of the space's shape for each sample, or a dictionary of them for
                a product.
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
            keys: random keys, one a sample; they decide everything random.
            recall: whether a network that recalls sees what it believes; if not said, the first key decides.
        """
        space = self.space.with_mask(condition.get("mask"))
        x_t = space.corrupt(x0, t, keys.fold("noise"))
        if self.recalls and (recalled(keys) if recall is None else recall):
            with torch.no_grad():
                condition = recalling(space, condition, self(x_t, t, condition))
        return space.loss(self(x_t, t, condition), x0, x_t, t)

    def complete(self, condition: Condition, x_t: State) -> dict[str, Tensor]:
        """The condition with "not said" in the place of every name it lacks."""
        device, n = leaves(x_t)[0].device, batch_size(x_t)
        unsaid = {name: value.to(device).expand(n, *value.shape) for name, value in self.unconditional.items()}
        return {**unsaid, **condition}


def in_short(space: Any) -> str:
    """The kind of a space and its shape, part by part."""
    parts = getattr(space, "parts", None)
    if parts is not None:
        return f"{type(space).__name__}({', '.join(f'{name}: {in_short(part)}' for name, part in parts.items())})"
    return f"{type(space).__name__} {' × '.join(map(str, getattr(space, 'shape', ())))}".rstrip()


def guide_in_short(record: Mapping[str, Any]) -> str:
    """The name of a guide, from its record."""
    kind, value = next(iter(record.items()))
    return value if kind in ("factor", "guide", "target") else kind


def in_precision(x: Tensor, network: nn.Module) -> Tensor:
    """Numbers in the precision of the network's weights, whatever that of the state."""
    weight = next(network.parameters(), None)
    return x if weight is None or not x.is_floating_point() else x.to(weight.dtype)


def times(t: Any, x_t: State) -> Any:
    """t as a float32 tensor with the batch of x_t as its first axis; a dictionary of them for one of times."""
    if isinstance(t, Mapping):
        return {name: times(own, x_t) for name, own in t.items()}
    first = leaves(x_t)[0]
    if isinstance(t, Tensor):
        return (t if t.ndim else t.expand(batch_size(x_t))).to(first.device, torch.float32)
    return torch.full((batch_size(x_t),), t, device=first.device)
