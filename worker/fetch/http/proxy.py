"""HTTP proxies: parse their address, and connect through them (RFC 9110, 9.3.6; RFC 9112, 3.2.2)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import field
from typing import Final

import httpcore
import httpx

from worker.errors import ConfigurationError, FetchError
from worker.fetch.http.network_backend import GuardedBackend, HostPort
from worker.models.base import dataclass

LOOKUP_TIMEOUT_S: Final = 2.0
"""How long a name is looked up here first: behind a proxy there may be no name server at all (chosen)."""
_MAX_PROXY_HEAD: Final = 16 * 1024  # bytes of a proxy's response: twice what servers accept of a request (chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProxy:
    """An HTTP proxy: where it listens, and the value of Proxy-Authorization, empty without a login."""

    at: HostPort
    authorization: str = field(default="", repr=False)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the header that logs in at the proxy, if one is needed."""
        return [(b"Proxy-Authorization", self.authorization.encode("ascii"))] if self.authorization else []


def parse_proxy(text: str, *, place: str) -> HttpProxy:
    """Parse `http://[user:password@]host[:port]`; raises ConfigurationError, which does not show it."""
    try:
        url = httpx.URL(text)
        usable = url.scheme == "http" and bool(url.host) and url.raw_path == b"/"
    except (httpx.InvalidURL, ValueError, TypeError):
        usable = False
    if not usable:
        raise ConfigurationError(f"{place}: not of the form http://host:port or http://user:password@host:port")
    login = f"{url.username}:{url.password}".encode()
    authorization = f"Basic {base64.b64encode(login).decode('ascii')}" if url.userinfo else ""
    return HttpProxy(at=HostPort(url.raw_host.decode("ascii"), url.port or 80), authorization=authorization)


class ProxyBackend(httpcore.AsyncNetworkBackend):
    """A network backend that connects through an HTTP proxy: to the proxy itself for http, by CONNECT for https.

    The operator chose the proxy, so its address is not checked. Those of the host are, as far as it can be resolved
    here; one that cannot is left to the proxy (RFC 9110, 9.3.6).
    """

    def __init__(self, proxy: HttpProxy, guard: GuardedBackend, *, tunnel: bool) -> None:
        self._proxy = proxy
        self._guard = guard
        self._tunnel = tunnel

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,  # noqa: ARG002 - httpcore's signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        """Return a connection to the host, or to the proxy for it; raises FetchBlocked or FetchError."""
        try:
            await self._guard.addresses(host, port, min(timeout or LOOKUP_TIMEOUT_S, LOOKUP_TIMEOUT_S))
        except FetchError as error:
            if error.reason != "dns" or self._guard.only_loopback:
                raise
        try:
            stream = await self._guard.connect_unchecked(self._proxy.at, timeout)
        except FetchError as error:
            raise FetchError(f"the proxy {self._proxy.at}: {error}", reason=error.reason, retry=True) from error
        if self._tunnel:
            await self._open_tunnel(stream, str(HostPort(host, port)), timeout)
        return stream

    async def _open_tunnel(self, stream: httpcore.AsyncNetworkStream, target: str, timeout_s: float | None) -> None:
        fields = [(b"Host", target.encode("ascii")), *self._proxy.headers()]
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
        try:
            await stream.write(f"CONNECT {target} HTTP/1.1\r\n".encode("ascii") + lines + b"\r\n", timeout_s)
            status = await self._read_status(stream, timeout_s)
        except BaseException:
            await stream.aclose()
            raise
        if not 200 <= status < 300:
            await stream.aclose()
            raise proxy_refusal(self._proxy, status)

    async def _read_status(self, stream: httpcore.AsyncNetworkStream, timeout_s: float | None) -> int:
        """Read the head of the proxy's response and return its status, 0 if it is none."""
        head = b""
        while not head.endswith(b"\r\n\r\n") and len(head) < _MAX_PROXY_HEAD:
            # One byte at a time: what follows the head belongs to the host.
            read = await stream.read(1, timeout_s)
            if not read:
                break
            head += read
        found = re.match(rb"HTTP/1\.[01] (\d{3})[ \r]", head)
        return int(found[1]) if found else 0


def proxy_refusal(proxy: HttpProxy, status: int) -> FetchError:
    """Return the error of a proxy that does not pass a request on."""
    why = f"answered {status}" if status else "did not answer in HTTP"
    return FetchError(f"the proxy {proxy.at} {why}", reason="connect", retry=True)
