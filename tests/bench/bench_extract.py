"""Measures extraction against trafilatura as it comes: how much of the article, and how fast.

    python -m tests.bench.bench_extract [--only quality|speed|memory|fields|passages] [--sets NAME...]
        [--pages N] [--folder FOLDER]

Both read the same pages in the same run; speed is in pages for each second of processor time, with metadata. It ends
with 1 where the text of a set is below the library's: run it before every release. Needs the labelled pages beside the
project; without them it says so and ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import trafilatura

from tests.bench.extract_fields import fields
from tests.bench.extract_gold import DATA, SETS, Gold
from tests.bench.extract_passages import passages
from tests.bench.extract_quality import quality, request_of
from worker.errors import ExtractError
from worker.extract.article import ArticleExtractor
from worker.extract.ipc import ExtractRules
from worker.extract.pool import ProcessExtractor

_RULES = ExtractRules(min_words=0, languages=(), timezone="UTC", timeout=timedelta(seconds=60))
_ROUNDS = 3
_BATCH = 100


def timed(extract: Callable[[Gold], object], gold: Gold) -> float:
    """Return the processor time that one reading of a page takes."""
    start = time.process_time()
    with contextlib.suppress(ExtractError):
        extract(gold)
    return time.process_time() - start


def with_metadata(gold: Gold) -> object:
    """Extract with trafilatura as it comes, metadata included."""
    return trafilatura.bare_extraction(gold.markup, url=gold.url, with_metadata=True)


def reading(reader: ArticleExtractor) -> Callable[[Gold], object]:
    """Return this project's extraction, in this process."""

    def extract(gold: Gold) -> object:
        page, hints = request_of(gold)
        return reader.read(page, hints, fetched_at=page.fetched_at)

    return extract


def speed(reader: ArticleExtractor) -> None:
    """Print pages a second and core for both, and what a second process brings.

    Each page is read by both in turn, and its best of several rounds counts: what else the machine does comes and goes.
    """
    pages = [gold for name in ("vi", "fundus") for gold in SETS[name]() if not gold.listing]
    best = {"trafilatura": [math.inf] * len(pages), "corpus worker": [math.inf] * len(pages)}
    for _ in range(_ROUNDS):
        for place, gold in enumerate(pages):
            for times, extract in zip(best.values(), (with_metadata, reading(reader)), strict=True):
                times[place] = min(times[place], timed(extract, gold))
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
    """Return the memory of the processes that the fork server forked."""
    fork_servers = _children(os.getpid())
    return " ".join(_mebibytes(pid) for fork_server in fork_servers for pid in _children(fork_server))


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
    parser.add_argument("--only", choices=("quality", "speed", "memory", "fields", "passages"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="of which pages quality is told")
    parser.add_argument("--show", action="store_true", help="also show each field that is not as in the gold")
    parser.add_argument("--pages", type=int, default=20_000, help="how many pages the memory run reads")
    parser.add_argument("--folder", type=Path, help="the folder `tests` of trafilatura's repository, for passages")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    if options.only == "passages":
        if options.folder is None or not (options.folder / "evaldata.json").is_file():
            sys.exit("name the folder `tests` of a copy of trafilatura's repository with --folder")
        passages(options.folder, say)
        return
    if not DATA.is_dir():
        sys.exit(f"nothing to measure on: {DATA} is missing")
    above = options.only not in {None, "quality"} or quality(options.sets, say)
    if options.only in {None, "speed"}:
        speed(ArticleExtractor(_RULES))
    if options.only in {None, "fields"}:
        fields(options.sets, say, show=options.show)
    if options.only == "memory":
        asyncio.run(memory(options.pages))
    sys.exit(0 if above else 1)


if __name__ == "__main__":
    main()
