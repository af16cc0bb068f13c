"""All that is known of p = exp(−E)/Z as one weighted sample: draws of a model, and annealed populations.

n_q draws of a density q and populations that are worth n_p independent samples of p are one sample of their mixture,
whoever drew what (deterministic-mixture importance sampling, Owen & Zhou 2000). A member x with w = exp(−E)/q counts

    ω(x) = p / (n_q q + n_p p) = (w/Z) / (n_q + n_p w/Z),          at most 1/n_p, whatever the draws lack

and log Z is where Σ ω = 1, which is the bridge estimate (Meng & Wong 1996; of more than two densities MBAR, Shirts &
Chodera 2008). The draws reach a member as far as c(x) = n_q q / (n_q q + n_p p), and log Z = log Σ_draws ω − log E_p c:
a mode that only the populations have found enters by the last term with its share, and the share with its error.

Errors are those of the Bayesian bootstrap (Rubin 1981): weights of unit exponential distribution, one a draw, and one a
*family* of a population, since descendants of one first particle are not independent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, isnan, log, nan

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..keys import Keys
from ..sampling.diagnostics import log_mean_exp, systematic
from ..states import cast
from .annealing import Annealed
from .densities import MCMCState

REPLICATES = 400
"""Of the bootstrap."""
LEVEL = 0.05
"""What intervals and bounds are allowed to be wrong by."""
BELOW, ABOVE = 0.01, 0.04
"""How much of that an interval of log Z leaves at either end: the upper one is lifted by what may be missing."""
LACKING = 10.0
"""How many times more probable than under the draws what these lack is, at least."""
HEAVIEST, SCATTER = 0.01, 3.0
"""The share of the draws' weight that its heaviest carry, and how many times heavier what they lack is than those."""
REACHED = 0.02
"""The share of the populations that draws must reach for a bridge to lead there."""


@dataclass(frozen=True)
class Members:
    """Draws of q, or points of an annealed population.

    Attributes:
        point: where they stand, with values of the density.
        log_w: log exp(−E)/q, nats; +∞ where draws do not reach, or nobody knows q.
        population: that they are of; None for draws.
        ancestor: the first particle that each descends from; None for draws.
    """

    point: MCMCState
    log_w: Float[Tensor, " members"]
    population: Annealed | None = None
    ancestor: Int[Tensor, " members"] | None = None

    @property
    def size(self) -> float:
        """How many independent samples they are worth."""
        most = float(len(self.log_w))
        return most if self.population is None else min(most, self.population.size)


