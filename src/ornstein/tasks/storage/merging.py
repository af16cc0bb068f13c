"""Parts of one run put together: folders that were drawn with --first, and shards at a URL."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from shutil import rmtree

from ...disk.locks import beside
from ...distributed.places import is_url
from ...errors import InputError
from ..native.members import MemberStore
from ..samples import Samples, remarked
from ..task import SCRATCH
from .joining import joined
from .packing import without_numbers
from .reading import Source, source
from .unfinished import require_absent, require_countable


def merge(
    places: Sequence[Path | str], *, out: Path | str | None = None, allow_code: bool | str | Path = False
) -> Samples:
    """The samples of several folders or URLs as one: parts of one run, whose numbers follow one another.

    Args:
        places: folders that `Samples.save` wrote, or URLs of shards, in any order.
        out: a new folder, into which they are written as if they had been drawn at once. Part by part, where the field
            writes its samples so: the states of what is returned are then shapes without numbers (torch's device
            "meta"). If not given, they are read into memory.
        allow_code: see `load`.

    InputError where they are not parts of one run: another model, other settings, numbers missing or twice, or a
    population, whose weights hold within it alone; and if memory does not hold what is needed together.
    """
    if not places or (len(places) < 2 and not is_url(places[0])):
        raise InputError(f"merge puts two folders or more together, or shards at a URL, found {len(places)} folder")
    sources = sorted((source(place, allow_code) for place in places), key=lambda one: one.numbers.start)
    for one in sources:
        if one.exactness is not None:
            raise InputError(f"{one.where}: one population, whose weights hold within it alone; draw it in one run")
    for before, one in pairwise(sources):
        _require_one_run(before, one)
    return _held(sources) if out is None else _written(sources, Path(out))


def _require_one_run(before: Source, one: Source) -> None:
    """InputError unless the samples go on where those before end."""
    if one.origin != before.origin:
        raise InputError(f"{one.where}: of another model than {before.where}")
    ours, theirs = dict(before.settings), dict(one.settings)
    for name in sorted(ours.keys() | theirs.keys()):
        if name != "first" and ours.get(name) != theirs.get(name):
            raise InputError(
                f"{one.where}: drawn with {name} = {theirs.get(name)!r}, {before.where} with {ours.get(name)!r}"
            )
    if bool(one.created) != bool(before.created):
        raise InputError(f"{one.where} and {before.where}: a folder and shards; merge the shards into a folder first")
    expected = before.numbers.stop
    if one.numbers.start != expected:
        raise InputError(
            f"{one.where}: begins at sample {one.numbers.start}, expected {expected}, where {before.where} ends"
        )


def _held(sources: Sequence[Source]) -> Samples:
    """All of them in memory."""
    sources[0].require_room(sources[1:])
    samples = joined([*_parts(sources)])
    return samples if samples.created else remarked(samples)


def _parts(sources: Sequence[Source]) -> Iterator[Samples]:
    for one in sources:
        yield from one.parts()


def _written(sources: Sequence[Source], out: Path) -> Samples:
    """All of them in a new folder, which appears whole or not at all."""
    require_absent(out)
    first, numbers = sources[0], range(sources[0].numbers.start, sources[-1].numbers.stop)
    require_countable(numbers, out)
    with beside(out) as folder:
        store = first.this.store(folder, first.origin, numbers)
        if store is None:
            samples = _held(sources)
            first.this.write(samples, folder)
        else:
            store.scratch, store.settings = folder / SCRATCH, first.settings
            samples = _stored(store, sources)
            rmtree(store.scratch, ignore_errors=True)
        samples.seal(folder, out)
    return samples


def _stored(store: MemberStore, sources: Sequence[Source]) -> Samples:
    """Part by part into a store; what is returned has shapes in the place of states."""
    store.begin()
    told = []
    for part in _parts(sources):
        for _ in store.add(part):
            pass
        told.append(without_numbers(part))
    samples = joined(told)
    found = store.finish(samples) or ()
    return samples if samples.created else replace(samples, notes=(*samples.notes, *found))
