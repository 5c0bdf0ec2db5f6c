"""The rows of a candidate: its own, its saved pages, its history, its contents, and its outcome before a recheck.

Also what was forgotten: a candidate that must not come back loses all of these rows but its own (`erase`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, exists, insert, select, update

from worker.errors import SourceError
from worker.models import FORGOTTEN_SCHEME, Candidate, Claim, HistoryEvent, Outcome, Page, State, Text
from worker.models.base import dataclass
from worker.storage.db.codec import (
    body_of,
    content_sha256,
    content_to_json,
    form_of,
    storable,
    storable_or_none,
    to_json,
)
from worker.storage.db.schema import CANDIDATES, CONTENTS, EVENTS, FALLBACKS, PAGES, WITH_ARTICLE, Values
from worker.storage.db.sql import upsert
from worker.storage.queue import addresses
from worker.storage.queue.hosts import add_tombstones, address_keys, hash_of, host_keys, tombstones
from worker.urls import host_of

HIGH_PRIORITY, LOW_PRIORITY = 0, 1
"""The values of a candidate's `precedence`: live discovery; behind it backfills, rechecks and what strangers name."""

TAKEN_BATCH: Final = "taken"
"""The batch of candidates that a person wants stored, whatever the rules for articles say; it stays for rechecks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnqueueOptions:
    """How candidates are enqueued.

    `again` also requeues known candidates that did not change; `batch` is written to every pending candidate named.
    """

    now: datetime
    again: bool = False
    batch: str = ""
    precedence: int = HIGH_PRIORITY

    def precedence_of(self, candidate: Candidate) -> int:
        """Return a candidate's priority: what strangers name of a site must not delay what the site itself names."""
        return self.precedence if candidate.authority.is_own else max(self.precedence, LOW_PRIORITY)


def candidate_row(candidate: Candidate, options: EnqueueOptions) -> Values:
    """Return the row of a new candidate.

    `lane` is the host whose queue the candidate waits in; it is null if the content is here and nothing is fetched.
    """
    host = lane_of(candidate.url)
    return {
        "url": storable(candidate.url),
        "canonical_url": storable(candidate.canonical_url),
        "source": storable(candidate.source),
        "reference": storable(candidate.reference),
        "authority": candidate.authority.value,
        "host": host,
        "lane": host if candidate.payload is None else None,
        "state": State.PENDING,
        "batch": options.batch,
        "precedence": options.precedence_of(candidate),
        "discovered_at": options.now,
        "due_at": options.now,
        **discovered_values(candidate),
        "payload_sha256": None if candidate.payload is None else content_sha256(candidate.payload),
    }


def discovered_values(candidate: Candidate) -> Values:
    """Return the values of a candidate's row that come from the feed, page or file where it was found."""
    return {
        "title": storable_or_none(candidate.title),
        "published_at": candidate.published_at,
        "modified_at": candidate.modified_at,
        "external_id": storable_or_none(candidate.external_id),
    }


def lane_of(url: str) -> str:
    """Return the value of `lane` for a URL: its host, by which fetches are queued; empty for an invalid URL."""
    try:
        return storable(host_of(url))
    except SourceError:
        return ""  # the fetch fails with the reason


# Saved bodies: pages as they were fetched, and contents that came with a candidate (from files and archives).


SAVE_PAGE = upsert(PAGES, lambda new: new.on_conflict_do_nothing(index_elements=["candidate_id", "sha256"]))


def save_payloads(connection: Connection, waiting: Sequence[tuple[int, Candidate]], *, now: datetime) -> None:
    """Save the contents that came with candidates, given as (candidate id, candidate); each content once."""
    rows = [
        page_row(candidate_id, candidate.payload, now=now)
        for candidate_id, candidate in waiting
        if candidate.payload is not None
    ]
    if rows:
        connection.execute(SAVE_PAGE.on(connection), rows)


