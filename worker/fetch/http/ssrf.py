"""Decide whether a URL and the addresses behind it may be connected to; opens nothing."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpx

from worker.errors import FetchBlocked, FetchError

# Tell public addresses from those no stranger's link may lead to.
#
# The tables follow the special-purpose address registries (RFC 6890) and name more than `ipaddress.is_private` and
# `is_global` do: every way to write an IPv4 address inside IPv6, multicast, and the clouds' metadata services.


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
_V4_MASK = 0xFFFFFFFF


def special_purpose(address: Address) -> str:
    """Name what makes an address unfit for strangers' links; empty for a public one."""
    if isinstance(address, IPv4Address):
        return next((name for network, name in _V4 if address in network), "")
    named = next((name for network, name in _V6 if address in network), "")
    if named:
        return named
    if (int(address) >> 32) & _V4_MASK in _ISATAP:
        return "IPv4 inside ISATAP"
    return "" if address in _GLOBAL_UNICAST else "not global unicast"


def embedded_ipv4(address: Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address carries (RFC 4291, 6052, 3056, 4380, 5214), if it carries one."""
    if isinstance(address, IPv4Address):
        return None
    kind, value = special_purpose(address), int(address)
    if kind == "IPv4 inside 6to4":
        return IPv4Address((value >> 80) & _V4_MASK)
    if kind == "IPv4 inside Teredo":
        return IPv4Address(~value & _V4_MASK)
    return IPv4Address(value & _V4_MASK) if kind.startswith("IPv4") else None


def is_allowed(address: Address, networks: Sequence[Network]) -> bool:
    """Tell whether an address may be connected to: public, or named by the operator.

    Naming a wide IPv6 network does not open the IPv4 addresses hidden inside it.
    """
    if not special_purpose(address):
        return True
    if not any(address in network for network in networks if network.version == address.version):
        return False
    inner = embedded_ipv4(address)
    return inner is None or is_allowed(inner, networks)


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Read networks such as `127.0.0.0/8`; raises ValueError on the first that is none."""
    return tuple(ip_network(text, strict=False) for text in texts)


def ip_literal(host: str) -> Address | None:
    """Return the address that a host name is, if it is one (zone identifiers and brackets are left out)."""
    try:
        return ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


MAX_URL_LENGTH = 8_000
WELL_KNOWN_WEB_PORTS = frozenset({80, 443})
FIRST_USER_PORT = 1024

# Services that speak something else than HTTP and may act on it (from the Fetch Standard's port blocking), and
# databases and caches that are often open to their own network.
SERVICE_PORTS = frozenset(
    {1433, 1521, 1719, 1720, 1723, 2049, 2375, 2379, 3306, 3389, 3659, 4045, 4190, 5060, 5061, 5432, 5672, 5900}
    | {6000, 6379, 6443, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 9042, 9092, 9200, 9300, 10080, 10250, 11211}
    | {27017}
)

_NUMERIC_LABEL = re.compile(r"(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?")


def parse_url(text: str) -> httpx.URL:
    """Read a URL the one way everything here reads it.

    Raises FetchError (`url`) for what is no URL; IDNA, Unicode and number errors of the libraries end here.
    """
    if len(text) > MAX_URL_LENGTH:
        raise FetchError(f"a URL of {len(text)} characters is too long to fetch", reason="url", retry=False)
    try:
        return _normal(httpx.URL(text))
    except (httpx.InvalidURL, ValueError, TypeError) as exc:
        raise FetchError(f"not a URL that can be fetched: {text[:200]!r} ({exc})", reason="url", retry=False) from exc


def _normal(url: httpx.URL) -> httpx.URL:
    # One spelling for one host: a dot at the end must not give it a second turn.
    host = url_host(url).rstrip(".")
    return url.copy_with(fragment=None, host=host) if url.fragment or host != url_host(url) else url


def resolve_location(base: httpx.URL, location: str) -> httpx.URL:
    """Return where a Location header leads; raises FetchError (`redirects`) where that is no URL."""
    try:
        return parse_url(str(base.join(location)))
    except (FetchError, httpx.InvalidURL, ValueError, TypeError) as exc:
        message = f"{url_host(base)} redirects to what is no URL: {location[:200]!r}"
        raise FetchError(message, reason="redirects", retry=False) from exc


def check_url(url: httpx.URL, networks: Sequence[Network]) -> None:
    """Refuse what can be refused without asking anybody: raises FetchBlocked with the rule."""
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
        # Resolvers read 127.1, 0x7f.1 and 2130706433 as addresses; no name of the web ends in a number.
        raise FetchBlocked(f"host {host!r} is an address written in an unusual way", reason="network")
    elif not re.fullmatch(r"[a-z0-9_.-]+", host):
        raise FetchBlocked(f"host {host[:100]!r} has characters that no host name has", reason="host")


def _check_port(url: httpx.URL) -> None:
    port = url_port(url)
    if not 0 < port < 65536:
        raise FetchBlocked(f"port {port} does not exist", reason="port")
    if port in WELL_KNOWN_WEB_PORTS or (port >= FIRST_USER_PORT and port not in SERVICE_PORTS):
        return
    raise FetchBlocked(f"port {port} belongs to another service than the web", reason="port")


def check_address(address: Address, networks: Sequence[Network], *, host: str) -> None:
    """Raise FetchBlocked unless the address is public or named by the operator."""
    if is_allowed(address, networks):
        return
    what = f"{address} ({special_purpose(address)})"
    where = f"{what} is not" if host == str(address) else f"{host} is at {what}, which is not"
    raise FetchBlocked(f"{where} a public address; fetch.allow_networks can name exceptions", reason="network")


def url_host(url: httpx.URL) -> str:
    """Return the host a URL names, as the wire has it: in ASCII, without brackets."""
    return url.raw_host.decode("ascii")


def url_port(url: httpx.URL) -> int:
    """Return the port a URL connects to."""
    return url.port if url.port is not None else (443 if url.scheme == "https" else 80)


def url_origin(url: httpx.URL) -> str:
    """Return scheme, host and port, the port always written out."""
    host = url_host(url)
    host = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{host}:{url_port(url)}"


# Look names up in threads of its own, so that a name server that hangs stops nobody else.
#
# The loop's default executor has a handful of threads, and leaving it waits for every one of them. These threads are
# daemons with a limit of their own; two look-ups of one name share one thread.


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
        # Shielded: who gives up waiting does not take the answer from the others.
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
            except Exception as exc:  # noqa: BLE001 - whatever happens in the thread belongs to who waits for it
                error = exc
            with suppress(RuntimeError):  # the loop may be closed by now: then nobody waits any more
                loop.call_soon_threadsafe(deliver, addresses, error)

        threading.Thread(target=run, name=f"resolve {host}", daemon=True).start()
        return answer

    def close(self) -> None:
        """Stop waiting for answers; threads that hang end by themselves."""
        for task in self._pending.values():
            task.cancel()
