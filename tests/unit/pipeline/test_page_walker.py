"""The pages of a source: very long ones are read to their end, and many pages in turn over several polls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.fakes import START, FakeClock, FakeFetcher, Watcher, faked_stages, limits
from worker.dedupe.judge import Deduper
from worker.errors import FetchError, SourceError
from worker.models import Candidate, Discovery, Page, Request, Source
from worker.pipeline.discover import Discoverer
from worker.pipeline.stages import Tally
from worker.storage.store import Store, open_store

INDEX = "https://paper.example/index.xml"
SITEMAP = Source(name="paper", kind="sitemap", url=INDEX)
FEED = Source(name="paper", kind="feed", url="https://paper.example/rss")
MINUTES = timedelta(minutes=1)
SLICE = 3


def parse(read: Page, source: Source, /, *, now: datetime) -> Discovery:
    """Read one link per line, three at a time; `> link` leads to a further page, `bad` is no entry."""
    del now
    lines = read.body.decode().split()
    if "bad" in lines[:SLICE]:
        raise SourceError("it cannot be read")
    links, rest = [line for line in lines if line[0] == "h"][:SLICE], " ".join(lines[SLICE:])
    return Discovery(
        candidates=tuple(Candidate(url=u, canonical_url=u, source=source.name, reference=read.url) for u in links),
        follow=tuple(line[1:] for line in lines if line[0] == ">"),
        rest=replace(read, body=rest.encode()) if rest and lines[0][0] == "h" else None,
    )


class SlowFetcher(FakeFetcher):
    """Fetches pages, each of which takes some time."""

    def __init__(self, answers: dict[str, object], clock: FakeClock, *, takes: timedelta) -> None:
        super().__init__(answers)
        self.clock, self.takes = clock, takes

    async def fetch(self, request: Request) -> Page:
        self.clock.advance(self.takes)
        return await super().fetch(request)


class Run:
    def __init__(
        self, store: Store, answers: dict[str, object], *, takes: timedelta = timedelta(0), most: int = 10
    ) -> None:
        self.store, self.clock = store, FakeClock()
        self.fetcher = SlowFetcher(answers, self.clock, takes=takes)
        self.looks: list[datetime | None] = []
        stages = replace(
            faked_stages(store, clock=self.clock, fetcher=self.fetcher), parsers={"sitemap": self.parse, "feed": parse}
        )
        self.discoverer = Discoverer(
            stages, limits(poll_lease=10 * MINUTES, max_pages=most), tally=Tally(), observer=Watcher(), worker="here:1"
        )

    def parse(self, read: Page, source: Source, /, *, now: datetime) -> Discovery:
        if read.url == INDEX:
            self.looks.append(source.options.read_at)
        return parse(read, source, now=now)

    async def poll(self, source: Source = SITEMAP) -> tuple[str, ...]:
        """Poll once, return the pages fetched, and let an hour pass."""
        before = len(self.fetcher.requests)
        report = await self.discoverer.poll(source)
        assert not report.error
        self.clock.advance(60 * MINUTES)
        return tuple(request.url for request in self.fetcher.requests[before:])


def part(number: int) -> str:
    return f"https://paper.example/part{number:02}.xml"


def index_of(count: int) -> dict[str, object]:
    pages: dict[str, object] = {part(n): f"https://paper.example/{n}" for n in range(count)}
    return {INDEX: " ".join(f">{part(n)}" for n in range(count)), **pages}


def links(count: int, *, first: int = 0) -> str:
    return " ".join(f"https://paper.example/{n}" for n in range(first, first + count))


@pytest.fixture
def store() -> Iterator[Store]:
    with open_store("sqlite://", parameters=Deduper().parameters) as opened:
        yield opened


@pytest.mark.anyio
async def test_polls_read_all_parts_in_turn_and_the_first_ones_every_time(store: Store) -> None:
    run = Run(store, index_of(30))

    polls = [await run.poll() for _ in range(4)]

    assert all(len(fetched) == 11 for fetched in polls)
    assert all(fetched[:3] == (INDEX, part(0), part(29)) for fetched in polls)
    assert set().union(*polls) == {INDEX, *(part(n) for n in range(30))}


class EndlessIndex(dict[str, object]):
    """Answers every address with an index of further ones."""

    def get(self, url: str, _default: object = None) -> object:
        return " ".join(f">{url}{n}" for n in range(40))


@pytest.mark.anyio
async def test_an_endless_index_costs_fewer_and_fewer_requests(store: Store) -> None:
    run = Run(store, {}, most=200)
    run.fetcher.answers = EndlessIndex()

    polls = [len(await run.poll()) for _ in range(9)]

    assert polls == [201, 201, 201, 201, 101, 51, 26, 21, 21]


@pytest.mark.anyio
async def test_a_large_index_is_read_completely_whatever_its_order(store: Store) -> None:
    answers = index_of(900)
    for n in range(850):
        answers[part(n)] = "https://paper.example/old"  # nothing new in most of it
    run = Run(store, answers, most=200)

    polls = [await run.poll() for _ in range(12)]

    assert set().union(*polls) == {INDEX, *map(part, range(900))}


@pytest.mark.anyio
async def test_the_one_part_that_grows_is_read_at_every_poll_once_it_is_known(store: Store) -> None:
    run = Run(store, index_of(100), most=200)
    for _ in range(8):
        await run.poll()

    later = []
    for n in range(8):
        run.fetcher.answers[part(70)] = f"https://paper.example/new{n}"
        later.append(await run.poll())

    assert part(70) in set().union(*later[:4])
    assert all(part(70) in fetched[:4] for fetched in later[4:])
    assert sum(map(len, later)) < 8 * 70


@pytest.mark.anyio
async def test_a_part_that_is_added_to_a_long_index_is_read_at_the_next_poll(store: Store) -> None:
    run = Run(store, index_of(100), most=200)
    for _ in range(10):
        await run.poll()
    run.fetcher.answers = index_of(101)

    fetched = await run.poll()

    assert len(fetched) == 21
    assert part(100) in fetched


@pytest.mark.anyio
async def test_a_poll_of_slow_pages_ends_by_time_and_the_next_one_continues(store: Store) -> None:
    run = Run(store, index_of(12), takes=2 * MINUTES)

    polls = [await run.poll() for _ in range(8)]

    assert all(len(fetched) < 6 for fetched in polls)
    assert set().union(*polls) == {INDEX, *(part(n) for n in range(12))}


@pytest.mark.anyio
async def test_parts_of_a_nested_index_are_read_in_turn(store: Store) -> None:
    answers = index_of(40)
    answers[INDEX] = ">https://paper.example/a.xml >https://paper.example/b.xml"
    answers["https://paper.example/a.xml"] = " ".join(f">{part(n)}" for n in range(20))
    answers["https://paper.example/b.xml"] = " ".join(f">{part(n)}" for n in range(20, 40))
    run = Run(store, answers)

    polls = [await run.poll() for _ in range(6)]

    assert {part(n) for n in range(40)} <= set().union(*polls)


@pytest.mark.anyio
async def test_changes_count_from_the_last_complete_round(store: Store) -> None:
    run = Run(store, index_of(30))

    for _ in range(6):
        await run.poll()

    # The fourth poll reads the last part: all of it had been read since the first began.
    assert run.looks == [None, None, None, None, START, START]


@pytest.mark.anyio
async def test_a_round_with_a_failed_part_does_not_count(store: Store) -> None:
    answers = index_of(30)
    answers[part(12)] = FetchError("503", reason="http", retry=True)
    run = Run(store, answers)

    for _ in range(5):
        await run.poll()

    week_before = START + 3 * 60 * MINUTES - timedelta(days=7)
    assert run.looks == [None, None, None, None, week_before]


@pytest.mark.anyio
async def test_a_sitemap_that_is_read_in_one_poll_again_forgets_where_it_stopped(store: Store) -> None:
    run = Run(store, index_of(30))
    await run.poll()
    assert store.ledger.source_state("paper").learned.publishing_stats.stopped_at == part(9)

    run.fetcher.answers[INDEX] = f">{part(1)}"
    await run.poll()

    habits = store.ledger.source_state("paper").learned.publishing_stats
    assert (habits.stopped_at, habits.round_began) == ("", None)
    assert habits.read_at == START + 60 * MINUTES


@pytest.mark.anyio
async def test_the_first_poll_of_a_very_long_feed_reads_it_to_its_end_and_later_ones_what_is_new(store: Store) -> None:
    run = Run(store, {FEED.url: links(12)})

    first = await run.discoverer.poll(FEED)
    unchanged = await run.discoverer.poll(FEED)
    run.fetcher.answers[FEED.url] = links(2, first=50) + " " + links(12)
    grown = await run.discoverer.poll(FEED)

    assert (first.found, first.new) == (12, 12)
    assert (unchanged.found, unchanged.new) == (3, 0)
    assert (grown.found, grown.new) == (6, 2)


@pytest.mark.anyio
async def test_a_first_poll_reads_on_past_known_entries(store: Store) -> None:
    run = Run(store, {FEED.url: links(6)})
    await run.discoverer.poll(replace(FEED, name="other"))
    run.fetcher.answers[FEED.url] = links(12)

    report = await run.discoverer.poll(FEED)

    assert (report.found, report.new) == (12, 6)


@pytest.mark.anyio
async def test_an_endless_feed_is_read_to_a_limit_with_a_note(store: Store) -> None:
    run = Run(store, {FEED.url: links(130)})

    report = await run.discoverer.poll(FEED)

    assert report.found == 120
    assert any("it has too many entries; 120 were read" in note for note in report.notes)


@pytest.mark.anyio
async def test_an_unreadable_rest_is_noted_and_costs_only_itself(store: Store) -> None:
    run = Run(store, {FEED.url: links(3) + " bad"})

    report = await run.discoverer.poll(FEED)

    assert (report.error, report.found) == ("", 3)
    assert report.notes == (f"{FEED.url}: it cannot be read",)
