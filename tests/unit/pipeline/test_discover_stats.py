"""What the discover flow learns: poll intervals, gaps between two polls, and changes of a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from tests.fakes import START, FakeClock, FakeFetcher, Watcher, faked_stages, limits, page
from worker.dedupe.judge import Deduper
from worker.errors import FetchError, SourceError
from worker.models import Candidate, Discovery, OutcomeStats, Page, Source, SourceOptions, State, Validators
from worker.pipeline.discover import Discoverer
from worker.pipeline.stages import Tally
from worker.schedule.drift import PageOutcome, add_outcome
from worker.schedule.poll_interval import IntervalPolicy
from worker.storage.queue import sources
from worker.storage.store import Store, open_store

FEED = "https://paper.example/rss"
SITEMAP = "https://paper.example/sitemap.xml"
SOURCE = Source(name="paper", kind="feed", url=FEED)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
RHYTHM = IntervalPolicy(every=15 * MINUTE, min_every=5 * MINUTE, max_every=12 * HOUR, jitter=0)


def parse(read: Page, source: Source, /, *, now: datetime) -> Discovery:
    """Read one link per line."""
    if not read.body.startswith((b"https", b"#")):
        raise SourceError(f"{read.final_url}: this is no feed")
    links = [line for line in read.body.decode().split() if line.startswith("https")]
    return Discovery(
        candidates=tuple(Candidate(url=u, canonical_url=u, source=source.name, reference=read.url) for u in links)
    )


def links(*numbers: int) -> str:
    return " ".join(["#", *(f"https://paper.example/{number}" for number in numbers)])


@pytest.fixture
def store() -> Iterator[Store]:
    with open_store("sqlite://", parameters=Deduper().parameters) as opened:
        yield opened


class Desk:
    """A discoverer over the real store; robots.txt names `robots`, the configuration the sitemaps in `configured`."""

    def __init__(self, store: Store, *, robots: Sequence[str] = (), configured: Sequence[str] = ()) -> None:
        self.store, self.clock = store, FakeClock()
        self.fetcher = FakeFetcher({}, robots=lambda _: robots)
        self.since: list[datetime | None] = []
        stages = replace(
            faked_stages(store, clock=self.clock, fetcher=self.fetcher),
            parsers={"feed": parse, "sitemap": self.parse_sitemap},
            detect=lambda _, gate=None: "feed",
        )
        self.discoverer = Discoverer(
            stages, limits(sitemaps={"paper.example": configured}), tally=Tally(), observer=Watcher(), worker="here:1"
        )

    def parse_sitemap(self, read: Page, source: Source, /, *, now: datetime) -> Discovery:
        self.since.append(source.options.read_at)
        return parse(read, source, now=now)

    async def poll(self, answer: object, *, source: Source = SOURCE, after: timedelta = HOUR) -> Sequence[str]:
        """Poll the source after some time, and return the notes."""
        self.clock.advance(after)
        self.fetcher.answers[source.url] = answer
        return (await self.discoverer.poll(source)).notes

    def pending(self) -> int:
        return self.store.ledger.pending(now=self.clock.now())[0]

    def wait(self, source: Source = SOURCE) -> timedelta:
        due = self.store.ledger.source_state(source.name).due_at
        assert due is not None
        return due - self.clock.now()


@pytest.mark.anyio
async def test_the_interval_follows_what_the_source_publishes(store: Store) -> None:
    desk = Desk(store)
    for number in range(48):
        await desk.poll(links(number // 24, 1000), after=HOUR)
    slow = desk.wait()
    for number in range(48):
        await desk.poll(links(*range(2000 + 10 * number, 2030 + 10 * number)), after=15 * MINUTE)

    assert slow > 2 * HOUR
    assert desk.wait() < HOUR / 2


@pytest.mark.anyio
async def test_statistics_survive_the_process(store: Store) -> None:
    for number in range(30):
        await Desk(store).poll(links(number, number + 1), after=number * HOUR)

    habits = store.ledger.source_state("paper").learned.publishing_stats
    assert habits.arrivals == 29
    assert habits.window == 2
    assert sum(habits.hours) > 20


@pytest.mark.anyio
async def test_polls_without_a_common_entry_are_logged_and_counted_and_shorten_the_interval(store: Store) -> None:
    met, missed = Desk(store), Desk(store)
    await met.poll(links(*range(20)), source=replace(SOURCE, name="met"))
    await missed.poll(links(*range(20)))
    await met.poll(links(*range(19, 39)), source=replace(SOURCE, name="met"))

    notes = await missed.poll(links(*range(40, 60)))

    state = store.ledger.source_state("paper")
    assert "none of its 20 entries was there 60 minutes ago" in notes[0]
    assert "no sitemap is known" in notes[0]
    assert (state.learned.gaps, state.learned.gap_at) == (1, missed.clock.now())
    assert store.ledger.source_state("met").learned.gaps == 0
    assert missed.wait() < met.wait(replace(SOURCE, name="met"))


@pytest.mark.anyio
@pytest.mark.parametrize("where", ["robots", "configured", "own"])
async def test_a_gap_is_filled_from_a_sitemap(store: Store, where: str) -> None:
    other = "https://paper.example/other.xml"
    desk = Desk(
        store,
        robots=[SITEMAP] if where == "robots" else [other],
        configured={"configured": [SITEMAP], "own": [other]}.get(where, []),
    )
    source = replace(SOURCE, options=SourceOptions(sitemap=SITEMAP)) if where == "own" else SOURCE
    desk.fetcher.answers[SITEMAP] = links(*range(60))
    await desk.poll(links(*range(20)), source=source)
    before = desk.clock.now()

    notes = await desk.poll(links(*range(40, 60)), source=source)

    assert "20 more found through the sitemap" in notes[0]
    assert desk.pending() == 60
    assert desk.since == [before]
    assert [request.url for request in desk.fetcher.requests] == [FEED, FEED, SITEMAP]


@pytest.mark.anyio
async def test_a_failing_sitemap_is_noted_and_the_poll_succeeds(store: Store) -> None:
    desk = Desk(store, robots=[SITEMAP])
    await desk.poll(links(*range(20)))

    notes = await desk.poll(links(*range(40, 60)))

    assert f"{SITEMAP}: {SITEMAP}: 404" in notes
    assert store.ledger.source_state("paper").failures == 0


@pytest.mark.anyio
async def test_an_empty_poll_is_no_gap_and_what_was_there_is_remembered(store: Store) -> None:
    desk = Desk(store)
    await desk.poll(links(1, 2))
    empty = await desk.poll(links())
    again = await desk.poll(links(2, 3))

    assert [*empty, *again] == []
    assert store.ledger.source_state("paper").learned.gaps == 0


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["sitemap", "feed"])
async def test_a_source_that_keeps_its_entries_or_changes_their_urls_has_no_gap(store: Store, kind: str) -> None:
    desk, source = Desk(store), replace(SOURCE, kind=kind)
    if kind == "feed":
        harvest(store, "paper", useful=0)
    await desk.poll(links(*range(20)), source=source)

    notes = await desk.poll(links(*range(40, 60)), source=source)

    assert notes == ()


@pytest.mark.anyio
async def test_entries_that_another_source_has_brought_are_no_gap(store: Store) -> None:
    desk, other = Desk(store), replace(SOURCE, name="other", url="https://paper.example/all")
    await desk.poll(links(*range(60)), source=other)
    await desk.poll(links(*range(20)))

    notes = await desk.poll(links(*range(40, 60)))

    assert notes == ()


@pytest.mark.anyio
async def test_a_gap_of_a_source_with_its_own_interval_says_what_to_do(store: Store) -> None:
    desk, source = Desk(store), replace(SOURCE, every=HOUR)
    await desk.poll(links(*range(20)), source=source)

    notes = await desk.poll(links(*range(40, 60)), source=source)

    assert "its own interval is too long" in notes[0]


def harvest(store: Store, source: str, *, useful: int) -> None:
    """Write the outcomes of a hundred pages of a source to the store; only `useful` of them are new."""

    gathered = OutcomeStats()
    for number in range(100):
        gathered = add_outcome(gathered, PageOutcome(state=State.UNCHANGED, useful=number < useful))
    store._database.write(sources.save_outcome_stats, source, gathered)


@pytest.mark.anyio
async def test_a_source_whose_urls_change_at_every_poll_is_polled_rarely_after_a_while(store: Store) -> None:
    desk = Desk(store)
    harvest(store, "paper", useful=0)
    for number in range(40):
        await desk.poll(links(*range(20 * number, 20 * number + 20)), after=HOUR)

    assert desk.wait() > 4 * HOUR


@pytest.mark.anyio
async def test_since_when_and_why_a_source_fails_is_remembered_until_it_recovers(store: Store) -> None:
    desk, down = Desk(store), FetchError("refused", reason="connect", retry=True)
    await desk.poll(links(1))
    await desk.poll(down)
    since = desk.clock.now()
    await desk.poll(down)

    failing = store.ledger.source_state("paper")
    await desk.poll(links(1, 2))
    well = store.ledger.source_state("paper")

    assert (failing.learned.failing_since, failing.learned.fault, failing.failures) == (since, "connect", 2)
    assert failing.learned.publishing_stats.window == 1
    assert (well.learned.failing_since, well.learned.fault, well.learned.gaps) == (None, "", 0)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (FetchError("refused", reason="connect", retry=True), [5 * MINUTE, 10 * MINUTE]),
        (FetchError("410", reason="gone", retry=False, status=410), [6 * HOUR, 12 * HOUR]),
        (SourceError("this is an HTML page"), [15 * MINUTE, 30 * MINUTE]),
        (
            FetchError("429", reason="http", retry=True, status=429, retry_at=START + 9 * HOUR),
            [8 * HOUR, 7 * HOUR],
        ),
    ],
)
async def test_a_failing_source_waits_by_the_class_of_its_error(
    store: Store, error: Exception, waits: list[timedelta]
) -> None:
    desk, found = Desk(store), []
    for _ in waits:
        await desk.poll(error)
        found.append(desk.wait())

    assert found == waits


@pytest.mark.anyio
async def test_fixed_times_are_kept_also_by_a_source_that_fails(store: Store) -> None:
    source = replace(SOURCE, cron="0 10 * * *", timezone="UTC")
    desk = Desk(store)

    await desk.poll(links(1), source=source)
    kept = desk.wait()
    await desk.poll(FetchError("410", reason="gone", retry=False, status=410), source=source, after=timedelta(0))

    assert kept == HOUR
    assert desk.wait() == HOUR


@pytest.mark.anyio
async def test_a_changed_setting_takes_effect_at_once(store: Store) -> None:
    desk = Desk(store)
    await desk.poll(links(1), source=replace(SOURCE, every=10 * HOUR))
    desk.clock.advance(HOUR)

    await desk.discoverer.replan([replace(SOURCE, every=10 * HOUR)])
    as_before = desk.wait()
    await desk.discoverer.replan([replace(SOURCE, every=2 * HOUR)])
    sooner = desk.wait()
    await desk.discoverer.replan([replace(SOURCE, cron="30 11 * * *", timezone="UTC")])
    fixed = desk.wait()

    assert (as_before, sooner, fixed) == (9 * HOUR, HOUR, 90 * MINUTE)


@pytest.mark.anyio
async def test_a_shortened_max_every_takes_effect_at_once(store: Store) -> None:
    desk = Desk(store)
    await desk.poll(links(1))
    store.ledger.replan("paper", plan="", due_at=desk.clock.now() + 3 * DAY)

    await desk.discoverer.replan([SOURCE])
    shortened = desk.wait()
    await desk.discoverer.replan([SOURCE])

    assert shortened == RHYTHM.max_every / 2
    assert desk.wait() == shortened


@pytest.mark.anyio
async def test_a_change_of_a_source_is_logged_once_and_once_when_it_is_over(store: Store) -> None:
    desk = Desk(store)
    for number in range(20):
        await desk.poll(links(number, number + 1))
    with capture_logs() as logs:
        for _ in range(60):
            await desk.poll(links(19, 20))
        silent = store.ledger.source_state("paper").learned.alarms
        await desk.poll(links(20, 21))

    told = [(line["event"], line["what"]) for line in logs if line["event"].startswith("discover.drift")]
    assert told == [("discover.drift", "silence"), ("discover.drift_over", "silence")]
    assert [alarm.what for alarm in silent] == ["silence"]
    assert "its longest silence was 0.0 days" in silent[0].detail
    assert store.ledger.source_state("paper").learned.alarms == ()


@pytest.mark.anyio
async def test_a_304_counts_as_nothing_new_and_keeps_the_number_of_entries(store: Store) -> None:
    desk = Desk(store)
    await desk.poll(page(FEED, links(1, 2, 3), validators=Validators(etag='"1"')))
    for _ in range(48):
        await desk.poll(Page(url=FEED, final_url=FEED, status=304, body=b"", fetched_at=START))

    state = store.ledger.source_state("paper")
    assert state.found == 3
    assert state.learned.publishing_stats.empty == 0
    assert len(state.learned.entries) == 3
    assert desk.wait() > 2 * HOUR


class Press:
    """A feed that shows the newest of what it has published so far, by the desk's clock."""

    def __init__(self, desk: Desk, name: str, *, gap: timedelta, window: int, asleep: frozenset[int]) -> None:
        self.source = Source(name=name, kind="feed", url=f"https://{name}.example/rss", timezone="UTC")
        self.items = [at for number in range(int(4 * DAY / gap)) if (at := START + number * gap).hour not in asleep]
        self.window = window
        self.clock = desk.clock
        desk.fetcher.answers[self.source.url] = self.show

    def show(self) -> str:
        published = sum(at <= self.clock.now() for at in self.items)
        shown = range(max(0, published - self.window), published)
        return " ".join(["#", *(f"https://{self.source.name}.example/{number}" for number in shown)])


