"""State per host: next free request slot, health, robots.txt, permanent redirects, repeated paragraphs.

Also the tombstones, by which a worker recognises a host, an address or a text that was forgotten.
"""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Executable,
    Integer,
    Row,
    Select,
    Table,
    Text,
    bindparam,
    case,
    delete,
    literal,
    not_,
    select,
)

from worker.errors import SourceError
from worker.ports import HostHealth, RobotsRecord
from worker.storage.db.codec import EPOCH, ID_TYPE, Duration, PackedBytes, UtcTime, storable
from worker.storage.db.database import Repository, reads, writes
from worker.storage.db.schema import CANDIDATES, HOSTS, METADATA, MOVES, ROBOTS
from worker.storage.db.sql import Insert, batched, greatest, upsert
from worker.urls import canonicalise, host_of, site_of


def _reserve_slot(statement: Insert) -> Executable:
    """Complete the statement that reserves a request slot; it returns when the following slot starts."""
    # A single statement: of two concurrent workers the second waits for the row, and so gets the slot after.
    now, delay = bindparam("now", type_=UtcTime()), bindparam("delay", type_=Duration())
    missed = HOSTS.c.next_turn == bindparam("missed", type_=UtcTime())
    after = case((missed, now), else_=greatest(HOSTS.c.next_turn, now)) + delay
    new = statement.values(host=bindparam("host"), next_turn=bindparam("next_turn"))
    reserved = new.on_conflict_do_update(index_elements=["host"], set_={"next_turn": after})
    return reserved.returning(HOSTS.c.next_turn)


def _replacing(key: str, *columns: str) -> Callable[[Insert], Executable]:
    """Return the rest of an upsert statement that replaces these columns of the row with the same key."""

    def finish(statement: Insert) -> Executable:
        values = {name: statement.excluded[name] for name in columns}
        return statement.on_conflict_do_update(index_elements=[key], set_=values)

    return finish


_RESERVE = upsert(HOSTS, _reserve_slot)
_SAVE_HEALTH = upsert(HOSTS, _replacing("host", "failures", "closed_until"))
_SAVE_REDIRECT = upsert(MOVES, _replacing("url", "target"))
_SAVE_ROBOTS = upsert(ROBOTS, _replacing("origin", "checked_at", "status", "body", "good_at", "error"))


def reserve(
    connection: Connection, host: str, *, now: datetime, delay: timedelta, instead_of: datetime | None = None
) -> datetime:
    """Reserve the host's next request slot and return when it starts, now or later.

    The slot after it starts `delay` later. A worker that missed its slot passes that slot's start as `instead_of`: if
    no other slot was reserved since, the missed one is moved to `now` instead of taking a further one.
    """
    missed = EPOCH if instead_of is None else instead_of + delay
    values = {"host": storable(host), "next_turn": now + delay, "now": now, "delay": delay, "missed": missed}
    following: datetime = connection.execute(_RESERVE.on(connection), values).scalar_one()
    return following - delay


def health_of(connection: Connection, host: str) -> HostHealth:
    """Return the health of a host; a healthy one if nothing is stored."""
    row = connection.execute(select(HOSTS).where(HOSTS.c.host == storable(host))).one_or_none()
    if row is None:
        return HostHealth(host=host)
    closed_until = None if row.closed_until == EPOCH else row.closed_until
    return HostHealth(host=host, failures=row.failures, closed_until=closed_until)


def save_health(connection: Connection, standing: HostHealth) -> None:
    """Save the health of a host; candidates of a closed host (circuit breaker) are not claimed until it reopens."""
    closed_until = standing.closed_until or EPOCH
    values = {"host": storable(standing.host), "failures": standing.failures, "closed_until": closed_until}
    connection.execute(_SAVE_HEALTH.on(connection), values)


def robots(connection: Connection, origin: str) -> RobotsRecord | None:
    """Return the stored robots.txt of an origin, None if there is none."""
    row = connection.execute(select(ROBOTS).where(ROBOTS.c.origin == storable(origin))).one_or_none()
    if row is None:
        return None
    return RobotsRecord(
        origin=row.origin,
        checked_at=row.checked_at,
        status=row.status,
        body=row.body,
        good_at=row.good_at,
        error=row.error,
    )


def save_robots(connection: Connection, record: RobotsRecord) -> None:
    """Save the robots.txt of an origin."""
    values = {
        "origin": storable(record.origin),
        "checked_at": record.checked_at,
        "status": record.status,
        "body": record.body,
        "good_at": record.good_at,
        "error": storable(record.error),
    }
    connection.execute(_SAVE_ROBOTS.on(connection), values)


