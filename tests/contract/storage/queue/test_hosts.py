"""The book of hosts: turns are given out once, standings and robots.txt come back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from tests.contract.storage.factories import MINUTE, NOW
from worker.ports import HostHealth, RobotsRecord
from worker.storage import Store

DELAY = timedelta(seconds=2)


def test_turns_of_one_host_are_a_delay_apart(store: Store) -> None:
    turns = [store.hosts.reserve("a.example", now=NOW, delay=DELAY) for _ in range(3)]

    assert turns == [NOW, NOW + DELAY, NOW + 2 * DELAY]


def test_a_turn_long_past_is_not_made_up_for(store: Store) -> None:
    store.hosts.reserve("a.example", now=NOW, delay=DELAY)

    assert store.hosts.reserve("a.example", now=NOW + MINUTE, delay=DELAY) == NOW + MINUTE
    assert store.hosts.reserve("a.example", now=NOW + MINUTE, delay=DELAY) == NOW + MINUTE + DELAY


def test_a_missed_turn_moves_where_nobody_has_the_next_one(store: Store) -> None:
    missed = store.hosts.reserve("a.example", now=NOW, delay=DELAY)
    late = NOW + DELAY / 2

    assert store.hosts.reserve("a.example", now=late, delay=DELAY, instead_of=missed) == late
    assert store.hosts.reserve("a.example", now=late, delay=DELAY) == late + DELAY


def test_a_missed_turn_is_lost_where_somebody_has_the_next_one(store: Store) -> None:
    missed, other = (store.hosts.reserve("a.example", now=NOW, delay=DELAY) for _ in range(2))
    late = NOW + DELAY / 2

    assert store.hosts.reserve("a.example", now=late, delay=DELAY, instead_of=missed) == other + DELAY


def test_hosts_do_not_wait_for_each_other(store: Store) -> None:
    store.hosts.reserve("a.example", now=NOW, delay=DELAY)

    assert store.hosts.reserve("b.example", now=NOW, delay=DELAY) == NOW


def test_no_turn_is_given_out_twice_to_workers_asking_together(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(store.hosts.reserve, "a.example", now=NOW, delay=DELAY) for _ in range(40)]
        turns = sorted(each.result() for each in asked)

    assert turns == [NOW + number * DELAY for number in range(40)]


def test_standings_come_back(store: Store) -> None:
    closed = HostHealth(host="a.example", failures=4, closed_until=NOW + MINUTE)

    store.hosts.save_health(closed)

    assert store.hosts.health_of("a.example") == closed
    assert store.hosts.health_of("b.example") == HostHealth(host="b.example")


def test_a_standing_can_be_cleared(store: Store) -> None:
    store.hosts.save_health(HostHealth(host="a.example", failures=4, closed_until=NOW + MINUTE))

    store.hosts.save_health(HostHealth(host="a.example"))

    assert store.hosts.health_of("a.example") == HostHealth(host="a.example")


def test_robots_come_back(store: Store) -> None:
    record = RobotsRecord(
        origin="https://a.example", checked_at=NOW, status=200, body=b"User-agent: *\xff\x00", good_at=NOW
    )
    store.hosts.save_robots(RobotsRecord(origin=record.origin, checked_at=NOW - MINUTE, status=None, error="no answer"))

    store.hosts.save_robots(record)

    assert store.hosts.robots(record.origin) == record
    assert store.hosts.robots("https://b.example") is None


def test_a_move_is_remembered_replaced_and_forgotten(store: Store) -> None:
    store.hosts.save_redirect("https://a.example/1", "https://a.example/2")
    store.hosts.save_redirect("https://a.example/1", "https://a.example/3")

    before = store.hosts.redirect_of("https://a.example/1")
    store.hosts.save_redirect("https://a.example/1", None)

    assert before == "https://a.example/3"
    assert store.hosts.redirect_of("https://a.example/1") is None