def page_row(candidate_id: int, content: Page | Text, *, now: datetime) -> Values:
    """Return the row of the pages table for a page or text."""
    return {
        "candidate_id": candidate_id,
        "sha256": content_sha256(content),
        "form": form_of(content),
        "described": storable(content_to_json(content)),
        "fetched_at": content.fetched_at if isinstance(content, Page) else now,
        "body": body_of(content),
    }


# The history of each candidate, which `why` prints.


_ADD_EVENTS = insert(EVENTS)


def add_event(connection: Connection, candidate_id: int, *, at: datetime, what: str, detail: str = "") -> None:
    """Add one event to a candidate's history."""
    add_events(connection, candidate_id, [HistoryEvent(at=at, what=what, detail=detail)])


def add_events(connection: Connection, candidate_id: int, events: Sequence[HistoryEvent]) -> None:
    """Add events to a candidate's history."""
    rows = [
        {"candidate_id": candidate_id, "at": each.at, "what": each.what, "detail": storable(each.detail)}
        for each in events
    ]
    connection.execute(_ADD_EVENTS, rows)


"""The states of a candidate that has its article."""


def former_to_json(row: Row[Any], *, by_age: bool = False) -> str:
    """Return a candidate's outcome as JSON, to be restored if a recheck fails; empty without an article.

    `by_age` says that the recheck is due to the article's age alone, not to a change that its source announced.
    """
    if row.state not in WITH_ARTICLE or row.article_id is None:
        return ""
    return to_json({"state": row.state, "reason": row.reason, "detail": row.detail, "by_age": by_age})


def former_of(row: Row[Any]) -> tuple[Outcome | None, bool]:
    """Return what `former_to_json` wrote: the outcome, and whether the recheck is due to age alone."""
    if not row.former:
        return None, False
    facts = json.loads(row.former)
    outcome = Outcome(state=State(facts["state"]), reason=facts["reason"], detail=facts["detail"])
    return outcome, facts["by_age"]


# Several contents of one candidate: lines of a file or records of an archive with the same URL.
#
# They are processed one after the other. A candidate with one content has no rows here. As soon as another reference (a
# line, a record) gives another content, each reference has a row, so that importing a file again does not process its
# contents again. The texts that feeds give along with a link are saved here as well, as fallbacks.


_C = CONTENTS.c
_OF_CANDIDATE = _C.candidate_id == bindparam("candidate")
_DESCRIBED: Final = ("title", "published_at", "modified_at", "external_id")
_NEWEST: Final = ("sha256", "waiting", *_DESCRIBED)
_SAVE = upsert(
    CONTENTS,
    lambda new: new.on_conflict_do_update(
        index_elements=["candidate_id", "reference"], set_={name: new.excluded[name] for name in _NEWEST}
    ),
)
_ALL = select(CONTENTS).where(_OF_CANDIDATE).order_by(_C.id)
_MARK_TAKEN = update(CONTENTS).where(_C.id == bindparam("content")).values(waiting=False)
HAS_WAITING: Final = exists().where(_C.candidate_id == CANDIDATES.c.id, _C.waiting).label("has_waiting")
"""A column of a query on candidates: whether a content of the candidate waits to be processed."""


def new_contents(connection: Connection, row: Row[Any], given: Sequence[Candidate]) -> list[Candidate]:
    """Return those of the given contents that a known candidate has not had yet, each content once."""
    known = {row.payload_sha256, *(each.sha256 for each in connection.execute(_ALL, {"candidate": row.id}))}
    return [each for each in _distinct(given) if _digest(each) not in known]


def _distinct(given: Sequence[Candidate]) -> list[Candidate]:
    """Return one candidate for each content, in the order given; those without a content are left out."""
    once: dict[str, Candidate] = {}
    for each in given:
        if each.payload is not None:
            once.setdefault(_digest(each), each)
    return list(once.values())


