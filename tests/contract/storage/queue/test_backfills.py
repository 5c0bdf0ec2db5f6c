"""Backfills in the store: their candidates wait behind the news, and the progress of every place is saved."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.contract.storage.factories import MINUTE, NOW, candidate, claim_one, page, settle
from worker.models import BackfillPlace, Outcome, State, Text
from worker.ports import Scope
from worker.storage.store import Store

NAME, BATCH = "bao:2026-01-01:2026-01-31", "backfill:bao:2026-01-01:2026-01-31"
FAILED = Outcome(state=State.FAILED, reason="gone")


def begun(store: Store, *urls: str) -> None:
    assert store.backfills.acquire(NAME, now=NOW, until=NOW + MINUTE, worker="w1")
    store.backfills.begin(NAME, [("sitemap", url) for url in urls], now=NOW, afresh=False)


def place_of(store: Store, *, after: int = 0) -> BackfillPlace:
    place = store.backfills.next_place(NAME, after=after)
    assert place is not None
    return place


def take(store: Store, *urls: str, place: BackfillPlace | None = None) -> BackfillPlace:
    found = [candidate(url) for url in urls]
    return store.backfills.save_candidates(NAME, place or place_of(store), found, batch=BATCH, now=NOW)


def claimed(store: Store, *, limit: int = 5, scope: Scope = Scope()) -> list[str]:
    return [each.url for each in store.ledger.claim(now=NOW, lease=MINUTE, limit=limit, worker="w1", scope=scope)]


def test_news_of_a_host_are_claimed_before_older_backfill_candidates(store: Store) -> None:
    begun(store, "https://bao.example/sitemap.xml")
    take(store, "https://bao.example/cu")
    store.ledger.enqueue([candidate("https://bao.example/moi")], now=NOW)

    first = claim_one(store)
    store.ledger.finish(first, FAILED, now=NOW)
    second = claim_one(store)

    assert (first.url, second.url) == ("https://bao.example/moi", "https://bao.example/cu")
    assert store.ledger.next_due(now=NOW) is not None


def test_backfill_candidates_are_claimed_while_no_news_are_due(store: Store) -> None:
    begun(store, "https://bao.example/sitemap.xml")
    store.ledger.enqueue([candidate("https://bao.example/moi")], now=NOW)
    later = Outcome(state=State.PENDING, reason="timeout", retry_at=NOW + 5 * MINUTE)
    store.ledger.finish(claim_one(store), later, now=NOW)

    take(store, "https://bao.example/cu")

    assert store.ledger.has_due(now=NOW)
    assert store.ledger.pending(now=NOW) == (2, 1)
    assert claimed(store) == ["https://bao.example/cu"]
    assert not store.ledger.has_due(now=NOW)


def test_old_contents_come_after_new_contents_and_pages(store: Store) -> None:
    begun(store, "archive.warc.gz")
    kept = [candidate(f"https://cu.example/{n}", payload=page(f"https://cu.example/{n}")) for n in range(2)]
    store.backfills.save_candidates(NAME, place_of(store), kept, batch=BATCH, now=NOW)
    store.ledger.enqueue([candidate("https://bao.example/1")], now=NOW)
    store.ledger.enqueue([candidate("https://bao.example/2", payload=Text(text="một"))], now=NOW)

    assert claimed(store, limit=3) == [
        "https://bao.example/2", "https://bao.example/1", "https://cu.example/0",
    ]  # fmt: skip
    assert store.ledger.next_due(now=NOW) == NOW


def test_candidates_of_a_backfill_are_claimed_by_their_batch(store: Store) -> None:
    begun(store, "https://bao.example/sitemap.xml")
    store.ledger.enqueue([candidate("https://bao.example/moi")], now=NOW)
    take(store, "https://bao.example/cu", "https://khac.example/cu")

    assert sorted(claimed(store, scope=Scope(batch=BATCH))) == ["https://bao.example/cu", "https://khac.example/cu"]


def test_a_backfill_candidate_that_a_poll_finds_gets_high_priority(store: Store) -> None:
    begun(store, "https://bao.example/sitemap.xml")
    take(store, "https://bao.example/1", "https://bao.example/2")

    store.ledger.enqueue([candidate("https://bao.example/2")], now=NOW)

    assert claim_one(store).url == "https://bao.example/2"


def test_a_finished_candidate_stays_finished(store: Store) -> None:
    store.ledger.enqueue([candidate("https://bao.example/1"), candidate("https://khac.example/1")], now=NOW)
    settle(store, claim_one(store), "một hai")
    begun(store, "https://bao.example/sitemap.xml")

    taken = take(store, "https://bao.example/1", "https://khac.example/1", "https://bao.example/2")

    assert taken.new == 1
    # The one that still waits is worked off with the rest.
    assert store.ledger.pending(now=NOW, scope=Scope(batch=BATCH)) == (2, 2)


def test_a_place_is_read_once_and_its_links_are_added_once(store: Store) -> None:
    begun(store, "https://bao.example/index.xml")
    index = place_of(store)

    store.backfills.close(NAME, index, [("sitemap", "b"), ("sitemap", "c"), ("sitemap", "b")], digest="", now=NOW)
    second = place_of(store)
    store.backfills.close(NAME, second, [("sitemap", "https://bao.example/index.xml")], digest="", now=NOW)
    third = place_of(store)
    store.backfills.close(NAME, third, [], digest="", now=NOW)

    assert (second.url, third.url) == ("b", "c")
    assert store.backfills.next_place(NAME, after=0) is None
    state = store.backfills.state(NAME)
    assert (state.looked, state.waiting, state.unread) == (3, 0, 0)


def test_links_of_a_place_with_the_same_content_as_another_are_not_added(store: Store) -> None:
    begun(store, "trang-1")

    first = store.backfills.close(NAME, place_of(store), [("listing", "trang-2")], digest="ab", now=NOW)
    second = store.backfills.close(NAME, place_of(store), [("listing", "trang-3")], digest="ab", now=NOW)

    assert (first, second) == (True, False)
    assert store.backfills.next_place(NAME, after=0) is None


def test_saved_candidates_are_counted_with_the_position_to_resume_at(store: Store) -> None:
    begun(store, "a.warc.gz")
    place = replace(place_of(store), position=4096, found=2, left_out=7)

    taken = take(store, "https://bao.example/1", "https://bao.example/2", place=place)

    assert taken.new == 2
    assert place_of(store) == taken == replace(place, new=2)
    state = store.backfills.state(NAME)
    assert (state.found, state.new, state.left_out, state.waiting) == (2, 2, 7, 1)


def test_a_place_that_is_read_from_the_beginning_again_is_counted_anew(store: Store) -> None:
    begun(store, "https://bao.example/sitemap.xml")

    take(store, "https://bao.example/1", place=replace(place_of(store), found=1))

    assert place_of(store).found == 0


def test_a_failed_place_is_tried_again_unless_it_failed_for_good(store: Store) -> None:
    begun(store, "a", "b")
    first = place_of(store)
    second = place_of(store, after=first.id)

    store.backfills.fail(first, "503", for_good=False, now=NOW)
    store.backfills.fail(second, "404", for_good=True, now=NOW)

    assert place_of(store).url == "a"
    assert store.backfills.next_place(NAME, after=first.id) is None
    state = store.backfills.state(NAME)
    assert (state.looked, state.waiting, state.unread) == (1, 1, 2)


def test_one_worker_at_a_time_runs_a_backfill(store: Store) -> None:
    begun(store, "a")

    beside = store.backfills.acquire(NAME, now=NOW, until=NOW + MINUTE, worker="w2")
    elsewhere = store.backfills.acquire("khac:2026-01-01:2026-01-31", now=NOW, until=NOW + MINUTE, worker="w2")
    later = store.backfills.acquire(NAME, now=NOW + MINUTE, until=NOW + 2 * MINUTE, worker="w2")
    store.backfills.release(NAME, worker="w1")
    not_freed = store.backfills.acquire(NAME, now=NOW + MINUTE, until=NOW + 2 * MINUTE, worker="w3")
    store.backfills.release(NAME, worker="w2")
    freed = store.backfills.acquire(NAME, now=NOW + MINUTE, until=NOW + 2 * MINUTE, worker="w3")

    assert (beside, elsewhere, later, not_freed, freed) == (False, True, True, False, True)


def test_a_backfill_is_unfinished_until_all_is_read_and_processed(store: Store) -> None:
    begun(store, "a", "b")
    taken = store.backfills.save_candidates(
        NAME, place_of(store), [candidate("https://bao.example/1")], batch=BATCH, now=NOW
    )
    (begun_,) = store.backfills.unfinished(now=NOW)
    (left,) = store.backfills.unfinished(now=NOW + 2 * MINUTE)
    for place in (taken, place_of(store, after=taken.id)):
        store.backfills.close(NAME, place, [], digest="", now=NOW)
    store.backfills.finish(NAME, now=NOW)
    (looked,) = store.backfills.unfinished(now=NOW)
    store.ledger.finish(claim_one(store), FAILED, now=NOW)

    assert (begun_.state.name, begun_.worker, begun_.pending, begun_.state.waiting) == (NAME, "w1", 1, 2)
    assert left.worker == ""
    assert (looked.state.looked, looked.state.waiting, looked.pending) == (2, 0, 1)
    assert store.backfills.unfinished(now=NOW) == ()


def test_a_backfill_of_a_dead_worker_is_reclaimed(store: Store) -> None:
    begun(store, "a")

    lease_owners = store.ledger.lease_owners()
    store.ledger.reclaim(["w1"])

    assert lease_owners == {"w1"}
    assert store.backfills.acquire(NAME, now=NOW, until=NOW + MINUTE, worker="w2")


def test_starting_again_keeps_the_progress_unless_afresh(store: Store) -> None:
    begun(store, "a")
    store.backfills.close(NAME, place_of(store), [], digest="", now=NOW)
    store.backfills.finish(NAME, now=NOW)

    store.backfills.begin(NAME, [("sitemap", "a"), ("sitemap", "b")], now=NOW, afresh=False)
    kept = store.backfills.state(NAME)
    store.backfills.begin(NAME, [("sitemap", "a")], now=NOW + MINUTE, afresh=True)
    anew = store.backfills.state(NAME)

    assert (kept.looked, kept.waiting, kept.finished_at) == (1, 1, NOW)
    assert (anew.looked, anew.waiting, anew.finished_at, anew.begun_at) == (0, 1, None, NOW + MINUTE)


def test_the_progress_of_an_unknown_backfill_is_empty(store: Store) -> None:
    state = store.backfills.state("nirgends")

    assert (state.begun_at, state.looked, state.waiting) == (None, 0, 0)


def test_a_fallback_text_is_kept_until_the_outcome(store: Store) -> None:
    store.ledger.enqueue([replace(candidate(), fallback="một\nhai \ud800", title="Tiêu đề")], now=NOW)
    claim = claim_one(store)
    before = store.ledger.fallback(claim)

    store.ledger.finish(claim, Outcome(state=State.PENDING, reason="timeout", retry_at=NOW + MINUTE), now=NOW)
    waiting = store.ledger.fallback(claim)
    again = claim_one(store, now=NOW + MINUTE)
    store.ledger.finish(again, FAILED, now=NOW + MINUTE)

    assert before == waiting == Text(text="một\nhai ", title="Tiêu đề")
    assert store.ledger.fallback(claim) is None


def test_a_candidate_without_a_fallback_has_none(store: Store) -> None:
    store.ledger.enqueue([candidate()], now=NOW)

    assert store.ledger.fallback(claim_one(store)) is None


def test_news_are_found_by_an_index_in_a_queue_full_of_backfill_candidates(store: Store) -> None:
    begun(store, "https://bao.example/sitemap.xml")
    old = [candidate(f"https://bao.example/cu/{n}") for n in range(2000)]
    store.backfills.save_candidates(NAME, place_of(store), old, batch=BATCH, now=NOW - timedelta(days=1))
    store.ledger.enqueue([candidate("https://bao.example/moi")], now=NOW)

    assert claim_one(store).url == "https://bao.example/moi"
    assert store.reader.audit().balanced


def test_a_run_that_gives_way_leaves_a_host_to_its_news_for_a_minute(store: Store) -> None:
    begun(store, "https://bao.example/sitemap.xml")
    take(store, "https://bao.example/cu", "https://khac.example/cu")
    store.ledger.enqueue([candidate("https://bao.example/moi")], now=NOW)
    scope = Scope(batch=BATCH, yields_to_live=True)

    at_once = claimed(store, scope=scope)
    later = store.ledger.claim(now=NOW + MINUTE, lease=MINUTE, limit=5, worker="w1", scope=scope)

    assert at_once == ["https://khac.example/cu"]
    assert "https://bao.example/cu" in [each.url for each in later]


def test_news_that_are_not_due_do_not_hold_up_a_run_that_gives_way(store: Store) -> None:
    begun(store, "https://bao.example/sitemap.xml")
    store.ledger.enqueue([candidate("https://bao.example/moi")], now=NOW - MINUTE)
    first = claim_one(store, now=NOW - MINUTE)
    later = Outcome(state=State.PENDING, reason="timeout", retry_at=NOW + 5 * MINUTE)
    store.ledger.finish(first, later, now=NOW - MINUTE)
    take(store, "https://bao.example/cu")

    assert claimed(store, scope=Scope(batch=BATCH, yields_to_live=True)) == ["https://bao.example/cu"]
