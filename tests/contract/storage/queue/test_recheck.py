"""Rechecks of stored articles: when they are due, their priority, and the outcome if they fail."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.contract.storage.factories import MINUTE, NOW, article, candidate, claim_one, fingerprint, judge_of, page
from worker.models import Authority, CandidateRecord, Claim, Outcome, State
from worker.schedule.retry import keep_former_outcome
from worker.storage.store import Store

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
URL = "https://bao.example/1"


def take_in(store: Store, *, url: str = URL, text: str = "một hai ba", recheck_at: datetime | None = None) -> Outcome:
    """Enqueue, claim and settle one article that is to be rechecked at a time."""
    store.ledger.enqueue([candidate(url, modified_at=NOW)], now=NOW)
    return settled(store, claim_one(store), text, recheck_at=recheck_at)


def settled(
    store: Store, claim: Claim, text: str, *, recheck_at: datetime | None = None, now: datetime = NOW
) -> Outcome:
    found = article(claim.url, text)
    outcome = store.ledger.settle(
        claim,
        found,
        fingerprint=fingerprint(text),
        judge=judge_of(found),
        now=now,
        page=page(claim.url, text.encode()),
        recheck_at=recheck_at,
    )
    assert outcome is not None
    return outcome


def record(store: Store, url: str = URL) -> CandidateRecord:
    found = store.reader.candidate(url)
    assert found is not None
    return found


def test_an_article_is_due_again_at_its_time_and_not_before(store: Store) -> None:
    take_in(store, recheck_at=NOW + HOUR)

    early = store.ledger.queue_rechecks(now=NOW + 59 * MINUTE, limit=10)
    due = store.ledger.queue_rechecks(now=NOW + HOUR, limit=10)
    twice = store.ledger.queue_rechecks(now=NOW + HOUR, limit=10)

    assert (early, due, twice) == (0, 1, 0)
    assert record(store).state is State.PENDING
    assert record(store).events[-1].detail == "old enough to be looked at again"
    assert store.reader.audit().balanced


def test_a_limited_number_is_queued_the_longest_due_first(store: Store) -> None:
    for number in range(5):
        take_in(store, url=f"https://bao.example/{number}", text=f"chữ{number}", recheck_at=NOW + (5 - number) * MINUTE)

    queued = store.ledger.queue_rechecks(now=NOW + HOUR, limit=2)

    waiting = [number for number in range(5) if record(store, f"https://bao.example/{number}").state is State.PENDING]
    assert (queued, waiting) == (2, [3, 4])


def test_a_recheck_waits_behind_the_news_of_its_host(store: Store) -> None:
    take_in(store, recheck_at=NOW)
    store.ledger.queue_rechecks(now=NOW, limit=10)
    store.ledger.enqueue([candidate("https://bao.example/2")], now=NOW + MINUTE)

    claimed = claim_one(store, now=NOW + 2 * MINUTE)

    assert claimed.url == "https://bao.example/2"


def test_rechecks_wait_behind_nothing_that_strangers_name_however_much_it_is(store: Store) -> None:
    named = (candidate(f"https://bao.example/s{number}") for number in range(3))
    strangers = [replace(each, authority=Authority.STRANGER) for each in named]
    store.ledger.enqueue(strangers, now=NOW - DAY)
    for number in (1, 2, 3):
        store.ledger.enqueue([candidate(f"https://bao.example/{number}")], now=NOW)
        settled(store, claim_one(store), f"chữ{number}", recheck_at=NOW + number * MINUTE)
    store.ledger.queue_rechecks(now=NOW + HOUR, limit=10)

    claimed = []
    for _ in range(6):
        claimed.append(claim_one(store, now=NOW + HOUR))
        store.ledger.finish(claimed[-1], Outcome(state=State.UNCHANGED), now=NOW + HOUR)

    assert [each.url.rpartition("/")[2] for each in claimed] == ["1", "2", "3", "s0", "s1", "s2"]


def test_a_claim_of_a_recheck_has_the_former_outcome_and_validators(store: Store) -> None:
    stored = take_in(store, recheck_at=NOW)
    store.ledger.queue_rechecks(now=NOW, limit=10)

    claim = claim_one(store)

    assert claim.previous_outcome == Outcome(state=State.STORED, reason=stored.reason, detail=stored.detail)
    assert (claim.is_scheduled_recheck, claim.known_article, claim.discovered_at) == (True, stored.article, NOW)
    assert claim.known_sha256 is not None


@pytest.mark.parametrize("state", [State.FAILED, State.REJECTED, State.BLOCKED])
def test_a_failed_recheck_restores_the_outcome(store: Store, state: State) -> None:
    stored = take_in(store, recheck_at=NOW)
    store.ledger.queue_rechecks(now=NOW, limit=10)
    claim = claim_one(store)

    outcome = keep_former_outcome(claim, Outcome(state=state, reason="gone", detail="404"))
    store.ledger.finish(claim, outcome, now=NOW, page=page(URL, b"an error"), recheck_at=NOW + DAY)

    after = record(store)
    assert (after.state, after.reason, after.articles) == (State.STORED, stored.reason, (stored.article,))
    assert after.detail == "recheck failed: gone: 404"
    assert store.ledger.queue_rechecks(now=NOW + DAY, limit=10) == 1
    assert claim_one(store, now=NOW + DAY).known_sha256 == claim.known_sha256
    assert store.reader.audit().balanced


def test_a_postponed_recheck_keeps_the_former_outcome(store: Store) -> None:
    take_in(store)
    store.ledger.enqueue([candidate(modified_at=NOW + HOUR)], now=NOW + HOUR)
    claim = claim_one(store, now=NOW + HOUR)
    later = Outcome(state=State.PENDING, reason="timeout", retry_at=NOW + 2 * HOUR)

    store.ledger.finish(claim, keep_former_outcome(claim, later), now=NOW + HOUR)

    again = claim_one(store, now=NOW + 2 * HOUR)
    assert again.previous_outcome == claim.previous_outcome
    assert again.previous_outcome is not None
    assert again.previous_outcome.state is State.STORED
    assert not again.is_scheduled_recheck


def test_a_failure_is_kept_if_a_person_requested_the_page(store: Store) -> None:
    take_in(store)

    store.ledger.enqueue([candidate()], now=NOW, again=True)

    assert claim_one(store).previous_outcome is None


def test_a_changed_text_is_a_revision_and_is_rechecked(store: Store) -> None:
    take_in(store, recheck_at=NOW)
    store.ledger.queue_rechecks(now=NOW, limit=10)

    outcome = settled(store, claim_one(store), "một hai ba bốn", recheck_at=NOW + DAY)

    assert outcome.state is State.REVISED
    assert record(store).state is State.REVISED
    assert store.ledger.queue_rechecks(now=NOW + DAY, limit=10) == 1


def test_a_copy_is_not_rechecked(store: Store) -> None:
    take_in(store, url="https://else.example/1")

    outcome = take_in(store, recheck_at=NOW)

    assert outcome.state is State.DUPLICATE
    assert store.ledger.queue_rechecks(now=NOW + DAY, limit=10) == 0


def announce(store: Store, number: int, *, at: datetime) -> State:
    """Announce one more modification, and return the state of the page after it."""
    store.ledger.enqueue([candidate(modified_at=NOW + number * MINUTE)], now=at)
    return record(store).state


def test_after_empty_announcements_the_next_is_believed_later_each_time(store: Store) -> None:
    take_in(store)
    at, waits = NOW, []
    for number in range(1, 5):
        started = at
        while announce(store, number, at=at) is not State.PENDING:
            at += 10 * MINUTE
        waits.append(at - started)
        settled(store, claim_one(store, now=at), "một hai ba", now=at)

    assert waits == [timedelta(0), HOUR, 2 * HOUR, 4 * HOUR]


def test_a_real_change_resets_the_backoff(store: Store) -> None:
    take_in(store)
    announce(store, 1, at=NOW)
    settled(store, claim_one(store), "một hai ba")
    announce(store, 2, at=NOW + HOUR)
    settled(store, claim_one(store, now=NOW + HOUR), "một hai ba bốn", now=NOW + HOUR)

    state = announce(store, 3, at=NOW + HOUR)

    assert state is State.PENDING


def test_an_expired_lease_keeps_the_former_outcome(store: Store) -> None:
    take_in(store, recheck_at=NOW)
    store.ledger.queue_rechecks(now=NOW, limit=10)
    first = claim_one(store)

    second = claim_one(store, now=NOW + HOUR)

    assert (second.previous_outcome, second.is_scheduled_recheck) == (first.previous_outcome, True)
    assert second == replace(second, known_article=first.known_article)


def test_what_robots_txt_forbade_is_tried_again_after_longer_pauses_while_it_is_named(store: Store) -> None:
    forbidden, tried = Outcome(state=State.BLOCKED, reason="robots", detail="Disallow: /"), []
    for hour in range(9):
        store.ledger.enqueue([candidate(URL)], now=NOW + hour * HOUR)
        if record(store).state is State.PENDING:
            store.ledger.finish(claim_one(store, now=NOW + hour * HOUR), forbidden, now=NOW + hour * HOUR)
            tried.append(hour)

    assert tried == [0, 1, 3, 7]
    assert record(store).events[-2].detail.startswith("named again: ")
    store.ledger.enqueue([candidate(URL)], now=NOW + DAY)
    assert settled(store, claim_one(store, now=NOW + DAY), "một hai ba", now=NOW + DAY).state is State.STORED
    assert store.reader.audit().balanced
