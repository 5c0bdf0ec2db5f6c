"""Look names up in threads of its own, so that a name server that hangs stops nobody else.

The loop's default executor has a handful of threads, and leaving it waits for every one of them. These threads are
daemons with a limit of their own; two look-ups of one name share one thread.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ipaddress import ip_address

from worker.errors import FetchError
from worker.fetch.http.ssrf import Address

Lookup = Callable[[str, int], list[Address]]
"""Blocking: the addresses of a name, best first; raises OSError."""

Resolve = Callable[[str, int], Awaitable[list[Address]]]
"""Asynchronous: the same; raises FetchError (`dns`)."""

MAX_THREADS = 64


def system_lookup(host: str, port: int) -> list[Address]:
    """Ask the system's resolver; raises OSError (socket.gaierror) where it does not answer."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    texts = dict.fromkeys(str(info[4][0]).partition("%")[0] for info in infos)
    return [ip_address(text) for text in texts]


class Resolver:
    """Names to addresses, at most `threads` at a time, each name once at a time."""

    def __init__(self, lookup: Lookup = system_lookup, *, threads: int = MAX_THREADS) -> None:
        self._lookup = lookup
        self._places = asyncio.Semaphore(threads)
        self._under_way: dict[tuple[str, int], asyncio.Task[list[Address]]] = {}

    async def __call__(self, host: str, port: int) -> list[Address]:
        """Return the addresses of a name, at least one; raises FetchError (`dns`)."""
        key = (host, port)
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._in_thread(host, port))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        # Shielded: who gives up waiting does not take the answer from the others.
        return await asyncio.shield(task)

    def _forget(self, key: tuple[str, int], task: asyncio.Task[list[Address]]) -> None:
        self._under_way.pop(key, None)
        if not task.cancelled():
            task.exception()

    async def _in_thread(self, host: str, port: int) -> list[Address]:
        async with self._places:
            try:
                addresses = await self._answer(host, port)
            except (OSError, ValueError) as exc:
                why = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
                message = f"the name {host} cannot be resolved ({why})"
                raise FetchError(message, reason="dns", retry=True) from exc
        if not addresses:
            raise FetchError(f"the name {host} has no address", reason="dns", retry=True)
        return addresses

    def _answer(self, host: str, port: int) -> asyncio.Future[list[Address]]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Address]] = loop.create_future()

        def deliver(addresses: list[Address], error: Exception | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(addresses)
            else:
                answer.set_exception(error)

        def run() -> None:
            addresses: list[Address] = []
            error: Exception | None = None
            try:
                addresses = self._lookup(host, port)
            except Exception as exc:  # noqa: BLE001 - whatever happens in the thread belongs to who waits for it
                error = exc
            with suppress(RuntimeError):  # the loop may be closed by now: then nobody waits any more
                loop.call_soon_threadsafe(deliver, addresses, error)

        threading.Thread(target=run, name=f"resolve {host}", daemon=True).start()
        return answer

    def close(self) -> None:
        """Stop waiting for answers; threads that hang end by themselves."""
        for task in self._under_way.values():
            task.cancel()
