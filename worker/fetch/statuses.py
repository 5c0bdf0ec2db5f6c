"""What a status code and its headers mean for the fetch, as pure functions of `now` (RFC 9110, 15; RFC 6585)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from worker.errors import FetchError

REDIRECTS = frozenset({301, 302, 303, 307, 308})
PERMANENT = frozenset({301, 308})
USABLE = frozenset({200, 203})
GONE = frozenset({404, 410})
OVERLOADED = frozenset({429, 503})
WORTH_ANOTHER_TRY = frozenset(
    {408, 421, 425, 429, 500, 502, 503, 504, 507, 508, 520, 521, 522, 523, 524, 525, 527, 530}
)
MAX_RETRY_AFTER = timedelta(hours=24)
UNNAMED_PATIENCE = timedelta(minutes=1)


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
    asked = _asked_patience(status, headers, now=now)
    return FetchError(
        f"{host} answered {status}" + (f" and asks to be left alone until {asked:%H:%M:%S} UTC" if asked else ""),
        reason="http",
        retry=status in WORTH_ANOTHER_TRY,
        status=status,
        retry_at=asked,
    )


def _asked_patience(status: int, headers: Mapping[str, str], *, now: datetime) -> datetime | None:
    if status not in OVERLOADED:
        return None
    server_now = parse_http_date(headers.get("date", ""))
    asked = retry_after(headers.get("retry-after", ""), now=now, server_now=server_now)
    # "Too many requests" asks for patience even where it does not say how much.
    return now + UNNAMED_PATIENCE if asked is None and status == 429 else asked
