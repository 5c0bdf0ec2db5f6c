"""What exports read: selected texts from one snapshot, with what is known of their copies."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.contract.storage.factories import (
    MINUTE,
    NOW,
    add_seed,
    article,
    candidate,
    claim_one,
    fingerprint,
    judge_of,
    take_in,
)
from worker.models import CopyFacts, Kind, Outcome, Relation, Removal, Selection, State
from worker.storage.corpus import texts
from worker.storage.store import Store

A, B, C, D = (f"https://{letter}.example/1" for letter in "abcd")
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "BATCH", 2)


def come(
    store: Store, url: str, text: str, *, source: str = "bao", published_at: datetime | None = None, after: int = 0
) -> None:
    """Store an article that was fetched some minutes after NOW."""
    now = NOW + after * MINUTE
    made = replace(article(url, text, fetched_at=now), source=source, published_at=published_at)
    store.ledger.enqueue([candidate(url)], now=now, again=True)
    claim = claim_one(store, now=now)
    store.ledger.settle(claim, made, fingerprint=fingerprint(text), judge=judge_of(made), now=now)


def test_a_text_has_facts_of_its_copies_and_a_copy_names_its_head(store: Store) -> None:
    come(store, A, "một hai ba", published_at=NOW - 2 * HOUR)
    come(store, D, "bốn năm sáu")
    come(store, B, "một hai ba", published_at=NOW - 5 * HOUR, after=1)
    come(store, C, "một hai", after=2)
    come(store, D, "bốn năm bảy", after=3)

    heads = {text.id: text.copies for text in store.reader.heads()}
    copies = {text.id: text.copies for text in store.reader.heads(Selection(copies=True))}

    own = CopyFacts(
        others=2,
        hosts=("b.example", "c.example"),
        first_seen=NOW,
        last_seen=NOW + 2 * MINUTE,
        first_host="b.example",
    )
    newest = CopyFacts(
        others=1, hosts=("d.example",), first_seen=NOW, last_seen=NOW + 3 * MINUTE, first_host="d.example"
    )
    assert heads == {1: own, 5: newest}
    assert copies == {
        1: own,
        2: replace(newest, copy_of=5, relation=Relation.REVISION),
        3: replace(own, hosts=("a.example", "c.example"), copy_of=1, relation=Relation.COPY),
        4: replace(own, hosts=("a.example", "b.example"), copy_of=1, relation=Relation.CONTAINED),
        5: newest,
    }
    assert [(link.id, link.first_host) for link in store.reader.duplicates()] == [
        (2, "d.example"), (3, "b.example"), (4, "b.example"),
    ]  # fmt: skip


def test_texts_are_selected_by_what_the_store_knows(store: Store) -> None:
    come(store, A, "một hai", published_at=NOW - 2 * HOUR)
    come(store, B, "ba bốn năm", source="khac", published_at=NOW)
    come(store, C, "sáu bảy", after=1)
    add_seed(store, "001_0123456789abcdef.txt", "tám chín")

    def chosen(**given: object) -> list[int]:
        return [text.id for text in store.reader.heads(Selection(**given))]  # type: ignore[arg-type]

    assert chosen() == [1, 2, 3, 4]
    assert chosen(since=NOW, kinds=(Kind.ARTICLE,)) == [2, 3]
    assert chosen(before=NOW, kinds=(Kind.ARTICLE,)) == [1]
    assert chosen(since=NOW, before=NOW + MINUTE) == [2]
    assert chosen(sources=("khac", "nowhere")) == [2]
    assert chosen(languages=("en",)) == []
    assert chosen(kinds=(Kind.SEED,)) == [4]
    assert chosen(min_words=3, sources=("bao", "khac")) == [2]


def test_a_snapshot_does_not_see_what_comes_later(store: Store) -> None:
    come(store, A, "một hai")
    come(store, B, "ba bốn")

    with store.reader.snapshot() as corpus:
        found = []
        for text in corpus.texts(Selection()):
            found.append(text.article.url)
            take_in(store, f"https://new.example/{text.id}", f"mới {text.id}")
            come(store, A, f"một hai {text.id}", after=text.id)
        assert [text.article.url for text in corpus.texts(Selection())] == found == [A, B]
        assert corpus.unexported() == 0

    assert len(list(store.reader.heads())) == 4


def test_a_text_that_is_exported_no_longer_has_a_reason(store: Store) -> None:
    come(store, A, "một hai")
    come(store, B, "ba bốn")
    come(store, B, "ba bốn năm", after=1)
    come(store, C, "một hai sáu", after=2)
    with store.reader.snapshot() as corpus:
        removals = corpus.removals([1, 2, 3, 99])
        assert removals == {
            1: Removal(reason="contained", replaced_by=4),
            2: Removal(reason="revision", replaced_by=3),
            3: Removal(reason="filtered"),
            99: Removal(reason="removed"),
        }
        assert corpus.unexported() == 2
        assert corpus.refusals() == {}


def test_refused_pages_are_counted_by_state_and_reason(store: Store) -> None:
    for url, reason in ((A, "listing"), (B, "short"), (C, "short")):
        store.ledger.enqueue([candidate(url)], now=NOW)
        claim = claim_one(store)
        store.ledger.finish(claim, Outcome(state=State.REJECTED, reason=reason), now=NOW)
    with store.reader.snapshot() as corpus:
        assert corpus.refusals() == {(State.REJECTED, "listing"): 1, (State.REJECTED, "short"): 2}
