"""The messages between the pool and its worker processes: length-prefixed pickles over a socket that only they hold."""

from __future__ import annotations

import os
import pickle
import socket
import struct
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from worker.extract.explain import ExtractionExplanation
from worker.models import Article, Page, Text
from worker.ports import Hints

if TYPE_CHECKING:
    from worker.config.schema import Settings


# What the configuration says about extraction, as plain values: the worker processes never load the configuration.


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractRules:
    """How pages are read and which articles are kept.

    `processes` 0 means one for each core; `memory` is in bytes and bounds what one page may add to its process;
    a process is renewed after `renew_after` pages. Empty `languages` keeps every language. `refuse` names rights
    signals that keep an article out (`noindex`, `noai`, `tdm-reservation`…).
    """

    processes: int = 0
    timeout: timedelta = timedelta(seconds=20)
    memory: int = 1 << 30
    renew_after: int = 2000
    min_words: int = 60
    languages: tuple[str, ...] = ("vi",)
    timezone: str = "Asia/Ho_Chi_Minh"
    refuse: tuple[str, ...] = ()

    def process_count(self) -> int:
        """Return how many worker processes to run."""
        return self.processes or len(os.sched_getaffinity(0))


def extract_rules(settings: Settings) -> ExtractRules:
    """Return the rules for extraction under the settings."""
    own = settings.extract
    return ExtractRules(
        processes=own.processes,
        timeout=own.timeout,
        min_words=own.min_words,
        languages=own.languages,
        refuse=settings.rights.refuse,
    )


LENGTH_PREFIX = struct.Struct("!Q")
# What the nursery is told: an order, and the process it is about.
COMMAND = struct.Struct("!cQ")
FORK, KILL = b"f", b"k"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReady:
    """A worker process is up."""

    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One page or text to read."""

    content: Page | Text
    hints: Hints
    fetched_at: datetime
    explain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """How the reading of one page ended: an article, or the reason why there is none.

    `blocked` marks a rights signal; `last` says that the process that answered is about to end.
    """

    article: Article | None = None
    reason: str = ""
    message: str = ""
    blocked: bool = False
    last: bool = False
    explanation: ExtractionExplanation | None = None


def pack(message: WorkerReady | Job | JobResult) -> bytes:
    """Return a message with its length before it."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return LENGTH_PREFIX.pack(len(body)) + body


def unpack(body: bytes) -> object:
    """Return the message of a frame. Both ends are this program's own processes, so pickle is trusted here."""
    return pickle.loads(body)  # noqa: S301


def receive(connection: socket.socket) -> object | None:
    """Wait for one message; None where the other end has closed."""
    header = _read(connection, LENGTH_PREFIX.size)
    if header is None:
        return None
    body = _read(connection, LENGTH_PREFIX.unpack(header)[0])
    return None if body is None else unpack(body)


def _read(connection: socket.socket, size: int) -> bytes | None:
    buffer = bytearray(size)
    view = memoryview(buffer)
    done = 0
    while done < size:
        count = connection.recv_into(view[done:])
        if not count:
            return None
        done += count
    return bytes(buffer)
