"""The discover flow: read a source and write what it points at into the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import structlog

from worker.errors import FetchError, MachineError, SourceError, StoreError, WorkerError, as_machine_error
from worker.files.reading import read_in_thread
from worker.models import Authority, Candidate, Discovery, Poll, Request, Source, SourceState, Validators
from worker.pipeline import poll_result
from worker.pipeline.poll_result import PollContext, PollProgress, SourceReport, log_alarms, log_report
from worker.pipeline.source_pages import PageWalker
from worker.pipeline.stages import Limits, Observer, Stages, Tally
from worker.schedule.poll_interval import plan_of
from worker.sources import read_inputs
from worker.urls import host_of

log = structlog.get_logger()

_LOCAL_KINDS: Final = frozenset({"files", "warc"})
_SITEMAPS: Final = 3
_SITEMAP_PAGES: Final = 10
"""How many sitemaps, and pages of each, are read to fill a gap."""


class Discoverer:
    """Polls sources."""

    def __init__(self, stages: Stages, limits: Limits, *, tally: Tally, observer: Observer, worker: str) -> None:
        self._stages = stages
        self._limits = limits
        self._tally = tally
        self._observer = observer
        self._worker = worker
        self._leaves = PageWalker(stages, limits)

    async def poll(self, source: Source, *, only_if_due: bool = False) -> SourceReport:
        """Read one configured source and enqueue what is new; what goes wrong is in the report, never raised.

        A source that another worker is polling is left to it; with `only_if_due` also one that has just been polled.
        """
        if not await self._lead(source, only_if_due=only_if_due):
            return SourceReport(source=source.name, left_alone=True)
        state = await self._stages.offload(self._stages.ledger.source_state, source.name)
        within = None if is_local(source) else self._limits.poll_lease.total_seconds()
        try:
            async with asyncio.timeout(within):
                reading = await self._read(_since_last_look(source, state), state, batch="")
                await self._fill_gap(source, state, reading.count)
        except (StoreError, MachineError):
            raise
        except TimeoutError:
            late = FetchError(f"not read within {within or 0:.0f} seconds", reason="timeout", retry=True)
            report = await self._failed(source, state, late)
        except WorkerError as exc:
            report = await self._failed(source, state, exc)
        except Exception as exc:  # a bug is loud, but its source is left alone like any that fails: it stays due else
            if lack := as_machine_error(exc):
                raise lack from exc
            log.exception("discover.bug", source=source.name)
            report = await self._failed(source, state, SourceError(f"internal error: {exc!r}"))
        else:
            report = await self._succeeded(source, state, reading)
        self._stages.meter.polled(source.name, result=report.kind)
        log_report(source, report)
        return report

    async def _lead(self, source: Source, *, only_if_due: bool) -> bool:
        return await self._stages.offload(
            self._stages.ledger.lead_poll,
            source.name,
            now=self._stages.clock.now(),
            lease=self._limits.poll_lease,
            worker=self._worker,
            only_if_due=only_if_due,
        )

    async def read(self, source: Source, *, batch: str) -> SourceReport:
        """Read a target somebody named once: nothing is remembered of it but its candidates, marked with `batch`.

        A page that is an article itself is looked at again though it is known.
        """
        try:
            report = (await self._read(source, SourceState(name=source.name), batch=batch)).report(source)
        except StoreError:
            raise
        except FetchError as exc:
            report = await self._unread(source, exc, batch=batch)
        except WorkerError as exc:
            report = SourceReport(source=source.name, error=str(exc))
        log_report(source, report)
        return report

    async def _unread(self, source: Source, error: FetchError, *, batch: str) -> SourceReport:
        """Enter a target that gave no page into the books all the same: it is blocked, failed, or tried again later."""
        candidate = Candidate(
            url=source.url,
            canonical_url=self._stages.canonicalise(source.url),
            source=source.name,
            reference=source.url,
            authority=Authority.OPERATOR,
        )
        count = PollProgress()
        await self._enqueue(source, Discovery(candidates=(candidate,), is_article=True), batch, count)
        return replace(count.report(source), error=str(error) if error.retry else "")

    async def replan(self, sources: Iterable[Source]) -> None:
        """Give every source whose rule (`every`, `cron`) was changed since its last poll the due time it asks for."""
        for source in sources:
            state = await self._stages.offload(self._stages.ledger.source_state, source.name)
            due_at = poll_result.due_after_change(source, state, moment=self._moment())
            if due_at is not None:
                await self._stages.offload(self._stages.ledger.replan, source.name, plan=plan_of(source), due_at=due_at)

    async def _read(self, source: Source, state: SourceState, *, batch: str) -> SourceReading:
        count = PollProgress()
        if is_local(source):
            await self._read_local(source, batch, count)
            count.require_something(source)
            return SourceReading(count=count)
        known = state.validators
        page = await self._stages.fetcher.fetch(Request(url=source.url, validators=known, accept="any"))
        if page.not_modified:
            return SourceReading(count=count, validators=known, unchanged=True)
        async for discovery in self._leaves.turn(source, page, count, state=state):
            await self._enqueue(source, discovery, batch, count)
        if page.permanent_url and not page.moved_before:
            count.notes.append(f'it has moved for good: set url = "{page.permanent_url}"')
        # Validators are written after the items, and only if everything was read: a crash or a failed part
        # followed by a 304 would lose articles.
        return SourceReading(count=count, validators=page.validators if count.complete else Validators())

    async def _read_local(self, source: Source, batch: str, count: PollProgress) -> None:
        inputs = await read_in_thread(
            read_inputs,
            local_path(source.url),
            source,
            now=self._stages.clock.now(),
            max_bytes=self._limits.input_bytes,
        )
        while (discovery := await read_in_thread(next, inputs, None)) is not None:
            await self._enqueue(source, discovery, batch, count)

    async def _enqueue(self, source: Source, discovery: Discovery, batch: str, count: PollProgress) -> None:
        new = await self._stages.offload(
            self._stages.ledger.enqueue,
            discovery.candidates,
            now=self._stages.clock.now(),
            again=discovery.is_article,
            batch=batch,
        )
        count.add(discovery, new=new)
        self._tally.discovered += new
        self._observer.discovered(source, new=new)

    async def _fill_gap(self, source: Source, state: SourceState, count: PollProgress) -> None:
        """Where this poll shares no entry with the last one, say so and read what the site's sitemaps have since."""
        if not poll_result.has_gap(source, state, count):
            return
        note = poll_result.gap_note(source, state, count, now=self._stages.clock.now())
        sitemaps = await self._sitemaps_of(source)
        extra = PollProgress()
        try:
            async with asyncio.timeout(self._limits.poll_lease.total_seconds() / 3):
                for url in sitemaps[:_SITEMAPS]:
                    await self._read_sitemap(source, state, url, extra)
        except TimeoutError:
            extra.notes.append("the sitemaps were not read to their end: they take too long")
        what = f"{extra.new} more found through the sitemap" if sitemaps else "no sitemap is known to look in"
        count.notes += [f"{note}; {what}", *extra.notes]
        count.recovered = extra.new

    async def _sitemaps_of(self, source: Source) -> Sequence[str]:
        """Return the sitemaps of a source's site: its own, those configured for its host, or what robots.txt names."""
        own = source.options.sitemap
        configured = [own] if own else self._limits.sitemaps.get(host_of(source.url), ())
        try:
            return configured or await self._stages.fetcher.sitemaps(source.url)
        except FetchError:
            return ()

    async def _read_sitemap(self, source: Source, state: SourceState, url: str, count: PollProgress) -> None:
        sitemap = replace(source, kind="sitemap", options=replace(source.options, read_at=state.succeeded_at))
        try:
            async for discovery in self._leaves.turn(
                sitemap, await self._leaves.fetch(url), count, most=_SITEMAP_PAGES
            ):
                await self._enqueue(sitemap, discovery, "", count)
        except (FetchError, SourceError) as exc:
            count.notes.append(f"{url}: {exc}")

    def _moment(self) -> PollContext:
        return PollContext(now=self._stages.clock.now(), rhythm=self._limits.rhythm, chance=self._stages.chance())

    async def _succeeded(self, source: Source, state: SourceState, reading: SourceReading) -> SourceReport:
        poll = poll_result.poll_of_success(
            source,
            state,
            reading.count,
            moment=self._moment(),
            validators=reading.validators,
            unchanged=reading.unchanged,
        )
        await self._record(source, state, poll)
        return reading.report(source)

    async def _failed(self, source: Source, state: SourceState, error: WorkerError) -> SourceReport:
        await self._record(source, state, poll_result.poll_of_failure(source, state, error, moment=self._moment()))
        return SourceReport(source=source.name, error=str(error))

    async def _record(self, source: Source, state: SourceState, poll: Poll) -> None:
        await self._stages.offload(self._stages.ledger.record_poll, poll, ())
        log_alarms(source, *poll_result.alarm_changes(state.learned.alarms, poll.learned.alarms))


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReading:
    """What reading a source gave: its counts, and the validators to keep; `unchanged` is the server's own word."""

    count: PollProgress
    validators: Validators = Validators()
    unchanged: bool = False

    def report(self, source: Source) -> SourceReport:
        """Return the report of a poll that worked."""
        return replace(self.count.report(source), not_modified=self.unchanged)


def _since_last_look(source: Source, state: SourceState) -> Source:
    """Tell a sitemap's parser when all of it was last read; the parser adds a day for dates that lie."""
    read_at = state.learned.habits.read_at
    if source.kind != "sitemap" or read_at is None:
        return source
    return replace(source, options=replace(source.options, read_at=read_at))


def is_local(source: Source) -> bool:
    """Tell whether a source lies on this machine."""
    return source.kind in _LOCAL_KINDS or "://" not in source.url


def local_path(url: str) -> Path:
    """Return the path that a `file:` URL or a plain path names."""
    return Path(unquote(urlsplit(url).path)) if url.startswith("file:") else Path(url)
