"""The index of full-text search: which terms an article is found by, and when they are written.

Terms are words without diacritics (`duong`), words that are written with some, pairs of neighbouring words, each of
these once more for the title, and labels for filters. A phrase is found by its pairs, without positions, and a filter
without looking at rows. An article is noted in `search_queue` in the transaction that writes it, and search reads the
articles noted there. Workers put them into the index beside their other work; `search.py` reads it.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from itertools import chain, groupby, islice, pairwise
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, Connection, Row, Table, delete, event, func, insert, select, text

from worker.charset.characters import SPACELESS
from worker.models import publication_time
from worker.storage.db.codec import ID_TYPE
from worker.storage.db.schema import ARTICLES, METADATA
from worker.storage.db.sql import among, is_sqlite

# Words, in any script, with and without diacritics.
#
# In scripts without blanks every letter is a word. The position of a Vietnamese tone mark makes no difference (`hòa`,
# `hoà`).

_TOKEN: Final = re.compile(r"\S+")  # what `str.split` returns
_SPACELESS_LETTER: Final = re.compile(f"[{''.join(f'{chr(first)}-{chr(last)}' for first, last in SPACELESS)}]")
_TONES: Final = frozenset("\u0300\u0301\u0303\u0309\u0323")
# Letters that Unicode does not decompose into a base letter and a mark.
_PLAIN_LETTERS: Final = (
    ("đ", "d"), ("ð", "d"), ("ø", "o"), ("ł", "l"), ("ħ", "h"), ("ı", "i"), ("æ", "ae"), ("œ", "oe"), ("þ", "th"),
)  # fmt: skip
_WITHOUT_STROKE: Final = str.maketrans(dict(_PLAIN_LETTERS))
_MAX_WORD: Final = 40  # letters: longer than any word of a dictionary; the rest of a longer run is ignored
_MAX_CACHED: Final = 24  # letters: longer runs hardly ever occur twice
_AROUND_WORDS: Final = ".,;:!?()[]\"'“”‘’«»…–-"  # stripped first, so that a word is cached once


class SearchWord(NamedTuple):
    """A word: without diacritics, and as it is written (empty if that is the same); both without case.

    `start` and `end` are its place in the text that it was found in.
    """

    bare: str
    marked: str
    start: int
    end: int


def search_words(text: str) -> list[SearchWord]:
    """Return the words of a text; their places mean nothing."""
    tokens = text.split()
    # This runs for every article, and in a search for many: without a step of Python for each word.
    read = _cached_words if max(map(len, tokens), default=0) <= _MAX_CACHED else token_words
    return list(chain.from_iterable(map(read, tokens)))


def word_places(text: str, spots: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return where words of a text begin and end: each is named by the number of its token, and its own in the token.

    They are given in the order of the text.
    """
    if not spots:
        return []
    spans = [found.span() for found in islice(_TOKEN.finditer(text), spots[-1][0] + 1)]
    places: list[tuple[int, int]] = []
    for number, of_token in groupby(spots, key=itemgetter(0)):
        start, end = spans[number]
        token = text[start:end]
        start = end - len(token.lstrip(_AROUND_WORDS))
        words = token_words(token)
        places += [(start + words[inside].start, start + words[inside].end) for _, inside in of_token]
    return places


def token_words(token: str) -> tuple[SearchWord, ...]:
    """Return the words of a run of non-blank characters; their places are those in it without `_AROUND_WORDS`."""
    return _cached_words(token) if len(token) <= _MAX_CACHED else _split_token(token)


