"""Prepares seeds: which were scraped, the article of each, its fingerprint; in processes if there are many.

The processes import this module, so it loads neither the store nor the network.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import field, replace
from datetime import datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

from worker.dedupe.fingerprint import fingerprint
from worker.errors import ExtractError, FetchBlocked
from worker.extract.quality import LanguageDetector
from worker.extract.seed_article import find_scraped, seed_article
from worker.models import Article, IndexParameters, Kind, PreparedSeed, Seed
from worker.models.base import dataclass
from worker.ports import Extractor, Hints
from worker.sources.files.article_files import InputProblem
from worker.sources.files.seed_rows import SeedReader
from worker.sources.files.seeds import count_rows, describe_problem, find_seed_files, problems_in, read_seed_file
from worker.urls import host_of

Clean = bool | Literal["auto"]

CHUNK_ROWS: Final = 256
"""Rows that are read and prepared together; texts are found to be scraped or clean among so many. Chosen, not measured:
enough for a share of one in twenty to show, and little beside a batch."""
_CHUNK_LENGTH: Final = 2_000_000  # characters that end a chunk early, so that long texts need no more memory
_FEW: Final = 2 * CHUNK_ROWS
"""New seeds that are prepared in this process: starting others takes two seconds, as long as preparing 2,000 here."""
_MAX_SHOWN: Final = 5  # problems of one file in a preview; chosen: what is wrong shows in a few of them


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedPreview:
    """What an import would find: rows by file, the first articles, and problems. Nothing is stored."""

    files: Mapping[str, int | None]
    articles: tuple[Article, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedOptions:
    """How seeds are read: names of columns, whether texts are cleaned, the zone of dates, the number of processes."""

    columns: Mapping[str, str] = field(default_factory=dict)
    clean: Clean = "auto"
    timezone: str = "UTC"
    processes: int = 1

    @property
    def mark(self) -> str:
        """A hash of what decides which rows are seeds: another one has finished files read again."""
        return hashlib.sha256(json.dumps([sorted(self.columns.items()), self.clean]).encode()).hexdigest()[:16]


# What runs in the processes.


def prepare(seeds: Sequence[Seed], *, clean: Clean, now: datetime) -> list[PreparedSeed | str]:
    """Return the article and fingerprint of each seed of a chunk, or why it has no article."""
    scraped = find_scraped([seed.raw for seed in seeds]) if clean == "auto" else [clean] * len(seeds)
    return [_prepared(seed, scraped=is_scraped, now=now) for seed, is_scraped in zip(seeds, scraped, strict=True)]


def _prepared(seed: Seed, *, scraped: bool, now: datetime) -> PreparedSeed | str:
    try:
        article = seed_article(seed, fetched_at=now, languages=_languages(), scraped=scraped)
    except ExtractError as exc:
        return str(exc)
    # A fingerprint that came with the row is of its raw text; cleaning may have changed that.
    given = seed.fingerprint if article.text == seed.raw else None
    made = given or fingerprint(article.text)
    return PreparedSeed(seed=replace(seed, fingerprint=None), article=article, fingerprint=made)


@functools.cache
def _languages() -> LanguageDetector:
    return LanguageDetector()


def begin_process() -> None:
    """Leave the end of a process to its parent, which gets the same signals from the terminal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End when the parent was killed: a pool's process waits for ever then, as it has both ends of its pipes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class Preparer:
    """Prepares chunks, the first few seeds here and the others in processes, which `close` ends."""

    def __init__(self, options: SeedOptions, extractor: Extractor) -> None:
        self._options = options
        self._extractor = extractor
        self._done = 0
        self._pool: ProcessPoolExecutor | None = None

    def expect(self, rows: int | None) -> None:
        """Use processes from the first seed on, if a file has many rows: this process then needs no language model."""
        self._done += rows or 0

    async def prepare(self, seeds: Sequence[Seed], now: datetime) -> list[PreparedSeed | str]:
        """Return the article and fingerprint of each seed, or why it has no article."""
        if any(seed.page for seed in seeds):
            return list(await asyncio.gather(*(self._extracted(seed, now) for seed in seeds)))
        self._done += len(seeds)
        if self._done <= _FEW and self._pool is None:
            return await asyncio.to_thread(prepare, seeds, clean=self._options.clean, now=now)
        try:
            return await self._in_process(seeds, now)
        except BrokenProcessPool:
            self.close()
        return [await self._alone(seed, now) for seed in seeds]

    async def _alone(self, seed: Seed, now: datetime) -> PreparedSeed | str:
        """Prepare one seed of a chunk on which a process died."""
        try:
            return (await self._in_process([seed], now))[0]
        except BrokenProcessPool:
            self.close()
            return f"the process that prepared {seed.name} died: the machine may have too little memory for it"

    async def _in_process(self, seeds: Sequence[Seed], now: datetime) -> list[PreparedSeed | str]:
        if self._pool is None:
            # The server forks while it has one thread, unlike this process, which keeps a core busy with writing.
            context = multiprocessing.get_context("forkserver")
            self._pool = ProcessPoolExecutor(max(1, self._options.processes - 1), context, begin_process)
        call = functools.partial(prepare, seeds, clean=self._options.clean, now=now)
        return await asyncio.wrap_future(self._pool.submit(call))

    async def _extracted(self, seed: Seed, now: datetime) -> PreparedSeed | str:
        """Return the article in a page of a web archive."""
        if seed.page is None:
            return f"{seed.name}: no page in this record"
        hints = Hints(url=seed.url, canonical_url=seed.url, source="seeds", timezone=self._options.timezone)
        try:
            found = await self._extractor.extract(seed.page, hints, fetched_at=now)
        except (ExtractError, FetchBlocked) as exc:
            return f"{seed.name}: {exc}"
        key = f"seed:{seed.name.rpartition('#')[0]}#{seed.sha256[:16]}"
        article = replace(
            found, kind=Kind.SEED, canonical_url=key, url=seed.url, host=host_of(seed.url), source="seeds"
        )
        return PreparedSeed(seed=replace(seed, page=None), article=article, fingerprint=fingerprint(article.text))

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def make_reader(options: SeedOptions, now: datetime, index: IndexParameters) -> SeedReader:
    """Return the reader of rows for these options."""
    return SeedReader(now=now, columns=options.columns, zone=ZoneInfo(options.timezone), index=index)


