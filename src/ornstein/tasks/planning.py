"""What a request leads to: the model with its guides, on the grid that is asked for, and the way to draw.

A request may speak of more than memory holds, such as of all slices of a volume. A domain then says which samples are
one portion (`Task.portion`): each portion is asked for by itself, when its turn comes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..config import to_dict, update
from ..denoisers.base import Denoiser, NeuralDenoiser, Origin, in_short
from ..denoisers.beside import beside
from ..denoisers.maps import Map
from ..denoisers.windows import windowed
from ..distributed.ranks import ALONE
from ..errors import InputError
from ..events import Event, Stream
from ..files import plain, require
from ..keys import Keys
from ..spaces import Space
from ..states import take
from .engines import Engine, Independent, engine, path_of, record
from .memory import require_room
from .registry import task
from .samples import Samples
from .storage.inputs import Inputs
from .task import Request, Task

METADATA = "metadata"
"""The setting that says on what other grid samples were drawn than the model was trained on."""


@dataclass(frozen=True)
class Portion:
    """Samples that are asked for together.

    Attributes:
        numbers: those of them that are wanted.
        start: the number of its first sample, from which its blocks are counted.
        stop: that after its last one; None = there is one portion, without end.
    """

    numbers: range
    start: int = 0
    stop: int | None = None


def portions(wanted: range, size: int | None, exact: str) -> list[Portion]:
    """The portions of `size` samples that samples are in; one, if the domain says none.

    Args:
        wanted: numbers of the samples.
        size: of a portion.
        exact: off, particles or mcmc: a population lies within one portion.
    """
    if size is None:
        return [Portion(wanted)]
    found = []
    for start in range(wanted.start // size * size, wanted.stop, size):
        inside = range(max(wanted.start, start), min(wanted.stop, start + size))
        found.append(Portion(inside, start, start + size))
    if len(found) > 1 and exact != "off":
        raise InputError(
            f"--exact {exact} draws one population, but samples {wanted.start} to {wanted.stop - 1} are of "
            f"{len(found)} posteriors of {size} samples each: draw each in a run of its own, as with --first "
            f"{found[0].start} --n {size}"
        )
    return found


def elsewhere(this: Task, model: NeuralDenoiser, metadata: Mapping[str, Any]) -> NeuralDenoiser:
    """The model on another grid than it was trained on; itself where nothing else is asked for.

    Args:
        this: its domain.
        model: trained.
        metadata: of what is drawn, in the place of those of the data that it was trained on.

    InputError for a network that works on no other grid.
    """
    if not metadata:
        return model
    space, map = _made_of(this, model, metadata)
    moved = model.having(space=space, map=map)
    state = moved.space.prior(Keys.of(0, 1, model.device))
    try:
        with torch.no_grad():
            moved(state, 1.0 if model.one_step else 0.5)
    except (InputError, RuntimeError) as error:
        why = str(error).splitlines()[0]
        raise InputError(
            f"{model!r} draws on the grid that it was trained on, not on {in_short(moved.space)}: {why}"
        ) from None
    return moved


def by_windows(this: Task, model: NeuralDenoiser, metadata: Mapping[str, Any], windows: Mapping[str, Any]) -> Denoiser:
    """The model of windows on a field that is larger than they are.

    Args:
        this: its domain.
        model: trained on windows.
        metadata: of the field, in the place of those of the data that it was trained on.
        windows: how they lie, the further arguments of `windowed`.
    """
    space, map = _made_of(this, model, metadata)
    return windowed(model.having(map=map), space.shape, **windows)  # pyright: ignore[reportAttributeAccessIssue]


def _made_of(this: Task, model: NeuralDenoiser, metadata: Mapping[str, Any]) -> tuple[Space, Map | None]:
    """The space and the map of what is drawn."""
    assert model.origin is not None
    facts = facts_of(this, model.origin, metadata, "the request's metadata")
    config = update(this.config(), model.origin.config, "the model's config")
    return this.space(config, facts), this.map(config, facts)


def facts_of(this: Task, origin: Origin, metadata: Mapping[str, Any], where: object) -> dict[str, Any]:
    """The metadata of what is drawn; InputError unless they are what the domain expects.

    Args:
        this: the domain.
        origin: the model.
        metadata: those that take the place of the model's.
        where: they stand, for the error.
    """
    require(dict(metadata), dict, str(where))
    facts = {**origin.metadata, **metadata}
    require(facts, this.facts, str(where))
    return facts


@dataclass(frozen=True)
class Plan:
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
            "settings": {**to_dict(self.asked), **self.request.record, **self._elsewhere},
        }

    @property
    def _elsewhere(self) -> dict[str, Any]:
        found = {METADATA: dict(self.request.metadata)} if self.request.metadata else {}
        return found if self.request.windows is None else {**found, "windows": plain(self.request.windows)}

    def cut(self, stream: Stream[Any]) -> Stream[Any]:
        """The stream without the samples that only fill up a block, and with what is said of the others."""
        while True:
            try:
                event = next(stream)
            except StopIteration as end:
                return None if end.value is None else self._told(end.value)
            done, result = (None if one is None else self._told(one) for one in (event.finished, event.result))
            event = self._standing(event) if result is None else replace(event, state=result.x)
            yield replace(event, finished=done, result=result)

    def _standing(self, event: Event) -> Event:
        """Samples on their way without those that only fill up a block; all particles of a population."""
        first = event.settings.get("first")
        if event.state is None or first is None or not isinstance(self.how, Independent):
            return event
        some = slice(max(0, self.wanted.start - first), self.wanted.stop - first)
        return replace(event, state=take(event.state, some), condition=take(event.condition, some))

    def _told(self, samples: Samples) -> Samples:
        numbers = range(samples.first, samples.first + len(samples))
        start = numbers.start - self.drawn.start
        each = {name: list(values[start : start + len(samples)]) for name, values in self.request.each.items()}
        low, high = max(numbers.start, self.wanted.start), min(numbers.stop, self.wanted.stop)
        told = replace(samples, each=each, notes=(*samples.notes, *self.request.notes))
        return told[low - numbers.start : high - numbers.start]


@dataclass(frozen=True)
class Asking:
    """What is asked for, portion by portion.

    Attributes:
        model: trained.
        asked: the domain's request, a frozen dataclass.
        wanted: numbers of the samples.
        portions: the same, portion by portion.
        seed: of all random numbers.
        exact: off, particles or mcmc.
        said: settings of the way to draw.
        device: on which samples are drawn; that of the model if not given.
        guided: the model with all the guides of the request, where these were made before.
        inputs: the files that the request names, which must not change while it is read again.
        anew: guides are made once more for each shard, so that none may need to be fitted.
    """

    model: NeuralDenoiser
    asked: Any
    wanted: range
    portions: Sequence[Portion]
    seed: int
    exact: str
    said: dict[str, Any]
    device: str | None = None
    guided: Denoiser | None = None
    inputs: Inputs | None = None
    anew: bool = False

    def planned(self, k: int, streams: bool = False) -> Stream[Plan]:
        """What a portion leads to; the events are of guides that must be fitted first.

        Args:
            k: of the portion.
            streams: no more than a block of samples is held at once.
        """
        model, portion = self.model, self.portions[k]
        assert model.origin is not None
        this = task(model.origin.domain)
        numbers = _whole_blocks(this, self.drawn_on, portion, self.said) if self.exact == "off" else portion.numbers
        held = {"n": len(self.wanted), "batch_size": len(numbers)}
        if streams and self.exact == "off":  # all others are together in the end
            held = {"batch_size": self.said.get("batch_size")}
        require_room(model, self.said.get("ranks") or ALONE, **held, particles=self.said.get("particles"))
        request = this.request(self.asked, numbers, model.origin.metadata)
        if self.inputs is not None:
            self.inputs.require_unchanged()
        guided = self.guided or (yield from self._guided(this, request))
        how = _engine(self.exact, request, guided, self.said)
        if not isinstance(how, Independent):
            _require_one_of_each(self.exact, request)
        settings = {"seed": self.seed, "first": portion.numbers.start, "n": len(portion.numbers)}
        settings |= {"exact": self.exact, **record(how)}
        settings |= path_of(guided)
        if isinstance(how, Independent) and how.sampler is not None:
            settings["sampler"] = repr(how.sampler)
        return Plan(guided, how, portion.numbers, numbers, self.asked, request, settings)

    @property
    def drawn_on(self) -> str:
        """The kind of device on which samples are drawn."""
        return self.device or self.model.device.type

    def _guided(self, this: Task, request: Request) -> Stream[Denoiser]:
        """The model with the guides of a request."""
        if self.anew:
            _require_none_fitted(request)
        model = self.model if request.path is None else self.model.along(request.path)
        if request.windows is None:
            guided: Denoiser = elsewhere(this, model, request.metadata)
        else:
            guided = by_windows(this, model, request.metadata, request.windows)
        guided = beside(guided, request.beside.keys())
        for guide in request.guides:
            guided = yield from guide.guiding(guided)
        return guided


def _require_none_fitted(request: Request) -> None:
    """InputError for guides that draw from the model to fit themselves to it, which every shard would do again."""
    for name in (type(guide).__name__ for guide in request.guides if guide.is_fitted):
        raise InputError(
            f"{name} is fitted to the model by drawing from it, which workers on CUDA, or of a request of several "
            "portions, would do for every shard: --device cpu, or draw it in one process (without --on)"
        )


def _require_one_of_each(exact: str, request: Request) -> None:
    """InputError where the domain says something else of each sample: those of one population take others' places."""
    for name, values in request.each.items():
        other = next((value for value in values if value != values[0]), values[0] if len(values) else None)
        if len(values) and other != values[0]:
            raise InputError(
                f"--exact {exact} draws one population, whose members take each other's places, but {name} is "
                f"{values[0]!r} of some and {other!r} of others: draw each in a run of its own, with --first"
            )


