"""How sequences are judged: do they vary together as the family does, and are they new?

pair-frequency agreement   Pearson's r of C_ij(a, b) = f_ij(a, b) − f_i(a) f_j(b) over all i < j, a, b, samples
                           against held-out records (as in Trinquier et al. 2021)
pairs satisfied            base pairs that can form; disulphides: both letters are C, or neither is
nearest identity           to a training record: novelty;  diversity: the same among the samples
coupling                   mutual information of two columns less the product of their averages (APC: Dunn 2008)
ensemble defect            share of positions that are wrongly paired, averaged over ViennaRNA's ensemble
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...denoisers.base import NeuralDenoiser
from ...escaping import html
from ...files import read_json
from ...keys import Keys
from ...report import plots
from ...tasks.figures import Chapter, Figure, Metric
from ...training.clusters import identities
from ...training.datasets import Arrays
from ...training.feeding import Batch
from ...training.trainer import losses
from .data import FAMILIES, to_text
from .factors import pairable
from .folding.structures import folded, vienna
from .formats import GAP, Record, ungapped, write_fasta

FAR = 24  # columns: what counts as a long way


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


def covariances(x: Int[Tensor, "n length"], size: int) -> Float[Tensor, "length length size size"]:
    """C_ij(a, b)."""
    code = torch.nn.functional.one_hot(x, size).float()
    code = rearrange(code - code.mean(0), "n l a -> n (l a)")
    return rearrange(code.T @ code / len(x), "(i a) (j b) -> i j a b", i=x.shape[1], j=x.shape[1])


def pair_agreement(x: Tensor, real: Tensor, size: int) -> float:
    """Pearson's r of the covariances of two sets.

    Args:
        x: letters of the sequences, (n, length).
        real: real data to compare with.
        size: letters of the alphabet.
    """
    above = torch.triu(torch.ones(x.shape[1], x.shape[1], dtype=torch.bool), 1)
    both = torch.stack([covariances(part, size)[above].flatten() for part in (x, real)])
    return torch.corrcoef(both)[0, 1].item()


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
    found = identities(x, among, len(alphabet), alphabet.find(GAP))
    if itself:
        found.fill_diagonal_(0.0)
    return found.amax(1)


def defect(sequence: str, target: str) -> float:
    """The normalised ensemble defect of an RNA for a structure (Zadeh et al. 2011): 0 = folds as it should."""
    compound = vienna().fold_compound(sequence)
    compound.pf()
    return compound.ensemble_defect(target)


def folds_into(sequence: str, target: str) -> bool:
    """Whether the structure of least free energy is the target."""
    return folded(sequence, target)[0] == target


# The table ------------------------------------------------------------------------------------------


def judged(
    x: Int[Tensor, "n length"],
    condition: Mapping[str, Tensor],
    train: Arrays,
    held_out: Arrays,
    settings: Mapping[str, Any],
) -> list[Metric]:
    """What can be said of these sequences, beside as many held-out records.

    Args:
        x: letters of the sequences, (n, length).
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        train: the records that the model was trained on.
        held_out: records that no model was trained on.
        settings: what was asked, from the manifest.
    """
    metadata = train.metadata
    found = [] if metadata["lengths"] else _columns(x, train, held_out)
    if settings.get("fold"):
        found += _folding(to_text(x, metadata["alphabet"]), settings["fold"])
    if metadata["motif"]:
        found.append(_spacing(x, train, held_out))
    if metadata["model"] and shutil.which("cmalign"):
        found += _covariance(x, held_out)
    return found + _letters(x, condition, held_out)


def _columns(x: Tensor, train: Arrays, held_out: Arrays) -> list[Metric]:
    """Scores of data that have columns."""
    assert isinstance(train.x, Tensor)
    assert isinstance(held_out.x, Tensor)
    metadata, size, real = train.metadata, len(train.metadata["alphabet"]), held_out.x
    alike = train.x[Keys.of(0, 1).bits(len(train.x))[0].argsort()[: len(x)]]
    rows = [
        Metric(
            "pair-frequency agreement",
            pair_agreement(x, real, size),
            "higher",
            "Correlation of the covariances of all pairs of columns with those of held-out records.",
            pair_agreement(alike, real, size),
            f"{len(alike)} training records",
        )
    ]
    if metadata["pairs"]:
        rows += _pair_scores(x, real, metadata)
    novel, among = nearest(x, train.x, metadata["alphabet"]), nearest(real, train.x, metadata["alphabet"])
    spread = nearest(x, x, metadata["alphabet"], itself=True)
    return [
        *rows,
        Metric(
            "nearest identity to training data",
            novel.median().item(),
            "closer",
            "Median over the samples; 1 would be copies.",
            among.median().item(),
            "held-out records",
        ),
        Metric("copies of training data", (novel == 1).double().mean().item(), "lower", "Share of the samples."),
        Metric(
            "nearest identity among the samples",
            spread.median().item(),
            "closer",
            "Median; 1 would be one sequence again and again.",
            nearest(real, real, metadata["alphabet"], itself=True).median().item(),
            "held-out records",
        ),
    ]


def _pair_scores(x: Tensor, real: Tensor, metadata: Mapping[str, Any]) -> list[Metric]:
    """All pairs, and those a long way apart."""
    far = torch.tensor([j - i > FAR for i, j in metadata["pairs"]])
    ours, theirs = satisfied(x, metadata).double(), satisfied(real, metadata).double()
    meaning = "Both letters C, or neither." if metadata["kind"] == "protein" else "Share that can form a base pair."
    rows = [("pairs satisfied", slice(None))] + ([(f"pairs further apart than {FAR}", far)] if far.any() else [])
    return [
        Metric(
            name, ours[:, which].mean().item(), "closer", meaning, theirs[:, which].mean().item(), "held-out records"
        )
        for name, which in rows
    ]


def _folding(texts: Sequence[str], target: str) -> list[Metric]:
    bare = [text.replace("-", "N") for text in texts]
    solved = np.mean([folds_into(text, target) for text in bare])
    mean_defect = np.mean([defect(text, target) for text in bare])
    return [
        Metric("folds into the target", float(solved), "higher", "By ViennaRNA's least free energy."),
        Metric("normalised ensemble defect", float(mean_defect), "lower", "Share of positions wrongly paired."),
    ]


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


def _spacing(x: Tensor, train: Arrays, held_out: Arrays) -> Metric:
    """Whether the motif is where it is in the family."""
    metadata = train.metadata
    ours, some, theirs = (
        motif_places(part, metadata["motif"], metadata["alphabet"])  # pyright: ignore[reportArgumentType]
        for part in (x, train.x[: len(x)], held_out.x)  # pyright: ignore[reportArgumentType]
    )
    meaning = (
        f"Total variation between the columns of {metadata['motif']} (one letter may be wrong) and held-out records'."
    )
    away, usual = ((places - theirs).abs().sum().item() / 2 for places in (ours, some))
    return Metric("motif misplaced", away, "lower", meaning, usual, f"{len(x)} training records")


def _covariance(x: Tensor, held_out: Arrays) -> list[Metric]:
    """Scores by the family's covariance model."""
    assert isinstance(held_out.x, Tensor)
    model, alphabet = FAMILIES / held_out.metadata["model"], held_out.metadata["alphabet"]
    ours, theirs = (covariance_bits(to_text(part, alphabet), model) for part in (x, held_out.x[: len(x)]))
    meaning = "Median log-odds of Infernal's cmalign, structure and sequence together."
    return [
        Metric(
            "covariance model bits",
            float(np.median(ours)),
            "closer",
            meaning,
            float(np.median(theirs)),
            "held-out records",
        )
    ]


