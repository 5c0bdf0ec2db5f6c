"""How long searches take in a large corpus, and what the index costs a settle; `bench_web` measures the pages.

`python -m tests.bench.bench_search [--articles N] [--url URL] [--queries N]`: texts of 400 made words, drawn like those
of a language, the frequent ones often. Queries are one to four words drawn alike, as they are written or without
diacritics, in any order or as a phrase, some with a minus or a month. Without a URL the store is a SQLite file. A store
that has the articles is not filled again.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import Connection, func, insert, select, text

from tests.bench.articles import MadeTexts
from tests.bench.bench_store import Prepared, candidate_of, prepare
from worker.dedupe.judge import Deduper
from worker.models import Comparison, Relation, Rights, State, Verdict
from worker.storage.corpus import search_index
from worker.storage.db.codec import rights_to_json, verdict_to_json
from worker.storage.db.schema import ARTICLES, CANDIDATES, DECISIONS, EVENTS, STANDINGS
from worker.storage.db.schema import SOURCES as SOURCE_STATES
from worker.storage.db.sql import is_sqlite
from worker.storage.store import Store, open_store

WORDS = 400
SEED = 11
BATCH = 1000
SETTLED = 640  # a multiple of the batch of the index, so that its whole cost is seen
PACE = timedelta(seconds=20)  # between two articles: some 4,000 a day
SOURCES, HOSTS = 20, 200
RIGHTS = rights_to_json(Rights())
FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)
_COUNT = select(func.count()).select_from(ARTICLES)
KINDS = ("one word", "two words", "four words", "phrase", "minus", "month")


def main(arguments: list[str]) -> None:
    """Fill, search, settle, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_search", description=__doc__)
    add_store_options(parser)
    parser.add_argument("--queries", type=int, default=600)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, filled_store(options, Path(folder)) as store:
        measure_searches(store, options.queries)
        measure_settles(store)