def _split_token(token: str) -> tuple[SearchWord, ...]:
    """Return the words of a run of non-blank characters: letters and digits, with the marks that follow them."""
    token = token.strip(_AROUND_WORDS)
    if token.isalnum() and _SPACELESS_LETTER.search(token) is None:
        return (_search_word(token, 0, len(token)),)
    spans: list[list[int]] = []
    open_word = False
    for place, character in enumerate(token):
        if character.isalnum():
            alone = _SPACELESS_LETTER.match(character) is not None and not character.isdecimal()
            if open_word and not alone:
                spans[-1][1] = place + 1
            else:
                spans.append([place, place + 1])
            open_word = not alone
        elif spans and spans[-1][1] == place and _is_mark(character):
            spans[-1][1] = place + 1
        else:
            open_word = False
    return tuple(_search_word(token, start, end) for start, end in spans)


_cached_words = lru_cache(maxsize=1 << 14)(_split_token)  # some 5 MB: the common words of a language


def _is_mark(character: str) -> bool:
    """Whether a character belongs to the letter before it: a combining mark, or an invisible one."""
    category = unicodedata.category(character)
    return category[0] == "M" or category == "Cf"


def _search_word(token: str, start: int, end: int) -> SearchWord:
    """Return the word at a place of a token."""
    folded = token[start:end][:_MAX_WORD].casefold()
    if folded.isascii():
        return SearchWord(bare=folded, marked="", start=start, end=end)
    letters: Sequence[str] = unicodedata.normalize("NFKD", folded)
    if not folded.isalnum():
        letters = [each for each in letters if unicodedata.category(each) != "Cf"]
    tones = "".join(sorted(each for each in letters if each in _TONES))
    marked = unicodedata.normalize("NFC", "".join(each for each in letters if each not in _TONES)) + tones
    base = "".join(each for each in letters if not unicodedata.combining(each))
    bare = unicodedata.normalize("NFC", base.translate(_WITHOUT_STROKE)) or marked
    return SearchWord(bare=bare, marked="" if marked == bare else marked, start=start, end=end)


def bare_letters(text: str) -> str:
    """Return the ASCII letters of a text without case and diacritics; every bare word of such letters is in them."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    for letter, plain in _PLAIN_LETTERS:
        letters = letters.replace(letter, plain)
    return letters.encode("ascii", "ignore").decode("ascii")


# The table of those that are not indexed yet, and the terms.

SEARCH_QUEUE = Table(
    "search_queue",
    METADATA,
    Column("article_id", ID_TYPE, primary_key=True, autoincrement=False),
)
"""The articles that full-text search lacks in `search_texts`: an FTS5 table, or one with a `tsvector` on PostgreSQL."""
SEARCH_BLOCK_BITS: Final = 13
"""PostgreSQL looks into the newest texts first, by blocks of 2^13 ids. Chosen: even a word that all texts have is found
among so many in a few milliseconds."""
SEARCH_BLOCK: Final = f"ARRAY[article_id >> {SEARCH_BLOCK_BITS}]"
"""The block of a text as PostgreSQL's index has it: in an array, as GIN holds no plain number without an extension."""
_CREATE_INDEX: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        # No text is stored twice (content=''). Words and pairs of words are terms, so that no positions are needed.
        "sqlite": (
            """CREATE VIRTUAL TABLE search_texts USING fts5
            (terms, content='', detail=none, columnsize=0, tokenize="ascii tokenchars '_=^'")""",
        ),
        "postgresql": (
            "CREATE TABLE search_texts (article_id BIGINT PRIMARY KEY, terms TSVECTOR NOT NULL)",
            # With the usual 4 MB of terms that are not merged yet, a rare phrase was looked for without the index, in
            # 500 ms instead of 15 among 60,000 texts; with 256 kB writing a text takes 13 ms instead of 9.
            f"""CREATE INDEX ix_search_texts_terms ON search_texts USING gin (terms, ({SEARCH_BLOCK}))
            WITH (gin_pending_list_limit = 256)""",
        ),
    }
)


@event.listens_for(SEARCH_QUEUE, "after_create")
def _create_index(_queue: Table, connection: Connection, **_: object) -> None:
    """Make the index of a new store with the table of what it lacks."""
    for statement in _CREATE_INDEX[connection.dialect.name]:
        connection.exec_driver_sql(statement)


