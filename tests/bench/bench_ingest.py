"""The whole job on real pages over loopback: pages a second, and where the time goes.

    python -m tests.bench.bench_ingest [--data FOLDER]

Serves the pages of FOLDER (fundus and Vietnamese news pages, see docs/design.md) under their real host names, one feed
a host, and runs `ingest` on them with pacing off.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import ParamSpec, TypeVar

from tests.acceptance.test_real_pages import LISTINGS, real_pages
from tests.newsroom import Newsroom, html, sites_of
from worker import logs
from worker.app import open_app
from worker.config.load import load_settings
from worker.models import Article, Claim, Outcome, Page, Request, Source, Text
from worker.ports import Extractor, Fetcher, Hints, RunInThread
from worker.runs.ingest import IngestOptions, IngestRun

P = ParamSpec("P")
T = TypeVar("T")

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CONFIG = """
[seeds]
path = "{folder}"
[store]
url = "sqlite:///{folder}/corpus.db"
[fetch]
per_host_delay = "0s"
[extract]
languages = []
"""


@dataclass(slots=True)
class Outcomes:
    """Counts how pages ended."""

    by_reason: Counter[str] = field(default_factory=Counter)
    stored: set[str] = field(default_factory=set)

    def discovered(self, source: Source, *, new: int) -> None:
        """Note nothing."""

    def settled(self, claim: Claim, outcome: Outcome) -> None:
        """Count one."""
        self.by_reason[f"{outcome.state.value}: {outcome.reason}"] += 1
        if outcome.state.value in {"stored", "duplicate"}:
            self.stored.add(claim.url)


def main() -> None:
    """Run once and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    data = parser.parse_args().data
    if not data.is_dir():
        sys.exit(f"skipped: needs the real pages in {data}, which are not part of the project")
    logs.configure(level=logging.ERROR)
    pages = real_pages(data)
    sites = sites_of({url: html(body) for url, body in pages.items()})
    with Newsroom(sites) as room, tempfile.TemporaryDirectory() as at:
        config = Path(at) / "worker.toml"
        hosts = sorted({url.split("/")[2] for url in pages})
        feed = '[[sources]]\nname = "{host}"\nkind = "feed"\nurl = "https://{host}/newsroom-feed.xml"\n'
        config.write_text(CONFIG.format(folder=at) + "".join(feed.format(host=host) for host in hosts))
        figures = asyncio.run(measure(config, room.environment))
    sys.stdout.write(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")


@dataclass(frozen=True, slots=True)
class TimedFetcher:
    """Adds up the time fetches take, waiting for the host's turn included."""

    inner: Fetcher
    spent: dict[str, float]

    async def fetch(self, request: Request) -> Page:
        """Fetch, timed."""
        with timed(self.spent, "fetch"):
            return await self.inner.fetch(request)

    async def sitemaps(self, url: str) -> Sequence[str]:
        """Return what robots.txt names, not timed."""
        return await self.inner.sitemaps(url)

    async def aclose(self) -> None:
        """Close."""
        await self.inner.aclose()


@dataclass(frozen=True, slots=True)
class TimedExtractor:
    """Adds up the time extractions take, waiting for a free process included."""

    inner: Extractor
    spent: dict[str, float]

    async def extract(self, content: Page | Text, hints: Hints, *, fetched_at: datetime) -> Article:
        """Extract, timed."""
        with timed(self.spent, "extract"):
            return await self.inner.extract(content, hints, fetched_at=fetched_at)

    async def aclose(self) -> None:
        """Close."""
        await self.inner.aclose()


@dataclass(frozen=True, slots=True)
class TimedOffload:
    """Adds up the time calls of the store take, by call, waiting for the thread included."""

    inner: RunInThread
    spent: dict[str, float]

    async def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call, timed."""
        with timed(self.spent, f"store: {getattr(call, '__name__', 'call').strip('_')}"):
            return await self.inner(call, *args, **kwargs)


@contextmanager
def timed(spent: dict[str, float], name: str) -> Iterator[None]:
    """Add the time the block takes to a name."""
    begun = time.monotonic()
    try:
        yield
    finally:
        spent[name] += time.monotonic() - begun


async def measure(config: Path, environment: dict[str, str]) -> dict[str, object]:
    """Ingest everything; return counts, rate and the CPU each side took."""
    outcomes = Outcomes()
    spent: dict[str, float] = defaultdict(float)
    async with open_app(load_settings(config, environment), outcomes) as app:
        stages = app.ingester._stages
        app.ingester._stages = replace(
            stages,
            fetcher=TimedFetcher(stages.fetcher, spent),
            extractor=TimedExtractor(stages.extractor, spent),
            offload=TimedOffload(stages.offload, spent),
        )
        begun, cpu = time.monotonic(), time.process_time()
        run = IngestRun(app, IngestOptions())
        await run.run()
        wall, own = time.monotonic() - begun, time.process_time() - cpu
        report = (await run.report()).as_record()
    del report["sources"]
    count = sum(outcomes.by_reason.values())
    return {
        **report,
        "pages": count,
        "pages a second": round(count / wall, 1),
        "CPU of this process (server included), s": round(own, 1),
        "seconds in each stage, all pages added up": {
            name: round(each, 1) for name, each in sorted(spent.items(), key=itemgetter(1), reverse=True)
        },
        "listing pages taken for articles": len(outcomes.stored & LISTINGS),
        "outcomes": dict(outcomes.by_reason.most_common()),
    }


if __name__ == "__main__":
    main()
