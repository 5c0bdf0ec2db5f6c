"""Opening a store does not block the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from worker.app import open_app
from worker.config.schema import Settings, StoreSettings
from worker.dedupe.judge import Deduper
from worker.runs.daemon.polling import ProgressCounter
from worker.storage.store import open_store


@pytest.mark.anyio
async def test_the_event_loop_turns_while_another_program_holds_the_store(tmp_path: Path) -> None:
    path = tmp_path / "corpus.db"
    open_store(f"sqlite:///{path}", parameters=Deduper().parameters).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    asyncio.get_running_loop().call_later(1, other.rollback)

    async with open_app(Settings(store=StoreSettings(url=f"sqlite:///{path}")), ProgressCounter()):
        held = other.in_transaction

    other.close()
    assert not held
