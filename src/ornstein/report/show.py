"""`ornstein show`: what a folder or a model is, in words and as report.html."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from ..config import nearest
from ..denoisers.base import Origin
from ..errors import InputError
from ..files import write_text
from ..tasks import runs
from ..tasks.figures import Chapter, Figure, Interactive
from ..tasks.registry import task
from ..tasks.samples import MANIFEST, read_samples
from ..tasks.scores import latest_metrics
from ..tasks.storage import reading
from ..tasks.storage.unfinished import counted, is_unfinished, part_of, read_members
from ..text.escaping import html, printable
from ..training.metrics import read_metrics
from . import plots
from .page import page, verdict
from .settings import in_words
from .terminal import metric_table, pairs_table

_LOSSES = "Curves against the step: the loss of the training, and that of the averaged weights on validation data"


def show(path: str, allow_code: bool | Path = False) -> Sequence[Any]:
    """What rich should print about a folder of samples, a run folder or a model; writes report.html for a folder.

    Args:
        path: the folder, or a shipped model's name.
        allow_code: see `ornstein.load`.
    """
    reading.require_here(path)
    folder = Path(path)
    if (folder / MANIFEST).is_file():
        return _show_samples(folder, allow_code)
    if is_unfinished(folder):
        return [_show_unfinished(folder)]
    if (folder / "metrics.jsonl").is_file():
        return _show_run(folder)
    known = runs.shipped() | runs.shipped("regressor")
    if path in known:
        return _show_model(path, known[path])
    near = nearest(path, list(known))
    raise InputError(f"{path}: neither samples ({MANIFEST}), nor a run (metrics.jsonl), nor a shipped model{near}")


def _show_samples(folder: Path, allow_code: bool | Path) -> Sequence[Any]:
    reading.Folder(folder, allow_code).require_room()
    samples = read_samples(folder, allow_code=allow_code)
    assert samples.origin is not None
    metrics = latest_metrics(folder)
    this, model = task(samples.origin.domain), f"{samples.origin.domain}/{samples.origin.name}"
    rows = [
        ("model", model),
        ("weights", samples.origin.weights[:16]),
        ("samples", str(len(samples))),
        ("network evaluations", f"{samples.nfe:g} a sample"),
        ("gradients of the network", f"{samples.gradients:g} a sample"),
        ("seconds", f"{samples.seconds:.2f}"),
        *in_words(called(samples.origin), len(samples), samples.settings, this.request_type()),
        ("created", samples.created),
    ]
    exact = samples.exactness
    facts = [*(exact.rows() if exact else []), *rows]
    figures = [*this.figures(samples)]
    chapter = Chapter("Samples", "", [*figures, *films(folder, figures)], metrics, facts=facts)
    told = verdict(exact.verdict if exact else replace(samples, notes=()).verdict, exact and exact.holds)
    report = _write(folder, chapter, told + "".join(f"<p>{html(note)}</p>" for note in samples.notes))
    table = pairs_table([("exactness", samples.verdict), *rows], str(folder))
    return [table, *([metric_table(metrics, "scores")] if metrics else []), report]


def _show_unfinished(folder: Path) -> Table:
    """How many samples are there, and what is drawn: they can be read, but are not judged before all are there."""
    part = part_of(folder)
    said = read_members(part)
    model = f"{said['model']['domain']}/{said['model']['name']}"
    rows = [("not finished", counted(said)), ("model", model), ("weights", said["model"]["weights"][:16])]
    rows += [(name, str(value)) for name, value in said["drawn"].items() if name not in ("model", "weights")]
    return pairs_table(rows, str(part))


def called(origin: Origin) -> str:
    """What stands for a model in a command: its name if it is the shipped one, else the run that it came from."""
    shipped = runs.shipped_folder(origin.domain, origin.name, origin.weights)
    return f"{origin.domain}/{origin.name}" if shipped else "RUN"


def films(folder: Path, shown: Sequence[Figure | Interactive]) -> list[Figure]:
    """The moving pictures in a folder of samples that are not shown yet: the way there is kept nowhere else.

    A figure that is shown may differ a little from its file, figure-K, since samples are read from rounded numbers.
    """
    paths = (path for path in sorted(folder.glob("*.gif")) if path.is_file() and not path.is_symlink())
    numbered = {f"figure-{k}.gif" for k in range(len(shown))}
    known = [figure.image for figure in shown if isinstance(figure, Figure)]
    films = ((path.name, path.read_bytes()) for path in paths)
    alt = "Noise that becomes samples, step by step"
    return [
        Figure(film, f"From noise to samples ({name})", "gif", alt=alt)
        for name, film in films
        if film not in known and name not in numbered
    ]


def _show_run(folder: Path) -> Sequence[Any]:
    metrics = read_metrics(folder / "metrics.jsonl")
    if not metrics:
        raise InputError(f"{folder / 'metrics.jsonl'}: no finished row yet")
    validated = [row for row in metrics if "validation" in row]
    lines = {"training": _line(metrics, "loss"), "validation (average)": _line(validated, "validation")}
    rows = [(name, f"{value:.5g}") for name, value in metrics[-1].items()]
    figure = Figure(plots.curves(lines, "step", "loss", "y"), "Loss while training", "svg+xml", 520, _LOSSES)
    report = _write(folder, Chapter("Training run", "", [figure], facts=rows))
    return [pairs_table(rows, f"{folder}: last row of metrics.jsonl"), report]


def _show_model(name: str, folder: Path) -> Sequence[Any]:
    card = folder / "card.md"
    metrics = latest_metrics(folder)
    return [
        Text(printable(card.read_text() if card.exists() else name)),
        *([metric_table(metrics, "measured")] if metrics else []),
    ]


def _line(rows: list[dict[str, Any]], name: str) -> tuple[list[float], list[float]]:
    return [row["step"] for row in rows], [row[name] for row in rows]


def _write(folder: Path, chapter: Chapter, top: str = "") -> Text:
    write_text(folder / "report.html", page(str(folder.name), "", [chapter], top=top))
    return Text(printable(folder / "report.html"))
