"""Turn rows into values: articles, candidates, verdicts, and duplicates with the article they are linked to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, FromClause, Row, Select, case, func, null, or_, select

from worker.models import (
    FORGOTTEN_SCHEME,
    Article,
    CandidateRecord,
    Comparison,
    CopyFacts,
    DuplicateLink,
    HistoryEvent,
    Kind,
    Relation,
    State,
    StoredArticle,
    Tombstone,
    Verdict,
)
from worker.storage.corpus.clusters import last_verdict_json
from worker.storage.db.codec import origins_from_json, rights_from_json, strings_from_json, verdict_from_json
from worker.storage.db.schema import ARTICLES, CANDIDATES, DECISIONS, EVENTS, SEED_FILES, SEEDS, STANDINGS
from worker.storage.queue import addresses, hosts
from worker.storage.queue.addresses import ADDRESSES


def articles_query() -> Select[Any]:
    """Return the query for stored articles with their clusters, to be narrowed by the caller."""
    standing = (STANDINGS.c.cluster, STANDINGS.c.head, STANDINGS.c.relation, STANDINGS.c.judged_against)
    return select(ARTICLES, *standing).join(STANDINGS, STANDINGS.c.article_id == ARTICLES.c.id)


def stored_article(row: Row[Any], copies: CopyFacts | None = None) -> StoredArticle:
    """Return the article in one row of `articles_query`, with what is known of its copies."""
    return StoredArticle(
        id=row.id,
        article=article_from(row),
        cluster=row.cluster,
        revision=row.revision,
        head=row.head,
        relation=Relation(row.relation),
        judged_against=row.judged_against,
        copies=copies,
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
        lead=row.lead,
        section=row.section,
        tags=strings_from_json(row.tags or "[]"),
        description=row.description,
        image=row.image,
        image_caption=row.image_caption,
        fields_from=origins_from_json(row.fields_from or "{}"),
        rights=rights_from_json(row.rights),
        notes=strings_from_json(row.notes),
    )


def verdicts(connection: Connection, article_id: int) -> tuple[tuple[datetime, Verdict], ...]:
    """Return every verdict on an article, oldest first."""
    kept = select(DECISIONS).where(DECISIONS.c.article_id == article_id).order_by(DECISIONS.c.id)
    return tuple((row.at, verdict_from_json(row.verdict)) for row in connection.execute(kept))


def latest_verdict(connection: Connection, article_id: int) -> Verdict | None:
    """Return the latest verdict on an article, None if there is none."""
    made = verdicts(connection, article_id)
    return made[-1][1] if made else None


def candidate_record(connection: Connection, row: Row[Any], *, events: int | None = None) -> CandidateRecord:
    """Return a candidate with its articles, history and addresses; `row` is its row of the candidates table.

    Its history has all events, or the newest so many.
    """
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
        events=_history(connection, row, limit=events),
        addresses=addresses.seen_addresses(connection, row),
    )


def _article_ids(connection: Connection, row: Row[Any]) -> tuple[int, ...]:
    """Return the articles made of a candidate, and the one it is the same text as, if that is another's."""
    written = select(ARTICLES.c.id).where(ARTICLES.c.candidate_id == row.id).order_by(ARTICLES.c.id)
    ids = tuple(connection.execute(written).scalars())
    return ids if row.article_id is None or row.article_id in ids else (row.article_id, *ids)


def _history(connection: Connection, row: Row[Any], *, limit: int | None) -> tuple[HistoryEvent, ...]:
    """Return a candidate's newest events, oldest first; its discovery is not stored as an event: it is added here."""
    events = select(EVENTS).where(EVENTS.c.candidate_id == row.id).order_by(EVENTS.c.id.desc()).limit(limit)
    found = [HistoryEvent(at=each.at, what=each.what, detail=each.detail) for each in connection.execute(events)]
    found.append(HistoryEvent(at=row.discovered_at, what="discovered", detail=row.reference))
    return tuple(reversed(found))


def find_candidate(
    connection: Connection, *, url: str, canonical_url: str, events: int | None = None
) -> CandidateRecord | None:
    """Return the candidate with one of these URLs, as its own, an address or its article's; None if there is none."""
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
            return candidate_record(connection, row, events=events)
    return None


