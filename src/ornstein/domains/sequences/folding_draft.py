"""RNA inverse folding: sequences whose structure of least free energy is the one that was asked for.

p(x) ∝ prior(x) · exp(−U(x)/T). The prior is a product of small blocks, base pairs and single bases, and therefore has
an exact denoiser of masked bases. The energy U says how far the target structure s* is from being the best, in kcal/mol:

    gap(x)  = E(x, s*) − min_s E(x, s)                                   one fold, O(n³): 3 ms at n = 100, 80 at 400
    U_R(x)  = kT log(1 + Σ_{s∈R} exp((E(x, s*) − E(x, s)) / kT)) + w E(x, s*)      one evaluation O(n) a rival: 2–4 µs

U_R, with w = 0 and the physical kT, is kT times −log p(s* | x) in an ensemble of s* and the rivals R alone: the
structures that earlier folds preferred. It bounds the gap over R from above and costs a thousandth of a fold, so:

    1. mask some blocks, draw them anew from the denoiser, accept by Metropolis's rule with U_R; repeat until the
       target beats all rivals. The prior is the proposal, so its ratio cancels: prior · exp(−U_R/T) is left invariant.
    2. fold. Either x folds into s*, or what it folds into instead is one more rival.

This is a Markov chain on a surrogate between looks at the truth (Liu 2001, section 9.4.3; Christen & Fox 2005), and a
cutting-plane method for min_x max_s E(x, s*) − E(x, s). As a search it goes back to the best sequence when folds bring
nothing better, and starts again from a flatter prior when even that does not help.

Literature: RNAinverse (Hofacker et al. 1994), NEMO (Portela 2018), whose boosted mismatches the prior has, and SAMFEO
(Zhou et al. 2023), which mutates where the ensemble is wrong. ViennaRNA: Lorenz et al. 2011.
"""

import time
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from math import exp, inf, log
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...beliefs import Belief, Probs
from ...denoisers import Condition, Denoiser
from ...errors import InputError
from ...factors import Factor, Updated
from ...keys import Keys
from ...spaces import Categorical, Space
from ...spaces.categorical import draw
from ...states import State, Time
from .factors import pairs_of

BASES = "ACGU"
KT = 0.61632
"""kcal/mol at 37 °C."""

Block = tuple[int, ...]
Shares = Mapping[str, float]


# The structure --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loop:
    """What one base pair closes, or the outside.

    Attributes:
        closing: the pair around it; None of the outside.
        branches: the pairs in it.
        unpaired: positions.
    """

    closing: tuple[int, int] | None
    branches: tuple[tuple[int, int], ...]
    unpaired: tuple[int, ...]

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        return ((self.closing,) if self.closing else ()) + self.branches

    @property
    def interior(self) -> bool:
        """One branch: a stack, a bulge or an interior loop."""
        return self.closing is not None and len(self.branches) == 1

    @property
    def mismatches(self) -> set[int]:
        """Unpaired positions beside a pair, on its 3' side; in interior loops of two strands on both."""
        if self.closing and not self.branches and len(self.unpaired) <= 3:
            return set()
        after = {b + 1 for _, b in self.branches} | ({self.closing[0] + 1} if self.closing else set())
        before = {a - 1 for a, _ in self.branches} | ({self.closing[1] - 1} if self.closing else set())
        if self.interior and not (after <= set(self.unpaired) and before <= set(self.unpaired)):
            return set()
        return (after | before if self.interior else after) & set(self.unpaired)


def partners(brackets: str) -> list[int]:
    """The partner of each position of a dot-bracket; −1 where there is none."""
    partner, open_ = [-1] * len(brackets), []
    for k, mark in enumerate(brackets):
        if mark == "(":
            open_.append(k)
        elif mark == ")":
            partner[k] = open_.pop()
            partner[partner[k]] = k
    return partner


