"""Connect only where the guard allows: resolve once, check every address, connect to one that was checked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import httpcore

from worker.errors import FetchError
from worker.fetch.addresses import Address, Network, literal
from worker.fetch.guard import check_address
from worker.fetch.resolver import Resolve
from worker.fetch.routes import Routes
from worker.fetch.stream import Inbox, Stream

MOST_ADDRESSES = 4
FIRST_TRIES_TIMEOUT_S = 5.0

Connect = Callable[[Address, int, float | None], Awaitable[httpcore.AsyncNetworkStream]]


class Dialer(httpcore.AsyncNetworkBackend):
    """The network as httpcore sees it. The name stays on TLS and in the Host header, whatever is connected to."""

    def __init__(
        self, *, resolve: Resolve, networks: Sequence[Network], routes: Routes, connect: Connect | None = None
    ) -> None:
        self._connect = connect or open_stream
        self._resolve = resolve
        self._networks = networks
        self._routes = routes

    async def addresses(self, host: str, port: int, timeout_s: float | None) -> tuple[list[Address], int]:
        """Return where to connect for a host and port, checked; raises FetchBlocked or FetchError (`dns`)."""
        route = self._routes.find(host, port)
        target, target_port = (host, port) if route is None else (route.host, route.port)
        found = await self._find(target, target_port, timeout_s)
        if route is None:
            for address in found:
                check_address(address, self._networks, host=host)
        return found, target_port

    async def _find(self, host: str, port: int, timeout_s: float | None) -> list[Address]:
        address = literal(host)
        if address is not None:
            return [address]
        try:
            async with asyncio.timeout(timeout_s):
                return await self._resolve(host, port)
        except TimeoutError as exc:
            raise FetchError(f"no name server answers for {host}", reason="dns", retry=True) from exc

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,  # noqa: ARG002 - httpcore's signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        """Return a connection to the first address that answers."""
        addresses, target_port = await self.addresses(host, port, timeout)
        *first, last = addresses[:MOST_ADDRESSES]
        for address in first:
            try:
                return await self._connect(
                    address, target_port, min(timeout or FIRST_TRIES_TIMEOUT_S, FIRST_TRIES_TIMEOUT_S)
                )
            except FetchError:
                continue
        return await self._connect(last, target_port, timeout)


async def open_stream(address: Address, port: int, timeout_s: float | None) -> Stream:
    """Connect to an address; raises FetchError (`timeout`, `connect`)."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            transport, inbox = await loop.create_connection(Inbox, str(address), port)
    except TimeoutError as exc:
        raise FetchError(f"{address} port {port} does not answer", reason="timeout", retry=True) from exc
    except OSError as exc:
        message = f"cannot connect to {address} port {port}: {exc.strerror or exc}"
        raise FetchError(message, reason="connect", retry=True) from exc
    return Stream(transport, inbox)
