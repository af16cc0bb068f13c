"""Reconstructions on the disk, as NIfTI in the axes of the scan and in the units of its k-space.

samples.nii             all samples, complex64, (X, Y, slices, members) or as the scan's own file has its axes
mean, std .nii.gz       of the magnitude, over members
complex-mean .nii.gz    mean of the complex samples
quantile-05, -95        of the magnitude; neither these nor std where a slice has one sample alone
frame.nii.gz            scale · exp(i · low-resolution phase): a sample over it is a state of the model
truth.nii.gz            if it is known
low-90, high-90, …      ends of widened intervals, if these are asked for (--widen); the quantiles stay as they are
recon.json              χ² of each slice, units, what was drawn
recon.png               a contact sheet

Samples wait in the scratch folder, one file each, until all are there; then the volumes are written slice by slice.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ....config import update
from ....denoisers.base import Condition
from ....disk import arrays
from ....errors import InputError, needed_for
from ....files import GB, Within, read_json, require, write_json
from ....states import State
from ....tasks.memory import available
from ....tasks.native.members import MemberStore
from ....tasks.samples import Samples
from ..asked.flags import MriRequest
from ..asked.prepared import volume
from ..metrics import DATA, HELD
from ..words import CLINICAL
from . import pictures, volumes
from .held_out import Agreement, Verdict, agreement
from .places import Places
from .volumes import Frame, Written
from .widened import Ends, Widened

SAMPLES, FRAME, TRUTH, RECON, SHEET = "samples.nii", "frame.nii.gz", "truth.nii.gz", "recon.json", "recon.png"
SPREAD = ("std", "quantile-05", "quantile-95")
"""Of the magnitude, what one sample does not tell."""
ALONE = f"{', '.join(SPREAD)} are not written: a slice has one sample alone, expected two or more of each (--each)"
SHOWN = 4
"""Slices of the contact sheet, spread evenly."""


class ReconStore(MemberStore):
    """Samples of slices as they finish, and volumes of them in the end."""

    def __init__(self, folder: Path, numbers: range) -> None:
        """Makes no file yet.

        Args:
            folder: of the volumes.
            numbers: of all samples.
        """
        self.folder, self.numbers = folder, numbers

    # One by one ---------------------------------------------------------------------------------------

    def add(self, samples: Samples) -> list[Path]:
        assert self.scratch is not None
        self.scratch.mkdir(parents=True, exist_ok=True)
        places, written = Places.of(self.numbers, samples.settings), []
        for k in range(len(samples)):
            number = samples.first + k
            written.append(self._member(number))
            arrays.write(written[-1], {"x": samples.x[k].cpu().numpy()})
            about = {name: samples.condition[name][k].cpu().numpy() for name in _KEPT if name in samples.condition}
            path = self._about(places.at(number)[0])
            if about and path not in written:
                arrays.write(path, about)
                written.append(path)
        return written

    def _member(self, number: int) -> Path:
        assert self.scratch is not None
        return self.scratch / f"{number:08d}.npz"

    def _about(self, index: int) -> Path:
        """What is known of a slice beside its samples."""
        assert self.scratch is not None
        return self.scratch / f"slice-{index:06d}.npz"

    # All of them --------------------------------------------------------------------------------------

    def finish(self, samples: Samples) -> Sequence[str]:
        places = Places.of(self.numbers, samples.settings)
        h, w = samples.x.shape[-2:]
        frame = places.frame(samples.settings, (h, w))
        files = self._begun(frame, places)
        checking, shown, judged = _Checking(samples.settings), [], {}
        ends = self._widened(samples.settings, frame, places)
        chosen = spread(len(places.slices), SHOWN)
        for index, number in enumerate(places):
            x, about = self._slice(places.of_slice(number), index)
            phase, scale = frame_of(about, x)
            images = images_of(x, phase, scale, frame)
            truth = images_of(about["truth"], phase, scale, frame) if "truth" in about else None
            mean, std = self._put(files, index, places, places.of_slice(number), images)
            if ends is not None:
                ends.put(index, mean, std, None if truth is None else np.abs(truth))
            files["frame"].put(index, frame.in_view((phase * scale).numpy()))
            if truth is not None:
                if "truth" not in files:
                    files["truth"] = Written(self.folder / "truth.nii", frame, "complex64")
                files["truth"].put(index, truth)
            judged[number] = checking(number, x)
            if index in chosen:
                shown.append(
                    pictures.Row(named(samples, number), np.abs(images), None if truth is None else abs(truth))
                )
        for name, file in files.items():
            file.finish(compress=name != "samples")
        notes = [*_notes(judged, checking), *_of_widened(samples, ends), *([] if "std" in files else [ALONE])]
        write_json(self.folder / RECON, _record(samples, frame, places, judged, notes, ends))
        figure = pictures.sheet(shown, frame, notes)
        (self.folder / SHEET).write_bytes(figure.image)
        return notes

    def _begun(self, frame: Frame, places: Places) -> dict[str, Written]:
        members = len(places.members)
        several = all(len(places.of_slice(number)) > 1 for number in places)
        names = ("mean", *(SPREAD if several else ()))
        files = {name: Written(self.folder / f"{name}.nii", frame, "float32") for name in names}
        files |= {name: Written(self.folder / f"{name}.nii", frame, "complex64") for name in ("complex-mean", "frame")}
        return files | {"samples": Written(self.folder / SAMPLES, frame, "complex64", members)}

    def _slice(self, numbers: range, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The states of a slice, and what is known of it."""
        found = [arrays.members(self._member(number), GB, {"x": "f"})["x"] for number in numbers]
        path = self._about(index)
        kinds = {f"{name}?": kind for name, kind in _KEPT.items()}
        about = arrays.members(path, GB, kinds) if path.is_file() else {}
        states = torch.from_numpy(np.stack(found))
        return states, {name: torch.from_numpy(np.asarray(value)) for name, value in about.items()}

    def _widened(self, settings: Mapping[str, Any], frame: Frame, places: Places) -> Ends | None:
        """The files of widened intervals, where they are asked for, and all samples of every slice are there."""
        if "widened" not in settings or any(len(places.of_slice(number)) != places.each for number in places):
            return None
        return Ends(Widened.of_record(settings["widened"], "settings: widened"), self.folder, frame)

    def _put(
        self, files: dict[str, Written], index: int, places: Places, numbers: range, images: np.ndarray
    ) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
        """The samples of a slice, and what they are together; returns mean and standard deviation of the magnitude."""
        all_members = np.full((len(places.members), *images.shape[1:]), np.nan, np.complex64)
        for number, image in zip(numbers, images, strict=True):
            all_members[places.at(number)[1]] = image
        magnitude = np.abs(images)
        files["samples"].put(index, all_members)
        files["complex-mean"].put(index, images.mean(0))
        mean = magnitude.mean(0)
        std = magnitude.std(0, ddof=1) if len(images) > 1 else np.full(images.shape[1:], np.nan)
        files["mean"].put(index, mean)
        if "std" in files:
            files["std"].put(index, std)
            files["quantile-05"].put(index, np.quantile(magnitude, 0.05, 0))
            files["quantile-95"].put(index, np.quantile(magnitude, 0.95, 0))
        return mean, std

    # Read again ---------------------------------------------------------------------------------------

    def read(self, numbers: range) -> tuple[State, Condition]:
        if self.scratch is not None:
            return self._unfinished(numbers)
        settings = self.settings or {}
        places = Places.of(self.numbers, settings)
        frame = places.frame(settings, _size(self.folder / SAMPLES))
        self._require_room(len(numbers), frame)
        states, kept = [], {name: [] for name in (*_KEPT,)}
        for index, number in enumerate(places):
            wanted = [one for one in places.of_slice(number) if one in numbers]
            if not wanted:
                continue
            first = places.at(wanted[0])[1]
            members = volumes.read(self.folder / SAMPLES, frame, index, slice(first, first + len(wanted)))
            units = torch.from_numpy(volumes.read(self.folder / FRAME, frame, index))
            scale, phase = _parted(units)
            states.append(_state(torch.from_numpy(members), phase, scale))
            if places.each is not None:
                kept["phase"] += [phase] * len(wanted)
                kept["scale"] += [scale] * len(wanted)
            if (self.folder / TRUTH).is_file():
                truth = torch.from_numpy(volumes.read(self.folder / TRUTH, frame, index))
                kept["truth"] += [_state(truth[None], phase, scale)[0]] * len(wanted)
        condition = {name: torch.stack(values) for name, values in kept.items() if values}
        condition |= self._judged(places, numbers)
        x = torch.cat(states)
        _require_finite(x, self.folder / SAMPLES)
        return x, condition

    def _require_room(self, count: int, frame: Frame) -> None:
        """InputError for more samples than memory holds: all that are read or shown at once are in it."""
        h, w = frame.size
        need, free = 2 * count * h * w * _BYTES, available()
        if need > free:
            raise InputError(
                f"{self.folder / SAMPLES}: {count} samples of {h} × {w} pixels need {need / 1e9:.3g} GB in memory, "
                f"{free / 1e9:.3g} GB are free; ornstein evaluate reads them slice by slice, and {SHEET}, {RECON} "
                "and the .nii.gz beside it hold what was found of them"
            )

    def _judged(self, places: Places, numbers: range) -> dict[str, Tensor]:
        """χ² as recon.json has them, of each sample and of its slice; NaN where there is none. Nothing of draws."""
        if places.each is None:
            return {}
        path = self.folder / RECON
        found = require(read_json(path, "a reconstruction"), _JUDGED, str(path))["slices"]
        if [one["members"] for one in found] != [len(places.of_slice(number)) for number in places]:
            raise InputError(f"{path}: slices: are not those of the samples")
        data, held = [], []
        for number in numbers:
            index, member = places.at(number)
            of_data, of_lines = (found[index].get(name) for name in (DATA, HELD))
            data.append(float("nan") if of_data is None else of_data[member])
            held.append(float("nan") if of_lines is None else of_lines)
        return {DATA: torch.tensor(data, dtype=torch.float64), HELD: torch.tensor(held, dtype=torch.float64)}

    def _unfinished(self, numbers: range) -> tuple[State, Condition]:
        """Of the scratch folder: the states, and of each what is known of its slice."""
        each = [arrays.members(self._member(number), GB, {"x": "f"})["x"] for number in numbers]
        return torch.from_numpy(np.stack(each)), {}


