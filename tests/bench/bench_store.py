"""Settles a second with 1, 2, 4 and 8 worker processes: `python -m tests.bench.bench_store [--url URL] [--articles N]`.

Articles are 400 words each, three in ten of them near-copies of another; the copies of one story stand next to each
other in the queue, so that different workers meet over them. Fingerprints are made beforehand. Without a URL the store
is a SQLite file; on a server every number of workers gets the tables emptied.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import pickle
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

from tests.bench.articles import MadeTexts
from worker.dedupe.judge import Deduper
from worker.models import Article, AuditReport, Candidate, Fingerprint, State, Text
from worker.storage.db.schema import METADATA
from worker.storage.store import Store, open_store

WORDS = 400
COPIES = 0.3
EDITED = 0.04
LEASE = timedelta(minutes=5)
SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An article and its fingerprint, ready to be settled."""

    article: Article
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one number of workers reached."""

    workers: int
    seconds: float
    settle_ms: tuple[float, ...]
    books: AuditReport

    def line(self) -> str:
        """Return the figures on one line."""
        cuts = statistics.quantiles(self.settle_ms, n=100)
        done = sum(self.books.counts.values()) - self.books.counts[State.PENDING]
        return (
            f"{self.workers:>7} {done / self.seconds:>12.0f} {cuts[49]:>10.1f} {cuts[98]:>8.1f} "
            f"{self.books.clusters:>9} {'yes' if self.books.balanced else 'NO':>9}"
        )


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_store", description=__doc__)
    parser.add_argument("--url", default="")
    parser.add_argument("--articles", type=int, default=2000)
    parser.add_argument("--workers", default="1,2,4,8")
    options = parser.parse_args(arguments)
    counts = [int(count) for count in options.workers.split(",")]
    prepared = prepare(options.articles)
    stories = len({each.article.external_id for each in prepared})
    sys.stdout.write(f"{len(prepared)} articles, {stories} stories\n")
    sys.stdout.write("workers  settles a s  median ms  p99 ms  clusters  balanced\n")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "articles.pickle"
        path.write_bytes(pickle.dumps(prepared))
        for count in counts:
            url = options.url or f"sqlite:///{folder}/{count}.db"
            sys.stdout.write(f"{measure(url, path, workers=count).line()}\n")
            sys.stdout.flush()


def prepare(count: int, *, seed: int = SEED) -> list[Prepared]:
    """Return articles in the order of the queue: each story followed by its copies."""
    chance, deduper, texts = random.Random(seed), Deduper(), MadeTexts(seed)
    made: list[Prepared] = []
    original: list[str] = []
    story = 0
    for number in range(count):
        others = texts.words(len(original))
        text = [other if chance.random() < EDITED else word for word, other in zip(original, others, strict=True)]
        if not original or chance.random() >= COPIES:
            text = original = texts.words(WORDS)
            story = number
        article = _article(number, story, " ".join(text))
        made.append(Prepared(article=article, fingerprint=deduper.fingerprint(article)))
    return made


def measure(url: str, prepared: Path, *, workers: int) -> Measured:
    """Settle every article with this many processes."""
    empty(url)
    store = open_store(url, parameters=Deduper().parameters)
    articles: list[Prepared] = pickle.loads(prepared.read_bytes())
    store.ledger.enqueue([candidate_of(each.article) for each in articles], now=datetime.now(UTC))
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(workers + 1), context.Queue()
    processes = [context.Process(target=work, args=(url, prepared, start, results)) for _ in range(workers)]
    for process in processes:
        process.start()
    start.wait()
    began = time.perf_counter()
    settle_ms = tuple(ms for _ in processes for ms in results.get())
    seconds = time.perf_counter() - began
    for process in processes:
        process.join()
    books = store.reader.audit()
    store.close()
    return Measured(workers=workers, seconds=seconds, settle_ms=settle_ms, books=books)


def work(url: str, path: Path, start: Barrier, results: Any) -> None:
    """Claim and settle until nothing is left; send back how long each settle took, in milliseconds."""
    prepared: list[Prepared] = pickle.loads(path.read_bytes())
    by_url = {each.article.canonical_url: each for each in prepared}
    store, deduper = open_store(url, parameters=Deduper().parameters), Deduper()
    start.wait()
    took: list[float] = []
    while claims := store.ledger.claim(now=datetime.now(UTC), lease=LEASE, limit=4, worker="bench"):
        took.extend(_settle(store, deduper, by_url[claim.canonical_url], claim) for claim in claims)
    results.put(took)
    store.close()


def _settle(store: Store, deduper: Deduper, each: Prepared, claim: Any) -> float:
    began = time.perf_counter()
    store.ledger.settle(
        claim,
        each.article,
        fingerprint=each.fingerprint,
        judge=lambda neighbours: deduper.judge(each.article, each.fingerprint, neighbours),
        now=datetime.now(UTC),
    )
    return 1000 * (time.perf_counter() - began)


def empty(url: str) -> None:
    """Empty a store on a server; a SQLite file is made anew anyway."""
    if url.startswith("sqlite"):
        return
    engine = create_engine(url)
    with engine.begin() as connection:
        METADATA.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE IF EXISTS search_texts")
        connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")
    engine.dispose()


def _article(number: int, story: int, text: str) -> Article:
    url = f"https://h{number % 50}.example/{number}"
    return Article(
        url=url,
        canonical_url=url,
        source="bench",
        host=f"h{number % 50}.example",
        title=f"Story {story}",
        text=text,
        language="vi",
        fetched_at=datetime(2026, 1, 1, tzinfo=UTC),
        words=WORDS,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        external_id=str(story),
    )


def candidate_of(article: Article) -> Candidate:
    """Return the candidate that brings an article."""
    return Candidate(
        url=article.url,
        canonical_url=article.canonical_url,
        source=article.source,
        reference="bench",
        payload=Text(text=article.text),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
