"""The judge's data in a store: fitted weights, the parameters of its verdicts, labelled pairs and unsure pairs.

`unsure_pairs` reads every verdict. `unsure_among` reads some, for a web page, whose process keeps what it has found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import nsmallest
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, func, select

from worker.models import Article, Relation
from worker.models.base import dataclass
from worker.models.browsing import Mark, MarkSummary, ReviewPair
from worker.storage.corpus.neighbours import DIFFERENT, SAME, pair_key
from worker.storage.corpus.views import article_from, articles_query, latest_verdict, stored_article
from worker.storage.db.codec import verdict_from_json
from worker.storage.db.migrate import read_meta, write_meta
from worker.storage.db.schema import ARTICLES, DECISIONS, MARKS
from worker.storage.db.sql import among, batched

WEIGHTS: Final = "taught weights"
TERMS: Final = "judged by"
"""Keys of the `meta` table; they are in existing stores, so they stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsurePair:
    """Two articles about which the judge was unsure: the probability, the decision, their titles and URLs."""

    article: int
    other: int
    probability: float
    relation: Relation
    title: str = ""
    other_title: str = ""
    url: str = ""
    other_url: str = ""


def weights(connection: Connection) -> str | None:
    """Return the weights fitted to this store's labels as JSON, None if it has none of its own."""
    return read_meta(connection, WEIGHTS)


def save_weights(connection: Connection, text: str) -> None:
    """Save the weights fitted to this store's labels."""
    write_meta(connection, WEIGHTS, text)


def terms(connection: Connection) -> str | None:
    """Return the judge's parameters by which the stored verdicts were made, None if they are unknown."""
    return read_meta(connection, TERMS)


def save_first_terms(connection: Connection, text: str) -> None:
    """Save the judge's parameters in a store without articles; do nothing in any other."""
    if connection.execute(select(ARTICLES.c.id).limit(1)).first() is None:
        write_meta(connection, TERMS, text)


def save_terms(connection: Connection, text: str) -> None:
    """Save the judge's parameters after every article was judged by them."""
    write_meta(connection, TERMS, text)


def marked_pairs(connection: Connection) -> Iterator[tuple[Article, Article, str]]:
    """Yield each pair marked as the same or different: the newest articles of both URLs, and the decision."""
    of_pairs = select(MARKS).where(MARKS.c.decided.in_((SAME, DIFFERENT))).order_by(MARKS.c.pair)
    for mark in connection.execute(of_pairs).all():
        one, other = _newest(connection, mark.low), _newest(connection, mark.high)
        if one is not None and other is not None:
            yield one, other, mark.decided