def loops(brackets: str) -> Iterator[Loop]:
    """All loops, the outside first."""
    partner = partners(brackets)
    waiting: list[tuple[int, int] | None] = [None]
    while waiting:
        closing = waiting.pop()
        k, end = (closing[0] + 1, closing[1]) if closing else (0, len(brackets))
        branches, unpaired = [], []
        while k < end:
            (branches if partner[k] > k else unpaired).append(k)
            k = max(partner[k], k) + 1
        inner = tuple((k, partner[k]) for k in branches)
        yield Loop(closing, inner, tuple(unpaired))
        waiting += inner


# The prior ------------------------------------------------------------------------------------------

STEM: Shares = {"GC": 0.32, "CG": 0.32, "AU": 0.13, "UA": 0.13, "GU": 0.05, "UG": 0.05}
CLOSING: Shares = {"GC": 0.44, "CG": 0.44, "AU": 0.05, "UA": 0.05, "GU": 0.01, "UG": 0.01}
LOOP: Shares = {"A": 0.86, "C": 0.03, "G": 0.06, "U": 0.05}
MISMATCH: Shares = {"A": 0.5, "C": 0.04, "G": 0.4, "U": 0.06}
ONE_BY_ONE: Shares = {"A": 0.3, "C": 0.03, "G": 0.6, "U": 0.07}


@dataclass(frozen=True, eq=False)
class PairedBases(Denoiser):
    """Base pairs and single bases, independent of one another: the exact denoiser of masked sequences.

    Attributes:
        blocks: positions, (i, j) or (i,), which together are all of them.
        shares: the law of each block's letters.
    """

    blocks: tuple[Block, ...]
    shares: tuple[Shares, ...]

    timeless = True

    @classmethod
    def of(cls, target: str) -> "PairedBases":
        """What is likely to fold into a target: G–C where loops are closed, A in loops, G beside pairs."""
        pairs_of(target)
        said: dict[Block, Shares] = {}
        for loop in loops(target):
            stack = loop.interior and not loop.unpaired
            said |= {pair: STEM if stack else CLOSING for pair in loop.pairs if not stack or pair not in said}
            one_by_one = loop.interior and len(loop.mismatches) == len(loop.unpaired) == 2
            boosted = ONE_BY_ONE if one_by_one else MISMATCH
            said |= {(k,): boosted if k in loop.mismatches else LOOP for k in loop.unpaired}
        blocks = sorted(said)
        return cls(tuple(blocks), tuple(said[block] for block in blocks))

    def tempered(self, power: float) -> "PairedBases":
        """The prior to a power: flatter below 1."""
        return replace(self, shares=tuple({w: p**power for w, p in share.items()} for share in self.shares))

    @cached_property
    def length(self) -> int:
        return sum(map(len, self.blocks))

    @cached_property
    def space(self) -> Categorical:  # pyright: ignore[reportIncompatibleVariableOverride]
        return Categorical.masked((self.length,), len(BASES))

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Probs:
        """Exact marginals; a paired base knows its partner, where that is not masked."""
        assert isinstance(x_t, Tensor)
        table, places = self._tables
        seen = torch.cat([torch.eye(4), torch.ones(1, 4)]).double()[x_t[:, places]]  # (batch, blocks, 2, letters)
        joint = seen[:, :, 0, :, None] * table * seen[:, :, 1, None, :].where(self._paired[:, None, None], 1.0)
        probs = torch.zeros(*x_t.shape, len(BASES) + 1, dtype=torch.float64)
        probs[:, places[self._paired, 1], :4] = joint.sum(2)[:, self._paired]
        probs[:, places[:, 0], :4] = joint.sum(3)
        certain = torch.nn.functional.one_hot(x_t, len(BASES) + 1).double()
        return Probs(torch.where((x_t < 4)[..., None], certain, probs).log())

    def draw(self, x_t: Int[Tensor, "batch length"], keys: Keys) -> Int[Tensor, "batch length"]:
        """Exact samples of what is masked, given the rest: first bases and their partners one after the other."""
        second = torch.zeros(self.length, dtype=torch.bool)
        second[self._tables[1][self._paired, 1]] = True
        for turn, now in (("first", ~second), ("second", second)):
            drawn = draw(self(x_t, 0.5).mean, keys.fold(turn))
            x_t = torch.where((x_t == len(BASES)) & now, drawn, x_t)
        return x_t

    def sequence(self, keys: Keys) -> str:
        """One sample, as text."""
        masked = torch.full((1, self.length), len(BASES))
        return "".join(BASES[k] for k in self.draw(masked, keys)[0].tolist())

    def log_prob(self, text: str) -> float:
        """Of a whole sequence, nats; −∞ if a pair cannot form."""
        each = [
            share.get("".join(text[k] for k in block), 0) for block, share in zip(self.blocks, self.shares, strict=True)
        ]
        return sum(log(p / sum(s.values())) for p, s in zip(each, self.shares, strict=True)) if all(each) else -inf

    def quantile(self, block: int, u: float) -> str:
        """The letters of a block, drawn by a uniform number: what `draw` does where the whole block is masked."""
        words, cumulative = self._quantiles[block]
        return words[bisect(cumulative, u * cumulative[-1])]

    @cached_property
    def _quantiles(self) -> list[tuple[list[str], list[float]]]:
        return [(list(share), torch.tensor(list(share.values())).double().cumsum(0).tolist()) for share in self.shares]

    @cached_property
    def _paired(self) -> Tensor:
        return torch.tensor([len(block) == 2 for block in self.blocks])

    @cached_property
    def _tables(self) -> tuple[Float[Tensor, "blocks 4 4"], Int[Tensor, "blocks 2"]]:
        """The joint law of each block, that of a single base on the diagonal, and where its bases are."""
        table = torch.zeros(len(self.blocks), 4, 4, dtype=torch.float64)
        for k, share in enumerate(self.shares):
            for word, p in share.items():
                table[k, BASES.index(word[0]), BASES.index(word[-1])] = p
        places = torch.tensor([(block[0], block[-1]) for block in self.blocks])
        return table / table.sum((1, 2), keepdim=True), places


