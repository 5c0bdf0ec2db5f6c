"""Connect only where the guard allows: resolve once, check every address, connect to one that was checked."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

import httpcore

from worker.errors import ConfigurationError, FetchError
from worker.fetch.http.ssrf import Address, Network, Resolve, check_address, ip_literal

# Connect elsewhere than the name says, as curl's `--connect-to` does.


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host and a port; an empty host or a port of 0 stands for any, or for "as it was"."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ConnectTo:
    """Where to connect instead. The exact host and port win over the host, the host over the port alone."""

    table: Mapping[HostPort, HostPort]

    def find(self, host: str, port: int) -> HostPort | None:
        """Return where to connect for a host and port, None where nothing was said."""
        name = host.lower().rstrip(".")
        for key in (HostPort(name, port), HostPort(name, 0), HostPort("", port), HostPort("", 0)):
            target = self.table.get(key)
            if target is not None:
                return HostPort(target.host or host, target.port or port)
        return None


def parse_connect_to(table: Mapping[str, str]) -> ConnectTo:
    """Read a `connect_to` table; raises ConfigurationError with the entry that cannot be read."""
    return ConnectTo(MappingProxyType({_parse_host_port(key): _parse_host_port(value) for key, value in table.items()}))


def _parse_host_port(text: str) -> HostPort:
    host, colon, port = text.strip().rpartition(":")
    digits = port or "0"
    if not colon or not digits.isdecimal() or int(digits) > 65535 or (":" in host and not host.startswith("[")):
        raise ConfigurationError(
            f"fetch.connect_to: {text!r} is not of the form host:port; write for example "
            '"news.example:443" = "127.0.0.1:8443"'
        )
    return HostPort(host.strip("[]").lower().rstrip("."), int(digits))


# One TCP or TLS connection as httpcore wants it, that can be dropped at once, without waiting for anything.
#
# httpcore's own streams close by awaiting, so a cancelled fetch could leave a socket behind; `abort` never waits.


HIGH_WATER_BYTES = 128 * 1024
HANDSHAKE_TIMEOUT_S = 60.0


class ReceiveBuffer(asyncio.Protocol):
    """Keeps what arrives until somebody reads it, and asks the peer to wait when nobody does."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.ended = False
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def readable(self) -> bool:
        """Whether a read would return at once."""
        return bool(self._chunks) or self.ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Keep the bytes."""
        self._chunks.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER_BYTES and self.transport is not None:
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Note the end; False lets the transport close itself."""
        self.ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end and its cause."""
        self.ended = True
        self._error = exc
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        """Make writers wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._writable.set()

    async def read(self, max_bytes: int) -> bytes:
        """Return the next bytes, nothing at the end; raises OSError where the connection broke."""
        # Bytes that are there already must not be read without a turn of the loop between: a server that sends for ever
        # would keep every clock of this process from running, that of its own deadline included.
        await asyncio.sleep(0)
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.ended:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._take(max_bytes)

    async def drained(self) -> None:
        """Wait until the peer takes more; raises OSError where the connection broke."""
        await self._writable.wait()
        if self._error is not None:
            raise self._error

    def _take(self, max_bytes: int) -> bytes:
        chunk = self._chunks.popleft()
        if len(chunk) > max_bytes:
            self._chunks.appendleft(chunk[max_bytes:])
            chunk = chunk[:max_bytes]
        was_full = self._size > HIGH_WATER_BYTES
        self._size -= len(chunk)
        if was_full and self._size <= HIGH_WATER_BYTES and self.transport is not None and not self.ended:
            self.transport.resume_reading()
        return chunk

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class NetworkStream(httpcore.AsyncNetworkStream):
    """A connection, plain until `start_tls`."""

    def __init__(self, transport: asyncio.Transport, buffer: ReceiveBuffer) -> None:
        self._transport = transport
        self._buffer = buffer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's signature
        """Return the next bytes, nothing at the end."""
        try:
            async with asyncio.timeout(timeout):
                return await self._buffer.read(max_bytes)
        except TimeoutError as exc:
            raise httpcore.ReadTimeout(f"no byte for {timeout:g} s") from exc
        except (OSError, ssl.SSLError) as exc:
            raise httpcore.ReadError(str(exc) or type(exc).__name__) from exc

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's signature
        """Send bytes."""
        if self._transport.is_closing():
            raise httpcore.WriteError("the connection is closed")
        try:
            async with asyncio.timeout(timeout):
                self._transport.write(buffer)
                await self._buffer.drained()
        except TimeoutError as exc:
            raise httpcore.WriteTimeout(f"the server takes nothing for {timeout:g} s") from exc
        except OSError as exc:
            raise httpcore.WriteError(str(exc) or type(exc).__name__) from exc

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        """Encrypt; raises httpcore.ConnectError from the ssl module's error."""
        if self._buffer.readable:
            # What was sent before the handshake must never be taken for an answer that came through it.
            self.abort()
            raise httpcore.ConnectError("the server spoke or hung up before the TLS handshake")
        secured: asyncio.Transport | None = None
        try:
            async with asyncio.timeout(timeout):
                secured = await asyncio.get_running_loop().start_tls(
                    self._transport,
                    self._buffer,
                    ssl_context,
                    server_hostname=server_hostname,
                    ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S if timeout is None else timeout,
                )
        except TimeoutError as exc:
            raise httpcore.ConnectTimeout("the TLS handshake takes too long") from exc
        except (OSError, ssl.SSLError) as exc:
            raise httpcore.ConnectError(str(exc) or type(exc).__name__) from exc
        finally:
            if secured is None:
                self.abort()
        assert secured is not None
        self._buffer.transport = secured
        return NetworkStream(secured, self._buffer)

    async def aclose(self) -> None:
        """Drop the connection."""
        self.abort()

    def abort(self) -> None:
        """Drop the connection at once; the socket is closed in the loop's next turn."""
        self._transport.abort()

    def get_extra_info(self, info: str) -> Any:
        """Answer what httpcore asks."""
        if info == "is_readable":
            return self._buffer.readable
        return self._transport.get_extra_info("peername" if info == "server_addr" else info)


