"""The discover flow: candidates reach the store, and errors of a source are reported, not raised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.fakes import START, FakeClock, FakeFetcher, Watcher, faked_stages, limits, page
from worker.dedupe.judge import Deduper
from worker.errors import FetchBlocked, FetchError, SourceError, StoreError
from worker.models import Candidate, Discovery, Page, Source, State, Validators
from worker.pipeline.discover import Discoverer
from worker.pipeline.stages import Tally
from worker.ports import Parser
from worker.schedule.poll_interval import IntervalPolicy
from worker.storage.maintenance.forget import ForgetRequest
from worker.storage.store import Store, open_store

FEED = "https://paper.example/rss"
SOURCE = Source(name="paper", kind="feed", url=FEED)
MINUTES = timedelta(minutes=1)


def parse(read: Page, source: Source, /, *, now: datetime) -> Discovery:
    """Read one link per line; `> link` leads to a further page, `! why` is a note."""
    if read.body.startswith(b"<html"):
        raise SourceError(f"{read.final_url}: this is an HTML page, not a feed")
    lines = read.body.decode().split()
    links = [line for line in lines if line.startswith("https")]
    return Discovery(
        candidates=tuple(Candidate(url=u, canonical_url=u, source=source.name, reference=read.url) for u in links),
        follow=tuple(line[1:] for line in lines if line.startswith(">")),
        notes=tuple(line[1:] for line in lines if line.startswith("!")),
    )


@pytest.fixture
def store() -> Iterator[Store]:
    with open_store("sqlite://", parameters=Deduper().parameters) as opened:
        yield opened


class Run:
    def __init__(self, store: Store, answers: dict[str, object], *, follow: int = 10, detected: str = "feed") -> None:
        self.store, self.clock = store, FakeClock()
        self.fetcher, self.watcher, self.tally = FakeFetcher(answers), Watcher(), Tally()
        self.parsers: dict[str, Parser] = {"feed": parse, "listing": parse}
        stages = replace(
            faked_stages(store, clock=self.clock, fetcher=self.fetcher),
            parsers=self.parsers,
            detect=lambda read, gate=None: "article" if read.body.startswith(b"Tin") else detected,
        )
        policy = IntervalPolicy(every=15 * MINUTES, min_every=5 * MINUTES, max_every=60 * MINUTES, jitter=0)
        self.discoverer = Discoverer(
            stages,
            limits(policy=policy, poll_lease=MINUTES, max_pages=follow),
            tally=self.tally,
            observer=self.watcher,
            worker="here:1",
        )

    def pending(self) -> int:
        return self.store.ledger.pending(now=self.clock.now())[0]


@pytest.mark.anyio
async def test_what_a_feed_lists_becomes_pending_once(store: Store) -> None:
    run = Run(store, {FEED: "https://paper.example/1 https://paper.example/2"})

    first = await run.discoverer.poll(SOURCE)
    second = await run.discoverer.poll(SOURCE)

    assert (first.found, first.new, first.error) == (2, 2, "")
    assert (second.found, second.new) == (2, 0)
    assert run.pending() == 2
    assert run.tally.discovered == 2


@pytest.mark.anyio
async def test_a_source_whose_host_was_forgotten_is_not_fetched_and_says_why(store: Store) -> None:
    run = Run(store, {FEED: "https://paper.example/1"})
    request = ForgetRequest(target="paper.example", reason="a request", is_host=True)
    store.review.forget(request, judge=Deduper().judge, now=START)

    report = await run.discoverer.poll(SOURCE)

    assert run.fetcher.requests == []
    assert "a person had it removed" in report.error
    assert "forget --lift" in store.ledger.source_state("paper").error
    store.review.lift([request], now=START)
    assert not (await run.discoverer.poll(SOURCE)).error


@pytest.mark.anyio
async def test_a_bug_in_a_parser_is_logged_and_its_source_backs_off(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(store, {FEED: "https://paper.example/1"})

    def broken(read: Page, source: Source, /, *, now: datetime) -> Discovery:
        raise ZeroDivisionError("no such thing")

    run.parsers["feed"] = broken

    report = await run.discoverer.poll(SOURCE)

    state = store.ledger.source_state("paper")
    assert "no such thing" in report.error
    assert (state.failures, state.due_at) == (1, START + 15 * MINUTES)
    assert "discover.bug" in "".join(capsys.readouterr())


@pytest.mark.anyio
async def test_the_next_poll_comes_after_the_interval(store: Store) -> None:
    run = Run(store, {FEED: "https://paper.example/1"})

    await run.discoverer.poll(SOURCE)

    assert store.ledger.source_state("paper").due_at == START + 15 * MINUTES


@pytest.mark.anyio
async def test_a_source_keeps_its_own_interval(store: Store) -> None:
    run = Run(store, {FEED: "https://paper.example/1"})

    await run.discoverer.poll(Source(name="paper", kind="feed", url=FEED, every=30 * MINUTES))

    assert store.ledger.source_state("paper").due_at == START + 30 * MINUTES


@pytest.mark.anyio
async def test_validators_are_kept_and_sent_and_a_304_is_not_parsed(store: Store) -> None:
    run = Run(store, {FEED: page(FEED, "https://paper.example/1", validators=Validators(etag='"1"'))})
    await run.discoverer.poll(SOURCE)
    run.fetcher.answers[FEED] = Page(url=FEED, final_url=FEED, status=304, body=b"", fetched_at=START)

    report = await run.discoverer.poll(SOURCE)

    assert run.fetcher.requests[1].validators == Validators(etag='"1"')
    assert report.not_modified
    assert store.ledger.source_state("paper").validators == Validators(etag='"1"')


@pytest.mark.anyio
async def test_further_pages_are_read_once_each(store: Store) -> None:
    run = Run(
        store,
        {
            FEED: "https://paper.example/1 >https://paper.example/p2",
            "https://paper.example/p2": f"https://paper.example/2 >https://paper.example/p2 >{FEED}",
        },
    )

    report = await run.discoverer.poll(SOURCE)

    assert report.found == 2
    assert len(run.fetcher.requests) == 2


@pytest.mark.anyio
async def test_validators_are_not_kept_where_a_part_could_not_be_read(store: Store) -> None:
    index = page(FEED, "https://paper.example/1 >https://paper.example/p2", validators=Validators(etag='"1"'))
    run = Run(store, {FEED: index, "https://paper.example/p2": FetchError("503", reason="http", retry=True)})

    report = await run.discoverer.poll(SOURCE)

    assert report.found == 1
    assert "https://paper.example/p2: 503" in report.notes
    assert store.ledger.source_state("paper").validators == Validators()


@pytest.mark.anyio
async def test_a_poll_reads_only_so_many_pages(store: Store) -> None:
    chain = {f"https://paper.example/p{n}": f">https://paper.example/p{n + 1}" for n in range(50)}
    run = Run(store, {FEED: ">https://paper.example/p0", **chain}, follow=5)

    report = await run.discoverer.poll(SOURCE)

    assert len(run.fetcher.requests) <= 6
    assert any("stopped after" in note for note in report.notes)


@pytest.mark.anyio
async def test_a_failing_source_waits_longer_each_time_and_records_why(store: Store) -> None:
    run = Run(store, {FEED: FetchError("paper.example: connection refused", reason="connect", retry=True)})

    waits = []
    for _ in range(3):
        report = await run.discoverer.poll(SOURCE)
        state = store.ledger.source_state("paper")
        assert state.due_at is not None
        waits.append(state.due_at - run.clock.now())

    assert report.error == "paper.example: connection refused"
    assert waits == [5 * MINUTES, 10 * MINUTES, 20 * MINUTES]
    assert state.failures == 3
    assert state.error == report.error


@pytest.mark.anyio
async def test_a_source_that_recovers_is_reset(store: Store) -> None:
    run = Run(store, {FEED: FetchError("down", reason="connect", retry=True)})
    await run.discoverer.poll(SOURCE)
    run.fetcher.answers[FEED] = "https://paper.example/1"

    await run.discoverer.poll(SOURCE)

    state = store.ledger.source_state("paper")
    assert (state.failures, state.error) == (0, "")


@pytest.mark.anyio
async def test_a_feed_that_is_a_page_is_a_failed_source(store: Store) -> None:
    run = Run(store, {FEED: "<html>"})

    report = await run.discoverer.poll(SOURCE)

    assert "this is an HTML page, not a feed" in report.error


@pytest.mark.anyio
async def test_a_store_that_fails_is_not_the_sources_fault(store: Store) -> None:
    run = Run(store, {FEED: StoreError("the disk is full")})

    with pytest.raises(StoreError):
        await run.discoverer.poll(SOURCE)


@pytest.mark.anyio
async def test_a_target_that_is_an_article_is_ingested_without_a_second_fetch(store: Store) -> None:
    url = "https://paper.example/bai"
    run = Run(store, {url: "Tin\nmột hai ba"})
    target = Source(name="paper.example", kind="auto", url=url)

    first = await run.discoverer.read(target, batch="b1")
    second = await run.discoverer.read(target, batch="b2")

    assert (first.new, second.new) == (1, 0)
    claims = store.ledger.claim(now=START, lease=MINUTES, limit=9, worker="w")
    assert len(claims) == 1
    assert isinstance(claims[0].payload, Page)
    assert store.ledger.source_state("paper.example").polled_at is None


@pytest.mark.anyio
async def test_a_target_of_an_unreadable_kind_is_an_error(store: Store) -> None:
    run = Run(store, {FEED: "https://paper.example/1"})
    run.parsers.clear()

    report = await run.discoverer.read(Source(name="x", kind="auto", url=FEED), batch="b")

    assert "looks like a feed, which cannot be read" in report.error


@pytest.mark.anyio
async def test_files_are_read_in_batches_with_their_notes(store: Store, tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / f"{n}.txt").write_text(f"Tiêu đề {n}\nchữ", encoding="utf-8")
        (tmp_path / f"{n}.jsonl").write_bytes(b"no record")
    run = Run(store, {})

    report = await run.discoverer.poll(Source(name="in", kind="files", url=str(tmp_path)))

    assert (report.found, report.new) == (3, 3)
    assert len(report.notes) == 3
    assert store.reader.candidate((tmp_path / "0.txt").as_uri()) is not None
    assert store.reader.counts().counts[State.PENDING] == 3


@pytest.mark.anyio
async def test_a_folder_that_is_not_there_is_a_failed_source(store: Store) -> None:
    run = Run(store, {})

    report = await run.discoverer.poll(Source(name="in", kind="files", url="missing"))

    assert report.error == "missing: no such file or folder; check the path"


@pytest.mark.anyio
async def test_a_target_without_links_is_treated_as_an_article(store: Store) -> None:
    url = "https://paper.example/bai"
    run = Run(store, {url: "nothing here"}, detected="listing")

    report = await run.discoverer.read(Source(name="paper.example", kind="auto", url=url), batch="b1")

    assert (report.found, report.error) == (1, "")


@pytest.mark.anyio
async def test_a_source_that_another_worker_polls_is_skipped(store: Store) -> None:
    run = Run(store, {FEED: "https://paper.example/1"})
    store.ledger.claim_poll("paper", now=START, lease=MINUTES, worker="there:2", only_if_due=False)

    report = await run.discoverer.poll(SOURCE)

    assert report.skipped
    assert run.fetcher.requests == []


@pytest.mark.anyio
async def test_a_source_that_was_just_polled_is_not_due(store: Store) -> None:
    run = Run(store, {FEED: "https://paper.example/1"})
    await run.discoverer.poll(SOURCE)

    report = await run.discoverer.poll(SOURCE, only_if_due=True)

    assert report.skipped
    assert len(run.fetcher.requests) == 1


@pytest.mark.anyio
async def test_a_sitemaps_parser_gets_the_time_of_the_last_reading(store: Store) -> None:
    run = Run(store, {FEED: "https://paper.example/1"})
    looks: list[datetime | None] = []

    def note(read: Page, source: Source, /, *, now: datetime) -> Discovery:
        looks.append(source.options.read_at)
        return parse(read, source, now=now)

    run.parsers["sitemap"] = note
    source = Source(name="paper", kind="sitemap", url=FEED)

    await run.discoverer.poll(source)
    await run.discoverer.poll(source)

    assert looks == [None, START]


@pytest.mark.anyio
async def test_a_failed_part_of_a_sitemap_is_retried_until_it_was_read_or_a_week_has_passed(store: Store) -> None:
    part, day = "https://paper.example/part.xml", timedelta(days=1)
    run = Run(store, {FEED: f">{part}", part: FetchError("no answer", reason="timeout", retry=True)})
    looks: list[datetime | None] = []

    def note(read: Page, source: Source, /, *, now: datetime) -> Discovery:
        if read.url == FEED:
            looks.append(source.options.read_at)
        return parse(read, source, now=now)

    run.parsers["sitemap"] = note
    source = Source(name="paper", kind="sitemap", url=FEED)

    for days in (0, 2, 7, 1):
        run.clock.advance(days * day)
        await run.discoverer.poll(source)
    run.fetcher.answers[part] = "https://paper.example/1"
    await run.discoverer.poll(source)
    await run.discoverer.poll(source)

    owed = [START + days * day for days in (-7, -5, 2, 3)]
    assert looks == [None, *owed, START + 10 * day]


@pytest.mark.anyio
async def test_a_missing_part_of_a_sitemap_holds_nothing_back(store: Store) -> None:
    part = "https://paper.example/part.xml"
    run = Run(store, {FEED: f">{part}", part: FetchError("gone", reason="gone", retry=False, status=404)})
    run.parsers["sitemap"] = parse

    await run.discoverer.poll(Source(name="paper", kind="sitemap", url=FEED))

    assert store.ledger.source_state("paper").learned.publishing_stats.read_at == START


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FetchBlocked("robots.txt forbids it", reason="robots"), ""),
        (FetchError("404", reason="gone", retry=False, status=404), ""),
        (FetchError("down", reason="connect", retry=True), "down"),
    ],
)
async def test_a_target_that_cannot_be_fetched_is_counted(store: Store, error: FetchError, said: str) -> None:
    url = "https://paper.example/bai"
    run = Run(store, {url: error})

    report = await run.discoverer.read(Source(name="paper.example", kind="auto", url=url), batch="b1")

    assert (report.found, report.error) == (1, said)
    assert run.pending() == 1


@pytest.mark.anyio
async def test_a_permanent_redirect_of_a_source_is_noted(store: Store) -> None:
    moved = replace(page(FEED, "https://paper.example/1"), permanent_url="https://paper.example/rss2")
    run = Run(store, {FEED: moved})

    report = await run.discoverer.poll(SOURCE)

    assert report.notes == ('it has moved for good: set url = "https://paper.example/rss2"',)
