"""One run of `ingest`: imports seeds, polls sources and ingests their articles until nothing is due.

Polling and ingesting run concurrently. Targets on the command line (URLs, files, folders) are polled like sources, as
one batch, and only candidates of this batch are ingested then.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from worker.config.sources import DEFAULT_TIMEZONE
from worker.errors import UsageError
from worker.models import Source, State
from worker.models.base import dataclass
from worker.ports import Scope
from worker.urls import host_of, is_web_address

if TYPE_CHECKING:
    from worker.app import App
    from worker.pipeline.poll_result import SourceReport
    from worker.pipeline.stages import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """The options of one run: targets, or configured sources by name, or (both empty) every enabled source.

    The target `-` is the file `standard_input`. `limit` bounds the candidates ingested. `read_as` is the kind of source
    that URLs among the targets are parsed as; if empty, the kind is detected.
    """

    targets: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    limit: int | None = None
    with_seeds: bool = True
    read_as: str = ""
    standard_input: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """The result of a run; `pending` counts the candidates in its scope that are not finished.

    `of_targets` is true if targets replaced the configured sources.
    """

    tally: Tally
    pending: int
    elapsed: timedelta
    of_targets: bool = False
    sources: Mapping[str, SourceReport] = field(default_factory=dict)

    @property
    def refused(self) -> int:
        """How many lines, records and files of the operator's input could not be used."""
        return sum(report.refused for report in self.sources.values())

    @property
    def succeeded(self) -> bool:
        """Whether a source could be polled, or there was none to poll, and no part of a target was refused."""
        polled = not self.sources or any(not report.error for report in self.sources.values())
        return polled and not (self.of_targets and self.refused)

    def as_record(self) -> dict[str, object]:
        """Return the counts as `ingest --json` prints them."""
        states = (state for state in State if state is not State.PENDING)
        return {
            "discovered": self.tally.discovered,
            **{state.value: self.tally.outcomes[state] for state in states},
            "pending": self.pending,
            **({"refused": self.refused} if self.refused else {}),
            "seconds": round(self.elapsed.total_seconds(), 3),
            "sources": {
                name: {
                    "ok": not report.error,
                    "error": report.error,
                    "found": report.found,
                    "other_sites": report.offsite,
                    **({"refused": report.refused} if report.refused else {}),
                    **({"taken_for": report.taken_for} if report.taken_for else {}),
                }
                for name, report in self.sources.items()
            },
        }


class IngestRun:
    """One run; `report` also works after a cancellation. Raises UsageError for unknown sources and targets."""

    def __init__(self, app: App, options: IngestOptions) -> None:
        self._app = app
        self._options = options
        self._started = app.clock.monotonic()
        self._reports: dict[str, SourceReport] = {}
        self._batch = uuid.uuid4().hex if options.targets else ""
        self._sources = _selected_sources(app, options)

    async def run(self) -> None:
        """Import seeds, then poll and ingest until nothing is due; if cancelled, release the claims.

        Meanwhile articles of an older store are indexed for full-text search; the next run continues with the rest.
        Raises ConfigurationError before anything else if the user agent is the shipped default and a source is not on
        loopback.
        """
        from worker.fetch.http.network_backend import require_named_agent

        await require_named_agent(self._app.settings.fetch, [source.url for source in self._sources.values()])
        preparing = asyncio.create_task(self._app.prepare()) if self._sources else None
        try:
            await self._run()
        finally:
            if preparing is not None:
                preparing.cancel()
                await asyncio.gather(preparing, return_exceptions=True)

    async def _run(self) -> None:
        await self._app.hold_paused(but=self._options.sources)
        if self._options.with_seeds:
            await self._app.import_seeds()
        polls = asyncio.create_task(self._poll_all())
        indexing = asyncio.create_task(self._app.index_texts())
        try:
            await self._app.ingester.drain(scope=self._scope(), limit=self._options.limit, feed=polls)
        finally:
            polls.cancel()
            indexing.cancel()
            results = await asyncio.gather(polls, indexing, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def report(self) -> IngestReport:
        """Return the result so far."""
        pending, _ = await self._app.offload(self._app.ledger.pending, now=self._app.clock.now(), scope=self._scope())
        elapsed = timedelta(seconds=self._app.clock.monotonic() - self._started)
        return IngestReport(
            tally=self._app.tally,
            pending=pending,
            elapsed=elapsed,
            of_targets=bool(self._options.targets),
            sources=self._reports,
        )

    def _scope(self) -> Scope:
        """Return the candidates that this run ingests: those of its targets, its sources, or all."""
        return Scope(sources=frozenset(self._options.sources), batch=self._batch)

    async def _poll_all(self) -> None:
        """Poll all sources concurrently, at most `[fetch] max_connections` at a time."""
        slots = asyncio.Semaphore(self._app.settings.fetch.max_connections)
        await asyncio.gather(*(self._poll(name, source, slots) for name, source in self._sources.items()))

    async def _poll(self, name: str, source: Source, slots: asyncio.Semaphore) -> None:
        """Poll one source; a target is only read, since it has no stored state."""
        async with slots:
            discoverer = self._app.discoverer
            read = discoverer.read(source, batch=self._batch) if self._batch else discoverer.poll(source)
            self._reports[name] = await read


def _selected_sources(app: App, options: IngestOptions) -> dict[str, Source]:
    """Return the sources to poll, by the name used in the report."""
    if options.targets:
        given = {each: _target_source(each, options.read_as) for each in options.targets if each != "-"}
        return given | (_standard_input(options.standard_input) if "-" in options.targets else {})
    configured = {source.name: source for source in app.sources}
    if unknown := [name for name in options.sources if name not in configured]:
        known = ", ".join(sorted(configured)) or "none"
        raise UsageError(f"no source is called {', '.join(unknown)}; the configuration has {known}")
    if options.sources:
        return {name: configured[name] for name in options.sources}
    return {name: source for name, source in configured.items() if source.enabled}


def _standard_input(path: str) -> dict[str, Source]:
    """Return the source for the file that standard input was saved to: a text in it is a list of addresses."""
    kind = "urls" if path.endswith(".txt") else "files"
    return {"-": Source(name="files", kind=kind, url=path, timezone=DEFAULT_TIMEZONE)}


def _target_source(target: str, read_as: str) -> Source:
    """Return a source for a target; raises UsageError if it is neither a web address nor an existing path."""
    if is_web_address(target):
        return Source(name=host_of(target), kind=read_as or "auto", url=target, timezone=DEFAULT_TIMEZONE)
    if read_as:
        raise UsageError(f"{target}: --as applies to web addresses only; the kind of a file follows from its name")
    if target.startswith("file:") or Path(target).exists():
        return Source(name="files", kind="files", url=target, timezone=DEFAULT_TIMEZONE)
    raise UsageError(f"{target}: neither a web address nor a file or folder that exists")
