"""HTTP semantics as pure functions: statuses, Retry-After, conditional requests, content types, cookies.

Status codes become FetchErrors (`status_error`), validators become headers and back (`condition_headers`,
`validators_in`), content types are accepted or refused (`check_content_type`), and `Cookies` holds the cookies of one
fetch. Nothing here reads a clock: `now` is passed in. Sources: RFC 9110, RFC 9111, RFC 6585, RFC 6265.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from worker.errors import FetchError
from worker.models import Validators

REDIRECTS = frozenset({301, 302, 303, 307, 308})
PERMANENT = frozenset({301, 308})
USABLE = frozenset({200, 203})
GONE = frozenset({404, 410})
OVERLOADED = frozenset({429, 503})
RETRYABLE = frozenset({408, 421, 425, 429, 500, 502, 503, 504, 507, 508, 520, 521, 522, 523, 524, 525, 527, 530})
# The longest Retry-After that is followed: broken servers name years (chosen, not measured).
MAX_RETRY_AFTER = timedelta(hours=24)
# For a 429 without Retry-After: limits are commonly counted per minute (chosen, not measured).
DEFAULT_RETRY_AFTER = timedelta(minutes=1)


def parse_http_date(text: str) -> datetime | None:
    """Parse an HTTP date in any of its three formats (RFC 9110, 5.6.7); None if it cannot be parsed."""
    try:
        moment = parsedate_to_datetime(text.strip())
        # At either end of the calendar, a date of another time zone has no equivalent in UTC.
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def retry_after(value: str, *, now: datetime, server_now: datetime | None = None) -> datetime | None:
    """Parse a Retry-After header, seconds or a date (RFC 9110, 10.2.3), at most a day ahead; None if it is neither.

    `server_now` is the server's Date header: a date in Retry-After counts from there, in case its clock is wrong.
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
    """Return the error for a status; None for a usable page (200, 203) and for redirects."""
    if status in USABLE or status in REDIRECTS:
        return None
    if status in GONE:
        return FetchError(f"{host} says the page is gone ({status})", reason="gone", retry=False, status=status)
    retry_at = _requested_wait(status, headers, now=now)
    return FetchError(
        f"{host} answered {status}" + (f" and asks to wait until {retry_at:%H:%M:%S} UTC" if retry_at else ""),
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
    # 429 asks to wait even if it names no time.
    return now + DEFAULT_RETRY_AFTER if retry_at is None and status == 429 else retry_at


MAX_VALIDATOR = 1_000  # characters; longer ones could exceed a server's limit for headers, often 8 KiB
# Every so many conditional requests for a URL, one goes without validators, because some servers answer 304 although
# the page changed: once a day for an hourly poll (chosen, not measured).
UNCONDITIONAL_EVERY = 24

# Optional weakness mark, then any characters but quotes, controls and blanks (RFC 9110, 8.8.3).
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


def condition_headers(validators: Validators) -> dict[str, str]:
    """Return the headers of a conditional GET: well-formed validators, exactly as the server sent them."""
    headers = {}
    if validators.etag is not None and is_etag(validators.etag):
        headers["If-None-Match"] = validators.etag
    modified = validators.last_modified
    if modified is not None and len(modified) <= MAX_VALIDATOR and parse_http_date(modified) is not None:
        headers["If-Modified-Since"] = modified
    return headers


def is_etag(text: str) -> bool:
    """Return whether a text is a well-formed entity tag (RFC 9110, 8.8.3) of bearable length."""
    return len(text) <= MAX_VALIDATOR and text.isascii() and _ETAG.fullmatch(text) is not None


def validators_in(headers: Mapping[str, str]) -> Validators:
    """Return the validators of a response that are well formed."""
    etag, modified = headers.get("etag", "").strip(), headers.get("last-modified", "").strip()
    return Validators(
        etag=etag if is_etag(etag) else None,
        last_modified=modified if modified.isascii() and parse_http_date(modified) is not None else None,
    )


def validators_after(kept: Validators, headers: Mapping[str, str]) -> Validators:
    """Return the validators after a 304: new ones replace those that were kept (RFC 9111, 3.2)."""
    new = validators_in(headers)
    return Validators(etag=new.etag or kept.etag, last_modified=new.last_modified or kept.last_modified)


# Content types: what is requested, what is accepted, and which headers of a response a page keeps.

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
    "content-signal",
    "content-type",
    "content-usage",
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
    """Raise FetchError (`content-type`) for a body of another kind; a missing type is accepted."""
    essence = (content_type or "").partition(";")[0].strip().lower()
    if not essence or accept not in {"page", "feed"}:
        return
    if essence in (_PAGE_TYPES if accept == "page" else _FEED_TYPES):
        return
    if accept == "feed" and (essence.endswith(("+xml", "+json")) or essence.startswith("text/")):
        return
    raise FetchError(f"the body is {essence[:80]}, not a {accept}", reason="content-type", retry=False)


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that later stages use, names in lower case, values cut and without control characters."""
    kept = {name: headers.get(name) for name in _KEPT_HEADERS}
    return {
        name: "".join(character for character in value[:2_000] if character.isprintable())
        for name, value in kept.items()
        if value is not None
    }


# Cookies of one fetch: some sites set one and redirect to the same URL until it is sent back. A cookie is sent only to
# the origin that set it and forgotten after the fetch, so domains, paths and dates (RFC 6265) need no support.

# RFC 6265, 6.1: browsers support at least 50 cookies for a domain, of 4,096 bytes each. 20 keep the header within the
# 8 KiB that servers commonly accept, unless the cookies are unusually long.
MAX_COOKIES = 20
MAX_COOKIE_LENGTH = 4_096

_PAIR = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+=[\x21-\x3a\x3c-\x7e]*")


class Cookies:
    """The cookies that each origin has set during one fetch."""

    def __init__(self) -> None:
        self._set: dict[str, dict[str, str]] = {}

    def store(self, origin: str, set_cookie: Sequence[str]) -> None:
        """Store the cookies of a response; malformed and excess ones are ignored."""
        for header in set_cookie:
            pair = header.partition(";")[0].strip()
            cookies = self._set.setdefault(origin, {})
            if len(pair) <= MAX_COOKIE_LENGTH and len(cookies) < MAX_COOKIES and _PAIR.fullmatch(pair):
                name, _, value = pair.partition("=")
                cookies[name] = value

    def header(self, origin: str) -> dict[str, str]:
        """Return the Cookie header for an origin, an empty dict if it set none."""
        cookies = self._set.get(origin)
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}
