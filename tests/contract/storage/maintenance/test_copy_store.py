"""Copying a store: every row arrives, an interrupted copy is resumed, and a difference is an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from tests.contract.storage.factories import MINUTE, NOW, PARAMETERS, add_seed, candidate, judge, seed, take_in
from worker.errors import StoreBusy, StoreError, UsageError
from worker.models import Text
from worker.ports import HostHealth, RobotsRecord
from worker.storage.db.locks import DaemonLock
from worker.storage.db.migrate import VERSIONS
from worker.storage.db.schema import METADATA
from worker.storage.maintenance.copy_store import move_store
from worker.storage.maintenance.reindex import needs_reindexing, reindex
from worker.storage.store import Store, open_store


@pytest.fixture
def origin(tmp_path: Path) -> str:
    """A SQLite store with rows of every kind."""
    url = f"sqlite:///{tmp_path / 'origin.db'}"
    store = open_store(url, parameters=PARAMETERS)
    fill(store)
    store.close()
    return url


def fill(store: Store) -> None:
    add_seed(store, "001", "sáu bảy")
    first = take_in(store, "https://a.example/1", "một hai")
    copy = take_in(store, "https://b.example/1", "hai một")
    store.ledger.enqueue([candidate("https://c.example/1", payload=Text(text="chữ"))], now=NOW)
    store.hosts.save_health(HostHealth(host="a.example", failures=2))
    store.hosts.save_robots(RobotsRecord(origin="https://a.example", checked_at=NOW, status=200, body=b"\x00\xff"))
    assert first.article
    assert copy.article
    store.review.mark(first.article, copy.article, decided="same", judge=judge, now=NOW)


def test_a_copied_store_has_every_row_and_can_be_used(
    origin: str, store_url: str, open_stores: Callable[[str], Store]
) -> None:
    moved = move_store(origin, store_url, now=NOW)

    assert sum(table.rows for table in moved) > 20
    before, after = open_stores(origin), open_stores(store_url)
    assert after.reader.audit() == before.reader.audit()
    assert list(after.reader.heads()) == list(before.reader.heads())
    assert list(after.reader.duplicates()) == list(before.reader.duplicates())
    assert after.reader.candidate("https://a.example/1") == before.reader.candidate("https://a.example/1")
    assert after.seeds.known_seeds([seed("001", "sáu bảy")]) == [True]
    assert after.hosts.robots("https://a.example") == before.hosts.robots("https://a.example")
    assert take_in(after, "https://d.example/1", "một hai").verdict is not None
    assert after.reader.audit().balanced


def dump(url: str) -> dict[str, list[str]]:
    """Return every row of every table as the database shows it."""
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = {
            table.name: sorted(map(repr, connection.execute(text(f"SELECT * FROM {table.name}"))))
            for table in METADATA.sorted_tables
            if table.name != "search_queue"
        }
    engine.dispose()
    return rows


def change(url: str, statement: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def move_a_part(origin: str, target: str, *, until: str = "articles") -> None:
    """Copy a store up to the rows of one table, and stop there."""

    def break_off(table: str, _rows: int) -> None:
        if table == until:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move_store(origin, target, now=NOW, progress=break_off)


@pytest.fixture
def other(tmp_path: Path) -> str:
    """A SQLite store with another corpus."""
    url = f"sqlite:///{tmp_path / 'other.db'}"
    with open_store(url, parameters=PARAMETERS) as store:
        for number in range(5):
            take_in(store, f"https://other.example/{number}", f"khác {number}")
    return url


def test_an_interrupted_copy_is_resumed(origin: str, store_url: str) -> None:
    move_a_part(origin, store_url)

    moved = {table.table: table for table in move_store(origin, store_url, now=NOW)}

    assert moved["articles"].copied == 0
    assert moved["articles"].rows == 3
    assert moved["standings"].copied == 3


def test_a_copy_interrupted_in_every_table_is_completed(
    origin: str, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = set()

    def break_off(table: str, rows: int) -> None:
        if rows and table not in met:
            met.add(table)
            raise KeyboardInterrupt

    back = f"sqlite:///{tmp_path / 'back.db'}"
    monkeypatch.setattr("worker.storage.maintenance.copy_store.BATCH", 1)
    monkeypatch.setattr("worker.storage.maintenance.copy_store.NARROW_BATCH", 1)
    filled = {table for table, rows in dump(origin).items() if rows}
    for _ in filled:
        with pytest.raises(KeyboardInterrupt):
            move_store(origin, store_url, now=NOW, progress=break_off)
    move_store(origin, store_url, now=NOW, progress=break_off)
    move_store(store_url, back, now=NOW)

    assert met == filled
    assert len(met) > 10
    assert dump(back) == dump(origin)


def test_a_move_leaves_the_origin_as_it_was(origin: str, store_url: str) -> None:
    former = dump(origin)

    move_store(origin, store_url, now=NOW)

    assert dump(origin) == former
    assert dump(store_url)["meta"] == former["meta"] != []


def test_a_second_copy_copies_no_rows(origin: str, store_url: str) -> None:
    move_store(origin, store_url, now=NOW)
    arrived = dump(store_url)

    assert {table.copied for table in move_store(origin, store_url, now=NOW)} == {0}
    assert dump(store_url) == arrived


def test_a_copied_store_can_be_copied_on_and_compared_with_the_first(
    origin: str, store_url: str, tmp_path: Path
) -> None:
    third = f"sqlite:///{tmp_path / 'third.db'}"

    move_store(origin, store_url, now=NOW)
    move_store(store_url, third, now=NOW)
    back = move_store(third, origin, now=NOW)

    assert dump(third) == dump(origin)
    assert {table.copied for table in back} == {0}


def test_a_target_with_later_changes_is_refused(origin: str, store_url: str) -> None:
    move_store(origin, store_url, now=NOW)
    with open_store(store_url, parameters=PARAMETERS) as store:
        take_in(store, "https://d.example/1", "bốn năm")
    worked_on = dump(store_url)

    with pytest.raises(StoreError, match=r"nothing was changed; name an empty database as TO$"):
        move_store(origin, store_url, now=NOW)

    assert dump(store_url) == worked_on


def test_a_changed_copy_is_not_copied_back_over_its_origin(origin: str, store_url: str) -> None:
    move_store(origin, store_url, now=NOW)
    with open_store(store_url, parameters=PARAMETERS) as store:
        take_in(store, "https://d.example/1", "bốn năm")
    former = dump(origin)

    with pytest.raises(StoreError, match="nothing was changed"):
        move_store(store_url, origin, now=NOW)

    assert dump(origin) == former


def test_a_target_with_another_corpus_is_refused_and_unchanged(origin: str, other: str, store_url: str) -> None:
    move_store(origin, store_url, now=NOW)
    former = dump(store_url)

    with pytest.raises(StoreError, match="holds another store already: nothing was changed; name an empty database"):
        move_store(other, store_url, now=NOW)

    assert dump(store_url) == former


def test_a_target_with_one_row_of_another_corpus_is_refused(origin: str, store_url: str) -> None:
    with open_store(store_url, parameters=PARAMETERS) as store:
        store.hosts.save_health(HostHealth(host="z.example", failures=1))
    former = dump(store_url)

    with pytest.raises(StoreError, match="nothing was changed; name an empty database as TO"):
        move_store(origin, store_url, now=NOW)

    assert dump(store_url) == former


def test_an_incomplete_copy_is_refused_by_every_other_command(origin: str, store_url: str) -> None:
    move_a_part(origin, store_url, until="candidates")
    refused = r"a move into this store is not finished.* run `corpus-worker migrate-store FROM TO` again"

    for parameters in (None, PARAMETERS):
        with pytest.raises(StoreError, match=refused):
            open_store(store_url, parameters=parameters)
    with pytest.raises(StoreError, match=refused):
        needs_reindexing(store_url, parameters=PARAMETERS)
    with pytest.raises(StoreError, match=refused):
        reindex(store_url, parameters=PARAMETERS, fingerprint=lambda _article: pytest.fail("indexed"))


def test_an_incomplete_copy_cannot_be_copied(origin: str, store_url: str, tmp_path: Path) -> None:
    move_a_part(origin, store_url)
    third = tmp_path / "third.db"

    with pytest.raises(StoreError, match="only a part of a store is in"):
        move_store(store_url, f"sqlite:///{third}", now=NOW)

    assert not third.exists()


def test_a_copy_is_resumed_under_another_name_of_the_origin(
    origin: str, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move_a_part(origin, store_url)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link.db").symlink_to(tmp_path / "origin.db")
    monkeypatch.chdir(tmp_path)

    move_a_part("sqlite:///origin.db", store_url, until="standings")

    assert move_store("sqlite:///elsewhere/link.db", store_url, now=NOW)


def test_an_incomplete_copy_is_not_completed_from_another_store(origin: str, other: str, store_url: str) -> None:
    move_a_part(origin, store_url)
    part = dump(store_url)

    with pytest.raises(StoreError, match=r"a move of another store into .* is not finished: name an empty database"):
        move_store(other, store_url, now=NOW)

    assert dump(store_url) == part
    assert move_store(origin, store_url, now=NOW)


@pytest.mark.postgresql
def test_a_server_assigns_ids_after_those_of_the_origin(
    origin: str, empty_postgresql_url: str, open_stores: Callable[[str], Store]
) -> None:
    before = open_stores(empty_postgresql_url)
    move_a_part(origin, empty_postgresql_url, until="hosts")

    before.ledger.enqueue([candidate("https://somebody.example/1")], now=NOW)

    with pytest.raises(StoreError, match="delete it and move again"):
        move_store(origin, empty_postgresql_url, now=NOW)
    (found,) = dump(empty_postgresql_url)["candidates"][-1:]
    assert dump(origin)["candidates"][-1] != found
    assert "somebody.example" in found


def test_a_difference_at_the_end_is_an_error(origin: str, store_url: str) -> None:
    move_a_part(origin, store_url)
    change(store_url, "UPDATE articles SET title = 'another'")

    with pytest.raises(StoreError, match=r"table articles differs .* holds nothing but this unfinished move.* again"):
        move_store(origin, store_url, now=NOW)


def test_a_row_whose_unique_key_is_taken_is_an_error(origin: str, store_url: str) -> None:
    move_a_part(origin, store_url, until="candidates")
    change(store_url, "DELETE FROM candidates WHERE id = 1")

    with pytest.raises(StoreError, match=r"rows of table \w+ cannot be inserted.* delete it and move again"):
        move_store(origin, store_url, now=NOW)


@pytest.mark.parametrize("name", ["link.db", "hard.db", "folder/../origin.db"])
def test_a_file_is_not_moved_into_itself(origin: str, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "origin.db")
    (tmp_path / "hard.db").hardlink_to(tmp_path / "origin.db")

    with pytest.raises(UsageError, match="FROM and TO are the same store"):
        move_store(origin, f"sqlite:///{tmp_path / name}", now=NOW)


@pytest.mark.postgresql
def test_a_database_on_a_server_is_not_moved_into_itself(empty_postgresql_url: str) -> None:
    url = make_url(empty_postgresql_url)
    otherwise = url.update_query_dict({"host": f"{url.host}:{url.port}"}).set(host=None, port=None)

    with pytest.raises(UsageError, match="FROM and TO are the same store"):
        move_store(empty_postgresql_url, otherwise.render_as_string(hide_password=False), now=NOW)


def test_a_missing_store_cannot_be_copied(tmp_path: Path, store_url: str) -> None:
    with pytest.raises(StoreError, match="does not exist yet"):
        move_store(f"sqlite:///{tmp_path / 'none.db'}", store_url, now=NOW)


def test_a_store_in_use_by_a_daemon_is_not_copied(origin: str, store_url: str, tmp_path: Path) -> None:
    lock = DaemonLock(tmp_path / "origin.db")
    lock.acquire("a daemon of this test")

    with pytest.raises(StoreBusy, match="a daemon of this test"):
        move_store(origin, store_url, now=NOW)

    lock.release()
    assert move_store(origin, store_url, now=NOW)


def test_a_store_in_use_by_a_worker_is_not_copied(origin: str, store_url: str) -> None:
    with open_store(origin, parameters=PARAMETERS) as store:
        store.ledger.claim(now=NOW, lease=MINUTE, limit=1, worker="far-away:7")

    with pytest.raises(StoreBusy, match="far-away:7; stop them first"):
        move_store(origin, store_url, now=NOW)

    assert move_store(origin, store_url, now=NOW + 2 * MINUTE)


def test_a_target_in_use_by_a_worker_is_refused(origin: str, store_url: str) -> None:
    with open_store(store_url, parameters=PARAMETERS) as store:
        store.ledger.enqueue([candidate("https://z.example/1")], now=NOW)
        store.ledger.claim(now=NOW, lease=MINUTE, limit=1, worker="far-away:7")

    with pytest.raises(StoreBusy, match="far-away:7; stop them first"):
        move_store(origin, store_url, now=NOW)


@pytest.mark.postgresql
def test_a_server_with_an_idle_worker_is_neither_origin_nor_target(
    origin: str, empty_postgresql_url: str, tmp_path: Path
) -> None:
    url = make_url(empty_postgresql_url).update_query_dict({"application_name": "corpus-worker run far-away:7"})
    idle = create_engine(url)

    with idle.connect(), pytest.raises(StoreBusy, match=r"far-away:7; stop them first$"):
        move_store(origin, empty_postgresql_url, now=NOW)
    with idle.connect(), pytest.raises(StoreBusy, match=r"far-away:7; stop them first$"):
        move_store(empty_postgresql_url, f"sqlite:///{tmp_path / 'new.db'}", now=NOW)

    idle.dispose()
    assert move_store(origin, empty_postgresql_url, now=NOW)


def test_two_copies_into_one_target_exclude_each_other(origin: str, other: str, store_url: str) -> None:
    refused: list[str] = []

    def come_in(_table: str, _rows: int) -> None:
        if not refused:
            with pytest.raises(StoreBusy) as second:
                move_store(other, store_url, now=NOW)
            refused.append(str(second.value))

    moved = move_store(origin, store_url, now=NOW, progress=come_in)

    assert len(refused) == 1
    assert sum(table.copied for table in moved) > 20


def test_stores_of_an_older_version_are_not_moved_and_not_changed(origin: str, store_url: str) -> None:
    for url in (origin, store_url):
        change(url, "UPDATE alembic_version SET version_num = '0001'")
        former = dump(url)

        with pytest.raises(StoreError, match=f"has schema 0001, and this program needs {VERSIONS[-1]}: stop the"):
            move_store(origin, store_url, now=NOW)

        assert dump(url) == former
        change(url, f"UPDATE alembic_version SET version_num = '{VERSIONS[-1]}'")
