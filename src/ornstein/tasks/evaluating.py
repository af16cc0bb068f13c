"""Scores of finished samples, in a folder or at a URL, as their field judges them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from .figures import Metric
from .judging import scored
from .samples import Samples
from .storage.joining import joined
from .storage.reading import Source, source
from .task import Task


def evaluate(place: Path | str, *, data: str | None = None, allow_code: bool | str | Path = False) -> list[Metric]:
    """Scores samples as their field does and appends the result to scores.json beside them.

    A field whose scores can be taken part by part has no more than a part of them in memory.

    Args:
        place: a folder that `Samples.save` wrote, or the URL of shards.
        data: the file or folder that the model learned from, where it was one of the user's: the manifest, which may be
            somebody else's, does not have it opened by naming it.
        allow_code: see `load`.

    InputError if there are no samples, or what is not said is needed, or all of them are needed together and memory
    does not hold them.
    """
    found = source(place, allow_code)
    metrics = _judged(found, data)
    found.append(metrics)
    return metrics


def _judged(found: Source, data: str | None) -> list[Metric]:
    parts = _parts(found, data)
    first = [next(parts)]
    judge = found.this.judge(first[0])
    if judge is None:
        found.require_room()
        return found.this.evaluate(joined([*first, *parts]))
    return scored(judge, len(found.numbers), found.said, _with(first, parts))


def _parts(found: Source, data: str | None) -> Iterator[Samples]:
    for part in found.parts():
        yield with_data(part, found.this, data, found.manifest)
        del part  # none is kept while the next one is read


def with_data(samples: Samples, this: Task, data: str | None, where: object) -> Samples:
    """The samples of a model whose data may be opened: they come along, or the user has named them.

    Args:
        samples: as they were read.
        this: their domain.
        data: what the user names, if anything.
        where: they stand, for the error.

    InputError if the data are neither.
    """
    assert samples.origin is not None
    named = samples.origin.config.get("data")
    if data is not None:
        return replace(samples, origin=replace(samples.origin, config={**samples.origin.config, "data": data}))
    if this.needs_data and named is not None and named not in this.data_sets:
        raise InputError(
            f"{where}: the model learned from {named!r}, and a file alone may not have that opened; if these are data "
            f"of yours, say so: --data {named}, in Python data={named!r}"
        )
    return samples


def _with(first: list[Samples], rest: Iterator[Samples]) -> Iterator[Samples]:
    yield first.pop()  # of which nothing is kept here
    yield from rest
