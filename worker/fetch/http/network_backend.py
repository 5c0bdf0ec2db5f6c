"""TCP and TLS connections for httpcore, made only to addresses that passed the SSRF checks.

`GuardedBackend` is the network backend of httpcore: it resolves a name once, checks every address and connects to one
that was checked. `NetworkStream` is one connection; unlike httpcore's own, its `abort` closes without awaiting, so a
cancelled fetch cannot leak a socket. `ConnectTo` is the `connect_to` setting, which works as curl's `--connect-to`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from ipaddress import IPv6Address
from types import MappingProxyType
from typing import Any, Final, cast

import httpcore

from worker.config.schema import FetchSettings
from worker.errors import ConfigurationError, FetchError
from worker.fetch.http.ssrf import (
    Address,
    Network,
    Resolve,
    Resolver,
    check_address,
    ip_literal,
    parse_url,
    url_host,
    url_port,
)
from worker.models.base import dataclass


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host and a port. An empty host or a port of 0 matches any; in a target it means "unchanged"."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ConnectTo:
    """A table of targets.

    An entry for host and port takes precedence over one for the host, and that over one for the port.
    """

    table: Mapping[HostPort, HostPort]

    def find(self, host: str, port: int) -> HostPort | None:
        """Return the target for a host and port, None if no entry matches."""
        name = host.lower().rstrip(".")
        for key in (HostPort(name, port), HostPort(name, 0), HostPort("", port), HostPort("", 0)):
            target = self.table.get(key)
            if target is not None:
                return HostPort(target.host or host, target.port or port)
        return None


def parse_connect_to(table: Mapping[str, str]) -> ConnectTo:
    """Parse a `connect_to` table; raises ConfigurationError with the entry that cannot be parsed."""
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


# Reading pauses while more than this is buffered. asyncio reads up to 256 KiB at once, so one connection holds less
# than half a megabyte of unread bytes (chosen, not measured).
HIGH_WATER_BYTES = 128 * 1024
HANDSHAKE_TIMEOUT_S = 60.0  # asyncio's default; only for callers that set no timeout


class ReceiveBuffer(asyncio.Protocol):
    """An asyncio protocol that buffers received bytes until they are read, with flow control in both directions."""

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
        """Whether a read would return at once: bytes are buffered, or the connection has ended."""
        return bool(self._chunks) or self.ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Buffer the bytes, and pause reading above the high-water mark."""
        self._chunks.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER_BYTES and self.transport is not None:
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Record the end of the stream; False lets the transport close itself."""
        self.ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Record the end of the connection and its cause."""
        self.ended = True
        self._error = exc
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        """Block writers: the transport's send buffer is full."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Release blocked writers."""
        self._writable.set()

    async def read(self, max_bytes: int) -> bytes:
        """Return the next bytes, none at the end; raises OSError if the connection broke."""
        # Always yield to the event loop, even if bytes are there: a server that sends without end would otherwise keep
        # every timer of this process from firing, that of its own deadline included.
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
        """Wait until the send buffer has room again; raises OSError if the connection broke."""
        await self._writable.wait()
        if self._error is not None:
            raise self._error

    def _take(self, max_bytes: int) -> bytes:
        """Remove and return the first bytes of the buffer, and resume reading below the high-water mark."""
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
    """One connection for httpcore: plain TCP, and TLS after `start_tls`. Errors are those of httpcore."""

    def __init__(self, transport: asyncio.Transport, buffer: ReceiveBuffer) -> None:
        self._transport = transport
        self._buffer = buffer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's signature
        """Return the next bytes, none at the end; raises httpcore.ReadTimeout or ReadError."""
        try:
            async with asyncio.timeout(timeout):
                return await self._buffer.read(max_bytes)
        except TimeoutError as exc:
            raise httpcore.ReadTimeout(f"no byte for {timeout:g} s") from exc
        except (OSError, ssl.SSLError) as exc:
            raise httpcore.ReadError(str(exc) or type(exc).__name__) from exc

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's signature
        """Send bytes; raises httpcore.WriteTimeout or WriteError."""
        if self._transport.is_closing():
            raise httpcore.WriteError("the connection is closed")
        try:
            async with asyncio.timeout(timeout):
                self._transport.write(buffer)
                await self._buffer.drained()
        except TimeoutError as exc:
            raise httpcore.WriteTimeout(f"the server accepts no bytes for {timeout:g} s") from exc
        except OSError as exc:
            raise httpcore.WriteError(str(exc) or type(exc).__name__) from exc

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        """Start TLS and return the encrypted stream; raises httpcore.ConnectError from the ssl module's error."""
        if self._buffer.readable:
            # Bytes sent in plain text before the handshake must never count as an encrypted response.
            self.abort()
            raise httpcore.ConnectError("the server sent bytes or closed the connection before the TLS handshake")
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
            raise httpcore.ConnectTimeout("the TLS handshake timed out") from exc
        except (OSError, ssl.SSLError) as exc:
            raise httpcore.ConnectError(str(exc) or type(exc).__name__) from exc
        finally:
            if secured is None:
                self.abort()
        assert secured is not None
        self._buffer.transport = secured
        return NetworkStream(secured, self._buffer)

    async def aclose(self) -> None:
        """Close the connection, see `abort`."""
        self.abort()

    def abort(self) -> None:
        """Close at once, discarding unsent bytes; the socket is closed in the loop's next iteration."""
        self._transport.abort()

    def get_extra_info(self, info: str) -> Any:
        """Return a value that httpcore looks up; `is_readable` means that an idle connection is no longer usable."""
        if info == "is_readable":
            return self._buffer.readable
        return self._transport.get_extra_info("peername" if info == "server_addr" else info)


