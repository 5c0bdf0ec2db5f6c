"""Thinks again about the whole store: every article judged anew, in the order they came, beside running work.

The new standings grow in a table of their own, where readers do not look, and take effect all at once at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, Row, Select, bindparam, delete, insert, literal, or_, select, update

from worker.errors import StoreError
from worker.models import Article, Comparison, Fingerprint, Neighbour, Relation, State, Verdict
from worker.storage.corpus import index
from worker.storage.corpus.clusters import cluster_table, relation_states
from worker.storage.corpus.neighbours import find_neighbours, page_versions
from worker.storage.corpus.views import article_from
from worker.storage.db.codec import UtcTime, verdict_to_json
from worker.storage.db.database import Database
from worker.storage.db.locks import Writer
from worker.storage.db.meta import delete_meta, read_meta, write_meta
from worker.storage.db.schema import ARTICLES, CANDIDATES, DECISIONS, EVENTS, RETHOUGHT, STANDINGS
from worker.storage.db.sql import lock_table

# Articles extracted from one page more than once: the newest counts, in the place of the first.


EXTRACTED_AGAIN = "extracted again"
"""The rule by which an article stands behind a newer one of the same page."""

_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_OTHER = ARTICLES.alias("other")
_OF_ONE_CANDIDATE = (
    select(ARTICLES.c.id, _OTHER.c.id.label("other"), _OTHER.c.page_id)
    .join(_OTHER, _OTHER.c.candidate_id == ARTICLES.c.candidate_id)
    .where(ARTICLES.c.id.in_(_IDS), ARTICLES.c.page_id.is_not(None))
    .order_by(ARTICLES.c.id, _OTHER.c.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageExtractions:
    """The articles of one page, as ids: `first` gives the place in the order of arrival, `newest` is what counts."""

    first: int
    newest: int


def extractions(connection: Connection, ids: Iterable[int]) -> dict[int, PageExtractions]:
    """Return the place of each article, by its id."""
    asked = sorted(set(ids))
    found = {each: PageExtractions(first=each, newest=each) for each in asked}
    made = connection.execute(_OF_ONE_CANDIDATE, {"ids": asked})
    for article_id, versions in groupby(made, key=lambda row: row.id):
        # A page that came back after another one is a new version, not an old one extracted again.
        runs = (tuple(run) for _, run in groupby(versions, key=lambda row: row.page_id))
        same = next(run for run in ([row.other for row in run] for run in runs) if article_id in run)
        found[article_id] = PageExtractions(first=same[0], newest=same[-1])
    return found


def superseded(newest: int, against: Sequence[Comparison]) -> Verdict:
    """Return the verdict on an article that a newer one of the same page replaces, with the figures between the two."""
    figures = next((each for each in against if each.article == newest), None) or Comparison(
        article=newest, relation=Relation.REVISION, rule=EXTRACTED_AGAIN, jaccard=0.0, containment=0.0, shared_words=0
    )
    best = replace(figures, relation=Relation.REVISION, rule=EXTRACTED_AGAIN)
    return Verdict(relation=Relation.REVISION, head=False, best=best, considered=(best,), reason=EXTRACTED_AGAIN)


BATCH: Final = 20
DRAFT_HITS: Final = 64
RULES_TAG: Final = "rethinking"
PROGRESS: Final = "rethought up to article"
DRAFT: Final = cluster_table(RETHOUGHT)
STANDING_COLUMNS: Final = ("cluster", "head", "relation", "judged_against", "jaccard", "containment", "shared_words")


JudgeFunction = Callable[[Article, Fingerprint, Sequence[Neighbour]], Verdict]
"""`Deduper.judge`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictChange:
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


class Rejudgement:
    """One new judgement of all. `tag` names the rules it is made by: one broken off goes on under the same tag."""

    def __init__(self, database: Database, *, tag: str, writer: Writer | None = None) -> None:
        self._database = database
        self._writer = writer or database
        self._tag = tag

    def judge_all(self, judge: JudgeFunction, *, progress: Callable[[int], None] = lambda _done: None) -> int:
        """Judge every article that has not been judged under this tag; return how many were.

        Raises StoreError for an article without index rows.
        """
        self._writer.write(_begin, self._tag)
        done = 0
        while step := self._writer.write(_judge_some, judge):
            done += step
            progress(done)
        return done

    def changes(self) -> Iterator[VerdictChange]:
        """Yield what would change, ordered by id."""
        with self._database.snapshot() as connection:
            for row in connection.execute(_changes()):
                yield _change_from(row)

    def take_effect(self, judge: JudgeFunction, *, now: datetime) -> int:
        """Judge what came meanwhile, then put the new standings in the place of the old; return how many changed."""
        while (changed := self._writer.write(_take_effect, now=now)) is None:
            self.judge_all(judge)
        return changed

    def discard(self) -> None:
        """Forget the new judgement."""
        self._writer.write(discard_draft)


