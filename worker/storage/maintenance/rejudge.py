"""Judges every article of the store again, in order of arrival, while other workers keep writing.

The new verdicts are collected in a draft, the table `rethought`, which no reader uses. They replace the current ones in
one transaction at the end (`Rejudgement.take_effect`). An interrupted run resumes after the last judged article.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, Row, Select, bindparam, delete, insert, literal, or_, select, update

from worker.errors import StoreError
from worker.models import Article, Comparison, Fingerprint, Neighbour, Relation, State, Verdict
from worker.models.base import dataclass
from worker.storage.corpus import index
from worker.storage.corpus.clusters import cluster_table, relation_states
from worker.storage.corpus.neighbours import find_neighbours, page_versions
from worker.storage.corpus.views import article_from
from worker.storage.db.codec import UtcTime, verdict_to_json
from worker.storage.db.database import Database
from worker.storage.db.locks import Writer
from worker.storage.db.migrate import delete_meta, read_meta, write_meta
from worker.storage.db.schema import ARTICLES, CANDIDATES, DECISIONS, EVENTS, RETHOUGHT, STANDINGS
from worker.storage.db.sql import lock_table

# `reprocess` may extract several articles from one stored page. Only the newest of them counts; it is judged in the
# place that the first one has in the order of arrival.

EXTRACTED_AGAIN = "extracted again"
"""The rule and reason in the verdict on an article that was replaced by a newer extraction of the same page."""

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
    """The first and the newest article extracted from one page, by id; both are the same for most articles."""

    first: int
    newest: int


def extractions(connection: Connection, ids: Iterable[int]) -> dict[int, PageExtractions]:
    """Return the extractions of the page that each article is from, by article id."""
    wanted = sorted(set(ids))
    found = {each: PageExtractions(first=each, newest=each) for each in wanted}
    rows = connection.execute(_OF_ONE_CANDIDATE, {"ids": wanted})
    for article_id, versions in groupby(rows, key=lambda row: row.id):
        # Only consecutive articles count: a page that returns after a different one is a new version.
        runs = (tuple(run) for _, run in groupby(versions, key=lambda row: row.page_id))
        same = next(run for run in ([row.other for row in run] for run in runs) if article_id in run)
        found[article_id] = PageExtractions(first=same[0], newest=same[-1])
    return found


def superseded(newest: int, against: Sequence[Comparison]) -> Verdict:
    """Return the verdict on an article that the article `newest`, extracted from the same page, replaces.

    The verdict repeats the figures of their comparison in `against`, zeros if there is none.
    """
    figures = next((each for each in against if each.article == newest), None) or Comparison(
        article=newest, relation=Relation.REVISION, rule=EXTRACTED_AGAIN, jaccard=0.0, containment=0.0, shared_words=0
    )
    best = replace(figures, relation=Relation.REVISION, rule=EXTRACTED_AGAIN)
    return Verdict(relation=Relation.REVISION, head=False, best=best, considered=(best,), reason=EXTRACTED_AGAIN)


BATCH: Final = 20
"""Articles judged in one transaction. Chosen, not measured: on SQLite other writers wait for as long as it takes."""
DRAFT_HITS: Final = 64
"""Index hits that are considered for each article. Chosen, not measured: more than the MAX_HITS of a new article, as
the index also finds later articles here, which are dropped because they are not in the draft yet."""
RULES_TAG: Final = "rethinking"
PROGRESS: Final = "rethought up to article"
DRAFT: Final = cluster_table(RETHOUGHT)
STANDING_COLUMNS: Final = ("cluster", "head", "relation", "judged_against", "jaccard", "containment", "shared_words")


JudgeFunction = Callable[[Article, Fingerprint, Sequence[Neighbour]], Verdict]
"""Returns the verdict on an article, given its fingerprint and the stored articles most like it, as `Deduper.judge`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictChange:
    """An article whose verdict would change: cluster, head or relation, as they are now and in the draft.

    `against` is the article it is compared to in the draft, `jaccard` and `containment` are the figures between them.
    """

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
    """A new judgement of all articles. `tag` identifies the rules: an interrupted run with the same tag is resumed."""

    def __init__(self, database: Database, *, tag: str, writer: Writer | None = None) -> None:
        self._database = database
        self._writer = writer or database
        self._tag = tag

    def judge_all(self, judge: JudgeFunction, *, progress: Callable[[int], None] = lambda _done: None) -> int:
        """Judge every article that is not in the draft yet; return how many that were.

        A draft made under another tag is deleted first. `progress` is called with the number of articles judged so far.
        Raises StoreError for an article without index rows.
        """
        self._writer.write(_begin, self._tag)
        done = 0
        while step := self._writer.write(_judge_some, judge):
            done += step
            progress(done)
        return done

    def changes(self) -> Iterator[VerdictChange]:
        """Yield the articles whose verdict would change, ordered by id."""
        with self._database.snapshot() as connection:
            for row in connection.execute(_changes()):
                yield _change_from(row)

    def take_effect(self, judge: JudgeFunction, *, now: datetime) -> int:
        """Judge the articles that arrived meanwhile, then replace the current verdicts; return how many changed."""
        while (changed := self._writer.write(_take_effect, now=now)) is None:
            self.judge_all(judge)
        return changed

    def discard(self) -> None:
        """Delete the draft."""
        self._writer.write(discard_draft)


