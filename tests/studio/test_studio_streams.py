"""Several jobs in one stream: each piece of news with its job, to the end of the last; closing closes all."""

import asyncio
from collections.abc import AsyncGenerator

from ornstein.studio.door.streaming import News, together


async def told(name: str, count: int, closed: list[str], forever: bool = False) -> AsyncGenerator[News]:
    try:
        for k in range(count):
            await asyncio.sleep(0)
            yield "progress", {"done": k}, k
        if forever:
            await asyncio.Event().wait()
        yield "end", {"state": "done"}, count
    finally:
        closed.append(name)


def test_all_news_of_all_jobs_come_with_their_job():
    async def collected() -> list[News]:
        return [news async for news in together({"a": told("a", 3, []), "b": told("b", 1, [])})]

    found = asyncio.run(collected())
    for id, count in (("a", 3), ("b", 1)):
        mine = [(kind, said.get("done")) for kind, said, _ in found if said["id"] == id]
        assert mine == [*(("progress", k) for k in range(count)), ("end", None)]
    assert len(found) == 6


def test_closing_closes_every_stream():
    closed: list[str] = []

    async def left() -> None:
        news = together({name: told(name, 1, closed, forever=True) for name in "ab"})
        assert {(await anext(news))[1]["id"] for _ in range(2)} == {"a", "b"}
        waiting = asyncio.ensure_future(anext(news))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await news.aclose()

    asyncio.run(left())
    assert sorted(closed) == ["a", "b"]