def take(items: Iterator[Seed | InputProblem]) -> list[Seed | InputProblem]:
    """Return the next rows of a file, fewer if they are long; none at its end."""
    taken: list[Seed | InputProblem] = []
    length = 0
    while len(taken) < CHUNK_ROWS and length < _CHUNK_LENGTH and (each := next(items, None)) is not None:
        taken.append(each)
        length += len(each.page.body) if isinstance(each, Seed) and each.page else len(getattr(each, "raw", ""))
    return taken


def preview_seeds(paths: Iterable[str], reader: SeedReader, *, clean: Clean, shown: int) -> SeedPreview:
    """Return what is in the seed files, and the articles of the first `shown` rows; blocking, and nothing is stored."""
    files: dict[str, int | None] = {}
    problems: list[str] = []
    articles: list[Article] = []
    for file in find_seed_files(paths):
        if isinstance(file, InputProblem):
            problems.append(describe_problem(file))
            continue
        files[file.name] = count_rows(file)
        first = take(read_seed_file(reader, file))
        problems += [describe_problem(each) for each in problems_in(first)][:_MAX_SHOWN]
        texts = [each for each in first if isinstance(each, Seed) and not each.page]
        made = prepare(texts, clean=clean, now=reader.now) if len(articles) < shown else []
        articles += [each.article for each in made if isinstance(each, PreparedSeed)][: shown - len(articles)]
    return SeedPreview(files=files, articles=tuple(articles), problems=tuple(problems))
