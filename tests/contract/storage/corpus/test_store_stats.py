"""Statistics of a store: queue, sources, recent outcomes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.contract.storage.factories import MINUTE, NOW, add_seed, candidate, claim_one, page, take_in
from worker.models import Outcome, Poll, State
from worker.storage.corpus import reader
from worker.storage.store import Store

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def fill(store: Store) -> None:
    """Two texts and a copy yesterday, a text and a failure now, one candidate that waits."""
    take_in(store, "https://a.example/1", "một hai", now=NOW - DAY + HOUR)
    take_in(store, "https://a.example/2", "ba bốn", now=NOW - DAY + HOUR)
    take_in(store, "https://a.example/3", "một hai", now=NOW - DAY + HOUR)
    take_in(store, "https://b.example/1", "năm sáu", now=NOW - MINUTE)
    store.ledger.enqueue([candidate("https://c.example/1")], now=NOW)
    store.ledger.finish(claim_one(store), Outcome(state=State.FAILED, reason="dns"), now=NOW)
    store.ledger.enqueue([candidate("https://c.example/2", source="other")], now=NOW)


def test_the_queue_and_the_corpus_are_counted(store: Store) -> None:
    fill(store)
    add_seed(store, "001_0123456789abcdef.txt", "bảy tám")

    figures, books = store.reader.figures(now=NOW + MINUTE), store.reader.audit()

    assert (figures.pending, figures.due, figures.texts) == (1, 1, 4)
    assert (figures.counts, figures.texts) == (books.counts, books.clusters)
    assert (figures.articles, figures.seeds) == (books.articles, books.seeds) == (4, 1)
    assert figures.size is None or figures.size > 1000


def test_the_newest_texts_are_named_newest_first_without_copies(store: Store) -> None:
    fill(store)
    add_seed(store, "001_0123456789abcdef.txt", "bảy tám")

    latest = store.reader.figures(now=NOW).latest

    assert [each.url for each in latest] == [
        f"https://{name}" for name in ("b.example/1", "a.example/2", "a.example/1")
    ]
    assert (latest[0].title, latest[0].source, latest[0].at) == ("Tiêu đề", "bao", NOW - MINUTE)


@pytest.mark.parametrize("window", [1, 5_000])
def test_the_articles_of_the_corpus_are_listed_back_from_an_id(
    store: Store, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many seeds were imported after them: a small window stands for many."""
    monkeypatch.setattr(reader, "NEW_WINDOW", window)
    fill(store)
    add_seed(store, "001_0123456789abcdef.txt", "bảy tám")

    first = store.reader.newest(limit=2, heads=True)
    take_in(store, "https://b.example/9", "mười", now=NOW)  # a newer one does not move the rest
    rest = store.reader.newest(limit=2, before=first[-1].id, heads=True)

    assert [each.url for each in (*first, *rest)] == [
        f"https://{name}" for name in ("b.example/1", "a.example/2", "a.example/1")
    ]
    assert (first[0].summary, first[0].language, first[0].words) == ("Lời dẫn", "vi", 2)
    assert len(store.reader.figures(now=NOW).latest) == 4


def test_pages_that_extraction_lost_are_counted_apart(store: Store) -> None:
    for number, reason in enumerate(("short", "crash", "timeout", "timeouts", "memory")):
        store.ledger.enqueue([candidate(f"https://c.example/{number}")], now=NOW)
        outcome = Outcome(state=State.REJECTED, reason=reason, detail="it is so")
        store.ledger.finish(claim_one(store), outcome, now=NOW)

    counted = store.reader.activity(after=0, since=NOW - DAY)

    ends = {state: number for (_, state), number in counted.hours.items()}
    assert ends == {"rejected": 2, "lost": 3}


def test_recent_outcomes_are_counted_by_span(store: Store) -> None:
    fill(store)

    recent = store.reader.figures(now=NOW + MINUTE).recent

    assert recent[HOUR] == {"discovered": 3, "stored": 1, "failed": 1}
    assert recent[DAY] == {"discovered": 6, "stored": 3, "duplicate": 1, "failed": 1}


def test_a_source_has_its_counts_and_the_time_of_its_newest_text(store: Store) -> None:
    fill(store)
    store.ledger.record_poll(Poll(source="bao", polled_at=NOW, due_at=NOW + HOUR, found=9), ())
    store.ledger.record_poll(Poll(source="new", polled_at=NOW, due_at=NOW + HOUR, error="dns: no such host"), ())

    bao, new = store.reader.figures(now=NOW).sources

    assert (bao.name, bao.known, bao.state.found) == ("bao", 5, 9)
    assert bao.counts == {State.STORED: 3, State.DUPLICATE: 1, State.FAILED: 1}
    assert bao.newest_at == NOW - MINUTE
    assert (new.known, new.newest_at, new.state.error) == (0, None, "dns: no such host")


def test_a_page_fetched_long_ago_does_not_hide_recent_outcomes(store: Store) -> None:
    for number in range(20):
        store.ledger.enqueue([candidate(f"https://w{number}.example/")], now=NOW)
        old = replace(page(f"https://w{number}.example/"), fetched_at=NOW - 3000 * DAY)
        store.ledger.finish(claim_one(store), Outcome(state=State.REJECTED, reason="short"), now=NOW, page=old)

    recent = store.reader.figures(now=NOW).recent

    assert recent[HOUR] == {"discovered": 20, "rejected": 20}


def test_an_empty_store_has_statistics(store: Store) -> None:
    figures = store.reader.figures(now=NOW)

    assert (figures.pending, figures.texts, figures.sources) == (0, 0, ())
    assert figures.recent == {HOUR: {"discovered": 0}, DAY: {"discovered": 0}}


def test_spans_are_found_across_gaps_left_by_retention(store: Store) -> None:
    fill(store)
    store.prune(older_than=NOW - HOUR)

    recent = store.reader.figures(now=NOW + MINUTE).recent

    assert recent[DAY]["discovered"] == 6
    assert recent[DAY]["stored"] == recent[HOUR]["stored"] == 1
