"""Measures extraction against trafilatura as it comes: how much of the article, and how fast.

    python -m bench.bench_extract [--only quality|speed|memory] [--pages N]

Both read the same pages in the same run; speed is in pages for each second of processor time, with metadata. Needs the
labelled pages beside the project; without them it says so and ends.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trafilatura

from bench.extract_gold import DATA, SETS, Gold, body_f1, tokens
from worker.errors import ExtractError
from worker.extract import ExtractRules, ProcessExtractor
from worker.extract.reader import Reader
from worker.models import Article, Page
from worker.ports import Hints

_RULES = ExtractRules(min_words=0, languages=(), timezone="UTC", timeout=timedelta(seconds=60))
_KEY = 60
_ROUNDS = 3
_BATCH = 100


@dataclass(slots=True)
class Figures:
    """What was counted over one collection, for one of the two extractors."""

    pages: int = 0
    seconds: float = 0.0
    f1: list[float] = field(default_factory=list)
    titles: list[bool] = field(default_factory=list)
    days: list[bool] = field(default_factory=list)
    leads: list[bool] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    listings_stored: int = 0

    def line(self, name: str) -> str:
        """Return the figures as one row."""
        cells = (_share(self.f1, 4), _share(self.titles), _share(self.days), _share(self.leads))
        rate = self.pages / self.seconds if self.seconds else 0.0
        return (
            f"{name:24} {self.pages:5} {cells[0]:>7} {cells[1]:>7} {cells[2]:>7} {cells[3]:>7} "
            f"{len(self.rejected):9} {self.listings_stored:9} {rate:9.1f}"
        )


def _share(values: Sequence[float | bool], digits: int = 3) -> str:
    return f"{sum(values) / len(values):.{digits}f}" if values else "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What an extractor gave for one page."""

    text: str = ""
    title: str = ""
    published: datetime | None = None
    day: str = ""


Extract = Callable[[Gold], Found]


def ours(reader: Reader) -> Extract:
    """Return this project's extraction, in this process."""

    def extract(gold: Gold) -> Found:
        page, hints = request_of(gold)
        return _as_found(reader.read(page, hints, fetched_at=page.fetched_at))

    return extract


def _as_found(article: Article) -> Found:
    day = article.published_at.date().isoformat() if article.published_at else ""
    return Found(text=article.text, title=article.title, published=article.published_at, day=day)


def request_of(gold: Gold) -> tuple[Page, Hints]:
    """Return a page as if fetched, and what discovery would know of it."""
    at = datetime.fromisoformat(gold.fetched).replace(tzinfo=UTC) if gold.fetched else datetime.now(UTC)
    page = Page(url=gold.url, final_url=gold.url, status=200, body=gold.markup, fetched_at=at)
    return page, Hints(url=gold.url, canonical_url=gold.url, source="bench")


def theirs(gold: Gold) -> Found:
    """Extract with trafilatura as it comes, metadata included."""
    document = trafilatura.bare_extraction(gold.markup, url=gold.url, with_metadata=True)
    if document is None:
        return Found()
    text, title, date = (getattr(document, name) or "" for name in ("text", "title", "date"))
    return Found(text=text, title=title, day=date)


def day_found(reader: Reader, gold: Gold) -> str:
    """Return the day that was found on a page, whether or not the page is an article."""
    page, hints = request_of(gold)
    fields = reader.explain(page, hints, fetched_at=page.fetched_at).fields
    return next((field.value[:10] for field in fields if field.name == "published"), "")


def measure(pages: Sequence[Gold], extract: Extract, *, four_grams: bool, reader: Reader | None = None) -> Figures:
    """Extract every page and compare with its gold; of a page that is rejected, `reader` is asked for the day."""
    figures = Figures()
    for gold in pages:
        start = time.process_time()
        try:
            found = extract(gold)
        except ExtractError as error:
            found = Found()
            if not gold.listing:
                figures.rejected.append(f"{gold.name}: {error}")
        figures.seconds += time.process_time() - start
        if reader is not None and not found.text and gold.day:
            found = replace(found, day=day_found(reader, gold))
        figures.pages += 1
        _compare(figures, gold, found, four_grams=four_grams)
    return figures


def _compare(figures: Figures, gold: Gold, found: Found, *, four_grams: bool) -> None:
    if gold.listing:
        figures.listings_stored += bool(found.text)
        return
    if gold.body:
        figures.f1.append(body_f1(found.text, gold.body, four_grams=four_grams))
    if gold.title:
        figures.titles.append(" ".join(found.title.split()) == " ".join(gold.title.split()))
    if gold.day:
        figures.days.append(_same_day(gold, found))
    if gold.lead:
        figures.leads.append(" ".join(tokens(found.text)).startswith(" ".join(tokens(gold.lead))[:_KEY]))


def _same_day(gold: Gold, found: Found) -> bool:
    said = datetime.fromisoformat(gold.day) if re.match(r"\d{4}-\d\d-\d\d ", gold.day) else None
    if said is not None and said.tzinfo is not None and found.published is not None:
        return found.published.astimezone(said.tzinfo).date() == said.date()
    return found.day == gold.day[:10]


