"""The samples, with everything that made them and what was measured about how exact they are."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import code
from ..config import to_dict, update
from ..denoisers.base import Condition, Origin
from ..deprecation import members, renamed
from ..disk.locks import beside
from ..disk.trees import files_in, sync_tree
from ..errors import InputError, SamplingError
from ..files import LISTING, inside, own, read_json, require, sha256, sync, write_json
from ..sampling.diagnostics import errors_of_means, interval
from ..sampling.sampler import descent
from ..states import State, leaves, take
from ..states import batch_size as batch_size_of
from ..text.escaping import printable
from ..values import as_numbers, is_number, require_finite
from .conversions import Convertible
from .registry import domains, task
from .storage.records import RECORD, exactness_of, require_one_each
from .storage.unfinished import is_unfinished, part_of, require_absent, require_finished
from .task import Task

MANIFEST = "manifest.json"


@renamed(film="trajectory", family="genealogy")
@members(film="trajectory", family="genealogy")
@dataclass(frozen=True)
class Samples(Convertible):
    """Samples and where they come from.

    Attributes:
        x: the clean states, (n, ...).
        condition: what each was given.
        origin: the model.
        trajectory: the states at every step, noise first, if asked for.
        nfe: network evaluations a sample, on average.
        seconds: that drawing took; the sum of those of all parts that were drawn apart, by workers or in several runs.
        settings: seed, steps, eta, ..., and the user's request, in JSON values; what was made of them has other names,
            such as the intervals that are walked in so many steps with restarts.
        exactness: how exactly they follow what was asked for, if that was measured: an `Exactness` of
            particles, or a `MCMCReport` of mcmc.
        genealogy: which samples descend from the same first particle, (n,), numbered from 0: they are not independent.
        each: what is said of every sample, n JSON values a name, such as the prompts.
        gradients: vector–Jacobian products of the network a sample, on average.
        notes: what else should be known of how they were drawn, such as solves that ended early, in words.
        created: when they were saved, as ISO 8601 has it; "" if they have not been.
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
    created: str = ""

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

    def mean_and_error(self, values: Any) -> tuple[Tensor, Tensor]:
        """The mean of a quantity and its standard error, by the genealogy: samples of one family are not independent.

        Args:
            values: of the samples, in any unit, (n, ...).
        """
        numbers = self._of_each(values)
        return numbers.mean(0), errors_of_means(numbers, self._families)

    def interval(self, values: Any, level: Any = 0.9) -> tuple[Tensor, Tensor]:
        """Between which values of a quantity a further sample falls with probability `level`, by the genealogy.

        Infinite where the samples are worth too few independent ones to know, such as 18 for 90 %.

        Args:
            values: of the samples, in any unit, (n, ...).
            level: in (0, 1).
        """
        if not (is_number(level) and 0 < level < 1):
            raise InputError(f"level is {level!r}, expected a probability in (0, 1)")
        return interval(self._of_each(values), self._families, level)

    def _of_each(self, values: Any) -> Tensor:
        """The values in float64; InputError unless they are one finite number or array a sample, of two or more."""
        numbers = as_numbers(values, "values").double().cpu()
        if len(self) < 2 or numbers.shape[:1] != (len(self),):
            raise InputError(
                f"values have the shape {tuple(numbers.shape)}, expected one or an array for each of {len(self)} "
                "samples, at least 2"
            )
        require_finite(numbers, "values")
        return numbers

    @property
    def _families(self) -> Tensor:
        return torch.arange(len(self)) if self.genealogy is None else self.genealogy

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
        return printable(f"Samples of {name}: {shapes}, {cost}; exactness: {self.verdict}")

    def _repr_html_(self) -> str:
        from ..report.notebooks import of_samples

        return of_samples(self)

    def save(self, folder: Path | str) -> Path:
        """Writes native files and manifest.json into a new folder, which appears whole or not at all.

        InputError if it exists already; SamplingError for samples that are not finite.
        """
        folder = Path(folder)
        if self.origin is None:
            raise InputError("only samples of a trained model know their field's format; these are yours to write")
        require_absent(folder)
        self.require_finite(folder)
        with beside(folder) as work:
            task(self.origin.domain).write(self, work)
            self.seal(work, folder)
        return folder

    def require_finite(self, folder: Path, left: str = "nothing was saved") -> None:
        """SamplingError for samples that are not finite numbers.

        Args:
            folder: where they are not saved.
            left: what was done of it, in words.
        """
        for wrong in not_finite(self.x):
            raise SamplingError(f"{folder}: {wrong}; {left}. Guidance or a measurement may be too strong")

    def seal(self, work: Path, folder: Path) -> str:
        """Adds the manifest to native files, and moves their folder to where it is wanted, once it is on the disk.

        Returns when that was, as `created` has it.
        """
        manifest = self._manifest(work)
        write_json(work / MANIFEST, manifest)
        sync_tree(work)
        require_absent(folder)
        work.rename(folder)
        sync(folder.parent)
        return manifest["created"]

    def _manifest(self, work: Path) -> dict[str, Any]:
        files = [name for name in files_in(work) if name != MANIFEST and (work / name).is_file()]
        return {
            **self.record(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "files": {name: sha256(work / name) for name in files},
        }

    def record(self) -> dict[str, Any]:
        """What a manifest says of them but for the files, in JSON values."""
        return {
            "model": self.origin.record() if self.origin else None,
            "settings": dict(self.settings),
            "n": len(self),
            "nfe": self.nfe,
            "gradients": self.gradients,
            "seconds": round(self.seconds, 3),
            "exactness": self.exactness.record() if self.exactness else None,
            "family": self.genealogy.tolist() if self.genealogy is not None else None,
            "each": dict(self.each),
            "notes": list(self.notes),
        }


def remarked(samples: Samples) -> Samples:
    """Samples of a trained model with what their domain sees in them, as notes."""
    assert samples.origin is not None
    said = task(samples.origin.domain).remarks(samples)
    return replace(samples, notes=(*samples.notes, *said)) if said else samples


def versions() -> dict[str, str]:
    """Of what draws samples here."""
    return {"ornstein": version("ornstein"), "torch": torch.__version__, "python": platform.python_version()}


def not_finite(x: State) -> list[str]:
    """What is wrong with samples that are not finite numbers, in words; nothing if all are.

    Args:
        x: states, (n, ...).
    """
    finite = [leaf.isfinite().flatten(1).all(1) for leaf in leaves(x) if leaf.is_floating_point()]
    wrong = int((~torch.stack(finite).all(0)).sum()) if finite else 0
    return [f"{wrong} of {batch_size_of(x)} samples are not finite numbers (NaN or ±∞)"] if wrong else []


_SCHEMA = {
    "model": {"domain": str, "name": str, "config": dict, "facts": dict, "weights": str},
    **RECORD,
    "created": str,
    "versions?": {str: str},
    "files": {str: str},
}
"""What a manifest says; what else stands there is not read."""


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder of samples; InputError if it is not one, or they are not all there."""
    require_finished(folder)
    path = own(folder, MANIFEST)
    manifest = read_json(path, "the manifest of a folder of samples", _SCHEMA, limit=LISTING)
    require_one_each(manifest, path)
    return manifest


def read_samples(folder: Path | str, *, allow_code: bool | str | Path = False, unfinished: bool = False) -> Samples:
    """Samples from the folder that `save` wrote.

    InputError if a file has changed since, or the folder needs code that is not allowed; or if they are not all there
    yet, which it says.

    Args:
        folder: of the samples.
        allow_code: see `load`.
        unfinished: of a folder that is not finished read what is there.
    """
    folder = Path(folder)
    if unfinished and is_unfinished(folder):
        from .storage.keeping import read_unfinished

        return read_unfinished(part_of(folder), allow_code)
    manifest, where = read_manifest(folder), folder / MANIFEST
    this, origin = origin_in(manifest, where, allow_code)
    for name in altered(folder, manifest):
        raise InputError(f"{folder / name}: changed since the manifest was written")
    x, condition = this.read(folder, manifest)
    if batch_size_of(x) != manifest["n"]:
        raise InputError(f"{where}: n is {manifest['n']}, but its files hold {batch_size_of(x)} samples")
    return replace(of_record(manifest, x, condition, where), origin=origin, settings=renewed(manifest))


def origin_in(manifest: Mapping[str, Any], where: Path, allow_code: bool | str | Path = False) -> tuple[Task, Origin]:
    """The domain that a manifest names, and the model; InputError if it is not what the domain expects.

    Args:
        where: the manifest is.
        allow_code: see `load`.
    """
    this = task_in(manifest["model"], where)
    require(manifest["model"]["facts"], this.facts, f"{where}: facts")
    config = update(this.config(), manifest["model"]["config"], f"{where}: config")
    require_code(this, manifest["model"]["config"], manifest["model"]["facts"], where, allow_code)
    return this, Origin.from_record({**manifest["model"], "config": to_dict(config)})


def of_record(record: Mapping[str, Any], x: State, condition: Condition, where: Path) -> Samples:
    """The samples of which `Samples.record` was made.

    Args:
        x: their states, (n, ...).
        condition: what each was given.
        where: the record stands, for the error.
    """
    family = record.get("family")
    return Samples(
        x,
        condition,
        nfe=record["nfe"],
        gradients=record.get("gradients", 0),
        seconds=record["seconds"],
        settings=record["settings"],
        exactness=exactness_of(record.get("exactness"), where),
        genealogy=None if family is None else torch.tensor(family),
        each=record.get("each") or {},
        notes=tuple(record.get("notes") or ()),
        created=record.get("created", ""),
    )


def altered(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """The files of samples that are not those which the manifest was written with; InputError if one is not there.

    Args:
        folder: of the samples.
        manifest: what `read_manifest` gave.
    """
    digests = manifest["files"].items()
    return [name for name, digest in digests if sha256(inside(folder, name, folder / MANIFEST)) != digest]


def native(folder: Path, manifest: Mapping[str, Any], name: str) -> Path:
    """A file of samples, which the manifest must name; InputError if it does not.

    Args:
        folder: of the samples.
        manifest: what `read_manifest` gave.
        name: of the file.
    """
    if name not in manifest["files"]:
        raise InputError(f"{folder / MANIFEST}: field files does not name {name!r}, which holds the samples")
    return inside(folder, name, folder / MANIFEST)


def task_in(meta: Mapping[str, Any], path: Path) -> Task:
    """The domain that a file names; InputError if it is not installed."""
    domain = meta["domain"]
    if domain not in domains():
        raise InputError(f"{path}: of the domain {domain!r}, which is not installed; installed: {', '.join(domains())}")
    return task(domain)


def require_code(
    this: Task, config: Mapping[str, Any], facts: Mapping[str, Any], path: Path, allow_code: bool | str | Path
) -> None:
    """InputError if a file names code that the user neither names nor allows.

    Args:
        this: the domain, which knows the settings that name code.
        config, facts: what the file says.
        path: of the file.
        allow_code: True to run what it names; a path where that is now.
    """
    settings = (values.get(setting) for setting in this.code for values in (config, facts))
    named = [source for source in settings if isinstance(source, str) and code.is_code(source)]
    for source in named:
        if allow_code:
            folders = path.absolute().parents[:4]
            code.allow(source, None if isinstance(allow_code, bool) else Path(allow_code), folders)
    how = "if you trust that file: --allow-code, or --code PATH where it has moved; in Python allow_code=True or PATH"
    code.require_allowed(named, path, how)


def renewed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a manifest, which an older version may have written by their old names."""
    flags = {"--film": "--trajectory", **task(manifest["model"]["domain"]).renamed_flags}
    new = {old.strip("-").replace("-", "_"): name.strip("-").replace("-", "_") for old, name in flags.items()}
    written: dict[str, Any] = manifest["settings"]
    settings = {new.get(name, name): value for name, value in written.items()}
    return settings if "intervals" in settings else {**settings, **_steps_of(settings)}


def _steps_of(settings: Mapping[str, Any]) -> dict[str, int]:
    """The steps and the intervals of settings of an older version, which called the intervals steps."""
    steps, times = settings.get("steps"), settings.get("times")
    if settings.get("exact") == "mcmc" or not isinstance(steps, int) or not isinstance(times, list):
        return {}
    return {"steps": descent(times) if all(map(is_number, times)) else steps, "intervals": steps}
