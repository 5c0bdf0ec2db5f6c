"""Goes the rounds: every check once, each told as soon as it is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from worker.checkup.belongings import check_configuration, check_seeds, check_store
from worker.checkup.finding import Finding
from worker.checkup.machine import check_machine
from worker.checkup.network import check_reach, check_source, check_time, check_trust
from worker.clock import SystemClock
from worker.settings import Settings
from worker.sounding import sounding


async def check_up(settings: Settings) -> AsyncIterator[Finding]:
    """Yield what every check finds; nothing is stored, and sources are polled side by side."""
    for finding in check_machine(settings, now=SystemClock().now()):
        yield finding
    for finding in check_configuration(settings):
        yield finding
    for finding in await asyncio.to_thread(lambda: list(check_store(settings))):
        yield finding
    yield await asyncio.to_thread(check_seeds, settings)
    trust = check_trust(settings.fetch.ca_file)
    yield trust
    if not trust.failed:
        async for finding in _check_sources(settings):
            yield finding


async def _check_sources(settings: Settings) -> AsyncIterator[Finding]:
    sources = [source.source() for source in settings.sources if source.enabled]
    if not sources:
        return
    async with sounding(settings) as sounder:
        soundings = await asyncio.gather(*(sounder.sound(source) for source in sources))
    yield check_reach(soundings)
    if (time := check_time(soundings)) is not None:
        yield time
    for each in soundings:
        yield check_source(each, now=SystemClock().now())
