"""Opens the store of a command, for reading or for work, and runs its blocking calls on threads.

Opening for work migrates the store, repairs the times that a wrong clock has written, and frees the leases of dead
processes of this machine. Nothing here imports fetch, extract or dedupe, so that read-only commands start fast.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, ParamSpec, Self, TypeVar

import structlog

from worker.clock import SystemClock
from worker.config.schema import Settings
from worker.models import IndexParameters
from worker.ports import Ledger
from worker.storage import PATIENCE, Store, open_store

log = structlog.get_logger()

_INITIAL_PID_NAMESPACE: Final = 0xEFFFFFFC
"""The inode number of the initial PID namespace (PROC_PID_INIT_INO in Linux's proc_ns.h); a container has another."""


def open_read_only(settings: Settings, *, patience: timedelta = PATIENCE) -> Store:
    """Open an existing store for reading; raises StoreError. `patience` is as in `open_store`."""
    return open_store(settings.store.url, parameters=None, create=False, patience=patience)


async def open_for_work(
    url: str, parameters: IndexParameters, patience: timedelta, *, command: str, create: bool = True
) -> Store:
    """Open the store for work as `command`, creating it if it is missing and `create` is on; raises StoreError.

    This runs on a thread, as a migration may take minutes in which the event loop must serve probes and signals. While
    the database is unavailable the call waits for up to `patience`; cancelling the task ends the wait.
    """
    given_up = threading.Event()
    try:
        store = await asyncio.to_thread(_open_and_repair, url, parameters, patience, given_up, create=create)
    except asyncio.CancelledError:
        given_up.set()
        raise
    store.announce(command=command, worker=worker_name())
    return store


def _open_and_repair(
    url: str, parameters: IndexParameters, patience: timedelta, given_up: threading.Event, *, create: bool
) -> Store:
    """Open the store, and repair what wrong clocks and dead workers have left in it."""
    store = open_store(url, parameters=parameters, create=create, patience=patience, given_up=given_up)
    try:
        store.require_rights()
        store.correct_times(now=SystemClock().now())
        _reclaim_dead_leases(store.ledger)
    except BaseException:
        store.close()
        raise
    store.set_patience(PATIENCE)
    return store


def _reclaim_dead_leases(ledger: Ledger) -> None:
    """Free the leases of dead workers of this machine, so that their candidates need not wait until a lease ends."""
    dead = [name for name in ledger.lease_owners() if _is_dead(name)]
    if dead and (freed := ledger.reclaim(dead)):
        log.info("store.taken_over", candidates=freed, workers=", ".join(dead))


def _is_dead(worker: str) -> bool:
    machine, _, pid = worker.rpartition(":")
    if machine != _machine() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return int(pid) == os.getpid()  # a lease in this process's name is from an earlier process with the same id


def worker_name() -> str:
    """Return the name of this process in leases: host name, PID namespace if in a container, and process id."""
    return f"{_machine()}:{os.getpid()}"


def _machine() -> str:
    # Containers may share a host name, and each of them has a process 1.
    namespace = Path("/proc/self/ns/pid")
    in_container = namespace.exists() and namespace.stat().st_ino != _INITIAL_PID_NAMESPACE
    return f"{socket.gethostname()}/{namespace.stat().st_ino}" if in_container else socket.gethostname()


P = ParamSpec("P")
T = TypeVar("T")


class StoreExecutor:
    """Runs blocking calls of the store on its own threads, so that neither the event loop nor name look-ups wait.

    Calls start in the order in which they were made. SQLite has one writer, so one thread is enough for it.
    """

    def __init__(self, *, count: int) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="store")

    async def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` on a thread and return its result. A cancelled task does not end the call on the thread."""
        future = self._executor.submit(partial(call, *args, **kwargs))
        return await asyncio.wrap_future(future)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(RuntimeError):
            self._executor.shutdown(wait=True)
