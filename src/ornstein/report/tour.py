"""`ornstein tour`: draw from every shipped model, score it, and tell it on one page."""

import tempfile
import time
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import read_json, write_json, write_text
from ..tasks import runs
from ..tasks.figures import Chapter
from ..tasks.registry import task
from ..tasks.requests import draw
from ..tasks.samples import MANIFEST
from . import exactness, posteriors
from .page import page

_CONTENTS = "tour.json"


def tour(folder: Path, seed: int = 0) -> Path:
    """Writes index.html and the samples of every shipped model into `folder`; returns the page's path.

    A folder that an earlier tour wrote is replaced; InputError if it is anything else.
    """
    if folder.exists() and not _is_a_tour(folder):
        raise InputError(f"{folder}: exists and is not just an earlier tour; choose another folder (--out)")
    started = time.perf_counter()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
        work = Path(name) / folder.name
        work.mkdir()
        chapters = [exactness.chapter(seed), posteriors.chapter(seed)]
        for model in runs.shipped():
            chapters += model_chapters(model, work / model.replace("/", "-"), seed)
        write_text(work / "index.html", _page(chapters, time.perf_counter() - started))
        write_json(work / _CONTENTS, sorted(path.name for path in work.iterdir()))
        if folder.exists():
            folder.rename(Path(name) / "earlier")
        work.rename(folder)
    return folder / "index.html"


def _is_a_tour(folder: Path) -> bool:
    """Whether a folder holds what a tour wrote, and nothing else that could be lost."""
    listed = folder / _CONTENTS
    return listed.is_file() and {path.name for path in folder.iterdir()} == {_CONTENTS, *read_json(listed, "a tour")}


def model_chapters(model: str, folder: Path, seed: int) -> list[Chapter]:
    """Samples of one shipped model with its trajectory, saved and scored like any user's, and what its domain adds.

    Args:
        folder: where the files are.
        seed: of all random numbers.
    """
    denoiser = runs.load(model)
    assert denoiser.origin is not None
    this = task(denoiser.origin.domain)
    samples = draw(denoiser, this.request_type(), this.n_tour, seed=seed, trajectory=True)
    samples.save(folder)
    metrics = runs.evaluate(folder)
    text = (
        f"{this.summary[0].upper()}{this.summary[1:]}. {this.n_tour} samples, {samples.nfe:g} network "
        f"evaluations each, "
        f"{samples.seconds:.1f} s; files and {MANIFEST} are in <code>{folder.name}/</code>. Draw your own: "
        f"<code>ornstein sample {model} --n 16</code>"
    )
    return [Chapter(model, text, this.figures(samples), metrics), *this.chapters(denoiser, seed)]


def _page(chapters: list[Chapter], seconds: float) -> str:
    lead = (
        "A diffusion model learns to undo noise. Ornstein does that on any kind of data with one core, and says how "
        "exact and how calibrated the result is. Everything on this page was drawn, scored and written just now by "
        f"<code>ornstein tour</code>, in {seconds:.0f} seconds."
    )
    return page("Ornstein: the tour", lead, chapters, footer=_footer())


def _footer() -> str:
    import torch

    from .. import __version__

    metadata: dict[str, Any] = {
        "ornstein": __version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    return ", ".join(f"{name} {value}" for name, value in metadata.items())
