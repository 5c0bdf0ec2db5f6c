"""The rate limiter, on a virtual clock."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

import pytest

from tests.unit.fetch.fakes import VirtualClock, inline, run_virtually
from worker.fetch.client import InMemoryHostStore
from worker.fetch.politeness import HostRateLimiter, KeyedSemaphore, SlotMissed
from worker.ports import RunInThread

P = ParamSpec("P")
T = TypeVar("T")

DELAY = timedelta(seconds=2)
NONE = timedelta(0)
DAY_S = 86_400


def make_limiter(
    *,
    hosts: InMemoryHostStore | None = None,
    delay: timedelta = DELAY,
    per_host: int = 1,
    total: int = 32,
    offload: RunInThread = inline,
) -> HostRateLimiter:
    return HostRateLimiter(
        per_host=per_host,
        total=total,
        delay=delay,
        clock=VirtualClock(),
        hosts=hosts or InMemoryHostStore(),
        offload=offload,
    )


@dataclass
class Visits:
    """When requests began at each host, and how many ran at once."""

    began: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    under_way: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    most_at_a_host: int = 0
    most_in_all: int = 0
    longest_wait: timedelta = NONE

    async def make(
        self, limiter: HostRateLimiter, host: str, *, takes_s: float, connects_s: float = 0, delay: timedelta = NONE
    ) -> None:
        asked, missed, visited = VirtualClock().now(), None, False
        while not visited:
            try:
                async with limiter.acquire(host, delay=delay, missed=missed) as slot:
                    await asyncio.sleep(connects_s)
                    await slot.wait_before_send()
                    visited = True
                    await self.stay(host, takes_s, asked=asked)
            except SlotMissed as again:
                missed = again

    async def stay(self, host: str, takes_s: float, *, asked: datetime) -> None:
        now = VirtualClock().now()
        self.longest_wait = max(self.longest_wait, now - asked)
        self.began[host].append(now)
        self.under_way[host] += 1
        self.most_at_a_host = max(self.most_at_a_host, self.under_way[host])
        self.most_in_all = max(self.most_in_all, sum(self.under_way.values()))
        await asyncio.sleep(takes_s)
        self.under_way[host] -= 1

    def shortest_pause(self) -> timedelta:
        pauses = [b - a for moments in self.began.values() for a, b in itertools.pairwise(sorted(moments))]
        return min(pauses)


def test_requests_to_one_host_are_a_delay_apart_and_never_overlap() -> None:
    async def main() -> Visits:
        visits, limiter = Visits(), make_limiter()
        await asyncio.gather(*(visits.make(limiter, "a", takes_s=n % 5) for n in range(20)))
        return visits

    visits = run_virtually(main())

    assert visits.most_at_a_host == 1
    assert visits.shortest_pause() >= DELAY


def test_the_longer_delay_wins() -> None:
    async def main() -> Visits:
        visits, limiter = Visits(), make_limiter()
        await asyncio.gather(*(visits.make(limiter, "a", takes_s=0, delay=timedelta(seconds=7)) for _ in range(4)))
        return visits

    assert timedelta(seconds=7) <= run_virtually(main()).shortest_pause() < timedelta(seconds=8)


def test_other_hosts_do_not_wait_for_a_slow_one() -> None:
    async def main() -> Visits:
        visits, limiter = Visits(), make_limiter(total=2)
        slow = [asyncio.create_task(visits.make(limiter, "slow", takes_s=1_000)) for _ in range(10)]
        await asyncio.sleep(1)
        await asyncio.gather(*(visits.make(limiter, f"h{n}", takes_s=1) for n in range(50)))
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        return visits

    visits = run_virtually(main())

    assert max(moment for host, moments in visits.began.items() if host != "slow" for moment in moments) <= (
        visits.began["slow"][0] + timedelta(seconds=60)
    )


def test_a_request_delayed_by_other_hosts_delays_the_next_one() -> None:
    async def main() -> Visits:
        visits, limiter = Visits(), make_limiter(total=1)
        await asyncio.gather(
            visits.make(limiter, "hog", takes_s=3), *(visits.make(limiter, "a", takes_s=0) for _ in range(3))
        )
        return visits

    assert run_virtually(main()).shortest_pause() >= DELAY


def test_two_workers_on_one_store_share_the_slots() -> None:
    async def main() -> Visits:
        hosts, visits = InMemoryHostStore(), Visits()
        workers = [make_limiter(hosts=hosts), make_limiter(hosts=hosts)]
        await asyncio.gather(*(visits.make(workers[n % 2], "a", takes_s=0.1) for n in range(20)))
        return visits

    assert run_virtually(main()).shortest_pause() >= DELAY


def test_without_a_delay_nobody_waits() -> None:
    async def main() -> Visits:
        visits, limiter = Visits(), make_limiter(delay=NONE)
        await asyncio.gather(*(visits.make(limiter, f"h{n}", takes_s=0) for n in range(20)))
        return visits

    assert run_virtually(main()).longest_wait == NONE


def test_all_hosts_together_hold_no_more_than_the_shared_permits() -> None:
    async def main() -> Visits:
        visits, limiter = Visits(), make_limiter(total=3)
        await asyncio.gather(*(visits.make(limiter, f"h{n}", takes_s=1) for n in range(50)))
        return visits

    assert run_virtually(main()).most_in_all == 3


def test_a_late_request_delays_the_slots_of_other_workers_too() -> None:
    async def main() -> Visits:
        hosts, visits = InMemoryHostStore(), Visits()
        late, other = make_limiter(hosts=hosts, total=1), make_limiter(hosts=hosts)
        hog = asyncio.create_task(visits.make(late, "hog", takes_s=1.5))
        await asyncio.sleep(0)
        held_up = asyncio.create_task(visits.make(late, "a", takes_s=0))
        await asyncio.sleep(1.6)
        await visits.make(other, "a", takes_s=0)
        await asyncio.gather(hog, held_up)
        return visits

    assert run_virtually(main()).shortest_pause() >= DELAY


@pytest.mark.parametrize("seed", range(20))
def test_however_workers_slow_each_other_down_no_request_is_early(seed: int) -> None:
    """Five workers on one slow store, each with fewer permits than hosts."""
    chance = random.Random(seed)

    async def slow_store(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        await asyncio.sleep(chance.uniform(0.05, 0.2))
        answer = call(*args, **kwargs)
        await asyncio.sleep(chance.uniform(0.05, 0.2))
        return answer

    async def main() -> Visits:
        hosts, visits = InMemoryHostStore(), Visits()
        workers = [make_limiter(hosts=hosts, total=chance.choice((1, 2)), offload=slow_store) for _ in range(5)]
        async with asyncio.TaskGroup() as group:
            for _ in range(120):
                takes_s, connects_s = chance.choice((0, 0.05, 0.5, 3)), chance.choice((0, 0.01, 0.2, 3))
                visit = visits.make(
                    chance.choice(workers), chance.choice("abc"), takes_s=takes_s, connects_s=connects_s
                )
                group.create_task(visit)
                await asyncio.sleep(chance.expovariate(2))
        return visits

    visits = run_virtually(main())

    assert sum(map(len, visits.began.values())) == 120
    assert visits.shortest_pause() >= DELAY


def test_a_request_that_leaves_late_delays_the_slots_that_follow() -> None:
    async def main() -> Visits:
        hosts, visits = InMemoryHostStore(), Visits()
        for stopped_s in (0, 1.5, 0.04, 30, 0):
            # Every time another worker, as one that ends with a host hands it on.
            async with make_limiter(hosts=hosts).acquire("a", delay=NONE) as slot:
                await slot.wait_before_send()
                await asyncio.sleep(stopped_s)
                await slot.after_send()
                await visits.stay("a", takes_s=0, asked=VirtualClock().now())
        return visits

    visits = run_virtually(main())

    assert visits.shortest_pause() >= DELAY
    assert visits.began["a"][-1] - visits.began["a"][0] < timedelta(seconds=32) + 4 * DELAY


def test_requests_are_sent_even_if_the_store_is_slower_than_the_slack() -> None:
    async def very_slow_store(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        await asyncio.sleep(1)
        return call(*args, **kwargs)

    async def main() -> Visits:
        visits, limiter = Visits(), make_limiter(total=1, offload=very_slow_store)
        await asyncio.gather(*(visits.make(limiter, host, takes_s=1) for host in "aabbcc"))
        return visits

    assert sum(map(len, run_virtually(main()).began.values())) == 6


def test_keys_that_nobody_holds_are_dropped() -> None:
    async def main() -> int:
        semaphore = KeyedSemaphore(1)
        for number in range(100):
            async with semaphore.acquire(str(number)):
                pass
        return len(semaphore._entries)

    assert run_virtually(main()) == 0


def test_a_cancelled_wait_takes_no_permit() -> None:
    async def main() -> list[str]:
        semaphore, order = KeyedSemaphore(1), []

        async def sit(name: str, takes_s: float) -> None:
            async with semaphore.acquire("a"):
                order.append(name)
                await asyncio.sleep(takes_s)

        first = asyncio.create_task(sit("first", 10))
        await asyncio.sleep(1)
        second = asyncio.create_task(sit("second", 10))
        await asyncio.sleep(1)
        second.cancel()
        await asyncio.gather(first, sit("third", 0), second, return_exceptions=True)
        return order

    assert run_virtually(main()) == ["first", "third"]


def test_a_day_of_a_thousand_hosts() -> None:
    """Bursts of links from a thousand hosts, a few of them slow: no request is early, no host is starved."""
    total = 32
    chance = random.Random(5)
    bursts = [(chance.uniform(0, DAY_S), f"h{n}", chance.randint(1, 5)) for n in range(1_000) for _ in range(2)]

    async def main() -> Visits:
        visits, limiter = Visits(), make_limiter(total=total)

        async def burst(at_s: float, host: str, pages: int) -> None:
            await asyncio.sleep(at_s)
            takes_s = 45 if host.endswith("13") else chance.uniform(0.05, 3)
            await asyncio.gather(*(visits.make(limiter, host, takes_s=takes_s) for _ in range(pages)))

        await asyncio.gather(*(burst(*each) for each in bursts))
        return visits

    visits = run_virtually(main())

    assert sum(map(len, visits.began.values())) == sum(pages for _, _, pages in bursts)
    assert visits.shortest_pause() >= DELAY
    assert visits.most_at_a_host == 1
    assert visits.most_in_all <= total
    assert visits.longest_wait <= timedelta(minutes=10)
