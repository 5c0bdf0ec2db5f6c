"""The ledger as a queue: which candidates are added, and which worker claims them when."""

from __future__ import annotations

import random
import string
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.contract.storage.factories import MINUTE, NOW, candidate, claim_one, page, settle, take_in
from worker.models import Outcome, Page, Poll, State, Text, Validators
from worker.ports import HostHealth, Scope
from worker.storage.store import Store
from worker.urls.syntax import MAX_FINISHED_LENGTH

SECOND = timedelta(seconds=1)


def urls(count: int, host: str = "bao.example") -> list[str]:
    return [f"https://{host}/{number}" for number in range(count)]


def claimed(store: Store, *, limit: int = 10, scope: Scope = Scope()) -> list[str]:
    return [each.url for each in store.ledger.claim(now=NOW, lease=MINUTE, limit=limit, worker="w1", scope=scope)]


def test_a_candidate_is_new_once(store: Store) -> None:
    first = store.ledger.enqueue([candidate(url) for url in urls(3)], now=NOW)

    second = store.ledger.enqueue([candidate(url) for url in urls(5)], now=NOW)

    assert (first, second) == (3, 2)
    assert store.ledger.pending(now=NOW) == (5, 5)


def test_a_candidate_named_twice_in_one_batch_is_one(store: Store) -> None:
    assert store.ledger.enqueue([candidate(), candidate()], now=NOW) == 1


def test_thousands_of_candidates_go_in_together(store: Store) -> None:
    assert store.ledger.enqueue([candidate(url) for url in urls(2100)], now=NOW) == 2100


def test_strings_no_database_can_hold_are_cleaned(store: Store) -> None:
    store.ledger.enqueue([candidate("https://bao.example/a\x00b\ud800")], now=NOW)

    assert claim_one(store).url == "https://bao.example/ab"


def test_a_claim_has_every_value_from_discovery(store: Store) -> None:
    known = candidate(modified_at=NOW)
    store.ledger.enqueue([known], now=NOW)

    claim = claim_one(store)

    assert (claim.url, claim.canonical_url, claim.source, claim.host) == (known.url, known.url, "bao", "bao.example")
    assert (claim.modified_at, claim.attempts, claim.lease_until) == (NOW, 1, NOW + MINUTE)
    assert (claim.payload, claim.known_article, claim.known_sha256) == (None, None, None)


def test_one_claim_takes_one_candidate_of_each_host(store: Store) -> None:
    store.ledger.enqueue([candidate(url) for host in ("a.example", "b.example") for url in urls(3, host)], now=NOW)

    assert sorted(claimed(store)) == ["https://a.example/0", "https://b.example/0"]
    assert claimed(store) == []


def test_one_site_gets_a_quarter_of_the_places_however_many_hosts_it_has(store: Store) -> None:
    many = [f"https://h{number}.evil.example:{8080 + number % 2}/1" for number in range(40)]
    store.ledger.enqueue([candidate(url) for url in many], now=NOW - MINUTE)
    store.ledger.enqueue([candidate(f"https://{host}/1") for host in ("bao.vn", "tin.vn", "bao.vn.evil.org")], now=NOW)

    first, second = claimed(store, limit=8), claimed(store, limit=5)

    assert len(first) == 5
    assert {"https://bao.vn/1", "https://tin.vn/1", "https://bao.vn.evil.org/1"} < set(first)
    assert len(second) == 0
    assert len(claimed(store, limit=8, scope=Scope(sources=frozenset({"bao"})))) == 8


def test_a_host_is_free_again_when_its_candidate_is_finished(store: Store) -> None:
    store.ledger.enqueue([candidate(url) for url in urls(2)], now=NOW)
    claim = claim_one(store)

    store.ledger.finish(claim, Outcome(state=State.REJECTED), now=NOW)

    assert claimed(store) == ["https://bao.example/1"]


def test_the_host_that_has_waited_longest_comes_first(store: Store) -> None:
    for minute, host in enumerate(("c.example", "a.example", "b.example")):
        store.ledger.enqueue([candidate(f"https://{host}/")], now=NOW + minute * MINUTE)

    claims = store.ledger.claim(now=NOW + 5 * MINUTE, lease=MINUTE, limit=2, worker="w1")

    assert [claim.host for claim in claims] == ["c.example", "a.example"]


