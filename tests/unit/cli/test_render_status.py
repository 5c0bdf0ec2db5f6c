"""The page of `status`: at most 80 columns, sources with trouble first, nothing forged by foreign text."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import timedelta

from rich.console import Console

from tests.fakes import START
from worker.cli.render.status import render_status, status_record
from worker.config.schema import Settings, StoreSettings
from worker.config.sources import SourceSettings
from worker.models import BackfillProgress, BackfillStatus, SourceState, SourceStats, State, StoreStats
from worker.models.sources import Alarm, PollHistory
from worker.storage.queue.workers import WorkerRecord

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WORKER = WorkerRecord(name="box:17", candidates=12, sources=2, until=START)


def settings(*names: str) -> Settings:
    sources = tuple(SourceSettings(name=name, kind="feed", url="https://bao.example/rss") for name in names)
    return Settings(sources=sources, store=StoreSettings(url="postgresql+psycopg://me:secret@host/corpus"))


def figures(*sources: SourceStats) -> StoreStats:
    return StoreStats(
        at=START,
        pending=120_000,
        due=14,
        counts=dict.fromkeys(State, 123456),
        texts=100_000,
        articles=250_000,
        seeds=5,
        size=1_234_567_890,
        sources=sources,
        recent={HOUR: {"discovered": 40, "stored": 12}, DAY: {"stored": 345}},
    )


def well(name: str) -> SourceStats:
    state = SourceState(
        name=name, polled_at=START - HOUR / 2, due_at=START + HOUR, succeeded_at=START, found=30, interval=HOUR * 1.5
    )
    return SourceStats(name=name, state=state, counts={State.STORED: 30, State.DUPLICATE: 10})


def failing(name: str, error: str) -> SourceStats:
    learned = PollHistory(
        failing_since=START - DAY,
        gaps=3,
        gap_at=START - HOUR,
        alarms=(Alarm(what="length", since=START - DAY, detail="half as long as usual: 120 words, not 260"),),
    )
    state = SourceState(name=name, polled_at=START - HOUR, failures=12, error=error, learned=learned)
    return SourceStats(name=name, state=state)


def lines(
    shown: StoreStats, *names: str, daemon: str = "box:17, since 2026-03-01", worker: WorkerRecord = WORKER
) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=80).print(render_status(settings(*names), shown, daemon=daemon, workers=(worker,)))
    return out.getvalue().splitlines()


def test_the_page_fits_80_columns_with_long_source_names() -> None:
    found = lines(figures(well("a" * 100), failing("b" * 60, "x" * 300)), "a" * 100, "b" * 60)

    assert max(len(line) for line in found) <= 80


def test_the_page_shows_the_store_the_queue_and_the_workers() -> None:
    found = "\n".join(lines(figures(), "bao"))

    assert "secret" not in found
    assert "1,234.6 MB" in found
    assert "box:17 (12 candidates, 2 sources)" in found
    assert "120,000 pending, 14 of them due now" in found
    assert "100,000 texts = 250,000 articles + 5 seeds - 150,005 not exported" in found
    assert "last 1h" in found
    assert "345" in found


def test_a_source_shows_its_last_poll_and_its_yield() -> None:
    (line,) = (line for line in lines(figures(well("bao")), "bao") if line.startswith("bao"))

    assert line.split() == ["bao", "30m", "ago", "in", "60m", "90m", "30", "40", "30", "75%"]


def test_a_source_never_polled_or_disabled_is_shown_as_such() -> None:
    (line,) = (line for line in lines(figures(), "new") if line.startswith("new"))

    assert line.split()[:3] == ["new", "never", "due"]


def test_sources_with_trouble_come_first_with_the_problem_and_its_start() -> None:
    found = lines(figures(well("good"), failing("bad", "dns: no such host")), "good", "bad")

    text = " ".join(" ".join(found).split())
    assert next(place for place, line in enumerate(found) if line.startswith("bad")) < next(
        place for place, line in enumerate(found) if line.startswith("good")
    )
    assert "bad: 12 failed polls since 2026-02-28" in text
    assert "dns: no such host" in text
    assert "3 gaps, the last at 2026-03-01" in text
    assert "length since 2026-02-28" in text
    assert "half as long as usual: 120 words, not 260" in text


def test_both_tables_of_sources_have_the_same_columns_and_a_heading() -> None:
    found = lines(figures(well("a-long-name"), failing("bad", "dns: no such host")), "a-long-name", "bad")

    heads = [line for line in found if line.startswith("source ")]
    assert len(heads) == 2
    assert heads[0] == heads[1]
    assert [line.strip() for line in found if line.strip() in {"with trouble:", "in order:"}] == [
        "with trouble:",
        "in order:",
    ]


def test_without_trouble_there_is_one_table_without_a_heading() -> None:
    found = lines(figures(well("bao")), "bao")

    assert sum(line.startswith("source ") for line in found) == 1
    assert not any(line.endswith(":") for line in map(str.strip, found))


def test_an_old_gap_is_no_longer_shown_as_trouble() -> None:
    source = SourceStats(
        name="bao", state=SourceState(name="bao", learned=PollHistory(gaps=3, gap_at=START - timedelta(days=8)))
    )

    assert "gaps" not in "\n".join(lines(figures(source), "bao"))


def test_text_of_a_server_cannot_forge_a_line_or_a_colour() -> None:
    found = lines(figures(failing("bad", "oops\ngood  1m ago\x1b[32m [bold]all well[/]")), "bad")

    assert not [line for line in found if line.startswith("good")]
    assert "\x1b" not in "".join(found)
    assert "[bold]all well[/]" in "".join(found)


def test_the_record_has_every_field_under_its_fixed_name() -> None:
    told = status_record(figures(failing("bad", "dns")), daemon="box:17", workers=(WORKER,))

    assert list(told) == [
        "discovered", "stored", "duplicate", "revised", "unchanged", "rejected", "blocked", "failed", "pending",
        "articles", "seeds", "clusters", "unindexed", "due", "held", "bytes", "recent", "rejected_by_reason",
        "daemon", "workers", "backfills", "sources",
    ]  # fmt: skip
    assert told["recent"] == {"1h": {"discovered": 40, "stored": 12}, "1d": {"stored": 345}}
    assert told["workers"] == {"box:17": {"candidates": 12, "sources": 2, "command": None, "ended": False}}
    assert isinstance(told["sources"], dict)
    source = told["sources"]["bad"]
    assert (source["failures"], source["error"], source["gaps"]) == (12, "dns", 3)
    assert source["failing_since"] == "2026-02-28T08:00:00+00:00"
    assert source["alarms"][0]["what"] == "length"


def test_a_worker_that_has_ended_is_not_shown_at_work() -> None:
    found = lines(figures(), worker=replace(WORKER, ended=True))

    assert [line.split() for line in found if line.startswith("at work")] == [["at", "work", "none"]]
    assert any(line.startswith("ended   box:17 (has ended; it left 12 candidates") for line in found)


def test_unfinished_backfills_are_on_the_page_and_in_the_record() -> None:
    name = "a" * 24 + ":2025-01-01:2025-12-31"
    state = BackfillProgress(name=name, begun_at=START, looked=1200, waiting=34, found=56_000)
    alone = BackfillStatus(state=state, pending=7)
    out = io.StringIO()

    Console(file=out, width=80).print(render_status(settings(), figures(), daemon="", workers=(), backfills=(alone,)))
    told = status_record(figures(), daemon="", workers=(), backfills=(alone,))["backfills"]

    shown = " ".join(out.getvalue().split())
    assert f"backfill {name}: 1,200 of 1,234 places looked at, 56,000 found, 7 pending, no worker" in shown
    assert max(len(line) for line in out.getvalue().splitlines()) <= 80
    assert told == {
        name: {
            "begun_at": START.isoformat(), "worker": "", "looked": 1200, "waiting": 34, "unread": 0, "found": 56_000,
            "pending": 7,
        }
    }  # fmt: skip


def test_a_paused_source_is_listed_without_trouble() -> None:
    paused = replace(failing("cu", "dns"), paused=True)
    own = settings("cu")
    own = own.model_copy(update={"sources": (own.sources[0].model_copy(update={"enabled": False}),)})
    out = io.StringIO()

    Console(file=out, width=80).print(render_status(own, figures(paused), daemon="", workers=()))
    told = json.loads(json.dumps(status_record(figures(paused), daemon="", workers=())))["sources"]["cu"]

    assert "with trouble" not in out.getvalue()
    assert "paused" in out.getvalue()
    assert (told["paused"], told["alarms"]) == (True, [])


def test_the_numbers_add_up_or_the_page_explains_the_difference() -> None:
    shown = replace(figures(well("bao")), counts={State.STORED: 35, State.DUPLICATE: 12, State.PENDING: 3}, pending=3)

    found = lines(shown, "bao")

    assert "in all: every address found, by its current state; 3 more are pending" in found
    assert "10 more came from targets, or from sources no longer configured" in found
    assert "the last hour and day: what happened then; an address decided twice counts twice" in found
    assert max(map(len, found)) <= 80