def covariance_bits(texts: Sequence[str], model: Path) -> list[float]:
    """The bit score of each RNA under a covariance model, by Infernal's cmalign."""
    with tempfile.TemporaryDirectory() as name:
        fasta, table = Path(name) / "in.fasta", Path(name) / "scores"
        write_fasta(fasta, [Record(str(k), "", ungapped(text)) for k, text in enumerate(texts)])
        command = ["cmalign", "--cpu", "0", "-o", os.devnull, "--sfile", str(table), str(model), str(fasta)]
        subprocess.run(command, check=True, capture_output=True)
        rows = [line.split() for line in table.read_text().splitlines() if not line.startswith("#")]
    return [float(row[6]) for row in rows]


def _letters(x: Tensor, condition: Mapping[str, Tensor], held_out: Arrays) -> list[Metric]:
    """How far the letters' frequencies are from those of the data."""
    assert isinstance(held_out.x, Tensor)
    size = len(held_out.metadata["alphabet"])
    ours, theirs = (
        torch.bincount(part[mask] if mask is not None else part.flatten(), minlength=size).double()
        for part, mask in ((x, condition.get("mask")), (held_out.x, held_out.condition.get("mask")))
    )
    distance = (ours / ours.sum() - theirs / theirs.sum()).abs().sum().item() / 2
    return [Metric("letters misplaced", distance, "lower", "Total variation between the letters' frequencies.")]


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
