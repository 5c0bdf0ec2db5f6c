"""Send one GET over an idle or a new connection, with TLS, and translate the errors of the libraries.

httpcore's own pool loses a slot with every request that is cancelled at the wrong moment (httpcore issue 1093). Here a
connection belongs to one request at a time, returns to `IdlePool` only after a response that was read to its end, and
is closed in every other case. `to_fetch_error` turns what httpcore, h11 and ssl raise into FetchError.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import h11
import httpcore
import httpx

from worker.errors import ConfigurationError, FetchError
from worker.fetch.http.network_backend import GuardedBackend
from worker.fetch.http.proxy import HttpProxy, ProxyBackend, proxy_refusal
from worker.fetch.http.ssrf import url_port
from worker.models.base import dataclass


class TlsContext:
    """The TLS context of all connections: the usual certificate authorities, and those of `ca_file`.

    Raises ConfigurationError at once if `ca_file` cannot be read; the context is made for the first https URL.
    """

    def __init__(self, ca_file: str) -> None:
        self._ca_file = ca_file
        self._context: ssl.SSLContext | None = None
        if ca_file:
            _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca_file)

    def context(self) -> ssl.SSLContext:
        """Return the context. Making it takes a tenth of a second, so it is made once, and only if it is needed."""
        if self._context is None:
            self._context = httpx.create_ssl_context(trust_env=False)
            if self._ca_file:
                _load(self._context, self._ca_file)
        return self._context


def _load(context: ssl.SSLContext, ca_file: str) -> None:
    try:
        context.load_verify_locations(cafile=Path(ca_file))
    except (OSError, ssl.SSLError) as exc:
        message = f"fetch.ca_file: {ca_file} cannot be read as certificates in PEM form ({exc})"
        raise ConfigurationError(message) from exc


# By default nginx closes an idle connection after 75 s, Apache after 5 s; one that the server has closed is noticed and
# replaced (`_STALE`). Chosen, not measured.
KEEP_ALIVE_S = 30.0
# The body of a response that is not wanted is read up to this size and time, to keep the connection for the next
# request: cheaper than a new TLS handshake (chosen, not measured).
DRAIN_TIMEOUT_S = 1.0
MAX_DRAIN_BYTES = 64 * 1024

Header = tuple[bytes, bytes]
Hook = Callable[[], Awaitable[None]]
"""A coroutine function that is awaited directly before or after a request is sent."""
MakeHeaders = Callable[[], Sequence[Header]]
"""A function that is called directly before a request is sent, as signatures carry the time."""
Route = tuple[httpcore.Origin, HttpProxy | None]
"""Where a connection leads, and through which proxy."""
# Errors of an idle connection that the server has closed meanwhile: the request is sent again on a new one.
_STALE = (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError)


@dataclass(slots=True)
class RawResponse:
    """Status and headers of a response whose body has not been read yet; the body is still encoded."""

    status: int
    headers: httpx.Headers
    response: httpcore.Response
    read: bool = False

    @property
    def peer(self) -> str:
        """The address and port of the server, for the trace."""
        address = self.response.extensions["network_stream"].get_extra_info("server_addr")
        return f"{address[0]} port {address[1]}" if address else "unknown"

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it was sent, with its content coding; raises errors of httpcore."""
        async for chunk in self.response.aiter_stream():
            yield chunk
        self.read = True

    async def finish(self) -> bool:
        """Read the rest of a short body; return whether the whole body was read, so that the connection is reusable."""
        length = self.headers.get("content-length", "")
        if not self.read and (self.status == 304 or (length.isdecimal() and int(length[:15]) <= MAX_DRAIN_BYTES)):
            # The response is complete for its caller: a body that never comes costs the connection, not the fetch.
            with suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
                async with asyncio.timeout(DRAIN_TIMEOUT_S):
                    async for _ in self.chunks():
                        pass
        if self.read:
            await self.response.aclose()
        return self.read