_CHI2 = Within(float, 0, 1e30)
_JUDGED = {"slices": [{"members": Within(int, 1, 10**6), f"{DATA}?": [_CHI2], f"{HELD}?": _CHI2}]}
"""What is read of recon.json."""
_BYTES = 24
"""A pixel of a sample: state, phase and truth; twice, while they are put together."""
_KEPT = {"phase": "c", "scale": "f", "truth": "f"}
"""What is known of a slice, and of what kind of numbers it is."""


def _size(path: Path) -> tuple[int, int]:
    """(H, W) of samples of no scan."""
    with needed_for("NIfTI", "mri"):
        import nibabel
    image: Any = nibabel.load(path)
    return int(image.shape[1]), int(image.shape[0])


def frame_of(
    about: Mapping[str, Tensor], x: Float[Tensor, "*batch 2 h w"]
) -> tuple[Complex[Tensor, "h w"], Float[Tensor, ""]]:
    """Phase and scale of a slice; 1 where nobody says them.

    Args:
        about: what is known of the slice, by name.
        x: its states.
    """
    phase = about.get("phase", torch.ones(x.shape[-2:], dtype=torch.complex64))
    return phase, about.get("scale", torch.ones(())).to(x)


def images_of(
    x: Float[Tensor, "*batch 2 h w"], phase: Complex[Tensor, "h w"], scale: Float[Tensor, ""], frame: Frame
) -> Complex[np.ndarray, "*batch p q"]:
    """States of a slice as images in the units of the scan, without what lies outside of the field of view.

    Args:
        x: states of the model.
        phase, scale: of the slice.
        frame: of the volume.
    """
    images = torch.complex(x[..., 0, :, :], x[..., 1, :, :]) * (phase * scale)
    return frame.in_view(images.numpy().astype(np.complex64))


