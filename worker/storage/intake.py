"""How candidates are taken in, and the row that one makes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from worker.errors import SourceError
from worker.models import Candidate, State
from worker.storage.codec import clean, clean_or_none, digest
from worker.storage.rows import Values
from worker.urls import host_of

NEWS, THE_PAST = 0, 1
"""What a candidate's precedence may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """How candidates are taken in: known ones `again` or only if they changed, all that wait marked with a `batch`."""

    now: datetime
    again: bool = False
    batch: str = ""
    precedence: int = NEWS


def candidate_row(candidate: Candidate, intake: Intake) -> Values:
    """Return the row of a candidate that nobody knew before."""
    host = lane_of(candidate.url)
    return {
        "url": clean(candidate.url),
        "canonical_url": clean(candidate.canonical_url),
        "source": clean(candidate.source),
        "reference": clean(candidate.reference),
        "authority": candidate.authority.value,
        "host": host,
        "lane": host if candidate.payload is None else None,
        "state": State.PENDING,
        "batch": intake.batch,
        "precedence": intake.precedence,
        "discovered_at": intake.now,
        "due_at": intake.now,
        **description(candidate),
        "payload_sha256": None if candidate.payload is None else digest(candidate.payload),
    }


def description(candidate: Candidate) -> Values:
    """Return what whoever named a candidate said of it."""
    return {
        "title": clean_or_none(candidate.title),
        "published_at": candidate.published_at,
        "modified_at": candidate.modified_at,
        "external_id": clean_or_none(candidate.external_id),
    }


def lane_of(url: str) -> str:
    """Return the host that a fetch of a URL has to wait for."""
    try:
        return clean(host_of(url))
    except SourceError:
        return ""  # the fetch will say what is wrong with it
