"""Twenty clients draw at once: no request is lost, none is drawn twice, and the memory stays as it is."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from serving import Served, serving
from worlds import rejected

ROOT = Path(__file__).parents[2]
CLIENTS, STEPS = 20, 2
GROWTH = 1.03
"""Of the memory of all processes, from the first third of a minute to the last: noise of what is freed late."""


@pytest.fixture(scope="module")
def bench() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        return import_module("benchmarks.studio")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("load")) as one:
        yield one


def assert_complete(seen: Any, found: dict[str, int]) -> None:
    """Every request that was accepted is on the disk once, with its seed, and its end was told once."""
    assert len(seen.seeds) == len(seen.waited) >= CLIENTS
    assert not seen.lost
    assert not seen.double
    assert {job: found.get(job) for job in seen.seeds} == seen.seeds


def assert_flat(seen: Any) -> None:
    assert seen.growth < GROWTH, seen.memory


@pytest.mark.slow
def test_a_rush_is_served_completely(studio: Served, bench: Any) -> None:
    seen = bench.load(studio, CLIENTS, 1.0, STEPS)
    assert_complete(seen, bench.drawn(studio.out))
    rejected(assert_complete, seen, {})
    job, seed = next(iter(seen.seeds.items()))
    rejected(assert_complete, seen, {**bench.drawn(studio.out), job: seed + 1})
    seen.ends.append(seen.ends[0])
    rejected(assert_complete, seen, bench.drawn(studio.out))


@pytest.mark.slow
def test_a_minute_of_twenty_clients_leaves_the_memory_as_it_was(studio: Served, bench: Any) -> None:
    alone = bench.warm(studio, STEPS)
    before = set(bench.drawn(studio.out))
    seen = bench.load(studio, CLIENTS, 60.0, STEPS)
    found = bench.drawn(studio.out)
    assert_complete(seen, found)
    assert found.keys() - before == seen.seeds.keys()
    assert_flat(seen)
    told = bench.row(seen, alone, clients=CLIENTS)
    print(told)
    seen.memory = [100 + k for k in range(300)]
    rejected(assert_flat, seen)
