"""How sequences are judged: do they vary together as the family does, and are they new?

pair-frequency agreement   Pearson's r of C_ij(a, b) = f_ij(a, b) − f_i(a) f_j(b) over all i < j, a, b, samples
                           against held-out records (as in Trinquier et al. 2021)
pairs satisfied            base pairs that can form; disulphides: both letters are C, or neither is
nearest identity           to a training record: novelty;  diversity: the same among the samples
coupling                   mutual information of two columns less the product of their averages (APC: Dunn 2008)
ensemble defect            share of positions that are wrongly paired, averaged over ViennaRNA's ensemble
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import log, nan
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...denoisers.base import NeuralDenoiser
from ...files import read_json
from ...keys import Keys
from ...report import plots
from ...tasks.figures import Chapter, Figure, Metric
from ...text.escaping import html
from ...training.clusters import identities
from ...training.datasets import Arrays
from ...training.feeding import Batch
from ...training.trainer import losses
from .data import FAMILIES
from .factors import pairable
from .folding.structures import folded, vienna
from .formats import GAP

FAR = 24  # columns: what counts as a long way
_ROWS = 1024  # sequences that are compared with all others at once


# Numbers --------------------------------------------------------------------------------------------


def bits_per_letter(denoiser: NeuralDenoiser, records: Arrays, looks: int = 8, seed: int = 0) -> float:
    """−log₂ p a position: the bound of the model's noise, exact for autoregression; `looks` noisy views a record.

    Args:
        denoiser: the model, (x_t, t, condition) → belief.
        records: the records to evaluate.
        seed: of all random numbers.
    """
    space: Any = denoiser.space
    if not space.absorbing:
        denoiser = denoiser.having(space=replace(space, weighting="elbo"))
    n, total = len(records), 0.0
    for first in range(0, n, 64):
        index = torch.arange(first, min(first + 64, n))
        x0, condition = records.batch(index)
        for look in range(looks):
            keys = Keys.of(seed, index.tolist()).fold(look)
            t = ((index * 0.6180339887498949 + look / looks) % 1.0).clamp(1e-3, 1).float()
            with torch.no_grad():
                total += losses(denoiser, Batch(x0, condition, t, t, torch.ones(len(t)), keys, index)).sum().item()
    return total / (n * looks * log(2))


class PairCounts:
    """How often each two letters stand in each two columns: C_ij(a, b) of any number of sequences.

    Holds 4 (length · letters)² bytes, whatever their number.
    """

    def __init__(self, length: int, size: int) -> None:
        """Of no sequences yet.

        Args:
            length: columns.
            size: letters of the alphabet.
        """
        self.length, self.size, self.n = length, size, 0
        self._counts = torch.zeros(length * size, length * size, dtype=torch.int32)

    @classmethod
    def of(cls, x: Int[Tensor, "n length"], size: int) -> "PairCounts":
        """Of these sequences."""
        counts = cls(x.shape[1], size)
        counts.add(x)
        return counts

    def add(self, x: Int[Tensor, "n length"]) -> None:
        """Counts further sequences, as many at once as make 64 MB of indicators."""
        for part in x.split(max(1, 2**24 // len(self._counts))):
            code = torch.nn.functional.one_hot(part, self.size).float().flatten(1)
            self._counts += (code.T @ code).int()  # whole numbers, exact below 2²⁴
        self.n += len(x)

    @property
    def frequencies(self) -> Float[Tensor, "length size"]:
        """Of the letters in each column, float64."""
        return self._counts.diagonal().double().reshape(self.length, self.size) / self.n

    def covariances(self, column: int) -> Float[Tensor, "size length size"]:
        """C_ij(a, b) of one column i with every column j, float64."""
        rows = self._counts[column * self.size : (column + 1) * self.size].double() / self.n
        single = self.frequencies
        return rows.reshape(self.size, self.length, self.size) - single[column, :, None, None] * single

    def agreement(self, other: "PairCounts") -> float:
        """Pearson's r of the covariances of all i < j, a, b with those of others."""
        sums = torch.zeros(5, dtype=torch.float64)
        number = 0
        for column in range(self.length - 1):
            a, b = (counts.covariances(column)[:, column + 1 :] for counts in (self, other))
            sums += torch.stack([a.sum(), b.sum(), (a * a).sum(), (b * b).sum(), (a * b).sum()])
            number += a.numel()
        a, b, aa, bb, ab = (sums / max(number, 1)).tolist()
        spread = (max(aa - a * a, 0.0) * max(bb - b * b, 0.0)) ** 0.5
        return (ab - a * b) / spread if spread else nan