class IdlePool:
    """Open connections that no request uses; the oldest is closed when there are more than `size`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._connections: dict[httpcore.AsyncHTTPConnection, Route] = {}

    async def acquire(self, route: Route) -> httpcore.AsyncHTTPConnection | None:
        """Remove and return a connection on a route that looks usable; None if there is none."""
        for connection in [kept for kept, its_route in self._connections.items() if its_route == route]:
            del self._connections[connection]
            if connection.is_idle() and not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    async def release(self, route: Route, connection: httpcore.AsyncHTTPConnection) -> bool:
        """Put a connection into the pool; False if it cannot be used again and the caller has to close it."""
        if self._size < 1 or not connection.is_idle():
            return False
        self._connections[connection] = route
        if len(self._connections) > self._size:
            oldest = next(iter(self._connections))
            del self._connections[oldest]
            await oldest.aclose()
        return True

    async def clear(self) -> None:
        """Close all connections."""
        while self._connections:
            connection, _ = self._connections.popitem()
            await connection.aclose()


class Connections:
    """Sends requests, and keeps up to `max_idle` connections open between them."""

    def __init__(self, backend: GuardedBackend, tls: TlsContext, *, max_idle: int, timeout_s: float) -> None:
        self._backend = backend
        self._tls = tls
        self._idle = IdlePool(max_idle)
        self._timeouts = dict.fromkeys(("connect", "read", "write", "pool"), timeout_s)

    @asynccontextmanager
    async def send(
        self,
        url: httpx.URL,
        make_headers: MakeHeaders,
        *,
        before_send: Hook,
        after_send: Hook,
        proxy: HttpProxy | None = None,
    ) -> AsyncIterator[RawResponse]:
        """Send a GET request and yield the response; errors of httpcore and ssl (`LIBRARY_ERRORS`) are passed on.

        `before_send` is awaited once the connection is open, directly before the request is sent, and `after_send`
        directly after it; for a request that is sent again on a new connection, both run again.
        """
        # A proxy is sent the whole URL, except inside a tunnel.
        is_forwarded = proxy is not None and url.scheme == "http"
        target = str(url).encode("ascii") if is_forwarded else url.raw_path
        own = proxy.headers() if proxy is not None and is_forwarded else []
        request = httpcore.Request(
            b"GET",
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url_port(url), target=target),
            extensions={
                "timeout": self._timeouts,
                "trace": _send_hooks(before_send, lambda: [*make_headers(), *own], after_send),
            },
        )
        connection, response = await self._open(request, proxy)
        kept = False
        try:
            raw = RawResponse(response.status, httpx.Headers(response.headers), response)
            if proxy is not None and is_forwarded and raw.status == 407:  # RFC 9110, 15.5.8: the proxy wants a login
                raise proxy_refusal(proxy, raw.status)
            yield raw
            if await raw.finish():
                kept = await self._idle.release((request.url.origin, proxy), connection)
        finally:
            if not kept:
                await connection.aclose()

    async def aclose(self) -> None:
        """Close the idle connections."""
        await self._idle.clear()

    async def _open(
        self, request: httpcore.Request, proxy: HttpProxy | None
    ) -> tuple[httpcore.AsyncHTTPConnection, httpcore.Response]:
        """Send a request over an idle connection, or over a new one if there is none or the server has closed it."""
        kept = await self._idle.acquire((request.url.origin, proxy))
        if kept is not None:
            try:
                return kept, await self._send(kept, request)
            except _STALE:
                # The server may close an idle connection at any time; a new one can still work.
                pass
        is_secure = request.url.origin.scheme == b"https"
        fresh = httpcore.AsyncHTTPConnection(
            request.url.origin,
            ssl_context=self._tls.context() if is_secure else None,
            keepalive_expiry=KEEP_ALIVE_S,
            network_backend=ProxyBackend(proxy, self._backend, tunnel=is_secure) if proxy else self._backend,
        )
        return fresh, await self._send(fresh, request)

    async def _send(self, connection: httpcore.AsyncHTTPConnection, request: httpcore.Request) -> httpcore.Response:
        try:
            return await connection.handle_async_request(request)
        except BaseException:
            await connection.aclose()
            raise


def _send_hooks(
    before_send: Hook, make_headers: MakeHeaders, after_send: Hook
) -> Callable[[str, dict[str, httpcore.Request]], Awaitable[None]]:
    """Return a trace function of httpcore that calls the hooks around the headers of a request; GET has no body."""

    async def trace(event: str, details: dict[str, httpcore.Request]) -> None:
        if event == "http11.send_request_headers.started":
            await before_send()
            details["request"].headers = list(make_headers())
        elif event == "http11.send_request_headers.complete":
            await after_send()

    return trace


LIBRARY_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ConnectionNotAvailable,
    h11.ProtocolError,
    ssl.SSLError,
    OSError,
)
"""All exceptions that a request can raise; the tests with randomly damaged responses check that there are no others."""


def to_fetch_error(exc: BaseException, *, host: str) -> FetchError:
    """Return the FetchError for an exception of a library; its `reason` is one of those in docs/fetch.md."""
    if isinstance(exc, FetchError):
        return exc
    tls = tls_error(exc)
    if tls is not None:
        return FetchError(f"TLS with {host} failed: {_tls_reason(tls)}", reason="tls", retry=True)
    if isinstance(exc, httpcore.TimeoutException):
        return FetchError(f"{host} is too slow: {exc}", reason="timeout", retry=True)
    if isinstance(exc, httpcore.ConnectError):
        return FetchError(f"cannot connect to {host}: {exc}", reason="connect", retry=True)
    if isinstance(exc, httpcore.NetworkError | OSError):
        return FetchError(f"the connection to {host} broke: {exc}", reason="reset", retry=True)
    return _protocol_error(exc, host)


def _protocol_error(exc: BaseException, host: str) -> FetchError:
    # h11 has one exception for all of these; only its text tells them apart.
    words = str(exc) or type(exc).__name__
    if "incomplete" in words or "without sending complete" in words:
        return FetchError(f"{host} sent an incomplete body", reason="truncated", retry=True)
    if "disconnected without" in words:
        return FetchError(f"{host} closed the connection without a response", reason="reset", retry=True)
    return FetchError(f"{host} broke the HTTP protocol: {words[:200]}", reason="protocol", retry=True)


def tls_error(exc: BaseException | None) -> ssl.SSLError | None:
    """Return the ssl error in a chain of causes, None if there is none."""
    while exc is not None:
        if isinstance(exc, ssl.SSLError):
            return exc
        exc = exc.__cause__ or exc.__context__
    return None


def _tls_reason(exc: ssl.SSLError) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return exc.verify_message or str(exc)
    return str(exc.reason or exc)
