"""Checks of a store: the sums of its books, rows without their partners, articles kept under another site's address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, and_, exists, func, not_, or_, select

from worker.errors import SourceError
from worker.models import AuditReport, Kind, State
from worker.storage.corpus.index import FINGERPRINTS, INDEX_KEYS
from worker.storage.db.engine import connect
from worker.storage.db.schema import ARTICLES, CANDIDATES, CONTENTS, DECISIONS, HOSTS, PAGES, STANDINGS
from worker.storage.queue.addresses import ADDRESSES, ENDED, REFUSED, has_untried_address
from worker.storage.queue.candidates import WITH_ARTICLE
from worker.urls import site_of

FOUNDERS = STANDINGS.alias("founders")
HEADS = STANDINGS.alias("heads")


def books(connection: Connection) -> AuditReport:
    """Count everything, and say what is wrong; nothing is held in memory but the sums."""
    return replace(sums(connection), problems=tuple(_problems(connection)))


def sums(connection: Connection) -> AuditReport:
    """Count everything, and check nothing."""
    counts = dict.fromkeys(State, 0)
    by_state = select(CANDIDATES.c.state, func.count()).group_by(CANDIDATES.c.state)
    for state, count in connection.execute(by_state):
        if state in counts:
            counts[State(state)] = count
    return AuditReport(
        discovered=_count(connection, select(CANDIDATES.c.id)),
        counts=counts,
        articles=_count(connection, select(ARTICLES.c.id).where(ARTICLES.c.kind == Kind.ARTICLE)),
        seeds=_count(connection, select(ARTICLES.c.id).where(ARTICLES.c.kind == Kind.SEED)),
        clusters=_count(connection, select(STANDINGS.c.article_id).where(STANDINGS.c.head)),
    )


def _count(connection: Connection, query: Select[Any]) -> int:
    return int(connection.execute(select(func.count()).select_from(query.subquery())).scalar_one())


def _problems(connection: Connection) -> Iterator[str]:
    checks = (*_ledger_checks(), *_address_checks(), *_article_checks(), *_index_checks())
    for sentence, query in checks:
        found = _count(connection, query)
        if found:
            examples = ", ".join(str(value) for value in connection.execute(query.limit(3)).scalars())
            yield f"{found} {sentence} (ids {examples})"


def _ledger_checks() -> tuple[tuple[str, Select[Any]], ...]:
    pending = CANDIDATES.c.state == State.PENDING
    ids = select(CANDIDATES.c.id)
    article = exists().where(ARTICLES.c.id == CANDIDATES.c.article_id)
    payload = exists().where(PAGES.c.candidate_id == CANDIDATES.c.id, PAGES.c.sha256 == CANDIDATES.c.payload_sha256)
    called = exists().where(HOSTS.c.host == CANDIDATES.c.lane, HOSTS.c.due_at <= CANDIDATES.c.due_at)
    return (
        ("candidates in a state that does not exist", ids.where(CANDIDATES.c.state.not_in(list(State)))),
        ("candidates that ended with an article, but without it", ids.where(_ended(), not_(article))),
        (
            "finished candidates that still have a lease",
            ids.where(not_(pending), CANDIDATES.c.lease_token.is_not(None)),
        ),
        ("pending input candidates without their content", ids.where(pending, _is_content(), not_(payload))),
        ("pending candidates their host does not call", ids.where(pending, not_(_is_content()), not_(called))),
    )


def _address_checks() -> tuple[tuple[str, Select[Any]], ...]:
    ids = select(CANDIDATES.c.id)
    theirs = ADDRESSES.c.candidate_id == CANDIDATES.c.id
    current = (theirs, ADDRESSES.c.url == CANDIDATES.c.url)
    candidate = exists().where(theirs)
    given_up = (CANDIDATES.c.state.in_(ENDED), CANDIDATES.c.lane.is_not(None), CANDIDATES.c.reason.not_in(REFUSED))
    fetched = (CANDIDATES.c.state == State.PENDING, CANDIDATES.c.lane.is_not(None), CANDIDATES.c.former == "")
    idle = exists().where(CANDIDATES.c.id == CONTENTS.c.candidate_id, CANDIDATES.c.state != State.PENDING)
    ended = exists().where(*current, ADDRESSES.c.state.in_(ENDED))
    return (
        (
            "contents that wait for a finished candidate",
            select(CONTENTS.c.id).where(CONTENTS.c.waiting, idle),
        ),
        ("addresses without their candidate", select(ADDRESSES.c.id).where(not_(candidate))),
        (
            "candidates whose address is not among theirs",
            ids.where(exists().where(theirs), not_(exists().where(*current))),
        ),
        ("candidates given up though an address was never tried", ids.where(*given_up, has_untried_address())),
        ("pending candidates that wait for an address that has ended", ids.where(*fetched, ended)),
    )


def _ended() -> Any:
    return CANDIDATES.c.state.in_(WITH_ARTICLE)


def _is_content() -> Any:
    return CANDIDATES.c.lane.is_(None)


def _article_checks() -> tuple[tuple[str, Select[Any]], ...]:
    ids = select(ARTICLES.c.id)
    standing = exists().where(STANDINGS.c.article_id == ARTICLES.c.id)
    decision = exists().where(DECISIONS.c.article_id == ARTICLES.c.id)
    candidate = exists().where(CANDIDATES.c.id == ARTICLES.c.candidate_id)
    head = exists().where(HEADS.c.cluster == STANDINGS.c.cluster, HEADS.c.head)
    founder = exists().where(FOUNDERS.c.article_id == STANDINGS.c.cluster, FOUNDERS.c.cluster == STANDINGS.c.cluster)
    clusters = select(STANDINGS.c.cluster).distinct()
    found_by_worker = ARTICLES.c.kind == Kind.ARTICLE
    return (
        ("articles that stand in no cluster", ids.where(not_(standing))),
        ("articles nobody decided about", ids.where(not_(decision))),
        ("articles without the candidate they came from", ids.where(found_by_worker, not_(candidate))),
        ("clusters without a head", clusters.where(not_(head))),
        ("clusters without their founding article", clusters.where(not_(founder))),
    )


def _index_checks() -> tuple[tuple[str, Select[Any]], ...]:
    article = exists().where(ARTICLES.c.id == FINGERPRINTS.c.article_id)
    fingerprint = exists().where(FINGERPRINTS.c.article_id == ARTICLES.c.id)
    owner = exists().where(FINGERPRINTS.c.article_id == INDEX_KEYS.c.article_id)
    return (
        ("articles without index rows", select(ARTICLES.c.id).where(not_(fingerprint))),
        ("fingerprints without their article", select(FINGERPRINTS.c.article_id).where(not_(article))),
        ("articles with index keys but no fingerprint", select(INDEX_KEYS.c.article_id).distinct().where(not_(owner))),
    )


# Articles of an older program that are kept under another site's address, as their page said that it was theirs.


MAX_LISTED: Final = 1000
_SAVED = or_(CANDIDATES.c.reference.like("%.html"), CANDIDATES.c.reference.like("%.htm"))
_FROM_A_FILE = and_(_SAVED, not_(CANDIDATES.c.reference.like("%://%"))).label("from_a_file")
_ALL = (
    select(ARTICLES.c.id, ARTICLES.c.url, ARTICLES.c.canonical_url, ARTICLES.c.host, _FROM_A_FILE)
    .join(CANDIDATES, CANDIDATES.c.id == ARTICLES.c.candidate_id)
    .where(ARTICLES.c.kind == Kind.ARTICLE, not_(ARTICLES.c.canonical_url.like("file:%")))
    .order_by(ARTICLES.c.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MisplacedArticle:
    """An article whose key is an address that nobody but its own page, or a saved file, gave it."""

    id: int
    url: str
    canonical_url: str


def misplaced_articles(url: str) -> tuple[MisplacedArticle, ...]:
    """Return the articles of a store that are kept under a key of another site, the first thousand of them."""
    with closing(connect(url, create=False)) as database:
        return database.read_consistent(_misplaced)


def _misplaced(connection: Connection) -> tuple[MisplacedArticle, ...]:
    found = (row for row in connection.execute(_ALL) if _is_misplaced(row))
    return tuple(
        MisplacedArticle(id=row.id, url=row.url, canonical_url=row.canonical_url) for row in islice(found, MAX_LISTED)
    )


def _is_misplaced(row: Row[Any]) -> bool:
    try:
        return row.from_a_file or site_of(f"https://{row.host}/") != site_of(row.canonical_url)
    except SourceError:
        return False
