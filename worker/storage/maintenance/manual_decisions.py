"""A person's mark on two articles takes effect at once: what depends on it is judged again, in the order it came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from worker.models import HistoryEvent, Relation, State, Verdict
from worker.storage.corpus import neighbours
from worker.storage.corpus.clusters import CURRENT, JOINING
from worker.storage.corpus.neighbours import find_neighbours, page_versions
from worker.storage.corpus.settling import describe_verdict, save_verdict
from worker.storage.corpus.views import latest_verdict
from worker.storage.db.schema import ARTICLES, CANDIDATES, STANDINGS
from worker.storage.db.sql import lock_table
from worker.storage.maintenance.rejudge import JudgeFunction, discard_draft, extractions, stored_text, superseded
from worker.storage.queue.candidates import add_events

_CLUSTER = select(STANDINGS.c.cluster).where(STANDINGS.c.article_id == bindparam("article")).scalar_subquery()
_MEMBERS_OF = (
    select(ARTICLES.c.id, ARTICLES.c.canonical_url, ARTICLES.c.fetched_at, STANDINGS.c.head)
    .join(STANDINGS, STANDINGS.c.article_id == ARTICLES.c.id)
    .where(STANDINGS.c.cluster == _CLUSTER)
)
ORIGINAL_BY_A_PERSON = "a person said that it is the original"
TAKEN_IN = (State.STORED, State.DUPLICATE, State.REVISED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejudged:
    """An article that was judged again, where it stood, and where it stands now."""

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
    """Remember that two articles are `same` or `different`, and judge what rests on it again; return that, by id.

    Raises StoreError where an id is unknown, or both are versions of one page.
    """
    lock_table(connection, STANDINGS)
    neighbours.save_mark(connection, one, other, decided=decided, now=now)
    # A judgement of all that is under way was made without this word.
    discard_draft(connection)
    resting = _affected_by(connection, one, other)
    before = _standings(connection, resting)
    _remove_standings(connection, resting)
    for article_id in resting:
        _rejudge(connection, article_id, judge, now=now)
    saying = "the same as" if decided == neighbours.SAME else "another item than"
    for article, against in ((one, other), (other, one)):
        _record_mark(connection, article, f"a person said: article {article} is {saying} article {against}", now=now)
    after = _standings(connection, resting)
    return tuple(_rejudged(before[each], after[each]) for each in resting)


def mark_original(connection: Connection, article_id: int, *, now: datetime) -> tuple[Rejudged, ...]:
    """Remember that the page of an article is the original of its cluster, and let the cluster export it.

    Return the article and whichever was exported before, by id. Raises StoreError where the id is unknown.
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
    before = _standings(connection, sorted({head.id, newest.id}))
    for each in (head, newest):
        changed = update(STANDINGS).where(STANDINGS.c.article_id == each.id)
        connection.execute(changed.values(head=each.id == newest.id))
    verdict = latest_verdict(connection, newest.id)
    if verdict is not None:
        save_verdict(connection, newest.id, replace(verdict, head=True, reason=ORIGINAL_BY_A_PERSON), now=now)
    _record_mark(connection, newest.id, f"a person said: article {newest.id} is the original", now=now)
    after = _standings(connection, sorted(before))
    return tuple(_rejudged(before[each], after[each]) for each in sorted(before))


def _affected_by(connection: Connection, one: int, other: int) -> list[int]:
    """Return whose verdict a mark may change, in the order they came.

    These are the versions of either page that came after one of the other, and what came into their clusters later.
    """
    ours, theirs = _versions_of(connection, one), _versions_of(connection, other)
    rank = _arrival_order(connection, [*ours, *theirs])
    later = [each for each in ours if rank[each] > rank[theirs[0]]]
    later += [each for each in theirs if rank[each] > rank[ours[0]]]
    cluster_of = {row.article_id: row.cluster for row in connection.execute(CURRENT.clusters, {"ids": later})}
    start = {cluster_of[each]: rank[each] for each in sorted(later, key=lambda each: rank[each], reverse=True)}
    in_them = select(STANDINGS.c.article_id, STANDINGS.c.cluster).where(STANDINGS.c.cluster.in_(start))
    members = {row.article_id: row.cluster for row in connection.execute(in_them)}
    rank = _arrival_order(connection, members)
    return sorted((each for each in members if rank[each] >= start[members[each]]), key=lambda each: rank[each])


