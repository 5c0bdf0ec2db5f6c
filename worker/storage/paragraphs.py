"""What was counted of each host's paragraphs, one packed row a host."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from sqlalchemy import Column, Connection, Executable, Integer, Table, Text, select

from worker.storage.codec import clean
from worker.storage.columns import PackedBytes
from worker.storage.database import Repository, reads, writes
from worker.storage.dialect import Insert, upsert
from worker.storage.metadata import METADATA

HOST_PARAGRAPHS = Table(
    "host_paragraphs",
    METADATA,
    Column("host", Text, primary_key=True),
    Column("articles", Integer, nullable=False),
    Column("counts", PackedBytes, nullable=False),
)
"""How often each paragraph stood in the articles of a host: pairs of a signed 64-bit key and a 32-bit count."""

_PAIR = struct.Struct("<qI")


def _replaced(statement: Insert) -> Executable:
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["host"], set_={"articles": new.articles, "counts": new.counts}
    )


_KEEP = upsert(HOST_PARAGRAPHS, _replaced)


def paragraphs(connection: Connection, host: str) -> tuple[int, Mapping[int, int]]:
    """Return how many articles of the host were counted, and in how many of them each paragraph key stood."""
    wanted = select(HOST_PARAGRAPHS).where(HOST_PARAGRAPHS.c.host == clean(host))
    row = connection.execute(wanted).one_or_none()
    return (0, {}) if row is None else (row.articles, dict(_PAIR.iter_unpack(row.counts)))


def keep_paragraphs(connection: Connection, host: str, articles: int, counts: Mapping[int, int]) -> None:
    """Replace what is remembered of a host."""
    packed = b"".join(_PAIR.pack(key, count) for key, count in sorted(counts.items()))
    connection.execute(_KEEP.on(connection), {"host": clean(host), "articles": articles, "counts": packed})


class StoredParagraphMemory(Repository):
    """How often each paragraph stood in the articles of a host. Blocking: call it through Offload.

    What is counted and what is boilerplate is decided by pure functions of the extractor; the store only remembers.
    """

    paragraphs = reads(paragraphs)
    keep_paragraphs = writes(keep_paragraphs)
