"""Add candidates to the queue: new ones, and known ones that changed or were found at another address.

`enqueue` is the way in. A candidate is known if its canonical URL (the key) is in the store. Candidates of one key are
found together in one call, since several feeds, or several entries of one feed, may name an article at different URLs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable, Row, bindparam, func, select, update

from worker.models import Authority, Candidate, Poll, State
from worker.models.base import dataclass
from worker.schedule.retry import recheck_pause
from worker.storage.db.codec import storable
from worker.storage.db.schema import ARTICLES, CANDIDATES, HOSTS, WITH_ARTICLE, Values
from worker.storage.db.sql import Insert, batched, is_sqlite, least, upsert
from worker.storage.queue import addresses, sources
from worker.storage.queue.addresses import ENDED, authority_of
from worker.storage.queue.candidates import (
    EnqueueOptions,
    add_event,
    candidate_row,
    discovered_values,
    former_to_json,
    hide_forgotten,
    lane_of,
    new_contents,
    save,
    save_all,
    save_current,
    save_fallbacks,
    save_payloads,
)
from worker.storage.queue.claims import HELD_FROM
from worker.urls import same_site

T = TypeVar("T")

INSERT_BATCH = 500
"""How many keys one statement inserts; chosen, not measured: few round trips, and short statements in any database."""

CandidatesByKey = Mapping[str, Sequence[Candidate]]
"""The candidates found for each canonical URL: one, or several with an address or a content each."""


def _keep_earliest_due(statement: Insert) -> Executable:
    """Complete the statement that sets hosts due: a host that is due earlier stays so."""
    new = statement.excluded.due_at
    earliest = {"due_at": least(func.coalesce(HOSTS.c.due_at, new), new)}
    return statement.on_conflict_do_update(index_elements=["host"], set_=earliest)


def _insert_unknown(statement: Insert) -> Executable:
    """Complete the statement that inserts candidates: it skips known ones and returns those that it has inserted."""
    new = statement.on_conflict_do_nothing(index_elements=["canonical_url"])
    return new.returning(CANDIDATES.c.canonical_url, CANDIDATES.c.id)


_ADD_NEW = upsert(CANDIDATES, _insert_unknown)
_WAKE_HOSTS = upsert(HOSTS, _keep_earliest_due)
"""Statements are built once: building one costs more than running it."""


def enqueue(
    connection: Connection, candidates: Sequence[Candidate], *, now: datetime, again: bool = False, batch: str = ""
) -> int:
    """Add candidates that are not known yet (by canonical URL); return how many were new.

    A known one becomes pending and due again if `again` is set, if it changed (its payload differs, or its source
    announces a later time of modification), or if robots.txt forbade it, which may allow it by now. One that is leased
    is left alone. `batch` marks all that are pending.
    """
    return enqueue_with(connection, candidates, EnqueueOptions(now=now, again=again, batch=batch))


def enqueue_with(connection: Connection, candidates: Sequence[Candidate], options: EnqueueOptions) -> int:
    """Do what `enqueue` does, with options that only other modules of the store set (priority)."""
    by_key: dict[str, list[Candidate]] = {}
    for candidate in hide_forgotten(connection, candidates):
        by_key.setdefault(storable(candidate.canonical_url), []).append(candidate)
    new, lanes = 0, set[str]()
    # On a server all workers insert in one order, so that two that found the same articles do not deadlock.
    items = by_key.items() if is_sqlite(connection) else sorted(by_key.items(), key=lambda item: item[0])
    for batch in batched(items, INSERT_BATCH):
        added, waiting = _enqueue_batch(connection, dict(batch), options)
        new += added
        lanes |= waiting
    # Hosts come last, as in `outcomes.complete`: locks are taken in one order everywhere.
    wake_hosts(connection, lanes, now=options.now)
    return new


def record_poll(connection: Connection, poll: Poll, candidates: Sequence[Candidate]) -> int:
    """Save the result of a poll together with its candidates; return how many were new.

    In one transaction: if the validators were saved without the candidates, a 304 after a crash would lose articles.
    """
    new = enqueue(connection, candidates, now=poll.polled_at)
    sources.save_poll(connection, poll)
    return new


def _enqueue_batch(connection: Connection, by_key: CandidatesByKey, options: EnqueueOptions) -> tuple[int, set[str]]:
    """Return how many candidates were new, and the hosts that have candidates due now."""
    mains = {url: preferred(each) for url, each in by_key.items()}
    rows = [candidate_row(main, options) for main in mains.values()]
    inserted = connection.execute(_ADD_NEW.on(connection), rows)
    new: dict[str, int] = {row.canonical_url: row.id for row in inserted}
    several = [(number, mains[url], by_key[url]) for url, number in new.items() if len(by_key[url]) > 1]
    addresses.save_all(connection, [(n, each) for n, main, each in several if main.payload is None], now=options.now)
    save_all(connection, [(n, main, each) for n, main, each in several if main.payload], now=options.now)
    known = {url: each for url, each in by_key.items() if url not in new}
    waiting = [(number, mains[url]) for url, number in new.items()]
    waiting += _enqueue_known(connection, known, options) if known else []
    save_payloads(connection, waiting, now=options.now)
    save_fallbacks(connection, {number: each.fallback for number, each in waiting if each.fallback})
    return len(new), {lane_of(each.url) for _, each in waiting if each.payload is None}


def _enqueue_known(
    connection: Connection, by_key: CandidatesByKey, options: EnqueueOptions
) -> list[tuple[int, Candidate]]:
    """Update known candidates; return those to be queued again, with their ids.

    Queued again are candidates that were requested again, that changed, or that have another address to try.
    """
    known = connection.execute(
        select(CANDIDATES).where(CANDIDATES.c.canonical_url.in_(by_key)).order_by(CANDIDATES.c.id).with_for_update()
    ).all()
    other_url = [row.id for row in known if any(storable(each.url) != row.url for each in by_key[row.canonical_url])]
    seen = addresses.rows_of_many(connection, other_url)
    updates = [KnownCandidate(row=row, mentions=by_key[row.canonical_url], seen=seen.get(row.id, ())) for row in known]
    again = [(each.row.id, update_known(connection, each, options)) for each in updates]
    _mark_waiting(connection, updates, options)
    return [(number, each) for number, each in again if each is not None]


def _mark_waiting(connection: Connection, known: Sequence[KnownCandidate], options: EnqueueOptions) -> None:
    """Mark pending known candidates with the batch, and raise the priority of those found by live discovery now."""
    waiting = update(CANDIDATES).where(CANDIDATES.c.state == State.PENDING)
    if options.batch:
        named = [each.row.id for each in known]
        connection.execute(waiting.where(CANDIDATES.c.id.in_(named)).values(batch=options.batch))
    pending = [each for each in known if each.row.state == State.PENDING]
    raised = [each.row.id for each in pending if each.row.precedence > options.precedence_of(preferred(each.mentions))]
    if raised:
        connection.execute(waiting.where(CANDIDATES.c.id.in_(raised)).values(precedence=options.precedence))


def wake_hosts(connection: Connection, hosts: Iterable[str], *, now: datetime) -> None:
    """Set hosts due now, since they have candidates to claim; in sorted order, which prevents deadlocks."""
    rows = [{"host": host, "due_at": now} for host in sorted(hosts)]
    if rows:
        connection.execute(_WAKE_HOSTS.on(connection), rows)


def _resume_if_held(connection: Connection, known: KnownCandidate, *, now: datetime) -> None:
    """Make a candidate due that a paused source had named, since another source names it; it is of that one now."""
    row, main = known.row, preferred(known.mentions)
    if row.state != State.PENDING or row.due_at < HELD_FROM or storable(main.source) == row.source:
        return
    connection.execute(_UPDATE.values(due_at=now, source=storable(main.source)), {"candidate": row.id})
    add_event(connection, row.id, at=now, what="named", detail=f"by {main.reference}; its first source is paused")
    wake_hosts(connection, {row.lane}, now=now)


# Known candidates that are found again: at another address, by another authority, or with another content.


_KEY_OF_ARTICLE = select(ARTICLES.c.canonical_url).where(ARTICLES.c.id == bindparam("article"))
_UPDATE = update(CANDIDATES).where(CANDIDATES.c.id == bindparam("candidate"))


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCandidate:
    """A known candidate that was found again.

    `row` is its stored row, `mentions` are the candidates found now, `seen` its address rows (empty if not loaded).
    """

    row: Row[Any]
    mentions: Sequence[Candidate]
    seen: Sequence[Row[Any]] = ()

    def has_new_address(self) -> bool:
        """Return whether a mention has an unseen address, or is the publisher's and only strangers named it before."""
        known = {self.row.url: Authority.PUBLISHER.value, **{each.url: each.authority for each in self.seen}}
        named = [(storable(each.url), each.authority) for each in self.mentions]
        return any(url not in known or (by.is_own and known[url] == Authority.STRANGER) for url, by in named)


