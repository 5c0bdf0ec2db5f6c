"""Whose sitemap it is that lies on another domain: a site's own robots.txt says so (sitemaps.org, cross submits)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from worker.errors import FetchError
from worker.models import Discovery, Page, Source
from worker.ports import Fetcher
from worker.urls import canonicalise, site_of

_MOST_ASKED: Final = 5


class Voucher:
    """Follows one source: what a site's robots.txt names as its sitemap speaks for that site, and nothing else of it.

    `source` counts as its own the sites whose robots.txt names the source itself.
    """

    def __init__(self, source: Source, fetcher: Fetcher) -> None:
        self.source = source
        self._fetcher = fetcher
        self._named: dict[str, frozenset[str]] = {}

    async def vouched(self, page: Page, discovery: Discovery) -> Source | None:
        """Ask the sites that a sitemap's entries lead to; return what to read it again as, where one vouches for it."""
        if self.source.kind != "sitemap":
            return None
        named = {url: await self._names(url) for url in discovery.elsewhere}
        read_as = self.source
        self.source = _with_sites(self.source, [url for url in named if canonicalise(self.source.url) in named[url]])
        of_page = _with_sites(self.source, [url for url in named if canonicalise(page.url) in named[url]])
        return of_page if of_page != read_as else None

    async def _names(self, url: str) -> frozenset[str]:
        """Return the sitemaps that the robots.txt of a URL's site names; only a few sites are asked."""
        if url not in self._named and len(self._named) < _MOST_ASKED:
            try:
                self._named[url] = frozenset(canonicalise(each) for each in await self._fetcher.sitemaps(url))
            except FetchError:
                self._named[url] = frozenset()
        return self._named.get(url, frozenset())


def _with_sites(source: Source, urls: Sequence[str]) -> Source:
    sites = source.options.sites | {site_of(url) for url in urls}
    return replace(source, options=replace(source.options, sites=sites))
