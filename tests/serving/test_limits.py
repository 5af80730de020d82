"""The outermost layer by itself: what is counted, read and refused."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from ccf_llm.serving.limits import Limits
from ccf_llm.serving.metrics import Metrics
from ccf_llm.serving.settings import ServeSettings

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]


class Echo:
    """An application that reads the body and gives it back."""

    def __init__(self, **settings: Any) -> None:
        self.bodies: list[bytes] = []
        metrics = Metrics(SimpleNamespace(depth=0, scored=0))  # type: ignore[arg-type]
        self.limits = Limits(self.answer, ServeSettings(**settings), metrics)

    async def answer(self, scope: Any, receive: Receive, send: Callable[[Message], Awaitable[None]]) -> None:
        if scope["path"] != "/healthz":
            self.bodies.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask(
        self, receive: Receive, path: str = "/v1/score", headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> int:
        """The status of the answer."""
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": path, "headers": list(headers)}
        await self.limits(scope, receive, send)
        status: int = sent[0]["status"]
        return status


def body(*parts: bytes) -> Receive:
    """Comes in these parts."""
    left = list(parts)

    async def receive() -> Message:
        part = left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(left)}

    return receive


async def unread() -> Message:
    pytest.fail("it was read")


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


def test_bodies_that_are_still_coming_count_as_under_way() -> None:
    async def crowd() -> None:
        echo, rest, begun = Echo(in_flight=2), asyncio.Event(), asyncio.Semaphore(0)

        async def slow() -> Message:
            begun.release()
            await rest.wait()
            return {"type": "http.request", "body": b"late"}

        waiting = [asyncio.create_task(echo.ask(slow)) for _ in range(2)]
        for _ in waiting:
            await begun.acquire()
        assert await echo.ask(unread) == 503
        assert await echo.ask(unread, "/healthz") == 200  # who watches the server is let through, and sends nothing
        rest.set()
        assert await asyncio.gather(*waiting) == [200, 200]
        assert await echo.ask(body(b"a", b"b")) == 200
        assert echo.bodies == [b"late", b"late", b"ab"]

    asyncio.run(crowd())


async def gone() -> Message:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("receive", "headers", "status"),
    [
        (never, (), 408),
        (body(b"x" * 1000, b"x" * 1000), (), 413),
        (unread, ((b"content-length", b"1025"),), 413),
        (gone, (), 400),
    ],
    ids=["slow", "long", "announced", "cut off"],
)
def test_a_body_that_is_refused_makes_room(
    receive: Receive, headers: tuple[tuple[bytes, bytes], ...], status: int
) -> None:
    async def ask() -> None:
        echo = Echo(in_flight=1, body_bytes=1024, body_seconds=0.01)
        assert await echo.ask(receive, headers=headers) == status
        assert echo.bodies == []
        assert await echo.ask(body(b"short")) == 200
        assert b"ccf_llm_in_flight 0.0" in echo.limits._metrics.text()

    asyncio.run(ask())
