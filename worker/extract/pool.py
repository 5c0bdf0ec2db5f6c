"""The pool of worker processes, from the parent's side: one job a process at a time, a lost process is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import select
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from worker.errors import ExtractError, ExtractorDown, FetchBlocked, machine_error
from worker.extract import ipc
from worker.extract.explain import ExtractionExplanation
from worker.extract.ipc import ExtractRules
from worker.models import Article, Page, Text
from worker.ports import Hints

_FORK_SERVER_CODE = (
    "import pickle, sys; from worker.extract.fork_server import main; "
    "main(int(sys.argv[1]), pickle.loads(bytes.fromhex(sys.argv[2])))"
)
_START_TIMEOUT_S = 60.0
"""For one of two attempts to hire a worker; the time of a page counts the work on it, not that."""
_STOP_TIMEOUT_S = 2.0
MAX_FAILED_STARTS = 3
"""So many times in a row, each time at two attempts, no process could be had: then it is no passing lack. Where there
never was one, and not for its taking long, once is enough."""


@dataclass(slots=True, eq=False)
class _Worker:
    pid: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    pages: int = 0


@dataclass(frozen=True, slots=True)
class _ForkServerProcess:
    process: asyncio.subprocess.Process
    control: socket.socket


class _WorkerLost(Exception):
    """A worker process has gone away without an answer."""


class ProcessExtractor:
    """Extracts articles in worker processes; implements `ports.Extractor`."""

    def __init__(self, rules: ExtractRules) -> None:
        self._rules = rules
        self._slots = asyncio.Semaphore(rules.process_count())
        self._idle: list[_Worker] = []
        self._starting = asyncio.Lock()
        self._fork_server: _ForkServerProcess | None = None
        self._closed = False
        self._ever_started = False
        self._failed_starts = 0
        """How often in a row no process could be had."""

    async def start(self) -> None:
        """Start the nursery and one worker ahead of the first page; not needed, but takes the wait out of it."""
        async with self._slots:
            self._idle.append(await self._spawn())

    async def extract(self, content: Page | Text, hints: Hints, *, fetched_at: datetime) -> Article:
        """Return the article of a page, or of a text that needs no extraction.

        Raises ExtractError with the reason where there is none (`timeout`, `crash` and `memory` mean the process),
        ExtractorDown where no process could be had, FetchBlocked where a rights signal that the rules refuse forbids
        keeping it.
        """
        reply = await self._run(ipc.Job(content=content, hints=hints, fetched_at=fetched_at))
        if reply.article is not None:
            return reply.article
        if reply.blocked:
            raise FetchBlocked(reply.message, reason=reply.reason)
        raise ExtractError(reply.message, reason=reply.reason)

    async def explain(self, content: Page | Text, hints: Hints, *, fetched_at: datetime) -> ExtractionExplanation:
        """Return how an article came about, or why there is none: each field's origin, each block left out."""
        reply = await self._run(ipc.Job(content=content, hints=hints, fetched_at=fetched_at, explain=True))
        return reply.explanation or ExtractionExplanation(reason=reply.reason, message=reply.message)

    async def aclose(self) -> None:
        """End the worker processes."""
        self._closed = True
        for worker in self._idle:
            worker.writer.close()
        self._idle.clear()
        if self._fork_server is not None:
            await _end_fork_server(self._fork_server)
            self._fork_server = None

    async def _run(self, job: ipc.Job) -> ipc.JobResult:
        async with self._slots, self._worker() as worker:
            try:
                return await self._run_on(worker, job, within=self._rules.timeout.total_seconds())
            except TimeoutError:
                seconds = self._rules.timeout.total_seconds()
                raise ExtractError(f"extraction took longer than {seconds:g} s", reason="timeout") from None
            except _WorkerLost:
                raise ExtractError("the page ended its worker process", reason="crash") from None

    async def _run_on(self, worker: _Worker, job: ipc.Job, *, within: float) -> ipc.JobResult:
        """Return what a worker says of a page; that the page ended it is believed only of one that was new.

        One that was in use may owe its end to what earlier pages left behind, or have been killed while it was idle:
        another has what is left of the page's time, which stands still while that one is hired.
        """
        was_new = not worker.pages
        began = time.monotonic()
        try:
            async with asyncio.timeout(within):
                reply = await _send_job(worker, job)
        except _WorkerLost:
            if was_new:
                raise
        else:
            if not reply.last and worker.pages < self._rules.renew_after:
                self._idle.append(worker)
            if not reply.last or was_new:
                return reply
        left = within - (time.monotonic() - began)
        if left <= 0:
            raise TimeoutError
        async with self._worker(new=True) as another:
            return await self._run_on(another, job, within=left)

    @contextlib.asynccontextmanager
    async def _worker(self, *, new: bool = False) -> AsyncIterator[_Worker]:
        """Hand out an idle worker or a new one; one that is not idle again afterwards is ended."""
        worker = (None if new else self._take_idle()) or await self._spawn()
        try:
            yield worker
        finally:
            if self._closed or worker not in self._idle:
                self._retire(worker)

    def _take_idle(self) -> _Worker | None:
        while self._idle:
            worker = self._idle.pop()
            # One that has died while it was idle (killed for its memory, by a person) must not cost the next page.
            if not _has_hung_up(worker):
                return worker
            worker.writer.close()
        return None

    async def _spawn(self) -> _Worker:
        """Return a new worker, at the second attempt by a new nursery; raises ExtractorDown, at last MachineError."""
        slow = False
        for _ in range(2):
            try:
                async with asyncio.timeout(_START_TIMEOUT_S):
                    worker = await self._fork()
            except (_WorkerLost, OSError, TimeoutError) as exc:
                slow = isinstance(exc, TimeoutError)
                await self._drop_fork_server()
            else:
                self._ever_started, self._failed_starts = True, 0
                return worker
        self._failed_starts += 1
        if self._failed_starts >= MAX_FAILED_STARTS or not (self._ever_started or slow):
            raise machine_error("no worker process could be started")
        raise ExtractorDown("no worker process could be started: is there memory left?")

    async def _fork(self) -> _Worker:
        async with self._starting:
            self._fork_server = self._fork_server or await _start_fork_server(self._rules)
            ours, theirs = socket.socketpair()
            with theirs, _closed_unless_sent(ours):
                socket.send_fds(self._fork_server.control, [ipc.COMMAND.pack(ipc.FORK, 0)], [theirs.fileno()])
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        worker = _Worker(0, reader, writer)
        try:
            ready = await _receive(worker)
        except BaseException:
            writer.close()
            raise
        assert isinstance(ready, ipc.WorkerReady)
        worker.pid = ready.pid
        return worker

    def _retire(self, worker: _Worker) -> None:
        worker.writer.close()
        if self._fork_server is not None:
            with contextlib.suppress(OSError):
                self._fork_server.control.send(ipc.COMMAND.pack(ipc.KILL, worker.pid))

    async def _drop_fork_server(self) -> None:
        async with self._starting:
            if self._fork_server is not None:
                await _end_fork_server(self._fork_server)
                self._fork_server = None


