"""The calibration report that comes with every model: RUN/calibration/index.html, and its numbers in scores.json.

Once a model is trained, ensembles are drawn for times that validate, on which factors of the spread are fitted (see
recalibration.py), and then for the last times, of which nothing has been seen before. These are judged by variable and
lead, beside baselines that were fitted to what the model has learned from.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ....denoisers.base import NeuralDenoiser
from ....events import Event, Stream, part
from ....files import own, plain, write_json, write_text
from ....report.page import page
from ....tasks.figures import Chapter, Figure
from ....tasks.requests import drawing
from ....text.escaping import html
from .. import baselines, metrics, tables
from ..asked.flags import WeatherRequest
from ..asked.given import given
from ..metrics import Layout, Scores
from . import figures, recalibration
from .drawn import Drawn, ensembles
from .frame import Frame
from .recalibration import Factors

FOLDER, PAGE, SCORES = "calibration", "index.html", "scores.json"
MEMBERS = 20
OURS, DRAWN = "this model", "this model, as drawn"
SHOWN = ("CRPS", "variogram score", "spread / skill", "coverage, 90%", "rank p")
"""Scores that have a table."""
Part = Literal["validation", "test"]
"""Of the times of a training's files."""
_AT_ONCE, _ALL = 1 << 24, 1 << 28
"""Numbers that are drawn at once, and of all members together, at most."""
_PARTS = 10
"""Of the work, for its progress."""


def measured(
    denoiser: NeuralDenoiser,
    folder: Path,
    say: Callable[[str], None],
    times: int = 40,
    members: int = MEMBERS,
    names: Sequence[str] = baselines.NAMES,
    settings: Mapping[str, Any] | None = None,
) -> Stream[Mapping[str, Any]]:
    """Recalibrates a model and writes its report; returns what joins its metadata, {"recalibration": …}.

    Args:
        denoiser: the model.
        folder: of its run.
        say: called with what was found, in words.
        times: for which ensembles are drawn, of those that validate and of the last ones each; 0 = nothing is done.
        members: of each.
        names: of the baselines.
        settings: of the way to draw.
    """
    assert denoiser.origin is not None
    if not times:
        return {}
    options = {"members": members, "times": times, "settings": settings or {}}
    found = yield from part(_recalibrated(denoiser, say, **options), 0, 3, _PARTS)
    part_of: Part = "test" if _there(denoiser, "test") else "validation"
    drawn, frame = yield from part(_drawn(denoiser, part_of, **options), 3, 3, _PARTS)
    if drawn.truths is None or np.isnan(drawn.truths).all():
        say("no calibration report: of the times that it would be judged on, no truth is known")
        return _metadata(found)
    asked = request(denoiser.origin.metadata, part_of, members, times)
    scores = yield from part(_compared(denoiser, drawn, frame, found, asked, names), 6, 3, _PARTS)
    shown = _recalibrated_as(drawn, frame, found)
    yield Event(9.5, _PARTS, "the calibration report")
    path = _write(folder / FOLDER, denoiser, shown, scores, found, part_of)
    say(f"calibration report: {path}")
    return _metadata(found)


def _metadata(found: Factors | None) -> dict[str, Any]:
    return {} if found is None else {"recalibration": plain(found.record)}


def _there(denoiser: NeuralDenoiser, part_of: str) -> bool:
    assert denoiser.origin is not None
    first, last = denoiser.origin.metadata["parts"][part_of]
    return last > first


def _recalibrated(denoiser: NeuralDenoiser, say: Callable[[str], None], **options: Any) -> Stream[Factors | None]:
    """Factors of the spread, fitted and judged on times that validate."""
    drawn, frame = yield from _drawn(denoiser, "validation", **options)
    found = recalibration.fitted(drawn, frame)
    few = f"no recalibration: it takes {recalibration.FEWEST} times that validate, and there are {len(drawn.times)}"
    say(few if found is None else found.words)
    return found


def _recalibrated_as(drawn: Drawn, frame: Frame, found: Factors | None) -> Drawn:
    """The members as a user gets them."""
    if found is None or not found.helps:
        return drawn
    return replace(drawn, members=recalibration.widened(drawn.members, found.factors, frame))


