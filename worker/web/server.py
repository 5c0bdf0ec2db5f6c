"""Serves the pages inside the daemon's own event loop, and leaves its signals alone."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import structlog
import uvicorn
from starlette.types import ASGIApp

from worker.errors import ListenError

log = structlog.get_logger()

_BACKLOG = 64


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers: its own would take the daemon's place."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served(app: ASGIApp, *, listen: str) -> AsyncIterator[int]:
    """Serve for as long as the block lasts, at an address and port such as `127.0.0.1:8750`; yields the port.

    Raises ListenError where nothing can be served there.
    """
    listener = _listening(listen)
    server = _Server(_configuration(app))
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="web")
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        (result,) = await asyncio.gather(serving, return_exceptions=True)
        listener.close()
        if isinstance(result, Exception):
            log.error("web.failed", error=repr(result))


def _listening(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    address = "127.0.0.1" if host == "localhost" else host.strip("[]")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, int(port)), family=family, backlog=_BACKLOG)
    except OSError as exc:
        reason = os.strerror(exc.errno) if exc.errno else exc
        taken = ", perhaps by another daemon" if exc.errno == errno.EADDRINUSE else ""
        why = f"{listen} cannot be listened on ({reason}{taken})"
        raise ListenError(f'{why}: set [web] listen to another address, or to "" to serve nothing') from exc


def _configuration(app: ASGIApp) -> uvicorn.Config:
    """Return a server for a handful of clients: HTTP/1.1 alone, nothing trusted, nothing logged, no long goodbyes."""
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_BACKLOG,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=16_384,
    )
