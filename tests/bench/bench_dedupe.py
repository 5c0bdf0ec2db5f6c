"""Measures how fast copies are recognised: fingerprints against other libraries, whole decisions at two store sizes.

    python -m tests.bench.bench_dedupe [--only fingerprints|decisions|memory] [--sizes 10000 1000000] [--url URL]

Ratios are of runs in one process, best of several rounds. Decisions are whole settles in stores made for the purpose
(`tests.bench.big_store`), from the fingerprint to the commit; a folder given with --keep holds them for another time.
With the URL of a server each store is moved there first, as `migrate-store` does it, in place of what the server held.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import multiprocessing
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from datasketch import LeanMinHash, MinHash, MinHashLSH
from sqlalchemy import Engine, create_engine, event

from tests.bench.articles import SHARED, Piece, read_folder
from tests.bench.bench_store import empty
from tests.bench.big_store import Settled, build, resident, settle
from tests.bench.in_memory_index import as_article
from worker.dedupe.fingerprint import BANDS, PERMUTATIONS, ROWS, fingerprint
from worker.dedupe.judge import Deduper
from worker.dedupe.tokenizer import SHINGLE
from worker.models import Fingerprint
from worker.storage.corpus import index
from worker.storage.db.engine import connect
from worker.storage.db.schema import METADATA
from worker.storage.maintenance.copy_store import move_store

T = TypeVar("T")
Where = TypeVar("Where", Path, str)
_ROUNDS = 5
_WORDS = tuple(
    f"{one}{two}"
    for one in ("b", "ch", "đ", "gi", "h", "kh", "l", "ng", "ph", "tr")
    for two in ("a", "án", "ế", "iêu", "o", "ò", "ú", "ương", "ă", "âm", "ơi", "uyền", "ai", "ao", "anh", "ông", "inh")
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurements asked for and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("fingerprints", "decisions", "memory"))
    parser.add_argument("--sizes", type=int, nargs="+", default=(10_000, 1_000_000))
    parser.add_argument("--keep", type=Path, help="a folder for the stores that decisions are timed in")
    parser.add_argument("--url", default="", help="a PostgreSQL store to take decisions in; its tables are emptied")
    asked = parser.parse_args(argv)
    parts: dict[str, Callable[[], Iterable[str]]] = {
        "fingerprints": fingerprints,
        "decisions": lambda: decisions(asked.sizes, asked.keep, asked.url),
        "memory": lambda: in_memory(min(asked.sizes)),
    }
    for name, part in parts.items():
        if asked.only in (None, name):
            for line in part():
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
    return 0


def fingerprints() -> Iterator[str]:
    """Time fingerprints from text against datasketch's loop and, where it is installed, the Rust package rensa."""
    texts = _texts()
    deduper = Deduper()
    articles = [as_article(Piece(key=str(place), title="", text=each)) for place, each in enumerate(texts)]
    deduper.fingerprint(articles[0])
    ours = _each(lambda: [deduper.fingerprint(article) for article in articles], len(texts))
    few = texts[:20]
    loop = _each(lambda: [_by_loop(each) for each in few], len(few), rounds=2)
    yield f"fingerprints of {len(texts)} texts of 500 words, {PERMUTATIONS} permutations, one core"
    yield f"  from text, with bands and anchors  {1 / ours:8,.0f}/s"
    yield f"  MinHash.update in a loop           {1 / loop:8,.0f}/s: ours is {loop / ours:.1f} times as fast (goal 20)"
    try:
        rensa = importlib.import_module("rensa")
    except ImportError:
        yield "  rensa is not installed: not compared (pip install rensa)"
        return
    rust = _each(lambda: [rensa.RMinHash(PERMUTATIONS, 1).update(_strings(each)) for each in texts], len(texts))
    yield f"  rensa from text                    {1 / rust:8,.0f}/s: ours is {rust / ours:.1f} times as fast (goal 1.5)"


