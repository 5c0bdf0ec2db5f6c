"""`StoreReader`: everything that people, exports and the web page read from a store, and its statistics.

Statistics are read from indexes, so their cost does not grow with the length of the texts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    RowMapping,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    type_coerce,
)

from worker.errors import SourceError
from worker.models import (
    ActivityCounts,
    Article,
    AuditReport,
    CandidateRecord,
    DuplicateLink,
    Fingerprint,
    Neighbour,
    RecentArticle,
    SearchResult,
    Selection,
    SourceStats,
    State,
    StoredArticle,
    StoreStats,
)
from worker.models.records import LOST, LOST_REASONS
from worker.storage.corpus import audit, judge_model, texts, views
from worker.storage.corpus.neighbours import find_neighbours, page_versions
from worker.storage.corpus.search_index import count_queued
from worker.storage.db.codec import EPOCH
from worker.storage.db.database import Repository, reads
from worker.storage.db.locks import DaemonLock
from worker.storage.db.migrate import identity_of
from worker.storage.db.schema import ARTICLES, CANDIDATES, EVENTS, PAGES, SEEDS, SOURCES, STANDINGS
from worker.storage.db.sql import first_id_since, small_cache
from worker.storage.queue import claims
from worker.storage.queue.candidates import hide_forgotten
from worker.storage.queue.hosts import is_forgotten
from worker.storage.queue.sources import STATES_QUERY, source_from, source_states
from worker.storage.queue.workers import active_workers, daemons, is_direct
from worker.urls import canonicalise

ALL_HEADS = Selection()
"""The corpus: one text for each cluster."""

# Statistics.


RECENT_SPANS = (timedelta(hours=1), timedelta(days=1))
"""The spans before now for which `StoreStats.recent` has counts."""
RECENT_EVENTS = (*(state.value for state in State if state is not State.PENDING), "postponed", "expired")
"""The events that `StoreStats.recent` counts."""

_NEWEST = select(func.max(ARTICLES.c.fetched_at)).where(ARTICLES.c.source == SOURCES.c.name).scalar_subquery()
_SOURCES = STATES_QUERY.add_columns(_NEWEST.label("newest_at"))
_COUNT_HELD = select(func.count()).select_from(CANDIDATES).where(claims.IS_PENDING, claims.IS_HELD)
_COUNT_ARTICLES = select(func.count()).select_from(ARTICLES)
# Only seeds have no candidate; in this form the count is answered by an index.
_COUNT_SEEDS = _COUNT_ARTICLES.where(ARTICLES.c.candidate_id.is_(None))
_NEW_COLUMNS = (
    ARTICLES.c.id, ARTICLES.c.title, ARTICLES.c.url, ARTICLES.c.source, ARTICLES.c.fetched_at.label("at"),
    ARTICLES.c.published_at, ARTICLES.c.language, ARTICLES.c.words, ARTICLES.c.lead, ARTICLES.c.description,
)  # fmt: skip
NEW_WINDOW = 5_000
"""The ids among which the newest articles are looked up first. Chosen: a screen of articles is in so many, unless a
seed was imported after them; then the index of candidates finds them without reading all seeds."""


def _new_articles(*, heads: bool, by_index: bool) -> Select[Any]:
    """Return the query for the newest articles from before an id; `first` is the lowest id to look at."""
    # With an expression for the key, the database does not walk through the rows in the order of their ids.
    key = ARTICLES.c.id + 0 if by_index else ARTICLES.c.id
    found = select(ARTICLES.c.id).where(
        ARTICLES.c.candidate_id > 0, key < bindparam("before"), key >= bindparam("first")
    )
    if heads:
        found = found.join(STANDINGS, STANDINGS.c.article_id == ARTICLES.c.id).where(STANDINGS.c.head)
    ids = found.order_by(key.desc()).limit(bindparam("limit")).subquery()
    return select(*_NEW_COLUMNS).join(ids, ids.c.id == ARTICLES.c.id).order_by(ARTICLES.c.id.desc())


_NEW = {
    (heads, by_index): _new_articles(heads=heads, by_index=by_index)
    for heads in (False, True)
    for by_index in (False, True)
}
_BY_SOURCE = select(CANDIDATES.c.state, CANDIDATES.c.source, func.count()).group_by(
    CANDIDATES.c.state, CANDIDATES.c.source
)

_MICROSECONDS_AN_HOUR = 3_600_000_000  # the unit in which times are stored, see `UtcTime`
_IS_LOST = and_(
    EVENTS.c.what == State.REJECTED, or_(*(EVENTS.c.detail.startswith(f"{reason}:") for reason in LOST_REASONS))
)
_ENDED = case((_IS_LOST, literal(LOST)), else_=EVENTS.c.what).label("ended")
_HOUR = type_coerce(EVENTS.c.at, BigInteger).op("/")(literal_column(str(_MICROSECONDS_AN_HOUR)))
_ACTIVITY = (
    select(_HOUR.label("hour"), _ENDED, func.count().label("number"), func.max(EVENTS.c.id).label("last"))
    .where(EVENTS.c.id >= bindparam("first"), EVENTS.c.what.in_(RECENT_EVENTS))
    .group_by(_HOUR, literal_column("ended"))
)

_DAY: Final = timedelta(days=1)  # the unit of `daily_texts`
_DAY_NUMBER = type_coerce(ARTICLES.c.fetched_at, BigInteger).op("/")(literal_column(str(24 * _MICROSECONDS_AN_HOUR)))
_DAILY = (
    select(ARTICLES.c.source, _DAY_NUMBER.label("day"), func.count().label("number"))
    .where(ARTICLES.c.source.in_(bindparam("sources", expanding=True)), ARTICLES.c.fetched_at >= bindparam("since"))
    .group_by(ARTICLES.c.source, _DAY_NUMBER)
)

_HAS_PAGE = exists().where(PAGES.c.candidate_id == CANDIDATES.c.id)
_REJECTED = (
    select(CANDIDATES.c.reason, func.count().label("pages"), func.sum(case((_HAS_PAGE, 1), else_=0)).label("kept"))
    .where(CANDIDATES.c.state == State.REJECTED)
    .group_by(CANDIDATES.c.reason)
    .order_by(func.count().desc(), CANDIDATES.c.reason)
)
_FOREIGN = (
    select(CANDIDATES.c.source, func.count().label("pages"), func.max(CANDIDATES.c.detail).label("detail"))
    .where(CANDIDATES.c.state == State.REJECTED, CANDIDATES.c.reason == "language")
    .group_by(CANDIDATES.c.source)
)


def store_stats(connection: Connection, *, now: datetime, size: int | None = None) -> StoreStats:
    """Return the statistics of a store; `size` in bytes is passed through."""
    counts, by_source = _counts(connection)
    heads = select(func.count()).select_from(STANDINGS).where(STANDINGS.c.head)
    kept, seeds = (connection.execute(count).scalar_one() for count in (_COUNT_ARTICLES, _COUNT_SEEDS))
    return StoreStats(
        at=now,
        pending=counts[State.PENDING],
        due=claims.count_due(connection, now=now),
        held=connection.execute(_COUNT_HELD).scalar_one(),
        counts=counts,
        texts=connection.execute(heads).scalar_one(),
        articles=kept - seeds,
        seeds=seeds,
        size=size,
        sources=_sources(connection, by_source),
        latest=newest(connection, limit=10, heads=True),
        recent={span: recent(connection, since=now - span) for span in RECENT_SPANS},
        unindexed=count_queued(connection),
    )


def newest(
    connection: Connection, *, limit: int, before: int | None = None, heads: bool = False
) -> tuple[RecentArticle, ...]:
    """Return the articles stored last, the newest first, from before an id; with `heads` those that are exported."""
    end = 1 + (connection.execute(select(func.max(ARTICLES.c.id))).scalar() or 0) if before is None else before
    window = {"limit": limit, "before": end, "first": end - NEW_WINDOW}
    rows = connection.execute(_NEW[heads, False], window).mappings().all()
    if len(rows) < limit and end > NEW_WINDOW:
        rows = connection.execute(_NEW[heads, True], {**window, "first": 0}).mappings().all()
    return tuple(
        RecentArticle(**{name: row[name] for name in row if name not in _SUMMARIES}, summary=_summary(row))
        for row in rows
    )


_SUMMARIES = ("lead", "description")


def _summary(row: RowMapping) -> str:
    """Return the lead of an article, else its description."""
    return next((str(row[name]) for name in _SUMMARIES if row[name]), "")


def activity(connection: Connection, *, after: int, since: datetime) -> ActivityCounts:
    """Return how often candidates ended in each state by hour, from the events after an id and since a time."""
    rows = select(EVENTS.c.id, EVENTS.c.at).where(EVENTS.c.what != "fetched")
    first = max(after + 1, first_id_since(connection, rows, since))
    hours: Counter[tuple[datetime, str]] = Counter()
    for row in connection.execute(_ACTIVITY, {"first": first}):
        hours[EPOCH + timedelta(hours=row.hour), row.ended] += row.number
        after = max(after, row.last)
    return ActivityCounts(hours=hours, last_event=after)


def daily_texts(connection: Connection, sources: Collection[str], *, since: datetime) -> dict[tuple[str, date], int]:
    """Return how many texts were fetched from each of these sources on each day (UTC); read from an index."""
    rows = connection.execute(_DAILY, {"sources": sorted(sources), "since": since})
    return {(row.source, (EPOCH + row.day * _DAY).date()): row.number for row in rows}


def rejections(connection: Connection) -> Mapping[str, tuple[int, int]]:
    """Return the number of rejected pages by reason, most first, and how many of each are saved; reads all of them."""
    return {row.reason: (row.pages, row.kept) for row in connection.execute(_REJECTED)}


def foreign_pages(connection: Connection) -> Mapping[str, tuple[int, int, str]]:
    """Return for each source the pages rejected for their language, of how many, and the detail of one of them.

    It reads all rejected pages; candidates that are pending, blocked or failed do not count.
    """
    found = {row.source: row for row in connection.execute(_FOREIGN)}
    by_source = _counts(connection)[1] if found else {}
    no_page = {State.PENDING, State.BLOCKED, State.FAILED}
    read = {name: sum(n for state, n in by_source[name].items() if state not in no_page) for name in found}
    return {name: (row.pages, read[name], row.detail) for name, row in found.items()}


def recent(connection: Connection, *, since: datetime) -> Mapping[str, int]:
    """Return how many candidates were discovered since a time, and how many outcomes of each kind there were.

    Ids grow with time, except for differences between the clocks of workers. So a binary search finds the first row of
    the span, and only later rows are read. Events `fetched` are not used for it, as a page from an archive may have
    been fetched long before its row was written.
    """
    first = first_id_since(connection, select(EVENTS.c.id, EVENTS.c.at).where(EVENTS.c.what != "fetched"), since)
    ends = select(EVENTS.c.what, func.count()).where(EVENTS.c.id >= first, EVENTS.c.at >= since).group_by(EVENTS.c.what)
    found = {row[0]: row[1] for row in connection.execute(ends)}
    return {"discovered": _discovered(connection, since), **{end: found[end] for end in RECENT_EVENTS if end in found}}


def _discovered(connection: Connection, since: datetime) -> int:
    """Return how many candidates were discovered since a time."""
    first = first_id_since(connection, select(CANDIDATES.c.id, CANDIDATES.c.discovered_at), since)
    late = select(func.count()).select_from(CANDIDATES).where(CANDIDATES.c.id >= first)
    return int(connection.execute(late.where(CANDIDATES.c.discovered_at >= since)).scalar_one())


def _counts(connection: Connection) -> tuple[Mapping[State, int], Mapping[str, Mapping[State, int]]]:
    """Return the number of candidates by state, and by source and state."""
    counts: Counter[State] = Counter(dict.fromkeys(State, 0))
    by_source: dict[str, dict[State, int]] = defaultdict(dict)
    for state, source, count in connection.execute(_BY_SOURCE):
        counts[State(state)] += count
        by_source[source][State(state)] = count
    return dict(counts), by_source


def _sources(connection: Connection, by_source: Mapping[str, Mapping[State, int]]) -> tuple[SourceStats, ...]:
    return tuple(
        SourceStats(name=row.name, state=source_from(row), counts=by_source.get(row.name, {}), newest_at=row.newest_at)
        for row in connection.execute(_SOURCES)
    )


def article(connection: Connection, article_id: int) -> StoredArticle | None:
    """Return an article by id, None if there is none."""
    row = connection.execute(views.articles_query().where(ARTICLES.c.id == article_id)).one_or_none()
    return None if row is None else views.stored_article(row)


def seeds_among(connection: Connection, digests: Collection[str]) -> int:
    """Return how many seeds have one of the digests: the first 16 hexadecimal digits of the file's SHA-256."""
    known = func.substr(SEEDS.c.sha256, 1, 16).in_(digests)
    return int(connection.execute(select(func.count()).select_from(SEEDS).where(known)).scalar_one())


