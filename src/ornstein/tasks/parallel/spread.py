"""`sample(..., on=client)`: independent samples of any denoiser, drawn by workers and sent back.

What a trained model's request asks for is drawn by requests.py and shards.py; here the denoiser itself is sent, with
whatever guides it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...denoisers.base import Condition, Denoiser
from ...distributed.pools import pool_of
from ...errors import InputError
from ...events import Stream, finished
from ...states import State, take
from ..drawing import draws
from ..engines import Independent
from ..jobs import for_all
from ..planning import Portion
from ..samples import Samples
from .counting import counted, gathered, told
from .shards import arithmetic, require_arithmetic, shard_size, shards, threads_of


@dataclass(frozen=True)
class Told:
    """What all workers are told; the attributes are arguments of `draws`.

    Attributes:
        how: the same without what each sample starts from.
        strength: of how.
        threads: of the arithmetic.
        arithmetic: of whoever gives out the work; see `shards.arithmetic`.
    """

    denoiser: Denoiser
    how: Independent
    strength: float | None
    seed: int
    settings: Mapping[str, Any]
    threads: int
    arithmetic: Mapping[str, str]


@dataclass(frozen=True)
class Part:
    """Some of the samples, and what these are given.

    Attributes:
        numbers: of the samples.
        condition: what each is given, name → (n, ...).
        start: clean states to begin with, one a sample; None = noise.
    """

    numbers: range
    condition: Condition
    start: State | None

    def __len__(self) -> int:
        return len(self.numbers)

    def __repr__(self) -> str:
        return f"samples {self.numbers.start} to {self.numbers.stop - 1}"


def draw_part(told: Told, part: Part) -> Samples:
    """Some of the samples, without their model; InputError where this worker would draw others.

    Args:
        told: what all workers are told.
        part: which.
    """
    require_arithmetic(told.arithmetic, told.denoiser.device.type)
    how = told.how if part.start is None else replace(told.how, start=part.start, strength=told.strength)
    options: dict[str, Any] = {"seed": told.seed, "settings": told.settings, "condition": part.condition}
    with threads_of(told.threads):
        stream = draws(told.denoiser, len(part), how, first=part.numbers.start, **options)
        return replace(finished(stream), origin=None)


def drawn_on(
    on: Any,
    denoiser: Denoiser,
    n: int,
    how: Independent,
    *,
    seed: int,
    first: int,
    condition: Condition,
    settings: Mapping[str, Any],
) -> Stream[Samples]:
    """Events of drawing n independent samples on workers; the last one's result is all of them.

    InputError where nobody says how many samples are drawn at once, which decides their last digits.

    Args:
        on: a `distributed.Client` or a `Pool`.
        denoiser, n, how, seed, first, condition, settings: as those of `draws`.
    """
    if how.batch_size is None:
        raise InputError(
            "on is for samples in blocks, which workers draw whole: say how many are one, as batch_size=64"
        )
    pool, block = pool_of(on), how.batch_size
    given, device = for_all(denoiser, n, condition), denoiser.device.type
    bare = replace(how, start=None, strength=None)
    order = Told(denoiser, bare, how.strength, seed, settings, 1, arithmetic(device))
    numbers = range(first, first + n)
    rows = shards([Portion(numbers, first)], block, shard_size(None, block, n, denoiser.space))
    own = {name: value for name, value in given.items() if name in condition}  # those of guides go with these

    def part(row: range) -> Part:
        chosen = slice(row.start - first, row.stop - first)
        return Part(row, take(own, chosen), None if how.start is None else take(how.start, chosen))

    drawn = counted(pool.results(draw_part, order, [part(row) for row in rows]), 0)
    return (yield from gathered(drawn, denoiser.origin, lambda ready, found: told(pool, ready, n, found)))
