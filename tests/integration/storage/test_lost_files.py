"""A store whose file was deleted, moved or replaced stores nothing more, and reports it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.contract.storage.factories import PARAMETERS, take_in
from tests.fakes import START
from worker.errors import StoreError
from worker.storage.db.database import Database
from worker.storage.db.engine import connect
from worker.storage.store import Store, open_store


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "disk"
    folder.mkdir()
    return folder / "corpus.db"


@pytest.fixture
def store(place: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{place}", parameters=PARAMETERS) as opened:
        take_in(opened, "https://one.example/", "một")
        yield opened


def deleted(place: Path) -> None:
    place.unlink()


def moved_away(place: Path) -> None:
    place.rename(place.with_name("elsewhere.db"))


def all_deleted(place: Path) -> None:
    for path in list(place.parent.iterdir()):
        path.unlink()


def folder_gone(place: Path) -> None:
    place.parent.rename(place.parent.with_name("unplugged"))


def empty_disk_instead(place: Path) -> None:
    folder_gone(place)
    place.parent.mkdir()


def restored_over(place: Path) -> None:
    copy = place.with_name("copy")
    shutil.copy(place, copy)
    copy.replace(place)


def link_instead(place: Path) -> None:
    copy = shutil.copy(place, place.with_name("copy"))
    place.unlink()
    place.symlink_to(copy)


def log_deleted(place: Path) -> None:
    place.with_name(f"{place.name}-wal").unlink()


def index_replaced(place: Path) -> None:
    index = place.with_name(f"{place.name}-shm")
    copy = shutil.copy(index, place.with_name("copy"))
    Path(copy).replace(index)


LOSSES = [
    (deleted, "is gone"),
    (moved_away, "is gone"),
    (all_deleted, "is gone"),
    (folder_gone, "is gone"),
    (empty_disk_instead, "is gone"),
    (restored_over, "was replaced"),
    (link_instead, "was replaced"),
    (log_deleted, "corpus.db-wal was deleted or replaced"),
    (index_replaced, "corpus.db-shm was deleted or replaced"),
]


@pytest.mark.parametrize(("lose", "told"), LOSSES)
def test_a_store_whose_file_was_lost_stores_nothing_and_creates_no_other(
    store: Store, place: Path, lose: Callable[[Path], None], told: str
) -> None:
    lose(place)
    there = place.exists()

    with pytest.raises(StoreError, match=told) as failed:
        take_in(store, "https://two.example/", "hai")
    with pytest.raises(StoreError, match=told):
        store.ledger.has_due(now=START)

    assert failed.value.retry
    assert place.exists() is there


def test_a_store_that_comes_back_is_used_again(store: Store, place: Path) -> None:
    moved_away(place)
    with pytest.raises(StoreError, match="is gone"):
        take_in(store, "https://two.example/", "hai")

    place.with_name("elsewhere.db").rename(place)
    take_in(store, "https://two.example/", "hai")

    assert store.reader.audit().articles == 2


def test_the_content_of_a_deleted_log_is_in_the_store_after_a_stop(place: Path) -> None:
    with open_store(f"sqlite:///{place}", parameters=PARAMETERS) as opened:
        take_in(opened, "https://one.example/", "một")
        log_deleted(place)

    with open_store(f"sqlite:///{place}", parameters=None, create=False) as again:
        assert again.reader.audit().articles == 1


def test_a_new_store_is_not_taken_for_a_lost_one(place: Path) -> None:
    database = connect(f"sqlite:///{place}")

    database.write(lambda connection: connection.execute(text("CREATE TABLE t (x)")))
    database.close()

    assert place.exists()


def test_a_log_that_another_process_has_removed_is_not_an_error(place: Path, store: Store) -> None:
    """The last process that closes the store removes its log; an idle connection must not take that for a loss."""
    store.close()
    first, second = (connect(f"sqlite:///{place}") for _ in range(2))
    used(first)
    used(second)

    first.engine.dispose()
    used(second)
    second.engine.dispose()
    used(first)
    used(second)

    first.close()
    second.close()


def used(database: Database) -> None:
    database.write(lambda connection: connection.execute(text("DELETE FROM articles WHERE id = 0")))
    database.read(lambda connection: connection.execute(text("SELECT 1 FROM articles")).all())