def _begin(connection: Connection, tag: str) -> None:
    """Keep the draft if it was made under this tag, else start a new one."""
    if read_meta(connection, RULES_TAG) != tag:
        discard_draft(connection)
        write_meta(connection, RULES_TAG, tag)


def discard_draft(connection: Connection) -> None:
    """Delete the draft of a new judgement; to be called when data changes that its verdicts depend on."""
    connection.execute(delete(RETHOUGHT))
    delete_meta(connection, RULES_TAG, PROGRESS)


def _judge_some(connection: Connection, judge: JudgeFunction) -> int:
    """Judge the next batch of articles; return its size, 0 when all are in the draft."""
    ids = _next_articles(connection)
    judged = set(connection.execute(select(RETHOUGHT.c.article_id).where(RETHOUGHT.c.article_id.in_(ids))).scalars())
    for article_id, of_page in extractions(connection, ids).items():
        if article_id in judged:
            continue  # the newest of its page: judged in the place of the first one
        _judge_one(connection, of_page.newest, judge)
        judged.add(of_page.newest)
        if article_id != of_page.newest:
            _supersede(connection, article_id, of_page.newest, judge)
    if ids:
        write_meta(connection, PROGRESS, str(ids[-1]))
    return len(ids)


def _next_articles(connection: Connection) -> Sequence[int]:
    """Return the ids of the next BATCH articles to judge; empty when all are in the draft."""
    last = int(read_meta(connection, PROGRESS) or 0)
    of_all = select(ARTICLES.c.id).order_by(ARTICLES.c.id).limit(BATCH)
    ids = connection.execute(of_all.where(ARTICLES.c.id > last)).scalars().all()
    # Several writers do not always commit in the order of the ids they got: the last step finds the late ones.
    return ids or connection.execute(of_all.where(ARTICLES.c.id.not_in(select(RETHOUGHT.c.article_id)))).scalars().all()


def _judge_one(connection: Connection, article_id: int, judge: JudgeFunction) -> None:
    """Judge an article against the earlier ones in the draft, and add it to the draft."""
    article, fingerprint = stored_text(connection, article_id)
    # The draft contains earlier articles only, so later ones are no neighbours.
    earlier = [version.id for version in page_versions(connection, article.canonical_url)]
    neighbours = find_neighbours(connection, article, fingerprint, earlier=earlier, table=DRAFT, max_hits=DRAFT_HITS)
    verdict = judge(article, fingerprint, neighbours)
    DRAFT.assign(connection, article_id, verdict, extra={"verdict": verdict_to_json(verdict)})


