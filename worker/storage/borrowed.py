"""Articles of an older program that are kept under another site's address, as their page said that it was theirs."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, not_, or_, select

from worker.errors import SourceError
from worker.models import Kind
from worker.storage.engine import connect
from worker.storage.tables import ARTICLES, CANDIDATES
from worker.urls import site_of

MOST_LISTED: Final = 1000
_SAVED = or_(CANDIDATES.c.reference.like("%.html"), CANDIDATES.c.reference.like("%.htm"))
_FROM_A_FILE = and_(_SAVED, not_(CANDIDATES.c.reference.like("%://%"))).label("from_a_file")
_ALL = (
    select(ARTICLES.c.id, ARTICLES.c.url, ARTICLES.c.canonical_url, ARTICLES.c.host, _FROM_A_FILE)
    .join(CANDIDATES, CANDIDATES.c.id == ARTICLES.c.candidate_id)
    .where(ARTICLES.c.kind == Kind.ARTICLE, not_(ARTICLES.c.canonical_url.like("file:%")))
    .order_by(ARTICLES.c.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BorrowedKey:
    """An article whose key is an address that nobody but its own page, or a saved file, gave it."""

    id: int
    url: str
    canonical_url: str


def borrowed_keys(url: str) -> tuple[BorrowedKey, ...]:
    """Return the articles of a store that are kept under a key of another site, the first thousand of them."""
    with closing(connect(url, create=False)) as database:
        return database.look(_borrowed)


def _borrowed(connection: Connection) -> tuple[BorrowedKey, ...]:
    found = (row for row in connection.execute(_ALL) if _is_borrowed(row))
    return tuple(
        BorrowedKey(id=row.id, url=row.url, canonical_url=row.canonical_url) for row in islice(found, MOST_LISTED)
    )


def _is_borrowed(row: Row[Any]) -> bool:
    try:
        return row.from_a_file or site_of(f"https://{row.host}/") != site_of(row.canonical_url)
    except SourceError:
        return False
