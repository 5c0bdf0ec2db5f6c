"""A candidate has every address seen for it; after one that fails, the next one is tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.contract.storage.factories import (
    MINUTE,
    NOW,
    article,
    candidate,
    claim_one,
    fingerprint,
    judge_of,
    page,
    settle,
    take_in,
)
from tests.former_schemas import make_second
from worker.models import Authority, Candidate, Claim, Outcome, SeenAddress, State, Text
from worker.schedule.retry import keep_former_outcome
from worker.storage.corpus.audit import misplaced_articles
from worker.storage.queue.addresses import MAX_ADDRESSES
from worker.storage.store import Store

KEY = "https://bao.example/1"
GONE = Outcome(state=State.FAILED, reason="gone", detail="404")
SHORT = Outcome(state=State.REJECTED, reason="short", detail="12 words")
HIDDEN = Outcome(state=State.BLOCKED, reason="robots", detail="forbidden")
LATER = Outcome(state=State.PENDING, reason="timeout", detail="slow", retry_at=NOW + 10 * MINUTE)
STRANGER = Authority.STRANGER


def named(url: str, *, by: Authority = Authority.PUBLISHER, key: str = KEY, **more: str) -> Candidate:
    """Return an address of the one candidate of these tests."""
    made = candidate(url, source="la" if by is STRANGER else "bao")
    return replace(made, canonical_url=key, authority=by, reference=f"{by} feed", **more)  # type: ignore[arg-type]


def enqueue(store: Store, *found: Candidate, again: bool = False) -> int:
    return store.ledger.enqueue(found, now=NOW, again=again)


def addresses(store: Store, key: str = KEY) -> dict[str, SeenAddress]:
    """Return the addresses of a candidate, after checking that the audit finds no problem."""
    assert store.reader.audit().problems == ()
    record = store.reader.candidate(key)
    assert record is not None
    return {each.url: each for each in record.addresses}


def state(store: Store, key: str = KEY) -> State:
    record = store.reader.candidate(key)
    assert record is not None
    return record.state


def settle_at(store: Store, claim: Claim, key: str, words: str) -> Outcome | None:
    """Settle a claim with an article of a given canonical URL."""
    made = article(key, words)
    return store.ledger.settle(claim, made, fingerprint=fingerprint(words), judge=judge_of(made), now=NOW)


@pytest.mark.parametrize("end", [GONE, SHORT, HIDDEN])
def test_after_an_address_that_ends_the_next_is_tried(store: Store, end: Outcome) -> None:
    assert enqueue(store, named("https://m.bao.example/1"), named("https://bao.example/1")) == 1
    first = claim_one(store)

    outcome = store.ledger.finish(first, end, now=NOW)
    second = claim_one(store)
    settle(store, second, "một hai")

    assert outcome is not None
    assert (outcome.state, outcome.reason) == (State.PENDING, end.reason)
    assert (first.url, second.url) == ("https://m.bao.example/1", "https://bao.example/1")
    assert (second.host, second.attempts) == ("bao.example", 1)
    assert [(each.state, each.reason) for each in addresses(store).values()] == [
        (end.state, end.reason),
        ("stored", "unique"),
    ]


def test_a_candidate_has_its_outcome_when_no_address_is_left(store: Store) -> None:
    enqueue(store, named("https://m.bao.example/1"), named("https://bao.example/1"))
    store.ledger.finish(claim_one(store), GONE, now=NOW)

    assert store.ledger.finish(claim_one(store), SHORT, now=NOW) == SHORT
    assert state(store) is State.REJECTED
    assert store.ledger.pending(now=NOW) == (0, 0)
    assert [each.state for each in addresses(store).values()] == ["failed", "rejected"]


@pytest.mark.parametrize("end", [GONE, SHORT, HIDDEN])
@pytest.mark.parametrize("by", list(Authority))
def test_a_new_address_reopens_a_failed_candidate(store: Store, end: Outcome, by: Authority) -> None:
    enqueue(store, named(KEY))
    store.ledger.finish(claim_one(store), end, now=NOW)

    new = enqueue(store, named("http://www.bao.example/1", by=by))

    claim = claim_one(store)
    assert (new, claim.url, claim.attempts) == (0, "http://www.bao.example/1", 1)
    assert addresses(store)[KEY].state == end.state
    events = store.reader.candidate(KEY).events  # type: ignore[union-attr]
    assert f"named by {by} feed" in events[-1].detail


def test_the_same_address_reopens_nothing(store: Store) -> None:
    enqueue(store, named(KEY))
    store.ledger.finish(claim_one(store), GONE, now=NOW)

    enqueue(store, named(KEY), named(KEY, by=STRANGER))

    assert state(store) is State.FAILED


def test_after_an_article_no_other_address_is_tried(store: Store) -> None:
    take_in(store, KEY, "một hai")

    enqueue(store, named("https://bao.example/1?x=1"), named("https://m.bao.example/1", by=STRANGER))

    assert state(store) is State.STORED
    assert [each.state for each in addresses(store).values()] == ["stored", "", ""]


def test_the_publishers_addresses_come_before_those_of_strangers(store: Store) -> None:
    enqueue(store, named("https://bao.example/1/amp", by=STRANGER))
    enqueue(store, named("https://bao.example/1?a"), named("https://bao.example/1?b", by=STRANGER))
    enqueue(store, named("https://bao.example/1?c", by=Authority.OPERATOR))
    tried = []
    for _ in range(4):
        claim = claim_one(store)
        tried.append(claim.url)
        store.ledger.finish(claim, GONE, now=NOW)

    assert [url.rpartition("/")[2] for url in tried] == ["1?a", "1?c", "amp", "1?b"]
    assert state(store) is State.FAILED


def test_the_publishers_address_replaces_a_strangers(store: Store) -> None:
    enqueue(store, named(KEY, by=STRANGER))
    store.ledger.finish(claim_one(store), GONE, now=NOW)

    enqueue(store, replace(named(KEY, title="Tiêu đề", fallback="cả bài"), published_at=NOW, modified_at=NOW))

    claim = claim_one(store)
    assert (claim.title, claim.published_at, claim.source, claim.attempts) == ("Tiêu đề", NOW, "bao", 1)
    assert store.ledger.fallback(claim) == Text(text="cả bài", title="Tiêu đề")
    assert [each.authority for each in addresses(store).values()] == [Authority.PUBLISHER]


def test_only_the_first_mention_by_the_publisher_changes_a_candidate(store: Store) -> None:
    enqueue(store, named(f"{KEY}/amp", by=STRANGER))
    settle(store, claim_one(store), "một hai")
    for _ in range(3):
        enqueue(store, named(KEY))

    record = store.reader.candidate(KEY)
    assert record is not None
    assert [event.what for event in record.events].count("named") == 1
    assert (record.state, record.url) == (State.PENDING, KEY)
    assert [each.url for each in record.addresses if each.current] == [KEY]


def test_after_a_temporary_failure_another_address_is_tried_meanwhile(store: Store) -> None:
    enqueue(store, named("https://m.bao.example/1"), named(KEY), named("https://bao.example/1/amp", by=STRANGER))
    tried, now = [], NOW
    for wait in (0, 0, 10, 20):
        now += wait * MINUTE
        claim = claim_one(store, now=now)
        tried.append((claim.url, claim.attempts))
        store.ledger.finish(claim, replace(LATER, retry_at=now + wait * MINUTE + 10 * MINUTE), now=now)

    assert [url for url, _ in tried] == ["https://m.bao.example/1", KEY, "https://m.bao.example/1", KEY]
    assert state(store) is State.PENDING


def test_a_new_address_is_tried_at_once_after_a_temporary_failure(store: Store) -> None:
    enqueue(store, named("https://m.bao.example/1"))
    store.ledger.finish(claim_one(store), LATER, now=NOW)

    enqueue(store, named(KEY))

    assert claim_one(store).url == KEY


def test_the_text_of_a_feed_is_used_only_when_no_address_is_left(store: Store) -> None:
    enqueue(store, named("https://m.bao.example/1", fallback="cả bài"), named(KEY))
    first = claim_one(store)
    told = [store.ledger.fallback(first)]
    store.ledger.finish(first, GONE, now=NOW)

    told.append(store.ledger.fallback(claim_one(store)))

    assert told == [None, Text(text="cả bài")]


def test_after_a_page_of_another_site_the_publishers_address_is_tried(store: Store) -> None:
    enqueue(store, named("https://bao.example/1/amp", by=STRANGER))
    settle_at(store, claim_one(store), "https://la.example/2", "một hai")

    enqueue(store, named(KEY))
    claim = claim_one(store)
    settle_at(store, claim, KEY, "ba bốn")

    assert claim.url == KEY
    assert {head.article.canonical_url for head in store.reader.heads()} == {KEY, "https://la.example/2"}
    assert [each.state for each in addresses(store).values()] == ["stored", "stored"]


def test_an_article_from_another_site_stays_if_the_publishers_address_fails(store: Store) -> None:
    enqueue(store, named("https://bao.example/1?x"), named(KEY), named("https://bao.example/1/amp", by=STRANGER))
    settle_at(store, claim_one(store), "https://la.example/2", "một hai")
    claim = claim_one(store)

    store.ledger.finish(claim, keep_former_outcome(claim, GONE), now=NOW)

    assert claim.url == KEY
    assert state(store) is State.STORED
    assert addresses(store)["https://bao.example/1?x"].reason == "elsewhere"


def test_strangers_cannot_make_the_addresses_grow_without_limit(store: Store) -> None:
    enqueue(store, named(KEY))
    enqueue(store, *(named(f"{KEY}?{number}", by=STRANGER) for number in range(50)))
    many = addresses(store)
    enqueue(store, *(named(f"{KEY}?own{number}") for number in range(5)))
    after = addresses(store)
    enqueue(store, *(named(f"{KEY}?own{number}") for number in range(50)))
    own = addresses(store)

    assert (len(many), len(after), len(own)) == (MAX_ADDRESSES, MAX_ADDRESSES, MAX_ADDRESSES)
    assert sum(each.authority is STRANGER for each in after.values()) == MAX_ADDRESSES - 6
    assert all(each.authority is Authority.PUBLISHER for each in own.values())
    assert KEY in own


def test_what_strangers_name_of_a_site_waits_behind_what_it_names_itself(store: Store) -> None:
    flood = [named(f"{KEY}-{n}", by=STRANGER, key=f"{KEY}-{n}") for n in range(3)]
    enqueue(store, *flood)

    enqueue(store, named(f"{KEY}-moi", key=f"{KEY}-moi"), named(flood[2].url, key=flood[2].url))
    claims = []
    while claim := next(iter(store.ledger.claim(now=NOW, lease=MINUTE, limit=1, worker="w1")), None):
        claims.append(claim.url)
        store.ledger.finish(claim, GONE, now=NOW)

    assert claims == [flood[2].url, f"{KEY}-moi", flood[0].url, flood[1].url]


def test_a_hostile_feed_cannot_cause_endless_tries(store: Store) -> None:
    enqueue(store, named(KEY))
    store.ledger.finish(claim_one(store), GONE, now=NOW)
    tries = 0
    for number in range(50):
        enqueue(store, named(f"{KEY}?{number}", by=STRANGER))
        for claim in store.ledger.claim(now=NOW, lease=MINUTE, limit=1, worker="w1"):
            tries += 1
            store.ledger.finish(claim, GONE, now=NOW)

    assert tries == MAX_ADDRESSES - 1


def test_a_new_address_of_a_leased_candidate_waits_for_its_outcome(store: Store) -> None:
    enqueue(store, named("https://m.bao.example/1", by=STRANGER))
    claim = claim_one(store)

    enqueue(store, named(KEY, title="Tiêu đề"))
    waiting = store.ledger.claim(now=NOW, lease=MINUTE, limit=1, worker="w2")
    store.ledger.finish(claim, GONE, now=NOW)

    assert waiting == []
    assert (claim_one(store).url, state(store)) == (KEY, State.PENDING)


def test_content_from_a_file_keeps_the_other_addresses(store: Store) -> None:
    enqueue(store, named("https://m.bao.example/1"), named(KEY))
    store.ledger.finish(claim_one(store), GONE, now=NOW)

    enqueue(store, replace(named(KEY, by=Authority.OPERATOR), payload=Text(text="một hai")), again=True)
    settle(store, claim_one(store), "một hai")

    assert set(addresses(store)) == {"https://m.bao.example/1", KEY}


def test_a_candidate_is_found_by_any_of_its_addresses(store: Store) -> None:
    enqueue(store, named(KEY), named("https://m.bao.example/1"))

    found = [store.reader.candidate(url) for url in (KEY, "https://m.bao.example/1", "https://m.bao.example/2")]

    assert [each and each.canonical_url for each in found] == [KEY, KEY, None]


def test_addresses_move_with_the_store_and_outlive_pruning(store: Store) -> None:
    enqueue(store, named(KEY), named("https://m.bao.example/1"))
    store.hosts.save_redirect("https://m.bao.example/1", KEY)
    store.ledger.finish(claim_one(store), GONE, now=NOW)
    settle(store, claim_one(store), "một hai", content=page())

    pruned = store.prune(older_than=NOW + timedelta(days=9))

    assert pruned.moves == 1
    assert len(addresses(store)) == 2


def test_a_candidate_of_an_older_version_gets_its_authority_from_its_feed(
    store_url: str, open_stores: Callable[[str], Store]
) -> None:
    former = open_stores(store_url)
    own = replace(candidate("https://bao.example/1"), reference="https://www.bao.example/rss", fallback="của báo")
    foreign = replace(candidate("https://bao.example/2"), reference="https://la.example/rss", fallback="của ai")
    former.ledger.enqueue([own, foreign], now=NOW)
    former.close()
    make_second(store_url)

    store = open_stores(store_url)

    claims = [claim_one(store)]
    store.ledger.finish(claims[0], GONE, now=NOW)
    claims.append(claim_one(store))
    told = {claim.url: store.ledger.fallback(claim) for claim in claims}
    assert [each.authority for key in told for each in addresses(store, key).values()] == [
        Authority.PUBLISHER,
        STRANGER,
    ]
    assert told["https://bao.example/2"] is None


def test_keys_that_only_a_page_gave_are_listed_and_kept(store_url: str, open_stores: Callable[[str], Store]) -> None:
    store = open_stores(store_url)
    take_in(store, "https://bao.example/1", "một hai")
    store.ledger.enqueue([candidate("https://la.example/1")], now=NOW)
    lying = replace(article("https://la.example/1", "ba bốn"), canonical_url="https://bao.example/9")
    store.ledger.settle(claim_one(store), lying, fingerprint=fingerprint("ba bốn"), judge=judge_of(lying), now=NOW)

    listed = misplaced_articles(store_url)

    assert [(each.url, each.canonical_url) for each in listed] == [("https://la.example/1", "https://bao.example/9")]
    assert "https://bao.example/9" in {head.article.canonical_url for head in store.reader.heads()}
