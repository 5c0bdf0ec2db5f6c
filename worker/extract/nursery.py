"""The nursery: one warmed-up process that forks a worker process whenever the parent asks for one.

A fork of a warm process is ready in milliseconds, so a worker that a page has killed is replaced at once. The nursery
is single-threaded (forking is safe) and never looks at a page itself. It ends, with all its children, when the
parent closes the control socket or dies.

    parent  -- control socket -->  nursery     fork one, here is its socket / kill that one
    parent  -- worker socket  -->  worker      Job -> Reply, one at a time
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

from worker.extract.rules import ExtractRules
from worker.extract.wire import FORK, ORDER
from worker.extract.work import Work, serve

_PR_SET_PDEATHSIG = 1


class Nursery:
    """Forks, kills and reaps worker processes."""

    def __init__(self, control: socket.socket, work: Work, *, memory: int) -> None:
        self._control = control
        self._work = work
        self._memory = memory
        self._children: dict[int, int] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)

    def run(self) -> None:
        """Obey the parent until it goes away, then end every child."""
        while self._step():
            pass
        for handle in self._children.values():
            _kill(handle)

    def _step(self) -> bool:
        for key, _ in self._selector.select():
            if key.fileobj is self._control:
                if not self._obey():
                    return False
            else:
                self._bury(key.data)
        return True

    def _obey(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, ORDER.size, 1, socket.MSG_WAITALL)
        if len(message) < ORDER.size:
            return False
        order, pid = ORDER.unpack(message)
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
            _become_worker(lambda: serve(socket.socket(fileno=descriptor), self._work), memory=self._memory)
        os.close(descriptor)
        handle = os.pidfd_open(pid)
        self._children[pid] = handle
        self._selector.register(handle, selectors.EVENT_READ, pid)

    def _bury(self, pid: int) -> None:
        handle = self._children.pop(pid)
        self._selector.unregister(handle)
        os.close(handle)
        os.waitpid(pid, 0)


def _kill(handle: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, signal.SIGKILL)


def _become_worker(task: Callable[[], None], *, memory: int) -> None:
    """Run the task as a child that dies with the nursery and may grow by `memory` bytes, and never return."""
    status = 1
    try:
        nursery = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == nursery:
            limit = _data_size() + memory
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            task()
            status = 0
    finally:
        # Exit handlers belong to the nursery; only what is nobody else's is left to the system.
        os._exit(status)


def _data_size() -> int:
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - one read of a kernel file
        for line in status:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


def main(descriptor: int, rules: ExtractRules) -> None:
    """Run a nursery on an inherited control socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    sys.setrecursionlimit(3000)
    control = socket.socket(fileno=descriptor)
    work = Work(rules)
    work.warm_up()
    gc.collect()
    gc.freeze()
    Nursery(control, work, memory=rules.memory).run()
