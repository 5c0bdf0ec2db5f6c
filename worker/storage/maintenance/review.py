"""The store's side of `reprocess`, `forget`, `duplicates mark` and the page of rejected pages.

`StoreReview` is the entry point. Kept pages are extracted again through the queue: each finished candidate becomes
pending with its stored page as content, the usual pipeline processes it, and `settle_batch` tidies up the outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, exists, func, select, update

from worker.models import FILTERED, ORIGIN_FIELDS, Candidate, HistoryEvent, Page, State, Text
from worker.models.base import dataclass
from worker.models.browsing import RejectedList, RejectedPage
from worker.storage.corpus import judge_model
from worker.storage.corpus.clusters import relation_states
from worker.storage.corpus.settling import missing_fields
from worker.storage.db.codec import UtcTime, content_from
from worker.storage.db.database import Database
from worker.storage.db.locks import Writer, exclusive
from worker.storage.db.migrate import delete_meta, read_meta, write_meta
from worker.storage.db.schema import ARTICLES, CANDIDATES, PAGES
from worker.storage.maintenance import forget, manual_decisions, rejected
from worker.storage.maintenance.forget import ForgetReport, ForgetRequest
from worker.storage.maintenance.manual_decisions import Rejudged
from worker.storage.maintenance.rejudge import JudgeFunction, Rejudgement, discard_draft
from worker.storage.queue.addresses import authority_of
from worker.storage.queue.candidates import HIGH_PRIORITY, LOW_PRIORITY, EnqueueOptions, add_events
from worker.storage.queue.intake import enqueue_with

QUEUED_AT_ONCE: Final = 500
"""Candidates made pending in one transaction. Chosen, not measured: no page is read, only small rows change."""
PAGES_AT_ONCE: Final = 16
"""Pages read in one query. Chosen, not measured: bounds memory, as a page may be as large as `[fetch] max_bytes`."""
REEXTRACTED: Final = (State.STORED, State.DUPLICATE, State.REVISED, State.UNCHANGED, State.REJECTED)
"""The states of candidates that `reprocess` extracts again."""
REJECTED: Final = (State.REJECTED, State.FAILED)
"""The states of candidates that `reprocess --rejected` extracts again."""
SAME_TEXT: Final = "extracted again: the same text"
NO_ARTICLE: Final = "extracted again: no article any more, so its text is kept"
PROGRESS: Final = "kept pages queued up to candidate"

# Of each candidate with stored pages, the page that its article was extracted from, else the newest one.
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
    .add_columns(ARTICLES.c.sha256, *(ARTICLES.c[name] for name in ORIGIN_FIELDS))
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
        body_sha256=None,  # otherwise the same bytes as before would end the candidate as unchanged
        attempts=0,
        reason="",
        detail="",
    )
)

_IS_FILTERED = (CANDIDATES.c.state == State.REJECTED) & (CANDIDATES.c.reason == FILTERED)
_FILTERED = (
    select(CANDIDATES.c.id)
    .where(CANDIDATES.c.id > bindparam("after"), _IS_FILTERED, ~exists().where(PAGES.c.candidate_id == CANDIDATES.c.id))
    .order_by(CANDIDATES.c.id)
    .limit(bindparam("limit"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawPage:
    """The stored page of a candidate, with what discovery knew about it.

    `known_sha256` is the hash of the text that was extracted from it before, None if there was none, and
    `missing_fields` are the fields that its article lacks.
    """

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
    missing_fields: tuple[str, ...] = ()


def queue_kept_pages(database: Writer, *, now: datetime, batch: str, states: Sequence[State]) -> int:
    """Make finished candidates in some states pending again, with their stored page as content; return how many.

    `batch` marks the candidates, so that a run can be limited to them. With the states REEXTRACTED an interrupted call
    is resumed by the next one, until `forget_progress` is called.
    """
    total, last = 0, 0
    while queued := database.write(_queue_some, after=last, now=now, batch=batch, states=states):
        total, last = total + len(queued), queued[-1]
    return total


def settle_batch(connection: Connection, *, batch: str) -> None:
    """Finish re-extraction: a candidate whose text did not change gets back the state that its text had.

    So does a candidate whose page gives no article any more: the article extracted before is kept.
    """
    for group in relation_states():
        for state, detail in ((State.UNCHANGED, SAME_TEXT), (State.REJECTED, NO_ARTICLE)):
            restored = update(CANDIDATES).where(CANDIDATES.c.batch == batch, CANDIDATES.c.state == state)
            values = {"state": group.state, "reason": group.relation, "detail": detail}
            connection.execute(restored.where(CANDIDATES.c.article_id.in_(group.articles)).values(**values))
    finished = update(CANDIDATES).where(CANDIDATES.c.batch == batch, CANDIDATES.c.state != State.PENDING)
    if connection.execute(finished.values(batch="")).rowcount:
        # New texts replace old ones, which an unfinished judgement of the whole store has used.
        discard_draft(connection)


def forget_progress(connection: Connection) -> None:
    """Make the next `queue_kept_pages` start with the first candidate again."""
    delete_meta(connection, PROGRESS)


def kept_pages(database: Database, *, states: Sequence[State]) -> Iterator[RawPage]:
    """Yield the pages of the candidates that `queue_kept_pages` would queue, a few of them in memory at a time."""
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
        missing_fields=missing_fields(row),
    )


def _queue_some(connection: Connection, *, after: int, now: datetime, batch: str, states: Sequence[State]) -> list[int]:
    """Queue the pages of the next batch of candidates; return the ids of these, empty when none is left."""
    resumable = states == REEXTRACTED
    if resumable and not after:
        after = int(read_meta(connection, PROGRESS) or 0)
    pages = connection.execute(_PAGES, {"after": after, "limit": QUEUED_AT_ONCE, "states": states}).all()
    if not pages:
        return []
    rows = [{"candidate": page.candidate_id, "sha256": page.sha256, "now": now, "batch": batch} for page in pages]
    connection.execute(_QUEUE, rows)
    for page in pages:
        queued = HistoryEvent(at=now, what="queued", detail="extracted again from the kept page")
        add_events(connection, page.candidate_id, [queued])
    if resumable:
        write_meta(connection, PROGRESS, str(pages[-1].candidate_id))
    return [page.candidate_id for page in pages]


def queue_filtered(
    database: Writer, is_kept: Callable[[Row[Any]], bool], *, now: datetime, dry_run: bool = False
) -> int:
    """Queue candidates to be fetched that a filter rejected and whose page is not stored; return how many.

    `is_kept` is called with the row of a candidate: whether it may be fetched under the present rules.
    """
    total, last = 0, 0
    while ids := database.write(_filtered_ids, after=last):
        total += database.write(_queue_filtered_some, ids, is_kept, now=None if dry_run else now)
        last = ids[-1]
    return total


def _filtered_ids(connection: Connection, *, after: int) -> list[int]:
    """Return the ids of the next batch of candidates that a filter rejected and whose page is not stored."""
    return list(connection.execute(_FILTERED, {"after": after, "limit": QUEUED_AT_ONCE}).scalars())


def _queue_filtered_some(
    connection: Connection, ids: Sequence[int], is_kept: Callable[[Row[Any]], bool], *, now: datetime | None
) -> int:
    """Queue those of the candidates that are kept now, each with its priority; without `now` only count them."""
    rows = connection.execute(select(CANDIDATES).where(CANDIDATES.c.id.in_(ids), _IS_FILTERED)).all()
    kept = [row for row in rows if is_kept(row)]
    if now is None:
        return len(kept)
    for precedence in (HIGH_PRIORITY, LOW_PRIORITY):
        found = [_candidate(row) for row in kept if row.precedence == precedence]
        enqueue_with(connection, found, EnqueueOptions(now=now, again=True, precedence=precedence))
    return len(kept)


def _candidate(row: Row[Any]) -> Candidate:
    """Return a stored candidate as it was discovered."""
    return Candidate(
        url=row.url,
        canonical_url=row.canonical_url,
        source=row.source,
        reference=row.reference,
        authority=authority_of(row),
        title=row.title,
        published_at=row.published_at,
        modified_at=row.modified_at,
        external_id=row.external_id,
    )


REPROCESS_BATCH = "reprocess"
"""The batch of candidates whose stored page is being extracted again."""


class StoreReview:
    """The operations of `duplicates mark`, `forget` and `reprocess` on a store. All methods block the thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer: Writer = database

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the exclusive lock of `reprocess`; raises StoreBusy if another process holds it.

        A write within the block raises StoreBusy, too, if a server went away and another `reprocess` got the lock.
        """
        with exclusive(self._database, command="reprocess") as hold:
            self._writer = hold
            try:
                yield
            finally:
                self._writer = self._database

    def mark(self, one: int, other: int, *, decided: str, judge: JudgeFunction, now: datetime) -> tuple[Rejudged, ...]:
        """Save that two articles are `same` or `different`; return the articles that were judged again because of it.

        Raises StoreError if an id is unknown, or if both articles are versions of one page.
        """
        return self._database.write(manual_decisions.mark, one, other, decided=decided, judge=judge, now=now)

    def unmark(self, one: int, other: int, *, judge: JudgeFunction, now: datetime) -> tuple[Rejudged, ...]:
        """Take back the decision on two articles; return the articles that were judged again because of it.

        Raises StoreError if an id is unknown, or if there is no decision.
        """
        return self._database.write(manual_decisions.unmark, one, other, judge=judge, now=now)

    def mark_original(self, article_id: int, *, now: datetime) -> tuple[Rejudged, ...]:
        """Save that an article is the original of its cluster, and make it the head; return the old and the new head.

        Raises StoreError if the id is unknown.
        """
        return self._database.write(manual_decisions.mark_original, article_id, now=now)

    def rejected_list(self, *, before: int | None, reason: str, limit: int) -> RejectedList:
        """Return rejected pages, the latest first."""
        return self._database.read(rejected.rejected_list, before=before, reason=reason, limit=limit)

    def rejected_page(self, candidate: int) -> tuple[RejectedPage, State, Page | Text | None] | None:
        """Return a page as if it was rejected, its state, and what is kept of it; None for an unknown one."""
        return self._database.read(rejected.rejected_page, candidate)

    def take(self, candidate: int, *, now: datetime) -> bool:
        """Queue a rejected page to be stored after all; return whether its kept page is used. Raises StoreError."""
        return self._database.write(rejected.take, candidate, now=now)

    def leave(self, candidate: int, *, now: datetime) -> None:
        """Reject a page again that a person has taken and that still waits. Raises StoreError."""
        self._database.write(rejected.leave, candidate, now=now)

    def forget(
        self, request: ForgetRequest, *, judge: JudgeFunction, now: datetime, dry_run: bool = False
    ) -> ForgetReport:
        """Delete everything of a page or host, and keep it from coming back; see `maintenance.forget`."""
        return forget.forget(self._database, request, judge=judge, now=now, dry_run=dry_run)

    def overwrite_forgotten(self) -> bool:
        """Overwrite what SQLite's file still holds of it; False if a reader kept it. See `forget.overwrite`."""
        return forget.overwrite(self._database)

    def lift(self, requests: Sequence[ForgetRequest], *, now: datetime) -> list[datetime]:
        """Allow all of these to be found again, or none (NotFoundError); return when each was forgotten."""
        return self._database.write(forget.lift, requests, now=now)

    def save_terms(self, terms: str) -> None:
        """Save under which terms of judgement all verdicts have just been renewed."""
        self._writer.write(judge_model.save_terms, terms)

    def save_weights(self, text: str) -> None:
        """Save the judge's weights that were fitted to the manual decisions in this store."""
        self._database.write(judge_model.save_weights, text)

    def rejudge(self, *, tag: str) -> Rejudgement:
        """Return a new judgement of the whole store by the rules that `tag` names; an interrupted one is resumed."""
        return Rejudgement(self._database, tag=tag, writer=self._writer)

    def queue_kept_pages(self, *, now: datetime, rejected: bool = False) -> int:
        """Make finished candidates with a stored page pending in REPROCESS_BATCH; return how many.

        With `rejected`, only those that gave no article. Otherwise all, and an interrupted call is resumed.
        """
        states = REJECTED if rejected else REEXTRACTED
        return queue_kept_pages(self._writer, now=now, batch=REPROCESS_BATCH, states=states)

    def queue_filtered(self, is_kept: Callable[[Row[Any]], bool], *, now: datetime, dry_run: bool = False) -> int:
        """Queue what a filter rejected before it was fetched and `is_kept` now; see `queue_filtered`."""
        return queue_filtered(self._writer, is_kept, now=now, dry_run=dry_run)

    def finish_kept_pages(self) -> None:
        """Tidy up the outcomes of REPROCESS_BATCH, once none of its candidates is pending; see `settle_batch`."""
        self._writer.write(settle_batch, batch=REPROCESS_BATCH)

    def end_kept_pages(self) -> None:
        """Make the next `queue_kept_pages` start from the beginning, once all articles were judged again."""
        self._writer.write(forget_progress)

    def kept_pages(self, *, rejected: bool = False) -> Iterator[RawPage]:
        """Yield the pages that would be extracted again: all, or with `rejected` those that gave no article."""
        return kept_pages(self._database, states=REJECTED if rejected else REEXTRACTED)
