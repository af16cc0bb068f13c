"""`ornstein tour`: draw from every shipped model and tell it on one page, which grows as its chapters are finished."""

import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import InputError
from ..events import Event, Stream, streamed
from ..files import read_json, require, write_json, write_text
from ..tasks import runs
from ..tasks.figures import Chapter
from ..text.escaping import html
from . import crew, stops
from .page import page
from .stops import Job

_CONTENTS = "tour.json"
PAGE = "index.html"
RELOAD = 4  # seconds between two looks at a page that is not complete


@streamed
def tour(folder: Path, seed: int = 0, full: bool = False, workers: int | None = None) -> Stream[Path]:
    """Writes index.html and samples of every shipped model into `folder`, chapter by chapter; returns the page's path.

    A folder that an earlier tour wrote is replaced; InputError if it is anything else.

    Args:
        folder: where the page and the samples go.
        seed: of all random numbers.
        full: as many samples and calls as a judgement needs, every score measured anew: about half an hour.
        workers: processes of one thread each; 0 for this one alone; one a core, at most 4, if not given.
    """
    if folder.exists() and not _is_a_tour(folder):
        raise InputError(f"{folder}: exists and is not just an earlier tour; choose another folder (--out)")
    _clear(folder)
    started, chapters = time.perf_counter(), {}
    write_text(folder / PAGE, _page([], chapters, full, "The first pictures are on their way."))
    jobs = stops.jobs(folder, seed, full)
    state = "It was stopped before it was complete."
    try:
        yield from _walk(jobs, chapters, folder, full, _workers() if workers is None else workers)
        state = ""
    finally:
        write_text(folder / PAGE, _page(jobs, chapters, full, state, time.perf_counter() - started))
    return folder / PAGE


def plan(full: bool) -> str:
    """What a tour is about to do, and how long it will take, in words."""
    models, cores = len(runs.shipped()), _workers()
    minutes = (30 if full else 3) * 2 / min(cores, 2)
    return f"{models} models, about {minutes:.0f} minutes on {cores} cores"


def _workers() -> int:
    return min(4, len(os.sched_getaffinity(0)))


def _walk(jobs: Sequence[Job], chapters: dict[Job, Chapter], folder: Path, full: bool, workers: int) -> Stream[None]:
    """Makes the chapters, and the page anew with each; what failed is on the page, and an error at the end."""
    total, shares, failed = sum(job.seconds for job in jobs), dict.fromkeys(jobs, 0.0), []
    for told in crew.together(jobs, workers) if workers else crew.alone(jobs):
        shares[told.job] = told.share
        if told.chapter is not None:
            chapters[told.job] = told.chapter
            failed += [told.job.title] if told.failed else []
            write_text(folder / PAGE, _page(jobs, chapters, full, f"{len(chapters)} of {len(jobs)} chapters are here."))
        done = sum(job.seconds * share for job, share in shares.items())
        yield Event(done, total, told.job.title)
    if failed:
        raise RuntimeError(f"{folder / PAGE} is complete but for what failed: {', '.join(failed)}")


# The folder -------------------------------------------------------------------------------------------


def _names() -> list[str]:
    """What a tour writes into its folder beside the list of it."""
    return [PAGE, *(model.replace("/", "-") for model in runs.shipped())]


def _is_a_tour(folder: Path) -> bool:
    """Whether a folder holds what a tour wrote, perhaps not to its end, and nothing else that could be lost."""
    listed = folder / _CONTENTS
    if not listed.is_file():
        return False
    known = {_CONTENTS, *require(read_json(listed, "a tour"), [str], str(listed))}
    return all(path.name in known or _unfinished(path.name, known) for path in folder.iterdir())


def _unfinished(name: str, known: set[str]) -> bool:
    """Whether a file or folder was on its way to one of these names when a tour was killed."""
    return any(name.startswith(f".{one}.") for one in known)


def _clear(folder: Path) -> None:
    """An empty folder that says it is a tour's, in the place of an earlier tour."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        earlier = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        folder.rename(earlier / folder.name)
        shutil.rmtree(earlier)
    write_json(folder / _CONTENTS, _names())


# The page ---------------------------------------------------------------------------------------------


def _page(
    jobs: Sequence[Job], chapters: Mapping[Job, Chapter], full: bool, unfinished: str, seconds: float = 0.0
) -> str:
    """The page as it stands; `unfinished` says why it is not complete."""
    kind = "" if full else " Scores of many samples are on each model's card, and stand beside what was drawn just now."
    lead = (
        "A diffusion model learns to undo noise. Ornstein does that on any kind of data with one core, and says how "
        "exact and how calibrated the result is. Everything on this page was drawn by <code>ornstein tour"
        f"{' --full' if full else ''}</code>{f', in {seconds:.0f} seconds' if seconds else ''}.{kind}"
    )
    stopped = "stopped" in unfinished
    notice = f'<p class="notice">{html(unfinished)}{"" if stopped else " More is coming: the page reloads itself."}</p>'
    missing = "".join(f"<li>{html(one)}</li>" for one in stops.left_out())
    top = (notice if unfinished else "") + _wall(jobs, chapters) + _contents(jobs, chapters)
    return page(
        "Ornstein: the tour",
        lead,
        [chapters[job] for job in jobs if job in chapters],
        footer=(f"<p>Not installed here:</p><ul>{missing}</ul>" if missing else "") + _footer(),
        names=[job.name for job in jobs if job in chapters],
        top=top,
        reload=RELOAD if unfinished and not stopped else None,
    )


def _wall(jobs: Sequence[Job], chapters: Mapping[Job, Chapter]) -> str:
    """A picture of every chapter that has one, each a link to it."""
    covers = [(job.name, chapters[job].title, chapters[job].cover) for job in jobs if job in chapters]
    tiles = "".join(
        f'<a href="#{name}">{cover.bare()}<span>{_breaking(title)}</span></a>' for name, title, cover in covers if cover
    )
    return f'<div class="wall">{tiles}</div>' if tiles else ""


def _breaking(title: str) -> str:
    """A title that may go on in the next line after a slash."""
    return html(title).replace("/", "/<wbr>")


def _contents(jobs: Sequence[Job], chapters: Mapping[Job, Chapter]) -> str:
    """The table of contents, with what is still to come in grey."""
    rows = "".join(
        f'<li><a href="#{job.name}">{html(chapters[job].title)}</a></li>'
        if job in chapters
        else f'<li class="coming">{html(job.title)}</li>'
        for job in jobs
    )
    return f"<nav><ol>{rows}</ol></nav>" if rows else ""


def _footer() -> str:
    import torch

    from .. import __version__

    metadata = {"ornstein": __version__, "torch": torch.__version__}
    return ", ".join(f"{name} {value}" for name, value in metadata.items())
