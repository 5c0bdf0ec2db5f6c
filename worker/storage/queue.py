"""Into the ledger: candidates that discovery found, and the end of each poll."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable, Row, func, insert, select, update

from worker.errors import SourceError
from worker.models import Candidate, Event, Page, Poll, State, Text
from worker.schedule import pause
from worker.storage import fallbacks, polls
from worker.storage.codec import body_of, clean, clean_or_none, describe, digest, form_of
from worker.storage.dialect import Insert, is_sqlite, least, upsert
from worker.storage.former import remembered
from worker.storage.rows import Values
from worker.storage.tables import CANDIDATES, EVENTS, HOSTS, PAGES
from worker.urls import host_of

T = TypeVar("T")

BATCH = 500
NEWS, THE_PAST = 0, 1
"""What a candidate's precedence may be."""


def _earliest(statement: Insert) -> Executable:
    new = statement.excluded.due_at
    earliest = {"due_at": least(func.coalesce(HOSTS.c.due_at, new), new)}
    return statement.on_conflict_do_update(index_elements=["host"], set_=earliest)


def _unknown(statement: Insert) -> Executable:
    new = statement.on_conflict_do_nothing(index_elements=["canonical_url"])
    return new.returning(CANDIDATES.c.canonical_url, CANDIDATES.c.id)


