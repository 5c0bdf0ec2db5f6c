"""Manual decisions split and join clusters at once, are kept, and leave the books balanced."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contract.storage.factories import MINUTE, NOW, add_seed, fingerprint, judge, judge_of, take_in
from worker.errors import StoreError
from worker.models import Article, Page, Relation, State
from worker.ports import Scope
from worker.storage.maintenance import review
from worker.storage.store import Store

A, B, C, D = (f"https://{letter}.example/1" for letter in "abcd")
LATER = NOW + MINUTE


def say(store: Store, one: int, other: int, decided: str) -> dict[int, tuple[Relation, int, bool]]:
    """Mark two articles; return the new cluster of each article that was judged again."""
    moved = store.review.mark(one, other, decided=decided, judge=judge, now=LATER)
    assert store.reader.audit().problems == ()
    assert store.reader.audit().balanced
    return {each.id: (each.new_relation, each.new_cluster, each.new_head) for each in moved}


def exported(store: Store) -> list[int]:
    return [head.id for head in store.reader.heads()]


def state(store: Store, url: str) -> State:
    record = store.reader.candidate(url)
    assert record is not None
    return record.state


def test_a_copy_marked_different_is_exported_as_well(store: Store) -> None:
    take_in(store, A, "một hai")
    take_in(store, B, "hai một")

    moved = say(store, 2, 1, "different")

    assert moved == {2: (Relation.UNIQUE, 2, True)}
    assert exported(store) == [1, 2]
    assert state(store, B) is State.STORED


def test_articles_marked_the_same_are_exported_once(store: Store) -> None:
    take_in(store, A, "một hai")
    take_in(store, B, "ba bốn")

    moved = say(store, 1, 2, "same")

    assert moved == {2: (Relation.COPY, 1, False)}
    assert exported(store) == [1]
    assert state(store, B) is State.DUPLICATE
    (link,) = store.reader.duplicates()
    assert (link.id, link.duplicate_of) == (2, 1)


def test_the_later_decision_counts(store: Store) -> None:
    take_in(store, A, "một hai")
    take_in(store, B, "hai một")

    say(store, 1, 2, "different")
    say(store, 1, 2, "same")

    assert exported(store) == [1]
    assert state(store, B) is State.DUPLICATE


def test_a_decision_is_in_the_history_of_both_articles(store: Store) -> None:
    take_in(store, A, "một hai")
    take_in(store, B, "hai một")

    say(store, 1, 2, "different")

    told = [store.reader.candidate(url) for url in (A, B)]
    details = [record.events[-1].detail for record in told if record]
    assert details == [
        "a person said: article 1 is another item than article 2",
        "a person said: article 2 is another item than article 1",
    ]
    assert [at for at, _ in store.reader.verdicts(2)] == [NOW, LATER]
    assert [at for at, _ in store.reader.verdicts(1)] == [NOW]


def test_when_the_head_leaves_a_cluster_the_former_head_returns(store: Store) -> None:
    take_in(store, A, "một hai")
    take_in(store, B, "một hai ba")
    assert exported(store) == [2]

    say(store, 1, 2, "different")

    assert exported(store) == [1, 2]


def test_articles_that_joined_after_the_one_that_leaves_are_judged_again(store: Store) -> None:
    for url, text in ((A, "một hai"), (B, "ba bốn"), (C, "bốn ba"), (D, "ba bốn")):
        take_in(store, url, text)

    moved = say(store, 1, 2, "same")

    assert moved == {
        2: (Relation.COPY, 1, False),
        3: (Relation.UNIQUE, 3, True),
        4: (Relation.COPY, 3, False),
    }
    assert exported(store) == [1, 3]


def test_an_article_marked_different_from_a_member_leaves_the_cluster(store: Store) -> None:
    for url in (A, B, C):
        take_in(store, url, "một hai")

    say(store, 3, 2, "different")

    assert exported(store) == [1, 3]


def test_a_decision_applies_to_every_version_of_a_page(store: Store) -> None:
    take_in(store, A, "một hai")
    take_in(store, B, "ba bốn")
    take_in(store, B, "ba bốn năm")

    say(store, 1, 2, "same")

    assert exported(store) == [1]
    assert {link.id for link in store.reader.duplicates()} == {2, 3}


def test_a_seed_can_be_marked(store: Store) -> None:
    add_seed(store, "001", "một hai")
    take_in(store, B, "ba bốn")

    say(store, 2, 1, "same")

    assert exported(store) == [1]


def test_a_pending_candidate_stays_pending_after_a_decision(store: Store) -> None:
    take_in(store, A, "một hai")
    take_in(store, B, "hai một")
    record = store.reader.candidate(B)
    assert record is not None
    store.review.queue_kept_pages(now=LATER)

    say(store, 1, 2, "different")

    assert state(store, B) is State.PENDING
    assert exported(store) == [1, 2]


def test_an_unknown_article_is_refused_and_nothing_changes(store: Store) -> None:
    take_in(store, A, "một hai")

    with pytest.raises(StoreError, match="there is no article 9 in the store"):
        store.review.mark(1, 9, decided="same", judge=judge, now=LATER)

    assert exported(store) == [1]


@pytest.mark.parametrize(("text", "decided"), [("hai một", "different"), ("ba bốn", "same")])
def test_a_decision_survives_a_new_judgement_of_the_store(store: Store, text: str, decided: str) -> None:
    take_in(store, A, "một hai")
    take_in(store, B, text)
    say(store, 1, 2, decided)
    before = exported(store)

    thought = store.review.rejudge(tag="again")
    thought.judge_all(judge)

    assert list(thought.changes()) == []
    thought.take_effect(judge, now=LATER)
    assert exported(store) == before


def test_a_decision_discards_an_unfinished_judgement_of_the_store(store: Store) -> None:
    take_in(store, A, "một hai")
    take_in(store, B, "hai một")
    thought = store.review.rejudge(tag="again")
    thought.judge_all(judge)

    say(store, 1, 2, "different")
    thought.take_effect(judge, now=LATER)

    assert exported(store) == [1, 2]
    assert store.reader.audit().balanced


def test_a_text_extracted_again_takes_the_place_of_the_first(store: Store) -> None:
    first, other = take_in(store, A, "menu một hai"), take_in(store, B, "một hai")
    assert (first.state, other.state) == (State.STORED, State.DUPLICATE)
    take_in(store, C, "ba")
    extract_again(store, A, "một hai")

    thought = store.review.rejudge(tag="again")
    thought.judge_all(judge)
    thought.take_effect(judge, now=LATER)

    assert exported(store) == [3, 4]
    links = {link.id: (link.relation, link.duplicate_of) for link in store.reader.duplicates()}
    assert links == {1: (Relation.REVISION, 4), 2: (Relation.COPY, 4)}
    (decided,) = [verdict for _, verdict in store.reader.verdicts(1)][1:]
    assert decided.best is not None
    assert (decided.best.rule, decided.best.article) == ("extracted again", 4)
    assert state(store, A) is State.STORED
    assert store.reader.audit().problems == ()


def test_a_decision_about_a_text_extracted_again_counts(store: Store) -> None:
    take_in(store, A, "menu một hai")
    take_in(store, B, "một hai")
    extract_again(store, A, "một hai")
    thought = store.review.rejudge(tag="again")
    thought.judge_all(judge)
    thought.take_effect(judge, now=LATER)

    say(store, 2, 3, "different")

    assert exported(store) == [2, 3]
    assert state(store, B) is State.STORED


def extract_again(store: Store, url: str, text: str) -> None:
    """Process the kept pages: one gives a new text, all others the same text as before."""
    store.review.queue_kept_pages(now=LATER)
    while claims := store.ledger.claim(now=LATER, lease=MINUTE, limit=1, worker="w1"):
        (claim,) = claims
        assert claim.known_article is not None
        assert claim.known_sha256 is None
        known = store.reader.article(claim.known_article)
        assert known is not None
        newcomer = known.article if claim.url != url else with_text(known.article, text)
        store.ledger.settle(
            claim,
            newcomer,
            fingerprint=fingerprint(newcomer.text),
            judge=judge_of(newcomer),
            now=LATER,
            page=claim.payload if isinstance(claim.payload, Page) else None,
        )
    store.review.finish_kept_pages()


def with_text(article: Article, text: str) -> Article:
    return replace(article, text=text, sha256=f"sha of {text}", words=len(text.split()))


def test_interrupted_queueing_is_resumed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, url in enumerate((A, B, C)):
        take_in(store, url, f"chữ{number}")
    monkeypatch.setattr("worker.storage.maintenance.review.QUEUED_AT_ONCE", 1)
    store._database.write(review._queue_some, after=0, now=LATER, batch="reprocess", states=review.REEXTRACTED)

    queued = store.review.queue_kept_pages(now=LATER)
    again = store.review.queue_kept_pages(now=LATER)

    assert (queued, again) == (2, 0)
    assert store.ledger.pending(now=LATER, scope=Scope(batch="reprocess")) == (3, 3)


def test_the_page_of_the_article_that_counts_is_extracted_again(store: Store) -> None:
    for text in ("một hai", "một hai ba", "một hai"):
        take_in(store, A, text)

    store.review.queue_kept_pages(now=LATER)

    (claim,) = store.ledger.claim(now=LATER, lease=MINUTE, limit=1, worker="w1")
    assert isinstance(claim.payload, Page)
    assert claim.payload.body == "một hai".encode()


def test_a_page_that_returns_is_a_new_version(store: Store) -> None:
    for text in ("một hai", "một hai ba", "một hai"):
        take_in(store, A, text)
    before = [(link.id, link.duplicate_of) for link in store.reader.duplicates()]

    thought = store.review.rejudge(tag="again")
    thought.judge_all(judge)

    assert list(thought.changes()) == []
    assert before == [(1, 3), (2, 3)]
