"""The daemon prunes old pages in steps, and survives store errors."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.contract.storage.factories import NOW, PARAMETERS, take_in
from tests.fakes import inline
from worker import logs
from worker.runs.daemon.session import prune_old
from worker.storage.store import Store, open_store

DAY = timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with an old text and a young one."""
    made = open_store(f"sqlite:///{tmp_path / 'corpus.db'}", parameters=PARAMETERS)
    take_in(made, "https://a.example/1", "một hai", now=NOW)
    take_in(made, "https://b.example/1", "ba bốn", now=NOW + 40 * DAY)
    return made


async def test_pages_older_than_the_limit_are_pruned_and_counted_in_the_log(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(level=20)

    await prune_old(store, offload=inline, now=lambda: NOW + 41 * DAY, keep=30 * DAY)

    assert "run.pruned pages=1" in capsys.readouterr().err
    assert store.prune(older_than=NOW + 99 * DAY, dry_run=True).pages == 1
    assert store.reader.audit().balanced
    store.close()


async def test_pruning_that_fails_is_tried_again_another_day(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(level=20)
    store.close()
    (tmp_path / "corpus.db").write_bytes(b"no database at all, and long enough to be seen as none" * 20)

    await prune_old(store, offload=inline, now=lambda: NOW, keep=30 * DAY)

    assert "run.prune_failed" in capsys.readouterr().err