def covariances(x: Int[Tensor, "n length"], size: int) -> Float[Tensor, "length length size size"]:
    """C_ij(a, b)."""
    counts = PairCounts.of(x, size)
    return torch.stack([rearrange(counts.covariances(i), "a j b -> j a b").float() for i in range(counts.length)])


def pair_agreement(x: Tensor, real: Tensor, size: int) -> float:
    """Pearson's r of the covariances of two sets.

    Args:
        x: letters of the sequences, (n, length).
        real: real data to compare with.
        size: letters of the alphabet.
    """
    return PairCounts.of(x, size).agreement(PairCounts.of(real, size))


def satisfied(x: Int[Tensor, "n length"], metadata: Mapping[str, Any]) -> Bool[Tensor, "n pairs"]:
    """Whether each known pair of each sequence goes together."""
    pairs = torch.tensor(metadata["pairs"])
    a, b = x[:, pairs[:, 0]], x[:, pairs[:, 1]]
    if metadata["kind"] == "protein":
        cysteine = metadata["alphabet"].index("C")
        return (a == cysteine) == (b == cysteine)
    return pairable(metadata["alphabet"])[a, b] > 0


def couplings(x: Int[Tensor, "n length"], size: int) -> Float[Tensor, "length length"]:
    """Mutual information of all pairs of columns, nats, less what their averages explain; 0 on the diagonal."""
    single = torch.nn.functional.one_hot(x, size).float().mean(0)
    independent = torch.einsum("ia,jb->ijab", single, single)
    joint = (covariances(x, size) + independent).clamp(min=0)
    information = torch.special.xlogy(joint, joint / independent.clamp(min=1e-12)).sum((2, 3)).fill_diagonal_(0)
    means = information.mean(1)
    return (information - torch.outer(means, means) / means.mean().clamp(min=1e-12)).fill_diagonal_(0)


def nearest(x: Tensor, among: Tensor, alphabet: str, itself: bool = False) -> Float[Tensor, " n"]:
    """The identity of each sequence to the most similar of the others.

    Args:
        x: letters of the sequences, (n, length).
        among: letters of the sequences to compare with, (m, length).
        alphabet: the letters, in the order of the categories.
        itself: whether x is part of those records, so that a record is not its own neighbour.
    """
    found = []
    for first in range(0, len(x), _ROWS):
        rows = identities(x[first : first + _ROWS], among, len(alphabet), alphabet.find(GAP))
        if itself:
            each = torch.arange(len(rows))
            rows[each, first + each] = 0.0
        found.append(rows.amax(1))
    return torch.cat(found)


def defect(sequence: str, target: str) -> float:
    """The normalised ensemble defect of an RNA for a structure (Zadeh et al. 2011): 0 = folds as it should."""
    compound = vienna().fold_compound(sequence)
    compound.pf()
    return compound.ensemble_defect(target)


def folds_into(sequence: str, target: str) -> bool:
    """Whether the structure of least free energy is the target."""
    return folded(sequence, target)[0] == target


def motif_places(x: Int[Tensor, "n length"], motif: str, alphabet: str, fewest: int = 5) -> Float[Tensor, " places"]:
    """How often the motif, with `fewest` of its letters right, is best at each column; the last entry: nowhere.

    Args:
        x: letters of the sequences, (n, length).
        alphabet: the letters, in the order of the categories.
    """
    letters = torch.tensor([alphabet.index(letter) for letter in motif])
    right = (x.unfold(1, len(motif), 1) == letters).sum(-1)
    best = torch.where(right.amax(1) >= fewest, right.argmax(1), right.shape[1])
    return torch.bincount(best, minlength=right.shape[1] + 1).double() / len(x)


