"""What parent and worker processes say to each other: length-prefixed pickles over a socket only they hold."""

from __future__ import annotations

import pickle
import socket
import struct
from dataclasses import dataclass
from datetime import datetime

from worker.extract.explain import Explanation
from worker.models import Article, Page, Text
from worker.ports import Hints

HEADER = struct.Struct("!Q")
# What the nursery is told: an order, and the process it is about.
ORDER = struct.Struct("!cQ")
FORK, KILL = b"f", b"k"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
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
class Reply:
    """How the reading of one page ended: an article, or the reason why there is none.

    `blocked` marks a rights signal; `last` says that the process that answered is about to end.
    """

    article: Article | None = None
    reason: str = ""
    message: str = ""
    blocked: bool = False
    last: bool = False
    explanation: Explanation | None = None


def pack(message: Ready | Job | Reply) -> bytes:
    """Return a message with its length before it."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(body)) + body


def unpack(body: bytes) -> object:
    """Return the message of a frame. Both ends are this program's own processes, so pickle is trusted here."""
    return pickle.loads(body)  # noqa: S301


def receive(connection: socket.socket) -> object | None:
    """Wait for one message; None where the other end has closed."""
    header = _read(connection, HEADER.size)
    if header is None:
        return None
    body = _read(connection, HEADER.unpack(header)[0])
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