@pytest.mark.anyio
async def test_four_days_through_the_real_flow_and_store_miss_nothing_for_half_the_polls(store: Store) -> None:
    desk, night = Desk(store), frozenset({*range(6), 22, 23})
    papers = [
        Press(desk, "busy", gap=6 * MINUTE, window=40, asleep=night),
        Press(desk, "small", gap=40 * MINUTE, window=10, asleep=frozenset()),
        Press(desk, "rare", gap=DAY, window=10, asleep=frozenset()),
    ]
    end = START + 4 * DAY
    while desk.clock.now() < end:
        due = {state.name: state.due_at for state in store.reader.sources()}
        source = min((paper.source for paper in papers), key=lambda each: due.get(each.name) or START)
        desk.clock.advance(max(timedelta(0), (due.get(source.name) or START) - desk.clock.now()))
        await desk.discoverer.poll(source, only_if_due=True)

    last_seen = {paper.source.name: store.ledger.source_state(paper.source.name).polled_at for paper in papers}
    published = sum(at <= (last_seen[paper.source.name] or START) for paper in papers for at in paper.items)
    assert desk.pending() == published
    assert len(desk.fetcher.requests) < 0.5 * len(papers) * 4 * 96
    assert sum(state.learned.gaps for state in store.reader.sources()) == 0
