"""What a request over HTTP may name: shipped models, own runs, uploads, and files of one folder. No other path.

images/digits       a shipped model
file:1f0c…          a file that was uploaded, or the weights of a model
runs:digits-long    a run folder below --runs
data:scan.h5        a file below --data

and the path of a file that is kept with earlier results, as these say it: what was asked can be asked again.
"""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..config import suggestion
from ..errors import InputError
from ..tasks.registry import broken, domains, names, task
from .uploads import Uploads
from .weights import header_of

KINDS = ("file:", "data:", "runs:")
EXPECTED = "a file that was uploaded (file:ID), or one of the server's (data:NAME, runs:NAME)"
WEIGHTS = "model.safetensors"
_MOST, _DEEPEST = 2000, 6  # of what is listed


@dataclass(frozen=True)
class Model:
    """A model that a request names.

    Attributes:
        name: as it is named there.
        source: what `ornstein.load` takes: a shipped name or a path.
        domain: whose it is.
        kind: shipped, run or upload.
    """

    name: str
    source: str
    domain: str
    kind: str


def is_reference(word: str) -> bool:
    """Whether a text is written as a reference is."""
    return word.startswith(KINDS)


def names_file(word: str, suffixes: Collection[str]) -> bool:
    """Whether a text of a field that may name files does: it ends as they do, or there is a file of that name."""
    if word.lower().endswith(tuple(suffix for suffix in suffixes if suffix)):
        return True
    try:
        return os.path.lexists(word)
    except ValueError:  # a NUL
        return True


@dataclass(frozen=True)
class Places:
    """Where references lead.

    Attributes:
        uploads: what was uploaded.
        runs: the folder of own runs.
        data: the folder of files that may be chosen; none if not given.
        kept: where uploads are kept once something is drawn with them; if not given, they stay where they are.
        inputs: where those of earlier results are kept.
    """

    uploads: Uploads
    runs: Path
    data: Path | None = None
    kept: Path | None = None
    inputs: Path | None = None

    def knows(self, word: str) -> bool:
        """Whether a text is a reference, or the path of a file that is kept with earlier results."""
        try:
            return is_reference(word) or (
                self.inputs is not None and Path(word).resolve(strict=True).is_relative_to(self.inputs.resolve())
            )
        except (OSError, RuntimeError, ValueError):  # there is no such file, or no file can have that name
            return False

    def model(self, name: Any) -> Model:
        """The model of that name; InputError if there is none."""
        if not isinstance(name, str) or not name:
            raise InputError("sample needs a MODEL: a shipped model's name, runs:NAME or file:ID")
        if name.startswith("data:"):
            raise InputError(f"model is {name!r}, expected a shipped model's name, runs:NAME or file:ID")
        if is_reference(name):
            path = self.path(name, ("", ".safetensors"), "model")
            return Model(name, str(path), domain_of(_weights(path)), "run" if name.startswith("runs:") else "upload")
        known = names(f"models/*/{WEIGHTS}")
        if name not in known:
            raise InputError(f"{name}: no shipped model of that name{suggestion(name, known)}")
        return Model(name, name, name.partition("/")[0], "shipped")

    def path(self, reference: str, suffixes: Collection[str] | None, option: str) -> Path:
        """The path that a reference leads to.

        InputError if it leads nowhere, or to what the field does not take.

        Args:
            reference: kind:NAME, or a path that is kept, of which `knows` is true.
            suffixes: of the files that the field takes, "" for a run folder; None = any file.
            option: the field, for the error.
        """
        kind, _, name = reference.partition(":")
        if not is_reference(reference):
            path = Path(reference)
        elif kind == "file":
            path = self.uploads[name].path
            path = path if self.kept is None else self.uploads.keep(path, self.kept)
        elif kind == "data":
            path = _below(self.data, name, f"{option} is {reference!r}", "--data")
        else:
            path = _below(self.runs, name, f"{option} is {reference!r}", "--runs")
            if not (path / WEIGHTS).is_file():
                raise InputError(f"{option} is {reference!r}, which is no run: it has no {WEIGHTS}")
        _require_taken(path, suffixes, f"{option} is {reference!r}", kind == "runs")
        return path

    def own_models(self) -> list[tuple[str, Path, str]]:
        """Run folders below `runs`, and weights that were uploaded: by name, the path, run or upload."""
        uploads = [(f"file:{one.id}", one.path, "upload") for one in self.uploads.models()]
        return [*((name, path, "run") for name, path in _models_below(self.runs)), *uploads]

    def data_files(self) -> list[str]:
        """The names of the files below `data`, and of folders that are one file to their readers, such as a Zarr."""
        return [] if self.data is None else sorted(islice(_listed(self.data, _folder_suffixes()), _MOST))


def _below(folder: Path | None, name: str, where: str, flag: str) -> Path:
    """The path of that name in a folder; InputError if it is not there, or leads out of it."""
    wrong = any(part in ("", ".", "..") for part in name.split("/")) or not name.isprintable()
    if folder is None:
        raise InputError(f"{where}, but the studio was started without {flag}")
    path = folder / name
    try:
        inside = not wrong and path.resolve(strict=True).is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):
        inside = False
    if not inside:
        raise InputError(f"{where}, which is not below the folder of {flag}")
    return path


def _require_taken(path: Path, suffixes: Collection[str] | None, where: str, run: bool) -> None:
    """InputError unless a field takes such a file, or such a folder."""
    known = [suffix for suffix in suffixes or () if suffix]
    named = suffixes is None or path.name.lower().endswith(tuple(known))
    taken = "" in (suffixes or ()) if run else named and (path.is_file() or bool(path.suffix))
    if not taken:
        runs = ["a run folder (runs:NAME)"] if "" in (suffixes or ()) else []
        raise InputError(f"{where} ({path.name}), expected {', '.join([*known, *runs]) or 'a file'}")


def domain_of(weights: Path) -> str:
    """The domain of a model, from the header of its weights; InputError if that says none that is installed."""
    domain = header_of(weights)["domain"]
    task(domain)
    return domain


def domain_of_source(source: str) -> str:
    """The domain of what `ornstein.load` takes: of a shipped model's name, a run folder or a weights file."""
    if source in names(f"models/*/{WEIGHTS}"):
        return source.partition("/")[0]
    return domain_of(_weights(Path(source)))


def _weights(path: Path) -> Path:
    return path / WEIGHTS if path.is_dir() else path


def _models_below(folder: Path) -> Iterator[tuple[str, Path]]:
    if folder.is_dir():
        for path in sorted(folder.glob(f"**/{WEIGHTS}"))[:_MOST]:
            yield f"runs:{path.parent.relative_to(folder).as_posix()}", path.parent


def _folder_suffixes() -> tuple[str, ...]:
    """Suffixes of what some domain reads and may be a folder."""
    usable = (task(domain) for domain in domains() if domain not in broken())
    return tuple({suffix for this in usable for suffixes in this.files.values() for suffix in suffixes if suffix})


def _listed(folder: Path, whole: tuple[str, ...], prefix: str = "", depth: int = 0) -> Iterator[str]:
    """Names below a folder, not too deep; hidden ones, links and what may not be read are left out."""
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return
    for path in paths:
        if path.name.startswith(".") or path.is_symlink() or not path.name.isprintable():
            continue
        name = f"{prefix}{path.name}"
        if path.is_file() or (path.is_dir() and whole and name.lower().endswith(whole)):
            yield name
        elif path.is_dir() and depth < _DEEPEST:
            yield from _listed(path, whole, f"{name}/", depth + 1)
