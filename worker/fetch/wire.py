"""Send one request over a kept or a new connection; whatever goes wrong, the connection is thrown away.

A shared pool loses a slot with every request cancelled at the wrong moment (httpcore issue 1093). Here nothing is
shared: a connection belongs to one request at a time, and goes back only after an answer that was read to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import httpcore
import httpx

from worker.fetch.dial import Dialer
from worker.fetch.guard import port_of
from worker.fetch.trust import Trust

KEEP_ALIVE_S = 30.0
DRAIN_TIME_S = 1.0
DRAINABLE = 64 * 1024  # the body of an answer nobody wants is read up to here, to keep the connection

Header = tuple[bytes, bytes]
Hook = Callable[[], Awaitable[None]]
"""Called around the moment at which a request is sent."""
_STALE = (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError)


@dataclass(slots=True)
class Answer:
    """The head of a response, with its body still on the wire."""

    status: int
    headers: httpx.Headers
    response: httpcore.Response
    read: bool = False

    @property
    def peer(self) -> str:
        """The address that answered."""
        address = self.response.extensions["network_stream"].get_extra_info("server_addr")
        return f"{address[0]} port {address[1]}" if address else "unknown"

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the raw body."""
        async for chunk in self.response.aiter_stream():
            yield chunk
        self.read = True

    async def finish(self) -> bool:
        """Read what is left of a short body; tell whether the answer ended where it said."""
        length = self.headers.get("content-length", "")
        if not self.read and (self.status == 304 or (length.isdecimal() and int(length[:15]) <= DRAINABLE)):
            # The answer is known already: a body that will not come costs the connection, not the fetch.
            with suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
                async with asyncio.timeout(DRAIN_TIME_S):
                    async for _ in self.chunks():
                        pass
        if self.read:
            await self.response.aclose()
        return self.read


class Shelf:
    """Kept connections, none of them in use; the oldest goes when there are too many."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: dict[httpcore.AsyncHTTPConnection, httpcore.Origin] = {}

    async def take(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection | None:
        """Return a connection that still works as far as one can tell."""
        for connection in [kept for kept, its_origin in self._kept.items() if its_origin == origin]:
            del self._kept[connection]
            if connection.is_idle() and not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    async def keep(self, origin: httpcore.Origin, connection: httpcore.AsyncHTTPConnection) -> bool:
        """Take a connection back; False where it cannot serve again."""
        if self._size < 1 or not connection.is_idle():
            return False
        self._kept[connection] = origin
        if len(self._kept) > self._size:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            await oldest.aclose()
        return True

    async def clear(self) -> None:
        """Close them all."""
        while self._kept:
            connection, _ = self._kept.popitem()
            await connection.aclose()


class Wire:
    """Sends requests and keeps what connections can be kept."""

    def __init__(self, dialer: Dialer, trust: Trust, *, max_idle: int, timeout_s: float) -> None:
        self._dialer = dialer
        self._trust = trust
        self._shelf = Shelf(max_idle)
        self._timeouts = dict.fromkeys(("connect", "read", "write", "pool"), timeout_s)

    @asynccontextmanager
    async def send(
        self, url: httpx.URL, headers: Sequence[Header], *, before: Hook, after: Hook
    ) -> AsyncIterator[Answer]:
        """Send a GET and hand out the answer; what httpcore and ssl raise passes through.

        `before` is awaited when the connection is made, right before the request is sent, and `after` right after it.
        """
        request = httpcore.Request(
            b"GET",
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=port_of(url), target=url.raw_path),
            headers=headers,
            extensions={"timeout": self._timeouts, "trace": _around(before, after)},
        )
        connection, response = await self._open(request)
        kept = False
        try:
            answer = Answer(response.status, httpx.Headers(response.headers), response)
            yield answer
            if await answer.finish():
                kept = await self._shelf.keep(request.url.origin, connection)
        finally:
            if not kept:
                await connection.aclose()

    async def aclose(self) -> None:
        """Close the kept connections."""
        await self._shelf.clear()

    async def _open(self, request: httpcore.Request) -> tuple[httpcore.AsyncHTTPConnection, httpcore.Response]:
        kept = await self._shelf.take(request.url.origin)
        if kept is not None:
            try:
                return kept, await self._ask(kept, request)
            except _STALE:
                # The server may close a kept connection at any moment: that says nothing about a new one.
                pass
        fresh = httpcore.AsyncHTTPConnection(
            request.url.origin,
            ssl_context=self._trust.context() if request.url.origin.scheme == b"https" else None,
            keepalive_expiry=KEEP_ALIVE_S,
            network_backend=self._dialer,
        )
        return fresh, await self._ask(fresh, request)

    async def _ask(self, connection: httpcore.AsyncHTTPConnection, request: httpcore.Request) -> httpcore.Response:
        try:
            return await connection.handle_async_request(request)
        except BaseException:
            await connection.aclose()
            raise


def _around(before: Hook, after: Hook) -> Callable[[str, object], Awaitable[None]]:
    async def trace(event: str, _details: object) -> None:
        if event == "http11.send_request_headers.started":
            await before()
        elif event == "http11.send_request_headers.complete":
            await after()

    return trace
