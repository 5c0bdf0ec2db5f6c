"""From one address to everything of its site that can be polled: test-polled, sampled and rated.

survey:  open the address | suggest | test-poll in rounds | rate | sample what would be picked | rate again
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urljoin

from worker import urls
from worker.clock import SystemClock
from worker.errors import FetchError, SourceError
from worker.extract import ProcessExtractor, extract_rules
from worker.models import Page, Request, Source
from worker.prospect.sampling import Sampler
from worker.prospect.trials import Trials
from worker.settings import Settings
from worker.sounding import Sounder, sounding
from worker.sources import detect
from worker.sources.home import Suggestion, suggestions
from worker.sources.ranking import Rated, rate

Tell = Callable[[str], None]
_MOST_SAID: Final = 40
_MOST_SECTIONS: Final = 10
_MOST_SAMPLED: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Something that can be polled, rated, with what a small sample of its articles came to."""

    rated: Rated
    sample: str = ""


async def survey(settings: Settings, url: str, *, tell: Tell) -> tuple[Proposal, ...]:
    """Return what of a site can be polled, best first; `tell` hears of each step.

    Raises FetchError and SourceError where the address itself cannot be used.
    """
    extractor = ProcessExtractor(extract_rules(settings))
    configured = [source.source() for source in settings.sources]
    try:
        async with sounding(settings) as sounder:
            surveyor = _Surveyor(sounder, Sampler(sounder.fetcher, extractor, tell=tell), tell=tell)
            return await surveyor.survey(url, configured)
    finally:
        await extractor.aclose()


class _Surveyor:
    """Looks at one site."""

    def __init__(self, sounder: Sounder, sampler: Sampler, *, tell: Tell) -> None:
        self._fetcher = sounder.fetcher
        self._sampler = sampler
        self._tell = tell
        self._trials = Trials(sounder, tell=tell)

    async def survey(self, url: str, configured: Sequence[Source]) -> tuple[Proposal, ...]:
        url = urls.resolve(url)
        self._tell(f"opening {url}")
        page = await self._fetcher.fetch(Request(url=url, accept="any"))
        kind = detect(page)
        if kind == "warc":
            raise SourceError(f"{url}: this is a WARC file; take it in once with corpus-worker ingest")
        await self._trials.learn(configured, site=page.final_url)
        if kind in {"feed", "sitemap", "urls"}:
            found = Suggestion(kind=kind, url=page.permanent_url or page.url, seen="page")
            await self._trials.make([found])
        else:
            await self._look_around(await self._home_of(page) if kind == "article" else page)
        return await self._rated()

    async def _home_of(self, page: Page) -> Page:
        home = urljoin(page.final_url, "/")
        self._tell(f"{page.final_url} is an article; looking at {home} instead")
        return await self._fetcher.fetch(Request(url=home, accept="any"))

    async def _look_around(self, home: Page) -> None:
        """Test-poll what the site itself names; guess usual places, and take its sections, only where that fails."""
        found = suggestions(home, robots=await self._robots(home.final_url))
        await self._trials.make([each for each in found if each.seen in {"page", "robots"}][:_MOST_SAID])
        for kind in ("feed", "sitemap"):
            if not self._trials.works(kind):
                guesses = [each for each in found if each.seen == "path" and each.kind == kind]
                await self._trials.guess(guesses)
        if not self._trials.works("feed") and not self._trials.works("sitemap"):
            await self._trials.make([each for each in found if each.seen == "section"][:_MOST_SECTIONS])

    async def _robots(self, url: str) -> bytes:
        """Return the sitemaps that a site's robots.txt names, as lines of it."""
        try:
            robots = await self._fetcher.robots(url)
        except FetchError:
            return b""
        return "".join(f"Sitemap: {sitemap}\n" for sitemap in robots.sitemaps).encode()

    async def _rated(self) -> tuple[Proposal, ...]:
        """Rate, sample what would be picked, and rate again until every pick has been sampled."""
        trials, samples, now = dict(self._trials.done), dict[str, str](), SystemClock().now()
        while True:
            rated = rate([*trials.values()], now=now)
            unseen = [each.poll for each in rated if each.picked and each.poll.url not in samples]
            if not unseen or len(samples) >= _MOST_SAMPLED:
                return tuple(Proposal(rated=each, sample=samples.get(each.poll.url, "")) for each in rated)
            trial = unseen[0]
            sample = await self._sampler.sample(self._trials.candidates[trial.url])
            samples[trial.url] = sample.told
            trials[trial.url] = replace(trial, share=sample.share, error=sample.error)
