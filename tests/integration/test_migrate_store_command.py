"""`migrate-store`, run as users run it, and how every other command refuses an incomplete copy."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.commands import Desk
from worker.clock import SystemClock
from worker.storage.maintenance.copy_store import move_store

SOURCE = '[[sources]]\nname = "mot"\nkind = "files"\npath = "{}"\n'


@pytest.fixture(scope="module")
def half_way(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `corpus.db`, `moved.db`, to which it was moved as far as the articles, and `other.db`."""
    desk = Desk(folder=tmp_path_factory.mktemp("half"))
    for name in ("other", "corpus"):
        texts = desk.folder / name
        texts.mkdir()
        for number in range(3):
            (texts / f"{number}.txt").write_text(f"Tin {name} số {number}\n\n" + f"chữ {name} thứ {number} " * 40)
        desk.configure(SOURCE.format(name))
        desk.environment = {"CORPUS_WORKER_STORE__URL": f"sqlite:///{name}.db"}
        assert desk.run("ingest").status == 0
    break_off(desk.folder)
    return desk.folder


def break_off(folder: Path) -> None:
    """Move `corpus.db` into `moved.db` as far as the articles."""

    def until_articles(table: str, _rows: int) -> None:
        if table == "articles":
            raise KeyboardInterrupt

    origin, target = (f"sqlite:///{folder / name}" for name in ("corpus.db", "moved.db"))
    with pytest.raises(KeyboardInterrupt):
        move_store(origin, target, now=SystemClock().now(), progress=until_articles)


@pytest.fixture
def desk(half_way: Path, tmp_path: Path) -> Desk:
    """Return a desk of the test's own with those three stores."""
    shutil.copytree(half_way, tmp_path, dirs_exist_ok=True)
    return Desk(folder=tmp_path)


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as store:
        names = store.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%'")
        # The rows of all tables; the index of full-text search is in tables of its own.
        return sorted(
            f"{name} {row}" for (name,) in names.fetchall() for row in store.execute(f'SELECT * FROM "{name}"')
        )


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["doctor"],
        ["ingest"],
        ["run"],
        ["audit"],
        ["export"],
        ["duplicates"],
        ["prune", "--older-than", "1d"],
        ["reprocess", "--dedupe"],
        ["seeds", "import"],
        ["backup", "kept.db"],
    ],
    ids=lambda words: words[0],
)
def test_every_command_refuses_an_incomplete_copy_of_a_store(desk: Desk, words: list[str]) -> None:
    desk.environment = {"CORPUS_WORKER_STORE__URL": "sqlite:///moved.db"}
    part = dump(desk.folder / "moved.db")

    ended = desk.run(*words)

    told = [line for line in (ended.err + ended.out).splitlines() if "a move into this store is not finished" in line]
    assert ended.status == 1
    assert len(told) == 1
    assert "run `corpus-worker migrate-store FROM TO` again" in told[0]
    assert dump(desk.folder / "moved.db") == part


def test_repeating_the_copy_completes_the_store(desk: Desk) -> None:
    moved = desk.run("migrate-store", "sqlite:///corpus.db", "sqlite:///moved.db")

    desk.environment = {"CORPUS_WORKER_STORE__URL": "sqlite:///moved.db"}
    second = desk.run("ingest", "--json").record()
    assert "both stores are identical" in moved.out
    assert (second["stored"], second["duplicate"]) == (0, 3)
    assert desk.run("audit").status == 0


def test_a_target_with_another_corpus_is_refused_and_unchanged(desk: Desk) -> None:
    former = dump(desk.folder / "other.db")

    ended = desk.run("migrate-store", "sqlite:///corpus.db", "sqlite:///other.db")

    assert ended.status == 1
    assert ended.err == (
        "corpus-worker: sqlite:///other.db holds another store already: nothing was changed; "
        "name an empty database as TO\n"
    )
    assert dump(desk.folder / "other.db") == former


@pytest.mark.parametrize("name", ["link.db", "../{folder}/corpus.db", "./corpus.db"])
def test_the_same_file_under_two_names_is_one_clear_line(desk: Desk, name: str) -> None:
    (desk.folder / "link.db").symlink_to("corpus.db")
    other = name.format(folder=desk.folder.name)

    ended = desk.run("migrate-store", "sqlite:///corpus.db", f"sqlite:///{other}")

    assert ended.status == 2
    assert ended.err == "corpus-worker: FROM and TO are the same store; there is nothing to move\n"
