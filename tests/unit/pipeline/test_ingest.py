"""The ingest flow: whatever happens in a stage, each candidate ends in exactly one state."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.fakes import START, FakeClock, FakeExtractor, FakeFetcher, Watcher, faked_stages, limits, page
from worker.charset.characters import fold
from worker.config.schema import Settings
from worker.dedupe.judge import Deduper
from worker.errors import FetchBlocked, FetchError, MachineError, StoreError
from worker.extract.main_text.boilerplate import HostBoilerplateCache, paragraph_key
from worker.models import Article, Candidate, Claim, Page, State, Text, Validators
from worker.pipeline.filters import ArticleFilter
from worker.pipeline.ingest import Ingester
from worker.pipeline.stages import DEADLINE, Tally
from worker.ports import Hints, NullMetrics, Scope
from worker.schedule.retry import MAX_ATTEMPTS
from worker.storage.store import Store, open_store

LONG = " ".join(f"từ{n}" for n in range(200))
OTHER = " ".join(f"khác{n}" for n in range(200))
MINUTES = timedelta(minutes=1)
SECONDS = timedelta(seconds=1)


@pytest.fixture
def store() -> Iterator[Store]:
    with open_store("sqlite://", parameters=Deduper().parameters) as opened:
        yield opened


class Run:
    """One ingester over the real store and judge, with everything else faked."""

    def __init__(self, store: Store, answers: dict[str, object]) -> None:
        self.store, self.clock = store, FakeClock()
        self.fetcher, self.watcher, self.tally = FakeFetcher(answers), Watcher(), Tally()
        self.stages = faked_stages(store, clock=self.clock, fetcher=self.fetcher)
        self.ingester = self.make()

    def make(
        self,
        *,
        in_hand: int = 8,
        deadline: timedelta = MINUTES,
        filter: ArticleFilter | None = None,  # noqa: A002
    ) -> Ingester:
        return Ingester(
            self.stages,
            limits(max_in_flight=in_hand, lease=12 * SECONDS, deadline=deadline, filter=filter),
            tally=self.tally,
            observer=self.watcher,
            worker="here:1",
        )

    def add(self, *urls: str, again: bool = False) -> None:
        candidates = [Candidate(url=url, canonical_url=url, source="paper", reference="feed") for url in urls]
        self.store.ledger.enqueue(candidates, now=self.clock.now(), again=again)

    def state(self, url: str) -> State:
        record = self.store.reader.candidate(url)
        assert record is not None
        return record.state

    def balanced(self) -> bool:
        books = self.store.reader.audit()
        return books.balanced


@pytest.mark.anyio
async def test_a_rejected_page_is_stored_from_what_is_kept_once_a_person_asks_for_it(store: Store) -> None:
    run = Run(store, {"https://a.example/1": "REJECT short\nBa chữ thôi"})
    run.add("https://a.example/1")
    await run.ingester.drain()
    rejected = run.state("https://a.example/1")

    store.review.take(1, now=run.clock.now())
    await run.ingester.drain()

    assert (rejected, run.state("https://a.example/1")) == (State.REJECTED, State.STORED)
    assert len(run.fetcher.requests) == 1
    assert run.balanced()


@pytest.mark.anyio
async def test_what_a_filter_keeps_out_is_not_fetched_where_that_can_be_told(store: Store) -> None:
    run = Run(store, {f"https://a.example/{name}": f"Tin\n{name} {LONG}" for name in ("tin", "video")})
    run.add("https://b.example/1", "https://a.example/tin", "https://a.example/video")
    block = {"hosts": ["b.example"], "words": ["video"]}
    rules = ArticleFilter(Settings.model_validate({"filter": {"block": block}}))

    await run.make(filter=rules).drain()

    assert [request.url for request in run.fetcher.requests] == ["https://a.example/tin", "https://a.example/video"]
    ended = {url: (outcome.state, outcome.reason) for url, outcome in run.watcher.outcomes.items()}
    assert ended["https://a.example/tin"] == (State.STORED, "unique")
    assert ended["https://a.example/video"] == ended["https://b.example/1"] == (State.REJECTED, "filtered")
    assert store.ledger.source_state("paper").outcome_stats.usual.outcomes == 1  # a filter says nothing of the source
    assert run.balanced()


@pytest.mark.anyio
async def test_a_filter_does_not_reach_an_article_that_is_stored(store: Store) -> None:
    run = Run(store, {"https://a.example/1": f"Tin\n{LONG}"})
    run.add("https://a.example/1")
    await run.ingester.drain()
    run.fetcher.answers["https://a.example/1"] = f"Tin\n{LONG} video"
    run.add("https://a.example/1", again=True)
    rules = ArticleFilter(Settings.model_validate({"filter": {"block": {"words": ["video"]}}}))

    await run.make(filter=rules).drain()

    assert run.state("https://a.example/1") is State.REVISED


@pytest.mark.anyio
async def test_a_new_article_is_stored_with_its_page(store: Store) -> None:
    run = Run(store, {"https://a.example/1": f"Tin\n{LONG}"})
    run.add("https://a.example/1")

    await run.ingester.drain()

    assert run.state("https://a.example/1") is State.STORED
    assert [stored.article.title for stored in store.reader.heads()] == ["Tin"]
    assert run.tally.outcomes[State.STORED] == 1
    assert run.balanced()


@pytest.mark.anyio
async def test_a_copy_on_another_site_ends_as_duplicate(store: Store) -> None:
    run = Run(store, {"https://a.example/1": f"Tin\n{LONG}", "https://b.example/1": f"Tin khác\n{LONG}"})
    run.add("https://a.example/1", "https://b.example/1")

    await run.ingester.drain()

    assert sorted(outcome.state for outcome in run.watcher.outcomes.values()) == [State.DUPLICATE, State.STORED]
    assert len(list(store.reader.heads())) == 1
    assert run.balanced()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (FetchBlocked("robots.txt: Disallow: /x", reason="robots"), State.BLOCKED, "robots"),
        (FetchError("404", reason="gone", retry=False, status=404), State.FAILED, "gone"),
        ("REJECT listing", State.REJECTED, "listing"),
        ("RESERVED", State.BLOCKED, "rights"),
    ],
)
async def test_a_page_that_gives_no_article_ends_with_its_reason(
    store: Store, answer: object, state: State, reason: str
) -> None:
    run = Run(store, {"https://a.example/1": answer})
    run.add("https://a.example/1")

    await run.ingester.drain()

    record = store.reader.candidate("https://a.example/1")
    assert record is not None
    assert (record.state, record.reason) == (state, reason)
    assert record.detail
    assert run.balanced()


@pytest.mark.anyio
async def test_a_retryable_page_stays_pending_and_the_run_ends(store: Store) -> None:
    run = Run(store, {"https://a.example/1": FetchError("timed out", reason="timeout", retry=True)})
    run.add("https://a.example/1")

    await run.ingester.drain()

    record = store.reader.candidate("https://a.example/1")
    assert record is not None
    assert record.state is State.PENDING
    assert record.due_at is not None
    assert record.due_at >= START + 4 * MINUTES
    assert len(run.fetcher.requests) == 1
    assert run.tally.retrying == 1
    assert run.balanced()


@pytest.mark.anyio
async def test_a_page_fails_only_after_many_attempts(store: Store) -> None:
    run = Run(store, {"https://a.example/1": FetchError("500", reason="http", retry=True, status=500)})
    run.add("https://a.example/1")

    for _ in range(MAX_ATTEMPTS):
        await run.make().drain()
        run.clock.advance(timedelta(hours=15))

    assert run.state("https://a.example/1") is State.FAILED
    assert len(run.fetcher.requests) == MAX_ATTEMPTS


@pytest.mark.anyio
async def test_a_bug_in_a_stage_is_logged_and_fails_only_its_page(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(store, {"https://a.example/1": "CRASH", "https://b.example/1": f"Tin\n{LONG}"})
    run.add("https://a.example/1", "https://b.example/1")

    await run.ingester.drain()

    assert run.state("https://a.example/1") is State.PENDING
    assert run.state("https://b.example/1") is State.STORED
    assert "ingest.bug" in "".join(capsys.readouterr())
    assert run.balanced()


@pytest.mark.anyio
async def test_a_changed_page_becomes_a_revision_and_the_same_page_does_not(store: Store) -> None:
    run = Run(store, {"https://a.example/1": f"Tin\n{LONG}"})
    run.add("https://a.example/1")
    await run.ingester.drain()

    run.add("https://a.example/1", again=True)
    await run.make().drain()
    unchanged = run.state("https://a.example/1")
    run.fetcher.answers["https://a.example/1"] = f"Tin\n{LONG} thêm một câu mới vào cuối bài"
    run.add("https://a.example/1", again=True)
    await run.make().drain()

    assert unchanged is State.UNCHANGED
    assert run.state("https://a.example/1") is State.REVISED
    assert [stored.revision for stored in store.reader.heads()] == [2]
    assert run.balanced()


@pytest.mark.anyio
async def test_validators_of_the_last_page_are_sent_again(store: Store) -> None:
    first = page("https://a.example/1", f"Tin\n{LONG}", validators=Validators(etag='"x"'))
    run = Run(store, {"https://a.example/1": first})
    run.add("https://a.example/1")
    await run.ingester.drain()

    run.add("https://a.example/1", again=True)
    await run.make().drain()

    assert run.fetcher.requests[1].validators.etag == '"x"'


@pytest.mark.anyio
async def test_text_that_was_given_is_not_fetched(store: Store) -> None:
    run = Run(store, {})
    candidate = Candidate(
        url="file:///x.txt",
        canonical_url="file:///x.txt",
        source="files",
        reference="x.txt",
        payload=Text(text=f"Tin\n{LONG}"),
    )
    store.ledger.enqueue([candidate], now=START)

    await run.ingester.drain()

    assert run.state("file:///x.txt") is State.STORED
    assert run.fetcher.requests == []


@pytest.mark.anyio
async def test_a_limit_stops_the_run_and_the_rest_stays_pending(store: Store) -> None:
    run = Run(store, {f"https://{n}.example/": f"Tin {n}\n{LONG} {n}" for n in range(5)})
    run.add(*(f"https://{n}.example/" for n in range(5)))

    await run.ingester.drain(limit=2)

    assert len(run.watcher.outcomes) == 2
    assert store.ledger.pending(now=run.clock.now()) == (3, 3)


@pytest.mark.anyio
async def test_a_scope_keeps_to_its_sources(store: Store) -> None:
    run = Run(store, {"https://a.example/1": f"Tin\n{LONG}", "https://b.example/1": f"Tin\n{OTHER}"})
    run.add("https://a.example/1")
    other = Candidate(url="https://b.example/1", canonical_url="https://b.example/1", source="other", reference="f")
    store.ledger.enqueue([other], now=START)

    await run.ingester.drain(scope=Scope(sources=frozenset({"other"})))

    assert run.state("https://a.example/1") is State.PENDING
    assert run.state("https://b.example/1") is State.STORED


@pytest.mark.anyio
async def test_a_cancelled_run_releases_its_claims(store: Store) -> None:
    never = asyncio.Event()
    run = Run(store, {"https://a.example/1": never.wait})
    run.add("https://a.example/1")
    working = asyncio.create_task(run.ingester.drain())
    while not run.fetcher.requests:
        await asyncio.sleep(0)

    working.cancel()
    await asyncio.gather(working, return_exceptions=True)

    assert run.state("https://a.example/1") is State.PENDING
    assert store.ledger.pending(now=START) == (1, 1)
    assert run.ingester.in_flight == 0
    again = store.ledger.claim(now=START, lease=MINUTES, limit=1, worker="there:2")
    assert [claim.url for claim in again] == ["https://a.example/1"]


@pytest.mark.anyio
async def test_the_lease_of_a_slow_page_is_extended_while_it_is_worked_on(store: Store) -> None:
    run = Run(store, {})

    async def slowly() -> str:
        await run.clock.sleep(40 * SECONDS)
        return f"Tin\n{LONG}"

    run.fetcher.answers["https://a.example/1"] = slowly
    run.add("https://a.example/1")
    taken: list[Claim] = []

    async def thief() -> None:
        await run.clock.sleep(25 * SECONDS)
        taken.extend(store.ledger.claim(now=run.clock.now(), lease=MINUTES, limit=9, worker="there:2"))

    await asyncio.gather(run.ingester.drain(), thief())

    assert taken == []
    assert run.state("https://a.example/1") is State.STORED


@pytest.mark.anyio
async def test_a_result_that_comes_after_its_lease_was_lost_changes_nothing(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(store, {})

    def stolen() -> str:
        later = START + timedelta(days=1)
        store.ledger.claim(now=later, lease=MINUTES, limit=9, worker="there:2")
        return f"Tin\n{LONG}"

    run.fetcher.answers["https://a.example/1"] = stolen
    run.add("https://a.example/1")

    await run.ingester.drain()

    assert run.watcher.outcomes == {}
    assert "ingest.lease_lost" in "".join(capsys.readouterr())
    assert list(store.reader.heads()) == []
    assert run.balanced()


@pytest.mark.anyio
async def test_a_page_that_hangs_is_given_up_after_its_deadline_and_comes_back_later(store: Store) -> None:
    run = Run(store, {"https://b.example/1": f"Tin\n{LONG}"})
    run.fetcher.answers["https://a.example/1"] = asyncio.Event().wait
    run.add("https://a.example/1", "https://b.example/1")
    ingester = run.make(deadline=timedelta(seconds=2))

    await ingester.drain()

    record = store.reader.candidate("https://a.example/1")
    assert record is not None
    assert (record.state, record.reason) == (State.PENDING, DEADLINE)
    assert record.due_at is not None
    assert record.due_at > run.clock.now()
    assert run.state("https://b.example/1") is State.STORED
    assert run.balanced()


@pytest.mark.anyio
async def test_extending_leases_is_tried_again_after_an_error_of_the_store(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(store, {})
    extended: list[int] = []

    def failing_once(claims: list[Claim], *, until: datetime) -> None:
        extended.append(len(claims))
        if len(extended) == 1:
            raise StoreError("locked")

    async def slowly() -> str:
        await run.clock.sleep(11 * SECONDS)
        return f"Tin\n{LONG}"

    run.fetcher.answers["https://a.example/1"] = slowly
    run.add("https://a.example/1")
    monkeypatch.setattr(store.ledger, "extend", failing_once)

    await run.ingester.drain()

    assert len(extended) >= 2
    assert run.state("https://a.example/1") is State.STORED


@pytest.mark.anyio
async def test_a_store_that_fails_ends_the_run_with_its_error(store: Store) -> None:
    def broken() -> object:
        raise StoreError("the disk is full")

    run = Run(store, {"https://a.example/1": broken})
    run.add("https://a.example/1")

    with pytest.raises(StoreError, match="the disk is full"):
        await run.ingester.drain()


@pytest.mark.anyio
async def test_work_continues_until_stopped_and_finishes_its_claims(store: Store) -> None:
    run = Run(store, {"https://a.example/1": f"Tin\n{LONG}"})
    stopping = False

    async def later() -> None:
        nonlocal stopping
        await run.clock.sleep(10 * SECONDS)
        run.add("https://a.example/1")
        while not run.fetcher.requests:
            await asyncio.sleep(0)
        stopping = True

    await asyncio.gather(run.ingester.work(lambda: stopping), later())

    assert run.state("https://a.example/1") is State.STORED


@pytest.mark.anyio
async def test_boilerplate_of_a_host_is_learned_and_passed_to_the_extractor(store: Store) -> None:
    run = Run(store, {f"https://a.example/{n}": f"Tin {n}\n{words(n)}\nTheo dõi chúng tôi" for n in range(12)})
    extractor = Noting()
    run.stages = replace(run.stages, extractor=extractor)
    run.add(*(f"https://a.example/{n}" for n in range(12)))

    await run.make().drain()

    first, last = extractor.boilerplate[0], extractor.boilerplate[-1]
    assert first == frozenset()
    assert last == {paragraph_key(fold("Theo dõi chúng tôi"))}
    assert HostBoilerplateCache(store.paragraphs).known("a.example") == last
    assert HostBoilerplateCache(store.paragraphs).known("b.example") == frozenset()


def words(seed: int) -> str:
    return " ".join(f"từ{seed}x{n}" for n in range(100))


class Noting(FakeExtractor):
    """Gives every paragraph a key, and records its calls."""

    def __init__(self) -> None:
        self.boilerplate: list[frozenset[int]] = []

    async def extract(self, content: Page | Text, hints: Hints, *, fetched_at: datetime) -> Article:
        self.boilerplate.append(hints.boilerplate)
        made = await super().extract(content, hints, fetched_at=fetched_at)
        return replace(made, paragraphs=tuple(paragraph_key(fold(line)) for line in made.text.split("\n")))


class Faulty(FakeExtractor):
    """Extracts every page with one step failing."""

    async def extract(self, content: Page | Text, hints: Hints, *, fetched_at: datetime) -> Article:
        made = await super().extract(content, hints, fetched_at=fetched_at)
        return replace(made, fallbacks=("library", "fault"), notes=("the lead failed: ValueError: x at lead.py:7",))


class FallbackMeter(NullMetrics):
    """Records which fallbacks were used."""

    def __init__(self) -> None:
        self.to: list[str] = []

    def fell_back(self, to: str) -> None:
        self.to.append(to)


@pytest.mark.anyio
async def test_a_fault_of_ours_is_stored_with_the_article_counted_and_logged(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    run, meter = Run(store, {"https://a.example/1": f"Tin\n{LONG}"}), FallbackMeter()
    run.stages = replace(run.stages, extractor=Faulty(), meter=meter)
    run.add("https://a.example/1")

    await run.make().drain()

    assert meter.to == ["library", "fault"]
    assert "extract.fault" in capsys.readouterr().out
    assert [stored.article.notes for stored in store.reader.heads()] == [
        ("the lead failed: ValueError: x at lead.py:7",)
    ]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "error",
    [
        FetchError("timed out", reason="timeout", retry=True),
        FetchError("left alone for a while", reason="host-closed", retry=True),
        FetchError("503", reason="http", retry=True, status=503),
    ],
)
async def test_pages_of_a_host_that_is_down_are_never_given_up(store: Store, error: FetchError) -> None:
    run = Run(store, {"https://a.example/1": error})
    run.add("https://a.example/1")

    for _ in range(MAX_ATTEMPTS + 2):
        await run.make().drain()
        run.clock.advance(timedelta(hours=15))

    assert run.state("https://a.example/1") is State.PENDING


def out_of_reach(status: int) -> FetchError:
    return FetchError(f"answered {status}", reason="http", retry=False, status=status)


def with_full_text(run: Run, url: str, text: str = f"Title\n{LONG}") -> None:
    candidate = Candidate(url=url, canonical_url=url, source="paper", reference="feed", fallback=text)
    run.store.ledger.enqueue([candidate], now=run.clock.now())


@pytest.mark.parametrize(
    "answer", [out_of_reach(404), out_of_reach(403), "REJECT paywall", "REJECT gone", "REJECT empty", "REJECT consent"]
)
async def test_the_feeds_text_replaces_a_page_that_cannot_be_fetched(store: Store, answer: object) -> None:
    run = Run(store, {"https://paper.example/a": answer})
    with_full_text(run, "https://paper.example/a")

    await run.ingester.drain()

    (kept,) = store.reader.heads()
    assert run.state("https://paper.example/a") is State.STORED
    assert kept.article.text == LONG
    assert "the text is the feed's own, not the page's" in kept.article.notes[0]
    assert run.balanced()


@pytest.mark.anyio
@pytest.mark.parametrize(("answer", "fallback"), [("DOWN", ""), ("REJECT gone", "DOWN")])
async def test_no_page_is_given_up_because_the_extractor_is_down(store: Store, answer: str, fallback: str) -> None:
    run = Run(store, {"https://paper.example/a": answer})
    with_full_text(run, "https://paper.example/a", fallback)

    for _ in range(MAX_ATTEMPTS + 2):
        await run.make().drain()
        run.clock.advance(timedelta(hours=15))

    record = store.reader.candidate("https://paper.example/a")
    assert record is not None
    assert (record.state, record.reason) == (State.PENDING, "no-worker")


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (FetchBlocked("robots.txt forbids it", reason="robots"), State.BLOCKED),
        (FetchBlocked("a private address", reason="network"), State.BLOCKED),
        ("RESERVED", State.BLOCKED),
        (out_of_reach(451), State.FAILED),
        ("REJECT short", State.REJECTED),
        ("REJECT listing", State.REJECTED),
    ],
)
async def test_a_withheld_page_or_one_without_article_is_not_replaced(
    store: Store, answer: object, state: State
) -> None:
    run = Run(store, {"https://paper.example/a": answer})
    with_full_text(run, "https://paper.example/a")

    await run.ingester.drain()

    assert run.state("https://paper.example/a") is state
    assert not list(store.reader.heads())


async def test_the_feeds_text_is_used_only_after_the_last_attempt(store: Store) -> None:
    down = FetchError("answered 500", reason="http", retry=True, status=500)
    run = Run(store, {"https://paper.example/a": down})
    with_full_text(run, "https://paper.example/a")

    states = []
    for _ in range(MAX_ATTEMPTS):
        await run.ingester.drain()
        states.append(run.state("https://paper.example/a"))
        run.clock.advance(timedelta(days=1))

    assert states == [State.PENDING] * (MAX_ATTEMPTS - 1) + [State.STORED]


async def test_a_feeds_text_that_is_no_article_changes_nothing(store: Store) -> None:
    run = Run(store, {"https://paper.example/a": out_of_reach(404)})
    with_full_text(run, "https://paper.example/a", "REJECT short")

    await run.ingester.drain()

    assert run.state("https://paper.example/a") is State.FAILED


async def test_the_feeds_text_is_deleted_once_the_page_was_fetched(store: Store) -> None:
    run = Run(store, {"https://paper.example/a": f"Title\n{OTHER}"})
    with_full_text(run, "https://paper.example/a")

    (claim,) = store.ledger.claim(now=run.clock.now(), lease=SECONDS, limit=1, worker="here:1")
    before = store.ledger.fallback(claim)
    store.ledger.release([claim])
    await run.ingester.drain()

    (kept,) = store.reader.heads()
    assert before == Text(text=f"Title\n{LONG}")
    assert kept.article.text == OTHER and not kept.article.notes
    assert store.ledger.fallback(claim) is None


@pytest.mark.anyio
async def test_a_lack_of_resources_ends_the_work_and_releases_all_claims(store: Store) -> None:
    run = Run(store, {"https://paper.example/a": "SHORT", "https://paper.example/b": "SHORT"})
    run.add("https://paper.example/a", "https://paper.example/b")

    with pytest.raises(MachineError):
        await run.ingester.drain()

    assert not store.ledger.lease_owners()
    assert {run.state(f"https://paper.example/{name}") for name in "ab"} == {State.PENDING}