# Ensembles --------------------------------------------------------------------------------------------


def _drawn(
    denoiser: NeuralDenoiser, part_of: Part, members: int, times: int, settings: Mapping[str, Any]
) -> Stream[tuple[Drawn, Frame]]:
    """Ensembles of times of a part, evenly over it, as the model draws them."""
    assert denoiser.origin is not None
    metadata = denoiser.origin.metadata
    size = metadata["shape"][0] * prod(metadata["grid"]["shape"])  # of what is drawn, if by windows, too
    asked = request(metadata, part_of, members, times)
    how = {"batch_size": int(np.clip(_AT_ONCE // size, 1, 64)), **settings}
    samples = yield from drawing(denoiser, asked, **how)
    return ensembles(samples), Frame.of(denoiser.origin.metadata, samples.settings)


def request(metadata: Mapping[str, Any], part_of: Part, members: int, times: int) -> WeatherRequest:
    """What is drawn for a part of the times: evenly over it, and no more than memory should hold.

    Args:
        metadata: of the model.
        part_of: "validation" or "test".
        members: of each time.
        times: at most.
    """
    first, last = metadata["parts"][part_of]
    each = members * len(metadata["variables"]) * len(metadata["steps"]["hours"]) * prod(metadata["grid"]["shape"])
    step = -(-(last - first) // max(1, min(times, _ALL // each)))
    return WeatherRequest(
        held_out=part_of, members=members, times=f"0:{last - first}:{max(1, step)}", recalibrate=False
    )


# Scores -----------------------------------------------------------------------------------------------


def _compared(
    denoiser: NeuralDenoiser,
    drawn: Drawn,
    frame: Frame,
    found: Factors | None,
    asked: WeatherRequest,
    names: Sequence[str],
) -> Stream[dict[str, Scores]]:
    """Scores of the model and of the baselines, of the same times, by name."""
    assert denoiser.origin is not None
    assert drawn.truths is not None
    metadata = denoiser.origin.metadata
    there = given(asked, metadata)
    layout, block = Layout.of(drawn), metrics.hanging(drawn.truths, drawn.members)
    yield Event(0, 3 + len(names), "fitting the baselines")
    fitted = baselines.fit(there.pairs.part(slice(*metadata["parts"]["train"])), names)
    events = {name: [_tenth(drawn.truths[:, v])] for v, name in enumerate(drawn.variables)}
    every = _named(drawn, frame, found) | fitted(there.pairs.part(there.chosen), asked.members)
    scores = {}
    for k, (name, ensemble) in enumerate(every.items()):
        yield Event(2 + k, 3 + len(names), f"scores: {name}")
        scores[name] = metrics.scored(drawn.truths, ensemble, layout, events=events, block=block)
    return scores


def _named(drawn: Drawn, frame: Frame, found: Factors | None) -> dict[str, Any]:
    """Our members: as a user gets them, and as they were drawn where that is not the same."""
    ours = _recalibrated_as(drawn, frame, found)
    return {OURS: ours.members} | ({} if ours is drawn else {DRAWN: drawn.members})


def _tenth(truths: np.ndarray) -> float:
    """What is exceeded one time in ten, to three digits."""
    return float(f"{np.nanquantile(truths, 0.9):.3g}")


# The report -------------------------------------------------------------------------------------------


def _write(
    folder: Path,
    denoiser: NeuralDenoiser,
    drawn: Drawn,
    scores: Mapping[str, Scores],
    found: Factors | None,
    part_of: str,
) -> Path:
    assert denoiser.origin is not None
    folder.mkdir(parents=True, exist_ok=True)
    others = {name: one for name, one in scores.items() if name not in (OURS, DRAWN)}
    rows = [vars(one) for one in metrics.metrics(scores[OURS], others)]
    beside = {name: [vars(one) for one in metrics.metrics(scores[name], {})] for name in scores if name != OURS}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    told = {"recalibration": None if found is None else found.record, "times": len(drawn.times), "part": part_of}
    write_json(own(folder, SCORES), [plain({"created": created, "scores": rows, "beside": beside, **told})])
    title = f"How far to trust {denoiser.origin.domain}/{denoiser.origin.name}"
    path = own(folder, PAGE)
    lead, tables = _lead(drawn, found, part_of), _tables(drawn, scores)
    write_text(path, page(title, lead, chapters(drawn, scores), _FOOTER, tables))
    return path


_FOOTER = (
    "± are standard errors over blocks of times that hang together. The CRPS and the variogram score are fair: those "
    "of an ensemble of infinitely many members. Rank p is the probability of a calibrated ensemble showing a histogram "
    "as far from flat, on points that are not correlated. Of the baselines raw is the forecast itself; EMOS is a "
    "regression with a spread, by variable and lead, of each station by itself; ECC and the Schaake shuffle give its "
    "values the order of the forecast's members or of past truths; dressing adds past errors to its mean, whole fields."
)


def _lead(drawn: Drawn, found: Factors | None, part_of: str) -> str:
    """What the page is of; HTML of plain tags."""
    count, members = drawn.members.shape[:2]
    span = f"{figures.when(drawn.times[0])} to {figures.when(drawn.times[-1])}"
    of = "the last times, which it has not learned from" if part_of == "test" else (
        "the times that validate: none were held out besides, so that the factors of the spread have seen these"
    )  # fmt: skip
    said = "" if found is None else f" <b>{html(found.words[0].upper() + found.words[1:])}.</b>"
    return f"Ensembles of {members} members for {count} of {of}: {html(span)}.{said}"


def _tables(drawn: Drawn, scores: Mapping[str, Scores]) -> str:
    """A table a variable and score: methods by leads, the lowest of each proper score bold."""
    return "".join(
        _table(drawn, scores, variable, name)
        for variable in drawn.variables
        for name in SHOWN
        if any(name in one[variable, drawn.leads[0]] for one in scores.values())
    )


def _table(drawn: Drawn, scores: Mapping[str, Scores], variable: str, name: str) -> str:
    unit = figures.unit_of(drawn, variable) if name == "CRPS" else ""
    title = f"{variable}: {name}{', ' * bool(unit)}{unit}"
    head = "".join(f"<th>{html(lead)}</th>" for lead in drawn.leads)
    best = {
        lead: tables.lowest({method: one[variable, lead].get(name) for method, one in scores.items()})
        for lead in drawn.leads
    }
    rows = []
    for method, one in scores.items():
        shown = {lead: tables.number(one[variable, lead].get(name), digits=1) for lead in drawn.leads}
        cells = [f"<b>{text}</b>" if text and best[lead] == method else text for lead, text in shown.items()]
        if any(cells):
            rows.append(f"<tr><td>{html(method)}</td>{''.join(f'<td class=number>{cell}</td>' for cell in cells)}</tr>")
    body = f"<tr><th>{html(title)}</th>{head}</tr>{''.join(rows)}"
    return f'<div class="scroll"><table>{body}</table></div>'


def chapters(drawn: Drawn, scores: Mapping[str, Scores]) -> list[Chapter]:
    """One a variable, with its figures and all scores of the model.

    Args:
        drawn: the members as a user gets them, with what happened.
        scores: by name of the method.
    """
    others = {name: one for name, one in scores.items() if name not in (OURS, DRAWN)}
    every = metrics.metrics(scores[OURS], others)
    return [
        Chapter(
            variable,
            f"Leads {html(', '.join(drawn.leads))}. Proper scores stand beside those of the best baseline.",
            list(pictures(drawn, v)),
            [one for one in every if one.name.startswith(f"{variable}, ")],
        )
        for v, variable in enumerate(drawn.variables)
    ]


def pictures(drawn: Drawn, variable: int) -> Iterator[Figure]:
    """Of a variable: one forecast, spread beside error, ranks, PIT, reliability and spectra.

    Args:
        drawn: with what happened.
        variable: which.
    """
    middle = len(drawn.steps) // 2
    yield figures.members(drawn, drawn.forecast, 0, variable, middle)
    if drawn.grid.kind == "stations":
        yield figures.over_times(drawn, drawn.forecast, variable, middle)
    found = figures.spread_maps(drawn, variable, middle)
    if found is not None:
        yield found
    yield from figures.judged(drawn, drawn.forecast, variable)
