"""How long every web page, its twin as data, and every feed take, of a store of any size.

`python -m tests.bench.bench_web [--articles N] [--url URL] [--times K]`: the store of `bench_search`. After what the
server prepares when it starts, each address is read once, and then K times after all that is kept for some seconds or
minutes has expired, which is slower than most visits. Processor time is that of this process, in which the pages are
made: it says more on a busy machine, but that of a PostgreSQL server is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import httpx
from sqlalchemy import select

from tests.bench.bench_search import SOURCES, add_store_options, filled_store, tell
from worker.clock import SystemClock
from worker.config.load import load_settings
from worker.config.schema import WebSettings
from worker.models import Health
from worker.runs.pages import CorpusPages
from worker.runs.reading import Browser
from worker.storage.db.schema import EVENTS
from worker.storage.store import open_store
from worker.web.app import StatusSource
from worker.web.data import make_cursor
from worker.web.metrics import Metrics

LONG = timedelta(hours=1)  # longer than anything is kept
LARGEST = 150_000  # bytes of a page
SLOWEST_MS = 200.0
DATA = "/api/v1"
_NEWEST = select(EVENTS.c.at).order_by(EVENTS.c.id.desc()).limit(1)


class HastyClock(SystemClock):
    """A clock that shows a time, and by which an hour passes whenever `jump` is called."""

    def __init__(self, now: datetime) -> None:
        self._now, self._passed = now, timedelta()

    def now(self) -> datetime:
        """Return the time that this clock shows."""
        return self._now

    def jump(self) -> None:
        """Let all that is kept expire."""
        self._passed += LONG

    def monotonic(self) -> float:
        """Return the seconds of this clock."""
        return super().monotonic() + self._passed.total_seconds()


def main(arguments: list[str]) -> None:
    """Fill, read every page, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_web", description=__doc__)
    add_store_options(parser)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        with filled_store(options, Path(folder)) as store:
            url = store.reader.database.url.render_as_string(hide_password=False)
        config = Path(folder) / "worker.toml"
        sources = (
            f'[[sources]]\nname = "s{each}"\nkind = "feed"\nurl = "https://h{each}.example/rss"\n'
            for each in range(SOURCES)
        )
        config.write_text(f'[store]\nurl = "{url}"\n{"".join(sources)}', encoding="utf-8")
        asyncio.run(measure(config, options.articles, options.times))


async def measure(config: Path, articles: int, times: int) -> None:
    """Print what every address takes."""
    settings = load_settings(config, {})
    sources = [source.source() for source in settings.sources]
    store = open_store(settings.store.url, parameters=None, create=False)
    # A store that was kept is shown as it was when its last article came.
    clock = HastyClock(store.reader.database.read(lambda each: each.execute(_NEWEST).scalar_one()))
    with (
        store,
        Browser(store.reader, clock=clock, sources=sources, config=config) as browser,
    ):
        source = StatusSource(health=lambda: Health(ok=True), figures=browser.figures, metrics=Metrics(), clock=clock)
        served = CorpusPages(source, corpus=lambda: browser)
        app = served.app(WebSettings(), is_public=False)
        await served.prepare()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            tell(f"{'address':<52} first ms  processor  median ms  p95 ms  processor: median  p95     kB")
            for address in addresses(served, articles):
                first, *others = [await visit(client, clock, address) for _ in range(times + 1)]
                tell(line(address, first, others))


def addresses(served: CorpusPages, articles: int) -> Iterator[str]:
    """Yield an address of every page with its twin, of pages deep in the lists, and of every feed."""
    examples = {
        "{article_id}": [f"{articles - 1}", f"{articles // 4 * 4}"],
        "{candidate}": [f"{2 * (articles // 8 * 8 - 7) + 1}"],
    }
    queries = {
        "/search": ["?q=duong", f"?q=duong&cursor={make_cursor(200)}"],
        "/articles": ["", f"?cursor={make_cursor(articles // 2)}"],
        "/clusters": ["", f"?cursor={make_cursor(articles // 2)}"],
        "/rejected": ["", "?reason=too_short", "?reason=none", f"?cursor={make_cursor(articles)}"],
    }
    for page in served.pages:
        name = next((each for each in examples if each in page.path), "")
        for value in examples.get(name, [""]):
            for query in queries.get(page.path, [""]):
                yield page.path.replace(name, value) + query
                yield page.data_path.replace(name, value) + query
    yield from (feed.path for feed in served.feeds)
    yield "/metrics"


async def visit(client: httpx.AsyncClient, clock: HastyClock, address: str) -> tuple[float, float, int]:
    """Return the milliseconds of a visit by the clock and of the processor, and the size of the page.

    Before it, what an earlier visit began to count ends.
    """
    await asyncio.gather(*(each for each in asyncio.all_tasks() if each is not asyncio.current_task()))
    clock.jump()
    began, before = time.perf_counter(), time.process_time()
    answer = await client.get(address)
    elapsed, spent = time.perf_counter() - began, time.process_time() - before
    answer.raise_for_status()
    return 1000 * elapsed, 1000 * spent, len(answer.content)


def line(address: str, first: tuple[float, float, int], others: Sequence[tuple[float, float, int]]) -> str:
    """Return the figures of an address; a page that is too slow by the processor, or too large, has a mark."""
    elapsed, spent = (statistics.quantiles([each[column] for each in others], n=20) for column in (0, 1))
    largest = max(each[2] for each in (first, *others))
    is_page = not address.startswith(DATA)
    mark = " !" if max(first[1], spent[18]) > SLOWEST_MS or (is_page and largest > LARGEST) else ""
    return (
        f"{address:<52} {first[0]:>8.0f} {first[1]:>10.0f} {elapsed[9]:>10.0f} {elapsed[18]:>7.0f}"
        f" {spent[9]:>18.0f} {spent[18]:>4.0f} {largest / 1000:>6.0f}{mark}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
