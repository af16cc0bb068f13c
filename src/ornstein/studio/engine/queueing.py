"""Jobs, and who is next: a queue that is fair between owners and bounded. No torch here."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

State = Literal["queued", "running", "done", "failed", "cancelled"]

MOST_WAITING, MOST_OF_ONE = 200, 50
"""Jobs that may wait, of all owners together and of one."""


class Busy(Exception):
    """The queue takes no more: HTTP 429."""


@dataclass(frozen=True)
class Order:
    """What to draw.

    Attributes:
        model: a shipped model's name, a run folder or a weights file.
        asked: the domain's request, a frozen dataclass.
        how: the further arguments of `tasks.requests.drawing` that were said, such as n, seed and steps.
        device: auto, cpu or cuda.
        flat: all flags that were said, as the user said them, with paths where files were uploaded.
    """

    model: str
    asked: Any
    how: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    flat: Mapping[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Job:
    """One order on its way, and the latest news of it.

    Attributes:
        id: also the name of the folder of its samples.
        owner: whoever it is drawn for, such as a tab.
        record: what is noted of the order, in JSON values.
        resume: whether it goes on with samples that are there.
        place: in the queue, from 1: how many are drawn until this one is; None if it does not wait.
        done, total: units of work.
        stage: what is being done, in words.
        seconds_left: an estimate; None if there is none.
        error: why it failed, as the command line would say it.
        notes: what else went wrong on the way, in words.
        drawn: whether all samples are in their folder, so that what fails now does not fail them.
        stopping: whether it is to be cancelled.
        heard: when the worker last said something of it, by the clock of the event loop.
        attached: how many streams are open without which it is not wanted any more.
        news: the latest of each kind, with the number under which it was told. Older news is not kept.
    """

    id: str
    owner: str
    order: Order
    record: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False
    state: State = "queued"
    place: int | None = None
    done: float = 0.0
    total: float = 0.0
    stage: str = "waiting"
    seconds_left: float | None = None
    error: str = ""
    notes: list[str] = field(default_factory=list)
    drawn: bool = False
    stopping: bool = False
    heard: float = 0.0
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    news: dict[str, tuple[int, Mapping[str, Any]]] = field(default_factory=dict)
    attached: int = 0
    _told: int = 0
    _waiting: set[asyncio.Event] = field(default_factory=set)

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    def tell(self, kind: str, said: Mapping[str, Any]) -> None:
        """Puts news in the place of the last of its kind, for everybody who watches."""
        self._told += 1
        self.news[kind] = (self._told, said)
        for waiting in self._waiting:
            waiting.set()

    def since(self, number: int) -> list[tuple[int, str, Mapping[str, Any]]]:
        """The news told after this number, in the order in which it was told."""
        return sorted((told, kind, said) for kind, (told, said) in self.news.items() if told > number)

    async def watch(self, number: int = 0) -> AsyncIterator[tuple[str, Mapping[str, Any], int]]:
        """News after this number, then what comes, to the end: (kind, what is said, number).

        A slow reader misses what was overtaken by newer news of its kind, and nothing else.
        """
        woken = asyncio.Event()
        self._waiting.add(woken)
        try:
            while True:
                woken.clear()
                for told, kind, said in self.since(number):
                    yield kind, said, told
                    number = told
                    if kind == "end":
                        return
                if "end" in self.news:  # which the reader has had already
                    return
                await woken.wait()
        finally:
            self._waiting.discard(woken)


class Queue:
    """Jobs that wait: owners take turns, and each of them is served in the order of asking."""

    def __init__(self, most: int = MOST_WAITING, of_one: int = MOST_OF_ONE) -> None:
        """most, of_one: jobs that may wait, of all owners together and of one."""
        self.most, self.of_one = most, of_one
        self._turns: dict[str, deque[Job]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._turns.values()))

    def __iter__(self) -> Iterator[Job]:
        """In the order in which they will be drawn."""
        rows = [list(jobs) for jobs in self._turns.values()]
        for k in range(max(map(len, rows), default=0)):
            yield from (row[k] for row in rows if k < len(row))

    def add(self, job: Job) -> None:
        """Busy if there is no room."""
        mine = self._turns.get(job.owner, ())
        if len(mine) >= self.of_one:
            raise Busy(f"{len(mine)} of your samples are waiting to be drawn already; wait for some, or cancel them")
        if len(self) >= self.most:
            raise Busy(f"{len(self)} samples are waiting to be drawn already; try again when there are fewer")
        self._turns.setdefault(job.owner, deque()).append(job)

    def remove(self, job: Job) -> None:
        """Takes a waiting job out of the queue."""
        self._turns[job.owner].remove(job)
        self._forget(job.owner)

    def next(self) -> Job | None:
        """The job to draw now; its owner's next one comes after everybody else's turn. None if none waits."""
        if not self._turns:
            return None
        owner = next(iter(self._turns))
        jobs = self._turns.pop(owner)
        job = jobs.popleft()
        if jobs:
            self._turns[owner] = jobs
        return job

    def _forget(self, owner: str) -> None:
        if not self._turns[owner]:
            del self._turns[owner]
