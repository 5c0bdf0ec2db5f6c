"""Serves the pages inside the daemon's own event loop, and leaves its signals alone."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import cast

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from worker.errors import ListenError

log = structlog.get_logger()

_MAX_CONNECTIONS = 64
_REQUEST_TIMEOUT_S = 10.0
"""How long a client may take over a request, from when it connects or from the last answer on."""
_RESPONSE_TIMEOUT_S = 60.0
"""How long an answer may take, its way to the client included."""


class _Connection(H11Protocol):
    """A connection that nobody can hold for ever: uvicorn itself only limits the wait for a second request."""

    timer: asyncio.TimerHandle | None = None
    waits_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request; where there are too many clients, the one silent for longest has to go."""
        super().connection_made(transport)
        self._limit()
        if len(self.connections) >= _MAX_CONNECTIONS:
            others = (each for each in self.connections if isinstance(each, _Connection) and each is not self)
            silent = (each for each in others if each.is_silent)
            if longest := min(silent, key=lambda each: each.waits_since, default=None):
                longest.end()

    def data_received(self, data: bytes) -> None:
        """Wait for the answer's end once a request is whole; a part of one gives nobody more time."""
        was_silent = self.is_silent
        super().data_received(data)
        if was_silent and not self.is_silent:
            self._limit()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for its answer where it is there already."""
        super().on_response_complete()
        self._limit()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        if self.timer is not None:
            self.timer.cancel()
        super().connection_lost(exc)

    @property
    def is_silent(self) -> bool:
        """Whether nothing is being answered."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # none before the first request
        return cycle is None or cycle.response_complete

    def end(self) -> None:
        """Let go of the client, without a word more."""
        self.connections.discard(self)
        self.transport.abort()

    def _limit(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.waits_since = self.loop.time()
        self.timer = self.loop.call_later(_REQUEST_TIMEOUT_S if self.is_silent else _RESPONSE_TIMEOUT_S, self.end)


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers: its own would take the daemon's place."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve_pages(app: ASGIApp, *, listen: str) -> AsyncIterator[int]:
    """Serve for as long as the block lasts, at an address and port such as `127.0.0.1:8750`; yields the port.

    Raises ListenError where nothing can be served there.
    """
    listener = _open_listener(listen)
    server = _Server(_server_config(app))
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="web")
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        (result,) = await asyncio.gather(serving, return_exceptions=True)
        listener.close()
        if isinstance(result, Exception):
            log.error("web.failed", error=repr(result))


def _open_listener(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    address = "127.0.0.1" if host == "localhost" else host.strip("[]")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, int(port)), family=family, backlog=_MAX_CONNECTIONS)
    except OSError as exc:
        reason = os.strerror(exc.errno) if exc.errno else exc
        taken = ", perhaps by another daemon" if exc.errno == errno.EADDRINUSE else ""
        why = f"{listen} cannot be listened on ({reason}{taken})"
        raise ListenError(f'{why}: set [web] listen to another address, or to "" to serve nothing') from exc


def _server_config(app: ASGIApp) -> uvicorn.Config:
    """Return a server for a handful of clients: HTTP/1.1 alone, nothing trusted, nothing logged, no long goodbyes."""
    return uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=16_384,
    )
