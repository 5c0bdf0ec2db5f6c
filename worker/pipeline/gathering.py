"""Gathers the further pages of an article that is spread over several, within bounds."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from worker.errors import FetchError
from worker.models import Page, Request
from worker.multipage import begins_article, is_next, joined, next_page
from worker.pipeline.stages import Stages

_MOST_PAGES: Final = 10
_MOST_BYTES: Final = 5_000_000
_LONGEST: Final = timedelta(seconds=60)


async def gathered(page: Page, stages: Stages) -> Page:
    """Return a page with the further pages of its article behind it; what cannot be had is left out.

    Only pages of the same host are asked for whose addresses are its own but for the number of the page, each named by
    the one before with `rel=next`, at the pace and by the rules of every fetch. Whoever reads the page afterwards sees
    where an article goes on that was not gathered to its end.
    """
    pages, started = [page], stages.clock.monotonic()
    if page.not_modified or not begins_article(page.final_url):
        return page
    while len(pages) < _MOST_PAGES and sum(len(each.body) for each in pages) < _MOST_BYTES:
        url = next_page(pages[-1])
        if url is None or stages.clock.monotonic() - started > _LONGEST.total_seconds():
            break
        try:
            further = await stages.fetcher.fetch(Request(url=url))
        except FetchError:
            break
        if not is_next(further.final_url, pages[-1].final_url):
            break
        pages.append(further)
    return joined(pages) if len(pages) > 1 else page
