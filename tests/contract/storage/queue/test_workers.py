"""Workers that have a store open are listed by name while they are connected, and no longer."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from tests.commands import Desk, stop
from tests.contract.storage.factories import NOW, PARAMETERS, candidate, claim_one
from tests.waiting import eventually
from worker.config.schema import Settings, StoreSettings
from worker.dedupe.judge import Deduper
from worker.errors import StoreBusy
from worker.runs.doctor.findings import Level
from worker.runs.doctor.local import check_store
from worker.storage.db.engine import connect
from worker.storage.db.migrate import missing_privileges
from worker.storage.maintenance.copy_store import move_store
from worker.storage.queue.workers import ConnectedWorker, connected_workers
from worker.storage.store import Store, open_store, worker_name

A = "https://a.example/1"
REAL = Deduper().parameters
"""Those of the configuration, for the commands."""
OTHER = f"presence_guest_{os.getpid()}"


def callers(url: str) -> tuple[ConnectedWorker, ...]:
    """Return the connected workers, as a read-only connection sees them."""
    with closing(connect(url)) as database:
        return database.read(connected_workers)


def gone(url: str) -> bool:
    return callers(url) == ()


def findings(url: str) -> dict[str, tuple[Level, str]]:
    told = check_store(Settings(store=StoreSettings(url=url)))
    return {finding.name: (finding.level, finding.detail) for finding in told}


@pytest.fixture
def guest(empty_postgresql_url: str) -> Iterator[str]:
    """The URL of a read-only role."""
    open_store(empty_postgresql_url, parameters=REAL).close()
    engine = create_engine(empty_postgresql_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as admin:
        admin.execute(text(f"CREATE ROLE {OTHER} LOGIN"))
        admin.execute(text(f"GRANT USAGE ON SCHEMA public TO {OTHER}"))
        admin.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {OTHER}"))
        yield make_url(empty_postgresql_url).set(username=OTHER).render_as_string(hide_password=False)
        admin.execute(text(f"DROP OWNED BY {OTHER} CASCADE"))
        admin.execute(text(f"DROP ROLE {OTHER}"))
    engine.dispose()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(folder=tmp_path)
    yield made
    made.end_all()


def test_a_reader_is_not_listed_as_a_worker(store: Store, store_url: str) -> None:
    assert callers(store_url) == ()
    assert store.reader.daemon() == ""
    assert store.reader.workers(now=NOW) == ()


def test_a_worker_with_leases_is_listed_once(store: Store) -> None:
    store.announce(command="run", worker="worker")
    store.ledger.enqueue([candidate(A)], now=NOW)
    claim_one(store, worker="worker")

    (worker,) = store.reader.workers(now=NOW)

    assert (worker.candidates, worker.sources) == (1, 0)


def test_a_worker_whose_process_is_gone_has_ended(store: Store) -> None:
    machine, gone_process = worker_name().rpartition(":")[0], 2**22 + 1  # more than the most that Linux gives
    store.ledger.enqueue([candidate(A), candidate("https://b.example/1")], now=NOW)
    claim_one(store, worker=f"{machine}:{gone_process}")
    claim_one(store, worker="elsewhere:1")

    assert {each.name: each.ended for each in store.workers(now=NOW)} == {
        f"{machine}:{gone_process}": True, "elsewhere:1": False,
    }  # fmt: skip


@pytest.mark.postgresql
def test_a_worker_is_seen_by_every_role_until_its_connections_end(guest: str, empty_postgresql_url: str) -> None:
    with open_store(empty_postgresql_url, parameters=REAL) as store:
        store.announce(command="run", worker="box:17")
        store.reader.sources()
        with open_store(guest, parameters=None) as other:
            seen = callers(guest), other.reader.daemon(), [str(each) for each in other.reader.workers(now=NOW)]
    eventually(lambda: gone(guest))

    assert seen == ((ConnectedWorker(command="run", name="box:17"),), "box:17", ["box:17 (run, idle)"])


@pytest.mark.postgresql
def test_a_new_connection_of_a_worker_is_named_again(
    empty_postgresql_url: str, open_stores: Callable[[str], Store]
) -> None:
    store = open_stores(empty_postgresql_url)
    store.announce(command="backfill", worker="box:17")
    store.reader.sources()
    store._database.engine.dispose()
    eventually(lambda: gone(empty_postgresql_url))

    store.reader.sources()

    assert callers(empty_postgresql_url) == (ConnectedWorker(command="backfill", name="box:17"),)
    assert store.reader.daemon() == ""


@pytest.mark.postgresql
@pytest.mark.parametrize("host", ["a" * 64, "máy-chủ." * 8, "box/4026531836", "b" * 64 + "/4026531836"])
def test_a_long_name_keeps_its_numbers(
    empty_postgresql_url: str, open_stores: Callable[[str], Store], host: str
) -> None:
    store = open_stores(empty_postgresql_url)
    store.announce(command="reprocess", worker=f"{host}:4194304")
    store.reader.sources()

    (caller,) = callers(empty_postgresql_url)

    numbers = host[host.index("/") :] if "/" in host else ""
    assert caller.command == "reprocess"
    assert caller.name.endswith(f"{numbers}:4194304")
    assert caller.name[:3] == host[:1] + ("?y" if host[1] == "á" else host[1:3])


@pytest.mark.postgresql
def test_a_worker_with_a_long_name_and_leases_is_listed_once(
    empty_postgresql_url: str, open_stores: Callable[[str], Store]
) -> None:
    name = f"{'a' * 64}:1"
    store = open_stores(empty_postgresql_url)
    store.announce(command="run", worker=name)
    store.ledger.enqueue([candidate(A)], now=NOW)
    claim_one(store, worker=name)

    told = [(each.name, each.command, each.candidates) for each in store.reader.workers(now=NOW)]

    assert told == [(name, "run", 1)]


@pytest.mark.postgresql
def test_a_store_is_not_moved_while_an_idle_worker_is_connected(empty_postgresql_url: str, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path / 'moved.db'}"
    with open_store(empty_postgresql_url, parameters=PARAMETERS) as store:
        store.announce(command="run", worker="box:17")
        store.reader.sources()
        with pytest.raises(StoreBusy, match=r"at work on .*: box:17"):
            move_store(empty_postgresql_url, target, now=NOW)
    eventually(lambda: gone(empty_postgresql_url))

    assert move_store(empty_postgresql_url, target, now=NOW)


@contextmanager
def pooler(url: str) -> Iterator[str]:
    """Stand between as a connection pooler does: whoever connects is told of another process than serves them."""
    behind = make_url(url)

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                target.sendall(re.sub(rb"K\x00\x00\x00\x0c.{4}", b"K\x00\x00\x00\x0c\x00\x00\x00\x01", chunk))
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection((behind.host, behind.port))
                opened.extend((client, server))
                for ends in ((client, server), (server, client)):
                    threads.append(threading.Thread(target=pump, args=ends))
                    threads[-1].start()

    opened: list[socket.socket] = []
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads.append(threading.Thread(target=serve, args=(listener,)))
        threads[0].start()
        yield behind.set(port=listener.getsockname()[1]).render_as_string(hide_password=False)
        listener.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for end in opened:
            end.close()


@pytest.mark.postgresql
def test_behind_a_pooler_no_connection_is_named(empty_postgresql_url: str) -> None:
    with pooler(empty_postgresql_url) as url, open_store(url, parameters=PARAMETERS) as store:
        store.announce(command="run", worker="box:17")
        store.reader.sources()

        assert callers(empty_postgresql_url) == ()
        assert store.reader.daemon() is None
        assert findings(url)["daemon"] == (Level.OK, "not known: a pooler or a lock file hides it")


@pytest.mark.postgresql
def test_a_role_without_rights_is_refused_before_any_work(guest: str, desk: Desk) -> None:
    desk.environment = {"CORPUS_WORKER_STORE__URL": guest}
    desk.configure()

    process = desk.start("run")
    process.communicate(timeout=300)

    level, detail = findings(guest)["access"]
    assert level is Level.FAIL
    assert "lacks INSERT, UPDATE, DELETE on every table; USAGE on addresses_id_seq" in detail
    assert f"run `GRANT ALL ON ALL TABLES IN SCHEMA public TO {OTHER}; GRANT ALL ON ALL SEQUENCES" in detail
    assert process.returncode == 1
    assert desk.log() == f"corpus-worker: {detail}\n"


@pytest.mark.postgresql
def test_a_missing_right_is_reported_with_its_table(guest: str, empty_postgresql_url: str) -> None:
    engine = create_engine(empty_postgresql_url)
    with engine.begin() as admin:
        admin.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {OTHER}"))
        admin.execute(text(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {OTHER}"))
        admin.execute(text(f"REVOKE INSERT ON articles, hosts FROM {OTHER}"))
    engine.dispose()

    with closing(connect(guest)) as database:
        lacks = database.read(missing_privileges)

    assert lacks == ("INSERT on articles, hosts",)


@pytest.mark.postgresql
def test_an_idle_daemon_is_shown_by_status_and_doctor_and_keeps_its_store_in_place(
    desk: Desk, empty_postgresql_url: str
) -> None:
    desk.environment = {"CORPUS_WORKER_STORE__URL": empty_postgresql_url}
    desk.configure("", base="[seeds]\npath = ''\n")
    process = desk.start("run")
    eventually(lambda: not gone(empty_postgresql_url))

    record = desk.run("status", "--json").record()
    page = " ".join(desk.run("status").out.split())
    told = findings(empty_postgresql_url)
    moved = desk.run("migrate-store", empty_postgresql_url, f"sqlite:///{desk.folder / 'moved.db'}")
    stopped = stop(process)

    name = record["daemon"]
    assert name.endswith(f":{process.pid}")
    assert record["workers"] == {name: {"candidates": 0, "sources": 0, "command": "run", "ended": False}}
    assert f"daemon {name} at work {name} (run, idle)" in page
    assert told["daemon"][1] == name
    assert told["workers"][1] == f"{name} (run, idle)"
    assert (moved.status, stopped.status) == (1, 143)
    assert f": {name}; stop them first" in moved.err
