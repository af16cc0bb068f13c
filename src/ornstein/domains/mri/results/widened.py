"""Intervals of a reconstruction, widened until they hold the truth as often as they say. An option, never silent.

    raw         mean ± t s √(1 + 1/M),        t of Student's law with M − 1 degrees of freedom
    widened     mean ± (t √(1 + 1/M) + q) s

with mean and s of the M samples' magnitudes at a voxel, and one q for all voxels: the conformal quantile (see
calibration/recalibration.py) of |truth − mean|/s − t √(1 + 1/M) over voxels of the brain in slices of known truth. It
is fitted on the first half of the slices and judged on the others. A slice like the n that it was fitted on is then
covered with at least the stated probability p, whatever the model: p (n + 1)/n is aimed at, so that few slices make
wide intervals. Of other scanners, contrasts or accelerations nothing is promised. The lower end stops at 0, below which
no magnitude lies. A negative q says that raw intervals were too wide.

    python -m ornstein.domains.mri.results.widened fit FILE.json FOLDER …       reconstructions with a truth
    python -m ornstein.domains.mri.results.widened apply FILE.json FOLDER OUT  low-90.nii.gz, …
    ornstein sample mri/brain --kspace scan.h5 --widen FILE.json --out FOLDER   the same, beside the raw quantiles

FILE says with which model and from how little of k-space the reconstructions were made. Where those that it is used
for were made otherwise, they say so.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from .... import calibration
from ....deferred import deferred
from ....errors import InputError
from ....files import Within, read_json, require, write_json
from .. import metrics
from . import volumes
from .volumes import Frame, Written

if TYPE_CHECKING:
    from scipy import stats
else:
    stats = deferred("scipy.stats")

LEVELS = (0.5, 0.9)
"""Probabilities of the intervals, if not said: of twentieths."""
_PARTS = 20
_FINITE = Within(float, -1e6, 1e6)
SCHEMA = {
    "levels": [Within(float, 0.05, 0.95)],
    "margins": [_FINITE],
    "members": Within(int, 2, 10**6),
    "before": [Within(float, 0, 1)],
    "after": [Within(float, 0, 1)],
    "fitted on": Within(int, 1, 10**9),
    "judged on": Within(int, 1, 10**9),
    "model": str,
    "weights": str,
    "accelerations": [Within(float, 1, 1e9), Within(float, 1, 1e9)],
}
NEAR = 1.15
"""By how much an acceleration may be higher or lower than those that were fitted on."""

_RECON = {
    "scan": dict,
    "affine": [[float]],
    "slices": [{"members": Within(int, 1, 10**6)}],
    "model": {"name": str, "weights": str},
}
"""What is needed of recon.json."""


@dataclass(frozen=True)
class Widened:
    """Margins, and what they are worth on slices that had no part in them.

    Attributes:
        levels: probabilities of the intervals.
        margins: q of each, in standard deviations of the samples.
        members: M of the reconstructions that it was fitted on, and is for.
        before, after: coverage of the voxels of the brain by raw and by widened intervals.
        fitted_on, judged_on: slices.
        model, weights: the name of the model that drew them, and the hash of its file.
        accelerations: the lowest and the highest of them.
    """

    levels: tuple[float, ...]
    margins: tuple[float, ...]
    members: int
    before: tuple[float, ...]
    after: tuple[float, ...]
    fitted_on: int
    judged_on: int
    model: str
    weights: str
    accelerations: tuple[float, ...]

    def __str__(self) -> str:
        rows = [
            f"{level:.0%} intervals held {before:.1%} raw and {after:.1%} widened by {margin:+.2f} standard deviations"
            for level, before, after, margin in zip(self.levels, self.before, self.after, self.margins, strict=True)
        ]
        return f"{'; '.join(rows)} (fitted on {self.fitted_on} slices, judged on {self.judged_on} others)"

    def record(self) -> dict[str, Any]:
        """In JSON values."""
        found = {name.replace("_", " "): value for name, value in asdict(self).items()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    @classmethod
    def of_record(cls, record: Any, where: object) -> "Widened":
        """What `record` was made of; InputError for anything else.

        Args:
            record: JSON values.
            where: they stand, for the error.
        """
        found = require(record, SCHEMA, str(where))
        given: dict[str, Any] = {
            name.replace(" ", "_"): tuple(v) if isinstance(v, list) else v
            for name, v in found.items()
            if name in SCHEMA
        }
        made = cls(**given)
        if len({len(made.levels), len(made.margins), len(made.before), len(made.after)}) > 1:
            raise InputError(f"{where}: levels, margins, before and after are of different lengths")
        return made

    def save(self, path: Path) -> None:
        """Writes the file that `read` takes.

        Args:
            path: of the .json.
        """
        write_json(path, self.record())

    def unlike(self, weights: str, acceleration: float) -> list[str]:
        """What is otherwise than it was in the reconstructions that were fitted on, in words.

        Args:
            weights: the hash of the model's file.
            acceleration: of the scan.
        """
        found, (low, high) = [], self.accelerations
        if weights != self.weights:
            found.append(f"another model than {self.model}, or another training of it")
        if not low / NEAR <= acceleration <= high * NEAR:
            fitted = f"{low:.3g}-fold" if high <= low * NEAR else f"{low:.3g} to {high:.3g}-fold"
            found.append(f"{acceleration:.3g}-fold undersampling instead of {fitted}")
        why = "the margins were fitted on other reconstructions, so that widened intervals promise nothing"
        return [f"{why}: {' and '.join(found)}"] if found else []

    def interval(
        self, mean: Float[np.ndarray, "*field"], std: Float[np.ndarray, "*field"], level: float
    ) -> tuple[Float[np.ndarray, "*field"], Float[np.ndarray, "*field"]]:
        """The widened interval of every voxel, in the units of the mean.

        Args:
            mean, std: of the samples' magnitudes.
            level: one of `levels`.
        """
        if level not in self.levels:
            raise InputError(f"level: is {level!r:.80}, expected one of {', '.join(map(str, self.levels))}")
        k = self.levels.index(level)
        half = max(0.0, float(_raw(self.members, np.array([(1 + level) / 2]))[0]) + self.margins[k]) * std
        return np.maximum(mean - half, 0.0), mean + half


def read(path: Path) -> Widened:
    """What `Widened.save` wrote; InputError for anything else.

    Args:
        path: of the .json.
    """
    return Widened.of_record(read_json(path, "margins of intervals"), path)


def fit(folders: Sequence[Path], levels: Sequence[float] = LEVELS) -> Widened:
    """Margins from reconstructions whose truth is known, fitted on the first half of their slices.

    Args:
        folders: of reconstructions, as `ornstein sample` writes them; all with as many samples a slice.
        levels: of the intervals, from 0.1 to 0.9, in steps of a tenth.

    InputError where there are too few slices (a level p needs 2 p/(1 − p) of them), or a folder has no truth.
    """
    opened = [Recon.opened(folder) for folder in folders]
    members = sorted({one.members for one in opened})
    if len(members) != 1:
        found = ", ".join(f"{one.folder}: {one.members}" for one in opened) or "no folder"
        raise InputError(f"samples a slice: {found}, expected one number in all folders")
    models = {one.weights: one.model for one in opened}
    if len(models) != 1:
        found = ", ".join(f"{one.folder}: {one.model} ({one.weights[:8]})" for one in opened)
        raise InputError(f"models: {found}, expected one in all folders")
    cases = [case for one in opened for case in one.cases()]
    if len(cases) < 2:
        raise InputError(f"{len(cases)} slices with a brain, expected two or more, some to fit on and some to judge")
    truths = np.full((len(cases), max(map(len, cases))), np.nan)
    for row, case in zip(truths, cases, strict=True):
        row[: len(case)] = case
    quantiles = _raw(members[0], np.arange(1, _PARTS) / _PARTS)
    pseudo = np.broadcast_to(quantiles[:, None], (len(cases), len(quantiles), truths.shape[1]))
    found = calibration.recalibrate(truths, pseudo, calibration.Conformal(), levels=list(levels))
    assert isinstance(found.fitted, calibration.conformal.Margins)
    margins = np.nanmax(found.fitted.margins, 1)  # one for all voxels; NaN where there were no data to fit
    return Widened(
        _numbers(found.before.levels.round(6)), _numbers(margins), members[0], _numbers(found.before.values),
        _numbers(found.after.values), found.fitted_on, found.held_out, opened[0].model, opened[0].weights,
        (min(one.acceleration for one in opened), max(one.acceleration for one in opened)),
    )  # fmt: skip


def apply(widened: Widened, folder: Path, out: Path) -> list[Path]:
    """Writes low-P.nii.gz and high-P.nii.gz of each level P, in per cent, and widened.json, which says what was done.

    Args:
        widened: margins.
        folder: of a reconstruction.
        out: for the files; another folder, so that the reconstruction stays as it was.
    """
    recon = Recon.opened(folder)
    if recon.members != widened.members:
        raise InputError(f"{folder}: has {recon.members} samples a slice, the margins are for {widened.members}")
    out.mkdir(parents=True, exist_ok=True)
    ends = Ends(widened, out, recon.frame)
    for index in range(recon.frame.slices):
        ends.put(index, recon.image("mean", index), recon.image("std", index))
    widened.save(out / "widened.json")
    return ends.finish()


class Ends:
    """The files of the ends of widened intervals, slice by slice; and how often raw and widened ones hold the truth.

    Attributes:
        widened: margins.
    """

    def __init__(self, widened: Widened, out: Path, frame: Frame) -> None:
        """Makes the files.

        Args:
            widened: margins.
            out: a folder.
            frame: of the volume.
        """
        self.widened = widened
        self._files = {
            (level, end): Written(out / f"{end}-{round(100 * level)}.nii", frame, "float32")
            for level in widened.levels
            for end in ("low", "high")
        }
        self._held = np.zeros((2, len(widened.levels)), np.int64)
        self._judged = 0

    def put(
        self,
        index: int,
        mean: Float[np.ndarray, "h w"],
        std: Float[np.ndarray, "h w"],
        truth: Float[np.ndarray, "h w"] | None = None,
    ) -> None:
        """One slice.

        Args:
            index: of the slice.
            mean, std: of the samples' magnitudes.
            truth: magnitude, if it is known: intervals are judged by it in the brain.
        """
        inside = np.zeros(mean.shape, bool) if truth is None else metrics.brain(truth)
        self._judged += int(inside.sum())
        for k, level in enumerate(self.widened.levels):
            low, high = self.widened.interval(mean, std, level)
            self._files[level, "low"].put(index, low)
            self._files[level, "high"].put(index, high)
            if truth is not None:
                raw = float(_raw(self.widened.members, np.array([(1 + level) / 2]))[0]) * std
                self._held[0, k] += int((np.abs(truth - mean) <= raw)[inside].sum())
                self._held[1, k] += int(((low <= truth) & (truth <= high))[inside].sum())

    def finish(self) -> list[Path]:
        """The files, compressed."""
        return [file.finish() for file in self._files.values()]

    @property
    def coverage(self) -> list[tuple[float, float, float]]:
        """(level, share of the voxels of the brain that raw intervals hold, and widened ones); none without a truth."""
        if not self._judged:
            return []
        raw, wide = (self._held / self._judged).tolist()
        return list(zip(self.widened.levels, raw, wide, strict=True))

    def __str__(self) -> str:
        """What a user should know of them."""
        files = ", ".join(f"low-{round(100 * level)} and high-{round(100 * level)}" for level in self.widened.levels)
        said = f"widened intervals are in {files}: elsewhere, {self.widened}"
        here = "; ".join(
            f"{p:.0%} intervals hold {raw:.1%} raw and {wide:.1%} widened" for p, raw, wide in self.coverage
        )
        return f"{said}; here, of the voxels of the brain, {here}" if here else said


@dataclass(frozen=True)
class Recon:
    """A folder of a reconstruction.

    Attributes:
        folder: of the files.
        frame: where images lie.
        members: samples a slice.
        model, weights: the name of the model, and the hash of its file.
        acceleration: of the scan.
    """

    folder: Path
    frame: Frame
    members: int
    model: str = ""
    weights: str = ""
    acceleration: float = 1.0

    @classmethod
    def opened(cls, folder: Path) -> "Recon":
        """InputError unless it is the folder of a scan's reconstruction, with two samples a slice or more.

        Args:
            folder: as `ornstein sample` wrote it.
        """
        path = folder / "recon.json"
        found = require(read_json(path, "a reconstruction"), _RECON, str(path))
        counts = sorted({one["members"] for one in found["slices"]})
        if len(counts) != 1 or counts[0] < 2:
            raise InputError(f"{path}: {counts} samples a slice, expected one number, 2 or more, in all slices")
        frame = Frame.of(found["scan"], f"{path}: scan")
        affine = tuple(map(tuple, found["affine"]))
        how = require(found["scan"], {"acceleration": Within(float, 1, 1e9)}, f"{path}: scan")["acceleration"]
        whole = replace(frame, slices=len(found["slices"]), affine=affine)
        return cls(folder, whole, counts[0], found["model"]["name"], found["model"]["weights"], how)

    def image(self, name: str, index: int) -> Float[np.ndarray, "h w"]:
        """The magnitude of one of the volumes.

        Args:
            name: of the file, without its ending.
            index: of the slice.
        """
        path = self.folder / f"{name}.nii.gz"
        if not path.is_file():
            raise InputError(f"{path}: not there, expected the {name} of a reconstruction")
        return np.abs(volumes.read(path, self.frame, index)).astype(np.float64)

    def cases(self) -> Iterator[Float[np.ndarray, " voxels"]]:
        """(truth − mean)/std of the voxels of the brain, slice by slice; slices of air are left out."""
        for index in range(self.frame.slices):
            truth, mean, std = (self.image(name, index) for name in ("truth", "mean", "std"))
            inside = metrics.brain(truth) & (std > 0)
            if inside.any():
                yield (truth - mean)[inside] / std[inside]


def _raw(members: int, probabilities: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
    """Quantiles of a further draw less the mean of so many, in their standard deviations, if draws are normal."""
    return stats.t.ppf(probabilities, members - 1) * np.sqrt(1 + 1 / members)


def _numbers(values: Float[np.ndarray, " n"]) -> tuple[float, ...]:
    return tuple(map(float, values))


def main(said: Sequence[str]) -> int:
    """The commands of the module's docstring.

    Args:
        said: the arguments.
    """
    match [*said]:
        case ["fit", file, *folders] if folders:
            found = fit([Path(folder) for folder in folders])
            found.save(Path(file))
            print(found)
        case ["apply", file, folder, out]:
            found, recon = read(Path(file)), Recon.opened(Path(folder))
            unlike = found.unlike(recon.weights, recon.acceleration)
            print(*apply(found, Path(folder), Path(out)), found, *unlike, sep="\n")
        case _:
            raise InputError(f"expected fit FILE FOLDER …, or apply FILE FOLDER OUT\n\n{__doc__}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
