"""Builds a store of any size for measuring, as if every article had been ingested, and settles newcomers into it.

Articles are made: eighteen sentences of sixteen words, drawn like words of a language are, the frequent ones often. In
one sentence of nine they repeat each other: stock phrases, the commonest of which stand in thousands of articles. All
rows that ingesting writes are there. At most _REAL articles, spread over the whole store, are fingerprinted; the others
have rows of the same sizes, copied from these, and random index keys, so that no newcomer meets them.
"""

from __future__ import annotations

import hashlib
import json
import random
import resource
import sqlite3
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Insert, Table, column, create_engine, insert, literal_column, select, text

from worker.dedupe.fingerprint import fingerprint
from worker.dedupe.judge import Deduper
from worker.models import Article, Candidate, Claim, State, Text
from worker.storage.corpus.index import FINGERPRINTS, MAX_POSTINGS
from worker.storage.db.codec import rights_to_json
from worker.storage.db.schema import ARTICLES, CANDIDATES, DECISIONS, STANDINGS
from worker.storage.store import Store, open_store

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_LEASE = timedelta(minutes=5)
_SENTENCES, _WORDS, _STOCK = 18, 16, 2000
_FIRST = ("b", "c", "ch", "d", "đ", "g", "h", "k", "l", "m", "n", "ng", "ph", "t", "tr")
_LAST = ("a", "à", "á", "an", "ê", "i", "ơ", "u", "ương", "ông", "inh")
_SYLLABLES = [first + last for first in _FIRST for last in _LAST]
_VOCABULARY = [one + two for one in _SYLLABLES for two in ("", *_SYLLABLES[::9])]
_ODDS = (1 / np.arange(3, len(_VOCABULARY) + 3)).cumsum()
_CHUNK = 2000
_REAL = 50_000
_KEYS = 36
_VERDICT = json.dumps({"relation": "unique"})
_COPIED = (
    (CANDIDATES, {"id": "id + {step}", "url": "url || '#{step}'", "canonical_url": "canonical_url || '#{step}'"}),
    (ARTICLES, {"id": "id + {step}", "candidate_id": "id + {step}", "canonical_url": "canonical_url || '#{step}'"}),
    (FINGERPRINTS, {"article_id": "article_id + {step}"}),
    (STANDINGS, {"article_id": "article_id + {step}", "cluster": "cluster + {step}"}),
    (DECISIONS, {"id": "id + {step}", "article_id": "article_id + {step}"}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How long whole settles took, how many newcomers were judged copies, and how much memory the process held."""

    asked: int
    median_ms: float
    slow_ms: float
    cpu_ms: float
    slow_cpu_ms: float
    copies: int
    megabytes: float


def text_of(number: int) -> str:
    """Return the text of a made article, always the same for one number."""
    rng = np.random.default_rng(number)
    drawn = np.searchsorted(_ODDS, rng.random(_SENTENCES * _WORDS) * _ODDS[-1])
    words = [_VOCABULARY[place] for place in drawn.tolist()]
    lines = [" ".join(words[place : place + _WORDS]) + "." for place in range(0, len(words), _WORDS)]
    for place in rng.choice(_SENTENCES, size=2, replace=False).tolist():
        lines[place] = _stock(int(_STOCK ** rng.random()))
    return "\n".join(lines)


@cache
def _stock(number: int) -> str:
    drawn = random.Random(number).choices(_VOCABULARY, k=_WORDS)
    return " ".join(drawn) + "."


def edited(number: int) -> str:
    """Return a copy of a made article with one word in twenty replaced."""
    rng = random.Random(number)
    lines = text_of(number).split("\n")
    return "\n".join(
        " ".join(rng.choice(_VOCABULARY) if rng.random() < 0.05 else word for word in line.split()) for line in lines
    )


def build(path: Path, size: int) -> None:
    """Build a store of so many articles at a path."""
    url, apart = f"sqlite:///{path}", max(1, size // _REAL)
    open_store(url, parameters=Deduper().parameters).close()
    keys: list[NDArray[np.int64]] = []
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA synchronous = OFF")
        for first in range(0, size, _CHUNK * apart):
            numbers = range(first, min(first + _CHUNK * apart, size), apart)
            for table, rows in _rows(numbers, keys).items():
                connection.execute(insert(table), rows)
            connection.commit()
        connection.exec_driver_sql("CREATE TEMP TABLE real AS SELECT id FROM articles")
        for step in range(1, apart):
            for statement in _copying(step):
                connection.execute(statement)
            connection.commit()
    engine.dispose()
    _write_keys(path, [*keys, *_random_keys(size, apart)])


def _copying(step: int) -> Iterator[Insert]:
    """Return statements that copy the real rows to the ids `step` further on."""
    for table, changed in _COPIED:
        names = [each.name for each in table.columns if each.computed is None]
        values: list[ColumnElement[object]] = [
            literal_column(changed.get(name, name).format(step=step)) for name in names
        ]
        real = literal_column(next(iter(changed))).in_(text("SELECT id FROM real").columns(column("id")))
        yield insert(table).from_select(names, select(*values).select_from(table).where(real))


def _random_keys(size: int, apart: int) -> Iterator[NDArray[np.int64]]:
    owners = np.array([number for number in range(size) if number % apart], dtype=np.int64)
    drawn = np.random.default_rng(1).integers(-(1 << 63), (1 << 63) - 1, size=len(owners) * _KEYS)
    yield np.stack((drawn, np.repeat(owners, _KEYS)))


def _rows(numbers: range, keys: list[NDArray[np.int64]]) -> dict[Table, list[dict[str, object]]]:
    rows: dict[Table, list[dict[str, object]]] = {
        table: [] for table in (CANDIDATES, ARTICLES, FINGERPRINTS, STANDINGS, DECISIONS)
    }
    for number in numbers:
        article = article_of(number, text_of(number))
        made = fingerprint(article.text)
        own = np.array(sorted({*made.bands, *made.anchors}), dtype=np.int64)
        keys.append(np.stack((own, np.full(len(own), number))))
        rows[CANDIDATES].append(_candidate_row(number, article))
        rows[ARTICLES].append(_article_row(number, article))
        rows[FINGERPRINTS].append(
            {
                "article_id": number,
                "signature": made.signature,
                "bands": np.array(made.bands, dtype="<i8").tobytes(),
                "anchors": np.array(made.anchors, dtype="<i8").tobytes(),
                "shingles": made.shingles,
            }
        )
        rows[STANDINGS].append({"article_id": number, "cluster": number, "head": True, "relation": "unique"})
        rows[DECISIONS].append(
            {"id": number, "article_id": number, "at": _NOW, "verdict": json.dumps({"relation": "unique"})}
        )
    return rows


def _candidate_row(number: int, article: Article) -> dict[str, object]:
    return {
        "id": number,
        "url": article.url,
        "canonical_url": article.canonical_url,
        "source": article.source,
        "reference": "bench",
        "host": article.host,
        "state": State.STORED,
        "discovered_at": _NOW,
        "due_at": _NOW,
        "article_id": number,
    }


def _article_row(number: int, article: Article) -> dict[str, object]:
    row: dict[str, object] = {column.name: getattr(article, column.name, None) for column in ARTICLES.columns}
    as_stored = {"authors": "[]", "notes": "[]", "tags": None, "fields_from": None, "revision": 1}
    return {**row, **as_stored, "id": number, "candidate_id": number, "rights": rights_to_json(article.rights)}


def _write_keys(path: Path, keys: list[NDArray[np.int64]]) -> None:
    """Write index rows in the order of the key, no more for one key than the store takes."""
    every, owners = np.concatenate(keys, axis=1)
    order = np.lexsort((owners, every))
    every, owners = every[order], owners[order]
    starts = np.maximum.accumulate(np.where(np.append(True, every[1:] != every[:-1]), np.arange(len(every)), 0))
    kept = np.arange(len(every)) - starts < MAX_POSTINGS
    every, owners = every[kept], owners[kept]
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for start in range(0, len(every), 500_000):
            part = slice(start, start + 500_000)
            rows = zip(every[part].tolist(), owners[part].tolist(), strict=True)
            connection.executemany("INSERT INTO index_keys (key, article_id) VALUES (?, ?)", rows)
    connection.close()


def article_of(number: int, text: str) -> Article:
    """Return a made article as the extractor would have handed it on."""
    host = f"h{number % 500}.example"
    url = f"https://{host}/{number}"
    return Article(
        url=url,
        canonical_url=url,
        source="bench",
        host=host,
        title=" ".join(text.split(maxsplit=8)[:8]),
        text=text,
        language="vi",
        fetched_at=_NOW,
        words=len(text.split()),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        published_at=_NOW,
    )


def settle(url: str, size: int, *, asked: int = 1000, warm: int = 200) -> Settled:
    """Settle newcomers into a built store and take the times: every other one is an edited copy of a stored article."""
    deduper = Deduper()
    store = open_store(url, parameters=deduper.parameters)
    times, spent, copies = [], [], 0
    for turn, (claim, article) in enumerate(_newcomers(store, size, asked + warm)):
        began, before = time.perf_counter(), time.process_time()
        copies += _decided(store, deduper, claim, article) and turn >= warm
        times.append(1000 * (time.perf_counter() - began))
        spent.append(1000 * (time.process_time() - before))
    store.close()
    cuts, cpu = statistics.quantiles(times[warm:], n=100), statistics.quantiles(spent[warm:], n=100)
    return Settled(
        asked=asked,
        median_ms=cuts[49],
        slow_ms=cuts[98],
        cpu_ms=cpu[49],
        slow_cpu_ms=cpu[98],
        copies=copies,
        megabytes=resident() / 1e6,
    )


def _decided(store: Store, deduper: Deduper, claim: Claim, article: Article) -> bool:
    """Do everything that an extracted article costs: fingerprint, neighbours, judge, and all rows, committed."""
    made = deduper.fingerprint(article)
    outcome = store.ledger.settle(
        claim,
        article,
        fingerprint=made,
        judge=lambda neighbours: deduper.judge(article, made, neighbours),
        now=datetime.now(UTC),
    )
    return outcome is not None and outcome.state is State.DUPLICATE


def _newcomers(store: Store, size: int, count: int) -> Iterator[tuple[Claim, Article]]:
    apart = max(1, size // _REAL)
    stored = (np.random.default_rng(1).integers(0, size // apart, size=count) * apart).tolist()
    # Other ones each time: a store that is kept has those of the time before.
    base = time.time_ns() // 1_000_000
    texts = [edited(old) if turn % 2 else text_of(base + turn) for turn, old in enumerate(stored)]
    articles = {each.url: each for each in (article_of(base + turn, text) for turn, text in enumerate(texts))}
    candidates = [
        Candidate(url=url, canonical_url=url, source="bench", reference="bench", payload=Text(text=each.text))
        for url, each in articles.items()
    ]
    store.ledger.enqueue(candidates, now=datetime.now(UTC))
    while claims := store.ledger.claim(now=datetime.now(UTC), lease=_LEASE, limit=16, worker="bench"):
        yield from ((claim, articles[claim.canonical_url]) for claim in claims if claim.canonical_url in articles)


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()
