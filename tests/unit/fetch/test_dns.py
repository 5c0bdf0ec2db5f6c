"""Name resolution: only addresses that were checked are connected to, whatever a second look-up returns."""

from __future__ import annotations

import asyncio
import threading
from ipaddress import ip_address

import httpcore
import pytest

from worker.errors import FetchBlocked, FetchError
from worker.fetch.http.network_backend import GuardedBackend, parse_connect_to
from worker.fetch.http.ssrf import Address, Resolver, parse_networks, system_lookup

PUBLIC, PRIVATE = ip_address("93.184.216.34"), ip_address("127.0.0.1")


class Wiring:
    """A resolver with a different answer each time, and a network that only records connections."""

    def __init__(self, *answers: list[Address]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []
        self.connected: list[tuple[str, int]] = []

    async def resolve(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    async def connect(self, address: Address, port: int, timeout_s: float | None) -> httpcore.AsyncNetworkStream:
        self.connected.append((str(address), port))
        if address == PUBLIC:
            return httpcore.AsyncNetworkStream()
        raise FetchError("nobody there", reason="connect", retry=True)

    def dialer(self, *networks: str, **connect_to: str) -> GuardedBackend:
        table = {key.replace("__", ":"): value for key, value in connect_to.items()}
        return GuardedBackend(
            resolve=self.resolve,
            networks=parse_networks(networks),
            connect_to=parse_connect_to(table),
            connect=self.connect,
        )


async def test_a_name_is_looked_up_once_and_the_checked_address_connected_to() -> None:
    wiring = Wiring([PUBLIC], [PRIVATE])

    await wiring.dialer().connect_tcp("rebind.example", 80)

    assert wiring.asked == ["rebind.example"]
    assert wiring.connected == [("93.184.216.34", 80)]


async def test_a_name_that_changes_to_a_private_address_is_refused() -> None:
    wiring = Wiring([PUBLIC], [PRIVATE])
    dialer = wiring.dialer()
    await dialer.connect_tcp("rebind.example", 80)

    with pytest.raises(FetchBlocked):
        await dialer.connect_tcp("rebind.example", 80)

    assert wiring.connected == [("93.184.216.34", 80)]


async def test_a_name_with_one_private_address_among_public_ones_is_refused() -> None:
    wiring = Wiring([PUBLIC, PRIVATE])

    with pytest.raises(FetchBlocked):
        await wiring.dialer().connect_tcp("mixed.example", 80)

    assert wiring.connected == []


async def test_the_next_address_is_tried_if_one_does_not_answer() -> None:
    wiring = Wiring([ip_address("2606:4700::1"), ip_address("8.8.8.8"), PUBLIC])

    await wiring.dialer().connect_tcp("news.example", 443)

    assert [address for address, _ in wiring.connected] == ["2606:4700::1", "8.8.8.8", "93.184.216.34"]


async def test_connect_to_replaces_the_address_which_is_not_checked() -> None:
    wiring = Wiring([PUBLIC])

    with pytest.raises(FetchError, match="nobody there"):
        await wiring.dialer(**{"news.example__80": "127.0.0.1:8080"}).connect_tcp("news.example", 80)

    assert wiring.asked == []
    assert wiring.connected == [("127.0.0.1", 8080)]


async def test_allowed_networks_may_be_connected_to() -> None:
    wiring = Wiring([PRIVATE])

    with pytest.raises(FetchError, match="nobody there"):
        await wiring.dialer("127.0.0.0/8").connect_tcp("local.example", 80)

    assert wiring.connected == [("127.0.0.1", 80)]


async def test_concurrent_look_ups_of_one_name_share_one_thread() -> None:
    calls = []

    def lookup(host: str, port: int) -> list[Address]:
        calls.append(host)
        return [PUBLIC]

    resolver = Resolver(lookup)

    answers = await asyncio.gather(*(resolver("news.example", 80) for _ in range(10)))

    assert answers == [[PUBLIC]] * 10
    assert calls == ["news.example"]


async def test_a_cancelled_look_up_does_not_cancel_those_of_others() -> None:
    release = threading.Event()

    def lookup(host: str, port: int) -> list[Address]:
        release.wait(300)
        return [PUBLIC]

    resolver = Resolver(lookup)
    impatient = asyncio.create_task(resolver("news.example", 80))
    patient = asyncio.create_task(resolver("news.example", 80))
    await asyncio.sleep(0.01)

    impatient.cancel()
    release.set()

    assert await patient == [PUBLIC]


async def test_hung_look_ups_are_bounded_in_number() -> None:
    release = threading.Event()
    running = 0

    def hang(host: str, port: int) -> list[Address]:
        nonlocal running
        running += 1
        release.wait(300)
        return [PUBLIC]

    resolver = Resolver(hang, threads=3)
    tasks = [asyncio.create_task(resolver(f"h{number}", 80)) for number in range(10)]
    while running < 3:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)

    most = running
    release.set()
    await asyncio.gather(*tasks)

    assert (most, running) == (3, 10)


@pytest.mark.parametrize("failure", [OSError("no such name"), UnicodeError("label too long"), ValueError("odd")])
async def test_a_look_up_that_fails_is_a_dns_error(failure: Exception) -> None:
    def fails(host: str, port: int) -> list[Address]:
        raise failure

    with pytest.raises(FetchError) as caught:
        await Resolver(fails)("news.example", 80)

    assert caught.value.reason == "dns"


async def test_a_name_without_addresses_is_a_dns_error() -> None:
    with pytest.raises(FetchError, match=r"news\.example has no address"):
        await Resolver(lambda host, port: [])("news.example", 80)


async def test_closing_leaves_no_task_behind() -> None:
    release = threading.Event()

    def hang(host: str, port: int) -> list[Address]:
        release.wait(300)
        return []

    resolver = Resolver(hang)
    waiting = asyncio.create_task(resolver("news.example", 80))
    await asyncio.sleep(0.01)

    resolver.close()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    release.set()


def test_the_system_resolver_resolves_localhost() -> None:
    assert ip_address("127.0.0.1") in system_lookup("127.0.0.1", 80)
