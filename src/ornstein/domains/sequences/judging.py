"""The scores of sequences that come part by part: one tally a kind of score."""

import os
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from ...keys import Keys
from ...tasks.figures import Metric
from ...tasks.judging import Judge
from ...tasks.samples import Samples
from ...training.datasets import Arrays
from .data import FAMILIES, to_text
from .formats import Record, ungapped, write_fasta
from .metrics import FAR, PairCounts, defect, folds_into, motif_places, nearest, satisfied

COMPARED = 10_000
"""Samples of which the most similar one among all others is looked for."""
_ROWS = 4096  # samples that are judged at once
_HELD_OUT = "held-out records"


class SequenceJudge(Judge):
    """What can be said of sequences, beside held-out records.

    Holds 4 bytes a sample of families that have columns, and 8 more where Infernal's cmalign scores them. Beside these
    the letters of `COMPARED` samples and 4 (length · letters)² bytes of pair counts, however many samples there are.
    """

    def __init__(self, train: Arrays, held_out: Arrays, settings: Mapping[str, Any]) -> None:
        """Of no samples yet.

        Args:
            train: the records that the model was trained on.
            held_out: records that no model was trained on.
            settings: what was asked, from the manifest.
        """
        self._tallies = list(_tallies(train, held_out, settings))

    def add(self, samples: Samples) -> None:
        mask = samples.condition.get("mask")
        for first in range(0, len(samples), _ROWS):
            rows = slice(first, first + _ROWS)
            for tally in self._tallies:
                tally.add(samples.x[rows], None if mask is None else mask[rows])

    def metrics(self) -> list[Metric]:
        return [metric for tally in self._tallies for metric in tally.metrics()]


class _Tally(ABC):
    """Scores of one kind."""

    @abstractmethod
    def add(self, x: Int[Tensor, "n length"], mask: Bool[Tensor, "n length"] | None) -> None:
        """Takes in further sequences.

        Args:
            x: their letters.
            mask: where a position exists; None = everywhere.
        """

    @abstractmethod
    def metrics(self) -> list[Metric]:
        """The scores of all that came."""


def _tallies(train: Arrays, held_out: Arrays, settings: Mapping[str, Any]) -> Iterator[_Tally]:
    """What is counted of samples of such a family, in the order of the table."""
    metadata = train.metadata
    if not metadata["lengths"]:
        yield _Pairs(train, held_out)
        if metadata["pairs"]:
            yield _Satisfied(held_out)
        yield _Novelty(train, held_out)
        yield _Diversity(held_out)
    if settings.get("fold"):
        yield _Folding(metadata["alphabet"], settings["fold"])
    if metadata["motif"]:
        yield _Motif(train, held_out)
    if metadata["model"] and shutil.which("cmalign"):
        yield _CovarianceModel(held_out)
    yield _Letters(held_out)


def _letters_of(part: Arrays) -> Tensor:
    assert isinstance(part.x, Tensor)
    return part.x


# Families that have columns ---------------------------------------------------------------------------


class _Pairs(_Tally):
    """Whether the columns vary together as the family's."""

    def __init__(self, train: Arrays, held_out: Arrays) -> None:
        self.train, self.real, self.size = _letters_of(train), _letters_of(held_out), len(train.metadata["alphabet"])
        self.counts = PairCounts(self.real.shape[1], self.size)

    def add(self, x: Tensor, mask: Tensor | None) -> None:
        self.counts.add(x)

    def metrics(self) -> list[Metric]:
        alike = self.train[Keys.of(0, 1).bits(len(self.train))[0].argsort()[: self.counts.n]]
        real = PairCounts.of(self.real, self.size)
        meaning = "Correlation of the covariances of all pairs of columns with those of held-out records."
        usual = PairCounts.of(alike, self.size).agreement(real)
        name, value = "pair-frequency agreement", self.counts.agreement(real)
        return [Metric(name, value, "higher", meaning, usual, f"{len(alike)} training records")]


