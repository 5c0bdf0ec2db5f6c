"""Forms that change something: they need a token, come from a page of this server, and lead back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from tests.contract.storage.factories import PARAMETERS, candidate, claim_one
from tests.fakes import START, FakeClock
from worker.config.schema import WebSettings
from worker.models import Health, Outcome, PollHistory, Source, SourceState, SourceStats, State, StoreStats
from worker.runs.pages import CorpusPages, pages_app
from worker.runs.reading import Browser
from worker.storage.store import Store, open_store
from worker.web import app
from worker.web.app import StatusSource
from worker.web.metrics import Metrics

PAUSE = "/sources/bao/pause"
HERE = "http://127.0.0.1:8750"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'corpus.db'}", parameters=PARAMETERS) as opened:
        yield opened


@pytest.fixture
def config(tmp_path: Path) -> Path:
    written = tmp_path / "worker.toml"
    written.write_text('[[sources]]\nname = "bao"\nkind = "feed"\nurl = "https://bao.example/rss"\n')
    return written


@asynccontextmanager
async def client_of(store: Store, config: Path, *, web: WebSettings | None = None) -> AsyncIterator[httpx.AsyncClient]:
    clock = FakeClock()
    sources = [Source(name="bao", kind="feed", url="https://bao.example/rss")]
    with Browser(store.reader, clock=clock, sources=sources, config=config) as browser:

        async def figures() -> StoreStats:
            failing = PollHistory(failing_since=START)
            bao = SourceStats(name="bao", state=SourceState(name="bao", failures=1, error="gone", learned=failing))
            return StoreStats(at=clock.now(), pending=0, due=0, sources=(bao,)).mark_paused(browser._sources)

        source = StatusSource(health=lambda: Health(ok=True), figures=figures, metrics=Metrics(), clock=clock)
        served = pages_app(source, corpus=lambda: browser, web=web or WebSettings())
        async with httpx.AsyncClient(base_url=HERE, transport=httpx.ASGITransport(app=served)) as client:
            yield client


async def token_of(client: httpx.AsyncClient) -> str:
    found = re.search(r'name="csrf" value="(\w+)"', (await client.get("/")).text)
    assert found
    return found[1]


def is_paused(config: Path) -> bool:
    return "enabled = false" in config.read_text()


async def test_a_source_is_paused_and_resumed_on_the_page(store: Store, config: Path) -> None:
    async with client_of(store, config) as client:
        before = (await client.get("/")).text
        token = await token_of(client)
        answer = await client.post(PAUSE, data={"csrf": token, "back": "/?a=1"}, headers={"Origin": HERE})
        was_paused, after = is_paused(config), (await client.get("/")).text
        await client.post("/sources/bao/resume", data={"csrf": token})
        unknown = await client.post("/sources/none/pause", data={"csrf": token})

    assert (answer.status_code, answer.headers["location"], was_paused) == (303, "/?a=1", True)
    assert f'action="{PAUSE}"' in before
    assert 'action="/sources/bao/resume"' in after
    assert not is_paused(config)
    assert unknown.status_code == 404


async def test_what_needs_a_person_is_a_feed(store: Store, config: Path) -> None:
    yesterday = START - timedelta(days=1)
    for number in (1, 2):
        store.ledger.enqueue([candidate(f"https://bao.example/{number}")], now=yesterday)
        lost = Outcome(state=State.REJECTED, reason="crash", detail="the page ended its process")
        store.ledger.finish(claim_one(store, now=yesterday), lost, now=yesterday)
    async with client_of(store, config) as client:
        overview = (await client.get("/")).text
        first = (await client.get("/feeds/alarms.atom")).text
        again = (await client.get("/feeds/alarms.atom")).text

    ids = re.findall(r"<id>(tag:[^<]*)</id>", first)
    (worker,) = [each for each in ids if "/alarms/worker/" in each]
    ids.remove(worker)
    assert len(ids) == 3
    assert worker.endswith("/alarms/worker/no%20daemon%20is%20running/20260301")
    assert "No daemon is running" in overview
    assert ids[1].endswith("/alarms/bao/polls/20260301")
    assert ids[2].endswith("/alarms/extraction/lost/20260228T000000Z")
    assert "1 failed poll since" in first
    assert "2 pages lost on 2026-02-28" in first
    assert "2 pages were lost" in overview
    assert first == again


async def test_a_form_leads_back_to_a_page_of_this_server_alone(store: Store, config: Path) -> None:
    wrong = [
        "",
        "//evil.example",
        "/\\evil.example",
        "https://evil.example/",
        "/a\r\nSet-Cookie: a=b",
        "/a b",
        "javascript:1",
    ]
    async with client_of(store, config) as client:
        token = await token_of(client)
        answers = [await client.post(PAUSE, data={"csrf": token, "back": back}) for back in wrong]

    assert [(answer.status_code, answer.headers["location"]) for answer in answers] == [(303, "/")] * len(wrong)


async def test_nothing_is_changed_by_a_form_of_another_site_or_without_its_token(store: Store, config: Path) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with client_of(store, config) as client, client_of(store, config) as other_server:
        token = await token_of(client)
        good = f"csrf={token}"
        attacks = {
            "no token": (403, "", form),
            "an empty token": (403, "csrf=", form),
            "a token of another server": (403, f"csrf={await token_of(other_server)}", form),
            "half of it": (403, good[:-8], form),
            "two tokens": (403, f"{good}&csrf=1", form),
            "another site": (403, good, form | {"Origin": "https://evil.example"}),
            "another port": (403, good, form | {"Origin": "http://127.0.0.1:9999"}),
            "another host before": (403, good, form | {"Origin": "http://127.0.0.1:8750.evil.example"}),
            "a hidden origin": (403, good, form | {"Origin": "null"}),
            "a cross-site fetch": (403, good, form | {"Sec-Fetch-Site": "cross-site"}),
            "a neighbour under one domain": (403, good, form | {"Sec-Fetch-Site": "same-site"}),
            "a rebound name": (421, good, form | {"Host": "evil.example"}),
            "JSON": (415, f'{{"csrf": "{token}"}}', {"Content-Type": "application/json"}),
            "an upload": (415, good, {"Content-Type": "multipart/form-data; boundary=a"}),
            "text": (415, good, {"Content-Type": "text/plain"}),
            "a large body": (413, good + "&a=" + "b" * 65_536, form),
            "many fields": (400, good + "&a=b" * 2_000, form),
            "no UTF-8": (400, good + "&a=%ff", form),
        }
        answers = {
            name: (await client.post(PAUSE, content=body, headers=headers)).status_code
            for name, (_, body, headers) in attacks.items()
        }
        overridden = [
            (await client.get(PAUSE, params={"csrf": token, "_method": "POST"})).status_code,
            (await client.get(PAUSE, headers={"X-HTTP-Method-Override": "POST"})).status_code,
            (await client.request("DELETE", PAUSE, content=good, headers=form)).status_code,
            (await client.post("/", content=good, headers=form)).status_code,
            (await client.post("/api/v1/overview", content=good, headers=form)).status_code,
        ]

    assert answers == {name: status for name, (status, *_) in attacks.items()}
    assert overridden == [405, 405, 405, 405, 405]
    assert not is_paused(config)


async def test_read_only_pages_have_no_buttons_and_refuse_every_change(store: Store, config: Path) -> None:
    async with client_of(store, config, web=WebSettings(read_only=True)) as client, client_of(store, config) as other:
        page = (await client.get("/")).text
        answer = await client.post(PAUSE, data={"csrf": await token_of(other)})

    assert 'method="post"' not in page
    assert (answer.status_code, "read-only" in answer.text) == (403, True)
    assert not is_paused(config)


async def test_statistics_that_come_late_are_shown_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow query is waited for once and not begun again; its result is not thrown away."""
    monkeypatch.setattr(app, "STORE_TIMEOUT", timedelta(0))
    clock, answered, queries = FakeClock(), asyncio.Event(), []

    async def figures() -> StoreStats:
        queries.append(1)
        await answered.wait()
        return StoreStats(at=clock.now(), pending=7, due=0)

    source = StatusSource(health=lambda: Health(ok=True), figures=figures, metrics=Metrics(), clock=clock)
    late = [await source.recent(), await source.recent()]
    answered.set()
    await asyncio.sleep(0)
    found = await source.recent() or await source.recent()

    assert (late, len(queries)) == ([None, None], 1)
    assert found is not None
    assert found.pending == 7


