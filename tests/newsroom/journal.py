"""The access log, kept in memory: who asked for what, when, and what was answered."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `began` and `ended` are monotonic seconds; status 0: no status line was sent."""

    host: str
    path: str
    method: str = "GET"
    scheme: str = "https"
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    connection: int = 0
    at: datetime
    began: float
    ended: float | None = None

    @property
    def user_agent(self) -> str:
        """Who says to be asking."""
        return self.headers.get("user-agent", "")


class Journal:
    """The requests in the order in which they came; safe to use from many threads."""

    def __init__(self) -> None:
        self._requests: dict[int, Request] = {}
        self._numbers = itertools.count()
        self._lock = Lock()

    def enter(self, request: Request) -> int:
        """Write a request down; return its number."""
        with self._lock:
            number = next(self._numbers)
            self._requests[number] = request
        return number

    def answered(self, number: int, status: int) -> None:
        """Fill in what a request is answered with."""
        self._amend(number, lambda request: replace(request, status=status))

    def ended(self, number: int, ended: float) -> None:
        """Fill in when a request was over, in monotonic seconds."""
        self._amend(number, lambda request: replace(request, ended=ended))

    def forget(self) -> None:
        """Empty the log."""
        with self._lock:
            self._requests.clear()

    def entries(self) -> tuple[Request, ...]:
        """Return what was asked so far."""
        with self._lock:
            return tuple(self._requests.values())

    def _amend(self, number: int, change: Callable[[Request], Request]) -> None:
        with self._lock:
            if number in self._requests:
                self._requests[number] = change(self._requests[number])


def most_at_once(requests: tuple[Request, ...]) -> int:
    """Return how many of the requests were under way at one moment, at the most."""
    edges = [(request.began, 1) for request in requests]
    edges += [(request.ended, -1) for request in requests if request.ended is not None]
    running = highest = 0
    for _, step in sorted(edges):
        running += step
        highest = max(highest, running)
    return highest
