"""Reprocessing: the index is rebuilt with other parameters, kept pages are extracted again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.contract.storage.factories import (
    MINUTE,
    NOW,
    PARAMETERS,
    candidate,
    claim_one,
    fingerprint,
    page,
    settle,
    take_in,
)
from worker.errors import StoreBusy, StoreError
from worker.models import Article, Fingerprint, Outcome, Page, State
from worker.storage.maintenance.reindex import reindex
from worker.storage.store import Store, open_store

A = "https://a.example/1"
OTHER = replace(PARAMETERS, seed=2)


def shifted(article: Article) -> Fingerprint:
    """Return a fingerprint with other keys than those in the store."""
    made = fingerprint(article.text)
    return replace(made, bands=tuple(key ^ 1 for key in made.bands))


@pytest.fixture
def filled(store: Store, store_url: str) -> str:
    """The URL of a closed store with 60 articles."""
    for number in range(3):
        take_in(store, f"https://h{number}.example/", f"chữ{number}")
    store.close()
    return store_url


def test_a_rebuilt_index_opens_only_with_the_new_parameters(filled: str, open_stores: Callable[[str], Store]) -> None:
    indexed = reindex(filled, parameters=OTHER, fingerprint=shifted)

    assert indexed == 3
    with pytest.raises(StoreError, match="index was made with seed 2"):
        open_stores(filled)
    store = open_store(filled, parameters=OTHER)
    assert store.reader.audit().balanced
    store.close()


def test_a_store_with_an_unfinished_index_is_refused(
    filled: str, open_stores: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.storage.maintenance.reindex.BATCH", 1)
    with pytest.raises(KeyboardInterrupt):
        reindex(filled, parameters=OTHER, fingerprint=shifted, progress=break_off)

    with pytest.raises(StoreError, match=r"up to article \d+ so far: wait for `corpus-worker reprocess --dedupe`"):
        open_store(filled, parameters=OTHER)
    with pytest.raises(StoreError, match="run it again"):
        open_store(filled, parameters=PARAMETERS)

    assert reindex(filled, parameters=OTHER, fingerprint=shifted) == 2
    open_store(filled, parameters=OTHER).close()


def break_off(_done: int) -> None:
    raise KeyboardInterrupt


def test_the_index_is_not_rebuilt_beside_a_running_daemon(filled: str, open_stores: Callable[[str], Store]) -> None:
    if filled.startswith("postgresql"):
        pytest.skip("only SQLite has one daemon a store")
    open_stores(filled).lock_daemon("the daemon")

    with pytest.raises(StoreBusy, match="the daemon"):
        reindex(filled, parameters=OTHER, fingerprint=shifted)


def test_kept_pages_are_the_content_of_pending_candidates(store: Store) -> None:
    take_in(store, A, "một hai")
    store.ledger.enqueue([candidate("https://b.example/1")], now=NOW)
    store.ledger.finish(claim_one(store), Outcome(state=State.REJECTED), now=NOW, page=page("https://b.example/1"))

    queued = store.review.queue_kept_pages(now=NOW + MINUTE)

    claims = store.ledger.claim(now=NOW + MINUTE, lease=MINUTE, limit=9, worker="w1")
    bodies = {claim.url: claim.payload.body for claim in claims if isinstance(claim.payload, Page)}
    assert queued == 2
    assert bodies == {A: "một hai".encode(), "https://b.example/1": b"<html>"}


def test_the_same_text_extracted_again_is_unchanged(store: Store) -> None:
    take_in(store, A, "một hai")
    store.review.queue_kept_pages(now=NOW)

    outcome = settle(store, claim_one(store), "một hai")

    assert outcome is not None
    assert outcome.state is State.UNCHANGED
    assert store.reader.audit().balanced


def test_a_recheck_after_reprocessing_is_paced_by_its_host(store: Store) -> None:
    take_in(store, A, "một hai")
    store.review.queue_kept_pages(now=NOW)
    settle(store, claim_one(store), "một hai")

    store.ledger.enqueue([candidate(A)], now=NOW, again=True)

    assert claim_one(store).payload is None
