"""Statistics of sources are saved with each poll and each outcome."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.contract.storage.factories import MINUTE, NOW, candidate, claim_one, page, settle
from worker.models import Alarm, Outcome, Poll, PollHistory, PublishingStats, State
from worker.storage.store import Store

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TEXT = "một hai ba bốn năm"
LEARNED = PollHistory(
    plan="cron 0 7 * * * UTC",
    failing_since=NOW - DAY,
    fault="http-5xx",
    gaps=3,
    gap_at=NOW - HOUR,
    publishing_stats=PublishingStats(
        looked_at=NOW,
        items=tuple(hour / 4 for hour in range(24)),
        hours=(1.5,) * 24,
        recent=2.25,
        expected=1.125,
        window=30,
        half_window=90 * MINUTE,
        new_at=NOW - 2 * HOUR,
        silence=3 * DAY,
        arrivals=17,
        empty=2,
    ),
    alarms=(Alarm(what="silence", since=NOW - DAY, detail="nothing new for 9.0 days"),),
    entries=(1, -1, 2**63 - 1, -(2**63)),
)


def poll(learned: PollHistory, *, source: str = "bao") -> Poll:
    return Poll(source=source, polled_at=NOW, due_at=NOW + HOUR, learned=learned)


def test_what_a_poll_has_shown_is_loaded_as_saved(store: Store) -> None:
    store.ledger.record_poll(poll(LEARNED), ())

    assert store.ledger.source_state("bao").learned == LEARNED


def test_the_next_poll_replaces_it(store: Store) -> None:
    store.ledger.record_poll(poll(LEARNED), ())

    store.ledger.record_poll(poll(PollHistory(gaps=4)), ())

    assert store.ledger.source_state("bao").learned == PollHistory(gaps=4)


def test_readers_get_everything_but_the_entries(store: Store) -> None:
    store.ledger.record_poll(poll(LEARNED), ())
    store.ledger.claim_poll("new", now=NOW, lease=MINUTE, worker="w1")

    bao, new = store.reader.sources()

    assert (bao.learned.publishing_stats, bao.learned.alarms) == (LEARNED.publishing_stats, LEARNED.alarms)
    assert (bao.learned.gaps, bao.learned.failing_since, bao.learned.fault) == (3, NOW - DAY, "http-5xx")
    assert bao.learned.entries == ()
    assert new.learned == PollHistory()


def test_a_changed_schedule_gives_another_due_time(store: Store) -> None:
    store.ledger.record_poll(poll(LEARNED), ())

    store.ledger.replan("bao", plan="every 2:00:00", due_at=NOW + 9 * HOUR)

    state = store.ledger.source_state("bao")
    assert (state.due_at, state.learned.plan) == (NOW + 9 * HOUR, "every 2:00:00")
    assert state.learned.publishing_stats == LEARNED.publishing_stats


def gathered(store: Store) -> tuple[float, float, float, float]:
    recent = store.ledger.source_state("bao").outcome_stats.recent
    return recent.outcomes, recent.useful, recent.rejected, recent.articles


def ended(store: Store, url: str, outcome: Outcome) -> None:
    store.ledger.enqueue([candidate(url)], now=NOW)
    assert store.ledger.finish(claim_one(store), outcome, now=NOW)


def test_a_stored_article_counts_with_what_it_is_like(store: Store) -> None:
    store.ledger.enqueue([candidate()], now=NOW)

    settle(store, claim_one(store), TEXT)

    harvest = store.ledger.source_state("bao").outcome_stats
    assert gathered(store) == (1, 1, 0, 1)
    assert harvest.language == "vi"
    assert harvest.usual == harvest.recent


@pytest.mark.parametrize(
    ("state", "counted"),
    [
        (State.REJECTED, (1, 0, 1, 0)),
        (State.BLOCKED, (1, 0, 0, 0)),
        (State.UNCHANGED, (1, 0, 0, 0)),
        (State.FAILED, (0, 0, 0, 0)),
        (State.PENDING, (0, 0, 0, 0)),
    ],
)
def test_pages_that_gave_nothing_count_and_failures_do_not(
    store: Store, state: State, counted: tuple[float, float, float, float]
) -> None:
    ended(store, "https://bao.example/1", Outcome(state=state, reason="why"))

    assert gathered(store) == counted


@pytest.mark.parametrize(("host", "useful"), [("other.example", 1), ("bao.example", 0)])
def test_a_copy_is_useful_if_its_original_is_another_sites(store: Store, host: str, useful: int) -> None:
    store.ledger.enqueue([candidate(f"https://{host}/0", source="else")], now=NOW)
    settle(store, claim_one(store), TEXT)
    store.ledger.enqueue([candidate("https://bao.example/1")], now=NOW)

    outcome = settle(store, claim_one(store), TEXT)

    assert outcome is not None
    assert outcome.state is State.DUPLICATE
    assert gathered(store) == (1, useful, 0, 1)


def test_a_recheck_is_not_counted_again(store: Store) -> None:
    store.ledger.enqueue([candidate()], now=NOW)
    settle(store, claim_one(store), TEXT)
    store.ledger.enqueue([candidate()], now=NOW, again=True)

    settle(store, claim_one(store), "một hai ba bốn năm sáu")

    assert gathered(store) == (1, 1, 0, 1)


def test_content_from_a_file_is_not_counted_for_its_source(store: Store) -> None:
    store.ledger.enqueue([candidate(payload=page())], now=NOW)

    settle(store, claim_one(store), TEXT)

    assert gathered(store) == (0, 0, 0, 0)
