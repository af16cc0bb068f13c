"""Workers that do pieces of work which know nothing of one another: this process, or the workers of a dask cluster.

    with Dask.local(workers=4) as pool:                  or Dask.at("tcp://host:8786"), pool_of(client), Here()
        for done in pool.results(work, shared, pieces):  work(shared, piece) of every piece, as they finish
            done.piece, done.value, done.error

A worker that is lost (killed, out of memory, its machine gone) loses no piece: others do what it was at. What `work`
raises is the error of its piece alone; whoever reads decides whether the rest goes on.
"""

import logging
import os
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from uuid import uuid4

from ..errors import InputError, needed_for
from .absence import Absence, Waiting, WorkersLost
from .parcels import NEEDS, Parcel

Shared = TypeVar("Shared")
Piece = TypeVar("Piece")
Value = TypeVar("Value")

DEATHS = 5
"""Workers of a cluster on this machine that may end at one piece before it is given up."""
ANSWER = 10
"""Seconds in which a scheduler must answer."""
PATIENCE = 600.0
"""Seconds without any worker after which work ends, if nothing else is said."""
_LOOK = 1.0
"""Seconds between two looks at how many workers there are."""
_POLL = 0.02
"""Seconds between two looks at what is done."""


@dataclass(frozen=True)
class Done(Generic[Piece, Value]):
    """One piece of work that has come to its end.

    Attributes:
        piece: which.
        value: what the work returned; None where it failed.
        error: what it raised, or `WorkersLost` where it has ended too many workers; None where it is done.
    """

    piece: Piece
    value: Value | None = None
    error: BaseException | None = None


class Pool(ABC):
    """Whoever does pieces of work. Used as a context, which gives back what it holds."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many pieces are done at the same time now."""

    @abstractmethod
    def results(
        self, work: Callable[[Shared, Piece], Value], shared: Shared, pieces: Sequence[Piece]
    ) -> Iterator[Done[Piece, Value] | Waiting]:
        """Every piece once, as it is done, in any order; at times, that workers are waited for. Closing the iterator
        gives up the others.

        WorkersLost if nobody has been there for too long who could do them.

        Args:
            work: a function of a module, of what is shared and a piece. It returns the same whenever it is called:
                where a worker is lost, a piece may be done more than once.
            shared: what all pieces need. It is sent once to every worker, and is the same object for all the pieces
                that one thread of a worker does.
            pieces: small ones.
        """

    def __str__(self) -> str:
        return f"{self.size} worker{'' if self.size == 1 else 's'}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives back what the pool holds, and nothing of what others gave it."""
        return


class Here(Pool):
    """This process, which does one piece after the other."""

    @property
    def size(self) -> int:
        return 1

    def results(
        self, work: Callable[[Shared, Piece], Value], shared: Shared, pieces: Sequence[Piece]
    ) -> Iterator[Done[Piece, Value]]:
        for piece in pieces:
            try:
                done = Done(piece, work(shared, piece))
            except Exception as error:
                done = Done[Piece, Value](piece, error=error)
            yield done