def redirect_of(connection: Connection, url: str) -> str | None:
    """Return the target of a URL's permanent redirect, None if none is known."""
    return connection.execute(select(MOVES.c.target).where(MOVES.c.url == storable(url))).scalar()


def save_redirect(connection: Connection, url: str, target: str | None) -> None:
    """Save the target of a URL's permanent redirect; None deletes it."""
    if target is None:
        connection.execute(delete(MOVES).where(MOVES.c.url == storable(url)))
        return
    connection.execute(_SAVE_REDIRECT.on(connection), {"url": storable(url), "target": storable(target)})


# The shares of sites in the places of a worker.


SITE_SHARE = 4
"""The hosts of one site have at most one in so many places of a worker. Chosen, not measured: a site can have any
number of hosts that hang or lead to a slow one, each of which takes a place for minutes. Three such sites stop nobody.
"""
_HELD_HOSTS = select(CANDIDATES.c.lane).where(
    CANDIDATES.c.lease_until.is_not(None),
    CANDIDATES.c.lease_until > bindparam("now", type_=UtcTime()),
    CANDIDATES.c.lane.is_not(None),
    CANDIDATES.c.worker == bindparam("by"),
)


def share_out(
    connection: Connection, ready: Select[Any], values: Mapping[str, Any], *, worker: str | None
) -> Sequence[str]:
    """Return at most `limit` hosts that `ready` finds, so that no site has more than its share of the worker's places.

    Without a worker nothing is shared out: what a person asks for may all be of one site.
    """
    if worker is None:
        return connection.execute(ready, values).scalars().all()
    room, held = values["limit"], {"by": worker, "now": values["now"]}
    places = Counter(map(_site_of_host, connection.execute(_HELD_HOSTS, held).scalars()))
    share = max(1, (places.total() + room) // SITE_SHARE)
    full = {site for site, count in places.items() if count >= share}
    chosen: dict[str, None] = {}
    while True:
        left_out = set()
        for host in connection.execute(ready.where(*map(_is_elsewhere, sorted(full))), values).scalars():
            site = _site_of_host(host)
            if host not in chosen and places[site] >= share:
                left_out.add(site)
            elif host not in chosen and len(chosen) < room:
                chosen[host] = None
                places[site] += 1
        if len(chosen) == room or left_out <= full:
            return list(chosen)
        full |= left_out


def _is_elsewhere(site: str) -> ColumnElement[bool]:
    """Return the condition that a host, with or without a port, is neither a site nor below it."""
    return not_((literal(".") + HOSTS.c.host + literal(":")).contains(f".{site}:", autoescape=True))


def _site_of_host(host: str) -> str:
    """Return the site of a host; one without a site is its own."""
    try:
        return site_of(f"http://{host}")
    except SourceError:
        return host


class HostStore(Repository):
    """`HostRegistry` on the store. Blocking."""

    reserve = writes(reserve)
    health_of = reads(health_of)
    save_health = writes(save_health)
    robots = reads(robots)
    save_robots = writes(save_robots)
    redirect_of = reads(redirect_of)
    save_redirect = writes(save_redirect)


# Paragraph counts of each host, packed into one row: thousands of rows a host would be far slower to load.


HOST_PARAGRAPHS = Table(
    "host_paragraphs",
    METADATA,
    Column("host", Text, primary_key=True),
    Column("articles", Integer, nullable=False),
    Column("counts", PackedBytes, nullable=False),
)
"""In how many articles of a host each paragraph occurred: pairs of a signed 64-bit key and a 32-bit count."""

_PAIR = struct.Struct("<qI")


def _replace_counts(statement: Insert) -> Executable:
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["host"], set_={"articles": new.articles, "counts": new.counts}
    )


_SAVE_COUNTS = upsert(HOST_PARAGRAPHS, _replace_counts)


def paragraphs(connection: Connection, host: str) -> tuple[int, Mapping[int, int]]:
    """Return how many articles of the host were counted, and in how many of them each paragraph key occurred."""
    wanted = select(HOST_PARAGRAPHS).where(HOST_PARAGRAPHS.c.host == storable(host))
    row = connection.execute(wanted).one_or_none()
    return (0, {}) if row is None else (row.articles, dict(_PAIR.iter_unpack(row.counts)))


def keep_paragraphs(connection: Connection, host: str, articles: int, counts: Mapping[int, int]) -> None:
    """Replace the paragraph counts of a host."""
    packed = b"".join(_PAIR.pack(key, count) for key, count in sorted(counts.items()))
    connection.execute(_SAVE_COUNTS.on(connection), {"host": storable(host), "articles": articles, "counts": packed})


