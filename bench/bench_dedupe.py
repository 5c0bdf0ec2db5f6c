"""Measures how fast copies are recognised: fingerprints against other libraries, whole decisions at two store sizes.

    python -m bench.bench_dedupe [--only fingerprints|decisions|memory] [--sizes 10000 1000000]

Ratios are of runs in one process, best of several rounds. Decisions run on a store made for the purpose: some articles
with texts of random words, and index rows of random keys for all the others, built by bulk insert in key order.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import multiprocessing
import random
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasketch import LeanMinHash, MinHash, MinHashLSH
from sqlalchemy import Column, Engine, Integer, MetaData, Table, Text, create_engine, event, insert, select

from bench.articles import SHARED, Piece, read_folder
from bench.meeting import as_article, as_neighbour
from worker.dedupe import Deduper
from worker.dedupe.deduper import fingerprint
from worker.dedupe.signature import BANDS, PERMUTATIONS, ROWS
from worker.dedupe.words import SHINGLE
from worker.models import Fingerprint
from worker.storage import index
from worker.storage.metadata import METADATA

_ROUNDS = 5
_ASKED = 1000
_WARM = 500
_REAL = 2000
_CHUNK = 1_000_000
_BENCH = MetaData()
_TEXTS = Table("texts", _BENCH, Column("id", Integer, primary_key=True), Column("text", Text, nullable=False))
_WORDS = tuple(
    f"{one}{two}"
    for one in ("b", "ch", "đ", "gi", "h", "kh", "l", "ng", "ph", "tr")
    for two in ("a", "án", "ế", "iêu", "o", "ò", "ú", "ương", "ă", "âm", "ơi", "uyền", "ai", "ao", "anh", "ông", "inh")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """How long decisions took in one store, how many copies were found, and how much memory the process held."""

    median_ms: float
    slow_ms: float
    copies: int
    megabytes: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurements asked for and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("fingerprints", "decisions", "memory"))
    parser.add_argument("--sizes", type=int, nargs="+", default=(10_000, 1_000_000))
    asked = parser.parse_args(argv)
    parts: dict[str, Callable[[], Iterable[str]]] = {
        "fingerprints": fingerprints,
        "decisions": lambda: decisions(asked.sizes),
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


def decisions(sizes: Sequence[int]) -> Iterator[str]:
    """Time whole decisions (candidates, exact check, write) in stores of several sizes, each in its own process."""
    measured: list[Decided] = []
    for size in sorted(sizes):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "store.db"
            context = multiprocessing.get_context("spawn")
            with context.Pool(1, maxtasksperchild=1) as pool:
                began = time.perf_counter()
                pool.apply(build, (path, size))
                built = time.perf_counter() - began
            with context.Pool(1, maxtasksperchild=1) as pool:
                found = pool.apply(decide, (path, size))
            disk = path.stat().st_size
        measured.append(found)
        yield (
            f"{size:9,} articles: decision median {found.median_ms:.2f} ms, 99th percentile {found.slow_ms:.2f} ms;"
            f" {found.copies} copies of {_ASKED} found; {disk / size:,.0f} bytes of disk an article without texts;"
            f" process {found.megabytes:.0f} MB (built in {built:.0f} s)"
        )
    if len(measured) > 1:
        first, last = measured[0], measured[-1]
        yield (
            f"  ratio: median {last.median_ms / first.median_ms:.2f}, 99th percentile"
            f" {last.slow_ms / first.slow_ms:.2f} (goal 3); memory {last.megabytes - first.megabytes:+.0f} MB (goal 50)"
        )


def in_memory(size: int) -> Iterator[str]:
    """Compare with datasketch's in-memory index on the same signatures: throughput, and memory an article."""
    prints = [_made(number) for number in range(size)]
    hashes = [LeanMinHash.deserialize(each.signature, byteorder="<") for each in prints]
    gc.collect()
    before, began = _resident(), time.perf_counter()
    lsh = MinHashLSH(params=(BANDS, ROWS), num_perm=PERMUTATIONS)
    for number, each in enumerate(hashes):
        lsh.query(each)
        lsh.insert(number, each)
    seconds = time.perf_counter() - began
    yield f"{size:,} articles, query and insert"
    yield f"  datasketch MinHashLSH in memory  {_rate(size, seconds, before)}"
    with tempfile.TemporaryDirectory() as folder:
        engine = _engine(Path(folder) / "index.db")
        before, began = _resident(), time.perf_counter()
        with engine.begin() as connection:
            for number, made in enumerate(prints):
                index.near(connection, made, limit=16)
                index.add(connection, number, made)
        seconds = time.perf_counter() - began
        engine.dispose()
    yield f"  rows in SQLite                   {_rate(size, seconds, before)}"


