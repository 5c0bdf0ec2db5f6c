"""The discover flow: read a source and add its articles to the candidate table.

`Discoverer.poll` reads a configured source and records the poll. `Discoverer.read` reads a target of `ingest` once,
without state. Either returns a `SourceReport`; only errors of the store or the machine are raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from worker.errors import FetchBlocked, FetchError, MachineError, SourceError, StoreError, WorkerError, as_machine_error
from worker.files.reading import read_in_thread
from worker.logs import log
from worker.models import Authority, Candidate, Discovery, Poll, Request, Source, SourceState, Validators
from worker.models.base import dataclass
from worker.pipeline import poll_result
from worker.pipeline.poll_result import PollContext, PollProgress, SourceReport, log_alarms, log_report
from worker.pipeline.source_pages import PageWalker
from worker.pipeline.stages import Limits, Observer, Stages, Tally
from worker.schedule.poll_interval import is_local, plan_of
from worker.sources import read_inputs
from worker.urls import host_of, local_path

# How many sitemaps, and pages of each, are read to fill a gap. Chosen, not measured: a gap is hours long, and news
# sitemaps begin with the newest pages, so that more would cost the site fetches and find little.
_SITEMAPS: Final = 3
_SITEMAP_PAGES: Final = 10


class Discoverer:
    """Reads sources: polls of configured sources, and single targets given by the operator."""

    def __init__(self, stages: Stages, limits: Limits, *, tally: Tally, observer: Observer, worker: str) -> None:
        self._stages = stages
        self._limits = limits
        self._tally = tally
        self._observer = observer
        self._worker = worker
        self._walker = PageWalker(stages, limits)

    async def poll(self, source: Source, *, only_if_due: bool = False) -> SourceReport:
        """Poll one configured source, add its new candidates, and record the poll.

        Errors of the source are in the report. Skip the source if another worker is polling it, and with `only_if_due`
        also if it has just been polled. Raises StoreError and MachineError.
        """
        if not await self._lease_poll(source, only_if_due=only_if_due):
            return SourceReport(source=source.name, skipped=True)
        state = await self._stages.offload(self._stages.ledger.source_state, source.name)
        within = None if is_local(source) else self._limits.poll_lease.total_seconds()
        try:
            async with asyncio.timeout(within):
                await self._require_not_forgotten(source)
                result = await self._read(_with_read_at(source, state), state, PollProgress(), batch="")
                await self._fill_gap(source, state, result.progress)
        except (StoreError, MachineError):
            raise
        except TimeoutError:
            late = FetchError(f"not read within {within or 0:.0f} seconds", reason="timeout", retry=True)
            report = await self._failed(source, state, late)
        except WorkerError as exc:
            report = await self._failed(source, state, exc)
        except Exception as exc:  # a bug is logged; the source backs off like any that fails, or it would stay due
            if lack := as_machine_error(exc):
                raise lack from exc
            log.exception("discover.bug", source=source.name)
            report = await self._failed(source, state, SourceError(f"internal error: {exc!r}"))
        else:
            report = await self._succeeded(source, state, result)
        self._stages.meter.polled(source.name, result=report.kind)
        log_report(source, report)
        return report

    async def _require_not_forgotten(self, source: Source) -> None:
        """Raise FetchBlocked if a person had the source's address, or its whole host, removed."""
        if not is_local(source) and await self._stages.offload(self._stages.ledger.is_forgotten, source.url):
            advice = "remove the source, or take that back with `corpus-worker forget --lift`"
            raise FetchBlocked(f"{source.url}: a person had it removed (`forget`): {advice}", reason="forgotten")

    async def _lease_poll(self, source: Source, *, only_if_due: bool) -> bool:
        """Lease a source for this poll; return whether that succeeded."""
        return await self._stages.offload(
            self._stages.ledger.claim_poll,
            source.name,
            now=self._stages.clock.now(),
            lease=self._limits.poll_lease,
            worker=self._worker,
            only_if_due=only_if_due,
        )

    async def read(self, source: Source, *, batch: str) -> SourceReport:
        """Read a target of `ingest` once; only its candidates are stored, marked with `batch`.

        A page that is itself an article is fetched again even if it is known. Raises StoreError.
        """
        progress = PollProgress()
        try:
            await self._require_not_forgotten(source)
            reading = await self._read(source, SourceState(name=source.name), progress, batch=batch)
            report = reading.report(source)
        except StoreError:
            raise
        except FetchError as exc:
            report = await self._unread(source, exc, batch=batch)
        except WorkerError as exc:
            report = replace(progress.report(source), error=str(exc))  # with the counts of what was read until then
        log_report(source, report)
        return report

    async def _unread(self, source: Source, error: FetchError, *, batch: str) -> SourceReport:
        """Add a target that could not be fetched as a candidate, so that it is counted and retried like any other."""
        candidate = Candidate(
            url=source.url,
            canonical_url=self._stages.canonicalise(source.url),
            source=source.name,
            reference=source.url,
            authority=Authority.OPERATOR,
        )
        progress = PollProgress()
        await self._enqueue(source, Discovery(candidates=(candidate,), is_article=True), batch, progress)
        return replace(progress.report(source), error=str(error) if error.retry else "")

    async def replan(self, sources: Iterable[Source]) -> None:
        """Set a new due time for every source whose `every` or `cron` setting changed since its last poll."""
        for source in sources:
            state = await self._stages.offload(self._stages.ledger.source_state, source.name)
            due_at = poll_result.due_after_change(source, state, context=self._poll_context())
            if due_at is not None:
                await self._stages.offload(self._stages.ledger.replan, source.name, plan=plan_of(source), due_at=due_at)

    async def _read(self, source: Source, state: SourceState, progress: PollProgress, *, batch: str) -> SourceReading:
        """Fetch a source, walk its pages and enqueue what they list; a local source is read from its files."""
        if is_local(source):
            await self._read_local(source, batch, progress)
            progress.require_something(source)
            return SourceReading(progress=progress)
        known = state.validators
        page = await self._stages.fetcher.fetch(
            Request(url=source.url, validators=known, accept="any", source=source.name)
        )
        if page.not_modified:
            return SourceReading(progress=progress, validators=known, unchanged=True)
        async for discovery in self._walker.walk_pages(source, page, progress, state=state):
            await self._enqueue(source, discovery, batch, progress)
        if page.permanent_url and not page.moved_before:
            progress.notes.append(f'it has moved for good: set url = "{page.permanent_url}"')
        # Validators are written after the items, and only if everything was read: a crash or a failed part
        # followed by a 304 would lose articles.
        return SourceReading(progress=progress, validators=page.validators if progress.complete else Validators())

    async def _read_local(self, source: Source, batch: str, progress: PollProgress) -> None:
        """Read the input files of a local source and enqueue their articles."""
        inputs = await read_in_thread(
            read_inputs,
            local_path(source.url),
            source,
            now=self._stages.clock.now(),
            max_bytes=self._limits.input_bytes,
        )
        while (discovery := await read_in_thread(next, inputs, None)) is not None:
            progress.refused += discovery.skipped
            await self._enqueue(source, discovery, batch, progress)

    async def _enqueue(self, source: Source, discovery: Discovery, batch: str, progress: PollProgress) -> None:
        """Add the candidates of one page to the store and to the counts."""
        new = await self._stages.offload(
            self._stages.ledger.enqueue,
            discovery.candidates,
            now=self._stages.clock.now(),
            again=discovery.is_article,
            batch=batch,
        )
        progress.add(discovery, new=new)
        self._tally.discovered += new
        self._observer.discovered(source, new=new)

    async def _fill_gap(self, source: Source, state: SourceState, progress: PollProgress) -> None:
        """If this poll has no entry in common with the last one, note the gap and read the site's sitemaps."""
        if not poll_result.has_gap(source, state, progress):
            return
        note = poll_result.gap_note(source, state, progress, now=self._stages.clock.now())
        sitemaps = await self._sitemaps_of(source)
        extra = PollProgress()
        try:
            async with asyncio.timeout(self._limits.poll_lease.total_seconds() / 3):
                for url in sitemaps[:_SITEMAPS]:
                    await self._read_sitemap(source, state, url, extra)
        except TimeoutError:
            extra.notes.append("the sitemaps were not read to their end: they take too long")
        what = f"{extra.new} more found through the sitemap" if sitemaps else "no sitemap is known to look in"
        progress.notes += [f"{note}; {what}", *extra.notes]
        progress.recovered = extra.new

    async def _sitemaps_of(self, source: Source) -> Sequence[str]:
        """Return the source's own sitemap, else those configured for its host, else those that robots.txt names."""
        own = source.options.sitemap
        configured = [own] if own else self._limits.sitemaps.get(host_of(source.url), ())
        try:
            return configured or await self._stages.fetcher.sitemaps(source.url)
        except FetchError:
            return ()

    async def _read_sitemap(self, source: Source, state: SourceState, url: str, progress: PollProgress) -> None:
        """Read a sitemap to fill a gap; an error is only noted, since the poll itself succeeded."""
        sitemap = replace(source, kind="sitemap", options=replace(source.options, read_at=state.succeeded_at))
        try:
            async for discovery in self._walker.walk_pages(
                sitemap, await self._walker.fetch(url, source=source.name), progress, most=_SITEMAP_PAGES
            ):
                await self._enqueue(sitemap, discovery, "", progress)
        except (FetchError, SourceError) as exc:
            progress.notes.append(f"{url}: {exc}")

    def _poll_context(self) -> PollContext:
        return PollContext(now=self._stages.clock.now(), policy=self._limits.policy, chance=self._stages.chance())

    async def _succeeded(self, source: Source, state: SourceState, result: SourceReading) -> SourceReport:
        """Record a successful poll and return its report."""
        poll = poll_result.poll_of_success(
            source,
            state,
            result.progress,
            context=self._poll_context(),
            validators=result.validators,
            unchanged=result.unchanged,
        )
        await self._record(source, state, poll)
        return result.report(source)

    async def _failed(self, source: Source, state: SourceState, error: WorkerError) -> SourceReport:
        """Record a failed poll and return its report."""
        await self._record(
            source, state, poll_result.poll_of_failure(source, state, error, context=self._poll_context())
        )
        return SourceReport(source=source.name, error=str(error))

    async def _record(self, source: Source, state: SourceState, poll: Poll) -> None:
        """Write the poll to the store and log the warnings that it starts or ends."""
        await self._stages.offload(self._stages.ledger.record_poll, poll, ())
        log_alarms(source, *poll_result.alarm_changes(state.learned.alarms, poll.learned.alarms))


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReading:
    """The counts of one reading of a source, and the validators to store; `unchanged` is true after a 304 response."""

    progress: PollProgress
    validators: Validators = Validators()
    unchanged: bool = False

    def report(self, source: Source) -> SourceReport:
        """Return the report of a successful poll."""
        return replace(self.progress.report(source), not_modified=self.unchanged)


def _with_read_at(source: Source, state: SourceState) -> Source:
    """Return a sitemap source with the time of its last complete reading; the parser allows a day for wrong dates."""
    read_at = state.learned.publishing_stats.read_at
    if source.kind != "sitemap" or read_at is None:
        return source
    return replace(source, options=replace(source.options, read_at=read_at))
