"""The messages between the pool and its worker processes: length-prefixed pickles over a private socket pair.

`ExtractRules` is here as well: it is sent to the processes, which never load the configuration. So is how many of them
the machine, or the limits of a container or service, leave room for.
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import socket
import struct
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from worker.extract.explain import ExtractionExplanation
from worker.models import Article, Page, Text
from worker.models.base import dataclass
from worker.ports import Hints

if TYPE_CHECKING:
    from worker.config.schema import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractRules:
    """The settings of extraction as plain values.

    `processes`: 0 means one per core. `memory`: how many bytes one page may add to its process. `renew_after`: a
    process is replaced after this many pages, which bounds memory leaks. `languages`: empty keeps every language.
    `timezone`: for dates without a zone on pages whose source names none. `refuse`: rights signals that reject a page
    (`noindex`, `noai`, `tdm-reservation`…).
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
        return self.processes or usable_cores()


def usable_cores(root: Path = Path("/")) -> int:
    """Return how many cores this process may keep busy: its affinity, and the CPU quotas of its control groups."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in control_groups(root):
        with contextlib.suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            count = count if quota == "max" else min(count, math.ceil(int(quota) / int(period)))
    return max(count, 1)


def control_groups(root: Path = Path("/")) -> Iterator[Path]:
    """Yield the folders of this process's control group and of those above it (cgroups(7), version 2; else none).

    They hold the limits of a container, or of a service. In a container, its own group is usually the topmost.
    """
    mounted = root / "sys" / "fs" / "cgroup"
    try:
        lines = (root / "proc" / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        if line.startswith("0::/"):
            parts = Path(line[4:]).parts
            # A group outside the container's own is shown as "/..", and is not mounted.
            within = [] if ".." in parts else parts
            yield from (mounted.joinpath(*within[:depth]) for depth in range(len(within), -1, -1))


def extract_rules(settings: Settings) -> ExtractRules:
    """Return the rules for extraction under the settings."""
    own = settings.extract
    return ExtractRules(
        processes=own.processes,
        timeout=own.timeout,
        min_words=own.min_words,
        languages=own.languages,
        refuse=settings.rights.refused,
    )


# Before every message: the number of its bytes.
LENGTH_PREFIX = struct.Struct("!Q")
# To the fork server: FORK with the new worker's socket, or KILL with a process id.
COMMAND = struct.Struct("!cQ")
FORK, KILL = b"f", b"k"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReady:
    """A new worker process accepts jobs."""

    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One page or text to extract; with `explain`, the result is an explanation instead of an article."""

    content: Page | Text
    hints: Hints
    fetched_at: datetime
    explain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """The result of one job: an article, or `reason` and `message` that say why there is none.

    `blocked`: a rights signal was refused. `last`: the worker process exits after this result.
    """

    article: Article | None = None
    reason: str = ""
    message: str = ""
    blocked: bool = False
    last: bool = False
    explanation: ExtractionExplanation | None = None


def pack(message: WorkerReady | Job | JobResult) -> bytes:
    """Return a message as bytes, its length first."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return LENGTH_PREFIX.pack(len(body)) + body


def unpack(body: bytes) -> object:
    """Return the message in a frame. Pickle is safe here: both ends are processes of this program."""
    return pickle.loads(body)  # noqa: S301


def receive(connection: socket.socket) -> object | None:
    """Wait for one message and return it; None if the other end has closed the connection."""
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
