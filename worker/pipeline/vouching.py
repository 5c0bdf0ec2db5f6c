"""Whose sitemap it is that lies on another domain: a site's own robots.txt says so (sitemaps.org, cross submits)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from worker.errors import FetchError
from worker.models import Discovery, Page, Source
from worker.urls import canonicalise, site_of

SitemapsOf = Callable[[str], Awaitable[Sequence[str]]]
"""Returns the sitemaps that the robots.txt of a URL's site names; raises FetchError."""

_MOST_ASKED: Final = 5


class Voucher:
    """Follows one source: `source` counts as its own the sites whose robots.txt names it as their sitemap."""

    def __init__(self, source: Source, sitemaps_of: SitemapsOf) -> None:
        self.source = source
        self._sitemaps_of = sitemaps_of
        self._asked: set[str] = set()

    async def learns(self, page: Page, discovery: Discovery) -> bool:
        """Ask the sites that a sitemap's entries lead to; True where one vouches for it, so that it is read again."""
        if self.source.kind != "sitemap":
            return False
        sites = [each for each in [await self._vouching(url, page) for url in discovery.elsewhere] if each]
        if sites:
            options = replace(self.source.options, sites=self.source.options.sites | frozenset(sites))
            self.source = replace(self.source, options=options)
        return bool(sites)

    async def _vouching(self, url: str, page: Page) -> str:
        """Return the site of a URL if its robots.txt names the sitemap, an empty string otherwise."""
        if url in self._asked or len(self._asked) >= _MOST_ASKED:
            return ""
        self._asked.add(url)
        try:
            named = {canonicalise(each) for each in await self._sitemaps_of(url)}
        except FetchError:
            return ""
        return site_of(url) if named & {canonicalise(each) for each in (self.source.url, page.url)} else ""
