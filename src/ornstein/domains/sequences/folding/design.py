"""RNA inverse folding: sequences whose structure of least free energy is the one that was asked for.

p(x) ∝ prior(x) · exp(−U(x)/T). The prior is a product of small blocks, base pairs and single bases, and therefore has
an exact denoiser of masked bases. The energy U says how far the target structure s* is from being the best, kcal/mol:

    gap(x)  = E(x, s*) − min_s E(x, s)                                   one fold, O(n³): 3 ms at n = 100, 80 at 400
    U_R(x)  = kT log(1 + Σ_{s∈R} exp((E(x, s*) − E(x, s)) / kT)) + w E(x, s*)      one evaluation O(n) a rival: 2–4 µs

U_R, with w = 0 and the physical kT, is kT times −log p(s* | x) in an ensemble of s* and the rivals R alone: the
structures that earlier folds preferred. With w = 0 it bounds the gap over R from above (a rival not yet seen can
still win), and it costs a thousandth of a fold, so:

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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from math import exp, inf, log
from typing import Any

from ....keys import Keys
from .prior import PairedBases
from .structures import apart, folded, partners, require_foldable, vienna


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
        self._vienna = vienna()
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
        """Whether its best structure is the target."""
        return self.distance == 0

    def __lt__(self, other: "Design") -> bool:
        """Solved, or else closer to it: of two that are solved neither."""
        return (not self.solved, self.gap) < (not other.solved, other.gap)


def design(target: str, keys: Keys, folds: int = 10_000, seconds: float = inf, search: Search = Search()) -> Design:
    """A sequence whose structure of least free energy is the target, or the one with the smallest gap.

    It is a function of the key and the number of folds alone, unless the time ends the search. InputError, before any
    fold, for a target that is no structure or that no sequence can have; see `require_foldable`.

    Args:
        target: structure in dot-bracket notation.
        keys: of one sample.
        seconds: time after which the search stops.
    """
    end, best = time.monotonic() + seconds, None
    for best in searching(target, keys, search):
        if best.solved or best.folds >= folds or time.monotonic() > end:
            break
    assert best is not None
    return best


def searching(target: str, keys: Keys, search: Search = Search()) -> Iterator[Design]:
    """The best design so far after every fold, for as long as one asks.

    Args:
        target: structure in dot-bracket notation.
        keys: random keys, one a sample; they decide everything random.
        search: settings of the search.
    """
    require_foldable(target)
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


def _numbers(keys: Keys, count: int, each: int, block: int = 32) -> Iterator[list[float]]:
    """Uniform numbers, made in blocks and as needed: most walks are short."""
    for k in range(0, count, block):
        yield from keys.fold(k).uniform(min(block, count - k), each)[0].tolist()
