"""The daemon's outer loop: signals, configuration reloads, restarts after a stall, and the exit status.

Each pass of the loop opens the store and runs one `Session`. A new configuration or a stall ends the session and starts
the next one; if a configuration cannot be used, the daemon returns to the one before.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

from worker.app import App, open_app
from worker.clock import SystemClock
from worker.config.load import mask_url
from worker.config.schema import Settings
from worker.errors import ConfigurationError, StoreError, StoreMissing
from worker.fetch.identity import require_usable
from worker.logs import log
from worker.ports import NullMetrics
from worker.runs.daemon.polling import ProgressCounter
from worker.runs.daemon.session import Session, StopReason, StoreBackoff, sleep_until
from worker.runs.daemon.status_pages import StatusPages
from worker.runs.daemon.watchdog import LoopWatchdog, SystemdNotifier
from worker.runs.notify import CHECK_EVERY as NOTIFY_EVERY
from worker.runs.notify import Notifier
from worker.storage.store import worker_name


class WatchedFile:
    """Detects that a file was changed or replaced, by its modification time, size and inode.

    With `path=None` it never changes.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    def changed(self) -> bool:
        """Return whether the file has changed since the last call; the first call returns True.

        A file that cannot be read counts as unchanged: an editor may be replacing it.
        """
        now = self._stat()
        if now is None or now == self._seen:
            return False
        self._seen = now
        return True

    def _stat(self) -> tuple[int, int, int] | None:
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


STOP_TIMEOUT: Final = timedelta(seconds=29)
"""The process ends by itself within 30 seconds of a signal (docs/reference.md), before systemd or a container sends
SIGKILL."""
CONFIG_CHECK_EVERY: Final = timedelta(seconds=2)
"""How often the configuration file is checked, which costs one system call: a source that a person pauses on a page is
not polled again."""
LOOP_TIMEOUT: Final = timedelta(minutes=2)
"""How long the event loop may be blocked (chosen, not measured: blocking work runs in threads and processes). Less than
the `WatchdogSec=` of the systemd unit, so that this limit applies first and the stack traces are logged."""
OPEN_PATIENCE: Final = timedelta(0)
"""Opening the store does not wait for it: the daemon itself waits between attempts, and reacts to signals meanwhile."""
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)


