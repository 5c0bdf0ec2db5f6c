"""Serves the pages with uvicorn inside an event loop that is there, without touching its signal handlers.

Each connection has a time limit for the request and for the response, and the number of connections is limited, so
that clients that send or read slowly cannot exhaust the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from worker.errors import ListenError
from worker.logs import escape, log

_MAX_CONNECTIONS = 64
"""Chosen, not measured: far more than a browser, a supervisor and Prometheus open, few enough file descriptors."""
_REQUEST_TIMEOUT_S = 10.0
"""The time a client has to send a request, counted from connecting or from the previous response.

Chosen, not measured: a request is one small packet, so 10 seconds suffice on any usable network.
"""
_MAX_COMMAND = 100  # letters of a command line in a message, which is one line
_RESPONSE_TIMEOUT_S = 60.0
"""The time a response may take until the client has received it; the store itself is given five seconds."""


class _Connection(H11Protocol):
    """A connection with time limits; uvicorn itself only limits the wait for a second request."""

    timer: asyncio.TimerHandle | None = None
    waits_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the request timeout; with too many connections, abort the one that has been idle for longest."""
        super().connection_made(transport)
        self._limit()
        if len(self.connections) >= _MAX_CONNECTIONS:
            others = (each for each in self.connections if isinstance(each, _Connection) and each is not self)
            silent = (each for each in others if each.is_silent)
            if longest := min(silent, key=lambda each: each.waits_since, default=None):
                longest.end()

    def data_received(self, data: bytes) -> None:
        """Start the response timeout when a request is complete; an incomplete one does not extend the time."""
        was_silent = self.is_silent
        super().data_received(data)
        if was_silent and not self.is_silent:
            self._limit()

    def on_response_complete(self) -> None:
        """Start the timeout for the next request, or for its response if it has already arrived."""
        super().on_response_complete()
        self._limit()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeout."""
        if self.timer is not None:
            self.timer.cancel()
        super().connection_lost(exc)

    @property
    def is_silent(self) -> bool:
        """Whether no request is being answered."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        return cycle is None or cycle.response_complete

    def end(self) -> None:
        """Abort the connection without a response."""
        self.connections.discard(self)
        self.transport.abort()

    def _limit(self) -> None:
        """Restart the timer: abort the connection when the current request or response takes too long."""
        if self.timer is not None:
            self.timer.cancel()
        self.waits_since = self.loop.time()
        self.timer = self.loop.call_later(_REQUEST_TIMEOUT_S if self.is_silent else _RESPONSE_TIMEOUT_S, self.end)


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers: its own would replace the daemon's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve_pages(app: ASGIApp, *, listen: str) -> AsyncIterator[int]:
    """Serve an application while the block runs, at an address such as `127.0.0.1:8750`; yield the port.

    Raises ListenError if the address cannot be listened on.
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
    """Return a listening socket; raises ListenError with who has the address and what to change."""
    host, _, port = listen.rpartition(":")
    address = "127.0.0.1" if host == "localhost" else host.strip("[]")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, int(port)), family=family, backlog=_MAX_CONNECTIONS)
    except OSError as exc:
        reason = os.strerror(exc.errno) if exc.errno else exc
        taken = f", {_holder_of(int(port))}" if exc.errno == errno.EADDRINUSE else ""
        why = f"{listen} cannot be listened on ({reason}{taken})"
        remedy = (
            f"choose another address, such as {host}:{int(port) % 65535 + 1}, with `web --listen` or in [web] listen"
        )
        raise ListenError(f"{why}: {remedy}") from exc


def _holder_of(port: int) -> str:
    """Return which process listens on a port, as far as Linux lets this user see it."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(str(each.readlink()) in sockets for each in (folder / "fd").iterdir()):
                words = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                return f"by process {folder.name}: {escape(' '.join(words).strip())[:_MAX_COMMAND]}"
    return "by a process of another user"


def _listening(port: int) -> Iterator[str]:
    """Yield the inodes of the sockets that listen on a port (proc(5), `/proc/net/tcp`)."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _server_config(app: ASGIApp) -> uvicorn.Config:
    """Return uvicorn's settings: HTTP/1.1 only, no proxy headers, no access log, one second to shut down."""
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
        timeout_keep_alive=5,  # seconds; uvicorn's default
        timeout_graceful_shutdown=1,  # seconds; a daemon that stops does not wait for browsers
        h11_max_incomplete_event_size=16_384,  # bytes of headers; no client of these pages needs more
    )
