"""Tells errors that are the machine's lack of memory, processes, threads or open files from all others."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from typing import Final

from worker.errors import MachineError

_LACKS: Final = frozenset({errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE})
"""EAGAIN is what starting a process or a thread says; of a socket nobody outside of the event loop sees it."""
_SIGNS: Final = ("start new thread", "failed to map segment", "annot allocate memory", "out of memory")
_LIMITS: Final = (
    ("address space", resource.RLIMIT_AS, "ulimit -v", 2**20, " MB"),
    ("data", resource.RLIMIT_DATA, "ulimit -d", 2**20, " MB"),
    ("processes and threads of this user", resource.RLIMIT_NPROC, "ulimit -u", 1, ""),
    ("open files", resource.RLIMIT_NOFILE, "ulimit -n", 1, ""),
)


def shortage(error: BaseException) -> MachineError | None:
    """Return what to say where an error, or one that led to it, is a lack of the machine's; None where it is not."""
    for each in _chain(error):
        if isinstance(each, MachineError):
            return each
        if isinstance(each, MemoryError) or _is_lack(each):
            return out_of(_first_line(each))
    return None


def out_of(found: str) -> MachineError:
    """Return the error for what was found, with the limits under which this process runs."""
    limits = [
        f"{what} {value // unit:,}{name} ({command})"
        for what, kind, command, unit, name in _LIMITS
        if (value := resource.getrlimit(kind)[0]) != resource.RLIM_INFINITY
    ]
    raised = f"raise the limits of this process: {', '.join(limits)}" if limits else "give the machine more"
    return MachineError(f"the machine has too little memory, or allows too few processes ({found}): {raised}")


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__context__, each.__cause__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions


def _is_lack(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _LACKS:
        return True
    return isinstance(error, (RuntimeError, ImportError, OSError)) and any(sign in str(error) for sign in _SIGNS)


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if any(sign in line for sign in _SIGNS)] or str(
        error
    ).splitlines()
    return (lines[0].strip() if lines else "") or type(error).__name__
