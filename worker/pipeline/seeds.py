"""The seed flow: read the folder, clean each file, judge it like any other text, store it beside its raw form."""

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
    """How an import ended: seeds found, those that were new or held no article, and a sentence for each problem."""

    found: int
    imported: int
    refused: int
    problems: tuple[str, ...]


class SeedImporter:
    """Imports seeds; doing it again changes nothing."""

    def __init__(
        self,
        *,
        clock: Clock,
        offload: RunInThread,
        deduper: Deduper,
        shelf: SeedStore,
        to_article: Callable[[Seed, datetime], Article],
    ) -> None:
        self._clock = clock
        self._offload = offload
        self._deduper = deduper
        self._shelf = shelf
        self._to_article = to_article

    async def add(self, seeds: Iterable[Seed | str]) -> SeedReport:
        """Import every seed that is not in the store yet, one transaction each; a `str` is a problem to pass on."""
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
        """Clean, judge and store one seed; runs where blocking is allowed."""
        if self._shelf.has_seed(seed):
            return False
        now = self._clock.now()
        article = self._to_article(seed, now)
        fingerprint = self._deduper.fingerprint(article)
        judge = partial(self._deduper.judge, article, fingerprint)
        self._shelf.add_seed(seed, article, fingerprint=fingerprint, judge=judge, now=now)
        return True