def save_all(
    connection: Connection, found: Sequence[tuple[int, Candidate, Sequence[Candidate]]], *, now: datetime
) -> None:
    """Save the contents of new candidates that came with several.

    `found` holds the candidate's id, its main content, which is processed first, and all its contents.
    """
    for number, main, given in found:
        later = [each for each in _distinct(given) if _digest(each) != _digest(main)]
        if later:
            save(connection, number, [main], waiting=False, now=now)
            save(connection, number, later, waiting=True, now=now)


def save_current(connection: Connection, row: Row[Any]) -> None:
    """Save the content that a candidate's own row refers to, before another one is added."""
    if row.payload_sha256 is None or connection.execute(_ALL.limit(1), {"candidate": row.id}).first() is not None:
        return
    described = {name: getattr(row, name) for name in _DESCRIBED}
    own = {"candidate_id": row.id, "reference": row.reference, "sha256": row.payload_sha256, "waiting": False}
    connection.execute(_SAVE.on(connection), own | described)


def save(
    connection: Connection, candidate_id: int, given: Sequence[Candidate], *, waiting: bool, now: datetime
) -> None:
    """Save contents of a candidate; `waiting` ones are processed later, in this order."""
    rows = [
        {
            "candidate_id": candidate_id,
            "reference": storable(each.reference),
            "sha256": _digest(each),
            "waiting": waiting,
            **discovered_values(each),
        }
        for each in given
    ]
    for row in rows:  # one by one, because a later content of the same reference replaces an earlier one
        connection.execute(_SAVE.on(connection), row)
    save_payloads(connection, [(candidate_id, each) for each in given], now=now)


def take_next(connection: Connection, candidate_id: int, *, now: datetime) -> Values | None:
    """Take the next waiting content; return the new values of the candidate's row, None if nothing waits."""
    waiting = _waiting(connection, candidate_id)
    if not waiting:
        return None
    connection.execute(_MARK_TAKEN, {"content": waiting[0].id})
    described = {name: getattr(waiting[0], name) for name in _DESCRIBED}
    return {"payload_sha256": waiting[0].sha256, "lane": None, "due_at": now, "attempts": 0, **described}


def _waiting(connection: Connection, candidate_id: int) -> Sequence[Row[Any]]:
    return connection.execute(_ALL.where(_C.waiting), {"candidate": candidate_id}).all()


def _digest(candidate: Candidate) -> str:
    assert candidate.payload is not None
    return content_sha256(candidate.payload)


# Fallbacks: texts that a feed gave along with a link. Each is kept until its page is fetched, and used if that fails.


_SAVE_FALLBACK = upsert(
    FALLBACKS,
    lambda new: new.on_conflict_do_update(index_elements=["candidate_id"], set_={"text": new.excluded.text}),
)
_DROP_FALLBACK = delete(FALLBACKS).where(FALLBACKS.c.candidate_id == bindparam("candidate"))
_FIND_FALLBACK = (
    select(FALLBACKS.c.text, CANDIDATES)
    .join(CANDIDATES, CANDIDATES.c.id == FALLBACKS.c.candidate_id)
    .where(FALLBACKS.c.candidate_id == bindparam("candidate"), ~addresses.has_untried_address())
)


def save_fallbacks(connection: Connection, texts: Mapping[int, str]) -> None:
    """Save texts by candidate id; a new text replaces an earlier one."""
    rows = [{"candidate_id": candidate, "text": storable(text)} for candidate, text in sorted(texts.items())]
    if rows:
        connection.execute(_SAVE_FALLBACK.on(connection), rows)


def drop_fallback(connection: Connection, candidate_id: int) -> None:
    """Delete the fallback of a candidate that has its outcome."""
    connection.execute(_DROP_FALLBACK, {"candidate": candidate_id})


def find_fallback(connection: Connection, claim: Claim) -> Text | None:
    """Return the fallback of a claimed candidate; None if it has none, or another address is left to try."""
    row = connection.execute(_FIND_FALLBACK, {"candidate": claim.id}).one_or_none()
    # An older version also saved texts of strangers; those have no authority in their row.
    is_strangers = row is not None and not row.authority and not addresses.authority_of(row).is_own
    return None if row is None or is_strangers else Text(text=row.text, title=row.title)


