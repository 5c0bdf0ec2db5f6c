"""The seed flow: clean each seed text, judge it like any other article, and store it beside its raw form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog

from worker.dedupe.judge import Deduper
from worker.errors import ExtractError
from worker.files.reading import read_in_thread
from worker.models import Article, Seed
from worker.ports import Clock, RunInThread
from worker.storage.corpus.settling import SeedStore

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedReport:
    """The result of an import: seeds found, imported as new, or refused without an article; one message per problem."""

    found: int
    imported: int
    refused: int
    problems: tuple[str, ...]


class SeedImporter:
    """Imports seeds. A repeated import changes nothing."""

    def __init__(
        self,
        *,
        clock: Clock,
        offload: RunInThread,
        deduper: Deduper,
        seed_store: SeedStore,
        to_article: Callable[[Seed, datetime], Article],
    ) -> None:
        self._clock = clock
        self._offload = offload
        self._deduper = deduper
        self._seed_store = seed_store
        self._to_article = to_article

    async def add(self, seeds: Iterable[Seed | str]) -> SeedReport:
        """Import every seed that is not in the store yet, each in its own transaction.

        A `str` among the seeds is a problem that reading the input met; it is passed on to the report.
        """
        found, imported, refused, problems = 0, 0, 0, list[str]()
        left = iter(seeds)
        while (seed := await read_in_thread(next, left, None)) is not None:
            if isinstance(seed, str):
                problems.append(seed)
                continue
            found += 1
            try:
                imported += await self._offload(self._add, seed)
            except ExtractError as exc:
                refused += 1
                problems.append(f"{seed.name}: {exc}")
        log.info("seeds.done", found=found, imported=imported)
        return SeedReport(found=found, imported=imported, refused=refused, problems=tuple(problems))

    def _add(self, seed: Seed) -> bool:
        """Clean, judge and store one seed; return whether it was new. Blocks, so it runs in the store's threads."""
        if self._seed_store.has_seed(seed):
            return False
        now = self._clock.now()
        article = self._to_article(seed, now)
        fingerprint = self._deduper.fingerprint(article)
        judge = partial(self._deduper.judge, article, fingerprint)
        self._seed_store.add_seed(seed, article, fingerprint=fingerprint, judge=judge, now=now)
        return True
