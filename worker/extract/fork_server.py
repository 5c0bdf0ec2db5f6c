"""The fork server: one warmed-up process that forks a worker process on demand.

All modules and the language model are loaded before the first fork, so a new worker is ready within milliseconds and
shares that memory. The fork server has a single thread (otherwise forking is unsafe) and never reads a page itself.
It ends with all its children when the parent closes the control socket or dies.

    parent  -- control socket -->  fork server   fork a worker for this socket / kill that worker
    parent  -- worker socket  -->  worker        Job -> JobResult, one at a time
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import resource
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from worker.errors import ExtractError, FetchBlocked
from worker.extract import ipc
from worker.extract.article import ArticleExtractor
from worker.extract.ipc import COMMAND, FORK, ExtractRules
from worker.extract.main_text.body import preload_trafilatura
from worker.models import Page
from worker.ports import Hints

# The loop of a worker process.


_WARM_UP_PAGE = """<!doctype html><html lang="vi"><head><title>Khởi động | Báo</title></head><body><article>
<h1>Khởi động</h1>
<p>Đoạn văn thứ nhất đủ dài để được coi là một đoạn của bài báo, có dấu câu và không có liên kết nào ở trong.</p>
<p>Đoạn văn thứ hai cũng như vậy, nói thêm vài điều về việc khởi động, ngày 5/3/2024, rồi kết thúc ở đây.</p>
</article></body></html>"""


class ExtractionWorker:
    """Extracts articles and turns every failure into a JobResult."""

    def __init__(self, rules: ExtractRules) -> None:
        self._reader = ArticleExtractor(rules)

    def warm_up(self) -> None:
        """Extract one small page, which loads every table and cache that libraries load lazily."""
        preload_trafilatura()
        now = datetime(2024, 3, 6, tzinfo=UTC)
        url = "https://warm-up.example/khoi-dong.html"
        page = Page(url=url, final_url=url, status=200, body=_WARM_UP_PAGE.encode(), fetched_at=now)
        self.answer(ipc.Job(content=page, hints=Hints(url=url, canonical_url=url, source=""), fetched_at=now))

    def answer(self, job: ipc.Job) -> ipc.JobResult:
        """Return the article, or the reason why there is none; a page cannot make this raise."""
        try:
            return self._read(job)
        except MemoryError:
            return ipc.JobResult(
                reason="memory", message="the page needs more memory than one page may have", last=True
            )
        except Exception as error:  # noqa: BLE001 - a page that trips a bug in a library costs itself, not the run
            message = f"extraction failed: {type(error).__name__}: {error}"[:300]
            return ipc.JobResult(reason="crash", message=message, last=True)

    def _read(self, job: ipc.Job) -> ipc.JobResult:
        if job.explain:
            explanation = self._reader.explain(job.content, job.hints, fetched_at=job.fetched_at)
            return ipc.JobResult(explanation=explanation)
        try:
            article = self._reader.read(job.content, job.hints, fetched_at=job.fetched_at)
        except ExtractError as error:
            return ipc.JobResult(reason=error.reason, message=str(error))
        except FetchBlocked as error:
            return ipc.JobResult(reason=error.reason, message=str(error), blocked=True)
        return ipc.JobResult(article=article)


def serve(connection: socket.socket, worker: ExtractionWorker) -> None:
    """Run jobs until the parent closes the connection, or until a failure makes this process unfit for another."""
    connection.sendall(ipc.pack(ipc.WorkerReady(pid=os.getpid())))
    while isinstance(job := ipc.receive(connection), ipc.Job):
        reply = worker.answer(job)
        connection.sendall(ipc.pack(reply))
        if reply.last:
            return


# The fork server itself.

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Objects made before garbage is searched for. Pages leave hardly any; with Python's own 700 it takes 1% of the time.
_COLLECT_EVERY = 50_000


class ForkServer:
    """Forks, kills and reaps worker processes; `memory` is how many bytes each may grow by."""

    def __init__(self, control: socket.socket, worker: ExtractionWorker, *, memory: int) -> None:
        self._control = control
        self._worker = worker
        self._memory = memory
        self._children: dict[int, int] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)

    def run(self) -> None:
        """Carry out the parent's commands until it closes the socket, then kill every child."""
        while self._step():
            pass
        for pidfd in self._children.values():
            _kill(pidfd)

    def _step(self) -> bool:
        for key, _ in self._selector.select():
            if key.fileobj is self._control:
                if not self._handle_command():
                    return False
            else:
                self._reap(key.data)
        return True

    def _handle_command(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, COMMAND.size, 1, socket.MSG_WAITALL)
        if len(message) < COMMAND.size:
            return False
        order, pid = COMMAND.unpack(message)
        if order == FORK:
            self._fork(descriptors[0])
        elif pid in self._children:
            _kill(self._children[pid])
        return True

    def _fork(self, descriptor: int) -> None:
        pid = os.fork()
        if pid == 0:
            self._selector.close()
            self._control.close()
            _become_worker(lambda: serve(socket.socket(fileno=descriptor), self._worker), memory=self._memory)
        os.close(descriptor)
        pidfd = os.pidfd_open(pid)
        self._children[pid] = pidfd
        self._selector.register(pidfd, selectors.EVENT_READ, pid)

    def _reap(self, pid: int) -> None:
        pidfd = self._children.pop(pid)
        self._selector.unregister(pidfd)
        os.close(pidfd)
        os.waitpid(pid, 0)


def _kill(pidfd: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def _become_worker(task: Callable[[], None], *, memory: int) -> None:
    """Run the task in a child process, then exit; this never returns.

    The kernel kills the child when the fork server dies, and refuses it more than `memory` bytes beyond its size now.
    """
    status = 1
    try:
        fork_server = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == fork_server:
            limit = _data_size() + memory
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            task()
            status = 0
    finally:
        # `sys.exit` would run the fork server's exit handlers and flush its buffers a second time.
        os._exit(status)


def _data_size() -> int:
    """Return the size in bytes of this process's data segment, which RLIMIT_DATA limits."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - one read of a kernel file
        for line in status:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


def main(descriptor: int, rules: ExtractRules) -> None:
    """Run the fork server on the control socket with this file descriptor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    sys.setrecursionlimit(3000)
    control = socket.socket(fileno=descriptor)
    worker = ExtractionWorker(rules)
    worker.warm_up()
    # Frozen objects are never touched by the garbage collector, so their memory stays shared with the children.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY)
    ForkServer(control, worker, memory=rules.memory).run()
