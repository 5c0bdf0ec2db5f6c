"""Polls what is due: asks the store now and then, and starts a poll of each source whose time has come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from worker.app import App
from worker.errors import MachineError, StoreError
from worker.models import Source, SourceState
from worker.schedule.poll_interval import is_due

log = structlog.get_logger()

STORE_TIMEOUT: Final = timedelta(minutes=1)
"""The longest a question to the store may take before it counts as unanswered."""
LOG_EVERY: Final = timedelta(minutes=1)
FAILED_POLL_PAUSE: Final = timedelta(minutes=1)
"""How long a source is left alone whose poll could not be written down: in the store it is still due."""


class Counter(Protocol):
    """What counts everything that was done."""

    count: int


class SourcePoller:
    """The polls of one span of work; no due times are kept here, they lie in the store."""

    def __init__(self, app: App, done: Counter, *, fail: Callable[[MachineError], None]) -> None:
        self._app = app
        self._fail = fail
        self._done = done
        self._paused_until: dict[str, float] = {}
        self._closed = False
        self._last_error = "", 0.0
        self.running: dict[str, asyncio.Task[None]] = {}
        """The polls that are going on, by source."""
        self.checks = 0
        """How often the store has said something to the question what is due."""

    def close(self) -> None:
        """Start no more polls."""
        self._closed = True

    async def poll_due(self) -> None:
        """Start polls of sources that are due, those due longest first: after a long absence a few at a time."""
        app = self._app
        try:
            async with asyncio.timeout(STORE_TIMEOUT.total_seconds()):
                states = await app.offload(app.store.reader.sources)
        except TimeoutError:
            log.error("run.store_failed", error="no answer")
            return
        except StoreError as exc:
            self._log_error(str(exc))
            self.checks += 1
            return
        self._last_error = "", 0.0
        room = app.settings.fetch.max_connections - len(self.running)
        for source in self._due(states)[: max(0, room)]:
            self.running[source.name] = asyncio.create_task(self._poll(source))
        self.checks += 1

    def _log_error(self, error: str) -> None:
        """Say that the store fails: at once, and then once a minute for as long as it is the same."""
        now, (told, at) = self._app.clock.monotonic(), self._last_error
        if error != told or now - at >= LOG_EVERY.total_seconds():
            log.error("run.store_failed", error=error)
            self._last_error = error, now

    def _due(self, states: Sequence[SourceState]) -> list[Source]:
        """Return the sources to poll that are not being polled already, those due longest first."""
        if self._closed:
            return []
        now, known = self._app.clock.now(), {state.name: state for state in states}
        waiting: list[tuple[datetime, Source]] = []
        for source in self._app.sources:
            state = known.get(source.name, SourceState(name=source.name))
            due = is_due(now=now, due_at=state.due_at, polled_at=state.polled_at)
            if due and source.enabled and source.name not in self.running and not self._is_paused(source):
                waiting.append((state.due_at or now, source))
        return [source for _, source in sorted(waiting, key=lambda each: each[0])]

    def _pause(self, source: Source) -> None:
        self._paused_until[source.name] = self._app.clock.monotonic() + FAILED_POLL_PAUSE.total_seconds()

    def _is_paused(self, source: Source) -> bool:
        return self._app.clock.monotonic() < self._paused_until.get(source.name, 0.0)

    async def _poll(self, source: Source) -> None:
        try:
            report = await self._app.discoverer.poll(source, only_if_due=True)
        except StoreError as exc:
            log.error("run.store_failed", source=source.name, error=str(exc))
            self._pause(source)
        except MachineError as exc:
            self._fail(exc)
        except Exception:  # a bug is loud, but it costs only this poll
            log.exception("run.bug", source=source.name)
            self._pause(source)
        else:
            # What another worker polls is no progress of this one.
            self._done.count += not report.left_alone
        finally:
            del self.running[source.name]
