"""Puts the counting around what is counted: every fetch, and whoever else watches a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.errors import FetchError
from worker.models import Claim, Outcome, Page, Request, Source
from worker.pipeline import Observer
from worker.ports import Clock, Fetcher, Meter


@dataclass(frozen=True, slots=True, kw_only=True)
class MeteredFetcher:
    """Fetches, and tells how long each fetch took and why it failed."""

    inner: Fetcher
    meter: Meter
    clock: Clock

    async def fetch(self, request: Request) -> Page:
        """Return the page; see `Fetcher.fetch`."""
        started = self.clock.monotonic()
        try:
            return await self.inner.fetch(request)
        except FetchError as exc:
            self.meter.fetch_failed(exc.reason)
            raise
        finally:
            self.meter.took("fetch", seconds=self.clock.monotonic() - started)

    async def sitemaps(self, url: str) -> Sequence[str]:
        """Return the sitemaps that the robots.txt of a URL's site names; these fetches are not counted."""
        return await self.inner.sitemaps(url)

    async def aclose(self) -> None:
        """Close what is open."""
        await self.inner.aclose()


@dataclass(frozen=True, slots=True)
class Observers:
    """Tells several observers what happens."""

    every: tuple[Observer, ...]

    def discovered(self, source: Source, *, new: int) -> None:
        """Note that candidates were added."""
        for each in self.every:
            each.discovered(source, new=new)

    def settled(self, claim: Claim, outcome: Outcome) -> None:
        """Note that the work on one candidate ended."""
        for each in self.every:
            each.settled(claim, outcome)
