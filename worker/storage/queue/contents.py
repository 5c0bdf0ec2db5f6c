"""Several contents of one candidate: lines of a file or records of an archive with the same URL.

They are processed one after the other. A candidate with one content has no rows here. As soon as another reference (a
line, a record) gives another content, each reference has a row, so that importing a file again does not process its
contents again. The texts that feeds give along with a link are saved here as well, as fallbacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, exists, select, update

from worker.models import Candidate, Claim, Text
from worker.storage.db.codec import content_sha256, storable
from worker.storage.db.schema import CANDIDATES, CONTENTS, FALLBACKS, Values
from worker.storage.db.sql import upsert
from worker.storage.queue import addresses
from worker.storage.queue.candidates import discovered_values, save_payloads

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