def _supersede(connection: Connection, article_id: int, newest: int, judge: JudgeFunction) -> None:
    """Add an article to the draft that was replaced by a newer extraction of its page."""
    article, fingerprint = stored_text(connection, article_id)
    near = find_neighbours(connection, article, fingerprint, earlier=[newest], table=DRAFT)
    verdict = superseded(newest, judge(article, fingerprint, [each for each in near if each.id == newest]).considered)
    DRAFT.assign(connection, article_id, verdict, extra={"verdict": verdict_to_json(verdict)})


def stored_text(connection: Connection, article_id: int) -> tuple[Article, Fingerprint]:
    """Return an article and its fingerprint; raises StoreError if the index has no rows for it."""
    fingerprint = index.fingerprint_of(connection, article_id)
    if fingerprint is None:
        raise StoreError(f"article {article_id} has no index rows: see `corpus-worker audit`")
    return article_from(connection.execute(select(ARTICLES).where(ARTICLES.c.id == article_id)).one()), fingerprint


def _differing() -> Any:
    """Return a query of the articles whose row in the draft differs from the current one in any column."""
    different = or_(*(STANDINGS.c[name].is_distinct_from(RETHOUGHT.c[name]) for name in STANDING_COLUMNS))
    return (
        select(RETHOUGHT.c.article_id)
        .join(STANDINGS, STANDINGS.c.article_id == RETHOUGHT.c.article_id)
        .where(different)
    )


def _changes() -> Select[Any]:
    """Return the query behind `VerdictChange`; a difference in the figures alone is no change of the verdict."""
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
    """Replace the current verdicts by the draft; return how many changed, None if an article is not judged yet."""
    lock_table(connection, STANDINGS)
    judged = select(RETHOUGHT.c.article_id)
    if connection.execute(select(ARTICLES.c.id).where(ARTICLES.c.id.not_in(judged)).limit(1)).first() is not None:
        return None
    at = literal(now, UtcTime())
    verdicts = select(RETHOUGHT.c.article_id, at, RETHOUGHT.c.verdict).where(RETHOUGHT.c.article_id.in_(_differing()))
    connection.execute(insert(DECISIONS).from_select(["article_id", "at", "verdict"], verdicts))
    connection.execute(insert(EVENTS).from_select(["candidate_id", "at", "what", "detail"], _history_rows(at)))
    changed = connection.execute(delete(STANDINGS).where(STANDINGS.c.article_id.in_(_differing()))).rowcount
    columns = [RETHOUGHT.c[name] for name in ("article_id", *STANDING_COLUMNS)]
    missing = select(*columns).where(RETHOUGHT.c.article_id.not_in(select(STANDINGS.c.article_id)))
    connection.execute(insert(STANDINGS).from_select([column.name for column in columns], missing))
    _correct_states(connection)
    discard_draft(connection)
    return changed


def _history_rows(at: Any) -> Select[Any]:
    """Return a query of the events to add to the history of candidates: one for each article with a new relation."""
    detail = literal("again: ") + STANDINGS.c.relation + literal(" before, ") + RETHOUGHT.c.relation + literal(" now")
    return (
        select(ARTICLES.c.candidate_id, at, literal("judged"), detail)
        .join(STANDINGS, STANDINGS.c.article_id == ARTICLES.c.id)
        .join(RETHOUGHT, RETHOUGHT.c.article_id == ARTICLES.c.id)
        .where(ARTICLES.c.candidate_id.is_not(None), STANDINGS.c.relation != RETHOUGHT.c.relation)
    )


def _correct_states(connection: Connection) -> None:
    """Set the state and reason of each finished candidate to those of its article's new relation."""
    for group in relation_states():
        state, relation = group.state, group.relation
        wrong = CANDIDATES.c.state.in_([State.STORED, State.DUPLICATE, State.REVISED]) & (
            (CANDIDATES.c.state != state) | (CANDIDATES.c.reason != relation)
        )
        corrected = {"state": state, "reason": relation, "detail": "judged again"}
        connection.execute(
            update(CANDIDATES).where(wrong, CANDIDATES.c.article_id.in_(group.articles)).values(**corrected)
        )
