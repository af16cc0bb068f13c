"""Independent samples drawn by workers, in numbered shards: who draws changes nothing but the time that it takes.

A shard is some whole blocks of one portion, and a function of their numbers alone. So the workers, their number and
their order are of no account, and where a worker is lost another draws the same shard, bit for bit.

    spreading = Spreading.of(asking, client, ...)
    yield from spreading.kept(plan, kept)       workers write what they draw; who gives out the work takes note
"""

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from math import lcm
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from ...denoisers.base import Denoiser
from ...distributed.absence import Waiting
from ...distributed.pools import Pool, pool_of
from ...errors import InputError
from ...events import Event, Stream, finished
from ...keys import Keys
from ...spaces import Space
from ...states import byte_count
from ..drawing import blocks
from ..planning import Asking, Plan, Portion, portions
from ..samples import Samples, versions
from ..storage.joining import joined
from ..storage.keeping import MOST_HELD
from ..storage.shelves import Shelves
from .counting import counted, gathered, told

MOST_SHARDS = 512
_TALKING = {
    "particles": "exact=particles draws one population, whose members talk while they are drawn: it has no shards; run "
    "it on several processes as torchrun --nproc-per-node 2 -- -m ornstein sample ... (without --on)",
    "mcmc": "exact=mcmc draws one set of samples, whose weights hold within it alone: it has no shards to be given to "
    "workers (--on); draw each set in a run of its own",
}


@runtime_checkable
class Keeper(Protocol):
    """Whoever takes note of what workers have put on shelves; see keeping.py.

    Attributes:
        units: as `MemberStore.units`.
    """

    units: range | None

    def shelf(self) -> Shelves:
        """Where workers put what they draw."""
        ...

    def there(self, numbers: range) -> bool:
        """Whether the samples of these numbers are there."""
        ...

    def note(self, block: Any, /) -> None:
        """Takes note of what `Shelves.put_late` returned."""
        ...


# What there is to draw --------------------------------------------------------------------------------


