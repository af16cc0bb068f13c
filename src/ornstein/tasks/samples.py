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
from ..errors import InputError, SamplingError
from ..escaping import html, printable
from ..files import MB, NUMBER, Within, inside, own, read_json, require, sha256, write_json
from ..guidance.values import as_numbers, is_number, require_finite
from ..locks import beside
from ..mcmc.report import MCMCReport
from ..sampling.diagnostics import Exactness, errors_of_means, interval
from ..states import State, leaves, take
from ..states import batch_size as batch_size_of
from .registry import domains, task
from .task import Task

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
        figures = task(self.origin.domain).figures(self) if self.origin else []
        return f"<p>{html(repr(self))}</p>" + "".join(figure.html() for figure in figures)

    def save(self, folder: Path | str) -> Path:
        """Writes native files and manifest.json into a new folder, which appears whole or not at all.

        InputError if it exists already; SamplingError for samples that are not finite.
        """
        folder = Path(folder)
        if self.origin is None:
            raise InputError("only samples of a trained model know their field's format; these are yours to write")
        require_absent(folder)
        for wrong in not_finite(self.x):
            raise SamplingError(f"{folder}: {wrong}; nothing was saved. Guidance or a measurement may be too strong")
        with beside(folder) as work:
            task(self.origin.domain).write(self, work)
            write_json(work / MANIFEST, self._manifest(work))
            work.rename(folder)
        return folder

    def _manifest(self, work: Path) -> dict[str, Any]:
        return {
            **self.record(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "files": {str(file.relative_to(work)): sha256(file) for file in sorted(work.rglob("*")) if file.is_file()},
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


def require_absent(folder: Path) -> None:
    """InputError if the folder is already there: nobody's results are written over."""
    if folder.exists():
        raise InputError(f"{folder}: exists already; choose another folder or remove it")


_EXACTNESS = {
    "method": str,
    "particles": int,
    "ess": [(*NUMBER, None)],
    "resampled": int,
    "families": int,
    "log_evidence": (*NUMBER, None),
    "error": (*NUMBER, None),
    "missing?": (*NUMBER, None),
}
_REPORT = {
    "method": str,
    **dict.fromkeys(("proposals", "gradients", "values", "divergences?"), int),
    **dict.fromkeys(("ess", "k_hat", "acceptance", "drift", "r_hat", "log_evidence", "error"), (*NUMBER, None)),
    **dict.fromkeys(("jumps", "check", "check_error"), (float, None)),
    **dict.fromkeys(
        ("uncovered?", "low?", "high?", "missing?", "tolerance?", "families?", "sources?"), (*NUMBER, None)
    ),
    "budget?": (str, None),
    "concerns": [str],
    "notes": [str],
}
_SCHEMA = {
    "model": {"domain": str, "name": str, "config": dict, "facts": dict, "weights": str},
    "settings": {"first?": Within(int, 0, 10**15)},
    "n": Within(int, 1, 10**9),
    "nfe": float,
    "gradients?": float,
    "seconds": float,
    "exactness?": dict,
    "family?": [Within(int, 0, 10**9)],
    "each?": {str: list},
    "notes?": [str],
    "created": str,
    "versions?": {str: str},
    "files": {str: str},
}
"""What a manifest says; what else stands there is not read."""


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder of samples; InputError if it is not one."""
    path = own(folder, MANIFEST)
    manifest = read_json(path, "the manifest of a folder of samples", _SCHEMA, limit=64 * MB)
    for name, values in {"family": manifest.get("family"), **(manifest.get("each") or {})}.items():
        if values is not None and len(values) != manifest["n"]:
            raise InputError(f"{path}: field {name} has {len(values)} values, expected one for each of n samples")
    return manifest


def read_samples(folder: Path | str, *, allow_code: bool | str | Path = False) -> Samples:
    """Samples from the folder that `save` wrote.

    InputError if a file has changed since, or the folder needs code that is not allowed.

    Args:
        allow_code: see `load`.
    """
    folder = Path(folder)
    manifest, where = read_manifest(folder), folder / MANIFEST
    this = task_in(manifest["model"], where)
    require(manifest["model"]["facts"], this.facts, f"{where}: facts")
    config = update(this.config(), manifest["model"]["config"], f"{where}: config")
    require_code(this, manifest["model"]["config"], manifest["model"]["facts"], where, allow_code)
    for name in altered(folder, manifest):
        raise InputError(f"{folder / name}: changed since the manifest was written")
    origin = Origin.from_record({**manifest["model"], "config": to_dict(config)})
    x, condition = this.read(folder, manifest)
    if batch_size_of(x) != manifest["n"]:
        raise InputError(f"{where}: n is {manifest['n']}, but its files hold {batch_size_of(x)} samples")
    family = manifest.get("family")
    return Samples(
        x,
        condition,
        origin,
        nfe=manifest["nfe"],
        gradients=manifest.get("gradients", 0),
        seconds=manifest["seconds"],
        settings=_renewed(manifest),
        exactness=exactness_of(manifest.get("exactness"), where),
        genealogy=None if family is None else torch.tensor(family),
        each=manifest.get("each") or {},
        notes=tuple(manifest.get("notes") or ()),
        created=manifest["created"],
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


def exactness_of(record: Mapping[str, Any] | None, where: object = "exactness") -> Exactness | MCMCReport | None:
    """What was measured about exactness, as the object that it was; InputError if it is none.

    Args:
        where: the record stands, for the error.
    """
    if record is None:
        return None
    kind, schema = (MCMCReport, _REPORT) if "k_hat" in record else (Exactness, _EXACTNESS)
    require(record, schema, f"{where}: field exactness")
    if kind is Exactness and not record["ess"]:
        raise InputError(f"{where}: field exactness: field ess is empty, expected one number a step")
    return kind.from_record(record)


def _renewed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a manifest, which an older version may have written by their old names."""
    flags = {"--film": "--trajectory", **task(manifest["model"]["domain"]).renamed_flags}
    new = {old.strip("-").replace("-", "_"): name.strip("-").replace("-", "_") for old, name in flags.items()}
    settings: dict[str, Any] = manifest["settings"]
    return {new.get(name, name): value for name, value in settings.items()}
