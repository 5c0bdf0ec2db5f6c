"""Opens the store for those who work on it: ready, with what dead workers and odd clocks have left put right."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from worker.clock import SystemClock
from worker.models import IndexParameters
from worker.ports import Ledger
from worker.storage import PATIENCE, Store, open_store

log = structlog.get_logger()

_OUTERMOST_SPACE: Final = 0xEFFFFFFC
"""The number of the name space of processes that is no container's."""


async def ready_store(
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
        _take_over_from_the_dead(store.ledger)
    except BaseException:
        store.close()
        raise
    store.be_patient(PATIENCE)
    return store


def _take_over_from_the_dead(ledger: Ledger) -> None:
    """Free the leases of workers that ran on this machine and are gone: nobody has to wait for them to run out."""
    dead = [name for name in ledger.holders() if _is_dead(name)]
    if dead and (freed := ledger.take_over(dead)):
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
    inside = space.exists() and space.stat().st_ino != _OUTERMOST_SPACE
    return f"{socket.gethostname()}/{space.stat().st_ino}" if inside else socket.gethostname()
