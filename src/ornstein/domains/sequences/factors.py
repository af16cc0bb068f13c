"""What can be known or wanted of a sequence, and how it is written.

| factor | known | the belief given it |
|---|---|---|
| fixed     | letters at places: scaffolds, infilling | exact |
| motif     | a pattern of letter classes, at a place or anywhere | exact marginals for independent letters |
| pairing   | i pairs with j | exact marginals for independent letters; particles make the pairs exact |
| fraction  | the share of some letters | to first order |
| folds     | the structure that ViennaRNA predicts | not seen by the belief: particles weigh it |

A property of your own is an `Energy`, a classifier or regressor a `ClassifierGuidance`, on the one-hot code (batch,
length, size).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...beliefs import Belief, Probs
from ...errors import InputError
from ...guidance.binding import ForModel
from ...guidance.factors import Energy, Factor, Updated
from ...guidance.measurements import Fixed
from ...spaces import Categorical, Space
from ...states import State, Time
from .folding.structures import KT, pairs_of, require_foldable, vienna
from .formats import GAP
from .motifs import Automaton, Pattern, automaton, parsed, possible

PAIRS = ("AU", "UA", "GC", "CG", "GU", "UG")


# What is written ------------------------------------------------------------------------------------


def known(said: Mapping[str, str | None]) -> list[ForModel]:
    """The factors of what the user's flags say."""
    makers: dict[str, Callable[[str], ForModel]] = {
        "fixed": fixed,
        "motif": motif,
        "structure": structure,
        "fold": fold,
        "fraction": fraction,
    }
    return [makers[name](text) for name, text in said.items() if text is not None]


def fixed(template: str, alphabet: str | None = None) -> ForModel:
    """Letters that hold exactly; "?" is free. An autoregressive model in two orders starts where they do.

    InputError for letters that are not the model's, or another number of columns than its sequences have.

    Args:
        template: a letter or "?" a column.
        alphabet: the letters, in the order of the categories, for a denoiser of your own; so of all factors here.
    """
    text = template.upper()

    def make(letters: str, length: int, kind: str) -> Fixed:
        _require_length(text, length, "fixed")
        for column, letter in enumerate(text, 1):
            if letter not in letters + "?":
                raise InputError(f"fixed: column {column} is {letter!r}, expected one of {letters} or ?")
        where = torch.tensor([letter != "?" for letter in text])
        if not where.any():
            raise InputError("fixed: all columns are free, so nothing is fixed")
        return Fixed(torch.tensor([max(letters.find(letter), 0) for letter in text]), where)

    return _of_letters("fixed", make, alphabet)


def motif(pattern: str, alphabet: str | None = None) -> ForModel:
    """PROSITE (C-x(2,4)-[ST]-{P}) or IUPAC letters, at a column (@12, counted from 1) or anywhere.

    Anywhere: in the sequence as it is without its gaps, once or more. At a column: in the columns from there on, none
    of them a gap.

    Args:
        pattern: such as "C-x(2)-[ST]" or "TATAAT@12".
        alphabet: as of `fixed`.
    """
    body, at, column = pattern.partition("@")

    def make(letters: str, length: int, kind: str) -> Motif:
        said = parsed(body, letters, kind, length)
        if not at:
            return Motif(said, gap=letters.find(GAP))
        places = length - said.least + 1
        if not (re.fullmatch("[0-9]{1,9}", column) and 1 <= int(column) <= places):
            raise InputError(f"motif: begins at {column!r}, expected a column from 1 to {places}")
        return Motif(replace(said, begins=True), int(column) - 1)

    return _of_letters("motif", make, alphabet)


def structure(brackets: str, alphabet: str | None = None) -> ForModel:
    """Base pairs that must be able to form: A–U, G–C, G–U.

    Args:
        brackets: dot-bracket, as long as the sequences.
        alphabet: as of `fixed`.
    """

    def make(letters: str, length: int, kind: str) -> Pairing:
        _require_bases(kind, "structure")
        _require_length(brackets, length, "structure")
        if not (pairs := pairs_of(brackets)):
            raise InputError("structure: has no pairs")
        return Pairing(torch.tensor(pairs), pairable(letters))

    return _of_letters("structure", make, alphabet)


