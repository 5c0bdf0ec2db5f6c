"""URLs that lead to another one: AMP caches, click counters, and the target of an HTML refresh.

`wrapped_url` reads the address inside a wrapper: an AMP cache or a click counter of a search engine or social site. The
address inside is only claimed by the wrapper: good enough for a key, but no proof of which page will be served.
`refresh_target` parses a `Refresh` header or `<meta http-equiv="refresh">`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import SplitResult, parse_qs, parse_qsl, urlsplit

from worker.urls.keys import is_specific
from worker.urls.syntax import has_public_suffix, normalise_host

# AMP caches: `/c/s/bao.vn/tin-1.html`, where `s` means https.
_CACHE_HOST = re.compile(r"(?:[\w-]+\.)?(?:cdn\.ampproject\.org|bing-amp\.com)\Z")
_CACHE_PATH = re.compile(r"/[a-z]/(?P<tls>s/)?(?P<rest>[^/]+\.[^/]+(?:/.*)?)\Z")
_GOOGLE = frozenset(
    f"google.{ending}"
    for ending in """
    com ad ae al am as at az ba be bf bg bi bj bs bt by ca cat cd cf cg ch ci cl cm cn cv cz de dj dk dm dz ee es fi
    fm fr ga ge gg gl gm gr gy hn hr ht hu ie im iq is it je jo kg ki kz la li lk lt lu lv md me mg mk ml mn mu mv
    mw ne nl no nr nu pl pn ps pt ro rs ru rw sc se sh si sk sm sn so sr st td tg tl tm tn to tt vu ws co.ao co.bw
    co.ck co.cr co.id co.il co.in co.jp co.ke co.kr co.ls co.ma co.mz co.nz co.th co.tz co.ug co.uk co.uz co.ve
    co.vi co.za co.zm co.zw com.af com.ag com.ar com.au com.bd com.bh com.bn com.bo com.br com.bz com.co com.cu
    com.cy com.do com.ec com.eg com.et com.fj com.gh com.gi com.gt com.hk com.jm com.kh com.kw com.lb com.ly com.mm
    com.mt com.mx com.my com.na com.ng com.ni com.np com.om com.pa com.pe com.pg com.ph com.pk com.pr com.py com.qa
    com.sa com.sb com.sg com.sl com.sv com.tj com.tr com.tw com.ua com.uy com.vc com.vn
    """.split()  # noqa: SIM905 - two hundred short words read best as words
)
"""The domains of Google Search: a list, because anybody can register a name that looks like one of them."""
_GOOGLE_AMP = re.compile(r"/amp/(?P<tls>s/)?(?P<rest>[^/]+\.[^/]+(?:/.*)?)\Z")
_WHOLE_IN_PATH = re.compile(r"/(?P<scheme>https?):/{1,2}(?P<rest>[^/]+\.[^/]+.*)\Z")
# Hosts of click counters, and the parameter with the address inside.
_CLICK_COUNTERS = {"l.facebook.com": "u", "lm.facebook.com": "u", "l.instagram.com": "u", "l.messenger.com": "u"}


def wrapped_url(parts: SplitResult) -> str | None:
    """Return the address inside a wrapper, None if the URL is no wrapper or the host inside cannot exist."""
    inner = _wrapped(parts)
    return inner if inner and _has_public_host(inner) else None


@lru_cache(maxsize=4096)
def _wrapper_host(netloc: str) -> str:
    """Return the host if it is that of a wrapper, else an empty text."""
    host = (SplitResult("", netloc, "", "", "").hostname or "").lower()
    known = _CACHE_HOST.match(host) or host.removeprefix("www.") in _GOOGLE or host in _CLICK_COUNTERS
    return host if known else ""


def embedded_url(parts: SplitResult) -> str | None:
    """Return the address that a URL of any host contains in the places where wrappers have theirs; None if none."""
    path = _CACHE_PATH.match(parts.path) or _GOOGLE_AMP.match(parts.path)
    found = _url_from_match(path, "") or _url_in_path(parts.path) or _url_in_query(parts)
    return found if found and _has_public_host(found) else None


def _url_in_path(path: str) -> str | None:
    found = _WHOLE_IN_PATH.search(path)
    return f"{found['scheme']}://{found['rest']}" if found else None


def _url_in_query(parts: SplitResult) -> str | None:
    """Return an address in the query, unless the path names an article: then it is only a referrer."""
    if "http" not in parts.query or is_specific(parts.path):
        return None
    return next((value for _, value in parse_qsl(parts.query) if value.startswith(("http://", "https://"))), None)


def _has_public_host(url: str) -> bool:
    try:
        return has_public_suffix(normalise_host(urlsplit(url).hostname or ""))
    except ValueError:
        return False


def _wrapped(parts: SplitResult) -> str | None:
    """Return the text inside a known wrapper; it may be no usable URL."""
    host = _wrapper_host(parts.netloc)
    if not host:
        return None
    if _CACHE_HOST.match(host):
        return _url_from_match(_CACHE_PATH.match(parts.path), parts.query)
    if host.removeprefix("www.") in _GOOGLE:
        if parts.path == "/url":
            return _parameter(parts.query, "url") or _parameter(parts.query, "q")
        return _url_from_match(_GOOGLE_AMP.match(parts.path), parts.query)
    return _parameter(parts.query, _CLICK_COUNTERS[host]) if host in _CLICK_COUNTERS else None


def _url_from_match(match: re.Match[str] | None, query: str) -> str | None:
    """Return the URL inside the path of an AMP cache; the query of the cache's URL is that of the URL inside."""
    if match is None:
        return None
    scheme = "https" if match["tls"] else "http"
    return f"{scheme}://{match['rest']}" + (f"?{query}" if query else "")


def _parameter(query: str, name: str) -> str | None:
    """Return a query parameter if it is an absolute http(s) URL."""
    found = parse_qs(query).get(name, [""])[0]
    return found if found.startswith(("http://", "https://")) else None


MAX_REFRESH_DELAY_S: Final = 30
"""A page that redirects after more seconds than this is meant to be read (chosen, not measured)."""
_MAX_REFRESH_LENGTH: Final = 2_100
"""Characters of a refresh that are parsed: a delay and a URL of the length that browsers take."""
_REFRESH = re.compile(r"\s*(\d{1,9})(?:\.[\d.]*)?\s*(?:[;,]\s*|\s)(?:url\s*=\s*)?(.*)", re.IGNORECASE | re.DOTALL)


def refresh_target(content: str) -> str | None:
    """Return the URL of a refresh, as written; None if it has none (it reloads its page) or redirects too late."""
    match = _REFRESH.fullmatch(content[:_MAX_REFRESH_LENGTH].strip())
    if match is None or int(match[1]) > MAX_REFRESH_DELAY_S:
        return None
    target = match[2].strip()
    if target[:1] in {'"', "'"}:
        # Text after the closing quotation mark is no part of the URL.
        target = target[1:].partition(target[0])[0]
    return target.strip() or None