def shards(
    parts: Sequence[Portion],
    block: int,
    size: int,
    there: Callable[[range], bool] = lambda numbers: False,
    units: range | None = None,
) -> list[range]:
    """The numbers of the samples of each shard of which something is missing, in order.

    Shards are counted from the start of each portion, whatever is wanted of it or there already; those of whole units
    from the first of its blocks at which a unit begins.

    Args:
        parts: the portions.
        block: samples that are drawn together.
        size: of a shard, a multiple of that.
        there: whether the samples of these numbers are there already.
        units: as `MemberStore.units`.
    """
    found = []
    for part in parts:
        begin = _first_unit(part.start, block, size, units)
        for start in range(begin + (part.numbers.start - begin) // size * size, part.numbers.stop, size):
            missing: list[range] = []
            for low in range(start, start + size, block):
                numbers = range(max(low, part.numbers.start), min(low + block, part.numbers.stop))
                if not numbers or there(numbers):
                    continue
                if missing and missing[-1].stop == numbers.start:
                    missing[-1] = range(missing[-1].start, numbers.stop)
                else:
                    missing.append(numbers)
            found += missing
    return found


def _first_unit(start: int, block: int, size: int, units: range | None) -> int:
    """The first block from `start` on at which a unit begins; `start` where shards are of no whole units."""
    if units is None or size % units.step:
        return start
    return next((one for one in range(start, start + size, block) if not (one - units.start) % units.step), start)


def shard_size(said: int | None, block: int, n: int, space: Space, units: range | None = None, workers: int = 0) -> int:
    """How many samples a shard has; InputError if what is said is no multiple of a block.

    Args:
        said: by the user, if at all. Else as few blocks, by powers of two, as make no more than `MOST_SHARDS` shards,
            if their states take no more than `MOST_HELD`; and as few whole units, where all workers have two to draw.
        block: samples that are drawn together.
        n: samples in all.
        space: of the samples.
        units: as `MemberStore.units`.
        workers: how many there are; 0 if nobody knows yet.
    """
    if said is not None:
        if said < 1 or said % block:
            raise InputError(f"shard is {said}, expected a multiple of batch_size, which is {block}")
        return said
    one = byte_count(space.prior(Keys.of(0, 1)))
    whole = block if units is None else lcm(block, units.step)
    size = whole if whole * one <= MOST_HELD and n // whole >= 2 * (workers or MOST_SHARDS) else block
    while size * MOST_SHARDS < n and 2 * size * one <= MOST_HELD:
        size *= 2
    return size


# What workers do --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """What all workers are told.

    Attributes:
        asking: what is asked for, its model on the CPU; of all samples.
        portion: samples of a portion; None = there is one.
        guided: the model with its guides, where these need not be made anew by every worker.
        device: on which to draw.
        threads: of the arithmetic.
        shelf: where to put what is drawn; None = it is sent back.
        arithmetic: of whoever gives out the work; see `arithmetic`.
    """

    asking: Asking
    portion: int | None
    guided: Denoiser | None
    device: str
    threads: int
    shelf: Shelves | None
    arithmetic: Mapping[str, str]

    @cached_property
    def ready(self) -> Asking:
        """What is asked for, with the model where it is to be; InputError if this worker would draw other samples."""
        here = _here()
        require_arithmetic(self.arithmetic, self.device)
        if self.device == "cuda" and not torch.cuda.is_available():
            raise InputError(f"{here} has no CUDA device, as --device cuda needs")
        if self.shelf is not None:
            try:
                self.shelf.require_seen()
            except InputError as error:
                raise InputError(f"{here}: {error}") from None
        self.asking.model.network.to(self.device)
        return self.asking

    def planned(self, numbers: range) -> Plan:
        """How the samples of a shard are drawn."""
        one = portions(numbers, self.portion, "off")
        asking = replace(self.ready, wanted=numbers, portions=one, said=dict(self.asking.said), guided=self.guided)
        return finished(asking.planned(0, streams=True))


def arithmetic(device: str) -> dict[str, str]:
    """What the last digits of samples depend on, by name: versions, and on a CPU the instructions that torch uses.

    Args:
        device: "cpu" or "cuda".
    """
    found = {name: version for name, version in versions().items() if name != "python"}
    if device == "cpu":  # the environment's ATEN_CPU_CAPABILITY makes newer ones use older instructions
        found["CPU capability"] = torch.backends.cpu.get_cpu_capability()
    return found


def require_arithmetic(wanted: Mapping[str, str], device: str) -> None:
    """InputError unless this process draws the same numbers as whoever gives out the work.

    Args:
        wanted: what `arithmetic` said there.
        device: "cpu" or "cuda".
    """
    found = arithmetic(device)
    for name, value in wanted.items():
        if found[name] != value:
            what = f"{_here()} has {name} {found[name]}, whoever gives out the work has {value}"
            raise InputError(f"{what}: they must agree")


def _here() -> str:
    return f"the worker on {platform.node()}"


@contextmanager
def threads_of(count: int | None) -> Iterator[None]:
    """Within it, torch's arithmetic in this process has so many threads; as it has, if None."""
    before = torch.get_num_threads()
    if count is not None and count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def draw_shard(order: Order, numbers: range) -> dict[str, Any] | Samples:
    """Draws a shard; what the manifest says of it, or its samples without their model where there is no shelf.

    SamplingError for samples that are not finite.

    Args:
        order: what all workers are told.
        numbers: of the samples.
    """
    started = time.perf_counter()
    with threads_of(order.threads):
        plan = order.planned(numbers)
        stream = plan.cut(blocks(plan.guided, **plan.options))
        drawn = [event.finished for event in stream if event.finished is not None]
        samples = joined(drawn, replace_seconds=time.perf_counter() - started)
    if order.shelf is None:
        return replace(samples, origin=None)
    samples.require_finite(Path(f"samples {numbers.start} to {numbers.stop - 1}"), "they were not kept")
    return order.shelf.put_late(samples)


# Who gives out the work -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spreading:
    """What is asked for, and who draws it.

    Attributes:
        asking: what is asked for, its model on the CPU.
        pool: the workers.
        portion: samples of a portion; None = there is one.
        shard: samples of a shard, if said.
        threads: of the arithmetic of one worker.
    """

    asking: Asking
    pool: Pool
    portion: int | None
    shard: int | None
    threads: int

    @classmethod
    def of(
        cls, asking: Asking, on: Any, portion: int | None, shard: int | None, device: str | None, threads: int | None
    ) -> "Spreading":
        """The same of what a user said; InputError for samples that are not independent.

        Args:
            asking: what is asked for.
            on: a `distributed.Client` or a `Pool`.
            portion: samples of a portion; None = there is one.
            shard: samples of a shard; None = not said.
            device: on which to draw, "cpu" or "cuda"; that of the model if None.
            threads: of the arithmetic of one worker; 1 if None.
        """
        if asking.exact != "off":
            raise InputError(_TALKING[asking.exact])
        device = device or asking.model.device.type
        model = asking.model if asking.model.device.type == "cpu" else deepcopy(asking.model)
        model.network.to("cpu")
        anew = device != "cpu" or len(asking.portions) > 1
        return cls(replace(asking, model=model, device=device, anew=anew), pool_of(on), portion, shard, threads or 1)

    def order(self, plan: Plan, shelf: Shelves | None) -> Order:
        """What the workers are told.

        Args:
            plan: of the first portion.
            shelf: where they put what they draw; None = they send it back.
        """
        device, guided = self.asking.drawn_on, None if self.asking.anew else plan.guided
        return Order(self.asking, self.portion, guided, device, self.threads, shelf, arithmetic(device))

    def shards(
        self, plan: Plan, there: Callable[[range], bool] = lambda numbers: False, units: range | None = None
    ) -> list[range]:
        """What is left to draw; see `shards`."""
        block, n = self.asking.said["batch_size"], len(self.asking.wanted)
        size = shard_size(self.shard, block, n, plan.guided.space, units, self.pool.size)
        return shards(self.asking.portions, block, size, there, units)

    def kept(self, plan: Plan, kept: Keeper) -> Stream[None]:
        """Events of drawing what is not there yet, which workers write; errors as of `counted`.

        Args:
            plan: of the first portion.
            kept: takes note of what they have written.
        """
        work = self.shards(plan, kept.there, kept.units)
        yield self._event(len(self.asking.wanted) - sum(map(len, work)))  # on how many workers: there may be none yet
        for found, ready in self._counted(work, self.order(plan, kept.shelf())):
            if not isinstance(found, Waiting):
                kept.note(found)
            yield self._event(ready, found)

    def gathered(self, plan: Plan) -> Stream[Samples]:
        """The same, where workers send back what they draw; the result is all of it together.

        Args:
            plan: of the first portion.
        """
        drawn = self._counted(self.shards(plan), self.order(plan, None))
        return (yield from gathered(drawn, self.asking.model.origin, self._event))

    def _event(self, ready: int, found: Any = None) -> Event:
        return told(self.pool, ready, len(self.asking.wanted), found)

    def _counted(self, work: Sequence[range], order: Order) -> Iterator[tuple[Any, int]]:
        """What became of shards as they are drawn, and how many samples are then whole."""
        return counted(self.pool.results(draw_shard, order, work), len(self.asking.wanted) - sum(map(len, work)))
