"""Applies manual decisions of `duplicates mark`: two articles are the same or different, or one is the original.

A decision takes effect at once: the articles whose verdict may depend on it are judged again, in order of arrival.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from worker.errors import StoreError
from worker.models import HistoryEvent, Relation, State, Verdict
from worker.models.base import dataclass
from worker.storage.corpus import neighbours
from worker.storage.corpus.clusters import CURRENT, JOINING
from worker.storage.corpus.neighbours import find_neighbours, page_versions
from worker.storage.corpus.settling import describe_verdict, save_verdict
from worker.storage.corpus.views import latest_verdict
from worker.storage.db.schema import ARTICLES, CANDIDATES, STANDINGS
from worker.storage.db.sql import among, lock_table
from worker.storage.maintenance.rejudge import JudgeFunction, discard_draft, extractions, stored_text, superseded
from worker.storage.queue.candidates import add_events

_CLUSTER = select(STANDINGS.c.cluster).where(STANDINGS.c.article_id == bindparam("article")).scalar_subquery()
_MEMBERS_OF = (
    select(ARTICLES.c.id, ARTICLES.c.canonical_url, ARTICLES.c.fetched_at, STANDINGS.c.head)
    .join(STANDINGS, STANDINGS.c.article_id == ARTICLES.c.id)
    .where(STANDINGS.c.cluster == _CLUSTER)
)
ORIGINAL_BY_A_PERSON = "a person said that it is the original"
"""The reason in the verdict on an article that was marked as the original."""
STORED_STATES = (State.STORED, State.DUPLICATE, State.REVISED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejudged:
    """An article that was judged again: relation, cluster and head before and after."""

    id: int
    url: str
    relation: Relation
    cluster: int
    head: bool
    new_relation: Relation
    new_cluster: int
    new_head: bool


def mark(
    connection: Connection, one: int, other: int, *, decided: str, judge: JudgeFunction, now: datetime
) -> tuple[Rejudged, ...]:
    """Save that two articles are `same` or `different`, and judge the articles that depend on it again.

    Return those articles in order of arrival. Raises StoreError if an id is unknown, or if both articles are versions
    of one page.
    """
    lock_table(connection, STANDINGS)
    neighbours.save_mark(connection, one, other, decided=decided, now=now)
    saying = "the same as" if decided == neighbours.SAME else "another item than"
    return _judge_pair_again(
        connection, one, other, judge=judge, now=now, said=f"a person said: article {{}} is {saying} article {{}}"
    )


def unmark(
    connection: Connection, one: int, other: int, *, judge: JudgeFunction, now: datetime
) -> tuple[Rejudged, ...]:
    """Delete the decision about two articles, and judge the articles that depend on it again, as `mark` does.

    Raises StoreError if an id is unknown, or if there is no decision.
    """
    lock_table(connection, STANDINGS)
    if not neighbours.delete_mark(connection, one, other):
        raise StoreError(f"nobody has marked articles {one} and {other} as the same or different")
    said = "a person took back what was said of articles {} and {}"
    return _judge_pair_again(connection, one, other, judge=judge, now=now, said=said)


def _judge_pair_again(
    connection: Connection, one: int, other: int, *, judge: JudgeFunction, now: datetime, said: str
) -> tuple[Rejudged, ...]:
    """Judge the articles again that a decision about two of them may change, and record what a person `said`."""
    # An unfinished judgement of the whole store does not know this decision.
    discard_draft(connection)
    affected = _affected_by(connection, one, other)
    before = placements(connection, affected)
    remove_standings(connection, affected)
    for article_id in affected:
        judge_again(connection, article_id, judge, now=now)
    for article, against in ((one, other), (other, one)):
        _record_mark(connection, article, said.format(article, against), now=now)
    after = placements(connection, affected)
    return tuple(rejudged(before[each], after[each]) for each in affected)


def mark_original(connection: Connection, article_id: int, *, now: datetime) -> tuple[Rejudged, ...]:
    """Save that the page of an article is the original of its cluster, and make its newest version the head.

    Return the old and the new head, by id. Raises StoreError if the id is unknown.
    """
    lock_table(connection, STANDINGS)
    url = neighbours.canonical_url_of(connection, article_id)
    members = connection.execute(_MEMBERS_OF, {"article": article_id}).all()
    neighbours.save_original(connection, url, of={row.canonical_url for row in members}, now=now)
    discard_draft(connection)
    head = next(row for row in members if row.head)
    newest = max(
        (row for row in members if row.canonical_url == url), key=lambda row: (row.head, row.fetched_at, row.id)
    )
    before = placements(connection, sorted({head.id, newest.id}))
    for each in (head, newest):
        changed = update(STANDINGS).where(STANDINGS.c.article_id == each.id)
        connection.execute(changed.values(head=each.id == newest.id))
    verdict = latest_verdict(connection, newest.id)
    if verdict is not None:
        save_verdict(connection, newest.id, replace(verdict, head=True, reason=ORIGINAL_BY_A_PERSON), now=now)
    exported = f"; exported is the newest version of its page, article {newest.id}" if newest.id != article_id else ""
    _record_mark(connection, newest.id, f"a person said: article {article_id} is the original{exported}", now=now)
    after = placements(connection, sorted(before))
    return tuple(rejudged(before[each], after[each]) for each in sorted(before))


def _affected_by(connection: Connection, one: int, other: int) -> list[int]:
    """Return the articles whose verdict a decision about two pages may change, in order of arrival.

    These are the versions of either page that arrived after the first version of the other, and the articles that
    joined the clusters of those versions later.
    """
    ours, theirs = _versions_of(connection, one), _versions_of(connection, other)
    rank = arrival_order(connection, [*ours, *theirs])
    later = [each for each in ours if rank[each] > rank[theirs[0]]]
    later += [each for each in theirs if rank[each] > rank[ours[0]]]
    cluster_of = {row.article_id: row.cluster for row in connection.execute(CURRENT.clusters, {"ids": later})}
    start = {cluster_of[each]: rank[each] for each in sorted(later, key=lambda each: rank[each], reverse=True)}
    in_them = select(STANDINGS.c.article_id, STANDINGS.c.cluster).where(STANDINGS.c.cluster.in_(start))
    members = {row.article_id: row.cluster for row in connection.execute(in_them)}
    rank = arrival_order(connection, members)
    return sorted((each for each in members if rank[each] >= start[members[each]]), key=lambda each: rank[each])


def arrival_order(connection: Connection, ids: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Return the sort key of articles by arrival; a newer extraction of a page takes the place of the first one."""
    return {each: (of_page.first, -each) for each, of_page in extractions(connection, ids).items()}


