"""Settle: find neighbours, judge, and write article, index rows and outcome, all in one transaction."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from worker.models import Article, Claim, Fingerprint, Outcome, Page, Relation, State, Verdict
from worker.ports import Judge
from worker.storage import index
from worker.storage.codec import clean, clean_or_none, rights_to_json, to_json, verdict_to_json
from worker.storage.dialect import lock_keys
from worker.storage.neighbours import Versions, gather, versions
from worker.storage.outcomes import Ending, Hold, close, hold, keep_page, kept_page
from worker.storage.rows import Values
from worker.storage.standings import HOLDING
from worker.storage.tables import ARTICLES, DECISIONS
from worker.storage.views import latest_verdict

_ADD_ARTICLE = insert(ARTICLES).returning(ARTICLES.c.id)
_ADD_DECISION = insert(DECISIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """An article on its way into the store, with how to judge it."""

    article: Article
    fingerprint: Fingerprint
    judge: Judge
    now: datetime
    page: Page | None = None
    look_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What became of an arrival: its article id, and the verdict on it."""

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
    look_at: datetime | None = None,
) -> Outcome | None:
    """Find neighbours, judge, and write article, index and outcome; None where the lease was lost meanwhile."""
    held = hold(connection, claim)
    if held is None:
        return None
    if held.ended:
        return _outcome_before(connection, held)
    arrival = Arrival(
        article=article,
        fingerprint=fingerprint,
        judge=judge,
        now=now,
        page=page,
        look_at=look_at,
    )
    lock_arrival(connection, arrival)
    before = versions(connection, article.canonical_url)
    outcome = _unchanged(before, arrival) or _admitted(connection, held, arrival, before)
    ending = Ending(now=now, page=page, article=article, look_at=look_at)
    close(connection, held.row, outcome, ending)
    return outcome


def lock_arrival(connection: Connection, arrival: Arrival) -> None:
    """Keep every other arrival that shares an index key or the URL waiting until this one is committed."""
    digest = hashlib.sha256(arrival.article.canonical_url.encode("utf-8", "ignore")).digest()
    url_key = int.from_bytes(digest[:8], "little", signed=True)
    lock_keys(connection, {*arrival.fingerprint.bands, *arrival.fingerprint.anchors, url_key})


def admit(
    connection: Connection,
    arrival: Arrival,
    *,
    before: Versions,
    candidate_id: int | None = None,
    page_id: int | None = None,
) -> Admission:
    """Judge an article and write it with its standing, index rows and decision; `before` are the versions there are."""
    article = arrival.article
    earlier = [version.id for version in before]
    verdict = arrival.judge(gather(connection, article, arrival.fingerprint, earlier=earlier))
    values = _article_values(article, candidate_id=candidate_id, page_id=page_id)
    values["revision"] = before[0].revision + 1 if before else _revision(connection, verdict)
    article_id: int = connection.execute(_ADD_ARTICLE, values).scalar_one()
    HOLDING.stand(connection, article_id, verdict)
    index.add(connection, article_id, arrival.fingerprint)
    decide(connection, article_id, verdict, now=arrival.now)
    return Admission(article_id=article_id, verdict=verdict)


def decide(connection: Connection, article_id: int, verdict: Verdict, *, now: datetime) -> None:
    """Keep a verdict in full."""
    decision = {"article_id": article_id, "at": now, "verdict": verdict_to_json(verdict)}
    connection.execute(_ADD_DECISION, decision)


def _outcome_before(connection: Connection, held: Hold) -> Outcome:
    """Return the outcome this very lease ended with: its commit went through, only the answer got lost."""
    row = held.row
    return Outcome(
        state=State(row.state),
        reason=row.reason,
        detail=row.detail,
        article=row.article_id,
        verdict=None if row.article_id is None else latest_verdict(connection, row.article_id),
    )


def _unchanged(before: Versions, arrival: Arrival) -> Outcome | None:
    if not before or before[0].sha256 != arrival.article.sha256:
        return None
    newest: int = before[0].id
    return Outcome(state=State.UNCHANGED, reason="text", detail=f"same text as article {newest}", article=newest)


def _admitted(connection: Connection, held: Hold, arrival: Arrival, before: Versions) -> Outcome:
    row = held.row
    page_id = keep_page(connection, row.id, arrival.page, now=arrival.now)
    if page_id is None and row.payload_sha256 is not None:
        page_id = kept_page(connection, row.id, row.payload_sha256)
    admission = admit(connection, arrival, before=before, candidate_id=row.id, page_id=page_id)
    verdict = admission.verdict
    return Outcome(
        state=verdict.state,
        reason=str(verdict.relation),
        detail=sentence(verdict),
        article=admission.article_id,
        verdict=verdict,
    )


def sentence(verdict: Verdict) -> str:
    """Return a verdict for people, with its figures."""
    best = verdict.best
    if best is None:
        return "like no other"
    figures = f"jaccard {best.jaccard:.2f}, containment {best.containment:.2f}, {best.shared_words} shared words"
    probability = "" if best.probability is None else f", probability {best.probability:.2f}"
    return f"against article {best.article}: {figures}{probability} ({best.rule})"


def _revision(connection: Connection, verdict: Verdict) -> int:
    """Return the number of a version whose page is new: it may still revise a text from elsewhere."""
    if verdict.relation is not Relation.REVISION or verdict.best is None:
        return 1
    before = select(ARTICLES.c.revision).where(ARTICLES.c.id == verdict.best.article)
    return int(connection.execute(before).scalar_one()) + 1


def _article_values(article: Article, *, candidate_id: int | None, page_id: int | None) -> Values:
    return {
        "kind": article.kind,
        "candidate_id": candidate_id,
        "page_id": page_id,
        "url": clean(article.url),
        "canonical_url": clean(article.canonical_url),
        "source": clean(article.source),
        "host": clean(article.host),
        "title": clean(article.title),
        "text": clean(article.text),
        "language": clean(article.language),
        "fetched_at": article.fetched_at,
        "words": article.words,
        "sha256": article.sha256,
        "authors": to_json([clean(author) for author in article.authors]),
        "published_at": article.published_at,
        "published_at_from": clean(article.published_at_from),
        "modified_at": article.modified_at,
        "modified_at_from": clean(article.modified_at_from),
        "external_id": clean_or_none(article.external_id),
        "rights": clean(rights_to_json(article.rights)),
        "notes": to_json([clean(note) for note in article.notes]),
    }