def fold(brackets: str, alphabet: str | None = None) -> ForModel:
    """The structure that ViennaRNA must predict.

    Args:
        brackets: dot-bracket, as long as the sequences.
        alphabet: as of `fixed`.
    """

    def make(letters: str, length: int, kind: str) -> Folds:
        _require_bases(kind, "fold")
        _require_length(brackets, length, "fold")
        require_foldable(brackets)
        return Folds(brackets, letters)

    return _of_letters("fold", make, alphabet)


def fraction(said: str, alphabet: str | None = None) -> ForModel:
    """Such as GC=0.6: the share of positions that hold one of the letters; within about .02.

    Args:
        said: the letters and the share.
        alphabet: as of `fixed`.
    """
    wished, _, value = said.upper().partition("=")

    def make(letters: str, length: int, kind: str) -> Energy:
        wrong = not wished or any(letter not in letters for letter in wished)
        if wrong or not re.fullmatch(r"0?\.\d+|0|1", value):
            raise InputError(f"fraction: {said!r} is not letters of {letters} and a share, such as GC=0.6")
        chosen = torch.tensor([letters.index(letter) for letter in wished])

        def composition(code: Float[Tensor, "batch length states"]) -> Float[Tensor, " batch"]:
            return (code[..., chosen].sum(-1).mean(1) - float(value)).square()

        return Energy(composition, 0.5 / 0.02**2)

    return _of_letters("fraction", make, alphabet)


def pairable(alphabet: str) -> Float[Tensor, "size size"]:
    """1 where two letters form a base pair (T as U)."""
    bases = alphabet.replace("T", "U")
    return torch.tensor([[float(a + b in PAIRS) for b in bases] for a in bases], dtype=torch.float64)


def _of_letters(name: str, make: Callable[[str, int, str], Factor], alphabet: str | None) -> ForModel:
    """A factor that is made of a model's alphabet, the length of its sequences and their kind."""

    def checked(metadata: Mapping[str, Any], space: Any) -> Factor:
        letters = metadata["alphabet"]
        if not isinstance(space, Categorical) or len(space.shape) != 1:
            raise InputError(f"{name}: is about sequences of letters, this model draws {type(space).__name__}")
        if space.size != len(letters):
            raise InputError(f"{name}: {len(letters)} letters are said, the model tells {space.size} apart")
        if metadata.get("lengths"):
            raise InputError(f"{name}: speaks of places in sequences of one length; those of this model vary")
        return make(letters, space.shape[0], metadata.get("kind") or _kind(letters))

    return ForModel(name, checked, ("alphabet",), {} if alphabet is None else {"alphabet": alphabet})


def _kind(alphabet: str) -> str:
    """What letters are of, where no data say so."""
    return "rna" if set(alphabet) <= set("ACGU-") else "dna" if set(alphabet) <= set("ACGT-") else "protein"


def _require_length(text: str, length: int, what: str) -> None:
    if len(text) != length:
        raise InputError(f"{what}: has {len(text)} columns, the model's sequences {length}")


def _require_bases(kind: str, what: str) -> None:
    if kind == "protein":
        raise InputError(f"{what}: is for RNA and DNA, this model draws proteins")


# The factors ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Motif(Factor):
    """g = 1 where the pattern is there, once or more often, and 0 elsewhere; see motifs.py.

    Attributes:
        pattern: what to find.
        place: the column, counted from 0, from which on it is looked for; None = anywhere.
        gap: the category that stands for no letter and is passed over; −1 = there is none.
    """

    pattern: Pattern
    place: int | None = None
    gap: int = -1

    @cached_property
    def automaton(self) -> Automaton:
        """What finds the pattern."""
        return automaton(self.pattern, self.gap)

    @property
    def conjugate(self) -> bool:
        """Letters that are independent stay so where it is known in which columns the pattern is."""
        return self.place is not None and self.pattern.least == self.pattern.most and not self.pattern.ends

    @property
    def provenance(self) -> Mapping[str, Any]:
        said = {"factor": "Motif", "columns": self.pattern.most, "exact foresight": self.automaton.exact}
        return said if self.place is None else {**said, "place": self.place}

    def tempered(self, power: float) -> "Motif":
        return self

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        """log P(the pattern is there), differentiable in the logits; an upper bound if the automaton is not exact."""
        assert isinstance(belief, Probs)
        return self._presence(self.automaton.ahead(self._logs(belief)))

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        """Each letter's probabilities given that the pattern is there; as they were where it cannot be.

        Args:
            belief: p(x₀ | x_t), one a sample.
            x_t: noisy states at time t, (batch, ...): a tensor of the space's shape for each sample, or a dictionary
                of them for a product.
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            space: the kind of data and its noise.
        """
        assert isinstance(belief, Probs)
        logs = self._logs(belief)
        ahead = self.automaton.ahead(logs)
        value, change = self._presence(ahead), self.automaton.given(logs, ahead).log() - logs
        logits = belief.log_probs.double()
        tilted, classes = logits.clone(), self.automaton.class_of.to(change.device)
        tilted[:, self.place or 0 :, : len(classes)] += change[..., classes]
        tilted[:, self.place or 0 :, len(classes) :] = -torch.inf  # a mask is no letter
        return value, replace(belief, logits=torch.where((value > -torch.inf)[:, None, None], tilted, logits))

    def _logs(self, belief: Probs) -> Float[Tensor, "batch length classes"]:
        """Of the classes of letters that the pattern tells apart, from its place on."""
        return self.automaton.class_logs(belief.log_probs.double()[:, self.place or 0 :])

    def _presence(self, ahead: Sequence[Tensor]) -> Float[Tensor, " batch"]:
        value = ahead[0][:, 0]
        return torch.where(possible(value), value.clamp(max=0.0), -torch.inf)


