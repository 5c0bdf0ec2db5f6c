"""Into the ledger: candidates that discovery found, and the end of each poll."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable, Row, func, select, update

from worker.models import Candidate, Poll, State
from worker.storage import addresses, contents, polls
from worker.storage.bodies import keep_payloads
from worker.storage.codec import clean
from worker.storage.dialect import Insert, is_sqlite, least, upsert
from worker.storage.fallbacks import save_fallbacks
from worker.storage.intake import Intake, candidate_row, lane_of
from worker.storage.naming import Naming, first_of, name_again
from worker.storage.tables import CANDIDATES, HOSTS

T = TypeVar("T")

BATCH = 500
Named = Mapping[str, Sequence[Candidate]]
"""What was named under each key: one candidate, or several with an address each."""


def _earliest(statement: Insert) -> Executable:
    new = statement.excluded.due_at
    earliest = {"due_at": least(func.coalesce(HOSTS.c.due_at, new), new)}
    return statement.on_conflict_do_update(index_elements=["host"], set_=earliest)


def _unknown(statement: Insert) -> Executable:
    new = statement.on_conflict_do_nothing(index_elements=["canonical_url"])
    return new.returning(CANDIDATES.c.canonical_url, CANDIDATES.c.id)


_ADD_NEW = upsert(CANDIDATES, _unknown)
_WAKE_HOSTS = upsert(HOSTS, _earliest)
"""Statements are made once: making one anew costs more than running it."""


def enqueue(
    connection: Connection, candidates: Sequence[Candidate], *, now: datetime, again: bool = False, batch: str = ""
) -> int:
    """Add candidates that are not known yet (by canonical URL); return how many were new.

    A known one becomes pending and due again if `again` is set, or if it changed: another payload than the one it
    had, or a later announced time of modification. One in a worker's hands stays there. `batch` marks all of them.
    """
    return take_in(connection, candidates, Intake(now=now, again=again, batch=batch))


def take_in(connection: Connection, candidates: Sequence[Candidate], intake: Intake) -> int:
    """Add candidates that are not known yet, look again at known ones that changed; return how many were new.

    One that is known, or named twice here, may have been named at another address: see `naming`.
    """
    named: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        named.setdefault(clean(candidate.canonical_url), []).append(candidate)
    new, lanes = 0, set[str]()
    # On a server everybody inserts in one order: two who find the same do not wait for each other in a circle.
    items = named.items() if is_sqlite(connection) else sorted(named.items(), key=lambda item: item[0])
    for batch in _batches(items):
        added, waiting = _enqueue_batch(connection, dict(batch), intake)
        new += added
        lanes |= waiting
    # Hosts come last, as they do where a candidate is finished: locks are taken in one order everywhere.
    wake_hosts(connection, lanes, now=intake.now)
    return new


def record_poll(connection: Connection, poll: Poll, candidates: Sequence[Candidate]) -> int:
    """Write the end of a poll and its candidates together; return how many were new.

    A 304 after a crash must not lose articles.
    """
    found = enqueue(connection, candidates, now=poll.polled_at)
    polls.keep(connection, poll)
    return found


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _enqueue_batch(connection: Connection, named: Named, intake: Intake) -> tuple[int, set[str]]:
    """Return how many candidates were new, and the hosts on which candidates wait now."""
    mains = {url: first_of(each) for url, each in named.items()}
    rows = [candidate_row(main, intake) for main in mains.values()]
    inserted = connection.execute(_ADD_NEW.on(connection), rows)
    new: dict[str, int] = {row.canonical_url: row.id for row in inserted}
    several = [(number, mains[url], named[url]) for url, number in new.items() if len(named[url]) > 1]
    addresses.keep_all(connection, [(n, each) for n, main, each in several if main.payload is None], now=intake.now)
    contents.keep_all(connection, [(n, main, each) for n, main, each in several if main.payload], now=intake.now)
    known = {url: each for url, each in named.items() if url not in new}
    waiting = [(number, mains[url]) for url, number in new.items()]
    waiting += _name_again(connection, known, intake) if known else []
    keep_payloads(connection, waiting, now=intake.now)
    save_fallbacks(connection, {number: each.fallback for number, each in waiting if each.fallback})
    return len(new), {lane_of(each.url) for _, each in waiting if each.payload is None}


def _name_again(connection: Connection, named: Named, intake: Intake) -> list[tuple[int, Candidate]]:
    """Put known candidates back in the queue that are asked for again, that changed or have another address to try."""
    known = connection.execute(
        select(CANDIDATES).where(CANDIDATES.c.canonical_url.in_(named)).order_by(CANDIDATES.c.id).with_for_update()
    ).all()
    moved = [row.id for row in known if any(clean(each.url) != row.url for each in named[row.canonical_url])]
    seen = addresses.of_many(connection, moved)
    said = [Naming(row=row, named=named[row.canonical_url], seen=seen.get(row.id, ())) for row in known]
    again = [(each.row.id, name_again(connection, each, intake)) for each in said]
    _mark(connection, known, intake)
    return [(number, each) for number, each in again if each is not None]


def _mark(connection: Connection, known: Sequence[Row[Any]], intake: Intake) -> None:
    """Mark known candidates that wait with the batch, and let what is news by now no longer wait as the past."""
    waiting = update(CANDIDATES).where(CANDIDATES.c.state == State.PENDING)
    if intake.batch:
        connection.execute(waiting.where(CANDIDATES.c.id.in_([row.id for row in known])).values(batch=intake.batch))
    late = [row.id for row in known if row.state == State.PENDING and row.precedence > intake.precedence]
    if late:
        connection.execute(waiting.where(CANDIDATES.c.id.in_(late)).values(precedence=intake.precedence))


def wake_hosts(connection: Connection, hosts: Iterable[str], *, now: datetime) -> None:
    """Make it known that these hosts have candidates due now, in an order two writers cannot cross."""
    rows = [{"host": host, "due_at": now} for host in sorted(hosts)]
    if rows:
        connection.execute(_WAKE_HOSTS.on(connection), rows)
