"""What a user may ask of sequences, in flags, and which of these go together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ...config import require_in
from ...deprecation import renamed
from ...errors import InputError
from . import texts

Reveal = Literal["entropy", "confidence", "first-hitting", "ancestral", "remask"]


@renamed(reveal="reveal_order", rounds="sweeps")
@dataclass(frozen=True)
class SequencesRequest:
    """What to draw.

    Attributes:
        reveal_order: the order in which a masked model reveals letters: entropy = as many a step as `bound` allows,
            confidence = the surest first, first-hitting = one by one at random, ancestral = at random in `steps` steps,
            remask = the same with second thoughts; entropy if not given.
        bound: nats that a step of entropy order may lose on the dependence of its letters; 0 = nothing; 0.5 if not
            given.
        sweeps: of correction at the end, which draw anew what does not fit the rest; two calls each; none if not given.
        temperature: of every letter's distribution; below 1 = less varied.
        top_p: only the likeliest letters that have this probability together.
        length: letters of each sample, where lengths vary; as in the data if not given.
        family: the families, used in turn; all of them if not given.
        guidance: scale of classifier-free guidance by the family, 1 = none.
        fixed: a template of the whole sequence, ? = free: scaffolds and infilling.
        motif: a pattern that must be there, once or more, as in PROSITE (C-x(2,4)-[ST]) or IUPAC letters (TATAAT,
            AGGAGGN(5,9)ATG); @12 after it says in which column it begins, counted from 1.
        structure: dot-bracket of base pairs that must be able to form.
        fold: dot-bracket of the structure that ViennaRNA must predict, by `--exact particles`.
        fraction: letters and the share of positions that they should have, such as GC=0.6.
        energy: path/to/file.py:name of an energy in kT, a function of a list of texts: by `--exact mcmc` the samples
            are of exp(-E) over all sequences, which the model only proposes.
    """

    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "what must hold": ("fixed", "motif", "structure", "fold", "fraction"),
        "which energy": ("energy",),
        "which sequences": ("family", "guidance", "length"),
        "how letters are drawn": ("reveal_order", "bound", "sweeps", "temperature", "top_p"),
    }

    reveal_order: Reveal | None = None
    bound: float | None = None
    sweeps: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    length: int | None = None
    family: tuple[str, ...] | None = None
    guidance: float = 1.0
    fixed: str | None = None
    motif: str | None = None
    structure: str | None = None
    fold: str | None = None
    fraction: str | None = None
    energy: str | None = None

    def __post_init__(self) -> None:
        require_in(self, "--", {"bound": "[0, inf)", "sweeps": "[0, inf)", "length": "[1, inf)"})
        require_in(self, "--", {"temperature": "(0, inf)", "top_p": "(0, 1]", "guidance": "[0, 1e6]"})
        if self.bound is not None and self.reveal_order not in (None, "entropy"):
            raise InputError(f"--bound is for --reveal-order entropy, found --reveal-order {self.reveal_order}")
        if self.energy is not None:
            texts.require_alone(self, self.groups["what must hold"])
