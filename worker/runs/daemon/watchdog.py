"""Tells a daemon that gets on from one that only lives, and ends one that cannot even tell."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self

import structlog

CHECK_EVERY: Final = timedelta(seconds=5)
_SUSPEND_FACTOR: Final = 3
"""So many times the usual pause between two looks mean that the process itself was stopped, not that it hung."""


class StallDetector:
    """Since when work has been waiting and none of it was done. Pure: `now` is in seconds that never go back."""

    def __init__(self, *, now: float) -> None:
        self._since = self._checked_at = now
        self._done = -1
        self.stalled_for = timedelta(0)
        """How long it had been standing still at the last look."""

    def check(self, *, now: float, done: int, waiting: bool) -> timedelta:
        """Return how long it has been standing still; zero where work was done, none waits, or the machine slept.

        `done` counts everything ever done: it matters only whether it grew.
        """
        slept = now - self._checked_at > _SUSPEND_FACTOR * CHECK_EVERY.total_seconds()
        if slept or not waiting or done != self._done:
            self._since = now
        self._checked_at, self._done = now, done
        self.stalled_for = timedelta(seconds=now - self._since)
        return self.stalled_for


class LoopWatchdog:
    """Ends the process where the event loop stands still, or where stopping takes too long: nothing inside could.

    A thread of its own looks every second; `end` is called on it with the reason and the exit status.
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
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)

    def beat(self) -> None:
        """Note that the event loop turns; called from inside it."""
        self._beat = self._monotonic()

    def watch(self, on: bool) -> None:  # noqa: FBT001
        """Mind the event loop from now on, or no longer: opening a large store may keep it busy for minutes."""
        self.beat()
        self._watching = on

    def set_deadline(self, *, within: timedelta, status: int) -> None:
        """End the process if it has not ended by itself after a while."""
        self._status = status
        self._deadline = self._monotonic() + within.total_seconds()

    def clear_deadline(self) -> None:
        """Take back `must_end`: what it was about has ended."""
        self._deadline = None

    def check(self) -> None:
        """Call `end` if it is time; the thread does this every second."""
        now = self._monotonic()
        slept = now - self._checked_at > CHECK_EVERY.total_seconds()
        self._checked_at = now
        if self._deadline is not None and now >= self._deadline:
            self._end("it did not stop by itself in time", self._status)
        if slept:
            self._beat = now
        if self._watching and now - self._beat >= self._patience:
            self._end(f"the event loop has stood still for {now - self._beat:.0f} seconds", 1)

    def _run(self) -> None:
        while not self._over.wait(1):
            self.check()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


# Says where a task stands: the innermost line it waits at, for the log of a daemon that hangs.


_MAX_TASKS: Final = 10


def describe_tasks(tasks: Iterable[asyncio.Task[Any]]) -> list[str]:
    """Return `file:line function` of each task that is not done, the first ten."""
    places = [_suspended_at(task) for task in tasks if not task.done()]
    return places[:_MAX_TASKS] + ([f"and {len(places) - _MAX_TASKS} more"] if len(places) > _MAX_TASKS else [])


def _suspended_at(task: asyncio.Task[Any]) -> str:
    inner: Any = task.get_coro()
    frame = getattr(inner, "cr_frame", None)
    while (inner := getattr(inner, "cr_await", None)) is not None and getattr(inner, "cr_frame", None) is not None:
        frame = inner.cr_frame
    if frame is None:
        return task.get_name()
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"


# Tells systemd how the daemon is; silent where no systemd listens.


log = structlog.get_logger()


class SystemdNotifier:
    """The notify protocol of systemd: one datagram a message (sd_notify(3), systemd.service(5) `WatchdogSec=`)."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))

    def ready(self) -> None:
        """Say that the store is open and work begins."""
        self._send("READY=1")

    def alive(self, status: str) -> None:
        """Say that the daemon gets on, and what it is doing."""
        self._send(f"WATCHDOG=1\nSTATUS={_one_line(status)}")

    def degraded(self, status: str) -> None:
        """Say what is wrong, without saying that the daemon gets on."""
        self._send(f"STATUS={_one_line(status)}")

    def reloading(self, *, monotonic: float) -> None:
        """Say that the configuration is being read again; `ready` ends that."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic * 1_000_000)}\nSTATUS=reading the configuration again")

    def stopping(self) -> None:
        """Say that the daemon is about to end."""
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
    """Return the socket's address; a leading @ stands for the NUL of an abstract one."""
    return "\0" + name[1:] if name.startswith("@") else name


def _one_line(text: str) -> str:
    return " ".join(text.split())
