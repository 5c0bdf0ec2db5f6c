"""Removes articles from the corpus, and repairs the clusters they were in.

What depended on a removed article is judged again: two texts that were both contained in it are exported each, and a
cluster that lost its head or its founder gets another one. Candidates that ended with it are queued again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, exists, func, not_, select, update

from worker.models import HistoryEvent, State
from worker.models.base import dataclass
from worker.storage.corpus import index, search_index
from worker.storage.corpus.settling import lock_articles
from worker.storage.db.codec import without_notes_on
from worker.storage.db.schema import ARTICLES, CANDIDATES, DECISIONS, EVENTS, MARKS, MOVES, PAGES, SEEDS, STANDINGS
from worker.storage.db.sql import among, batched, lock_table
from worker.storage.maintenance.manual_decisions import (
    Rejudged,
    arrival_order,
    judge_again,
    placements,
    rejudged,
    remove_standings,
)
from worker.storage.maintenance.rejudge import JudgeFunction, discard_draft
from worker.storage.queue.addresses import ADDRESSES, rows_of
from worker.storage.queue.candidates import add_events, lane_of
from worker.storage.queue.intake import wake_hosts

MAX_AT_ONCE = 50
"""How many articles to remove in one transaction: each takes about forty advisory locks of a PostgreSQL server, which
has room for 6,400 by default (docs/store.md, "Several machines")."""

_AGAINST = select(STANDINGS.c.article_id, STANDINGS.c.cluster).where(among(STANDINGS.c.judged_against, "ids"))
_OF_CLUSTERS = select(STANDINGS.c.article_id, STANDINGS.c.cluster).where(among(STANDINGS.c.cluster, "clusters"))
_OF_ARTICLES = select(STANDINGS.c.article_id, STANDINGS.c.cluster).where(among(STANDINGS.c.article_id, "ids"))
_LEFT_OF_CANDIDATE = select(func.max(ARTICLES.c.id)).where(ARTICLES.c.candidate_id == CANDIDATES.c.id).scalar_subquery()
_HAS_CONTENT = (
    select(PAGES.c.id)
    .where(PAGES.c.candidate_id == CANDIDATES.c.id, PAGES.c.sha256 == CANDIDATES.c.payload_sha256)
    .exists()
    .label("has_content")
)
_ENDED_WITH = select(CANDIDATES.c.id, CANDIDATES.c.host, _LEFT_OF_CANDIDATE.label("left"), _HAS_CONTENT).where(
    among(CANDIDATES.c.article_id, "ids")
)
_OF_CANDIDATE = update(CANDIDATES).where(CANDIDATES.c.id == bindparam("candidate"))
_SET_ARTICLE = _OF_CANDIDATE.values(article_id=bindparam("article"))
_NO_LEASE = {"lease_token": None, "lease_until": None, "worker": None, "done_token": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedArticles:
    """The ids of the removed articles, the articles judged again because of it, and how many candidates are queued."""

    ids: tuple[int, ...] = ()
    judged_again: tuple[Rejudged, ...] = ()
    queued_again: int = 0


def remove_articles(
    connection: Connection, ids: Collection[int], *, judge: JudgeFunction, now: datetime
) -> RemovedArticles:
    """Delete articles with their index rows, verdicts and seed files, and judge again what depended on them.

    At most MAX_AT_ONCE of them; unknown ids are ignored. A candidate that ended with a removed article keeps its newest
    other one, or becomes pending. Pages and histories of candidates are not touched.
    """
    gone = _lock(connection, ids)
    if not gone:
        return RemovedArticles()
    discard_draft(connection)
    affected = _depending_on(connection, gone)
    before = placements(connection, affected)
    remove_standings(connection, [*affected, *gone])
    _delete_rows(connection, gone)
    for article_id in affected:
        judge_again(connection, article_id, judge, now=now)
    after = placements(connection, affected)
    queued = _release_candidates(connection, gone, now=now)
    moved = tuple(rejudged(before[each], after[each]) for each in affected)
    return RemovedArticles(ids=tuple(gone), judged_again=moved, queued_again=queued)


def _lock(connection: Connection, ids: Collection[int]) -> list[int]:
    """Wait for transactions that may judge something against the articles; return the ids that exist, in order."""
    chosen = select(ARTICLES.c.id, ARTICLES.c.canonical_url).where(among(ARTICLES.c.id, "ids")).order_by(ARTICLES.c.id)
    rows = connection.execute(chosen, {"ids": ids}).all()
    fingerprints = filter(None, (index.fingerprint_of(connection, row.id) for row in rows))
    lock_articles(connection, (row.canonical_url for row in rows), fingerprints)
    lock_table(connection, STANDINGS)
    return [row.id for row in rows]


def _depending_on(connection: Connection, gone: Sequence[int]) -> list[int]:
    """Return the articles whose verdict may depend on those that are removed, in order of arrival.

    These are the articles judged against one of them, and the articles that joined the same clusters later.
    """
    removed = set(gone)
    of_gone = connection.execute(_OF_ARTICLES, {"ids": gone}).all()
    against = [row for row in connection.execute(_AGAINST, {"ids": gone}) if row.article_id not in removed]
    clusters = {row.cluster for row in (*of_gone, *against)}
    members = {row.article_id: row.cluster for row in connection.execute(_OF_CLUSTERS, {"clusters": clusters})}
    rank = arrival_order(connection, members)
    start: dict[int, tuple[int, int]] = {}
    for row in (*of_gone, *against):
        start[row.cluster] = min(rank[row.article_id], start.get(row.cluster, rank[row.article_id]))
    left = [each for each in members if each not in removed]
    later = [each for each in left if members[each] in removed or rank[each] >= start[members[each]]]
    return sorted(later, key=lambda each: rank[each])


def _delete_rows(connection: Connection, gone: Sequence[int]) -> None:
    """Delete the rows of articles that are in no cluster any more."""
    search_index.remove_texts(connection, gone)
    for article_id in gone:
        index.remove(connection, article_id)
    for column in (DECISIONS.c.article_id, SEEDS.c.article_id, ARTICLES.c.id):
        connection.execute(delete(column.table).where(among(column, "ids")), {"ids": gone})


def _release_candidates(connection: Connection, gone: Sequence[int], *, now: datetime) -> int:
    """Give each candidate of a removed article its newest other one, or queue it again; return how many are queued.

    A worker that holds such a candidate loses its lease: its work may rely on the article.
    """
    rows = connection.execute(_ENDED_WITH, {"ids": gone}).all()
    queued = [row for row in rows if row.left is None]
    for row in rows:
        if row.left is not None:
            connection.execute(_SET_ARTICLE, {"candidate": row.id, "article": row.left})
        else:
            _queue(connection, row, now=now)
    wake_hosts(connection, {row.host for row in queued if not row.has_content}, now=now)
    return len(queued)


def _queue(connection: Connection, row: Row[Any], *, now: datetime) -> None:
    """Make a candidate pending, with its stored content if it has one, and end its lease."""
    outcome = {"state": State.PENDING, "reason": "", "detail": "", "article_id": None, "former": "", "look_at": None}
    values = {**outcome, **_NO_LEASE, "lane": None if row.has_content else row.host, "due_at": now, "attempts": 0}
    connection.execute(_OF_CANDIDATE.values(**values), {"candidate": row.id})
    queued = HistoryEvent(at=now, what="queued", detail="the article it had ended with was removed")
    add_events(connection, row.id, [queued])


# Traces of what is forgotten in rows that stay.


_QUOTED: Final = re.compile(r'"article":(\d+)')
_READ_AT_ONCE: Final = 1_000
"""Rows read and URLs in one statement. Chosen, not measured: short statements, and little memory."""
_UNUSED_PAGES = delete(PAGES).where(
    PAGES.c.candidate_id == bindparam("candidate"), not_(exists().where(ARTICLES.c.page_id == PAGES.c.id))
)


def detach(connection: Connection, ids: Sequence[int], *, covers: Callable[[str], bool], now: datetime) -> None:
    """Delete the covered addresses of candidates, with what was fetched there; they are tried at one that is left.

    Without another address, a candidate gets its canonical URL for one.
    """
    wanted = select(CANDIDATES).where(among(CANDIDATES.c.id, "ids")).order_by(CANDIDATES.c.id).with_for_update()
    for row in connection.execute(wanted, {"ids": ids}).all():
        seen = {each.url: each.id for each in rows_of(connection, row.id)}
        gone = {url for url in {row.url, *seen} if covers(url)}
        addresses = [seen[url] for url in gone if url in seen]
        connection.execute(delete(ADDRESSES).where(among(ADDRESSES.c.id, "ids")), {"ids": addresses})
        _delete_history(connection, row.id, gone)
        if row.url in gone:
            left = next((url for url in seen if url not in gone), row.canonical_url)
            host = lane_of(left)
            values = {"url": left, "host": host, "lane": None if row.lane is None else host}
            connection.execute(_OF_CANDIDATE.values(**values, **_NO_LEASE), {"candidate": row.id})
            connection.execute(_UNUSED_PAGES, {"candidate": row.id})
            wake_hosts(connection, {host}, now=now)


def _delete_history(connection: Connection, candidate: int, urls: Collection[str]) -> None:
    """Delete the events of a candidate that name one of the addresses."""
    events = select(EVENTS.c.id, EVENTS.c.detail).where(EVENTS.c.candidate_id == candidate)
    naming = [row.id for row in connection.execute(events) if any(url in row.detail for url in urls)]
    connection.execute(delete(EVENTS).where(among(EVENTS.c.id, "ids")), {"ids": naming})


def clear_urls(connection: Connection, urls: Iterable[str]) -> None:
    """Delete what people and redirects said of URLs."""
    for column in (MARKS.c.low, MARKS.c.high, MOVES.c.url, MOVES.c.target):
        for some in batched(sorted(urls), _READ_AT_ONCE):
            connection.execute(delete(column.table).where(column.in_(some)))


def strip_notes(connection: Connection, ids: set[int]) -> None:
    """Delete the reasons in words from every comparison with these articles; its figures stay. Reads all verdicts."""
    quoting = select(DECISIONS.c.id, DECISIONS.c.verdict).where(DECISIONS.c.verdict.contains('"article":'))
    stripped = [
        {"decision": row.id, "stripped": without_notes_on(row.verdict, ids)}
        for row in connection.execute(quoting.execution_options(yield_per=_READ_AT_ONCE))
        if not ids.isdisjoint(map(int, _QUOTED.findall(row.verdict)))
    ]
    if stripped:
        by_id: ColumnElement[bool] = DECISIONS.c.id == bindparam("decision")
        connection.execute(update(DECISIONS).where(by_id).values(verdict=bindparam("stripped")), stripped)
