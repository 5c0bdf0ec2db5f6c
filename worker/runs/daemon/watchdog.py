"""Detects a stalled daemon, and kills the process if its event loop is frozen.

StallDetector   inside the event loop: work waits, and none of it is done
LoopWatchdog    a thread: the event loop itself is blocked, or a stop takes too long
describe_tasks  where suspended tasks wait, for the log of a stall
SystemdNotifier reports the state to systemd, whose `WatchdogSec=` covers what no thread can detect
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self

from worker.logs import log

CHECK_EVERY: Final = timedelta(seconds=5)
"""How often progress is checked and systemd is notified; small against the limits, which are minutes."""
_SUSPEND_FACTOR: Final = 3
"""A check that is late by this factor means that the process was suspended (SIGSTOP, a sleeping laptop), not that it
hung. Chosen, not measured: a busy machine delays a check by a second or two."""


class StallDetector:
    """Measures for how long work has been waiting without any progress.

    Pure: `now` is in seconds of a monotonic clock.
    """

    def __init__(self, *, now: float) -> None:
        self._since = self._checked_at = now
        self._done = -1
        self.stalled_for = timedelta(0)
        """How long work had stalled at the last check."""

    def check(self, *, now: float, done: int, waiting: bool) -> timedelta:
        """Return for how long work has stalled; zero after progress, without waiting work, or after a suspension.

        `done` is a counter of all completed work; only its changes matter.
        """
        suspended = now - self._checked_at > _SUSPEND_FACTOR * CHECK_EVERY.total_seconds()
        if suspended or not waiting or done != self._done:
            self._since = now
        self._checked_at, self._done = now, done
        self.stalled_for = timedelta(seconds=now - self._since)
        return self.stalled_for


class LoopWatchdog:
    """Ends the process if its event loop is blocked or a stop takes too long.

    Nothing inside a blocked loop could do that, so a thread checks every second; it calls `end` with the reason and the
    exit status. Use it as a context manager.
    """

    def __init__(self, *, patience: timedelta, monotonic: Callable[[], float], end: Callable[[str, int], None]) -> None:
        self._patience = patience.total_seconds()
        self._monotonic = monotonic
        self._end = end
        self._beat = monotonic()
        self._checked_at = self._beat
        self._watching = False
        self._deadline: float | None = None
        self._status = 1
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def beat(self) -> None:
        """Record that the event loop runs; called from inside it."""
        self._beat = self._monotonic()

    def watch(self, on: bool) -> None:  # noqa: FBT001
        """Start or stop watching the event loop; opening a large store may block it for minutes."""
        self.beat()
        self._watching = on

    def set_deadline(self, *, within: timedelta, status: int) -> None:
        """End the process with `status` after this time, unless the deadline is cleared or the process has ended."""
        self._status = status
        self._deadline = self._monotonic() + within.total_seconds()

    def clear_deadline(self) -> None:
        """Cancel `set_deadline`."""
        self._deadline = None

    def check(self) -> None:
        """Call `end` if a limit is exceeded; the thread does this every second."""
        now = self._monotonic()
        suspended = now - self._checked_at > CHECK_EVERY.total_seconds()
        self._checked_at = now
        if self._deadline is not None and now >= self._deadline:
            self._end("it did not stop by itself in time", self._status)
        if suspended:
            self._beat = now
        if self._watching and now - self._beat >= self._patience:
            self._end(f"the event loop was blocked for {now - self._beat:.0f} seconds", 1)

    def _run(self) -> None:
        while not self._over.wait(1):
            self.check()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


_MAX_TASKS: Final = 10
"""Bound on the length of a log line; stalled tasks usually all wait at the same place."""


def describe_tasks(tasks: Iterable[asyncio.Task[Any]]) -> list[str]:
    """Return `file:line function` for each of the first ten unfinished tasks: the innermost line it waits at."""
    places = [_suspended_at(task) for task in tasks if not task.done()]
    return places[:_MAX_TASKS] + ([f"and {len(places) - _MAX_TASKS} more"] if len(places) > _MAX_TASKS else [])


def _suspended_at(task: asyncio.Task[Any]) -> str:
    """Follow the chain of awaited coroutines to the innermost frame."""
    inner: Any = task.get_coro()
    frame = getattr(inner, "cr_frame", None)
    while (inner := getattr(inner, "cr_await", None)) is not None and getattr(inner, "cr_frame", None) is not None:
        frame = inner.cr_frame
    if frame is None:
        return task.get_name()
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"


class SystemdNotifier:
    """Sends sd_notify(3) messages to systemd: one datagram each, to the socket named by `NOTIFY_SOCKET`.

    Without that variable nothing is sent, and a send error is only logged at DEBUG: reporting must not stop the work.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))

    def ready(self) -> None:
        """Report that the store is open and work begins, or continues after a reload."""
        self._send("READY=1")

    def alive(self, status: str) -> None:
        """Send the watchdog keep-alive (`WatchdogSec=`, systemd.service(5)) and a status line."""
        self._send(f"WATCHDOG=1\nSTATUS={_one_line(status)}")

    def degraded(self, status: str) -> None:
        """Send a status line without the keep-alive, so that systemd restarts a daemon that stays degraded."""
        self._send(f"STATUS={_one_line(status)}")

    def reloading(self, *, monotonic: float) -> None:
        """Report that the configuration is being reloaded; `ready` ends the reload."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic * 1_000_000)}\nSTATUS=reading the configuration again")

    def stopping(self) -> None:
        """Report that the daemon is stopping."""
        self._send("STOPPING=1\nSTATUS=finishing what is in hand")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(0)
                sender.sendto(message.encode(), self._address)
        except OSError as exc:
            log.debug("run.supervisor_unreachable", error=str(exc))


def _address(name: str) -> str:
    """Return the address of the socket; a leading @ means the NUL byte of an abstract socket (unix(7))."""
    return "\0" + name[1:] if name.startswith("@") else name


def _one_line(text: str) -> str:
    return " ".join(text.split())
