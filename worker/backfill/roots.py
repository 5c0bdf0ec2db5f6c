"""Where a look at the past begins: the source itself, the sitemaps of its site, its archive by date, its files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from worker import urls
from worker.errors import FetchError, SourceError
from worker.models import Request, Source
from worker.ports import Fetcher
from worker.sources.home import usual_sitemaps
from worker.sources.local import archives_below
from worker.sources.periods import Window, dated_addresses
from worker.sources.shapes import Shape, shape_of

Roots = list[tuple[str, str]]
"""Kinds and URLs."""


def local_roots(source: Source) -> Roots:
    """Return the archives of a source on this machine; raises SourceError where there are none."""
    path = Path(unquote(urlsplit(source.url).path)) if source.url.startswith("file:") else Path(source.url)
    return [("warc", str(file)) for file in archives_below(path)]


async def web_roots(source: Source, window: Window, fetcher: Fetcher) -> Roots:
    """Return the places to begin with, the most telling first.

    An archive by date that the configuration names is enough. Else a sitemap is looked through itself; a feed, and a
    listing that is the site's front page, through the sitemaps that robots.txt names, or those at a usual place; and
    both through their own further pages.
    """
    archive = source.options.archive
    if archive:
        return [("listing", url) for url in dated_addresses(archive, window)]
    if source.kind == "sitemap":
        return [("sitemap", source.url)]
    whole_site = source.kind == "feed" or urls.is_home(source.url)
    sitemaps = [url async for url in _sitemaps(source.url, fetcher)] if whole_site else []
    return [*(("sitemap", url) for url in sitemaps), (source.kind, source.url)]


async def _sitemaps(url: str, fetcher: Fetcher) -> AsyncIterator[str]:
    named = await fetcher.sitemaps(url)
    for sitemap in named:
        yield sitemap
    if named:
        return
    for guess in usual_sitemaps(url):
        if await _is_sitemap(guess, fetcher):
            yield guess
            return


async def _is_sitemap(url: str, fetcher: Fetcher) -> bool:
    try:
        page = await fetcher.fetch(Request(url=url, accept="any"))
    except FetchError as exc:
        if exc.retry:
            raise
        return False
    except SourceError:
        return False
    return shape_of(page.body) is Shape.SITEMAP
