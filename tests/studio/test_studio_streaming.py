"""Server-sent events as browsers read them: numbered, kept alive in silence, and closed with whoever reads them."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from math import nan
from typing import Any

import pytest

from ornstein.studio.door.streaming import event, last_event_id, lines

News = AsyncIterator[tuple[str, Mapping[str, Any], int]]


def test_an_event_is_three_lines_whatever_it_says() -> None:
    head, *rest = event("progress", {"stage": "a\nb\r\nc", "seconds_left": nan}, 12).decode().split("\n")
    assert (head, rest[0]) == ("id: 12", "event: progress")
    assert json.loads(rest[1].removeprefix("data: ")) == {"stage": "a\nb\r\nc", "seconds_left": None}
    assert rest[2:] == ["", ""]


async def news_of(gaps: list[float], closed: list[bool]) -> News:
    try:
        for k, gap in enumerate(gaps):
            await asyncio.sleep(gap)
            yield "progress", {"k": k}, k
    finally:
        closed.append(True)


def test_silence_is_broken_by_comments_and_no_news_is_lost() -> None:
    async def read() -> list[bytes]:
        return [line async for line in lines(news_of([0.0, 0.25, 0.0], []), beat=0.1)]

    found = asyncio.run(read())
    assert found[0] == b"retry: 1000\n\n"
    assert [line for line in found[1:] if line.startswith(b"id")] == [event("progress", {"k": k}, k) for k in range(3)]
    assert found.count(b": still there\n\n") == 2


def test_a_reader_that_leaves_in_the_middle_closes_the_news() -> None:
    async def left(read: int) -> list[bool]:
        closed: list[bool] = []
        stream = lines(news_of([0.0, 60.0], closed), beat=0.01)
        for _ in range(read):
            await anext(stream)
        await stream.aclose()  # pyright: ignore[reportAttributeAccessIssue]
        return closed

    for read in (2, 3, 4):  # after the first event, and in the silence after it
        assert asyncio.run(left(read)) == [True]


@pytest.mark.parametrize(
    ("header", "number"), [(None, 0), ("", 0), ("17", 17), ("-1", 0), ("x", 0), ("²", 0), ("9" * 99, 0)]
)
def test_the_last_event_is_a_number_or_none(header: str | None, number: int) -> None:
    assert last_event_id(header) == number