async def test_nobody_waits_for_newer_statistics_than_those_that_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page shows what is kept while the store is read again; after a change it waits for what the store has now."""
    monkeypatch.setattr(app, "NOTICED", timedelta(0))
    clock, answers = FakeClock(), asyncio.Queue[int]()

    async def figures() -> StoreStats:
        return StoreStats(at=clock.now(), pending=await answers.get(), due=0)

    async def pending() -> int | None:
        found = await source.recent()
        await asyncio.sleep(0)  # what has been answered is kept
        return found.pending if found else None

    source = StatusSource(health=lambda: Health(ok=True), figures=figures, metrics=Metrics(), clock=clock)
    answers.put_nowait(1)
    first = await pending()
    clock.advance(timedelta(hours=1))
    kept = [await pending(), await pending()]
    answers.put_nowait(2)
    renewed = [await pending(), await pending()]
    clock.advance(timedelta(hours=1))
    before_change = await pending()
    source.forget_recent()
    answers.put_nowait(3)  # for the query from before the change, which ends too late
    answers.put_nowait(4)
    changed = [await pending(), await pending()]
    clock.advance(timedelta(hours=1))
    silent = await pending()
    clock.advance(app.SILENT_AFTER)

    assert (first, kept, renewed[-1], before_change) == (1, [1, 1], 2, 2)
    assert changed == [4, 4]
    assert (silent, await pending()) == (4, None)


async def test_what_is_kept_is_renewed_without_visitors(store: Store, config: Path) -> None:
    clock = FakeClock()
    with Browser(store.reader, clock=clock, sources=(), config=config) as browser:
        asked = asyncio.Queue[int](maxsize=3)

        async def figures() -> StoreStats:
            await asked.put(1)
            return await browser.figures()

        source = StatusSource(health=lambda: Health(ok=True), figures=figures, metrics=Metrics(), clock=clock)
        staying = asyncio.create_task(CorpusPages(source, corpus=lambda: browser).stay_prepared())
        for _ in range(3):
            await asked.get()
        staying.cancel()
        await asyncio.wait([staying])

    assert staying.cancelled()