class _Satisfied(_Tally):
    """How often the family's known pairs go together: all of them, and those a long way apart."""

    def __init__(self, held_out: Arrays) -> None:
        self.metadata, self.real, self.n = held_out.metadata, _letters_of(held_out), 0
        self.good = torch.zeros(len(held_out.metadata["pairs"]), dtype=torch.long)

    def add(self, x: Tensor, mask: Tensor | None) -> None:
        self.good += satisfied(x, self.metadata).sum(0)
        self.n += len(x)

    def metrics(self) -> list[Metric]:
        protein = self.metadata["kind"] == "protein"
        meaning = "Both letters C, or neither." if protein else "Share that can form a base pair."
        ours, theirs = self.good.double() / self.n, satisfied(self.real, self.metadata).double().mean(0)
        far = torch.tensor([j - i > FAR for i, j in self.metadata["pairs"]])
        rows = [("pairs satisfied", torch.ones_like(far)), (f"pairs further apart than {FAR}", far)]
        return [
            Metric(name, ours[which].mean().item(), "closer", meaning, theirs[which].mean().item(), _HELD_OUT)
            for name, which in rows
            if which.any()
        ]


class _Novelty(_Tally):
    """How similar the samples are to what the model learned from: 4 bytes a sample."""

    def __init__(self, train: Arrays, held_out: Arrays) -> None:
        self.train, self.real, self.alphabet = _letters_of(train), _letters_of(held_out), train.metadata["alphabet"]
        self.found = array("f")  # in one place: small tensors among large ones would keep the memory of these

    def add(self, x: Tensor, mask: Tensor | None) -> None:
        self.found.extend(nearest(x, self.train, self.alphabet).tolist())

    def metrics(self) -> list[Metric]:
        novel, usual = torch.tensor(self.found), nearest(self.real, self.train, self.alphabet)
        name, meaning = "nearest identity to training data", "Median over the samples; 1 would be copies."
        return [
            Metric(name, novel.median().item(), "closer", meaning, usual.median().item(), _HELD_OUT),
            Metric("copies of training data", (novel == 1).double().mean().item(), "lower", "Share of the samples."),
        ]


class _Diversity(_Tally):
    """How similar the samples are to one another: the first `COMPARED` of them, each to all others."""

    def __init__(self, held_out: Arrays) -> None:
        self.real, self.alphabet, self.n = _letters_of(held_out), held_out.metadata["alphabet"], 0
        self.compared = torch.zeros(0, self.real.shape[1], dtype=torch.uint8)
        self.found = torch.zeros(0)

    def add(self, x: Tensor, mask: Tensor | None) -> None:
        before = self.compared.long()
        more = x[: COMPARED - len(before)]
        if len(before):
            self.found = self.found.maximum(nearest(before, x, self.alphabet))
        if len(more):
            found = nearest(more, x, self.alphabet, itself=True)
            if len(before):
                found = found.maximum(nearest(more, before, self.alphabet))
            self.found = torch.cat([self.found, found])
            self.compared = torch.cat([self.compared, more.to(torch.uint8)])
        self.n += len(x)

    def metrics(self) -> list[Metric]:
        usual = nearest(self.real, self.real, self.alphabet, itself=True).median().item()
        first = f" over the first {COMPARED:,}, each beside all others" if self.n > COMPARED else ""
        meaning = f"Median{first}; 1 would be one sequence again and again."
        name = "nearest identity among the samples"
        return [Metric(name, self.found.median().item(), "closer", meaning, usual, _HELD_OUT)]


# What only some families have -------------------------------------------------------------------------


class _Folding(_Tally):
    """Whether RNAs fold into the structure that was asked for."""

    def __init__(self, alphabet: str, target: str) -> None:
        self.alphabet, self.target = alphabet, target
        self.n, self.solved, self.defects = 0, 0, 0.0

    def add(self, x: Tensor, mask: Tensor | None) -> None:
        bare = [text.replace("-", "N") for text in to_text(x, self.alphabet)]
        self.solved += sum(folds_into(text, self.target) for text in bare)
        self.defects += sum(defect(text, self.target) for text in bare)
        self.n += len(x)

    def metrics(self) -> list[Metric]:
        solved, defects = self.solved / self.n, self.defects / self.n
        return [
            Metric("folds into the target", solved, "higher", "By ViennaRNA's least free energy."),
            Metric("normalised ensemble defect", defects, "lower", "Share of positions wrongly paired."),
        ]


