"""Ask and tell the host book how hosts are answering, without asking it about every page."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from worker.errors import FetchError
from worker.fetch.health import after_failure, after_success, check_open, is_hosts_fault
from worker.fetch.statuses import status_error
from worker.ports import Clock, HostBook, HostStanding, Offload

FRESH_S = 5.0
MANY_HOSTS = 4_096


class Standings:
    """The standings of hosts, known for a few seconds before the book is asked again."""

    def __init__(self, *, clock: Clock, hosts: HostBook, offload: Offload) -> None:
        self._clock = clock
        self._hosts = hosts
        self._offload = offload
        self._known: dict[str, tuple[float, HostStanding]] = {}

    async def check(self, host: str) -> None:
        """Raise FetchError (`host-closed`) while the host is left alone."""
        check_open(await self._standing(host), now=self._clock.now())

    async def failed(self, host: str, error: FetchError) -> None:
        """Count a failure that is the host's fault."""
        if is_hosts_fault(error):
            now, asked = self._clock.now(), error.retry_at
            await self._change(host, lambda standing: after_failure(standing, now=now, retry_at=asked))

    async def answered(self, host: str, status: int, headers: Mapping[str, str]) -> None:
        """Forget the failures of a host that answers, unless its answer is that it cannot."""
        error = status_error(status, headers, host=host, now=self._clock.now())
        if error is not None and is_hosts_fault(error):
            await self.failed(host, error)
        elif (await self._standing(host)).failures:
            await self._change(host, after_success)

    async def _change(self, host: str, change: Callable[[HostStanding], HostStanding]) -> None:
        standing = await self._offload(self._hosts.standing, host)
        await self._offload(self._hosts.note, self._remember(change(standing)))

    async def _standing(self, host: str) -> HostStanding:
        known = self._known.get(host)
        if known is not None and self._clock.monotonic() - known[0] < FRESH_S:
            return known[1]
        return self._remember(await self._offload(self._hosts.standing, host))

    def _remember(self, standing: HostStanding) -> HostStanding:
        if len(self._known) >= MANY_HOSTS:
            self._known.clear()
        self._known[standing.host] = (self._clock.monotonic(), standing)
        return standing
