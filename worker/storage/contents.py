"""Several contents of one candidate: lines of a file, records of an archive that name the same address.

Each is worked on in its turn. A candidate of one content has no rows here; as soon as another place brings another
content, each place has one, so that what a place has brought before is not worked on again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, exists, select, update

from worker.models import Candidate
from worker.storage.bodies import keep_payloads
from worker.storage.codec import clean, digest
from worker.storage.dialect import upsert
from worker.storage.intake import description
from worker.storage.rows import Values
from worker.storage.tables import CANDIDATES, CONTENTS

_C = CONTENTS.c
_OF_CANDIDATE = _C.candidate_id == bindparam("candidate")
_DESCRIBED: Final = ("title", "published_at", "modified_at", "external_id")
_NEWEST: Final = ("sha256", "waiting", *_DESCRIBED)
_KEEP = upsert(
    CONTENTS,
    lambda new: new.on_conflict_do_update(
        index_elements=["candidate_id", "reference"], set_={name: new.excluded[name] for name in _NEWEST}
    ),
)
_ALL = select(CONTENTS).where(_OF_CANDIDATE).order_by(_C.id)
_TAKEN = update(CONTENTS).where(_C.id == bindparam("content")).values(waiting=False)
HAS_WAITING: Final = exists().where(_C.candidate_id == CANDIDATES.c.id, _C.waiting).label("has_waiting")


def new_among(connection: Connection, row: Row[Any], brought: Sequence[Candidate]) -> list[Candidate]:
    """Return what of the contents brought for a known candidate its place has not brought before, each text once."""
    known = {row.payload_sha256, *(each.sha256 for each in connection.execute(_ALL, {"candidate": row.id}))}
    return [each for each in _distinct(brought) if _digest(each) not in known]


def _distinct(brought: Sequence[Candidate]) -> list[Candidate]:
    once: dict[str, Candidate] = {}
    for each in brought:
        if each.payload is not None:
            once.setdefault(_digest(each), each)
    return list(once.values())


def keep_all(
    connection: Connection, found: Sequence[tuple[int, Candidate, Sequence[Candidate]]], *, now: datetime
) -> None:
    """Note the contents of new candidates that came with several, the main one of which is worked on first."""
    for number, main, brought in found:
        later = [each for each in _distinct(brought) if _digest(each) != _digest(main)]
        if later:
            keep(connection, number, [main], waiting=False, now=now)
            keep(connection, number, later, waiting=True, now=now)


def keep_beside(connection: Connection, row: Row[Any]) -> None:
    """Note the content in a candidate's own row, before another comes beside it."""
    if row.payload_sha256 is None or connection.execute(_ALL.limit(1), {"candidate": row.id}).first() is not None:
        return
    said = {name: getattr(row, name) for name in _DESCRIBED}
    own = {"candidate_id": row.id, "reference": row.reference, "sha256": row.payload_sha256, "waiting": False, **said}
    connection.execute(_KEEP.on(connection), own)


def keep(
    connection: Connection, candidate_id: int, brought: Sequence[Candidate], *, waiting: bool, now: datetime
) -> None:
    """Note contents of a candidate, in the order in which they are worked on."""
    rows = [
        {
            "candidate_id": candidate_id,
            "reference": clean(each.reference),
            "sha256": _digest(each),
            "waiting": waiting,
            **description(each),
        }
        for each in brought
    ]
    for row in rows:  # one by one: what a place brings again takes the place of what it brought before
        connection.execute(_KEEP.on(connection), row)
    keep_payloads(connection, [(candidate_id, each) for each in brought], now=now)


def take_next(connection: Connection, candidate_id: int, *, now: datetime) -> Values | None:
    """Take the content that waits for longest, and return what of the candidate's row changes for it."""
    waiting = _waiting(connection, candidate_id)
    if not waiting:
        return None
    connection.execute(_TAKEN, {"content": waiting[0].id})
    said = {name: getattr(waiting[0], name) for name in _DESCRIBED}
    return {"payload_sha256": waiting[0].sha256, "lane": None, "due_at": now, "attempts": 0, **said}


def _waiting(connection: Connection, candidate_id: int) -> Sequence[Row[Any]]:
    return connection.execute(_ALL.where(_C.waiting), {"candidate": candidate_id}).all()


def _digest(candidate: Candidate) -> str:
    assert candidate.payload is not None
    return digest(candidate.payload)
