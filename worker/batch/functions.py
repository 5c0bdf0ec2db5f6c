"""The functions that the engine calls on batches of rows: articles, index keys, hits, pairs and groups.

Each takes columns and returns a column. What they compute comes from the stages of the online worker.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, Final

import daft
import pyarrow as pa
from daft import DataType, Series

from worker.batch.groups import CorpusRow, JoiningPair, Membership, judge_row, membership_of, settle_group
from worker.batch.processes import Processes
from worker.batch.rows import PLACE, values_of_json
from worker.charset.characters import clean_line, clean_text, count_words, sha256_of
from worker.config.schema import DedupeSettings
from worker.dates.parsing import plausible_date, read_date
from worker.dedupe.fingerprint import fingerprint_of
from worker.dedupe.judge import Deduper
from worker.dedupe.tokenizer import may_be_aligned, shingles, sketch, tokenize
from worker.errors import SourceError
from worker.models import Article, Fingerprint, Kind, Neighbour
from worker.sources.entries import clean_title
from worker.sources.files.columns import address_of, line_of, text_of
from worker.storage.corpus import index
from worker.storage.corpus.neighbours import MAX_HITS
from worker.urls import canonicalise, host_of, resolve

_TIME: Final = DataType.timestamp("us", "UTC")
_KEYS: Final = DataType.list(DataType.int64())

ARTICLE_FIELDS: Final = {
    "id": DataType.string(),
    "url": DataType.string(),
    "canonical_url": DataType.string(),
    "source": DataType.string(),
    "host": DataType.string(),
    "title": DataType.string(),
    "published_at": _TIME,
    "published_at_from": DataType.string(),
    "fetched_at": _TIME,
    "language": DataType.string(),
    "text": DataType.string(),
    "words": DataType.int32(),
    "sha256": DataType.string(),
    "kind": DataType.string(),
}
"""The columns of an article, as `export --format parquet` names them."""
FINGERPRINT_FIELDS: Final = {
    "signature": DataType.binary(),
    "bands": _KEYS,
    "anchors": _KEYS,
    "shingles": DataType.int32(),
}
"""The columns of a fingerprint. `seeds import` uses them as they are if their parameters are those of the store."""
MEMBERSHIP_FIELDS: Final = {
    "member": DataType.int64(),
    "head": DataType.int64(),
    "relation": DataType.string(),
    "against": DataType.int64(),
    "probability": DataType.float64(),
    "jaccard": DataType.float64(),
    "containment": DataType.float64(),
}
"""The columns of the clusters, the fields of `Membership`."""

READING_FIELDS: Final = {
    "place": DataType.string(),
    "at": DataType.string(),
    "problem": DataType.string(),
    "left_out": DataType.bool(),
}
"""The columns that say where a row is from, and what is wrong with it; `left_out` is null for the end of a file."""
_ARTICLE: Final = DataType.struct(
    {**ARTICLE_FIELDS, **FINGERPRINT_FIELDS, **READING_FIELDS, "keys": _KEYS, "sketch": DataType.binary()}
)
_NO_ARTICLE: Final = {**dict.fromkeys(ARTICLE_FIELDS), "words": 0, "shingles": 0}
_MEMBERSHIP: Final = DataType.struct(MEMBERSHIP_FIELDS)
_VERDICT: Final = DataType.struct({**MEMBERSHIP_FIELDS, "is_head": DataType.bool()})
_HITS: Final = DataType.struct({"hits": _KEYS, "first": DataType.int64()})
# A batch is what one process gets at a time. Chosen, not measured: small beside memory, large beside a call.
_ROWS: Final = 256
_GROUPS: Final = 16  # chosen likewise: most groups have a few articles, so a call settles some fifty

LENGTH_BITS: Final = 24
"""A posting is the number of an article, shifted by so many bits, and its number of shingles (16 million at most)."""
LONGEST: Final = (1 << LENGTH_BITS) - 1  # the greatest number of shingles that a posting can hold
_MIN_SHARED_KEYS: Final = 2
"""Pairs that share fewer index keys are not compared. Measured on 2,106 Vietnamese articles: of the pairs that the
judge joins, 99.6 in 100 share two keys or more, of the other hits 26 in 100 (docs/batch.md)."""
_MIN_SHARED_KEYS_BESIDE: Final = 4
"""The same for the hits after the best one. With 2, 3 and 4 the same articles end in the clusters of the online
worker, in both halves of these articles; 4 leaves out a third of the pairs, and far more among made ones."""


def _column(values: Iterable[object], kind: DataType) -> Any:
    """Return values as an Arrow column; of a type, since the engine cannot tell that of a list without elements."""
    return pa.array(list(values), kind.to_arrow_dtype())


# Articles.


@daft.cls
class ArticleReader:
    """Turns rows into articles with their fingerprints and index keys; `now` is the time of the run."""

    def __init__(self, now: datetime, processes: Processes) -> None:
        self._read = partial(_read_rows, now)
        self._processes = processes

    @daft.method.batch(return_dtype=_ARTICLE, unnest=True, batch_size=_ROWS)
    def read(self, number: Any, columns: Any) -> Any:
        """Return the articles of a batch of rows."""
        return self._processes.call(self._read, number, columns)


def _read_rows(now: datetime, numbers: Iterable[int], rows: Iterable[Mapping[str, Any]]) -> Any:
    return _column((_read_row(number, row, now) for number, row in zip(numbers, rows, strict=True)), _ARTICLE)


def _read_row(number: int, row: Mapping[str, Any], now: datetime) -> dict[str, object]:
    """Return the article in a row with its fingerprint, or what is wrong with the row."""
    origin = {"place": row[PLACE], "at": row["at"], "left_out": False}
    if row["ended"]:
        return {**_NO_ARTICLE, **origin, "problem": row["ended"], "left_out": None}
    try:
        values, wrong = _values(row)
        place = f"{row[PLACE]}#{number}"
        article = read_article(values, place=place, now=now)
        without = ""
        if values["url"] and (article.canonical_url == place or not article.url.startswith("http")):
            without = address_of(values["url"])[1]
        if without:
            article = read_article({**values, "url": None}, place=place, now=now)
    except SourceError as exc:
        return {**_NO_ARTICLE, **origin, "problem": str(exc), "left_out": True}
    wrong = "; ".join(filter(None, (wrong, without and f"it is kept without its address: {without}")))
    return {**_with_fingerprint(article, now), **origin, "problem": wrong or None}


def _values(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Return the values of a row by what they hold, and what was wrong with it all the same."""
    if row["json"] is not None:
        return values_of_json(row["json"])
    return (row if row["text_bytes"] is None else {**row, "text": row["text_bytes"]}), ""


