"""Conditional requests: which validators to send and which to keep (RFC 9110, 8.8 and 13)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from worker.errors import FetchError
from worker.models import Validators

# What a status code and its headers mean for the fetch, as pure functions of `now` (RFC 9110, 15; RFC 6585).


REDIRECTS = frozenset({301, 302, 303, 307, 308})
PERMANENT = frozenset({301, 308})
USABLE = frozenset({200, 203})
GONE = frozenset({404, 410})
OVERLOADED = frozenset({429, 503})
RETRYABLE = frozenset({408, 421, 425, 429, 500, 502, 503, 504, 507, 508, 520, 521, 522, 523, 524, 525, 527, 530})
MAX_RETRY_AFTER = timedelta(hours=24)
DEFAULT_RETRY_AFTER = timedelta(minutes=1)


def parse_http_date(text: str) -> datetime | None:
    """Read an HTTP date in any of its three forms (RFC 9110, 5.6.7); None for what is none."""
    try:
        moment = parsedate_to_datetime(text.strip())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def retry_after(value: str, *, now: datetime, server_now: datetime | None = None) -> datetime | None:
    """Read a Retry-After header, seconds or a date, no further than a day ahead; None for what is neither.

    `server_now` is the server's own clock: what its date means is the time between the two.
    """
    text = value.strip()
    if text.isascii() and text.isdecimal():
        seconds = min(int(text[:12]), int(MAX_RETRY_AFTER.total_seconds()))
        return now + timedelta(seconds=seconds)
    moment = parse_http_date(text)
    if moment is None:
        return None
    return now + min(max(moment - (server_now or now), timedelta(0)), MAX_RETRY_AFTER)


def status_error(status: int, headers: Mapping[str, str], *, host: str, now: datetime) -> FetchError | None:
    """Return the error a status stands for; None for a usable page and for redirects."""
    if status in USABLE or status in REDIRECTS:
        return None
    if status in GONE:
        return FetchError(f"{host} says the page is gone ({status})", reason="gone", retry=False, status=status)
    retry_at = _requested_wait(status, headers, now=now)
    return FetchError(
        f"{host} answered {status}" + (f" and asks to be left alone until {retry_at:%H:%M:%S} UTC" if retry_at else ""),
        reason="http",
        retry=status in RETRYABLE,
        status=status,
        retry_at=retry_at,
    )


def _requested_wait(status: int, headers: Mapping[str, str], *, now: datetime) -> datetime | None:
    if status not in OVERLOADED:
        return None
    server_now = parse_http_date(headers.get("date", ""))
    retry_at = retry_after(headers.get("retry-after", ""), now=now, server_now=server_now)
    # "Too many requests" asks for patience even where it does not say how much.
    return now + DEFAULT_RETRY_AFTER if retry_at is None and status == 429 else retry_at


MAX_VALIDATOR = 1_000
UNCONDITIONAL_EVERY = 24

_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


def condition_headers(validators: Validators) -> dict[str, str]:
    """Return the headers of a conditional GET, sent back to the letter as they came; only what is well formed."""
    headers = {}
    if validators.etag is not None and is_etag(validators.etag):
        headers["If-None-Match"] = validators.etag
    modified = validators.last_modified
    if modified is not None and len(modified) <= MAX_VALIDATOR and parse_http_date(modified) is not None:
        headers["If-Modified-Since"] = modified
    return headers


def is_etag(text: str) -> bool:
    """Tell whether a text is an entity tag that may be sent."""
    return len(text) <= MAX_VALIDATOR and text.isascii() and _ETAG.fullmatch(text) is not None


def validators_in(headers: Mapping[str, str]) -> Validators:
    """Return the validators of a response, only those that can be sent back."""
    etag, modified = headers.get("etag", "").strip(), headers.get("last-modified", "").strip()
    return Validators(
        etag=etag if is_etag(etag) else None,
        last_modified=modified if modified.isascii() and parse_http_date(modified) is not None else None,
    )


def validators_after(kept: Validators, headers: Mapping[str, str]) -> Validators:
    """Return the validators after a 304: the new ones where it brought any (RFC 9111, 3.2), else the old."""
    new = validators_in(headers)
    return Validators(etag=new.etag or kept.etag, last_modified=new.last_modified or kept.last_modified)


# What kind of body is asked for and taken, and which headers of an answer are kept.


_ACCEPT_HEADERS = {
    "page": "text/html,application/xhtml+xml;q=0.9,application/xml;q=0.5,text/plain;q=0.5,*/*;q=0.1",
    "feed": "application/atom+xml,application/rss+xml,application/feed+json,application/xml;q=0.9,text/xml;q=0.9,"
    "application/json;q=0.8,text/html;q=0.5,*/*;q=0.1",
    "any": "*/*",
}
_PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml", "application/xml", "text/xml", "text/plain"})
_FEED_TYPES = _PAGE_TYPES | {
    "application/json",
    "application/feed+json",
    "application/rdf+xml",
    "application/gzip",
    "application/x-gzip",
    "application/octet-stream",
    "binary/octet-stream",
}
_KEPT_HEADERS = (
    "age",
    "cache-control",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
    "link",
    "retry-after",
    "server",
    "tdm-policy",
    "tdm-reservation",
    "x-robots-tag",
)


def accept_header(accept: str) -> str:
    """Return the Accept header for a kind of body: `page`, `feed` or `any`."""
    return _ACCEPT_HEADERS.get(accept, _ACCEPT_HEADERS["any"])


def check_content_type(content_type: str | None, accept: str) -> None:
    """Raise FetchError (`content-type`) for a body of another kind; one that names no type is looked at."""
    essence = (content_type or "").partition(";")[0].strip().lower()
    if not essence or accept not in {"page", "feed"}:
        return
    if essence in (_PAGE_TYPES if accept == "page" else _FEED_TYPES):
        return
    if accept == "feed" and (essence.endswith(("+xml", "+json")) or essence.startswith("text/")):
        return
    raise FetchError(f"the body is {essence[:80]}, not a {accept}", reason="content-type", retry=False)


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that matter later, names in lower case, values without control characters."""
    kept = {name: headers.get(name) for name in _KEPT_HEADERS}
    return {
        name: "".join(character for character in value[:2_000] if character.isprintable())
        for name, value in kept.items()
        if value is not None
    }


# Cookies for the length of one fetch: some sites set one and redirect to themselves until it comes back.
#
# Nothing is kept between fetches, and a cookie goes back only to the very origin that set it: domains, paths and dates
# (RFC 6265) need not be understood for that.


MAX_COOKIES = 20
MAX_COOKIE_LENGTH = 4_096

_PAIR = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+=[\x21-\x3a\x3c-\x7e]*")


class Cookies:
    """What each origin has set during this fetch."""

    def __init__(self) -> None:
        self._set: dict[str, dict[str, str]] = {}

    def take(self, origin: str, set_cookie: Sequence[str]) -> None:
        """Remember the cookies of an answer."""
        for header in set_cookie:
            pair = header.partition(";")[0].strip()
            cookies = self._set.setdefault(origin, {})
            if len(pair) <= MAX_COOKIE_LENGTH and len(cookies) < MAX_COOKIES and _PAIR.fullmatch(pair):
                name, _, value = pair.partition("=")
                cookies[name] = value

    def header(self, origin: str) -> dict[str, str]:
        """Return the Cookie header for an origin, nothing where it set none."""
        cookies = self._set.get(origin)
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}
