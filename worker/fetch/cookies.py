"""Cookies for the length of one fetch: some sites set one and redirect to themselves until it comes back.

Nothing is kept between fetches, and a cookie goes back only to the very origin that set it: domains, paths and dates
(RFC 6265) need not be understood for that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MOST_COOKIES = 20
LONGEST_COOKIE = 4_096

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
            if len(pair) <= LONGEST_COOKIE and len(cookies) < MOST_COOKIES and _PAIR.fullmatch(pair):
                name, _, value = pair.partition("=")
                cookies[name] = value

    def header(self, origin: str) -> dict[str, str]:
        """Return the Cookie header for an origin, nothing where it set none."""
        cookies = self._set.get(origin)
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}