SEARCH_BATCH: Final = 64
"""Articles put into the index at once. Measured on SQLite with batches of 1, 64 and 256: 1.6, .84 and 1.0 ms each."""
MAX_QUEUED: Final = 4 * SEARCH_BATCH
"""How many queued articles are searched directly. Chosen: reading as many adds less than the index takes."""
_SETTLED_QUEUE: Final = MAX_QUEUED - 2 * SEARCH_BATCH
"""Beyond so many queued articles a settle writes a batch, and so the queue stays below MAX_QUEUED."""
IN_TITLE: Final = "^"
_MAX_SEARCH_WORDS: Final = 20_000  # of one text, some forty pages: a longer one is found by its beginning
SEARCHED_LETTERS: Final = 16 * _MAX_SEARCH_WORDS
"""How much of a text search reads again. Chosen: in every language so many words are in fewer letters."""
_MAX_TERMS_SIZE: Final = 200_000  # letters of four bytes at most: PostgreSQL takes a tsvector of up to a megabyte

SEARCHED_COLUMNS: Final[tuple[Column[Any], ...]] = (
    ARTICLES.c.id, ARTICLES.c.url, ARTICLES.c.source, ARTICLES.c.host, ARTICLES.c.title, ARTICLES.c.text,
    ARTICLES.c.language, ARTICLES.c.section, ARTICLES.c.fetched_at, ARTICLES.c.published_at,
    ARTICLES.c.published_at_from,
)  # fmt: skip
_SEARCHED = select(*SEARCHED_COLUMNS).where(among(ARTICLES.c.id, "ids"))
_QUEUE_TEXT = insert(SEARCH_QUEUE)
_UNQUEUE = delete(SEARCH_QUEUE).where(among(SEARCH_QUEUE.c.article_id, "ids"))
_COUNT_QUEUED = select(func.count()).select_from(SEARCH_QUEUE)
_LONG_QUEUE = select(SEARCH_QUEUE.c.article_id).offset(_SETTLED_QUEUE).limit(1)
_SAVE_TERMS_SQLITE = text("INSERT INTO search_texts (rowid, terms) VALUES (:id, :terms)")
_SAVE_TERMS_POSTGRESQL = text(
    "INSERT INTO search_texts (article_id, terms) VALUES (:id, CAST(:terms AS tsvector)) "
    "ON CONFLICT (article_id) DO UPDATE SET terms = excluded.terms"
)
_DROP_TERMS_SQLITE = text("INSERT INTO search_texts (search_texts, rowid, terms) VALUES ('delete', :id, :terms)")
_DROP_TERMS_POSTGRESQL = text("DELETE FROM search_texts WHERE article_id = :id")


def queue_text(connection: Connection, article_id: int) -> None:
    """Note that full-text search has a new article, which `index_queued_texts` puts into the index soon.

    Where nobody calls that, every SEARCH_BATCH articles this does: search reads the newest MAX_QUEUED articles itself.
    """
    connection.execute(_QUEUE_TEXT, {"article_id": article_id})
    if article_id % SEARCH_BATCH == 0 and connection.execute(_LONG_QUEUE).first():
        index_queued_texts(connection, newest=True)


def index_queued_texts(connection: Connection, *, limit: int = SEARCH_BATCH, newest: bool = False) -> int:
    """Put the oldest or newest queued articles into the index of full-text search; return how many."""
    order = SEARCH_QUEUE.c.article_id.desc() if newest else SEARCH_QUEUE.c.article_id
    # Another worker's batch is passed over, not waited for.
    chosen = select(SEARCH_QUEUE.c.article_id).order_by(order).limit(limit).with_for_update(skip_locked=True)
    ids = connection.execute(chosen).scalars().all()
    if not ids:
        return 0
    connection.execute(_UNQUEUE, {"ids": ids})
    save = _SAVE_TERMS_SQLITE if is_sqlite(connection) else _SAVE_TERMS_POSTGRESQL
    if values := _term_values(connection, ids):
        connection.execute(save, values)
    return len(ids)