def _rate(size: int, seconds: float, before: int) -> str:
    return f"{size / seconds:8,.0f}/s, {(_resident() - before) / size:,.0f} bytes of memory an article"


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
    drawn = random.Random(number).choices(_WORDS, k=length)  # noqa: S311 - repeatable, no secret
    return ". ".join(" ".join(drawn[place : place + 12]) for place in range(0, length, 12))


def _made(number: int) -> Fingerprint:
    return fingerprint(_text(number))


def build(path: Path, size: int) -> None:
    """Build a store: _REAL articles with their texts, and index rows of random keys for all the others."""
    engine = _engine(path)
    real = {number: _made(number) for number in range(_REAL)}
    keys = [np.array([*each.bands, *each.anchors], dtype=np.int64) for each in real.values()]
    others = np.random.default_rng(1).integers(-(1 << 63), (1 << 63) - 1, size=(size - _REAL, len(keys[0])))
    every = np.concatenate([*keys, others.reshape(-1)])
    owners = np.concatenate(
        [
            np.repeat(np.arange(_REAL), [len(each) for each in keys]),
            np.repeat(np.arange(_REAL, size), len(keys[0])),
        ]
    )
    order = np.argsort(every)
    with sqlite3.connect(path) as connection:
        for start in range(0, len(order), _CHUNK):
            part = order[start : start + _CHUNK]
            rows = zip(every[part].tolist(), owners[part].tolist(), strict=True)
            connection.executemany("INSERT INTO index_keys (key, article_id) VALUES (?, ?)", rows)
        connection.executemany("INSERT INTO texts VALUES (?, ?)", ((number, _text(number)) for number in real))
    connection.close()
    engine.dispose()


def decide(path: Path, size: int) -> Decided:
    """Decide about _ASKED newcomers, every other one an edited copy of a stored article, each in its transaction."""
    engine, deduper = _engine(path), Deduper()
    times, copies = [], 0
    for turn in range(_WARM + _ASKED):
        number = size + turn
        newcomer = Piece(key=str(number), title="", text=_edited(turn) if turn % 2 else _text(number))
        began = time.perf_counter()
        copies += _settle(engine, deduper, newcomer, number) and turn >= _WARM
        times.append(time.perf_counter() - began)
    engine.dispose()
    counted = sorted(times[_WARM:])
    return Decided(
        median_ms=statistics.median(counted) * 1e3,
        slow_ms=counted[int(0.99 * len(counted))] * 1e3,
        copies=copies,
        megabytes=_resident() / 1e6,
    )


def _settle(engine: Engine, deduper: Deduper, newcomer: Piece, number: int) -> bool:
    article = as_article(newcomer)
    made = deduper.fingerprint(article)
    with engine.begin() as connection:
        hits = [hit.article_id for hit in index.near(connection, made, limit=16)]
        found = connection.execute(select(_TEXTS).where(_TEXTS.c.id.in_(hits))).all()
        neighbours = [as_neighbour(Piece(key="", title="", text=row.text), number=row.id) for row in found]
        verdict = deduper.judge(article, made, neighbours)
        connection.execute(insert(_TEXTS).values(id=number, text=newcomer.text))
        index.add(connection, number, made)
    return verdict.best is not None


def _edited(turn: int) -> str:
    cut = _text(turn).split()
    cut[5::25] = ["khác"] * len(cut[5::25])
    return " ".join(cut)


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}")
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    METADATA.create_all(engine, tables=[index.INDEX_KEYS, index.FINGERPRINTS])
    _BENCH.create_all(engine)
    return engine


def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -32768"):
        connection.execute(f"PRAGMA {pragma}")


def _resident() -> int:
    """Return the bytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    sys.exit(main())