def add_store_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which store is filled, and how far."""
    parser.add_argument("--url", default="")
    parser.add_argument("--articles", type=int, default=100_000)


@contextmanager
def filled_store(options: argparse.Namespace, folder: Path) -> Iterator[Store]:
    """Open the store of the options, one in a folder if none is named, and fill it."""
    url = options.url or f"sqlite:///{folder / 'corpus.db'}"
    with open_store(url, parameters=Deduper().parameters) as store:
        began = time.perf_counter()
        added = fill(store, options.articles)
        tell(f"{added:,} articles added in {time.perf_counter() - began:.0f} s, {size(store)}")
        yield store


def tell(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def size(store: Store) -> str:
    """Return the size of the store."""
    return f"{(store.reader.database.size() or 0) / 1e6:,.0f} MB"


def fill(store: Store, count: int) -> int:
    """Add articles to a store until it has so many, with their rows in the index of search; return how many."""
    database = store.reader.database
    while store.index_queued_texts(limit=BATCH):
        continue
    stored = database.read(lambda each: each.execute(_COUNT).scalar_one())
    # SQLite gathers the terms of many texts before it writes a part of the index: fewer parts to merge.
    database.write(gather, 1 << 26)
    database.write(add_sources)
    now = datetime.now(UTC)
    for start in range(stored + 1, count + 1, BATCH):
        texts, numbers = MadeTexts(start), range(start, min(count + 1, start + BATCH))
        database.write(add, [row(each, texts, at=now - PACE * (count - each)) for each in numbers])
    database.write(gather, 1 << 20)
    database.write(continue_ids)
    return max(0, count - stored)


def add_sources(connection: Connection) -> None:
    """Insert the sources, if there are none."""
    if connection.execute(select(SOURCE_STATES.c.name).limit(1)).first() is None:
        now = datetime.now(UTC)
        names = [{"name": f"s{each}", "due_at": now, "polled_at": now, "succeeded_at": now} for each in range(SOURCES)]
        connection.execute(insert(SOURCE_STATES), names)


def gather(connection: Connection, size: int) -> None:
    """Set how many bytes of terms SQLite gathers (FTS5's `hashsize`, a megabyte by default)."""
    if is_sqlite(connection):
        statement = text("INSERT INTO search_texts (search_texts, rank) VALUES ('hashsize', :size)")
        connection.execute(statement, {"size": size})


def continue_ids(connection: Connection) -> None:
    """Have PostgreSQL give the next rows ids after those that were given here."""
    if not is_sqlite(connection):
        for table in (ARTICLES, CANDIDATES, EVENTS, DECISIONS):
            newest = f"setval(pg_get_serial_sequence('{table.name}', 'id'), max(id))"
            connection.execute(text(f"SELECT {newest} FROM {table.name}"))


def row(number: int, texts: MadeTexts, *, at: datetime) -> dict[str, Any]:
    """Return the values of an article that was stored at a time."""
    published, host = FIRST_DAY + timedelta(minutes=number), f"h{number % HOSTS}.example"
    return {
        "id": number, "kind": "article", "candidate_id": 2 * number, "url": f"https://{host}/{number}",
        "canonical_url": f"https://{host}/{number}", "source": f"s{number % SOURCES}",
        "host": host, "title": texts.text(10), "text": texts.text(WORDS), "language": "vi", "fetched_at": at,
        "published_at": published, "published_at_from": "meta", "words": WORDS, "sha256": "",
        "authors": "[]", "rights": RIGHTS, "notes": "[]", "revision": 1,
    }  # fmt: skip


def add(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert articles with what ingesting them writes, and rejected pages between them; every fourth is a copy."""
    connection.execute(insert(CANDIDATES), [made for each in rows for made in candidates_of(each)])
    connection.execute(insert(ARTICLES), rows)
    connection.execute(insert(STANDINGS), list(map(standing_of, rows)))
    connection.execute(insert(DECISIONS), list(map(decision_on, rows)))
    connection.execute(insert(EVENTS), [made for each in rows for made in events_of(each)])
    connection.execute(insert(search_index.SEARCH_QUEUE), [{"article_id": each["id"]} for each in rows])
    search_index.index_queued_texts(connection, limit=len(rows))


def is_copy(number: int) -> bool:
    """Whether an article is a copy of the one before."""
    return number % 4 == 0


def is_rejected(number: int) -> bool:
    """Whether a page after this article was rejected."""
    return number % 8 == 1


def candidates_of(article: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the candidate of an article, and perhaps one that was rejected after it."""
    number, at = article["id"], article["fetched_at"]
    known = {"source": article["source"], "reference": "", "host": article["host"], "discovered_at": at, "due_at": at}
    state = State.DUPLICATE if is_copy(number) else State.STORED
    reason = Relation.COPY if is_copy(number) else Relation.UNIQUE
    named = {"url": article["url"], "canonical_url": article["url"], "title": article["title"]}
    yield {**known, **named, "id": 2 * number, "state": state, "reason": reason, "detail": "", "article_id": number}
    if is_rejected(number):
        named = {"url": f"{article['url']}/r", "canonical_url": f"{article['url']}/r", "title": article["title"]}
        short = {"reason": "too_short", "detail": f"{number % 80} words, and at least 80 are wanted"}
        yield {**known, **named, **short, "id": 2 * number + 1, "state": State.REJECTED, "article_id": None}


def events_of(article: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the history of the candidates of an article."""
    for each in candidates_of(article):
        known = {"candidate_id": each["id"], "at": each["due_at"]}
        yield {**known, "what": "fetched", "detail": "200, 40 kB"}
        yield {**known, "what": each["state"], "detail": f"{each['reason']}: {each['detail']}"}


def standing_of(article: dict[str, Any]) -> dict[str, Any]:
    """Return the standing of an article."""
    number = article["id"]
    if not is_copy(number):
        return {"article_id": number, "cluster": number, "head": True, "relation": Relation.UNIQUE}
    copied = {"cluster": number - 1, "judged_against": number - 1, "jaccard": 0.9, "containment": 0.95}
    return {"article_id": number, "head": False, "relation": Relation.COPY, **copied}


def decision_on(article: dict[str, Any]) -> dict[str, Any]:
    """Return the verdict on an article; the judge is less certain of some copies than of others."""
    number = article["id"]
    considered: tuple[Comparison, ...] = ()
    if is_copy(number):
        considered = (
            Comparison(
                article=number - 1, relation=Relation.COPY, rule="the judge", jaccard=0.9, containment=0.95,
                shared_words=WORDS, probability=0.5 + number % 997 / 2000, notes=("for: the same title",),
            ),
        )  # fmt: skip
    relation = Relation.COPY if considered else Relation.UNIQUE
    verdict = Verdict(relation=relation, head=not considered, best=next(iter(considered), None), considered=considered)
    return {"article_id": number, "at": article["fetched_at"], "verdict": verdict_to_json(verdict)}


def queries(count: int) -> Iterator[tuple[str, str]]:
    """Yield kinds of queries and queries, made of the words of texts."""
    chance, texts = random.Random(SEED + 1), MadeTexts(SEED)
    for number in range(count):
        words = texts.text(4).split()
        if number % 2:
            words = [search_index.search_words(word)[0].bare for word in words]
        one, two, three, _ = words
        kind = KINDS[number // 2 % len(KINDS)]
        yield (
            kind,
            {
                "one word": one,
                "two words": f"{one} {two}",
                "four words": " ".join(words),
                "phrase": f'"{one} {two}"',
                "minus": f"{one} {two} -{three}",
                "month": f"{one} {two} from:2020-0{chance.randint(1, 3)}",
            }[kind],
        )


def measure_searches(store: Store, count: int) -> None:
    """Print the median, the 95th percentile and the longest time of the searches of each kind.

    Processor time is that of this process: on a busy machine it says more, but a server's own is not in it.
    """
    took: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    found: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for kind, query in queries(count):
        began, before = time.perf_counter(), time.process_time()
        result = store.reader.search(query)
        took[kind].append((1000 * (time.perf_counter() - began), 1000 * (time.process_time() - before)))
        found[kind].append(len(result.hits))
    tell("kind         median ms  p95 ms  longest ms  processor: median ms  p95 ms  results on a page")
    for kind, each in [*took.items(), ("all", [pair for of_kind in took.values() for pair in of_kind])]:
        elapsed, spent = (statistics.quantiles(column, n=100) for column in zip(*each, strict=True))
        shown = f"{statistics.mean(found[kind]):.1f}" if kind in found else ""
        shares = f"{elapsed[49]:>9.1f} {elapsed[94]:>7.1f} {max(each)[0]:>11.1f} {spent[49]:>21.1f} {spent[94]:>7.1f}"
        tell(f"{kind:<12} {shares}  {shown}")


def renamed(made: Prepared, now: datetime) -> Prepared:
    """Return an article under an address of this run: a store that is kept has those of the runs before."""
    url = f"{made.article.url}-{now:%Y%m%d%H%M%S}"
    return replace(made, article=replace(made.article, url=url, canonical_url=url))


def measure_settles(store: Store) -> None:
    """Print the time of whole settles, the share of it that search takes, and the time of indexing beside them."""
    spent: list[float] = []
    indexing = 0.0
    queue_text = search_index.queue_text

    def timed(connection: Connection, article_id: int) -> None:
        began = time.perf_counter()
        queue_text(connection, article_id)
        spent.append(time.perf_counter() - began)

    now = datetime.now(UTC)
    deduper, prepared = Deduper(), [renamed(each, now) for each in prepare(SETTLED, seed=int(now.timestamp()))]
    by_url = {each.article.canonical_url: each for each in prepared}
    store.ledger.enqueue([candidate_of(each.article) for each in prepared], now=now)
    took = []
    with patch.object(search_index, "queue_text", timed):
        while claims := store.ledger.claim(now=now, lease=timedelta(hours=1), limit=16, worker="bench"):
            for claim in claims:
                each = by_url[claim.canonical_url]
                began = time.perf_counter()
                store.ledger.settle(
                    claim,
                    each.article,
                    fingerprint=each.fingerprint,
                    judge=partial(deduper.judge, each.article, each.fingerprint),
                    now=now,
                )
                took.append(time.perf_counter() - began)
            if len(took) % search_index.SEARCH_BATCH == 0:
                began = time.perf_counter()
                store.index_queued_texts()
                indexing += time.perf_counter() - began
    share = sum(spent) / (sum(took) - sum(spent))
    tell(f"settle: {1000 * statistics.mean(took):.2f} ms on average, {share:.1%} dearer than without the index")
    tell(f"indexing, beside the settles: {1000 * indexing / len(took):.2f} ms an article")


if __name__ == "__main__":
    main(sys.argv[1:])
