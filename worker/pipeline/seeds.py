"""The seed flow: read the seed corpus, prepare its articles in processes, and store them in bulk.

    each file that changed | rows | known already? | clean, fingerprint (processes) | judge, store | how far it is read

Rows are stored in the order of the file, and how far it was read is saved in the same transaction. So an import that
was killed continues behind the last batch, and a file that is read to its end is not opened again before it changes.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta
from typing import Final

from worker.dedupe.judge import Deduper
from worker.errors import SourceError
from worker.files.reading import read_in_thread
from worker.logs import log
from worker.models import PreparedSeed, Seed
from worker.models.base import counted, dataclass
from worker.pipeline.prepare_seeds import CHUNK_ROWS, Preparer, SeedOptions, make_reader, take
from worker.ports import Clock, Extractor, RunInThread
from worker.sources.files.article_files import InputProblem
from worker.sources.files.seed_rows import SeedFile
from worker.sources.files.seeds import count_rows, describe_problem, problems_in, read_seed_file
from worker.storage.seeds.importing import SeedBatch, SeedCounts, SeedFileRecord, SeedStore

_BATCH_LENGTH: Final = 16_000_000  # characters that end a batch early, for the same reason
_CHUNKS_AHEAD: Final = 8
"""Chunks in work while a batch is written, together as many rows as a batch has on SQLite."""
_MAX_LISTED: Final = 5  # problems of one file that are listed; chosen: what is wrong shows in a few of them
_PROGRESS_EVERY: Final = timedelta(seconds=10)  # between two lines in the log; chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedReport:
    """The result of an import.

    `found` rows are in the files, of which `imported` are new, and `refused` have no article. `copies` of the new ones
    are copies of other texts: they are stored and linked. `files` were read, `unchanged` ones needed no reading;
    `notes` name those of them with rows that have no article.
    """

    found: int = 0
    imported: int = 0
    refused: int = 0
    copies: int = 0
    files: int = 0
    unchanged: int = 0
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> int:
        """How many rows were stored before, or repeat another one."""
        return self.found - self.imported - self.refused

    def __add__(self, other: SeedReport) -> SeedReport:
        """Return the sums of two reports."""
        return SeedReport(
            found=self.found + other.found,
            imported=self.imported + other.imported,
            refused=self.refused + other.refused,
            copies=self.copies + other.copies,
            files=self.files + other.files,
            unchanged=self.unchanged + other.unchanged,
            problems=(*self.problems, *other.problems),
            notes=(*self.notes, *other.notes),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedProgress:
    """How far an import is: rows read of the file `name`, and about how many it has (None: not known).

    `imported` counts the new seeds of the whole run, `elapsed` its time so far.
    """

    name: str
    rows: int
    of: int | None
    imported: int
    elapsed: timedelta

    @property
    def line(self) -> str:
        """The progress as text: rows, rate, and an estimate of the time that is left for this file."""
        seconds = max(self.elapsed.total_seconds(), 0.001)
        of = f" of {self.of:,}" if self.of and self.of >= self.rows else ""
        left = f", about {(self.of or 0) / self.rows * seconds - seconds:.0f} s left" if of and self.rows else ""
        return f"{self.rows:,}{of} rows, {self.imported:,} imported, {self.rows / seconds:,.0f}/s{left}"


# The import.


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk:
    """Rows of a file in work: seeds that the store has, new ones as they will be prepared, and problems with rows."""

    rows: int
    refused: int
    known: Sequence[Seed]
    new: Sequence[Seed]
    prepared: asyncio.Future[list[PreparedSeed | str]]


class SeedImporter:
    """Imports seeds. A repeated import changes nothing."""

    def __init__(
        self,
        *,
        clock: Clock,
        offload: RunInThread,
        deduper: Deduper,
        seed_store: SeedStore,
        extractor: Extractor,
        options: SeedOptions,
    ) -> None:
        self.clock = clock
        self.offload = offload
        self.deduper = deduper
        self.store = seed_store
        self.extractor = extractor
        self.options = options

    async def add(
        self, files: Sequence[SeedFile], watcher: Callable[[SeedProgress], None] = lambda _progress: None
    ) -> SeedReport:
        """Import what is new in the files, and call `watcher` with the progress.

        Problems with rows are in the report; of one file the first few. Raises StoreError.
        """
        total = SeedReport()
        records = {record.name: record for record in await self.offload(self.store.files)}
        present = {file.name for file in files}
        gone = await read_in_thread(_find_gone, records.values(), present)
        preparer, meter = Preparer(self.options, self.extractor), _Meter(self.clock, watcher)
        try:
            for file in files:
                total += await _FileImport(self, file, preparer, meter, gone).run(records.get(file.name))
        finally:
            preparer.close()
        if gone:
            await self.offload(self.store.forget_empty_files, present=present)
        log.info("seeds.done", found=total.found, imported=total.imported, unchanged_files=total.unchanged)
        return total


class _Meter:
    """Reports the progress to a watcher, and every few seconds to the log."""

    def __init__(self, clock: Clock, watcher: Callable[[SeedProgress], None]) -> None:
        self._clock, self._watcher = clock, watcher
        self._began = self._logged = clock.monotonic()

    def begin_file(self) -> None:
        """Start the time of a file."""
        self._began = self._clock.monotonic()

    def note(self, name: str, rows: int, of: int | None, imported: int) -> None:
        """Report how far a file is."""
        now = self._clock.monotonic()
        progress = SeedProgress(
            name=name, rows=rows, of=of, imported=imported, elapsed=timedelta(seconds=now - self._began)
        )
        self._watcher(progress)
        if now - self._logged >= _PROGRESS_EVERY.total_seconds():
            self._logged = now
            log.info("seeds.progress", file=name, progress=progress.line)


class _FileImport:
    """The import of one file."""

    def __init__(
        self, to: SeedImporter, file: SeedFile, preparer: Preparer, meter: _Meter, gone: Sequence[int]
    ) -> None:
        self._to, self._file, self._preparer, self._meter, self._gone = to, file, preparer, meter, gone
        self._reader = make_reader(to.options, to.clock.now(), to.deduper.parameters)
        self._file_id, self._rows, self._refused = 0, 0, 0
        self._known: list[Seed] = []
        self._new: list[PreparedSeed] = []
        self._writing: asyncio.Future[SeedCounts] | None = None
        self._counts: Counter[str] = Counter()
        self._problems: list[str] = []
        self._problem_count = 0
        self._unread = False

    async def run(self, record: SeedFileRecord | None) -> SeedReport:
        """Import what is new in the file, and return its part of the report."""
        try:
            stamp = f"{await read_in_thread(self._file.stamp)}:{self._to.options.mark}"
            if record is not None and record.stamp == stamp and record.finished_at is not None:
                return SeedReport(found=record.rows, refused=record.refused, unchanged=1, notes=_remembered(record))
            opened = await self._to.offload(self._to.store.open_file, self._file.name, stamp=stamp)
            self._file_id, self._rows, self._refused = opened.id, opened.rows, opened.refused
            await self._import_rows(of=await read_in_thread(count_rows, self._file))
        except (SourceError, OSError) as exc:
            why = getattr(exc, "strerror", None) or exc
            self._note(InputProblem(where=self._file.name, why=f"cannot be read: {why}", lost=0))
        return self._report()

    async def _import_rows(self, of: int | None) -> None:
        """Read the rows, and keep the processes supplied while a batch is written."""
        self._preparer.expect(of)
        self._meter.begin_file()
        items = read_seed_file(self._reader, self._file, start=self._rows)
        ahead: deque[_Chunk] = deque()
        try:
            while chunk := await read_in_thread(take, items):
                ahead.append(await self._begin(chunk))
                if len(ahead) > _CHUNKS_AHEAD:
                    await self._collect(ahead.popleft())
                    self._meter.note(self._file.name, self._rows, of, self._counts["imported"])
            while ahead:
                await self._collect(ahead.popleft())
            await self._write(finished=not self._unread)
            await self._written()
        finally:
            for each in ahead:
                each.prepared.cancel()

    async def _begin(self, items: Sequence[Seed | InputProblem]) -> _Chunk:
        """Look up which seeds of a chunk are known, and start to prepare the others."""
        for problem in problems_in(items):
            self._note(problem)
        lost = sum(each.lost for each in items if isinstance(each, InputProblem))
        seeds = [each for each in items if isinstance(each, Seed)]
        is_known = await self._to.offload(self._to.store.known_seeds, seeds)
        new = [seed for seed, known in zip(seeds, is_known, strict=True) if not known]
        return _Chunk(
            rows=len(seeds) + lost,
            refused=lost,
            known=[seed for seed, known in zip(seeds, is_known, strict=True) if known],
            new=new,
            prepared=asyncio.ensure_future(self._preparer.prepare(new, self._to.clock.now())),
        )

    async def _collect(self, chunk: _Chunk) -> None:
        """Add a prepared chunk to the batch, and write the batch if it is full."""
        made = await chunk.prepared
        for seed, each in zip(chunk.new, made, strict=True):
            if isinstance(each, str):
                self._refused += 1
                self._note(InputProblem(where=f"{self._file.name}: {seed.name}", why=each))
            else:
                self._new.append(each)
        self._known += chunk.known
        self._rows += chunk.rows
        self._refused += chunk.refused
        length = sum(len(each.article.text) for each in self._new)
        rows = self._to.store.batch_rows
        if len(self._new) >= rows or len(self._known) >= max(rows, CHUNK_ROWS) or length >= _BATCH_LENGTH:
            await self._write()

    async def _write(self, *, finished: bool = False) -> None:
        """Start to write the batch, after the one before it."""
        await self._written()
        batch = SeedBatch(
            file_id=self._file_id,
            known=tuple(self._known),
            new=tuple(self._new),
            rows=self._rows,
            refused=self._refused,
            finished=finished,
        )
        self._known, self._new = [], []
        writing = self._to.offload(
            self._to.store.add_seeds, batch, judge=self._to.deduper.judge, gone=self._gone, now=self._to.clock.now()
        )
        self._writing = asyncio.ensure_future(writing)

    async def _written(self) -> None:
        """Wait until the batch before is written, and count it."""
        if self._writing is not None:
            counts, self._writing = await self._writing, None
            self._counts.update(imported=counts.imported, copies=counts.copies)
            self._refused += len(counts.forgotten)
            for each in counts.forgotten:
                self._note(InputProblem(where=self._file.name, why=each))

    def _note(self, problem: InputProblem) -> None:
        self._problem_count += 1
        self._unread |= not problem.lost
        if len(self._problems) < _MAX_LISTED or not problem.lost:
            self._problems.append(describe_problem(problem))

    def _report(self) -> SeedReport:
        unlisted = self._problem_count - len(self._problems)
        more = (f"{self._file.name}: {unlisted:,} more rows with a problem",) if unlisted > 0 else ()
        return SeedReport(
            found=self._rows,
            imported=self._counts["imported"],
            refused=self._refused,
            copies=self._counts["copies"],
            files=1,
            problems=(*self._problems, *more),
        )


def _remembered(record: SeedFileRecord) -> tuple[str, ...]:
    """Return what to say of a file that has not changed and whose problems were named when it was read."""
    if not record.refused:
        return ()
    rows = counted(record.refused, "row")
    return (f"{record.name}: unchanged, still {rows} without an article; `touch` it to have them named again",)


def _find_gone(records: Iterable[SeedFileRecord], present: Collection[str]) -> list[int]:
    """Return the files of the store that are not there any more: renamed, moved or deleted."""
    return [each.id for each in records if each.name not in present and not os.path.exists(each.name)]  # noqa: PTH110
