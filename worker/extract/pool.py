"""The pool of extraction processes, seen from the parent.

`ProcessExtractor` sends each page to a worker process and waits for the article. A worker handles one page at a time.
One that hangs, crashes or grows too large is killed and replaced, and costs only the page it was working on. The
workers are forked by a fork server (`fork_server.py`), which is a child process as well; `ipc.py` defines the messages.
docs/extract.md compares this pool with pebble's.
"""

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
from datetime import datetime
from pathlib import Path

from worker.errors import ExtractError, ExtractorDown, FetchBlocked, MachineError, machine_error
from worker.extract import ipc
from worker.extract.explain import ExtractionExplanation
from worker.extract.ipc import ExtractRules
from worker.models import Article, Page, Text
from worker.models.base import dataclass
from worker.ports import Hints

# Runs in a fresh interpreter: the fork server must not inherit this process's threads or event loop.
_FORK_SERVER_CODE = (
    "import pickle, sys; from worker.extract.fork_server import main; "
    "main(int(sys.argv[1]), pickle.loads(bytes.fromhex(sys.argv[2])))"
)

_START_TIMEOUT_S = 60.0
"""Limit for each of the two attempts to start a worker. It does not count against the time limit of a page. Chosen, not
measured: long enough for a machine that swaps."""
_STOP_TIMEOUT_S = 2.0
"""How long the fork server may take to exit, before and after SIGKILL. Chosen, not measured: it only has to kill its
children."""
MAX_FAILED_STARTS = 3
"""After this many failed starts in a row the shortage counts as permanent (MachineError instead of ExtractorDown).
Chosen, not measured: every start already makes two attempts. If no worker ever started and the reason was not a
timeout, one failed start is enough."""

_LINUX_ONLY = (
    "pages are read on Linux only, whose kernel ends a process with its parent and limits its memory: run this in a "
    "container or a virtual machine; commands that read a store, such as status, search, why and export, work here too"
)


@dataclass(slots=True, eq=False)
class _Worker:
    """A worker process, by its connection; `pages` counts the jobs it was given."""

    pid: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    pages: int = 0


@dataclass(frozen=True, slots=True)
class _ForkServerProcess:
    """The fork server and the socket over which it receives commands."""

    process: asyncio.subprocess.Process
    control: socket.socket