def decisions(sizes: Sequence[int], keep: Path | None, url: str) -> Iterator[str]:
    """Time whole settles in stores of several sizes, each in its own process."""
    measured: list[Settled] = []
    with tempfile.TemporaryDirectory() as folder:
        for size in sorted(sizes):
            path = (keep or Path(folder)) / f"{size}.db"
            if not path.exists():
                _alone(build, path, size)
            if url:
                yield _moved(path, url)
            found = _alone(settle, url or f"sqlite:///{path}", size)
            measured.append(found)
            yield (
                f"{size:9,} articles: settled in {found.median_ms:.1f} ms (median), {found.slow_ms:.1f} ms (99th"
                f" percentile), {found.cpu_ms:.1f} and {found.slow_cpu_ms:.1f} ms of processor time;"
                f" {found.copies} copies of {found.asked} found;"
                f" {_disk(url, path) / size:,.0f} bytes of disk an article; process {found.megabytes:.0f} MB"
            )
    if len(measured) > 1:
        first, last = measured[0], measured[-1]
        yield (
            f"  ratio: median {last.median_ms / first.median_ms:.2f}, 99th percentile"
            f" {last.slow_ms / first.slow_ms:.2f} (goal 3); memory {last.megabytes - first.megabytes:+.0f} MB (goal 50)"
        )


def _moved(path: Path, url: str) -> str:
    """Move a built store to a server, let the server count what it holds, and tell how long the move took."""
    empty(url)
    began = time.perf_counter()
    rows = sum(each.rows for each in move_store(f"sqlite:///{path}", url, now=datetime.now(UTC)))
    seconds = time.perf_counter() - began
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    engine.dispose()
    return f"moved {rows:,} rows in {seconds:,.0f} s, compared"


def _disk(url: str, path: Path) -> int:
    with closing(connect(url or f"sqlite:///{path}")) as database:
        return database.size() or 0


def _alone(work: Callable[[Where, int], T], where: Where, size: int) -> T:
    """Do something in a process of its own, whose memory tells only of that."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return pool.apply(work, (where, size))


def in_memory(size: int) -> Iterator[str]:
    """Compare with datasketch's in-memory index on the same signatures: throughput, and memory an article."""
    prints = [_made(number) for number in range(size)]
    hashes = [LeanMinHash.deserialize(each.signature, byteorder="<") for each in prints]
    gc.collect()
    before, began = resident(), time.perf_counter()
    lsh = MinHashLSH(params=(BANDS, ROWS), num_perm=PERMUTATIONS)
    for number, each in enumerate(hashes):
        lsh.query(each)
        lsh.insert(number, each)
    seconds = time.perf_counter() - began
    yield f"{size:,} articles, query and insert"
    yield f"  datasketch MinHashLSH in memory  {_rate(size, seconds, before)}"
    with tempfile.TemporaryDirectory() as folder:
        engine = _engine(Path(folder) / "index.db")
        before, began = resident(), time.perf_counter()
        with engine.begin() as connection:
            for number, made in enumerate(prints):
                index.find_near(connection, made, limit=16)
                index.add(connection, number, made)
        seconds = time.perf_counter() - began
        engine.dispose()
    yield f"  rows in SQLite                   {_rate(size, seconds, before)}"


def _rate(size: int, seconds: float, before: int) -> str:
    return f"{size / seconds:8,.0f}/s, {(resident() - before) / size:,.0f} bytes of memory an article"


def _texts() -> list[str]:
    """Return texts of 500 words: real Vietnamese ones where the shared data is there, else made ones."""
    folder = SHARED / "data" / "vi" / "vfnd"
    found = [" ".join(each.text.split()[:500]) for each in read_folder(folder)] if folder.is_dir() else []
    long = [each for each in found if len(each.split()) == 500]
    return long or [_text(number, length=500) for number in range(100)]


def _each(work: Callable[[], object], count: int, *, rounds: int = _ROUNDS) -> float:
    """Return seconds for one of `count`, the best of several rounds: what else runs only makes it slower."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best / count


def _strings(body: str) -> list[str]:
    cut = body.lower().split()
    return [" ".join(cut[place : place + SHINGLE]) for place in range(len(cut) - SHINGLE + 1)]


def _by_loop(body: str) -> MinHash:
    minhash = MinHash(num_perm=PERMUTATIONS)
    for shingle in _strings(body):
        minhash.update(shingle.encode())
    return minhash


def _text(number: int, *, length: int = 300) -> str:
    """Return the text of a made article: random words in sentences of twelve."""
    drawn = random.Random(number).choices(_WORDS, k=length)
    return ". ".join(" ".join(drawn[place : place + 12]) for place in range(0, length, 12))


def _made(number: int) -> Fingerprint:
    return fingerprint(_text(number))


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}")
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    METADATA.create_all(engine, tables=[index.INDEX_KEYS, index.FINGERPRINTS])
    return engine


def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -32768"):
        connection.execute(f"PRAGMA {pragma}")


if __name__ == "__main__":
    sys.exit(main())
