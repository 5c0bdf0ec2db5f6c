"""The bodies that are kept: pages as they were fetched, and the contents that candidates brought along."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from worker.models import Candidate, Page, Text
from worker.storage.codec import body_of, clean, describe, digest, form_of
from worker.storage.dialect import upsert
from worker.storage.rows import Values
from worker.storage.tables import PAGES

KEEP_PAGE = upsert(PAGES, lambda new: new.on_conflict_do_nothing(index_elements=["candidate_id", "sha256"]))


def keep_payloads(connection: Connection, waiting: Sequence[tuple[int, Candidate]], *, now: datetime) -> None:
    """Keep the contents that candidates brought along, each once."""
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
