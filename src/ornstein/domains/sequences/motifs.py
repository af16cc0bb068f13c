"""Motifs: patterns of letter classes, and how probable it is that a sequence contains one.

    C-x(2,4)-[ST]-{P}, <M-x    PROSITE: lengths may vary, "<" and ">" are the ends of the sequence
    AGGAGGN(5,9)ATG            IUPAC letters of bases, likewise

A pattern is made into a finite automaton that reads a sequence letter by letter and ends in a state of its own if, and
only if, the pattern is there, however often and however its occurrences overlap. Of independent letters with the
probabilities p_i, the automaton's states are a Markov chain, so everything about the presence is two recursions:

    β_i(s) = Σ_a p_i(a) β_{i+1}(δ(s, a))                          P(present | state s before letter i), β_1 = P(present)
    γ_{i+1}(s') = Σ_{δ(s, a) = s'} γ_i(s) p_i(a) β_{i+1}(s') / β_i(s)                    P(state s' | present)

and p(x_i = a | present) is the sum over the states s of the terms of γ_{i+1} with the letter a (Nicodème, Salvy &
Flajolet 2002; Nuel 2008). A pattern with long gaps can need more than `MOST` states. It is then read by the
nondeterministic automaton, for which the same recursions count occurrences: the expected number, if that is below 1,
bounds P(present) from above, and both are the same for letters that are certain.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...errors import InputError

MOST = 256
"""States of a deterministic automaton."""
IUPAC = {
    "R": "AG", "Y": "CTU", "S": "CG", "W": "ATU", "K": "GTU", "M": "AC",
    "B": "CGTU", "D": "AGTU", "H": "ACTU", "V": "ACG", "N": "ACGTU",
}  # fmt: skip
_NEVER = -1e9  # log 0, with a gradient
_END = -1


# Patterns -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Element:
    """Letters of one class, `least` to `most` of them."""

    letters: tuple[bool, ...]
    least: int = 1
    most: int = 1


@dataclass(frozen=True)
class Pattern:
    """Elements one after the other.

    Attributes:
        begins: only at the first letter of the sequence.
        ends: only at the last.
    """

    elements: tuple[Element, ...]
    begins: bool = False
    ends: bool = False

    @property
    def least(self) -> int:
        """Letters of the shortest occurrence."""
        return sum(element.least for element in self.elements)

    @property
    def most(self) -> int:
        """Letters of the longest occurrence."""
        return sum(element.most for element in self.elements)

    @cached_property
    def columns(self) -> Bool[Tensor, "k size"]:
        """The letters that each place of the longest occurrence allows."""
        return torch.tensor([element.letters for element in self.elements for _ in range(element.most)])

    @cached_property
    def following(self) -> list[list[int]]:
        """The columns that may come after each column, _END where the pattern may end there; first those it begins
        with (Glushkov's automaton, in which each way to read an occurrence is one path)."""
        entries, firsts, first = [[_END]], [], self.most
        for element in reversed(self.elements):
            first -= element.most
            skipped = entries[-1] if element.least == 0 else []
            entries.append(([first] if element.most else []) + skipped)
            firsts.append(first)
        found = [entries[-1]]
        for element, first, beyond in zip(self.elements, reversed(firsts), reversed(entries[:-1]), strict=True):
            for number in range(1, element.most + 1):
                more = [first + number] if number < element.most else []
                found.append(more + (beyond if number >= element.least else []))
        return found


def parsed(text: str, alphabet: str, kind: str, length: int) -> Pattern:
    """The pattern that a text says; InputError names the element that is not understood.

    Args:
        text: PROSITE for proteins, IUPAC letters for DNA and RNA.
        alphabet: the letters, in the order of the categories; no pattern has the gap "-".
        kind: of the letters: protein, rna or dna.
        length: letters of the sequences, which an occurrence must fit in.
    """
    inner = text.strip()
    begins, ends = inner.startswith("<"), inner.rstrip(".").endswith(">")
    inner = inner.removeprefix("<").rstrip(".").removesuffix(">")
    if not inner:
        raise InputError(f"motif: {text!r} has no letter, expected a pattern such as C-x(2)-[ST] or AGGAGG")
    parts = inner.split("-") if kind == "protein" else re.findall(r"[A-Za-z](?:\([^()]*\))?", inner)
    if kind != "protein" and "".join(parts) != inner:
        raise InputError(f"motif: {text!r} is not IUPAC letters, such as TATAAT or AGGAGGN(5,9)ATG")
    elements = (_element(part, number, alphabet, kind, length) for number, part in enumerate(parts, 1))
    pattern = Pattern(tuple(elements), begins, ends)
    if not pattern.least:
        raise InputError(f"motif: {text!r} may be nothing at all, which every sequence has")
    if pattern.least > length:
        raise InputError(f"motif: has {pattern.least} letters, the sequences {length}")
    return pattern


def _element(text: str, number: int, alphabet: str, kind: str, length: int) -> Element:
    match = re.fullmatch(r"(\[[A-Za-z]+\]|\{[A-Za-z]+\}|[A-Za-z])(?:\(([0-9]{1,6})(?:,([0-9]{1,6}))?\))?", text)
    if match is None:
        raise InputError(f"motif: element {number} is {text!r}, expected such as C, x(2), x(2,4), [ST] or {{P}}")
    least = int(match[2] or 1)
    most = int(match[3] or least)
    if least > most or most == 0:
        raise InputError(f"motif: element {number} is {text!r}, from {least} to {most} letters")
    return Element(_class(match[1], alphabet, kind), min(least, length + 1), min(most, length + 1))


def _class(element: str, alphabet: str, kind: str) -> tuple[bool, ...]:
    """Which letters of the alphabet an element allows."""
    letters, inside = set(alphabet.rstrip("-")), set(element.strip("[]{}").upper())
    if kind == "protein":
        inside = letters if inside == {"X"} else inside
        allowed = letters - inside if element[0] == "{" else inside
    else:
        inside = {"U" if letter == "T" and "U" in letters else letter for letter in inside}
        inside = {"T" if letter == "U" and "T" in letters else letter for letter in inside}
        allowed = letters & set("".join(IUPAC.get(letter, letter) for letter in inside))
        inside = inside - set(IUPAC)
    if not allowed or not inside <= letters:
        raise InputError(f"motif: {element!r} names a letter that is not one of {alphabet.rstrip('-')}")
    return tuple(letter in allowed for letter in alphabet)


# Automata -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Automaton:
    """Where each letter leads from each state, state 0 being the first.

    Attributes:
        successors: (states, classes of letters, ways), `states` where there is no further way.
        members: (classes, size) the letters of each class.
        final: the states in which the pattern is there at the end of the sequence.
        exact: every letter leads to one state, so that the recursions give probabilities.
    """

    successors: Int[Tensor, "states classes ways"]
    members: Bool[Tensor, "classes size"]
    final: tuple[int, ...]
    exact: bool

    @property
    def class_of(self) -> Int[Tensor, " size"]:
        """The class of each letter."""
        return self.members.int().argmax(0)

    def ahead(self, logs: Float[Tensor, "batch length classes"]) -> list[Float[Tensor, "batch states"]]:
        """log β of every letter and of the end, nats, with a last state from which nothing is possible."""
        successors, states = self.successors.to(logs.device), len(self.successors)
        beta = logs.new_full((len(logs), states + 1), _NEVER)
        beta[:, self.final] = 0.0
        found, never = [beta], beta.new_full((len(logs), 1), _NEVER)
        for here in logs.unbind(1)[::-1]:
            paths = here[:, None, :, None] + beta[:, successors]
            beta = torch.cat([paths.flatten(2).logsumexp(-1), never], 1)
            found.append(beta)
        return found[::-1]

    def given(
        self, logs: Float[Tensor, "batch length classes"], ahead: Sequence[Tensor]
    ) -> Float[Tensor, "batch length classes"]:
        """p(class of each letter | present), from log p and what `ahead` says of it."""
        successors = self.successors.to(logs.device)
        states, places = len(successors), successors.flatten()
        gamma = logs.new_zeros(len(logs), states + 1)
        gamma[:, 0] = 1.0
        found = []
        for here, before, after in zip(logs.unbind(1), ahead, ahead[1:], strict=False):
            paths = here[:, None, :, None] + after[:, successors] - before[:, :states, None, None]
            joint = gamma[:, :states, None, None] * paths.exp()
            found.append(joint.sum((1, 3)))
            gamma = torch.zeros_like(gamma).index_add_(1, places, joint.flatten(1))
        return torch.stack(found, 1)

    def class_logs(self, log_probs: Float[Tensor, "batch length letters"]) -> Float[Tensor, "batch length classes"]:
        """The log-probability of each class, from those of the letters; further states, such as a mask, are in none."""
        members = self.members.to(log_probs.device)
        known = log_probs[..., : members.shape[1]].clamp(min=_NEVER)
        return torch.stack([known[..., each].logsumexp(-1) for each in members], -1)


def possible(logs: Float[Tensor, "..."]) -> Bool[Tensor, "..."]:
    """Whether these logarithms, made by `Automaton.ahead`, are of more than 0."""
    return logs > _NEVER / 10


def automaton(pattern: Pattern, gap: int = -1) -> Automaton:
    """What finds a pattern.

    Args:
        gap: the category that stands for no letter, and is passed over; −1 = there is none.
    """
    columns = pattern.columns
    kinds: dict[tuple[bool, ...], list[int]] = {}
    for letter, column in enumerate(columns.T.tolist()):
        kinds.setdefault((*column, letter == gap), []).append(letter)
    members = torch.zeros(len(kinds), columns.shape[1], dtype=torch.bool)
    for number, letters in enumerate(kinds.values()):
        members[number, letters] = True
    reader = _Reader(pattern, list(kinds))
    return reader.deterministic(members) or reader.counting(members)


@dataclass(frozen=True)
class _Reader:
    """How a pattern is read: nodes are 0, nothing matched, k + 1, column k matched last, and `found`, all is there.

    Attributes:
        kinds: what each class of letters matches: a flag a column, and whether it is a gap.
    """

    pattern: Pattern
    kinds: Sequence[tuple[bool, ...]]

    @property
    def found(self) -> int:
        return self.pattern.most + 1

    def steps(self, node: int, kind: tuple[bool, ...]) -> list[int]:
        """The nodes to which a letter leads from a node."""
        if kind[-1] or node == self.found:
            return [node]
        again = [0] if node == 0 and not self.pattern.begins else []
        matched = [column + 1 for column in self.pattern.following[node] if column != _END and kind[column]]
        return again + list(dict.fromkeys(self.found if self._over(one) else one for one in matched))

    def _over(self, node: int) -> bool:
        """Whether nothing more is needed; a pattern at the end of the sequence needs the end."""
        return not self.pattern.ends and _END in self.pattern.following[node]

    def final(self, node: int) -> bool:
        return node == self.found or (self.pattern.ends and _END in self.pattern.following[node])

    def deterministic(self, members: Tensor) -> Automaton | None:
        """Its states are the sets of nodes that are possible at a time; None if they are more than `MOST`."""
        sets: dict[frozenset[int], int] = {frozenset([0]): 0}
        table: list[list[list[int]]] = []
        for nodes in (waiting := [frozenset([0])]):
            table.append([])
            for kind in self.kinds:
                after = frozenset(new for node in nodes for new in self.steps(node, kind))
                after = frozenset([self.found]) if self.found in after else after
                if after not in sets:
                    if len(sets) == MOST:
                        return None
                    sets[after] = len(sets)
                    waiting.append(after)
                table[-1].append([sets[after]])
        final = [state for nodes, state in sets.items() if any(map(self.final, nodes))]
        return Automaton(torch.tensor(table), members, tuple(final), exact=True)

    def counting(self, members: Tensor) -> Automaton:
        """Its states are the nodes."""
        nodes = range(self.found + 1)
        table = [[self.steps(node, kind) for kind in self.kinds] for node in nodes]
        ways = max(len(steps) for row in table for steps in row)
        padded = [[steps + [len(nodes)] * (ways - len(steps)) for steps in row] for row in table]
        return Automaton(torch.tensor(padded), members, tuple(filter(self.final, nodes)), exact=False)
