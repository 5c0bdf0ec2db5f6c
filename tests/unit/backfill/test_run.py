"""A run of a backfill keeps the lead through a store that fails for a moment, and waits for no work that is over."""

from __future__ import annotations

from datetime import date, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from tests.fakes import FakeClock, inline
from worker.app import App, Past
from worker.backfill import Backfill, Orders, run
from worker.backfill.looking import Looker
from worker.errors import StoreError
from worker.models import Source

ORDERS = Orders(source="bao", first=date(2026, 1, 1), last=date(2026, 1, 2), discover_only=True)
SOURCE = Source(name="bao", kind="feed", url="https://bao.example/rss")


class Book:
    """Notes who leads; the second time it is asked, it fails."""

    def __init__(self) -> None:
        self.leads = 0

    def lead(self, *_: object, **__: object) -> bool:
        self.leads += 1
        if self.leads == 2:
            raise StoreError("locked for a moment")
        return True

    def leave(self, _name: str) -> None:
        pass


@pytest.mark.anyio
async def test_a_store_that_fails_for_a_moment_does_not_cost_the_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, book = FakeClock(), Book()

    class SlowLooker:
        def __init__(self, *_: object) -> None:
            pass

        async def look(self) -> None:
            await clock.sleep(timedelta(minutes=3))

    monkeypatch.setattr(run, "Looker", SlowLooker)
    monkeypatch.setattr(Orders, "source_of", lambda *_: SOURCE)
    app = SimpleNamespace(clock=clock, offload=inline, settings=None, past=SimpleNamespace(book=book))

    await Backfill(cast("App", app), ORDERS).run()

    assert book.leads > 3


@pytest.mark.anyio
async def test_who_may_take_no_more_is_not_waited_for_however_much_waits() -> None:
    clock, taken = FakeClock(), [False]

    def pending(**_: object) -> tuple[int, int]:
        taken[0] = True
        return 5000, 5000

    class Ingester:
        @property
        def left(self) -> int:
            return 0 if taken[0] else 10

    ledger = SimpleNamespace(pending=pending)
    app = SimpleNamespace(clock=clock, offload=inline, settings=None, ledger=ledger, ingester=Ingester())
    orders = Orders(source="bao", first=date(2026, 1, 1), last=date(2026, 1, 2), limit=10)
    looker = Looker(cast("App", app), cast("Past", SimpleNamespace(book=None, fetcher=None)), orders, SOURCE)

    began = clock.monotonic()
    await looker._wait_for_the_work()

    assert clock.monotonic() - began < 5
