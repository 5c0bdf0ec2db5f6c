"""Settle: one transaction from neighbours to outcome, and the clusters afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

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
    page,
    seed,
    settle,
    take_in,
)
from worker.models import DuplicateLink, Kind, Neighbour, Outcome, Relation, Rights, State, Text, Verdict
from worker.storage.store import Store

A = "https://a.example/1"
B = "https://b.example/1"
C = "https://c.example/1"


def links(store: Store, *, both: bool = False) -> list[tuple[str, str, Relation]]:
    found: Sequence[DuplicateLink] = list(store.reader.duplicates(links_that_keep_both=both))
    return [(link.url, link.duplicate_of_url, link.relation) for link in found]


def exported(store: Store) -> list[str]:
    return [head.article.url for head in store.reader.heads()]


def stored_id(outcome: Outcome) -> int:
    assert outcome.article is not None
    return outcome.article


def test_an_article_like_no_other_is_stored(store: Store) -> None:
    outcome = take_in(store, A, "một hai")

    assert (outcome.state, outcome.reason) == (State.STORED, "unique")
    (head,) = store.reader.heads()
    assert (head.id, head.cluster, head.revision, head.head) == (outcome.article, outcome.article, 1, True)


def test_an_article_is_read_as_it_was_written(store: Store) -> None:
    made = article(A, "một\nhai")
    store.ledger.enqueue([candidate(A)], now=NOW)

    outcome = store.ledger.settle(
        claim_one(store), made, fingerprint=fingerprint(made.text), judge=judge_of(made), now=NOW
    )

    assert outcome is not None
    held = store.reader.article(stored_id(outcome))
    assert held is not None
    assert held.article == made


def test_rights_and_notes_are_kept(store: Store) -> None:
    made = article(A)
    rights = Rights(robots=("noarchive",), tdm_reservation="1", licence="CC-BY", copyright_holder="Báo")
    signed = type(made)(**{name: getattr(made, name) for name in made.__slots__} | {"rights": rights})
    store.ledger.enqueue([candidate(A)], now=NOW)
    store.ledger.settle(claim_one(store), signed, fingerprint=fingerprint("x"), judge=judge_of(signed), now=NOW)

    (head,) = store.reader.heads()

    assert head.article.rights == rights


def test_a_copy_is_a_duplicate_that_keeps_its_text(store: Store) -> None:
    first = take_in(store, A, "một hai")

    copy = take_in(store, B, "hai một")

    assert (copy.state, copy.reason) == (State.DUPLICATE, "copy")
    assert exported(store) == [A]
    assert links(store) == [(B, A, Relation.COPY)]
    held = store.reader.article(stored_id(copy))
    assert held is not None
    assert (held.article.text, held.cluster, held.judged_against) == ("hai một", first.article, first.article)


def test_a_fuller_text_becomes_the_head_and_the_old_one_stays_linked(store: Store) -> None:
    take_in(store, A, "một hai")
    take_in(store, B, "hai một")

    outcome = take_in(store, C, "một hai ba")

    assert outcome.state is State.STORED
    assert exported(store) == [C]
    assert links(store) == [(A, C, Relation.CONTAINED), (B, C, Relation.COPY)]
    assert [link.containment for link in store.reader.duplicates()] == [1.0, 1.0]
    assert store.reader.audit().balanced


def test_a_new_version_of_a_page_is_a_revision_of_its_own_cluster(store: Store) -> None:
    first = take_in(store, A, "một hai")

    second = take_in(store, A, "một hai ba", now=NOW + MINUTE)

    assert (second.state, second.reason) == (State.REVISED, "revision")
    (head,) = store.reader.heads()
    assert (head.id, head.cluster, head.revision) == (second.article, first.article, 2)
    assert links(store) == [(A, A, Relation.REVISION)]


def test_an_earlier_version_is_found_though_it_shares_no_word(store: Store) -> None:
    take_in(store, A, "một hai")

    assert take_in(store, A, "ba bốn").state is State.REVISED


def test_the_same_text_again_writes_no_row(store: Store) -> None:
    first = take_in(store, A, "một hai")

    again = take_in(store, A, "một hai")

    assert (again.state, again.article) == (State.UNCHANGED, first.article)
    books = store.reader.audit()
    assert (books.articles, books.discovered, books.counts[State.UNCHANGED]) == (1, 1, 1)
    assert books.balanced


def test_an_old_text_that_returns_is_a_new_revision(store: Store) -> None:
    take_in(store, A, "một hai")
    take_in(store, A, "một ba")

    assert take_in(store, A, "một hai").state is State.REVISED


def test_a_followup_is_exported_and_linked(store: Store) -> None:
    take_in(store, A, "theo một hai")

    outcome = take_in(store, B, "theo ba bốn")

    assert outcome.state is State.STORED
    assert exported(store) == [A, B]
    assert links(store) == []
    assert links(store, both=True) == [(B, A, Relation.FOLLOWUP)]


def test_a_link_to_a_cluster_follows_its_head(store: Store) -> None:
    take_in(store, A, "theo một hai")
    take_in(store, B, "theo ba bốn")

    take_in(store, C, "theo một hai năm")

    assert (B, C, Relation.FOLLOWUP) in links(store, both=True)


def test_neighbours_come_with_the_head_of_their_cluster(store: Store) -> None:
    take_in(store, A, "một hai")
    take_in(store, B, "một hai ba")
    seen: list[Neighbour] = []
    store.ledger.enqueue([candidate(C)], now=NOW)

    def judge(neighbours: Sequence[Neighbour]) -> Verdict:
        seen[:] = neighbours
        return Verdict(relation=Relation.UNIQUE, head=True)

    made = article(C, "hai")
    store.ledger.settle(claim_one(store), made, fingerprint=fingerprint("hai"), judge=judge, now=NOW)

    assert {(each.url, each.head, each.cluster == seen[0].cluster) for each in seen} == {
        (A, False, True),
        (B, True, True),
    }
    assert all(each.text and each.fetched_at == NOW for each in seen)
    assert {each.shared_bands for each in seen} == {1}


def test_neighbours_are_bounded(store: Store) -> None:
    for number in range(40):
        take_in(store, f"https://h{number}.example/", f"chung riêng{number}")
    seen: list[int] = []
    store.ledger.enqueue([candidate(A)], now=NOW)

    def judge(neighbours: Sequence[Neighbour]) -> Verdict:
        seen.append(len(neighbours))
        return Verdict(relation=Relation.UNIQUE, head=True)

    store.ledger.settle(claim_one(store), article(A, "chung"), fingerprint=fingerprint("chung"), judge=judge, now=NOW)

    assert 0 < seen[0] <= 32


def test_a_judge_that_fails_leaves_nothing_behind(store: Store) -> None:
    store.ledger.enqueue([candidate(A)], now=NOW)
    claim = claim_one(store)

    def judge(neighbours: Sequence[Neighbour]) -> Verdict:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        store.ledger.settle(claim, article(A), fingerprint=fingerprint("x"), judge=judge, now=NOW, page=page(A))

    books = store.reader.audit()
    assert (books.articles, books.counts[State.PENDING], books.balanced) == (0, 1, True)
    assert settle(store, claim, "một hai") is not None


def test_every_decision_is_kept_in_full(store: Store) -> None:
    take_in(store, A, "một hai")

    outcome = take_in(store, B, "một hai")

    ((at, verdict),) = store.reader.verdicts(stored_id(outcome))
    assert at == NOW
    assert verdict == outcome.verdict


def test_an_article_has_a_history(store: Store) -> None:
    outcome = take_in(store, A, "một hai")

    by_url, by_id = store.reader.candidate(A), store.reader.candidate(str(outcome.article))

    assert by_url is not None
    assert by_url == by_id
    assert by_url.articles == (outcome.article,)
    assert [event.what for event in by_url.events] == ["discovered", "fetched", "stored"]
    assert "1500 ms" in by_url.events[1].detail


def test_an_unknown_url_has_no_record(store: Store) -> None:
    assert store.reader.candidate(A) is None
    assert store.reader.candidate("77") is None
    assert store.reader.article(77) is None


def test_a_given_text_is_settled_like_a_fetched_page(store: Store) -> None:
    store.ledger.enqueue([candidate(A, payload=Text(text="một hai"))], now=NOW)

    assert settle(store, claim_one(store), "một hai") is not None
    assert store.reader.audit().balanced


def test_a_seed_is_imported_once(store: Store) -> None:
    first = add_seed(store, "001", "một hai")

    again = add_seed(store, "001", "một hai")

    assert first == again
    assert store.seeds.known_seeds([seed("002", "một hai"), seed("001", "một hai ba")]) == [True, False]
    assert store.reader.audit().seeds == 1


def test_a_copy_of_a_seed_is_recognised(store: Store) -> None:
    add_seed(store, "001", "một hai")

    outcome = take_in(store, A, "một hai")

    assert outcome.state is State.DUPLICATE
    (head,) = store.reader.heads()
    assert head.article.kind is Kind.SEED
    (link,) = store.reader.duplicates()
    assert (link.duplicate_of, link.duplicate_of_url) == (head.id, "seed:001")


def test_heads_come_in_the_order_of_their_ids(store: Store) -> None:
    for number in range(12):
        take_in(store, f"https://h{number}.example/", f"chữ{number}", now=NOW + timedelta(seconds=number))

    ids = [head.id for head in store.reader.heads()]

    assert len(ids) == 12
    assert ids == sorted(ids)


def test_the_same_text_again_fills_in_only_fields_that_the_article_lacks(store: Store) -> None:
    former = replace(article(A, "một hai"), lead=None, tags=(), authors=(), fields_from={"section": "meta"})
    newer = replace(article(A, "một hai"), section="Khác", authors=("B",), fields_from={"lead": "page", "section": "x"})
    outcomes = []
    for made in (former, newer, newer):
        store.ledger.enqueue([candidate(A)], now=NOW, again=True)
        claim = claim_one(store)
        outcomes.append(
            store.ledger.settle(claim, made, fingerprint=fingerprint(made.text), judge=judge_of(made), now=NOW)
        )

    first, second, third = (outcome for outcome in outcomes if outcome is not None)
    (head,) = store.reader.heads()
    expected = replace(former, lead="Lời dẫn", tags=newer.tags, authors=("B",))
    assert head.article == replace(expected, fields_from={"section": "meta", "lead": "page"})
    assert (second.state, second.filled) == (State.UNCHANGED, ("lead", "tags", "authors"))
    assert "filled in: lead, tags, authors" in second.detail
    assert (first.filled, third.filled, third.article) == ((), (), first.article)
