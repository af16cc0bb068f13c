"""What could still be wrong with samples, in words with numbers: the largest of it first.

No test of the samples excludes these: modes that nobody has found, what guidance and steps leave undone, what the model
never learned, figures that are quoted, and what the user alone knows.
"""

from collections.abc import Mapping, Sequence
from math import hypot, isfinite, isnan, log1p
from typing import Any

from ...files import number
from ...mcmc.report import percent as at_most
from ..settings import phrase
from .claims import guides_of, kind, steps_of
from .statements import Statement, count, percent, value

FEW = 100
"""Samples below which every share is known to a tenth or so only."""


def of_record(manifest: Mapping[str, Any], independent: float) -> list[Statement]:
    """What the way to draw leaves open.

    Args:
        manifest: of the samples.
        independent: how many independent samples they are worth, as far as is known.
    """
    record, settings = manifest.get("exactness"), manifest["settings"]
    told = {"off": _of_independent, "particles": _of_particles, "mcmc": _of_mcmc}[kind(record)]
    said = [*told(record or {}, settings), *_few(independent)]
    notes = [*((record or {}).get("notes") or ()), *(manifest.get("notes") or ())]
    return [*said, *(Statement(f"Noted while they were drawn: {note}", "the record") for note in notes)]


def _few(independent: float) -> list[Statement]:
    if independent >= FEW:
        return []
    error = 0.5 / max(independent, 1.0) ** 0.5
    said = f"Worth {count(independent, 'independent sample')}: a share of one half is known to ± {error:.2g}."
    return [Statement(said, "their number")]


# By the way to draw -----------------------------------------------------------------------------------


def _of_independent(record: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Statement]:
    guides = guides_of(settings)
    said = [text for text in (_factors(guides), _targets(guides), _scales(guides)) if text]
    return [*(Statement(text, "how they were drawn") for text in said), *_steps(settings)]


def _factors(guides: Sequence[Mapping[str, Any]]) -> str:
    names = dict.fromkeys(str(guide["factor"]) for guide in guides if "factor" in guide)
    if not names:
        return ""
    return (
        f"Guidance by {', '.join(names)} is approximate, how far off was not measured: --exact particles corrects it."
    )


def _targets(guides: Sequence[Mapping[str, Any]]) -> str:
    if not any("target" in guide for guide in guides):
        return ""
    return "They are proposals: they follow the model, which only resembles exp(−E); --exact mcmc corrects them."


def _scales(guides: Sequence[Mapping[str, Any]]) -> str:
    scales = [phrase(guide["scale"]) for guide in guides if guide.get("scale", 1) != 1]
    if not scales:
        return ""
    return f"Guidance at scale {', '.join(scales)} sharpens what was asked for: they follow no stated distribution."


def _steps(settings: Mapping[str, Any]) -> list[Statement]:
    steps = steps_of(settings)
    if not steps:
        return []
    said = f"Steps: the error of taking {steps} was not measured; the same with --steps {2 * steps} shows it."
    return [Statement(said, "how they were drawn")]


def _of_particles(record: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Statement]:
    steps, particles = len(record["ess"]), value(record, "particles")
    said = [
        f"One population: its error of {value(record, 'error'):.3f} nats is its own estimate, and modes that none of "
        f"{count(particles, 'particle')} reached are missing without a trace; runs with other seeds show both.",
        f"The weights correct guidance, not the model: its fit, and its {count(steps, 'step')}, are taken as given.",
    ]
    if min(map(number, record["ess"])) > 0.9995:
        said.insert(0, "All weights were equal: nothing was weighed, and all rests on the model as it was guided.")
    return [Statement(text, "how they were drawn") for text in said]


def _of_mcmc(record: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Statement]:
    blind = "A lost mode passes every test of the samples: these hold in each mode by itself."
    units = "E is taken to be in units of kT: in other units, or at another temperature, the distribution is another."
    return [
        Statement(_missing(record), "the record"),
        *(Statement(text, "the record") for text in (_uncovered(record), _checked(record)) if text),
        Statement(blind, "the tests above"),
        Statement(units, "nothing in the files"),
    ]


def _missing(record: Mapping[str, Any]) -> str:
    missing, families, high = (value(record, name) for name in ("missing", "families", "high"))
    searched = not isnan(value(record, "check"))
    if isnan(missing):
        said = "The record is older than the measure of what could be missing: no share of the mass is excluded"
        return f"{said}." if searched else f"{said}, and nothing searched for modes that the draws lack."
    if missing >= 1 or not families > 0:
        return "Nothing searched for modes that the draws lack: any share of the mass could be missing."
    log_z = f"as high as {high:.3f}" if isfinite(high) else f"{-log1p(-missing):.3f} higher"
    return (
        f"Up to {at_most(missing)} of the mass could be missing (95 %), in modes that neither the draws nor a search "
        f"by {count(families, 'family')} found: log Z may be {log_z}, and a share off by {missing:.2g}."
    )


def _uncovered(record: Mapping[str, Any]) -> str:
    uncovered = value(record, "uncovered")
    if not uncovered > 0.005:
        return ""
    return f"In {percent(uncovered)} of the mass, which the model's draws do not reach, all rests on the search."


def _checked(record: Mapping[str, Any]) -> str:
    log_z, error, check, other = (value(record, name) for name in ("log_evidence", "error", "check", "check_error"))
    spread = hypot(error, other)
    if not abs(check - log_z) > 2 * spread:
        return ""
    return (
        f"log Z and that of the search alone differ by {abs(check - log_z) / max(spread, 1e-12):.1f} standard errors."
    )


# Whatever the way to draw -----------------------------------------------------------------------------


def of_copies(copies: int) -> list[Statement]:
    """Samples that are copies of others, if there are any."""
    if not copies:
        return []
    said = f"{count(copies, 'sample')} repeat others: statistics that take all of them as independent are too sure."
    return [Statement(said, "computed now")]


def of_circumstances(
    manifest: Mapping[str, Any], quoted: Sequence[str], here: Mapping[str, str], carded: bool
) -> list[Statement]:
    """What holds of any samples: the seed, the figures that are quoted, the versions.

    Args:
        manifest: of the samples.
        quoted: names of figures that were not measured anew.
        here: the versions of the packages that this report was made with.
        carded: whether a card says how well the model fits its data.
    """
    settings, then = manifest["settings"], manifest.get("versions") or {}
    changed = [f"{name} {then[name]}, here {now}" for name, now in here.items() if then.get(name, now) != now]
    seed, modelled = settings.get("seed"), not carded and kind(manifest.get("exactness")) != "mcmc"
    said = {
        "How well the model fits its data is on no card here: the samples lack what it lacks.": ("model", modelled),
        f"Quoted, not measured anew: {', '.join(quoted)}.": ("record and scores", bool(quoted)),
        f"All is of one seed, {seed}: how much a result depends on it shows with another.": (
            "how they were drawn",
            isinstance(seed, int),
        ),
        f"Drawn with {'; '.join(changed)}: bits, and some figures, may differ.": ("versions", bool(changed)),
    }
    return [Statement(text, basis) for text, (basis, holds) in said.items() if holds]
