"""Candidates enter the queue: new ones, and known ones that are named again, changed or have another address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable, Row, bindparam, func, select, update

from worker.models import Authority, Candidate, Poll, State
from worker.schedule.retry import recheck_pause
from worker.storage.db.codec import storable
from worker.storage.db.schema import ARTICLES, CANDIDATES, HOSTS, Values
from worker.storage.db.sql import Insert, is_sqlite, least, upsert
from worker.storage.queue import addresses, contents, sources
from worker.storage.queue.addresses import ENDED, authority_of
from worker.storage.queue.candidates import (
    WITH_ARTICLE,
    EnqueueOptions,
    add_event,
    candidate_row,
    discovered_values,
    former_to_json,
    lane_of,
    save_payloads,
)
from worker.storage.queue.contents import save_fallbacks
from worker.urls import same_site

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
    return enqueue_with(connection, candidates, EnqueueOptions(now=now, again=again, batch=batch))


def enqueue_with(connection: Connection, candidates: Sequence[Candidate], intake: EnqueueOptions) -> int:
    """Add candidates that are not known yet, look again at known ones that changed; return how many were new.

    One that is known, or named twice here, may have been named at another address: see `naming`.
    """
    named: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        named.setdefault(storable(candidate.canonical_url), []).append(candidate)
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
    sources.save_poll(connection, poll)
    return found


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _enqueue_batch(connection: Connection, named: Named, intake: EnqueueOptions) -> tuple[int, set[str]]:
    """Return how many candidates were new, and the hosts on which candidates wait now."""
    mains = {url: preferred(each) for url, each in named.items()}
    rows = [candidate_row(main, intake) for main in mains.values()]
    inserted = connection.execute(_ADD_NEW.on(connection), rows)
    new: dict[str, int] = {row.canonical_url: row.id for row in inserted}
    several = [(number, mains[url], named[url]) for url, number in new.items() if len(named[url]) > 1]
    addresses.save_all(connection, [(n, each) for n, main, each in several if main.payload is None], now=intake.now)
    contents.save_all(connection, [(n, main, each) for n, main, each in several if main.payload], now=intake.now)
    known = {url: each for url, each in named.items() if url not in new}
    waiting = [(number, mains[url]) for url, number in new.items()]
    waiting += _enqueue_known(connection, known, intake) if known else []
    save_payloads(connection, waiting, now=intake.now)
    save_fallbacks(connection, {number: each.fallback for number, each in waiting if each.fallback})
    return len(new), {lane_of(each.url) for _, each in waiting if each.payload is None}


def _enqueue_known(connection: Connection, named: Named, intake: EnqueueOptions) -> list[tuple[int, Candidate]]:
    """Put known candidates back in the queue that are asked for again, that changed or have another address to try."""
    known = connection.execute(
        select(CANDIDATES).where(CANDIDATES.c.canonical_url.in_(named)).order_by(CANDIDATES.c.id).with_for_update()
    ).all()
    moved = [row.id for row in known if any(storable(each.url) != row.url for each in named[row.canonical_url])]
    seen = addresses.of_many(connection, moved)
    said = [KnownCandidate(row=row, named=named[row.canonical_url], seen=seen.get(row.id, ())) for row in known]
    again = [(each.row.id, update_known(connection, each, intake)) for each in said]
    _mark_waiting(connection, known, intake)
    return [(number, each) for number, each in again if each is not None]


def _mark_waiting(connection: Connection, known: Sequence[Row[Any]], intake: EnqueueOptions) -> None:
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


# What becomes of a known candidate that is named again: at another address, by another authority, or changed.


_KEY_OF_ARTICLE = select(ARTICLES.c.canonical_url).where(ARTICLES.c.id == bindparam("article"))
_UPDATE = update(CANDIDATES).where(CANDIDATES.c.id == bindparam("candidate"))


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCandidate:
    """A known candidate that is named again, and the addresses it has beside the one in its row, if they are asked."""

    row: Row[Any]
    named: Sequence[Candidate]
    seen: Sequence[Row[Any]] = ()

    def is_new(self) -> bool:
        """Return whether an address is named that was not seen, or that only strangers had named."""
        known = {self.row.url: Authority.PUBLISHER.value, **{each.url: each.authority for each in self.seen}}
        named = [(storable(each.url), each.authority) for each in self.named]
        return any(url not in known or (who.is_own and known[url] == Authority.STRANGER) for url, who in named)


def update_known(connection: Connection, naming: KnownCandidate, intake: EnqueueOptions) -> Candidate | None:
    """Take in what is said of a known candidate; return the one it waits for now, None where nothing is to be done."""
    row, main = naming.row, preferred(naming.named)
    if main.payload is not None and not intake.again:
        return _add_contents(connection, naming, intake)
    if row.lease_token is None and (intake.again or _has_changed(row, main, now=intake.now)):
        _reopen(connection, naming, main, intake)
        return main
    if main.payload is not None:
        return None  # it is being worked on in this moment
    own = main.authority.is_own and not authority_of(row).is_own
    if own and row.lease_token is not None and storable(main.url) == row.url:
        return None  # it is being tried in this moment: if it is named again, that is another try
    if not own and not naming.is_new():
        return None
    seen = naming.seen or (addresses.all_of(connection, row.id) if own else ())
    fresh = addresses.add(connection, row, naming.named, seen, now=intake.now)
    word = _Announcement(row=row, said=main, takes_over=own, fresh=preferred(fresh) if fresh else None)
    return _apply_announcement(connection, word, intake)


def _reopen(connection: Connection, naming: KnownCandidate, main: Candidate, intake: EnqueueOptions) -> None:
    addresses.add(connection, naming.row, naming.named, naming.seen, now=intake.now)
    addresses.reopen(connection, naming.row.id, main, now=intake.now)
    _requeue(connection, naming.row, main, intake)


def _add_contents(connection: Connection, naming: KnownCandidate, intake: EnqueueOptions) -> Candidate | None:
    """Take in contents of a known candidate: the first at once, unless another is in hand, the others in their turn."""
    row = naming.row
    brought = contents.unseen_of(connection, row, naming.named)
    if not brought:
        return None
    free = row.lease_token is None and not (row.state == State.PENDING and row.lane is None)
    first, later = (brought[:1], brought[1:]) if free else ([], brought)
    if later or any(storable(each.reference) != row.reference for each in first):
        contents.save_current(connection, row)
        contents.save(connection, row.id, first, waiting=False, now=intake.now)
        contents.save(connection, row.id, later, waiting=True, now=intake.now)
    if not first:
        return None
    _reopen(connection, replace(naming, named=first), first[0], intake)
    return first[0]


def preferred(named: Sequence[Candidate]) -> Candidate:
    """Return what to begin with of several addresses of one article: the publisher's own word, then the first."""
    return min(named, key=lambda each: not each.authority.is_own)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Announcement:
    """What was said of a known candidate.

    It `takes_over` where its site names it for the first time; `fresh` is an address that nobody had named.
    """

    row: Row[Any]
    said: Candidate
    takes_over: bool
    fresh: Candidate | None

    @property
    def next(self) -> Candidate | None:
        """The address to turn to: the publisher's, where it is new or takes over from a stranger's."""
        if self.takes_over:
            return self.fresh if self.fresh and self.fresh.authority.is_own else self.said
        return self.fresh


