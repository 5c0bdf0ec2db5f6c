"""Previews without storing anything: one test poll of a source, and the extraction of a page or file.

`SourceProbe` serves `doctor` and `sources`, `preview` serves `extract`. Both fetch as a run does, and share its rate
limits through the store if there is one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from worker.clock import SystemClock
from worker.config.schema import Settings
from worker.config.sources import DEFAULT_TIMEZONE
from worker.config.types import format_duration
from worker.errors import ExtractError, FetchError, SourceError, UsageError
from worker.extract.explain import ExtractionExplanation
from worker.extract.ipc import extract_rules
from worker.extract.pool import ProcessExtractor
from worker.fetch.client import HttpFetcher, InMemoryHostStore
from worker.fetch.request import Step
from worker.files.reading import read_in_thread
from worker.models import Candidate, Discovery, Page, Request, Source
from worker.models.base import dataclass
from worker.pipeline.source_pages import CrossSubmissions
from worker.pipeline.stages import hints_of
from worker.ports import Clock
from worker.runs.dry_run import shared_pacing
from worker.schedule.poll_interval import is_local
from worker.sources import PARSERS, read_inputs
from worker.sources.files.article_files import InputProblem
from worker.sources.files.inputs import read_items
from worker.storage.store import StoreExecutor
from worker.urls import host_of, is_web_address, local_path, page_key

_MAX_DEPTH: Final = 3
"""How many levels of pages without entries are followed: a sitemap index of indexes has two."""

_AHEAD_PER_PROCESS: Final = 2
"""How many pages are read ahead for each extraction process: one that it works on, and the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """The result of one test poll.

    `steps` are the requests made, `page` is the first page. `further` is true if the source has pages that were not
    read; `offsite` counts links to other sites, which a run would not follow. `fault` is the reason of an error in one
    word.
    """

    source: Source
    steps: tuple[Step, ...] = ()
    page: Page | None = None
    candidates: tuple[Candidate, ...] = ()
    notes: tuple[str, ...] = ()
    title: str | None = None
    further: bool = False
    offsite: int = 0
    error: str = ""
    fault: str = ""

    @property
    def entries(self) -> int:
        """The number of distinct articles; several URLs may lead to one."""
        return len({each.canonical_url for each in self.candidates})

    @property
    def newest(self) -> datetime | None:
        """The latest date among the candidates; None if none has a date."""
        dates = (each.published_at or each.modified_at for each in self.candidates)
        return max((date for date in dates if date), default=None)


class SourceProbe:
    """Test-polls sources with the real fetcher; `patience` bounds one poll, including the wait for the rate limiter."""

    def __init__(self, fetcher: HttpFetcher, *, clock: Clock, patience: timedelta, max_bytes: int) -> None:
        self.fetcher = fetcher
        self._clock = clock
        self._patience = patience
        self._max_bytes = max_bytes

    async def probe(self, source: Source) -> ProbeResult:
        """Poll a source once; errors are part of the result and never raised."""
        if is_local(source):
            try:
                return await read_in_thread(self._probe_local, source)
            except SourceError as exc:
                return ProbeResult(source=source, error=str(exc), fault="path")
        empty = ProbeResult(source=source)
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                return await self._probe_page(empty, source.url, CrossSubmissions(source, self.fetcher), depth=0)
        except TimeoutError:
            limit = format_duration(self._patience)
            error = f"no response within {limit}: the host is slow, or requires long pauses"
            return replace(empty, error=error, fault="timeout")

    async def _probe_page(
        self, partial: ProbeResult, url: str, submissions: CrossSubmissions, *, depth: int
    ) -> ProbeResult:
        """Fetch and parse one page; if it only links to further pages, continue with the first of these."""
        fetched = await self.fetcher.explain(Request(url=url, accept="any", source=submissions.source.name))
        partial = replace(partial, steps=(*partial.steps, *fetched.steps))
        if fetched.page is None:
            return _failed(partial, fetched.error)
        partial = replace(partial, page=partial.page or fetched.page)
        try:
            found = parse_page(fetched.page, submissions.source, now=self._clock.now())
            if again := await submissions.vouched(fetched.page, found):
                found = parse_page(fetched.page, again, now=self._clock.now())
        except SourceError as exc:
            return replace(partial, error=str(exc), fault="content")
        partial = replace(
            partial,
            candidates=found.candidates,
            notes=(*partial.notes, *found.notes),
            title=partial.title or found.title,
            further=bool(found.follow or found.rest),
            offsite=partial.offsite + found.offsite,
        )
        if found.candidates or not found.follow or depth == _MAX_DEPTH:
            return partial
        return await self._probe_page(partial, found.follow[0], submissions, depth=depth + 1)

    def _probe_local(self, source: Source) -> ProbeResult:
        """Read the first batch of entries from a file or folder; raises SourceError."""
        path = local_path(source.url)
        inputs = read_inputs(path, source, now=self._clock.now(), max_bytes=self._max_bytes)
        first = next(inputs, Discovery())
        more = next(inputs, None)
        return ProbeResult(source=source, candidates=first.candidates, notes=first.notes, further=more is not None)