# What is wanted -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Folds(Factor):
    """g = p(target | x)^beta, the share of the target in the Boltzmann ensemble of structures at 37 °C.

    The belief does not see it: it weighs particles and decides moves.

    Attributes:
        target: dot-bracket.
    """

    target: str
    beta: float = 1.0

    @property
    def record(self) -> Mapping[str, Any]:
        return {"factor": "Folds", "target": self.target, "beta": self.beta}

    def tempered(self, power: float) -> "Folds":
        return replace(self, beta=self.beta * power)

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        """Of the likeliest sequence; of a belief in doubt nothing is said, 0."""
        probs = belief.mean[..., : len(BASES)]
        certain = (probs.amax(-1) > 1 - 1e-6).all(1).tolist()
        texts = ["".join(BASES[k] for k in row) for row in probs.argmax(-1).tolist()]
        values = [self.log_g(text) if sure else 0.0 for text, sure in zip(texts, certain, strict=True)]
        return torch.tensor(values, dtype=torch.float64, device=probs.device)

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        return self.log_expect(belief), belief

    def log_g(self, text: str) -> float:
        compound = _vienna().fold_compound(text)
        _, free = compound.pf()
        return self.beta * (free - compound.eval_structure(self.target)) / KT


@dataclass(eq=False)
class Rivals:
    """U_R: the target against the structures that were found to beat it.

    Attributes:
        target: dot-bracket.
        weight: w, of the target's own energy.
        softness: kT, kcal/mol; the physical one counts many weak rivals as one strong.
        most: rivals that are kept, the latest.
        structures: dot-brackets, in the order in which they are compared.
    """

    target: str
    weight: float = 0.3
    softness: float = 0.15
    most: int = 100
    structures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._vienna = _vienna()
        self._details = self._vienna.md()

    def add(self, structure: str) -> None:
        if structure != self.target and structure not in self.structures:
            self.structures = [structure, *self.structures][: self.most]

    def sort(self, text: str) -> None:
        """The most dangerous for this sequence first, so that bad proposals are found out soon."""
        self.structures.sort(key=self._evaluator(text))

    def energy(self, text: str, limit: float = inf) -> tuple[float, float]:
        """U_R, infinite as soon as it is above the limit, and the margin by which the target wins; kcal/mol."""
        evaluate, kt = self._evaluator(text), self.softness
        own = evaluate(self.target)
        left = (limit - self.weight * own) / kt
        most = exp(min(left, 600)) if left > 0 else 0.0
        total, worst = 1.0, -inf
        for structure in self.structures:
            excess = own - evaluate(structure)
            total += exp(min(excess / kt, 600))
            worst = max(worst, excess)
            if total > most:
                break
        return (self.weight * own + kt * log(total), -worst) if total <= most else (inf, -inf)

    def _evaluator(self, text: str) -> Any:
        return self._vienna.fold_compound(text, self._details, self._vienna.OPTION_EVAL_ONLY).eval_structure