def update_known(connection: Connection, known: KnownCandidate, options: EnqueueOptions) -> Candidate | None:
    """Update a known candidate with its mentions; return the mention it is queued for now, None if nothing changes."""
    row, main = known.row, preferred(known.mentions)
    _resume_if_held(connection, known, now=options.now)
    if main.payload is not None and not options.again:
        return _add_contents(connection, known, options)
    is_due = options.again or _has_changed(row, main, now=options.now) or _may_be_allowed(row, main, now=options.now)
    if row.lease_token is None and is_due:
        _reopen(connection, known, main, options)
        return main
    if main.payload is not None:
        return None  # it is being processed at this moment
    own = main.authority.is_own and not authority_of(row).is_own
    if own and row.lease_token is not None and storable(main.url) == row.url:
        return None  # this address is being fetched at this moment; the next mention will find its outcome
    if not own and not known.has_new_address():
        return None
    seen = known.seen or (addresses.rows_of(connection, row.id) if own else ())
    fresh = addresses.add(connection, row, known.mentions, seen, now=options.now)
    found = _Announcement(row=row, candidate=main, first_by_publisher=own, fresh=preferred(fresh) if fresh else None)
    return _apply_announcement(connection, found, options)


def _reopen(connection: Connection, known: KnownCandidate, main: Candidate, options: EnqueueOptions) -> None:
    """Queue a known candidate again at the address of `main`, and save the other addresses found with it."""
    addresses.add(connection, known.row, known.mentions, known.seen, now=options.now)
    addresses.reopen(connection, known.row.id, main, now=options.now)
    _requeue(connection, known.row, main, options)


