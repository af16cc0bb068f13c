"""Categories: tokens, residues, atom types. A Markov chain corrupts every position on its own; α(t) is its survival.

The move from t to s under a belief p(x₀ | x_t) is Bayes' rule, position by position, with a = α_t/α_s:

    p(x_s = j | x_t) ∝ Q_a[j, x_t] Σ_i p(i | x_t) / Q_{α_t}[i, x_t] · Q_{α_s}[i, j]

At s = 0 this is a draw from the belief itself. Draws and probabilities are float64: a float32 Gumbel draw lowers the
temperature without saying so.

The likelihood bound of continuous time is, for every chain, with σ = −log α and the ratios of neighbours y of x = x_t

    −log p(x₀) ≤ ∫ dt σ′ E Σ_i Σ_{y≠x} R[y, x] (s_y − r_y log s_y + r_y log r_y − r_y),
    r_y = q_t(y | x₀) / q_t(x | x₀),     s_y = Σ_v p(v | x_t) q_t(y | v) / q_t(x | v)

(Campbell et al. 2022, Lou et al. 2024). For masks it is −α′/(1 − α) times the cross-entropy of what is hidden.
"""

from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..beliefs import Belief, Probs
from ..errors import InputError, RecordError
from ..keys import Keys
from ..schedules import RectifiedFlow, Schedule
from ..states import State, Time, as_time, left, per_sample_sum
from .base import Mask, Space, Transition, require_shape
from .markov import Markov, RedrawKernel, Substitution, codes


def draw(probs: Float[Tensor, "batch *positions states"], keys: Keys) -> Int[Tensor, "batch *positions"]:
    """One state a position by inverting the cumulative distribution; never one of probability 0."""
    cumulative = probs.double().cumsum(-1)
    u = keys.uniform(*probs.shape[1:-1])[..., None] * cumulative[..., -1:]
    return (cumulative <= u).sum(-1)


@dataclass(frozen=True)
class Choice(Transition):
    """An independent categorical draw at every position that exists; the others stay as they are.

    Attributes:
        log_probs: (batch, *positions, states), float64.
        x_t: the state moved from.
    """

    log_probs: Float[Tensor, "batch *positions states"]
    x_t: Int[Tensor, "batch *positions"]
    mask: Tensor | None = None

    def sample(self, keys: Keys) -> Int[Tensor, "batch *positions"]:
        drawn = draw(self.log_probs.exp(), keys)
        return drawn if self.mask is None else torch.where(left(self.mask, drawn), drawn, self.x_t)

    def log_prob(self, x: State) -> Float[Tensor, " batch"]:
        assert isinstance(x, Tensor)
        chosen = self.log_probs.gather(-1, x[..., None]).squeeze(-1)
        return per_sample_sum(chosen if self.mask is None else chosen.where(left(self.mask, chosen), 0.0))


@dataclass(frozen=True)
class Stationary(Transition):
    """One law of the states at every position that exists, whatever was there; 0 where nothing exists.

    Attributes:
        probs: of the states.
        shape: positions of one sample.
        mask: the positions that exist; None = all.
    """

    probs: Float[Tensor, " states"]
    shape: tuple[int, ...]
    mask: Tensor | None = None

    def sample(self, keys: Keys) -> Int[Tensor, "batch *positions"]:
        drawn = draw(self.probs.expand(len(keys), *self.shape, -1), keys)
        return drawn if self.mask is None else drawn * left(self.mask, drawn)

    def log_prob(self, x: State) -> Float[Tensor, " batch"]:
        assert isinstance(x, Tensor)
        each = self.probs.double().log()[x]
        return per_sample_sum(each if self.mask is None else each.where(left(self.mask, each), 0.0))


