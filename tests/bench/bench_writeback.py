"""Many processes that commit, write the log back and are killed: `python -m tests.bench.bench_writeback [--commits N]`.

Each process adds numbered rows, and notes each one in a file of its own once its commit came back. The log is written
back every few commits, and the store is opened anew every hundred. Every `--every` seconds, `--kills` times, one of
them is killed with SIGKILL, and another goes on in its place. At the end every noted row is in the store, none twice,
none changed, and SQLite finds the file sound; exit status 1 otherwise.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import random
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, text

from worker.storage.db import sqlite_files
from worker.storage.db.engine import connect

ROUND = 100
FORK = multiprocessing.get_context("fork")


def main() -> int:
    """Run and tell; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--commits", type=int, default=2000)
    parser.add_argument("--every", type=float, default=0.5)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--limit", type=int, default=60_000)
    given = parser.parse_args()
    sqlite_files.WAL_LIMIT = given.limit  # type: ignore[misc]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="writeback-") as folder:
        place = Path(folder)
        with closing(connect(f"sqlite:///{place / 'store.db'}")) as database:
            database.write(lambda connection: connection.execute(text("CREATE TABLE things (process, number, body)")))
        kills = _together(place, given)
        problems = [problem for number in range(given.processes) for problem in _checked(place, number, given.commits)]
        problems += _sound(place)
    total = given.processes * given.commits
    seconds = time.monotonic() - started
    print(
        f"SQLite {sqlite3.sqlite_version}: {total:,} commits, {kills} kills, {seconds:.0f} s: {len(problems)} problems"
    )
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def _together(place: Path, given: argparse.Namespace) -> int:
    chance, kills, commits = random.Random(7), 0, given.commits
    crew = {number: _started(place, number, commits) for number in range(given.processes)}
    while crew:
        time.sleep(given.every)
        for number, process in list(crew.items()):
            if process.exitcode == 0:
                del crew[number]
            elif process.exitcode is not None:
                crew[number] = _started(place, number, commits)
        if crew and kills < given.kills:
            crew[chance.choice(sorted(crew))].kill()
            kills += 1
    return kills


def _started(place: Path, number: int, commits: int) -> multiprocessing.process.BaseProcess:
    process = FORK.Process(target=_work, args=(place, number, commits))
    process.start()
    return process


def _work(place: Path, process: int, commits: int) -> None:
    url = f"sqlite:///{place / 'store.db'}"
    with closing(connect(url)) as database:
        done = database.read(_highest, process)
    with (place / f"{process}.log").open("a", encoding="ascii") as noted:
        while done < commits:
            with closing(connect(url)) as database:
                for number in range(done + 1, min(done + ROUND, commits) + 1):
                    database.write(_add, process, number)
                    noted.write(f"{number}\n")
                    noted.flush()
                    done = number


def _add(connection: Connection, process: int, number: int) -> None:
    values = {"process": process, "number": number, "body": _body(process, number)}
    connection.execute(text("INSERT INTO things VALUES (:process, :number, :body)"), values)


def _body(process: int, number: int) -> str:
    return hashlib.sha256(f"{process}/{number}".encode()).hexdigest() * (1 + number % 60)


def _highest(connection: Connection, process: int) -> int:
    asked = text("SELECT coalesce(max(number), 0) FROM things WHERE process = :process")
    return int(connection.execute(asked, {"process": process}).scalar_one())


def _checked(place: Path, process: int, commits: int) -> list[str]:
    noted = {int(line) for line in (place / f"{process}.log").read_text("ascii").split()}
    with closing(sqlite3.connect(place / "store.db")) as database:
        asked = "SELECT number, body FROM things WHERE process = ? ORDER BY number"
        rows = database.execute(asked, (process,)).fetchall()
    numbers = [number for number, _ in rows]
    lost = sorted(noted - set(numbers))
    changed = [number for number, body in rows if body != _body(process, number)]
    told = [f"process {process}: lost {lost[:5]} ({len(lost)})"] if lost else []
    told += [f"process {process}: changed {changed[:5]} ({len(changed)})"] if changed else []
    return told + ([f"process {process}: not each number once"] if numbers != list(range(1, commits + 1)) else [])


def _sound(place: Path) -> list[str]:
    with closing(sqlite3.connect(place / "store.db")) as database:
        (found,) = database.execute("PRAGMA integrity_check").fetchone()
    return [] if found == "ok" else [str(found)]


if __name__ == "__main__":
    sys.exit(main())
