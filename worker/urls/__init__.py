"""URLs: the address to fetch, the key that identifies an article, and the site that a URL belongs to.

    resolve("/tin/1?utm_source=x", base="http://m.bao.vn/")       # "http://m.bao.vn/tin/1?utm_source=x": to fetch
    canonicalise("/tin/1?utm_source=x", base="http://m.bao.vn/")  # "https://bao.vn/tin/1": the key
    site_of("http://m.bao.vn/tin/1")                              # "bao.vn"

All addresses of one article have the same key, and two articles never share one. The key of a web page always has the
scheme `https` and no `www`, mobile or AMP label, so it may be an address that no server answers: fetch the address that
was found, and compare keys. `page_key` is the key of a page that was fetched; unlike `canonicalise` it does not replace
a wrapper (an AMP cache, a click counter) by the address inside. Every function raises SourceError for an unusable URL
unless it says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from worker.errors import SourceError
from worker.urls.keys import (
    UrlRules,
    embedded_url,
    is_specific,
    path_key,
    query_key,
    refresh_target,
    remove_dots,
    wrapped_url,
)
from worker.urls.syntax import (
    check_length,
    encode_fragment,
    encode_path,
    has_public_suffix,
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
    "publisher_host",
    "refresh_target",
    "resolve",
    "same_site",
    "site_of",
    "trusted_canonical",
    "unwrap",
]

_COMMON_RULES = UrlRules()
_MAX_WRAPPERS = 3  # a click counter around an AMP cache is two; one more, then a hostile URL gains nothing
# Front pages: `/home`, `/trang-chu`, `/en`, `/pt-br`, also with `.html`.
_HOME_PATH = re.compile(r"/(?:home|trang-chu|[a-z]{2}(?:[-_][a-z]{2})?)(?:\.html?)?", re.IGNORECASE)
# A cheap test for `embeds_other_site`, which is called for every link.
_MAY_EMBED = re.compile(r"https?://[^/]*/(?:[a-z]/|amp/|.*https?:/)")
_FETCH_SAFE = "-._~!$&'()*+,;=:@/?%[]"


def canonicalise(url: str, *, base: str | None = None, rules: UrlRules = _COMMON_RULES) -> str:
    """Return the key of a URL; idempotent. Raises SourceError if it is no http, https or file URL, or too long."""
    key = _key(_without_wrappers(split_url(url, base=base)), rules)
    # A shortened path may be that of a wrapper although the full one was not.
    return check_length(key) if wrapped_url(urlsplit(key)) is None else canonicalise(key, rules=rules)


def page_key(url: str) -> str:
    """Return the key of a page that was fetched from a URL, wrapper or not; raises SourceError."""
    return check_length(_key(split_url(url), _COMMON_RULES))


def unwrap(url: str) -> str | None:
    """Return the address inside a wrapper, as one to fetch; None if the URL is no wrapper. Raises SourceError."""
    parts = split_url(url)
    inside = _without_wrappers(parts)
    return None if inside is parts else resolve(urlunsplit(inside))


def embeds_other_site(url: str) -> bool:
    """Return whether a URL contains the address of another site and is no known wrapper (an unknown redirector)."""
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
    # A server on another port has one scheme there, so there is nothing to merge.
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
    """Keep a fragment that selects an article in a script-driven page (`#!/bai/1`, `#/bai/1`); drop anchors."""
    return encode_fragment(fragment) if re.match(r"![^!]|/[^/]", fragment) else ""


def resolve(url: str, *, base: str | None = None) -> str:
    """Return the address to fetch: absolute, ASCII, without fragment, otherwise unchanged.

    Raises SourceError if it is unusable or has more than `syntax.MAX_FINISHED_LENGTH` characters.
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


def local_path(url: str) -> Path:
    """Return the path of a `file:` URL, or of a plain path."""
    return Path(unquote(urlsplit(url).path)) if url.startswith("file:") else Path(url)


def file_url(path: Path) -> str:
    """Return the `file:` URL of a path (RFC 8089), absolute and percent-encoded."""
    return canonicalise("file://" + quote(str(path.absolute()).encode("utf-8", "surrogateescape")))


def host_of(url: str) -> str:
    """Return the host for rate limiting and messages: lower case, ASCII (IDNA), `www.` kept; empty for a file.

    A port other than the scheme's default is part of it (`127.0.0.1:8080`): that is another server. Raises SourceError.
    """
    parts = split_url(url)
    if parts.scheme == "file":
        return ""
    host, port = host_and_port(parts)
    return host if port is None else f"{host}:{port}"


def site_of(url: str) -> str:
    """Return the site of a URL (`syntax.registrable_domain`), empty for a file; raises SourceError."""
    parts = split_url(url)
    return "" if parts.scheme == "file" else registrable_domain(host_and_port(parts)[0])


def publisher_host(text: str) -> str:
    """Return the normal form of a host name, without `www` or a mobile label; a port stays.

    Raises SourceError if it is none, or if it has no publisher of its own (`com.vn`, `blogspot.com`).
    """
    host, port = host_and_port(split_url(f"https://{text.strip().rstrip('/')}"))
    name, below = host_key(host), f"x.{host_key(host)}"
    if "/" in text.strip().rstrip("/"):
        raise SourceError(f"{text}: not a host name; write it without https:// and without a path, such as bao.vn")
    if has_public_suffix(below) and registrable_domain(below) == below:
        raise SourceError(f"{text}: many publishers have their sites below this name; name the host of one of them")
    return name if port is None else f"{name}:{port}"


def same_site(one: str, other: str) -> bool:
    """Return whether two URLs belong to one site; False if either is unusable."""
    try:
        return site_of(one) == site_of(other)
    except SourceError:
        return False


def belongs_to(url: str, sites: Collection[str]) -> bool:
    """Return whether a URL is on one of these sites or below one of these domains; False if it is unusable."""
    try:
        parts = split_url(url)
        return parts.scheme != "file" and is_within_sites(host_and_port(parts)[0], frozenset(sites))
    except SourceError:
        return False


def is_web_address(text: str) -> bool:
    """Return whether a text is written as an address of the web: http or https, and a host."""
    try:
        parts = urlsplit(text)
    except ValueError:  # such as brackets around no IPv6 address
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)


def is_home(url: str) -> bool:
    """Return whether a URL is the front page of a host or of one of its languages; raises SourceError."""
    return is_home_key(canonicalise(url))


def is_home_key(key: str) -> bool:
    """Return the same as `is_home` for a key made by `canonicalise`."""
    parts = urlsplit(key)
    if parts.query or parts.fragment:
        return False
    return parts.path in {"", "/"} or _HOME_PATH.fullmatch(parts.path) is not None


def trusted_canonical(declared: str | None, *, page_url: str, rules: UrlRules = _COMMON_RULES) -> str | None:
    """Return the key of a page's declared `rel=canonical`, None if the declaration cannot be trusted.

    It is trusted within the site only, and neither if it is a home page nor if it is less specific than the page's own
    address (a section, say): some content management systems write the same canonical on every page.
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
    """Return whether a declared key names no article although the page's own key does."""
    declared, page = split_url(key), split_url(own)
    named = bool(declared.query) or is_specific(declared.path)
    return not named and (is_specific(page.path) or bool(page.query))
