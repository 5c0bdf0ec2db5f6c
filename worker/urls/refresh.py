"""Reads where a page sends its readers by itself: a `Refresh` header, or `meta http-equiv="refresh"` (HTML)."""

from __future__ import annotations

import re
from typing import Final

# A page that sends on after more than this many seconds is meant to be read.
LONGEST_WAIT_S: Final = 30
_LONGEST: Final = 2_100
_WRITTEN = re.compile(r"\s*(\d{1,9})(?:\.[\d.]*)?\s*(?:[;,]\s*|\s)(?:url\s*=\s*)?(.*)", re.IGNORECASE | re.DOTALL)


def refresh_target(written: str) -> str | None:
    """Return the address that a refresh leads to soon; None for one that only loads its own page again, or late."""
    match = _WRITTEN.fullmatch(written[:_LONGEST].strip())
    if match is None or int(match[1]) > LONGEST_WAIT_S:
        return None
    target = match[2].strip()
    if target[:1] in {'"', "'"}:
        # What follows the closing quotation mark is no part of the address.
        target = target[1:].partition(target[0])[0]
    return target.strip() or None
