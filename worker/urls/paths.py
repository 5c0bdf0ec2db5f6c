"""Paths: dot segments, session ids, AMP and print twins, directory indexes, trailing slashes."""

from __future__ import annotations

import re

_SESSION = re.compile(r";(?:jsessionid|phpsessid|sessionid|sid|cfid|cftoken)[=:][^/;]*", re.IGNORECASE)
_ASP_SESSION = re.compile(r"/(?:\([A-Za-z]\([A-Za-z0-9]{16,}\)\)|\([a-z0-9]{24}\))(?=/)")
_STRAY_QUERY = re.compile(r"[&;](?:utm_[a-z]+|fbclid|gclid)=[^/]*\Z", re.IGNORECASE)
_INDEX = re.compile(r"/(?:index|default)\.(?:html?|php|aspx?|jsp|shtml|cfm)\Z", re.IGNORECASE)
_TAIL = ("/", "%20", "%C2%A0", "%E2%80%8B")
_DOUBLE_SLASH = re.compile(r"(?<!:)/{2,}")
_AMP_FRONT = re.compile(r"/amp(?=/.)", re.IGNORECASE)
_AMP_END = re.compile(r"(?<=.)/(?:amp|amp\.html?|index\.amp(?:\.html?)?)\Z", re.IGNORECASE)
_AMP_SUFFIX = re.compile(r"(?<=[^/])\.amp(?=\.(?:html?|shtml|php|epi)\Z|\Z)|(?<=\.html)\.amp\Z", re.IGNORECASE)
_AMP_NUMBERED = re.compile(r"(?<=\d{5})[-_.]amp(?=\.(?:html?|vnp|tpo|chn|vov)\Z|\Z)", re.IGNORECASE)
_PRINT_FRONT = re.compile(r"/(?:print|printer|printable|in-bai)(?=/.)", re.IGNORECASE)
_PRINT_END = re.compile(r"(?<=.)/(?:print|printer|printable)(?:\.html?)?\Z", re.IGNORECASE)
_SPECIFIC = re.compile(r"\d{4}|[^/-]-[^/-]+-[^/-]+-")
_SCRIPT = re.compile(r"\.(?:php|aspx?|jsp|cfm|do|cgi)\Z", re.IGNORECASE)


def path_key(path: str) -> str:
    """Return what of an encoded path tells one article from another, without a trailing slash (empty for the root)."""
    path = remove_dots(path)
    while True:
        shorter = _without_tail(_trim(path))
        if shorter == path:
            return path
        path = shorter


def _without_tail(path: str) -> str:
    end = len(path)
    while blank := next((mark for mark in _TAIL if path.endswith(mark, 0, end)), ""):
        end -= len(blank)
    return path[:end]


def _trim(path: str) -> str:
    path = _DOUBLE_SLASH.sub("/", path)
    if ";" in path or "&" in path:
        path = _STRAY_QUERY.sub("", _SESSION.sub("", path))
    if "(" in path:
        path = _ASP_SESSION.sub("", path)
    path = _INDEX.sub("/", path)
    lower = path.lower()
    if "amp" in lower:
        path = _without_amp(path)
    if "print" in lower or "in-bai" in lower:
        path = _without_print(path)
    return path


def _without_amp(path: str) -> str:
    for twin in (_AMP_FRONT, _AMP_END, _AMP_SUFFIX, _AMP_NUMBERED):
        path = twin.sub("", path, count=1) if twin is not _AMP_FRONT or twin.match(path) else path
    return path


def _without_print(path: str) -> str:
    shorter = _PRINT_END.sub("", path)
    front = _PRINT_FRONT.match(shorter)
    if front and is_specific(shorter):
        # A paper may have a section "print"; only what names one article is a view of it.
        shorter = shorter[front.end() :]
    return shorter if is_specific(shorter) else path


def is_specific(path: str) -> bool:
    """Tell whether a path names one article by itself: a number of four digits, or a slug of four words.

    A script (`chi-tiet-tin-tuc.aspx`) gets its article from the query whatever it is called.
    """
    last = path.rstrip("/").rpartition("/")[2]
    return _SPECIFIC.search(last) is not None and not _SCRIPT.search(last)


def remove_dots(path: str) -> str:
    """Remove `.` and `..` segments (RFC 3986, section 5.2.4)."""
    if "/." not in path:
        return path
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    return "/" + "/".join(kept)