class _WorkerLost(Exception):
    """A worker process ended before it sent its result."""


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
        """Failed starts in a row."""

    async def launch(self) -> None:
        """Start the fork server, which then loads its libraries. Optional: the first page meets a failure again."""
        with contextlib.suppress(MachineError, OSError):
            await self._launched()

    async def start(self) -> None:
        """Start the fork server and one worker. Optional: otherwise the first page waits for them."""
        async with self._slots:
            self._idle.append(await self._spawn())

    async def extract(self, content: Page | Text, hints: Hints, *, fetched_at: datetime) -> Article:
        """Return the article of a page, or of a text that needs no extraction.

        Raises ExtractError with the reason if there is no article (`timeout`, `crash` and `memory` are about the
        worker process), ExtractorDown if no worker could be started, and FetchBlocked if the page carries a rights
        signal that the rules refuse.
        """
        reply = await self._run(ipc.Job(content=content, hints=hints, fetched_at=fetched_at))
        if reply.article is not None:
            return reply.article
        if reply.blocked:
            raise FetchBlocked(reply.message, reason=reply.reason)
        raise ExtractError(reply.message, reason=reply.reason)

    async def explain(self, content: Page | Text, hints: Hints, *, fetched_at: datetime) -> ExtractionExplanation:
        """Return how the article was found or why there is none: the origin of each field and every dropped block."""
        reply = await self._run(ipc.Job(content=content, hints=hints, fetched_at=fetched_at, explain=True))
        return reply.explanation or ExtractionExplanation(reason=reply.reason, message=reply.message)

    async def aclose(self) -> None:
        """End the worker processes."""
        self._closed = True
        for worker in self._idle:
            worker.writer.close()
        self._idle.clear()
        if self._fork_server is not None:
            await _end_fork_server(self._fork_server, at_once=not self._ever_started)
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
        """Run a job on a worker and return the result.

        If a used worker is lost, the job is repeated once on a new worker: memory left behind by earlier pages, or a
        kill while the worker was idle, may be the cause. Only the loss of a new worker is blamed on the page. The
        second attempt gets the rest of the page's time; starting the new worker does not count.
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
        """Lend an idle or new worker; end it afterwards unless it is back in the list of idle workers."""
        worker = (None if new else self._take_idle()) or await self._spawn()
        try:
            yield worker
        finally:
            if self._closed or worker not in self._idle:
                self._retire(worker)

    def _take_idle(self) -> _Worker | None:
        while self._idle:
            worker = self._idle.pop()
            # A worker that was killed while idle (by the OOM killer, by an operator) must not cost the next page.
            if not _has_hung_up(worker):
                return worker
            worker.writer.close()
        return None

    async def _spawn(self) -> _Worker:
        """Return a new worker; the second attempt uses a new fork server.

        Raises ExtractorDown, or MachineError once the shortage counts as permanent.
        """
        failed: Exception | None = None
        for _ in range(2):
            try:
                async with asyncio.timeout(_START_TIMEOUT_S):
                    worker = await self._fork()
            except (_WorkerLost, OSError, TimeoutError) as exc:
                failed = exc
                await self._drop_fork_server()
            else:
                self._ever_started, self._failed_starts = True, 0
                return worker
        self._failed_starts += 1
        if isinstance(failed, PermissionError | FileNotFoundError):  # the interpreter; it is no shortage
            why = f"{failed.filename or sys.executable}: {failed.strerror}"
            raise MachineError(f"no worker process could be started: {why}; check whether this user may run it")
        slow = isinstance(failed, TimeoutError)
        if self._failed_starts >= MAX_FAILED_STARTS or not (self._ever_started or slow):
            raise machine_error("no worker process could be started")
        raise ExtractorDown("no worker process could be started: is there memory left?")

    async def _fork(self) -> _Worker:
        server = await self._launched()
        ours, theirs = socket.socketpair()
        with theirs, _closed_unless_sent(ours):
            socket.send_fds(server.control, [ipc.COMMAND.pack(ipc.FORK, 0)], [theirs.fileno()])
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

    async def _launched(self) -> _ForkServerProcess:
        async with self._starting:
            self._fork_server = self._fork_server or await _start_fork_server(self._rules)
            return self._fork_server

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
    """Return whether an idle worker has exited, even if the event loop has not noticed yet."""
    waiting = select.poll()
    waiting.register(worker.writer.get_extra_info("socket").fileno(), select.POLLIN)
    # An idle worker never writes, so readable data means EOF: it has exited.
    return worker.reader.at_eof() or bool(waiting.poll(0))


@contextlib.contextmanager
def _closed_unless_sent(connection: socket.socket) -> Iterator[None]:
    """Close our end of a socket if the other end could not be sent to the process that it is for."""
    try:
        yield
    except OSError:
        connection.close()
        raise


async def _start_fork_server(rules: ExtractRules) -> _ForkServerProcess:
    """Start the fork server; raises MachineError on a system that cannot watch its processes as Linux can."""
    if not hasattr(os, "pidfd_open"):
        raise MachineError(_LINUX_ONLY)
    ours, theirs = socket.socketpair()
    with theirs, _closed_unless_sent(ours):
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
            # Outside the terminal's foreground process group: only the parent gets Ctrl-C, and cleans up.
            process_group=0,
        )
    return _ForkServerProcess(process, ours)


def _environment() -> dict[str, str]:
    # One thread for numpy's linear algebra: forking is safe only without threads, and one worker runs per core.
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


async def _end_fork_server(server: _ForkServerProcess, *, at_once: bool = False) -> None:
    """End the fork server, `at_once` if it may still be loading libraries and has no worker."""
    server.control.close()
    if at_once:
        with contextlib.suppress(ProcessLookupError):
            server.process.kill()
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await server.process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            server.process.kill()
        # A process that survives SIGKILL is stuck in the kernel; leave it.
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
