"""Worker processes: a page that harms its process costs only itself."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest

from tests.integration.extract.hostile import hostile_pages
from tests.unit.extract.mixed_pages import MEDLEY
from tests.unit.extract.pages import LEAD, NOW, PARAGRAPHS, article_body, hints_of, news_page, page_of
from tests.waiting import eventually
from worker.errors import ExtractError, ExtractorDown, FetchBlocked, MachineError
from worker.extract import ipc, pool
from worker.extract.ipc import ExtractRules
from worker.extract.pool import ProcessExtractor
from worker.models import Article, Page, Text

pytestmark = pytest.mark.anyio
WHOLE = "\n".join((LEAD, *PARAGRAPHS))
SLOW = "<p>" + "chữ nối chữ " * 400_000
HANGS_S = 300
"""Far more than a page's limit, for a machine with other work: `make bench-extract` measures what a page takes."""


def rules(**changes: object) -> ExtractRules:
    usual = {"processes": 2, "min_words": 10, "languages": (), "timeout": timedelta(seconds=HANGS_S)}
    return ExtractRules(**{**usual, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Let one event loop, and one pool of processes, serve the tests that need no pool of their own."""
    return "asyncio"


@pytest.fixture(scope="module")
async def extractor() -> AsyncIterator[Watched]:
    extractor = Watched(rules())
    yield extractor
    await extractor.aclose()


async def read(extractor: ProcessExtractor, content: Page | Text | None = None) -> Article:
    return await extractor.extract(content or page_of(news_page()), hints_of(), fetched_at=NOW)


def children_of(pid: int) -> set[int]:
    """Return all descendants of a process."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    below: set[int] = set()
    while found := {child for child, parent in parents.items() if parent in below | {pid}} - below:
        below |= found
    return below


class Watched(ProcessExtractor):
    """Records which worker was given a page last."""

    def __init__(self, given: ExtractRules) -> None:
        super().__init__(given)
        self._busy: asyncio.Queue[int] = asyncio.Queue()

    async def _run_on(self, worker: pool._Worker, job: ipc.Job, *, within: float) -> ipc.JobResult:
        self._busy.put_nowait(worker.pid)
        return await super()._run_on(worker, job, within=within)

    async def read_before(self) -> None:
        """Extract a page, and forget which worker did."""
        await read(self)
        await self._busy.get()

    async def kill_busy_worker(self) -> None:
        """Kill the worker that has a page."""
        os.kill(await self._busy.get(), signal.SIGKILL)


def workers_of(pid: int) -> set[int]:
    """Return the workers below a process: its descendants that have no children themselves."""
    return {child for child in children_of(pid) if not children_of(child)}


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_pages_and_texts_become_articles_side_by_side(extractor: ProcessExtractor) -> None:
    contents: list[Page | Text] = [page_of(news_page()), Text(text=WHOLE, title="Tựa")]

    articles = await asyncio.gather(*(read(extractor, content) for content in contents * 8))

    assert {article.text for article in articles} == {WHOLE}
    assert len(workers_of(os.getpid())) == 2


async def test_the_reason_of_a_rejection_crosses_the_process_border(extractor: ProcessExtractor) -> None:
    with pytest.raises(ExtractError, match="not HTML") as caught:
        await read(extractor, page_of(b"chu"))

    assert caught.value.reason == "not-html"


async def test_a_refused_rights_signal_is_a_block_and_not_a_rejection() -> None:
    extractor = ProcessExtractor(rules(refuse=("noai",)))
    page = page_of(news_page(head='<meta name="robots" content="noai">'))

    try:
        with pytest.raises(FetchBlocked, match="noai"):
            await read(extractor, page)
    finally:
        await extractor.aclose()


async def test_a_page_that_ends_a_new_worker_costs_itself_only() -> None:
    extractor = Watched(rules(renew_after=1))
    try:
        await extractor.read_before()
        slow = asyncio.create_task(read(extractor, page_of(SLOW)))
        await extractor.kill_busy_worker()

        with pytest.raises(ExtractError, match="ended its worker process") as caught:
            await slow

        assert caught.value.reason == "crash"
        assert (await read(extractor)).text == WHOLE
    finally:
        await extractor.aclose()


async def test_a_page_whose_worker_had_read_others_is_read_again_by_a_new_one() -> None:
    extractor = Watched(rules())
    slow = page_of(news_page(body=article_body(inside="<p>" + "chữ nối chữ " * 20_000)))
    try:
        await extractor.read_before()
        expected = (await read(extractor, slow)).text
        await extractor._busy.get()
        again = asyncio.create_task(read(extractor, slow))

        await extractor.kill_busy_worker()

        assert (await again).text == expected
    finally:
        await extractor.aclose()


async def test_a_page_is_not_blamed_if_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_FORK_SERVER_CODE", "import time; time.sleep(600)")
    monkeypatch.setattr(pool, "_START_TIMEOUT_S", 0.2)
    monkeypatch.setattr(pool, "_STOP_TIMEOUT_S", 0.2)
    extractor = ProcessExtractor(rules())
    try:
        async with asyncio.timeout(HANGS_S):
            with pytest.raises(ExtractorDown, match="no worker process could be started") as caught:
                await read(extractor)
    finally:
        await extractor.aclose()

    assert caught.value.reason == "no-worker"


async def test_the_run_ends_if_no_process_ever_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_FORK_SERVER_CODE", "raise SystemExit(1)")
    extractor = ProcessExtractor(rules())
    try:
        with pytest.raises(MachineError, match="no worker process could be started"):
            await read(extractor)
    finally:
        await extractor.aclose()


async def test_an_interpreter_that_may_not_be_run_is_no_shortage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.touch(mode=0o644)
    monkeypatch.setattr(sys, "executable", str(python))
    extractor = ProcessExtractor(rules())
    try:
        with pytest.raises(MachineError) as raised:
            await read(extractor)
    finally:
        await extractor.aclose()

    why = f"{python}: Permission denied; check whether this user may run it"
    assert str(raised.value) == f"no worker process could be started: {why}"


async def test_a_temporary_shortage_of_processes_costs_tries_and_a_permanent_one_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extractor = ProcessExtractor(rules(processes=1, renew_after=1))
    try:
        await read(extractor)
        await extractor._drop_fork_server()
        monkeypatch.setattr(pool, "_FORK_SERVER_CODE", "raise SystemExit(1)")
        for _ in range(pool.MAX_FAILED_STARTS - 1):
            with pytest.raises(ExtractorDown):
                await read(extractor)
        monkeypatch.undo()
        await read(extractor)
        await extractor._drop_fork_server()
        monkeypatch.setattr(pool, "_FORK_SERVER_CODE", "raise SystemExit(1)")
        for _ in range(pool.MAX_FAILED_STARTS - 1):
            with pytest.raises(ExtractorDown):
                await read(extractor)
        with pytest.raises(MachineError, match="no worker process could be started"):
            await read(extractor)
    finally:
        await extractor.aclose()


class SlowToStart(Watched):
    """Starts every process slowly, by the same clock that times a page."""

    def __init__(self, *, clock: FakeTime, seconds: float) -> None:
        super().__init__(rules(processes=1))
        self._clock = clock
        self._seconds = seconds

    async def _spawn(self) -> pool._Worker:
        self._clock.later += self._seconds
        return await super()._spawn()


class FakeTime:
    """The clock of the pool, set forward by tests."""

    def __init__(self) -> None:
        self.later = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.later


async def test_starting_another_process_does_not_count_towards_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeTime()
    monkeypatch.setattr(pool, "time", clock)
    extractor = SlowToStart(clock=clock, seconds=10 * HANGS_S)
    slow = page_of(news_page(body=article_body(inside="<p>" + "chữ nối chữ " * 20_000)))
    try:
        expected = (await read(extractor, slow)).text
        await extractor._busy.get()
        again = asyncio.create_task(read(extractor, slow))

        await extractor.kill_busy_worker()

        assert (await again).text == expected
    finally:
        await extractor.aclose()


async def test_a_page_over_its_time_is_ended_and_the_next_is_right() -> None:
    extractor = ProcessExtractor(rules(timeout=timedelta(milliseconds=300), processes=1))
    try:
        await extractor.start()
        with pytest.raises(ExtractError) as caught:
            await read(extractor, page_of("<p>" + "chữ nối chữ " * 600_000))

        assert caught.value.reason == "timeout"
        extractor._rules = rules(processes=1)
        assert (await read(extractor)).text == WHOLE
    finally:
        await extractor.aclose()


async def test_a_page_over_its_memory_is_rejected_and_the_next_is_right() -> None:
    extractor = ProcessExtractor(rules(memory=40 << 20))
    try:
        with pytest.raises(ExtractError) as caught:
            await read(extractor, page_of("<p>một <b>hai</b></p>" * 600_000))

        assert caught.value.reason in {"memory", "crash"}
        assert (await read(extractor)).text == WHOLE
    finally:
        await extractor.aclose()


async def test_the_fork_server_itself_may_die(extractor: ProcessExtractor) -> None:
    await read(extractor)
    fork_servers = children_of(os.getpid()) - workers_of(os.getpid())
    for pid in fork_servers:
        os.kill(pid, signal.SIGKILL)

    outcomes = await asyncio.gather(*(read(extractor) for _ in range(4)))

    assert [outcome.text for outcome in outcomes] == [WHOLE] * 4


async def test_workers_are_renewed_after_so_many_pages() -> None:
    extractor = ProcessExtractor(rules(processes=1, renew_after=3))
    try:
        seen = set()
        for _ in range(7):
            await read(extractor)
            seen |= workers_of(os.getpid())

        assert len(seen) >= 2
    finally:
        await extractor.aclose()


async def test_a_cancelled_extraction_leaves_a_pool_that_works(extractor: Watched) -> None:
    while not extractor._busy.empty():
        extractor._busy.get_nowait()
    task = asyncio.create_task(read(extractor, page_of(SLOW)))
    worker = await extractor._busy.get()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await read(extractor)).text == WHOLE
    eventually(lambda: not alive(worker))


async def test_a_keyboard_interrupt_of_the_whole_group_does_not_end_the_workers(extractor: ProcessExtractor) -> None:
    await read(extractor)
    workers = workers_of(os.getpid())
    for pid in children_of(os.getpid()):
        os.kill(pid, signal.SIGINT)

    assert (await read(extractor)).text == WHOLE
    assert workers <= workers_of(os.getpid())
    assert all(os.getpgid(pid) != os.getpgrp() for pid in workers)


async def test_a_used_worker_reads_a_page_like_one_that_has_read_no_other() -> None:
    order = [name for step in (1, 5, 7) for name in (sorted(MEDLEY) * step)[::step]]
    new, used = (ProcessExtractor(rules(processes=1, renew_after=pages)) for pages in (1, 1000))
    try:
        alone = {name: await outcome_in(new, page) for name, page in MEDLEY.items()}

        assert [await outcome_in(used, MEDLEY[name]) for name in order] == [alone[name] for name in order]
        assert sum(isinstance(outcome, Article) for outcome in alone.values()) >= 6
    finally:
        await new.aclose()
        await used.aclose()


async def outcome_in(extractor: ProcessExtractor, page: Page) -> Article | str:
    try:
        return await read(extractor, page)
    except ExtractError as error:
        return error.reason


async def test_closing_ends_every_process() -> None:
    before = children_of(os.getpid())
    extractor = ProcessExtractor(rules())
    await asyncio.gather(*(read(extractor) for _ in range(4)))
    during = children_of(os.getpid())

    await extractor.aclose()

    assert len(during - before) >= 2
    assert children_of(os.getpid()) <= before


async def test_the_processes_end_with_their_parent() -> None:
    script = (
        "import asyncio, os, signal\n"
        "from worker.extract.ipc import ExtractRules\n"
        "from worker.extract.pool import ProcessExtractor\n"
        "async def main():\n"
        "    extractor = ProcessExtractor(ExtractRules(processes=1))\n"
        "    await extractor.start()\n"
        "    print('up', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert parent.stdout is not None
    await parent.stdout.readline()
    below = children_of(parent.pid)

    parent.kill()
    await parent.wait()

    async with asyncio.timeout(HANGS_S):
        while any(alive(pid) for pid in below):
            await asyncio.sleep(0.05)
    assert len(below) == 2


async def test_no_hostile_page_takes_longer_than_its_limit_or_harms_the_next() -> None:
    short = rules(processes=2, min_words=5, timeout=timedelta(seconds=1.5))
    extractor = ProcessExtractor(short)
    known = {"timeout", "crash", "memory", "empty", "short", "listing", "not-html", "gone", "size"}
    outcomes: dict[str, str] = {}

    async def attempt(name: str, body: bytes) -> None:
        try:
            async with asyncio.timeout(HANGS_S):
                await read(extractor, page_of(body))
            outcomes[name] = "article"
        except ExtractError as error:
            outcomes[name] = error.reason

    try:
        pages = hostile_pages(scale=0.2)
        while batch := [*islice(pages, 2)]:
            extractor._rules = short
            await asyncio.gather(*(attempt(name, body) for name, body in batch))
            extractor._rules = rules(min_words=5)
            after = await asyncio.gather(read(extractor), read(extractor))
            assert [article.text for article in after] == [WHOLE] * 2, batch[0][0]
    finally:
        await extractor.aclose()

    assert len(outcomes) >= 60
    assert set(outcomes.values()) <= known | {"article"}
