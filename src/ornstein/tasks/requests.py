"""From what a domain's user asks for to samples: the request, its guides, the stream of events.

What a sample is given, its noise and the batch it is drawn in are functions of its number: independent samples are
drawn in whole blocks that start at multiples of the block's size, and what was not asked for is left out. So the
samples 0 … 7 are the samples 0 … 3 and 4 … 7 bit for bit, whoever draws them.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..denoisers.base import NeuralDenoiser, Origin
from ..deprecation import renamed
from ..distributed.places import is_url
from ..errors import InputError
from ..events import Event, Stream, part
from ..events.progress import watched
from .drawing import blocks, draws
from .engines import Independent
from .parallel.shards import Spreading, threads_of
from .planning import Asking, Plan, portions
from .registry import task
from .samples import Samples, remarked
from .storage.identity import identity
from .storage.inputs import Inputs
from .storage.joining import joined
from .storage.keeping import Kept
from .storage.remote import Remote

SOME = 16
"""Samples that are drawn where neither the user nor the request says how many."""


@renamed(film="trajectory", watch="callback")
def draw(
    model: NeuralDenoiser,
    asked: Any,
    n: int | None = None,
    *,
    callback: Callable[[Event], object] | None = None,
    **options: Any,
) -> Samples:
    """Samples of what a domain's request means: the result of `drawing`, which see.

    Args:
        model: the model, (x_t, t, condition) → belief.
        asked: the user's request, a frozen dataclass of the domain.
        n: number of samples; all that the request speaks of, else 16, if not said.
        options: those of `drawing`.
        callback: called with every event, for progress; what it raises cancels the work. If not given, a notebook
            shows a bar.
    """
    return watched(drawing(model, asked, n, **options), callback)


@renamed(film="trajectory")
def drawing(
    model: NeuralDenoiser,
    asked: Any,
    n: int | None = None,
    *,
    first: int = 0,
    seed: int = 0,
    exact: str = "off",
    out: Path | str | None = None,
    resume: bool = False,
    on: Any = None,
    shard: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    **said: Any,
) -> Stream[Samples]:
    """Events of drawing the n samples numbered from `first` on that a domain's request asks for.

    Args:
        model: trained, so that it knows its domain.
        asked: the domain's request, a frozen dataclass.
        n: how many; all that the request speaks of, else 16, if not said.
        first: the number of the first sample.
        said: settings of the way to draw; see engines.py.
        seed: of all random numbers.
        exact: off, particles or mcmc.
        out: a new folder for them, native files and manifest. Blocks of samples are kept in OUT.part as they finish,
            and a crash leaves these; those of particles and mcmc finish together. See keeping.py. Or the URL of a place
            that all workers reach, such as s3://bucket/run, where they put shards (with on); see remote.py.
        resume: draw the rest of what was begun there: the same samples bit for bit as if nothing had happened.
        on: a `distributed.Client` or a `Pool`, on whose workers independent samples are drawn, bit for bit as here.
        shard: samples that a worker draws and writes at a time, a multiple of batch_size (with on).
        device: on which workers draw, "cpu" or "cuda"; that of the model if not given (with on).
        threads: of the arithmetic of one process; all cores if not given, and 1 with on.

    InputError for what does not fit the model, or the way to draw; for a folder that is there or in use; and if what is
    to be resumed was drawn with anything else.
    """
    if model.origin is None:
        raise InputError("only a trained model knows a domain whose requests it understands; take sample")
    this = task(model.origin.domain)
    facts = model.origin.metadata
    wanted = _wanted(this.count(asked, facts), n, first)
    said = {name: value for name, value in said.items() if value is not None}
    size = this.portion(asked, facts)
    asking = Asking(model, asked, wanted, portions(wanted, size, exact), seed, exact, said, inputs=Inputs(asked))
    if resume and out is None:
        raise InputError("resume is for samples that are drawn into a folder: say which (out)")
    if on is not None:
        spreading = Spreading.of(asking, on, size, shard, device, threads)
        kept = Remote(out, model.origin, wanted, resume) if is_url(out) else _kept(out, model.origin, wanted, resume)
        return (yield from _spread(spreading, kept))
    for name, value in {"shard": shard, "device": device}.items():
        if value is not None:
            raise InputError(f"{name} is {value!r}, but samples are drawn here: it is for workers (on)")
    with threads_of(threads):
        return (yield from _here(asking, _kept(out, model.origin, wanted, resume)))


def _kept(out: Path | str | None, origin: Origin, wanted: range, resume: bool) -> Kept | None:
    """The folder that samples are kept in as they finish, if any."""
    if is_url(out):
        raise InputError(f"{out}: shards are put at a URL by workers (--on dask, in Python on=); expected a folder")
    return None if out is None else Kept(Path(out), origin, wanted, resume)


def _here(asking: Asking, kept: Kept | None) -> Stream[Samples]:
    """All that is asked for, drawn by this process."""
    if kept is not None:
        return (yield from _drawn_into(kept, asking))
    if len(asking.portions) > 1:
        return remarked((yield from _one_by_one(asking)))
    plan = yield from asking.planned(0)
    return remarked((yield from plan.cut(draws(plan.guided, **plan.options))))


def _wanted(count: int | None, n: int | None, first: int) -> range:
    """The numbers of the samples; InputError if there are none such."""
    if n is None:
        n = SOME if count is None else max(1, count - first)
    if n < 1 or first < 0:
        raise InputError(f"n is {n} and first {first}, expected at least 1 sample, numbered from 0")
    if count is not None and first + n > count:
        raise InputError(f"samples {first} to {first + n - 1} are asked for, but the request speaks of {count}, from 0")
    return range(first, first + n)


def _one_by_one(asking: Asking) -> Stream[Samples]:
    """Portion by portion; the result is all of them together."""
    drawn, parts = [], len(asking.portions)
    event = Event(0, parts, "sampling")
    for k in range(parts):
        plan = yield from asking.planned(k)
        for event in part(plan.cut(draws(plan.guided, **plan.options)), k, 1, parts):
            drawn += [] if event.result is None else [event.result]
            if event.result is None:
                yield event
    samples = joined(drawn)
    yield replace(event, state=samples.x, result=samples)
    return samples


def _drawn_into(folder: Kept, asking: Asking) -> Stream[Samples]:
    with folder as kept:
        plan = yield from asking.planned(0, kept.streams)
        kept.begin(_identity(asking, plan), not isinstance(plan.how, Independent), plan.options["settings"])
        event = Event(0, 1, "sampling")
        for event in kept.reading(_kept_blocks(asking, plan, kept)):
            yield event
        samples = kept.finish()
    yield Event(event.total, event.total, "written", samples.x, None, samples)
    return samples


def _identity(asking: Asking, plan: Plan, threads: int | None = None) -> dict[str, Any]:
    """What all samples are a function of, by the plan of their first portion."""
    settings = {**plan.settings, "first": asking.wanted.start, "n": len(asking.wanted)}
    return identity(plan.guided, asking.asked, plan.request, settings, asking.drawn_on, threads, asking.inputs)


def _spread(spreading: Spreading, kept: Kept | Remote | None) -> Stream[Samples]:
    """All that is asked for, drawn by workers, into a folder, to a URL, or sent back."""
    if kept is None:
        return remarked((yield from spreading.gathered((yield from _planned(spreading)))))
    with kept:
        plan = yield from _planned(spreading, kept.streams)
        kept.begin(_identity(spreading.asking, plan, spreading.threads), settings=plan.options["settings"])
        yield from spreading.kept(plan, kept)
        samples = kept.finish()
    total = len(spreading.asking.wanted)
    yield Event(total, total, "written", samples.x, None, samples)
    return samples


def _planned(spreading: Spreading, streams: bool = False) -> Stream[Plan]:
    """What the first portion leads to; guides are fitted here, once, by the arithmetic of one worker.

    Args:
        streams: no more than a block of samples is held at once.
    """
    with threads_of(spreading.threads):
        return (yield from spreading.asking.planned(0, streams))


def _kept_blocks(asking: Asking, first: Plan, kept: Kept) -> Stream[None]:
    """Block by block what is not there yet; of a portion that is there nothing is read."""
    parts = len(asking.portions)
    for k, portion in enumerate(asking.portions):
        if k and kept.there(portion.numbers):
            yield Event(k + 1, parts, "sampling")
            continue
        plan = (yield from asking.planned(k, kept.streams)) if k else first
        stream = plan.cut(blocks(plan.guided, **plan.options, there=kept.there))
        yield from stream if parts == 1 else part(stream, k, 1, parts)