@dataclass(frozen=True, eq=False)
class Pool:
    """Members of all sources as one weighted sample; draws, if there are any, come first."""

    sources: Sequence[Members]

    def __post_init__(self) -> None:
        assert self.sources, "a pool has members"

    @cached_property
    def populations(self) -> Sequence[tuple[Members, Annealed]]:
        return [(source, source.population) for source in self.sources if source.population is not None]

    @cached_property
    def log_w(self) -> Float[Tensor, " members"]:
        return torch.cat([source.log_w for source in self.sources])

    @cached_property
    def log_base(self) -> Float[Tensor, " members"]:
        """How much each member stands for, log of 1 for draws: as many members may be worth fewer samples."""
        each = [self.log_w.new_full((len(one.log_w),), log(one.size / len(one.log_w))) for one in self.sources]
        return torch.cat(each)

    @cached_property
    def drawn(self) -> Bool[Tensor, " members"]:
        return torch.cat([torch.full_like(one.log_w, one.population is None).bool() for one in self.sources])

    @cached_property
    def family(self) -> Int[Tensor, " members"]:
        """A number a draw, and one a first particle of each population."""
        found, before = [], 0
        for one in self.sources:
            own = torch.arange(len(one.log_w), device=self.log_w.device) if one.ancestor is None else one.ancestor
            found.append(before + own)
            before += len(one.log_w) if one.population is None else len(one.population.shares)
        return torch.cat(found)

    @cached_property
    def log_sizes(self) -> tuple[float, float]:
        """log n_q, log n_p."""
        draws = sum(one.size for one in self.sources if one.population is None)
        populations = sum(one.size for one in self.sources if one.population is not None)
        return log(draws) if draws else -inf, log(populations) if populations else -inf

    # Weights ------------------------------------------------------------------------------------------

    @cached_property
    def bridge(self) -> float:
        """log Z by the mixture, nats; NaN if there are no draws with a density that the populations meet."""
        log_q, log_p = self.log_sizes
        finite = self.log_w[self.log_w.isfinite()]
        if log_q == -inf or not len(finite):
            return nan
        if log_p == -inf:
            return float(log_mean_exp(self.log_w))
        low, high = float(finite.min()) - 50, float(finite.max()) + 50
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self._log_total(middle) > 0 else (low, middle)
        return (low + high) / 2

    def _log_total(self, log_z: float) -> float:
        return float((self.log_base + self._log_mixed(log_z)).logsumexp(0))

    def _log_mixed(self, log_z: float) -> Float[Tensor, " members"]:
        """log p over the mixture, of every member."""
        log_q, log_p = self.log_sizes
        inverse = self.log_w.new_tensor(log_q) + log_z - self.log_w  # log n_q q/p
        return -torch.logaddexp(inverse.nan_to_num(nan=-inf), inverse.new_tensor(log_p))

    @cached_property
    def log_weights(self) -> Float[Tensor, " members"]:
        """log ω of every member, times what it stands for."""
        return self.log_base + self._log_mixed(self.log_z)

    @cached_property
    def covered(self) -> Float[Tensor, " members"]:
        """c(x): how far draws reach each member, 0 … 1."""
        return -torch.expm1((self._log_mixed(self.log_z) + self.log_sizes[1]).clamp(max=0))

    @cached_property
    def lacking(self) -> Bool[Tensor, " members"]:
        """Where draws are ten times too few, and more so than where they are: weights of paths scatter anywhere."""
        own = self.log_w[self.drawn].sort(descending=True).values
        few = own[(own.softmax(0).cumsum(0) < HEAVIEST).sum().clamp(max=len(own) - 1)]
        return self.log_w > torch.maximum(log(LACKING) + own.new_tensor(self.log_z), few + log(SCATTER))

    @cached_property
    def uncovered(self) -> float:
        """The share of the populations that stands where draws lack; NaN if there are none of either."""
        if self.log_sizes[0] == -inf or self.log_sizes[1] == -inf:
            return nan
        weights = self.log_base.exp().masked_fill(self.drawn, 0.0)
        return float((weights * self.lacking).sum() / weights.sum())

    @cached_property
    def sources_worth(self) -> float:
        """How many independent draws the whole is worth: a family counts as one."""
        shares = self.log_weights.softmax(0)
        families = shares.new_zeros(int(self.family.max()) + 1).index_add(0, self.family, shares)
        return float(1 / families.square().sum())

    def members(self) -> MCMCState:
        """Where all of them stand."""
        points = [replace(one.point, x=cast(one.point.x, torch.float64), gradients=None) for one in self.sources]
        return MCMCState.joined(points)

    # Evidence -----------------------------------------------------------------------------------------

    @cached_property
    def log_z(self) -> float:
        """What the weights are taken at: the bridge's, or the mean of the populations'."""
        return self._mean_of_populations if isnan(self.bridge) else self.bridge

    @property
    def _mean_of_populations(self) -> float:
        errors = torch.tensor([max(found.error, 1e-6) for _, found in self.populations], dtype=torch.float64)
        values = torch.tensor([found.log_evidence for _, found in self.populations], dtype=torch.float64)
        return float((values / errors.square()).sum() / (1 / errors.square()).sum())

    def evidence(self, keys: Keys) -> "Evidence":
        """log Z of all there is, the bridge's and each population's weighed by their errors."""
        families = sum(len(population.shares) for _, population in self.populations)
        multipliers = -keys[:1].fold("bootstrap").uniform(REPLICATES, max(families, 1))[0].log()
        bridged = self._bridged(multipliers, keys)
        estimates = [*([bridged] if bridged else []), *self._annealed(multipliers)]
        values = torch.tensor([value for value, _ in estimates], dtype=torch.float64)
        replicates = torch.stack([value + change for value, change in estimates])
        weights = 1 / replicates.var(1).clamp(min=1e-16)
        weights = weights / weights.sum()
        return Evidence(float(weights @ values.to(weights)), weights @ replicates)

    @property
    def _draws(self) -> int:
        return int(self.drawn.sum())

    def _bridged(self, multipliers: Tensor, keys: Keys) -> tuple[float, Tensor] | None:
        """The bridge's log Z, and how the bootstrap changes it."""
        if isnan(self.bridge):
            return None
        omega = self.log_weights[self.drawn].exp()
        scatter = float(omega.std(unbiased=False) / omega.mean() / len(omega) ** 0.5)
        change = scatter * keys[:1].fold("draws").normal(REPLICATES)[0].double()  # a draw is one of thousands
        if not self.populations:
            return self.bridge, change
        weights, reached = self.log_base[~self.drawn].exp(), self.covered[~self.drawn]
        whole = float(weights @ reached / weights.sum())
        own = multipliers[:, self.family[~self.drawn] - self._draws] * weights
        return (self.bridge, change - (own @ reached / own.sum(1) / whole).log()) if whole > REACHED else None

    def _annealed(self, multipliers: Tensor) -> list[tuple[float, Tensor]]:
        """Each population's log Z, and how the bootstrap changes it: as much as its stated error says, at least."""
        found, before = [], 0
        for _, population in self.populations:
            shares = population.shares
            own = multipliers[:, before : before + len(shares)]
            change = (own @ shares.to(own)).log() - own.mean(1).log()
            change = change * max(1.0, population.error / max(float(change.std()), 1e-12))
            found.append((population.log_evidence, change))
            before += len(shares)
        return found

    # Samples ------------------------------------------------------------------------------------------

    def resampled(self, n: int, keys: Keys) -> tuple[Int[Tensor, " n"], float]:
        """Which members n samples are, those of one family side by side, and how many of the jumps were accepted.

        They are drawn by weight from a part of the pool and then offered members of the rest, one after another, drawn
        from the mixture: Metropolis's rule accepts with the ratio of p over the mixture, which moves weight between
        modes and is exact where drawing by weight is only nearly so.
        """
        order = keys[:1].fold("order").uniform(int(self.family.max()) + 1)[0][self.family].argsort()
        rounds = max(1, len(order) // (2 * n))
        first = max(len(order) - rounds * n, len(order) // 2)
        own, rest = order[:first], order[first:]
        index = own[systematic(self.log_weights[own], keys[:1].fold("resample").uniform()[0], n)]
        offered = rest[systematic(self.log_base[rest], keys[:1].fold("offer").uniform()[0], rounds * n)]
        offered = offered[keys[:1].fold("turn").uniform(rounds * n)[0].argsort()].reshape(rounds, n)
        ratio, rates = self.log_weights - self.log_base, []
        for k, candidate in enumerate(offered):
            rate = (ratio[candidate] - ratio[index]).clamp(max=0).exp()
            index = torch.where(keys[:n].fold("jump").fold(k).uniform() < rate, candidate, index)
            rates.append(rate.mean().item())
        place = torch.empty_like(order).scatter(0, order, torch.arange(len(order), device=order.device))
        return index[place[index].argsort()], sum(rates) / rounds


@dataclass(frozen=True, eq=False)
class Evidence:
    """log Z, nats, and what the bootstrap makes of it."""

    log_z: float
    replicates: Float[Tensor, " replicates"]

    def judged(self, missing: float, keys: Keys) -> tuple[float, float, float]:
        """The standard error, and between what log Z lies with 95 %; missing: the bound on what nobody has seen.

        What is unseen is m with probability density in proportion to exp(−n m), n such that the bound is exceeded with
        5 %: it widens the error, and lifts the upper end. Without any bound there is no upper end.
        """
        low = float(self.replicates.quantile(BELOW))
        if missing >= 1:
            return float(self.replicates.std()), low, inf
        n = -log(LEVEL) / missing
        gamma = -keys[:1].fold("unseen").uniform(REPLICATES)[0].log()
        unseen = (1 + gamma.to(self.replicates) / n).log()  # −log(1 − m) of m = γ / (n + γ)
        high = float((self.replicates + unseen).quantile(1 - ABOVE))
        return float((self.replicates.var() + unseen.square().mean()).sqrt()), low, high
