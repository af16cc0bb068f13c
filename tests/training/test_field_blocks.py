"""Blocks in memory: never more than the bound, each read once while it is used, whatever the threads do."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ornstein.training.fields.blocks import Blocks

SIZE = 80


def block(k: int) -> np.ndarray:
    return np.full(SIZE // 8, float(k))


@given(
    names=st.lists(st.integers(0, 9), min_size=1, max_size=60),
    room=st.integers(3, 12),
    threads=st.integers(1, 6),
)
def test_memory_is_never_more_than_the_bound(names: list[int], room: int, threads: int) -> None:
    blocks, lock, now, most = Blocks(room * SIZE), threading.Lock(), [0], [0]

    def read(k: int) -> np.ndarray:
        with lock:
            now[0] += 1
            most[0] = max(most[0], blocks._taken)
        time.sleep(1e-5 * (k % 3))
        with lock:
            now[0] -= 1
        return block(k)

    def use(k: int) -> bool:
        with blocks.using(k, 3 * SIZE, lambda: read(k)) as found:
            return bool((found == k).all())

    with ThreadPoolExecutor(threads) as pool:
        assert all(pool.map(use, names))
    assert most[0] <= blocks.bound
    assert blocks._taken == sum(one.nbytes for one in blocks._kept.values()) <= blocks.bound
    assert not blocks._users
    assert len(set(names)) <= blocks.reads <= len(names)


def test_two_who_want_the_same_read_it_once() -> None:
    blocks, begun = Blocks(10 * SIZE), threading.Barrier(4)

    def use(_: int) -> None:
        begun.wait()
        with blocks.using("a", SIZE, lambda: (time.sleep(0.02), block(1))[1]):
            pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(4)))
    assert blocks.reads == 1


def test_what_was_used_last_stays() -> None:
    blocks, read = Blocks(3 * SIZE), []

    def use(k: int) -> None:
        with blocks.using(k, SIZE, lambda: (read.append(k), block(k))[1]):
            pass

    for k in (0, 1, 2, 0, 3, 0, 1):
        use(k)
    assert read == [0, 1, 2, 3, 1]


def test_a_read_that_fails_leaves_its_room() -> None:
    blocks = Blocks(3 * SIZE)

    def fail() -> np.ndarray:
        raise OSError(5, "the disk is gone")

    for _ in range(5):
        with pytest.raises(OSError, match="the disk is gone"), blocks.using("a", 3 * SIZE, fail):
            pass
    assert blocks._taken == 0
    with blocks.using("a", 3 * SIZE, lambda: block(1)) as found:
        assert (found == 1).all()
