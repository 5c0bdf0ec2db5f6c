"""Check a store: whether its counts balance, rows without their counterpart, articles under another site's address.

Every check is a query for the ids of wrong rows, with the sentence that `audit` prints about them. A check added to one
of the `_…_checks` functions is all that a new one needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, and_, exists, func, not_, or_, select

from worker.errors import SourceError
from worker.models import AuditReport, Kind, State
from worker.models.base import dataclass
from worker.storage.corpus.index import FINGERPRINTS, INDEX_KEYS
from worker.storage.db.engine import connect
from worker.storage.db.migrate import FORGOTTEN_PAGES_LEFT, read_meta
from worker.storage.db.schema import (
    ARTICLES,
    CANDIDATES,
    CONTENTS,
    DECISIONS,
    HOSTS,
    PAGES,
    STANDINGS,
    WITH_ARTICLE,
)
from worker.storage.queue.addresses import ADDRESSES, ENDED, FINAL_REASONS, has_untried_address
from worker.storage.queue.hosts import FORGOTTEN, article_key, hash_of, host_key, text_key
from worker.urls import site_of

# The same table again, for conditions on other rows of a cluster.
FOUNDERS = STANDINGS.alias("founders")
HEADS = STANDINGS.alias("heads")


def full_audit(connection: Connection) -> AuditReport:
    """Return the counts of a store and the problems found in it; memory use does not grow with the store."""
    return replace(count_all(connection), problems=tuple(_problems(connection)))


def count_all(connection: Connection) -> AuditReport:
    """Return the counts of a store, without any check."""
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
    """Yield a line for each check that finds rows, with up to three of their ids."""
    checks = (*_ledger_checks(), *_address_checks(), *_article_checks(), *_index_checks())
    for sentence, query in checks:
        found = _count(connection, query)
        if found:
            examples = ", ".join(str(value) for value in connection.execute(query.limit(3)).scalars())
            yield f"{found} {sentence} (ids {examples})"
    yield from _forgotten_problems(connection)


def _ledger_checks() -> tuple[tuple[str, Select[Any]], ...]:
    """Return the checks of candidates: each agrees with its article, its content and its host."""
    pending = CANDIDATES.c.state == State.PENDING
    ids = select(CANDIDATES.c.id)
    article = exists().where(ARTICLES.c.id == CANDIDATES.c.article_id)
    payload = exists().where(PAGES.c.candidate_id == CANDIDATES.c.id, PAGES.c.sha256 == CANDIDATES.c.payload_sha256)
    host_is_due = exists().where(HOSTS.c.host == CANDIDATES.c.lane, HOSTS.c.due_at <= CANDIDATES.c.due_at)
    return (
        ("candidates in a state that does not exist", ids.where(CANDIDATES.c.state.not_in(list(State)))),
        ("candidates that ended with an article, but without it", ids.where(_has_article_state(), not_(article))),
        (
            "finished candidates that still have a lease",
            ids.where(not_(pending), CANDIDATES.c.lease_token.is_not(None)),
        ),
        ("pending input candidates without their content", ids.where(pending, _is_content(), not_(payload))),
        (
            "pending candidates that their host has no due time for",
            ids.where(pending, not_(_is_content()), not_(host_is_due)),
        ),
    )


def _address_checks() -> tuple[tuple[str, Select[Any]], ...]:
    """Return the checks of addresses and contents: each belongs to a candidate that agrees with it."""
    ids = select(CANDIDATES.c.id)
    of_candidate = ADDRESSES.c.candidate_id == CANDIDATES.c.id
    current = (of_candidate, ADDRESSES.c.url == CANDIDATES.c.url)
    candidate = exists().where(of_candidate)
    given_up = (
        CANDIDATES.c.state.in_(ENDED),
        CANDIDATES.c.lane.is_not(None),
        CANDIDATES.c.reason.not_in(FINAL_REASONS),
    )
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
            "candidates whose current address has no row",
            ids.where(exists().where(of_candidate), not_(exists().where(*current))),
        ),
        ("candidates given up though an address was never tried", ids.where(*given_up, has_untried_address())),
        ("pending candidates that wait for an address that has ended", ids.where(*fetched, ended)),
    )


def _has_article_state() -> Any:
    """Return the condition that a candidate's outcome comes with an article."""
    return CANDIDATES.c.state.in_(WITH_ARTICLE)


def _is_content() -> Any:
    """Return the condition that a candidate's content was given with it, so that nothing is fetched."""
    return CANDIDATES.c.lane.is_(None)


