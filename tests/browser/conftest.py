"""A browser, and the web pages of a small store on loopback: each started once for the tests of this folder."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.newsroom.stories import Story, stories_of
from worker.config.load import load_settings
from worker.dedupe.judge import Deduper
from worker.models import Article, Candidate, Text
from worker.runs.pages import WebRun
from worker.storage.store import Store, open_store

REQUIRED = "CORPUS_WORKER_REQUIRE_BROWSER"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
PAPERS = ("miensong.example", "thoimoi.example", "baosaigon.example")
READER_ZONE = "Asia/Ho_Chi_Minh"
PATIENCE_MS = 60_000  # reached only where a test fails
expect.set_options(timeout=PATIENCE_MS)
HOSTILE = (
    "\"><script>document.title='script ran'</script><img src=https://elsewhere.example/x.png onerror=alert(2)>"
    "<style>body{display:none}</style></p></article><iframe src=//elsewhere.example></iframe> {{ 7 * 7 }} \u202e"
)


@dataclass(kw_only=True)
class Visitor:
    """Somebody with a window of a browser; what a page did that it must not do is in `faults`."""

    page: Page
    site: str
    faults: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Open a page of the site."""
        self.page.goto(f"{self.site}{path}")
        return self.page

    def type(self, keys: str) -> None:
        """Press keys on a page that is loaded: before, its script does not listen yet, and nothing has the focus."""
        self.page.wait_for_load_state("load")
        self.page.keyboard.type(keys)

    def watch(self) -> None:
        """Record what leaves the site, scripts that fail or open a dialogue, and what the policy stopped."""
        self.page.context.on("request", lambda request: self._sent(request.url))
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialogue: {dialog.message}"))
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on("console", self._logged)

    def _sent(self, url: str) -> None:
        if not url.startswith(f"{self.site}/"):
            self.faults.append(f"request: {url}")

    def _logged(self, message: ConsoleMessage) -> None:
        is_status = message.text.startswith("Failed to load resource")  # of a page that answers 404 on purpose
        if message.type in {"error", "warning"} and not is_status:
            self.faults.append(f"console: {message.text}")


def browser_program() -> str | None:
    """Return the path of the browser of this machine."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Give the browser of this machine; where there is none, skip, or fail where one is required."""
    program = browser_program()
    if program is None:
        message = f"no browser: none of {', '.join(PROGRAMS)} is installed (.ci/chromium installs one)"
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(message)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=SWITCHES)
        yield started
        started.close()


@pytest.fixture(scope="package")
def config(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the configuration of a small store with some sources."""
    folder = tmp_path_factory.mktemp("browser")
    url = f"sqlite:///{folder / 'corpus.db'}"
    deduper = Deduper()
    with open_store(url, parameters=deduper.parameters) as store:
        settle_stories(store, deduper)
    sources = "".join(
        f'[[sources]]\nname = "{host.partition(".")[0]}"\nkind = "feed"\nurl = "https://{host}/rss"\n'
        for host in PAPERS
    )
    path = folder / "worker.toml"
    path.write_text(f'[store]\nurl = "{url}"\n{sources}', encoding="utf-8")
    return path


@pytest.fixture(scope="package")
def site(config: Path) -> Iterator[str]:
    """Serve the pages; give their address."""
    with served(WebRun(load_settings(config, {}), listen="127.0.0.1:0", config=config)) as address:
        yield address


@contextmanager
def served(run: WebRun) -> Iterator[str]:
    """Serve pages from a thread while the block runs; give their address without the slash at its end."""
    address, ended = SimpleQueue[str](), threading.Event()

    async def serve() -> None:
        task = asyncio.create_task(run.run(address.put))
        await asyncio.to_thread(ended.wait)
        task.cancel()
        await asyncio.wait([task])

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    try:
        yield address.get(timeout=PATIENCE_MS / 1000).rstrip("/")
    finally:
        ended.set()
        thread.join()


def settle_stories(store: Store, deduper: Deduper) -> None:
    """Settle the stories of some papers, one of them copied, one of them hostile."""
    stories = [(host, story) for host in PAPERS for story in stories_of(host)]
    first = stories[0][1]
    copy = replace(first, slug=f"{first.slug}-lai", published=first.published + timedelta(hours=3))
    bad = replace(first, slug="bad", title=HOSTILE, lead=f"{HOSTILE} vạn lý", blocks=(HOSTILE,), section=HOSTILE)
    mixed = [(host, merged(story, other)) for (host, story), (_, other) in pairwise(stories[1:5])]
    articles = [article_of(*each) for each in (*stories, (PAPERS[1], copy), *mixed, (PAPERS[2], bad))]
    by_url = {each.canonical_url: each for each in articles}
    now = datetime.now(UTC)
    store.ledger.enqueue([candidate_of(each) for each in articles], now=now)
    for claim in store.ledger.claim(now=now, lease=timedelta(hours=1), limit=len(articles), worker="w1"):
        made = by_url[claim.canonical_url]
        fingerprint = deduper.fingerprint(made)
        judge = partial(deduper.judge, made, fingerprint)
        store.ledger.settle(claim, made, fingerprint=fingerprint, judge=judge, now=now)


def merged(story: Story, other: Story) -> Story:
    """Return a story that has half of one and all of another: the judge is not certain of it."""
    blocks = (*story.blocks[: len(story.blocks) // 2], *other.blocks)
    return replace(story, slug=f"{story.slug}-gop", title=f"Tin gộp: {story.section}", blocks=blocks)


def article_of(host: str, story: Story) -> Article:
    """Return a story of a paper as it is extracted."""
    url = f"https://{host}/{story.slug}"
    return Article(
        url=url,
        canonical_url=url,
        source=host.partition(".")[0],
        host=host,
        title=story.title,
        text=story.text,
        lead=story.lead,
        section=story.section,
        authors=(story.author,),
        tags=story.tags,
        language="vi",
        fetched_at=story.published + timedelta(minutes=20),
        published_at=story.published,
        published_at_from="meta",
        words=len(story.text.split()),
        sha256=hashlib.sha256(story.text.encode()).hexdigest(),
    )


def candidate_of(article: Article) -> Candidate:
    """Return the candidate that an article was extracted from."""
    return Candidate(
        url=article.url,
        canonical_url=article.canonical_url,
        source=article.source,
        reference=f"https://{article.host}/rss",
        payload=Text(text=article.text),
    )


@pytest.fixture
def visitor(browser: Browser, site: str) -> Iterator[Visitor]:
    """Somebody in another zone with a new window; the test fails if a page did what it must not do."""
    context = browser.new_context(timezone_id=READER_ZONE, locale="en-GB", reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    made = Visitor(page=context.new_page(), site=site)
    made.watch()
    yield made
    context.close()
    assert made.faults == []
