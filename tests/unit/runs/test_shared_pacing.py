"""Dry runs share the rate limits of real runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from worker.config.schema import Settings, StoreSettings
from worker.dedupe.judge import Deduper
from worker.errors import StoreError
from worker.fetch.client import InMemoryHostStore
from worker.ports import HostHealth, RobotsRecord
from worker.runs.dry_run import SharedPacing, shared_pacing
from worker.storage.store import open_store

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PAUSE = timedelta(seconds=2)
HOST = "bao.example"


def settings_at(path: Path) -> Settings:
    return Settings(store=StoreSettings(url=f"sqlite:///{path}"))


def test_slots_are_reserved_in_the_store_so_that_other_workers_wait(tmp_path: Path) -> None:
    settings = settings_at(tmp_path / "corpus.db")
    with open_store(settings.store.url, parameters=Deduper().parameters) as store:
        taken = store.hosts.reserve(HOST, now=NOW, delay=PAUSE)

        with shared_pacing(settings, InMemoryHostStore()) as hosts:
            ours = [hosts.reserve(HOST, now=NOW, delay=PAUSE) for _ in range(2)]

        theirs = store.hosts.reserve(HOST, now=NOW, delay=PAUSE)
    assert [taken, *ours, theirs] == [NOW + n * PAUSE for n in range(4)]


def test_state_learned_in_a_dry_run_is_not_stored(tmp_path: Path) -> None:
    settings = settings_at(tmp_path / "corpus.db")
    robots = RobotsRecord(origin="https://bao.example", checked_at=NOW, status=200, body=b"User-agent: *\n")
    with open_store(settings.store.url, parameters=Deduper().parameters) as store:
        with shared_pacing(settings, InMemoryHostStore()) as hosts:
            hosts.save_health(HostHealth(host=HOST, failures=3))
            hosts.save_robots(robots)
            hosts.save_redirect("https://bao.example/a", "https://bao.example/b")
            known = (
                hosts.health_of(HOST).failures,
                hosts.robots(robots.origin),
                hosts.redirect_of("https://bao.example/a"),
            )

        left = (
            store.hosts.health_of(HOST),
            store.hosts.robots(robots.origin),
            store.hosts.redirect_of("https://bao.example/a"),
        )
    assert known == (3, robots, "https://bao.example/b")
    assert left == (HostHealth(host=HOST), None, None)


def test_stored_state_of_a_host_is_used_in_a_dry_run(tmp_path: Path) -> None:
    settings = settings_at(tmp_path / "corpus.db")
    closed = HostHealth(host=HOST, failures=5, closed_until=NOW + timedelta(hours=1))
    robots = RobotsRecord(origin="https://bao.example", checked_at=NOW, status=404)
    with open_store(settings.store.url, parameters=Deduper().parameters) as store:
        store.hosts.save_health(closed)
        store.hosts.save_robots(robots)

        with shared_pacing(settings, InMemoryHostStore()) as hosts:
            assert hosts.health_of(HOST) == closed
            assert hosts.robots(robots.origin) == robots


def test_without_a_store_a_dry_run_has_its_own_rate_limits_and_creates_no_store(tmp_path: Path) -> None:
    own = InMemoryHostStore()

    with shared_pacing(settings_at(tmp_path / "corpus.db"), own) as hosts:
        turns = [hosts.reserve(HOST, now=NOW, delay=PAUSE) for _ in range(2)]

    assert turns == [NOW, NOW + PAUSE]
    assert not (tmp_path / "corpus.db").exists()


class _Broken(InMemoryHostStore):
    def reserve(self, host: str, *, now: datetime, delay: timedelta, instead_of: datetime | None = None) -> datetime:
        raise StoreError("the disk is full")

    def standing(self, host: str) -> HostHealth:
        raise StoreError("the disk is full")

    def robots(self, origin: str) -> RobotsRecord | None:
        raise StoreError("the disk is full")


@pytest.mark.parametrize("first", ["reserve", "standing", "robots"])
def test_a_failing_store_is_not_used_again(first: str) -> None:
    hosts = SharedPacing(InMemoryHostStore(), _Broken())
    if first == "standing":
        assert hosts.health_of(HOST) == HostHealth(host=HOST)
    if first == "robots":
        assert hosts.robots("https://bao.example") is None

    turns = [hosts.reserve(HOST, now=NOW, delay=PAUSE) for _ in range(2)]

    assert turns == [NOW, NOW + PAUSE]
