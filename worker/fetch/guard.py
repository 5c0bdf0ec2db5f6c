"""Decide whether a URL and the addresses behind it may be connected to; opens nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence

import httpx

from worker.errors import FetchBlocked, FetchError
from worker.fetch.addresses import Address, Network, allowed, kind_of, literal

MAX_URL_LENGTH = 8_000
WELL_KNOWN_WEB_PORTS = frozenset({80, 443})
LOWEST_FREE_PORT = 1024

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
    host = host_of(url).rstrip(".")
    return url.copy_with(fragment=None, host=host) if url.fragment or host != host_of(url) else url


def join(base: httpx.URL, location: str) -> httpx.URL:
    """Return where a Location header leads; raises FetchError (`redirects`) where that is no URL."""
    try:
        return parse_url(str(base.join(location)))
    except (FetchError, httpx.InvalidURL, ValueError, TypeError) as exc:
        message = f"{host_of(base)} redirects to what is no URL: {location[:200]!r}"
        raise FetchError(message, reason="redirects", retry=False) from exc


def check_url(url: httpx.URL, networks: Sequence[Network]) -> None:
    """Refuse what can be refused without asking anybody: raises FetchBlocked with the rule."""
    if url.scheme not in {"http", "https"}:
        raise FetchBlocked(f"{url.scheme or 'no'} scheme: only http and https are fetched", reason="scheme")
    if url.userinfo:
        raise FetchBlocked(f"the URL carries credentials for {host_of(url)}: remove them", reason="credentials")
    _check_host(url, networks)
    _check_port(url)


def _check_host(url: httpx.URL, networks: Sequence[Network]) -> None:
    host = host_of(url)
    if not host:
        raise FetchBlocked("the URL names no host", reason="host")
    address = literal(host)
    if address is not None:
        check_address(address, networks, host=host)
    elif _NUMERIC_LABEL.fullmatch(host.rstrip(".").rpartition(".")[2]):
        # Resolvers read 127.1, 0x7f.1 and 2130706433 as addresses; no name of the web ends in a number.
        raise FetchBlocked(f"host {host!r} is an address written in an unusual way", reason="network")
    elif not re.fullmatch(r"[a-z0-9_.-]+", host):
        raise FetchBlocked(f"host {host[:100]!r} has characters that no host name has", reason="host")


def _check_port(url: httpx.URL) -> None:
    port = port_of(url)
    if not 0 < port < 65536:
        raise FetchBlocked(f"port {port} does not exist", reason="port")
    if port in WELL_KNOWN_WEB_PORTS or (port >= LOWEST_FREE_PORT and port not in SERVICE_PORTS):
        return
    raise FetchBlocked(f"port {port} belongs to another service than the web", reason="port")


def check_address(address: Address, networks: Sequence[Network], *, host: str) -> None:
    """Raise FetchBlocked unless the address is public or named by the operator."""
    if allowed(address, networks):
        return
    what = f"{address} ({kind_of(address)})"
    where = f"{what} is not" if host == str(address) else f"{host} is at {what}, which is not"
    raise FetchBlocked(f"{where} a public address; fetch.allow_networks can name exceptions", reason="network")


def host_of(url: httpx.URL) -> str:
    """Return the host a URL names, as the wire has it: in ASCII, without brackets."""
    return url.raw_host.decode("ascii")


def port_of(url: httpx.URL) -> int:
    """Return the port a URL connects to."""
    return url.port if url.port is not None else (443 if url.scheme == "https" else 80)


def origin_of(url: httpx.URL) -> str:
    """Return scheme, host and port, the port always written out."""
    host = host_of(url)
    host = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{host}:{port_of(url)}"