def _apply_announcement(connection: Connection, word: _Announcement, intake: EnqueueOptions) -> Candidate | None:
    row, target = word.row, word.next
    values: Values = {}
    if word.takes_over:
        values = _publisher_values(connection, word, intake)
    turns = target is not None and row.lease_token is None and _should_switch(connection, word, target)
    if target is not None and turns:
        whose = target.authority if target.authority.is_own else authority_of(row)
        values |= switched_values(target.url, whose, now=intake.now)
        former = row.former if row.state == State.PENDING else former_to_json(row)
        values |= {"former": former, "precedence": min(row.precedence, intake.precedence), "look_at": None}
        detail = f"another address: {target.url}, named by {target.reference}"
        add_event(connection, row.id, at=intake.now, what="queued", detail=detail)
    if values:
        connection.execute(_UPDATE.values(**values), {"candidate": row.id})
    return target if turns else None


def _publisher_values(connection: Connection, word: _Announcement, intake: EnqueueOptions) -> Values:
    """Let what its own site says of a candidate stand in the place of what others said, and tell its history."""
    said, before = word.said, word.row.reference
    detail = f"by its own site: {said.reference}; until now only by {before}"
    add_event(connection, word.row.id, at=intake.now, what="named", detail=detail)
    return {**discovered_values(said), "source": storable(said.source), "authority": said.authority.value}


def _should_switch(connection: Connection, word: _Announcement, target: Candidate) -> bool:
    """Tell whether a candidate is to be tried at an address, now rather than after what it waits for."""
    row, own = word.row, target.authority.is_own
    if row.state == State.PENDING:
        # What lies here already is worked on first; a try that failed may pass, but the publisher's word is better.
        waits_in_vain = row.attempts > 0 and (own or not authority_of(row).is_own)
        return row.lane is not None and (word.takes_over or waits_in_vain)
    if row.state in ENDED:
        return True
    if not own or row.state not in WITH_ARTICLE:
        return False
    # What a stranger's address gave may be any page of the site.
    is_better = word.takes_over and row.lane is not None and storable(target.url) != row.url
    return is_better or _is_from_elsewhere(connection, row)


def _is_from_elsewhere(connection: Connection, row: Row[Any]) -> bool:
    key = connection.execute(_KEY_OF_ARTICLE, {"article": row.article_id}).scalar()
    return key is not None and not same_site(key, row.canonical_url)


def switched_values(url: str, authority: Authority, *, now: datetime) -> Values:
    """Return what of a candidate changes when it is to be tried at another address, from the beginning."""
    host = lane_of(url)
    return {
        "url": storable(url),
        "host": host,
        "lane": host,
        "authority": authority.value,
        "state": State.PENDING,
        "reason": "",
        "detail": "",
        "due_at": now,
        "attempts": 0,
        "etag": None,
        "last_modified": None,
    }


def _has_changed(row: Row[Any], candidate: Candidate, *, now: datetime) -> bool:
    """Tell whether a known page is announced to be another one; who has cried wolf is believed later each time."""
    if row.state == State.PENDING or row.modified_at is None or candidate.modified_at is None:
        return False
    return bool(row.modified_at < candidate.modified_at and row.due_at + recheck_pause(row.looks) <= now)


def _requeue(connection: Connection, row: Row[Any], candidate: Candidate, intake: EnqueueOptions) -> None:
    values = candidate_row(candidate, intake)
    for fixed in ("canonical_url", "discovered_at", "source", "reference", "batch"):
        del values[fixed]
    afresh = {"attempts": 0, "reason": "", "detail": "", "look_at": None}
    former = "" if intake.again else former_to_json(row)
    connection.execute(_UPDATE.values(**values, **afresh, former=former), {"candidate": row.id})
    why = "asked for again" if intake.again else "changed"
    add_event(connection, row.id, at=intake.now, what="queued", detail=f"{why}: {candidate.reference}")
