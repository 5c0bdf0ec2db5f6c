"""Forgets a page, an article or a whole host for good: everything that the store holds of it is deleted.

A tombstone keeps it from being fetched, imported or stored again (`queue.hosts`). It happens in small transactions
beside a running daemon, in an order that no interruption spoils: first the tombstones, so that nothing new comes in;
then the queue and raw pages, so that no worker holds it; then the articles. The same request again does the rest.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Column, Connection, Row, delete, func, or_, select, union

from worker.errors import NotFoundError
from worker.models import FORGOTTEN_SCHEME, HistoryEvent
from worker.models.base import dataclass
from worker.storage.corpus.search import rewrite_step
from worker.storage.corpus.views import is_article_id, seed_places
from worker.storage.db.database import Database
from worker.storage.db.migrate import FORGOTTEN_PAGES_LEFT, delete_meta, read_meta, write_meta
from worker.storage.db.schema import (
    ARTICLES,
    CANDIDATES,
    CONTENTS,
    HOSTS,
    MARKS,
    MOVES,
    PAGES,
    ROBOTS,
    SEEDS,
    STANDINGS,
)
from worker.storage.db.sql import among, batched, is_sqlite
from worker.storage.maintenance.manual_decisions import Rejudged
from worker.storage.maintenance.rejudge import JudgeFunction
from worker.storage.maintenance.remove import MAX_AT_ONCE, clear_urls, detach, remove_articles, strip_notes
from worker.storage.queue import hosts
from worker.storage.queue.addresses import ADDRESSES
from worker.storage.queue.backfills import BACKFILL_PLACES
from worker.storage.queue.candidates import add_events, erase
from worker.storage.queue.hosts import FORGOTTEN, HOST_PARAGRAPHS, add_tombstones, host_keys, text_key

# Candidates in one transaction, URLs in one statement. Chosen, not measured: a worker waits for one of them at most.
ERASED_AT_ONCE: Final = 200
URLS_AT_ONCE: Final = 1_000
PATIENCE: Final = timedelta(minutes=1)
"""How long to wait for readers of a SQLite store at the end. Chosen, not measured: only a large export takes longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetRequest:
    """What to forget: a URL, the id of an article or (`is_host`) a host; why; and whether its copies are to go, too."""

    target: str
    reason: str = ""
    is_host: bool = False
    copies: bool = False

    def keys(self) -> set[str]:
        """Return the keys of its tombstones, if nothing else is known of it."""
        if self.is_host:
            return {hosts.host_key(self.target)}
        return {hosts.article_key(int(self.target))} if self.is_id else hosts.address_keys(self.target)

    def covers(self, url: str) -> bool:
        """Return whether what has this URL is forgotten: not if another site than the host has it, copies apart."""
        if self.copies or not self.is_host or not url.startswith("http"):
            return True
        return hosts.host_key(self.target) in host_keys(url)

    @property
    def is_id(self) -> bool:
        """Whether the target is the id of an article."""
        return not self.is_host and is_article_id(self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedArticle:
    """An article that is forgotten, or a copy of one that stays."""

    id: int
    url: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetSelection:
    """Everything in a store that a request concerns.

    `since` is the time of an earlier request for the same, whose id (`request`) it keeps. `detached` are candidates of
    other sites with addresses on the host. `copies` are the other articles of the clusters; `kept_texts` the hashes of
    their texts, and of pages that other sites served. `files` are the seed and input files it came from.
    """

    request: str
    since: datetime | None
    urls: frozenset[str]
    candidates: frozenset[int]
    detached: frozenset[int]
    articles: tuple[NamedArticle, ...]
    copies: tuple[NamedArticle, ...]
    kept_texts: frozenset[str]
    pages: int
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetReport:
    """What was forgotten for a request, or would be; `judged_again` are articles that depended on it."""

    request: ForgetRequest
    selection: ForgetSelection
    judged_again: tuple[Rejudged, ...] = ()


def forget(
    database: Database, request: ForgetRequest, *, judge: JudgeFunction, now: datetime, dry_run: bool = False
) -> ForgetReport:
    """Delete everything of a page or host, and leave tombstones; with `dry_run` only return what it would be.

    On SQLite call `overwrite` afterwards. Raises NotFoundError for an id that is in no article and no tombstone.
    """
    selection = database.read_consistent(lambda connection: _select(connection, request))
    if dry_run:
        return ForgetReport(request=request, selection=selection)
    database.write(_begin, request, selection, now=now)
    for some in batched(sorted(selection.candidates), ERASED_AT_ONCE):
        database.write(_erase, some, request, selection, now=now)
    # A worker may have stored another version until a moment ago: it is found now.
    ids = database.read(_ids_now, selection)
    moved: dict[int, Rejudged] = {}
    for some in batched(ids, MAX_AT_ONCE):
        moved |= {each.id: each for each in database.write(_remove, some, request, selection, judge=judge, now=now)}
    for some in batched(sorted(selection.detached), ERASED_AT_ONCE):
        database.write(detach, some, covers=request.covers, now=now)
    database.write(_clear_traces, request, selection, ids)
    return ForgetReport(request=request, selection=selection, judged_again=tuple(moved[each] for each in sorted(moved)))


def overwrite(database: Database) -> bool:
    """Write a SQLite file anew if deleted rows of something forgotten may still be in it; False if a reader kept it.

    The deleted rows are then in no page of the file and in no frame of its log. Raises StoreError.
    """
    if not database.read(read_meta, FORGOTTEN_PAGES_LEFT):
        return True
    while database.write(rewrite_step):  # full-text search keeps the words of a removed text until then
        continue
    if not database.rewrite(_mark_unwritten, patience=PATIENCE):
        return False
    database.write(delete_meta, FORGOTTEN_PAGES_LEFT)
    return True


def lift(connection: Connection, requests: Sequence[ForgetRequest], *, now: datetime) -> list[datetime]:
    """Remove the tombstones of requests, so that they may be found again; return when each had been forgotten.

    What was deleted does not come back. Raises NotFoundError if one of them has no tombstones.
    """
    found = [_tombstone(connection, request) for request in requests]
    for of_request in (FORGOTTEN.c.request == each for each in {row.request for row in found}):
        candidates = connection.execute(select(FORGOTTEN.c.candidate_id).where(of_request).distinct()).scalars().all()
        # That an article was removed stays true, and the next release has to say so.
        connection.execute(delete(FORGOTTEN).where(of_request, FORGOTTEN.c.key.not_like("article %")))
        for candidate in filter(None, candidates):
            add_events(connection, candidate, [HistoryEvent(at=now, what="lifted", detail="it may be found again")])
    return [row.at for row in found]


def _tombstone(connection: Connection, request: ForgetRequest) -> Row[Any]:
    known = hosts.tombstones(connection, request.keys())
    if not known:
        above = () if request.is_host or request.is_id else hosts.tombstones(connection, host_keys(request.target))
        advice = "; its whole host was: lift that with --host" if above else ""
        raise NotFoundError(f"{request.target}: was not forgotten{advice}; nothing was lifted")
    return known[0]


# What a request concerns.


def _select(connection: Connection, request: ForgetRequest) -> ForgetSelection:
    known = hosts.tombstones(connection, request.keys())
    candidates, ids, detached = (_on_host if request.is_host else _of_page)(connection, request)
    if known:
        of_request = select(FORGOTTEN.c.candidate_id).where(FORGOTTEN.c.request == known[0].request)
        candidates |= set(connection.execute(of_request).scalars()) - {None}
    if request.is_id and not ids and not known:
        raise NotFoundError(f"there is no article {request.target} in the store: give its URL, or an id `why` shows")
    candidates, rows = _whole_pages(connection, candidates, ids, request)
    copies = _copies(connection, rows)
    while request.copies and copies:
        candidates, rows = _whole_pages(connection, candidates, {*rows, *copies}, request)
        copies = _copies(connection, rows)
    urls = {url for row in rows.values() for url in (row.url, row.canonical_url)}
    urls |= {url for url in _addresses(connection, candidates) if not url.startswith(FORGOTTEN_SCHEME)}
    elsewhere = {row.sha256 for row in rows.values() if not request.covers(row.canonical_url)}
    pages = select(func.count()).select_from(PAGES).where(among(PAGES.c.candidate_id, "ids"))
    return ForgetSelection(
        request=known[0].request if known else secrets.token_hex(8),
        since=known[0].at if known else None,
        urls=frozenset(filter(request.covers, urls)),
        candidates=frozenset(candidates),
        detached=frozenset(detached - candidates),
        articles=_named(rows.values()),
        copies=_named(copies.values()),
        kept_texts=frozenset(row.sha256 for row in copies.values()) | elsewhere,
        pages=connection.execute(pages, {"ids": candidates}).scalar_one(),
        files=tuple(sorted(_files(connection, candidates, rows))),
    )


_Named = tuple[set[int], set[int], set[int]]  # candidates, articles, and candidates of other sites' pages


def _of_page(connection: Connection, request: ForgetRequest) -> _Named:
    """Return the candidates and the articles that an id or a URL names by itself."""
    ids = select(ARTICLES.c.id)
    if request.is_id:
        return set(), set(connection.execute(ids.where(ARTICLES.c.id == int(request.target))).scalars()), set()
    forms = hosts.address_forms(request.target)
    queries = (
        select(CANDIDATES.c.id).where(CANDIDATES.c.canonical_url.in_(forms)),
        select(CANDIDATES.c.id).where(CANDIDATES.c.url.in_(forms)),
        select(ADDRESSES.c.candidate_id).where(ADDRESSES.c.url.in_(forms)),
    )
    candidates = {each for query in queries for each in connection.execute(query).scalars()}
    seeds = ids.join(SEEDS, SEEDS.c.article_id == ARTICLES.c.id).where(ARTICLES.c.url.in_(forms))
    articles = connection.execute(union(ids.where(ARTICLES.c.canonical_url.in_(forms)), seeds)).scalars()
    return candidates, set(articles), set()


def _on_host(connection: Connection, request: ForgetRequest) -> _Named:
    """Return what has an address on a host, or on one below it; reads all addresses."""
    host = request.target
    own = _rows_on(connection, host, CANDIDATES.c.id, CANDIDATES.c.canonical_url)
    led = _rows_on(connection, host, CANDIDATES.c.id, CANDIDATES.c.url)
    led |= _rows_on(connection, host, ADDRESSES.c.candidate_id, ADDRESSES.c.url)
    articles = _rows_on(connection, host, ARTICLES.c.id, ARTICLES.c.url, ARTICLES.c.canonical_url)
    return (own | led, articles, set()) if request.copies else (own, articles, led - own)


def _rows_on(connection: Connection, host: str, key: Column[Any], *urls: Column[Any]) -> set[Any]:
    """Return the keys of the rows that have a URL on a host."""
    key_of_host = hosts.host_key(host)
    rows = connection.execute(select(key, *urls).where(or_(*(url.contains(host, autoescape=True) for url in urls))))
    return {row[0] for row in rows if any(key_of_host in host_keys(url) for url in row[1:])}


def _whole_pages(
    connection: Connection, candidates: Collection[int], ids: Collection[int], request: ForgetRequest
) -> tuple[set[int], dict[int, Row[Any]]]:
    """Return candidates and articles with every other version of their pages, and the candidates of those.

    Of a page that another site than the forgotten host served, nothing is added.
    """
    rows = _articles(connection, candidates, ids)
    elsewhere = {each for each, row in rows.items() if not request.covers(row.canonical_url)}
    urls = {row.canonical_url for each, row in rows.items() if each not in elsewhere}
    ids = {*(rows.keys() - elsewhere), *_by_urls(connection, ARTICLES.c.id, ARTICLES.c.canonical_url, urls)}
    more = set(_by_urls(connection, CANDIDATES.c.id, CANDIDATES.c.canonical_url, urls))
    ended_with = select(CANDIDATES.c.id).where(among(CANDIDATES.c.article_id, "ids"))
    more |= set(connection.execute(ended_with, {"ids": ids}).scalars())
    made_of = select(ARTICLES.c.candidate_id).where(among(ARTICLES.c.id, "ids"), ARTICLES.c.candidate_id.is_not(None))
    more |= set(connection.execute(made_of, {"ids": ids}).scalars())
    return more | set(candidates), _articles(connection, more | set(candidates), {*ids, *elsewhere})


def _articles(connection: Connection, candidates: Iterable[int], ids: Iterable[int]) -> dict[int, Row[Any]]:
    """Return the articles of candidates, and those with the given ids."""
    columns = (ARTICLES.c.id, ARTICLES.c.url, ARTICLES.c.canonical_url, ARTICLES.c.title, ARTICLES.c.sha256)
    query = select(*columns, STANDINGS.c.cluster).join(STANDINGS, STANDINGS.c.article_id == ARTICLES.c.id)
    found: dict[int, Row[Any]] = {}
    for column, values in ((ARTICLES.c.candidate_id, candidates), (ARTICLES.c.id, ids)):
        found |= {row.id: row for row in connection.execute(query.where(among(column, "ids")), {"ids": values})}
    return found


def _copies(connection: Connection, rows: dict[int, Row[Any]]) -> dict[int, Row[Any]]:
    """Return the other articles of the clusters that these are in."""
    members = select(STANDINGS.c.article_id).where(among(STANDINGS.c.cluster, "clusters"))
    ids = connection.execute(members, {"clusters": {row.cluster for row in rows.values()}}).scalars().all()
    return _articles(connection, (), set(ids) - rows.keys())


def _named(rows: Iterable[Row[Any]]) -> tuple[NamedArticle, ...]:
    return tuple(NamedArticle(id=row.id, url=row.url, title=row.title) for row in sorted(rows, key=lambda row: row.id))


def _addresses(connection: Connection, candidates: Collection[int]) -> set[str]:
    """Return every URL of these candidates."""
    own = select(CANDIDATES.c.url, CANDIDATES.c.canonical_url).where(among(CANDIDATES.c.id, "ids"))
    others = select(ADDRESSES.c.url).where(among(ADDRESSES.c.candidate_id, "ids"))
    return {url for query in (own, others) for row in connection.execute(query, {"ids": candidates}) for url in row}


def _files(connection: Connection, candidates: Collection[int], articles: Iterable[int]) -> set[str]:
    """Return the names of the seed files, and of the files or records that candidates' contents came from."""
    seeds = select(SEEDS.c.article_id).where(among(SEEDS.c.article_id, "ids")).distinct()
    of_seeds = connection.execute(seeds, {"ids": articles}).scalars().all()
    found = {place for each in of_seeds for place in seed_places(connection, each)}
    given = CANDIDATES.c.payload_sha256.is_not(None)
    for query in (
        select(CANDIDATES.c.reference).where(among(CANDIDATES.c.id, "ids"), given),
        select(CONTENTS.c.reference).where(among(CONTENTS.c.candidate_id, "ids")),
    ):
        found |= set(connection.execute(query, {"ids": candidates}).scalars())
    return found - {""}


def _by_urls(connection: Connection, key: Column[Any], column: Column[Any], urls: Iterable[str]) -> Iterator[Any]:
    for some in batched(sorted(urls), URLS_AT_ONCE):
        yield from connection.execute(select(key).where(column.in_(some))).scalars()


# The steps of forgetting, one transaction each.


def _begin(connection: Connection, request: ForgetRequest, selection: ForgetSelection, *, now: datetime) -> None:
    """Leave tombstones of what was named, so that nothing of it comes in from now on."""
    # The address of a seed is the name of its file, which may hold another text tomorrow: its text is recognised.
    urls = {url for url in {request.target, *selection.urls} if not (url.startswith("seed:") or url.isdigit())}
    keys = request.keys() if request.is_host else set[str]().union(*map(hosts.address_keys, urls))
    only = next(iter(selection.candidates)) if len(selection.candidates) == 1 else None
    add_tombstones(connection, dict.fromkeys(keys, only), request=selection.request, reason=request.reason, at=now)
    clear_urls(connection, selection.urls)  # the next steps delete what the URLs are found by after an interruption
    if is_sqlite(connection) and (selection.candidates or selection.articles or request.is_host):
        _mark_unwritten(connection)


def _mark_unwritten(connection: Connection) -> None:
    # Another value each time: SQLite writes nothing into its log for an unchanged row.
    write_meta(connection, FORGOTTEN_PAGES_LEFT, secrets.token_hex(4))


def _erase(
    connection: Connection, ids: Sequence[int], request: ForgetRequest, selection: ForgetSelection, *, now: datetime
) -> None:
    """Delete pages, feed texts, contents, histories and addresses of candidates, which become blocked."""
    wanted = select(CANDIDATES).where(among(CANDIDATES.c.id, "ids")).order_by(CANDIDATES.c.id).with_for_update()
    for row in connection.execute(wanted, {"ids": ids}).all():
        if not row.canonical_url.startswith(FORGOTTEN_SCHEME):
            erase(connection, row, request=selection.request, reason=request.reason, now=now, covers=request.covers)


def _ids_now(connection: Connection, selection: ForgetSelection) -> list[int]:
    """Return the ids of the articles to be removed, with those that a worker has stored since the selection."""
    rows = _articles(connection, selection.candidates, [each.id for each in selection.articles])
    return sorted({*rows, *_by_urls(connection, ARTICLES.c.id, ARTICLES.c.canonical_url, selection.urls)})


def _remove(
    connection: Connection,
    ids: Sequence[int],
    request: ForgetRequest,
    selection: ForgetSelection,
    *,
    judge: JudgeFunction,
    now: datetime,
) -> tuple[Rejudged, ...]:
    """Delete articles, and leave tombstones of their ids and texts; a text that a copy has as well may stay."""
    query = select(ARTICLES.c.id, ARTICLES.c.sha256, ARTICLES.c.candidate_id, SEEDS.c.sha256.label("raw"))
    query = query.outerjoin(SEEDS, SEEDS.c.article_id == ARTICLES.c.id).where(among(ARTICLES.c.id, "ids"))
    keys: dict[str, int | None] = {}
    for row in connection.execute(query, {"ids": ids}).all():
        texts = {row.sha256, row.raw} - selection.kept_texts - {None}
        keys |= dict.fromkeys([hosts.article_key(row.id), *map(text_key, texts)], row.candidate_id)
    add_tombstones(connection, keys, request=selection.request, reason=request.reason, at=now)
    return remove_articles(connection, ids, judge=judge, now=now).judged_again


def _clear_traces(
    connection: Connection, request: ForgetRequest, selection: ForgetSelection, ids: Sequence[int]
) -> None:
    """Delete what other tables hold of the addresses, and what verdicts on other articles say about these."""
    clear_urls(connection, selection.urls)
    if request.is_host:
        _clear_host(connection, request.target)
    of_request = (FORGOTTEN.c.request == selection.request, FORGOTTEN.c.key.like("article %"))
    keys = connection.execute(select(FORGOTTEN.c.key).where(*of_request)).scalars()
    if removed := {*ids, *(int(key.split()[1]) for key in keys)}:  # an interrupted request removed some before
        strip_notes(connection, removed)


def _clear_host(connection: Connection, host: str) -> None:
    for key, *urls in (
        (MARKS.c.pair, MARKS.c.low, MARKS.c.high),
        (MOVES.c.url, MOVES.c.url, MOVES.c.target),
        (ROBOTS.c.origin, ROBOTS.c.origin),
        (BACKFILL_PLACES.c.id, BACKFILL_PLACES.c.url),
    ):
        for some in batched(sorted(_rows_on(connection, host, key, *urls)), URLS_AT_ONCE):
            connection.execute(delete(key.table).where(key.in_(some)))
    for column in (HOST_PARAGRAPHS.c.host, HOSTS.c.host):
        names = connection.execute(select(column).where(column.contains(host, autoescape=True))).scalars()
        below = [name for name in names if hosts.host_key(host) in host_keys(f"https://{name}")]
        connection.execute(delete(column.table).where(column.in_(below)))