def _add_contents(connection: Connection, known: KnownCandidate, options: EnqueueOptions) -> Candidate | None:
    """Save new contents of a known candidate, and queue the first unless another content is queued or in progress."""
    row = known.row
    found = new_contents(connection, row, known.mentions)
    if not found:
        return None
    free = row.lease_token is None and not (row.state == State.PENDING and row.lane is None)
    first, later = (found[:1], found[1:]) if free else ([], found)
    if later or any(storable(each.reference) != row.reference for each in first):
        save_current(connection, row)
        save(connection, row.id, first, waiting=False, now=options.now)
        save(connection, row.id, later, waiting=True, now=options.now)
    if not first:
        return None
    _reopen(connection, replace(known, mentions=first), first[0], options)
    return first[0]


def preferred(named: Sequence[Candidate]) -> Candidate:
    """Return the candidate to begin with of several of one article: the publisher's if there is one, else the first."""
    return min(named, key=lambda each: not each.authority.is_own)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Announcement:
    """A mention of a known candidate, to be applied to its row.

    `first_by_publisher`: its own site names it for the first time; `fresh` is an address that was not known before.
    """

    row: Row[Any]
    candidate: Candidate
    first_by_publisher: bool
    fresh: Candidate | None

    @property
    def target(self) -> Candidate | None:
        """The address to try: a new one; on the publisher's first mention always one of the publisher's."""
        if self.first_by_publisher:
            return self.fresh if self.fresh and self.fresh.authority.is_own else self.candidate
        return self.fresh


