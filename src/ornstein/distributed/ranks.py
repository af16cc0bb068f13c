"""The ranks of a `torchrun` launch: processes that hold one collection of rows together, each a part of it.

    with launched() as ranks:                      alone, where torchrun did not start this process
        mine = [row(k) for k in ranks.part(n)]
        weights = ranks.gathered(weights_of(mine))         all n of them, on every rank
        mine = ranks.exchanged(mine, index)                the rows `index`, this rank's part of these

Every rank makes the same calls in the same order. Each call first says how the others are: where one of them has
failed, all of them learn why and end, instead of waiting for it. Rows travel as bytes, whatever their numbers are.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..states import State, batch_size, leaves, map_state, take

PATIENCE = timedelta(hours=2)
"""How long a rank waits for the others, one of which may be writing files."""
_LAUNCH = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_MOST = 1 << 30
"""Bytes a rank sends or receives at once, of which the libraries count no more than 2³¹."""
_FAILED = -1


class RankError(RuntimeError):
    """Another rank has failed; says which and why.

    Args:
        rank: that failed.
        exit_code: of its error.
        text: what went wrong there.
    """

    def __init__(self, rank: int, exit_code: int, text: str) -> None:
        super().__init__(f"rank {rank}: {text}")
        self.rank, self.exit_code = rank, exit_code


@dataclass(frozen=True)
class Ranks:
    """The processes that hold one collection together.

    Attributes:
        rank: the number of this one, from 0.
        size: how many there are.
        device: where what travels between them is: cpu with gloo, cuda with nccl.
        beside: how many of them are on this machine, this one included.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"
    beside: int = 1

    def part(self, n: int, rank: int | None = None) -> range:
        """Which of n rows a rank holds: parts follow one another, and differ by one row at most.

        Args:
            n: rows of all ranks.
            rank: this one if not said.
        """
        rank = self.rank if rank is None else rank
        return range(rank * n // self.size, (rank + 1) * n // self.size)

    def total(self, n: int) -> int:
        """The sum over the ranks of this number."""
        return n if self.size == 1 else sum(self._met(n))

    def gathered(self, state: State) -> Any:
        """The rows of all ranks, one after another, on every rank.

        Args:
            state: this rank's, (rows, ...); every rank's may have another number of rows.
        """
        if self.size == 1:
            return state
        lengths = self._met(batch_size(state))
        return map_state(lambda leaf: _as_bytes(leaf, lambda rows: self._gathered(rows, lengths)), state)

    def agreed(self, value: Tensor) -> Tensor:
        """What rank 0 holds: machines may differ in the last digit, and what all do next must not.

        Args:
            value: of one shape and kind of number on every rank.
        """
        if self.size == 1:
            return value
        self._met(0)
        sent = value.detach().contiguous().reshape(1, -1).view(torch.uint8).to(self.device, copy=True)
        with _travelling(self) as distributed:
            distributed.broadcast(sent, 0)
        return sent.to(value.device).view(value.dtype).reshape(value.shape)

    def exchanged(self, state: State, index: Tensor) -> Any:
        """The rows `index` of all ranks, this rank's part of them; only what another rank needs travels, once.

        Args:
            state: this rank's rows, (rows, ...), its `part` of those of all.
            index: numbers among the rows of all ranks, the same on every rank.
        """
        if self.size == 1:
            return take(state, index)
        if not leaves(state):
            return state
        index = index.cpu()
        rows, mine = self.total(batch_size(state)), self.part(len(index))
        held = self.part(rows)
        sent = [_within(_of(index, self.part(len(index), rank)).unique(), held) for rank in range(self.size)]
        wanted = _of(index, mine)
        needed = wanted.unique()  # in order, so that they arrive in order from rank to rank
        counts = [len(_within(needed, self.part(rows, rank))) for rank in range(self.size)]
        places = torch.searchsorted(needed, wanted)
        chosen = torch.cat(sent) - held.start

        def move(leaf: Tensor) -> Tensor:
            here = leaf[chosen.to(leaf.device)]
            there = _as_bytes(here, lambda rows: self._dealt(rows, [len(one) for one in sent], counts, len(index)))
            return there[places.to(leaf.device)]

        return map_state(move, state)

    def collected(self, state: State, index: Tensor) -> Any:
        """The rows `index` of all ranks, on every rank.

        Args:
            state: this rank's rows, (rows, ...), its `part` of those of all.
            index: ascending numbers among the rows of all ranks, the same on every rank.
        """
        if self.size == 1 or not leaves(state):
            return take(state, index)
        held = self.part(self.total(batch_size(state)))
        return self.gathered(take(state, _within(index, held) - held.start))

    def fail(self, error: BaseException) -> None:
        """Tells the others, in the place of what they wait for, that this rank has failed.

        Args:
            error: why.
        """
        if self.size == 1 or isinstance(error, RankError):
            return
        text = "; ".join([str(error) or type(error).__name__, *getattr(error, "__notes__", ())])
        said = str(getattr(error, "exit_code", 1)) + " " + text
        with suppress(RankError):  # of this one; or they have failed, too, or are gone: there is nobody to tell
            self._met(_FAILED, said.encode()[:10_000])

    def finish(self) -> None:
        """Waits until all ranks have come here; RankError where one of them has failed instead."""
        if self.size > 1:
            self._met(0)

    def _met(self, length: int, text: bytes = b"") -> list[int]:
        """The lengths that the ranks are about to send; RankError if one of them has failed."""
        said = torch.tensor([[length, len(text)]], device=self.device)
        with _travelling(self) as distributed:
            all_said = [torch.empty_like(said) for _ in range(self.size)]
            distributed.all_gather(all_said, said)
            lengths, texts = torch.cat(all_said).cpu().T.tolist()
            if _FAILED not in lengths:
                return lengths
            rank = lengths.index(_FAILED)
            words = torch.tensor(list(text if rank == self.rank else bytes(texts[rank])), dtype=torch.uint8)
            words = words.to(self.device)
            distributed.broadcast(words, rank)
        code, _, why = bytes(words.tolist()).decode(errors="replace").partition(" ")
        raise RankError(rank, int(code), why)

    def _gathered(self, rows: Tensor, lengths: Sequence[int]) -> Tensor:
        """(rows, bytes) of all ranks."""
        with _travelling(self) as distributed:
            padded = torch.zeros(max(lengths), rows.shape[1], dtype=rows.dtype, device=self.device)
            padded[: len(rows)] = rows
            received = [torch.empty_like(padded) for _ in lengths]
            distributed.all_gather(received, padded)
            return torch.cat([one[:length] for one, length in zip(received, lengths, strict=True)]).to(rows.device)

    def _dealt(self, rows: Tensor, sent: list[int], received: list[int], n: int) -> Tensor:
        """(rows, bytes): so many sent to each rank, for so many of each; some columns at a time, of n rows at most."""
        width = max(1, _MOST // n)
        with _travelling(self) as distributed:
            arrived = rows.new_empty(sum(received), rows.shape[1])
            for first in range(0, rows.shape[1], width):
                here = rows[:, first : first + width].contiguous().to(self.device)
                there = here.new_empty(len(arrived), here.shape[1])
                distributed.all_to_all_single(there, here, received, sent)
                arrived[:, first : first + width] = there.to(rows.device)
            return arrived


ALONE = Ranks()
"""The one rank of a process that torchrun did not start."""


@contextmanager
def _travelling(ranks: Ranks) -> Iterator[Any]:
    """The module that rows travel by. What goes wrong within leaves the ranks at different places, so that none of them
    can tell the others: their connections close as this one ends.
    """
    from torch import distributed

    try:
        yield distributed
    except RuntimeError as error:
        why = (
            re.sub(r"^\[\S*\]\s*", "", str(error)).partition(". ")[0] or type(error).__name__
        )  # no place in gloo's source
        raise RankError(ranks.rank, 1, f"what travels between the ranks was lost ({why or error!r})") from error


def _as_bytes(leaf: Tensor, send: Callable[[Tensor], Tensor]) -> Tensor:
    """What arrives of rows that are sent as bytes, (rows, bytes)."""
    rows = leaf.detach().contiguous().reshape(len(leaf), leaf.shape[1:].numel())
    arrived = send(rows.view(torch.uint8))
    return arrived.view(leaf.dtype).reshape(len(arrived), *leaf.shape[1:])


def _of(index: Tensor, part: range) -> Tensor:
    return index[part.start : part.stop]


def _within(numbers: Tensor, part: range) -> Tensor:
    """Those of the numbers that are in a part."""
    return numbers[(numbers >= part.start) & (numbers < part.stop)]


# The launch -------------------------------------------------------------------------------------------


@contextmanager
def launched(device: str = "auto") -> Iterator[Ranks]:
    """The ranks of the launch that started this process, until the block ends on all of them; `ALONE` if there is none.

    An error in the block of one rank ends it on the others with a RankError. A rank that is killed ends the others
    as soon as the system says that its connections are closed.

    Args:
        device: cpu, cuda (one device a rank, its number the local one), or auto for CUDA if there is one.

    InputError if a rank has no CUDA device of its own.
    """
    size = launch_size()
    if size == 1:
        yield ALONE
        return
    from torch import distributed

    on = "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"
    if on == "cuda":
        _take_device()
    distributed.init_process_group("nccl" if on == "cuda" else "gloo", timeout=PATIENCE)
    ranks = Ranks(distributed.get_rank(), size, on, int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
    try:
        yield ranks
        ranks.finish()
    except BaseException as error:
        ranks.fail(error)
        raise
    finally:
        distributed.destroy_process_group()


def launch_size() -> int:
    """How many processes torchrun has started together with this one, 1 if it has not."""
    return int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in _LAUNCH) else 1


def _take_device() -> None:
    """This rank's own CUDA device, which "cuda" means from here on."""
    local, there = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if local >= there:
        raise InputError(
            f"rank {os.environ['RANK']} is number {local} on its machine, counted from 0, which has {there} CUDA "
            "devices: start as many as there are (torchrun --nproc-per-node), or say --device cpu"
        )
    torch.cuda.set_device(local)
