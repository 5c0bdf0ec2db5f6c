"""Durations ("15m") and sizes ("10MB"), as they are written in the configuration and on pages."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

# The units of durations, in seconds.
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
# The units of sizes, in bytes: SI prefixes are powers of ten, IEC prefixes powers of two.
_BYTES: Final = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_LONGEST_S: Final = 36_500 * 86_400
"""A hundred years, so that now plus any duration is still a valid `datetime`."""
_PART: Final = re.compile(r"(\d{1,20}(?:\.\d{1,20})?)(ms|[smhdw])")
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+")
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) ?([kKMG]?i?B)")


def parse_duration(text: str) -> timedelta:
    """Parse `90s`, `15m`, `1h30m`, `50ms`, `2d` or `0`.

    Raises ValueError for anything else, and for more than a hundred years. Its text says what is allowed, to be put
    behind "expected" or "give".
    """
    if text == "0":
        return timedelta(0)
    if not _DURATION.fullmatch(text):
        raise ValueError('a duration such as "50ms", "15s", "5m", "1h30m" or "2d"')
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if seconds > _LONGEST_S:
        raise ValueError("a duration of a hundred years (36500d) at most")
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """Return a duration in the form that `parse_duration` reads, with as few units as possible."""
    left = round(duration.total_seconds() * 1000)
    if left == 0:
        return "0s"
    parts = []
    for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, seconds * 1000)
        if count:
            parts.append(f"{count}{unit}")
    if left:
        parts.append(f"{left}ms")
    return "".join(parts)


def format_rounded(span: timedelta) -> str:
    """Return a span in the largest unit that gives at least 2, for narrow columns: `90s`, `47h`, `3d`."""
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def format_age(when: datetime | None, *, now: datetime) -> str:
    """Return how long ago `when` was, such as `5m ago`; `never` for None."""
    return f"{format_rounded(now - when)} ago" if when else "never"


def format_countdown(when: datetime | None, *, now: datetime) -> str:
    """Return the time left until `when`, such as `in 5m`; `due` if it is over or None."""
    return "due" if when is None or when <= now else f"in {format_rounded(when - now)}"


def parse_size(text: str) -> int:
    """Parse `10MB` (powers of ten) or `10MiB` (powers of two) as bytes; raises ValueError for anything else."""
    match = _SIZE.fullmatch(text)
    if not match or match[2] not in _BYTES:
        raise ValueError('a size such as "500kB", "10MB" or "1GiB"')
    return int(float(match[1]) * _BYTES[match[2]])


def format_size(size: int) -> str:
    """Return a size in the form that `parse_size` reads, in the largest unit that divides it."""
    for unit in ("GiB", "GB", "MiB", "MB", "KiB", "kB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"