# What was forgotten. A candidate of a forgotten address has FORGOTTEN_SCHEME and a hash instead of its address, so that
# it stays in the books.


FORGOTTEN_REASON: Final = "forgotten"
"""The reason of the outcome of a candidate that was forgotten."""
_ERASED: Final = (
    *("title", "published_at", "modified_at", "external_id", "etag", "last_modified", "body_sha256", "payload_sha256"),
    *("article_id", "look_at", "lane", "lease_token", "lease_until", "worker", "done_token"),
)
"""The columns of a candidate that are NULL once it is erased."""


def hide_forgotten(connection: Connection, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Return candidates in which each forgotten one has lost everything but the hash of its address."""
    found = {
        row.key: row.canonical_url or ""
        for row in tombstones(connection, (key for each in candidates for key in _keys_of(each)))
    }
    if not found:
        return candidates
    known = ({found[key] for key in _keys_of(each) if key in found} for each in candidates)
    return [_hidden(each, urls) if urls else each for each, urls in zip(candidates, known, strict=True)]


def _keys_of(candidate: Candidate) -> set[str]:
    page = candidate.payload
    urls = {candidate.url, candidate.canonical_url, *((page.url, page.final_url) if isinstance(page, Page) else ())}
    return {key for url in urls for key in (*address_keys(url), *host_keys(url))}


def _hidden(candidate: Candidate, known: set[str]) -> Candidate:
    """Return a candidate without content; it is the one of the erased candidates that had its address, if any."""
    erased = sorted(url for url in known if url.startswith(FORGOTTEN_SCHEME))
    url = erased[0] if erased else f"{FORGOTTEN_SCHEME}{hash_of(candidate.canonical_url)}"
    return Candidate(url=url, canonical_url=url, source=candidate.source, reference="", authority=candidate.authority)


def erase(
    connection: Connection,
    row: Row[Any],
    *,
    request: str,
    reason: str,
    now: datetime,
    covers: Callable[[str], bool] = lambda _: True,
) -> None:
    """Delete everything that a candidate has but its place in the books, and leave tombstones of covered addresses.

    Its articles are deleted by `maintenance.remove`. A worker that holds it loses its lease.
    """
    seen = {row.url, row.canonical_url, *(each.url for each in addresses.rows_of(connection, row.id))}
    keys = {
        key: row.id for url in seen if not url.startswith(FORGOTTEN_SCHEME) and covers(url) for key in address_keys(url)
    }
    add_tombstones(connection, keys, request=request, reason=reason, at=now)
    for column in (c.c.candidate_id for c in (PAGES, EVENTS, CONTENTS, FALLBACKS, addresses.ADDRESSES)):
        connection.execute(delete(column.table).where(column == row.id))
    values = {"reference": "", "host": "", "batch": "", "former": "", "authority": "", "looks": 0, "attempts": 0}
    url = _free_address(connection, row)
    state = {"url": url, "canonical_url": url, "state": State.BLOCKED, "reason": FORGOTTEN_REASON, "detail": ""}
    erased = update(CANDIDATES).where(CANDIDATES.c.id == row.id)
    connection.execute(erased.values(**dict.fromkeys(_ERASED), **values, **state, due_at=now))
    add_event(connection, row.id, at=now, what=State.BLOCKED, detail=f"forgotten: {reason}")


def _free_address(connection: Connection, row: Row[Any]) -> str:
    """Return the address that a candidate has once it is erased; another one may have it that was found meanwhile."""
    if row.canonical_url.startswith(FORGOTTEN_SCHEME):
        return str(row.canonical_url)
    url = f"{FORGOTTEN_SCHEME}{hash_of(row.canonical_url)}"
    taken = select(CANDIDATES.c.id).where(CANDIDATES.c.canonical_url == url)
    return url if connection.execute(taken).first() is None else f"{url}-{row.id}"