def _with_fingerprint(article: Article, now: datetime) -> dict[str, object]:
    every = shingles(tokenize(article.text).hashes)
    made = fingerprint_of(every)
    return {
        **{name: getattr(article, name) for name in ARTICLE_FIELDS if name != "id"},
        "id": article.external_id,
        "kind": article.kind.value,
        "fetched_at": article.fetched_at if article.fetched_at is not now else None,
        "signature": made.signature,
        "bands": made.bands,
        "anchors": made.anchors,
        "shingles": made.shingles,
        "keys": index.keys_of(made),
        "sketch": sketch(every),
    }


def read_article(values: Mapping[str, Any], *, place: str, now: datetime) -> Article:
    """Return the article in a row, cleaned as from a file of JSON lines; the text is empty if there is none.

    `values` has the columns by what they hold, None for missing ones. An article without an address is named by its
    `place`, and one without a time of fetching counts as fetched at `now`. Raises SourceError for what is no text.
    """
    text = clean_text(text_of(values["text"]))
    fetched_at = values["fetched_at"] or read_date(values["fetched_at_text"], zone=UTC) or now
    written = values["published_at"] or read_date(values["published_at_text"], zone=UTC)
    published_at = plausible_date(written, now=fetched_at)
    url, canonical_url, host = _address(line_of(values["url"]), place)
    return Article(
        url=url,
        canonical_url=values["canonical_url"] or canonical_url,
        source=clean_line(values["source"] or ""),
        host=host or clean_line(values["host"] or "").lower(),
        title=clean_line(clean_title(values["title"]) or ""),
        text=text,
        language=clean_line(values["language"] or ""),
        fetched_at=fetched_at,
        words=count_words(text),
        sha256=sha256_of(text),
        kind=Kind.SEED if values["kind"] == Kind.SEED.value else Kind.ARTICLE,
        published_at=published_at,
        published_at_from=(values["published_at_from"] or "input") if published_at else "",
        external_id=values["id"],
    )


def _address(url: str, place: str) -> tuple[str, str, str]:
    """Return the address, key and host of an article; the place and no host if it has no usable address."""
    try:
        if url:
            return resolve(url), canonicalise(url), host_of(url)
    except SourceError:
        pass
    return url, place, ""


# Index keys and hits.


@daft.func.batch(return_dtype=_KEYS)
def first_postings(postings: Series) -> Any:
    """Return the postings of the earliest articles of each key, as many as the online index keeps."""
    return _column((sorted(each)[: index.MAX_POSTINGS] for each in postings.to_pylist()), _KEYS)


