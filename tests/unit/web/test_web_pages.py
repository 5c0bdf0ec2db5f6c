"""The pages of a running daemon, requested over a real connection."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import ASGIApp

from tests.fakes import START, FakeClock
from worker.config.schema import WebSettings
from worker.errors import ListenError, StoreError
from worker.models import Claim, Health, Outcome, RecentArticle, Source, SourceState, SourceStats, State, StoreStats
from worker.models.sources import Alarm, PollHistory
from worker.runs.pages import pages_app
from worker.web import server
from worker.web.app import StatusSource, build_web_app
from worker.web.metrics import Metrics
from worker.web.server import serve_pages

WELL = Health(ok=True, figures={"standing_still_s": 7})
FIGURES = StoreStats(
    at=START,
    pending=7,
    due=3,
    in_hand=2,
    counts={State.PENDING: 7, State.STORED: 40},
    texts=45,
    size=123_456,
    sources=(
        SourceStats(
            name="bao",
            state=SourceState(
                name="bao",
                succeeded_at=START - timedelta(minutes=5),
                failures=2,
                error='<script>alert("x")</script>\n\x1b[31m',
                interval=timedelta(minutes=15),
                learned=PollHistory(gaps=4, alarms=(Alarm(what="length", since=START, detail="shorter"),)),
            ),
            counts={State.STORED: 40, State.PENDING: 7},
            newest_at=START - timedelta(hours=1),
        ),
    ),
    recent={timedelta(hours=1): {"stored": 12}},
    latest=(
        RecentArticle(
            id=9, title='</td><img src=x onerror="alert(1)">', url="javascript:alert('x')", source="bao", at=START
        ),
    ),
)


class Board:
    """What a daemon would tell."""

    def __init__(self) -> None:
        self.well = WELL
        self.shown: StoreStats | None = FIGURES
        self.asked = 0
        self.takes = timedelta(0)
        self.trouble: Exception | None = None
        self.clock = FakeClock()
        self.metrics = Metrics()

    async def figures(self) -> StoreStats | None:
        self.asked += 1
        self.clock.advance(self.takes)
        if self.trouble:
            raise self.trouble
        return self.shown

    @asynccontextmanager
    async def client(self, *, names: tuple[str, ...] = ()) -> AsyncIterator[httpx.AsyncClient]:
        watched = StatusSource(health=lambda: self.well, figures=self.figures, metrics=self.metrics, clock=self.clock)
        app = pages_app(watched, corpus=lambda: None, web=WebSettings(hosts=names))
        async with (
            serve_pages(app, listen="127.0.0.1:0") as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
        ):
            yield client


@pytest.fixture
def board() -> Board:
    return Board()


async def test_a_daemon_that_makes_progress_is_healthy(board: Board) -> None:
    async with board.client() as client:
        answer = await client.get("/healthz")

    assert answer.status_code == 200
    assert answer.json() == {"ok": True, "reason": "", "figures": {"standing_still_s": 7}}


async def test_a_stalled_daemon_returns_503_with_the_reason(board: Board) -> None:
    board.well = Health(ok=False, reason="nothing done for 10 minutes", figures={"due": 9})

    async with board.client() as client:
        answer = await client.get("/healthz")

    assert answer.status_code == 503
    assert answer.json() == {"ok": False, "reason": "nothing done for 10 minutes", "figures": {"due": 9}}


async def test_health_is_reported_without_querying_the_store(board: Board) -> None:
    board.trouble = StoreError("locked")

    async with board.client() as client:
        answer = await client.get("/healthz")

    assert (answer.status_code, board.asked) == (200, 0)


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name.removeprefix("corpus_worker_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labels(**named: str) -> frozenset[tuple[str, str]]:
    return frozenset(named.items())


def claim() -> Claim:
    return Claim(
        id=1,
        url="https://a/",
        canonical_url="https://a/",
        source="bao",
        host="a",
        attempts=1,
        lease_until=START,
        token="t",
    )


async def test_metrics_count_every_outcome_with_its_reason(board: Board) -> None:
    board.metrics.settled(claim(), Outcome(state=State.STORED, reason="unique"))
    board.metrics.settled(claim(), Outcome(state=State.STORED, reason="unique"))
    board.metrics.settled(claim(), Outcome(state=State.REJECTED, reason="crash"))

    async with board.client() as client:
        found = samples((await client.get("/metrics")).text)

    assert found["outcomes_total", labels(state="stored", reason="unique")] == 2
    assert found["outcomes_total", labels(state="rejected", reason="crash")] == 1
    assert found["extract_processes_lost_total", labels(reason="crash")] == 1
    assert not [name for name, _ in found if name.endswith("_created")]


async def test_metrics_count_and_time_what_stages_and_polls_do(board: Board) -> None:
    board.metrics.took("settle", seconds=0.03)
    board.metrics.fetch_failed("timeout")
    board.metrics.polled("bao", result="not-modified")
    board.metrics.leases_expired(3)
    board.metrics.lease_lost()
    board.metrics.discovered(Source(name="bao", kind="feed", url="https://a/"), new=5)

    async with board.client() as client:
        found = samples((await client.get("/metrics")).text)

    assert found["stage_seconds_count", labels(stage="settle")] == 1
    assert found["stage_seconds_bucket", labels(stage="settle", le="0.02")] == 0
    assert found["stage_seconds_bucket", labels(stage="settle", le="0.05")] == 1
    assert found["fetch_errors_total", labels(kind="timeout")] == 1
    assert found["polls_total", labels(result="not-modified")] == 1
    assert found["lease_expiries_total", labels()] == 3
    assert found["leases_lost_total", labels()] == 1
    assert found["discovered_total", labels(source="bao")] == 5


async def test_metrics_show_the_queue_the_store_and_the_freshness_of_sources(board: Board) -> None:
    async with board.client() as client:
        found = samples((await client.get("/metrics")).text)

    told = {name: value for (name, named), value in found.items() if not named}
    assert (told["queue_pending"], told["queue_due"], told["in_hand"], told["texts"]) == (7, 3, 2, 45)
    assert (told["store_bytes"], told["store_answers"], told["healthy"]) == (123_456, 1, 1)
    assert told["standing_still_seconds"] == 7
    assert found["candidates", labels(state="stored")] == 40
    assert found["source_freshness_seconds", labels(source="bao")] == 300
    assert found["source_newest_article_age_seconds", labels(source="bao")] == 3600
    assert found["source_failures", labels(source="bao")] == 2
    assert found["source_interval_seconds", labels(source="bao")] == 900
    assert found["source_gaps", labels(source="bao")] == 4
    assert found["source_alarms", labels(source="bao")] == 1


async def test_every_metric_is_in_the_documents(board: Board) -> None:
    documents = (Path(__file__).parents[3] / "docs" / "operating.md").read_text(encoding="utf-8")

    told = board.metrics.render(accept="", health=WELL, figures=FIGURES)[0].decode()

    names = set(re.findall(r"^# TYPE (\S+)", told, re.MULTILINE))
    assert len(names) > 20
    assert {name for name in names if f"`{name}`" not in documents} == set()


async def test_if_the_store_does_not_answer_only_its_metrics_are_missing(board: Board) -> None:
    board.metrics.lease_lost()
    board.trouble = StoreError("locked")

    async with board.client() as client:
        found = samples((await client.get("/metrics")).text)

    assert found["store_answers", labels()] == 0
    assert found["leases_lost_total", labels()] == 1
    assert ("queue_pending", labels()) not in found


async def test_a_store_that_is_not_open_yet_is_reported_as_not_answering(board: Board) -> None:
    board.well, board.shown = Health(ok=False, reason="starting"), None

    async with board.client() as client:
        found = samples((await client.get("/metrics")).text)
        page = (await client.get("/")).text

    assert (found["store_answers", labels()], found["healthy", labels()]) == (0, 0)
    assert "starting" in page


async def test_many_requests_query_the_store_once(board: Board) -> None:
    async with board.client() as client:
        await asyncio.gather(*(client.get("/metrics") for _ in range(5)), client.get("/"))
        once = board.asked
        board.clock.advance(timedelta(seconds=11))
        await client.get("/")

    assert (once, board.asked) == (1, 2)


async def test_a_slow_store_is_queried_less_often(board: Board) -> None:
    board.takes = timedelta(seconds=1)
    async with board.client() as client:
        await client.get("/metrics")
        board.clock.advance(timedelta(seconds=49))
        await client.get("/metrics")
        once = board.asked
        board.clock.advance(timedelta(seconds=2))
        await client.get("/metrics")

    assert (once, board.asked) == (1, 2)


async def test_two_processes_or_tests_share_no_counter() -> None:
    first, second = Metrics(), Metrics()

    first.lease_lost()

    assert b"leases_lost_total 0.0" in second.render(accept="", health=WELL, figures=None)[0]


async def test_prometheus_gets_openmetrics_if_it_accepts_it(board: Board) -> None:
    async with board.client() as client:
        answer = await client.get("/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0"})

    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


async def test_the_overview_escapes_foreign_text(board: Board) -> None:
    async with board.client() as client:
        answer = await client.get("/")

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert scripts(answer.text) == ["/static/page.js"]
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;\\n\\x1b[31m" in answer.text
    assert "2 failed polls since 2026-03-01 07:55:00 UTC" in answer.text
    assert "length since 2026-03-01 08:00:00 UTC: shorter" in answer.text
    assert "&lt;/td&gt;&lt;img src=x onerror=&#34;alert(1)&#34;&gt;" in answer.text
    assert "<img" not in answer.text
    assert not re.search(r'href="(?!/|#)', answer.text)
    assert ">40</td>" in answer.text


def scripts(page: str) -> list[str]:
    return re.findall(r'<script(?: src="([^"]*)" defer)?></script>|<script', page)


async def test_a_browser_may_load_only_files_of_this_server(board: Board) -> None:
    async with board.client() as client:
        answers = [
            await client.get(path) for path in ("/", "/static/style.css", "/static/page.js", "/none", "/healthz")
        ]

    policies = {answer.headers["content-security-policy"] for answer in answers}
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 200]
    assert len(policies) == 1
    assert "default-src 'none'" in (policy := policies.pop())
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<style|<\w[^<>]* (style|on\w+)=", answers[0].text)
    assert not re.search(r"(src|href)=\"?(https?:)?//", answers[0].text)
    assert "url(" not in answers[1].text


async def test_a_web_page_cannot_read_the_pages_by_dns_rebinding(board: Board) -> None:
    async with board.client(names=("box",)) as client:
        rebound = await client.get("/metrics", headers={"host": "evil.example:8750"})
        known = await client.get("/healthz", headers={"host": "box:8750"})

    assert (rebound.status_code, known.status_code) == (421, 200)
    assert "queue" not in rebound.text


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/", 405), ("GET", "/admin", 404), ("PUT", "/metrics", 405)]
)
async def test_nothing_else_is_answered(board: Board, method: str, path: str, status: int) -> None:
    async with board.client() as client:
        answer = await client.request(method, path)

    assert answer.status_code == status


async def test_serving_leaves_the_signals_of_the_process_alone(board: Board) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    async with board.client() as client:
        await client.get("/healthz")
        during = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    assert during == before


async def test_an_address_in_use_is_an_error_with_what_to_do(board: Board) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        told = rf"{address} cannot be listened on .*in use, by process {os.getpid()}: .*: choose another"
        with pytest.raises(ListenError, match=told):
            async with serve_pages(app_of(board), listen=address):
                pass


def app_of(board: Board) -> ASGIApp:
    return build_web_app(watched(board), web=WebSettings())


def watched(board: Board) -> StatusSource:
    return StatusSource(health=lambda: board.well, figures=board.figures, metrics=board.metrics, clock=board.clock)


async def test_a_client_that_hangs_does_not_hold_up_the_stop(board: Board) -> None:
    async with serve_pages(app_of(board), listen="127.0.0.1:0") as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n")
        await writer.drain()
        stopping = asyncio.get_running_loop().time()

    assert asyncio.get_running_loop().time() - stopping < 5
    writer.close()
    del reader


async def test_idle_connections_do_not_keep_others_out(board: Board) -> None:
    async with board.client() as client:
        port = client.base_url.port
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(80)]
        answers = [await client.get("/healthz") for _ in range(3)]

    for _, writer in held:
        writer.close()
    assert [answer.status_code for answer in answers] == [200, 200, 200]


@pytest.mark.parametrize(
    "said", [b"", b"GET /healthz HTTP/1.1\r\nhost: 127", b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\nGET"]
)
async def test_a_client_with_an_incomplete_request_is_disconnected(
    board: Board, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_REQUEST_TIMEOUT_S", 0.2)
    async with (
        serve_pages(app_of(board), listen="127.0.0.1:0") as port,
        asyncio.timeout(60),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)

        with contextlib.suppress(ConnectionError):
            while await reader.read(1000):
                pass

    writer.close()


async def test_sending_a_request_slowly_does_not_extend_the_time(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_REQUEST_TIMEOUT_S", 0.3)
    async with (
        serve_pages(app_of(board), listen="127.0.0.1:0") as port,
        asyncio.timeout(60),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        ended = asyncio.create_task(reader.read(1000))

        with contextlib.suppress(ConnectionError):
            writer.write(b"GET /healthz HTTP/1.1\r\n")
            while not ended.done():
                writer.write(b"a: b\r\n")
                await writer.drain()
                await asyncio.wait({ended}, timeout=0.05)
            await ended

    writer.close()


async def test_after_the_end_the_port_is_free_again(board: Board) -> None:
    async with serve_pages(app_of(board), listen="127.0.0.1:0") as port:
        pass

    with socket.create_server(("127.0.0.1", port)):
        assert port


async def test_a_paused_source_has_no_metrics_to_alert_on(board: Board) -> None:
    board.shown = replace(FIGURES, sources=(replace(FIGURES.sources[0], paused=True),))

    async with board.client() as client:
        page, metrics = (await client.get("/")).text, (await client.get("/metrics")).text

    assert '<td data-label="Next">paused</td>' in page
    assert "failed poll" not in page
    assert "shorter" not in page
    assert re.findall(r'^corpus_worker_source_\w+\{source="bao"\} \S+$', metrics, re.MULTILINE) == [
        'corpus_worker_source_paused{source="bao"} 1.0'
    ]


ODD = [
    "", "*/*", "text/html", "text/plain;version=x", "text/plain;version=1.0.0;q", "text/plain; version=0.0.4; q=abc",
    "application/openmetrics-text", "Application/OpenMetrics-Text; version=9", "application/openmetrics-text;version",
    "application/openmetrics-text;version=1.x;escaping=foo", "application/openmetrics-text;=;;;,,", "a" * 3000, ",;,;",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;q=0.4,*/*;q=0.1",
]  # fmt: skip


async def test_metrics_are_returned_for_every_accept_header(board: Board) -> None:
    async with board.client() as client:
        answers = [
            await client.get("/metrics", headers=[(b"accept", each.encode("latin-1"))]) for each in [*ODD, "\xff"]
        ]
        queries = [await client.get(f"/metrics?{query}") for query in ("a=1", "%ff%00", "name[]=x&name[]", "=&=")]
        head = await client.head("/metrics")

    assert {answer.status_code for answer in [*answers, *queries, head]} == {200}
    kinds = ["openmetrics" in answer.headers["content-type"] for answer in answers]
    assert kinds == ["openmetrics" in each.lower() for each in [*ODD, "\xff"]]
    assert all(b"corpus_worker_healthy 1" in answer.content for answer in [*answers, *queries])
    assert head.content == b""


async def test_the_numbers_of_the_page_add_up(board: Board) -> None:
    board.shown = replace(FIGURES, articles=50, seeds=5, texts=45, counts={State.STORED: 40, State.PENDING: 10})

    async with board.client() as client:
        page = (await client.get("/")).text

    assert "45 texts = 50 articles + 5 seeds − 10 not exported" in page
    assert '<td class="n" data-label="found">50</td><td class="n" data-label="pending">10</td>' in page
    assert "3 more came from targets" in page
