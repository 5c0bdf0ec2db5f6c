"""What the daemon stands: kills, a full disk, a locked store, and half an hour without a pause.

    python -m tests.bench.bench_endure kill [--times 200]
    python -m tests.bench.bench_endure locked
    python -m tests.bench.bench_endure full          (mounts a small file system: needs root)
    python -m tests.bench.bench_endure soak [--minutes 30]

Every mode runs `corpus-worker run` against papers on loopback that never stop publishing, and checks the books.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.request import urlopen

from tests.bench.endless_site import Press
from worker import logs
from worker.models import AuditReport, State
from worker.storage.store import open_store

CONFIG = """
[store]
url = "sqlite:///{folder}/corpus.db"
[seeds]
path = ""
[fetch]
per_host_delay = "0s"
timeout = "5s"
connect_to = {{ {addresses} }}
[extract]
languages = []
processes = {processes}
[schedule]
every = "2s"
min_every = "1s"
max_every = "4s"
"""
SOURCE = '[[sources]]\nname = "p{number}"\nkind = "feed"\nurl = "http://p{number}.example/feed.xml"\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A press that is being served, and a folder to work on it."""

    press: Press
    folder: Path
    port: int

    def configure(self, *, processes: int = 1) -> None:
        """Write the configuration."""
        hosts = range(self.press.hosts)
        addresses = ", ".join(f'"p{each}.example:80" = "127.0.0.1:{self.port}"' for each in hosts)
        head = CONFIG.format(folder=self.folder, addresses=addresses, processes=processes)
        text = head + "".join(SOURCE.format(number=each) for each in hosts)
        (self.folder / "worker.toml").write_text(text, encoding="utf-8")

    @property
    def log(self) -> Path:
        """Where the daemon's log is: beside the folder, whose disk may be full."""
        return self.folder.with_suffix(".log")

    def start(self) -> subprocess.Popen[bytes]:
        """Start the daemon."""
        command = [sys.executable, "-m", "worker", "run", "-q", "--config", str(self.folder / "worker.toml")]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def requests(self) -> int:
        """Return how many requests the papers have answered."""
        with urlopen(f"http://127.0.0.1:{self.port}/requests") as answer:
            return int(answer.read())

    def wait_for_work(self, process: subprocess.Popen[bytes], *, requests: int) -> None:
        """Wait until a daemon has asked the papers for so many things, or for half a minute."""
        before, ends = self.requests(), time.monotonic() + 30
        while self.requests() < before + requests and process.poll() is None and time.monotonic() < ends:
            time.sleep(0.05)

    def books(self) -> AuditReport:
        """Return the books of the store, every row checked."""
        with open_store(f"sqlite:///{self.folder}/corpus.db", parameters=None) as store:
            return store.reader.audit()

    def titles(self) -> Counter[str]:
        """Return what the corpus holds: how often each topic would be exported."""
        with open_store(f"sqlite:///{self.folder}/corpus.db", parameters=None) as store:
            return Counter(stored.article.title for stored in store.reader.heads())

    def pending(self) -> int:
        """Return how many candidates wait."""
        database = sqlite3.connect(self.folder / "corpus.db", timeout=30)
        try:
            count: int = database.execute("SELECT count(*) FROM candidates WHERE state = 'pending'").fetchone()[0]
        finally:
            database.close()
        return count


@contextlib.contextmanager
def served(press: Press, at: Path) -> Iterator[Field]:
    """Serve a press from a process of its own."""
    options = {"hosts": press.hosts, "rate": press.rate, "window": press.window, "touch": press.touch}
    options |= {"started": press.started, "until": press.until}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "tests.bench.endless_site", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield Field(press=press, folder=at, port=int(server.stdout.readline()))
        finally:
            server.terminate()


def main() -> None:
    """Run one mode in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["kill", "locked", "full", "soak"])
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logs.configure(level=logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="endure-") as at:
        failed = {"kill": kill, "locked": locked, "full": full, "soak": soak}[options.mode](options, Path(at))
    sys.exit(1 if failed else 0)


def kill(options: argparse.Namespace, at: Path) -> bool:
    """Kill the daemon at random moments, starting it anew each time; at the end everything must be there once."""
    chance = random.Random(options.seed)
    press = Press(hosts=6, rate=0.4, window=5000, touch=1e9, started=time.time())
    problems: list[str] = []
    discovered = 0
    with served(press, at) as field:
        field.configure()
        for number in range(1, options.times + 1):
            process = field.start()
            if number % 3 == 0:  # as it starts; else while it works
                time.sleep(chance.uniform(0.0, 3.0))
            else:
                field.wait_for_work(process, requests=chance.randint(1, 80))
                time.sleep(chance.uniform(0.0, 0.5))
            os.killpg(process.pid, signal.SIGKILL) if number % 2 else process.kill()
            process.wait()
            if not (at / "corpus.db").exists():
                problems += [f"kill {number}: still no store"] if number > 10 else []
                continue
            books = field.books()
            problems += [f"kill {number}: {problem}" for problem in books.problems]
            if not books.balanced or books.discovered < discovered:
                problems.append(f"kill {number}: not balanced, or {discovered} discovered before: {books}")
            discovered = books.discovered
            if number % 20 == 0:
                print(f"{number} kills: {discovered} discovered, {len(problems)} problems", flush=True)
        return _finish(field, press, problems)


def locked(options: argparse.Namespace, at: Path) -> bool:
    """Hold the store's write lock for a minute from another process while the daemon works."""
    press = Press(hosts=6, rate=0.3, window=5000, touch=1e9, started=time.time())
    with served(press, at) as field:
        field.configure()
        process = field.start()
        time.sleep(20)
        database = sqlite3.connect(at / "corpus.db", timeout=60, isolation_level=None)
        database.execute("BEGIN EXCLUSIVE")
        time.sleep(60)
        database.execute("ROLLBACK")
        database.close()
        before, went_on = field.books().counts[State.STORED], process.poll() is None
        time.sleep(20)
        problems = [] if went_on and field.books().counts[State.STORED] > before else ["the daemon did not go on"]
        process.terminate()
        process.wait()
        return _finish(field, press, problems)