def headers(
    x: Int[Tensor, "n length"], metadata: Mapping[str, Any], families: Sequence[str], train: Tensor | None = None
) -> list[str]:
    """What stands in the header of each sample: its family, the known pairs that it satisfies, its nearest relative.

    Args:
        x: letters of the sequences, (n, length).
        metadata: of the data that the model was trained on, in JSON values.
        families: name of each sample's family; empty without families.
        train: letters of the training records, if they have columns.
    """
    words: list[list[str]] = [[] for _ in range(len(x))]
    for line, name in zip(words, families, strict=False):
        line.append(f"family={name}")
    if metadata["pairs"]:
        for line, good in zip(words, satisfied(x, metadata).sum(1).tolist(), strict=True):
            line.append(f"pairs={good}/{len(metadata['pairs'])}")
    if train is not None:
        for line, identity in zip(words, nearest(x, train, metadata["alphabet"]).tolist(), strict=True):
            line.append(f"nearest={identity:.2f}")
    return [" ".join(line) for line in words]


# Pictures -------------------------------------------------------------------------------------------


def coupling_matrices(x: Tensor, real: Tensor, metadata: Mapping[str, Any]) -> Figure:
    """Which columns vary together, in the samples and in the data, with the known pairs marked.

    Args:
        x: letters of the sequences, (n, length).
        real: real data to compare with.
        metadata: of the data that the model was trained on, in JSON values.
    """
    size = len(metadata["alphabet"])
    panels = {name: couplings(part, size).numpy() for name, part in (("samples", x), ("the data", real))}
    marks = [(i, j) for i, j in metadata["pairs"]]
    alt = "Matrices of the coupling of every two columns, of the samples and of the data, with known pairs circled"
    return Figure(plots.matrices(panels, "coupling (nats)", marks), "Columns that vary together", "svg+xml", 640, alt)


def together(denoiser: NeuralDenoiser, x: Tensor, train: Arrays, held_out: Arrays, judged: bool) -> Chapter:
    """How the columns of samples vary together, beside the data's, and how much held-out records surprise the model.

    Args:
        denoiser: the model, (x_t, t, condition) → belief.
        x: letters of the sequences, (n, length).
        train: the records that the model was trained on.
        held_out: records that no model was trained on.
        judged: whether the surprise is measured, which takes longer than all the rest.
    """
    assert denoiser.origin is not None
    assert isinstance(train.x, Tensor)
    metadata = denoiser.origin.metadata
    text = (
        f"Mutual information of all pairs of columns less what their averages explain, in {len(x)} samples drawn now "
        f"and in the data; known pairs are circled. Data: {html(metadata['source'])}."
    )
    figure = coupling_matrices(x, train.x, metadata)
    title = f"What varies together in {denoiser.origin.name}"
    return Chapter(title, text, [figure], [_surprise(denoiser, held_out)] if judged else [], figure)


def _surprise(denoiser: NeuralDenoiser, held_out: Arrays) -> Metric:
    meaning = "The likelihood bound of held-out records, gaps included."
    bits = bits_per_letter(denoiser, held_out, looks=2)
    return Metric(
        "bits a column", bits, "lower", meaning, log(len(held_out.metadata["alphabet"]), 2), "letters at random"
    )


def against_autoregression() -> Chapter:
    """What benchmarks/long_range.py measured."""
    measured = read_json(FAMILIES / "long_range.json", "the measured comparison")
    heights = {arm: list(values.values()) for arm, values in measured.items()}
    labels = list(next(iter(measured.values())))
    text = (
        "The same network, data and compute, trained to write from left to right, in two orders, and to denoise: the "
        "share of the riboswitch's 27 pairs that can form, drawn freely, with the second half given, and with every "
        "second letter given; the data have 0.885. Measured before, on three seeds: see docs/long-range.md."
    )
    alt = f"Bars of the share of pairs that can form, for {', '.join(heights)}"
    figure = Figure(plots.bars(heights, labels, "pairs that can form"), "As it came out", "svg+xml", 520, alt)
    return Chapter("Against autoregression", text, [figure])
