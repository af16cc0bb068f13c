"""What is likely to fold into a structure: base pairs and single bases, independent of one another.

Boosted mismatches as in NEMO (Portela 2018): G beside the pairs of loops. A product of small blocks has an exact
denoiser of masked bases.
"""

from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, log

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ....beliefs import Probs
from ....denoisers.base import Condition, Denoiser, Traits, carry
from ....keys import Keys
from ....spaces import Categorical
from ....spaces.categorical import draw
from ....states import State, Time
from .structures import loops, pairs_of

BASES = "ACGU"

Block = tuple[int, ...]
Shares = Mapping[str, float]

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

    def __post_init__(self) -> None:
        carry(self, Traits(Categorical.masked((self.length,), len(BASES)), time_independent=True))

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
