"""Store an article: find neighbours, judge, and write article, index rows and outcome in one transaction.

Two copies that arrive together can never both be judged new. On PostgreSQL, `lock_articles` takes an advisory lock on
every key of the article, so that the second waits until the first is committed; SQLite has one writer at a time. Seeds
are stored in the same way, without a candidate (`seeds.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from worker.models import ORIGIN_FIELDS, Article, Claim, Fingerprint, Outcome, Page, Relation, State, Verdict
from worker.models.base import dataclass
from worker.ports import Judge
from worker.storage.corpus import index, search_index
from worker.storage.corpus.clusters import CURRENT
from worker.storage.corpus.neighbours import PageVersions, find_neighbours, page_versions
from worker.storage.corpus.views import latest_verdict
from worker.storage.db.codec import (
    origins_from_json,
    rights_to_json,
    storable,
    storable_or_none,
    to_json,
    verdict_to_json,
)
from worker.storage.db.schema import ARTICLES, DECISIONS, Values
from worker.storage.db.sql import lock_keys
from worker.storage.queue.hosts import tombstone_of
from worker.storage.queue.outcomes import (
    Completion,
    LockedCandidate,
    addresses_of,
    complete,
    lock_candidate,
    refuse,
    save_page,
    saved_page_id,
)

_ADD_ARTICLE = insert(ARTICLES).returning(ARTICLES.c.id)
_ADD_DECISION = insert(DECISIONS)
UNIQUE = Verdict(relation=Relation.UNIQUE, head=True)
"""The verdict on an article that has no neighbour."""
_FIELDS_OF = select(*(ARTICLES.c[name] for name in (*ORIGIN_FIELDS, "fields_from"))).where(
    ARTICLES.c.id == bindparam("article")
)
_NO_NAMES = to_json([])  # the column `authors` is not nullable


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingArticle:
    """An article to be stored, with its fingerprint and the function that judges it."""

    article: Article
    fingerprint: Fingerprint
    judge: Judge
    now: datetime
    page: Page | None = None
    recheck_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InsertedArticle:
    """The id of a stored article, and the verdict on it."""

    article_id: int
    verdict: Verdict


def settle(
    connection: Connection,
    claim: Claim,
    article: Article,
    *,
    fingerprint: Fingerprint,
    judge: Judge,
    now: datetime,
    page: Page | None = None,
    recheck_at: datetime | None = None,
) -> Outcome | None:
    """Find neighbours, judge, and write article, index rows and outcome; return None if the lease was lost meanwhile.

    If the text is that of the page's newest stored version, no article is written, and the outcome is `unchanged`. If
    the page or its text was forgotten, nothing of it is written, and the outcome is `blocked`.
    """
    held = lock_candidate(connection, claim)
    if held is None:
        return None
    if held.ended:
        return _outcome_before(connection, held)
    incoming = IncomingArticle(
        article=article,
        fingerprint=fingerprint,
        judge=judge,
        now=now,
        page=page,
        recheck_at=recheck_at,
    )
    lock_articles(connection, [article.canonical_url], [fingerprint])
    before = page_versions(connection, article.canonical_url)
    unchanged = _unchanged(connection, before, incoming)
    urls = {article.url, article.canonical_url, *addresses_of(page)}
    forgotten = None if unchanged else tombstone_of(connection, urls, text_sha256=article.sha256)
    if forgotten is not None:
        return refuse(connection, held.row, forgotten, now=now)
    outcome = unchanged or _inserted(connection, held, incoming, before)
    completion = Completion(now=now, page=page, article=article, recheck_at=recheck_at)
    complete(connection, held.row, outcome, completion)
    return outcome


def lock_articles(connection: Connection, urls: Iterable[str], fingerprints: Iterable[Fingerprint]) -> None:
    """Lock canonical URLs and index keys until the commit; transactions that share one of them wait."""
    digests = (hashlib.sha256(url.encode("utf-8", "ignore")).digest() for url in urls)
    keys = {int.from_bytes(digest[:8], "little", signed=True) for digest in digests}
    lock_keys(connection, keys.union(*((*each.bands, *each.anchors) for each in fingerprints)))


def insert_article(
    connection: Connection,
    incoming: IncomingArticle,
    *,
    before: PageVersions,
    candidate_id: int | None = None,
    page_id: int | None = None,
    article_id: int | None = None,
) -> InsertedArticle:
    """Judge an article, and write it with its cluster, index rows and verdict.

    `before` are the stored versions of its page, the newest first; `article_id` is the id to give it, if that is taken
    already.
    """
    article = incoming.article
    earlier = [version.id for version in before]
    verdict = incoming.judge(find_neighbours(connection, article, incoming.fingerprint, earlier=earlier))
    values = _article_values(article, candidate_id=candidate_id, page_id=page_id)
    values["revision"] = before[0].revision + 1 if before else _revision(connection, verdict)
    given: dict[str, object] = {} if article_id is None else {"id": article_id}
    added: int = connection.execute(_ADD_ARTICLE, {**values, **given}).scalar_one()
    CURRENT.assign(connection, added, verdict)
    index.add(connection, added, incoming.fingerprint)
    search_index.queue_text(connection, added)
    save_verdict(connection, added, verdict, now=incoming.now)
    return InsertedArticle(article_id=added, verdict=verdict)


def insert_unique(connection: Connection, articles: Sequence[tuple[int, Article]], *, now: datetime) -> None:
    """Write articles with their ids, each in a cluster of its own: none has a neighbour or an earlier version.

    Their index rows are the caller's to write.
    """
    values = [_article_values(article, candidate_id=None, page_id=None) for _, article in articles]
    ids = [article_id for article_id, _ in articles]
    rows = [{**row, "id": article_id, "revision": 1} for article_id, row in zip(ids, values, strict=True)]
    connection.execute(insert(ARTICLES), rows)
    CURRENT.found(connection, ids)
    verdict = verdict_to_json(UNIQUE)
    connection.execute(_ADD_DECISION, [{"article_id": each, "at": now, "verdict": verdict} for each in ids])


def save_verdict(connection: Connection, article_id: int, verdict: Verdict, *, now: datetime) -> None:
    """Save a verdict in full."""
    decision = {"article_id": article_id, "at": now, "verdict": verdict_to_json(verdict)}
    connection.execute(_ADD_DECISION, decision)


def _outcome_before(connection: Connection, held: LockedCandidate) -> Outcome:
    """Return the outcome that this very claim has saved before: its commit succeeded, only the answer was lost."""
    row = held.row
    return Outcome(
        state=State(row.state),
        reason=row.reason,
        detail=row.detail,
        article=row.article_id,
        verdict=None if row.article_id is None else latest_verdict(connection, row.article_id),
    )


def _unchanged(connection: Connection, before: PageVersions, incoming: IncomingArticle) -> Outcome | None:
    """Return the outcome for a text that is stored already as the page's newest version; None if it is another.

    Fields that the stored article lacks are filled in.
    """
    if not before or before[0].sha256 != incoming.article.sha256:
        return None
    newest: int = before[0].id
    filled = _fill_in(connection, newest, incoming.article)
    detail = f"same text as article {newest}" + (f"; filled in: {', '.join(filled)}" if filled else "")
    return Outcome(state=State.UNCHANGED, reason="text", detail=detail, article=newest, filled=filled)


def _fill_in(connection: Connection, article_id: int, article: Article) -> tuple[str, ...]:
    """Give a stored article the fields that it lacks and the new extraction has; return their names."""
    row = connection.execute(_FIELDS_OF, {"article": article_id}).one()
    filled = tuple(name for name in missing_fields(row) if getattr(article, name))
    if filled:
        new = _field_values(article)
        origins = {name: article.fields_from[name] for name in filled if name in article.fields_from}
        values = {name: new[name] for name in filled}
        values["fields_from"] = to_json(origins_from_json(row.fields_from or "{}") | origins)
        if "section" in filled:
            search_index.requeue_texts(connection, [article_id])
        connection.execute(update(ARTICLES).where(ARTICLES.c.id == article_id).values(**values))
    return filled


def missing_fields(row: Row[Any]) -> tuple[str, ...]:
    """Return which fields of ORIGIN_FIELDS an article lacks; `row` has their columns."""
    return tuple(name for name in ORIGIN_FIELDS if getattr(row, name) in {None, _NO_NAMES})


def _inserted(
    connection: Connection, held: LockedCandidate, incoming: IncomingArticle, before: PageVersions
) -> Outcome:
    """Save the page, insert the article, and return the outcome; a content given with it is saved already."""
    row = held.row
    page_id = save_page(connection, row.id, incoming.page, now=incoming.now)
    if page_id is None and row.payload_sha256 is not None:
        page_id = saved_page_id(connection, row.id, row.payload_sha256)
    inserted = insert_article(connection, incoming, before=before, candidate_id=row.id, page_id=page_id)
    verdict = inserted.verdict
    return Outcome(
        state=verdict.state,
        reason=str(verdict.relation),
        detail=describe_verdict(verdict),
        article=inserted.article_id,
        verdict=verdict,
    )


def describe_verdict(verdict: Verdict) -> str:
    """Return a verdict as text for people: the article compared with, the similarity and the rule."""
    best = verdict.best
    if best is None:
        return "like no other"
    figures = f"jaccard {best.jaccard:.2f}, containment {best.containment:.2f}, {best.shared_words} shared words"
    probability = "" if best.probability is None else f", probability {best.probability:.2f}"
    return f"against article {best.article}: {figures}{probability} ({best.rule})"


def _revision(connection: Connection, verdict: Verdict) -> int:
    """Return the revision number of the first version of a page; it may still revise an article of another page."""
    if verdict.relation is not Relation.REVISION or verdict.best is None:
        return 1
    before = select(ARTICLES.c.revision).where(ARTICLES.c.id == verdict.best.article)
    return int(connection.execute(before).scalar_one()) + 1


def _article_values(article: Article, *, candidate_id: int | None, page_id: int | None) -> Values:
    return {
        "kind": article.kind,
        "candidate_id": candidate_id,
        "page_id": page_id,
        "url": storable(article.url),
        "canonical_url": storable(article.canonical_url),
        "source": storable(article.source),
        "host": storable(article.host),
        "title": storable(article.title),
        "text": storable(article.text),
        "language": storable(article.language),
        "fetched_at": article.fetched_at,
        "words": article.words,
        "sha256": article.sha256,
        "published_at": article.published_at,
        "published_at_from": storable(article.published_at_from),
        "modified_at": article.modified_at,
        "modified_at_from": storable(article.modified_at_from),
        "external_id": storable_or_none(article.external_id),
        **_field_values(article),
        "rights": storable(rights_to_json(article.rights)),
        "notes": to_json([storable(note) for note in article.notes]),
    }


def _field_values(article: Article) -> Values:
    """Return the columns of the fields that a row may lack; NULL for a field that the article does not have."""
    return {
        "authors": to_json([storable(author) for author in article.authors]),
        "lead": storable_or_none(article.lead),
        "section": storable_or_none(article.section),
        "tags": to_json([storable(tag) for tag in article.tags]) if article.tags else None,
        "description": storable_or_none(article.description),
        "image": storable_or_none(article.image),
        "image_caption": storable_or_none(article.image_caption),
        "fields_from": to_json({name: storable(origin) for name, origin in article.fields_from.items()})
        if article.fields_from
        else None,
    }