def head_of(connection: Connection, cluster: int) -> StoredArticle | None:
    """Return the head of a cluster, the article that is exported; None if there is no such cluster."""
    head = views.articles_query().where(STANDINGS.c.cluster == cluster, STANDINGS.c.head)
    row = connection.execute(head).one_or_none()
    return None if row is None else views.stored_article(row)


def neighbours(connection: Connection, article: Article, fingerprint: Fingerprint) -> list[Neighbour]:
    """Return the stored articles that a new article would be compared with."""
    earlier = [version.id for version in page_versions(connection, article.canonical_url)]
    return find_neighbours(connection, article, fingerprint, earlier=earlier)


def candidate(connection: Connection, url_or_id: str, *, events: int | None = None) -> CandidateRecord | None:
    """Find a candidate by URL, canonical URL, or the id of one of its articles; also one that was forgotten.

    It has all its events, or the newest so many.
    """
    if views.is_article_id(url_or_id):
        found = views.candidate_of_article(connection, int(url_or_id), events=events)
    else:
        canonical = _canonical(url_or_id)
        found = views.find_candidate(connection, url=url_or_id, canonical_url=canonical, events=events)
    if found is None and (gone := views.tombstone(connection, url_or_id)) is not None:
        found = views.erased_candidate(connection, gone, url_or_id)
    return found


