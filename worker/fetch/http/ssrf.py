"""SSRF protection: which URLs and IP addresses may be connected to, and the resolver that looks names up.

Links from the web must not reach the operator's own network. `check_url` refuses schemes, ports, credentials and hosts
before anything is resolved; `check_address` refuses every address that is not public, unless `fetch.allow_networks`
names it. `network_backend` resolves a name once with `Resolver`, checks all of its addresses and connects to one of
those, so a second DNS answer cannot lead elsewhere (DNS rebinding). Nothing here opens a connection.

The tables follow the special-purpose address registries (RFC 6890) and hold more than `ipaddress.is_private` and
`is_global` cover: every form of IPv4 inside IPv6, multicast, and the metadata services of cloud providers.
"""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpx

from worker.errors import ConfigurationError, FetchBlocked, FetchError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_V4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), name)
    for network, name in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.100.100.200/32", "cloud metadata"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.169.254/32", "cloud metadata"),
        ("169.254.0.0/16", "link-local"),
        ("168.63.129.16/32", "cloud metadata"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "AMT relay"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)

_V6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), name)
    for network, name in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "IPv4 mapped into IPv6"),
        ("::ffff:0:0:0/96", "IPv4 translated into IPv6"),
        ("::/96", "IPv4 compatible IPv6"),
        ("64:ff9b::/96", "IPv4 behind NAT64"),
        ("64:ff9b:1::/48", "IPv4 behind NAT64"),
        ("100::/64", "discard only"),
        ("2001::/32", "IPv4 inside Teredo"),
        ("2001::/23", "protocol assignments"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "IPv4 inside 6to4"),
        ("2620:4f:8000::/48", "AS112"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214: the upper half of the interface identifier
_V4_MASK = 0xFFFFFFFF  # the 32 bits of an IPv4 address


def special_purpose(address: Address) -> str:
    """Return the name of the special-purpose block that an address lies in; empty for a public address."""
    if isinstance(address, IPv4Address):
        return next((name for network, name in _V4 if address in network), "")
    named = next((name for network, name in _V6 if address in network), "")
    if named:
        return named
    if (int(address) >> 32) & _V4_MASK in _ISATAP:
        return "IPv4 inside ISATAP"
    return "" if address in _GLOBAL_UNICAST else "not global unicast"


def embedded_ipv4(address: Address) -> IPv4Address | None:
    """Return the IPv4 address embedded in an IPv6 address (RFC 4291, 6052, 3056, 4380, 5214), None if there is none."""
    if isinstance(address, IPv4Address):
        return None
    kind, value = special_purpose(address), int(address)
    if kind == "IPv4 inside 6to4":
        return IPv4Address((value >> 80) & _V4_MASK)
    if kind == "IPv4 inside Teredo":
        return IPv4Address(~value & _V4_MASK)
    return IPv4Address(value & _V4_MASK) if kind.startswith("IPv4") else None


def is_allowed(address: Address, networks: Sequence[Network]) -> bool:
    """Return whether an address may be connected to: it is public, or within one of the operator's `networks`.

    An IPv4 address embedded in an allowed IPv6 network must be allowed itself.
    """
    if not special_purpose(address):
        return True
    if not any(address in network for network in networks if network.version == address.version):
        return False
    inner = embedded_ipv4(address)
    return inner is None or is_allowed(inner, networks)


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Parse networks such as `127.0.0.0/8`; raises ValueError on the first that is not one."""
    return tuple(ip_network(text, strict=False) for text in texts)


def configured_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Return the networks of the setting `allow_networks`; raises ConfigurationError."""
    try:
        return parse_networks(texts)
    except ValueError as exc:
        raise ConfigurationError(f'fetch.allow_networks: {exc}; write for example "127.0.0.0/8"') from exc


def ip_literal(host: str) -> Address | None:
    """Return the address that a host is written as, without zone identifier and brackets; None for a name."""
    try:
        return ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


MAX_URL_LENGTH = 8_000  # RFC 9110, 4.1, recommends support for at least 8,000 octets; servers refuse longer ones
WELL_KNOWN_WEB_PORTS = frozenset({80, 443})
FIRST_USER_PORT = 1024  # RFC 6335: lower ports belong to system services (SSH, SMTP…), not to web servers

# Services of other protocols that may act on an HTTP request (the port blocking of the Fetch Standard), and databases
# and caches that are often reachable from their own network.
SERVICE_PORTS = frozenset(
    {1433, 1521, 1719, 1720, 1723, 2049, 2375, 2379, 3306, 3389, 3659, 4045, 4190, 5060, 5061, 5432, 5672, 5900}
    | {6000, 6379, 6443, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 9042, 9092, 9200, 9300, 10080, 10250, 11211}
    | {27017}
)

_NUMERIC_LABEL = re.compile(r"(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?")


def parse_url(text: str) -> httpx.URL:
    """Parse a URL; every URL to be fetched goes through this function, so all checks see the same host.

    Raises FetchError (`url`) if it cannot be parsed, whatever the libraries raise (IDNA, Unicode, port numbers).
    """
    if len(text) > MAX_URL_LENGTH:
        raise FetchError(f"a URL of {len(text)} characters is too long to fetch", reason="url", retry=False)
    try:
        return _normal(httpx.URL(text))
    except (httpx.InvalidURL, ValueError, TypeError) as exc:
        raise FetchError(f"not a URL that can be fetched: {text[:200]!r} ({exc})", reason="url", retry=False) from exc


def _normal(url: httpx.URL) -> httpx.URL:
    # One spelling for one host: a dot at the end must not count as another host for the rate limit.
    host = url_host(url).rstrip(".")
    return url.copy_with(fragment=None, host=host) if url.fragment or host != url_host(url) else url


def resolve_location(base: httpx.URL, location: str) -> httpx.URL:
    """Return the URL of a Location header; raises FetchError (`redirects`) if it cannot be parsed."""
    try:
        return parse_url(str(base.join(location)))
    except (FetchError, httpx.InvalidURL, ValueError, TypeError) as exc:
        message = f"{url_host(base)} redirects to an invalid URL: {location[:200]!r}"
        raise FetchError(message, reason="redirects", retry=False) from exc


def check_url(url: httpx.URL, networks: Sequence[Network]) -> None:
    """Check scheme, credentials, host and port, without DNS; raises FetchBlocked with the rule that failed."""
    if url.scheme not in {"http", "https"}:
        raise FetchBlocked(f"{url.scheme or 'no'} scheme: only http and https are fetched", reason="scheme")
    if url.userinfo:
        raise FetchBlocked(f"the URL carries credentials for {url_host(url)}: remove them", reason="credentials")
    _check_host(url, networks)
    _check_port(url)


def _check_host(url: httpx.URL, networks: Sequence[Network]) -> None:
    host = url_host(url)
    if not host:
        raise FetchBlocked("the URL names no host", reason="host")
    address = ip_literal(host)
    if address is not None:
        check_address(address, networks, host=host)
    elif _NUMERIC_LABEL.fullmatch(host.rstrip(".").rpartition(".")[2]):
        # Resolvers take 127.1, 0x7f.1 and 2130706433 for addresses; no public host name ends in a number.
        raise FetchBlocked(f"host {host!r} is an address written in an unusual way", reason="network")
    elif not re.fullmatch(r"[a-z0-9_.-]+", host):
        raise FetchBlocked(f"host {host[:100]!r} has characters that host names cannot have", reason="host")


def _check_port(url: httpx.URL) -> None:
    port = url_port(url)
    if not 0 < port < 65536:
        raise FetchBlocked(f"port {port} does not exist", reason="port")
    if port in WELL_KNOWN_WEB_PORTS or (port >= FIRST_USER_PORT and port not in SERVICE_PORTS):
        return
    raise FetchBlocked(f"port {port} belongs to a service other than the web", reason="port")


def check_address(address: Address, networks: Sequence[Network], *, host: str) -> None:
    """Raise FetchBlocked (`network`) unless `is_allowed`; `host` is the name that resolved to the address."""
    if is_allowed(address, networks):
        return
    what = f"{address} ({special_purpose(address)})"
    where = f"{what} is not" if host == str(address) else f"{host} is at {what}, which is not"
    raise FetchBlocked(f"{where} a public address; fetch.allow_networks can name exceptions", reason="network")


def url_host(url: httpx.URL) -> str:
    """Return the host of a URL as it is sent: in ASCII (IDNA), without brackets."""
    return url.raw_host.decode("ascii")


def url_port(url: httpx.URL) -> int:
    """Return the port of a URL, or the default port of its scheme."""
    return url.port if url.port is not None else (443 if url.scheme == "https" else 80)


def url_origin(url: httpx.URL) -> str:
    """Return scheme, host and port (`https://bao.example:443`), the port always included."""
    host = url_host(url)
    host = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{host}:{url_port(url)}"


# DNS look-ups run in daemon threads of their own: the event loop's default executor has few threads, a name server that
# hangs would block all of them, and the interpreter would wait for them at exit.

Lookup = Callable[[str, int], list[Address]]
"""Blocking: return the addresses of a name, preferred ones first; raises OSError."""

Resolve = Callable[[str, int], Awaitable[list[Address]]]
"""The same, asynchronous; raises FetchError (`dns`)."""

# Threads that wait for DNS. Only hanging name servers need many, and each costs little (chosen, not measured).
MAX_THREADS = 64


def system_lookup(host: str, port: int) -> list[Address]:
    """Look a name up with the system's resolver; raises OSError (`socket.gaierror`)."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    texts = dict.fromkeys(str(info[4][0]).partition("%")[0] for info in infos)
    return [ip_address(text) for text in texts]


class Resolver:
    """Asynchronous DNS look-ups: at most `threads` at a time, and concurrent look-ups of one name share one thread."""

    def __init__(self, lookup: Lookup = system_lookup, *, threads: int = MAX_THREADS) -> None:
        self._lookup = lookup
        self._slots = asyncio.Semaphore(threads)
        self._pending: dict[tuple[str, int], asyncio.Task[list[Address]]] = {}

    async def __call__(self, host: str, port: int) -> list[Address]:
        """Return the addresses of a name, at least one; raises FetchError (`dns`)."""
        key = (host, port)
        task = self._pending.get(key)
        if task is None:
            task = asyncio.create_task(self._resolve(host, port))
            self._pending[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        # Shielded: a caller that is cancelled must not cancel the look-up that others wait for.
        return await asyncio.shield(task)

    def _forget(self, key: tuple[str, int], task: asyncio.Task[list[Address]]) -> None:
        self._pending.pop(key, None)
        if not task.cancelled():
            task.exception()

    async def _resolve(self, host: str, port: int) -> list[Address]:
        async with self._slots:
            try:
                addresses = await self._lookup_in_thread(host, port)
            except (OSError, ValueError) as exc:
                why = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
                message = f"the name {host} cannot be resolved ({why})"
                raise FetchError(message, reason="dns", retry=True) from exc
        if not addresses:
            raise FetchError(f"the name {host} has no address", reason="dns", retry=True)
        return addresses

    def _lookup_in_thread(self, host: str, port: int) -> asyncio.Future[list[Address]]:
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
            except Exception as exc:  # noqa: BLE001 - the awaiting coroutine gets it, whatever it is
                error = exc
            with suppress(RuntimeError):  # the loop is closed by now, and nothing waits for the answer
                loop.call_soon_threadsafe(deliver, addresses, error)

        threading.Thread(target=run, name=f"resolve {host}", daemon=True).start()
        return answer

    def close(self) -> None:
        """Cancel all look-ups; their threads are daemons and end by themselves."""
        for task in self._pending.values():
            task.cancel()