def _has_hung_up(worker: _Worker) -> bool:
    """Tell whether an idle worker's end is closed, also where the event loop has not seen it yet."""
    waiting = select.poll()
    waiting.register(worker.writer.get_extra_info("socket").fileno(), select.POLLIN)
    # Nobody speaks unasked: what can be read of an idle worker is its end.
    return worker.reader.at_eof() or bool(waiting.poll(0))


@contextlib.contextmanager
def _closed_unless_sent(connection: socket.socket) -> Iterator[None]:
    try:
        yield
    except OSError:
        connection.close()
        raise


async def _start_fork_server(rules: ExtractRules) -> _ForkServerProcess:
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _FORK_SERVER_CODE,
            str(theirs.fileno()),
            pickle.dumps(rules).hex(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env=_environment(),
            # Out of the terminal's foreground group: Ctrl-C reaches the parent alone, which then cleans up.
            process_group=0,
        )
    return _ForkServerProcess(process, ours)


def _environment() -> dict[str, str]:
    # One thread for numpy's linear algebra: the nursery forks, and the workers share the cores among themselves.
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


async def _end_fork_server(server: _ForkServerProcess) -> None:
    server.control.close()
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await server.process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            server.process.kill()
        # Who does not even go when killed hangs in the system, and is left there.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await server.process.wait()


async def _send_job(worker: _Worker, job: ipc.Job) -> ipc.JobResult:
    worker.pages += 1
    try:
        worker.writer.write(ipc.pack(job))
        await worker.writer.drain()
    except OSError as error:
        raise _WorkerLost from error
    reply = await _receive(worker)
    assert isinstance(reply, ipc.JobResult)
    return reply


async def _receive(worker: _Worker) -> object:
    try:
        (size,) = ipc.LENGTH_PREFIX.unpack(await worker.reader.readexactly(ipc.LENGTH_PREFIX.size))
        return ipc.unpack(await worker.reader.readexactly(size))
    except (asyncio.IncompleteReadError, OSError) as error:
        raise _WorkerLost from error