def _arrival_order(connection: Connection, ids: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Return where articles come in the order of arrival: what was extracted again takes the place of the first."""
    return {each: (place.first, -each) for each, place in extractions(connection, ids).items()}


def _versions_of(connection: Connection, article_id: int) -> Sequence[int]:
    url = select(ARTICLES.c.canonical_url).where(ARTICLES.c.id == article_id).scalar_subquery()
    same = select(ARTICLES.c.id).where(ARTICLES.c.canonical_url == url).order_by(ARTICLES.c.id)
    return connection.execute(same).scalars().all()


def _remove_standings(connection: Connection, resting: Sequence[int]) -> None:
    """Let articles stand nowhere, and give the clusters they were in the head they had before."""
    theirs = select(STANDINGS.c.cluster).where(STANDINGS.c.article_id.in_(resting)).distinct()
    clusters = connection.execute(theirs).scalars().all()
    connection.execute(delete(STANDINGS).where(STANDINGS.c.article_id.in_(resting)))
    for cluster in clusters:
        _choose_head(connection, cluster)


def _choose_head(connection: Connection, cluster: int) -> None:
    left = select(STANDINGS.c.article_id, STANDINGS.c.head).where(STANDINGS.c.cluster == cluster)
    members = {row.article_id: row.head for row in connection.execute(left)}
    if any(members.values()):
        return
    rank = _arrival_order(connection, members)
    told = _originals_in(connection, members)
    for member in sorted(members, key=lambda each: (each in told, rank[each]), reverse=True):
        verdict = latest_verdict(connection, member)
        if member in told or member == cluster or (verdict and verdict.head and verdict.relation in JOINING):
            connection.execute(update(STANDINGS).where(STANDINGS.c.article_id == member).values(head=True))
            return


def _originals_in(connection: Connection, members: Iterable[int]) -> set[int]:
    rows = connection.execute(select(ARTICLES.c.id, ARTICLES.c.canonical_url).where(ARTICLES.c.id.in_(members))).all()
    told = neighbours.originals(connection, {row.canonical_url for row in rows})
    return {row.id for row in rows if row.canonical_url in told}


def _rejudge(connection: Connection, article_id: int, judge: JudgeFunction, *, now: datetime) -> None:
    verdict = _verdict(connection, article_id, judge)
    CURRENT.assign(connection, article_id, verdict)
    if _essence(verdict) != _essence(latest_verdict(connection, article_id)):
        save_verdict(connection, article_id, verdict, now=now)
        _update_candidate(connection, article_id, verdict)


def _verdict(connection: Connection, article_id: int, judge: JudgeFunction) -> Verdict:
    article, fingerprint = stored_text(connection, article_id)
    place = extractions(connection, [article_id])[article_id]
    earlier = [version.id for version in page_versions(connection, article.canonical_url)]
    near = find_neighbours(connection, article, fingerprint, earlier=earlier)
    if article_id != place.newest:
        replaced_by = [each for each in near if each.id == place.newest]
        return superseded(place.newest, judge(article, fingerprint, replaced_by).considered)
    began = extractions(connection, [each.cluster for each in near])
    # A cluster that began later was judged with this article there: it is no place to go back into.
    return judge(article, fingerprint, [each for each in near if began[each.cluster].first < place.first])


def _essence(verdict: Verdict | None) -> object:
    """Return what of a verdict people would call another one."""
    if verdict is None:
        return None
    marked = [(each.article, each.rule) for each in verdict.considered if each.rule.startswith("marked")]
    best = (verdict.best.article, verdict.best.rule) if verdict.best else None
    return verdict.relation, verdict.head, best, marked


def _update_candidate(connection: Connection, article_id: int, verdict: Verdict) -> None:
    """Let the candidate of an article say what it is now; one that waits to be looked at again is left to that."""
    follow = update(CANDIDATES).where(CANDIDATES.c.article_id == article_id, CANDIDATES.c.state.in_(TAKEN_IN))
    connection.execute(follow.values(state=verdict.state, reason=verdict.relation, detail=describe_verdict(verdict)))


def _record_mark(connection: Connection, article_id: int, detail: str, *, now: datetime) -> None:
    made = select(ARTICLES.c.candidate_id).where(ARTICLES.c.id == article_id, ARTICLES.c.candidate_id.is_not(None))
    candidate = connection.execute(made).scalar()
    if candidate is not None:
        add_events(connection, candidate, [HistoryEvent(at=now, what="marked", detail=detail)])


def _standings(connection: Connection, ids: Sequence[int]) -> dict[int, Any]:
    place = (STANDINGS.c.relation, STANDINGS.c.cluster, STANDINGS.c.head)
    where = select(ARTICLES.c.id, ARTICLES.c.url, *place).join(STANDINGS, STANDINGS.c.article_id == ARTICLES.c.id)
    return {row.id: row for row in connection.execute(where.where(ARTICLES.c.id.in_(ids)))}


def _rejudged(before: Any, after: Any) -> Rejudged:
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