class ParagraphStore(Repository):
    """The paragraph counts of each host. Blocking: call it through `RunInThread`.

    The extractor decides what is counted and what is boilerplate; this class only loads and saves.
    """

    paragraphs = reads(paragraphs)
    keep_paragraphs = writes(keep_paragraphs)


# Tombstones. Each keeps an address, a host or a text from being stored again, without a word of it.


FORGOTTEN = Table(
    "forgotten",
    METADATA,
    Column("id", ID_TYPE, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("request", Text, nullable=False, index=True),
    Column("candidate_id", ID_TYPE, index=True),
    Column("reason", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
)
"""Tombstones: what `forget` has removed, and what must not be stored again, without a word of it.

`key` is one of `address`, `host` and `text` with a SHA-256, or `article` with the id of a removed article. The rows of
one request (one URL, id or host) share `request`; `candidate_id` is the candidate that had an address.
"""

KEYS_AT_ONCE = 5_000
"""Keys looked up in one statement. Chosen, not measured: SQLite takes 32,766 parameters, a feed makes some thousand."""
_ANY_TOMBSTONE = select(FORGOTTEN.c.id).limit(1)
_TOMBSTONES = (
    select(FORGOTTEN, CANDIDATES.c.canonical_url)
    .outerjoin(CANDIDATES, CANDIDATES.c.id == FORGOTTEN.c.candidate_id)
    .where(FORGOTTEN.c.key.in_(bindparam("keys", expanding=True)))
    .order_by(FORGOTTEN.c.id)
)
_ADD_TOMBSTONES = upsert(FORGOTTEN, lambda new: new.on_conflict_do_nothing(index_elements=["key"]))


def address_forms(url: str) -> set[str]:
    """Return a URL as it is, and in its canonical form if it has one."""
    try:
        return {url, canonicalise(url)}
    except SourceError:
        return {url}


def address_keys(url: str) -> set[str]:
    """Return the keys of the tombstones of an address: of both of its forms."""
    return {f"address {hash_of(each)}" for each in address_forms(url)}


def host_keys(url: str) -> set[str]:
    """Return the keys of the tombstones of the host of a URL, and of every domain above it."""
    try:
        host = host_of(url)
    except SourceError:
        return set()
    labels = host.partition(":")[0].split(".")
    return {host_key(each) for each in (host, *(".".join(labels[start:]) for start in range(len(labels)))) if each}


def host_key(host: str) -> str:
    """Return the key of the tombstone of a host."""
    return f"host {hash_of(host)}"


def text_key(sha256: str) -> str:
    """Return the key of the tombstone of a text, given its SHA-256."""
    return f"text {sha256}"


def hash_of(text: str) -> str:
    """Return the SHA-256 of a text in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def article_key(article_id: int) -> str:
    """Return the key of the tombstone of a removed article."""
    return f"article {article_id}"


def tombstones(connection: Connection, keys: Iterable[str]) -> Sequence[Row[Any]]:
    """Return the tombstones with these keys, oldest first, each with the address that its candidate has now.

    `keys` is only read if the store has tombstones at all: making keys takes longer than that look-up.
    """
    if connection.execute(_ANY_TOMBSTONE).first() is None:
        return ()
    batches = batched(sorted(set(keys)), KEYS_AT_ONCE)
    return [row for batch in batches for row in connection.execute(_TOMBSTONES, {"keys": batch})]


def tombstone_of(connection: Connection, urls: Iterable[str], *, text_sha256: str = "") -> Row[Any] | None:
    """Return the first tombstone of these URLs, their hosts or a text; None if nothing of them was forgotten."""
    of_urls = (key for url in urls for key in (*address_keys(url), *host_keys(url)))
    found = tombstones(connection, chain(of_urls, [text_key(text_sha256)] if text_sha256 else ()))
    return found[0] if found else None


def is_forgotten(connection: Connection, url: str) -> bool:
    """Return whether a URL or its host was forgotten, so that it must not be fetched."""
    return tombstone_of(connection, [url]) is not None


def add_tombstones(
    connection: Connection, keys: Mapping[str, int | None], *, request: str, reason: str, at: datetime
) -> None:
    """Add tombstones, given as keys with the candidate that each belongs to; those that exist stay as they are."""
    same = {"request": request, "reason": storable(reason), "at": at}
    rows = [{"key": key, "candidate_id": candidate, **same} for key, candidate in sorted(keys.items())]
    if rows:
        connection.execute(_ADD_TOMBSTONES.on(connection), rows)
