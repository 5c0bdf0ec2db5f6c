"""`reprocess` on a server that restarts: it gets its lock again, or ends before the next write."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.contract.storage.factories import NOW, PARAMETERS, judge_of, take_in
from tests.integration.storage.test_killed_workers import SERVER_SCRIPT, server, server_url  # noqa: F401 - fixtures
from worker.errors import StoreBusy
from worker.models import Article, Fingerprint, Neighbour, Verdict
from worker.storage.db.locks import LOCK_KEY
from worker.storage.store import Store, open_store

pytestmark = pytest.mark.postgresql


def as_before(article: Article, _fingerprint: Fingerprint, neighbours: Sequence[Neighbour]) -> Verdict:
    return judge_of(article)(neighbours)


@pytest.fixture
def stores(server_url: str) -> Iterator[tuple[Store, Store]]:  # noqa: F811
    """The same store opened twice, with two articles."""
    one, other = (open_store(server_url, parameters=PARAMETERS) for _ in range(2))
    take_in(one, "https://a.example/1", "một hai")
    take_in(one, "https://b.example/1", "ba bốn")
    yield one, other
    one.close()
    other.close()


def restart(server: Path) -> None:  # noqa: F811
    subprocess.run([SERVER_SCRIPT, "restart", server], check=True, capture_output=True)


def test_after_a_restart_reprocess_takes_its_lock_again_before_it_writes(
    stores: tuple[Store, Store],
    server: Path,  # noqa: F811
) -> None:
    one, other = stores

    with one.review.exclusive():
        restart(server)
        judged = one.review.rejudge(tag="t").judge_all(as_before)

        with pytest.raises(StoreBusy, match="another reprocess is at work"), other.review.exclusive():
            pass

    assert judged == 2
    with other.review.exclusive():
        pass


def test_reprocess_ends_if_another_one_got_the_lock_after_a_restart(
    stores: tuple[Store, Store],
    server: Path,  # noqa: F811
) -> None:
    one, other = stores

    with one.review.exclusive():
        restart(server)
        with other.review.exclusive():
            other.review.rejudge(tag="other").judge_all(as_before)
            for write in (
                lambda: one.review.rejudge(tag="one").judge_all(as_before),
                lambda: one.review.rejudge(tag="other").take_effect(as_before, now=NOW),
                lambda: one.review.queue_kept_pages(now=NOW),
                one.review.finish_kept_pages,
                one.review.end_kept_pages,
            ):
                with pytest.raises(StoreBusy, match="another reprocess has started on this store meanwhile"):
                    write()
            again = other.review.rejudge(tag="other").judge_all(as_before)

    assert again == 0


def test_a_restart_between_two_steps_of_a_judgement_keeps_the_lock(
    stores: tuple[Store, Store],
    server: Path,  # noqa: F811
    server_url: str,  # noqa: F811
) -> None:
    one, _ = stores
    engine = create_engine(server_url)
    asked = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = :low AND granted")

    def holds() -> int:
        with engine.connect() as connection:
            return int(connection.execute(asked, {"low": LOCK_KEY & 0xFFFFFFFF}).scalar_one())

    def restarting(article: Article, fingerprint: Fingerprint, neighbours: Sequence[Neighbour]) -> Verdict:
        if not held:
            held.append(holds())
            restart(server)
            engine.dispose()
        held.append(holds())
        return as_before(article, fingerprint, neighbours)

    held: list[int] = []
    with one.review.exclusive():
        one.review.rejudge(tag="t").judge_all(restarting)
    after = holds()
    engine.dispose()

    # While the first attempt is under way the lock is gone; what is tried again has it.
    assert (held[0], held[-1], after) == (1, 1, 0)