# The moves ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Redraw:
    """Masks some blocks, draws them anew from the prior, and accepts by Metropolis's rule with U_R.

    Which blocks does not depend on the sequence: some that a rival pairs otherwise or their neighbours, the first
    rivals more often, or any. Prior · exp(−U_R/T) is therefore invariant, as long as the rivals stay.

    Attributes:
        temperature: T, kcal/mol.
        beside: the share of moves that look at one rival; half of them at the neighbours of its positions too.
    """

    temperature: float = 0.07
    beside: float = 0.7

    def __call__(
        self, text: str, prior: PairedBases, rivals: Rivals, keys: Keys, proposals: int, until: float = inf
    ) -> tuple[str, int]:
        """The sequence after that many proposals, or once the target wins by more than `until`; how many were made."""
        pools = self._pools(prior, tuple(rivals.structures), rivals.target)
        (energy, margin), made = rivals.energy(text), 0
        for numbers in _numbers(keys, proposals, 12):
            if margin > until:
                break
            made += 1
            proposal = self._proposal(text, prior, pools, numbers)
            if proposal != text:
                found = rivals.energy(proposal, energy - self.temperature * log(numbers[11]))
                if found[0] < inf:
                    text, (energy, margin) = proposal, found
        return text, made

    def _proposal(self, text: str, prior: PairedBases, pools: Sequence[Any], u: Sequence[float]) -> str:
        pool = range(len(prior.blocks))
        if pools and u[0] < self.beside:
            pool = pools[int(len(pools) * u[1] ** 3)][u[0] < self.beside / 2]
        letters = list(text)
        for k in range(1 if u[2] < 0.6 else 2 if u[2] < 0.84 else 4):
            block = pool[int(len(pool) * u[3 + k])]
            for place, letter in zip(prior.blocks[block], prior.quantile(block, u[7 + k]), strict=True):
                letters[place] = letter
        return "".join(letters)

    def _pools(self, prior: PairedBases, rivals: Sequence[str], target: str) -> list[tuple[list[int], list[int]]]:
        """For each rival the blocks that it pairs otherwise, and those with their neighbours."""
        block_of = {k: number for number, block in enumerate(prior.blocks) for k in block}
        own, pools = partners(target), []
        for rival in rivals:
            differ = [k for k, (a, b) in enumerate(zip(own, partners(rival), strict=True)) if a != b]
            near = {k + d for k in differ for d in (-1, 0, 1)} & block_of.keys()
            pools.append((sorted({block_of[k] for k in differ}), sorted({block_of[k] for k in near})))
        return pools