class StoreReader(Repository):
    """Read-only views for people and exports. Blocking."""

    article = reads(article)
    candidate = reads(candidate)
    head_of = reads(head_of)
    neighbours = reads(neighbours)
    verdicts = reads(views.verdicts)
    weights = reads(judge_model.weights)
    terms = reads(judge_model.terms)
    unsure = reads(judge_model.unsure_pairs)
    newest_verdict = reads(judge_model.newest_verdict)
    unsure_among = reads(judge_model.unsure_among)
    open_pair = reads(judge_model.open_pair)
    mark_summary = reads(judge_model.mark_summary)
    seeds_among = reads(seeds_among)
    seed_places = reads(views.seed_places)
    workers = reads(active_workers)
    sources = reads(source_states)
    rejections = reads(rejections)
    foreign_pages = reads(foreign_pages)
    tombstone = reads(views.tombstone)
    removed = reads(views.removed_articles)
    hide_forgotten = reads(hide_forgotten)
    is_forgotten = reads(is_forgotten)
    activity = reads(activity)
    newest = reads(newest)
    identity = reads(identity_of)
    daily_texts = reads(daily_texts)
    members = reads(texts.members)
    cluster_size = reads(texts.cluster_size)
    copy_report = reads(texts.copy_report)
    newest_copies = reads(texts.newest_copies)

    def daemon(self) -> str | None:
        """Return the description of the running daemon, or the names of several; empty if there is none.

        None if that cannot be known here: a connection pooler hides them, or the lock file is another user's.
        """
        if (path := self.database.path) is not None:
            with suppress(OSError):  # the lock file may be another user's
                return DaemonLock(path).holder()
            return None
        is_known = self.database.is_sqlite or self.database.read(is_direct)
        return self.database.read(daemons) or ("" if is_known else None)

    @contextmanager
    def snapshot(self) -> Iterator[texts.CorpusSnapshot]:
        """Open the corpus for a long read: everything read in the block is as it was at the first read."""
        with self.database.snapshot() as connection, small_cache(connection):
            yield texts.CorpusSnapshot(connection)

    def heads(self, selection: Selection = ALL_HEADS) -> Iterator[StoredArticle]:
        """Yield the selected texts, as `CorpusSnapshot.texts` does; without a selection the head of each cluster."""
        with self.snapshot() as corpus:
            yield from corpus.texts(selection)

    def duplicates(self, *, links_that_keep_both: bool = False) -> Iterator[DuplicateLink]:
        """Yield recognised copies, ordered by id; with the flag also follow-ups, templates and overlaps."""
        with self.snapshot() as corpus:
            yield from corpus.duplicates(links_that_keep_both=links_that_keep_both)

    def marked_pairs(self) -> Iterator[tuple[Article, Article, str]]:
        """Yield each pair of articles marked by a person, and the decision."""
        with self.database.snapshot() as connection:
            yield from judge_model.marked_pairs(connection)

    def figures(self, *, now: datetime) -> StoreStats:
        """Return statistics: the queue, the sources, the size, and recent counts."""
        return self.database.read(store_stats, now=now, size=self.database.size())

    def source_stats(self) -> tuple[SourceStats, ...]:
        """Return the state of each source and the time of its newest text; its candidates are not counted."""
        return self.database.read(_sources, {})

    def search(
        self, query: str, *, filters: Iterable[tuple[str, str]] = (), limit: int = 20, offset: int = 0
    ) -> SearchResult:
        """Return the texts of the corpus that meet a query, the best first; see `corpus.search`."""
        from worker.storage.corpus.query import parse_query
        from worker.storage.corpus.search import search

        return self.database.read(search, parse_query(query, filters=filters), limit=limit, offset=offset)

    def counts(self) -> AuditReport:
        """Return the counts of the whole store, without any check; fast."""
        return self.database.read_consistent(audit.count_all)

    def audit(self) -> AuditReport:
        """Return the counts of the whole store, and every problem that the checks find."""
        return self.database.read_consistent(audit.full_audit)


def _canonical(url: str) -> str:
    try:
        return canonicalise(url)
    except SourceError:
        return url
