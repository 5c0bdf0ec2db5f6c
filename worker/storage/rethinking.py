"""Thinks again about the whole store: every article judged anew, in the order they came, beside running work.

The new standings grow in a table of their own, where readers do not look, and take effect all at once at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, delete, insert, literal, or_, select, update

from worker.errors import StoreError
from worker.models import Article, Fingerprint, Neighbour, Relation, State, Verdict
from worker.storage import index
from worker.storage.alone import Writer
from worker.storage.codec import verdict_to_json
from worker.storage.columns import UtcTime
from worker.storage.database import Database
from worker.storage.dialect import lock_table
from worker.storage.meta import forget, note, noted
from worker.storage.neighbours import gather, versions
from worker.storage.places import behind, places
from worker.storage.standings import standing_book
from worker.storage.states import standings
from worker.storage.tables import ARTICLES, CANDIDATES, DECISIONS, EVENTS, RETHOUGHT, STANDINGS
from worker.storage.views import article_from

BATCH: Final = 20
MOST_HITS: Final = 64
TAG: Final = "rethinking"
PROGRESS: Final = "rethought up to article"
DRAFT: Final = standing_book(RETHOUGHT)
PLACE: Final = ("cluster", "head", "relation", "judged_against", "jaccard", "containment", "shared_words")


JudgeAnew = Callable[[Article, Fingerprint, Sequence[Neighbour]], Verdict]
"""`Deduper.judge`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An article that would stand elsewhere, or for another reason; `against` which article, with both figures."""

    id: int
    url: str
    title: str
    relation: Relation
    cluster: int
    head: bool
    new_relation: Relation
    new_cluster: int
    new_head: bool
    against: int | None = None
    jaccard: float = 0.0
    containment: float = 0.0


class Rethinking:
    """One new judgement of all. `tag` names the rules it is made by: one broken off goes on under the same tag."""

    def __init__(self, database: Database, *, tag: str, writer: Writer | None = None) -> None:
        self._database = database
        self._writer = writer or database
        self._tag = tag

    def judge_all(self, judge: JudgeAnew, *, progress: Callable[[int], None] = lambda _done: None) -> int:
        """Judge every article that has not been judged under this tag; return how many were.

        Raises StoreError for an article without index rows.
        """
        self._writer.write(_begin, self._tag)
        done = 0
        while step := self._writer.write(_judge_some, judge):
            done += step
            progress(done)
        return done

    def changes(self) -> Iterator[Change]:
        """Yield what would change, ordered by id."""
        with self._database.snapshot() as connection:
            for row in connection.execute(_changes()):
                yield _change_from(row)

    def take_effect(self, judge: JudgeAnew, *, now: datetime) -> int:
        """Judge what came meanwhile, then put the new standings in the place of the old; return how many changed."""
        while (changed := self._writer.write(_take_effect, now=now)) is None:
            self.judge_all(judge)
        return changed

    def discard(self) -> None:
        """Forget the new judgement."""
        self._writer.write(discard)


def _begin(connection: Connection, tag: str) -> None:
    if noted(connection, TAG) != tag:
        discard(connection)
        note(connection, TAG, tag)


def discard(connection: Connection) -> None:
    """Forget every judgement that has not taken effect: what it rests on has changed."""
    connection.execute(delete(RETHOUGHT))
    forget(connection, TAG, PROGRESS)


def _judge_some(connection: Connection, judge: JudgeAnew) -> int:
    ids = _following(connection)
    judged = set(connection.execute(select(RETHOUGHT.c.article_id).where(RETHOUGHT.c.article_id.in_(ids))).scalars())
    for article_id, place in places(connection, ids).items():
        if article_id in judged:
            continue  # extracted again: it took its place when the first of its page came along
        _judge_one(connection, place.newest, judge)
        judged.add(place.newest)
        if article_id != place.newest:
            _put_behind(connection, article_id, place.newest, judge)
    if ids:
        note(connection, PROGRESS, str(ids[-1]))
    return len(ids)


def _following(connection: Connection) -> Sequence[int]:
    last = int(noted(connection, PROGRESS) or 0)
    of_all = select(ARTICLES.c.id).order_by(ARTICLES.c.id).limit(BATCH)
    ids = connection.execute(of_all.where(ARTICLES.c.id > last)).scalars().all()
    # Many writers do not always commit in the order of their ids.
    return ids or connection.execute(of_all.where(ARTICLES.c.id.not_in(select(RETHOUGHT.c.article_id)))).scalars().all()


def _judge_one(connection: Connection, article_id: int, judge: JudgeAnew) -> None:
    article, fingerprint = text_of(connection, article_id)
    # Only what came before stands in the draft already: later articles drop out of the neighbours by themselves.
    earlier = [version.id for version in versions(connection, article.canonical_url)]
    neighbours = gather(connection, article, fingerprint, earlier=earlier, book=DRAFT, most_hits=MOST_HITS)
    verdict = judge(article, fingerprint, neighbours)
    DRAFT.stand(connection, article_id, verdict, also={"verdict": verdict_to_json(verdict)})


def _put_behind(connection: Connection, article_id: int, newest: int, judge: JudgeAnew) -> None:
    article, fingerprint = text_of(connection, article_id)
    near = gather(connection, article, fingerprint, earlier=[newest], book=DRAFT)
    verdict = behind(newest, judge(article, fingerprint, [each for each in near if each.id == newest]).considered)
    DRAFT.stand(connection, article_id, verdict, also={"verdict": verdict_to_json(verdict)})


def text_of(connection: Connection, article_id: int) -> tuple[Article, Fingerprint]:
    """Return an article and its fingerprint; raises StoreError where the index has none."""
    fingerprint = index.fingerprint_of(connection, article_id)
    if fingerprint is None:
        raise StoreError(f"article {article_id} has no index rows: see `corpus-worker audit`")
    return article_from(connection.execute(select(ARTICLES).where(ARTICLES.c.id == article_id)).one()), fingerprint


def _differing() -> Any:
    different = or_(*(STANDINGS.c[name].is_distinct_from(RETHOUGHT.c[name]) for name in PLACE))
    return (
        select(RETHOUGHT.c.article_id)
        .join(STANDINGS, STANDINGS.c.article_id == RETHOUGHT.c.article_id)
        .where(different)
    )


def _changes() -> Select[Any]:
    old, new = STANDINGS, RETHOUGHT
    moved = or_(*(old.c[name].is_distinct_from(new.c[name]) for name in ("cluster", "head", "relation")))
    return (
        select(
            ARTICLES.c.id, ARTICLES.c.url, ARTICLES.c.title, old.c.relation, old.c.cluster, old.c.head,
            new.c.relation.label("new_relation"), new.c.cluster.label("new_cluster"), new.c.head.label("new_head"),
            new.c.judged_against, new.c.jaccard, new.c.containment,
        )
        .join(old, old.c.article_id == ARTICLES.c.id)
        .join(new, new.c.article_id == ARTICLES.c.id)
        .where(moved)
        .order_by(ARTICLES.c.id)
    )  # fmt: skip


def _change_from(row: Row[Any]) -> Change:
    return Change(
        id=row.id,
        url=row.url,
        title=row.title,
        relation=Relation(row.relation),
        cluster=row.cluster,
        head=row.head,
        new_relation=Relation(row.new_relation),
        new_cluster=row.new_cluster,
        new_head=row.new_head,
        against=row.judged_against,
        jaccard=row.jaccard,
        containment=row.containment,
    )


def _take_effect(connection: Connection, *, now: datetime) -> int | None:
    lock_table(connection, STANDINGS)
    judged = select(RETHOUGHT.c.article_id)
    if connection.execute(select(ARTICLES.c.id).where(ARTICLES.c.id.not_in(judged)).limit(1)).first() is not None:
        return None
    at = literal(now, UtcTime())
    verdicts = select(RETHOUGHT.c.article_id, at, RETHOUGHT.c.verdict).where(RETHOUGHT.c.article_id.in_(_differing()))
    connection.execute(insert(DECISIONS).from_select(["article_id", "at", "verdict"], verdicts))
    connection.execute(insert(EVENTS).from_select(["candidate_id", "at", "what", "detail"], _news(at)))
    changed = connection.execute(delete(STANDINGS).where(STANDINGS.c.article_id.in_(_differing()))).rowcount
    stands = [RETHOUGHT.c[name] for name in ("article_id", *PLACE)]
    missing = select(*stands).where(RETHOUGHT.c.article_id.not_in(select(STANDINGS.c.article_id)))
    connection.execute(insert(STANDINGS).from_select([column.name for column in stands], missing))
    _correct_states(connection)
    discard(connection)
    return changed


def _news(at: Any) -> Select[Any]:
    """Return what the history of each candidate whose article is judged otherwise now has to tell."""
    told = literal("again: ") + STANDINGS.c.relation + literal(" before, ") + RETHOUGHT.c.relation + literal(" now")
    return (
        select(ARTICLES.c.candidate_id, at, literal("judged"), told)
        .join(STANDINGS, STANDINGS.c.article_id == ARTICLES.c.id)
        .join(RETHOUGHT, RETHOUGHT.c.article_id == ARTICLES.c.id)
        .where(ARTICLES.c.candidate_id.is_not(None), STANDINGS.c.relation != RETHOUGHT.c.relation)
    )


def _correct_states(connection: Connection) -> None:
    """Let the ledger say of each article what it is now."""
    for standing in standings():
        state, relation = standing.state, standing.relation
        wrong = CANDIDATES.c.state.in_([State.STORED, State.DUPLICATE, State.REVISED]) & (
            (CANDIDATES.c.state != state) | (CANDIDATES.c.reason != relation)
        )
        corrected = {"state": state, "reason": relation, "detail": "judged again"}
        connection.execute(
            update(CANDIDATES).where(wrong, CANDIDATES.c.article_id.in_(standing.articles)).values(**corrected)
        )
