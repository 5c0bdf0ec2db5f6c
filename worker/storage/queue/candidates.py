"""Build the rows of a candidate: its own, its saved pages, its history, and the outcome it had before a recheck."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert

from worker.errors import SourceError
from worker.models import Candidate, HistoryEvent, Outcome, Page, State, Text
from worker.storage.db.codec import (
    body_of,
    content_sha256,
    content_to_json,
    form_of,
    storable,
    storable_or_none,
    to_json,
)
from worker.storage.db.schema import EVENTS, PAGES, Values
from worker.storage.db.sql import upsert
from worker.urls import host_of

HIGH_PRIORITY, LOW_PRIORITY = 0, 1
"""The values of a candidate's `precedence`: live discovery, and backfills and rechecks behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnqueueOptions:
    """How candidates are enqueued.

    `again` also requeues known candidates that did not change; `batch` is written to every pending candidate named.
    """

    now: datetime
    again: bool = False
    batch: str = ""
    precedence: int = HIGH_PRIORITY


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
        "precedence": options.precedence,
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


# The outcome a candidate had before a scheduled recheck; it is restored if the recheck fails.


WITH_ARTICLE = (State.STORED, State.DUPLICATE, State.REVISED, State.UNCHANGED)
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
