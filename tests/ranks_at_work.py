"""What two processes do together, started by tests/distributed/test_ranks.py: real ranks, over gloo."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ornstein.distributed.ranks import Ranks, launched
from ornstein.errors import InputError
from ornstein.guidance.factors import Energy
from ornstein.keys import Keys
from ornstein.sampling.diagnostics import systematic
from ornstein.sampling.particles import Particles
from ornstein.states import take
from ornstein.tasks import engines
from ornstein.tasks.drawing import sample
from populated import SEEN, WORLDS
from worlds import anisotropic

ROWS = {
    "flags": torch.arange(7) % 3 == 0,
    "inner": {"numbers": torch.arange(42, dtype=torch.float16).reshape(7, 2, 3)},
    "counts": torch.arange(7),
}
INDEX = torch.tensor([6, 0, 0, 5, 3, 3, 3, 1, 2])
"""Rows that two ranks of 3 and 4 change to: to one of 4, and one of 5."""


class WithinRanks(Particles):
    """A broken twin: each rank resamples its own particles, as if their weights were all there are."""

    def _chosen(self, weights: Tensor, keys: Keys) -> Tensor:
        u = self.ranks.agreed(keys[:1].fold("resample").uniform()[0])
        parts = [self.ranks.part(len(weights), rank) for rank in range(self.ranks.size)]
        return torch.cat([systematic(weights[one.start : one.stop], u) + one.start for one in parts])


def rows(ranks: Ranks) -> dict[str, Any]:
    """What becomes of rows."""
    part = ranks.part(7)
    mine = take(ROWS, slice(part.start, part.stop))
    return {
        "part": torch.tensor([part.start, part.stop]),
        "total": torch.tensor(ranks.total(len(part))),
        "gathered": ranks.gathered(mine),
        "exchanged": ranks.exchanged(mine, INDEX),
        "collected": ranks.collected(mine, INDEX.sort().values),
        "agreed": ranks.agreed(torch.tensor([ranks.rank + 0.5])),
        "nothing": ranks.exchanged({}, INDEX),
    }


def populations(ranks: Ranks) -> dict[str, Any]:
    """A population of each world, and of the broken twin."""
    drawn = {name: world(ranks=ranks) for name, world in WORLDS.items()}
    drawn["in chunks"] = WORLDS["looking_back"](ranks=ranks, batch_size=4)
    engines.Particles = WithinRanks  # pyright: ignore[reportPrivateImportUsage]
    drawn["twin"] = WORLDS["labelled"](ranks=ranks)
    engines.Particles = Particles  # pyright: ignore[reportPrivateImportUsage]
    return drawn


@dataclass
class Failing:
    """An energy that fails on one rank, when it is asked for the fourth time."""

    rank: int
    calls: list[int] = field(default_factory=list)

    def __call__(self, x: Tensor) -> Tensor:
        self.calls.append(len(x))
        if len(self.calls) == 4 and os.environ["RANK"] == str(self.rank):
            raise InputError("the energy is not defined there")
        return x[:, 0]


def failing(ranks: Ranks) -> None:
    """A population, one rank of which fails."""
    sample(anisotropic() & SEEN & Energy(Failing(1)), 2, 4, exact="particles", particles=8, ranks=ranks)


def killed(ranks: Ranks) -> None:
    """One rank is killed while the other waits for it."""
    if ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    ranks.total(1)


def at_work(rank: int, size: int, ports: list[int], folder: Path) -> None:
    """One rank: each task is a launch of its own; what it led to goes to a file of the folder."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1"}
    tasks: list[Callable[[Ranks], Any]] = [rows, populations, failing, killed]
    for task, port in zip(tasks, ports, strict=True):
        os.environ["MASTER_PORT"] = str(port)
        try:
            with launched("cpu") as ranks:
                found = task(ranks)
        except Exception as error:
            found = type(error).__name__, str(error), getattr(error, "exit_code", None)
        torch.save(found, folder / f"{task.__name__}-{rank}.part")
        (folder / f"{task.__name__}-{rank}.part").rename(folder / f"{task.__name__}-{rank}")