def candidate_of_article(
    connection: Connection, article_id: int, *, events: int | None = None
) -> CandidateRecord | None:
    """Return the candidate that an article was made of; None for a seed and for an unknown id."""
    made = select(CANDIDATES).join(ARTICLES, ARTICLES.c.candidate_id == CANDIDATES.c.id)
    row = connection.execute(made.where(ARTICLES.c.id == article_id)).one_or_none()
    return None if row is None else candidate_record(connection, row, events=events)


# What was forgotten, for `why` and for releases.


def tombstone(connection: Connection, url_or_id: str) -> Tombstone | None:
    """Return the tombstone of a URL, of its host or of an article's id; None if nothing of it was forgotten."""
    if is_article_id(url_or_id):
        found = hosts.tombstones(connection, [hosts.article_key(int(url_or_id))])
    else:
        found = hosts.tombstones(connection, [*hosts.address_keys(url_or_id), *hosts.host_keys(url_or_id)])
    return _tombstone_from(found[0]) if found else None


def removed_articles(connection: Connection) -> tuple[Tombstone, ...]:
    """Return the tombstone of every article that was removed by `forget`, in the order in which they were."""
    removed = select(hosts.FORGOTTEN).where(hosts.FORGOTTEN.c.key.like("article %")).order_by(hosts.FORGOTTEN.c.id)
    return tuple(map(_tombstone_from, connection.execute(removed)))


def erased_candidate(connection: Connection, found: Tombstone, url: str) -> CandidateRecord | None:
    """Return the candidate that was forgotten, by its tombstone or the hash of its address; None if unknown."""
    hashed = [f"{FORGOTTEN_SCHEME}{hosts.hash_of(form)}" for form in hosts.address_forms(url)]
    is_it = or_(CANDIDATES.c.id == found.candidate, CANDIDATES.c.canonical_url.in_(hashed))
    row = connection.execute(select(CANDIDATES).where(is_it).order_by(CANDIDATES.c.id).limit(1)).one_or_none()
    return None if row is None else candidate_record(connection, row)


_TOO_LONG_FOR_AN_ID: Final = 19  # digits; ids have 64 bits in both databases


def is_article_id(url_or_id: str) -> bool:
    """Return whether this is the id of an article, and no URL."""
    return url_or_id.isascii() and url_or_id.isdigit() and len(url_or_id) < _TOO_LONG_FOR_AN_ID


def _tombstone_from(row: Row[Any]) -> Tombstone:
    what, _, key = row.key.partition(" ")
    article = int(key) if what == "article" else None
    return Tombstone(what=what, at=row.at, reason=row.reason, article=article, candidate=row.candidate_id)


# Recognised copies, as links to the article their cluster exports, with the comparison that decided.


KEEPING_BOTH = (Relation.SEED_COPY, Relation.FOLLOWUP, Relation.TEMPLATE, Relation.OVERLAP)
"""Relations by which both texts are exported."""
NEVER_HEAD = (Relation.COPY, Relation.CONTAINED)
"""Relations with which an article is never the head of the cluster it joins when it comes."""
REVERSED = {Relation.CONTAINS: Relation.CONTAINED, Relation.CONTAINED: Relation.CONTAINS}
"""The relation of the second text to the first, where the order matters."""


