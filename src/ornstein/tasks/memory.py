"""How much memory samples need, asked before any work: what cannot be held is refused at once."""

import ctypes
import os
from contextlib import suppress
from pathlib import Path

import torch

from ..denoisers.base import Denoiser
from ..distributed.ranks import ALONE, Ranks
from ..errors import InputError
from ..keys import Keys
from ..states import byte_count
from ..training.datasets import Dataset

MOST = 10**8
"""Samples of one call."""
_BESIDE = 200  # bytes a sample of what is kept beside its state: its names, its condition, its place in the manifest


def require_room(denoiser: Denoiser, ranks: Ranks = ALONE, **counts: int | None) -> None:
    """InputError if so many states of a model cannot be held, with what they need and what there is.

    Args:
        denoiser: the model, which says what a state is.
        ranks: that share the particles; every one of them holds all of what else is counted.
        counts: setting → how many states it asks for, such as n=16; None if it was not said.
    """
    for name, count in counts.items():
        if isinstance(count, int) and count > 1000:
            held = -(-count // ranks.size) if name == "particles" else count
            need, free = held * ranks.beside * _bytes(denoiser), available()
            if count > MOST or need > free:
                where = f" for {ranks.beside} of {ranks.size} ranks" if ranks.size > 1 else ""
                raise InputError(
                    f"{name} is {count}: so many samples need {need / 1e9:.3g} GB at least{where}, {free / 1e9:.3g} GB "
                    f"are free, and one call draws {MOST:.0e} at most; draw parts of them (--first, in Python first=) "
                    "and put these together with merge"
                )


def require_held(count: int, size: int, where: str) -> None:
    """InputError if samples that are needed together cannot be held, with what they need and what there is.

    Args:
        count: of the samples.
        size: bytes of one state.
        where: they are, for the error.
    """
    need, free = count * (_BESIDE + 2 * size), available()
    if need > free:
        raise InputError(
            f"{where}: {count:,} samples are needed together, which takes {need / 1e9:.3g} GB at least; "
            f"{free / 1e9:.3g} GB are free"
        )


def require_batch(data: Dataset, batch_size: int) -> None:
    """InputError if the records of one batch, their noise and what a network makes of them cannot be held.

    Args:
        data: to train on.
        batch_size: records an update.
    """
    x, condition = data.batch(torch.arange(1))
    need, free = 4 * batch_size * byte_count(x, condition), available()
    if need > free:
        said = f"a batch needs {need / 1e9:.3g} GB at least, {free / 1e9:.3g} GB are free"
        raise InputError(f"train.batch_size is {batch_size}: {said}")


def _bytes(denoiser: Denoiser) -> int:
    """Of one state, twice: where it is made and where it is kept."""
    one = denoiser.space.prior(Keys.of(0, 1, denoiser.device))
    return _BESIDE + 2 * byte_count(one)


def give_back() -> None:
    """Returns freed memory to the system, where the C library can (glibc's).

    It keeps freed blocks of up to 32 MB between those that are in use: of parts of 32 MB after some time 1 GB and more.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def available() -> int:
    """Bytes of memory that this process may still take, as far as the system tells."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    told = (line.split() for line in _lines("/proc/meminfo") if line.startswith("MemAvailable:"))
    found += [1024 * int(words[1]) for words in told]
    limit, used = (_lines(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit and used and limit[0].isdecimal():
        found.append(max(0, int(limit[0]) - int(used[0])))
    return min(found)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().split("\n")
    except OSError:
        return []
