"""The samples, with everything that made them and what was measured about how exact they are."""

import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..denoisers.base import Condition, Origin
from ..deprecation import members, renamed
from ..errors import InputError
from ..files import read_json, sha256, write_json
from ..mcmc.correction import MCMCReport
from ..sampling.diagnostics import Exactness
from ..states import State, leaves, take
from ..states import batch_size as batch_size_of
from .registry import task

MANIFEST = "manifest.json"


@renamed(film="trajectory", family="genealogy")
@members(film="trajectory", family="genealogy")
@dataclass(frozen=True)
class Samples:
    """Samples and where they come from.

    Attributes:
        x: the clean states, (n, ...).
        condition: what each was given.
        origin: the model.
        trajectory: the states at every step, noise first, if asked for.
        nfe: network evaluations a sample, on average.
        seconds: wall time.
        settings: seed, steps, eta, ..., and the user's request, in JSON values.
        exactness: how exactly they follow what was asked for, if that was measured: an `Exactness` of
            particles, or a `MCMCReport` of mcmc.
        genealogy: which samples descend from the same first particle, (n,), numbered from 0: they are not independent.
        each: what is said of every sample, n JSON values a name, such as the prompts.
        gradients: vector–Jacobian products of the network a sample, on average.
        notes: what else should be known of how they were drawn, such as solves that ended early, in words.
    """

    x: Any
    condition: Condition = field(default_factory=dict)
    origin: Origin | None = None
    trajectory: Sequence[State] = ()
    nfe: float = 0
    seconds: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    exactness: Any = None
    genealogy: Tensor | None = None
    each: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    gradients: float = 0
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return batch_size_of(self.x)

    def __getitem__(self, chosen: slice) -> "Samples":
        """Some of the samples, which keep their numbers."""
        first, _, step = chosen.indices(len(self))
        if step != 1:
            raise InputError(f"samples are taken in a row, not in steps of {step}")
        return replace(
            self,
            x=take(self.x, chosen),
            condition=take(self.condition, chosen),
            trajectory=[take(frame, chosen) for frame in self.trajectory],
            settings={**self.settings, "first": self.first + first},
            genealogy=None if self.genealogy is None else self.genealogy[chosen],
            each={name: list(values)[chosen] for name, values in self.each.items()},
        )

    @property
    def first(self) -> int:
        """The number of the first sample; the others follow."""
        return int(self.settings.get("first", 0))

    @property
    def verdict(self) -> str:
        """How exact they are, in words."""
        measured = str(self.exactness) if self.exactness else "not measured: independent samples of the model as guided"
        return "; ".join([measured, *self.notes])

    def __repr__(self) -> str:
        shapes = ", ".join(str(tuple(leaf.shape)) for leaf in leaves(self.x))
        name = f"{self.origin.domain}/{self.origin.name}" if self.origin else "a denoiser of your own"
        gradients = f" and {self.gradients:g} gradients" if self.gradients else ""
        cost = f"{self.nfe:g} NFE{gradients} each, {self.seconds:.2f} s"
        return f"Samples of {name}: {shapes}, {cost}; exactness: {self.verdict}"

    def _repr_html_(self) -> str:
        figures = task(self.origin.domain).figures(self) if self.origin else []
        return f"<p>{escape(repr(self))}</p>" + "".join(figure.html() for figure in figures)

    def save(self, folder: Path | str) -> Path:
        """Writes native files and manifest.json into a new folder, which appears whole or not at all."""
        folder = Path(folder)
        if self.origin is None:
            raise InputError("only samples of a trained model know their field's format; these are yours to write")
        require_absent(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
            work = Path(name) / folder.name
            work.mkdir()
            task(self.origin.domain).write(self, work)
            write_json(work / MANIFEST, self._manifest(work))
            work.rename(folder)
        return folder

    def _manifest(self, work: Path) -> dict[str, Any]:
        assert self.origin is not None
        return {
            "model": self.origin.record(),
            "settings": dict(self.settings),
            "n": len(self),
            "nfe": self.nfe,
            "gradients": self.gradients,
            "seconds": round(self.seconds, 3),
            "exactness": self.exactness.record() if self.exactness else None,
            "family": self.genealogy.tolist() if self.genealogy is not None else None,
            "each": dict(self.each),
            "notes": list(self.notes),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {
                "ornstein": version("ornstein"),
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
            "files": {str(file.relative_to(work)): sha256(file) for file in sorted(work.rglob("*")) if file.is_file()},
        }


def require_absent(folder: Path) -> None:
    """InputError if the folder is already there: nobody's results are written over."""
    if folder.exists():
        raise InputError(f"{folder}: exists already; choose another folder or remove it")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder of samples; InputError if it is not one."""
    manifest = read_json(folder / MANIFEST, "the manifest of a folder of samples")
    if not isinstance(manifest, dict):
        raise InputError(f"{folder / MANIFEST}: not the manifest of a folder of samples, which is a JSON object")
    missing = [key for key in ("model", "settings", "n", "nfe", "seconds", "created", "files") if key not in manifest]
    if missing:
        raise InputError(f"{folder / MANIFEST}: has no entry {missing[0]!r}; not the manifest of a folder of samples")
    return manifest


def read_samples(folder: Path | str) -> Samples:
    """Samples from the folder that `save` wrote; InputError if a file has changed since."""
    folder = Path(folder)
    manifest = read_manifest(folder)
    for name, digest in manifest["files"].items():
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: named in the manifest, but not there")
        if sha256(folder / name) != digest:
            raise InputError(f"{folder / name}: changed since the manifest was written")
    origin = Origin.from_record(manifest["model"])
    x, condition = task(origin.domain).read(folder, manifest)
    family = manifest.get("family")
    return Samples(
        x,
        condition,
        origin,
        nfe=manifest["nfe"],
        gradients=manifest.get("gradients", 0),
        seconds=manifest["seconds"],
        settings=_renewed(manifest),
        exactness=exactness_of(manifest.get("exactness")),
        genealogy=None if family is None else torch.tensor(family),
        each=manifest.get("each") or {},
        notes=tuple(manifest.get("notes") or ()),
    )


def exactness_of(record: Mapping[str, Any] | None) -> Exactness | MCMCReport | None:
    """What was measured about exactness, as the object that it was."""
    if record is None:
        return None
    return (MCMCReport if "k_hat" in record else Exactness).from_record(record)


def _renewed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a manifest, which an older version may have written by their old names."""
    flags = {"--film": "--trajectory", **task(manifest["model"]["domain"]).renamed_flags}
    new = {old.strip("-").replace("-", "_"): name.strip("-").replace("-", "_") for old, name in flags.items()}
    settings: dict[str, Any] = manifest["settings"]
    return {new.get(name, name): value for name, value in settings.items()}
