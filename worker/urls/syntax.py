"""URL syntax: repair, split and percent-encode URLs as people write them; hosts, and the site they belong to.

`split_url` repairs a URL and splits it (RFC 3986); `encode_path` and its siblings give every part one spelling.
`registrable_domain` returns the site of a host: one publisher, by the public suffix list with its private section, so
that `anna.github.io` and `ben.github.io` are two sites. Hosters of papers that the list lacks are in `_HOSTERS`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from html import unescape
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import SplitResult, quote, quote_from_bytes, unquote, unquote_to_bytes, urljoin, urlsplit

import idna

from worker.errors import SourceError

MAX_LENGTH = 8192
"""Longer URLs are refused, as most servers do."""
MAX_FINISHED_LENGTH = 2500
"""The longest URL to fetch or store: an index row of PostgreSQL holds no more than 2,704 bytes."""

# Blanks, control characters and invisible marks in front of a URL.
_JUNK = re.compile(r"[\x00-\x20\x7f\u200b\u200e\u200f\u2060\ufeff]+")
# URLs that need no repair: nearly all of them, so this saves most of the work.
_CLEAN = re.compile(r"https?://[a-z0-9][a-z0-9.-]*/[A-Za-z0-9._~/%=?+,-]{0,2000}")
_LINE_BREAKS = re.compile(r"[\t\r\n]+")
# `http://https://bao.vn`: a scheme put before a complete URL.
_DOUBLED_SCHEME = re.compile(r"https?:/*(?=https?:/)", re.IGNORECASE)
# `http:/bao.vn`, `http:bao.vn`: slashes are missing or too many.
_LOOSE_SCHEME = re.compile(r"(https?):/*", re.IGNORECASE)
_PLAIN = re.compile(r"[A-Za-z0-9._~/-]*")
_PATH_SAFE = "-._~!$&'()*+,;=:@"
_QUERY_SAFE = "-._~!$'()*,;:@/[]"


class UrlTooLong(SourceError):
    """A URL is longer than what is fetched or stored."""


def split_url(url: str, *, base: str | None = None) -> SplitResult:
    """Repair, resolve and split a URL; raises SourceError if it is no http, https or file URL."""
    if base is None or _CLEAN.fullmatch(url):
        return _split_absolute(url)
    repaired = _repair(url, relative=True)
    try:
        return _checked(url, urlsplit(urljoin(base, repaired)))
    except ValueError as exc:
        raise _url_error(url, str(exc).lower()) from exc


# A URL is split several times in a row: for its address, its key, its site.
@lru_cache(maxsize=512)
def _split_absolute(url: str) -> SplitResult:
    repaired = url if _CLEAN.fullmatch(url) else _repair(url, relative=False)
    try:
        return _checked(url, urlsplit(repaired))
    except ValueError as exc:
        raise _url_error(url, str(exc).lower()) from exc


def _checked(url: str, parts: SplitResult) -> SplitResult:
    if parts.scheme == "file":
        return parts._replace(netloc="")
    if parts.scheme not in {"http", "https"}:
        raise _url_error(url, "it is not an http, https or file address")
    if not parts.netloc:
        raise _url_error(url, "it names no host")
    return parts


def _repair(url: str, *, relative: bool) -> str:
    """Repair what feeds and editors do to URLs: surrounding blanks, line breaks, escaped ampersands, backslashes."""
    text = _LINE_BREAKS.sub("", url)
    start = _JUNK.match(text)
    text = text[start.end() if start else 0 :].rstrip("\x00 \u200b\ufeff")
    if not text:
        raise _url_error(url, "it is empty")
    if len(text) > MAX_LENGTH:
        raise _url_error(url, f"it has {len(text):,} characters, more than {MAX_LENGTH:,}", kind=UrlTooLong)
    if "&" in text and "amp;" in text:
        text = unescape(text.replace("&amp;", "&"))
    text = _slashes(text)
    text = _DOUBLED_SCHEME.sub("", text)
    if not relative and text.startswith("//"):
        return "https:" + text
    return _LOOSE_SCHEME.sub(r"\1://", text, count=1) if _LOOSE_SCHEME.match(text) else text


def _slashes(text: str) -> str:
    """Replace backslashes before the query by slashes, as browsers do (WHATWG URL)."""
    if "\\" not in text:
        return text
    end = min((at for at in (text.find("?"), text.find("#")) if at >= 0), default=len(text))
    return text[:end].replace("\\", "/") + text[end:]


def _url_error(url: str, why: str, *, kind: type[SourceError] = SourceError) -> SourceError:
    """Return the error for an unusable URL, which is shown with at most 200 characters."""
    shown = url if len(url) <= 200 else url[:200] + "…"
    return kind(f"not a usable URL: {shown!r}: {why}; give a complete http(s) address or a file: URL")


def check_length(url: str) -> str:
    """Return a URL unchanged; raises SourceError if it is longer than `MAX_FINISHED_LENGTH`."""
    if len(url) > MAX_FINISHED_LENGTH:
        raise _url_error(url, f"it has {len(url):,} characters, more than {MAX_FINISHED_LENGTH:,}", kind=UrlTooLong)
    return url


def encode_path(path: str) -> str:
    """Normalise a path: UTF-8 in NFC, escapes in upper case and only where needed."""
    if _PLAIN.fullmatch(path):
        return path
    return "/".join(_recode(segment, _PATH_SAFE) for segment in path.split("/"))


def encode_query(text: str, *, value: bool = False) -> str:
    """Normalise the name or the value of a query parameter; a plus sign is a blank."""
    if _PLAIN.fullmatch(text):
        return text
    return _recode(text.replace("+", "%20"), _QUERY_SAFE + "=" if value else _QUERY_SAFE)


def encode_fragment(fragment: str) -> str:
    """Normalise a fragment."""
    return _recode(fragment, _PATH_SAFE + "/?")


def _recode(text: str, safe: str) -> str:
    # Lone surrogates represent undecodable bytes of file names.
    raw = unquote_to_bytes(text.encode("utf-8", "surrogateescape"))
    try:
        return quote(unicodedata.normalize("NFC", raw.decode("utf-8")), safe=safe)
    except UnicodeDecodeError:
        return quote_from_bytes(raw, safe=safe)


# Hosts: their normal form, the site they belong to, and their mobile and AMP variants.

_ASCII_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
# Labels in front of a site that select a variant of the same pages.
_TWIN_LABEL = re.compile(r"(?:www\d?|m|mobile|amp|wap)\Z")
_BLOGGER = re.compile(r"(?:.+\.)?(?P<site>[^.]+\.blogspot\.[a-z]{2,3}(?:\.[a-z]{2})?)\Z")
"""Blogger serves each blog under one domain for every country."""
_HOSTERS = frozenset(
    """
    substack.com wordpress.com tumblr.com livejournal.com typepad.com medium.com beehiiv.com over-blog.com canalblog.com
    hashnode.dev bearblog.dev write.as weebly.com webnode.com jimdofree.com
    """.split()  # noqa: SIM905 - fifteen short words read best as words
)
"""Domains whose subdomains belong to different publishers, and which the public suffix list lacks."""
_RESERVED = frozenset({"example", "test"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


def host_and_port(parts: SplitResult) -> tuple[str, int | None]:
    """Return the host in lower-case ASCII (IDNA 2008, RFC 5891), and the port unless it is the scheme's default.

    Raises SourceError.
    """
    return _parse_netloc(parts.scheme, parts.netloc)


@lru_cache(maxsize=4096)
def _parse_netloc(scheme: str, netloc: str) -> tuple[str, int | None]:
    parts = SplitResult(scheme, netloc, "", "", "")
    try:
        host, port = normalise_host(parts.hostname or ""), parts.port
    except ValueError as exc:
        raise SourceError(f"not a usable host: {netloc[:200]!r}; check the address") from exc
    return host, None if port == _DEFAULT_PORTS.get(scheme) else port


@lru_cache(maxsize=4096)
def normalise_host(host: str) -> str:
    """Return a host's normal form: lower-case ASCII, no final dot; raises ValueError if it cannot be a host."""
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
    """Return the site of a host: its registrable domain (public suffix list).

    An IP address or a host of one label is its own site. At a hoster (`substack.com`) every subdomain is a site.
    """
    if host.startswith("[") or _is_ipv4(host):
        return host
    if (hosted := _site_at_hoster(host)) is not None:
        return hosted
    return _registered_domain(host) or ".".join(host.split(".")[-2:])


