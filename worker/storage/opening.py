"""Opens the store for those who work on it: ready, with what dead workers and odd clocks have left put right."""

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

# Opens the store for those who only look: nothing of fetching, extracting or judging is loaded for that.


def open_read_only(settings: Settings, *, patience: timedelta = PATIENCE) -> Store:
    """Open the store of the settings, which must exist; raises StoreError. `patience` as in `open_store`."""
    return open_store(settings.store.url, parameters=None, create=False, patience=patience)


log = structlog.get_logger()

_INITIAL_PID_NAMESPACE: Final = 0xEFFFFFFC
"""The number of the name space of processes that is no container's."""


async def open_for_work(
    url: str, parameters: IndexParameters, patience: timedelta, *, command: str, create: bool = True
) -> Store:
    """Open the store on a thread, ready for work as a command, made where there is none unless `create` is off.

    Raises StoreError.

    Making, migrating or mending it may take minutes, in which probes and signals are answered. Where it does not
    answer, it is waited for as long as `patience` says; cancelling ends that.
    """
    given_up = threading.Event()
    try:
        store = await asyncio.to_thread(_opened, url, parameters, patience, given_up, create=create)
    except asyncio.CancelledError:
        given_up.set()
        raise
    store.introduce(command=command, worker=worker_name())
    return store


def _opened(
    url: str, parameters: IndexParameters, patience: timedelta, given_up: threading.Event, *, create: bool
) -> Store:
    """Open the store, with what a clock that was off and workers that died have left in it put right."""
    store = open_store(url, parameters=parameters, create=create, patience=patience, given_up=given_up)
    try:
        store.require_rights()
        store.mend_times(now=SystemClock().now())
        _reclaim_dead_leases(store.ledger)
    except BaseException:
        store.close()
        raise
    store.be_patient(PATIENCE)
    return store


def _reclaim_dead_leases(ledger: Ledger) -> None:
    """Free the leases of workers that ran on this machine and are gone: nobody has to wait for them to run out."""
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
    return int(pid) == os.getpid()


def worker_name() -> str:
    """Return how this process signs its claims: host name, in a container its name space of processes, process id."""
    return f"{_machine()}:{os.getpid()}"


def _machine() -> str:
    # Containers may share a host name, and every one of them has a process 1.
    space = Path("/proc/self/ns/pid")
    inside = space.exists() and space.stat().st_ino != _INITIAL_PID_NAMESPACE
    return f"{socket.gethostname()}/{space.stat().st_ino}" if inside else socket.gethostname()


# Runs blocking calls on threads of their own, so that neither the event loop nor name look-ups wait for the store.


P = ParamSpec("P")
T = TypeVar("T")


class StoreExecutor:
    """A few threads that run blocking calls in the order they come; one thread where there may be one writer."""

    def __init__(self, *, count: int) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="store")

    async def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `call` returns. Cancelled, the call still runs to its end, unseen."""
        future = self._executor.submit(partial(call, *args, **kwargs))
        return await asyncio.wrap_future(future)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(RuntimeError):
            self._executor.shutdown(wait=True)
