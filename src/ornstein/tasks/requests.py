"""From what a domain's user asks for to samples: the request, its guides, the stream of events; and runs put together.

What a sample is given, its noise and the batch it is drawn in are functions of its number: independent samples are
drawn in whole blocks that start at multiples of the block's size, and what was not asked for is left out. So the
samples 0 … 7 are the samples 0 … 3 and 4 … 7 bit for bit, whoever draws them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config import to_dict
from ..denoisers.base import Denoiser, NeuralDenoiser
from ..deprecation import renamed
from ..errors import InputError
from ..events import Event, Stream, finished
from .drawing import draws, joined
from .engines import Engine, engine
from .memory import require_room
from .registry import task
from .samples import Samples, read_samples
from .task import Request, Task


@renamed(film="trajectory", watch="callback")
def draw(
    model: NeuralDenoiser,
    asked: Any,
    n: int,
    *,
    callback: Callable[[Event], object] = lambda event: None,
    **options: Any,
) -> Samples:
    """Samples of what a domain's request means: the result of `drawing`, which see.

    Args:
        model: the model, (x_t, t, condition) → belief.
        asked: the user's request, a frozen dataclass of the domain.
        n: number of samples.
        callback: called with every event, for progress; what it raises cancels the work.
    """
    return finished(drawing(model, asked, n, **options), callback)


@renamed(film="trajectory")
def drawing(
    model: NeuralDenoiser,
    asked: Any,
    n: int,
    *,
    first: int = 0,
    seed: int = 0,
    exact: str = "off",
    **said: Any,
) -> Stream[Samples]:
    """Events of drawing the n samples numbered from `first` on that a domain's request asks for.

    Args:
        model: trained, so that it knows its domain.
        asked: the domain's request, a frozen dataclass.
        said: settings of the way to draw; see engines.py.
        seed: of all random numbers.
        exact: off, particles or mcmc.

    InputError for what does not fit the model, or the way to draw.
    """
    if model.origin is None:
        raise InputError("only a trained model knows a domain whose requests it understands; take sample")
    if n < 1 or first < 0:
        raise InputError(f"n is {n} and first {first}, expected at least 1 sample, numbered from 0")
    this = task(model.origin.domain)
    said = {name: value for name, value in said.items() if value is not None}
    numbers = _whole_blocks(this, model, first, n, said) if exact == "off" else range(first, first + n)
    require_room(model, n=n, batch_size=len(numbers), particles=said.get("particles"))
    request = this.request(asked, numbers, model.origin.metadata)
    guided: Denoiser = model
    for guide in request.guides:
        guided = yield from guide.guiding(guided)
    how = _engine(exact, request, guided, said)
    settings = {**to_dict(asked), **request.record}
    stream = draws(
        guided, len(numbers), how, seed=seed, first=numbers.start, condition=request.condition, settings=settings
    )
    samples = yield from _cut(stream, numbers, range(first, first + n), request)
    return samples


def _whole_blocks(this: Task, model: Denoiser, first: int, n: int, said: dict[str, Any]) -> range:
    """The numbers of the blocks that hold the samples asked for; says the size of the blocks if nobody has."""
    size = said.setdefault("batch_size", this.block * (16 if model.device.type == "cuda" else 1))
    if not isinstance(size, int) or size < 1:
        raise InputError(f"batch_size is {size}, expected at least 1")
    return range(first // size * size, -(-(first + n) // size) * size)


def _engine(exact: str, request: Request, denoiser: Denoiser, said: Mapping[str, Any]) -> Engine:
    """The way to draw, with the domain's choices where the user has none; InputError for what would be ignored."""
    owners = {"off": request.independent, "particles": request.weighed, "mcmc": request.corrected}
    for meant, flag in ((way, flag) for way, flags in owners.items() if way != exact for flag in flags):
        raise InputError(f"--{flag.replace('_', '-')} is for --exact {meant}, found --exact {exact}")
    if exact != "off":
        if request.start is not None:
            raise InputError(f"--exact {exact}: samples that start from a reference follow no law of their own")
        return engine(exact, {**(request.population if exact == "particles" else {}), **said})
    start = {} if request.start is None else {"start": request.start, "strength": request.strength}
    if request.sampler is None:
        return engine(exact, {**request.defaults, **said, **start})
    for name in ("eta", "order", "grid"):
        if name in said:
            raise InputError(f"--{name}: here {request.owned} how samples are drawn")
    kept = {name: value for name, value in said.items() if name != "steps"}
    return engine(exact, {**kept, **start, "sampler": request.sampler(denoiser.space, said.get("steps"))})


def _cut(stream: Stream[Samples], drawn: range, wanted: range, request: Request) -> Stream[Samples]:
    """The stream without the samples that only fill up a block, and with what is said of the others."""

    def cut(samples: Samples) -> Samples:
        numbers = range(samples.first, samples.first + len(samples))
        said = {
            name: list(values)[numbers.start - drawn.start :][: len(samples)] for name, values in request.each.items()
        }
        low, high = max(numbers.start, wanted.start), min(numbers.stop, wanted.stop)
        told = replace(samples, each=said, notes=(*samples.notes, *request.notes))
        return told[low - numbers.start : high - numbers.start]

    while True:
        try:
            event = next(stream)
        except StopIteration as end:
            return cut(end.value)
        done = None if event.finished is None else cut(event.finished)
        yield replace(event, finished=done, result=None if event.result is None else cut(event.result))


def merge(folders: Sequence[Path], *, allow_code: bool | str | Path = False) -> Samples:
    """The samples of several folders as one: parts of one run, whose numbers follow one another.

    Args:
        folders: what `Samples.save` wrote.
        allow_code: see `load`.

    InputError where they are not: another model, other settings, numbers missing or twice, or a population, whose
    weights hold within it alone.
    """
    if len(folders) < 2:
        raise InputError(f"merge puts two folders or more together, found {len(folders)}")
    read = ((read_samples(folder, allow_code=allow_code), folder) for folder in folders)
    parts = sorted(read, key=lambda one: one[0].first)
    (before, place), *rest = parts
    for samples, folder in parts:
        if samples.exactness is not None:
            raise InputError(f"{folder}: one population, whose weights hold within it alone; draw it in one run")
    for samples, folder in rest:
        _require_one_run(before, samples, place, folder)
        before, place = samples, folder
    return joined([samples for samples, _ in parts])


def _require_one_run(before: Samples, samples: Samples, place: Path, folder: Path) -> None:
    """InputError unless the samples go on where those before end."""
    if samples.origin != before.origin:
        raise InputError(f"{folder}: of another model than {place}")
    ours, theirs = dict(before.settings), dict(samples.settings)
    for name in sorted(ours.keys() | theirs.keys()):
        if name != "first" and ours.get(name) != theirs.get(name):
            raise InputError(f"{folder}: drawn with {name} = {theirs.get(name)!r}, {place} with {ours.get(name)!r}")
    expected = before.first + len(before)
    if samples.first != expected:
        raise InputError(f"{folder}: begins at sample {samples.first}, expected {expected}, where {place} ends")
