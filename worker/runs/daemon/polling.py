"""Starts polls of due sources, and counts the progress of the daemon.

The scheduler of a session calls `SourcePoller.poll_due` every few seconds. Due times are read from the store each time;
only the polls in progress, and short pauses after failures, are kept in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from worker.app import App
from worker.errors import MachineError, StoreError
from worker.logs import log
from worker.models import Claim, Outcome, Source, SourceState
from worker.pipeline.stages import DEADLINE
from worker.schedule.poll_interval import is_due

STORE_TIMEOUT: Final = timedelta(minutes=1)
"""How long a query of the store may take; simple reads take milliseconds, so a minute means that it is stuck."""
LOG_EVERY: Final = timedelta(minutes=1)
"""How often a store error that persists is logged again; the query itself is repeated every two seconds."""
_MIN_WORK_SPAN: Final = timedelta(minutes=1)
"""Work that ran for longer before a store error shows that the store was usable: an unusable one fails at once."""
FAILED_POLL_PAUSE: Final = timedelta(minutes=1)
"""The pause of a source whose poll could not be recorded: the store still lists it as due, every two seconds."""


class ProgressCounter:
    """An observer that counts progress for the stall detector.

    Candidates ended by their deadline do not count: a daemon in which every candidate times out makes no progress.
    """

    def __init__(self) -> None:
        self.count = 0
        self._worked = False

    @property
    def store_worked(self) -> bool:
        """Whether the store has worked at least once: an error after that may pass, one before it is permanent."""
        return self._worked or self.count > 0

    def record_span(self, span: timedelta) -> None:
        """Record how long work ran before the store failed."""
        self._worked = self._worked or span > _MIN_WORK_SPAN

    def discovered(self, source: Source, *, new: int) -> None:  # noqa: ARG002
        """Count a poll that found candidates."""
        self.count += 1

    def settled(self, claim: Claim, outcome: Outcome) -> None:  # noqa: ARG002
        """Count an outcome, unless the deadline caused it."""
        if outcome.reason != DEADLINE:
            self.count += 1


class SourcePoller:
    """The polls of one session.

    `fail` is called with an error that makes all work impossible.
    """

    def __init__(self, app: App, done: ProgressCounter, *, fail: Callable[[MachineError], None]) -> None:
        self._app = app
        self._fail = fail
        self._done = done
        self._paused_until: dict[str, float] = {}
        self._closed = False
        self._last_error = "", 0.0
        self.running: dict[str, asyncio.Task[None]] = {}
        """The polls in progress, by source name."""
        self.checks = 0
        """How often the store has answered the query for due sources, errors included: a sign of progress."""

    def close(self) -> None:
        """Start no more polls; those in progress continue."""
        self._closed = True

    async def poll_due(self) -> None:
        """Start polls of due sources, longest overdue first, at most `[fetch] max_connections` at a time."""
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
        free_slots = app.settings.fetch.max_connections - len(self.running)
        for source in self._due(states)[: max(0, free_slots)]:
            self.running[source.name] = asyncio.create_task(self._poll(source))
        self.checks += 1

    def _log_error(self, error: str) -> None:
        """Log a store error: at once if it is new, then once a minute."""
        now, (logged, at) = self._app.clock.monotonic(), self._last_error
        if error != logged or now - at >= LOG_EVERY.total_seconds():
            log.error("run.store_failed", error=error)
            self._last_error = error, now

    def _due(self, states: Sequence[SourceState]) -> list[Source]:
        """Return the sources to poll now, longest overdue first."""
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
        """Poll one source; an error never ends the session, except a shortage of the machine."""
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
            # A poll that another worker does is no progress of this one.
            self._done.count += not report.skipped
        finally:
            del self.running[source.name]
