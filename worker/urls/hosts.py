"""Hosts: their one spelling, the site they belong to, and their mobile and AMP twins.

A site is one publisher: the registrable domain by the public suffix list, its private section included, so that
`anna.github.io` and `ben.github.io` are two sites. Some hosters of papers are missing from that list; they are here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import SplitResult, unquote

import idna
from tld import get_fld

from worker.errors import SourceError

_ASCII_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_TWIN_LABEL = re.compile(r"(?:www\d?|m|mobile|amp|wap)\Z")
_BLOGGER = re.compile(r"(?:.+\.)?(?P<site>[^.]+\.blogspot\.[a-z]{2,3}(?:\.[a-z]{2})?)\Z")
"""Blogger serves each blog under a domain of every country."""
_HOSTERS = frozenset(
    """
    substack.com wordpress.com tumblr.com livejournal.com typepad.com medium.com beehiiv.com over-blog.com canalblog.com
    hashnode.dev bearblog.dev write.as weebly.com webnode.com jimdofree.com
    """.split()  # noqa: SIM905 - fifteen short words read best as words
)
"""Domains whose sub-domains belong to different publishers, though the public suffix list does not say so."""
_RESERVED = frozenset({"example", "test"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


def host_and_port(parts: SplitResult) -> tuple[str, int | None]:
    """Return the host in lower-case ASCII (IDNA 2008, RFC 5891) and the port where it is not the scheme's own."""
    return _read(parts.scheme, parts.netloc)


@lru_cache(maxsize=4096)
def _read(scheme: str, netloc: str) -> tuple[str, int | None]:
    parts = SplitResult(scheme, netloc, "", "", "")
    try:
        host, port = normalise_host(parts.hostname or ""), parts.port
    except ValueError as exc:
        raise SourceError(f"not a usable host: {netloc[:200]!r}; check the address") from exc
    return host, None if port == _DEFAULT_PORTS.get(scheme) else port


@lru_cache(maxsize=4096)
def normalise_host(host: str) -> str:
    """Return a host's one spelling; raises ValueError for what cannot be a host."""
    if ":" in host:
        return f"[{IPv6Address(host.partition('%')[0]).compressed}]"
    host = unquote(host).lower().rstrip(".")
    if not host.isascii():
        # IDNAError is a ValueError (UnicodeError).
        host = idna.encode(host, uts46=True, transitional=False).decode("ascii")
    if len(host) > 253 or not _ASCII_HOST.fullmatch(host):
        raise ValueError(host[:200])
    return host


@lru_cache(maxsize=4096)
def registrable_domain(host: str) -> str:
    """Return the registrable domain of a host (public suffix list); an address or a one-label host is its own site.

    Of a hoster, where every name below its domain belongs to somebody else, that name is part of the site.
    """
    if host.startswith("[") or _is_ipv4(host):
        return host
    if (hosted := _hosted(host)) is not None:
        return hosted
    known = get_fld(f"http://{host}/", fail_silently=True)
    return known if isinstance(known, str) else ".".join(host.split(".")[-2:])


def _hosted(host: str) -> str | None:
    """Return the site of a host at one of the hosters, None where it is at none of them."""
    labels = host.split(".")
    if ".".join(labels[-2:]) in _HOSTERS and len(labels) > 2 and not _TWIN_LABEL.match(labels[-3]):
        return ".".join(labels[-3:])
    blog = _BLOGGER.match(host)
    return blog["site"] if blog else None


@lru_cache(maxsize=4096)
def is_within_sites(host: str, sites: frozenset[str]) -> bool:
    """Tell whether a host is of one of these sites, or below one of these domains."""
    return registrable_domain(host) in sites or any(host == each or host.endswith("." + each) for each in sites)


def has_public_suffix(host: str) -> bool:
    """Tell whether a host lies below a suffix that exists, or one reserved for examples (RFC 2606)."""
    top = host.rpartition(".")[2]
    return "." in host and (top in _RESERVED or get_fld(f"http://{host}/", fail_silently=True) is not None)


def _is_ipv4(host: str) -> bool:
    try:
        IPv4Address(host)
    except AddressValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def host_key(host: str) -> str:
    """Return the host without `www`, mobile and AMP labels: `m.bao.vn`, `www.bao.vn` and `bao.vn` are one."""
    site = registrable_domain(host)
    if host == site or not host.endswith("." + site):
        return host
    labels = host[: -len(site) - 1].split(".")
    return ".".join([*(label for label in labels if not _TWIN_LABEL.match(label)), site])
