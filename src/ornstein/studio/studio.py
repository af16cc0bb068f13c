"""What the door talks to: orders are taken, drawn one by one, watched, cancelled; results are looked at.

    studio = Studio(Settings(out=Path("samples")))
    await studio.start()
    job = studio.submit(order, owner="tab 1")
    async for kind, said, number in studio.subscribe(job.id): ...
    await studio.stop()

All of it runs in one event loop. Requests are made of JSON in this process (forms.py), which therefore imports the
domains, in a thread when the studio starts: 4 s and 0.3 GB, once, and every error of a flag is told at once, whatever
the workers are doing. Nothing is computed here: models are loaded and samples drawn and shown in the workers.
"""

import asyncio
import re
import secrets
import shlex
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import write_json
from . import results
from .queueing import Job, Order, Queue
from .workers import Worker, WorkerDied, WorkFailed

HISTORY = 200
"""Jobs that are over and still known with their news; their samples are known as long as they are there."""
UNRESPONSIVE = 10.0
"""Seconds without any news after which a worker that is to cancel its job is killed."""
DETACHED = 3.0
"""Seconds that an attached job outlives the last stream of it: a page that is loaded anew takes less."""


class NotThere(LookupError):
    """There is no job and no result of that id: HTTP 404."""


class Over(Exception):
    """The job is over, so that nothing can be cancelled: HTTP 409."""


@dataclass(frozen=True)
class Settings:
    """Where things are.

    Attributes:
        out: where results are written, and the gallery reads.
        runs: the folder of the user's own runs.
    """

    out: Path = Path("samples")
    runs: Path = Path("runs")


class Studio:
    """One queue, one drawer, and two further workers that are started when they are first needed.

    Attributes:
        settings: see `Settings`.
    """

    def __init__(self, settings: Settings = Settings()) -> None:  # noqa: B008
        """Starts nothing yet."""
        self.settings = settings
        self._queue, self._jobs = Queue(), dict[str, Job]()
        self._drawer, self._viewer, self._judge = Worker("drawer"), Worker("viewer"), Worker("judge")
        self._now: Job | None = None
        self._wanted = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._viewing: dict[str, asyncio.Task[Any]] = {}

    async def start(self) -> None:
        """Starts the drawer, and drawing what is asked for."""
        self._drawer.start()
        self._begin(self._draw_all())

    async def stop(self) -> None:
        """Ends everything: what is being drawn keeps its finished blocks on the disk, and nothing runs on."""
        if self._now is not None:
            self._drawer.send("cancel", {"id": self._now.id})
        for task in [*self._tasks, *self._viewing.values()]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._viewing.values(), return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in (self._drawer, self._viewer, self._judge)))

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Jobs -------------------------------------------------------------------------------------------------

    def submit(self, order: Order, owner: str, resume: str = "") -> Job:
        """A job that waits for its turn; Busy if too many do.

        Args:
            order: what to draw.
            owner: whose turn it takes, such as a tab.
            resume: the id of samples that are not finished, whose rest is to be drawn.
        """
        job = Job(resume or self._new_id(order.model), owner, order, resume=bool(resume))
        if resume and (old := self._jobs.get(resume)) is not None and not old.over:
            raise Over(f"{resume}: is being drawn already")
        self._queue.add(job)
        self._jobs.pop(job.id, None)
        self._jobs[job.id] = job
        self._wanted.set()
        self._tell_places()
        return job
