"""Walks the archive of a source: visits one place after another and adds the articles in the range to the ledger.

A place is a sitemap, a listing page, a feed, or a WARC file. Its candidates, its progress and the further places it
links to are written before the next place is visited, so that a walk continues where it was interrupted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, time, timedelta, tzinfo
from functools import partial
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from worker import urls
from worker.app import App, BackfillDeps
from worker.config.schema import Settings
from worker.config.sources import DEFAULT_TIMEZONE
from worker.dates.periods import TimeWindow, archive_urls
from worker.errors import FetchError, SourceError, StoreError, UsageError
from worker.files.reading import read_in_thread
from worker.logs import log
from worker.models import BackfillPlace, Candidate, Request, Source, backfill_batch
from worker.models.base import dataclass
from worker.ports import Fetcher, Scope
from worker.sources.content import ContentKind, sniff_content
from worker.sources.files.article_files import InputContext
from worker.sources.files.inputs import archives_below
from worker.sources.files.warc import WarcFilter, WarcPortion, read_portions
from worker.sources.web.archive import ArchivePage, ArchiveQuery, scan_archive
from worker.sources.web.homepage import usual_sitemaps

_KINDS_WITH_ARCHIVES = frozenset({"feed", "sitemap", "listing", "warc"})
# The resolution of a datetime: the range ends this much before the midnight after its last day.
_TIME_RESOLUTION = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillOptions:
    """The options of one backfill: a source and a range of whole days in its time zone, both ends included.

    `limit` bounds the candidates added. `changed_later` also adds pages that were changed after the range, and may have
    been published in it. `discover_only` adds candidates without ingesting them. `afresh` visits every place again.
    With `open_ended` the range ends today: `last` is then not part of the name, so that the same command continues on
    another day.
    """

    source: str
    first: date
    last: date
    open_ended: bool = False
    limit: int | None = None
    changed_later: bool = False
    discover_only: bool = False
    afresh: bool = False

    @property
    def name(self) -> str:
        """The key of this backfill in the store; the same options continue the same backfill."""
        later = ":changed-later" if self.changed_later else ""
        return f"{self.source}:{self.first}:{'' if self.open_ended else self.last}{later}"

    @property
    def batch(self) -> str:
        """The batch label of its candidates."""
        return backfill_batch(self.name)

    @property
    def scope(self) -> Scope:
        """The candidates it ingests: its own, and on each host only while no live candidate is due."""
        return Scope(batch=self.batch, yields_to_live=True)

    def source_of(self, settings: Settings) -> Source:
        """Return the configured source.

        Raises UsageError if it is unknown, if its kind has no archive, or if the range is impossible.
        """
        found = next((each for each in settings.sources if each.name == self.source), None)
        if found is None:
            known = ", ".join(each.name for each in settings.sources) or "none"
            raise UsageError(f"no source is called {self.source}; the configuration has {known}")
        if found.kind not in _KINDS_WITH_ARCHIVES or (found.kind == "warc" and "://" in found.source().url):
            raise UsageError(
                f"{self.source} is a source of kind {found.kind}, which has no past to go back through; "
                "ingest its files or URLs with corpus-worker ingest"
            )
        if self.last < self.first:
            raise UsageError(f"--to {self.last} is before --from {self.first}; swap them")
        if self.last == date.max:
            raise UsageError(f"--to {self.last} is the last possible date; give an earlier one, or omit --to")
        return found.source()

    def archive_query(self, source: Source) -> ArchiveQuery:
        """Return the range of days as a time window in the time zone of the source."""
        zone = _zone(source.timezone)
        end = _midnight(self.last + timedelta(days=1), zone) - _TIME_RESOLUTION
        return ArchiveQuery(
            window=TimeWindow(start=_midnight(self.first, zone), end=end), changed_later=self.changed_later
        )


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(0), tzinfo=zone)


def today_at(settings: Settings, name: str, *, now: datetime) -> date:
    """Return today's date in the source's time zone (the default zone if the source is unknown)."""
    source = next((each for each in settings.sources if each.name == name), None)
    return now.astimezone(_zone(source.timezone if source else None)).date()


def _zone(name: str | None) -> tzinfo:
    return ZoneInfo(name or DEFAULT_TIMEZONE)


EntryPoints = list[tuple[str, str]]
"""The places where a walk begins: kind and URL of each."""


def local_entry_points(source: Source) -> EntryPoints:
    """Return the WARC files of a local source; raises SourceError if there are none."""
    path = urls.local_path(source.url)
    return [("warc", str(file)) for file in archives_below(path)]


async def web_entry_points(source: Source, window: TimeWindow, fetcher: Fetcher) -> EntryPoints:
    """Return the entry points of a source on the web, the most complete first.

    A configured archive (URLs by date) is sufficient. Otherwise a sitemap is its own entry point. A feed, and a listing
    that is the home page, begin with the sitemaps listed in robots.txt, or one at a usual path, and then continue with
    their own older pages. Raises FetchError and SourceError.
    """
    archive = source.options.archive
    if archive:
        return [("listing", url) for url in archive_urls(archive, window)]
    if source.kind == "sitemap":
        return [("sitemap", source.url)]
    whole_site = source.kind == "feed" or urls.is_home(source.url)
    sitemaps = [url async for url in _sitemaps(source.url, fetcher)] if whole_site else []
    return [*(("sitemap", url) for url in sitemaps), (source.kind, source.url)]


async def _sitemaps(url: str, fetcher: Fetcher) -> AsyncIterator[str]:
    """Yield the sitemaps listed in robots.txt; without any, the first one found at a usual path."""
    named = await fetcher.sitemaps(url)
    for sitemap in named:
        yield sitemap
    if named:
        return
    for guess in usual_sitemaps(url):
        if await _is_sitemap(guess, fetcher):
            yield guess
            return


async def _is_sitemap(url: str, fetcher: Fetcher) -> bool:
    """Return whether a URL serves a sitemap; raises FetchError if the answer may be different later."""
    try:
        page = await fetcher.fetch(Request(url=url, accept="any"))
    except FetchError as exc:
        if exc.retry:
            raise
        return False
    except SourceError:
        return False
    return sniff_content(page.body) is ContentKind.SITEMAP


_MAX_WRITE: Final = 500
"""Candidates added in one transaction: few, so that other writers do not wait long (chosen, not measured)."""
_MAX_PASSES: Final = 2
"""How often a run visits places whose visit failed for now; a later run tries them again."""
_MAX_PENDING: Final = 300
"""How far reading a WARC file runs ahead of ingestion: it bounds the raw pages that wait in the store."""
_PENDING_CHECK_EVERY: Final = timedelta(milliseconds=500)
"""How often the reader checks whether ingestion has caught up: the waiting pages take longer than that."""


@dataclass(slots=True)
class WalkCounts:
    """The counts of one run: places read, failed visits, and candidates that were new."""

    read: int = 0
    failed: int = 0
    new: int = 0
    last_error: str = ""


class ArchiveWalker:
    """Walks the archive of one source; one object for one run."""

    def __init__(self, app: App, deps: BackfillDeps, options: BackfillOptions, source: Source) -> None:
        self._app = app
        self._registry = deps.registry
        self._fetcher = deps.fetcher
        self._options = options
        self._source = source
        self._query = options.archive_query(source)
        self.counts = WalkCounts()

    async def walk(self) -> None:
        """Visit every waiting place; places that cannot be read for now keep waiting.

        Raises FetchError or SourceError if no entry point can be determined, StoreError if the store fails.
        """
        await self._add_entry_points()
        for _ in range(_MAX_PASSES):
            after = 0
            while not self._limit_reached and (place := await self._next(after)) is not None:
                after = place.id
                await self._visit(place)
        if not self._limit_reached and await self._next(0) is None:
            await self._app.offload(self._registry.finish, self._options.name, now=self._app.clock.now())

    @property
    def _limit_reached(self) -> bool:
        """Whether this run has added as many new candidates as the options allow."""
        return self._options.limit is not None and self.counts.new >= self._options.limit

    @property
    def _write_size(self) -> int:
        """How many candidates to add in the next transaction, within the limit of the backfill."""
        return _MAX_WRITE if self._options.limit is None else min(_MAX_WRITE, self._options.limit - self.counts.new)

    async def _add_entry_points(self) -> None:
        """Add the entry points unless an earlier run did.

        A finished backfill without pending candidates starts over. Local files are listed every time: there may be new
        ones.
        """
        state = await self._app.offload(self._registry.state, self._options.name)
        pending = await self._pending()
        afresh = self._options.afresh or (state.finished_at is not None and not pending)
        if state.finished_at and not afresh:
            return
        local = self._source.kind == "warc"
        if state.looked + state.waiting and not (local or afresh):
            return
        entry_points = (
            await asyncio.to_thread(local_entry_points, self._source)
            if local
            else await web_entry_points(self._source, self._query.window, self._fetcher)
        )
        await self._app.offload(
            self._registry.begin, self._options.name, entry_points, now=self._app.clock.now(), afresh=afresh
        )

    async def _next(self, after: int) -> BackfillPlace | None:
        return await self._app.offload(self._registry.next_place, self._options.name, after=after)

    async def _visit(self, place: BackfillPlace) -> None:
        """Read one place; record a failure with the place. Raises StoreError."""
        try:
            if place.kind == "warc":
                await self._read_archive(place)
            else:
                await self._read_page(place)
        except StoreError:
            raise
        except (FetchError, SourceError, OSError) as exc:
            await self._record_failure(place, exc)
        else:
            self.counts.read += 1

    async def _record_failure(self, place: BackfillPlace, error: FetchError | SourceError | OSError) -> None:
        is_permanent = not (isinstance(error, FetchError) and error.retry)
        self.counts.failed += 1
        self.counts.last_error = f"{place.url}: {error}"
        log.warning("backfill.place_failed", kind=place.kind, url=place.url, error=str(error), again=not is_permanent)
        now = self._app.clock.now()
        await self._app.offload(self._registry.fail, place, str(error), for_good=is_permanent, now=now)

    async def _read_page(self, place: BackfillPlace) -> None:
        """Fetch a place and add its candidates; parsing runs in a thread, since a sitemap may be very large.

        One thread does all of it. libxml2 keeps names in a dictionary of the thread that made the parser, so a parser
        that goes on in another thread corrupts memory while the first one parses something else.
        """
        request = Request(url=place.url, accept="any", source=self._source.name)
        page = await self._fetcher.fetch(request)
        pages = scan_archive(place.kind, page, self._source, self._query, now=self._app.clock.now())
        last = ArchivePage()
        with ThreadPoolExecutor(1, thread_name_prefix="archive") as thread:
            advance = partial(asyncio.get_running_loop().run_in_executor, thread, next, pages, None)
            while (found := await advance()) is not None:
                last, place = found, replace(place, left_out=place.left_out + found.outside)
                at = 0
                while at < len(found.candidates):
                    if self._limit_reached:
                        # The place keeps waiting. The next run reads it again; candidates known by then are not new.
                        return
                    some = found.candidates[at : at + self._write_size]
                    place = await self._add_candidates(replace(place, found=place.found + len(some)), some)
                    at += len(some)
        place = await self._add_candidates(place, ())
        now = self._app.clock.now()
        await self._app.offload(
            self._registry.close, self._options.name, place, last.follow, digest=last.digest, now=now
        )
        self._log_visit(place, last.notes)

    async def _read_archive(self, place: BackfillPlace) -> None:
        """Read a WARC file in portions, at most _MAX_PENDING pages ahead of ingestion."""
        portions = self._portions(place)
        while (portion := await read_in_thread(next, portions, None)) is not None:
            for remark in portion.problems:
                log.warning("backfill.note", note=f"{remark.where}: {remark.why}")
            place = replace(
                place,
                position=portion.position,
                found=place.found + len(portion.candidates),
                left_out=place.left_out + portion.rejected,
            )
            place = await self._add_candidates(place, portion.candidates)
            if self._limit_reached:
                return
            await self._wait_for_ingester()
        now = self._app.clock.now()
        await self._app.offload(self._registry.close, self._options.name, place, (), digest="", now=now)
        self._log_visit(place, ())

    def _portions(self, place: BackfillPlace) -> Iterator[WarcPortion]:
        """Read a WARC file from the saved position; skip pages outside the range, the sites and the languages."""
        settings = self._app.settings
        wanted = WarcFilter(
            sites=self._source.options.sites,
            window=self._query.window,
            languages=frozenset(settings.extract.languages),
        )
        context = InputContext(source=self._source.name, now=self._app.clock.now(), max_bytes=settings.fetch.max_bytes)
        return read_portions(Path(place.url), context, wanted, start=place.position)

    async def _wait_for_ingester(self) -> None:
        """Wait until fewer than _MAX_PENDING candidates of this backfill are pending."""
        while not self._options.discover_only and self._app.ingester.remaining != 0:
            if await self._pending() < _MAX_PENDING:
                return
            await self._app.clock.sleep(_PENDING_CHECK_EVERY)

    async def _pending(self) -> int:
        """Return the number of pending candidates of this backfill."""
        now, scope = self._app.clock.now(), self._options.scope
        pending, _ = await self._app.offload(self._app.ledger.pending, now=now, scope=scope)
        return pending

    async def _add_candidates(self, place: BackfillPlace, candidates: Sequence[Candidate]) -> BackfillPlace:
        """Add candidates and save the progress of their place; return the place with the new ones counted."""
        updated = await self._app.offload(
            self._registry.save_candidates,
            self._options.name,
            place,
            candidates,
            batch=self._options.batch,
            now=self._app.clock.now(),
        )
        new = updated.new - place.new
        self.counts.new += new
        self._app.tally.discovered += new
        return updated

    def _log_visit(self, place: BackfillPlace, notes: Sequence[str]) -> None:
        log.info(
            "backfill.looked",
            kind=place.kind,
            url=place.url,
            found=place.found,
            new=place.new,
            left_out=place.left_out or None,
            notes="; ".join(notes) or None,
        )
