"""The pages on which people look after a store: copies, pairs to review, sources, rejected pages; and their forms."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.contract.storage.factories import MINUTE, NOW, article, candidate, claim_one, page
from tests.unit.web.test_corpus_pages import HOSTILE, assert_harmless, client_of, clock, words
from worker.dedupe.judge import Deduper
from worker.errors import FetchError
from worker.models import Neighbour, Outcome, Poll, State, Verdict
from worker.models.base import format_utc
from worker.runs import curation, discover_sources
from worker.runs.curation import UnsurePairs
from worker.runs.reading import Browser
from worker.storage.store import Store, open_store

DEDUPER = Deduper()


SYLLABLES = [onset + rhyme for onset in "bcdghklmnt" for rhyme in ("a", "ông", "inh", "ươi", "e")]


def text_of(number: int, *, length: int = 120) -> str:
    return " ".join(random.Random(number).choices(SYLLABLES, k=length))


SHARED = text_of(0, length=40)
TEXTS = (f"{SHARED} {text_of(1)}", f"{SHARED} {text_of(2)} {HOSTILE}")


def settle(store: Store, url: str, text: str, *, probability: float | None = None, now_after: int = 0) -> None:
    """Take in an article as the real judge decides, or as if it had been unsure to this degree."""
    now = NOW + now_after * MINUTE
    store.ledger.enqueue([candidate(url)], now=now, again=True)
    newcomer = replace(article(url, text, fetched_at=now), title=f"Tin {HOSTILE}")
    fingerprint = DEDUPER.fingerprint(newcomer)

    def judge(neighbours: Sequence[Neighbour]) -> Verdict:
        verdict = DEDUPER.judge(newcomer, fingerprint, neighbours)
        if probability is None:
            return verdict
        made = tuple(replace(each, probability=probability) for each in verdict.considered)
        return replace(verdict, considered=made)

    store.ledger.settle(claim_one(store, now=now), newcomer, fingerprint=fingerprint, judge=judge, now=now)


def reject(store: Store, url: str, body: str) -> None:
    store.ledger.enqueue([candidate(url)], now=NOW)
    outcome = Outcome(state=State.REJECTED, reason="short", detail=f"too short: 9 words {HOSTILE}")
    store.ledger.finish(claim_one(store), outcome, now=NOW, page=page(url, body.encode()))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with a copy, an unsure pair of hostile texts, two versions of a page, and a rejected hostile page."""
    with open_store(f"sqlite:///{tmp_path / 'corpus.db'}", parameters=DEDUPER.parameters) as opened:
        settle(opened, "https://a.example/1", TEXTS[0])
        settle(opened, "https://b.example/1", TEXTS[0])
        settle(opened, "https://c.example/1", TEXTS[1], probability=0.45)
        settle(opened, "https://a.example/1", f"{TEXTS[0]} thêm một câu mới ở cuối bài này", now_after=1)
        reject(opened, "https://d.example/1", f"<title>x</title><script>alert('hidden')</script><p>Chữ {HOSTILE}</p>")
        yield opened


@pytest.fixture
def config(tmp_path: Path) -> Path:
    written = tmp_path / "worker.toml"
    written.write_text(
        '# mine\n[[sources]]\nname = "bao"\nkind = "feed"\nurl = "https://bao.example/rss"\n'
        '[[sources]]\nname = "tin"\nkind = "feed"\nurl = "https://tin.example/rss"\nenabled = false\n'
    )
    return written


@pytest.fixture
async def client(store: Store, config: Path) -> AsyncIterator[httpx.AsyncClient]:
    with Browser(store.reader, clock=clock(), sources=(), config=config) as browser:
        async with client_of(browser) as made:
            yield made


async def send(client: httpx.AsyncClient, path: str, shown: str, **fields: str) -> httpx.Response:
    """Send a form of a page, and return the page that it leads to."""
    found = re.search(r'name="csrf" value="(\w+)"', shown)
    assert found
    answer = await client.post(path, data={"csrf": found[1], "back": "/sources", **fields})
    assert answer.status_code == 303, answer.text
    return await client.get(answer.headers["location"])


