"""A store that is opened is created, migrated, or refused with one clear line."""

from __future__ import annotations

import errno
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.storage.factories import NOW, PARAMETERS, candidate, take_in
from worker.errors import StoreBusy, StoreError, StoreMissing
from worker.storage.db import engine
from worker.storage.db.migrate import VERSIONS
from worker.storage.store import open_store


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def test_a_store_and_its_folder_are_made(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "corpus.db"

    open_store(url_of(path), parameters=PARAMETERS).close()

    assert path.is_file()


def test_what_was_stored_is_there_when_opened_again(tmp_path: Path) -> None:
    first = open_store(url_of(tmp_path / "corpus.db"), parameters=PARAMETERS)
    take_in(first, "https://a.example/1", "một hai")
    first.close()

    again = open_store(url_of(tmp_path / "corpus.db"), parameters=PARAMETERS)

    assert again.reader.audit().articles == 1
    again.close()


def test_a_store_in_memory_works(tmp_path: Path) -> None:
    store = open_store("sqlite:///:memory:", parameters=PARAMETERS)

    take_in(store, "https://a.example/1", "một hai")

    assert [head.article.text for head in store.reader.heads()] == ["một hai"]
    store.close()


def test_a_missing_store_is_not_created_if_create_is_off(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist yet: run `corpus-worker ingest`"):
        open_store(url_of(tmp_path / "corpus.db"), parameters=PARAMETERS, create=False)

    assert not (tmp_path / "corpus.db").exists()


def test_other_index_parameters_are_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    open_store(url_of(tmp_path / "corpus.db"), parameters=PARAMETERS).close()

    with pytest.raises(StoreError, match=r"corpus-worker reprocess --dedupe"):
        open_store(url_of(tmp_path / "corpus.db"), parameters=replace(PARAMETERS, bands=99))


def test_a_store_from_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "corpus.db"
    open_store(url_of(path), parameters=PARAMETERS).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(
        StoreError, match=rf"newer corpus-worker \(schema 9999, this one knows up to {VERSIONS[-1]}\): up"
    ):
        open_store(url_of(path), parameters=PARAMETERS)


def test_a_file_that_is_no_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "corpus.db"
    path.write_text("I am a letter, not a database. " * 100)

    with pytest.raises(StoreError, match="is not a SQLite database: choose another"):
        open_store(url_of(path), parameters=PARAMETERS)

    assert path.read_text().startswith("I am a letter")


def test_a_database_of_another_program_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "corpus.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (id INTEGER)")

    with pytest.raises(StoreError, match=r"another program \(it has a table recipes\)"):
        open_store(url_of(path), parameters=PARAMETERS)

    with sqlite3.connect(path) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    assert tables == [("recipes",)]


def test_a_folder_where_the_file_should_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder: choose another"):
        open_store(url_of(tmp_path), parameters=PARAMETERS)


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match=r"cannot be made .*: choose another \[store\] url"):
        open_store(url_of(tmp_path / "file" / "corpus.db"), parameters=PARAMETERS)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system nobody can write to (/proc)")
def test_a_folder_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(StoreError, match=r"cannot be (opened|made)"):
        open_store("sqlite:////proc/self/corpus.db", parameters=PARAMETERS)


def test_a_folder_that_may_not_be_opened_names_folder_and_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(StoreError, match=r"user \d+ may not open folder data \(Permission denied\): let user \d+ read"):
        engine.connect("sqlite:///data/corpus.db")