def test_a_host_whose_next_slot_is_far_is_not_claimed(store: Store) -> None:
    store.ledger.enqueue([candidate()], now=NOW)
    store.hosts.reserve("bao.example", now=NOW, delay=timedelta(seconds=10))

    assert claimed(store) == []
    assert store.ledger.next_due(now=NOW) == NOW + 9 * SECOND
    assert claim_one(store, now=NOW + 9 * SECOND).attempts


def test_has_due_and_pending_agree_for_every_kind_of_waiting(store: Store) -> None:
    told = [store.ledger.has_due(now=NOW)]
    store.ledger.enqueue([candidate(), candidate("https://bao.example/2")], now=NOW)
    told.append(store.ledger.has_due(now=NOW))
    store.hosts.save_health(HostHealth(host="bao.example", failures=5, closed_until=NOW + MINUTE))
    told += [store.ledger.has_due(now=now) for now in (NOW, NOW + MINUTE)]
    first = claim_one(store, now=NOW + MINUTE)
    told.append(store.ledger.has_due(now=NOW + MINUTE))
    store.ledger.finish(first, Outcome(state=State.REJECTED), now=NOW + MINUTE)
    last = claim_one(store, now=NOW + MINUTE, lease=2 * MINUTE)
    told += [store.ledger.has_due(now=last.lease_until - MINUTE), store.ledger.has_due(now=last.lease_until)]
    store.ledger.enqueue([candidate("https://c.example/", payload=Text(text="chữ"))], now=NOW)
    told.append(store.ledger.has_due(now=NOW))

    assert told == [False, True, False, True, True, False, True, True]


def test_a_closed_host_is_not_claimed_until_it_opens(store: Store) -> None:
    store.ledger.enqueue([candidate()], now=NOW)
    store.hosts.save_health(HostHealth(host="bao.example", failures=5, closed_until=NOW + MINUTE))

    assert claimed(store) == []
    assert store.ledger.pending(now=NOW) == (1, 0)
    assert store.ledger.next_due(now=NOW) == NOW + MINUTE
    assert claim_one(store, now=NOW + MINUTE).attempts


@pytest.mark.parametrize("payload", [page(body=b"\x00\xff bytes"), Text(text="chữ\nhai", title="Tiêu"), Text(text="")])
def test_content_that_is_here_already_is_claimed_whole(store: Store, payload: Page | Text) -> None:
    store.ledger.enqueue([candidate(payload=payload)], now=NOW)

    assert claim_one(store).payload == payload


def test_content_that_is_here_already_waits_for_no_host(store: Store) -> None:
    store.hosts.save_health(HostHealth(host="bao.example", failures=5, closed_until=NOW + MINUTE))
    store.ledger.enqueue([candidate(url, payload=Text(text=url)) for url in urls(5)], now=NOW)

    assert claimed(store) == urls(5)
    assert claimed(store) == []


def test_a_leased_content_comes_due_when_its_lease_ends(store: Store) -> None:
    store.ledger.enqueue([candidate(payload=Text(text="a"))], now=NOW)
    claim_one(store)

    assert store.ledger.next_due(now=NOW) == NOW + MINUTE
    assert claim_one(store, now=NOW + MINUTE).payload == Text(text="a")


def test_a_known_candidate_with_other_content_is_due_again(store: Store) -> None:
    store.ledger.enqueue([candidate(payload=Text(text="một"))], now=NOW)
    store.ledger.finish(claim_one(store), Outcome(state=State.REJECTED), now=NOW)

    same = store.ledger.enqueue([candidate(payload=Text(text="một"))], now=NOW)
    waiting_after_same = store.ledger.pending(now=NOW)[0]
    other = store.ledger.enqueue([candidate(payload=Text(text="hai"))], now=NOW)

    assert (same, waiting_after_same, other) == (0, 0, 0)
    assert claim_one(store).payload == Text(text="hai")


def test_a_known_candidate_that_is_requested_again_is_due_again(store: Store) -> None:
    take_in(store, "https://bao.example/1", "một hai")

    new = store.ledger.enqueue([candidate()], now=NOW, again=True)

    assert new == 0
    assert claim_one(store).attempts == 1


def test_a_later_time_of_modification_makes_a_candidate_due_again(store: Store) -> None:
    store.ledger.enqueue([candidate(modified_at=NOW)], now=NOW)
    store.ledger.finish(claim_one(store), Outcome(state=State.REJECTED), now=NOW)

    store.ledger.enqueue([candidate(modified_at=NOW)], now=NOW)
    waiting_after_same = store.ledger.pending(now=NOW)[0]
    store.ledger.enqueue([candidate(modified_at=NOW + MINUTE)], now=NOW)

    assert waiting_after_same == 0
    assert claim_one(store).modified_at == NOW + MINUTE