class Daemon:
    """Runs until a signal; one object for one run.

    `reread` loads the configuration again: on SIGHUP all of it is applied, after a change of the file `config` only its
    sources.
    """

    def __init__(self, settings: Settings, *, reread: Callable[[], Settings], config: Path | None = None) -> None:
        self._settings = settings
        self._reread = reread
        self._file = WatchedFile(config)
        self._clock = SystemClock()
        self._systemd = SystemdNotifier(os.environ)
        self._watchdog = LoopWatchdog(
            patience=min(LOOP_TIMEOUT, settings.daemon.stall_after), monotonic=self._clock.monotonic, end=_kill_process
        )
        self._signal = 0
        self._opened = ""
        """The URL of the store opened last. It is not created again: if it disappears, that is an error."""
        self._previous: Settings | None = None
        self._next: Settings | None = None
        self._wake = asyncio.Event()
        self._done = ProgressCounter()
        self.status_pages = StatusPages(settings.web, clock=self._clock, done=self._done, config=config)
        self._notifier = Notifier(now=self._clock.now(), meter=self.status_pages.meter or NullMetrics())
        self._session: Session | None = None

    def run(self) -> int:
        """Run and return the exit status: 128 plus the signal's number, or 1 if it stalled again after a restart.

        Raises StoreError if the daemon cannot start.
        """
        with self._watchdog:
            return asyncio.run(self._run())

    async def _run(self) -> int:
        self._install_signal_handlers()
        watching = [asyncio.create_task(self._watch_config()), asyncio.create_task(self._watch_problems())]
        try:
            async with self.status_pages.serve():
                return await self._until_stopped()
        finally:
            for task in watching:
                task.cancel()

    async def _until_stopped(self) -> int:
        """Run sessions until a signal, or until a second stall without any progress in between."""
        count_at_restart = -1
        while True:
            end = await self._run_once()
            if end is StopReason.STOPPED:
                return 128 + self._signal
            if end is StopReason.STALLED and self._done.count == count_at_restart:
                log.error("run.gave_up", reason="it stalled again before anything was done")
                return 1
            if end is StopReason.STALLED:
                count_at_restart = self._done.count

    async def _run_once(self) -> StopReason:
        """Open the store, run one session, close everything; try again while the store cannot be opened."""
        backoff = StoreBackoff()
        while not self._signal:
            self._wake.clear()
            self._apply_next()
            try:
                observer = self.status_pages.counting_observer(self._done)
                url = self._settings.store.url
                async with open_app(
                    self._settings,
                    observer,
                    command="run",
                    meter=self.status_pages.meter,
                    patience=OPEN_PATIENCE,
                    create=url != self._opened,
                ) as app:
                    return await self._run_session(app)
            except StoreError as exc:
                if isinstance(exc, StoreMissing):
                    exc = _store_vanished(url)
                elif self._is_permanent(exc):
                    raise
                if self._previous is not None:
                    self._roll_back(exc)
                    continue
                wait = backoff.after(exc)
                # Restarting the process would not help, so systemd is told that the daemon is alive.
                self._systemd.alive(f"waiting for the store: {exc}")
            await sleep_until(wait, until=self._wake)
        return StopReason.STOPPED

    def _is_permanent(self, error: StoreError) -> bool:
        """Return whether an error needs intervention: it is not transient, and the store has never worked."""
        return not error.retry and not (bool(self._opened) and (self._done.store_worked or self._previous is not None))

    async def _run_session(self, app: App) -> StopReason:
        """Run one session on an open store; a signal or reload that arrived while opening ends it at once."""
        app.store.lock_daemon(f"{worker_name()}, since {app.clock.now():%Y-%m-%d %H:%M:%S} UTC")
        self._session = Session(app, self._done, watchdog=self._watchdog, systemd=self._systemd)
        self._opened, self._previous = self._settings.store.url, None
        self._watchdog.clear_deadline()
        if self._signal:
            self._watchdog.set_deadline(within=STOP_TIMEOUT, status=128 + self._signal)
            self._session.end(StopReason.STOPPED)
        elif self._next is not None:  # requested while the store was being opened
            self._session.end(StopReason.RELOAD)
        log.info("run.started", worker=worker_name(), sources=len(app.sources))
        if not any(source.enabled for source in app.sources):
            log.warning("run.no_sources", note="no source is enabled: `corpus-worker sources add URL` adds one")
        self._systemd.ready()
        self.status_pages.attach(app, self._session)
        try:
            end = await self._session.run()
        finally:
            self.status_pages.detach()
            self._session = None
        why = signal.Signals(self._signal).name if self._signal else end.value
        log.info("run.stopped", reason=why, **app.tally.record())
        return end

    def _install_signal_handlers(self) -> None:
        loop = asyncio.get_running_loop()
        for number in _STOPPING:
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _stop(self, number: int) -> None:
        """Handle SIGINT or SIGTERM: the first one stops cleanly, the second one at once."""
        if self._signal:
            os._exit(128 + number)  # safe: transactions roll back and leases expire
        self._signal = number
        log.info("run.stopping", signal=signal.Signals(number).name)
        self._systemd.stopping()
        self._watchdog.set_deadline(within=STOP_TIMEOUT, status=128 + number)
        self._wake.set()
        if self._session:
            self._session.end(StopReason.STOPPED)

    async def _watch_config(self) -> None:
        """Apply changes of the sources whenever the configuration file changes; other changes need SIGHUP."""
        while True:
            await self._clock.sleep(CONFIG_CHECK_EVERY)
            if self._file.changed():
                self._reload_sources()

    async def _watch_problems(self) -> None:
        """Send what needs a person to the addresses of `[notify]`."""
        pages = self.status_pages
        while True:
            await self._clock.sleep(NOTIFY_EVERY)
            try:
                await self._notifier.check(
                    self._settings, pages.health(), pages.app, now=self._clock.now(), alarms=pages.alarms()
                )
            except Exception:  # a bug here must not end the messages that follow
                log.exception("notify.bug")

    def _reload_sources(self) -> None:
        """Load the configuration again and apply its sources."""
        settings, current = self._reread_settings(), self._next or self._settings
        if settings is None:
            return
        if settings.sources != current.sources:
            self._request_reload(current.model_copy(update={"sources": settings.sources}))
        if settings.model_copy(update={"sources": current.sources}) != current:
            log.warning("run.reload_needed", note="the configuration has changed; all but its sources needs SIGHUP")

    def _reread_settings(self) -> Settings | None:
        """Return the current configuration; None if it is invalid or the daemon is stopping."""
        try:
            settings = self._reread()
            require_usable(settings)
        except ConfigurationError as exc:
            self._refuse(str(exc))
            return None
        self.status_pages.set_refused("")
        return None if self._signal else settings

    def _refuse(self, why: str) -> None:
        log.error("run.reload_refused", error=why, note="the old configuration stays")
        self.status_pages.set_refused(why)

    def _reload(self) -> None:
        """Handle SIGHUP: load the configuration and apply it if valid; work in hand is finished under the old one."""
        settings = self._reread_settings()
        if settings is None:
            return
        if (settings.web, settings.log, settings.daemon) != (
            self._settings.web,
            self._settings.log,
            self._settings.daemon,
        ):
            log.warning("run.restart_needed", note="[web], [log] and [daemon] take effect at the next start")
        self._request_reload(settings)

    def _request_reload(self, settings: Settings) -> None:
        """End the current session; the next one runs under `settings`."""
        paused = ", ".join(source.name for source in settings.sources if not source.enabled)
        log.info("run.reloading", sources=len(settings.sources), paused=paused or None)
        self._systemd.reloading(monotonic=self._clock.monotonic())
        self._next = settings
        self._wake.set()
        if self._session:
            self._session.end(StopReason.RELOAD)

    def _apply_next(self) -> None:
        """Apply the configuration requested last; keep the working one until the new one has opened a store."""
        if self._next is not None:
            self._previous = self._previous or self._settings
            self._settings, self._next = self._next, None

    def _roll_back(self, why: StoreError) -> None:
        """Return to the configuration that worked, since the new one cannot open its store."""
        self._refuse(str(why))
        self._settings, self._previous = self._previous or self._settings, None


def _store_vanished(url: str) -> StoreError:
    """Return the error for a store that was open before and is missing now."""
    remedy = "restore it, or restart the worker to create a new one"
    return StoreMissing(f"store {mask_url(url)} existed before and is gone: {remedy}")


def _kill_process(reason: str, status: int) -> None:
    """Exit the process from outside the event loop, after writing the stack of every thread to standard error."""
    log.critical("run.ended_by_guard", reason=reason)
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    os._exit(status)
