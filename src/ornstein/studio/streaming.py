"""What happens to a job as server-sent events, as browsers' EventSource reads them.

id: 12
event: progress
data: {"done": 3, "total": 20, "stage": "sampling", "seconds_left": 1.2}
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from ..files import plain

BEAT = 10.0
"""Seconds of silence after which a comment line keeps the connection, and shows whether anybody is there."""
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Of the response: nothing on the way may keep the events back."""


News = tuple[str, Mapping[str, Any], int]
"""A kind, what is said, and a number that rises."""


async def lines(news: AsyncIterator[News], beat: float = BEAT) -> AsyncGenerator[bytes]:
    """The body of a text/event-stream; closing it closes the news.

    Args:
        news: kinds, what is said, and numbers, as `Studio.subscribe` yields them.
        beat: seconds of silence before a comment line.
    """
    following = asyncio.ensure_future(anext(news, None))
    try:
        yield b"retry: 1000\n\n"
        while True:
            done, _ = await asyncio.wait({following}, timeout=beat)
            if not done:
                yield b": still there\n\n"
                continue
            told = following.result()
            if told is None:
                return
            yield event(*told)
            following = asyncio.ensure_future(anext(news, None))
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await news.aclose()  # pyright: ignore[reportAttributeAccessIssue]


async def together(streams: Mapping[str, AsyncGenerator[News]]) -> AsyncGenerator[News]:
    """The news of several jobs as they come, each with the id of its job, to the end of the last.

    Args:
        streams: news by the ids of the jobs; closed with this one.
    """
    following = {asyncio.ensure_future(anext(news, None)): id for id, news in streams.items()}
    try:
        while following:
            done, _ = await asyncio.wait(following, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                id, told = following.pop(one), one.result()
                if told is not None:
                    following[asyncio.ensure_future(anext(streams[id], None))] = id
                    kind, said, number = told
                    yield kind, {**said, "id": id}, number
    finally:
        for one in following:
            one.cancel()
        await asyncio.gather(*following, return_exceptions=True)
        for news in streams.values():
            await news.aclose()


def event(kind: str, said: Mapping[str, Any], number: int) -> bytes:
    """One server-sent event."""
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(plain(said), allow_nan=False)}\n\n".encode()


def last_event_id(header: str | None) -> int:
    """The number in a Last-Event-ID header; 0 if there is none."""
    return int(header) if header and header.isascii() and header.isdigit() and len(header) < 16 else 0
