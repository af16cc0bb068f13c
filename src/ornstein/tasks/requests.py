"""From what a domain's user asks for to samples: the request, its guides, the stream of events; and runs put together.

What a sample is given, its noise and the batch it is drawn in are functions of its number: independent samples are
drawn in whole blocks that start at multiples of the block's size, and what was not asked for is left out. So the
samples 0 … 7 are the samples 0 … 3 and 4 … 7 bit for bit, whoever draws them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config import to_dict
from ..denoisers.base import Denoiser, NeuralDenoiser
from ..denoisers.beside import beside
from ..deprecation import renamed
from ..errors import InputError
from ..events import Event, Stream, finished
from .drawing import blocks, draws
from .engines import Engine, Independent, engine, record
from .identity import identity
from .joining import joined
from .keeping import Kept
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
    out: Path | str | None = None,
    resume: bool = False,
    **said: Any,
) -> Stream[Samples]:
    """Events of drawing the n samples numbered from `first` on that a domain's request asks for.

    Args:
        model: trained, so that it knows its domain.
        asked: the domain's request, a frozen dataclass.
        n: how many.
        first: the number of the first sample.
        said: settings of the way to draw; see engines.py.
        seed: of all random numbers.
        exact: off, particles or mcmc.
        out: a new folder for them, native files and manifest. Blocks of samples are kept in OUT.part as they finish,
            and a crash leaves these; those of particles and mcmc finish together. See keeping.py.
        resume: draw the rest of what was begun there: the same samples bit for bit as if nothing had happened.

    InputError for what does not fit the model, or the way to draw; for a folder that is there or in use; and if what is
    to be resumed was drawn with anything else.
    """
    if model.origin is None:
        raise InputError("only a trained model knows a domain whose requests it understands; take sample")
    if n < 1 or first < 0:
        raise InputError(f"n is {n} and first {first}, expected at least 1 sample, numbered from 0")
    said = {name: value for name, value in said.items() if value is not None}
    wanted = range(first, first + n)
    if out is not None:
        stream = _drawn_into(Kept(Path(out), model.origin, wanted, resume), model, asked, seed, exact, said)
        return (yield from stream)
    if resume:
        raise InputError("resume is for samples that are drawn into a folder: say which (out)")
    plan = yield from _planned(model, asked, wanted, seed, exact, said)
    samples = yield from plan.cut(draws(plan.guided, **plan.options))
    return samples


def _drawn_into(
    folder: Kept, model: NeuralDenoiser, asked: Any, seed: int, exact: str, said: dict[str, Any]
) -> Stream[Samples]:
    with folder as kept:
        plan = yield from _planned(model, asked, kept.numbers, seed, exact, said, kept.streams)
        drawn = identity(plan.guided, asked, plan.request, plan.settings)
        kept.begin(drawn, together=not isinstance(plan.how, Independent))
        event = Event(0, 1, "sampling")
        for event in kept.reading(plan.cut(blocks(plan.guided, **plan.options, there=kept.there))):
            yield event
        samples = kept.finish()
    yield Event(event.total, event.total, "written", samples.x, None, samples)
    return samples


@dataclass(frozen=True)
class _Plan:
    """What a request has led to.

    Attributes:
        guided: the model with its guides.
        how: the way to draw.
        wanted: numbers of the samples that are asked for.
        drawn: of those that are drawn for them, whole blocks.
        settings: everything that was said of how they are drawn, for whoever resumes.
    """

    guided: Denoiser
    how: Engine
    wanted: range
    drawn: range
    asked: Any
    request: Request
    settings: Mapping[str, Any]

    @property
    def options(self) -> dict[str, Any]:
        """Of `draws` and `blocks`."""
        return {
            "n": len(self.drawn),
            "how": self.how,
            "seed": self.settings["seed"],
            "first": self.drawn.start,
            "condition": {**self.request.condition, **self.request.beside},
            "settings": {**to_dict(self.asked), **self.request.record},
        }

    def cut(self, stream: Stream[Any]) -> Stream[Any]:
        """The stream without the samples that only fill up a block, and with what is said of the others."""
        while True:
            try:
                event = next(stream)
            except StopIteration as end:
                return None if end.value is None else self._told(end.value)
            done, result = (None if one is None else self._told(one) for one in (event.finished, event.result))
            yield replace(event, finished=done, result=result)

    def _told(self, samples: Samples) -> Samples:
        numbers = range(samples.first, samples.first + len(samples))
        each = {
            name: list(values)[numbers.start - self.drawn.start :][: len(samples)]
            for name, values in self.request.each.items()
        }
        low, high = max(numbers.start, self.wanted.start), min(numbers.stop, self.wanted.stop)
        told = replace(samples, each=each, notes=(*samples.notes, *self.request.notes))
        return told[low - numbers.start : high - numbers.start]


def _planned(
    model: NeuralDenoiser, asked: Any, wanted: range, seed: int, exact: str, said: dict[str, Any], streams: bool = False
) -> Stream[_Plan]:
    """What a request leads to; the events are of guides that must be fitted first.

    streams: no more than a block of samples is held at once.
    """
    assert model.origin is not None
    this = task(model.origin.domain)
    drawn = _whole_blocks(this, model, wanted.start, len(wanted), said) if exact == "off" else wanted
    held = {"batch_size": said.get("batch_size")} if streams else {"n": len(wanted), "batch_size": len(drawn)}
    require_room(model, **held, particles=said.get("particles"))
    request = this.request(asked, drawn, model.origin.metadata)
    guided: Denoiser = beside(model, request.beside.keys())
    for guide in request.guides:
        guided = yield from guide.guiding(guided)
    how = _engine(exact, request, guided, said)
    if not isinstance(how, Independent):
        _require_one_of_each(exact, request)
    settings = {"seed": seed, "first": wanted.start, "n": len(wanted), "exact": exact, **record(how)}
    if isinstance(how, Independent) and how.sampler is not None:
        settings["sampler"] = repr(how.sampler)
    return _Plan(guided, how, wanted, drawn, asked, request, settings)


def _require_one_of_each(exact: str, request: Request) -> None:
    """InputError where the domain says something else of each sample: those of one population take others' places."""
    for name, values in request.each.items():
        other = next((value for value in values if value != values[0]), values[0] if len(values) else None)
        if len(values) and other != values[0]:
            raise InputError(
                f"--exact {exact} draws one population, whose members take each other's places, but {name} is "
                f"{values[0]!r} of some and {other!r} of others: draw each in a run of its own, with --first"
            )


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
