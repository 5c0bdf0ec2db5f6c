"""Runs functions on batches of rows in processes: on the threads of the engine's own process they would take turns.

Each process has a pipe of its own: it ends when the other end is closed, also because this process was killed.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from threading import Lock, Thread, current_thread, main_thread
from typing import Any, Final, Self, TypeVar

import pyarrow as pa

from worker.logs import log

_FEW_CALLS: Final = 8
"""Batches that this process works on first: to start others takes a second or two, as long as 2,000 articles."""

_DEATH_S: Final = 5
"""How long a process may take to end that has closed its pipe. Chosen: only the status that is told depends on it."""

_Result = TypeVar("_Result")
_Started = tuple[BaseProcess, Connection]
OnLists = Callable[..., Any]
"""A function that takes a list for each column and returns a column."""


class Processes:
    """Calls functions in `count` processes, started when there is enough to do; with 0 in the process of the engine.

    Functions must be picklable. What a process did that died is done here, and so is all that it would have done.
    """

    def __init__(self, count: int = 0) -> None:
        self._count = count
        self._calls = 0
        self._is_over = False
        self._lock = Lock()
        self._started: list[_Started] = []
        self._free = SimpleQueue[_Started | None]()  # None in the place of a process that died

    def __reduce__(self) -> tuple[type[Processes], tuple[()]]:
        """Have no processes beside another one, that of a cluster."""
        return Processes, ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        for process, pipe in self._started:
            process.terminate()
            process.join()
            pipe.close()

    def call(self, function: OnLists, *columns: Any) -> Any:
        """Return the column that a function makes of columns of the engine."""
        rows = [column.to_arrow() for column in columns]
        if not self._has_processes():
            return function(*(each.to_pylist() for each in rows))
        free = self._free.get()
        found = None
        try:
            if free is not None:
                free[1].send((function, _packed(rows)))
                found = free[1].recv()
        except (EOFError, OSError):
            if self._is_over:
                raise
            _warn_of_death(free)
            free = None
        finally:
            self._free.put(free)
        if isinstance(found, Exception):
            raise found
        return function(*(each.to_pylist() for each in rows)) if found is None else _unpacked(found)[0]

    def _has_processes(self) -> bool:
        with self._lock:
            self._calls += 1
            if self._calls > _FEW_CALLS and len(self._started) < self._count:
                # A fork of this process would have the locks that threads of the engine hold.
                context = multiprocessing.get_context("spawn")
                with _without_interrupts():  # which go to all processes of a terminal: these end with this one
                    self._started = [_start(context) for _ in range(self._count)]
                for each in self._started:
                    self._free.put(each)
            return bool(self._started)


def _warn_of_death(died: _Started | None) -> None:
    if died is not None:
        died[0].join(_DEATH_S)
        killed = died[0].exitcode == -signal.SIGKILL
        hint = "the machine may have too little memory for so many processes"
        log.warning("batch.process_died", exit_status=died[0].exitcode, **({"hint": hint} if killed else {}))


def _start(context: Any) -> _Started:
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    return process, ours


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let this thread, and the threads and processes that it starts in the block, get no Ctrl-C."""
    resource_tracker.ensure_running()  # which would let it through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def keep_interrupts() -> Iterator[None]:
    """Let Ctrl-C do as before, end the process or nothing, when the engine has run its first query in the block.

    The engine takes the signal over then, once and for all: it loses it now and then, and stops, with part of the
    rows, at one that a script's job in the background ignores.
    """
    before = signal.getsignal(signal.SIGINT)
    with _without_interrupts():
        yield
        if current_thread() is main_thread():
            signal.signal(signal.SIGINT, before)


def _answer(pipe: Connection) -> None:
    """Call functions until nobody asks any more."""
    with suppress(EOFError, ConnectionError):
        while True:
            function, rows = pipe.recv()
            try:
                found: object = _packed([function(*(column.to_pylist() for column in _unpacked(rows)))])
            except Exception as exc:  # noqa: BLE001 - it is raised where the function was called
                found = exc
            pipe.send(found)


def _packed(columns: list[Any]) -> bytes:
    # Not by pickle: of a part of a column, that of its nested columns would be whole.
    rows = pa.record_batch(columns, [str(number) for number in range(len(columns))])
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, rows.schema) as stream:
        stream.write_batch(rows)
    return out.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _unpacked(message: bytes) -> list[Any]:
    return pa.ipc.open_stream(message).read_next_batch().columns  # type: ignore[no-any-return]


def in_thread(work: Callable[[], _Result]) -> _Result:
    """Return the result of work in another thread: in this one a signal would wait until the engine has some rows."""
    done = Future[_Result]()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as exc:  # noqa: BLE001 - it is raised in the thread that waits
            done.set_exception(exc)

    Thread(target=run, daemon=True).start()
    return done.result()
