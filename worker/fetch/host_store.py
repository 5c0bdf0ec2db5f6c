"""Hosts remembered by one process alone: for dry runs and checks that leave no trace in the store."""

from __future__ import annotations

from datetime import datetime, timedelta

from worker.ports import HostHealth, RobotsRecord


class InMemoryHostStore:
    """A `ports.HostBook` that forgets everything when the process ends."""

    def __init__(self) -> None:
        self._turns: dict[str, datetime] = {}
        self._standings: dict[str, HostHealth] = {}
        self._robots: dict[str, RobotsRecord] = {}
        self._moved: dict[str, str] = {}

    def reserve(self, host: str, *, now: datetime, delay: timedelta, instead_of: datetime | None = None) -> datetime:
        """Take the host's next turn and return when it starts; one that was missed and is still the last moves."""
        following = self._turns.get(host, now)
        if instead_of is not None and following == instead_of + delay:
            following = now
        turn = max(now, following)
        self._turns[host] = turn + delay
        return turn

    def standing(self, host: str) -> HostHealth:
        """Return how the host has been answering."""
        return self._standings.get(host, HostHealth(host=host))

    def note(self, standing: HostHealth) -> None:
        """Remember how the host has been answering."""
        self._standings[standing.host] = standing

    def robots(self, origin: str) -> RobotsRecord | None:
        """Return what is known of an origin's robots.txt."""
        return self._robots.get(origin)

    def keep_robots(self, record: RobotsRecord) -> None:
        """Remember a robots.txt."""
        self._robots[record.origin] = record

    def moved(self, url: str) -> str | None:
        """Return where a URL has moved for good."""
        return self._moved.get(url)

    def keep_moved(self, url: str, target: str | None) -> None:
        """Remember where a URL has moved for good; None: forget it."""
        self._moved.pop(url, None)
        if target is not None:
            self._moved[url] = target
