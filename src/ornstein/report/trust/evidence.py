"""What a trust report is made from: the manifest, the samples, and what is at hand to compare them with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...files import sha256
from ...tasks import runs
from ...tasks.evaluating import with_data
from ...tasks.figures import Metric
from ...tasks.registry import task
from ...tasks.samples import MANIFEST, Samples, altered, read_manifest, read_samples
from ...tasks.scores import latest_metrics
from ...tasks.storage import reading
from ...tasks.storage.records import exactness_of
from ..settings import in_words
from .statements import COLUMNS, Statement, clipped, count


@dataclass(frozen=True)
class Evidence:
    """All that a report is made from; nothing else is looked at.

    Attributes:
        title: of the samples.
        manifest: of their folder, or `Samples.record` of samples that were never saved.
        samples: None where the files are not those that the manifest is of.
        files: what was found of the files.
        weights: what was found of the model's weights; None if they are not at hand.
        command: that draws the samples again; "" if that is not known.
        scores: of scores.json.
        card: what was measured of the shipped model, if it is one.
        again: what the field has measured now.
        untested: why it has measured nothing, in words.
    """

    title: str
    manifest: Mapping[str, Any]
    samples: Samples | None
    files: Statement | None = None
    weights: Statement | None = None
    command: str = ""
    scores: Sequence[Metric] = ()
    card: Sequence[Metric] = ()
    again: Sequence[Metric] = ()
    untested: str = ""


def of_samples(samples: Samples, model: Path | str | None, data: str | None) -> Evidence:
    """The evidence on samples that were just drawn; see `trust` for the arguments."""
    return _with_model("samples that are in no folder", samples.record(), samples, None, (), model, data)


def of_folder(folder: Path, model: Path | str | None, data: str | None, allow_code: bool | str | Path) -> Evidence:
    """The evidence on a folder of samples; InputError if it is none. See `trust` for the arguments."""
    manifest = read_manifest(folder)
    exactness_of(manifest.get("exactness"), folder / MANIFEST)
    if changed := altered(folder, manifest):
        said = f"{clipped(', '.join(changed), 120)}: changed since the manifest was written, and not tested any further"
        return Evidence(str(folder), manifest, None, Statement(f"{said}.", "SHA-256", False))
    reading.Folder(folder, allow_code).require_room()
    samples = read_samples(folder, allow_code=allow_code)
    manifest = {**manifest, "settings": samples.settings}  # old ones by their new names
    whole = f"Unchanged since the manifest was written: {count(len(manifest['files']), 'file')}."
    files = Statement(whole, "SHA-256", True)
    return _with_model(str(folder), manifest, samples, files, latest_metrics(folder), model, data)


def _with_model(
    title: str,
    manifest: Mapping[str, Any],
    samples: Samples,
    files: Statement | None,
    scores: Sequence[Metric],
    model: Path | str | None,
    data: str | None,
) -> Evidence:
    """The evidence, with what the model and its domain add to it."""
    origin = samples.origin
    if origin is None:
        return Evidence(title, manifest, samples, files, None, scores=scores)
    this, folder = task(origin.domain), runs.shipped_folder(origin.domain, origin.name, origin.weights)
    name = f"{origin.domain}/{origin.name}" if folder else "RUN"
    again, untested = [], ""
    try:
        again = this.retest(with_data(samples, this, data, title))
    except InputError as error:
        untested = str(error)
    return Evidence(
        title,
        manifest,
        samples,
        files,
        _weights(origin.weights, name if folder else None, model),
        clipped(in_words(name, len(samples), samples.settings, this.request_type())[0][1], 2 * COLUMNS),
        scores,
        latest_metrics(folder) if folder else [],
        again,
        untested,
    )


def _weights(recorded: str, shipped: str | None, named: Path | str | None) -> Statement | None:
    """Whether the model's weights are those that are recorded, where they are at hand."""
    if named is None:
        said = f"The weights are those of the shipped {shipped} ({recorded[:12]})."
        return Statement(said, "SHA-256", True) if shipped else None
    same = sha256(runs.locate(named)) == recorded
    said = f"The weights recorded ({recorded[:12]}) are{'' if same else ' not'} those of {named}."
    return Statement(said, "SHA-256", same)