def _newest(connection: Connection, url: str) -> Article | None:
    """Return the newest article with a canonical URL, None if none is stored any more."""
    query = select(ARTICLES).where(ARTICLES.c.canonical_url == url).order_by(ARTICLES.c.id.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else article_from(row)


def unsure_pairs(connection: Connection, *, merge_at: float, limit: int) -> list[UnsurePair]:
    """Return at most `limit` unmarked pairs whose probability is nearest to `merge_at`, the nearest first."""
    newest = select(func.max(DECISIONS.c.id)).group_by(DECISIONS.c.article_id)
    query: Select[Any] = select(DECISIONS.c.article_id, DECISIONS.c.verdict).where(DECISIONS.c.id.in_(newest))
    rows = connection.execute(query)
    # Twice as many as wanted, because marked pairs and deleted articles drop out below.
    nearest = nsmallest(2 * limit, _compared(rows), key=lambda each: (abs(each.probability - merge_at), each.article))
    marked = {frozenset((row.low, row.high)) for row in connection.execute(select(MARKS.c.low, MARKS.c.high))}
    ids = {number for each in nearest for number in (each.article, each.other)}
    columns = (ARTICLES.c.id, ARTICLES.c.url, ARTICLES.c.canonical_url, ARTICLES.c.title)
    known = {row.id: row for row in connection.execute(select(*columns).where(ARTICLES.c.id.in_(ids)))}
    found = []
    for each in nearest:
        one, other = known.get(each.article), known.get(each.other)
        if one and other and frozenset((one.canonical_url, other.canonical_url)) not in marked:
            found.append(
                UnsurePair(
                    article=one.id, other=other.id, probability=each.probability, relation=each.relation,
                    title=one.title, other_title=other.title, url=one.url, other_url=other.url,
                )
            )  # fmt: skip
    return found[:limit]


def _compared(rows: Iterable[Row[Any]]) -> Iterator[UnsurePair]:
    """Yield every pair with a probability in the verdicts of these rows, without titles and URLs."""
    for row in rows:
        for each in verdict_from_json(row.verdict).considered:
            if each.probability is not None:
                yield UnsurePair(
                    article=row.article_id, other=each.article, probability=each.probability, relation=each.relation
                )


# Pairs for a web page. Each of these functions reads a bounded part of the store.


VERDICTS_AT_ONCE: Final = 2_000
"""Verdicts read for one page. Measured in a store of a million texts: 35 ms of processor time."""
MARKS_COMPARED: Final = 500  # the newest marks held against the judge: more than a person makes in a day
MARKS_SHOWN: Final = 10  # marks that can be taken back on the page: a glance
PAIRS_AT_ONCE: Final = 50  # looked up in one query: most of them are open, so more would be read in vain
_HAS_PROBABILITY: Final = '%"probability":0%'
"""A pattern for verdicts, as the codec writes them, with a probability below 1: the judge was not certain."""
_VERDICTS: Final[Select[Any]] = (
    select(DECISIONS.c.id, DECISIONS.c.article_id, DECISIONS.c.verdict)
    .where(DECISIONS.c.id > bindparam("above"), DECISIONS.c.id < bindparam("below"))
    .where(DECISIONS.c.verdict.like(_HAS_PROBABILITY))
    .order_by(DECISIONS.c.id)
)
_VERDICTS_ON: Final[Select[Any]] = (
    select(DECISIONS.c.article_id, DECISIONS.c.verdict)
    .where(among(DECISIONS.c.article_id, "ids"), DECISIONS.c.verdict.like('%"probability":%'))
    .order_by(DECISIONS.c.id)
)
_LATEST_MARKS = select(MARKS).where(MARKS.c.decided.in_((SAME, DIFFERENT))).order_by(MARKS.c.at.desc(), MARKS.c.pair)
_MARK_COUNTS = select(MARKS.c.decided, func.count()).group_by(MARKS.c.decided)


_ADDRESSES: Final[Select[Any]] = select(ARTICLES.c.id, ARTICLES.c.canonical_url, ARTICLES.c.title)
_BOTH = articles_query().where(among(ARTICLES.c.id, "ids"))


def newest_verdict(connection: Connection) -> int:
    """Return the id of the newest verdict, 0 in an empty store."""
    return int(connection.execute(select(func.coalesce(func.max(DECISIONS.c.id), 0))).scalar_one())


def unsure_among(connection: Connection, *, above: int, below: int) -> list[UnsurePair]:
    """Return the pairs with a probability in the verdicts with ids between two numbers."""
    return list(_compared(connection.execute(_VERDICTS, {"above": above, "below": below})))


def open_pair(connection: Connection, pairs: Sequence[UnsurePair]) -> ReviewPair | None:
    """Return the first of the pairs that nobody has decided yet and that still is as it was compared."""
    for part in batched(pairs, PAIRS_AT_ONCE):
        ids = {number for each in part for number in (each.article, each.other)}
        rows = connection.execute(_ADDRESSES.where(among(ARTICLES.c.id, "ids")), {"ids": ids})
        urls = {row.id: row.canonical_url for row in rows}
        keys = {each: pair_key(urls[each.article], urls[each.other]) for each in part if _is_of_two(each, urls)}
        marked = set(connection.execute(select(MARKS.c.pair).where(MARKS.c.pair.in_(keys.values()))).scalars())
        for each, key in keys.items():
            found = _as_compared(connection, each) if key not in marked else None
            if found:
                return found
    return None


def _is_of_two(pair: UnsurePair, urls: Mapping[int, str]) -> bool:
    """Whether both articles are stored, and of two pages: versions of one are no pair to decide."""
    both = {urls.get(pair.article), urls.get(pair.other)}
    return None not in both and len(both) == 2


def _as_compared(connection: Connection, pair: UnsurePair) -> ReviewPair | None:
    """Return a pair with both articles; None if the first was judged again since, with another result."""
    verdict = latest_verdict(connection, pair.article)
    made = next((each for each in verdict.considered if each.article == pair.other), None) if verdict else None
    if made is None or made.probability != pair.probability:
        return None
    rows = connection.execute(_BOTH, {"ids": [pair.article, pair.other]})
    both = {row.id: stored_article(row) for row in rows}
    return ReviewPair(article=both[pair.article], other=both[pair.other], comparison=made)


def mark_summary(connection: Connection, *, merge_at: float) -> MarkSummary:
    """Return how many pairs people decided, and in how many of the newest the judge had said the same."""
    counts = {row[0]: int(row[1]) for row in connection.execute(_MARK_COUNTS)}
    marks = connection.execute(_LATEST_MARKS.limit(MARKS_COMPARED)).all()
    versions = _versions_of(connection, {url for each in marks for url in (each.low, each.high)})
    newest = {row.canonical_url: row for row in versions}
    judged = _judged_pairs(connection, {row.id: row.canonical_url for row in versions})
    known = [each for each in marks if each.low in newest and each.high in newest]
    found = [_mark(each, newest[each.low], newest[each.high], judged=judged, merge_at=merge_at) for each in known]
    compared = [each for each in found if each.judged_same is not None]
    return MarkSummary(
        same=counts.get(SAME, 0),
        different=counts.get(DIFFERENT, 0),
        compared=len(compared),
        agreed=sum(each.judged_same == (each.decided == SAME) for each in compared),
        latest=tuple(found[:MARKS_SHOWN]),
    )


def _versions_of(connection: Connection, urls: Iterable[str]) -> list[Row[Any]]:
    """Return the id, URL and title of every version of these pages, in order of their ids."""
    query = _ADDRESSES.order_by(ARTICLES.c.id)
    parts = batched(sorted(urls), PAIRS_AT_ONCE)
    found = [row for part in parts for row in connection.execute(query.where(ARTICLES.c.canonical_url.in_(part)))]
    return sorted(found, key=lambda row: row.id)


def _judged_pairs(connection: Connection, url_of: Mapping[int, str]) -> dict[frozenset[str], float]:
    """Return the last probability that the judge gave to each pair of pages; `url_of` has the ids of their versions."""
    rows = connection.execute(_VERDICTS_ON, {"ids": list(url_of)})
    pairs = (each for each in _compared(rows) if each.other in url_of)
    return {frozenset((url_of[each.article], url_of[each.other])): each.probability for each in pairs}


def _mark(
    row: Row[Any], one: Row[Any], other: Row[Any], *, judged: Mapping[frozenset[str], float], merge_at: float
) -> Mark:
    probability = judged.get(frozenset((row.low, row.high)))
    return Mark(
        article=one.id,
        other=other.id,
        title=one.title,
        other_title=other.title,
        decided=row.decided,
        at=row.at,
        judged_same=None if probability is None else probability >= merge_at,
    )
