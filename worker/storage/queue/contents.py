"""Several contents of one candidate: lines of a file, records of an archive that name the same address.

Each is worked on in its turn. A candidate of one content has no rows here; as soon as another place brings another
content, each place has one, so that what a place has brought before is not worked on again.
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
_TAKEN = update(CONTENTS).where(_C.id == bindparam("content")).values(waiting=False)
HAS_WAITING: Final = exists().where(_C.candidate_id == CANDIDATES.c.id, _C.waiting).label("has_waiting")


def unseen_of(connection: Connection, row: Row[Any], brought: Sequence[Candidate]) -> list[Candidate]:
    """Return what of the contents brought for a known candidate its place has not brought before, each text once."""
    known = {row.payload_sha256, *(each.sha256 for each in connection.execute(_ALL, {"candidate": row.id}))}
    return [each for each in _distinct(brought) if _digest(each) not in known]


def _distinct(brought: Sequence[Candidate]) -> list[Candidate]:
    once: dict[str, Candidate] = {}
    for each in brought:
        if each.payload is not None:
            once.setdefault(_digest(each), each)
    return list(once.values())


def save_all(
    connection: Connection, found: Sequence[tuple[int, Candidate, Sequence[Candidate]]], *, now: datetime
) -> None:
    """Note the contents of new candidates that came with several, the main one of which is worked on first."""
    for number, main, brought in found:
        later = [each for each in _distinct(brought) if _digest(each) != _digest(main)]
        if later:
            save(connection, number, [main], waiting=False, now=now)
            save(connection, number, later, waiting=True, now=now)


def save_current(connection: Connection, row: Row[Any]) -> None:
    """Note the content in a candidate's own row, before another comes beside it."""
    if row.payload_sha256 is None or connection.execute(_ALL.limit(1), {"candidate": row.id}).first() is not None:
        return
    said = {name: getattr(row, name) for name in _DESCRIBED}
    own = {"candidate_id": row.id, "reference": row.reference, "sha256": row.payload_sha256, "waiting": False, **said}
    connection.execute(_SAVE.on(connection), own)


def save(
    connection: Connection, candidate_id: int, brought: Sequence[Candidate], *, waiting: bool, now: datetime
) -> None:
    """Note contents of a candidate, in the order in which they are worked on."""
    rows = [
        {
            "candidate_id": candidate_id,
            "reference": storable(each.reference),
            "sha256": _digest(each),
            "waiting": waiting,
            **discovered_values(each),
        }
        for each in brought
    ]
    for row in rows:  # one by one: what a place brings again takes the place of what it brought before
        connection.execute(_SAVE.on(connection), row)
    save_payloads(connection, [(candidate_id, each) for each in brought], now=now)


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
    return content_sha256(candidate.payload)


# Texts that a source gave along with a link: kept until the page was fetched, for the case that it never is.


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
    """Keep texts by the id of their candidate, each in the place of an earlier one."""
    rows = [{"candidate_id": candidate, "text": storable(text)} for candidate, text in sorted(texts.items())]
    if rows:
        connection.execute(_SAVE_FALLBACK.on(connection), rows)


def drop_fallback(connection: Connection, candidate_id: int) -> None:
    """Let go of the text of a candidate that has its outcome."""
    connection.execute(_DROP_FALLBACK, {"candidate": candidate_id})


def find_fallback(connection: Connection, claim: Claim) -> Text | None:
    """Return the text kept for a claimed candidate, None where there is none or another address of it is left to try.

    What an older program kept may be a stranger's.
    """
    row = connection.execute(_FIND_FALLBACK, {"candidate": claim.id}).one_or_none()
    strange = row is not None and not row.authority and not addresses.authority_of(row).is_own
    return None if row is None or strange else Text(text=row.text, title=row.title)
