"""Many workers on one store, killed hard again and again: one stored text a story, nothing lost, nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.contract.storage.factories import PARAMETERS
from tests.integration.storage.killed_worker import SIZES, stories
from worker.models import State
from worker.storage.store import Store, open_store

ROOT = Path(__file__).parents[3]
SERVER_SCRIPT = ROOT / ".ci" / "postgresql"
PATIENCE_S = 600.0


class Crowd:
    """A number of worker processes, kept up."""

    def __init__(self, url: str, *, size: int) -> None:
        self._url = url
        self._started = 0
        self.processes = [self._start() for _ in range(size)]

    def kill_one(self) -> None:
        """Kill a worker that still runs with SIGKILL, and start another in its place."""
        running = [process for process in self.processes if process.poll() is None]
        if running:
            victim = running[self._started % len(running)]
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            self.processes[self.processes.index(victim)] = self._start()

    def wait(self) -> list[int]:
        """Return the exit codes of the workers that are left, once all have ended."""
        return [process.wait(timeout=PATIENCE_S) for process in self.processes]

    def stop(self) -> None:
        """End what still runs."""
        for process in self.processes:
            process.kill()
            process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        self._started += 1
        command = [sys.executable, "-m", "tests.integration.storage.killed_worker", self._url, f"w{self._started}"]
        return subprocess.Popen(command, cwd=ROOT)


def assert_sound(store: Store, *, count: int) -> None:
    books = store.reader.audit()
    heads = [head.article for head in store.reader.heads()]
    assert books.problems == ()
    assert books.balanced
    assert books.counts[State.PENDING] == 0
    assert (books.discovered, books.articles) == (count * len(SIZES), count * len(SIZES))
    assert len(heads) == count
    assert {head.words for head in heads} == {max(SIZES)}


def wait_until(store: Store, *, settled: int) -> None:
    """Return when this many candidates have an outcome."""
    deadline = time.monotonic() + PATIENCE_S
    while (counts := store.reader.counts()).discovered - counts.counts[State.PENDING] < settled:
        assert time.monotonic() < deadline, f"nothing moves: {counts}"
        time.sleep(0.02)


def run_crowd(url: str, *, count: int, size: int, kills: int) -> None:
    store = open_store(url, parameters=PARAMETERS)
    store.ledger.enqueue(stories(count), now=datetime.now(UTC))
    crowd = Crowd(url, size=size)
    try:
        for kill in range(kills):
            wait_until(store, settled=(1 + kill) * count * len(SIZES) // (kills + 2))
            crowd.kill_one()
        codes = crowd.wait()
    finally:
        crowd.stop()
    assert codes == [0] * size
    assert_sound(store, count=count)
    store.close()


def test_many_processes_and_kill_9_on_sqlite(tmp_path: Path) -> None:
    run_crowd(f"sqlite:///{tmp_path / 'corpus.db'}", count=40, size=3, kills=3)


@pytest.mark.postgresql
def test_many_processes_and_kill_9_on_postgresql(server: Path, server_url: str) -> None:
    run_crowd(server_url, count=30, size=4, kills=3)


@pytest.mark.postgresql
def test_a_server_that_restarts_under_its_workers_loses_nothing(server: Path, server_url: str) -> None:
    store = open_store(server_url, parameters=PARAMETERS)
    store.ledger.enqueue(stories(50), now=datetime.now(UTC))
    crowd = Crowd(server_url, size=3)
    try:
        for restart in range(2):
            wait_until(store, settled=100 + 100 * restart)
            subprocess.run([SERVER_SCRIPT, "restart", server], check=True, capture_output=True)
        codes = crowd.wait()
    finally:
        crowd.stop()

    assert codes == [0, 0, 0]
    assert_sound(store, count=50)
    store.close()


@pytest.fixture
def server() -> Iterator[Path]:
    """The folder of a PostgreSQL server of this test's own, one that may be restarted."""
    if not list(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")):
        required = os.environ.get("CORPUS_WORKER_REQUIRE_POSTGRESQL")
        (pytest.fail if required else pytest.skip)("PostgreSQL is not installed (package postgresql)")
    # Not below pytest's folder, which the server's own user may not enter.
    folder = Path(tempfile.mkdtemp(prefix="corpus-worker-postgresql-"))
    yield folder
    subprocess.run([SERVER_SCRIPT, "stop", folder], check=True, capture_output=True)


@pytest.fixture
def server_url(server: Path) -> str:
    """Where that server answers."""
    started = subprocess.run([SERVER_SCRIPT, "start", server], check=True, capture_output=True, text=True)
    return started.stdout.strip()