@dataclass(frozen=True, eq=False)
class Pairing(Factor):
    """g = Π M[x_i, x_j] over pairs of positions, no position in two of them.

    Attributes:
        pairs: (i, j) positions.
        table: M ≥ 0, how well two letters go together.
    """

    pairs: Int[Tensor, "pairs 2"]
    table: Float[Tensor, "size size"]

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {"factor": "Pairing", "pairs": len(self.pairs)}

    def tempered(self, power: float) -> "Pairing":
        return Pairing(self.pairs, self.table.clamp(min=1e-6) ** power)

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        return self._expect(belief)[0].log().sum(1)

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        """Each letter weighed by how well it goes with what its partner may be.

        Args:
            belief: p(x₀ | x_t), one a sample.
            x_t: noisy states at time t, (batch, ...): a tensor of the space's shape for each sample, or a dictionary
                of them for a product.
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            space: the kind of data and its noise.
        """
        assert isinstance(belief, Probs)
        each, left, right = self._expect(belief)
        slope = torch.zeros_like(belief.logits, dtype=torch.float64)
        slope[:, self.pairs[:, 0]], slope[:, self.pairs[:, 1]] = left.log(), right.log()
        tilted = belief.log_probs.double() + slope
        nothing = tilted.isneginf().all(-1, keepdim=True)
        return each.log().sum(1), replace(belief, logits=torch.where(nothing, belief.log_probs.double(), tilted))

    def _expect(self, belief: Belief) -> tuple[Tensor, Tensor, Tensor]:
        """E[M] of each pair, and M averaged over the one or the other partner."""
        probs = belief.mean.double()
        extra = probs.shape[-1] - len(self.table)
        table = torch.nn.functional.pad(self.table.double(), (0, extra, 0, extra)).to(probs.device)
        a, b = probs[:, self.pairs[:, 0]], probs[:, self.pairs[:, 1]]
        left, right = b @ table.T, a @ table
        return (a * left).sum(-1), left, right


@dataclass(frozen=True)
class Folds(Factor):
    """g = p(target | x)^beta, the share of the target in the Boltzmann ensemble of structures at 37 °C.

    The belief does not see it: it weighs particles and decides moves.

    Attributes:
        target: dot-bracket.
        alphabet: of the letters; gaps are bases that pair with nothing.
    """

    target: str
    alphabet: str = "ACGU"
    beta: float = 1.0

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {"factor": "Folds", "target": self.target, "beta": self.beta}

    def tempered(self, power: float) -> "Folds":
        return replace(self, beta=self.beta * power)

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        """Of the likeliest sequence: with base pairs that must be able to form, that foresees much."""
        probs = belief.mean[..., : len(self.alphabet)]
        texts = ["".join(self.alphabet[k] for k in row) for row in probs.argmax(-1).tolist()]
        values = [self.log_g(text) for text in texts]
        return torch.tensor(values, dtype=torch.float64, device=probs.device)

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        return self.log_expect(belief), belief

    def log_g(self, text: str) -> float:
        compound = vienna().fold_compound(text.replace("-", "N"))
        _, free = compound.pf()
        return self.beta * (free - compound.eval_structure(self.target)) / KT
