"""Sends kept pages through extraction again, without a fetch: they become the content of their candidates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, select, update

from worker.models import Event, Page, State, Text
from worker.storage.alone import Writer
from worker.storage.codec import content_from
from worker.storage.columns import UtcTime
from worker.storage.database import Database
from worker.storage.events import add_events
from worker.storage.meta import forget, note, noted
from worker.storage.rethinking import discard
from worker.storage.states import standings
from worker.storage.tables import ARTICLES, CANDIDATES, PAGES

BATCH: Final = 500
PAGES_AT_ONCE: Final = 16
AGAIN: Final = (State.STORED, State.DUPLICATE, State.REVISED, State.UNCHANGED, State.REJECTED)
REJECTED: Final = (State.REJECTED, State.FAILED)
SAME_TEXT: Final = "extracted again: the same text"
NO_ARTICLE: Final = "extracted again: no article any more, so its text is kept"
PROGRESS: Final = "kept pages queued up to candidate"

_OF_ARTICLE = PAGES.alias("of_article")
_BEST_PAGE = (
    select(func.coalesce(func.max(_OF_ARTICLE.c.id), func.max(PAGES.c.id)))
    .select_from(PAGES)
    .join(CANDIDATES, CANDIDATES.c.id == PAGES.c.candidate_id)
    .outerjoin(ARTICLES, ARTICLES.c.id == CANDIDATES.c.article_id)
    .outerjoin(_OF_ARTICLE, _OF_ARTICLE.c.id == ARTICLES.c.page_id)
    .where(PAGES.c.candidate_id > bindparam("after"), CANDIDATES.c.state.in_(bindparam("states", expanding=True)))
    .group_by(PAGES.c.candidate_id)
    .order_by(PAGES.c.candidate_id)
    .limit(bindparam("limit"))
)
_PAGES = select(PAGES.c.candidate_id, PAGES.c.sha256).where(PAGES.c.id.in_(_BEST_PAGE)).order_by(PAGES.c.candidate_id)
_CONTENTS = (
    select(PAGES.c.form, PAGES.c.described, PAGES.c.body, PAGES.c.fetched_at.label("page_fetched_at"), CANDIDATES)
    .add_columns(ARTICLES.c.sha256)
    .join(CANDIDATES, CANDIDATES.c.id == PAGES.c.candidate_id)
    .outerjoin(ARTICLES, ARTICLES.c.id == CANDIDATES.c.article_id)
    .where(PAGES.c.id.in_(_BEST_PAGE))
    .order_by(CANDIDATES.c.id)
)
_QUEUE = (
    update(CANDIDATES)
    .where(CANDIDATES.c.id == bindparam("candidate"), CANDIDATES.c.lease_token.is_(None))
    .values(
        state=State.PENDING,
        lane=None,
        batch=bindparam("batch"),
        due_at=bindparam("now", type_=UtcTime()),
        payload_sha256=bindparam("sha256"),
        # The same bytes as before are what is wanted here.
        body_sha256=None,
        attempts=0,
        reason="",
        detail="",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The kept page of a candidate, what discovery knew of it, and the SHA-256 of the text it gave, if any."""

    candidate: int
    url: str
    canonical_url: str
    source: str
    host: str
    title: str | None
    published_at: datetime | None
    modified_at: datetime | None
    external_id: str | None
    content: Page | Text
    fetched_at: datetime
    known_sha256: str | None


def queue_kept_pages(database: Writer, *, now: datetime, batch: str, states: Sequence[State]) -> int:
    """Make finished candidates whose page was kept pending again, with that page as their content; return how many.

    `batch` marks them for a `Scope`. What was broken off goes on where it stopped until `end` is called, if it takes
    all of the states there are pages of.
    """
    total, last = 0, 0
    while queued := database.write(_queue_some, after=last, now=now, batch=batch, states=states):
        total, last = total + len(queued), queued[-1]
    return total


def finish(connection: Connection, *, batch: str) -> None:
    """End the extraction of a batch: who has no other text than before is what that text is.

    A page that gives no article any more keeps the one it gave.
    """
    for standing in standings():
        for state, detail in ((State.UNCHANGED, SAME_TEXT), (State.REJECTED, NO_ARTICLE)):
            theirs = update(CANDIDATES).where(CANDIDATES.c.batch == batch, CANDIDATES.c.state == state)
            values = {"state": standing.state, "reason": standing.relation, "detail": detail}
            connection.execute(theirs.where(CANDIDATES.c.article_id.in_(standing.articles)).values(**values))
    worked_off = update(CANDIDATES).where(CANDIDATES.c.batch == batch, CANDIDATES.c.state != State.PENDING)
    if connection.execute(worked_off.values(batch="")).rowcount:
        # New texts take the places of old ones: a judgement of all that has begun without them is of no use.
        discard(connection)


def end(connection: Connection) -> None:
    """Let the next reprocessing begin with the first candidate again."""
    forget(connection, PROGRESS)


def kept_pages(database: Database, *, states: Sequence[State]) -> Iterator[Kept]:
    """Yield what `queue_kept_pages` would queue, with its content, in bounded memory."""
    last = 0
    while rows := database.read(_contents, last, states):
        yield from map(_kept_from, rows)
        last = rows[-1].id


def _contents(connection: Connection, last: int, states: Sequence[State]) -> list[Row[Any]]:
    return list(connection.execute(_CONTENTS, {"after": last, "limit": PAGES_AT_ONCE, "states": states}))


def _kept_from(row: Row[Any]) -> Kept:
    return Kept(
        candidate=row.id,
        url=row.url,
        canonical_url=row.canonical_url,
        source=row.source,
        host=row.host,
        title=row.title,
        published_at=row.published_at,
        modified_at=row.modified_at,
        external_id=row.external_id,
        content=content_from(row.form, row.described, row.body, row.page_fetched_at),
        fetched_at=row.page_fetched_at,
        known_sha256=row.sha256,
    )


def _queue_some(connection: Connection, *, after: int, now: datetime, batch: str, states: Sequence[State]) -> list[int]:
    goes_on = states == AGAIN
    if goes_on and not after:
        after = int(noted(connection, PROGRESS) or 0)
    pages = connection.execute(_PAGES, {"after": after, "limit": BATCH, "states": states}).all()
    if not pages:
        return []
    rows = [{"candidate": page.candidate_id, "sha256": page.sha256, "now": now, "batch": batch} for page in pages]
    connection.execute(_QUEUE, rows)
    for page in pages:
        queued = Event(at=now, what="queued", detail="extracted again from the kept page")
        add_events(connection, page.candidate_id, [queued])
    if goes_on:
        note(connection, PROGRESS, str(pages[-1].candidate_id))
    return [page.candidate_id for page in pages]
