"""The native file of sequences: FASTA, gaps kept, with each sample's scores in its header; and figures of the first."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...denoisers.base import Condition, Origin
from ...errors import InputError
from ...files import require
from ...states import State
from ...tasks.native.pieces import Cut, PieceStore, beginning_with
from ...tasks.samples import Samples
from . import data, figures, metrics
from .formats import Record, at, fasta, read_fasta

FASTA = "samples.fasta"
_MOST = 2 * 10**8  # letters of samples that are read at once, with padding
_ROWS = 4096  # samples whose text is made at once


class SequenceStore(PieceStore):
    """Sequences as they are drawn."""

    files: ClassVar[Mapping[str, Cut]] = {FASTA: beginning_with(b">")}

    def __init__(
        self, folder: Path, origin: Origin, numbers: range, training: Callable[[], Tensor | None] = lambda: None
    ) -> None:
        """Makes no file yet.

        Args:
            folder: of the native files.
            origin: the model.
            numbers: of all the samples.
            training: the letters of the training records, (m, length), if these come along and have columns.
        """
        super().__init__(folder, origin, numbers)
        self._load = training

    @cached_property
    def _training(self) -> Tensor | None:
        return self._load()

    def texts(self, samples: Samples) -> dict[str, str]:
        starts = range(0, len(samples), _ROWS)
        return {FASTA: "".join(self._text(samples[k : k + _ROWS]) for k in starts)}

    def _text(self, samples: Samples) -> str:
        letters = data.to_text(samples.x, self.origin.metadata["alphabet"], samples.condition.get("mask"))
        families = samples.condition.get("family")
        names = [] if families is None else [self.origin.metadata["families"][k] for k in families.tolist()]
        heads = metrics.headers(samples.x, self.origin.metadata, names, self._training)
        both = enumerate(zip(heads, letters, strict=True), samples.first)
        return fasta(Record(f"sample-{number:05d}", head, text) for number, (head, text) in both)

    def states(self, texts: Mapping[str, str], numbers: range) -> tuple[State, Condition]:
        path = self.folder / FASTA
        records, length = read_fasta(texts[FASTA], path), self.origin.metadata["length"]
        _require_fit(records, self.origin.metadata, path)
        padded = [record.sequence.ljust(length, self.origin.metadata["alphabet"][0]) for record in records]
        x = data.from_text(padded, self.origin.metadata["alphabet"], str(path), [record.name for record in records])
        condition: dict[str, Tensor] = {}
        if self.origin.metadata["lengths"]:
            letters = torch.tensor([len(record.sequence) for record in records])
            condition["mask"] = torch.arange(length) < letters[:, None]
            x = x * condition["mask"]
        return x, condition | _families(records, self.origin.metadata, path)

    def complete(self, samples: Samples) -> None:
        first = range(samples.first, samples.first + min(figures.SHOWN, len(samples)))
        for k, figure in enumerate(figures.of_samples(self.some(samples, first))):
            (self.folder / f"figure-{k}.{figure.kind.removesuffix('+xml')}").write_bytes(figure.image)


def _families(records: Sequence[Record], metadata: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The family of each record, as a condition; none if no header says one."""
    names = [word[7:] for record in records for word in record.description.split() if word.startswith("family=")]
    if not names:
        return {}
    require(names, [tuple(metadata["families"])], f"{path}: families")
    if len(names) != len(records):
        raise InputError(f"{path}: {len(names)} of {len(records)} records say their family, expected all or none")
    return {"family": torch.tensor([metadata["families"].index(name) for name in names])}


def _require_fit(records: Sequence[Record], metadata: Mapping[str, Any], path: Path) -> None:
    """InputError unless samples are as long as their model's sequences, of letters, and no more than can be held."""
    length = metadata["length"]
    if not metadata["alphabet"]:
        raise InputError(f"{path}: the model's alphabet is empty, expected its letters")
    if len(records) * length > _MOST:
        raise InputError(f"{path}: {len(records)} sequences of length {length} pass the limit of {_MOST} letters")
    for k, record in enumerate(records, 1):
        letters = len(record.sequence)
        if letters > length or (letters < length and not metadata["lengths"]):
            raise InputError(f"{path}: {at(k, record.name)} has {letters} letters, the model's sequences {length}")
