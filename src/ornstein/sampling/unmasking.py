"""In which order hidden tokens are revealed, and how a wrong one is taken back: under masks the order is the sampler.

Tokens drawn in one step are drawn independently, each from its own belief, so what they say of one another is lost. Any
order is exact if one token a step is revealed; more a step are exact if all but one of them are certain:

    KL(joint law ‖ product of marginals) ≤ Σ_i H_i − max_i H_i,      H_i the entropy of position i's belief

    FirstHitting       the reverse chain itself, event by event, at most L calls (Zheng et al. 2024)
    Unmask             the best k a step, by confidence, margin or entropy (Nie et al. 2025, Kim et al. 2025), or as
                       many as keep that bound below γ (entropy-bounded: Ben-Hamu et al. 2025)
    Remask             the ancestral step in which revealed tokens may be masked again (ReMDM: Wang et al. 2025)
    InformedCorrector  hide some tokens, and draw those anew that do not fit the rest (cf. Zhao et al. 2024)

They are kernels, for every model of masked tokens, guided or not. A sample in which nothing moved costs no call.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..beliefs import Probs
from ..denoisers.base import Condition, Denoiser, Guide, Guided, Traits
from ..errors import InputError
from ..keys import Keys
from ..spaces import Autoregressive, Categorical, Choice
from ..spaces.categorical import draw
from ..states import State, Time, left, per_sample_sum
from .kernels import SamplerState, look, look_again

Order = Literal["random", "confidence", "margin", "entropy"]
Scores = Float[Tensor, "batch *positions"]


def entropy(probs: Float[Tensor, "... states"]) -> Float[Tensor, "..."]:
    """−Σ p log p, nats."""
    return torch.special.entr(probs).sum(-1)


def _margin(probs: Tensor) -> Tensor:
    best = probs.topk(2, -1).values
    return best[..., 0] - best[..., 1]


_BEST_FIRST: dict[str, Callable[[Tensor], Tensor]] = {
    "confidence": lambda probs: -probs.amax(-1),
    "margin": lambda probs: -_margin(probs),
    "entropy": entropy,
}


@dataclass(frozen=True)
class Unmask:
    """Reveals the first tokens of an order: as many as the time asks for, or as the bound allows.

    Attributes:
        order: random, or what the model is surest of: by the largest probability, by its distance to the second
            largest, by entropy. Ties and "random" are decided by the sample's key.
        bound: γ, nats: the most that a step may lose on the dependence of the tokens it draws. Their number then does
            not follow the time grid, except that its last step reveals all: give it as many steps as positions, those
            that are not needed cost nothing.
        drawn: from the belief; "mode" takes the likeliest token instead.
    """

    order: Order = "entropy"
    bound: float | None = None
    drawn: Literal["sample", "mode"] = "sample"

    def __post_init__(self) -> None:
        if self.bound is not None and (self.bound < 0 or self.order != "entropy"):
            raise InputError(f"a bound is at least 0 nats, in order of entropy, not {self.bound} by {self.order}")

    def __call__(
        self, state: SamplerState, s: Time, denoiser: Denoiser, condition: Condition, keys: Keys
    ) -> SamplerState:
        space, hidden = _masked(state.space), state.space.hidden(state.x)  # pyright: ignore[reportAttributeAccessIssue]
        belief, state = _looked(state, hidden, denoiser, condition)
        probs = belief.mean.double()
        chosen = self._chosen(probs, hidden, space, s, keys.fold("order"))
        tokens = draw(probs, keys.fold("token")) if self.drawn == "sample" else probs.argmax(-1)
        return replace(state, x=torch.where(chosen, tokens, state.x), t=s)

    def _chosen(self, probs: Tensor, hidden: Tensor, space: Categorical, s: Time, keys: Keys) -> Tensor:
        """The first positions of the order, flattened over the positions."""
        shape, probs, hidden = hidden.shape, probs.flatten(1, -2), hidden.flatten(1)
        ties = keys.uniform(hidden.shape[1])
        score = ties if self.order == "random" else _BEST_FIRST[self.order](probs) + 1e-9 * ties
        rank = score.masked_fill(~hidden, torch.inf).argsort(1)
        counts = _due(hidden, space, s) if self.bound is None else _within(self.bound, probs, rank, hidden, s)
        first = torch.arange(hidden.shape[1], device=hidden.device) < counts[:, None]
        return (torch.zeros_like(hidden).scatter(1, rank, first) & hidden).reshape(shape)


@dataclass(frozen=True)
class FirstHitting:
    """The reverse chain from t to s without error of its own: one token at each of its events, at a random position.

    Of n hidden tokens the next appears when the masked share has fallen by the factor u^{1/n}, u uniform.
    """

    def __call__(
        self, state: SamplerState, s: Time, denoiser: Denoiser, condition: Condition, keys: Keys
    ) -> SamplerState:
        space = _masked(state.space)
        until = 1 - space.schedule.alpha(s)
        share = torch.as_tensor(1 - space.schedule.alpha(state.t)).expand(len(state.x)).to(state.x.device)
        for event in range(state.x[0].numel()):
            hidden, here = space.hidden(state.x), keys.fold(event)
            n = per_sample_sum(hidden.double())
            share = share * here.fold("when").uniform() ** (1 / n.clamp(min=1))
            due = (n > 0) & (share > until)
            if not due.any():
                break
            state = self._event(state, hidden & left(due, hidden), denoiser, condition, here)
        return replace(state, t=s)

    def _event(
        self, state: SamplerState, hidden: Tensor, denoiser: Denoiser, condition: Condition, keys: Keys
    ) -> SamplerState:
        belief, state = _looked(state, hidden, denoiser, condition)
        lottery = keys.fold("where").uniform(*hidden.shape[1:]).masked_fill(~hidden, -1.0)
        best = left(lottery.flatten(1).amax(1), lottery)
        chosen = hidden & (lottery == best)
        return replace(state, x=torch.where(chosen, draw(belief.mean, keys.fold("token")), state.x))


@dataclass(frozen=True)
class Remask:
    """The ancestral step of a chain with the same marginals that masks revealed tokens again, so that none is final.

    A token is masked again with probability σ = min(cap, rescale · σ_max), σ_max = min(1, (1 − α_s)/α_t), and a mask
    revealed with (α_s − (1 − σ) α_t)/(1 − α_t).
    """

    rescale: float = 1.0
    cap: float = 0.05

    def __call__(
        self, state: SamplerState, s: Time, denoiser: Denoiser, condition: Condition, keys: Keys
    ) -> SamplerState:
        space = _masked(state.space)
        alpha_t, alpha_s = (space.schedule.alpha(time).item() for time in (state.t, s))
        most = min(1.0, (1 - alpha_s) / alpha_t) if alpha_t else 1.0
        again = min(self.cap, self.rescale * most)
        reveal = (alpha_s - (1 - again) * alpha_t) / (1 - alpha_t) if alpha_t < 1 else 1.0
        belief, calls = look(state, denoiser, condition)
        transition = Choice(self._probs(state, space, belief, again, reveal).log(), state.x, space.mask)
        past = ((state.t, belief),)
        return SamplerState(transition.sample(keys), s, state.space, past, state.nfe + calls, state.x, transition)

    def _probs(self, state: SamplerState, space: Categorical, belief: Probs, again: float, reveal: float) -> Tensor:
        move = torch.where(space.hidden(state.x), reveal, 1 - again)[..., None]
        mask = torch.nn.functional.one_hot(torch.tensor(space.size), space.states).to(belief.mean.device).double()
        return move * belief.mean.double() + (1 - move) * mask


@dataclass(frozen=True)
class InformedCorrector:
    """A second look at what was revealed: hide a random share of it, and draw anew what does not fit the rest.

    Two calls a round. A token is taken back if the rest, what is hidden with it aside, gives it a probability below
    `fit`; so a round changes the law of the samples by no more than the mass that tokens rarer than `fit` have.

    Attributes:
        share: of the tokens hidden in a round.
        fit: the smallest probability of a token that may stay; 1 redraws all that is hidden.
        since: it acts at times up to this one; 0 = when the samples are complete.
    """

    share: float = 0.5
    fit: float = 0.01
    since: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.share <= 1 and 0 < self.fit <= 1):
            raise InputError(f"share and fit are in (0, 1], not {self.share} and {self.fit}")

    def __call__(
        self, state: SamplerState, s: Time, denoiser: Denoiser, condition: Condition, keys: Keys
    ) -> SamplerState:
        if not isinstance(s, Tensor) and s > self.since:
            return state
        space = _with_masks(state.space)
        exists = torch.ones_like(state.x).bool() if space.mask is None else left(space.mask, state.x).expand_as(state.x)
        revealed = exists & ~space.hidden(state.x)
        looked_at = revealed & (keys.fold("hide").uniform(*state.x.shape[1:]) < self.share)
        alone, first = self._seen_without(looked_at, state, denoiser, condition)
        kept = first.mean.gather(-1, state.x[..., None]).squeeze(-1)
        wrong = looked_at & (kept < self.fit)
        again, second = self._seen_without(wrong, replace(alone, x=state.x), denoiser, condition)
        x = torch.where(wrong, draw(second.mean, keys.fold("token")), state.x)
        return replace(state, x=x, past=(), nfe=again.nfe, before=None, transition=None)

    def _seen_without(
        self, taken: Tensor, state: SamplerState, denoiser: Denoiser, condition: Condition
    ) -> tuple[SamplerState, Probs]:
        """What is believed of the tokens taken away."""
        space: Any = state.space
        hidden = replace(state, x=torch.where(taken, space.size, state.x), past=())
        belief, after = _looked(hidden, taken, denoiser, condition)
        return after, belief


@dataclass(frozen=True)
class TemperatureTopP(Guide):
    """Beliefs sharper than the model's, token by token: less varied samples, and no longer the model's law.

    Attributes:
        temperature: log-probabilities are divided by it; below 1 = sharper.
        top_p: only the likeliest tokens count, as few as have this much probability together.
    """

    temperature: float = 1.0
    top_p: float = 1.0

    of_prior = True

    def __post_init__(self) -> None:
        if self.temperature <= 0 or not 0 < self.top_p <= 1:
            raise InputError(f"temperature is above 0 and top_p in (0, 1], not {self.temperature} and {self.top_p}")

    def guide(self, denoiser: Denoiser) -> Denoiser:
        if not isinstance(denoiser.space, Categorical):
            raise InputError("temperature and top_p are for categories")
        return _Sharper(denoiser, self)

    def log_probs(self, logits: Float[Tensor, "... states"]) -> Float[Tensor, "... states"]:
        """The sharpened log-probabilities."""
        logits = (logits.double() / self.temperature).log_softmax(-1)
        if self.top_p == 1:
            return logits
        ordered, index = logits.exp().sort(-1, descending=True)
        beyond = torch.zeros_like(logits).bool().scatter(-1, index, ordered.cumsum(-1) - ordered >= self.top_p)
        return logits.masked_fill(beyond, -torch.inf)


@dataclass(frozen=True, repr=False)
class _Sharper(Guided):
    sharpened: TemperatureTopP

    def changed(self, traits: Traits) -> Traits:
        return traits.recorded(guide="Sharpened", **vars(self.sharpened))

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Probs:
        belief = self.denoiser(x_t, t, condition)
        assert isinstance(belief, Probs)
        return replace(belief, logits=self.sharpened.log_probs(belief.logits))


def _masked(space: Any) -> Categorical:
    """InputError unless noise is masks alone, in no order."""
    if not isinstance(space, Categorical) or not space.absorbing or isinstance(space, Autoregressive):
        raise InputError("tokens are revealed in an order only where noise does nothing but mask them, anywhere")
    return space


def _with_masks(space: Any) -> Categorical:
    """InputError unless tokens can be hidden, in no order."""
    if not isinstance(space, Categorical) or space.states == space.size or isinstance(space, Autoregressive):
        raise InputError("a second look hides tokens: it is for noise that masks, at least in part, anywhere")
    return space


def _looked(
    state: SamplerState, hidden: Tensor, denoiser: Denoiser, condition: Condition
) -> tuple[Probs, SamplerState]:
    """The belief where something is hidden, and the walk with that look behind it.

    Unmoved samples and those with nothing hidden are spared the call. The time is the one that has as many masks.
    """
    moved = hidden.flatten(1).any(1)
    if denoiser.time_independent and state.past:
        moved = moved & (state.x != state.before).flatten(1).any(1)
    space: Any = state.space
    known = (
        state
        if state.past
        else replace(state, past=((state.t, space.point_mass(state.x)),), before=torch.full_like(state.x, -1))
    )
    belief, calls = look_again(replace(known, t=_when(space, state.x)), moved, denoiser, condition)
    before = torch.where(left(moved, state.x), state.x, known.before)
    return belief, replace(state, past=((state.t, belief),), nfe=state.nfe + calls, before=before, transition=None)


def _when(space: Categorical, x: Int[Tensor, "batch *positions"]) -> Float[Tensor, " batch"]:
    """The time at which as many tokens are hidden on average, away from the ends, where nothing or all is."""
    least = 0.5 / x[0].numel()
    share = space.mean(space.hidden(x).double()) / space.chain.stationary[space.size].item()
    return space.schedule.when(1 - share.clamp(least, 1 - least)).to(x.device)


def _due(hidden: Bool[Tensor, "batch n"], space: Categorical, s: Time) -> Int[Tensor, " batch"]:
    """How many of the hidden tokens must go for the share of masks to be that of time s."""
    length = hidden.shape[1] if space.mask is None else space.mask.flatten(1).sum(1)
    left_hidden = torch.floor(length * (1 - space.schedule.alpha(s).to(hidden.device)) + 1e-9)
    return (hidden.sum(1) - left_hidden).clamp(min=0).long()


def _within(bound: float, probs: Tensor, rank: Tensor, hidden: Tensor, s: Time) -> Int[Tensor, " batch"]:
    """How many tokens keep the bound, one at least; all at the end."""
    if not isinstance(s, Tensor) and s == 0:
        return hidden.sum(1)
    ordered = torch.where(hidden, entropy(probs), 0.0).gather(1, rank)
    loss = ordered.cumsum(1) - ordered  # ascending, so the last is the largest
    return (loss <= bound + 1e-9).sum(1)