def _begin(connection: Connection, tag: str) -> None:
    if read_meta(connection, RULES_TAG) != tag:
        discard_draft(connection)
        write_meta(connection, RULES_TAG, tag)


def discard_draft(connection: Connection) -> None:
    """Forget every judgement that has not taken effect: what it rests on has changed."""
    connection.execute(delete(RETHOUGHT))
    delete_meta(connection, RULES_TAG, PROGRESS)


def _judge_some(connection: Connection, judge: JudgeFunction) -> int:
    ids = _following(connection)
    judged = set(connection.execute(select(RETHOUGHT.c.article_id).where(RETHOUGHT.c.article_id.in_(ids))).scalars())
    for article_id, place in extractions(connection, ids).items():
        if article_id in judged:
            continue  # extracted again: it took its place when the first of its page came along
        _judge_one(connection, place.newest, judge)
        judged.add(place.newest)
        if article_id != place.newest:
            _supersede(connection, article_id, place.newest, judge)
    if ids:
        write_meta(connection, PROGRESS, str(ids[-1]))
    return len(ids)


def _following(connection: Connection) -> Sequence[int]:
    last = int(read_meta(connection, PROGRESS) or 0)
    of_all = select(ARTICLES.c.id).order_by(ARTICLES.c.id).limit(BATCH)
    ids = connection.execute(of_all.where(ARTICLES.c.id > last)).scalars().all()
    # Many writers do not always commit in the order of their ids.
    return ids or connection.execute(of_all.where(ARTICLES.c.id.not_in(select(RETHOUGHT.c.article_id)))).scalars().all()


def _judge_one(connection: Connection, article_id: int, judge: JudgeFunction) -> None:
    article, fingerprint = stored_text(connection, article_id)
    # Only what came before stands in the draft already: later articles drop out of the neighbours by themselves.
    earlier = [version.id for version in page_versions(connection, article.canonical_url)]
    neighbours = find_neighbours(connection, article, fingerprint, earlier=earlier, table=DRAFT, max_hits=DRAFT_HITS)
    verdict = judge(article, fingerprint, neighbours)
    DRAFT.assign(connection, article_id, verdict, extra={"verdict": verdict_to_json(verdict)})


def _supersede(connection: Connection, article_id: int, newest: int, judge: JudgeFunction) -> None:
    article, fingerprint = stored_text(connection, article_id)
    near = find_neighbours(connection, article, fingerprint, earlier=[newest], table=DRAFT)
    verdict = superseded(newest, judge(article, fingerprint, [each for each in near if each.id == newest]).considered)
    DRAFT.assign(connection, article_id, verdict, extra={"verdict": verdict_to_json(verdict)})


def stored_text(connection: Connection, article_id: int) -> tuple[Article, Fingerprint]:
    """Return an article and its fingerprint; raises StoreError where the index has none."""
    fingerprint = index.fingerprint_of(connection, article_id)
    if fingerprint is None:
        raise StoreError(f"article {article_id} has no index rows: see `corpus-worker audit`")
    return article_from(connection.execute(select(ARTICLES).where(ARTICLES.c.id == article_id)).one()), fingerprint


def _differing() -> Any:
    different = or_(*(STANDINGS.c[name].is_distinct_from(RETHOUGHT.c[name]) for name in STANDING_COLUMNS))
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


def _change_from(row: Row[Any]) -> VerdictChange:
    return VerdictChange(
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
    connection.execute(insert(EVENTS).from_select(["candidate_id", "at", "what", "detail"], _history_rows(at)))
    changed = connection.execute(delete(STANDINGS).where(STANDINGS.c.article_id.in_(_differing()))).rowcount
    stands = [RETHOUGHT.c[name] for name in ("article_id", *STANDING_COLUMNS)]
    missing = select(*stands).where(RETHOUGHT.c.article_id.not_in(select(STANDINGS.c.article_id)))
    connection.execute(insert(STANDINGS).from_select([column.name for column in stands], missing))
    _correct_states(connection)
    discard_draft(connection)
    return changed


def _history_rows(at: Any) -> Select[Any]:
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
    for standing in relation_states():
        state, relation = standing.state, standing.relation
        wrong = CANDIDATES.c.state.in_([State.STORED, State.DUPLICATE, State.REVISED]) & (
            (CANDIDATES.c.state != state) | (CANDIDATES.c.reason != relation)
        )
        corrected = {"state": state, "reason": relation, "detail": "judged again"}
        connection.execute(
            update(CANDIDATES).where(wrong, CANDIDATES.c.article_id.in_(standing.articles)).values(**corrected)
        )
