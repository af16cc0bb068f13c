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

The population may be held by several ranks, and a rank's particles go through network and factors in chunks: weights
and ancestors are of all particles on every rank, so that resampling and evidence are those of one rank, and of what
moves a rank sees its own part alone.

In the last step conjugate factors have been integrated out: x₀ is drawn from the belief given them, with no more
weight. Continuous parts whose belief is a mean alone end there: a point cannot be weighed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..beliefs import Belief, counted
from ..config import require_in
from ..denoisers.base import Condition, Denoiser
from ..denoisers.tweedie import terms_and_belief
from ..distributed.ranks import ALONE, Ranks
from ..effort import Effort, Tally
from ..errors import InputError
from ..guidance.factors import Factor, Factored, update
from ..keys import Keys
from ..spaces import Euclidean, Gaussian, Independent, Space, Transition
from ..states import State, Time, batch_size, chunks_of, concatenate, leaves, take
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
from .looks import Look, Past, averaged, plain, spelled


@dataclass(frozen=True)
class Population:
    """The weights of all particles and their history, and what is believed where those of this rank stand.

    Attributes:
        log_weights: since the last resampling, of the particles of all ranks, the same on each.
        ancestor: the number of each particle's first ancestor, whose condition it carries; of all ranks.
        log_evidence: up to the last resampling.
        given: what each of this rank's particles is given, name → (part, ...).
        ess: at each step, as a share of the population.
        error: of the log evidence; known at the end.
        parents: whose place each particle of all ranks took in the last step; None where all stayed.
        missing: the largest share of the mass that the families may lack; known at the end.
        looks: what is believed, one of each chunk of this rank's particles; None where they have changed places since.
        past: what was believed of this rank's at the time before the looks; None at the first time.
    """

    log_weights: Float[Tensor, " batch"]
    ancestor: Int[Tensor, " batch"]
    log_evidence: Float[Tensor, ""]
    given: Condition
    ess: tuple[Float[Tensor, ""], ...] = ()
    resampled: int = 0
    error: Float[Tensor, ""] | float = float("nan")
    looks: tuple[Look, ...] | None = None
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
class Chunk:
    """Particles that go through the network and the factors together.

    Attributes:
        x: where they stand.
        given: what each is given, name → (batch, ...).
        space: the kind of data, bound to these.
        keys: of their next move.
        past: what was believed of them at the time before; None at the first time.
    """

    x: State
    given: Condition
    space: Space
    keys: Keys
    past: Past | None


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
        batch_size: particles that go through the network and the factors together, so that memory holds the gradients
            of so many; all of a rank's at once if None. It changes the results by round-off alone.
        ranks: that hold the population together; states, keys and conditions are those of this rank's part of it.
    """

    threshold: float = 0.5
    temper: float = 0.0
    dense: int = 16
    order: int = 2
    batch_size: int | None = field(default=None, repr=False)
    ranks: Ranks = field(default=ALONE, repr=False)

    def __post_init__(self) -> None:
        require_in(self, "", {"threshold": "[0, 1]", "temper": "[0, inf)", "order": "[1, 2]", "batch_size": "[1, inf)"})

    def ends_in_points(self, space: Space) -> bool:
        """Whether the last step ends in the mean of a belief, so that it must be a small one."""
        return isinstance(space, Euclidean) and prod(space.shape) > self.dense

    def __call__(
        self, state: SamplerState, s: Time, denoiser: Denoiser, condition: Condition, keys: Keys
    ) -> SamplerState:
        t, nfe, effort, population = state.t, state.nfe, state.effort or Effort(), state.population
        chunks = self._chunks(state, denoiser, population.given if population else condition, keys)
        looks = population.looks if population else None
        if looks is None:
            looks = tuple(self.look(denoiser, chunk.x, t, chunk.given, chunk.space) for chunk in chunks)
            nfe, effort = nfe + denoiser.calls, effort + _effort(looks)
        population = population or self._begun(looks, condition)
        last = not isinstance(s, Tensor) and s == 0
        step = self._finish if last else self._step
        xs, gains, found = zip(
            *(step(denoiser, chunk, look, t, s) for chunk, look in zip(chunks, looks, strict=True)), strict=True
        )
        if not last:
            nfe, effort = nfe + denoiser.calls, effort + _effort(found)
            population = replace(population, past=Past.of(looks, t) if self.order > 1 else None)
        gained = self.ranks.gathered(concatenate(gains))
        log_weights = (population.log_weights + gained).nan_to_num(nan=-torch.inf)  # what is impossible stays so
        population = replace(population, log_weights=log_weights, looks=found)
        x, population = self._resampled(concatenate(xs), population, last, keys)
        state = replace(state, before=state.x, transition=None, population=population, effort=effort)
        past = ((t, found[0].posterior),) if len(found) == 1 else ()
        return replace(state, x=x, t=s, past=past, nfe=nfe)

    def _chunks(self, state: SamplerState, denoiser: Denoiser, given: Condition, keys: Keys) -> list[Chunk]:
        """This rank's particles, `batch_size` of them each."""
        past = state.population.past if state.population else None
        n = batch_size(state.x)
        if self.batch_size is None or n <= self.batch_size:
            return [Chunk(state.x, given, denoiser.space.with_mask(given.get("mask")), keys, past)]
        if isinstance(state.t, Tensor):
            raise InputError("batch_size: particles in chunks are at one time, expected a grid of numbers")
        found = []
        for some in chunks_of(n, self.batch_size):
            told = take(given, some)
            space = denoiser.space.with_mask(told.get("mask"))
            before = past and past.having(take(past.means, some))
            found.append(Chunk(take(state.x, some), told, space, keys[some], before))
        return found

    def _begun(self, looks: Sequence[Look], given: Condition) -> Population:
        """The population at its first time, each particle its own ancestor."""
        values = self.ranks.gathered(concatenate([look.values.sum(0) for look in looks]))
        return Population(values, torch.arange(len(values), device=values.device), values.new_zeros(()), given)

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
        terms = [(weight, term.settled() if single else plain(term.settled())) for weight, term in terms]
        settled = [one.settled() for one in (belief, posterior, certain)]
        return Look(terms, settled[0], values, settled[1], certainties, settled[2], tally.effort)

    def _spelled(self, belief: Belief, single: bool) -> Belief:
        """With its covariance as a matrix, where that is at hand or small, and the chain is of one term."""
        return spelled(belief, self.dense) if single else belief

    def _step(self, denoiser: Denoiser, chunk: Chunk, look: Look, t: Time, s: Time) -> tuple[Any, Tensor, Look]:
        """Where the particles stand at the time s, what their weights gain, and what is believed there."""
        x, gained = _move(averaged(look, chunk.past, chunk.space, t, s), chunk.space, chunk.x, t, s, chunk.keys)
        found = self.look(denoiser, x, s, chunk.given, chunk.space)
        return x, gained + found.values.sum(0) - look.values.sum(0), found

    def _finish(self, denoiser: Denoiser, chunk: Chunk, look: Look, t: Time, s: Time) -> tuple[Any, Tensor, Look]:
        """x₀ by the belief given the conjugate factors; the others weigh it by their own values."""
        x, space = chunk.x, chunk.space
        factors, known = _factors(denoiser, chunk.given, batch_size(x)), len(look.certainties)
        x0 = denoiser.held(space.step(x, look.given, t, s, 1.0).sample(chunk.keys.fold("move")), chunk.given)
        gained = look.certainties.sum(0) - look.values[:known].sum(0)  # not 0 where these were tempered
        if len(look.terms) > 1:
            gained = gained + _log_chain(look, space, x, t, s, x0) - _density(space.step(x, look.prior, t, s, 1.0), x0)
        clean = space.point_mass(x0)
        for factor, foreseen in zip(factors[known:], look.values[known:], strict=False):
            gained = gained + factor.log_expect(clean).double() - foreseen
        return x0, gained, look

    def _resampled(self, x: State, population: Population, last: bool, keys: Keys) -> tuple[State, Population]:
        weights, ranks = population.log_weights, self.ranks
        share = ranks.agreed(effective_sample_size(weights) / len(weights))
        population = replace(population, ess=(*population.ess, share), parents=None)
        if not last and share >= self.threshold:
            return x, population
        index = self._chosen(weights, keys)
        shares, past = family_shares(weights, population.ancestor), population.past
        population = replace(
            population,
            log_weights=torch.zeros_like(weights),
            ancestor=population.ancestor[index],
            log_evidence=population.log_evidence + log_mean_exp(weights),
            given=ranks.exchanged(population.given, index),
            resampled=population.resampled + 1,
            error=genealogy_error(weights, population.ancestor) * widening(shares - 1 / len(shares), shares),
            missing=missing(shares.detach()) if last else population.missing,
            looks=None,
            parents=index,
            past=past and past.having(ranks.exchanged(past.means, index)),
        )
        return ranks.exchanged(x, index), population

    def _chosen(self, weights: Float[Tensor, " batch"], keys: Keys) -> Int[Tensor, " batch"]:
        """Whose place each particle of all ranks takes, by the random number of the first one."""
        return self.ranks.agreed(systematic(weights, keys[:1].fold("resample").uniform()[0]))


def _effort(looks: Sequence[Look]) -> Effort:
    return Effort.joined([look.effort for look in looks], [look.values.shape[1] for look in looks])


def _factors(denoiser: Denoiser, given: Condition, n: int) -> tuple[Factor, ...]:
    """What the factors say of the states of n particles that are given this."""
    return denoiser.bound(given, n) if isinstance(denoiser, Factored) else ()


def _move(look: Look, space: Space, x: State, t: Time, s: Time, keys: Keys) -> tuple[Any, Tensor]:
    """x_s by the belief given the factors, and log p(x_s | x_t) / q(x_s | x_t)."""
    proposal = space.step(x, look.posterior, t, s, 1.0)
    moved = proposal.sample(keys.fold("move"))
    return moved, _log_chain(look, space, x, t, s, moved) - proposal.log_prob(moved)


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
