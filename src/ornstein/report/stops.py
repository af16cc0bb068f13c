"""What the tour shows: its stops, found by the names of the models, so that any process can make any of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from ..denoisers.base import NeuralDenoiser
from ..errors import InputError
from ..events import Event, Stream
from ..tasks import runs
from ..tasks.figures import Card, Chapter, Figure, Metric, Stop
from ..tasks.registry import broken, domains, task
from ..tasks.requests import drawing
from ..tasks.samples import MANIFEST, Samples
from ..tasks.scores import latest_metrics
from . import exactness, posteriors
from .page import coded

CORE = ""
"""Whose stops are of no model."""


@dataclass(frozen=True)
class Job:
    """A stop by its number among those of a model, or of the core.

    Attributes:
        folder: where the tour writes.
        title, place, seconds: of the stop; see `Stop`.
    """

    model: str
    number: int
    seed: int
    full: bool
    folder: Path
    title: str
    place: float
    seconds: float

    @property
    def name(self) -> str:
        """Of its place on the page."""
        return f"{self.model.replace('/', '-') or 'exactness'}-{self.number}"


def jobs(folder: Path, seed: int, full: bool) -> list[Job]:
    """All stops in the order of the page.

    Args:
        folder: where the samples go.
        seed: of all random numbers.
        full: as many samples as a judgement needs.
    """
    found = [
        Job(model, number, seed, full, folder, stop.title, stop.place, stop.seconds)
        for model in (CORE, *runs.shipped())
        for number, stop in enumerate(_stops(model, folder, full))
    ]
    return sorted(found, key=lambda job: job.place)


def made(job: Job) -> Iterator[Event]:
    """The events of making a stop; the last one's result is its chapter, which says so if something is missing."""
    try:
        stream = _stops(job.model, job.folder, job.full)[job.number].make(job.seed)
        chapter = yield from stream
    except InputError as error:
        chapter = Chapter(job.title, f"Left out: {coded(str(error))}.")
    yield Event(1, 1, job.title, result=chapter)


def left_out() -> list[str]:
    """The models of domains that cannot be loaded here, with the reason, in words."""
    return [f"{', '.join(_models_of(domain)) or domain}: {why}" for domain, why in broken().items()]


def _models_of(domain: str) -> list[str]:
    """What lies in a domain's package, which need not be loaded for that."""
    try:
        spec = find_spec(domains()[domain].module.rpartition(".")[0])
    except (ImportError, ValueError):
        return []
    places = list(spec.submodule_search_locations or ()) if spec else []
    files = sorted(path for place in places for path in Path(place).glob(f"models/*/{runs.MODEL}"))
    return [f"{domain}/{path.parent.name}" for path in files]


@lru_cache(maxsize=2)
def _loaded(model: str) -> NeuralDenoiser:
    return runs.load(model)


def _stops(model: str, folder: Path, full: bool) -> Sequence[Stop]:
    if model == CORE:
        return [exactness.STOP, posteriors.STOP]
    denoiser = _loaded(model)
    assert denoiser.origin is not None
    this = task(denoiser.origin.domain)
    own = Stop(model, lambda seed: _own_samples(model, denoiser, folder, seed, full), this.place, this.seconds)
    return [own, *this.stops(denoiser, full)]


def _own_samples(model: str, denoiser: NeuralDenoiser, folder: Path, seed: int, full: bool) -> Stream[Chapter]:
    """Samples of one model with their trajectory, saved and judged like any user's, beside the model's card."""
    this, place = runs.task_of(model), folder / model.replace("/", "-")
    n, how = (this.n_tour, {}) if full else (this.n_glance, dict(this.glance))
    samples = yield from drawing(denoiser, this.request_type(), n, seed=seed, trajectory=True, **how)
    samples.save(place)
    metrics, note = _judged(samples, place, full)
    text = (
        f"{coded(this.summary[0].upper() + this.summary[1:])}. {n} samples drawn now, {samples.nfe:g} network "
        f"evaluations each, {samples.seconds:.1f} s; files and {MANIFEST} are in <code>{place.name}/</code>. Draw your "
        f"own: <code>ornstein sample {model} --n 16</code>{note}"
    )
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in this.sampling.items())
    if options:
        text += f". The card's samples were drawn with <code>{options}</code>"
    card = Card(latest_metrics(runs.locate(model).parent), this.n_evaluate, n)
    figures = this.figures(samples)
    cover = next((figure for figure in figures if isinstance(figure, Figure)), None)
    return Chapter(model, text, figures, metrics, cover, card if card.metrics else None)


def _judged(samples: Samples, place: Path, full: bool) -> tuple[Sequence[Metric], str]:
    """The scores of what was drawn; none, and why, where a package is missing."""
    assert samples.origin is not None
    try:
        return (runs.evaluate(place) if full else task(samples.origin.domain).judge_few(samples)), ""
    except InputError as error:
        return [], f". Not scored now: {coded(str(error))}"
