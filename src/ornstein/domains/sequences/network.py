"""The network, and the noise it learns to undo.

| noise | a letter | the network |
|---|---|---|
| masked | stays or becomes the mask | looks at all letters |
| uniform | stays or is redrawn | looks at all letters and the noise level |
| hybrid | stays or is redrawn, or becomes the mask | the same |
| substitution | mutates as in evolution | the same |
| left-to-right | all after some place are hidden | looks back: autoregression |
| two-orders | the same, or the second half comes before the first (fill in the middle) | looks back, told the order |

Substitution: proteins by BLOSUM62, R_ij = π_j 2^{S_ij/2} (its scores are log-odds in half bits; Henikoff 1992, with the
background frequencies of Robinson & Robinson 1991), bases with transitions twice as fast as transversions (Kimura
1980). Both are reversible.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ...networks import Transformer, TransformerConfig
from ...spaces import Autoregressive, Categorical

Noise = Literal["masked", "uniform", "hybrid", "substitution", "left-to-right", "two-orders"]
CAUSAL = ("left-to-right", "two-orders")
TRANSITIONS = 2.0
_GAP = 0.05  # how often a substitution makes a gap


def build(config: TransformerConfig, noise: Noise, metadata: Mapping[str, Any]) -> Transformer:
    """A transformer for the data's letters, length and families.

    Args:
        config: the configuration, a frozen dataclass.
        noise: what the model undoes, such as masked.
        metadata: of the data that the model was trained on, in JSON values.
    """
    size = len(metadata["alphabet"])
    timed, causal = noise in ("uniform", "hybrid", "substitution"), noise in CAUSAL
    states = size + (noise not in ("uniform", "substitution"))
    return Transformer(config, metadata["length"], states, size, len(metadata["families"]), timed, causal)


def space(noise: Noise, metadata: Mapping[str, Any], mixed: float = 0.2) -> Categorical:
    """The letters at all positions under a noise; mixed: the share of redrawn letters in hybrid noise.

    Args:
        metadata: of the data that the model was trained on, in JSON values.
    """
    shape, size = (metadata["length"],), len(metadata["alphabet"])
    if noise == "masked":
        return replace(Categorical.masked(shape, size), weighting="counted")
    if noise in CAUSAL:
        return Autoregressive.of(*shape, size)
    if noise == "uniform":
        return Categorical.uniform(shape, size)
    if noise == "hybrid":
        return Categorical.hybrid(shape, size, mixed)
    return Categorical.substitution(shape, rates(metadata["alphabet"], metadata["kind"]))


def rates(alphabet: str, kind: str) -> Float[Tensor, "size size"]:
    """How fast each letter turns into each other; the gap of alignments into and out of all alike."""
    letters = alphabet.rstrip("-")
    odds, frequencies = _blosum() if kind == "protein" else _bases(letters)
    rate = odds * frequencies
    if len(letters) < len(alphabet):
        rate = torch.nn.functional.pad(rate * (1 - _GAP), (0, 1), value=_GAP)
        rate = torch.cat([rate, torch.cat([frequencies * (1 - _GAP), torch.zeros(1)])[None].double()])
    rate.fill_diagonal_(0.0)
    return rate - torch.diag(rate.sum(1))


def _bases(letters: str) -> tuple[Tensor, Tensor]:
    purine = torch.tensor([letter in "AG" for letter in letters])
    odds = torch.where(purine[:, None] == purine, TRANSITIONS, 1.0).double()
    return odds, torch.full((len(letters),), 0.25, dtype=torch.float64)


def _blosum() -> tuple[Tensor, Tensor]:
    scores = torch.zeros(20, 20, dtype=torch.float64)
    for row, line in enumerate(_BLOSUM62.split("/")):
        for column, score in enumerate(line.split()):
            scores[row, column] = scores[column, row] = float(score)
    frequencies = torch.tensor(_ROBINSON, dtype=torch.float64)
    return 2 ** (scores / 2), frequencies / frequencies.sum()


# The lower triangle, in the order of the alphabet ACDEFGHIKLMNPQRSTVWY.
_BLOSUM62 = (
    "4 / 0 9 / -2 -3 6 / -1 -4 2 5 / -2 -2 -3 -3 6 / 0 -3 -1 -2 -3 6 / -2 -3 -1 0 -1 -2 8 / "
    "-1 -1 -3 -3 0 -4 -3 4 / -1 -3 -1 1 -3 -2 -1 -3 5 / -1 -1 -4 -3 0 -4 -3 2 -2 4 / "
    "-1 -1 -3 -2 0 -3 -2 1 -1 2 5 / -2 -3 1 0 -3 0 1 -3 0 -3 -2 6 / -1 -3 -1 -1 -4 -2 -2 -3 -1 -3 -2 -2 7 / "
    "-1 -3 0 2 -3 -2 0 -3 1 -2 0 0 -1 5 / -1 -3 -2 0 -3 -2 0 -3 2 -2 -1 0 -2 1 5 / "
    "1 -1 0 0 -2 0 -1 -2 0 -2 -1 1 -1 0 -1 4 / 0 -1 -1 -1 -2 -2 -2 -1 -1 -1 -1 0 -1 -1 -1 1 5 / "
    "0 -1 -3 -2 -1 -3 -3 3 -2 1 1 -3 -2 -2 -3 -2 0 4 / "
    "-3 -2 -4 -3 1 -2 -2 -3 -3 -2 -1 -4 -4 -2 -3 -3 -2 -3 11 / "
    "-2 -2 -3 -2 3 -3 2 -1 -2 -1 -1 -2 -3 -1 -2 -2 -2 -1 2 7"
)
_ROBINSON = (
    78.05, 19.25, 53.64, 62.95, 38.56, 73.77, 21.99, 51.42, 57.44, 90.19,
    22.43, 44.87, 52.03, 42.64, 51.29, 71.20, 58.41, 64.41, 13.30, 32.16,
)  # fmt: skip
