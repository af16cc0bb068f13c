"""Secondary structures of RNA in dot-bracket notation: their pairs, their loops, and what ViennaRNA says of them.

ViennaRNA: Lorenz et al. 2011, at 37 °C with its default parameters.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ....errors import InputError

KT = 0.61632
"""kcal/mol at 37 °C."""
SHORTEST_HAIRPIN, LONGEST_INTERIOR = 3, 30


def pairs_of(brackets: str) -> list[list[int]]:
    """The base pairs of a dot-bracket, 0-based; InputError if it is none.

    Args:
        brackets: such as "((..))".
    """
    stack, pairs = [], []
    for column, mark in enumerate(brackets, 1):
        if mark == "(":
            stack.append(column - 1)
        elif mark == ")" and stack:
            pairs.append([stack.pop(), column - 1])
        elif mark != ".":
            raise InputError(f"structure: column {column} is {mark!r}, expected a dot or a matched bracket")
    if stack:
        raise InputError(f"structure: the bracket at column {stack[-1] + 1} is never closed")
    return sorted(pairs)


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


def require_foldable(target: str) -> None:
    """InputError if no sequence has this structure as its best one: by its first loop that ViennaRNA never closes.

    A hairpin has three unpaired bases or more, a bulge or an interior loop thirty or fewer.
    """
    if not target:
        raise InputError("the target is empty, expected a structure such as ((((....))))")
    pairs_of(target)
    for loop in loops(target):
        if loop.closing is None:
            continue
        first, last = (k + 1 for k in loop.closing)
        unpaired, pair = len(loop.unpaired), f"the pair of columns {first} and {last}"
        if not loop.branches and unpaired < SHORTEST_HAIRPIN:
            raise InputError(
                f"no sequence folds into this: {pair} closes a hairpin of {unpaired} unpaired bases, which has "
                f"{SHORTEST_HAIRPIN} at least"
            )
        if loop.interior and unpaired > LONGEST_INTERIOR:
            raise InputError(
                f"no sequence folds into this: {pair} closes an interior loop of {unpaired} unpaired bases, which has "
                f"{LONGEST_INTERIOR} at most"
            )


def folded(text: str, target: str) -> tuple[str, float]:
    """The structure of least free energy, and how far below the target it is, kcal/mol.

    Args:
        text: the bases.
        target: dot-bracket.
    """
    compound = vienna().fold_compound(text)
    structure, energy = compound.mfe()
    return structure, compound.eval_structure(target) - energy


def apart(a: str, b: str) -> int:
    """Base pairs that only one of two structures has."""
    return len({*map(tuple, _pairs(a))} ^ {*map(tuple, _pairs(b))})


def _pairs(brackets: str) -> list[tuple[int, int]]:
    return [(i, j) for i, j in enumerate(partners(brackets)) if i < j]


def vienna() -> Any:
    """ViennaRNA; InputError if it is not installed."""
    try:
        import RNA
    except ImportError:
        raise InputError("folding needs ViennaRNA: pip install viennarna") from None
    return RNA
