"""Articles are rechecked at given ages, and a changed one becomes a revision."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.fakes import START, FakeClock, FakeFetcher, Watcher, faked_stages, limits, page
from worker.cli.render import why
from worker.dedupe.judge import Deduper
from worker.errors import FetchBlocked, FetchError
from worker.models import Candidate, Page, Source, State, Text, Validators
from worker.pipeline.ingest import Ingester
from worker.pipeline.stages import Tally
from worker.ports import Scope
from worker.runs.reading import load_history
from worker.sources import PARSERS
from worker.storage.store import Store, open_store

URL = "https://paper.example/1"
WORDS = " ".join(f"từ{n}" for n in range(200))
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FIRST = f"Tin\nNăm người bị thương. {WORDS}"
LATER = f"Tin\nBảy người bị thương. {WORDS}\nĐường đã thông xe vào chiều nay."
NOT_MODIFIED = Page(url=URL, final_url=URL, status=304, body=b"", fetched_at=START)


@pytest.fixture
def store() -> Iterator[Store]:
    with open_store("sqlite://", parameters=Deduper().parameters) as opened:
        yield opened


class Desk:
    """An ingester over the real store and judge that rechecks articles after six hours and two days."""

    def __init__(self, store: Store, *, recheck: tuple[timedelta, ...] = (6 * HOUR, 2 * DAY)) -> None:
        self.store, self.clock, self.tally = store, FakeClock(), Tally()
        self.fetcher = FakeFetcher({})
        stages = faked_stages(store, clock=self.clock, fetcher=self.fetcher)
        self.ingester = Ingester(stages, limits(recheck=recheck), tally=self.tally, observer=Watcher(), worker="here:1")

    def add(self, *, payload: Text | None = None) -> None:
        candidate = Candidate(url=URL, canonical_url=URL, source="paper", reference="feed", payload=payload)
        self.store.ledger.enqueue([candidate], now=self.clock.now())

    async def work(self, answer: object, *, after: timedelta = timedelta(0), scope: Scope = Scope()) -> State:
        """Work off what is due after some time, and return the state of the page."""
        self.clock.advance(after)
        self.fetcher.answers[URL] = answer
        await self.ingester.drain(scope=scope)
        assert self.store.reader.audit().balanced
        record = self.store.reader.candidate(URL)
        assert record is not None
        return record.state

    @property
    def fetches(self) -> int:
        return len(self.fetcher.requests)


@pytest.mark.anyio
async def test_what_changed_becomes_a_revision_with_its_difference(store: Store) -> None:
    desk = Desk(store)
    desk.add()
    await desk.work(FIRST)

    state = await desk.work(LATER, after=6 * HOUR)

    record = why.history_record(load_history(store.reader, URL))
    articles = record["articles"]
    assert isinstance(articles, list)
    (decision,) = articles[1]["decisions"]
    assert state is State.REVISED
    assert (articles[1]["revision"], articles[1]["head"], articles[0]["head"]) == (2, True, False)
    assert decision["difference"] == {
        "added": ["Bảy", "Đường đã thông xe vào chiều nay"],
        "removed": ["Năm"],
        "words_added": 8,
        "words_removed": 1,
    }


@pytest.mark.anyio
async def test_an_article_is_rechecked_at_each_age_and_then_no_more(store: Store) -> None:
    desk = Desk(store)
    desk.add()
    states, fetches = [await desk.work(FIRST)], [desk.fetches]

    for after in (5 * HOUR, HOUR, 40 * HOUR, 2 * HOUR, 30 * DAY):
        states.append(await desk.work(FIRST, after=after))
        fetches.append(desk.fetches)

    assert fetches == [1, 1, 2, 2, 3, 3]
    assert set(states[2:]) == {State.UNCHANGED}


@pytest.mark.anyio
async def test_a_recheck_is_conditional_and_a_304_is_unchanged(store: Store) -> None:
    desk = Desk(store)
    desk.add()
    await desk.work(page(URL, FIRST, validators=Validators(etag='"1"')))

    state = await desk.work(NOT_MODIFIED, after=6 * HOUR)

    assert state is State.UNCHANGED
    assert desk.fetcher.requests[1].validators == Validators(etag='"1"')


@pytest.mark.anyio
@pytest.mark.parametrize(
    "trouble",
    [
        FetchError("404", reason="gone", retry=False, status=404),
        FetchError("timed out", reason="timeout", retry=True),
        FetchBlocked("robots.txt forbids it", reason="robots"),
        "REJECT listing",
        "RESERVED",
    ],
)
async def test_a_failed_recheck_leaves_the_article_and_the_next_age_follows(store: Store, trouble: object) -> None:
    desk = Desk(store)
    desk.add()
    await desk.work(FIRST)

    failed = await desk.work(trouble, after=6 * HOUR)
    revised = await desk.work(LATER, after=2 * DAY)

    assert (failed, revised) == (State.STORED, State.REVISED)
    assert desk.fetches == 3
    assert desk.tally.outcomes == {State.STORED: 1, State.UNCHANGED: 1, State.REVISED: 1}


RSS = """<rss version="2.0"><channel><title>Báo</title><link>https://paper.example/</link>
<item><title>Tin</title><link>{url}</link><pubDate>Sun, 01 Mar 2026 07:00:00 GMT</pubDate>
<a:updated xmlns:a="http://www.w3.org/2005/Atom">2026-03-01T{time}Z</a:updated></item></channel></rss>"""
SITEMAP = """<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
<url><loc>{url}</loc><lastmod>2026-03-01T{time}Z</lastmod></url></urlset>"""


@pytest.mark.anyio
@pytest.mark.parametrize(("kind", "listing"), [("feed", RSS), ("sitemap", SITEMAP)])
async def test_an_announced_change_is_fetched_and_becomes_a_revision(store: Store, kind: str, listing: str) -> None:
    desk, source = Desk(store, recheck=()), Source(name="paper", kind=kind, url="https://paper.example/list")
    states = []
    for time, text in (("07:00:00", FIRST), ("07:00:00", LATER), ("08:30:00", LATER)):
        body = listing.format(url=URL, time=time)
        found = PARSERS[kind](page(source.url, body), source, now=desk.clock.now())
        store.ledger.enqueue(found.candidates, now=desk.clock.now())
        states.append(await desk.work(text, after=HOUR))

    assert states == [State.STORED, State.STORED, State.REVISED]
    assert desk.fetches == 2


@pytest.mark.anyio
async def test_without_ages_nothing_is_rechecked(store: Store) -> None:
    desk = Desk(store, recheck=())
    desk.add()
    await desk.work(FIRST)

    await desk.work(LATER, after=30 * DAY)

    assert desk.fetches == 1


@pytest.mark.anyio
async def test_content_of_a_file_is_not_rechecked(store: Store) -> None:
    desk = Desk(store)
    desk.add(payload=Text(text=FIRST))
    await desk.work("REJECT listing")

    state = await desk.work("REJECT listing", after=30 * DAY)

    assert state is State.STORED
    assert desk.fetches == 0


@pytest.mark.anyio
async def test_a_run_over_some_sources_queues_no_rechecks(store: Store) -> None:
    desk = Desk(store)
    desk.add()
    await desk.work(FIRST)

    await desk.work(LATER, after=DAY, scope=Scope(sources=frozenset({"other"})))

    assert desk.fetches == 1