def _apply_announcement(connection: Connection, found: _Announcement, options: EnqueueOptions) -> Candidate | None:
    """Write what a mention changes of a candidate; return the mention whose address is to be tried now, if any."""
    row, target = found.row, found.target
    values: Values = {}
    if found.first_by_publisher:
        values = _publisher_values(connection, found, options)
    switches = target is not None and row.lease_token is None and _should_switch(connection, found, target)
    if target is not None and switches:
        whose = target.authority if target.authority.is_own else authority_of(row)
        values |= switched_values(target.url, whose, now=options.now)
        former = row.former if row.state == State.PENDING else former_to_json(row)
        values |= {"former": former, "precedence": min(row.precedence, options.precedence_of(target)), "look_at": None}
        detail = f"another address: {target.url}, named by {target.reference}"
        add_event(connection, row.id, at=options.now, what="queued", detail=detail)
    if values:
        connection.execute(_UPDATE.values(**values), {"candidate": row.id})
    return target if switches else None


def _publisher_values(connection: Connection, found: _Announcement, options: EnqueueOptions) -> Values:
    """Return the values given by a candidate's own site, which replace those of strangers; add it to the history."""
    candidate, before = found.candidate, found.row.reference
    detail = f"by its own site: {candidate.reference}; until now only by {before}"
    add_event(connection, found.row.id, at=options.now, what="named", detail=detail)
    return {
        **discovered_values(candidate),
        "source": storable(candidate.source),
        "authority": candidate.authority.value,
    }


def _should_switch(connection: Connection, found: _Announcement, target: Candidate) -> bool:
    """Return whether a candidate is to be tried at the target now, instead of what it waits for or has become."""
    row, own = found.row, target.authority.is_own
    if row.state == State.PENDING:
        # A content that is here already comes first. A failed fetch may succeed later, but a new address is better,
        # unless it is a stranger's and the failed one the publisher's.
        has_failed = row.attempts > 0 and (own or not authority_of(row).is_own)
        return row.lane is not None and (found.first_by_publisher or has_failed)
    if row.state in ENDED:
        return True
    if not own or row.state not in WITH_ARTICLE:
        return False
    # An article from a stranger's address may be any page, so the publisher's address replaces it.
    is_better = found.first_by_publisher and row.lane is not None and storable(target.url) != row.url
    return is_better or _is_from_elsewhere(connection, row)


def _is_from_elsewhere(connection: Connection, row: Row[Any]) -> bool:
    """Return whether the candidate's article was served by another site than the candidate's."""
    key = connection.execute(_KEY_OF_ARTICLE, {"article": row.article_id}).scalar()
    return key is not None and not same_site(key, row.canonical_url)


def switched_values(url: str, authority: Authority, *, now: datetime) -> Values:
    """Return the new values of a candidate that is to be tried at another address, with its attempts reset."""
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
    """Return whether a source announces a later modification of a known page.

    After announcements that proved empty, the next one is believed only after a longer pause each time (backoff).
    """
    if row.state == State.PENDING or row.modified_at is None or candidate.modified_at is None:
        return False
    return bool(row.modified_at < candidate.modified_at and row.due_at + recheck_pause(row.looks) <= now)


def _may_be_allowed(row: Row[Any], candidate: Candidate, *, now: datetime) -> bool:
    """Return whether to ask robots.txt again about a page that it forbade, with the same backoff."""
    if row.state != State.BLOCKED or row.reason != "robots" or authority_of(row).is_own > candidate.authority.is_own:
        return False
    return bool(row.due_at + recheck_pause(row.looks) <= now)


def _requeue(connection: Connection, row: Row[Any], candidate: Candidate, options: EnqueueOptions) -> None:
    """Make a known candidate pending and due now, with its attempts reset and its previous outcome remembered."""
    values = candidate_row(candidate, options)
    for unchanged in ("canonical_url", "discovered_at", "source", "reference", "batch"):
        del values[unchanged]
    reset = {"attempts": 0, "reason": "", "detail": "", "look_at": None}
    former = "" if options.again else former_to_json(row)
    connection.execute(_UPDATE.values(**values, **reset, former=former), {"candidate": row.id})
    why = "asked for again" if options.again else "named again" if row.state == State.BLOCKED else "changed"
    add_event(connection, row.id, at=options.now, what="queued", detail=f"{why}: {candidate.reference}")
