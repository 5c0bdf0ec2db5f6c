"""Addresses that only wrap another one: AMP caches and the click counters of search engines and social sites."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qs

_CACHE_HOST = re.compile(r"(?:[\w-]+\.)?(?:cdn\.ampproject\.org|bing-amp\.com)\Z")
_CACHE_PATH = re.compile(r"/[a-z]/(?P<tls>s/)?(?P<rest>[^/]+\.[^/]+(?:/.*)?)\Z")
_GOOGLE_HOST = re.compile(r"(?:www\.)?google(?:\.[a-z]{2,3}){1,2}\Z")
_GOOGLE_AMP = re.compile(r"/amp/(?P<tls>s/)?(?P<rest>[^/]+\.[^/]+(?:/.*)?)\Z")
_COUNTERS = {"l.facebook.com": "u", "lm.facebook.com": "u", "l.instagram.com": "u", "l.messenger.com": "u"}


def unwrapped(parts: SplitResult) -> str | None:
    """Return the address inside, None where there is none."""
    host = (parts.hostname or "").lower()
    if _CACHE_HOST.match(host):
        return _inside(_CACHE_PATH.match(parts.path), parts.query)
    if _GOOGLE_HOST.match(host):
        if parts.path == "/url":
            return _parameter(parts.query, "url") or _parameter(parts.query, "q")
        return _inside(_GOOGLE_AMP.match(parts.path), parts.query)
    return _parameter(parts.query, _COUNTERS[host]) if host in _COUNTERS else None


def _inside(match: re.Match[str] | None, query: str) -> str | None:
    if match is None:
        return None
    scheme = "https" if match["tls"] else "http"
    return f"{scheme}://{match['rest']}" + (f"?{query}" if query else "")


def _parameter(query: str, name: str) -> str | None:
    found = parse_qs(query).get(name, [""])[0]
    return found if found.startswith(("http://", "https://")) else None