@daft.cls
class HitFinder:
    """Finds the earlier articles that are most like each article by their index keys."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    @daft.method.batch(return_dtype=_HITS, unnest=True, batch_size=_ROWS)
    def find_hits(self, posting: Any, size: Any, postings: Any) -> Any:
        """Return the earlier articles that share the most and rarest keys with each article, the best first.

        `posting` is the article's own, `size` its number of keys, and `postings` the postings of each key that others
        have, in ascending order. `first` is the hit that is most probably the head of a cluster of copies: the earliest
        of those that share half as many keys as the best one, or more.
        """
        return self._processes.call(_find_hits, posting, size, postings)


def _find_hits(*columns: Iterable[Any]) -> Any:
    return _column((_hits_of(*values) for values in zip(*columns, strict=True)), _HITS)


def _hits_of(posting: int, size: int, postings: list[list[int]]) -> dict[str, object]:
    # Postings have the order of the rows, so they are ranked as they are.
    before = posting >> LENGTH_BITS << LENGTH_BITS
    # Sorted: sums do not depend on the order of the engine.
    earlier = dict(enumerate(each[:stop] for each in sorted(postings) if (stop := bisect_left(each, before))))
    made = Fingerprint(signature=b"", bands=(), anchors=tuple(range(size)), shingles=posting & LONGEST)
    ranked = index.rank(earlier, made)
    lengths = {hit.article_id: hit.article_id & LONGEST for hit in ranked} if len(ranked) > MAX_HITS else {}
    hits = index.best(ranked, made, lengths, limit=MAX_HITS)
    least = (_MIN_SHARED_KEYS, *[_MIN_SHARED_KEYS_BESIDE] * len(hits))
    kept = [hit for hit, keys in zip(hits, least, strict=False) if hit.shared_anchors >= min(keys, size)]
    rows = [hit.article_id >> LENGTH_BITS for hit in kept]
    like_best = (row for row, hit in zip(rows, kept, strict=True) if 2 * hit.shared_anchors >= kept[0].shared_anchors)
    return {"hits": rows, "first": min(like_best, default=None)}


# Pairs and groups.


@daft.func.batch(return_dtype=DataType.bool(), batch_size=_ROWS)
def may_share_words(article: Series, stored: Series) -> Any:
    """Return whether the judge may find words in common in each pair of articles, given their sketches."""
    pairs = zip(article.to_pylist(), stored.to_pylist(), strict=True)
    return _column((may_be_aligned(one, other) for one, other in pairs), DataType.bool())


JUDGED: Final = DataType.list(_VERDICT)
"""The verdicts on an article and some others, each alone."""


@daft.cls
class PairJudge:
    """Judges pairs of articles, and groups of articles in their order, as online."""

    def __init__(self, settings: DedupeSettings, processes: Processes) -> None:
        terms = settings.probability, settings.keep
        self._judge, self._settle = partial(_judge_pairs, *terms), partial(_settle_groups, *terms)
        self._processes = processes

    @daft.method.batch(return_dtype=_VERDICT, unnest=True, batch_size=_ROWS)
    def judge(self, article: Any, stored: Any) -> Any:
        """Return why each article joins the cluster of an earlier one alone, and whether it becomes the head.

        `against` is null if they have no word in common, `relation` if they do not join.
        """
        return self._processes.call(self._judge, article, stored)

    @daft.method.batch(return_dtype=DataType.list(_MEMBERSHIP), batch_size=_GROUPS)
    def settle(self, group: Any, rows: Any) -> Any:
        """Return the members of the clusters in each group of articles."""
        return self._processes.call(self._settle, group, rows)


@cache
def _deduper(merge_at: float, keep: str) -> Deduper:
    return Deduper(DedupeSettings.model_validate({"merge_at": merge_at, "keep": keep}))


def _judge_pairs(merge_at: float, keep: str, articles: Iterable[Any], stored: Iterable[Any]) -> Any:
    deduper, pairs = _deduper(merge_at, keep), zip(articles, stored, strict=True)
    return _column((_judge_pair(corpus_row(one), corpus_row(other), deduper) for one, other in pairs), _VERDICT)


def _judge_pair(one: CorpusRow, other: CorpusRow, deduper: Deduper) -> dict[str, object]:
    alone = Neighbour.of(other.article, other.row, cluster=other.row, head=True)
    verdict = judge_row(one, [alone], deduper)
    found = {**_membership_fields(membership_of(one.row, verdict)), "is_head": verdict.head}
    return {**found, "against": other.row if any(each.shared_words for each in verdict.considered) else None}


def _settle_groups(merge_at: float, keep: str, groups: Iterable[int], rows: Iterable[list[Any]]) -> Any:
    deduper = _deduper(merge_at, keep)
    settled = (
        settle_group([*map(corpus_row, of_group)], group, deduper) for group, of_group in zip(groups, rows, strict=True)
    )
    return _column((list(map(_membership_fields, each)) for each in settled), DataType.list(_MEMBERSHIP))


def _membership_fields(membership: Membership) -> dict[str, object]:
    return {name: getattr(membership, name) for name in MEMBERSHIP_FIELDS}


def _joining_pair(*, is_head: bool, **membership: Any) -> JoiningPair | None:
    joins = membership["relation"] is not None
    return JoiningPair(membership=Membership(**membership), is_head=is_head) if joins else None


def corpus_row(values: Mapping[str, Any]) -> CorpusRow:
    """Return an article from the columns of its row."""
    article = {name: values[name] for name in JUDGED_FIELDS}
    return CorpusRow(
        row=values["row"],
        group=values.get("group", values["row"]),
        article=Article(**{**article, "kind": Kind(article["kind"]), "language": "", "words": 0}),
        shingles=values["shingles"],
        hits=tuple(values.get("hits") or ()),
        may_join=values.get("may_join") is not False,
        judged={each["against"]: _joining_pair(**each) for each in values.get("judged") or ()},
    )


JUDGED_FIELDS: Final = tuple(name for name in ARTICLE_FIELDS if name not in {"id", "language", "words"})
"""The columns that a verdict depends on."""