@dataclass(frozen=True)
class Search:
    """How to look for a design.

    Attributes:
        move: on the surrogate.
        steps: of it between two folds at most, a position.
        patience: folds without a smaller gap, after which it goes back to the best sequence.
        restart: folds without a smaller gap, after which it starts anew.
        attempts: what each start takes in turn: the power of the prior, and the weight w of the target's energy.
    """

    move: Redraw = Redraw()
    steps: int = 5
    patience: int = 8
    restart: int = 300
    attempts: tuple[tuple[float, float], ...] = ((1, 0.3), (0.5, 0.3), (1, 0.05), (0.3, 0.05))


@dataclass(frozen=True)
class Design:
    """A sequence, and how well it folds.

    Attributes:
        gap: by which its best structure is below the target, kcal/mol.
        distance: base pairs in one of target and best structure only; 0 = solved.
        folds: folds it took; steps: proposals.
    """

    sequence: str
    gap: float
    distance: int
    folds: int
    steps: int

    @property
    def solved(self) -> bool:
        return self.distance == 0

    def __lt__(self, other: "Design") -> bool:
        """Solved, or else closer to it: of two that are solved neither."""
        return (not self.solved, self.gap) < (not other.solved, other.gap)


def design(target: str, keys: Keys, folds: int = 10_000, seconds: float = inf, search: Search = Search()) -> Design:
    """A sequence whose structure of least free energy is the target, or the one with the smallest gap.

    It is a function of the key and the number of folds alone, unless the time ends the search.

    Args:
        keys: of one sample.
    """
    end, best = time.monotonic() + seconds, None
    for best in searching(target, keys, search):
        if best.solved or best.folds >= folds or time.monotonic() > end:
            break
    assert best is not None
    return best


def searching(target: str, keys: Keys, search: Search = Search()) -> Iterator[Design]:
    """The best design so far after every fold, for as long as one asks."""
    best, folds, steps = None, 0, 0
    for start in count():
        power, weight = search.attempts[start % len(search.attempts)]
        prior, stream = PairedBases.of(target).tempered(power), keys.fold(start)
        rivals = Rivals(target, weight)
        text, here, idle = prior.sequence(stream.fold("start")), None, 0
        while idle <= search.restart:
            rival, gap = folded(text, target)
            folds, found = folds + 1, Design(text, gap, apart(rival, target), folds, steps)
            here, idle = (found, 0) if here is None or found < here else (here, idle + 1)
            best = here if best is None or here < best else best
            yield replace(best, folds=folds, steps=steps)
            rivals.add(rival)
            text = here.sequence if idle and idle % search.patience == 0 else text
            rivals.sort(text)
            proposals = search.steps * len(text)
            text, made = search.move(text, prior, rivals, stream.fold(folds), proposals, until=0.0)
            steps += made


def folded(text: str, target: str) -> tuple[str, float]:
    """The structure of least free energy, and how far below the target it is, kcal/mol."""
    compound = _vienna().fold_compound(text)
    structure, energy = compound.mfe()
    return structure, compound.eval_structure(target) - energy


def apart(a: str, b: str) -> int:
    """Base pairs that only one of two structures has."""
    return len({*map(tuple, _pairs(a))} ^ {*map(tuple, _pairs(b))})


def _pairs(brackets: str) -> list[tuple[int, int]]:
    return [(i, j) for i, j in enumerate(partners(brackets)) if i < j]


def _numbers(keys: Keys, count: int, each: int, block: int = 32) -> Iterator[list[float]]:
    """Uniform numbers, made in blocks and as needed: most walks are short."""
    for k in range(0, count, block):
        yield from keys.fold(k).uniform(min(block, count - k), each)[0].tolist()


def _vienna() -> Any:
    """ViennaRNA; InputError if it is not installed."""
    try:
        import RNA
    except ImportError:
        raise InputError("folding needs ViennaRNA: pip install viennarna") from None
    return RNA