_ADD_NEW = upsert(CANDIDATES, _unknown)
_ADD_EVENTS = insert(EVENTS)
_WAKE_HOSTS = upsert(HOSTS, _earliest)
KEEP_PAGE = upsert(PAGES, lambda new: new.on_conflict_do_nothing(index_elements=["candidate_id", "sha256"]))
"""Statements are made once: making one anew costs more than running it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """How candidates are taken in: known ones `again` or only if they changed, all that wait marked with a `batch`."""

    now: datetime
    again: bool = False
    batch: str = ""
    precedence: int = NEWS


def enqueue(connection: Connection, candidates: Sequence[Candidate], *, intake: Intake) -> int:
    """Add candidates that are not known yet, look again at known ones that changed; return how many were new."""
    unique: dict[str, Candidate] = {}
    for candidate in candidates:
        unique.setdefault(clean(candidate.canonical_url), candidate)
    new, lanes = 0, set[str]()
    # On a server everybody inserts in one order: two who find the same do not wait for each other in a circle.
    items = unique.items() if is_sqlite(connection) else sorted(unique.items())
    for batch in _batches(items):
        added, waiting = _enqueue_batch(connection, dict(batch), intake)
        new += added
        lanes |= waiting
    # Hosts come last, as they do where a candidate is finished: locks are taken in one order everywhere.
    wake_hosts(connection, lanes, now=intake.now)
    return new


def record_poll(connection: Connection, poll: Poll, candidates: Sequence[Candidate]) -> int:
    """Write validators, due time and findings of a poll together: a 304 after a crash must not lose articles."""
    found = enqueue(connection, candidates, intake=Intake(now=poll.polled_at))
    polls.keep(connection, poll)
    return found


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _enqueue_batch(connection: Connection, candidates: Mapping[str, Candidate], intake: Intake) -> tuple[int, set[str]]:
    """Return how many candidates were new, and the hosts on which candidates wait now."""
    rows = {url: _row(candidate, intake) for url, candidate in candidates.items()}
    inserted = connection.execute(_ADD_NEW.on(connection), list(rows.values()))
    new: dict[str, int] = {row.canonical_url: row.id for row in inserted}
    known = {url: candidate for url, candidate in candidates.items() if url not in new}
    again = _look_again(connection, known, intake) if known else {}
    waiting = {**new, **again}
    _keep_payloads(connection, [(number, candidates[url]) for url, number in waiting.items()], now=intake.now)
    fallbacks.keep(connection, {number: text for url, number in waiting.items() if (text := candidates[url].fallback)})
    return len(new), {rows[url]["lane"] for url in waiting if rows[url]["lane"] is not None}


def _row(candidate: Candidate, intake: Intake) -> Values:
    host = _host(candidate.url)
    return {
        "url": clean(candidate.url),
        "canonical_url": clean(candidate.canonical_url),
        "source": clean(candidate.source),
        "reference": clean(candidate.reference),
        "host": host,
        "lane": host if candidate.payload is None else None,
        "state": State.PENDING,
        "batch": intake.batch,
        "precedence": intake.precedence,
        "discovered_at": intake.now,
        "due_at": intake.now,
        "title": clean_or_none(candidate.title),
        "published_at": candidate.published_at,
        "modified_at": candidate.modified_at,
        "external_id": clean_or_none(candidate.external_id),
        "payload_sha256": _payload_digest(candidate),
    }


def _host(url: str) -> str:
    try:
        return clean(host_of(url))
    except SourceError:
        return ""  # the fetch will say what is wrong with it


def _payload_digest(candidate: Candidate) -> str | None:
    return None if candidate.payload is None else digest(candidate.payload)


def _look_again(connection: Connection, candidates: Mapping[str, Candidate], intake: Intake) -> dict[str, int]:
    """Put known candidates back in the queue that are asked for again or that changed."""
    known = connection.execute(
        select(CANDIDATES).where(CANDIDATES.c.canonical_url.in_(candidates)).order_by(CANDIDATES.c.id).with_for_update()
    ).all()
    again = {}
    for row in known:
        candidate = candidates[row.canonical_url]
        if row.lease_token is None and (intake.again or _has_changed(row, candidate, now=intake.now)):
            _queue_again(connection, row, candidate, intake)
            again[row.canonical_url] = row.id
    _mark(connection, known, intake)
    return again


def _mark(connection: Connection, known: Sequence[Row[Any]], intake: Intake) -> None:
    """Mark known candidates that wait with the batch, and let what is news by now no longer wait as the past."""
    waiting = update(CANDIDATES).where(CANDIDATES.c.state == State.PENDING)
    if intake.batch:
        connection.execute(waiting.where(CANDIDATES.c.id.in_([row.id for row in known])).values(batch=intake.batch))
    late = [row.id for row in known if row.state == State.PENDING and row.precedence > intake.precedence]
    if late:
        connection.execute(waiting.where(CANDIDATES.c.id.in_(late)).values(precedence=intake.precedence))


def _has_changed(row: Row[Any], candidate: Candidate, *, now: datetime) -> bool:
    """Tell whether a known page is announced to be another one; who has cried wolf is believed later each time."""
    if candidate.payload is not None:
        return bool(row.payload_sha256 != digest(candidate.payload))
    if row.state == State.PENDING or row.modified_at is None or candidate.modified_at is None:
        return False
    return bool(row.modified_at < candidate.modified_at and row.due_at + pause(row.looks) <= now)


def _queue_again(connection: Connection, row: Row[Any], candidate: Candidate, intake: Intake) -> None:
    values = _row(candidate, intake)
    for fixed in ("canonical_url", "discovered_at", "source", "reference", "batch"):
        del values[fixed]
    afresh = {"attempts": 0, "reason": "", "detail": "", "look_at": None}
    former = "" if intake.again else remembered(row)
    again = update(CANDIDATES).where(CANDIDATES.c.id == row.id)
    connection.execute(again.values(**values, **afresh, former=former))
    why = "asked for again" if intake.again else "changed"
    detail = f"{why}: {candidate.reference}"
    add_event(connection, row.id, at=intake.now, what="queued", detail=detail)


def _keep_payloads(connection: Connection, waiting: Sequence[tuple[int, Candidate]], *, now: datetime) -> None:
    rows = [
        page_row(candidate_id, candidate.payload, now=now)
        for candidate_id, candidate in waiting
        if candidate.payload is not None
    ]
    if rows:
        connection.execute(KEEP_PAGE.on(connection), rows)


def page_row(candidate_id: int, content: Page | Text, *, now: datetime) -> Values:
    """Return the row of the pages table that keeps a page or text."""
    return {
        "candidate_id": candidate_id,
        "sha256": digest(content),
        "form": form_of(content),
        "described": clean(describe(content)),
        "fetched_at": content.fetched_at if isinstance(content, Page) else now,
        "body": body_of(content),
    }


def wake_hosts(connection: Connection, hosts: Iterable[str], *, now: datetime) -> None:
    """Make it known that these hosts have candidates due now, in an order two writers cannot cross."""
    rows = [{"host": host, "due_at": now} for host in sorted(hosts)]
    if rows:
        connection.execute(_WAKE_HOSTS.on(connection), rows)


def add_event(connection: Connection, candidate_id: int, *, at: datetime, what: str, detail: str = "") -> None:
    """Write one line of a candidate's history."""
    add_events(connection, candidate_id, [Event(at=at, what=what, detail=detail)])


def add_events(connection: Connection, candidate_id: int, events: Sequence[Event]) -> None:
    """Write lines of a candidate's history."""
    rows = [
        {"candidate_id": candidate_id, "at": each.at, "what": each.what, "detail": clean(each.detail)}
        for each in events
    ]
    connection.execute(_ADD_EVENTS, rows)
