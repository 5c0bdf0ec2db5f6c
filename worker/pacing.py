"""Paces a run that stores nothing together with those that do: it takes its turns at hosts from the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

import structlog

from worker.errors import StoreError
from worker.ports import HostBook, HostStanding, RobotsRecord
from worker.reading import open_reading
from worker.settings import Settings

log = structlog.get_logger()

PATIENCE: Final = timedelta(seconds=5)


class BorrowedTurns:
    """A `HostBook` that takes turns from a shared book, reads what it knows, and writes all else to its own."""

    def __init__(self, own: HostBook, shared: HostBook | None) -> None:
        self._own = own
        self._shared = shared

    def reserve(self, host: str, *, now: datetime, delay: timedelta, instead_of: datetime | None = None) -> datetime:
        """Take the host's next turn, also against every worker on the store."""
        if self._shared is not None:
            try:
                now = self._shared.reserve(host, now=now, delay=delay, instead_of=instead_of)
            except StoreError as exc:
                self._give_up(exc)
        return self._own.reserve(host, now=now, delay=delay, instead_of=instead_of)

    def standing(self, host: str) -> HostStanding:
        """Return how the host has been answering this run, or else the others."""
        own = self._own.standing(host)
        if own.failures or own.closed_until or self._shared is None:
            return own
        try:
            return self._shared.standing(host)
        except StoreError as exc:
            self._give_up(exc)
            return own

    def note(self, standing: HostStanding) -> None:
        """Remember it for this run alone."""
        self._own.note(standing)

    def robots(self, origin: str) -> RobotsRecord | None:
        """Return what this run knows of a robots.txt, or else the others."""
        own = self._own.robots(origin)
        if own is not None or self._shared is None:
            return own
        try:
            return self._shared.robots(origin)
        except StoreError as exc:
            self._give_up(exc)
            return None

    def keep_robots(self, record: RobotsRecord) -> None:
        """Remember it for this run alone."""
        self._own.keep_robots(record)

    def moved(self, url: str) -> str | None:
        """Return where this run knows a URL to have moved: what others know is checked anew."""
        return self._own.moved(url)

    def keep_moved(self, url: str, target: str | None) -> None:
        """Remember it for this run alone."""
        self._own.keep_moved(url, target)

    def _give_up(self, error: StoreError) -> None:
        log.warning("pacing.alone", error=str(error))
        self._shared = None


@contextmanager
def borrowed_turns(settings: Settings, own: HostBook) -> Iterator[HostBook]:
    """Give a book of hosts that takes turns from the store of the settings; without a usable store, `own` alone."""
    try:
        store = open_reading(settings, patience=PATIENCE)
    except StoreError:
        yield own
        return
    with store:
        yield BorrowedTurns(own, store.hosts)
