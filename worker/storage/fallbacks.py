"""Texts that a source gave along with a link: kept until the page was fetched, for the case that it never is."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, delete, select

from worker.models import Claim, Text
from worker.storage import addresses
from worker.storage.codec import clean
from worker.storage.dialect import upsert
from worker.storage.tables import CANDIDATES, FALLBACKS

_KEEP = upsert(
    FALLBACKS,
    lambda new: new.on_conflict_do_update(index_elements=["candidate_id"], set_={"text": new.excluded.text}),
)
_DROP = delete(FALLBACKS).where(FALLBACKS.c.candidate_id == bindparam("candidate"))
_FIND = (
    select(FALLBACKS.c.text, CANDIDATES)
    .join(CANDIDATES, CANDIDATES.c.id == FALLBACKS.c.candidate_id)
    .where(FALLBACKS.c.candidate_id == bindparam("candidate"), ~addresses.others_left())
)


def save_fallbacks(connection: Connection, texts: Mapping[int, str]) -> None:
    """Keep texts by the id of their candidate, each in the place of an earlier one."""
    rows = [{"candidate_id": candidate, "text": clean(text)} for candidate, text in sorted(texts.items())]
    if rows:
        connection.execute(_KEEP.on(connection), rows)


def drop_fallback(connection: Connection, candidate_id: int) -> None:
    """Let go of the text of a candidate that has its outcome."""
    connection.execute(_DROP, {"candidate": candidate_id})


def find_fallback(connection: Connection, claim: Claim) -> Text | None:
    """Return the text kept for a claimed candidate, None where there is none or another address of it is left to try.

    What an older program kept may be a stranger's.
    """
    row = connection.execute(_FIND, {"candidate": claim.id}).one_or_none()
    strange = row is not None and not row.authority and not addresses.authority_of(row).is_own
    return None if row is None or strange else Text(text=row.text, title=row.title)
