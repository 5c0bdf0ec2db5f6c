"""Keeps the daemon in service: signals, a new configuration on request, a new start after a hang, a clean end."""

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

import structlog

from worker.app import App, open_app
from worker.clock import SystemClock
from worker.config.load import mask_url
from worker.config.schema import Settings
from worker.errors import ConfigurationError, StoreError, StoreMissing
from worker.runs.daemon.session import ProgressCounter, Session, StopReason, StoreBackoff, sleep_until
from worker.runs.daemon.status_pages import StatusPages
from worker.runs.daemon.watchdog import LoopWatchdog, SystemdNotifier
from worker.storage.opening import worker_name

# Notices that the configuration file was changed, so that sources can be followed without a signal.


class WatchedFile:
    """A file and what it looked like at the last look: by its time, its size and its number on the disk."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    def changed(self) -> bool:
        """Return whether the file is another than at the last look, or was never looked at.

        A file that cannot be looked at has not changed: it may be about to be replaced.
        """
        now = self._look()
        if now is None or now == self._seen:
            return False
        self._seen = now
        return True

    def _look(self) -> tuple[int, int, int] | None:
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


log = structlog.get_logger()

STOP_TIMEOUT: Final = timedelta(seconds=29)
CONFIG_CHECK_EVERY: Final = timedelta(seconds=15)
"""How often the configuration file is looked at: whoever pauses a source is followed within a minute."""
LOOP_TIMEOUT: Final = timedelta(minutes=2)
OPEN_PATIENCE: Final = timedelta(0)
"""While a store is being opened the daemon waits for it itself, and hears signals meanwhile."""
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)


class Daemon:
    """Runs until a signal; one object for one run.

    `reread` gives the configuration anew, for SIGHUP and for when the file `config` has changed.
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
        """The URL of the store that was opened last: it is not made a second time, should it have gone meanwhile."""
        self._previous: Settings | None = None
        self._next: Settings | None = None
        self._wake = asyncio.Event()
        self._done = ProgressCounter()
        self._status_pages = StatusPages(settings.web, clock=self._clock, done=self._done)
        self._session: Session | None = None

    def run(self) -> int:
        """Run and return the exit status, 128 and the signal's number, or 1 where it hung and could not be healed.

        Raises StoreError or ListenError where it cannot start.
        """
        with self._watchdog:
            return asyncio.run(self._run())

    async def _run(self) -> int:
        self._install_signal_handlers()
        config_task = asyncio.create_task(self._watch_config())
        try:
            async with self._status_pages.serve():
                return await self._until_stopped()
        finally:
            config_task.cancel()

    async def _until_stopped(self) -> int:
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
        """Open the store, work until something asks for an end, and close everything."""
        waits = StoreBackoff()
        while not self._signal:
            self._wake.clear()
            self._apply_next()
            try:
                observer = self._status_pages.counting_observer(self._done)
                url = self._settings.store.url
                async with open_app(
                    self._settings,
                    observer,
                    command="run",
                    meter=self._status_pages.meter,
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
                wait = waits.after(exc)
                # A restart would help nobody: the store is asked for again here.
                self._systemd.alive(f"waiting for the store: {exc}")
            await sleep_until(wait, until=self._wake)
        return StopReason.STOPPED

    def _is_permanent(self, error: StoreError) -> bool:
        """Whether waiting for the store would help nobody: time mends nothing, and nothing has ever worked."""
        return not error.retry and not (bool(self._opened) and (self._done.store_worked or self._previous is not None))

    async def _run_session(self, app: App) -> StopReason:
        app.store.lock_daemon(f"{worker_name()}, since {app.clock.now():%Y-%m-%d %H:%M:%S} UTC")
        self._session = Session(app, self._done, watchdog=self._watchdog, systemd=self._systemd)
        self._opened, self._previous = self._settings.store.url, None
        self._watchdog.clear_deadline()
        if self._signal:
            self._watchdog.set_deadline(within=STOP_TIMEOUT, status=128 + self._signal)
            self._session.end(StopReason.STOPPED)
        elif self._next is not None:  # asked for while the store was being opened
            self._session.end(StopReason.RELOAD)
        log.info("run.started", worker=worker_name(), sources=len(app.sources))
        self._systemd.ready()
        self._status_pages.attach(app, self._session)
        try:
            end = await self._session.run()
        finally:
            self._status_pages.detach()
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
        if self._signal:
            os._exit(128 + number)  # leases and transactions make that safe, it is only less tidy
        self._signal = number
        log.info("run.stopping", signal=signal.Signals(number).name)
        self._systemd.stopping()
        self._watchdog.set_deadline(within=STOP_TIMEOUT, status=128 + number)
        self._wake.set()
        if self._session:
            self._session.end(StopReason.STOPPED)

    async def _watch_config(self) -> None:
        """Take the sources anew whenever the configuration file has changed; all else waits for SIGHUP."""
        while True:
            await self._clock.sleep(CONFIG_CHECK_EVERY)
            if self._file.changed():
                self._reload_sources()

    def _reload_sources(self) -> None:
        settings, current = self._reread_settings(), self._next or self._settings
        if settings is None:
            return
        if settings.sources != current.sources:
            self._request_reload(current.model_copy(update={"sources": settings.sources}))
        if settings.model_copy(update={"sources": current.sources}) != current:
            log.warning("run.reload_needed", note="the configuration has changed; what is no source waits for SIGHUP")

    def _reread_settings(self) -> Settings | None:
        """Return the configuration as it is now; None where it is not valid, or the end is near."""
        try:
            settings = self._reread()
        except ConfigurationError as exc:
            log.error("run.reload_refused", error=str(exc), note="the old configuration stays")
            return None
        return None if self._signal else settings

    def _reload(self) -> None:
        """Take the configuration anew if it is valid; the work in hand is finished under the old one."""
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
        paused = ", ".join(source.name for source in settings.sources if not source.enabled)
        log.info("run.reloading", sources=len(settings.sources), paused=paused or None)
        self._systemd.reloading(monotonic=self._clock.monotonic())
        self._next = settings
        self._wake.set()
        if self._session:
            self._session.end(StopReason.RELOAD)

    def _apply_next(self) -> None:
        """Go on under the configuration that was asked for last; the one that worked is kept until this one does."""
        if self._next is not None:
            self._previous = self._previous or self._settings
            self._settings, self._next = self._next, None

    def _roll_back(self, why: StoreError) -> None:
        log.error("run.reload_refused", error=str(why), note="the old configuration stays")
        self._settings, self._previous = self._previous or self._settings, None


def _store_vanished(url: str) -> StoreError:
    """Return what to say of a store that was open before and is not there now."""
    remedy = "bring it back, or stop the worker and start it anew to begin another"
    return StoreMissing(f"store {mask_url(url)} was there before and is gone: {remedy}")


def _kill_process(reason: str, status: int) -> None:
    """End the process from outside the event loop, saying where every thread stands."""
    log.critical("run.ended_by_guard", reason=reason)
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    os._exit(status)