def _versions_of(connection: Connection, article_id: int) -> Sequence[int]:
    """Return the ids of all versions of an article's page, the oldest first."""
    url = select(ARTICLES.c.canonical_url).where(ARTICLES.c.id == article_id).scalar_subquery()
    same = select(ARTICLES.c.id).where(ARTICLES.c.canonical_url == url).order_by(ARTICLES.c.id)
    return connection.execute(same).scalars().all()


def remove_standings(connection: Connection, ids: Sequence[int]) -> None:
    """Remove articles from their clusters, and choose a head for each cluster that lost its own."""
    chosen = among(STANDINGS.c.article_id, "ids")
    clusters = connection.execute(select(STANDINGS.c.cluster).where(chosen).distinct(), {"ids": ids}).scalars().all()
    connection.execute(delete(STANDINGS).where(chosen), {"ids": ids})
    for cluster in clusters:
        _choose_head(connection, cluster)


def _choose_head(connection: Connection, cluster: int) -> None:
    """Make the latest article of a cluster that was its head before the head again, if the cluster has none.

    An article that was marked as the original comes first; the founding article is the last resort.
    """
    left = select(STANDINGS.c.article_id, STANDINGS.c.head).where(STANDINGS.c.cluster == cluster)
    members = {row.article_id: row.head for row in connection.execute(left)}
    if any(members.values()):
        return
    rank = arrival_order(connection, members)
    marked = _originals_in(connection, members)
    for member in sorted(members, key=lambda each: (each in marked, rank[each]), reverse=True):
        verdict = latest_verdict(connection, member)
        if member in marked or member == cluster or (verdict and verdict.head and verdict.relation in JOINING):
            connection.execute(update(STANDINGS).where(STANDINGS.c.article_id == member).values(head=True))
            return


