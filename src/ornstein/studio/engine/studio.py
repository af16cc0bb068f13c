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
import traceback
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...tasks.storage.unfinished import counted, is_unfinished, part_of, read_members
from . import results
from .queueing import Job, Order, Queue
from .worker import LONGEST
from .workers import Worker, WorkerDied, WorkFailed

HISTORY = 200
"""Jobs that are over and still known with their news; their samples are known as long as they are there."""
UNRESPONSIVE = 10.0
"""Seconds without any news after which a worker that is to cancel its job is killed."""
DETACHED = 3.0
"""Seconds that an attached job outlives the last stream of it: a page that is loaded anew takes less."""
PATIENCE = 1.0
"""Seconds that a job has to end when the studio is stopped; its finished blocks are on the disk in any case."""
_AGAIN, _PROGRESS = ("model", "asked", "command", "python"), ("done", "total", "stage", "seconds_left")


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
        in_vain: called with the flags of a job of which nothing is left.
    """

    def __init__(self, settings: Settings = Settings()) -> None:
        """Starts nothing yet."""
        self.settings = settings
        self.in_vain: Callable[[Mapping[str, Any]], object] = lambda flat: None
        self._queue, self._jobs = Queue(), dict[str, Job]()
        self._drawer, self._viewer, self._judge = Worker("drawer"), Worker("viewer"), Worker("judge")
        self._now: Job | None = None
        self._wanted = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._drawing = self._catching_up = None
        self._closing = False
        self._unshown, self._viewing = dict[str, str](), dict[str, asyncio.Task[Any]]()

    async def start(self) -> None:
        """Starts the drawer, and drawing what is asked for."""
        self._drawer.start()
        self._drawing = self._begin(self._draw_all())

    async def stop(self) -> None:
        """Ends everything: what is being drawn keeps its finished blocks on the disk, and nothing runs on."""
        self._closing = True
        self._wanted.set()
        for job in list(self._queue):
            self.cancel(job.id)
        if self._now is not None and not self._now.drawn:
            self.cancel(self._now.id)
        if self._drawing is not None:
            await asyncio.wait({self._drawing}, timeout=PATIENCE)
        left = [*self._tasks, *self._viewing.values()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for worker in (self._drawer, self._viewer, self._judge):
            worker.end()

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts work that nobody waits for, and that ends with the studio."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Jobs -------------------------------------------------------------------------------------------------

    def submit(self, order: Order, owner: str, resume: str = "") -> Job:
        """A job that waits for its turn; Busy if too many do.

        Args:
            order: what to draw.
            owner: whose turn it takes, such as a tab.
            resume: the id of samples that are not finished, whose rest is to be drawn.
        """
        if resume and (old := self._jobs.get(resume)) is not None and not old.over:
            raise Over(f"{resume} is being drawn already")
        id = resume or self._new_id(order.model)
        job = Job(id, owner, order, results.record(order, id), resume=bool(resume))
        self._queue.add(job)
        self._jobs.pop(job.id, None)  # what is known of an earlier attempt
        self._jobs[job.id] = job
        self._wanted.set()
        self._tell_places()
        return job

    def _new_id(self, model: str) -> str:
        """A name for a folder: the model, when, and what makes it the only one."""
        leaf = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(model).stem).strip("-") or "samples"
        return f"{leaf}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"

    def job(self, id: str) -> Job:
        """The job of that id; NotThere if none is known."""
        if id not in self._jobs:
            raise results.NotThere(f"no samples {id!r}")
        return self._jobs[id]

    def jobs(self) -> list[Job]:
        """What is drawn now, and what waits, in the order in which it will be drawn."""
        return [*([self._now] if self._now else []), *self._queue]

    def cancel(self, id: str) -> Job:
        """Cancels a job: at once if it waits, else at its next event; Over if there is nothing to cancel.

        A worker that shows no sign of life for long after that is killed.
        """
        job = self.job(id)
        if job.over or job.drawn:
            raise Over(f"{id} is {job.state} already" if job.over else f"{id}: all samples are there already")
        if job.state == "queued":
            self._queue.remove(job)
            self._end(job, "cancelled")
            self._forget(job)
            self._tell_places()
        elif not job.stopping:
            job.stopping = True
            job.heard = self._clock()
            self._begin(self._kill_unresponsive(job))
        return job

    async def _kill_unresponsive(self, job: Job) -> None:
        """Kills the drawer if nothing more is heard of a job that is to stop."""
        while not (job.over or job.drawn):
            if self._clock() - job.heard >= UNRESPONSIVE:
                self._drawer.kill()
                return
            self._drawer.cancel(job.id)  # again: the first may have come before the job did
            await asyncio.sleep(min(0.5, UNRESPONSIVE / 4))

    # Drawing ----------------------------------------------------------------------------------------------

    async def _draw_all(self) -> None:
        """Draws one job after the other until the studio is stopped."""
        while not self._closing:
            job = self._queue.next()
            if job is None:
                self._wanted.clear()
                await self._wanted.wait()
                continue
            self._now = job
            try:
                await self._draw(job)
            finally:
                self._now = None
                self._forget(job)

    async def _draw(self, job: Job) -> None:
        """Draws one job; however it ends, it is told, and the next one is drawn."""
        job.state, job.place, job.stage, job.heard = "running", None, "starting", self._clock()
        self._tell(job)
        self._tell_places()
        values = {"id": job.id, "order": job.order, "out": self.settings.out, "resume": job.resume}
        try:
            if not job.resume:
                await asyncio.to_thread(results.keep_order, self.settings.out, job.id, job.record)
            state = await self._drawer.work("draw", values, lambda kind, said: self._heard(job, kind, said))
            self._end(job, state)
        except (InputError, OSError, WorkFailed) as error:
            self._end(job, "failed", str(error))
        except WorkerDied as error:
            whole = results.folder(self.settings.out, job.id).exists()
            said = f"it did not stop for {UNRESPONSIVE:g} s and was ended" if job.stopping else str(error)
            self._end(job, "done" if whole else "cancelled" if job.stopping else "failed", said)
            with suppress(OSError):  # the next job tries again, and says it
                self._drawer.start()
        except asyncio.CancelledError:
            self._end(job, "cancelled", "the studio was stopped")
            raise
        except Exception as error:  # a fault of ours: it ends this job and no other
            traceback.print_exc()
            self._end(job, "failed", f"{type(error).__name__}: {error} (a fault of the program)")

    def _forget(self, job: Job) -> None:
        """Of a job of which nothing came nothing is kept."""
        if job.state != "done" and not self.unfinished(job.id):
            results.forget_order(self.settings.out, job.id)
            with suppress(OSError):
                self.in_vain(job.order.flat)

    def _heard(self, job: Job, kind: str, said: Mapping[str, Any]) -> None:
        """What the drawer says of its job."""
        job.heard = self._clock()
        if kind == "progress":
            job.done, job.total, job.stage, job.seconds_left = (said[name] for name in _PROGRESS)
        if kind == "drawn":
            job.drawn, job.stage, job.seconds_left = True, "making pictures", None
            self._tell(job)
        elif kind == "note":
            job.notes.append(said["text"])
            self._tell(job)
        else:
            job.tell(kind, said)

    def _end(self, job: Job, state: Any, error: str = "") -> None:
        """A job is over. Of those before it the pictures on the way are dropped, and the oldest are forgotten."""
        job.state, job.place, job.error, job.stage, job.seconds_left = state, None, error, state, None
        self._tell(job)
        job.news.pop("progress", None)
        job.tell("end", self.status(job))
        over = [one for one in self._jobs.values() if one.over]
        for one in over:
            if one is not job:
                one.news.pop("frame", None)
        for one in over[: max(0, len(over) - HISTORY)]:
            del self._jobs[one.id]

    def _tell(self, job: Job) -> None:
        job.tell("state", self.status(job))

    def _tell_places(self) -> None:
        """Tells everybody who waits and has moved where they stand now."""
        for place, job in enumerate(self._queue, 1):
            if job.place != place:
                job.place = place
                self._tell(job)

    def _clock(self) -> float:
        return asyncio.get_running_loop().time()

    # Watching ---------------------------------------------------------------------------------------------

    def status(self, job: Job) -> dict[str, Any]:
        """What is known of a job, as JSON values, but for its result; see `found`."""
        return {
            "id": job.id,
            "state": job.state,
            **{name: getattr(job, name) for name in ("place", *_PROGRESS, "error", "created")},
            "notes": list(job.notes),
            "unfinished": self.unfinished(job.id) if job.over and job.state != "done" else None,
            **{name: value for name, value in job.record.items() if name != "flat"},
            "result": None,
        }

    async def found(self, id: str) -> dict[str, Any]:
        """The status of a job, or of a result of which no job is known; with its view, which is made if it is missing.

        NotThere if there is neither; InputError if the folder cannot be read.
        """
        job = self._jobs.get(id)
        if job is not None and job.state != "done":
            return self.status(job)
        try:
            shown = await self.result(id)
        except (InputError, WorkFailed, WorkerDied) as error:
            if job is None:
                raise
            return {**self.status(job), "notes": [*job.notes, f"the samples cannot be shown: {error}"]}
        except results.NotThere:
            if unfinished := self.unfinished(id):
                return {"id": id, "state": "cancelled", "unfinished": unfinished, "result": None, **self._asked(id)}
            raise
        if job is not None:
            return {**self.status(job), "result": shown}
        again = {name: shown[name] for name in _AGAIN}
        return {"id": id, "state": "done", "unfinished": None, **again, "result": shown}

    def _asked(self, id: str) -> dict[str, Any]:
        """What the studio was asked for, if it was; nothing of what was drawn elsewhere."""
        try:
            order = results.order(self.settings.out, id)
        except (results.NotThere, InputError):
            return {}
        return {name: order[name] for name in _AGAIN}

    def unfinished(self, id: str) -> str | None:
        """How many samples of a result are whole, in words, if these are not all; else None."""
        place = results.folder(self.settings.out, id)
        try:
            return counted(read_members(part_of(place))) if is_unfinished(place) else None
        except (InputError, OSError) as error:
            return str(error)

    async def subscribe(
        self, id: str, last_event_id: int = 0, attached: bool = False
    ) -> AsyncGenerator[tuple[str, Mapping[str, Any], int]]:
        """What happens to a job: (kind, what is said, number), to its "end"; of a result that there is, its end alone.

        Args:
            id: of the job.
            last_event_id: the number of the last event that was seen; those before it are not told again.
            attached: the job is cancelled once all streams of this kind are closed and none has come back.
        """
        job = self._jobs.get(id)
        if job is None:
            yield "end", await self.found(id), max(1, last_event_id)
            return
        job.attached += attached
        try:
            async for kind, said, number in job.watch(last_event_id):
                yield kind, await self.found(id) if kind == "end" else said, number
        finally:
            job.attached -= attached
            if attached and not job.attached and not job.over:
                self._begin(self._cancel_detached(job))

    async def _cancel_detached(self, job: Job) -> None:
        """Cancels a job that nobody has come back to."""
        await asyncio.sleep(DETACHED)
        if not (job.attached or job.over or job.drawn):
            self.cancel(job.id)

    # Results ----------------------------------------------------------------------------------------------

    async def ask(self, kind: str, **values: Any) -> Any:
        """What a worker says: view, evaluate, trust, backdrop or hand, as the methods of worker.py are called.

        InputError as it was raised there, word for word; WorkFailed and WorkerDied for what is no fault of the input.
        """
        if self._closing:
            raise WorkFailed("the studio is being stopped")
        if kind in ("view", "evaluate", "trust"):
            values = {"out": self.settings.out, **values}
        worker = self._judge if kind in ("evaluate", "trust") else self._viewer
        return await worker.work(kind, values, limit=LONGEST[kind])

    async def result(self, id: str) -> dict[str, Any]:
        """The view of a finished result, which is made if it is missing; NotThere if there is no such result."""
        shown = await asyncio.to_thread(results.view, self.settings.out, id)
        if shown is None:
            await self._view(id)
            shown = await asyncio.to_thread(results.view, self.settings.out, id)
        if shown is None:
            raise results.NotThere(f"{id}: was changed while it was read")
        return shown

    async def _view(self, id: str) -> None:
        """Has a view made; whoever asks for the same one meanwhile waits for the same work."""
        if id not in self._viewing:
            task = asyncio.get_running_loop().create_task(self.ask("view", id=id))
            task.add_done_callback(lambda task: (self._viewing.pop(id, None), task.cancelled() or task.exception()))
            self._viewing[id] = task
        await asyncio.shield(self._viewing[id])

    async def gallery(self, limit: int = 50, before: str = "") -> list[dict[str, Any]]:
        """What there is, the newest first. Views that are missing are made in the meantime, for the next look."""
        entries = await asyncio.to_thread(results.gallery, self.settings.out, limit, before)
        missing = [one["id"] for one in entries if not one.get("viewed", True) and _named(one) not in self._unshown]
        if missing and (self._catching_up is None or self._catching_up.done()):
            self._catching_up = self._begin(self._catch_up(entries, missing))
        return [{**one, "note": self._unshown.get(_named(one))} for one in entries]

    async def _catch_up(self, entries: list[dict[str, Any]], missing: list[str]) -> None:
        """Makes the views of these results, one after the other; what cannot be shown is told with the next look."""
        for one in entries:
            if one["id"] in missing:
                try:
                    await self._view(one["id"])
                except (InputError, WorkFailed, WorkerDied) as error:
                    self._unshown[_named(one)] = str(error)
        while len(self._unshown) > HISTORY:
            del self._unshown[next(iter(self._unshown))]


def _named(entry: Mapping[str, Any]) -> str:
    """A result of the gallery, and no other that later has its name."""
    return f"{entry['id']} {entry.get('created')}"