def count_queued(connection: Connection) -> int:
    """Return how many articles are not in the index of full-text search yet."""
    return int(connection.execute(_COUNT_QUEUED).scalar_one())


def remove_texts(connection: Connection, ids: Collection[int]) -> None:
    """Take articles out of full-text search: before their rows are deleted, or changed in a field that is searched."""
    queued = _UNQUEUE.returning(SEARCH_QUEUE.c.article_id)
    waiting = set(connection.execute(queued, {"ids": ids}).scalars())
    drop = _DROP_TERMS_SQLITE if is_sqlite(connection) else _DROP_TERMS_POSTGRESQL
    if values := _term_values(connection, [each for each in ids if each not in waiting]):
        connection.execute(drop, values)


def requeue_texts(connection: Connection, ids: Collection[int]) -> None:
    """Have articles indexed for full-text search again: call this before a searched field of their rows is changed."""
    remove_texts(connection, ids)
    connection.execute(_QUEUE_TEXT, [{"article_id": each} for each in ids])


def _term_values(connection: Connection, ids: Collection[int]) -> list[dict[str, Any]]:
    """Return the terms of articles in the form that this database takes."""
    form = " ".join if is_sqlite(connection) else _quoted
    rows = connection.execute(_SEARCHED, {"ids": ids}).all() if ids else ()
    return [{"id": row.id, "terms": form(search_terms(row))} for row in rows]


def _quoted(terms: Collection[str]) -> str:
    """Return terms as a `tsvector` is written; none of them has a quotation mark in it."""
    separator = "' '"
    return f"'{separator.join(terms)}'"


def search_labels(row: Row[Any]) -> set[str]:
    """Return the terms by which filters find the article in a row."""
    day = publication_time(row.published_at, row.published_at_from, fetched_at=row.fetched_at)
    labels = {label("source", row.source), label("source", row.host), label("language", row.language)}
    labels.update(date_labels(day))
    if row.section:
        labels.add(label("section", row.section))
    return labels


def search_terms(row: Row[Any]) -> Collection[str]:
    """Return the terms by which full-text search finds the article in a row; the same row always has the same terms."""
    of_title, labels = _terms_of(row.title), search_labels(row)
    terms = _terms_of(row.text) | of_title | labels
    terms.update(map(IN_TITLE.__add__, of_title))
    if sum(map(len, terms)) <= _MAX_TERMS_SIZE:
        return terms
    ordered, size = sorted(terms - labels), 0
    return [*labels, *(term for term in ordered if (size := size + len(term)) <= _MAX_TERMS_SIZE)]


def _terms_of(text: str) -> set[str]:
    """Return the terms of a text: its words without diacritics, those that are written with some, and the pairs."""
    words = search_words(text)
    bare = [word.bare for word in words[:_MAX_SEARCH_WORDS]]
    terms = {word.marked for word in words}
    terms.update(bare, pair_terms(bare))
    terms.discard("")
    return terms


def pair_terms(bare: Iterable[str]) -> Iterable[str]:
    """Return the terms of neighbouring words; no word has the mark between them."""
    return map("_".join, pairwise(bare))


@lru_cache(maxsize=4096)  # the sources, hosts and sections of a corpus, half a megabyte
def label(name: str, value: str) -> str:
    """Return the term of a filter; values that differ in case or diacritics alone are the same."""
    plain = "_".join(word.bare for word in search_words(value)) or value
    return f"{name}={hashlib.blake2b(plain.encode(), digest_size=6).hexdigest()}"


def date_labels(day: date) -> tuple[str, str, str]:
    """Return the terms of a day in UTC: its year, its month and itself."""
    return f"y={day:%Y}", f"m={day:%Y%m}", f"d={day:%Y%m%d}"
