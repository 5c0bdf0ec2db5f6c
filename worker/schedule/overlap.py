"""Whether two polls of a source have an entry in common: if not, others may have come and gone between them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import islice
from typing import Final

MOST_ENTRIES: Final = 500


def entry_keys(addresses: Iterable[str]) -> tuple[int, ...]:
    """Return signed 64-bit keys of a poll's entries, in their order, of the first five hundred at most."""
    return tuple(map(_key, islice(addresses, MOST_ENTRIES)))


def share_nothing(before: Iterable[int], now: Iterable[int]) -> bool:
    """Tell whether two polls, both of which showed something, have no entry in common."""
    earlier, later = set(before), set(now)
    return bool(earlier) and bool(later) and earlier.isdisjoint(later)


def _key(address: str) -> int:
    digest = hashlib.blake2b(address.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
