"""Rows back to values: articles, candidates, verdicts, links between copies."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from worker.models import (
    Article,
    CandidateRecord,
    Event,
    Kind,
    Relation,
    State,
    StoredArticle,
    Verdict,
)
from worker.storage import addresses
from worker.storage.addresses import ADDRESSES
from worker.storage.codec import rights_from_json, strings_from_json, verdict_from_json
from worker.storage.tables import ARTICLES, CANDIDATES, DECISIONS, EVENTS, STANDINGS


def articles() -> Select[Any]:
    """Return the query every stored article is read with."""
    standing = (STANDINGS.c.cluster, STANDINGS.c.head, STANDINGS.c.relation, STANDINGS.c.judged_against)
    return select(ARTICLES, *standing).join(STANDINGS, STANDINGS.c.article_id == ARTICLES.c.id)


def stored_article(row: Row[Any]) -> StoredArticle:
    """Return the article in one row of `articles`."""
    return StoredArticle(
        id=row.id,
        article=article_from(row),
        cluster=row.cluster,
        revision=row.revision,
        head=row.head,
        relation=Relation(row.relation),
        judged_against=row.judged_against,
    )


def article_from(row: Row[Any]) -> Article:
    """Return the article in one row of the articles table."""
    return Article(
        url=row.url,
        canonical_url=row.canonical_url,
        source=row.source,
        host=row.host,
        title=row.title,
        text=row.text,
        language=row.language,
        fetched_at=row.fetched_at,
        words=row.words,
        sha256=row.sha256,
        kind=Kind(row.kind),
        authors=strings_from_json(row.authors),
        published_at=row.published_at,
        published_at_from=row.published_at_from,
        modified_at=row.modified_at,
        modified_at_from=row.modified_at_from,
        external_id=row.external_id,
        rights=rights_from_json(row.rights),
        notes=strings_from_json(row.notes),
    )


def verdicts(connection: Connection, article_id: int) -> tuple[tuple[datetime, Verdict], ...]:
    """Return every verdict on an article, oldest first."""
    kept = select(DECISIONS).where(DECISIONS.c.article_id == article_id).order_by(DECISIONS.c.id)
    return tuple((row.at, verdict_from_json(row.verdict)) for row in connection.execute(kept))


def latest_verdict(connection: Connection, article_id: int) -> Verdict | None:
    """Return the verdict on an article that holds now."""
    made = verdicts(connection, article_id)
    return made[-1][1] if made else None


def candidate_record(connection: Connection, row: Row[Any]) -> CandidateRecord:
    """Return everything about the candidate in one row of the candidates table."""
    return CandidateRecord(
        id=row.id,
        url=row.url,
        canonical_url=row.canonical_url,
        source=row.source,
        reference=row.reference,
        state=State(row.state),
        reason=row.reason,
        detail=row.detail,
        discovered_at=row.discovered_at,
        due_at=row.due_at if row.state == State.PENDING else None,
        attempts=row.attempts,
        articles=_article_ids(connection, row),
        events=_history(connection, row),
        addresses=addresses.records(connection, row),
    )


def _article_ids(connection: Connection, row: Row[Any]) -> tuple[int, ...]:
    written = select(ARTICLES.c.id).where(ARTICLES.c.candidate_id == row.id).order_by(ARTICLES.c.id)
    ids = tuple(connection.execute(written).scalars())
    return ids if row.article_id is None or row.article_id in ids else (row.article_id, *ids)


def _history(connection: Connection, row: Row[Any]) -> tuple[Event, ...]:
    told = select(EVENTS).where(EVENTS.c.candidate_id == row.id).order_by(EVENTS.c.id)
    discovered = Event(at=row.discovered_at, what="discovered", detail=row.reference)
    return (discovered, *(Event(at=each.at, what=each.what, detail=each.detail) for each in connection.execute(told)))


def find_candidate(connection: Connection, *, url: str, canonical_url: str) -> CandidateRecord | None:
    """Find a candidate by one of its URLs, its canonical URL, or those of one of its articles."""
    searches = (
        select(CANDIDATES).where(CANDIDATES.c.canonical_url.in_({url, canonical_url})),
        select(CANDIDATES).where(CANDIDATES.c.url == url),
        select(CANDIDATES).join(ADDRESSES, ADDRESSES.c.candidate_id == CANDIDATES.c.id).where(ADDRESSES.c.url == url),
        select(CANDIDATES)
        .join(ARTICLES, ARTICLES.c.candidate_id == CANDIDATES.c.id)
        .where(ARTICLES.c.canonical_url.in_({url, canonical_url})),
    )
    for search in searches:
        row = connection.execute(search.order_by(CANDIDATES.c.id).limit(1)).one_or_none()
        if row is not None:
            return candidate_record(connection, row)
    return None


def candidate_of_article(connection: Connection, article_id: int) -> CandidateRecord | None:
    """Return the candidate an article was made of; None for a seed and for an unknown id."""
    made = select(CANDIDATES).join(ARTICLES, ARTICLES.c.candidate_id == CANDIDATES.c.id)
    row = connection.execute(made.where(ARTICLES.c.id == article_id)).one_or_none()
    return None if row is None else candidate_record(connection, row)