def links_query(*, that_keep_both: bool) -> Select[Any]:
    """Return the query for every linked article with the head it is linked to, ordered by id.

    An article that is not the head of its cluster is linked to the head. With `that_keep_both`, a head judged as
    follow-up, template or overlap is linked as well: to the head of the cluster of the article it was judged against.
    """
    towards, head, head_article = STANDINGS.alias("towards"), STANDINGS.alias("head"), ARTICLES.alias("head_article")
    own = STANDINGS
    target = case((own.c.head, own.c.judged_against), else_=own.c.cluster)
    wanted, was_head = ~own.c.head, own.c.relation.not_in(NEVER_HEAD) & ~own.c.head
    if that_keep_both:
        wanted |= own.c.relation.in_(KEEPING_BOTH)
    return (
        select(
            ARTICLES.c.id, ARTICLES.c.url, ARTICLES.c.source, ARTICLES.c.title,
            ARTICLES.c.fetched_at, ARTICLES.c.published_at,
            own.c.head, own.c.relation, own.c.jaccard, own.c.containment, own.c.shared_words,
            last_verdict_json(own.c.article_id).label("own_verdict"),
            head_article.c.id.label("head_id"),
            head_article.c.url.label("head_url"),
            head_article.c.title.label("head_title"),
            head_article.c.host.label("head_host"),
            head_article.c.fetched_at.label("head_fetched_at"),
            head_article.c.published_at.label("head_published_at"),
            head.c.cluster.label("head_cluster"),
            head.c.relation.label("head_relation"),
            case((was_head, last_verdict_json(head.c.article_id)), else_=null()).label("head_verdict"),
            case((was_head, last_verdict_json(_first_judged_against(own))), else_=null()).label("member_verdict"),
        )
        .join(own, own.c.article_id == ARTICLES.c.id)
        .join(towards, towards.c.article_id == target)
        .join(head, (head.c.cluster == towards.c.cluster) & head.c.head)
        .join(head_article, head_article.c.id == head.c.article_id)
        .where(wanted)
        .order_by(ARTICLES.c.id)
    )  # fmt: skip


def _first_judged_against(own: FromClause) -> Any:
    """Return the subquery for the first article that joined the cluster of another by a comparison with it."""
    member = STANDINGS.alias("member")
    same = (member.c.judged_against == own.c.article_id) & (member.c.cluster == own.c.cluster)
    return select(func.min(member.c.article_id)).where(same).scalar_subquery()


def link_from(row: Row[Any], firsts: Mapping[int, str]) -> DuplicateLink:
    """Return the link in one row of `links_query`.

    `firsts` has the host that published a text first, by cluster; clusters of one article may be missing.

    An article that was the head until a fuller or newer text came is linked by the comparison of that text with it, or
    if that was compared with another member, by the comparison of the first member that joined by this article.
    """
    relation = Relation(row.relation)
    figures: Row[Any] | Comparison = row
    own = verdict_from_json(row.own_verdict).best if row.own_verdict is not None else None
    probability = own.probability if own else None
    if row.head_verdict is not None:
        won = _comparison_with(row.id, row.head_verdict) or _comparison_with(row.id, row.member_verdict)
        if won is not None:
            relation, figures = REVERSED.get(won.relation, won.relation), won
            probability = won.probability
        elif relation in {Relation.UNIQUE, *KEEPING_BOTH}:
            winner = Relation(row.head_relation)
            relation = REVERSED.get(winner, winner)
    return DuplicateLink(
        id=row.id,
        url=row.url,
        source=row.source,
        title=row.title,
        fetched_at=row.fetched_at,
        duplicate_of=row.head_id,
        duplicate_of_url=row.head_url,
        duplicate_of_title=row.head_title,
        relation=relation,
        jaccard=figures.jaccard,
        containment=figures.containment,
        shared_words=figures.shared_words,
        published_at=row.published_at,
        duplicate_of_published_at=row.head_published_at,
        duplicate_of_fetched_at=row.head_fetched_at,
        first_host=firsts.get(row.head_cluster, row.head_host),
        probability=probability,
    )


def _comparison_with(article_id: int, verdict: str | None) -> Comparison | None:
    """Return the comparison with an article that a verdict (as JSON) contains, None if there is none."""
    if verdict is None:
        return None
    decided = verdict_from_json(verdict)
    made = [decided.best, *decided.considered]
    return next((each for each in made if each is not None and each.article == article_id), None)


# Seeds.


def seed_places(connection: Connection, article_id: int) -> tuple[str, ...]:
    """Return where a seed was found: the file, and the row or the name of the text file in it."""
    query = (
        select(SEED_FILES.c.name.label("file"), SEEDS.c.name, SEEDS.c.row)
        .outerjoin(SEED_FILES, SEED_FILES.c.id == SEEDS.c.file_id)
        .where(SEEDS.c.article_id == article_id)
        .order_by(SEEDS.c.id)
    )
    return tuple(_place(row) for row in connection.execute(query))


def _place(row: Any) -> str:
    if row.row is not None:
        return f"{row.file}, row {row.row}"
    return row.name if row.file is None or row.file.rpartition("/")[2] == row.name else f"{row.file}/{row.name}"
