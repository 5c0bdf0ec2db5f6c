"""What `reprocess` and `duplicates mark` do to a store: marks, new rules, kept pages extracted again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, select, update

from worker.models import HistoryEvent, Page, State, Text
from worker.storage.corpus import judge_model
from worker.storage.corpus.clusters import relation_states
from worker.storage.db.codec import UtcTime, content_from
from worker.storage.db.database import Database
from worker.storage.db.locks import Writer, exclusive
from worker.storage.db.meta import delete_meta, read_meta, write_meta
from worker.storage.db.schema import ARTICLES, CANDIDATES, PAGES
from worker.storage.maintenance import manual_decisions
from worker.storage.maintenance.manual_decisions import Rejudged
from worker.storage.maintenance.rejudge import JudgeFunction, Rejudgement, discard_draft
from worker.storage.queue.candidates import add_events

# Sends kept pages through extraction again, without a fetch: they become the content of their candidates.


QUEUED_AT_ONCE: Final = 500
PAGES_AT_ONCE: Final = 16
REEXTRACTED: Final = (State.STORED, State.DUPLICATE, State.REVISED, State.UNCHANGED, State.REJECTED)
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
class RawPage:
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


def settle_batch(connection: Connection, *, batch: str) -> None:
    """End the extraction of a batch: who has no other text than before is what that text is.

    A page that gives no article any more keeps the one it gave.
    """
    for standing in relation_states():
        for state, detail in ((State.UNCHANGED, SAME_TEXT), (State.REJECTED, NO_ARTICLE)):
            theirs = update(CANDIDATES).where(CANDIDATES.c.batch == batch, CANDIDATES.c.state == state)
            values = {"state": standing.state, "reason": standing.relation, "detail": detail}
            connection.execute(theirs.where(CANDIDATES.c.article_id.in_(standing.articles)).values(**values))
    worked_off = update(CANDIDATES).where(CANDIDATES.c.batch == batch, CANDIDATES.c.state != State.PENDING)
    if connection.execute(worked_off.values(batch="")).rowcount:
        # New texts take the places of old ones: a judgement of all that has begun without them is of no use.
        discard_draft(connection)


def forget_progress(connection: Connection) -> None:
    """Let the next reprocessing begin with the first candidate again."""
    delete_meta(connection, PROGRESS)


def kept_pages(database: Database, *, states: Sequence[State]) -> Iterator[RawPage]:
    """Yield what `queue_kept_pages` would queue, with its content, in bounded memory."""
    last = 0
    while rows := database.read(_contents, last, states):
        yield from map(_raw_page, rows)
        last = rows[-1].id


def _contents(connection: Connection, last: int, states: Sequence[State]) -> list[Row[Any]]:
    return list(connection.execute(_CONTENTS, {"after": last, "limit": PAGES_AT_ONCE, "states": states}))


def _raw_page(row: Row[Any]) -> RawPage:
    return RawPage(
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
    goes_on = states == REEXTRACTED
    if goes_on and not after:
        after = int(read_meta(connection, PROGRESS) or 0)
    pages = connection.execute(_PAGES, {"after": after, "limit": QUEUED_AT_ONCE, "states": states}).all()
    if not pages:
        return []
    rows = [{"candidate": page.candidate_id, "sha256": page.sha256, "now": now, "batch": batch} for page in pages]
    connection.execute(_QUEUE, rows)
    for page in pages:
        queued = HistoryEvent(at=now, what="queued", detail="extracted again from the kept page")
        add_events(connection, page.candidate_id, [queued])
    if goes_on:
        write_meta(connection, PROGRESS, str(pages[-1].candidate_id))
    return [page.candidate_id for page in pages]


REPROCESS_BATCH = "reprocess"
"""The batch of candidates whose kept page is being extracted again."""


class StoreReview:
    """What `duplicates mark` and `reprocess` do to a store. Blocking."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer: Writer = database

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep every other `reprocess` out; raises StoreBusy where one is at work.

        So does what writes meanwhile, where a server went away and another has begun before it could go on.
        """
        with exclusive(self._database, command="reprocess") as hold:
            self._writer = hold
            try:
                yield
            finally:
                self._writer = self._database

    def mark(self, one: int, other: int, *, decided: str, judge: JudgeFunction, now: datetime) -> tuple[Rejudged, ...]:
        """Remember that a person calls two articles `same` or `different`, and judge what rests on it again.

        Raises StoreError where an id is unknown, or both are versions of one page.
        """
        return self._database.write(manual_decisions.mark, one, other, decided=decided, judge=judge, now=now)

    def mark_original(self, article_id: int, *, now: datetime) -> tuple[Rejudged, ...]:
        """Remember that a person calls an article the original of its cluster, and let the cluster export it.

        Raises StoreError where the id is unknown.
        """
        return self._database.write(manual_decisions.mark_original, article_id, now=now)

    def save_first_terms(self, terms: str) -> None:
        """Note by which terms a store is judged that has no verdict yet."""
        if self._database.read(judge_model.terms) is None:
            self._database.write(judge_model.save_first_terms, terms)

    def save_terms(self, terms: str) -> None:
        """Note by which terms every verdict was given just now."""
        self._writer.write(judge_model.save_terms, terms)

    def save_weights(self, text: str) -> None:
        """Keep the weights the store was taught."""
        self._database.write(judge_model.save_weights, text)

    def rejudge(self, *, tag: str) -> Rejudgement:
        """Return a new judgement of the whole store by the rules that `tag` names; it goes on where one broke off."""
        return Rejudgement(self._database, tag=tag, writer=self._writer)

    def queue_kept_pages(self, *, now: datetime, rejected: bool = False) -> int:
        """Make finished candidates whose page was kept pending in BATCH: all of them, or those that gave no article.

        The first goes on where one broke off.
        """
        states = REJECTED if rejected else REEXTRACTED
        return queue_kept_pages(self._writer, now=now, batch=REPROCESS_BATCH, states=states)

    def finish_kept_pages(self) -> None:
        """Settle what became of the kept pages, once BATCH is worked off."""
        self._writer.write(settle_batch, batch=REPROCESS_BATCH)

    def end_kept_pages(self) -> None:
        """Let the next `queue_kept_pages` begin anew, once all was judged again."""
        self._writer.write(forget_progress)

    def kept_pages(self, *, rejected: bool = False) -> Iterator[RawPage]:
        """Yield every page that would be extracted again, or those alone that gave no article."""
        return kept_pages(self._database, states=REJECTED if rejected else REEXTRACTED)