DEFAULT_AGENT: Final = (
    "the user agent is the shipped default, which names nobody whom a site could reach; set [fetch] user_agent to your "
    "crawler's name and an address of yours"
)
"""Why the default user agent reaches loopback addresses and `connect_to` targets alone, and what to do."""


def is_loopback(address: Address) -> bool:
    """Return whether an address is on this machine's loopback interface, also as an IPv4-mapped one."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


# At most this many addresses of a name are tried; all but the last with a short timeout, so that a dead IPv6 address
# costs seconds and the fetch keeps most of its deadline (chosen, not measured).
MAX_ADDRESSES = 4
EARLY_TIMEOUT_S = 5.0

# Opens a connection to an address and port within a time limit in seconds; tests replace it.
Connect = Callable[[Address, int, float | None], Awaitable[httpcore.AsyncNetworkStream]]


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """The network backend that httpcore connects through.

    TLS and the Host header keep the name of the URL, whatever address is connected to. Addresses are not checked for a
    host with a `connect_to` entry: the operator chose its target. With `only_loopback`, no other address is used.
    """

    def __init__(
        self,
        *,
        resolve: Resolve,
        networks: Sequence[Network],
        connect_to: ConnectTo,
        connect: Connect | None = None,
        only_loopback: bool = False,
    ) -> None:
        self.only_loopback = only_loopback
        self._connect = connect or open_stream
        self._resolve = resolve
        self._networks = networks
        self._connect_to = connect_to

    async def addresses(self, host: str, port: int, timeout_s: float | None) -> tuple[list[Address], int]:
        """Return the checked addresses and the port for a host and port; raises FetchBlocked or FetchError (`dns`)."""
        route = self._connect_to.find(host, port)
        target, target_port = (host, port) if route is None else (route.host, route.port)
        found = await self._find(target, target_port, timeout_s)
        if route is None:
            for address in found:
                check_address(address, self._networks, host=host)
            if self.only_loopback and not all(map(is_loopback, found)):
                raise FetchError(f"nothing is fetched from {host}: {DEFAULT_AGENT}", reason="agent", retry=True)
        return found, target_port

    async def connect_unchecked(self, at: HostPort, timeout_s: float | None) -> httpcore.AsyncNetworkStream:
        """Return a connection to a host that the operator chose; raises FetchError."""
        found = await self._find(at.host, at.port, timeout_s)
        return await self._connect(found[0], at.port, timeout_s)

    async def _find(self, host: str, port: int, timeout_s: float | None) -> list[Address]:
        """Return the addresses of a host, unchecked."""
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
        """Return a connection to the first address that accepts one; raises FetchBlocked or FetchError."""
        addresses, target_port = await self.addresses(host, port, timeout)
        *first, last = addresses[:MAX_ADDRESSES]
        for address in first:
            try:
                return await self._connect(address, target_port, min(timeout or EARLY_TIMEOUT_S, EARLY_TIMEOUT_S))
            except FetchError:
                continue
        return await self._connect(last, target_port, timeout)


def is_local(url: str, connect_to: ConnectTo) -> bool:
    """Return whether a URL is known not to be on the open web, without DNS: loopback, `connect_to`, no name at all."""
    host, port = url_host(parsed := parse_url(url)), url_port(parsed)
    address = ip_literal(host)
    named_local = host == "localhost" or host.endswith((".localhost", ".invalid"))  # RFC 6761, 6.3 and 6.4
    return named_local or (address is not None and is_loopback(address)) or connect_to.find(host, port) is not None


async def require_named_agent(settings: FetchSettings, urls: Iterable[str]) -> None:
    """Raise ConfigurationError if one of the URLs is not on loopback and the user agent is the shipped default.

    Names are looked up for that; one that nobody knows is not on loopback.
    """
    if not settings.has_default_agent:
        return
    resolver, connect_to = Resolver(), parse_connect_to(settings.connect_to)
    guard = GuardedBackend(resolve=resolver, networks=(), connect_to=connect_to, only_loopback=True)
    try:
        for url in (parse_url(each) for each in urls if each.startswith(("http://", "https://"))):
            if is_local(str(url), connect_to):
                continue
            try:
                await guard.addresses(url_host(url), url_port(url), settings.timeout.total_seconds())
            except FetchError as error:
                if error.reason in {"agent", "dns"}:
                    raise ConfigurationError(f"{url_host(url)} is not fetched from: {DEFAULT_AGENT}") from error
    finally:
        resolver.close()


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