async def test_hostile_texts_do_nothing_on_any_page(client: httpx.AsyncClient) -> None:
    pages = ("/clusters", "/review", "/sources", "/rejected", "/rejected/4", "/articles/4", "/articles/3")
    for path in pages:
        answer = await client.get(path)
        assert answer.status_code == 200, answer.text
        assert len(answer.content) < 150_000
        assert_harmless(answer.text)


async def test_a_page_stays_small_however_long_a_title_and_a_text_are(client: httpx.AsyncClient, store: Store) -> None:
    long = article("https://z.example/1", f"{'dài' * 90_000}\n{text_of(7)}", fetched_at=NOW)
    newcomer = replace(long, title=f"{'tựa' * 9} {'x' * 300_000}", lead="lời " * 90_000)
    store.ledger.enqueue([candidate(long.url)], now=NOW)
    fingerprint = DEDUPER.fingerprint(newcomer)
    judge = partial(DEDUPER.judge, newcomer, fingerprint)
    store.ledger.settle(claim_one(store), newcomer, fingerprint=fingerprint, judge=judge, now=NOW)
    newest = store.reader.newest(limit=1)[0].id

    for path in ("/articles", "/search?q=x", f"/search?q={SYLLABLES[0]}", f"/articles/{newest}", "/"):
        answer = await client.get(path)
        assert answer.status_code == 200
        assert len(answer.content) < 150_000, path
        assert f"{'tựa' * 9} …" in answer.text or path.startswith("/search")


async def test_clusters_say_who_had_a_text_first(client: httpx.AsyncClient) -> None:
    shown = words((await client.get("/clusters")).text)
    data = (await client.get("/api/v1/clusters")).json()

    assert "a.example had it first" in shown
    assert re.search(r"b\.example 1 1 100%", shown)
    assert [story["hosts"] for story in data["report"]["stories"]] == [2]
    assert [(link["id"], link["first_host"]) for link in data["copies"]] == [(2, "a.example")]


async def test_a_pair_is_decided_by_a_form_and_the_decision_taken_back(client: httpx.AsyncClient, store: Store) -> None:
    before = (await client.get("/review")).text
    marked = await send(client, "/review/mark", before, article="3", other="1", decided="same")
    record = store.reader.article(3)
    undone = await send(client, "/review/undo", marked.text, article="3", other="1")

    assert "The judge says different , with a probability of 0.45" in words(before)
    assert {'data-key="s"', 'data-key="d"', 'data-key=" "'} <= set(re.findall(r'data-key="."', before))
    assert 'class="same"' in before
    assert "There is nothing to review" in words(marked.text)
    assert "1 pair decided: 1 the same, 0 different. The judge agrees in 0 of 1" in words(marked.text)
    assert record is not None
    assert not record.head
    assert "Nobody has decided a pair yet" in words(undone.text)
    assert store.reader.audit().problems == ()


async def test_a_skipped_pair_comes_again_at_the_beginning(client: httpx.AsyncClient) -> None:
    first = (await client.get("/api/v1/review")).json()
    second = (await client.get("/api/v1/review", params={"cursor": first["next"]})).json()
    rest = (await client.get("/api/v1/review", params={"cursor": second["next"]})).json()

    pairs = [(each["pair"]["article"]["id"], each["pair"]["other"]["id"]) for each in (first, second)]
    assert pairs == [(3, 1), (4, 3)]
    assert (rest["pair"], rest["next"]) == (None, None)
    assert "Begin again" in (await client.get("/review", params={"cursor": second["next"]})).text


def test_more_verdicts_are_read_with_each_look(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curation, "VERDICTS_AT_ONCE", 1)
    unsure = UnsurePairs(store.reader, merge_at=0.5)

    found = [(len(unsure.look()), unsure.verdicts_read, unsure.verdicts) for _ in range(5)]

    assert found == [(1, 1, 4), (2, 2, 4), (2, 3, 4), (2, 4, 4), (2, 4, 4)]


async def test_an_article_shows_its_versions_and_its_time_line(client: httpx.AsyncClient) -> None:
    shown = words((await client.get("/articles/4")).text)

    assert "What changed" in shown
    assert "thêm một câu mới" in shown
    assert "Version 2 fetched" in shown
    timeline = shown.partition("Time line")[2]
    assert timeline.index("discovered") < timeline.index("judged unique") < timeline.index("judged revision")


