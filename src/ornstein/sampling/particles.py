"""Twisted sequential Monte Carlo: exact posteriors in every space (Wu et al. 2023; Guarniero et al. 2017).

A population walks down from noise. It moves by the belief given the factors, q(x_s | x_t), and is weighed so that it
targets the prior's own chain p(x_s | x_t), with the twist ψ_t(x_t) = E[g(x₀) | x_t] as its foresight:

    w_s = w_t · p(x_s | x_t) / q(x_s | x_t) · ψ_s(x_s) / ψ_t(x_t)

The twists cancel down to the last, ψ_0 = g itself, so an error of foresight costs effective sample size and no bias.
For a product of powers Π p_k^{w_k} the chain is Π p_k(x_s | x_t)^{w_k}. What bias is left is the chain's own, which its
steps decide. A step of the plain chain is too narrow by what x₀ is unsure of, and the bias O(h). It is O(h²) where the
covariance of x₀ is at hand with its root, as both moments are right then, and elsewhere by looking back to the last
step (Adams–Bashforth with additive noise, Ewald & Témam 2005), at no further call: how the mean of x₀ has changed tells
how it answers to noise, which is the variance that was missing.

In the last step conjugate factors have been integrated out: x₀ is drawn from the belief given them, with no more
weight. Continuous parts whose belief is a mean alone end there: a point cannot be weighed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..beliefs import Belief, Joint, Normal, counted
from ..config import require_in
from ..covariances import Dense, Rooted, Spelled
from ..denoisers.base import Condition, Denoiser
from ..denoisers.tweedie import terms_and_belief
from ..effort import Effort, Tally
from ..guidance.factors import Factor, Factored, update
from ..keys import Keys
from ..spaces import Euclidean, Gaussian, Independent, Space, Transition
from ..states import State, Time, batch_size, leaves, take
from .diagnostics import (
    Exactness,
    effective_sample_size,
    family_shares,
    genealogy_error,
    log_mean_exp,
    missing,
    systematic,
    widening,
)
from .kernels import SamplerState


@dataclass(frozen=True)
class Look:
    """What is believed at one time; settled, so that a population never holds the graph of a past call.

    Attributes:
        terms: of the prior, with their weights.
        prior: the terms combined.
        values: log ψ, (factors, batch), of the tempered factors, conjugate ones first.
        posterior: the belief given the tempered factors.
        certainties: log E of the conjugate factors, not tempered, (conjugate factors, batch): of the last step.
        given: the belief given these.
        effort: what it took.
    """

    terms: Sequence[tuple[Time, Belief]]
    prior: Belief
    values: Float[Tensor, "factors batch"]
    posterior: Belief
    certainties: Float[Tensor, "conjugate batch"]
    given: Belief
    effort: Effort


@dataclass(frozen=True)
class Past:
    """Means of x₀ that were believed at the time before, which the chain's next step looks back to.

    Only of continuous parts without a matrix: {} or no name where there is none.

    Attributes:
        t: the time.
        terms: of the prior.
        posterior: of the belief given the factors.
    """

    t: Time
    terms: tuple[State, ...]
    posterior: State

    @classmethod
    def of(cls, look: Look, t: Time) -> "Past":
        return cls(t, tuple(_bare_means(belief) for _, belief in look.terms), _bare_means(look.posterior))

    def take(self, index: Int[Tensor, " batch"]) -> "Past":
        """Of the particles `index`."""
        return Past(self.t, tuple(take(mean, index) for mean in self.terms), take(self.posterior, index))


@dataclass(frozen=True)
class Population:
    """The weights of a batch of samples, its history, and what is believed where it stands.

    Attributes:
        log_weights: since the last resampling.
        ancestor: the number of each particle's first ancestor, whose condition it carries.
        log_evidence: up to the last resampling.
        ess: at each step, as a share of the population.
        error: of the log evidence; known at the end.
        parents: whose place each particle took in the last step; None where all stayed.
        missing: the largest share of the mass that the families may lack; known at the end.
        past: what was believed at the time before the look; None at the first time.
    """

    log_weights: Float[Tensor, " batch"]
    ancestor: Int[Tensor, " batch"]
    log_evidence: Float[Tensor, ""]
    ess: tuple[Float[Tensor, ""], ...] = ()
    resampled: int = 0
    error: Float[Tensor, ""] | float = float("nan")
    look: Look | None = None
    parents: Int[Tensor, " batch"] | None = None
    missing: float = 1.0
    past: Past | None = None

    def exactness(self) -> Exactness:
        """The summary for the user."""
        return Exactness(
            "particles",
            len(self.ancestor),
            tuple(float(share) for share in self.ess),
            self.resampled,
            len(self.ancestor.unique()),
            float(self.log_evidence),
            float(self.error),
            self.missing,
        )


@dataclass(frozen=True)
class Particles:
    """Move, weigh, and resample a population when its effective size falls below `threshold`; always at the end.

    Attributes:
        threshold: share of the population, 0 = resample at the end only.
        temper: the factors count with the power (1 − t)^temper on the way, which spares the early population where the
            foresight of noisy states is poor (high dimensions); all of them count at the end.
        dense: continuous parts of at most so many numbers get the full covariance of a network, one gradient a number;
            covariances that are known in closed form are always used.
        order: of the chain where there is no matrix: 2 looks back to the step before, 1 is the plain ancestral chain.
    """

    threshold: float = 0.5
    temper: float = 0.0
    dense: int = 16
    order: int = 2

    def __post_init__(self) -> None:
        require_in(self, "", {"threshold": "[0, 1]", "temper": "[0, inf)", "order": "[1, 2]"})

    def ends_in_points(self, space: Space) -> bool:
        """Whether the last step ends in the mean of a belief, so that it must be a small one."""
        return isinstance(space, Euclidean) and prod(space.shape) > self.dense

    def __call__(
        self, state: SamplerState, s: Time, denoiser: Denoiser, condition: Condition, keys: Keys
    ) -> SamplerState:
        n, t, nfe, effort = batch_size(state.x), state.t, state.nfe, state.effort or Effort()
        population, look = state.population, state.population.look if state.population else None
        given = take(condition, population.ancestor) if population else condition
        space = denoiser.space.with_mask(given.get("mask"))
        if look is None:
            look = self.look(denoiser, state.x, t, given, space)
            nfe, effort = nfe + denoiser.calls, effort + look.effort
        if population is None:
            device = look.values.device
            population = Population(look.values.sum(0), torch.arange(n, device=device), look.values.new_zeros(()))
        last = not isinstance(s, Tensor) and s == 0
        if last:
            x, gained = self._finish(denoiser, given, look, space, state.x, t, s, keys)
        else:
            x, gained = _move(_averaged(look, population.past, space, t, s), space, state.x, t, s, keys)
            before, look = look, self.look(denoiser, x, s, given, space)
            gained = gained + look.values.sum(0) - before.values.sum(0)
            nfe, effort = nfe + denoiser.calls, effort + look.effort
            population = replace(population, past=Past.of(before, t) if self.order > 1 else None)
        log_weights = (population.log_weights + gained).nan_to_num(nan=-torch.inf)  # what is impossible stays so
        population = replace(population, log_weights=log_weights, look=look)
        x, population = self._resampled(x, population, last, keys)
        state = replace(state, before=state.x, transition=None, population=population, effort=effort)
        return replace(state, x=x, t=s, past=((t, look.posterior),), nfe=nfe)

    def look(self, denoiser: Denoiser, x: State, t: Time, given: Condition, space: Space) -> Look:
        """The beliefs at x, one call of the denoiser.

        Args:
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            given: what each sample is given, name → (batch, ...).
            space: the kind of data and its noise.
        """
        prior = denoiser.denoiser if isinstance(denoiser, Factored) else denoiser
        factors = _factors(denoiser, given, batch_size(x))
        terms, belief = terms_and_belief(prior, x, t, given)
        tally, single = Tally() if belief.tally is None else belief.tally, len(terms) == 1
        tally.valued = True
        belief = self._spelled(counted(belief, tally, prior.calls), single)
        terms = [(1.0, belief)] if single else terms
        known = [factor for factor in factors if factor.conjugate]  # these come first
        certainties, certain = _updated(known, belief, x, t, space)
        certain = self._spelled(certain, single)
        if self.temper and factors:
            power = max(1 - float(t), 1e-6) ** self.temper  # a power of 0 would be noise of infinite width
            values, posterior = _updated([factor.tempered(power) for factor in factors], belief, x, t, space)
        else:
            values, posterior = _updated(factors[len(known) :], certain, x, t, space)
            values = torch.cat([certainties, values])
        posterior = self._spelled(posterior, single)
        terms = [(weight, term.settled() if single else _plain(term.settled())) for weight, term in terms]
        settled = [one.settled() for one in (belief, posterior, certain)]
        return Look(terms, settled[0], values, settled[1], certainties, settled[2], tally.effort)

    def _spelled(self, belief: Belief, single: bool) -> Belief:
        """With its covariance as a matrix, where that is at hand or small, and the chain is of one term."""
        return _spelled(belief, self.dense) if single else belief

    def _finish(
        self, denoiser: Denoiser, given: Condition, look: Look, space: Space, x: State, t: Time, s: Time, keys: Keys
    ) -> tuple[Any, Tensor]:
        """x₀ by the belief given the conjugate factors; the others weigh it by their own values."""
        factors, known = _factors(denoiser, given, batch_size(x)), len(look.certainties)
        x0 = denoiser.held(space.step(x, look.given, t, s, 1.0).sample(keys.fold("move")), given)
        gained = look.certainties.sum(0) - look.values[:known].sum(0)  # not 0 where these were tempered
        if len(look.terms) > 1:
            gained = gained + _log_chain(look, space, x, t, s, x0) - _density(space.step(x, look.prior, t, s, 1.0), x0)
        clean = space.point_mass(x0)
        for factor, foreseen in zip(factors[known:], look.values[known:], strict=False):
            gained = gained + factor.log_expect(clean).double() - foreseen
        return x0, gained

    def _resampled(self, x: State, population: Population, last: bool, keys: Keys) -> tuple[State, Population]:
        weights = population.log_weights
        share = effective_sample_size(weights) / len(weights)
        population = replace(population, ess=(*population.ess, share), parents=None)
        if not last and share >= self.threshold:
            return x, population
        index = systematic(weights, keys[:1].fold("resample").uniform()[0])
        shares = family_shares(weights, population.ancestor)
        population = replace(
            population,
            log_weights=torch.zeros_like(weights),
            ancestor=population.ancestor[index],
            log_evidence=population.log_evidence + log_mean_exp(weights),
            resampled=population.resampled + 1,
            error=genealogy_error(weights, population.ancestor) * widening(shares - 1 / len(shares), shares),
            missing=missing(shares.detach()) if last else population.missing,
            look=None,
            parents=index,
            past=population.past.take(index) if population.past else None,
        )
        return take(x, index), population


def _factors(denoiser: Denoiser, given: Condition, n: int) -> tuple[Factor, ...]:
    """What the factors say of the states of n particles that are given this."""
    return denoiser.bound(given, n) if isinstance(denoiser, Factored) else ()


def _averaged(look: Look, past: Past | None, space: Space, t: Time, s: Time) -> Look:
    """The beliefs averaged over the step from t to s, by what was believed before; those with a matrix as they are."""
    if past is None:
        return look

    def average(belief: Belief, mean: State) -> Belief:
        return space.average([(past.t, _with_mean(belief, mean)), (t, belief)], t, s, 1.0)

    terms = [(weight, average(term, mean)) for (weight, term), mean in zip(look.terms, past.terms, strict=True)]
    return replace(look, terms=terms, posterior=average(look.posterior, past.posterior))


def _move(look: Look, space: Space, x: State, t: Time, s: Time, keys: Keys) -> tuple[Any, Tensor]:
    """x_s by the belief given the factors, and log p(x_s | x_t) / q(x_s | x_t)."""
    proposal = space.step(x, look.posterior, t, s, 1.0)
    moved = proposal.sample(keys.fold("move"))
    return moved, _log_chain(look, space, x, t, s, moved) - proposal.log_prob(moved)


def _plain(belief: Any) -> Any:
    """The belief by its means alone: several terms are one chain of plain steps, as their combination has no root."""
    if isinstance(belief, Joint):
        return replace(belief, parts={name: _plain(part) for name, part in belief.parts.items()})
    return replace(belief, cov=None) if isinstance(belief, Normal) else belief


def _bare(belief: Belief) -> bool:
    """Whether a step by the belief knows its mean alone."""
    return isinstance(belief, Normal) and not isinstance(belief.cov, Dense | Rooted)


def _bare_means(belief: Belief) -> State:
    """The means that the belief is known by; no name where there is more to know."""
    if isinstance(belief, Joint):
        return {name: part.mean for name, part in belief.parts.items() if _bare(part)}
    return belief.mean if _bare(belief) else {}


def _with_mean(belief: Belief, mean: State) -> Belief:
    """The belief with these means; unchanged where there are none."""
    if isinstance(mean, Tensor):
        return Normal(mean)
    if not isinstance(belief, Joint):
        return belief
    return Joint({name: _with_mean(part, mean.get(name, {})) for name, part in belief.parts.items()})


def _updated(
    factors: Sequence[Factor], belief: Belief, x: State, t: Time, space: Space
) -> tuple[Float[Tensor, "factors batch"], Belief]:
    """log E of each factor in float64, and the belief given them; none leave it as it is."""
    if not factors:
        return torch.zeros(0, batch_size(x), dtype=torch.float64, device=leaves(x)[0].device), belief
    values, posterior = update(factors, belief, x, t, space)
    return values.double(), posterior


def _log_chain(look: Look, space: Space, x: State, t: Time, s: Time, moved: State) -> Tensor:
    """Σ_k w_k log p_k(x_s | x_t)."""
    return sum(weight * _density(space.step(x, belief, t, s, 1.0), moved) for weight, belief in look.terms)  # pyright: ignore[reportReturnType]


def _density(transition: Transition, x: Any) -> Tensor:
    """log p(x), a point mass left out."""
    if isinstance(transition, Independent):
        return torch.stack([_density(part, x[name]) for name, part in transition.parts.items()]).sum(0)
    if isinstance(transition, Gaussian) and isinstance(transition.std, float) and transition.std == 0:
        return torch.zeros(len(x), dtype=torch.float64, device=x.device)
    return transition.log_prob(x)


def _spelled(belief: Any, most: int) -> Any:
    """The belief with its covariance as a matrix, where that is at hand or small."""
    if isinstance(belief, Joint):
        return Joint({name: _spelled(part, most) for name, part in belief.parts.items()})
    if not isinstance(belief, Normal) or belief.cov is None or isinstance(belief.cov, Dense):
        return belief
    small = belief.mean[0].numel() <= most
    return belief.spelled_out() if small or isinstance(belief.cov, Spelled) else belief