def parse_page(page: Page, source: Source, *, now: datetime) -> Discovery:
    """Parse a page as the kind that its source declares; raises SourceError."""
    parser = PARSERS.get(source.kind)
    if parser is None:
        known = ", ".join(PARSERS)
        raise SourceError(f"{source.name}: sources of kind {source.kind} cannot be polled; known are {known}")
    return parser(page, source, now=now)


def _failed(partial: ProbeResult, error: FetchError | None) -> ProbeResult:
    """Return the result of a poll that ended with a fetch error, with the steps made so far."""
    return replace(partial, error=str(error), fault=error.reason if error else "")


@asynccontextmanager
async def open_probe(settings: Settings) -> AsyncIterator[SourceProbe]:
    """Open a probe; raises ConfigurationError if the fetch settings cannot be used.

    If there is a store, the rate limits of hosts are shared with the workers on it.
    """
    # A poll may need robots.txt before its page, so it gets the time of two fetches.
    clock, patience = SystemClock(), 2 * settings.fetch.deadline
    with ExitStack() as stack, StoreExecutor(count=1) as offload:
        hosts = stack.enter_context(shared_pacing(settings, InMemoryHostStore()))
        fetcher = HttpFetcher.of(settings, clock=clock, hosts=hosts, offload=offload)
        fetcher.reread_policies()
        try:
            yield SourceProbe(fetcher, clock=clock, patience=patience, max_bytes=settings.fetch.max_bytes)
        finally:
            await fetcher.aclose()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractPreview:
    """The preview of one page or text: its URL or file (`place`), the requests made, and the extraction."""

    place: str
    explanation: ExtractionExplanation
    steps: tuple[Step, ...] = ()


async def preview(settings: Settings, target: str, extractor: ProcessExtractor) -> AsyncGenerator[ExtractPreview, None]:
    """Yield one preview for a URL, or one for each article in a file or folder, or on a list of addresses.

    They come in the order of the input. While one is waited for, the next ones are extracted; addresses are fetched one
    by one. Raises UsageError if `target` is neither, SourceError if a file cannot be read.
    """
    is_web = is_web_address(target)
    path = local_path(target)
    if not is_web and not path.exists():
        raise UsageError(f"{target}: neither a web address nor a file or folder that exists")
    probe: SourceProbe | None = None
    ahead: deque[asyncio.Task[ExtractPreview]] = deque()
    most_ahead = _AHEAD_PER_PROCESS * extract_rules(settings).process_count()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_cancel, ahead)
        inputs = iter((target,)) if is_web else _inputs(settings, path)
        while (found := await read_in_thread(next, inputs, None)) is not None:
            if isinstance(found, str) and probe is None:
                probe = await stack.enter_async_context(open_probe(settings))
            ahead.append(asyncio.create_task(_preview_input(found, extractor, probe)))
            while ahead and (isinstance(found, str) or len(ahead) > most_ahead):
                yield await ahead.popleft()
        while ahead:
            yield await ahead.popleft()


async def _cancel(tasks: deque[asyncio.Task[ExtractPreview]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _preview_input(
    found: Candidate | ExtractPreview | str, extractor: ProcessExtractor, probe: SourceProbe | None
) -> ExtractPreview:
    """Return the preview of an input: of a content, of a problem that was found, or of a page that is fetched here."""
    if isinstance(found, Candidate):
        return ExtractPreview(place=found.reference, explanation=await _explain(found, extractor))
    if isinstance(found, ExtractPreview):
        return found
    assert probe is not None
    return await _preview_page(probe.fetcher, found, extractor)


async def _preview_page(fetcher: HttpFetcher, url: str, extractor: ProcessExtractor) -> ExtractPreview:
    """Fetch one page and explain its extraction; a fetch error is part of the preview."""
    fetched = await fetcher.explain(Request(url=url))
    if fetched.page is None:
        reason = fetched.error.reason if fetched.error else ""
        return ExtractPreview(
            place=url, steps=fetched.steps, explanation=ExtractionExplanation(reason=reason, message=str(fetched.error))
        )
    page = fetched.page
    candidate = Candidate(
        url=page.url, canonical_url=page_key(page.final_url), source=host_of(url), reference=url, payload=page
    )
    return ExtractPreview(place=url, steps=fetched.steps, explanation=await _explain(candidate, extractor))


def _inputs(settings: Settings, path: Path) -> Iterator[Candidate | ExtractPreview | str]:
    """Yield the candidates in files, the addresses on a list, and a preview for each part that cannot be read."""
    now, most = SystemClock().now(), settings.fetch.max_bytes
    for item in read_items(path, _source(path), now=now, max_bytes=most):
        if isinstance(item, InputProblem):
            yield ExtractPreview(place=item.where, explanation=ExtractionExplanation(message=item.why))
        else:
            yield item if item.payload else item.url


def _source(path: Path) -> Source:
    return Source(name="files", kind="files", url=str(path), timezone=DEFAULT_TIMEZONE)


async def _explain(candidate: Candidate, extractor: ProcessExtractor) -> ExtractionExplanation:
    """Extract a candidate whose content is known, and explain the result; errors are part of it."""
    assert candidate.payload is not None
    hints = hints_of(candidate, timezone=DEFAULT_TIMEZONE)
    try:
        return await extractor.explain(candidate.payload, hints, fetched_at=SystemClock().now())
    except ExtractError as exc:
        return ExtractionExplanation(reason=exc.reason, message=str(exc))