def _article_checks() -> tuple[tuple[str, Select[Any]], ...]:
    """Return the checks of articles and clusters: each article has a cluster and a verdict, each cluster a head."""
    ids = select(ARTICLES.c.id)
    standing = exists().where(STANDINGS.c.article_id == ARTICLES.c.id)
    decision = exists().where(DECISIONS.c.article_id == ARTICLES.c.id)
    candidate = exists().where(CANDIDATES.c.id == ARTICLES.c.candidate_id)
    head = exists().where(HEADS.c.cluster == STANDINGS.c.cluster, HEADS.c.head)
    founder = exists().where(FOUNDERS.c.article_id == STANDINGS.c.cluster, FOUNDERS.c.cluster == STANDINGS.c.cluster)
    clusters = select(STANDINGS.c.cluster).distinct()
    found_by_worker = ARTICLES.c.kind == Kind.ARTICLE
    return (
        ("articles that are in no cluster", ids.where(not_(standing))),
        ("articles without a verdict", ids.where(not_(decision))),
        ("articles without the candidate they came from", ids.where(found_by_worker, not_(candidate))),
        ("clusters without a head", clusters.where(not_(head))),
        ("clusters without their founding article", clusters.where(not_(founder))),
    )


def _index_checks() -> tuple[tuple[str, Select[Any]], ...]:
    """Return the checks of the index: each article has its rows, and each row its article."""
    article = exists().where(ARTICLES.c.id == FINGERPRINTS.c.article_id)
    fingerprint = exists().where(FINGERPRINTS.c.article_id == ARTICLES.c.id)
    owner = exists().where(FINGERPRINTS.c.article_id == INDEX_KEYS.c.article_id)
    return (
        ("articles without index rows", select(ARTICLES.c.id).where(not_(fingerprint))),
        ("fingerprints without their article", select(FINGERPRINTS.c.article_id).where(not_(article))),
        ("articles with index keys but no fingerprint", select(INDEX_KEYS.c.article_id).distinct().where(not_(owner))),
    )


def _forgotten_problems(connection: Connection) -> Iterator[str]:
    """Yield a line for each kind of thing that was forgotten and is still there; reads nothing without tombstones."""
    forgotten = set(connection.execute(select(FORGOTTEN.c.key)).scalars())
    if forgotten:
        texts = connection.execute(select(ARTICLES.c.id, ARTICLES.c.sha256))
        yield from _left(
            "articles", [row.id for row in texts if {article_key(row.id), text_key(row.sha256)} & forgotten]
        )
        rows = connection.execute(select(CANDIDATES.c.id, CANDIDATES.c.canonical_url, CANDIDATES.c.host))
        keyed = ((row.id, {f"address {hash_of(row.canonical_url)}", host_key(row.host)}) for row in rows)
        yield from _left("candidates", [number for number, keys in keyed if keys & forgotten])
    if read_meta(connection, FORGOTTEN_PAGES_LEFT):
        yield "deleted rows of something forgotten may still be in the store's file: run the same `forget` again"


def _left(what: str, ids: Sequence[int]) -> Iterator[str]:
    if ids:
        examples = ", ".join(map(str, ids[:3]))
        yield f"{len(ids)} {what} that were forgotten, but are still there: run `forget` again (ids {examples})"


# Articles that an older version stored under another site's address, because their page named it as canonical.


MAX_LISTED: Final = 1000
"""How many misplaced articles are listed; chosen, not measured: more than a person reads, little enough for memory."""
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
    """An article whose canonical URL is on another site than the page, or was named by a saved file only."""

    id: int
    url: str
    canonical_url: str


def misplaced_articles(url: str) -> tuple[MisplacedArticle, ...]:
    """Return the first MAX_LISTED articles of the store at `url` whose canonical URL is on another site."""
    with closing(connect(url, create=False)) as database:
        return database.read_consistent(_misplaced)


def _misplaced(connection: Connection) -> tuple[MisplacedArticle, ...]:
    found = (row for row in connection.execute(_ALL) if _is_misplaced(row))
    return tuple(
        MisplacedArticle(id=row.id, url=row.url, canonical_url=row.canonical_url) for row in islice(found, MAX_LISTED)
    )


def _is_misplaced(row: Row[Any]) -> bool:
    """Return whether the canonical URL is another site's, or was named by a saved page; False for an invalid URL."""
    try:
        return row.from_a_file or site_of(f"https://{row.host}/") != site_of(row.canonical_url)
    except SourceError:
        return False
