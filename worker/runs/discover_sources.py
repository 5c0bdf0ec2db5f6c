"""Finds the sources of a site, for `sources add`: feeds, sitemaps and listing pages.

open the URL | collect suggestions | test-poll them in rounds | rank | sample articles of the picked ones | rank again

Everything is fetched politely as in a run, and nothing is stored.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import urljoin

from worker import urls
from worker.clock import SystemClock
from worker.config.edit import NewSource, name_for
from worker.config.schema import Settings
from worker.config.sources import DEFAULT_TIMEZONE
from worker.errors import ExtractError, FetchBlocked, FetchError, SourceError, UsageError
from worker.extract.ipc import extract_rules
from worker.extract.pool import ProcessExtractor
from worker.fetch.client import HttpFetcher
from worker.models import Candidate, Discovery, Page, Request, Source, SourceOptions
from worker.models.base import dataclass
from worker.pipeline.stages import hints_of
from worker.ports import Extractor
from worker.runs.preview import ProbeResult, SourceProbe, open_probe
from worker.sources import detect
from worker.sources.content import ContentKind, sniff_content
from worker.sources.entries import one_line
from worker.sources.web.homepage import Suggestion, declared_feeds, suggestions
from worker.sources.web.ranking import RankedSource, TrialPoll, rank_sources, summarise_poll

_MIN_KNOWN_SHARE: Final = 0.8
"""A source with more than this share of its entries in a configured source adds too little (chosen, not measured)."""
_MAX_LISTED_FEEDS: Final = 20
"""Feeds polled of a page that lists feeds: bounds the requests to the site (chosen, not measured)."""
_SAMPLE_SIZE: Final = 3
"""Articles fetched to estimate the quality of a source: enough to recognise a wrong source with few requests."""
_MAX_SUGGESTIONS: Final = 40
"""Suggestions test-polled of one home page; each costs at least one request to the site."""
_MAX_SECTIONS: Final = 10
"""Section pages test-polled if a site has neither feed nor sitemap."""
_MAX_SAMPLED: Final = 8
"""Sources sampled in all: ranking repeats after each sample, and this bounds the requests."""
_LONGEST_DETAIL: Final = 200  # characters of an error that are shown; an address in it may be long
ARTICLE: Final = "article"
SampleVerdict = tuple[str, str]
"""ARTICLE or the reason why a page has none, and the detail that decided."""

ReportStep = Callable[[str], None]
"""Called with a sentence about each step, for display."""


class TrialPolls:
    """Test-polls suggested sources, each once, and compares them with the configured ones.

    `polls` has the result for each URL, `candidates` the candidates of those that worked.
    """

    def __init__(self, probe: SourceProbe, *, report: ReportStep) -> None:
        self.polls: dict[str, TrialPoll] = {}
        self.candidates: dict[str, tuple[Candidate, ...]] = {}
        self._probe = probe
        self._report = report
        self._names_by_key: dict[str, str] = {}
        self._known_keys: dict[str, frozenset[str]] = {}
        self._tried_keys: set[str] = set()
        self._site = ""

    async def add_configured(self, configured: Sequence[Source], *, site: str) -> None:
        """Remember the URLs of configured sources, and poll those of the same site for comparison."""
        self._site = urls.site_of(site)
        web = [source for source in configured if source.url.startswith("http")]
        self._names_by_key = {url_key(source.url): source.name for source in web}
        near = [source for source in web if urls.same_site(source.url, site)]
        for source in near:
            self._report(f"polling the configured source {source.name}, to compare")
        for result in await asyncio.gather(*map(self._probe.probe, near)):
            self._known_keys[result.source.name] = frozenset(each.canonical_url for each in result.candidates)

    def works(self, kind: str) -> bool:
        """Return whether a source of this kind was found that has entries."""
        return any(each.kind == kind and each.keys for each in self.polls.values())

    async def poll_all(self, suggestions: Sequence[Suggestion]) -> None:
        """Test-poll suggestions concurrently, and also the feeds listed on a page served at the URL of a feed."""
        polled = await asyncio.gather(*(self._poll(each) for each in self._new(suggestions)))
        listed: list[Suggestion] = []
        for suggestion, result in polled:
            listed += _feeds_listed(result, suggestion)
            self._record(suggestion, result)
        if new := self._new(listed[:_MAX_LISTED_FEEDS]):
            for suggestion, result in await asyncio.gather(*map(self._poll, new)):
                self._record(suggestion, result)

    async def poll_until_one_works(self, suggestions: Sequence[Suggestion]) -> None:
        """Try guessed URLs one after another until one works; the others are not reported."""
        for suggestion in self._new(suggestions):
            _, result = await self._poll(suggestion)
            if not result.error and result.candidates:
                self._record(suggestion, result)
                return

    def _new(self, suggestions: Sequence[Suggestion]) -> list[Suggestion]:
        """Return the suggestions not tried before; configured sources are recorded as such and not polled."""
        new = []
        for each in suggestions:
            key = url_key(each.url)
            if key in self._tried_keys:
                continue
            self._tried_keys.add(key)
            if name := self._names_by_key.get(key):
                self.polls[each.url] = TrialPoll(kind=each.kind, url=each.url, error=f"is the source {name} already")
            else:
                new.append(each)
        return new

    async def _poll(self, suggestion: Suggestion) -> tuple[Suggestion, ProbeResult]:
        self._report(f"trying {suggestion.kind} {suggestion.url}")
        site = self._naming_site(suggestion)
        source = Source(
            name=urls.host_of(suggestion.url),
            kind=suggestion.kind,
            url=suggestion.url,
            timezone=DEFAULT_TIMEZONE,
            options=SourceOptions(sites=frozenset({site} if site else ())),
        )
        return suggestion, await self._probe.probe(source)

    def _naming_site(self, suggestion: Suggestion) -> str:
        """Return the site if it links to a source on another site (such as a feed service) as its own; else empty."""
        elsewhere = urls.site_of(suggestion.url) != self._site
        return self._site if elsewhere and suggestion.seen in {"page", "robots"} else ""

    def _record(self, suggestion: Suggestion, result: ProbeResult) -> None:
        """Save the result of a test poll under the URL that the site uses now."""
        url = (result.page.permanent_url if result.page else None) or suggestion.url
        if result.error:
            self.polls[url] = TrialPoll(kind=suggestion.kind, url=url, title=suggestion.title, error=result.error)
            return
        found = Discovery(candidates=result.candidates, title=result.title or suggestion.title)
        trial = summarise_poll(suggestion.kind, url, [found])
        self.polls[url] = replace(trial, error=self._owner_of(trial), site=self._naming_site(suggestion))
        self.candidates[url] = result.candidates

    def _owner_of(self, trial: TrialPoll) -> str:
        """Return a sentence naming the configured source with most of these entries; empty if there is none."""
        owners = (
            name
            for name, keys in self._known_keys.items()
            if len(trial.keys & keys) > _MIN_KNOWN_SHARE * len(trial.keys)
        )
        owner = next(owners, "") if trial.keys else ""
        return f"the source {owner} has it already" if owner else ""


def url_key(url: str) -> str:
    """Return the canonical form of a URL for comparison, or the URL itself if it is invalid."""
    try:
        return urls.canonicalise(url)
    except SourceError:
        return url


def _feeds_listed(result: ProbeResult, suggestion: Suggestion) -> tuple[Suggestion, ...]:
    """Return the feeds listed on an HTML page that was served at the URL of a feed."""
    page = result.page
    if (
        suggestion.kind != "feed"
        or not result.error
        or page is None
        or sniff_content(page.body) is not ContentKind.HTML
    ):
        return ()
    return declared_feeds(page)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleResult:
    """The quality of a sample of articles: the share (0..1) that would be stored, and `summary` in words.

    `error` is set if none would be stored.
    """

    share: float = 0.0
    summary: str = ""
    error: str = ""


class Sampler:
    """Fetches and extracts a few articles of a source; a page that several sources link to is fetched once."""

    def __init__(self, fetcher: HttpFetcher, extractor: Extractor, *, report: ReportStep) -> None:
        self._fetcher = fetcher
        self._extractor = extractor
        self._report = report
        self._seen: dict[str, SampleVerdict] = {}

    async def sample(self, candidates: Sequence[Candidate]) -> SampleResult:
        """Fetch and extract up to three candidates: the first, the middle and the last."""
        places = dict.fromkeys((0, len(candidates) // 2, len(candidates) - 1))
        chosen = [candidates[place] for place in places][:_SAMPLE_SIZE] if candidates else []
        return summarise([await self._verdict(each) for each in chosen])

    async def _verdict(self, candidate: Candidate) -> SampleVerdict:
        """Return `article`, or the reason why the page has none, with what decided it."""
        if candidate.canonical_url not in self._seen:
            self._report(f"sampling {candidate.url}")
            self._seen[candidate.canonical_url] = await self._extract(candidate)
        return self._seen[candidate.canonical_url]

    async def _extract(self, candidate: Candidate) -> SampleVerdict:
        hints = hints_of(candidate, timezone=DEFAULT_TIMEZONE)
        try:
            page = await self._fetcher.fetch(Request(url=candidate.url))
            await self._extractor.extract(page, hints, fetched_at=SystemClock().now())
        except (ExtractError, FetchBlocked, FetchError) as exc:
            return exc.reason, str(exc)
        return ARTICLE, ""


def summarise(verdicts: Sequence[SampleVerdict]) -> SampleResult:
    """Return the sample result for these verdicts; if none is an article, the reasons become its error."""
    counts = Counter(reason for reason, _ in verdicts)
    good = counts.pop(ARTICLE, 0)
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    summary = f"{good} of {len(verdicts)}" + (f" ({reasons})" if reasons else "")
    # Of pages with one reason but other details, those of the first are given.
    details = {reason: one_line(detail)[:_LONGEST_DETAIL] for reason, detail in reversed(verdicts) if detail}
    told = "; ".join(f"{count} {reason}{_in_brackets(details.get(reason))}" for reason, count in counts.most_common())
    error = "" if good or not verdicts else f"none of {len(verdicts)} articles would be stored: {told}"
    return SampleResult(share=good / len(verdicts) if verdicts else 0.0, summary=summary, error=error)


def _in_brackets(detail: str | None) -> str:
    return f" ({detail})" if detail else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestedSource:
    """A source that can be polled: its rank, and the summary of its sample (empty: not sampled)."""

    rated: RankedSource
    sample: str = ""


async def find_sources(settings: Settings, url: str, *, report: ReportStep) -> tuple[SuggestedSource, ...]:
    """Return the sources found for a URL, best first; `report` is called with each step.

    Raises FetchError or SourceError if the URL itself cannot be fetched or parsed.
    """
    extractor = ProcessExtractor(extract_rules(settings))
    configured = [source.source() for source in settings.sources]
    try:
        async with open_probe(settings) as probe:
            finder = _SourceFinder(probe, Sampler(probe.fetcher, extractor, report=report), report=report)
            return await finder.find(url, configured)
    finally:
        await extractor.aclose()


class _SourceFinder:
    """Finds the sources of one site."""

    def __init__(self, probe: SourceProbe, sampler: Sampler, *, report: ReportStep) -> None:
        self._fetcher = probe.fetcher
        self._sampler = sampler
        self._report = report
        self._polls = TrialPolls(probe, report=report)

    async def find(self, url: str, configured: Sequence[Source]) -> tuple[SuggestedSource, ...]:
        """Return the sources found for a URL: that of the URL itself if it is one, else those of its site."""
        url = urls.resolve(url)
        self._report(f"opening {url}")
        page = await self._fetcher.fetch(Request(url=url, accept="any"))
        kind = detect(page)
        if kind == "warc":
            raise SourceError(f"{url}: this is a WARC file; ingest it once with corpus-worker ingest")
        await self._polls.add_configured(configured, site=page.final_url)
        if kind in {"feed", "sitemap", "urls"}:
            found = Suggestion(kind=kind, url=page.permanent_url or page.url, seen="page")
            await self._polls.poll_all([found])
        else:
            await self._poll_suggestions(await self._fetch_homepage(page) if kind == "article" else page)
        return await self._rank_with_samples()

    async def _fetch_homepage(self, page: Page) -> Page:
        """Fetch the home page of the site of an article."""
        home = urljoin(page.final_url, "/")
        self._report(f"{page.final_url} is an article; looking at {home} instead")
        return await self._fetcher.fetch(Request(url=home, accept="any"))

    async def _poll_suggestions(self, home: Page) -> None:
        """Test-poll the sources that the site links to; without success, guess usual URLs, then try its sections."""
        found = suggestions(home, robots=await self._robots(home.final_url))
        await self._polls.poll_all([each for each in found if each.seen in {"page", "robots"}][:_MAX_SUGGESTIONS])
        for kind in ("feed", "sitemap"):
            if not self._polls.works(kind):
                guesses = [each for each in found if each.seen == "path" and each.kind == kind]
                await self._polls.poll_until_one_works(guesses)
        if not self._polls.works("feed") and not self._polls.works("sitemap"):
            await self._polls.poll_all([each for each in found if each.seen == "section"][:_MAX_SECTIONS])

    async def _robots(self, url: str) -> bytes:
        """Return the `Sitemap:` lines of a site's robots.txt; empty if it cannot be fetched."""
        try:
            robots = await self._fetcher.robots(url)
        except FetchError:
            return b""
        return "".join(f"Sitemap: {sitemap}\n" for sitemap in robots.sitemaps).encode()

    async def _rank_with_samples(self) -> tuple[SuggestedSource, ...]:
        """Rank, sample the best unsampled pick, and rank again until every pick is sampled.

        Where nothing is picked, those that only the form of their addresses speaks against are sampled too: articles
        under other addresses are articles.
        """
        polls, samples, now = dict(self._polls.polls), dict[str, str](), SystemClock().now()
        while True:
            rated = rank_sources([*polls.values()], now=now)
            chosen = [each.poll for each in rated if each.picked] or [each.poll for each in rated if each.doubtful]
            unseen = [poll for poll in chosen if poll.url not in samples]
            if not unseen or len(samples) >= _MAX_SAMPLED:
                return tuple(SuggestedSource(rated=each, sample=samples.get(each.poll.url, "")) for each in rated)
            trial = unseen[0]
            sample = await self._sampler.sample(self._polls.candidates[trial.url])
            samples[trial.url] = sample.summary
            seen = f"{trial.seen}; of the pages sampled, {sample.summary} are articles"
            polls[trial.url] = replace(trial, share=sample.share, seen=seen, error=sample.error)


def web_address(url: str) -> str:
    """Return a complete web address, with `https://` where the scheme is missing; raises UsageError."""
    whole = url if "://" in url else f"https://{url}"
    if not re.fullmatch(r"https?://[^/\s]\S*", whole):
        raise UsageError(f"{url}: not a web address; write https://… or the name of the site")
    return whole


def name_sources(picked: Sequence[TrialPoll], name: str | None, settings: Settings) -> list[NewSource]:
    """Return the picked test polls as new sources with unused names.

    With `name` they are called `name`, `name-2`, …; without it, names are derived from the addresses.
    """
    taken = {source.name for source in settings.sources}
    new: list[NewSource] = []
    for trial in picked:
        wish = name if name and not new else f"{name}-{len(new) + 1}" if name else name_for(trial.url, taken)
        extra_keys = {"sites": [trial.site]} if trial.site else {}
        new.append(NewSource(name=wish, kind=trial.kind, url=trial.url, extra_keys=extra_keys))
        taken.add(wish)
    return new
