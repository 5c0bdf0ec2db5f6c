"""Pruning deletes old pages and histories, and keeps texts, outcomes and the pages of pending candidates."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.contract.storage.factories import MINUTE, NOW, candidate, claim_one, page, settle, take_in
from worker.models import Outcome, State, Text, backfill_batch
from worker.ports import RobotsRecord
from worker.storage.maintenance import prune
from worker.storage.maintenance.prune import Pruned
from worker.storage.store import Store

DAY = timedelta(days=1)

LATER = NOW + 5 * MINUTE


def fill(store: Store) -> None:
    take_in(store, "https://a.example/1", "một hai")
    store.ledger.enqueue([candidate("https://b.example/1")], now=NOW)
    store.ledger.finish(claim_one(store), Outcome(state=State.REJECTED), now=NOW, page=page("https://b.example/1"))
    store.ledger.enqueue([candidate("https://c.example/1", payload=Text(text="chữ"))], now=NOW)


def test_old_pages_and_events_are_deleted_and_texts_kept(store: Store) -> None:
    fill(store)
    before = store.reader.audit()

    pruned = store.prune(older_than=LATER)

    assert (pruned.pages, pruned.events, pruned.robots) == (2, 4, 0)
    assert pruned.page_bytes > 0
    assert store.reader.audit() == before
    assert [head.article.text for head in store.reader.heads()] == ["một hai"]
    assert claim_one(store).payload == Text(text="chữ")


def test_younger_pages_and_events_are_kept(store: Store) -> None:
    fill(store)

    pruned = store.prune(older_than=NOW)

    assert (pruned.pages, pruned.events) == (0, 0)


def test_a_page_with_an_old_fetch_time_is_kept_until_its_outcome_is_old(store: Store) -> None:
    old = replace(page("https://b.example/1"), fetched_at=NOW - 3000 * DAY)
    store.ledger.enqueue([candidate("https://b.example/1")], now=NOW)
    store.ledger.finish(claim_one(store), Outcome(state=State.REJECTED), now=NOW, page=old)

    assert store.prune(older_than=NOW - DAY).pages == 0
    assert store.prune(older_than=NOW + DAY).pages == 1


def test_idle_hosts_are_deleted_and_created_again(store: Store) -> None:
    take_in(store, "https://a.example/1", "một hai")
    store.hosts.reserve("a.example", now=NOW, delay=MINUTE)
    store.ledger.enqueue([candidate("https://waits.example/1")], now=NOW)

    pruned = store.prune(older_than=NOW + DAY)
    waited = claim_one(store, now=NOW + DAY)
    again = take_in(store, "https://a.example/2", "ba bốn", now=NOW + DAY)

    assert pruned.hosts == 1
    assert (waited.url, again.state) == ("https://waits.example/1", State.STORED)
    assert store.reader.audit().balanced


def test_a_host_in_use_is_kept(store: Store) -> None:
    store.ledger.enqueue([candidate("https://a.example/1")], now=NOW)
    claim = claim_one(store)

    assert store.prune(older_than=NOW + DAY).hosts == 0
    assert settle(store, claim, "một hai") is not None


def test_old_robots_files_are_deleted(store: Store) -> None:
    store.hosts.save_robots(RobotsRecord(origin="https://a.example", checked_at=NOW, status=200))

    assert store.prune(older_than=NOW).robots == 0
    assert store.prune(older_than=NOW + MINUTE).robots == 1


def test_a_dry_run_counts_and_deletes_nothing(store: Store) -> None:
    fill(store)

    counted = store.prune(older_than=LATER, dry_run=True)

    assert counted == store.prune(older_than=LATER)
    assert counted.pages == 2


def test_others_can_write_between_the_steps(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.storage.maintenance.prune.BATCH", 3)
    for number in range(8):
        store.ledger.enqueue([candidate(f"https://h{number}.example/", payload=Text(text=f"chữ {number}"))], now=NOW)
        store.ledger.finish(claim_one(store), Outcome(state=State.REJECTED), now=NOW)
    steps = store.prune_in_steps(older_than=NOW + DAY)

    first = next(steps)
    take_in(store, "https://between.example/", "một hai", now=NOW)
    rest = list(steps)

    assert first.pages == 3
    assert sum(step.pages for step in rest) == 6
    assert max(max(step.pages, step.events) for step in rest) == 3
    assert store.prune(older_than=NOW + DAY) == Pruned()
    assert store.reader.audit().balanced


def test_redirects_of_finished_candidates_are_deleted_and_others_kept(store: Store) -> None:
    take_in(store, "https://done.example/1", "một hai")
    take_in(store, "https://young.example/1", "ba bốn", now=NOW + 2 * DAY)
    store.ledger.enqueue([candidate("https://looked.example/1")], now=NOW)
    settle(store, claim_one(store), "năm sáu", recheck_at=NOW + 30 * DAY)
    store.ledger.enqueue([candidate("https://waits.example/1")], now=NOW)
    moved = [f"https://{name}.example/1" for name in ("done", "young", "looked", "waits")]
    for url in (*moved, "https://feed.example/rss.xml"):
        store.hosts.save_redirect(url, f"{url}/moi")

    counted = store.prune(older_than=NOW + DAY, dry_run=True)
    pruned = store.prune(older_than=NOW + DAY)
    again = store.prune(older_than=NOW + DAY)

    assert (counted.moves, pruned.moves, again.moves) == (1, 1, 0)
    assert [store.hosts.redirect_of(url) is None for url in moved] == [True, False, False, False]
    assert store.hosts.redirect_of("https://feed.example/rss.xml") == "https://feed.example/rss.xml/moi"
    assert store.reader.audit().balanced


def test_more_redirects_than_fit_in_one_step_are_deleted(store: Store) -> None:
    take_in(store, "https://done.example/1", "một hai")
    urls = [f"https://a.example/{number}" for number in range(prune.BATCH + 3)]
    for url in urls[:: prune.BATCH]:
        take_in(store, url, url)
    for url in urls:
        store.hosts.save_redirect(url, "https://b.example/")

    assert store.prune(older_than=NOW + DAY).moves == len(urls[:: prune.BATCH])


def begin(store: Store, name: str, *, finished: bool) -> None:
    assert store.backfills.acquire(name, now=NOW, until=NOW + MINUTE, worker="w1")
    store.backfills.begin(
        name, [("sitemap", f"https://{name}.example/{n}.xml") for n in range(3)], now=NOW, afresh=True
    )
    if finished:
        store.backfills.finish(name, now=NOW)


def test_the_progress_of_a_finished_backfill_is_deleted_once_nothing_is_pending(store: Store) -> None:
    for name, finished in (("done", True), ("under way", False), ("found", True)):
        begin(store, name, finished=finished)
    store.ledger.enqueue([candidate("https://a.example/1")], now=NOW, batch=backfill_batch("found"))

    early = store.prune(older_than=NOW)
    counted = store.prune(older_than=LATER, dry_run=True)
    pruned = store.prune(older_than=LATER)
    again = store.prune(older_than=LATER)

    assert [each.places for each in (early, counted, pruned, again)] == [0, 3, 3, 0]
    assert [store.backfills.state(name).waiting for name in ("done", "under way", "found")] == [0, 3, 3]


def test_a_backfill_whose_progress_was_deleted_starts_over(store: Store) -> None:
    begin(store, "done", finished=True)
    store.prune(older_than=LATER)

    begin(store, "done", finished=False)

    assert (store.backfills.state("done").waiting, store.backfills.state("done").finished_at) == (3, None)
    assert store.prune(older_than=LATER).places == 0
