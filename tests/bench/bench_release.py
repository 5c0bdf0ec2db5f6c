"""Measures releases: texts a second, and memory, of a full release, of one with a delta, and of a plain export.

    make bench-release                      # 100,000 texts
    make bench-release ARGS="--size 1000000 --folder /somewhere/large"

The store is generated: made articles, of which every tenth is a copy of an earlier one, and every thousandth is changed
between the two releases. Each command runs in a process of its own, whose largest resident memory is measured.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.big_store import text_of
from worker.dedupe.judge import Deduper
from worker.storage.store import open_store

_TEXTS = 2_000  # different texts: the others are made of these and their number
_BEGIN = 1_700_000_000_000_000  # microseconds since 1970
_MINUTE = 60_000_000
_COLUMNS = (
    "id, kind, url, canonical_url, source, host, title, text, language, fetched_at, words, sha256, authors,"
    " published_at, published_at_from, rights, notes, revision, modified_at_from"
)
_RIGHTS = '{"copyright_holder":"","licence":"","robots":[],"tdm_reservation":""}'


def build(path: Path, size: int) -> None:
    """Write a store of so many articles."""
    open_store(f"sqlite:///{path}", parameters=Deduper().parameters).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        marks = ", ".join("?" * 19)
        connection.executemany(f"INSERT INTO articles ({_COLUMNS}) VALUES ({marks})", _articles(size))
        connection.execute(
            "INSERT INTO standings (article_id, cluster, head, relation, jaccard, containment, shared_words)"
            " SELECT id, CASE WHEN id % 10 = 0 THEN id - 1 ELSE id END, id % 10 <> 0,"
            " CASE WHEN id % 10 = 0 THEN 'copy' ELSE 'unique' END, 0, 0, 0 FROM articles ORDER BY id"
        )
        connection.execute(
            "INSERT INTO decisions (article_id, at, verdict) SELECT article_id, 0,"
            ' \'{"relation":"copy","head":false,"reason":"","best":null,"considered":[]}\''
            " FROM standings WHERE NOT head"
        )
    connection.close()


def _articles(size: int) -> Iterator[tuple[object, ...]]:
    texts = [f"{text_of(number)}\n{text_of(number + _TEXTS)}" for number in range(_TEXTS)]
    for number in range(1, size + 1):
        text = f"{texts[number % _TEXTS]}\n{number}"
        url = f"https://h{number % 500}.example/{number}"
        seen = _BEGIN + number * _MINUTE
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        yield (
            number, "article", url, url, f"source-{number % 40}", f"h{number % 500}.example", text[:60], text, "vi",
            seen, 577, sha256, '["Nguyễn Văn A"]', seen - 60 * _MINUTE, "json-ld", _RIGHTS, "[]", 1, "",
        )  # fmt: skip


def change(path: Path, size: int) -> None:
    """Change a store as a month would: copies come, texts leave, others differ."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("UPDATE articles SET title = title || '!' WHERE id % 1000 = 1")
        connection.execute("UPDATE standings SET head = 0, cluster = article_id - 1 WHERE article_id % 1000 = 3")
        connection.execute("DELETE FROM standings WHERE article_id % 1000 = 5 AND head")
        connection.execute("UPDATE standings SET head = 1, cluster = article_id WHERE article_id % 1000 = 10")
    connection.close()


def run(folder: Path, *words: str) -> tuple[float, float, float]:
    """Run a command to its end; return its seconds, those of the processor, and its largest resident memory in MB."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "worker", *words, "--config", "worker.toml"], cwd=folder)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6


def main() -> None:
    """Build the store, run the commands, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where the store and the releases are written; kept afterwards")
    parser.add_argument("--releases-only", action="store_true")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="bench-release-"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "worker.toml").write_text('[store]\nurl = "sqlite:///corpus.db"\n', encoding="utf-8")
    try:
        if not (folder / "corpus.db").exists():
            build(folder / "corpus.db", given.size)
        heads = given.size - given.size // 10
        _measure(folder, heads, "release", "one")
        change(folder / "corpus.db", given.size)
        _measure(folder, heads, "release", "two", "--since", "one")
        if not given.releases_only:
            _measure(folder, heads, "export", "--output", "corpus.jsonl.zst")
            _measure(folder, heads, "export", "--format", "parquet", "--output", "corpus.parquet")
            _measure(folder, given.size, "export", "--copies", "--output", "copies.jsonl")
    finally:
        if not given.folder:
            shutil.rmtree(folder)


def _measure(folder: Path, texts: int, *words: str) -> None:
    seconds, spent, memory = run(folder, *words)
    speed = f"{texts / seconds:10,.0f} texts/s {texts / spent:10,.0f} a processor second"
    print(f"{' '.join(words):50} {seconds:8.1f} s {speed} {memory:8.0f} MB", flush=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
