"""Frequent queries use a small index, however many hosts and candidates there are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, text

from tests.contract.storage.factories import MINUTE, NOW
from worker.models import State
from worker.ports import Scope
from worker.storage.corpus import judge_model, reader, texts
from worker.storage.db.codec import EPOCH
from worker.storage.db.database import Database
from worker.storage.db.engine import connect
from worker.storage.db.schema import CANDIDATES, HOSTS
from worker.storage.maintenance import rejected
from worker.storage.queue import claims, workers
from worker.storage.queue.candidates import HIGH_PRIORITY, LOW_PRIORITY
from worker.storage.queue.outcomes import queue_rechecks
from worker.storage.store import Store

HOSTS_MADE, EACH = 400, 5
DAY = timedelta(days=1)


@pytest.fixture
def database(store: Store, store_url: str) -> Iterator[Database]:
    """A store with many hosts and more candidates, most of them done; hardly any host was ever closed."""
    found = connect(store_url)
    found.write(_fill)
    if not found.is_sqlite:
        with found.engine.begin() as connection:
            connection.execute(text("ANALYZE hosts, candidates"))
    yield found
    found.close()


def _fill(connection: Connection) -> None:
    connection.execute(insert(HOSTS), [_host(number) for number in range(HOSTS_MADE)])
    connection.execute(insert(CANDIDATES), [_candidate(number) for number in range(HOSTS_MADE * EACH)])


def _host(number: int) -> dict[str, object]:
    return {
        "host": f"h{number}.example",
        "closed_until": NOW + DAY if number % 100 == 1 else EPOCH,
        "due_at": NOW - DAY if number % 10 == 0 else None,
    }


def _candidate(number: int) -> dict[str, object]:
    host = f"h{number % HOSTS_MADE}.example"
    return {
        "url": f"https://{host}/{number}",
        "canonical_url": f"https://{host}/{number}",
        "source": f"s{number % 50}",
        "reference": "feed",
        "host": host,
        "lane": host,
        "precedence": LOW_PRIORITY if number % 20 else HIGH_PRIORITY,
        "state": State.STORED if number % 10 else State.PENDING,
        "discovered_at": NOW - DAY,
        "due_at": NOW - DAY,
        "look_at": NOW - DAY if number == 1 else None,
    }


def plans(database: Database, work: Callable[[Connection], object]) -> list[str]:
    """Return the query plan of each statement that reads candidates or hosts."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, given: Any, *_rest: object) -> None:
        asked.append((statement, given))

    with database.engine.connect() as connection:
        if not database.is_sqlite:
            # A table of a few pages is read whole by right; what counts is what is done with a large one.
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        event.listen(connection, "before_cursor_execute", note)
        work(connection)
        event.remove(connection, "before_cursor_execute", note)
        explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
        reads = [(said, given) for said, given in asked if said.lstrip().startswith("SELECT")]
        told = [connection.exec_driver_sql(explain + said, given).all() for said, given in reads]
        connection.rollback()
    return ["\n".join(str(row[-1]) for row in rows) for rows in told]


@pytest.mark.parametrize(
    ("work", "indexes"),
    [
        (lambda it: claims.has_due(it, now=NOW), {"ix_hosts_calling", "ix_candidates_queue", "ix_candidates_past"}),
        (lambda it: claims.has_due(it, now=NOW, scope=Scope(batch="b")), {"ix_hosts_closed", "ix_candidates_batch"}),
        (lambda it: claims.pending(it, now=NOW), {"ix_hosts_closed"}),
        (lambda it: claims.next_due(it, now=NOW), {"ix_candidates_queue", "ix_candidates_leases", "ix_hosts_ready"}),
        (
            lambda it: claims.claim(it, now=NOW, lease=MINUTE, limit=4, worker="w1"),
            {"ix_hosts_ready", "ix_candidates_queue"},
        ),
        (lambda it: workers.reclaim(it, ["gone"]), {"ix_candidates_leases"}),
        (lambda it: queue_rechecks(it, now=NOW, limit=10), {"ix_candidates_look"}),
    ],
    ids=["has_due", "has_due of a batch", "pending", "next_due", "claim", "reclaim", "queue_rechecks"],
)
def test_a_statement_uses_the_indexes_made_for_it(
    database: Database, work: Callable[[Connection], object], indexes: set[str]
) -> None:
    told = "\n".join(plans(database, work))

    assert {index for index in indexes if index not in told} == set()
    assert "SCAN hosts" not in told
    assert "SCAN candidates\n" not in f"{told}\n"
    assert "Seq Scan on candidates" not in told
    assert "Seq Scan on hosts" not in told


def test_has_due_does_not_read_everything_that_is_due(database: Database) -> None:
    (told,) = plans(database, lambda it: claims.has_due(it, now=NOW))

    assert "hashed" not in told
    assert all("lane" in line for line in told.splitlines() if "SEARCH candidates" in line)
    assert "SCAN candidates" not in told


PAGES: list[Callable[[Connection], object]] = [
    lambda it: texts.copy_report(it, since=NOW - DAY),
    lambda it: texts.newest_copies(it, before=None, limit=30),
    lambda it: texts.members(it, 1),
    judge_model.newest_verdict,
    lambda it: judge_model.unsure_among(it, above=0, below=9),
    lambda it: reader.daily_texts(it, ["s1", "s2"], since=NOW - DAY),
    lambda it: rejected.rejected_list(it, before=None, reason="short", limit=50),
    lambda it: rejected.rejected_page(it, 1),
]


def test_a_web_page_reads_no_table_as_a_whole(database: Database) -> None:
    told = "\n".join(line for work in PAGES for line in plans(database, work))

    tables = "(events|decisions|standings|articles|candidates|pages)"  # a table of marks is small
    assert not re.search(rf"SCAN {tables}\b(?! USING)|Seq Scan on {tables}\b", told)