def full(options: argparse.Namespace, at: Path) -> bool:
    """Fill the disk under a working daemon, and empty it again."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(at)], check=True)
    press = Press(hosts=6, rate=0.3, window=5000, touch=1e9, started=time.time())
    try:
        with served(press, at) as field:
            field.configure()
            process = field.start()
            time.sleep(15)
            with contextlib.suppress(OSError), (at / "filler").open("wb", buffering=0) as filler:
                while True:
                    filler.write(bytes(4096))
            time.sleep(30)
            said = "no room left" in field.log.read_text(encoding="utf-8")
            problems = [] if said else ["nothing was said of the full disk"]
            (at / "filler").unlink()
            if process.poll() is not None:
                problems.append(f"the daemon ended with {process.returncode}")
            process.terminate()
            process.wait()
            problems += field.books().problems
            return _finish(field, press, problems)
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=False)


def _finish(field: Field, press: Press, problems: list[str]) -> bool:
    """Stop publishing, let everything be worked off, and compare the corpus with what was published."""
    end = time.time()
    with served(replace(press, until=end), field.folder) as last:
        last.configure(processes=0)
        process = last.start()
        time.sleep(15)
        while last.pending() and time.time() < end + 600:
            time.sleep(1)
        process.terminate()
        problems += [] if process.wait() == 143 else [f"the last daemon ended with {process.returncode}"]
        books, titles, wanted = last.books(), last.titles(), press.topics(end)
    twice = [title for title, count in titles.items() if count > 1]
    lost = sorted(wanted - set(titles))
    problems += books.problems
    problems += [f"stored twice: {title}" for title in twice] + [f"lost: {title}" for title in lost]
    counts = ", ".join(f"{count} {state.value}" for state, count in books.counts.items() if count)
    print(f"{books.discovered} discovered: {counts}")
    print(f"balanced {books.balanced}; {len(wanted)} topics: {len(lost)} lost, {len(twice)} stored twice")
    print(*problems[:20], sep="\n")
    return bool(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """What a process and its children hold."""

    resident_mb: float
    descriptors: int
    threads: int
    processes: int


def soak(options: argparse.Namespace, at: Path) -> bool:
    """Work without a pause; print every minute what the processes hold."""
    press = Press(hosts=32, rate=0.25, window=60, touch=4, started=time.time() - 240)
    ends = time.monotonic() + 60 * options.minutes
    gauges: list[Gauge] = []
    with served(press, at) as field:
        field.configure(processes=0)
        process = field.start()
        print("minute  requests  resident MB  descriptors  threads  processes", flush=True)
        while time.monotonic() < ends and process.poll() is None:
            time.sleep(min(60, max(0.0, ends - time.monotonic())))
            gauge = measure(process.pid)
            gauges.append(gauge)
            figures = f"{gauge.resident_mb:11.0f}  {gauge.descriptors:11}  {gauge.threads:7}  {gauge.processes:9}"
            print(f"{len(gauges):6}  {field.requests():8}  {figures}", flush=True)
        process.terminate()
        status, books = process.wait(), field.books()
    print(f"ended with {status}; balanced {books.balanced}; {books}")
    settled = gauges[5:] or gauges
    grown = settled[-1].resident_mb / max(0.1, settled[0].resident_mb)
    print(f"resident memory at the end is {grown:.2f} of that after the first minutes")
    return status != 143 or not books.balanced


def measure(pid: int) -> Gauge:
    """Return what a process and everything below it holds, from /proc."""
    family, found = [pid], Counter[str]()
    for each in family:
        with contextlib.suppress(OSError):
            tasks = list(Path(f"/proc/{each}/task").iterdir())
            for task in tasks:
                family += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
            found["threads"] += len(tasks)
            found["descriptors"] += len(list(Path(f"/proc/{each}/fd").iterdir()))
            found["pages"] += int(Path(f"/proc/{each}/statm").read_text(encoding="ascii").split()[1])
    return Gauge(
        resident_mb=found["pages"] * os.sysconf("SC_PAGE_SIZE") / 1e6,
        descriptors=found["descriptors"],
        threads=found["threads"],
        processes=len(family),
    )


if __name__ == "__main__":
    main()
