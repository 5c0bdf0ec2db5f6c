"""What people decided about two articles: remembered by canonical URL, so that it outlives every new judgement."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, Executable, bindparam, delete, select, union_all

from worker.errors import StoreError
from worker.storage.dialect import Insert, upsert
from worker.storage.tables import ARTICLES, MARKS

SAME = "same"
DIFFERENT = "different"
ORIGINAL = "original"
"""A word about one article, kept as a pair with itself: it is the original of whatever cluster it is in."""


def _later_wins(statement: Insert) -> Executable:
    new = statement.excluded
    return statement.on_conflict_do_update(index_elements=["pair"], set_={"decided": new.decided, "at": new.at})


_MARK = upsert(MARKS, _later_wins)
_MARKS_OF = union_all(
    select(MARKS.c.high.label("other"), MARKS.c.decided, MARKS.c.at).where(
        MARKS.c.low == bindparam("url"), MARKS.c.decided != ORIGINAL
    ),
    select(MARKS.c.low.label("other"), MARKS.c.decided, MARKS.c.at).where(
        MARKS.c.high == bindparam("url"), MARKS.c.decided != ORIGINAL
    ),
).order_by("at", "other")
_ORIGINALS = select(MARKS.c.low, MARKS.c.at).where(
    MARKS.c.decided == ORIGINAL, MARKS.c.low.in_(bindparam("urls", expanding=True))
)


def mark(connection: Connection, one: int, other: int, *, decided: str, now: datetime) -> None:
    """Remember that two articles are `same` or `different`; a later mark replaces an earlier one.

    Raises StoreError where an id is unknown or both ids are of one URL.
    """
    low, high = sorted((canonical_url_of(connection, one), canonical_url_of(connection, other)))
    if low == high:
        raise StoreError(f"articles {one} and {other} are versions of one page: there is nothing to mark")
    _write(connection, low, high, decided, now=now)


def mark_original(connection: Connection, url: str, *, of: Collection[str], now: datetime) -> None:
    """Remember that the page of a canonical URL is the original of those `of` one cluster.

    It replaces an earlier word.
    """
    connection.execute(delete(MARKS).where(MARKS.c.decided == ORIGINAL, MARKS.c.low.in_(sorted(of))))
    _write(connection, url, url, ORIGINAL, now=now)


def originals(connection: Connection, urls: Collection[str]) -> dict[str, datetime]:
    """Return which of some canonical URLs a person called the original, and when."""
    found = connection.execute(_ORIGINALS, {"urls": sorted(urls)})
    return {row.low: row.at for row in found}


def _write(connection: Connection, low: str, high: str, decided: str, *, now: datetime) -> None:
    pair = hashlib.sha256(f"{low} {high}".encode()).hexdigest()
    connection.execute(_MARK.on(connection), {"pair": pair, "low": low, "high": high, "decided": decided, "at": now})


def marks_of(connection: Connection, canonical_url: str) -> dict[str, str]:
    """Return what was decided about a URL and others, by the other URL, the latest word last."""
    return {row.other: row.decided for row in connection.execute(_MARKS_OF, {"url": canonical_url})}


def canonical_url_of(connection: Connection, article_id: int) -> str:
    """Return the key of an article's page; raises StoreError where the id is unknown."""
    url = connection.execute(select(ARTICLES.c.canonical_url).where(ARTICLES.c.id == article_id)).scalar()
    if url is None:
        raise StoreError(f"there is no article {article_id} in the store: take an id that `duplicates` or `why` shows")
    return str(url)
