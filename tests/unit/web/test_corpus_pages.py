"""The pages of a store: the overview's plots, search, and an article with its cluster and history."""

from __future__ import annotations

import html
import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree as ET

import httpx
import pytest
from sqlalchemy import Connection, insert, select, update

from tests.contract.storage.factories import NOW, PARAMETERS, add_seeds, article, fingerprint, seed, take_in
from tests.fakes import FakeClock
from worker.config.schema import WebSettings
from worker.errors import StoreError
from worker.models import Health, PreparedSeed, Source, State
from worker.runs import reading
from worker.runs.pages import pages_app
from worker.runs.reading import Browser
from worker.storage.db.schema import ARTICLES, CANDIDATES, EVENTS, SOURCES, STANDINGS
from worker.storage.store import Store, open_store
from worker.web.app import StatusSource
from worker.web.data import make_cursor
from worker.web.metrics import Metrics
from worker.web.pages import breakable, paragraphs, plot, within

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7 * 7 }} \x1b[31m\u202e'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with a fetched article, a copy of it, and a hostile text that gives no date."""
    with open_store(f"sqlite:///{tmp_path / 'corpus.db'}", parameters=PARAMETERS) as opened:
        take_in(opened, "https://bao.example/1", "một hai ba bốn năm sáu đường")
        take_in(opened, "https://tin.example/2", "một hai ba bốn năm sáu đường")
        made = replace(
            article("javascript:alert(3)", f"đường {HOSTILE}"), title=HOSTILE, published_at=None, lead=HOSTILE
        )
        add_seeds(opened, PreparedSeed(seed=seed(), article=made, fingerprint=fingerprint(made.text)))
        yield opened


@pytest.fixture
async def client(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    with Browser(store.reader, clock=clock(), sources=()) as browser:
        async with client_of(browser) as made:
            yield made


def clock() -> FakeClock:
    """Return a clock that shows an hour after the articles were stored."""
    made = FakeClock()
    made.advance(NOW + timedelta(hours=1) - made.now())
    return made


def client_of(browser: Browser | None) -> httpx.AsyncClient:
    async def figures() -> None:
        return None

    source = StatusSource(
        health=lambda: Health(ok=True),
        figures=browser.figures if browser else figures,
        metrics=Metrics(),
        clock=clock(),
    )
    transport = httpx.ASGITransport(app=pages_app(source, corpus=lambda: browser, web=WebSettings()))
    return httpx.AsyncClient(base_url="http://127.0.0.1", transport=transport)


def words(page: str) -> str:
    """Return what a reader sees of a page, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


class Elements(HTMLParser):
    """Collects the elements of a page as a browser sees them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def assert_harmless(page: str) -> None:
    elements = Elements(page).found
    names = {name for _, attributes in elements for name in attributes}
    targets = [attributes["href"] or "" for tag, attributes in elements if tag == "a"]
    assert [attributes for tag, attributes in elements if tag == "script"] == [
        {"src": "/static/page.js", "defer": None}
    ]
    assert not {tag for tag, _ in elements} & {"img", "iframe", "object", "embed", "style", "base"}
    assert not [name for name in names if name == "style" or name.startswith("on")]
    assert not [target for target in targets if not target.startswith(("/", "#", "http://", "https://"))]
    assert not {"\x1b", "\u202e"} & set(page)
    assert " 49 " not in page


async def test_search_shows_results_with_hits_marked(client: httpx.AsyncClient) -> None:
    answer = await client.get("/search", params={"q": "duong -script"})

    assert answer.status_code == 200
    assert "<mark>đường</mark>" in answer.text
    assert 'href="/articles/1"' in answer.text
    assert 'href="/articles/2"' not in answer.text
    assert 'value="duong -script"' in answer.text
    assert len(answer.content) < 150_000


async def test_hostile_texts_do_nothing(client: httpx.AsyncClient) -> None:
    pages = [
        await client.get(path, params=query)
        for path, query in (
            ("/", {}),
            ("/articles/3", {}),
            ("/search", {"q": "duong"}),
            ("/search", {"q": HOSTILE}),
            ("/search", {"q": '" OR 1=1 -- NEAR('}),
            ("/search", {"q": "duong", "cursor": "9" * 400}),
            ("/search", {"q": "duong", "cursor": "WzFd"}),
            ("/articles/999999999999999999999999", {}),
            (f"/{quote(HOSTILE)}", {}),
        )
    ]

    assert [page.status_code for page in pages] == [200, 200, 200, 200, 200, 400, 200, 404, 404]
    for page in pages:
        assert_harmless(page.text)
    assert "javascript:alert(3)" in pages[1].text


async def test_an_article_shows_its_text_fields_cluster_and_history(client: httpx.AsyncClient) -> None:
    head, copy = [words((await client.get(f"/articles/{number}")).text) for number in (1, 2)]

    assert "một hai ba bốn năm sáu đường" in head
    assert "Section Thời sự" in head
    assert "from json-ld" in head
    assert "2 texts are one item" in head
    assert "discovered feed" in head
    assert "judged unique" in head
    assert "This text is kept, but not exported: its cluster exports another one" in copy
    assert "judged copy against Tiêu đề" in copy
    assert "Compare the texts" in copy


ATOM = {"": "http://www.w3.org/2005/Atom"}


async def test_the_articles_of_the_corpus_are_a_list_and_a_feed(client: httpx.AsyncClient, store: Store) -> None:
    take_in(store, "https://bao.example/9", "chín mười mười một mười hai mười ba")

    listed = (await client.get("/api/v1/articles", params={"limit": 1})).json()
    rest = (await client.get("/api/v1/articles", params={"cursor": listed["next"]})).json()
    end = (await client.get("/api/v1/articles", params={"cursor": make_cursor(0)})).json()
    page = (await client.get("/articles")).text
    answers = [await client.get("/feeds/articles.atom", headers={"Host": host}) for host in ("127.0.0.1", "[::1]:8750")]
    assert "javascript:" not in answers[0].text
    feeds = [ET.fromstring(answer.content) for answer in answers]

    assert [each["id"] for part in (listed, rest) for each in part["articles"]] == [4, 1]
    assert rest["next"] is None
    assert end == {"articles": [], "next": None}
    assert_harmless(page)
    assert answers[0].headers["content-type"] == "application/atom+xml"
    ids = [[each.text for each in feed.iterfind(".//id", ATOM)] for feed in feeds]
    assert ids[0] == ids[1]  # wherever it is served
    assert len(set(ids[0])) == 3
    form = r"tag:corpus-worker\.invalid,2026:[0-9a-f-]{36}/articles(/\d+)?"
    assert all(re.fullmatch(form, each or "") for each in ids[0])
    entry = feeds[1].find("entry", ATOM)
    assert entry is not None
    assert (entry.findtext("title", "", ATOM), entry.findtext("summary", "", ATOM)) == ("Tiêu đề", "Lời dẫn")
    assert [(link.get("rel"), link.get("href")) for link in entry.iterfind("link", ATOM)] == [
        ("alternate", "http://[::1]:8750/articles/4"),
        ("via", "https://bao.example/9"),
    ]
    for name in ("updated", "published"):
        assert datetime.fromisoformat(entry.findtext(name, "", ATOM)).tzinfo


async def test_a_feed_is_sent_again_only_when_it_changed(client: httpx.AsyncClient, store: Store) -> None:
    path = "/feeds/articles.atom"
    first = await client.get(path)
    tag, since = first.headers["etag"], first.headers["last-modified"]
    asked = (
        {"If-None-Match": tag}, {"If-None-Match": f'"x", W/{tag}'}, {"If-None-Match": "*"},
        {"If-Modified-Since": since}, {"If-None-Match": '"x"', "If-Modified-Since": since},
        {"If-Modified-Since": "yesterday"}, {"If-Modified-Since": "Mon, 01 Jan 0001 00:00:00 +2359"},
    )  # fmt: skip
    answers = [await client.get(path, headers=each) for each in asked]
    take_in(store, "https://bao.example/9", "chín mười mười một mười hai mười ba")
    changed = await client.get(path, headers={"If-None-Match": tag})

    assert [answer.status_code for answer in answers] == [304, 304, 304, 304, 200, 200, 200]
    assert (answers[0].content, answers[0].headers["etag"]) == (b"", tag)
    assert first.headers["cache-control"] == "no-cache"
    assert changed.status_code == 200


async def test_the_overview_counts_what_came_in(client: httpx.AsyncClient) -> None:
    first = (await client.get("/")).text
    again = (await client.get("/")).text

    assert "By hour: 1 stored, 1 copies, 0 rejected, 0 failed" in first
    assert "By week: 1 stored, 1 copies" in again


async def test_a_store_that_fails_or_is_not_open_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(store.reader, "search", fail)
    with Browser(store.reader, clock=clock(), sources=()) as browser:
        async with client_of(browser) as client:
            failing = await client.get("/search?q=a")
    async with client_of(None) as client:
        closed = [await client.get(path) for path in ("/", "/search?q=a", "/articles/1", "/search")]

    assert (failing.status_code, "the disk is gone" in failing.text) == (503, True)
    assert [answer.status_code for answer in closed] == [200, 503, 503, 200]
    assert "the store is not open" in closed[1].text


def test_a_plot_stacks_what_ended_in_each_span() -> None:
    now = datetime(2026, 11, 29, 10, 30, tzinfo=UTC)
    hours = {
        (datetime(2026, 11, 29, 10, tzinfo=UTC), "stored"): 6,
        (datetime(2026, 11, 29, 9, tzinfo=UTC), "revised"): 2,
        (datetime(2026, 11, 29, 9, tzinfo=UTC), "duplicate"): 1,
        (datetime(2026, 11, 29, 9, tzinfo=UTC), "unchanged"): 9,
        (datetime(2026, 11, 24, 9, tzinfo=UTC), "failed"): 3,
        (now - timedelta(days=400), "stored"): 70,
    }

    by_hour, by_day, by_week = (plot(span, hours, now=now) for span in ("hour", "day", "week"))

    assert (by_hour.top, by_day.top, by_week.top) == (6, 9, 12)
    assert by_hour.bars[-1].label == "29 Nov 10:00"
    assert [(piece.kind, piece.y, piece.height) for piece in by_hour.bars[-2].pieces] == [
        ("stored", 80.0, 40.0),
        ("copies", 60.0, 20.0),
    ]
    assert by_day.bars[-1].counts == {"stored": 8, "copies": 1, "rejected": 0, "failed": 0}
    assert by_week.bars[-1].label == "23 Nov"
    assert by_week.totals == {"stored": 8, "copies": 1, "rejected": 0, "failed": 3}


async def test_pages_of_large_things_stay_small(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster of thousands, a long history, endless fields and 500 failing sources each fit on a page."""
    many = [f"nguồn {number}" for number in range(500)]
    store.reader.database.write(_make_large, sources=many)
    sources = [Source(name=name, kind="feed", url=f"https://bao.example/{'rat-dai/' * 40}") for name in many]
    with Browser(store.reader, clock=clock(), sources=sources) as browser:
        async with client_of(browser) as client:
            paths = ("/", "/sources", "/articles/1", "/articles/2", "/rejected")
            pages = {path: await client.get(path) for path in paths}
            monkeypatch.setattr(reading, "MAX_EVENTS", 300)
            cut = await client.get("/articles/1")

    assert "The last 100 of more than 30" in words(cut.text)
    assert "why 1 shows all" in words(cut.text)
    assert [answer.status_code for answer in pages.values()] == [200] * len(pages)
    assert {path: len(answer.content) // 1000 for path, answer in pages.items() if len(answer.content) > 150_000} == {}
    assert "602 texts are one item" in words(pages["/articles/1"].text)
    assert "562 more are not shown" in words(pages["/articles/1"].text)
    assert "The text goes on" in pages["/articles/1"].text
    assert "The last 100 of 6" in words(pages["/articles/1"].text)
    assert "480 more sources" in words(pages["/"].text)
    assert "All 500 sources" in words(pages["/"].text)
    for answer in pages.values():
        assert_harmless(answer.text)


def _make_large(connection: Connection, *, sources: Sequence[str]) -> None:
    """Make article 1 and its cluster, its history and the number of failing sources large."""
    long = {"text": "\n" * 99_999 + "một hai " * 99_999, "title": "<" * 9_999, "authors": json.dumps([HOSTILE] * 999)}
    fields = {
        "tags": json.dumps([HOSTILE] * 999),
        "notes": json.dumps([HOSTILE] * 999),
        "image": f"https://{'x' * 99_999}",
    }
    connection.execute(update(ARTICLES).where(ARTICLES.c.id == 1).values(**long, **fields))
    copy = connection.execute(select(ARTICLES).where(ARTICLES.c.id == 2)).mappings().one()
    standing = connection.execute(select(STANDINGS).where(STANDINGS.c.article_id == 2)).mappings().one()
    ids = range(100, 700)
    # The first are versions of one page.
    rows = [{**copy, "id": each, "title": HOSTILE * 9, "candidate_id": copy["candidate_id"]} for each in ids]
    connection.execute(insert(ARTICLES), [*rows[:60], *({**each, "candidate_id": None} for each in rows[60:])])
    connection.execute(insert(STANDINGS), [{**standing, "article_id": number} for number in ids])
    event = {"candidate_id": copy["candidate_id"] - 1, "at": NOW, "what": "unchanged", "detail": HOSTILE * 9}
    connection.execute(insert(EVENTS), [event] * 600)
    failing = {"error": HOSTILE * 99, "failures": 3, "due_at": NOW, "polled_at": NOW}
    connection.execute(insert(SOURCES), [{"name": name, **failing} for name in sources])
    page = connection.execute(select(CANDIDATES).where(CANDIDATES.c.id == 1)).mappings().one()
    rejected = {**page, "state": State.REJECTED, "title": None, "detail": HOSTILE * 99}
    for number in range(60):
        url, reason = f"https://bao.example/{number}/{'x' * 4_000}", f"reason{number}"
        named = {"id": 9_000 + number, "url": url, "canonical_url": url, "reason": reason}
        connection.execute(insert(CANDIDATES), {**rejected, **named})
        connection.execute(insert(EVENTS), {**event, "candidate_id": 9_000 + number, "what": "rejected"})


def test_a_url_is_broken_after_its_punctuation_and_a_text_is_cut_where_a_page_gets_large() -> None:
    text = paragraphs("một\n\n \nhai\n" + "&" * 99_999)
    whole = paragraphs("một\nhai")

    assert str(breakable("https://a-b.example/x?y=1")) == "https://<wbr>a-<wbr>b.<wbr>example/<wbr>x?<wbr>y=<wbr>1"
    assert str(breakable("javascript:<b>")) == "javascript:&lt;b&gt;"
    assert max(map(len, str(breakable("x" * 99_999)).split("<wbr>"))) == 30
    assert (text.lines[:2], len(text.lines), text.is_cut) == (("một", "hai"), 3, True)
    assert len(text.lines[2]) * len("&amp;") <= 50_000
    assert (whole.lines, whole.is_cut) == (("một", "hai"), False)
    assert list(within(["abc", "def", "ghi"], 5)) == ["abc", "de"]
