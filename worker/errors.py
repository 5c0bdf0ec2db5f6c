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

from datetime import datetime

_HOSTS_FAULTS = frozenset({"host-closed", "robots-silent", "dns", "connect", "tls", "timeout", "reset"})
_HOSTS_STATUSES = frozenset({429, 503})


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
    def hosts_fault(self) -> bool:
        """Whether the host is to blame and not the page: nothing that waits for it may be given up for that."""
        return self.reason in _HOSTS_FAULTS or self.status in _HOSTS_STATUSES


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
