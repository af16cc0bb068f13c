"""Drawing samples, and the samples with everything that made them."""

import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..denoisers.base import Condition, Origin
from ..errors import InputError
from ..files import read_json, sha256, write_json
from ..states import State, leaves
from ..states import batch_size as batch_size_of
from .registry import task

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Samples:
    """Samples and where they come from.

    Attributes:
        x: the clean states, (n, ...).
        condition: what each was given.
        origin: the model.
        film: the states at every step, noise first, if asked for.
        nfe: network evaluations a sample, on average.
        seconds: wall time.
        settings: seed, steps, eta, ..., and the user's request, in JSON values.
        exactness: how exactly they follow what was asked for, if that was measured: an `Exactness` of
            particles, or a `Corrected` of mcmc.
        family: the first particle that each descends from, (n,): samples of one family are not independent.
    """

    x: Any
    condition: Condition = field(default_factory=dict)
    origin: Origin | None = None
    film: Sequence[State] = ()
    nfe: float = 0
    seconds: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    exactness: Any = None
    family: Tensor | None = None

    def __len__(self) -> int:
        return batch_size_of(self.x)

    def __repr__(self) -> str:
        shapes = ", ".join(str(tuple(leaf.shape)) for leaf in leaves(self.x))
        name = f"{self.origin.domain}/{self.origin.name}" if self.origin else "a denoiser of your own"
        exact = f"; {self.exactness}" if self.exactness else ""
        return f"Samples of {name}: {shapes}, {self.nfe:g} NFE, {self.seconds:.2f} s{exact}"

    def _repr_html_(self) -> str:
        figures = task(self.origin.domain).figures(self) if self.origin else []
        return "".join(figure.html() for figure in figures) + f"<p>{self!r}</p>"

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
            "model": vars(self.origin),
            "settings": dict(self.settings),
            "n": len(self),
            "nfe": self.nfe,
            "seconds": round(self.seconds, 3),
            "exactness": self.exactness.record() if self.exactness else None,
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
    return task(manifest["model"]["domain"]).read(folder, manifest)