class Dask(Pool):
    """The workers of a dask cluster, also those that come later."""

    def __init__(self, client: Any, owned: ExitStack | None = None, patience: float | None = None) -> None:
        """The workers of a client.

        Args:
            client: a `distributed.Client`.
            owned: what ends with the pool.
            patience: seconds without any worker after which work ends; `PATIENCE` if not said.
        """
        self.client, self._owned, self.patience = client, owned or ExitStack(), patience or PATIENCE

    @classmethod
    def local(cls, workers: int | None = None, processes: bool = True, patience: float | None = None) -> "Dask":
        """A cluster of processes on this machine, of one thread each, which ends with the pool and with this process.

        Args:
            workers: how many; one a core that this process may use if not said.
            processes: False makes them threads of this one, for tests.
            patience: seconds without any worker after which work ends; `PATIENCE` if not said.
        """
        dask = _distributed()
        with ExitStack() as made:
            made.callback(_quietly())
            scratch = made.enter_context(tempfile.TemporaryDirectory(prefix="ornstein-", ignore_cleanup_errors=True))
            # No piece waits at a worker: it would be lost with it, and counted as one that the worker ended at.
            with _set(
                scheduler__allowed_failures=DEATHS - 1,
                scheduler__worker_saturation=1.0,
                nanny__pre_spawn_environ=_ENVIRONMENT,
            ):
                cluster = dask.LocalCluster(
                    n_workers=workers or _cores(),
                    threads_per_worker=1,
                    processes=processes,
                    memory_limit=0,
                    dashboard_address=":0",
                    silence_logs=logging.CRITICAL + 1,
                    local_directory=scratch,
                )
            made.callback(_close, cluster)
            client = dask.Client(cluster, set_as_default=False)
            made.callback(_close, client)
            return cls(client, made.pop_all(), patience)

    @classmethod
    def at(cls, scheduler: str, patience: float | None = None) -> "Dask":
        """The workers of a cluster that runs; InputError if no scheduler answers.

        Args:
            scheduler: its address, such as "tcp://10.0.0.1:8786", or the scheduler file that it wrote.
            patience: seconds without any worker after which work ends; `PATIENCE` if not said.
        """
        dask = _distributed()
        if "://" not in scheduler and not Path(scheduler).is_file():
            raise InputError(f"scheduler is {scheduler!r}, expected an address such as tcp://10.0.0.1:8786, or a file")
        how = {"address": scheduler} if "://" in scheduler else {"scheduler_file": scheduler}
        with ExitStack() as made:
            made.callback(_quietly())
            try:
                client = dask.Client(**how, set_as_default=False, timeout=ANSWER)
            except (OSError, ValueError, ImportError) as error:
                why = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise InputError(f"scheduler is {scheduler!r}, where no dask scheduler answers ({why})") from None
            made.callback(_close, client)
            return cls(client, made.pop_all(), patience)

    @property
    def size(self) -> int:
        # What it says of each worker may be missing: the client asks for that of none every two seconds.
        return self.client.scheduler_info().get("total_threads", 0)

    def results(
        self, work: Callable[[Shared, Piece], Value], shared: Shared, pieces: Sequence[Piece]
    ) -> Iterator[Done[Piece, Value] | Waiting]:
        dask = _distributed()
        parcel = Parcel.of((work, shared))
        name = uuid4().hex
        keys = [(f"pieces-{name}", k) for k in range(len(pieces))]  # one group of tasks: they wait at the scheduler
        with _set(admin__large_graph_warning_threshold="1 TB"):
            given: Any = parcel
            if len(pieces) > 2 * self.size:  # fewer would all go where the parcel is: they carry it themselves
                # A task that returns the parcel, not scattered data, which are lost with the workers that hold them.
                given = self.client.submit(_itself, parcel, key=f"parcel-{name}", pure=False)
            futures = self.client.map(_done, list(pieces), parcel=given, key=keys, pure=False)
            places = dict(zip(keys, pieces, strict=True))
            completed = dask.as_completed(futures, loop=self.client.loop)
            try:
                for future in self._ended(completed):
                    if isinstance(future, Waiting):
                        yield future
                        continue
                    piece = places.pop(future.key)
                    done = self._read(future, piece)
                    future.release()  # what was read need not be done again where a worker is lost
                    if done is None:
                        key = (f"pieces-{name}", len(futures))
                        futures.append(self.client.submit(_done, piece, parcel=parcel, key=key, pure=False))
                        places[key] = piece
                        completed.add(futures[-1])
                        continue
                    yield done
            finally:
                self._give_up(futures)

    def _ended(self, completed: Any) -> Iterator[Any]:
        """Futures as they come to an end, and now and then that workers are waited for; WorkersLost after too long."""
        absence, looked = Absence(f"the scheduler at {self._address}", self.patience), 0.0
        while completed.count():
            batch = completed.next_batch(block=False)
            yield from batch
            if not batch:
                time.sleep(_POLL)
            if not batch and time.monotonic() >= looked + _LOOK:
                looked, told = time.monotonic(), absence.seen(self.size)
                yield from [told] if told else []

    def _read(self, future: Any, piece: Piece) -> Done[Piece, Any] | None:
        """What a future has come to; None if its result went with a worker; WorkersLost if the scheduler is gone."""
        if future.status == "error":
            error = future.exception()
            if isinstance(error, _distributed().KilledWorker):
                last = error.last_worker.address
                error = WorkersLost(f"{error.allowed_failures + 1} workers have ended at it, the last at {last}")
            return Done(piece, error=error)
        try:
            return Done(piece, future.result())
        except (OSError, CancelledError) as error:
            if self.client.status == "running" and isinstance(error, CancelledError):
                return None
            raise WorkersLost(f"the scheduler at {self._address} is gone") from None

    @property
    def _address(self) -> str:
        return getattr(self.client.scheduler, "address", "its address")

    def _give_up(self, futures: Sequence[Any]) -> None:
        """Forgets the pieces that are left; what a worker is at, it ends."""
        left = [future for future in futures if future.status == "pending"]
        if left and self.client.status == "running":
            self.client.cancel(left, force=True)

    def close(self) -> None:
        self._owned.close()


