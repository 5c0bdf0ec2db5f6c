"""Test-polls suggestions, each once, beside what is configured already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from worker import urls
from worker.errors import SourceError
from worker.models import Candidate, Discovery, Source, SourceOptions
from worker.settings import DEFAULT_TIMEZONE
from worker.sounding import Sounder, Sounding
from worker.sources.home import Suggestion, feeds_declared
from worker.sources.ranking import Trial, trial_of
from worker.sources.shapes import Shape, shape_of

_HAS_IT_ALREADY: Final = 0.8
_MOST_OF_A_LIST: Final = 20


class Trials:
    """The test-polls of one survey: `done` by address, `candidates` of each by the same."""

    def __init__(self, sounder: Sounder, *, tell: Callable[[str], None]) -> None:
        self.done: dict[str, Trial] = {}
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
        self._addresses = {key_of(source.url): source.name for source in web}
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
        if new := self._new(listed[:_MOST_OF_A_LIST]):
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
            key = key_of(each.url)
            if key in self._tried:
                continue
            self._tried.add(key)
            if name := self._addresses.get(key):
                self.done[each.url] = Trial(kind=each.kind, url=each.url, error=f"is the source {name} already")
            else:
                new.append(each)
        return new

    async def _sound(self, suggestion: Suggestion) -> tuple[Suggestion, Sounding]:
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

    def _note(self, suggestion: Suggestion, sounding: Sounding) -> None:
        url = (sounding.page.permanent_url if sounding.page else None) or suggestion.url
        if sounding.error:
            self.done[url] = Trial(kind=suggestion.kind, url=url, title=suggestion.title, error=sounding.error)
            return
        found = Discovery(candidates=sounding.candidates, title=sounding.title or suggestion.title)
        trial = trial_of(suggestion.kind, url, [found])
        self.done[url] = replace(trial, error=self._owner_of(trial), site=self._named_by(suggestion))
        self.candidates[url] = sounding.candidates

    def _owner_of(self, trial: Trial) -> str:
        """Say which configured source gives most of what a trial gave; empty where none does."""
        owners = (
            name for name, keys in self._known.items() if len(trial.keys & keys) > _HAS_IT_ALREADY * len(trial.keys)
        )
        owner = next(owners, "") if trial.keys else ""
        return f"the source {owner} has it already" if owner else ""


def key_of(url: str) -> str:
    """Return the key of an address, or the address itself where it is none that has a key."""
    try:
        return urls.canonicalise(url)
    except SourceError:
        return url


def _feeds_listed(sounding: Sounding, suggestion: Suggestion) -> tuple[Suggestion, ...]:
    page = sounding.page
    if suggestion.kind != "feed" or not sounding.error or page is None or shape_of(page.body) is not Shape.HTML:
        return ()
    return feeds_declared(page)
