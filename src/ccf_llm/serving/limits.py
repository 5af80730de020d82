"""The outermost layer: sizes, numbers and times of requests are bounded before anything else looks at them."""

import asyncio
import time
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ccf_llm.serving.metrics import Metrics
from ccf_llm.serving.problems import ProblemError, overloaded
from ccf_llm.serving.settings import ServeSettings

EXEMPT = ("/healthz", "/readyz", "/metrics")
HEADERS = [
    (b"content-security-policy", b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class Limits:
    """ASGI middleware: bounded bodies, bounded number of requests, moment of arrival, metrics, safe headers."""

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with a problem document."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrived = time.monotonic()
        scope.setdefault("state", {})["arrived"] = arrived
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *_headers(scope)]
            await send(message)

        try:
            if scope["path"] in EXEMPT:  # these read no body
                await self._app(scope, receive, sending)
            else:
                await self._bounded(scope, receive, sending)
        except ProblemError as problem:
            await problem.response()(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(scope["method"], route, status).inc()
            self._metrics.seconds.labels(route).observe(time.monotonic() - arrived)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Counted before the body is read: bodies that come slowly are bounded in number too."""
        if self._in_flight >= self._settings.in_flight:
            raise overloaded("too many requests at a time; send it again after the seconds of Retry-After")
        self._in_flight += 1
        self._metrics.in_flight.set(self._in_flight)
        try:
            body = await self._body(scope, receive)
            await self._app(scope, _replay(body, receive), send)
        finally:
            self._in_flight -= 1
            self._metrics.in_flight.set(self._in_flight)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body, as long as it is short and comes soon."""
        limit = self._settings.body_bytes
        too_long = ProblemError(
            413, f"the body is longer than {limit} bytes; send less at a time", {"Connection": "close"}
        )
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > limit:
            raise too_long
        body = bytearray()
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ProblemError(400, "the connection ended before the body did; send it again")
                    body += message.get("body", b"")
                    if len(body) > limit:
                        raise too_long
                    if not message.get("more_body"):
                        return bytes(body)
        except TimeoutError:
            raise ProblemError(408, "the body did not arrive in time; send it again", {"Connection": "close"}) from None


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body once, then what else the client says (that it has gone)."""
    given = False

    async def replayed() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    # The interactive documentation runs a script of its own inside the page.
    return HEADERS[1:] if scope["path"].startswith("/docs") else HEADERS
