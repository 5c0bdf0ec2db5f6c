"""The worker's own exceptions: one class for each decision that a caller takes, not for each cause.

Modules at the border translate errors of libraries into these (`raise FetchError(...) from exc`). The pipeline turns
errors of a single candidate into an outcome; the others end the command with the exit status given below.

WorkerError
 +-- ConfigurationError     the configuration cannot be used: stop, exit 2
 +-- UsageError             the command line asks for something impossible: stop, exit 2
 +-- NotFoundError          the article or URL asked for is not in the store: stop, exit 1
 +-- StoreError             the store cannot be used: stop, exit 1
 |    |                     (.retry: it may become usable without intervention)
 |    +-- StoreBusy         another process holds a lock: wait, or stop
 |    +-- StoreMissing      there is no store yet: nothing to read
 +-- MachineError           the machine has too little memory, or allows too few processes: stop, exit 1
 +-- ListenError            the status pages cannot be served at the configured address: stop, exit 1
 +-- SourceError            the content of a source cannot be parsed: this poll failed
 +-- FetchError             a fetch gave no usable page (.retry: another attempt may succeed)
 |    +-- FetchBlocked      robots.txt, the SSRF checks or a rights signal forbid it: not retried soon
 +-- ExtractError           a page gave no article: rejected
      +-- ExtractorDown     no extraction process could run: tried again
"""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

# Failures that say nothing about the page: the connection to the host failed, or the host is overloaded (RFC 6585 and
# RFC 9110 define 429 and 503).
_HOST_FAULT_REASONS = frozenset({"agent", "host-closed", "robots-silent", "dns", "connect", "tls", "timeout", "reset"})
_HOST_FAULT_STATUSES = frozenset({429, 503})


class WorkerError(Exception):
    """Base class of all expected errors; the message says what was found and what to do."""


class ConfigurationError(WorkerError):
    """The configuration cannot be used: the file is missing or malformed, or a value is invalid."""


class UsageError(WorkerError):
    """The command line asks for something impossible, such as an unknown source."""


class NotFoundError(WorkerError):
    """The article, candidate or URL that the user asked for is not in the store."""


class StoreError(WorkerError):
    """The store cannot be used.

    `retry` is true if the cause may pass without intervention, such as a lock or a server that restarts.
    """

    def __init__(self, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.retry = retry


class StoreBusy(StoreError):
    """Another process holds a lock on the store, or does the same exclusive work."""


class StoreMissing(StoreError):
    """The store does not exist yet, or has no tables."""


class MachineError(WorkerError):
    """The machine lacks memory, processes, threads or open files; no work is possible until that changes."""


class ListenError(WorkerError):
    """The status pages cannot be served at the configured address."""


class SourceError(WorkerError):
    """The content of a source cannot be parsed as its kind (`feed`, `sitemap`, ...)."""


class FetchError(WorkerError):
    """A fetch gave no usable page.

    `reason` is a short stable word (`timeout`, `dns`, `tls`, `http`, `gone`, `size`…) for statistics, `status` the HTTP
    status if there was a response. `retry` is true if another attempt may succeed; `retry_at` is the time before which
    the server wants no further request (`Retry-After`).
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
        """Whether the host failed, not the page: other candidates of the host must not lose an attempt for it."""
        return self.reason in _HOST_FAULT_REASONS or self.status in _HOST_FAULT_STATUSES


class FetchBlocked(FetchError):
    """The page must not be fetched: robots.txt, the SSRF checks or a rights signal forbid it."""

    def __init__(self, message: str, *, reason: str, status: int | None = None) -> None:
        super().__init__(message, reason=reason, retry=False, status=status)


class ExtractError(WorkerError):
    """A page gave no article.

    `reason` is a short stable word for statistics (`listing`, `short`, `timeout`…).
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ExtractorDown(ExtractError):
    """No extraction process could be started or kept alive: nothing is known about the page; try it again."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="no-worker")


# Shortage of memory, processes, threads or open files: recognised in any exception and reported as MachineError.

_SHORTAGE_ERRNOS: Final = frozenset({errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE})
"""EAGAIN is the error of fork(2) and of thread creation; the EAGAIN of a socket never leaves the event loop."""
_SHORTAGE_MESSAGES: Final = ("start new thread", "failed to map segment", "annot allocate memory", "out of memory")
# What to show of setrlimit(2): name, resource, the shell command that raises it, divisor and unit.
_RESOURCE_LIMITS: Final = (
    ("address space", resource.RLIMIT_AS, "ulimit -v", 2**20, " MB"),
    ("data", resource.RLIMIT_DATA, "ulimit -d", 2**20, " MB"),
    ("processes and threads of this user", resource.RLIMIT_NPROC, "ulimit -u", 1, ""),
    ("open files", resource.RLIMIT_NOFILE, "ulimit -n", 1, ""),
)


def as_machine_error(error: BaseException) -> MachineError | None:
    """Return a MachineError if `error`, or an error that caused it, is a shortage of the machine; else None."""
    for each in _causes_of(error):
        if isinstance(each, MachineError):
            return each
        if isinstance(each, MemoryError) or _is_shortage(each):
            return machine_error(_first_line(each))
    return None


def machine_error(found: str) -> MachineError:
    """Return the error for a shortage: `found` is its message; the process's own limits are added to it."""
    limits = [
        f"{what} {value // unit:,}{name} ({command})"
        for what, kind, command, unit, name in _RESOURCE_LIMITS
        if (value := resource.getrlimit(kind)[0]) != resource.RLIM_INFINITY
    ]
    raised = f"raise the limits of this process: {', '.join(limits)}" if limits else "give the machine more"
    return MachineError(f"the machine has too little memory, or allows too few processes ({found}): {raised}")


def _causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, the errors that caused it, and the members of exception groups; each once."""
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
    """Return the line of an error's message that names the shortage, else the first line or the class name."""
    lines = [line for line in str(error).splitlines() if any(sign in line for sign in _SHORTAGE_MESSAGES)] or str(
        error
    ).splitlines()
    return (lines[0].strip() if lines else "") or type(error).__name__


def install_hint(extra: str) -> str:
    """Return what to run for the libraries of an extra of pyproject.toml, as the end of a message.

    The environment of a checkout is made from the lock files, by make and without pip, and `make setup` adds them all.
    """
    checkout = Path(__file__).parents[1]
    if (checkout / "pyproject.toml").is_file():
        return f"run `make setup` in {checkout}"
    return f'run `pip install "corpus-worker[{extra}]"`'
