"""Many clients that draw at once: what each waits, whether any request is lost, and what the processes hold.

python -m benchmarks.studio [--clients 20] [--seconds 60] [--steps 10] [--out FILE]

Starts `ornstein studio`, lets every client draw digits one after the other and follow its events to the end, and writes
one row: jobs that were finished, lost and double, the seconds that a client waited from asking to its result, those of
the answers of the server meanwhile, and the memory of all its processes in the first and the last third of the time.
All clients share one worker, so each of them waits for the others' turns; what one draw takes alone stands beside it.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests")]

from serving import Served, serving  # noqa: E402

PATIENCE = httpx.Timeout(120.0)
WARM = 4  # draws before anything is measured, after which all is imported that will be
PAUSE = 0.25  # seconds between two looks at the memory, and between two questions


@dataclass
class Seen:
    """What happened.

    Attributes:
        seeds: of the jobs that were accepted, by id; each client asks for other ones.
        ends: the state in which each ended, as often as that was told.
        waited: seconds from asking to the end.
        accepted: seconds from asking to the answer.
        answered: seconds that the server took to say how it goes, asked all the time.
        memory: MB of all processes, all the time.
    """

    seeds: dict[str, int] = field(default_factory=dict)
    ends: list[tuple[str, str]] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    @property
    def lost(self) -> list[str]:
        """Jobs that were accepted and did not end with a result."""
        done = {id for id, state in self.ends if state == "done"}
        return [id for id in self.seeds if id not in done]

    @property
    def double(self) -> list[str]:
        """Jobs whose end was told twice, or that nobody asked for."""
        ids = [id for id, _ in self.ends]
        return [id for id in set(ids) if ids.count(id) > 1 or id not in self.seeds]

    @property
    def growth(self) -> float:
        """The memory of the last third beside that of the first, 1 if it is the same."""
        third = max(1, len(self.memory) // 3)
        return median(self.memory[-third:]) / median(self.memory[:third])


def drawn(out: Path) -> dict[str, int]:
    """The seeds of the samples in a folder of results, by their own folder."""
    manifests = (path for path in out.glob("*/manifest.json"))
    return {path.parent.name: json.loads(path.read_text())["settings"]["seed"] for path in manifests}


def load(studio: Served, clients: int, seconds: float, steps: int) -> Seen:
    """Lets so many clients draw for so long, each waiting for its result before it asks again."""
    return asyncio.run(_load(studio, clients, seconds, steps))


async def _load(studio: Served, clients: int, seconds: float, steps: int) -> Seen:
    seen = Seen()
    limits = httpx.Limits(max_connections=3 * clients + 10)
    async with httpx.AsyncClient(base_url=studio.address, timeout=PATIENCE, trust_env=False, limits=limits) as client:
        until = time.monotonic() + seconds
        asking = [_draw_on(client, k, until, steps, seen) for k in range(clients)]
        watching = asyncio.create_task(_watch(client, studio, seen))
        await asyncio.gather(*asking)
        watching.cancel()
    return seen


async def _draw_on(client: httpx.AsyncClient, k: int, until: float, steps: int, seen: Seen) -> None:
    """One client, who draws with a seed of its own again and again."""
    number = 0
    while time.monotonic() < until:
        await _draw(client, f"client {k}", 1000 * k + number, steps, seen)
        number += 1


async def _draw(client: httpx.AsyncClient, owner: str, seed: int, steps: int, seen: Seen) -> None:
    started = time.monotonic()
    body = {"model": "images/digits", "n": 1, "steps": steps, "seed": seed}
    answer = await client.post("/v1/samples", json=body, headers={"x-owner": owner})
    assert answer.status_code == 202, answer.text
    seen.accepted.append(time.monotonic() - started)
    job = answer.json()["id"]
    seen.seeds[job] = seed
    async with client.stream("GET", f"/v1/samples/{job}/events", headers={"x-owner": owner}) as events:
        kind = ""
        async for line in events.aiter_lines():
            kind = line.removeprefix("event:").strip() if line.startswith("event:") else kind
            if kind == "end" and line.startswith("data:"):
                seen.ends.append((job, json.loads(line.removeprefix("data:"))["state"]))
    seen.waited.append(time.monotonic() - started)


async def _watch(client: httpx.AsyncClient, studio: Served, seen: Seen) -> None:
    """Asks how it goes, as a page does, and looks at the memory."""
    while True:
        seen.memory.append(studio.memory())
        started = time.monotonic()
        await client.get("/v1/samples", params={"limit": 10})
        seen.answered.append(time.monotonic() - started)
        await asyncio.sleep(PAUSE)


async def _alone(studio: Served, steps: int) -> Seen:
    """Draws with nobody else there: everything is imported before, and a draw costs what it costs."""
    seen = Seen()
    async with httpx.AsyncClient(base_url=studio.address, timeout=PATIENCE, trust_env=False) as client:
        for k in range(WARM):
            await _draw(client, "first", 10**6 + k, steps, seen)
    return seen


def warm(studio: Served, steps: int) -> float:
    """Seconds that one draw takes from asking to its result with nobody else there."""
    return min(asyncio.run(_alone(studio, steps)).waited)


def row(seen: Seen, alone: float, **about: Any) -> dict[str, Any]:
    """What was measured, as a line of the file."""
    return {
        **about,
        "done": len(seen.waited),
        "lost": len(seen.lost),
        "double": len(seen.double),
        "seconds_alone": round(alone, 3),
        **_latency("seconds_waited", seen.waited),
        **_latency("seconds_accepted", seen.accepted),
        **_latency("seconds_answered", seen.answered),
        "mb": round(median(seen.memory)),
        "mb_growth": round(seen.growth, 4),
    }


def _latency(name: str, values: Sequence[float]) -> dict[str, float]:
    return {name: round(median(values), 4), f"{name}_95": round(quantiles(values, n=20)[-1], 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "studio.jsonl")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as studio:
        alone = warm(studio, asked.steps)
        seen = load(studio, asked.clients, asked.seconds, asked.steps)
        assert set(drawn(studio.out)) >= set(seen.seeds)
    cores, today = len(os.sched_getaffinity(0)), time.strftime("%Y-%m-%d")
    told = row(seen, alone, clients=asked.clients, seconds=asked.seconds, steps=asked.steps, cores=cores, date=today)
    print(json.dumps(told, indent=2))
    with asked.out.open("a") as file:
        file.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
