"""What was claimed of samples by whoever drew them: the record of exactness in their manifest, in sentences.

A record of mcmc says log Z, the share of the mass that may be missing, ESS, k̂ and R̂; one of particles the effective
sizes, the families and the evidence; independent samples claim nothing. Older records say less, and so does this.
"""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

from ...files import number
from ...mcmc.report import percent as at_most
from ...sampling.diagnostics import with_error
from ...tasks.figures import Metric
from .statements import Statement, count, listed, percent, value

TOLERANCE = 0.01
"""The missing share up to which samples are called exact, where the record does not say another."""

_RECORD = "the record"


def kind(record: Mapping[str, Any] | None) -> str:
    """Which way to draw a record of exactness is of: off, particles or mcmc."""
    if record is None:
        return "off"
    return "mcmc" if "k_hat" in record else "particles"


def answer(record: Mapping[str, Any] | None) -> str:
    """How exact the samples are by what was claimed, in words."""
    if record is None:
        return (
            "nothing is claimed about exactness: these are independent samples of the model as guided, and as good as "
            "the model, its guidance and its steps are"
        )
    if kind(record) == "particles":
        return (
            "weighed and resampled to follow the model times what is known, as well as one population of "
            f"{count(value(record, 'particles'), 'particle')} can: log evidence {_with_error(record)}"
        )
    missing, most = value(record, "missing"), value(record, "tolerance")
    most = TOLERANCE if isnan(most) else most
    if isnan(missing):
        return "exact within the errors stated, by its own record, which is too old to say how much could be missing"
    if missing <= most:
        return f"exact within the errors stated: at most {at_most(missing)} of the mass could be missing (95 %)"
    return (
        f"as far as was searched: up to {at_most(missing)} of the mass could be missing (95 %), more than the "
        f"tolerance of {at_most(most)}"
    )


def guides_of(settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the settings of samples say of each guide."""
    found = settings.get("guides")
    return [guide for guide in found if isinstance(guide, Mapping)] if isinstance(found, list) else []


def steps_of(settings: Mapping[str, Any]) -> int:
    """The steps that samples were drawn in; 0 if that is not said."""
    steps = settings.get("steps")
    return steps if isinstance(steps, int) and 0 < steps < 10**9 else 0


def claimed(
    manifest: Mapping[str, Any], scores: Sequence[Metric] = (), card: Sequence[Metric] = ()
) -> Sequence[Statement]:
    """What is said of the samples, with what does not hold by its own words.

    Args:
        manifest: of the samples.
        scores: of their scores.json.
        card: what was measured of the shipped model that they are of.
    """
    record, settings = manifest.get("exactness"), manifest["settings"]
    rows = {"off": _independent, "particles": _of_particles, "mcmc": _of_mcmc}[kind(record)](record or {}, settings)
    found = [Statement(text, _RECORD) for text in rows if text] + _warnings(record or {})
    if scores:
        found.append(Statement(f"Scored by its field: {listed(scores)}.", "scores.json"))
    if card:
        found.append(Statement(f"The model, on its card: {listed(card)}.", "card of the model"))
    return found


def _warnings(record: Mapping[str, Any]) -> list[Statement]:
    """Where the record itself says that the samples are not to be trusted."""
    concerns = record.get("concerns") or ()
    said = [f"The record itself warns: {'; '.join(concerns)}"] if concerns else []
    if kind(record) == "particles" and record:
        least = min(number(share) for share in record["ess"]) * value(record, "particles")
        if record["families"] < 5 or least < 3:  # as sampling.diagnostics.Exactness.collapsed
            said.append(f"The population collapsed: {record['families']} families, effective size down to {least:.2g}")
    return [Statement(text, _RECORD, holds=False) for text in said]


def _independent(record: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    steps = steps_of(settings)
    walked = f" in {count(steps, 'step')}" if steps else ""
    guides = len(guides_of(settings))
    guided = f", with {count(guides, 'guide')}" if guides else ", without guidance"
    return [f"Independent samples, each drawn by itself{walked}{guided}; no figure of exactness is given."]


def _of_particles(record: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    ess = [number(share) for share in record["ess"]]
    return [
        f"{count(value(record, 'particles'), 'particle')}, weighed at each of {count(len(ess), 'step')} and resampled "
        f"{count(record['resampled'], 'time')}; the effective size never fell below {percent(min(ess))}.",
        f"{count(record['families'], 'first particle')} left descendants at the end.",
        f"Log evidence {_with_error(record)} nats.",
    ]


def _of_mcmc(record: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    return [_log_z(record), _weights(record), _samples(record), _cost(record)]


def _log_z(record: Mapping[str, Any]) -> str:
    low, high, check = (value(record, name) for name in ("low", "high", "check"))
    between = "" if isnan(low) or isnan(high) else f", between {low:.3f} and {high:.3f} at 95 %"
    alone = "" if isnan(check) else f"; the search alone finds {with_error(check, value(record, 'check_error'))}"
    return f"log Z {_with_error(record)} nats{between}{alone}."


def _weights(record: Mapping[str, Any]) -> str:
    ess, uncovered = value(record, "ess"), value(record, "uncovered")
    weights = "" if isnan(ess) else f"; their weights are worth {percent(ess)} of them, k̂ {value(record, 'k_hat'):.2f}"
    lacking = "" if isnan(uncovered) else f"; they do not reach {percent(uncovered)} of the mass"
    return f"By {record['method']}, from {count(record['proposals'], 'draw')} of the model{weights}{lacking}."


def _samples(record: Mapping[str, Any]) -> str:
    sources, jumps = value(record, "sources"), value(record, "jumps")
    worth = "" if isnan(sources) else f"Worth {count(sources, 'independent draw')}. "
    jumped = "" if isnan(jumps) else f", of jumps to fresh draws {percent(jumps)}"
    r_hat = value(record, "r_hat")
    groups = "" if isnan(r_hat) else f"; R̂ of groups {r_hat:.3f}"
    return (
        f"{worth}Moves accepted {percent(value(record, 'acceptance'))}{jumped}{groups}; under them the mean energy "
        f"drifts by {value(record, 'drift'):+.1f} standard errors."
    )


def _cost(record: Mapping[str, Any]) -> str:
    budget = record.get("budget")
    return (
        f"{count(record['gradients'] + record['values'], 'evaluation')} of the energy, {record['gradients']:,} with "
        f"gradient{f'; asked for: {budget}' if budget else ''}."
    )


def _with_error(record: Mapping[str, Any]) -> str:
    return with_error(value(record, "log_evidence"), value(record, "error"))