def _whole_blocks(this: Task, device: str, portion: Portion, said: dict[str, Any]) -> range:
    """The numbers of the blocks that hold the samples asked for; says the size of the blocks if nobody has."""
    size = said.setdefault("batch_size", this.block * (16 if device == "cuda" else 1))
    if not isinstance(size, int) or size < 1:
        raise InputError(f"batch_size is {size}, expected at least 1")
    start, numbers, stop = portion.start, portion.numbers, portion.stop
    low, high = ((numbers.start - start) // size * size, -(-(numbers.stop - start) // size) * size)
    return range(start + low, start + high if stop is None else min(start + high, stop))


def _engine(exact: str, request: Request, denoiser: Denoiser, said: Mapping[str, Any]) -> Engine:
    """The way to draw, with the domain's choices where the user has none; InputError for what would be ignored."""
    owners = {"off": request.independent, "particles": request.weighed, "mcmc": request.corrected}
    for meant, flag in ((way, flag) for way, flags in owners.items() if way != exact for flag in flags):
        raise InputError(f"--{flag.replace('_', '-')} is for --exact {meant}, found --exact {exact}")
    if exact != "off":
        known = exact == "particles" and request.strength == 1 and request.path is not None and request.path.begun
        if request.start is not None and not known:
            raise InputError(f"--exact {exact}: samples that start from a reference follow no law of their own")
        kept = {} if request.start is None else {"start": request.start}
        return engine(exact, {**(request.population if exact == "particles" else {}), **said, **kept})
    strength = None if request.strength == 1 else request.strength  # 1 is what an engine does where nothing is said
    start = {} if request.start is None else {"start": request.start, "strength": strength}
    if request.sampler is None:
        return engine(exact, {**request.defaults, **said, **start})
    for name in ("eta", "order", "grid", "restarts", "restart_at"):
        if name in said:
            raise InputError(f"--{name}: here {request.owned} how samples are drawn")
    kept = {name: value for name, value in said.items() if name != "steps"}
    return engine(exact, {**kept, **start, "sampler": request.sampler(denoiser.space, said.get("steps"))})
