"""The worker's own errors: one class for each decision a caller takes, not for each cause.

WorkerError
 +-- ConfigurationError     the configuration cannot be used: stop, exit 2
 +-- UsageError             the command line asks for something impossible: stop, exit 2
 +-- NotFoundError          what was asked about is not in the store: stop, exit 1
 +-- StoreError             the store cannot be used: stop, exit 1
 |    |                     (.retry says whether it may be used later without anybody's help)
 |    +-- StoreBusy         somebody else holds the store: wait, or stop
 |    +-- StoreMissing      there is none yet: whoever reads has nothing to read
 +-- MachineError           the machine has too little memory, or allows too few processes: stop, exit 1
 +-- ListenError            the status pages cannot be served where they should be: stop, exit 1
 +-- SourceError            what a source answered cannot be read: this source failed
 +-- FetchError             a fetch gave no usable page (.retry says whether to try again)
 |    +-- FetchBlocked      robots.txt, the network guard or a rights signal forbids it: never retried soon
 +-- ExtractError           a page gave no article: rejected
      +-- ExtractorDown     nobody could look at the page: tried again
"""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from datetime import datetime
from typing import Final

_HOST_FAULT_REASONS = frozenset({"host-closed", "robots-silent", "dns", "connect", "tls", "timeout", "reset"})
_HOST_FAULT_STATUSES = frozenset({429, 503})


class WorkerError(Exception):
    """Something the worker expects to go wrong; the message says what was found and what to do."""


class ConfigurationError(WorkerError):
    """The configuration cannot be used."""


class UsageError(WorkerError):
    """The command line asks for something impossible."""


class NotFoundError(WorkerError):
    """What was asked about is not in the store."""


class StoreError(WorkerError):
    """The store cannot be used; `retry` says whether it may be later, without anybody's help."""

    def __init__(self, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.retry = retry


class StoreBusy(StoreError):
    """Somebody else holds the store."""


class StoreMissing(StoreError):
    """There is no store yet."""


class MachineError(WorkerError):
    """The machine has too little memory, or allows too few processes."""


class ListenError(WorkerError):
    """The status pages cannot be served where the configuration says."""


class SourceError(WorkerError):
    """What a source answered cannot be read as the kind of source it is."""


class FetchError(WorkerError):
    """A fetch gave no usable page.

    `reason` is a short stable word (`timeout`, `dns`, `tls`, `http`, `gone`, `size`…) for counting;
    `status` the HTTP status if there was one; `retry` whether another try may succeed; `retry_at` when
    the server asked to be left alone until then.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        retry: bool,
        status: int | None = None,
        retry_at: datetime | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry = retry
        self.status = status
        self.retry_at = retry_at

    @property
    def is_host_fault(self) -> bool:
        """Whether the host is to blame and not the page: nothing that waits for it may be given up for that."""
        return self.reason in _HOST_FAULT_REASONS or self.status in _HOST_FAULT_STATUSES


class FetchBlocked(FetchError):
    """The page must not be fetched: robots.txt, the network guard or a rights signal forbids it."""

    def __init__(self, message: str, *, reason: str, status: int | None = None) -> None:
        super().__init__(message, reason=reason, retry=False, status=status)


class ExtractError(WorkerError):
    """A page gave no article; `reason` is a short stable word for counting (`listing`, `short`, `timeout`…)."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ExtractorDown(ExtractError):
    """There is no process to look at the page: nothing is known of the page, and it may be tried again."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="no-worker")


# Tells errors that are the machine's lack of memory, processes, threads or open files from all others.


_SHORTAGE_ERRNOS: Final = frozenset({errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE})
"""EAGAIN is what starting a process or a thread says; of a socket nobody outside of the event loop sees it."""
_SHORTAGE_MESSAGES: Final = ("start new thread", "failed to map segment", "annot allocate memory", "out of memory")
_RESOURCE_LIMITS: Final = (
    ("address space", resource.RLIMIT_AS, "ulimit -v", 2**20, " MB"),
    ("data", resource.RLIMIT_DATA, "ulimit -d", 2**20, " MB"),
    ("processes and threads of this user", resource.RLIMIT_NPROC, "ulimit -u", 1, ""),
    ("open files", resource.RLIMIT_NOFILE, "ulimit -n", 1, ""),
)


def as_machine_error(error: BaseException) -> MachineError | None:
    """Return what to say where an error, or one that led to it, is a lack of the machine's; None where it is not."""
    for each in _causes_of(error):
        if isinstance(each, MachineError):
            return each
        if isinstance(each, MemoryError) or _is_shortage(each):
            return machine_error(_first_line(each))
    return None


def machine_error(found: str) -> MachineError:
    """Return the error for what was found, with the limits under which this process runs."""
    limits = [
        f"{what} {value // unit:,}{name} ({command})"
        for what, kind, command, unit, name in _RESOURCE_LIMITS
        if (value := resource.getrlimit(kind)[0]) != resource.RLIM_INFINITY
    ]
    raised = f"raise the limits of this process: {', '.join(limits)}" if limits else "give the machine more"
    return MachineError(f"the machine has too little memory, or allows too few processes ({found}): {raised}")


def _causes_of(error: BaseException) -> Iterator[BaseException]:
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


def _is_shortage(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _SHORTAGE_ERRNOS:
        return True
    return isinstance(error, (RuntimeError, ImportError, OSError)) and any(
        sign in str(error) for sign in _SHORTAGE_MESSAGES
    )


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if any(sign in line for sign in _SHORTAGE_MESSAGES)] or str(
        error
    ).splitlines()
    return (lines[0].strip() if lines else "") or type(error).__name__
