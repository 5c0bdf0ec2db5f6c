"""A person's word about two articles takes effect at once: what rests on it is judged again, in the order it came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from worker.models import Event, Relation, State, Verdict
from worker.storage import marks
from worker.storage.dialect import lock_table
from worker.storage.events import add_events
from worker.storage.neighbours import gather, versions
from worker.storage.places import behind, places
from worker.storage.rethinking import JudgeAnew, discard, text_of
from worker.storage.settling import decide, sentence
from worker.storage.standings import HOLDING, JOINING
from worker.storage.tables import ARTICLES, CANDIDATES, STANDINGS
from worker.storage.views import latest_verdict

_CLUSTER = select(STANDINGS.c.cluster).where(STANDINGS.c.article_id == bindparam("article")).scalar_subquery()
_MEMBERS_OF = (
    select(ARTICLES.c.id, ARTICLES.c.canonical_url, ARTICLES.c.fetched_at, STANDINGS.c.head)
    .join(STANDINGS, STANDINGS.c.article_id == ARTICLES.c.id)
    .where(STANDINGS.c.cluster == _CLUSTER)
)
ORIGINAL_BY_A_PERSON = "a person said that it is the original"
TAKEN_IN = (State.STORED, State.DUPLICATE, State.REVISED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
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
    connection: Connection, one: int, other: int, *, decided: str, judge: JudgeAnew, now: datetime
) -> tuple[Moved, ...]:
    """Remember that two articles are `same` or `different`, and judge what rests on it again; return that, by id.

    Raises StoreError where an id is unknown, or both are versions of one page.
    """
    lock_table(connection, STANDINGS)
    marks.mark(connection, one, other, decided=decided, now=now)
    # A judgement of all that is under way was made without this word.
    discard(connection)
    resting = _resting_on(connection, one, other)
    before = _standings(connection, resting)
    _take_out(connection, resting)
    for article_id in resting:
        _judge_again(connection, article_id, judge, now=now)
    saying = "the same as" if decided == marks.SAME else "another item than"
    for article, against in ((one, other), (other, one)):
        _tell(connection, article, f"a person said: article {article} is {saying} article {against}", now=now)
    after = _standings(connection, resting)
    return tuple(_moved(before[each], after[each]) for each in resting)


def mark_original(connection: Connection, article_id: int, *, now: datetime) -> tuple[Moved, ...]:
    """Remember that the page of an article is the original of its cluster, and let the cluster export it.

    Return the article and whichever was exported before, by id. Raises StoreError where the id is unknown.
    """
    lock_table(connection, STANDINGS)
    url = marks.canonical_url_of(connection, article_id)
    members = connection.execute(_MEMBERS_OF, {"article": article_id}).all()
    marks.mark_original(connection, url, of={row.canonical_url for row in members}, now=now)
    discard(connection)
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
        decide(connection, newest.id, replace(verdict, head=True, reason=ORIGINAL_BY_A_PERSON), now=now)
    _tell(connection, newest.id, f"a person said: article {newest.id} is the original", now=now)
    after = _standings(connection, sorted(before))
    return tuple(_moved(before[each], after[each]) for each in sorted(before))


def _resting_on(connection: Connection, one: int, other: int) -> list[int]:
    """Return whose verdict a mark may change, in the order they came.

    These are the versions of either page that came after one of the other, and what came into their clusters later.
    """
    ours, theirs = _versions_of(connection, one), _versions_of(connection, other)
    rank = _ranks(connection, [*ours, *theirs])
    later = [each for each in ours if rank[each] > rank[theirs[0]]]
    later += [each for each in theirs if rank[each] > rank[ours[0]]]
    cluster_of = {row.article_id: row.cluster for row in connection.execute(HOLDING.clusters, {"ids": later})}
    start = {cluster_of[each]: rank[each] for each in sorted(later, key=lambda each: rank[each], reverse=True)}
    in_them = select(STANDINGS.c.article_id, STANDINGS.c.cluster).where(STANDINGS.c.cluster.in_(start))
    members = {row.article_id: row.cluster for row in connection.execute(in_them)}
    rank = _ranks(connection, members)
    return sorted((each for each in members if rank[each] >= start[members[each]]), key=lambda each: rank[each])


def _ranks(connection: Connection, ids: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Return where articles come in the order of arrival: what was extracted again takes the place of the first."""
    return {each: (place.first, -each) for each, place in places(connection, ids).items()}


def _versions_of(connection: Connection, article_id: int) -> Sequence[int]:
    url = select(ARTICLES.c.canonical_url).where(ARTICLES.c.id == article_id).scalar_subquery()
    same = select(ARTICLES.c.id).where(ARTICLES.c.canonical_url == url).order_by(ARTICLES.c.id)
    return connection.execute(same).scalars().all()


