"""URLs: what to fetch, what a page is known by, and which site it belongs to.

`resolve` gives an address to fetch. `canonicalise` gives a key: every address of one article has the same key, and
two articles never share one. The key of a web page always says `https` and has no `www`, mobile or AMP label, so it
need not be an address that answers: fetch what was found, compare keys. `key_of_page` is the key of a page that has
answered: that of the address itself, whatever it wraps.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from worker.errors import SourceError
from worker.urls.forwarding import embedded_url, refresh_target, wrapped_url
from worker.urls.keys import UrlRules, is_specific, path_key, query_key, remove_dots
from worker.urls.syntax import (
    check_length,
    encode_fragment,
    encode_path,
    host_and_port,
    host_key,
    is_within_sites,
    registrable_domain,
    split_url,
)

__all__ = [
    "UrlRules",
    "belongs_to",
    "canonicalise",
    "embeds_other_site",
    "file_url",
    "host_of",
    "is_home",
    "is_home_key",
    "page_key",
    "refresh_target",
    "resolve",
    "same_site",
    "site_of",
    "trusted_canonical",
    "unwrap",
]

_COMMON_RULES = UrlRules()
_MAX_WRAPPERS = 3
_HOME_PATH = re.compile(r"/(?:home|trang-chu|[a-z]{2}(?:[-_][a-z]{2})?)(?:\.html?)?", re.IGNORECASE)
_MAY_EMBED = re.compile(r"https?://[^/]*/(?:[a-z]/|amp/|.*https?:/)")
_FETCH_SAFE = "-._~!$&'()*+,;=:@/?%[]"


def canonicalise(url: str, *, base: str | None = None, rules: UrlRules = _COMMON_RULES) -> str:
    """Return the key of a URL; idempotent. Raises SourceError for what is no http, https or file URL, or too long."""
    key = _key(_without_wrappers(split_url(url, base=base)), rules)
    # What is left of a path may wrap an address that it did not wrap before.
    return check_length(key) if wrapped_url(urlsplit(key)) is None else canonicalise(key, rules=rules)


def page_key(url: str) -> str:
    """Return the key of the page that answered at a URL: a wrapper is taken for itself; raises SourceError."""
    return check_length(_key(split_url(url), _COMMON_RULES))


def unwrap(url: str) -> str | None:
    """Return the address that a URL wraps, as one to fetch; None where it wraps none."""
    parts = split_url(url)
    inside = _without_wrappers(parts)
    return None if inside is parts else resolve(urlunsplit(inside))


def embeds_other_site(url: str) -> bool:
    """Tell whether a URL has the address of another site inside, and is no known wrapper of it."""
    if not _MAY_EMBED.match(url):
        return False
    parts = split_url(url)
    inner = embedded_url(parts)
    return inner is not None and not same_site(inner, url) and wrapped_url(parts) is None


def _key(parts: SplitResult, rules: UrlRules) -> str:
    path = encode_path(parts.path)
    if parts.scheme == "file":
        return _file_key(path)
    host, port = host_and_port(parts)
    path = path_key(path.lower() if rules.fold_case else path)
    kept = query_key(parts.query, specific=is_specific(path), rules=rules)
    # A server on a port of its own speaks one scheme there: nothing to merge.
    scheme, netloc = ("https", host_key(host)) if port is None else (parts.scheme, f"{host}:{port}")
    return urlunsplit((scheme, netloc, path or "/", kept, _fragment_key(parts.fragment)))


def _without_wrappers(parts: SplitResult) -> SplitResult:
    for _ in range(_MAX_WRAPPERS):
        inside = wrapped_url(parts)
        if inside is None:
            break
        parts = split_url(inside)
    return parts


def _file_key(path: str) -> str:
    return "file://" + (remove_dots(path) or "/")


def _fragment_key(fragment: str) -> str:
    """Keep a fragment that selects an article in a page of scripts (`#!/bai/1`, `#/bai/1`); others mark a place."""
    return encode_fragment(fragment) if re.match(r"![^!]|/[^/]", fragment) else ""


def resolve(url: str, *, base: str | None = None) -> str:
    """Return the address to fetch: absolute, ASCII, without fragment, otherwise as found; raises SourceError.

    So does an address of more than `syntax.LONGEST` characters.
    """
    parts = split_url(url, base=base)
    if parts.scheme == "file":
        return "file://" + encode_path(parts.path)
    host, port = host_and_port(parts)
    netloc = host if port is None else f"{host}:{port}"
    path, query = (_ascii(part) for part in (parts.path, parts.query))
    return check_length(urlunsplit((parts.scheme, netloc, path or "/", query, "")))


def _ascii(text: str) -> str:
    return quote(text, safe=_FETCH_SAFE, errors="surrogatepass")


def file_url(path: Path) -> str:
    """Return the `file:` URL of a path (RFC 8089), absolute and percent-encoded."""
    return canonicalise("file://" + quote(str(path.absolute()).encode("utf-8", "surrogateescape")))


def host_of(url: str) -> str:
    """Return the real host, for pacing and for people: lower case, ASCII (IDNA), `www.` kept, empty for a file.

    A port that is not the scheme's own is part of it (`127.0.0.1:8080`): it is another server. Raises SourceError.
    """
    parts = split_url(url)
    if parts.scheme == "file":
        return ""
    host, port = host_and_port(parts)
    return host if port is None else f"{host}:{port}"


def site_of(url: str) -> str:
    """Return the site of a URL: one publisher (`registrable_domain`), empty for a file. Raises SourceError."""
    parts = split_url(url)
    return "" if parts.scheme == "file" else registrable_domain(host_and_port(parts)[0])


def same_site(one: str, other: str) -> bool:
    """Tell whether two URLs belong to one site; False where either is no URL."""
    try:
        return site_of(one) == site_of(other)
    except SourceError:
        return False


def belongs_to(url: str, sites: Collection[str]) -> bool:
    """Tell whether a URL lies on one of these sites, or below one of these domains; False where it is no URL."""
    try:
        parts = split_url(url)
        return parts.scheme != "file" and is_within_sites(host_and_port(parts)[0], frozenset(sites))
    except SourceError:
        return False


def is_home(url: str) -> bool:
    """Tell whether a URL is the front page of a host or of one of its languages; raises SourceError."""
    return is_home_key(canonicalise(url))


def is_home_key(key: str) -> bool:
    """Tell the same of a key, as `canonicalise` gives it."""
    parts = urlsplit(key)
    if parts.query or parts.fragment:
        return False
    return parts.path in {"", "/"} or _HOME_PATH.fullmatch(parts.path) is not None


def trusted_canonical(declared: str | None, *, page_url: str, rules: UrlRules = _COMMON_RULES) -> str | None:
    """Return the key of what a page declares as its `rel=canonical`, None where that is not to be trusted.

    Trusted within the site only, and neither where it is a home page nor where it names less than the page's own
    address does (a section for one of its articles): some systems write the same canonical on every page.
    """
    try:
        key, own = canonicalise(declared or "", base=page_url, rules=rules), _key(split_url(page_url), rules)
    except SourceError:
        return None
    if key == own:
        return own
    if not same_site(key, own) or is_home_key(key) or _loses_the_article(key, own):
        return None
    return key


def _loses_the_article(key: str, own: str) -> bool:
    declared, page = split_url(key), split_url(own)
    named = bool(declared.query) or is_specific(declared.path)
    return not named and (is_specific(page.path) or bool(page.query))