def pool_of(on: Any) -> Pool:
    """The pool that a user means: a `Pool` as it is, a `distributed.Client` or a cluster as its workers.

    Args:
        on: one of these, such as a client of dask-jobqueue's or dask-kubernetes's cluster.
    """
    if isinstance(on, Pool):
        return on
    dask = _distributed()
    if isinstance(on, dask.Client) and not on.asynchronous:
        return Dask(on)
    raise InputError(f"on is {type(on).__name__}, expected a distributed.Client (that is not asynchronous) or a Pool")


# What workers do -------------------------------------------------------------------------------------


def _itself(parcel: Parcel) -> Parcel:
    return parcel


def _done(piece: Any, parcel: Parcel) -> Any:
    """What a worker does."""
    work, shared = parcel.opened()
    return work(shared, piece)


# Dask -------------------------------------------------------------------------------------------------


def _distributed() -> Any:
    """The module; InputError where it is not installed."""
    with needed_for(NEEDS, "dask"):
        import distributed
    return distributed


_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), 1),
    "MALLOC_ARENA_MAX": 1,
    "MALLOC_MMAP_THRESHOLD_": 1 << 25,
    "MALLOC_TRIM_THRESHOLD_": 1 << 30,
}
"""Of a worker process on this machine: one thread, and memory that is kept. Dask has glibc give it back to the system
at every step of a network, which then takes twice the time."""


def _set(**settings: Any) -> Any:
    """Settings of `distributed` within a block: name, with "__" for each ".", and "_" for each "-" → value.

    KeyError for a name that it does not know, which it would ignore.
    """
    from dask import config  # pyright: ignore[reportPrivateImportUsage], its documented place

    found = {f"distributed.{_written(name)}": value for name, value in settings.items()}
    for name in found:
        config.get(name)
    return config.set(found)


def _written(name: str) -> str:
    return name.replace("__", ".").replace("_", "-")


def _close(one: Any) -> None:
    """Closes a cluster or a client; on a busy machine it may take too long, which is nothing that the work has done.

    What is left of it ends with this process.
    """
    with suppress(TimeoutError, OSError):
        one.close(timeout=5)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quietly() -> Callable[[], None]:
    """Silences what dask logs of lost workers and connections, which is said here, once; returns what undoes that."""
    _distributed()
    handlers = [(handler, handler.level) for handler in logging.getLogger("distributed").handlers]
    for handler, _ in handlers:
        handler.setLevel(logging.CRITICAL + 1)

    def undo() -> None:
        for handler, level in handlers:
            handler.setLevel(level)

    return undo