class _Motif(_Tally):
    """Whether the motif is where it is in the family."""

    def __init__(self, train: Arrays, held_out: Arrays) -> None:
        self.train, self.real, self.metadata = _letters_of(train), _letters_of(held_out), train.metadata
        self.places, self.n = torch.zeros(()), 0

    def add(self, x: Tensor, mask: Tensor | None) -> None:
        self.places = self.places + self._places(x) * len(x)
        self.n += len(x)

    def metrics(self) -> list[Metric]:
        some, theirs = self.train[: self.n], self._places(self.real)
        away, usual = ((one - theirs).abs().sum().item() / 2 for one in (self.places / self.n, self._places(some)))
        motif = self.metadata["motif"]
        meaning = f"Total variation between the columns of {motif} (one letter may be wrong) and held-out records'."
        return [Metric("motif misplaced", away, "lower", meaning, usual, f"{len(some)} training records")]

    def _places(self, x: Tensor) -> Tensor:
        return motif_places(x, self.metadata["motif"], self.metadata["alphabet"])


class _CovarianceModel(_Tally):
    """Scores by the family's covariance model: 8 bytes a sample."""

    def __init__(self, held_out: Arrays) -> None:
        self.real, self.alphabet = _letters_of(held_out), held_out.metadata["alphabet"]
        self.model = FAMILIES / held_out.metadata["model"]
        self.bits = array("d")

    def add(self, x: Tensor, mask: Tensor | None) -> None:
        self.bits.extend(covariance_bits(to_text(x, self.alphabet), self.model))

    def metrics(self) -> list[Metric]:
        ours, theirs = self.bits, covariance_bits(to_text(self.real[: len(self.bits)], self.alphabet), self.model)
        meaning = "Median log-odds of Infernal's cmalign, structure and sequence together."
        value, usual = float(np.median(ours)), float(np.median(theirs))
        return [Metric("covariance model bits", value, "closer", meaning, usual, _HELD_OUT)]


def covariance_bits(texts: Sequence[str], model: Path) -> list[float]:
    """The bit score of each RNA under a covariance model, by Infernal's cmalign."""
    with tempfile.TemporaryDirectory() as name:
        fasta, table = Path(name) / "in.fasta", Path(name) / "scores"
        write_fasta(fasta, [Record(str(k), "", ungapped(text)) for k, text in enumerate(texts)])
        command = ["cmalign", "--cpu", "0", "-o", os.devnull, "--sfile", str(table), str(model), str(fasta)]
        subprocess.run(command, check=True, capture_output=True)
        rows = [line.split() for line in table.read_text().splitlines() if not line.startswith("#")]
    return [float(row[6]) for row in rows]


# All --------------------------------------------------------------------------------------------------


class _Letters(_Tally):
    """How far the letters' frequencies are from those of the data."""

    def __init__(self, held_out: Arrays) -> None:
        self.size = len(held_out.metadata["alphabet"])
        self.theirs = self._counted(_letters_of(held_out), held_out.condition.get("mask"))
        self.ours = torch.zeros(self.size, dtype=torch.long)

    def add(self, x: Tensor, mask: Tensor | None) -> None:
        self.ours += self._counted(x, mask)

    def metrics(self) -> list[Metric]:
        ours, theirs = self.ours.double(), self.theirs.double()
        distance = (ours / ours.sum() - theirs / theirs.sum()).abs().sum().item() / 2
        return [Metric("letters misplaced", distance, "lower", "Total variation between the letters' frequencies.")]

    def _counted(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return torch.bincount(x.flatten() if mask is None else x[mask], minlength=self.size)
