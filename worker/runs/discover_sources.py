"""From one address to everything of its site that can be polled: test-polled, sampled and rated.

survey:  open the address | suggest | test-poll in rounds | rate | sample what would be picked | rate again
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urljoin

from worker import urls
from worker.clock import SystemClock
from worker.config.schema import DEFAULT_TIMEZONE, Settings
from worker.errors import ExtractError, FetchBlocked, FetchError, SourceError
from worker.extract import ProcessExtractor, extract_rules
from worker.fetch.client import HttpFetcher
from worker.models import Candidate, Discovery, Page, Request, Source, SourceOptions
from worker.ports import Extractor, Hints
from worker.runs.preview import ProbeResult, SourceProbe, open_probe
from worker.sources import detect
from worker.sources.content import ContentKind, sniff_content
from worker.sources.web.homepage import Suggestion, declared_feeds, suggestions
from worker.sources.web.ranking import RankedSource, TrialPoll, rank_sources, summarise_poll

# Test-polls suggestions, each once, beside what is configured already.


_MIN_KNOWN_SHARE: Final = 0.8
_MAX_LISTED_FEEDS: Final = 20


class TestPolls:
    """The test-polls of one survey: `done` by address, `candidates` of each by the same."""

    def __init__(self, sounder: SourceProbe, *, tell: Callable[[str], None]) -> None:
        self.done: dict[str, TrialPoll] = {}
        self.candidates: dict[str, tuple[Candidate, ...]] = {}
        self._sounder = sounder
        self._tell = tell
        self._addresses: dict[str, str] = {}
        self._known: dict[str, frozenset[str]] = {}
        self._tried: set[str] = set()
        self._site = ""

    async def learn(self, configured: Sequence[Source], *, site: str) -> None:
        """Note the addresses of configured sources, and what those of the same site give."""
        self._site = urls.site_of(site)
        web = [source for source in configured if source.url.startswith("http")]
        self._addresses = {url_key(source.url): source.name for source in web}
        near = [source for source in web if urls.same_site(source.url, site)]
        for source in near:
            self._tell(f"polling the source {source.name}, to see what it has already")
        for told in await asyncio.gather(*map(self._sounder.sound, near)):
            self._known[told.source.name] = frozenset(each.canonical_url for each in told.candidates)

    def works(self, kind: str) -> bool:
        """Tell whether something of this kind was found that gives entries."""
        return any(each.kind == kind and each.keys for each in self.done.values())

    async def make(self, suggestions: Sequence[Suggestion]) -> None:
        """Test-poll suggestions side by side; where a feed's address gives a page that lists feeds, these too."""
        told = await asyncio.gather(*(self._sound(each) for each in self._new(suggestions)))
        listed: list[Suggestion] = []
        for suggestion, sounding in told:
            listed += _feeds_listed(sounding, suggestion)
            self._note(suggestion, sounding)
        if new := self._new(listed[:_MAX_LISTED_FEEDS]):
            for suggestion, sounding in await asyncio.gather(*map(self._sound, new)):
                self._note(suggestion, sounding)

    async def guess(self, suggestions: Sequence[Suggestion]) -> None:
        """Try usual places one after another until one of them works; what does not is not worth a word."""
        for suggestion in self._new(suggestions):
            _, sounding = await self._sound(suggestion)
            if not sounding.error and sounding.candidates:
                self._note(suggestion, sounding)
                return

    def _new(self, suggestions: Sequence[Suggestion]) -> list[Suggestion]:
        """Return the suggestions not tried before; what is configured is noted, not polled."""
        new = []
        for each in suggestions:
            key = url_key(each.url)
            if key in self._tried:
                continue
            self._tried.add(key)
            if name := self._addresses.get(key):
                self.done[each.url] = TrialPoll(kind=each.kind, url=each.url, error=f"is the source {name} already")
            else:
                new.append(each)
        return new

    async def _sound(self, suggestion: Suggestion) -> tuple[Suggestion, ProbeResult]:
        self._tell(f"trying {suggestion.kind} {suggestion.url}")
        site = self._named_by(suggestion)
        source = Source(
            name=urls.host_of(suggestion.url),
            kind=suggestion.kind,
            url=suggestion.url,
            timezone=DEFAULT_TIMEZONE,
            options=SourceOptions(sites=frozenset({site} if site else ())),
        )
        return suggestion, await self._sounder.sound(source)

    def _named_by(self, suggestion: Suggestion) -> str:
        """Return the site that names what lies on another one as its own; empty where it lies on the site itself."""
        elsewhere = urls.site_of(suggestion.url) != self._site
        return self._site if elsewhere and suggestion.seen in {"page", "robots"} else ""

    def _note(self, suggestion: Suggestion, sounding: ProbeResult) -> None:
        url = (sounding.page.permanent_url if sounding.page else None) or suggestion.url
        if sounding.error:
            self.done[url] = TrialPoll(kind=suggestion.kind, url=url, title=suggestion.title, error=sounding.error)
            return
        found = Discovery(candidates=sounding.candidates, title=sounding.title or suggestion.title)
        trial = summarise_poll(suggestion.kind, url, [found])
        self.done[url] = replace(trial, error=self._owner_of(trial), site=self._named_by(suggestion))
        self.candidates[url] = sounding.candidates

    def _owner_of(self, trial: TrialPoll) -> str:
        """Say which configured source gives most of what a trial gave; empty where none does."""
        owners = (
            name for name, keys in self._known.items() if len(trial.keys & keys) > _MIN_KNOWN_SHARE * len(trial.keys)
        )
        owner = next(owners, "") if trial.keys else ""
        return f"the source {owner} has it already" if owner else ""


def url_key(url: str) -> str:
    """Return the key of an address, or the address itself where it is none that has a key."""
    try:
        return urls.canonicalise(url)
    except SourceError:
        return url