def test_a_leased_candidate_is_not_queued_again(store: Store) -> None:
    store.ledger.enqueue([candidate()], now=NOW)
    claim = claim_one(store)

    store.ledger.enqueue([candidate()], now=NOW, again=True)

    assert claimed(store) == []
    assert store.ledger.finish(claim, Outcome(state=State.REJECTED), now=NOW)


def test_a_scope_of_sources_claims_only_their_candidates(store: Store) -> None:
    store.ledger.enqueue([candidate(url, source=url[-1]) for url in urls(4)], now=NOW)
    store.ledger.enqueue([candidate("https://x.example/", source="2", payload=Text(text="a"))], now=NOW)

    scope = Scope(sources=frozenset({"2"}))

    assert store.ledger.pending(now=NOW, scope=scope) == (2, 2)
    assert sorted(claimed(store, scope=scope)) == ["https://bao.example/2", "https://x.example/"]


def test_a_scope_of_one_batch_claims_known_candidates_of_it_too(store: Store) -> None:
    store.ledger.enqueue([candidate(url) for url in urls(3)], now=NOW)
    store.ledger.enqueue([candidate(url) for url in (urls(3)[1], "https://x.example/")], now=NOW, batch="b1")

    scope = Scope(batch="b1")

    assert store.ledger.pending(now=NOW, scope=scope) == (2, 2)
    assert sorted(claimed(store, scope=scope)) == ["https://bao.example/1", "https://x.example/"]


def test_hosts_outside_a_scope_do_not_use_up_the_limit(store: Store) -> None:
    store.ledger.enqueue([candidate(f"https://h{number}.example/") for number in range(5)], now=NOW)
    store.ledger.enqueue([candidate("https://x.example/", source="x")], now=NOW + SECOND)

    claims = store.ledger.claim(
        now=NOW + MINUTE, lease=MINUTE, limit=1, worker="w1", scope=Scope(sources=frozenset({"x"}))
    )

    assert [claim.url for claim in claims] == ["https://x.example/"]


def test_nothing_pending_means_nothing_comes_due(store: Store) -> None:
    assert store.ledger.next_due(now=NOW) is None
    assert store.ledger.pending(now=NOW) == (0, 0)


def test_a_poll_and_its_findings_are_written_together(store: Store) -> None:
    poll = Poll(source="bao", polled_at=NOW, due_at=NOW + MINUTE, validators=Validators(etag='"1"'), found=2,
                interval=timedelta(minutes=7))  # fmt: skip

    new = store.ledger.record_poll(poll, [candidate(url) for url in urls(2)])

    state = store.ledger.source_state("bao")
    assert new == 2
    assert (state.due_at, state.validators.etag, state.polled_at, state.succeeded_at) == (NOW + MINUTE, '"1"', NOW, NOW)
    assert (state.failures, state.found, state.interval) == (0, 2, timedelta(minutes=7))
    assert store.reader.sources() == (state,)


def test_a_failed_poll_keeps_validators_and_counts(store: Store) -> None:
    store.ledger.record_poll(Poll(source="bao", polled_at=NOW, due_at=NOW, validators=Validators(etag="1")), ())
    for minute in (1, 2):
        failed = Poll(source="bao", polled_at=NOW + minute * MINUTE, due_at=NOW + 9 * MINUTE, error="no answer")
        store.ledger.record_poll(failed, ())

    state = store.ledger.source_state("bao")

    assert (state.failures, state.error, state.validators.etag, state.succeeded_at) == (2, "no answer", "1", NOW)


def test_a_source_never_polled_has_an_empty_state(store: Store) -> None:
    state = store.ledger.source_state("new")

    assert (state.name, state.due_at, state.failures) == ("new", None, 0)


def test_validators_and_body_hash_come_back_with_the_next_claim(store: Store) -> None:
    store.ledger.enqueue([candidate()], now=NOW)
    outcome = settle(store, claim_one(store), "một hai", content=page(etag='"v1"'))
    assert outcome is not None

    store.ledger.enqueue([candidate()], now=NOW, again=True)
    claim = claim_one(store)

    assert claim.validators.etag == '"v1"'
    assert claim.known_article == outcome.article
    assert claim.known_sha256 is not None


