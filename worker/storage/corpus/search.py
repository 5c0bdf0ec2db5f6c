"""Full-text search over the texts of the corpus: finds articles in the index, ranks them, and shows the hits in them.

    query | find in the index and in the queue | rank by title, order of words, number, length, date | cut snippets

Two stages keep a search fast in a corpus of any size. The database finds the newest articles that have all the words.
If there are as many as are read (CANDIDATES), it finds better ones to read first: the newest that have all the words in
the title, and, if these are fewer, those that have them next to each other. What was found is read and ranked.
`corpus/search_index.py` writes the index and defines its terms.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce
from itertools import chain
from operator import or_
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, func, select, text

from worker.models import Passage, SearchHit, SearchResult
from worker.models.base import dataclass
from worker.storage.corpus.query import Condition, Query
from worker.storage.corpus.search_index import (
    MAX_QUEUED,
    SEARCH_BLOCK,
    SEARCH_BLOCK_BITS,
    SEARCH_QUEUE,
    SEARCHED_COLUMNS,
    SEARCHED_LETTERS,
    SearchWord,
    bare_letters,
    count_queued,
    search_labels,
    search_terms,
    token_words,
    word_places,
)
from worker.storage.db.schema import ARTICLES, STANDINGS
from worker.storage.db.sql import among, is_sqlite

CANDIDATES: Final = 50
"""How many articles are read and ranked if there are so many. Of a million texts on PostgreSQL, 95% of searches take
less than 85 ms with 50 and 100 ms with 60; reading more takes longer than finding them."""
MAX_RESULTS: Final = 1000
"""The last result that can be reached. Chosen: whoever wants more wants `export`."""
_PAGES_AT_ONCE: Final = 500  # of the index, two megabytes; chosen: others can write after a fraction of a second
_NOTHING: Final = r"(?!)"  # a pattern that nothing matches, for a query of filters alone
_SNIPPET: Final = 240  # letters, about three lines
_BEFORE_HIT: Final = 60  # letters of a snippet before its first hit
# How much the words of a title count beside those of the text, and words in the order of the query; chosen.
_TITLE_WEIGHT: Final = 4.0
_ORDER_BONUS: Final = 3.0
# The parameters of BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009), at their usual values.
_K1: Final = 1.2
_B: Final = 0.75
_USUAL_LENGTH: Final = 400  # words of an article, as measured in several corpora

_FIND_SQLITE = text(
    "SELECT search_texts.rowid AS id FROM search_texts CROSS JOIN standings ON article_id = search_texts.rowid "
    "WHERE search_texts MATCH :query AND head ORDER BY search_texts.rowid DESC LIMIT :count"
)
# PostgreSQL reads all texts that meet a condition, however few are wanted. So it is given the newest blocks of ids, and
# older texts where these have too few. The planner takes it for cheap to look into a text without the index, which is a
# thousand times dearer than it thinks: `+ 0`, `OFFSET 0` and `enable_seqscan` leave it no plan without the index.
_FIND_POSTGRESQL, _FIND_OLDER_POSTGRESQL = (
    text(
        "SELECT article_id AS id FROM ("  # noqa: S608 - of constants
        f"SELECT article_id FROM search_texts WHERE terms @@ CAST(:query AS tsquery) AND {wanted} "
        "ORDER BY article_id + 0 DESC OFFSET 0"
        ") AS found WHERE (SELECT head FROM standings WHERE article_id = found.article_id) LIMIT :count"
    )
    for wanted in (f"{SEARCH_BLOCK} && CAST(:blocks AS bigint[])", "article_id + 0 < :before")
)
_BY_INDEX = text(
    "SELECT set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_custom_plan', true)"
)
_NEWEST_INDEXED = text("SELECT max(article_id) FROM search_texts")
_BLOCKS_AT_ONCE: Final = (2, 14)
"""How many blocks PostgreSQL looks into first, and how many then. Chosen: if too few of 16,384 texts have a word, a
few hundred are in eight times as many, and of one that too few of these have, about a thousand in a million."""
# Of a long text, the index has the beginning as well.
_READ_TEXT: Final = func.substr(ARTICLES.c.text, 1, SEARCHED_LETTERS).label("text")
_HEADS: Select[Any] = (
    select(*(each for each in SEARCHED_COLUMNS if each is not ARTICLES.c.text), _READ_TEXT)
    .join(STANDINGS, STANDINGS.c.article_id == ARTICLES.c.id)
    .where(STANDINGS.c.head)
)
_BY_ID = _HEADS.where(among(ARTICLES.c.id, "ids"))
_NEWEST_QUEUED = select(SEARCH_QUEUE.c.article_id).order_by(SEARCH_QUEUE.c.article_id.desc()).limit(MAX_QUEUED)
_QUEUED = _HEADS.where(ARTICLES.c.id.in_(_NEWEST_QUEUED))
_MERGE_SQLITE = text("INSERT INTO search_texts (search_texts, rank) VALUES ('merge', :pages)")
_TOTAL_CHANGES = text("SELECT total_changes()")


def search(connection: Connection, query: Query, *, limit: int, offset: int = 0) -> SearchResult:
    """Return the texts of the corpus (heads of clusters) that meet a query, the best first."""
    if query.is_empty:
        return SearchResult(hits=(), more=False, unindexed=0, notes=query.notes)
    queued = count_queued(connection)
    end = min(offset + limit, MAX_RESULTS)
    indexed, waiting = _found(connection, query, count=max(CANDIDATES, end + 1))
    matcher = _Matcher(query)
    found = [_Ranked.of(matcher, row) for row in indexed]
    found += [each for each in (_Ranked.of(matcher, row) for row in waiting) if each and _is_allowed(query, each.row)]
    ranked = sorted(filter(None, found), key=_Ranked.order)
    hits = tuple(each.hit(matcher) for each in ranked[offset:end])
    return SearchResult(hits=hits, more=len(ranked) > end, unindexed=max(0, queued - MAX_QUEUED), notes=query.notes)


def _found(connection: Connection, query: Query, *, count: int) -> tuple[Sequence[Row[Any]], Sequence[Row[Any]]]:
    """Return the rows of articles that meet a condition of a query in the index, and those in the queue to look at."""
    if not is_sqlite(connection):
        connection.execute(_BY_INDEX)
    newest = _ids(connection, query.anywhere(), count=count)
    ids: set[int] = set()
    # A condition that few texts meet takes long, as all have to be looked at: these are needed for common words alone.
    for condition in query.better() if len(newest) == count else ():
        if len(ids) < count:
            ids.update(_ids(connection, condition, count=count))
    ids.update(newest[: max(0, count - len(ids))])
    indexed = connection.execute(_BY_ID, {"ids": ids}).all() if ids else ()
    queued = [row for row in connection.execute(_QUEUED) if row.id not in ids]
    return indexed, [row for row in queued if query.filters.holds(search_labels(row))]


def _ids(connection: Connection, condition: Condition, *, count: int) -> Sequence[int]:
    """Return the newest articles that meet a condition, at most `count`."""
    if not is_sqlite(connection):
        return _ids_by_block(connection, condition.for_postgresql(), count=count)
    return connection.execute(_FIND_SQLITE, {"query": condition.for_sqlite(), "count": count}).scalars().all()


def _ids_by_block(connection: Connection, query: str, *, count: int) -> Sequence[int]:
    """Return the same from PostgreSQL."""
    found: list[int] = []
    end = ((connection.execute(_NEWEST_INDEXED).scalar() or 0) >> SEARCH_BLOCK_BITS) + 1
    for number in _BLOCKS_AT_ONCE:
        blocks = list(range(end - number, end))
        wanted = {"query": query, "blocks": blocks, "count": count - len(found)}
        found += connection.execute(_FIND_POSTGRESQL, wanted).scalars()
        end -= number
        if len(found) == count or end <= 0:
            return found
        if not found:  # it is rare: looking into some more texts takes as long as into all
            break
    older = {"query": query, "before": end << SEARCH_BLOCK_BITS, "count": count - len(found)}
    return [*found, *connection.execute(_FIND_OLDER_POSTGRESQL, older).scalars()]


def _is_allowed(query: Query, row: Row[Any]) -> bool:
    """Whether an article has nothing of what a query excludes."""
    return not query.excluded or query.filters.holds(search_terms(row))


class _Matcher:
    """Finds the words and phrases of a query in texts.

    Every different word of the query is one bit; a word of a text is the bits of the words that it is a hit for. Of a
    text, only those runs of letters are split into words that have a word of the query in them.
    """

    def __init__(self, query: Query) -> None:
        self._bits: dict[tuple[str, str], int] = {}
        self.phrases = tuple(tuple(map(self._bit, phrase)) for phrase in query.phrases)
        bare = {bare for bare, _ in self._bits}
        self._pattern = re.compile("|".join(bare) or _NOTHING) if all(map(str.isascii, bare)) else None

    def _bit(self, word: SearchWord) -> int:
        return self._bits.setdefault((word.bare, word.marked), 1 << len(self._bits))

    def _hits(self, word: SearchWord) -> int:
        """Return the words of the query that a word is: as it is written, if the query has it with diacritics."""
        return self._bits.get((word.bare, ""), 0) | self._bits.get((word.bare, word.marked), 0)

    def read(self, text: str) -> _TextHits:
        """Return the hits in a text."""
        tokens = text.split()
        at: dict[int, int] = {}
        spots: dict[int, tuple[int, int]] = {}
        number, last = 0, -1
        for place in self._candidates(tokens):
            number += any(map(token_words, tokens[last + 1 : place]))  # one for all of them: none is a hit
            last = place
            for inside, word in enumerate(token_words(tokens[place])):
                if bits := self._hits(word):
                    at[number], spots[number] = bits, (place, inside)
                number += 1
        return _TextHits(length=max(len(tokens), number), at=at, spots=spots)

    def _candidates(self, tokens: Sequence[str]) -> Iterable[int]:
        """Yield the numbers of the tokens that can have a word of the query in them, in order."""
        letters = bare_letters(" ".join(tokens)) if self._pattern else ""
        if self._pattern is None or letters.count(" ") != len(tokens) - 1:  # some signs stand for others with a blank
            yield from range(len(tokens))
            return
        token, last, place = 0, -1, 0
        for found in self._pattern.finditer(letters):
            token += letters.count(" ", place, found.start())
            place = found.start()
            if token > last:
                yield token
            last = token

    def places(self, text: str, hits: _TextHits) -> list[tuple[tuple[int, int], int]]:
        """Return where the phrases of the query are in a text, in order, each with the bits of its words."""
        starts = ((phrase, start) for phrase in self.phrases for start in hits.starts(phrase))
        numbers = {start + step for phrase, start in starts for step in range(len(phrase))}
        ordered = sorted(numbers)
        found = word_places(text, [hits.spots[number] for number in ordered])
        return list(zip(found, (hits.at[number] for number in ordered), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class _TextHits:
    """The words of a query in a text, by the number of the word; all words between two of them count as one.

    `length` is the number of words of the text, about; `spots` holds the number of a word's token, and that of the word
    in the token.
    """

    length: int
    at: dict[int, int]
    spots: dict[int, tuple[int, int]]

    def starts(self, phrase: Sequence[int]) -> list[int]:
        """Return where the words of a phrase follow each other."""
        first, rest = phrase[0], list(enumerate(phrase[1:], 1))
        starts = [place for place, bits in self.at.items() if bits & first]
        return [each for each in starts if all(self.at.get(each + step, 0) & bit for step, bit in rest)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ranked:
    """An article that meets a query, with the hits in its title and its text, and its score."""

    row: Row[Any]
    title: _TextHits
    body: _TextHits
    score: float

    @classmethod
    def of(cls, matcher: _Matcher, row: Row[Any]) -> _Ranked | None:
        """Return the article with its score; None if a phrase is not in it as it is written."""
        title, body = matcher.read(row.title), matcher.read(row.text)
        score = 0.0
        for phrase in matcher.phrases:
            in_title, in_text = len(title.starts(phrase)), len(body.starts(phrase))
            if not in_title and not in_text:
                return None
            found = in_text + _TITLE_WEIGHT * bool(in_title)
            score += found * (_K1 + 1) / (found + _K1 * (1 - _B + _B * body.length / _USUAL_LENGTH))
        if len(matcher.phrases) > 1:
            whole = tuple(chain.from_iterable(matcher.phrases))
            score += _ORDER_BONUS * (bool(title.starts(whole)) + bool(body.starts(whole)))
        return cls(row=row, title=title, body=body, score=round(score, 3))

    def order(self) -> tuple[float, float, int]:
        """Return the key to sort by: the best first, and of equals the newest."""
        return -self.score, -(self.row.published_at or self.row.fetched_at).timestamp(), -self.row.id

    def hit(self, matcher: _Matcher) -> SearchHit:
        """Return the article as a result, with the hits in its title and in the most telling part of its text."""
        row = self.row
        return SearchHit(
            id=row.id,
            url=row.url,
            source=row.source,
            host=row.host,
            language=row.language,
            published_at=row.published_at,
            fetched_at=row.fetched_at,
            title=_marked(row.title, [place for place, _ in matcher.places(row.title, self.title)], 0, len(row.title)),
            snippet=_snippet(row.text, matcher.places(row.text, self.body)),
        )


def _snippet(value: str, hits: Sequence[tuple[tuple[int, int], int]]) -> tuple[Passage, ...]:
    """Return the part of a text with the most different words of the query, and of equals the first."""
    places = [place for place, _ in hits]
    starts = [start for start, _ in places]

    def variety(place: int) -> int:
        last = bisect_left(starts, starts[place] + _SNIPPET - _BEFORE_HIT)
        return reduce(or_, (bits for _, bits in hits[place:last]), 0).bit_count()

    best = max(range(len(places)), key=lambda place: (variety(place), -place), default=None)
    first = max(0, starts[best] - _BEFORE_HIT) if best is not None else 0
    first = _word_start(value, first)
    last = _word_start(value, min(len(value), first + _SNIPPET))
    inside = [(start, end) for start, end in places if first <= start and end <= last]
    return _marked(value, inside, first, last)


def _word_start(value: str, place: int) -> int:
    """Return the place after the next blank, if there is one nearby; in scripts without blanks the place itself."""
    if place in {0, len(value)}:
        return place
    blank = value.find(" ", place - 1, place + 20)
    return place if blank < 0 else blank + 1


def _marked(value: str, places: Iterable[tuple[int, int]], first: int, last: int) -> tuple[Passage, ...]:
    """Return a part of a text in pieces, hits marked; neighbouring hits are one piece, with what is between them."""
    pieces: list[Passage] = [Passage(text="… ")] if first else []
    position = first
    for start, end in places:
        between = value[position:start]
        if pieces and pieces[-1].is_hit and not between.strip():
            pieces[-1] = replace(pieces[-1], text=pieces[-1].text + value[position:end])
        else:
            pieces += [Passage(text=between), Passage(text=value[start:end], is_hit=True)]
        position = end
    pieces.append(Passage(text=value[position:last].rstrip() + (" …" if last < len(value) else "")))
    return tuple(replace(piece, text=piece.text.replace("\n", " ")) for piece in pieces if piece.text)


def rewrite_step(connection: Connection) -> bool:
    """Merge a part of SQLite's index, which drops what was removed from it; return whether there is more to merge.

    FTS5 keeps the terms of a removed text until the parts of its index that hold them are merged with the mark of the
    removal. The negative number of pages merges all parts into one (https://sqlite.org/fts5.html, section 6.8).
    """
    if not is_sqlite(connection):
        return False
    before: int = connection.execute(_TOTAL_CHANGES).scalar_one()
    connection.execute(_MERGE_SQLITE, {"pages": -_PAGES_AT_ONCE})
    after: int = connection.execute(_TOTAL_CHANGES).scalar_one()
    return after - before > 1