@pytest.mark.parametrize(
    ("url", "sign"),
    [
        ("corpus.db", "write sqlite:///path or postgresql"),
        ("mysql://u:secret@h/db", "use sqlite:///path or postgresql"),
        ("nonsense://u:secret@h/db", "use sqlite:///path or postgresql"),
        ("postgresql+psycopg://u:secret@h1:1,h2:2/db", r"for several servers, postgresql\+psycopg:///name\?host="),
        ("postgresql+psycopg://u:secret@h:port/db", "write sqlite:///path or postgresql"),
        ("postgresql+psycopg://u:secret@a..b/db", "write sqlite:///path or postgresql"),
        ("sqlite:///file:corpus.db?mode=ro&uri=true", "holds a file: URI: write the path alone, sqlite:///path"),
        ("sqlite:///file:corpus.db", "holds a file: URI: write the path alone, sqlite:///path"),
        ("sqlite:///what?.db", r"SQLite takes no parameters here \(what follows the \?\): leave them out"),
        ("sqlite:///corpus.db?", r"SQLite takes no parameters here"),
        (f"sqlite:///{'a' * 300}.db", r"no file can be called that \(File name too long\): choose another"),
        (f"sqlite:///{'a/' * 3000}b.db", r"no file can be called that \(File name too long\): choose another"),
        ("sqlite:///a\0b.db", r"no file can be called that"),
        ("sqlite:///corpus.db?key=secret", r"SQLite takes no parameters here \(key\): leave them out"),
    ],
)
def test_an_invalid_url_is_refused_without_its_password(
    url: str, sign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(StoreError, match=sign) as caught:
        open_store(url, parameters=PARAMETERS)

    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_no_store_for_read_only_commands(tmp_path: Path) -> None:
    (tmp_path / "corpus.db").touch()

    with pytest.raises(StoreMissing, match="has no tables: `corpus-worker ingest` makes a new store there"):
        open_store(url_of(tmp_path / "corpus.db"), parameters=None, create=False)

    with sqlite3.connect(tmp_path / "corpus.db") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []


def test_the_error_for_an_unreachable_server_has_no_password() -> None:
    with pytest.raises(StoreError, match=r"cannot be reached: .*check that the server runs") as caught:
        open_store("postgresql+psycopg://u:secret@127.0.0.1:1/db?connect_timeout=2", parameters=PARAMETERS)

    assert "secret" not in str(caught.value)


def test_the_error_for_a_second_daemon_names_the_first(tmp_path: Path) -> None:
    url = url_of(tmp_path / "corpus.db")
    first, second = open_store(url, parameters=PARAMETERS), open_store(url, parameters=PARAMETERS)
    first.lock_daemon("process 12 on box, since today")

    with pytest.raises(StoreBusy, match="another daemon works on this store: process 12 on box, since today"):
        second.lock_daemon("process 13")

    first.unlock_daemon()
    second.lock_daemon("process 13")
    first.close()
    second.close()


def test_a_killed_daemon_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "corpus.db"
    code = (
        "import os, signal; from pathlib import Path; from worker.storage.db.locks import DaemonLock;"
        f"DaemonLock(Path({str(path)!r})).acquire('gone'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    store = open_store(url_of(path), parameters=PARAMETERS)

    store.lock_daemon("the next one")

    assert (tmp_path / "corpus.db.daemon.lock").read_text() == "the next one"
    store.close()


def test_a_store_another_program_writes_to_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.storage.db.engine.BUSY_TIMEOUT", NOW - NOW)
    path = tmp_path / "corpus.db"
    store = open_store(url_of(path), parameters=PARAMETERS, patience=NOW - NOW)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreBusy, match="locked by another program: wait until it is done, or stop it"):
        store.ledger.enqueue([candidate()], now=NOW)

    assert store.ledger.pending(now=NOW) == (0, 0)
    other.close()
    store.close()


@pytest.mark.parametrize("written_by_another", [False, True])
def test_a_store_that_cannot_be_written_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, written_by_another: bool
) -> None:
    path = tmp_path / "corpus.db"
    writer = open_store(url_of(path), parameters=PARAMETERS)
    if not written_by_another:
        writer.close()
    before = {each.name: each.stat().st_mtime_ns for each in tmp_path.iterdir()}
    monkeypatch.setattr(engine, "may_be_written", lambda _: False)

    with open_store(url_of(path), parameters=None, create=False) as store:
        books = store.reader.audit()

    after = {each.name: each.stat().st_mtime_ns for each in tmp_path.iterdir()}
    if written_by_another:
        writer.close()
    assert books.balanced
    assert after == before


def test_writing_to_a_store_that_was_opened_read_only_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(url_of(tmp_path / "corpus.db"), parameters=PARAMETERS).close()
    monkeypatch.setattr(engine, "may_be_written", lambda _: False)

    with (
        open_store(url_of(tmp_path / "corpus.db"), parameters=None, create=False) as store,
        pytest.raises(StoreError, match="cannot be written: check the permissions"),
    ):
        store.ledger.enqueue([candidate("https://bao.vn/1")], now=NOW)


def test_a_file_that_may_not_be_read_is_named_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "corpus.db"
    store.touch()
    monkeypatch.setattr("os.access", lambda *_: False)

    with pytest.raises(StoreError, match=r"user \d+ may not read this file: let user \d+ read and write it"):
        engine.connect(f"sqlite:///{store}")