def _parted(units: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and phase of a slice; the phase is 1 where an image is 0 everywhere."""
    scale = units.abs().max()
    phase = torch.where(units.abs() > 0, units / scale.clamp(min=1e-30), 1.0)
    return scale, phase / phase.abs().clamp(min=1e-30)


def _state(images: Tensor, phase: Tensor, scale: Tensor) -> Tensor:
    """Images as states of the model: 0 where the slice was empty."""
    x = images * phase.conj() / scale if float(scale) > 0 else torch.zeros_like(images)
    return torch.view_as_real(x.resolve_conj()).movedim(-1, -3).contiguous()


def _require_finite(x: Tensor, path: Path) -> None:
    if not bool(x.isfinite().all()):
        raise InputError(f"{path}: holds numbers that are not finite")


class _Checking:
    """χ² of slices, as long as the scan is there to compare with."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.why, self._volume = "nothing was measured", None
        if "scan" in settings:
            known = vars(MriRequest())
            said = {name: value for name, value in settings.items() if name in known}
            try:
                self._volume = volume(update(MriRequest(), said, "settings"))
            except (InputError, OSError) as error:
                self.why = str(error)

    def __call__(self, number: int, x: Tensor) -> Agreement | None:
        if self._volume is None:
            return None
        if tuple(x.shape[-2:]) != self._volume.grid:
            self.why = "samples have been cropped to what is written, so that k-space is not that of them alone"
            return None
        one = self._volume[number]
        return None if one.empty else agreement(one, x)


def _notes(judged: Mapping[int, Agreement | None], checking: _Checking) -> list[str]:
    """What was found of all samples, in words: first of all whether to distrust them."""
    found = [one for one in judged.values() if one is not None]
    if not found:
        return []
    verdict = Verdict.of(found)
    return [*([verdict.distrust] if verdict.distrust else []), str(verdict)]


def _of_widened(samples: Samples, ends: Ends | None) -> list[str]:
    """What is to be known of widened intervals, in words; finishes their files."""
    if ends is None:
        few = "intervals are not widened: the margins are for all samples of a slice, of which some were not drawn"
        return [few] if "widened" in samples.settings else []
    assert samples.origin is not None
    ends.finish()
    return [str(ends), *ends.widened.unlike(samples.origin.weights, samples.settings["scan"]["acceleration"])]


def _record(
    samples: Samples,
    frame: Frame,
    places: Places,
    judged: Mapping[int, Agreement | None],
    notes: Sequence[str],
    ends: Ends | None,
) -> dict[str, Any]:
    """What recon.json says."""
    slices = []
    for number, one in judged.items():
        said: dict[str, Any] = {"slice": _number(samples, number), "members": len(places.of_slice(number))}
        if one is not None:
            said[DATA] = [round(float(value), 5) for value in one.consistency]
            said[HELD] = round(float(one.held_out.mean()), 5) if len(one.held_out) else None
        slices.append(said)
    assert samples.origin is not None
    widened: dict[str, Any] = {} if ends is None else {"widened": ends.widened.record()}
    if ends is not None and ends.coverage:
        widened["coverage"] = [dict(zip(("level", "raw", "widened"), one, strict=True)) for one in ends.coverage]
    return {
        "model": {"name": f"{samples.origin.domain}/{samples.origin.name}", "weights": samples.origin.weights},
        "scan": dict(samples.settings.get("scan", {})),
        "affine": [list(row) for row in frame.affine],
        "exactness": samples.verdict,
        "nfe": samples.nfe,
        "gradients": samples.gradients,
        "seconds": round(samples.seconds, 1),
        "verdict": list(notes),
        "slices": slices,
        **widened,
        "warning": CLINICAL,
    }


def _number(samples: Samples, index: int) -> int:
    """Of a slice in its scan."""
    scan = samples.settings.get("scan")
    return index if scan is None else range(*scan["slices"])[index]


def named(samples: Samples, index: int) -> str:
    """What a slice is called.

    Args:
        samples: of a scan, or of the model as it is.
        index: of the slice among those that were asked for.
    """
    return f"slice {_number(samples, index)}" if "scan" in samples.settings else "samples of the model"


def spread(count: int, most: int) -> set[int]:
    """Some of so many, spread evenly.

    Args:
        count: how many there are.
        most: how many are chosen.
    """
    return set(range(count)) if count <= most else {int((2 * k + 1) * count / (2 * most)) for k in range(most)}