@dataclass(frozen=True)
class Categorical(Space):
    """`size` categories at every position of `shape`. Build it with `masked`, `uniform` or `substitution`.

    Attributes:
        chain: how categories are corrupted; it may have one state more than the data, the mask, numbered `size`.
        weighting: "elbo" = the bound above, in nats a position; "counted" = the same for masks, with 1/(1 − α) replaced
            by its mean (L + 1)/n given that n of L positions are hidden: less noise, the same mean over the times
            where the belief depends on x_t alone; "unit" = the cross-entropy at all times alike.
    """

    shape: tuple[int, ...]
    size: int
    chain: Markov
    schedule: Schedule = RectifiedFlow()
    weighting: Literal["elbo", "counted", "unit"] = "unit"
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        if self.schedule.left_over > 0.05:
            raise InputError(f"{self.schedule} keeps the signal at t = 1, so categories would never be forgotten")
        if self.weighting == "counted" and not (self.absorbing and self.schedule.left_over == 0):
            raise InputError("masks are counted under masked noise that ends in masks alone, α(1) = 0")

    @classmethod
    def masked(cls, shape: tuple[int, ...], size: int, schedule: Schedule = RectifiedFlow()) -> Self:
        """Absorbing noise: a token stays or becomes the mask, which is state `size`.

        Args:
            shape: positions of one sample.
            schedule: α(t) and σ(t) of the noise.
        """
        stationary = torch.zeros(size + 1, dtype=torch.float64)
        stationary[size] = 1.0
        return cls(shape, size, RedrawKernel(stationary), schedule, "elbo")

    @classmethod
    def uniform(cls, shape: tuple[int, ...], size: int, schedule: Schedule = RectifiedFlow()) -> Self:
        """A token stays or becomes any category.

        Args:
            shape: positions of one sample.
            size: number of categories, the mask not counted.
            schedule: α(t) and σ(t) of the noise.
        """
        return cls(shape, size, RedrawKernel(torch.full((size,), 1 / size, dtype=torch.float64)), schedule)

    @classmethod
    def hybrid(
        cls, shape: tuple[int, ...], size: int, uniform: float = 0.1, schedule: Schedule = RectifiedFlow()
    ) -> Self:
        """A token stays or is redrawn: any category with probability `uniform`, else the mask (GIDD, Rütte 2025).

        Args:
            shape: positions of one sample.
            size: number of categories, the mask not counted.
            schedule: α(t) and σ(t) of the noise.
        """
        stationary = torch.full((size + 1,), uniform / size, dtype=torch.float64)
        stationary[size] = 1 - uniform
        return cls(shape, size, RedrawKernel(stationary), schedule)

    @classmethod
    def substitution(
        cls, shape: tuple[int, ...], rate: Float[Tensor, "size size"], schedule: Schedule = RectifiedFlow()
    ) -> Self:
        """Tokens mutate at the given rates (BLOSUM, transitions and transversions).

        Args:
            shape: positions of one sample.
            rate: rates of substitution, rows sum to 0, (size, size).
            schedule: α(t) and σ(t) of the noise.
        """
        return cls(shape, len(rate), Substitution(rate), schedule)

    @property
    def states(self) -> int:
        """The number of states of a noisy position: `size`, or one more with a mask."""
        return len(self.chain.stationary)

    @property
    def absorbing(self) -> bool:
        """Whether noise does nothing but mask: what is not masked is clean."""
        return self.states > self.size and self.chain.end == self.size

    def existing(self, x: Int[Tensor, "batch *positions"]) -> Bool[Tensor, "batch *positions"]:
        """Where there is a category."""
        return torch.ones_like(x, dtype=torch.bool) if self.mask is None else left(self.mask, x).expand_as(x)

    def hidden(self, x_t: Int[Tensor, "batch *positions"]) -> Bool[Tensor, "batch *positions"]:
        """Where there is a mask to be revealed."""
        hidden = (x_t == self.size) & (self.states > self.size)
        return hidden if self.mask is None else hidden & left(self.mask, hidden)

    def with_mask(self, mask: Mask | None) -> Self:
        return replace(self, mask=mask)

    def prior(self, keys: Keys) -> Int[Tensor, "batch *positions"]:
        return self.prior_law(keys.root.device).sample(keys)

    def prior_law(self, device: torch.device | str = "cpu") -> Stationary:
        return Stationary(self.chain.stationary.to(device), self.shape, self.mask)

    def noise(self, x0: State, t: Time, keys: Keys, since: Time = 0.0) -> Int[Tensor, "batch *positions"]:
        return self._existing(draw(self._noised(x0, t, since), keys))

    def noising(self, x0: State, t: Time, since: Time = 0.0) -> Choice:
        assert isinstance(x0, Tensor)
        return Choice(self._noised(x0, t, since).log(), x0, self.mask)

    def _noised(self, x0: State, t: Time, since: Time) -> Float[Tensor, "batch *positions states"]:
        """The probabilities of the states at t."""
        assert isinstance(x0, Tensor)
        survival = (self._alpha(t, x0) / self._alpha(since, x0)).nan_to_num(1.0)
        return self.chain.push(survival, codes(x0, self.states))

    def step(self, x_t: State, belief: Belief, t: Time, s: Time, eta: float = 1.0) -> Choice:
        """Ancestral for every eta: categories have no deterministic flow.

        Args:
            x_t: noisy states at time t, (batch, ...): a tensor of the space's shape for each sample, or a dictionary
                of them for a product.
            belief: p(x₀ | x_t), one a sample.
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            s: the time to go to, at most t.
        """
        assert isinstance(x_t, Tensor)
        alpha_t, alpha_s = self._alpha(t, x_t), self._alpha(s, x_t)
        seen = self.chain.column(alpha_t, x_t)
        origin = torch.where(seen > 0, belief.mean.double() / seen.where(seen > 0, 1.0), 0.0)
        onward = self.chain.column((alpha_t / alpha_s).nan_to_num(1.0), x_t)
        joint = self.chain.push(alpha_s, origin) * onward
        total = joint.sum(-1, keepdim=True)
        stay = codes(x_t, self.states)  # where the belief contradicts x_t altogether
        return Choice(torch.where(total > 0, joint / total.where(total > 0, 1.0), stay).log(), x_t, self.mask)

    def loss(self, belief: Belief, x0: State, x_t: State, t: Time) -> Float[Tensor, " batch"]:
        assert isinstance(belief, Probs)
        assert isinstance(x0, Tensor)
        assert isinstance(x_t, Tensor)
        return self.mean(self._nats(belief, x0, x_t, t))

    def mean(self, values: Float[Tensor, "batch *positions"]) -> Float[Tensor, " batch"]:
        """Over the positions that exist."""
        if self.mask is None:
            return per_sample_sum(values) / values[0].numel()
        exists = left(self.mask, values)
        return per_sample_sum(values.where(exists, 0.0)) / per_sample_sum(exists.expand_as(values))

    def _nats(self, belief: Probs, x0: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """The loss of each position."""
        if self.weighting == "elbo" and not self.absorbing:
            return self._rate_loss(belief, x0, x_t, t)
        cross_entropy = -belief.log_probs.gather(-1, x0[..., None]).squeeze(-1)
        if self.weighting == "unit":
            return cross_entropy
        weight = self._weight(t, x0) if self.weighting == "elbo" else self._counted(x_t, t)
        return (cross_entropy * weight.to(cross_entropy.dtype)).where(weight > 0, 0.0)  # what does not count may be ∞

    def _rate_loss(self, belief: Probs, x0: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """The bound's integrand for any chain."""
        alpha, slope = self._alpha_and_slope(t, x0)
        other = self.chain.rates(x_t) * (1 - codes(x_t, self.states))
        r = self._ratios(alpha, codes(x0, self.states), x_t)
        s = self._ratios(alpha, belief.mean.double(), x_t)
        each = s - torch.special.xlogy(r, s) + torch.special.xlogy(r, r) - r
        flow = torch.where(alpha > 0, -slope / alpha, 0.0)  # pure noise teaches nothing
        return flow * torch.where(other > 0, other * each, 0.0).sum(-1)

    def _ratios(self, alpha: Tensor, origin: Tensor, x_t: Tensor) -> Tensor:
        """Σ_v origin_v q_t(y | v) / q_t(x_t | v) for every state y."""
        seen = self.chain.column(alpha, x_t)
        return self.chain.push(alpha, torch.where(seen > 0, origin / seen.where(seen > 0, 1.0), 0.0))

    def inputs(self, x_t: State, t: Time) -> Int[Tensor, "batch *positions"] | Float[Tensor, "batch *positions states"]:
        """Categories as they are, or their codes, where a gradient is taken."""
        assert isinstance(x_t, Tensor)
        return x_t

    def belief(self, output: Any, x_t: State, t: Time) -> Probs:
        """Logits over the data's categories, less those that cannot have become x_t (kept tokens are certain).

        Args:
            output: of the network.
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
        """
        assert isinstance(x_t, Tensor)
        output = require_shape(output, (*x_t.shape, self.size))
        logits = torch.nn.functional.pad(output, (0, self.states - self.size), value=-torch.inf)
        impossible = self.chain.column(self._alpha(t, x_t), x_t) == 0
        return Probs(logits.masked_fill(impossible, -torch.inf), self._exists(x_t))

    def second_moment(self, belief: Belief, x_t: State, t: Time, reach: float = inf) -> Belief:
        """Probabilities carry their own second moment.

        Args:
            belief: p(x₀ | x_t), one a sample.
            x_t: noisy states at time t, (batch, ...): a tensor of the space's shape for each sample, or a dictionary
                of them for a product.
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            reach: σ/α, in units of the data's standard deviation, up to which the network's gradient is used.
        """
        return belief

    def point_mass(self, x0: State) -> Probs:
        assert isinstance(x0, Tensor)
        return Probs(codes(x0, self.states).log(), self._exists(x0))

    def apply_score(self, belief: Belief, slope: State, t: Time, most: float = inf) -> Belief:
        """To first order in the change of one token.

        Args:
            belief: p(x₀ | x_t), one a sample.
            slope: gradient of log p(c | x_t) with respect to the code of x_t.
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            most: nats by which a category may gain or lose more than they do on average.
        """
        assert isinstance(belief, Probs)
        assert isinstance(slope, Tensor)
        slope = slope.to(belief.logits)
        if most < inf:
            slope = (slope - (belief.mean * slope).sum(-1, keepdim=True)).clamp(-most, most)
        return belief.tilt(slope)

    def check(self, x0: State, where: str = "data") -> None:
        if not isinstance(x0, Tensor) or x0.shape[1:] != self.shape:
            found = tuple(x0.shape[1:]) if isinstance(x0, Tensor) else type(x0).__name__
            raise InputError(f"{where}: records must have shape {self.shape}, found {found}")
        if x0.dtype != torch.int64:
            raise InputError(f"{where}: categories must be int64, found {x0.dtype}")
        wrong = ((x0 < 0) | (x0 >= self.size)).nonzero()
        if len(wrong):
            record, *position = wrong[0].tolist()
            value = x0[tuple(wrong[0])].item()
            what = f"position {tuple(position)} is category {value}, expected 0 to {self.size - 1}"
            raise RecordError(where, record, what)

    def _alpha(self, t: Time, like: Tensor) -> Tensor:
        return left(self.schedule.alpha(as_time(t, like)), like)

    def _weight(self, t: Time, like: Tensor) -> Tensor:
        alpha, slope = self._alpha_and_slope(t, like)
        return torch.where(alpha == 1, 0.0, -slope / (1 - alpha))  # clean data teach nothing

    def _counted(self, x_t: Tensor, t: Time) -> Tensor:
        """−α′ (L + 1)/n where a mask is."""
        hidden = self.hidden(x_t).double()
        n = per_sample_sum(hidden).clamp(min=1)
        length = hidden[0].numel() if self.mask is None else per_sample_sum(left(self.mask, hidden).expand_as(hidden))
        return hidden * left((length + 1) / n, hidden) * -self._alpha_and_slope(t, hidden)[1]

    def _alpha_and_slope(self, t: Time, like: Tensor) -> tuple[Tensor, Tensor]:
        times = as_time(t, like)
        alpha, slope = torch.func.jvp(self.schedule.alpha, (times,), (torch.ones_like(times),))[:2]
        return left(alpha, like), left(slope, like)

    def _exists(self, like: Tensor) -> Tensor | None:
        return None if self.mask is None else left(self.mask, like).expand_as(like)

    def _existing(self, x: Tensor) -> Tensor:
        return x if self.mask is None else x * left(self.mask, x)