def _feeds_listed(sounding: ProbeResult, suggestion: Suggestion) -> tuple[Suggestion, ...]:
    page = sounding.page
    if (
        suggestion.kind != "feed"
        or not sounding.error
        or page is None
        or sniff_content(page.body) is not ContentKind.HTML
    ):
        return ()
    return declared_feeds(page)


# Looks at a few articles of a source as a run would: fetched, extracted, and never stored.


_SAMPLE_SIZE: Final = 3
ARTICLE: Final = "article"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleResult:
    """What a few articles of a source came to: the share that would be stored, in 0..1, and that in words."""

    share: float = 0.0
    told: str = ""
    error: str = ""


class Sampler:
    """Takes samples; a page that several sources name is fetched once."""

    def __init__(self, fetcher: HttpFetcher, extractor: Extractor, *, tell: Callable[[str], None]) -> None:
        self._fetcher = fetcher
        self._extractor = extractor
        self._tell = tell
        self._seen: dict[str, str] = {}

    async def sample(self, candidates: Sequence[Candidate]) -> SampleResult:
        """Fetch and extract up to three articles from the beginning, the middle and the end."""
        places = dict.fromkeys((0, len(candidates) // 2, len(candidates) - 1))
        chosen = [candidates[place] for place in places][:_SAMPLE_SIZE] if candidates else []
        return summarise([await self._look(each) for each in chosen])

    async def _look(self, candidate: Candidate) -> str:
        """Return `article`, or the reason why a page is none."""
        if candidate.canonical_url not in self._seen:
            self._tell(f"sampling {candidate.url}")
            self._seen[candidate.canonical_url] = await self._judge(candidate)
        return self._seen[candidate.canonical_url]

    async def _judge(self, candidate: Candidate) -> str:
        hints = Hints(
            url=candidate.url,
            canonical_url=candidate.canonical_url,
            source=candidate.source,
            title=candidate.title,
            published_at=candidate.published_at,
            timezone=DEFAULT_TIMEZONE,
        )
        try:
            page = await self._fetcher.fetch(Request(url=candidate.url))
            await self._extractor.extract(page, hints, fetched_at=SystemClock().now())
        except (ExtractError, FetchBlocked, FetchError) as exc:
            return exc.reason
        return ARTICLE


def summarise(verdicts: Sequence[str]) -> SampleResult:
    """Return what verdicts come to; where none is an article, the reasons are the error."""
    counts = Counter(verdicts)
    good = counts.pop(ARTICLE, 0)
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    told = f"{good} of {len(verdicts)}" + (f" ({reasons})" if reasons else "")
    error = "" if good or not verdicts else f"none of {len(verdicts)} articles would be stored: {reasons}"
    return SampleResult(share=good / len(verdicts) if verdicts else 0.0, told=told, error=error)


Tell = Callable[[str], None]
_MAX_SUGGESTIONS: Final = 40
_MAX_SECTIONS: Final = 10
_MAX_SAMPLED: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestedSource:
    """Something that can be polled, rated, with what a small sample of its articles came to."""

    rated: RankedSource
    sample: str = ""


async def find_sources(settings: Settings, url: str, *, tell: Tell) -> tuple[SuggestedSource, ...]:
    """Return what of a site can be polled, best first; `tell` hears of each step.

    Raises FetchError and SourceError where the address itself cannot be used.
    """
    extractor = ProcessExtractor(extract_rules(settings))
    configured = [source.source() for source in settings.sources]
    try:
        async with open_probe(settings) as sounder:
            surveyor = _SourceFinder(sounder, Sampler(sounder.fetcher, extractor, tell=tell), tell=tell)
            return await surveyor.survey(url, configured)
    finally:
        await extractor.aclose()


class _SourceFinder:
    """Looks at one site."""

    def __init__(self, sounder: SourceProbe, sampler: Sampler, *, tell: Tell) -> None:
        self._fetcher = sounder.fetcher
        self._sampler = sampler
        self._tell = tell
        self._trials = TestPolls(sounder, tell=tell)

    async def survey(self, url: str, configured: Sequence[Source]) -> tuple[SuggestedSource, ...]:
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
        await self._trials.make([each for each in found if each.seen in {"page", "robots"}][:_MAX_SUGGESTIONS])
        for kind in ("feed", "sitemap"):
            if not self._trials.works(kind):
                guesses = [each for each in found if each.seen == "path" and each.kind == kind]
                await self._trials.guess(guesses)
        if not self._trials.works("feed") and not self._trials.works("sitemap"):
            await self._trials.make([each for each in found if each.seen == "section"][:_MAX_SECTIONS])

    async def _robots(self, url: str) -> bytes:
        """Return the sitemaps that a site's robots.txt names, as lines of it."""
        try:
            robots = await self._fetcher.robots(url)
        except FetchError:
            return b""
        return "".join(f"Sitemap: {sitemap}\n" for sitemap in robots.sitemaps).encode()

    async def _rated(self) -> tuple[SuggestedSource, ...]:
        """Rate, sample what would be picked, and rate again until every pick has been sampled."""
        trials, samples, now = dict(self._trials.done), dict[str, str](), SystemClock().now()
        while True:
            rated = rank_sources([*trials.values()], now=now)
            unseen = [each.poll for each in rated if each.picked and each.poll.url not in samples]
            if not unseen or len(samples) >= _MAX_SAMPLED:
                return tuple(SuggestedSource(rated=each, sample=samples.get(each.poll.url, "")) for each in rated)
            trial = unseen[0]
            sample = await self._sampler.sample(self._trials.candidates[trial.url])
            samples[trial.url] = sample.told
            trials[trial.url] = replace(trial, share=sample.share, error=sample.error)