async def test_sources_are_paused_polled_at_once_and_shown_with_their_days(
    client: httpx.AsyncClient, store: Store, config: Path
) -> None:
    before = (await client.get("/sources")).text
    checked = await send(client, "/sources/bao/check", before)
    paused = await send(client, "/sources/bao/pause", before)

    assert "4 texts in 14 days" in before
    assert "No daemon polls these sources" in words(before)
    assert 'action="/sources/tin/resume"' in before
    assert [(state.name, state.due_at) for state in store.reader.sources()] == [("bao", clock().now())]
    assert "due" in words(checked.text)
    assert 'action="/sources/bao/resume"' in paused.text
    assert config.read_text().startswith("# mine\n")  # noqa: ASYNC240


async def test_the_overview_says_whether_a_daemon_runs_and_why_the_configuration_is_refused(
    client: httpx.AsyncClient, store: Store, config: Path
) -> None:
    valid = config.read_text()  # noqa: ASYNC240
    store.ledger.record_poll(Poll(source="bao", polled_at=NOW, due_at=NOW + MINUTE), ())
    alone, alone_data = words((await client.get("/")).text), (await client.get("/api/v1/overview")).json()
    store.lock_daemon("box:17, since noon")
    beside = words((await client.get("/")).text)
    config.write_text("nonsense <b>")  # noqa: ASYNC240
    await client.get("/sources")
    refused = (await client.get("/")).text
    config.write_text(valid)  # noqa: ASYNC240
    await client.get("/sources")

    assert "No daemon is running: see below." in alone
    assert f"No daemon is running. The last poll was at {format_utc(NOW)}. Start corpus-worker run" in alone
    assert (alone_data["daemon"], alone_data["summary"]) == ("", "No daemon is running: see below.")
    assert alone_data["alarms"][0]["since"] == NOW.isoformat()
    assert "The store answers, and a daemon is running: box:17, since noon." in beside
    assert "Nothing at the moment" in beside
    assert "The configuration is refused: see below." in words(refused)
    assert f"The configuration is refused. {config}" in words(refused)
    assert words((await client.get("/")).text) == beside
    assert not [page for page in (alone, beside, words(refused)) if "well" in page.partition("What needs")[0]]


async def test_a_site_that_cannot_be_searched_is_said_in_one_line(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise FetchError(f"https://x.example/: no answer {HOSTILE}", reason="dns", retry=True)

    monkeypatch.setattr(discover_sources, "find_sources", fail)
    before = config.read_text()  # noqa: ASYNC240
    shown = (await client.get("/sources")).text
    wrong = await client.post(
        "/sources/add", data={"csrf": shown.split('name="csrf" value="')[1][:64], "url": "http://"}
    )
    await send(client, "/sources/add", shown, url="x.example")
    while "Looking for" in (after := (await client.get("/sources")).text):
        pass

    assert wrong.status_code == 400
    assert "Nothing was added for https://x.example: https://x.example/: no answer" in words(after)
    assert_harmless(after)
    assert config.read_text() == before  # noqa: ASYNC240


async def test_a_rejected_page_is_looked_at_and_taken_after_all(client: httpx.AsyncClient, store: Store) -> None:
    listed = (await client.get("/rejected?reason=short")).text
    shown = (await client.get("/rejected/4")).text
    waiting = await send(client, "/rejected/4/take", shown)
    left = await send(client, "/rejected/4/leave", waiting.text)
    taken = await send(client, "/rejected/4/take", left.text)
    claim = claim_one(store, now=clock().now() + timedelta(hours=1))

    assert "short : too short: 9 words" in words(listed)
    assert "Chữ" in words(shown)
    token = re.search(r'name="csrf" value="(\w+)"', shown)
    assert token
    for path in ("/rejected/4/take", "/rejected/77/leave", "/review/undo", "/review/mark"):
        form = {"csrf": token[1], "article": "1", "other": "1", "decided": "same"}
        refused = await client.post(path, data=form)
        assert (refused.status_code, "This cannot be done" in refused.text) == (409, True), path
    assert "It waits to be extracted again" in words(taken.text)
    assert "Take it after all" in words(left.text)
    assert claim.is_taken
    assert (await client.get("/rejected/77")).status_code == 404
