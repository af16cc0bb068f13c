"""What a notebook shows of samples, models and trust reports: how exact first, then numbers, then figures."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..denoisers.base import Denoiser, Guided, NeuralDenoiser, guide_in_short, in_short
from ..errors import InputError
from ..tasks import runs
from ..tasks.figures import Figure, Interactive, Metric
from ..tasks.registry import domains, task
from ..tasks.samples import Samples
from ..tasks.scores import latest_metrics
from ..text import markup

if TYPE_CHECKING:
    from .trust.statements import Statement, TrustReport

_SCORES = 6  # of a model's card that are shown


def of_samples(samples: Samples) -> str:
    """How exact they are, where they come from, and what their domain shows of them."""
    exact = samples.exactness
    told = exact.verdict if exact else replace(samples, notes=()).verdict
    measured = exact.rows() if exact is not None else []
    noted = [("note", note) for note in samples.notes]
    rows = [
        *measured,
        *noted,
        ("model", _named(samples)),
        ("samples", f"{len(samples):,}, numbered from {samples.first}"),
        ("network evaluations", f"{samples.nfe:g} a sample"),
        *([("gradients of the network", f"{samples.gradients:g} a sample")] if samples.gradients else []),
        ("seconds", f"{samples.seconds:.2f}"),
    ]
    said = markup.boxed(markup.verdict(told, exact and exact.holds), markup.pairs(rows))
    return said + "".join(figure.html() for figure in _figures(samples))


def _named(samples: Samples) -> str:
    return f"{samples.origin.domain}/{samples.origin.name}" if samples.origin else "a denoiser of your own"


def _figures(samples: Samples) -> Sequence[Figure | Interactive]:
    return task(samples.origin.domain).figures(samples) if samples.origin else []


def of_model(model: Denoiser) -> str:
    """What it draws, what guides it, its weights, the scores of its card, and how to draw with it."""
    core: Any = model
    while isinstance(core, Guided):
        core = core.denoiser
    rows: list[tuple[str, object]] = [("states", in_short(model.space))]
    rows += [("guided by", " & ".join(map(guide_in_short, model.provenance)))] if model.provenance else []
    if isinstance(core, NeuralDenoiser):
        rows += _network(core)
    title = f"{model.origin.domain}/{model.origin.name}" if model.origin else type(model).__name__
    example = markup.line("ornstein.sample(model, 16, seed=0)")
    return markup.boxed(markup.heading(title), markup.pairs([*_drawn(model), *rows]), *_card(model), example)


def _network(model: NeuralDenoiser) -> list[tuple[str, object]]:
    parameters = sum(weight.numel() for weight in model.network.parameters())
    said = ", ".join(sorted(model.unconditional)) or "nothing"
    rows: list[tuple[str, object]] = [("parameters", f"{parameters:,} on {model.device}"), ("can be told", said)]
    planned = ", ".join(map(str, sorted(model.grids)))
    rows += [("grids planned for", f"{planned} steps")] if planned else []
    return rows + ([("weights", f"SHA-256 {model.origin.weights[:16]}")] if model.origin else [])


def _drawn(model: Denoiser) -> list[tuple[str, object]]:
    """What the domain draws, if it is installed."""
    if model.origin is None or model.origin.domain not in domains():
        return []
    try:
        return [("draws", task(model.origin.domain).summary)]
    except InputError as error:
        return [("domain", f"cannot be loaded: {error}")]


def _card(model: Denoiser) -> list[str]:
    """Scores of a shipped model, as it is without guides; nothing for other models."""
    origin = model.origin
    folder = runs.shipped_folder(origin.domain, origin.name, origin.weights) if origin else None
    if folder is None:
        return []
    metrics = latest_metrics(folder)[:_SCORES]
    return [scores(metrics)] if metrics else []


def scores(metrics: Sequence[Metric]) -> str:
    """Scores beside their yardsticks, as a table."""
    rows = ((f"{one.name} ({one.better} is better)", one.measured, one.yardstick, one.meaning) for one in metrics)
    return markup.columns(("score", "value", "yardstick", "what it means"), rows)


def of_trust(report: "TrustReport") -> str:
    """The verdict, then every statement with what it rests on."""
    sections = (_section(name, statements) for name, statements in report.sections.items())
    head = markup.heading(f"Trust report: {report.title}"), markup.verdict(report.verdict, report.trusted)
    command = [markup.line(report.command)] if report.command else []
    return markup.boxed(*head, markup.pairs([("made", report.made)]), *command, *sections)


def _section(name: str, statements: Sequence["Statement"]) -> str:
    from .trust.statements import mark

    return markup.columns(("", name, "rests on"), ((mark(one), one.text, one.basis) for one in statements))