def test_a_page_without_an_article_is_requested_in_full(store: Store) -> None:
    store.ledger.enqueue([candidate()], now=NOW)
    store.ledger.finish(claim_one(store), Outcome(state=State.REJECTED), now=NOW, page=page(etag='"v1"'))

    store.ledger.enqueue([candidate()], now=NOW, again=True)

    assert claim_one(store).validators == Validators()


def test_one_worker_at_a_time_polls_a_source(store: Store) -> None:
    first = store.ledger.claim_poll("bao", now=NOW, lease=MINUTE, worker="w1")

    second = store.ledger.claim_poll("bao", now=NOW, lease=MINUTE, worker="w2")

    assert (first, second) == (True, False)
    assert store.ledger.claim_poll("bao", now=NOW + MINUTE, lease=MINUTE, worker="w2")


def test_a_recorded_poll_ends_its_lease(store: Store) -> None:
    store.ledger.claim_poll("bao", now=NOW, lease=MINUTE, worker="w1")

    store.ledger.record_poll(Poll(source="bao", polled_at=NOW, due_at=NOW + 5 * MINUTE), ())

    assert not store.ledger.claim_poll("bao", now=NOW, lease=MINUTE, worker="w2")
    assert store.ledger.claim_poll("bao", now=NOW, lease=MINUTE, worker="w2", only_if_due=False)
    assert store.ledger.source_state("bao").polled_at == NOW


def test_workers_are_known_by_their_leases(store: Store) -> None:
    store.ledger.enqueue([candidate(f"https://h{number}.example/") for number in range(3)], now=NOW)
    store.ledger.claim(now=NOW, lease=MINUTE, limit=2, worker="w2")
    store.ledger.claim_poll("bao", now=NOW, lease=2 * MINUTE, worker="w1")

    names = [(each.name, each.candidates, each.sources, each.until) for each in store.reader.workers(now=NOW)]

    assert names == [("w1", 0, 1, NOW + 2 * MINUTE), ("w2", 2, 0, NOW + MINUTE)]
    assert store.reader.workers(now=NOW + 2 * MINUTE) == ()


def test_the_longest_allowed_url_is_stored(store: Store) -> None:
    letters = random.Random(1).choices(
        string.ascii_letters + string.digits, k=MAX_FINISHED_LENGTH - len("https://bao.example/")
    )

    assert store.ledger.enqueue([candidate("https://bao.example/" + "".join(letters))], now=NOW) == 1


def pending(store: Store) -> list[str]:
    """Return the addresses that can be claimed, and claim them."""
    claims = store.ledger.claim(now=NOW, lease=MINUTE, limit=9, worker="w")
    store.ledger.release(claims)
    return sorted(claim.url for claim in claims)


def test_what_a_paused_source_has_found_waits_unless_another_source_names_it(store: Store) -> None:
    urls = [f"https://{name}.example/1" for name in ("a", "b", "c", "d", "e")]
    a, b, c, d, e = urls
    store.ledger.enqueue([candidate(a), candidate(b), candidate(c), candidate(d, source="other")], now=NOW)
    store.ledger.enqueue([candidate(e)], now=NOW, batch="backfill:bao")
    store.ledger.enqueue([replace(candidate(f"{b}?x", source="other"), canonical_url=b)], now=NOW)

    assert store.ledger.hold_paused(["bao", "never"], now=NOW) == 2
    assert store.ledger.hold_paused(["bao", "never"], now=NOW) == 0

    assert pending(store) == [b, d, e]
    figures = store.reader.figures(now=NOW)
    assert (figures.pending, figures.due, figures.held) == (5, 3, 2)
    store.ledger.enqueue([candidate(a)], now=NOW)
    store.ledger.enqueue([candidate(c, source="other")], now=NOW)
    assert pending(store) == [b, c, d, e]
    assert store.reader.audit().balanced
    assert store.ledger.hold_paused(["never"], now=NOW) == 1
    assert pending(store) == urls
    assert store.reader.audit().balanced


def test_a_held_candidate_stays_so_where_a_clock_was_wrong(store: Store) -> None:
    now = NOW + timedelta(days=36_500)  # later than the server's own clock, which is trusted
    store.ledger.enqueue([candidate()], now=now + 900 * MINUTE)
    store.ledger.hold_paused(["bao"], now=now + 900 * MINUTE)

    assert store.correct_times(now=now) == 900 * MINUTE

    assert store.reader.figures(now=now).held == 1
    assert store.ledger.hold_paused([], now=now) == 1
    assert store.ledger.pending(now=now) == (1, 1)
