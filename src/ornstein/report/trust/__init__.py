"""`ornstein trust`: what was claimed of samples, what holds when it is tested anew, and what could still be wrong.

    evidence.py   what there is: the manifest, the samples, scores.json, the model's weights and card
    claims.py     what was claimed
    retests.py    what can be tested from the files alone
    doubts.py     what neither excludes
    page.py       the report on a terminal, and as one page

It takes samples of any way to draw, of any domain and of any age, and computes for seconds. What does not hold, and
what the record itself warns of, is said first.
"""

from math import isnan
from pathlib import Path

from ...tasks.samples import Samples, versions
from ...tasks.storage.reading import require_here
from . import doubts, retests
from .claims import answer, claimed, kind
from .evidence import Evidence, of_folder, of_samples
from .statements import COLUMNS, Statement, TrustReport, clipped, count, value

__all__ = ["Evidence", "Statement", "TrustReport", "assess", "trust"]


def trust(
    samples: Samples | Path | str,
    *,
    model: Path | str | None = None,
    data: str | None = None,
    allow_code: bool | str | Path = False,
) -> TrustReport:
    """What was claimed of samples, what holds when it is tested anew, and what could still be wrong: one page.

    Args:
        samples: a folder of samples, or samples that were just drawn.
        model: the run folder, file or shipped model that they are said to be of, whose weights are compared.
        data: the file or folder that the model learned from, if it was one of yours; see `evaluate`.
        allow_code: see `load`.

    InputError if it is no such folder, or needs code that is not allowed.
    """
    if isinstance(samples, Samples):
        return assess(of_samples(samples, model, data))
    require_here(samples)
    return assess(of_folder(Path(samples), model, data, allow_code))


def assess(evidence: Evidence) -> TrustReport:
    """The report on samples from all that is known of them: a function of the evidence alone."""
    manifest = evidence.manifest
    return TrustReport(
        evidence.title,
        _made(evidence),
        evidence.command,
        answer(manifest.get("exactness")),
        claimed(manifest, evidence.scores, evidence.card),
        _tested(evidence),
        _doubts(evidence),
    )


def _made(evidence: Evidence) -> str:
    """How many samples of what, and when they were drawn with what."""
    manifest = evidence.manifest
    model, then, created = manifest["model"], manifest.get("versions") or {}, manifest.get("created")
    of = f"{model['domain']}/{model['name']}" if model else "a denoiser of your own"
    parts = [
        f"{count(manifest['n'], 'sample')} of {of}",
        f"exact = {kind(manifest.get('exactness'))}",
        f"{manifest['nfe']:g} network evaluations each",
        *([f"drawn {created[:10]}"] if created else []),
        *([f"ornstein {then['ornstein']}"] if "ornstein" in then else []),
    ]
    return clipped(", ".join(parts), 2 * COLUMNS)


def _independent(evidence: Evidence) -> float:
    """How many independent samples they are worth, by genealogy or record; their number where neither says."""
    samples, n = evidence.samples, evidence.manifest["n"]
    if samples is not None and samples.genealogy is not None:
        return retests.effective_families(samples.genealogy)
    sources = value(evidence.manifest.get("exactness") or {}, "sources")
    return n if isnan(sources) else min(n, sources)


def _tested(evidence: Evidence) -> list[Statement]:
    samples, record = evidence.samples, evidence.manifest.get("exactness")
    said: list[Statement | None] = []
    if samples is not None:
        known = kind(record) == "particles" or not isnan(value(record or {}, "sources"))
        said += [
            *retests.figures(evidence.again, evidence.scores, claims=record is not None),
            retests.families(samples, record),
            retests.groups(samples, _independent(evidence), claims=known),
            retests.sound(samples),
        ]
    return [one for one in (*said, retests.consistency(record), evidence.weights, evidence.files) if one]


def _doubts(evidence: Evidence) -> list[Statement]:
    samples, manifest = evidence.samples, evidence.manifest
    said = doubts.of_record(manifest, _independent(evidence))
    if samples is not None:
        said += doubts.of_copies(retests.copies(samples))
    if evidence.untested:
        said.append(Statement(f"The field's own figures were not measured anew: {evidence.untested}", "computed now"))
    if manifest["model"] and not evidence.weights:
        text = f"The model's weights ({manifest['model']['weights'][:12]}) are not at hand: --model PATH compares them."
        said.append(Statement(text, "the record"))
    return [*said, *doubts.of_circumstances(manifest, _quoted(evidence), versions(), bool(evidence.card))]


_FIGURES = {
    "off": {},
    "particles": {"log_evidence": "log evidence", "particles": "effective sizes"},
    "mcmc": {"log_evidence": "log Z", "ess": "ESS", "k_hat": "k̂", "drift": "drift", "missing": "the missing share"},
}
"""What a record claims that the files alone do not show, and what it is called."""


def _quoted(evidence: Evidence) -> list[str]:
    """The names of figures that were claimed and not measured anew."""
    record, again = evidence.manifest.get("exactness") or {}, {metric.name for metric in evidence.again}
    claims = [name for field, name in _FIGURES[kind(record or None)].items() if not isnan(value(record, field))]
    scores = [metric.name for metric in evidence.scores if metric.name not in again]
    return list(dict.fromkeys([*claims, *scores]))