MAX_ADDRESSES = 4
EARLY_TIMEOUT_S = 5.0

Connect = Callable[[Address, int, float | None], Awaitable[httpcore.AsyncNetworkStream]]


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """The network as httpcore sees it. The name stays on TLS and in the Host header, whatever is connected to."""

    def __init__(
        self, *, resolve: Resolve, networks: Sequence[Network], connect_to: ConnectTo, connect: Connect | None = None
    ) -> None:
        self._connect = connect or open_stream
        self._resolve = resolve
        self._networks = networks
        self._connect_to = connect_to

    async def addresses(self, host: str, port: int, timeout_s: float | None) -> tuple[list[Address], int]:
        """Return where to connect for a host and port, checked; raises FetchBlocked or FetchError (`dns`)."""
        route = self._connect_to.find(host, port)
        target, target_port = (host, port) if route is None else (route.host, route.port)
        found = await self._find(target, target_port, timeout_s)
        if route is None:
            for address in found:
                check_address(address, self._networks, host=host)
        return found, target_port

    async def _find(self, host: str, port: int, timeout_s: float | None) -> list[Address]:
        address = ip_literal(host)
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
        *first, last = addresses[:MAX_ADDRESSES]
        for address in first:
            try:
                return await self._connect(address, target_port, min(timeout or EARLY_TIMEOUT_S, EARLY_TIMEOUT_S))
            except FetchError:
                continue
        return await self._connect(last, target_port, timeout)


async def open_stream(address: Address, port: int, timeout_s: float | None) -> NetworkStream:
    """Connect to an address; raises FetchError (`timeout`, `connect`)."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            transport, buffer = await loop.create_connection(ReceiveBuffer, str(address), port)
    except TimeoutError as exc:
        raise FetchError(f"{address} port {port} does not answer", reason="timeout", retry=True) from exc
    except OSError as exc:
        message = f"cannot connect to {address} port {port}: {exc.strerror or exc}"
        raise FetchError(message, reason="connect", retry=True) from exc
    return NetworkStream(transport, buffer)