def _take_out(connection: Connection, resting: Sequence[int]) -> None:
    """Let articles stand nowhere, and give the clusters they were in the head they had before."""
    theirs = select(STANDINGS.c.cluster).where(STANDINGS.c.article_id.in_(resting)).distinct()
    clusters = connection.execute(theirs).scalars().all()
    connection.execute(delete(STANDINGS).where(STANDINGS.c.article_id.in_(resting)))
    for cluster in clusters:
        _give_head(connection, cluster)


def _give_head(connection: Connection, cluster: int) -> None:
    left = select(STANDINGS.c.article_id, STANDINGS.c.head).where(STANDINGS.c.cluster == cluster)
    members = {row.article_id: row.head for row in connection.execute(left)}
    if any(members.values()):
        return
    rank = _ranks(connection, members)
    told = _originals_in(connection, members)
    for member in sorted(members, key=lambda each: (each in told, rank[each]), reverse=True):
        verdict = latest_verdict(connection, member)
        if member in told or member == cluster or (verdict and verdict.head and verdict.relation in JOINING):
            connection.execute(update(STANDINGS).where(STANDINGS.c.article_id == member).values(head=True))
            return


def _originals_in(connection: Connection, members: Iterable[int]) -> set[int]:
    rows = connection.execute(select(ARTICLES.c.id, ARTICLES.c.canonical_url).where(ARTICLES.c.id.in_(members))).all()
    told = marks.originals(connection, {row.canonical_url for row in rows})
    return {row.id for row in rows if row.canonical_url in told}


def _judge_again(connection: Connection, article_id: int, judge: JudgeAnew, *, now: datetime) -> None:
    verdict = _verdict(connection, article_id, judge)
    HOLDING.stand(connection, article_id, verdict)
    if _says(verdict) != _says(latest_verdict(connection, article_id)):
        decide(connection, article_id, verdict, now=now)
        _follow(connection, article_id, verdict)


def _verdict(connection: Connection, article_id: int, judge: JudgeAnew) -> Verdict:
    article, fingerprint = text_of(connection, article_id)
    place = places(connection, [article_id])[article_id]
    earlier = [version.id for version in versions(connection, article.canonical_url)]
    near = gather(connection, article, fingerprint, earlier=earlier)
    if article_id != place.newest:
        replaced_by = [each for each in near if each.id == place.newest]
        return behind(place.newest, judge(article, fingerprint, replaced_by).considered)
    began = places(connection, [each.cluster for each in near])
    # A cluster that began later was judged with this article there: it is no place to go back into.
    return judge(article, fingerprint, [each for each in near if began[each.cluster].first < place.first])


def _says(verdict: Verdict | None) -> object:
    """Return what of a verdict people would call another one."""
    if verdict is None:
        return None
    marked = [(each.article, each.rule) for each in verdict.considered if each.rule.startswith("marked")]
    best = (verdict.best.article, verdict.best.rule) if verdict.best else None
    return verdict.relation, verdict.head, best, marked


def _follow(connection: Connection, article_id: int, verdict: Verdict) -> None:
    """Let the candidate of an article say what it is now; one that waits to be looked at again is left to that."""
    follow = update(CANDIDATES).where(CANDIDATES.c.article_id == article_id, CANDIDATES.c.state.in_(TAKEN_IN))
    connection.execute(follow.values(state=verdict.state, reason=verdict.relation, detail=sentence(verdict)))


def _tell(connection: Connection, article_id: int, detail: str, *, now: datetime) -> None:
    made = select(ARTICLES.c.candidate_id).where(ARTICLES.c.id == article_id, ARTICLES.c.candidate_id.is_not(None))
    candidate = connection.execute(made).scalar()
    if candidate is not None:
        add_events(connection, candidate, [Event(at=now, what="marked", detail=detail)])


def _standings(connection: Connection, ids: Sequence[int]) -> dict[int, Any]:
    place = (STANDINGS.c.relation, STANDINGS.c.cluster, STANDINGS.c.head)
    where = select(ARTICLES.c.id, ARTICLES.c.url, *place).join(STANDINGS, STANDINGS.c.article_id == ARTICLES.c.id)
    return {row.id: row for row in connection.execute(where.where(ARTICLES.c.id.in_(ids)))}


def _moved(before: Any, after: Any) -> Moved:
    return Moved(
        id=before.id,
        url=before.url,
        relation=Relation(before.relation),
        cluster=before.cluster,
        head=before.head,
        new_relation=Relation(after.relation),
        new_cluster=after.cluster,
        new_head=after.head,
    )