def _site_at_hoster(host: str) -> str | None:
    """Return the site of a host at one of the hosters, None for any other host."""
    labels = host.split(".")
    if ".".join(labels[-2:]) in _HOSTERS and len(labels) > 2 and not _TWIN_LABEL.match(labels[-3]):
        return ".".join(labels[-3:])
    blog = _BLOGGER.match(host)
    return blog["site"] if blog else None


@lru_cache(maxsize=4096)
def is_within_sites(host: str, sites: frozenset[str]) -> bool:
    """Return whether a host belongs to one of these sites, or is below one of these domains."""
    return registrable_domain(host) in sites or any(host == each or host.endswith("." + each) for each in sites)


def has_public_suffix(host: str) -> bool:
    """Return whether a host has an existing public suffix, or one reserved for examples (RFC 2606)."""
    top = host.rpartition(".")[2]
    return "." in host and (top in _RESERVED or _registered_domain(host) is not None)


def _registered_domain(host: str) -> str | None:
    """Return the domain below the public suffix of a host, None if it has none."""
    from tld import get_fld  # imported late: with urllib.request, which few commands need

    found = get_fld(f"http://{host}/", fail_silently=True)
    return found if isinstance(found, str) else None


def _is_ipv4(host: str) -> bool:
    try:
        IPv4Address(host)
    except AddressValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def host_key(host: str) -> str:
    """Return the host without `www`, mobile and AMP labels: `bao.vn` for `m.bao.vn` and `www.bao.vn`."""
    site = registrable_domain(host)
    if host == site or not host.endswith("." + site):
        return host
    labels = host[: -len(site) - 1].split(".")
    return ".".join([*(label for label in labels if not _TWIN_LABEL.match(label)), site])