def quality(reader: Reader) -> None:
    """Print the figures of every collection for both."""
    heads = ("F1", "title", "date", "lead")
    say(f"{'':24} {'pages':>5} " + " ".join(f"{head:>7}" for head in heads) + "  rejected  listings   pages/s")
    for name, load in SETS.items():
        pages = list(load())
        for label, extract in (("trafilatura", theirs), ("corpus worker", ours(reader))):
            asked = reader if label == "corpus worker" else None
            figures = measure(pages, extract, four_grams=name == "aeb", reader=asked)
            say(figures.line(f"{name} {label}"))
            for line in figures.rejected:
                say(f"    rejected {line[:150]}")


def speed(reader: Reader) -> None:
    """Print pages a second and core for both, and what a second process brings.

    Each page is read by both in turn, and its best of several rounds counts: what else the machine does comes and goes.
    """
    pages = [gold for name in ("vi", "fundus") for gold in SETS[name]() if not gold.listing]
    best = {"trafilatura": [math.inf] * len(pages), "corpus worker": [math.inf] * len(pages)}
    for _ in range(_ROUNDS):
        for place, gold in enumerate(pages):
            for times, extract in zip(best.values(), (theirs, ours(reader)), strict=True):
                times[place] = min(times[place], measure([gold], extract, four_grams=False).seconds)
    seconds = {label: sum(times) for label, times in best.items()}
    for label, total in seconds.items():
        rate = len(pages) / total
        say(f"{label:24} {rate:7.1f} pages a second of one core, {1000 / rate:.1f} ms a page")
    say(f"{'times as fast':24} {seconds['trafilatura'] / seconds['corpus worker']:7.2f}")
    asyncio.run(_scaling(pages * 3))


async def _scaling(pages: Sequence[Gold]) -> None:
    """Print what one and two worker processes do, in turn, and the best of each."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(_ROUNDS):
        for processes, found in rates.items():
            found.append(await _through_pool(pages, processes))
    for processes, found in rates.items():
        say(f"{processes} worker process(es)     {max(found):7.1f} pages a second, rounds {_rounds(found)}")
    say(f"{'two to one':24} {max(rates[2]) / max(rates[1]):7.2f}")


def _rounds(rates: Sequence[float]) -> str:
    return " ".join(f"{rate:.1f}" for rate in rates)


async def _through_pool(pages: Sequence[Gold], processes: int) -> float:
    extractor = ProcessExtractor(ExtractRules(processes=processes, min_words=0, languages=()))
    try:
        await asyncio.gather(*(_one(extractor, gold) for gold in pages[: processes * 4]))
        start = time.perf_counter()
        await asyncio.gather(*(_one(extractor, gold) for gold in pages))
        return len(pages) / (time.perf_counter() - start)
    finally:
        await extractor.aclose()


async def _one(extractor: ProcessExtractor, gold: Gold) -> bool:
    page, hints = request_of(gold)
    try:
        await extractor.extract(page, hints, fetched_at=page.fetched_at)
    except ExtractError:
        return False
    return True


async def memory(count: int) -> None:
    """Print the resident memory of this process and of each worker process while one page after another is read.

    Processes are not renewed meanwhile: what a page leaves behind would show.
    """
    pages = [gold for name in ("vi", "fundus", "aeb") for gold in SETS[name]()]
    extractor = ProcessExtractor(ExtractRules(processes=2, min_words=0, languages=(), renew_after=count + 1))
    marks = {mark for mark in (500, 1_000, 2_000, 5_000, 10_000, 15_000, 20_000, count) if mark <= count}
    try:
        for done in range(0, count, _BATCH):
            batch = [pages[place % len(pages)] for place in range(done, min(done + _BATCH, count))]
            await asyncio.gather(*(_one(extractor, gold) for gold in batch))
            if done + len(batch) in marks:
                say(f"{done + len(batch):7} pages, MiB: this process {_mebibytes(os.getpid())}, workers {_workers()}")
    finally:
        await extractor.aclose()


def _workers() -> str:
    """Return the memory of the processes that the nursery forked."""
    nurseries = _children(os.getpid())
    return " ".join(_mebibytes(pid) for nursery in nurseries for pid in _children(nursery))


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def _mebibytes(pid: int) -> str:
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return f"{pages * os.sysconf('SC_PAGE_SIZE') / 2**20:.1f}"


def say(line: str) -> None:
    """Write a line of the result."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("quality", "speed", "memory"))
    parser.add_argument("--pages", type=int, default=20_000, help="how many pages the memory run reads")
    options = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"nothing to measure on: {DATA} is missing")
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    reader = Reader(_RULES)
    if options.only in {None, "quality"}:
        quality(reader)
    if options.only in {None, "speed"}:
        speed(reader)
    if options.only == "memory":
        asyncio.run(memory(options.pages))


if __name__ == "__main__":
    main()
