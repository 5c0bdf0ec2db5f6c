"""Marks: what people decide about two articles reaches the judge, whichever comes first."""

from __future__ import annotations

import random

import pytest

from tests.contract.storage.factories import NOW, judge, take_in
from worker.errors import StoreError
from worker.models import Outcome, Relation, State
from worker.storage.store import Store
from worker.urls.syntax import MAX_FINISHED_LENGTH

A = "https://a.example/1"
B = "https://b.example/1"


def id_of(outcome: Outcome) -> int:
    assert outcome.article is not None
    return outcome.article


def mark(store: Store, one: int, other: int, decided: str) -> None:
    store.review.mark(one, other, decided=decided, judge=judge, now=NOW)


def test_articles_marked_different_are_judged_so(store: Store) -> None:
    first, copy = take_in(store, A, "một hai"), take_in(store, B, "một hai")
    mark(store, id_of(copy), id_of(first), "different")

    again = take_in(store, B, "hai một hai")

    assert again.verdict is not None
    marked = {each.article: each.relation for each in again.verdict.considered}
    assert marked[id_of(first)] is Relation.UNIQUE


def test_an_article_marked_same_is_found_though_it_shares_no_word(store: Store) -> None:
    first, other = take_in(store, A, "một hai"), take_in(store, B, "ba bốn")
    mark(store, id_of(first), id_of(other), "same")

    again = take_in(store, B, "năm sáu")

    assert again.verdict is not None
    assert id_of(first) in {each.article for each in again.verdict.considered}


def test_articles_of_the_longest_addresses_can_be_marked(store: Store) -> None:
    chance = random.Random(1)
    urls = [f"https://{host}.example/{chance.randbytes(1240).hex()}"[:MAX_FINISHED_LENGTH] for host in "ab"]
    first, other = take_in(store, urls[0], "một hai"), take_in(store, urls[1], "ba bốn")

    mark(store, id_of(first), id_of(other), "same")

    assert take_in(store, urls[1], "năm sáu").state in {State.DUPLICATE, State.REVISED}


def test_a_later_mark_replaces_an_earlier_one(store: Store) -> None:
    first, other = take_in(store, A, "một hai"), take_in(store, B, "ba bốn")
    mark(store, id_of(first), id_of(other), "different")
    mark(store, id_of(other), id_of(first), "same")

    assert take_in(store, B, "năm sáu").state in {State.DUPLICATE, State.REVISED}


def test_an_unknown_article_cannot_be_marked(store: Store) -> None:
    first = take_in(store, A, "một hai")

    with pytest.raises(StoreError, match="there is no article 999 in the store"):
        mark(store, id_of(first), 999, "same")


def test_versions_of_one_page_cannot_be_marked(store: Store) -> None:
    first, second = take_in(store, A, "một hai"), take_in(store, A, "một hai ba")

    with pytest.raises(StoreError, match="versions of one page"):
        mark(store, id_of(first), id_of(second), "same")
