"""What benchmarks/mri.py writes down of a reconstruction, and its table."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from benchmarks.mri_data import Slice

from ornstein.domains.mri import metrics

RESULTS = Path(__file__).parent / "results" / "mri.jsonl"


@dataclass(frozen=True)
class Row:
    """One way to reconstruct the slices of one subject; None where there is no such number.

    Attributes:
        role: of the subject, such as "test".
        subject: whose slices they are.
        slices: how many.
        acceleration: R.
        method: the way.
        maps: of the coils that it was given, "true" or "ESPIRiT".
        psnr, psnr_volume: dB, by the maximum of the slice (mean over slices) and of all of them.
        ssim, ssim_volume: likewise.
        nmse: of all slices.
        seconds: of CPU, one thread, of a slice with all its samples.
        coverage: share of the brain's voxels in the central interval of `level`, as the samples have it.
        level: of that interval.
        spread: √ mean variance over the error of the mean, in the brain; 1 where samples are right.
        consistency: χ² of the data, 1 where all is right.
        held_out: χ² of lines that were held out, likewise.
        flagged: what the report says is wrong.
        note: what else is to be said.
    """

    role: str
    subject: str
    slices: int
    acceleration: int
    method: str
    maps: str
    psnr: float
    psnr_volume: float
    ssim: float
    ssim_volume: float
    nmse: float
    seconds: float | None = None
    coverage: float | None = None
    level: float | None = None
    spread: float | None = None
    consistency: float | None = None
    held_out: float | None = None
    flagged: str | None = None
    note: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """What stored rows are replaced by."""
        return self.role, self.subject, self.acceleration, self.method, self.maps


def accuracy(slices: Sequence[Slice], found: np.ndarray) -> dict[str, float]:
    """The numbers of a subject, in the unit of its volume.

    Args:
        slices: of one subject.
        found: magnitudes, (slices, h, w), of slices of maximum 1.
    """
    top = np.array([one.top for one in slices])[:, None, None]
    truth = top * np.stack([one.magnitude for one in slices]).astype(np.float64)
    names = {
        "psnr": "PSNR, slice maximum",
        "psnr_volume": "PSNR, volume maximum",
        "ssim": "SSIM, slice maximum",
        "ssim_volume": "SSIM, volume maximum",
        "nmse": "NMSE",
    }
    by_name = {one.name: one.value for one in metrics.accuracy(truth, top * found)}
    return {name: by_name[long] for name, long in names.items()}


# What is stored ---------------------------------------------------------------------------------------


def stored(path: Path = RESULTS) -> list[Row]:
    """The rows of earlier runs."""
    return [Row(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def store(rows: Iterable[Row], path: Path = RESULTS) -> None:
    """Replaces stored rows of the same reconstructions, and keeps the others."""
    every = {row.key: row for row in [*stored(path), *rows]}
    lines = [json.dumps(shortened(row), ensure_ascii=False) for row in sorted(every.values(), key=_order)]
    path.write_text("".join(line + "\n" for line in lines))


def _order(row: Row) -> tuple[object, ...]:
    return ("test", "validation", "strange").index(row.role), row.subject, row.acceleration, row.maps, row.psnr


def shortened(row: Row) -> dict[str, object]:
    """A row as a line of JSON: without what is not known, four digits."""
    return {
        name: float(f"{value:.4g}") if isinstance(value, float) else value
        for name, value in asdict(row).items()
        if value not in (None, "")
    }


# The table --------------------------------------------------------------------------------------------

_COLUMNS = {
    "subject": "subject",
    "R": "acceleration",
    "maps": "maps",
    "method": "method",
    "PSNR (slice)": "psnr",
    "PSNR (volume)": "psnr_volume",
    "SSIM (slice)": "ssim",
    "SSIM (volume)": "ssim_volume",
    "NMSE": "nmse",
    "CPU s a slice": "seconds",
    "coverage": "coverage",
    "of": "level",
    "spread / error": "spread",
    "χ² data": "consistency",
    "χ² held out": "held_out",
    "flagged": "flagged",
}
"""Heads of columns and what stands there; one that no row has is left out."""
_DIGITS = {"psnr": ".2f", "psnr_volume": ".2f", "ssim": ".3f", "ssim_volume": ".3f", "nmse": ".4f", "seconds": ".3g"}
_DIGITS |= {"coverage": ".1%", "level": ".1%", "spread": ".2f", "consistency": ".3f", "held_out": ".2f"}


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown."""
    columns = {head: name for head, name in _COLUMNS.items() if any(getattr(row, name) is not None for row in rows)}
    lines = [tuple(columns), ("---",) * len(columns)]
    lines += [tuple(_said(name, getattr(row, name)) for name in columns.values()) for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _said(name: str, value: object) -> str:
    return "–" if value is None else format(value, _DIGITS.get(name, ""))
