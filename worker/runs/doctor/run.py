"""Runs every doctor check once and yields each finding as it is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from worker.clock import SystemClock
from worker.config.schema import Settings
from worker.models import Source
from worker.models.base import dataclass
from worker.runs.doctor.findings import Finding, make_finding
from worker.runs.doctor.local import check_configuration, check_machine, check_seeds, check_store
from worker.runs.doctor.network import check_clock, check_hosts, check_source, check_tls
from worker.runs.notify import deliver, named_addresses, send_with_apprise, unusable_addresses
from worker.runs.preview import ProbeResult, open_probe


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSource:
    """One test poll of a source, the finding on it, and the share (0..1) of its entries that other sources have too."""

    result: ProbeResult
    finding: Finding
    overlap: float


async def run_checks(settings: Settings, *, config: Path | None) -> AsyncIterator[Finding]:
    """Yield the findings of all checks; sources are polled concurrently, and nothing is stored.

    `config` is the file that the settings come from, None if they are the defaults.
    Without readable certificate authorities no source is polled, nor where no fetcher can be made: every request would
    fail for that reason.
    """
    for finding in check_machine(settings, now=SystemClock().now()):
        yield finding
    found = str(config) if config else "there is none, so the defaults count"
    yield make_finding("configuration", "file", found, warn=not config, remedy="write one: corpus-worker init")
    usable = True
    for finding in check_configuration(settings):
        usable &= finding.name != "fetching"
        yield finding
    for finding in await asyncio.to_thread(lambda: list(check_store(settings))):
        yield finding
    yield await asyncio.to_thread(check_seeds, settings)
    for remark in await asyncio.to_thread(lambda: list(unusable_addresses(settings))):
        remedy = "until then nothing is sent; try it: corpus-worker doctor --notify"
        yield make_finding("notify", "addresses", remark, fail=True, remedy=remedy)
    tls = check_tls(settings.fetch.ca_file)
    yield tls
    if usable and not tls.failed:
        async for finding in _check_sources(settings):
            yield finding


async def try_notifications(settings: Settings) -> AsyncIterator[Finding]:
    """Send a trial message to each address of `[notify]`, and yield whether it was accepted."""
    if not settings.notify.urls:
        remedy = "set [notify] urls, or CORPUS_WORKER_NOTIFY__URLS in the environment"
        yield make_finding("notify", "addresses", "none is set", fail=True, remedy=remedy)
    for place, url in named_addresses(each.get_secret_value() for each in settings.notify.urls):
        why = await deliver(send_with_apprise, url, "Corpus Worker", "This is a trial message.")
        remedy = "correct the address"
        yield make_finding("notify", place, why or "accepted a trial message", fail=bool(why), remedy=remedy)


async def _check_sources(settings: Settings) -> AsyncIterator[Finding]:
    """Poll the enabled sources; yield what this shows about the network, the clock and each source."""
    sources = [source.source() for source in settings.sources if source.enabled]
    if not sources:
        return
    checked = await check_sources(settings, sources)
    results = [each.result for each in checked]
    yield check_hosts(results)
    if (time := check_clock(results)) is not None:
        yield time
    for each in checked:
        yield each.finding


async def check_sources(settings: Settings, sources: Sequence[Source]) -> list[CheckedSource]:
    """Test-poll sources concurrently, and check each result; raises ConfigurationError."""
    async with open_probe(settings) as probe:
        results = await asyncio.gather(*(probe.probe(source) for source in sources))
    now, keys = SystemClock().now(), [frozenset(c.canonical_url for c in each.candidates) for each in results]
    return [
        CheckedSource(
            result=each,
            finding=check_source(each, now=now),
            overlap=_overlap(own, [other for other in keys if other is not own]),
        )
        for each, own in zip(results, keys, strict=True)
    ]


def _overlap(own: frozenset[str], others: Sequence[frozenset[str]]) -> float:
    """Return the share (0..1) of a source's articles that any other source has as well."""
    return len(own & frozenset().union(*others)) / len(own) if own else 0.0
