"""What a store looks like at the moment, told from indexes: quick however large it is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, case, exists, func, select

from worker.models import Figures, Kind, Latest, SourceFigures, State
from worker.storage import claims
from worker.storage.polls import STATES, source_from
from worker.storage.recency import first_since
from worker.storage.tables import ARTICLES, CANDIDATES, EVENTS, PAGES, SOURCES, STANDINGS

SPANS = (timedelta(hours=1), timedelta(days=1))
ENDS = (*(state.value for state in State if state is not State.PENDING), "postponed", "expired")
"""The events that `Figures.recent` counts."""

_NEWEST = select(func.max(ARTICLES.c.fetched_at)).where(ARTICLES.c.source == SOURCES.c.name).scalar_subquery()
_SOURCES = STATES.add_columns(_NEWEST.label("newest_at"))
_KEPT = select(func.count()).select_from(ARTICLES)
# Whatever a worker brought has a candidate; asked like this, an index answers.
_SEEDS = _KEPT.where(ARTICLES.c.candidate_id.is_(None))
_LATEST = (
    select(ARTICLES.c.id, ARTICLES.c.title, ARTICLES.c.url, ARTICLES.c.source, ARTICLES.c.fetched_at.label("at"))
    .where(ARTICLES.c.kind == Kind.ARTICLE)
    .order_by(ARTICLES.c.id.desc())
    .limit(10)
)
_BY_SOURCE = select(CANDIDATES.c.state, CANDIDATES.c.source, func.count()).group_by(
    CANDIDATES.c.state, CANDIDATES.c.source
)

_HAS_PAGE = exists().where(PAGES.c.candidate_id == CANDIDATES.c.id)
_REJECTED = (
    select(CANDIDATES.c.reason, func.count().label("pages"), func.sum(case((_HAS_PAGE, 1), else_=0)).label("kept"))
    .where(CANDIDATES.c.state == State.REJECTED)
    .group_by(CANDIDATES.c.reason)
    .order_by(func.count().desc(), CANDIDATES.c.reason)
)


def figures(connection: Connection, *, now: datetime, size: int | None = None) -> Figures:
    """Return what the store looks like; `size` is what its file or server says it takes."""
    counts, by_source = _counts(connection)
    pending, due = claims.pending(connection, now=now)
    texts = select(func.count()).select_from(STANDINGS).where(STANDINGS.c.head)
    kept, seeds = (connection.execute(count).scalar_one() for count in (_KEPT, _SEEDS))
    return Figures(
        at=now,
        pending=pending,
        due=due,
        counts=counts,
        texts=connection.execute(texts).scalar_one(),
        articles=kept - seeds,
        seeds=seeds,
        size=size,
        sources=_sources(connection, by_source),
        latest=tuple(Latest(**row) for row in connection.execute(_LATEST).mappings()),
        recent={span: recent(connection, since=now - span) for span in SPANS},
    )


def rejections(connection: Connection) -> Mapping[str, tuple[int, int]]:
    """Count the pages that gave no article by reason, most first, and those of them that are kept; reads them all."""
    return {row.reason: (row.pages, row.kept) for row in connection.execute(_REJECTED)}


def recent(connection: Connection, *, since: datetime) -> Mapping[str, int]:
    """Count what was discovered and how candidates ended since a time.

    Rows are numbered in the order they come, give or take the clocks of several workers: the first one of the span is
    found by halving, and only what came after it is read. A page may have been fetched long before it came.
    """
    first = first_since(connection, select(EVENTS.c.id, EVENTS.c.at).where(EVENTS.c.what != "fetched"), since)
    ends = select(EVENTS.c.what, func.count()).where(EVENTS.c.id >= first, EVENTS.c.at >= since).group_by(EVENTS.c.what)
    found = {row[0]: row[1] for row in connection.execute(ends)}
    return {"discovered": _discovered(connection, since), **{end: found[end] for end in ENDS if end in found}}


def _discovered(connection: Connection, since: datetime) -> int:
    first = first_since(connection, select(CANDIDATES.c.id, CANDIDATES.c.discovered_at), since)
    late = select(func.count()).select_from(CANDIDATES).where(CANDIDATES.c.id >= first)
    return int(connection.execute(late.where(CANDIDATES.c.discovered_at >= since)).scalar_one())


def _counts(connection: Connection) -> tuple[Mapping[State, int], Mapping[str, Mapping[State, int]]]:
    """Return the candidates by state, and by source and state."""
    counts: Counter[State] = Counter(dict.fromkeys(State, 0))
    by_source: dict[str, dict[State, int]] = defaultdict(dict)
    for state, source, count in connection.execute(_BY_SOURCE):
        counts[State(state)] += count
        by_source[source][State(state)] = count
    return dict(counts), by_source


def _sources(connection: Connection, by_source: Mapping[str, Mapping[State, int]]) -> tuple[SourceFigures, ...]:
    return tuple(
        SourceFigures(
            name=row.name, state=source_from(row), counts=by_source.get(row.name, {}), newest_at=row.newest_at
        )
        for row in connection.execute(_SOURCES)
    )