def _originals_in(connection: Connection, members: Iterable[int]) -> set[int]:
    """Return which articles are from a page that was marked as the original."""
    rows = connection.execute(select(ARTICLES.c.id, ARTICLES.c.canonical_url).where(ARTICLES.c.id.in_(members))).all()
    marked = neighbours.originals(connection, {row.canonical_url for row in rows})
    return {row.id for row in rows if row.canonical_url in marked}


def judge_again(connection: Connection, article_id: int, judge: JudgeFunction, *, now: datetime) -> None:
    """Judge an article again, and record the verdict if more than its figures changed."""
    verdict = _verdict(connection, article_id, judge)
    CURRENT.assign(connection, article_id, verdict)
    if _essence(verdict) != _essence(latest_verdict(connection, article_id)):
        save_verdict(connection, article_id, verdict, now=now)
        _update_candidate(connection, article_id, verdict)


def _verdict(connection: Connection, article_id: int, judge: JudgeFunction) -> Verdict:
    """Return the new verdict on an article: against earlier articles, or against the newer one that replaced it."""
    article, fingerprint = stored_text(connection, article_id)
    of_page = extractions(connection, [article_id])[article_id]
    earlier = [version.id for version in page_versions(connection, article.canonical_url)]
    near = find_neighbours(connection, article, fingerprint, earlier=earlier)
    if article_id != of_page.newest:
        replaced_by = [each for each in near if each.id == of_page.newest]
        return superseded(of_page.newest, judge(article, fingerprint, replaced_by).considered)
    began = extractions(connection, [each.cluster for each in near])
    # An article can only join a cluster that was founded before it arrived.
    return judge(article, fingerprint, [each for each in near if began[each.cluster].first < of_page.first])


def _essence(verdict: Verdict | None) -> object:
    """Return the parts of a verdict that make a new one worth recording; figures alone are not."""
    if verdict is None:
        return None
    marked = [(each.article, each.rule) for each in verdict.considered if each.rule.startswith("marked")]
    best = (verdict.best.article, verdict.best.rule) if verdict.best else None
    return verdict.relation, verdict.head, best, marked


def _update_candidate(connection: Connection, article_id: int, verdict: Verdict) -> None:
    """Set the candidate of an article to the new verdict; a pending one gets its outcome from its own recheck."""
    follow = update(CANDIDATES).where(CANDIDATES.c.article_id == article_id, CANDIDATES.c.state.in_(STORED_STATES))
    connection.execute(follow.values(state=verdict.state, reason=verdict.relation, detail=describe_verdict(verdict)))


def _record_mark(connection: Connection, article_id: int, detail: str, *, now: datetime) -> None:
    """Add a decision to the history of an article's candidate; a seed has none."""
    made = select(ARTICLES.c.candidate_id).where(ARTICLES.c.id == article_id, ARTICLES.c.candidate_id.is_not(None))
    candidate = connection.execute(made).scalar()
    if candidate is not None:
        add_events(connection, candidate, [HistoryEvent(at=now, what="marked", detail=detail)])


def placements(connection: Connection, ids: Iterable[int]) -> dict[int, Any]:
    """Return the relation, cluster and head of articles, by id."""
    columns = (ARTICLES.c.id, ARTICLES.c.url, STANDINGS.c.relation, STANDINGS.c.cluster, STANDINGS.c.head)
    query = select(*columns).join(STANDINGS, STANDINGS.c.article_id == ARTICLES.c.id).where(among(ARTICLES.c.id, "ids"))
    return {row.id: row for row in connection.execute(query, {"ids": ids})}


def rejudged(before: Any, after: Any) -> Rejudged:
    """Return the change between two results of `placements` for one article."""
    return Rejudged(
        id=before.id,
        url=before.url,
        relation=Relation(before.relation),
        cluster=before.cluster,
        head=before.head,
        new_relation=Relation(after.relation),
        new_cluster=after.cluster,
        new_head=after.head,
    )
